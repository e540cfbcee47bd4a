/*
** test_weights.c - the member weights.bin against a naive writer, rounding against its definition in double, that
** rounding twice and writing after reading change nothing, and that every byte of the member counts.
*/
#include "model.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ROWS = 5, COLS = 3, MATRICES = 4, STORAGES = 5 };
static const char *const storages[] = { "f32", "bf16", "int8", "int8-all", "int4" };
static const struct shape {
  const char *name;
  size_t rows, cols;
  int sparse;
} shapes[MATRICES] = {
  { "a.table", ROWS, COLS, 1 }, { "a.dense", 2, 9, 0 }, { "b.table", 7, 2, 1 }, { "bias", 1, 1, 0 }
};

static qe_params *params_new(void) {
  qe_params *params = qe_params_new();
  for (int i = 0; i < MATRICES; i++)
    assert_int_equal(qe_params_add(params, shapes[i].name, shapes[i].rows, shapes[i].cols, shapes[i].sparse), i);
  return params;
}

static void fill(qe_params *params, qe_rng *rng) {
  for (size_t i = 0; i < MATRICES; i++)
    for (size_t j = 0; j < shapes[i].rows * shapes[i].cols; j++)
      qe_params_matrix(params, i)[j] = (qe_real)(qe_rng_normal(rng) * pow(10, 8 * qe_rng_uniform(rng) - 4));
}

static char *written(qe_params *params, const char *storage, size_t *size) {
  struct error error = { 0 };
  char *bytes = NULL;
  assert_int_equal(weights_write(params, storage, &bytes, size, &error), QE_OK);
  return bytes;
}

/* Reads into fresh parameters; NULL where refused. */
static qe_params *read_back(const char *bytes, size_t size, const char **storage, struct error *error) {
  qe_params *params = params_new();
  if (weights_read(params, (qe_text){ bytes, size }, storage, error) == QE_OK)
    return params;
  qe_params_free(params);
  return NULL;
}

static void assert_same_values(qe_params *a, qe_params *b) {
  for (size_t i = 0; i < MATRICES; i++)
    assert_memory_equal(qe_params_matrix(a, i), qe_params_matrix(b, i),
                        shapes[i].rows * shapes[i].cols * sizeof(qe_real));
}

/* ---- the naive twin: little-endian hosts only, as everything the tests run on ---- */

struct twin {
  unsigned char bytes[4096];
  size_t size;
};

static void twin_put(struct twin *twin, const void *bytes, size_t size) {
  memcpy(twin->bytes + twin->size, bytes, size);
  twin->size += size;
}

static void twin_u(struct twin *twin, uint64_t value, size_t size) {
  twin_put(twin, &value, size);
}

static size_t twin_bytes(const struct shape *shape, int type) {
  const size_t count = shape->rows * shape->cols;
  if (!shape->sparse || type == 0)
    return count * 4;
  return type == 1 ? count * 2 : shape->rows * 4 + count;
}

/* Of values that are rounded already: whole steps of a scale that is the largest divided by 127. */
static void twin_int8(struct twin *twin, const struct shape *shape, const qe_real *values) {
  for (int pass = 0; pass < 2; pass++)
    for (size_t row = 0; row < shape->rows; row++) {
      const qe_real *x = values + row * shape->cols;
      double largest = 0;
      for (size_t i = 0; i < shape->cols; i++)
        largest = fmax(largest, fabs((double)x[i]));
      const float scale = (float)(largest / 127);
      if (pass == 0)
        twin_put(twin, &scale, 4);
      for (size_t i = 0; pass == 1 && i < shape->cols; i++)
        twin_u(twin, (uint8_t)(scale == 0 ? 0 : lround((double)x[i] / (double)scale)), 1);
    }
}

static void twin_matrix(struct twin *twin, const struct shape *shape, int type, const qe_real *values) {
  if (shape->sparse && type == 2)
    twin_int8(twin, shape, values);
  else
    for (size_t i = 0; i < shape->rows * shape->cols; i++) {
      const float value = (float)values[i];
      if (shape->sparse && type == 1)
        twin_put(twin, (const char *)&value + 2, 2);
      else
        twin_put(twin, &value, 4);
    }
}

static void twin_write(struct twin *twin, qe_params *params, int type) {
  size_t header = 16, offset;
  memset(twin, 0, sizeof *twin);
  for (int i = 0; i < MATRICES; i++)
    header += 26 + strlen(shapes[i].name);
  twin_put(twin, "QEWT\1\0\0\0\4\0\0\0", 12);
  twin_u(twin, header, 4);
  offset = header;
  for (int i = 0; i < MATRICES; i++) {
    offset = (offset + 63) / 64 * 64;
    twin_u(twin, strlen(shapes[i].name), 1);
    twin_put(twin, shapes[i].name, strlen(shapes[i].name));
    twin_u(twin, shapes[i].sparse ? (uint64_t)type : 0, 1);
    twin_u(twin, shapes[i].rows, 4);
    twin_u(twin, shapes[i].cols, 4);
    twin_u(twin, offset, 8);
    twin_u(twin, twin_bytes(&shapes[i], type), 8);
    offset += twin_bytes(&shapes[i], type);
  }
  for (size_t i = 0; i < MATRICES; i++) {
    twin->size = (twin->size + 63) / 64 * 64;
    twin_matrix(twin, &shapes[i], type, qe_params_matrix(params, i));
  }
}

/* ---- writing, reading, rounding ---- */

static void test_against_the_twin(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 1, "weights");
  for (int round = 0; round < 60; round++) {
    const int type = round % 3;
    struct twin *twin = malloc(sizeof *twin);
    struct error error = { 0 };
    const char *storage = NULL;
    size_t size;
    qe_params *params = params_new();
    fill(params, &rng);
    weights_round(params, storages[type]);
    twin_write(twin, params, type);
    char *bytes = written(params, storages[type], &size);
    assert_int_equal(size, twin->size);
    assert_memory_equal(bytes, twin->bytes, size);
    qe_params *back = read_back(bytes, size, &storage, &error);
    assert_non_null(back);
    assert_string_equal(storage, storages[type]);
    assert_same_values(params, back);
    qe_params_free(back);
    qe_params_free(params);
    memory_free(bytes);
    free(twin);
  }
}

static void test_writing_rounds_as_rounding_does(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 2, "weights");
  for (int round = 0; round < 60; round++) {
    const char *storage = storages[round % STORAGES];
    size_t sizes[2];
    qe_params *params = params_new();
    fill(params, &rng);
    char *before = written(params, storage, &sizes[0]);
    weights_round(params, storage);
    char *after = written(params, storage, &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(before, after, sizes[0]);
    qe_params *twice = params_new();
    qe_block_copy(qe_params_values(twice), qe_params_values(params));
    weights_round(twice, storage);
    assert_same_values(params, twice);
    qe_params_free(twice);
    qe_params_free(params);
    memory_free(before);
    memory_free(after);
  }
}

/* No value moves further than half a step, and a little for the scale's lost bits. */
static void test_rounding_error(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 3, "weights");
  for (int round = 0; round < 90; round++) {
    qe_params *params = params_new(), *exact = params_new();
    fill(params, &rng);
    qe_block_copy(qe_params_values(exact), qe_params_values(params));
    weights_round(params, storages[round % 3]);
    for (size_t i = 0; i < MATRICES; i++)
      for (size_t row = 0; row < shapes[i].rows; row++) {
        const size_t start = row * shapes[i].cols;
        const qe_real *x = qe_params_matrix(exact, i) + start, *y = qe_params_matrix(params, i) + start;
        double largest = 0;
        for (size_t j = 0; j < shapes[i].cols; j++)
          largest = fmax(largest, fabs((double)x[j]));
        for (size_t j = 0; j < shapes[i].cols; j++) {
          double allowed = fabs((double)x[j]) * 0x1p-24;
          if (shapes[i].sparse && round % 3 == 1)
            allowed = fabs((double)x[j]) * 0x1p-8;
          if (shapes[i].sparse && round % 3 == 2)
            allowed = largest / 127 * .505;
          assert_true(fabs((double)x[j] - (double)y[j]) <= allowed);
        }
      }
    qe_params_free(params);
    qe_params_free(exact);
  }
}

static qe_real rounded(qe_real value, const char *storage) {
  qe_params *params = qe_params_new();
  qe_params_add(params, "x", 1, 1, 1);
  *qe_params_matrix(params, 0) = value;
  weights_round(params, storage);
  const qe_real once = *qe_params_matrix(params, 0);
  weights_round(params, storage);
  assert_memory_equal(&once, qe_params_matrix(params, 0), sizeof once);
  qe_params_free(params);
  return once;
}

static void test_bf16_ties_and_ends(void **state) {
  (void)state;
  assert_true(rounded((qe_real)0x1.01p0, "bf16") == (qe_real)0x1p0);    /* ties to even: down */
  assert_true(rounded((qe_real)0x1.03p0, "bf16") == (qe_real)0x1.04p0); /* up */
  assert_true(rounded((qe_real)0x1.010002p0, "bf16") == (qe_real)0x1.02p0);
  assert_true(rounded((qe_real)FLT_MAX, "bf16") == (qe_real)0x1.fep127); /* not infinity */
  assert_true(rounded((qe_real)-FLT_MAX, "bf16") == (qe_real)-0x1.fep127);
  assert_true(rounded((qe_real)0x1p-133, "bf16") == (qe_real)0x1p-133); /* subnormal */
  assert_true(rounded((qe_real)0x1p-149, "bf16") == 0);
  assert_true(signbit(rounded((qe_real)-0.0, "bf16")));
  assert_true(signbit(rounded((qe_real)-0.0, "f32")));
}

static void test_int8_ends(void **state) {
  (void)state;
  const qe_real large = rounded((qe_real)FLT_MAX, "int8");
  assert_true(large <= (qe_real)FLT_MAX && large > (qe_real)FLT_MAX * (qe_real)0.9999);
  assert_true(rounded((qe_real)1e-40, "int8") == 0);
  assert_true(rounded((qe_real)127 * (qe_real)FLT_MIN, "int8") == (qe_real)127 * (qe_real)FLT_MIN);
  assert_true(rounded((qe_real)126.9 * (qe_real)FLT_MIN, "int8") == 0);
  assert_false(signbit(rounded((qe_real)-0.0, "int8")));
  assert_true(rounded((qe_real)-127, "int8") == (qe_real)-127);
}

/* Only the table is stored in fewer bits. */
static void test_dense_matrices_stay_exact(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 4, "weights");
  qe_params *params = params_new(), *exact = params_new();
  fill(params, &rng);
  weights_round(params, "f32");
  qe_block_copy(qe_params_values(exact), qe_params_values(params));
  weights_round(params, "int8");
  weights_round(params, "no such storage");
  for (size_t i = 1; i < MATRICES; i += 2)
    assert_memory_equal(qe_params_matrix(params, i), qe_params_matrix(exact, i),
                        shapes[i].rows * shapes[i].cols * sizeof(qe_real));
  assert_memory_not_equal(qe_params_matrix(params, 0), qe_params_matrix(exact, 0), ROWS * COLS * sizeof(qe_real));
  qe_params_free(params);
  qe_params_free(exact);
}

static void test_values_that_are_not_finite(void **state) {
  (void)state;
  static const double bad[] = { INFINITY, -INFINITY, NAN };
  for (int type = 0; type < STORAGES; type++)
    for (int i = 0; i < 3; i++) {
      struct error error = { 0 };
      char *bytes, message[100];
      size_t size;
      qe_params *params = params_new();
      qe_params_matrix(params, 0)[4] = (qe_real)bad[i];
      weights_round(params, storages[type]);
      assert_int_equal(weights_write(params, storages[type], &bytes, &size, &error), QE_FORMAT);
      assert_null(bytes);
      snprintf(message, sizeof message, "weights.bin: matrix a.table, row 2, column 2: %g is not finite", bad[i]);
      assert_string_equal(error.text, message);
      qe_params_free(params);
    }
}

static void test_writing_refuses(void **state) {
  (void)state;
  struct error error = { 0 };
  char *bytes;
  size_t size;
  qe_params *params = params_new();
  assert_int_equal(weights_write(params, "f16", &bytes, &size, &error), QE_USE);
  assert_string_equal(error.text, "weights.bin: storage \"f16\" is none of f32, bf16, int8, int8-all, int4");
  qe_params_free(params);
}

/* Without a matrix there is a header and no padding; without a sparse one the storage reads as f32. */
static void test_few_matrices(void **state) {
  (void)state;
  struct error error = { 0 };
  const char *storage;
  size_t size;
  qe_params *params = qe_params_new();
  char *bytes = written(params, "bf16", &size);
  assert_int_equal(size, 16);
  assert_memory_equal(bytes, "QEWT\1\0\0\0\0\0\0\0\x10\0\0\0", 16);
  assert_int_equal(weights_read(params, (qe_text){ bytes, size }, &storage, &error), QE_OK);
  assert_string_equal(storage, "f32");
  memory_free(bytes);
  qe_params_add(params, "x", 1, 2, 0);
  bytes = written(params, "bf16", &size);
  assert_int_equal(size, 64 + 8);
  assert_int_equal(weights_read(params, (qe_text){ bytes, size }, &storage, &error), QE_OK);
  assert_string_equal(storage, "f32");
  memory_free(bytes);
  qe_params_free(params);
}

/* ---- int4 against its definition ---- */

enum { HIGH = 70, WIDE = 33, NARROW = 15, TABLE_LINES = HIGH, DENSE_LINES = WIDE };

/* A naive block: values that are rounded already, whole steps of a scale that makes the furthest -8. */
static size_t twin_block(unsigned char *out, const double *values, size_t count) {
  float furthest = 0;
  uint32_t bits;
  for (size_t i = 0; i < count; i++)
    furthest = fabs(values[i]) > fabs((double)furthest) ? (float)values[i] : furthest;
  const float scale = furthest == 0 ? 0 : furthest / -8;
  memcpy(&bits, &scale, sizeof bits);
  assert_int_equal(bits & 0xffff, 0);
  out[0] = (unsigned char)(bits >> 16);
  out[1] = (unsigned char)(bits >> 24);
  for (size_t i = 0; i < count; i += 2) {
    const long low = scale == 0 ? 8 : lround(values[i] / (double)scale) + 8;
    const long high = i + 1 == count ? 0 : scale == 0 ? 8 : lround(values[i + 1] / (double)scale) + 8;
    out[2 + i / 2] = (unsigned char)(low | high << 4);
  }
  return 2 + (count + 1) / 2;
}

static size_t twin_lines(unsigned char *out, const qe_real *values, size_t lines, size_t length, size_t between,
                         size_t inside) {
  size_t size = 0;
  double block[32];
  for (size_t line = 0; line < lines; line++)
    for (size_t first = 0; first < length; first += 32) {
      size_t count = 0;
      for (; count < 32 && first + count < length; count++)
        block[count] = (double)values[line * between + (first + count) * inside];
      size += twin_block(out + size, block, count);
    }
  return size;
}

/* A table by rows, a dense matrix by columns; what is smaller than a block is int8. */
static qe_params *large_params(qe_rng *rng) {
  qe_params *params = qe_params_new();
  qe_params_add(params, "table", HIGH, WIDE, 1);
  qe_params_add(params, "dense", HIGH, WIDE, 0);
  qe_params_add(params, "small", HIGH, NARROW, 0);
  for (size_t i = 0; i < 3; i++)
    for (size_t j = 0; j < HIGH * (i < 2 ? WIDE : NARROW); j++)
      qe_params_matrix(params, i)[j] = (qe_real)(float)(qe_rng_normal(rng) * pow(10, 4 * qe_rng_uniform(rng) - 4));
  for (size_t j = 0; j < WIDE; j++)
    qe_params_matrix(params, 0)[j] = 0;
  return params;
}

static void test_int4_against_a_twin(void **state) {
  (void)state;
  static unsigned char twin[2 * HIGH * WIDE];
  static const char *storage;
  struct error error = { 0 };
  qe_rng rng;
  qe_rng_seed(&rng, 6, "weights");
  qe_params *params = large_params(&rng), *exact = large_params(&rng), *back = large_params(&rng);
  size_t size;
  qe_block_copy(qe_params_values(exact), qe_params_values(params));
  weights_round(params, "int4");
  char *bytes = written(params, "int4", &size);
  const size_t header = 16 + 3 * (26 + 5), table = (header + 63) / 64 * 64;
  const size_t table_size = twin_lines(twin, qe_params_matrix(params, 0), HIGH, WIDE, WIDE, 1);
  assert_int_equal(table_size, HIGH * (2 * 2 + 17));
  assert_memory_equal(bytes + table, twin, table_size);
  const size_t dense = (table + table_size + 63) / 64 * 64;
  const size_t dense_size = twin_lines(twin, qe_params_matrix(params, 1), WIDE, HIGH, 1, WIDE);
  assert_int_equal(dense_size, WIDE * (3 * 2 + 35));
  assert_memory_equal(bytes + dense, twin, dense_size);
  assert_int_equal(size, (dense + dense_size + 63) / 64 * 64 + HIGH * (4 + NARROW));
  weights_round(exact, "int8-all");
  assert_memory_equal(qe_params_matrix(params, 2), qe_params_matrix(exact, 2), HIGH * (NARROW) * sizeof(qe_real));
  assert_int_equal(weights_read(back, (qe_text){ bytes, size }, &storage, &error), QE_OK);
  assert_string_equal(storage, "int4");
  for (size_t i = 0; i < 2; i++)
    assert_memory_equal(qe_params_matrix(back, i), qe_params_matrix(params, i), HIGH * WIDE * sizeof(qe_real));
  memory_free(bytes);
  qe_params_free(params);
  qe_params_free(exact);
  qe_params_free(back);
}

/* Half a step, a whole one beyond seven of them on the side that has no eighth; a step is an eighth of the furthest. */
static void test_int4_rounding_error(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 7, "weights");
  qe_params *params = large_params(&rng), *exact = large_params(&rng);
  qe_block_copy(qe_params_values(exact), qe_params_values(params));
  weights_round(params, "int4");
  for (size_t row = 0; row < HIGH; row++)
    for (size_t first = 0; first < WIDE; first += 32) {
      const qe_real *x = qe_params_matrix(exact, 0) + row * WIDE, *y = qe_params_matrix(params, 0) + row * WIDE;
      double furthest = 0;
      for (size_t j = first; j < WIDE && j < first + 32; j++)
        furthest = fabs((double)x[j]) > fabs(furthest) ? (double)x[j] : furthest;
      for (size_t j = first; j < WIDE && j < first + 32; j++) {
        const bool eighth = furthest != 0 && (double)x[j] / furthest < -7.5 / 8;
        const double allowed = fabs(furthest) / 8 * (eighth ? 1.04 : .54);
        assert_true(fabs((double)x[j] - (double)y[j]) <= allowed);
      }
    }
  assert_true(rounded((qe_real)FLT_MAX, "int4") <= (qe_real)FLT_MAX);
  assert_true(rounded((qe_real)FLT_MAX, "int4") > (qe_real)FLT_MAX * (qe_real)0.99);
  assert_true(rounded((qe_real)1e-40, "int4") == 0);
  assert_true(rounded((qe_real)-3, "int4") == (qe_real)-3);
  qe_params_free(params);
  qe_params_free(exact);
}

/* Blocks that the writer never makes: no number at -8, numbers of scale zero, a subnormal scale, one that is not finite. */
static void test_int4_refuses(void **state) {
  (void)state;
  static const char *const changes[] = { "\x80\x3f\x99", "\0\0\x90", "\x01\0\x90", "\x80\x7f\x90", "\x80\x3f\x10" };
  struct error error = { 0 };
  const char *storage;
  size_t size;
  qe_params *params = qe_params_new();
  qe_params_add(params, "x", 1, 1, 1);
  *qe_params_matrix(params, 0) = -8;
  char *bytes = written(params, "int4", &size);
  assert_int_equal(size, 64 + 3);
  assert_memory_equal(bytes + 64, "\x80\x3f\0", 3);
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    memcpy(bytes + 64, changes[i], 3);
    error_clear(&error);
    assert_int_equal(weights_read(params, (qe_text){ bytes, size }, &storage, &error), QE_FORMAT);
    assert_string_equal(error.text,
                        "weights.bin: matrix x, row 1: a scale that does not make its largest value -8 steps");
  }
  memory_free(bytes);
  qe_params_free(params);
}

/* ---- coarse rows ---- */

enum { COARSE = 8, COARSE_BYTES = 2 + (WIDE + 3) / 4 };

static qe_params *coarse_params(size_t rows, size_t cols, size_t coarse) {
  qe_params *params = qe_params_new();
  qe_params_add(params, "x", rows, cols, 1);
  params_coarsen(params, 0, coarse);
  return params;
}

/* Normal rows of any size; then one of zeros, one of a single size, of nearly one, of one that is far from the others. */
static void fill_coarse(qe_params *params, qe_rng *rng) {
  qe_real *row = qe_params_matrix(params, 0);
  for (size_t i = 0; i < HIGH; i++, row += WIDE) {
    const double size = pow(10, 60 * qe_rng_uniform(rng) - 30);
    for (size_t j = 0; j < WIDE; j++) {
      const double sign = j % 2 ? 1 : -1, one = i % 2 ? 1 : .25 * qe_rng_uniform(rng) + 1;
      row[j] = (qe_real)(size * (i < HIGH - 4 ? qe_rng_normal(rng) : i == HIGH - 4 ? 0 : sign * one));
    }
  }
  row[-1] *= 9;
  row[-WIDE - 1] = FLT_MAX;
}

static void test_coarse_rows_are_stable(void **state) {
  (void)state;
  struct error error = { 0 };
  const char *storage;
  size_t size;
  qe_rng rng;
  qe_rng_seed(&rng, 8, "weights");
  qe_params *params = coarse_params(HIGH, WIDE, HIGH - COARSE), *back = coarse_params(HIGH, WIDE, HIGH - COARSE);
  fill_coarse(params, &rng);
  weights_round(params, "int4");
  char *bytes = written(params, "int4", &size);
  assert_int_equal(size, 64 + COARSE * (2 * 2 + 17) + (HIGH - COARSE) * COARSE_BYTES);
  assert_int_equal(weights_read(back, (qe_text){ bytes, size }, &storage, &error), QE_OK);
  assert_memory_equal(qe_params_matrix(back, 0), qe_params_matrix(params, 0), HIGH * WIDE * sizeof(qe_real));
  weights_round(back, "int4");
  assert_memory_equal(qe_params_matrix(back, 0), qe_params_matrix(params, 0), HIGH * WIDE * sizeof(qe_real));
  memory_free(bytes);
  qe_params_free(params);
  qe_params_free(back);
}

/* Squared error of a row whose numbers are half a step or one and a half from zero, whichever is nearer. */
static double error_with(const qe_real *row, double step) {
  double sum = 0;
  for (size_t j = 0; j < WIDE; j++) {
    const double steps = fabs((double)row[j]) / step, left = steps - (steps > 1 ? 1.5 : .5);
    sum += left * left * step * step;
  }
  return sum;
}

/* A row's error against that of the best of many steps; its bytes against their definition. */
static void test_coarse_rows_against_a_twin(void **state) {
  (void)state;
  size_t size;
  qe_rng rng;
  qe_rng_seed(&rng, 9, "weights");
  qe_params *params = coarse_params(HIGH, WIDE, HIGH), *exact = coarse_params(HIGH, WIDE, HIGH);
  for (size_t i = 0; i < HIGH * WIDE; i++)
    qe_params_matrix(params, 0)[i] = qe_params_matrix(exact, 0)[i] = (qe_real)qe_rng_normal(&rng);
  weights_round(params, "int4");
  char *bytes = written(params, "int4", &size);
  for (size_t i = 0; i < HIGH; i++) {
    const qe_real *x = qe_params_matrix(exact, 0) + i * WIDE, *y = qe_params_matrix(params, 0) + i * WIDE;
    const unsigned char *row = (const unsigned char *)bytes + 64 + i * COARSE_BYTES;
    const uint32_t bits = (uint32_t)row[0] << 16 | (uint32_t)row[1] << 24;
    float step;
    double best = INFINITY, made = 0;
    memcpy(&step, &bits, sizeof step);
    for (double other = .02; other < 4; other *= 1.01)
      best = fmin(best, error_with(x, other));
    for (size_t j = 0; j < WIDE; j++) {
      const double steps = (double)(row[2 + j / 4] >> 2 * (j % 4) & 3) - 1.5;
      assert_true((double)y[j] == steps * (double)step);
      made += ((double)x[j] - (double)y[j]) * ((double)x[j] - (double)y[j]);
    }
    assert_true(made <= 1.2 * best);
  }
  memory_free(bytes);
  qe_params_free(params);
  qe_params_free(exact);
}

/* No number near, one that is not zero beside step 0, a subnormal step, a negative one, one too large, a fifth number. */
static void test_coarse_rows_refuse(void **state) {
  (void)state;
  static const char *const changes[] = { "\x80\x3f\x0f", "\0\0\x01",     "\x01\0\x1b",
                                         "\x80\xbf\x1b", "\x01\x7f\x1b", "\x80\x3f\x5b" };
  struct error error = { 0 };
  const char *storage;
  size_t size;
  qe_params *params = coarse_params(1, 3, 1);
  qe_params_matrix(params, 0)[0] = 6, qe_params_matrix(params, 0)[1] = 2, qe_params_matrix(params, 0)[2] = -2;
  char *bytes = written(params, "int4", &size);
  assert_int_equal(size, 64 + 3);
  assert_memory_equal(bytes + 64, "\x80\x40\x1b", 3);
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    memcpy(bytes + 64, changes[i], 3);
    error_clear(&error);
    assert_int_equal(weights_read(params, (qe_text){ bytes, size }, &storage, &error), QE_FORMAT);
    assert_string_equal(error.text, "weights.bin: matrix x, row 1: a step that none of its values is half of");
  }
  memory_free(bytes);
  qe_params_free(params);
}

/* ---- what is refused ---- */

static void test_every_size_but_its_own_is_refused(void **state) {
  (void)state;
  for (int type = 0; type < STORAGES; type++) {
    qe_params *params = params_new();
    size_t size;
    const char *storage;
    char *bytes = written(params, storages[type], &size);
    for (size_t cut = 0; cut < size + 70; cut++) {
      struct error error = { 0 };
      char *exact = calloc(1, cut + 1);
      memcpy(exact, bytes, cut < size ? cut : size);
      char *end = realloc(exact, cut ? cut : 1);
      qe_params *back = read_back(end, cut, &storage, &error);
      assert_int_equal(back != NULL, cut == size);
      assert_int_equal(error.status, cut == size ? QE_OK : QE_FORMAT);
      assert_int_equal(strncmp(error.text, "weights.bin: ", 13) == 0, cut != size);
      qe_params_free(back);
      free(end);
    }
    memory_free(bytes);
    qe_params_free(params);
  }
}

/* Any change is refused or read as other values, which write as exactly the changed bytes: nothing goes unread. */
static void test_every_byte_counts(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 5, "weights");
  for (int type = 0; type < STORAGES; type++) {
    qe_params *params = params_new();
    const char *storage;
    size_t size, again, accepted = 0;
    fill(params, &rng);
    char *bytes = written(params, storages[type], &size);
    for (size_t at = 0; at < size; at++)
      for (int bit = 0; bit < 8; bit++) {
        struct error error = { 0 };
        bytes[at] = (char)(bytes[at] ^ 1 << bit);
        qe_params *back = read_back(bytes, size, &storage, &error);
        if (back) {
          char *rewritten = written(back, storage, &again);
          assert_int_equal(again, size);
          assert_memory_equal(rewritten, bytes, size);
          memory_free(rewritten);
          accepted++;
        }
        qe_params_free(back);
        bytes[at] = (char)(bytes[at] ^ 1 << bit);
      }
    const size_t dense = 8 * 4 * (2 * 9 + 1), sparse = ROWS * COLS + 7 * 2; /* bits of values */
    assert_true(accepted > dense / 2 && accepted <= dense + sparse * (type == 0 ? 32 : 16));
    memory_free(bytes);
    qe_params_free(params);
  }
}

static void assert_refused(const char *bytes, size_t size, const char *message) {
  struct error error = { 0 };
  const char *storage;
  assert_null(read_back(bytes, size, &storage, &error));
  assert_string_equal(error.text, message);
}

/* Changes `count` bytes, expects the message, changes them back. */
static void try_change(char *bytes, size_t size, size_t at, const char *change, size_t count, const char *message) {
  char kept[16];
  memcpy(kept, bytes + at, count);
  memcpy(bytes + at, change, count);
  assert_refused(bytes, size, message);
  memcpy(bytes + at, kept, count);
}

static void test_messages(void **state) {
  (void)state;
  size_t size;
  qe_params *params = params_new();
  char *bytes = written(params, "int8", &size);
  const size_t type = 16 + 1 + 7, table = 192;
  try_change(bytes, size, 0, "GGUF", 4, "weights.bin: does not begin with QEWT and 12 more bytes");
  try_change(bytes, size, 4, "\2", 1, "weights.bin: version 2, expected 1");
  try_change(bytes, size, 8, "\5", 1, "weights.bin: 5 matrices, expected 4");
  try_change(bytes, size, 12, "\1", 1, "weights.bin: a header of 1 bytes in 452, expected 145");
  try_change(bytes, size, 17, "b", 1, "weights.bin: byte 16: another matrix than a.table");
  try_change(bytes, size, type, "\4", 1,
             "weights.bin: matrix a.table: type 4 (unknown), expected f32, bf16, int8 or int4");
  try_change(bytes, size, type, "\1", 1, "weights.bin: matrix a.table: 35 bytes at 192, expected 30 bytes at 192");
  try_change(bytes, size, type + 1, "\6", 1, "weights.bin: matrix a.table: 6 x 3, expected 5 x 3");
  try_change(bytes, size, type + 9, "\0", 1,
             "weights.bin: matrix a.table: 35 bytes at 0, expected 35 bytes at 192");
  try_change(bytes, size, table - 1, "x", 1, "weights.bin: byte 191, before matrix a.table, is 120, expected 0");
  try_change(bytes, size, table + 20, "\1", 1,
             "weights.bin: matrix a.table, row 1: scale 0 does not make its largest value 127 steps");
  try_change(bytes, size, table + 4, "\0\0\x80\x3f", 4,
             "weights.bin: matrix a.table, row 2: scale 1 does not make its largest value 127 steps");
  try_change(bytes, size, 256 + 4, "\0\0\xc0\x7f", 4,
             "weights.bin: matrix a.dense, row 1, column 2: nan is not finite");
  memory_free(bytes);
  qe_params_free(params);
}

static void test_mixed_types_are_refused(void **state) {
  (void)state;
  size_t size;
  qe_params *params = params_new();
  char *bytes = written(params, "f32", &size);
  char *second = memmem(bytes, size, "b.table", 7), *dense = memmem(bytes, size, "a.dense", 7);
  second[7] = 1;
  assert_refused(bytes, size, "weights.bin: matrix b.table: type 1 (bf16), expected f32");
  dense[7] = 2;
  assert_refused(bytes, size, "weights.bin: matrix a.dense: 72 bytes at 256, expected 26 bytes at 256");
  memory_free(bytes);
  qe_params_free(params);
}

/* The scale -128 steps, a scale of 17 bits, a negative, a subnormal and an overflowing one. */
static void test_int8_rows_that_nobody_writes(void **state) {
  (void)state;
  static const uint32_t bad[] = {
    0x3f800080, 0xbf800000, 0x00000100, 0x7f800000, 0x7fc00000, 0x7f000000, 0x80000000
  };
  size_t size;
  const char *storage;
  qe_params *params = params_new();
  char *bytes = written(params, "int8", &size);
  for (size_t i = 0; i < sizeof bad / sizeof *bad + 2; i++) {
    struct error error = { 0 };
    const uint32_t scale = i < sizeof bad / sizeof *bad ? bad[i] : 0x3f800000;
    memcpy(bytes + 192, &scale, 4);
    bytes[192 + 20] = i == sizeof bad / sizeof *bad ? (char)-128 : (char)127;
    qe_params *back = read_back(bytes, size, &storage, &error);
    assert_int_equal(back != NULL, i == sizeof bad / sizeof *bad + 1);
    if (back)
      assert_true(*qe_params_matrix(back, 0) == 127);
    qe_params_free(back);
  }
  memory_free(bytes);
  qe_params_free(params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_against_the_twin),
    cmocka_unit_test(test_writing_rounds_as_rounding_does),
    cmocka_unit_test(test_rounding_error),
    cmocka_unit_test(test_bf16_ties_and_ends),
    cmocka_unit_test(test_int8_ends),
    cmocka_unit_test(test_dense_matrices_stay_exact),
    cmocka_unit_test(test_values_that_are_not_finite),
    cmocka_unit_test(test_writing_refuses),
    cmocka_unit_test(test_few_matrices),
    cmocka_unit_test(test_int4_against_a_twin),
    cmocka_unit_test(test_int4_rounding_error),
    cmocka_unit_test(test_int4_refuses),
    cmocka_unit_test(test_coarse_rows_are_stable),
    cmocka_unit_test(test_coarse_rows_against_a_twin),
    cmocka_unit_test(test_coarse_rows_refuse),
    cmocka_unit_test(test_every_size_but_its_own_is_refused),
    cmocka_unit_test(test_every_byte_counts),
    cmocka_unit_test(test_messages),
    cmocka_unit_test(test_mixed_types_are_refused),
    cmocka_unit_test(test_int8_rows_that_nobody_writes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
