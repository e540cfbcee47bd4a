/*
** dataset.c - rows of texts with numeric columns beside them. Texts and log-probabilities lie one after another in
** two pools that rows point into by offset; a column is an array with one number per row, NaN where there is none.
** Rows are only ever added, and they are added by joining another dataset in one step. Encodings are kept until
** that happens. It reads no files: see import.c, scores.c, logprobs.c, tags.c.
*/
#include "dataset.h"

#include <math.h>
#include <sodium.h>

/* ---- life ---- */

qe_dataset *qe_dataset_new(void) {
  return memory_new(1, sizeof(qe_dataset));
}

static void drop_encodings(qe_dataset *data) {
  for (size_t i = 0; i < data->encoding_count; i++) {
    encoding_free(&data->encodings[i]->encoding);
    memory_free(data->encodings[i]);
  }
  data->encoding_count = 0;
}

void dataset_drop_columns(qe_dataset *data, size_t kept) {
  while (data->column_count > kept) {
    struct column *column = &data->columns[--data->column_count];
    memory_free(column->name);
    memory_free(column->values);
  }
}

void dataset_clear(qe_dataset *data) {
  drop_encodings(data);
  dataset_drop_columns(data, 0);
  memory_free(data->encodings);
  memory_free(data->columns);
  memory_free(data->rows);
  memory_free(data->bytes);
  memory_free(data->logprobs);
  *data = (qe_dataset){ 0 };
}

void qe_dataset_free(qe_dataset *data) {
  if (!data)
    return;
  dataset_clear(data);
  memory_free(data);
}

const char *qe_dataset_error(const qe_dataset *data) {
  return data->error.text;
}

struct error *dataset_error_of(qe_dataset *data) {
  return &data->error;
}

/* ---- columns ---- */

static struct column *find_column(const qe_dataset *data, qe_text name) {
  for (size_t i = 0; i < data->column_count; i++)
    if (strlen(data->columns[i].name) == name.size && memcmp(data->columns[i].name, name.data, name.size) == 0)
      return &data->columns[i];
  return NULL;
}

static void fill(double *values, size_t from, size_t to, double value) {
  for (size_t i = from; i < to; i++)
    values[i] = value;
}

static bool reserve_values(struct column *column, size_t rows) {
  return memory_reserve((void **)&column->values, &column->room, rows > 0 ? rows : 1, sizeof *column->values);
}

double *dataset_make_column(qe_dataset *data, qe_text name, struct error *error) {
  struct column *found = find_column(data, name);
  if (found)
    return found->values;
  struct column column = { .name = memory_new(name.size + 1, 1) };
  if (!column.name || !reserve_values(&column, data->count) ||
      !memory_reserve((void **)&data->columns, &data->column_room, data->column_count + 1, sizeof *data->columns)) {
    memory_free(column.name);
    memory_free(column.values);
    error_memory(error);
    return NULL;
  }
  memcpy(column.name, name.data, name.size);
  fill(column.values, 0, data->count, NAN);
  data->columns[data->column_count++] = column;
  return column.values;
}

size_t qe_dataset_columns(const qe_dataset *data) {
  return data->column_count;
}

const char *qe_dataset_column_name(const qe_dataset *data, size_t column) {
  return column < data->column_count ? data->columns[column].name : NULL;
}

const double *qe_dataset_column(const qe_dataset *data, const char *name) {
  const struct column *column = find_column(data, qe_string(name));
  return column ? column->values : NULL;
}

int qe_dataset_set_column(qe_dataset *data, const char *name, const double *values) {
  error_clear(&data->error);
  if (!*name)
    return error_set(&data->error, QE_USE, "set column: a column needs a name");
  double *column = dataset_make_column(data, qe_string(name), &data->error);
  if (!column)
    return data->error.status;
  if (data->count > 0)
    memmove(column, values, data->count * sizeof *values); /* it may be the very column */
  return QE_OK;
}

/* ---- rows ---- */

/* Room for so many more; false when memory is out. */
static bool reserve_rows(qe_dataset *data, size_t rows, size_t bytes, size_t logprobs) {
  size_t row_need, byte_need, logprob_need;
  return !__builtin_add_overflow(data->count, rows, &row_need) &&
         !__builtin_add_overflow(data->byte_count, bytes, &byte_need) &&
         !__builtin_add_overflow(data->logprob_count, logprobs, &logprob_need) &&
         memory_reserve((void **)&data->rows, &data->row_room, row_need, sizeof *data->rows) &&
         memory_reserve((void **)&data->bytes, &data->byte_room, byte_need, 1) &&
         memory_reserve((void **)&data->logprobs, &data->logprob_room, logprob_need, sizeof *data->logprobs);
}

static size_t add_bytes(qe_dataset *data, const char *bytes, size_t size) {
  const size_t start = data->byte_count;
  if (size > 0)
    memcpy(data->bytes + start, bytes, size);
  data->byte_count += size;
  return start;
}

static size_t add_logprobs(qe_dataset *data, const float *logprobs, size_t count) {
  const size_t start = data->logprob_count;
  if (count > 0)
    memcpy(data->logprobs + start, logprobs, count * sizeof *logprobs);
  data->logprob_count += count;
  return start;
}

int dataset_add_row(qe_dataset *data, const qe_pair *pair, struct error *error) {
  size_t bytes;
  if (__builtin_add_overflow(pair->source.size, pair->translation.size, &bytes) ||
      !reserve_rows(data, 1, bytes, pair->logprob_count))
    return error_memory(error);
  data->rows[data->count++] = (struct row){
    .source = add_bytes(data, pair->source.data, pair->source.size),
    .source_size = pair->source.size,
    .translation = add_bytes(data, pair->translation.data, pair->translation.size),
    .translation_size = pair->translation.size,
    .logprob = add_logprobs(data, pair->logprobs, pair->logprob_count),
    .logprob_count = pair->logprob_count,
  };
  return QE_OK;
}

/* All columns of both, with room for the rows of both. */
static bool reserve_columns(qe_dataset *data, const qe_dataset *added, struct error *error) {
  for (size_t i = 0; i < added->column_count; i++)
    if (!dataset_make_column(data, qe_string(added->columns[i].name), error))
      return false;
  for (size_t i = 0; i < data->column_count; i++)
    if (!reserve_values(&data->columns[i], data->count + added->count)) {
      error_memory(error);
      return false;
    }
  return true;
}

static void join_columns(qe_dataset *data, const qe_dataset *added) {
  for (size_t i = 0; i < data->column_count; i++) {
    const struct column *column = &data->columns[i], *other = find_column(added, qe_string(column->name));
    if (!other)
      fill(column->values, data->count, data->count + added->count, NAN);
    else if (added->count > 0)
      memcpy(column->values + data->count, other->values, added->count * sizeof *other->values);
  }
}

/* Sizes of `added` are read before they change and its pools after they may have moved: it may be `data` itself. */
static void join_rows(qe_dataset *data, const qe_dataset *added) {
  const size_t count = added->count, bytes = added->byte_count, logprobs = added->logprob_count;
  const size_t byte_start = add_bytes(data, added->bytes, bytes);
  const size_t logprob_start = add_logprobs(data, added->logprobs, logprobs);
  for (size_t i = 0; i < count; i++) {
    struct row row = added->rows[i];
    row.source += byte_start;
    row.translation += byte_start;
    row.tokens += row.tag_count > 0 ? byte_start : 0;
    row.logprob += logprob_start;
    data->rows[data->count + i] = row;
  }
  data->count += count;
}

int dataset_join(qe_dataset *data, const qe_dataset *added, struct error *error) {
  const size_t columns = data->column_count;
  if (added->count > UINT32_MAX - data->count)
    return error_set(error, QE_FORMAT, "%zu and %zu rows, but a dataset holds at most %lu", data->count,
                     added->count, (unsigned long)UINT32_MAX);
  if (!reserve_rows(data, added->count, added->byte_count, added->logprob_count))
    return error_memory(error);
  if (!reserve_columns(data, added, error)) {
    dataset_drop_columns(data, columns);
    return error->status;
  }
  if (added->count > 0)
    drop_encodings(data);
  join_columns(data, added);
  join_rows(data, added);
  return QE_OK;
}

int qe_dataset_append(qe_dataset *data, const qe_pair *pair) {
  qe_dataset one = { 0 };
  error_clear(&data->error);
  int status = dataset_add_row(&one, pair, &data->error);
  if (status == QE_OK)
    status = dataset_join(data, &one, &data->error);
  dataset_clear(&one);
  return status;
}

int qe_dataset_append_all(qe_dataset *data, const qe_dataset *other) {
  error_clear(&data->error);
  return dataset_join(data, other, &data->error);
}

size_t qe_dataset_rows(const qe_dataset *data) {
  return data->count;
}

qe_pair qe_dataset_pair(const qe_dataset *data, size_t number) {
  if (number >= data->count)
    return (qe_pair){ { "", 0 }, { "", 0 }, NULL, 0 };
  const struct row *row = &data->rows[number];
  const char *bytes = data->bytes ? data->bytes : "";
  return (qe_pair){
    .source = { bytes + row->source, row->source_size },
    .translation = { bytes + row->translation, row->translation_size },
    .logprobs = row->logprob_count > 0 ? data->logprobs + row->logprob : NULL,
    .logprob_count = row->logprob_count,
  };
}

/* ---- fingerprint ----
** "qestrel dataset 1\n" | u64 rows | per row: source, translation (u64 size, bytes), u64 count of
** log-probabilities, each as the bits of its float | u64 columns | per column, in the order of the bytes of their
** names: name (u64 size, bytes), each value as the bits of its double | where any row has tags, per row: tokens (u64 size,
** bytes), tags (u64 size, bytes); all little-endian. Every NaN counts as one.
*/
static void hash_number(crypto_hash_sha256_state *hash, uint64_t number, size_t size) {
  unsigned char bytes[8];
  for (size_t i = 0; i < size; i++)
    bytes[i] = (unsigned char)(number >> (8 * i));
  crypto_hash_sha256_update(hash, bytes, size);
}

static void hash_text(crypto_hash_sha256_state *hash, qe_text text) {
  hash_number(hash, text.size, 8);
  crypto_hash_sha256_update(hash, (const unsigned char *)text.data, text.size);
}

static void hash_pair(crypto_hash_sha256_state *hash, const qe_pair *pair) {
  hash_text(hash, pair->source);
  hash_text(hash, pair->translation);
  hash_number(hash, pair->logprob_count, 8);
  for (size_t i = 0; i < pair->logprob_count; i++) {
    uint32_t bits;
    memcpy(&bits, &pair->logprobs[i], sizeof bits);
    hash_number(hash, isnan(pair->logprobs[i]) ? 0x7FC00000u : bits, 4);
  }
}

static void hash_column(crypto_hash_sha256_state *hash, const struct column *column, size_t rows) {
  hash_text(hash, qe_string(column->name));
  for (size_t i = 0; i < rows; i++) {
    uint64_t bits;
    memcpy(&bits, &column->values[i], sizeof bits);
    hash_number(hash, isnan(column->values[i]) ? 0x7FF8000000000000u : bits, 8);
  }
}

static void hash_tags(crypto_hash_sha256_state *hash, const qe_dataset *data) {
  bool any = false;
  for (size_t i = 0; i < data->count; i++)
    any |= data->rows[i].tag_count > 0;
  for (size_t i = 0; any && i < data->count; i++) {
    const struct row *row = &data->rows[i];
    hash_text(hash, (qe_text){ data->bytes + row->tokens, row->tokens_size });
    hash_text(hash, (qe_text){ data->bytes + row->tokens + row->tokens_size, row->tag_count });
  }
}

/* The column whose name is the least of those after `name` (NULL: of all). */
static const struct column *next_column(const qe_dataset *data, const char *name) {
  const struct column *next = NULL;
  for (size_t i = 0; i < data->column_count; i++) {
    const struct column *column = &data->columns[i];
    if ((!name || strcmp(column->name, name) > 0) && (!next || strcmp(column->name, next->name) < 0))
      next = column;
  }
  return next;
}

int qe_dataset_sha256(const qe_dataset *data, char hex[65]) {
  crypto_hash_sha256_state hash;
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_init(&hash);
  crypto_hash_sha256_update(&hash, (const unsigned char *)"qestrel dataset 1\n", 18);
  hash_number(&hash, data->count, 8);
  for (size_t row = 0; row < data->count; row++) {
    qe_pair pair = qe_dataset_pair(data, row);
    hash_pair(&hash, &pair);
  }
  hash_number(&hash, data->column_count, 8);
  for (const struct column *column = NULL; (column = next_column(data, column ? column->name : NULL));)
    hash_column(&hash, column, data->count);
  hash_tags(&hash, data);
  crypto_hash_sha256_final(&hash, digest);
  sodium_bin2hex(hex, 65, digest, sizeof digest);
  return QE_OK;
}

/* ---- encodings ---- */

static int encode_rows(const qe_dataset *data, struct kept_encoding *kept, const struct vocabulary *vocabulary) {
  struct encoding_work work = { 0 };
  int status = QE_OK;
  for (size_t row = 0; row < data->count && status == QE_OK; row++) {
    qe_pair pair = qe_dataset_pair(data, row);
    status = encoding_add(&kept->encoding, &work, vocabulary,
                          kept->side == QE_SOURCE ? pair.source : pair.translation, kept->max_words);
  }
  encoding_work_free(&work);
  return status;
}

static struct kept_encoding *keep_encoding(qe_dataset *data, const struct kept_encoding *key,
                                           const struct vocabulary *vocabulary) {
  struct kept_encoding *kept = memory_new(1, sizeof *kept);
  if (!kept || !memory_reserve((void **)&data->encodings, &data->encoding_room, data->encoding_count + 1,
                               sizeof *data->encodings)) {
    memory_free(kept);
    error_memory(&data->error);
    return NULL;
  }
  *kept = *key;
  if (encode_rows(data, kept, vocabulary) != QE_OK) {
    encoding_free(&kept->encoding);
    memory_free(kept);
    error_memory(&data->error);
    return NULL;
  }
  return data->encodings[data->encoding_count++] = kept;
}

const struct encoding *dataset_encoding(qe_dataset *data, qe_side side, const struct vocabulary *vocabulary,
                                        size_t max_words) {
  const struct kept_encoding key = { .side = side,
                                     .fingerprint = vocabulary_fingerprint(vocabulary, max_words),
                                     .max_words = max_words };
  for (size_t i = 0; i < data->encoding_count; i++) {
    struct kept_encoding *kept = data->encodings[i];
    if (kept->side == side && kept->fingerprint == key.fingerprint && kept->max_words == max_words)
      return &kept->encoding;
  }
  struct kept_encoding *kept = keep_encoding(data, &key, vocabulary);
  return kept ? &kept->encoding : NULL;
}
