/*
** weights.c - parameters as the archive member weights.bin. Writer and reader both derive the place of every matrix from
** the layout of the parameters and the type of storage; the reader refuses a header that says anything else, so the
** member is covered exactly: header, zeros up to the next multiple of 64, matrix, and so on to the last byte. Only bytes
** that the writer could have written are accepted (values finite, int8 rows scaled to their largest value), hence what
** was read is written again as the same bytes. The file knows the format, not what the matrices are for.
*/
#include "bytes.h"
#include "int4.h"
#include "transcendental.h"

#include <float.h>
#include <math.h>

enum type { TYPE_F32, TYPE_BF16, TYPE_INT8, TYPE_INT4, TYPES };
static const char *const type_names[TYPES] = { "f32", "bf16", "int8", "int4" };
static const size_t type_sizes[TYPES] = { 4, 2, 1, 0 };

/* Tables are what is stored by rows (sparse). Of other matrices, a dense one is worth cutting into lines of int4;
** vectors, of one row, are f32 always; what is left is small. */
enum kind { TABLE, DENSE, SMALL, VECTOR, KINDS };
struct storage {
  const char *name;
  enum type type[KINDS];
};
static const struct storage storages[] = { { "f32", { TYPE_F32, TYPE_F32, TYPE_F32, TYPE_F32 } },
                                           { "bf16", { TYPE_BF16, TYPE_F32, TYPE_F32, TYPE_F32 } },
                                           { "int8", { TYPE_INT8, TYPE_F32, TYPE_F32, TYPE_F32 } },
                                           { "int8-all", { TYPE_INT8, TYPE_INT8, TYPE_INT8, TYPE_F32 } },
                                           { "int4", { TYPE_INT4, TYPE_INT4, TYPE_INT8, TYPE_F32 } } };
enum { STORAGES = sizeof storages / sizeof *storages };
static const char known_storages[] = "f32, bf16, int8, int8-all, int4";

enum { DENSE_LEAST = 16 }; /* rows and columns */
enum { VERSION = 1, START = 16, ENTRY = 26, ALIGNMENT = 64, MOST = 127, LONGEST_NAME = 255 };

static const struct storage *storage_of(const char *name) { /* NULL: unknown */
  for (size_t i = 0; i < STORAGES; i++)
    if (strcmp(name, storages[i].name) == 0)
      return &storages[i];
  return NULL;
}

const char *weights_storage(const char *name) {
  const struct storage *storage = storage_of(name);
  return storage ? storage->name : NULL;
}

static enum kind kind_of(const struct layout_entry *entry) {
  return entry->sparse                                              ? TABLE
         : entry->rows >= DENSE_LEAST && entry->cols >= DENSE_LEAST ? DENSE
         : entry->rows > 1                                          ? SMALL
                                                                    : VECTOR;
}

static enum type type_in(const struct storage *storage, const struct layout_entry *entry) {
  return storage->type[kind_of(entry)];
}

/* The first storage with these types; -1: there is no matrix of that kind. NULL: none has. */
static const struct storage *first_that_fits(const int type[KINDS]) {
  for (size_t i = 0; i < STORAGES; i++) {
    bool fits = true;
    for (size_t kind = 0; kind < KINDS; kind++)
      fits &= type[kind] < 0 || storages[i].type[kind] == (enum type)type[kind];
    if (fits)
      return &storages[i];
  }
  return NULL;
}

const char *weights_read_as(const qe_params *params, const char *name) {
  const struct storage *storage = storage_of(name);
  int type[KINDS] = { -1, -1, -1, -1 };
  for (size_t i = 0; i < qe_params_count(params); i++)
    type[kind_of(params_entry(params, i))] = (int)type_in(storage, params_entry(params, i));
  return first_that_fits(type)->name;
}

const char *weights_storages(void) {
  return known_storages;
}

/* ---- numbers as bytes ---- */

/* 16 significant bits times at most 127 is exact in 24. Cut off rather than rounded, so that the largest value never
** grows beyond an f32. Rows whose scale would lose bits because it is subnormal become zero. */
static float int8_scale(const qe_real *row, size_t cols) {
  float largest = 0;
  for (size_t i = 0; i < cols; i++)
    largest = fmaxf(largest, fabsf((float)row[i]));
  const float scale = float_of(float_bits((float)((double)largest / MOST)) & 0xffffff00u);
  return scale < FLT_MIN ? 0 : scale;
}

static int int8_of(qe_real value, float scale) {
  if (scale == 0)
    return 0;
  const double steps = (double)(float)value / (double)scale;
  const int nearest = (int)(steps < 0 ? steps - 0.5 : steps + 0.5);
  return nearest > MOST ? MOST : nearest < -MOST ? -MOST : nearest;
}

/* ---- layout ---- */

struct place {
  enum type type;
  size_t offset, size;
};

static bool matrix_size(const struct layout_entry *entry, enum type type, size_t *size) {
  const size_t row_bytes = type == TYPE_INT8 ? sizeof(float) : 0;
  if (type == TYPE_INT4)
    return int4_size(entry, size);
  return !__builtin_mul_overflow(entry->cols, type_sizes[type], size) &&
         !__builtin_add_overflow(*size, row_bytes, size) && !__builtin_mul_overflow(*size, entry->rows, size);
}

/* Where a matrix lies that follows `end` bytes. False: sizes overflow. */
static bool place_next(struct place *place, const struct layout_entry *entry, enum type type, size_t end) {
  place->type = type;
  size_t next;
  if (!matrix_size(entry, type, &place->size) || __builtin_add_overflow(end, (size_t)ALIGNMENT - 1, &place->offset))
    return false;
  place->offset -= place->offset % ALIGNMENT;
  return !__builtin_add_overflow(place->offset, place->size, &next) && entry->rows <= UINT32_MAX &&
         entry->cols <= UINT32_MAX;
}

static size_t header_size(const qe_params *params) {
  size_t size = START;
  for (size_t i = 0; i < qe_params_count(params); i++)
    size += ENTRY + strlen(params_entry(params, i)->name);
  return size;
}

/* Bytes of the whole member. */
static int total_size(const qe_params *params, const struct storage *storage, size_t *size, struct error *error) {
  *size = header_size(params);
  for (size_t i = 0; i < qe_params_count(params); i++) {
    const struct layout_entry *entry = params_entry(params, i);
    struct place place = { 0 };
    if (strlen(entry->name) > LONGEST_NAME || !place_next(&place, entry, type_in(storage, entry), *size))
      return error_set(error, QE_USE, "weights.bin: matrix %.60s (%zu x %zu) is too large for the format",
                       entry->name, entry->rows, entry->cols);
    *size = place.offset + place.size;
  }
  return QE_OK;
}

/* qe_params_matrix gives out something to write to; here it is only read. */
static const qe_real *values_of(const qe_params *params, size_t number) {
  return qe_params_matrix((qe_params *)(uintptr_t)params, number);
}

/* ---- writing ---- */

static size_t write_entry(unsigned char *out, const struct layout_entry *entry, const struct place *place) {
  const size_t length = strlen(entry->name);
  out[0] = (unsigned char)length;
  memcpy(out + 1, entry->name, length);
  out += 1 + length;
  out[0] = (unsigned char)place->type;
  bytes_store(out + 1, entry->rows, 4);
  bytes_store(out + 5, entry->cols, 4);
  bytes_store(out + 9, place->offset, 8);
  bytes_store(out + 17, place->size, 8);
  return ENTRY + length;
}

static int check_values(const struct layout_entry *entry, const qe_real *values, struct error *error) {
  for (size_t i = 0; i < entry->rows * entry->cols; i++)
    if (!isfinite((float)values[i]))
      return error_set(error, QE_FORMAT, "weights.bin: matrix %s, row %zu, column %zu: %g is not finite",
                       entry->name, i / entry->cols + 1, i % entry->cols + 1, (double)values[i]);
  return QE_OK;
}

static void write_int8(unsigned char *out, const struct layout_entry *entry, const qe_real *values) {
  unsigned char *steps = out + entry->rows * sizeof(float);
  for (size_t row = 0; row < entry->rows; row++, values += entry->cols) {
    const float scale = int8_scale(values, entry->cols);
    bytes_store(out + row * sizeof(float), float_bits(scale), 4);
    for (size_t i = 0; i < entry->cols; i++)
      *steps++ = (unsigned char)int8_of(values[i], scale);
  }
}

static void write_matrix(unsigned char *out, enum type type, const struct layout_entry *entry,
                         const qe_real *values) {
  const size_t count = entry->rows * entry->cols;
  if (type == TYPE_INT8)
    write_int8(out, entry, values);
  else if (type == TYPE_INT4)
    int4_write(out, entry, values);
  else if (type == TYPE_BF16)
    for (size_t i = 0; i < count; i++)
      bytes_store(out + 2 * i, bf16_of((float)values[i]), 2);
  else
    for (size_t i = 0; i < count; i++)
      bytes_store(out + 4 * i, float_bits((float)values[i]), 4);
}

static int write_all(const qe_params *params, const struct storage *storage, unsigned char *out,
                     struct error *error) {
  const size_t count = qe_params_count(params);
  size_t position = START, end = header_size(params);
  memcpy(out, "QEWT", 4);
  bytes_store(out + 4, VERSION, 4);
  bytes_store(out + 8, count, 4);
  bytes_store(out + 12, end, 4);
  for (size_t i = 0; i < count; i++) {
    const struct layout_entry *entry = params_entry(params, i);
    const qe_real *values = values_of(params, i);
    struct place place = { 0 };
    if (!place_next(&place, entry, type_in(storage, entry), end) || check_values(entry, values, error) != QE_OK)
      return error->status;
    position += write_entry(out + position, entry, &place);
    write_matrix(out + place.offset, place.type, entry, values);
    end = place.offset + place.size;
  }
  return QE_OK;
}

int weights_write(const qe_params *params, const char *name, char **bytes, size_t *size, struct error *error) {
  const struct storage *storage = storage_of(name);
  *bytes = NULL;
  if (!storage)
    return error_set(error, QE_USE, "weights.bin: storage \"%.20s\" is none of %s", name, known_storages);
  if (total_size(params, storage, size, error) != QE_OK)
    return error->status;
  unsigned char *out = memory_new(*size, 1);
  if (!out)
    return error_memory(error);
  int status = write_all(params, storage, out, error);
  if (status != QE_OK) {
    memory_free(out);
    return status;
  }
  *bytes = (char *)out;
  return QE_OK;
}

/* ---- rounding ---- */

static void round_int8(const struct layout_entry *entry, qe_real *values) {
  for (size_t row = 0; row < entry->rows; row++, values += entry->cols) {
    const float scale = int8_scale(values, entry->cols);
    for (size_t i = 0; i < entry->cols; i++)
      values[i] = (qe_real)(scale * (float)int8_of(values[i], scale));
  }
}

static void round_matrix(enum type type, const struct layout_entry *entry, qe_real *values) {
  const size_t count = entry->rows * entry->cols;
  if (type == TYPE_INT8)
    round_int8(entry, values);
  else if (type == TYPE_INT4)
    int4_round(entry, values);
  else if (type == TYPE_BF16)
    for (size_t i = 0; i < count; i++)
      values[i] = (qe_real)float_of_bf16(bf16_of((float)values[i]));
  else
    for (size_t i = 0; i < count; i++)
      values[i] = (qe_real)(float)values[i];
}

/* A matrix with a value that is not finite stays as it is: weights_write will name it. */
void weights_round(qe_params *params, const char *name) {
  const struct storage *storage = storage_of(name);
  for (size_t i = 0; storage && i < qe_params_count(params); i++) {
    const struct layout_entry *entry = params_entry(params, i);
    qe_real *values = qe_params_matrix(params, i);
    struct error ignored = { 0 };
    if (check_values(entry, values, &ignored) == QE_OK)
      round_matrix(type_in(storage, entry), entry, values);
  }
}

/* ---- reading ---- */

struct reader {
  const unsigned char *bytes;
  size_t size, position, end; /* next byte of the header; end of the matrix before */
  int type[KINDS];            /* -1 until a matrix has told */
  struct error *error;
};

static int check_start(const struct reader *reader, const qe_params *params) {
  const unsigned char *bytes = reader->bytes;
  if (reader->size < START || memcmp(bytes, "QEWT", 4) != 0)
    return error_set(reader->error, QE_FORMAT, "weights.bin: does not begin with QEWT and 12 more bytes");
  if (bytes_load(bytes + 4, 4) != VERSION)
    return error_set(reader->error, QE_FORMAT, "weights.bin: version %u, expected %d",
                     (unsigned)bytes_load(bytes + 4, 4), VERSION);
  if (bytes_load(bytes + 8, 4) != qe_params_count(params))
    return error_set(reader->error, QE_FORMAT, "weights.bin: %u matrices, expected %zu",
                     (unsigned)bytes_load(bytes + 8, 4), qe_params_count(params));
  if (bytes_load(bytes + 12, 4) != header_size(params) || reader->size < header_size(params))
    return error_set(reader->error, QE_FORMAT, "weights.bin: a header of %u bytes in %zu, expected %zu",
                     (unsigned)bytes_load(bytes + 12, 4), reader->size, header_size(params));
  return QE_OK;
}

/* The first matrix of a kind tells how all of it are stored. */
static int check_type(struct reader *reader, const struct layout_entry *entry, unsigned type) {
  int *told = &reader->type[kind_of(entry)];
  if (*told < 0 && type < TYPES)
    *told = (int)type;
  if (type >= TYPES || (int)type != *told)
    return error_set(reader->error, QE_FORMAT, "weights.bin: matrix %s: type %u (%s), expected %s", entry->name,
                     type, type < TYPES ? type_names[type] : "unknown",
                     *told >= 0 ? type_names[*told] : "f32, bf16, int8 or int4");
  return QE_OK;
}

static const char *type_read(const struct reader *reader, enum kind kind) {
  return reader->type[kind] < 0 ? "absent" : type_names[reader->type[kind]];
}

/* The header is as long as all entries of the right names, so an entry that starts with its right name ends in it. */
static int read_entry(struct reader *reader, const struct layout_entry *entry, struct place *place) {
  const size_t length = strlen(entry->name);
  const unsigned char *found = reader->bytes + reader->position;
  if (found[0] != length || memcmp(found + 1, entry->name, length) != 0)
    return error_set(reader->error, QE_FORMAT, "weights.bin: byte %zu: another matrix than %s", reader->position,
                     entry->name);
  found += 1 + length;
  if (check_type(reader, entry, found[0]) != QE_OK)
    return reader->error->status;
  if (bytes_load(found + 1, 4) != entry->rows || bytes_load(found + 5, 4) != entry->cols)
    return error_set(reader->error, QE_FORMAT, "weights.bin: matrix %s: %u x %u, expected %zu x %zu", entry->name,
                     (unsigned)bytes_load(found + 1, 4), (unsigned)bytes_load(found + 5, 4), entry->rows,
                     entry->cols);
  if (!place_next(place, entry, (enum type)found[0], reader->end))
    return error_set(reader->error, QE_FORMAT, "weights.bin: matrix %s: too large", entry->name);
  if (bytes_load(found + 9, 8) != place->offset || bytes_load(found + 17, 8) != place->size)
    return error_set(reader->error, QE_FORMAT,
                     "weights.bin: matrix %s: %ju bytes at %ju, expected %zu bytes at %zu", entry->name,
                     (uintmax_t)bytes_load(found + 17, 8), (uintmax_t)bytes_load(found + 9, 8), place->size,
                     place->offset);
  reader->position += ENTRY + length;
  return QE_OK;
}

/* Zeros between `from` and the matrix, and the matrix within the member. */
static int check_room(const struct reader *reader, const struct layout_entry *entry, const struct place *place) {
  if (place->offset + place->size > reader->size)
    return error_set(reader->error, QE_FORMAT, "weights.bin: matrix %s: cut off, %zu bytes of at least %zu",
                     entry->name, reader->size, place->offset + place->size);
  for (size_t i = reader->end; i < place->offset; i++)
    if (reader->bytes[i] != 0)
      return error_set(reader->error, QE_FORMAT, "weights.bin: byte %zu, before matrix %s, is %u, expected 0", i,
                       entry->name, (unsigned)reader->bytes[i]);
  return QE_OK;
}

/* What the writer makes of a row: scale 0 and zeros, or a normal scale of 16 bits and a value of +-127. */
static bool int8_row_is_valid(uint32_t scale, const unsigned char *steps, size_t cols) {
  int largest = 0;
  for (size_t i = 0; i < cols; i++) {
    const int step = steps[i] < 128 ? steps[i] : 256 - steps[i];
    largest = step > largest ? step : largest;
  }
  if (scale == 0)
    return largest == 0;
  return (scale & 0xff) == 0 && scale >= 0x00800000 && isfinite(MOST * float_of(scale)) && scale < 0x7f800000 &&
         largest == MOST;
}

static int read_int8(const unsigned char *bytes, const struct layout_entry *entry, qe_real *values,
                     struct error *error) {
  const unsigned char *steps = bytes + entry->rows * sizeof(float);
  for (size_t row = 0; row < entry->rows; row++) {
    const uint32_t scale = (uint32_t)bytes_load(bytes + row * sizeof(float), 4);
    if (!int8_row_is_valid(scale, steps, entry->cols))
      return error_set(error, QE_FORMAT,
                       "weights.bin: matrix %s, row %zu: scale %g does not make its largest value 127 steps",
                       entry->name, row + 1, (double)float_of(scale));
    for (size_t i = 0; i < entry->cols; i++, steps++)
      *values++ = (qe_real)(float_of(scale) * (float)(*steps < 128 ? *steps : *steps - 256));
  }
  return QE_OK;
}

static int read_int4(const unsigned char *bytes, const struct layout_entry *entry, qe_real *values,
                     struct error *error) {
  const size_t wrong = int4_read(bytes, entry, values);
  if (wrong == 0)
    return QE_OK;
  if (wrong > entry->rows - entry->coarse && entry->sparse)
    return error_set(error, QE_FORMAT, "weights.bin: matrix %s, row %zu: a step that none of its values is half of",
                     entry->name, wrong);
  return error_set(error, QE_FORMAT,
                   "weights.bin: matrix %s, %s %zu: a scale that does not make its largest value -8 steps",
                   entry->name, entry->sparse ? "row" : "column", wrong);
}

static int read_matrix(const unsigned char *bytes, enum type type, const struct layout_entry *entry,
                       qe_real *values, struct error *error) {
  const size_t count = entry->rows * entry->cols;
  if (type == TYPE_INT8)
    return read_int8(bytes, entry, values, error);
  if (type == TYPE_INT4)
    return read_int4(bytes, entry, values, error);
  if (type == TYPE_BF16)
    for (size_t i = 0; i < count; i++)
      values[i] = (qe_real)float_of_bf16(bytes_load(bytes + 2 * i, 2));
  else
    for (size_t i = 0; i < count; i++)
      values[i] = (qe_real)float_of((uint32_t)bytes_load(bytes + 4 * i, 4));
  return check_values(entry, values, error);
}

static int read_all(struct reader *reader, qe_params *params) {
  reader->position = START;
  reader->end = header_size(params);
  for (size_t i = 0; i < qe_params_count(params); i++) {
    const struct layout_entry *entry = params_entry(params, i);
    struct place place = { 0 };
    if (read_entry(reader, entry, &place) != QE_OK || check_room(reader, entry, &place) != QE_OK)
      return reader->error->status;
    if (read_matrix(reader->bytes + place.offset, place.type, entry, qe_params_matrix(params, i), reader->error) !=
        QE_OK)
      return reader->error->status;
    reader->end = place.offset + place.size;
  }
  if (reader->end != reader->size)
    return error_set(reader->error, QE_FORMAT, "weights.bin: %zu bytes, expected %zu", reader->size, reader->end);
  return QE_OK;
}

int weights_read(qe_params *params, qe_text member, const char **storage, struct error *error) {
  struct reader reader = { .bytes = (const unsigned char *)member.data,
                           .size = member.size,
                           .type = { -1, -1, -1, TYPE_F32 },
                           .error = error };
  if (check_start(&reader, params) != QE_OK || read_all(&reader, params) != QE_OK)
    return error->status;
  const struct storage *found = first_that_fits(reader.type);
  if (!found)
    return error_set(error, QE_FORMAT,
                     "weights.bin: tables are %s, dense matrices %s and small ones %s, which no storage is",
                     type_read(&reader, TABLE), type_read(&reader, DENSE), type_read(&reader, SMALL));
  *storage = found->name;
  return QE_OK;
}
