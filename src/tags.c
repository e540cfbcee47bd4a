/*
** tags.c - what people marked in translations: per row its tokens, and whether each is BAD. They are read from two files
** and lie in the dataset's pool of bytes. A model cuts translations into words of its own, so tags are carried over by
** characters: a word is BAD if it shares one with a BAD token. Where tokens and words do not spell the same text nothing
** is known of the row.
*/
#include "dataset.h"
#include "model.h"
#include "table.h"

/* ---- lines ---- */

static size_t count_tokens(qe_text line) {
  size_t count = 0;
  for (qe_text token; text_next_token(&line, &token);)
    count++;
  return count;
}

static bool is_tag(qe_text token, const char *tag) {
  return token.size == strlen(tag) && memcmp(token.data, tag, token.size) == 0;
}

/* The two files, and what of them is being read. */
struct reading {
  const char *tokens_path, *tags_path;
  struct lines tokens, tags;
  qe_dataset *data;
  size_t row;
  struct error *error;
};

/* A tag for each token, or also one for each gap, which come first and last. */
static int store_tags(struct reading *reading, qe_text tokens, qe_text tags) {
  const size_t words = count_tokens(tokens), found = count_tokens(tags), gaps = found > words;
  struct row *row = &reading->data->rows[reading->row];
  char *bytes = reading->data->bytes + reading->data->byte_count;
  size_t number = 0, count = 0;
  if (found != words && found != 2 * words + 1)
    return error_set(reading->error, QE_FORMAT, "%s:%zu: %zu tags, expected %zu or %zu: %s has %zu tokens there",
                     reading->tags_path, reading->tags.number, found, words, 2 * words + 1, reading->tokens_path,
                     words);
  memcpy(bytes, tokens.data, tokens.size);
  for (qe_text tag; text_next_token(&tags, &tag); number++) {
    const bool bad = is_tag(tag, "BAD");
    if (!bad && !is_tag(tag, "OK"))
      return error_set(reading->error, QE_FORMAT, "%s:%zu: tag \"%.*s\", expected OK or BAD", reading->tags_path,
                       reading->tags.number, table_clip(tag), tag.data);
    if (!gaps || number % 2 == 1)
      bytes[tokens.size + count++] = bad;
  }
  row->tokens = reading->data->byte_count;
  row->tokens_size = tokens.size;
  row->tag_count = words;
  reading->data->byte_count += tokens.size + words;
  return QE_OK;
}

static int read_rows(struct reading *reading, size_t first) {
  qe_text tokens, tags;
  size_t rows = 0;
  int status = QE_OK;
  while (status == QE_OK && lines_next(&reading->tokens, &tokens) && lines_next(&reading->tags, &tags)) {
    reading->row = first + rows++;
    if (reading->row >= reading->data->count)
      break;
    status = store_tags(reading, tokens, tags);
  }
  const size_t expected = reading->data->count - first;
  const bool same =
      rows == expected && !lines_next(&reading->tokens, &tokens) && !lines_next(&reading->tags, &tags);
  if (status == QE_OK && !same)
    status = error_set(reading->error, QE_FORMAT, "%s and %s do not have %zu lines each, one for each row",
                       reading->tokens_path, reading->tags_path, expected);
  return status;
}

static void forget(qe_dataset *data, size_t first) {
  for (size_t row = first; row < data->count; row++)
    data->rows[row].tokens = data->rows[row].tokens_size = data->rows[row].tag_count = 0;
}

int tags_parse(qe_dataset *data, const struct tagged_text *text, size_t first, struct error *error) {
  struct reading reading = { .tokens_path = text->tokens_path,
                             .tags_path = text->tags_path,
                             .tokens = lines_of(text->tokens),
                             .tags = lines_of(text->tags),
                             .data = data,
                             .error = error };
  size_t need; /* a token has a byte at least, so there are no more tags */
  if (__builtin_add_overflow(data->byte_count, text->tokens.size, &need) ||
      __builtin_add_overflow(need, text->tokens.size, &need) ||
      !memory_reserve((void **)&data->bytes, &data->byte_room, need, 1))
    return error_memory(error);
  const int status = read_rows(&reading, first);
  if (status != QE_OK)
    forget(data, first);
  return status;
}

int qe_dataset_read_tags(qe_dataset *data, const char *tokens_path, const char *tags_path, size_t first) {
  char *tokens = NULL, *tags = NULL;
  struct tagged_text text = { .tokens_path = tokens_path, .tags_path = tags_path };
  error_clear(&data->error);
  if (first > data->count)
    return error_set(&data->error, QE_USE, "%s: the first row is to be number %zu, but there are %zu", tokens_path,
                     first, data->count);
  int status = table_load(tokens_path, &tokens, &text.tokens.size, &data->error);
  if (status == QE_OK)
    status = table_load(tags_path, &tags, &text.tags.size, &data->error);
  text.tokens.data = tokens;
  text.tags.data = tags;
  if (status == QE_OK)
    status = tags_parse(data, &text, first, &data->error);
  memory_free(tokens);
  memory_free(tags);
  return status;
}

/* ---- carried over to a model's words ---- */

/* What two columns of a batch are made of. */
struct carrying {
  struct words words, token;
  qe_real *values; /* per word: 1 if BAD, 1 if known */
};

/* The words whose bytes are among these of the translation's. */
static void mark(struct carrying *carrying, size_t begin, size_t end, qe_real bad) {
  const struct words *words = &carrying->words;
  for (size_t i = 0; i < words->count; i++)
    if (words->offset[i] < end && words->offset[i + 1] > begin && bad > 0)
      carrying->values[2 * i] = bad;
}

/* How many bytes of the words a token stands for; SIZE_MAX: it spells something else. */
static size_t match(const struct carrying *carrying, size_t at) {
  const struct words *words = &carrying->words, *token = &carrying->token;
  const size_t size = token->offset[token->count], left = words->offset[words->count] - at;
  const size_t shared = size < left ? size : left;
  if ((size > left && !words->truncated) || (shared > 0 && memcmp(words->bytes + at, token->bytes, shared) != 0))
    return SIZE_MAX;
  return shared;
}

static int carry_row(const qe_dataset *data, size_t number, struct carrying *carrying, bool *spelled) {
  const struct row *row = &data->rows[number];
  qe_text tokens = { data->bytes + row->tokens, row->tokens_size };
  const char *bad = data->bytes + row->tokens + row->tokens_size;
  size_t at = 0;
  for (qe_text token; text_next_token(&tokens, &token); bad++) {
    if (words_split(&carrying->token, token, SIZE_MAX) != QE_OK)
      return QE_MEMORY;
    const size_t size = match(carrying, at);
    if (size == SIZE_MAX)
      return QE_OK;
    mark(carrying, at, at + size, *bad);
    at += size;
  }
  *spelled = at == carrying->words.offset[carrying->words.count];
  return QE_OK;
}

static int fill_row(const qe_dataset *data, size_t number, size_t most, struct carrying *carrying) {
  bool spelled = false;
  int status = words_split(&carrying->words, qe_dataset_pair(data, number).translation, most);
  if (status == QE_OK && data->rows[number].tag_count > 0)
    status = carry_row(data, number, carrying, &spelled);
  for (size_t i = 0; status == QE_OK && i < carrying->words.count; i++) {
    carrying->values[2 * i] *= spelled;
    carrying->values[2 * i + 1] = spelled;
  }
  return status;
}

qe_tensor qe_batch_tags(qe_tape *tape, qe_batch *batch, const qe_model *model) {
  qe_dataset *data = batch_dataset(batch);
  const uint32_t *rows = qe_batch_rows(batch);
  qe_segments words;
  struct carrying carrying = { 0 };
  if (!model->params || model->vocabulary[QE_TARGET].kind == VOCABULARY_PIECES)
    return tape_fail(tape, QE_USE, "batch tags: the model does not read words");
  if (qe_batch_segments(batch, model, QE_TARGET, &words) != QE_OK)
    return tape_fail(tape, data->error.status, "batch tags: %s", data->error.text);
  const size_t count = words.offset[words.count];
  qe_real *values = tape_alloc(tape, 2 * count, sizeof *values);
  int status = values ? QE_OK : QE_MEMORY;
  if (values)
    memset(values, 0, 2 * count * sizeof *values);
  for (size_t i = 0; status == QE_OK && i < words.count; i++) {
    carrying.values = values + 2 * (size_t)words.offset[i];
    status = fill_row(data, rows[i], model->configuration.max_tokens, &carrying);
  }
  words_free(&carrying.words);
  words_free(&carrying.token);
  if (status != QE_OK)
    return tape_fail(tape, status, "batch tags: out of memory");
  return qe_constant(tape, count, 2, values);
}
