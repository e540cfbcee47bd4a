/*
** test_batcher.c - every row once per epoch, the documented order against a naive twin, and cursors that are
** restored in a fresh batcher at every point of an epoch.
*/
#include "data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* Rows of random length. */
static qe_dataset *make_data(size_t rows, size_t longest) {
  qe_dataset *data = qe_dataset_new();
  qe_rng rng;
  char text[256];
  memset(text, 'x', sizeof text);
  qe_rng_seed(&rng, rows, "batcher data");
  for (size_t i = 0; i < rows; i++) {
    const qe_pair pair = { .source = { text, qe_rng_below(&rng, longest + 1) },
                           .translation = { text, qe_rng_below(&rng, longest + 1) } };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  return data;
}

static qe_rng stream(uint64_t seed) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "batches");
  return rng;
}

static qe_batcher *make(qe_dataset *data, const uint32_t *rows, size_t count, size_t batch_size, uint64_t seed) {
  const qe_rng rng = stream(seed);
  qe_batcher *batcher = qe_batcher_new(data, rows, count, batch_size, &rng);
  assert_non_null(batcher);
  return batcher;
}

/* Rows of one epoch in the order they come, batch after batch; sizes[] per batch. */
static size_t take_epoch(qe_batcher *batcher, uint32_t *rows, size_t *sizes) {
  size_t count = 0, batches = 0;
  qe_batch *batch;
  int status;
  while ((status = qe_batcher_next(batcher, &batch)) == 1) {
    memcpy(rows + count, qe_batch_rows(batch), qe_batch_size(batch) * sizeof *rows);
    count += sizes[batches++] = qe_batch_size(batch);
    qe_batch_free(batch);
  }
  assert_int_equal(status, 0);
  assert_null(batch);
  assert_int_equal(batches, qe_batcher_batches(batcher));
  return count;
}

static void test_every_row_once(void **state) {
  (void)state;
  static const size_t batch_sizes[] = { 1, 2, 7, 49, 50, 51, 1000, SIZE_MAX };
  qe_dataset *data = make_data(50, 20);
  for (size_t k = 0; k < sizeof batch_sizes / sizeof *batch_sizes; k++) {
    qe_batcher *batcher = make(data, NULL, 0, batch_sizes[k], 3);
    uint32_t rows[50];
    size_t sizes[50];
    for (int epoch = 1; epoch <= 3; epoch++) {
      unsigned char seen[50] = { 0 };
      size_t smaller = 0;
      assert_int_equal(take_epoch(batcher, rows, sizes), 50);
      for (size_t i = 0; i < 50; i++)
        assert_int_equal(++seen[rows[i]], 1);
      for (size_t i = 0; i < qe_batcher_batches(batcher); i++)
        smaller += sizes[i] < batch_sizes[k];
      assert_int_equal(smaller, 50 % batch_sizes[k] != 0);
      qe_cursor cursor;
      qe_batcher_save(batcher, &cursor);
      assert_int_equal(cursor.epoch, epoch);
      assert_int_equal(cursor.next, 0);
    }
    qe_batcher_free(batcher);
  }
  qe_dataset_free(data);
}

static void test_chosen_rows(void **state) {
  (void)state;
  const uint32_t chosen[] = { 9, 2, 2, 5 };
  qe_dataset *data = make_data(10, 5);
  qe_batcher *batcher = make(data, chosen, 4, 3, 1);
  uint32_t rows[4];
  size_t sizes[2], seen[10] = { 0 };
  assert_int_equal(take_epoch(batcher, rows, sizes), 4);
  for (size_t i = 0; i < 4; i++)
    seen[rows[i]]++;
  assert_true(seen[9] == 1 && seen[2] == 2 && seen[5] == 1);
  qe_batcher_free(batcher);
  qe_dataset_free(data);
}

/* ---- the documented order ---- */

static size_t length_of(const qe_dataset *data, uint32_t row) {
  const qe_pair pair = qe_dataset_pair(data, row);
  return pair.source.size + pair.translation.size;
}

/* Stable insertion sort of one window. */
static void twin_sort(const qe_dataset *data, uint32_t *rows, size_t count) {
  for (size_t i = 1; i < count; i++)
    for (size_t j = i; j > 0 && length_of(data, rows[j]) < length_of(data, rows[j - 1]); j--) {
      const uint32_t row = rows[j];
      rows[j] = rows[j - 1];
      rows[j - 1] = row;
    }
}

static void twin_epoch(const qe_dataset *data, size_t batch_size, qe_rng *rng, uint32_t *expected) {
  const size_t count = qe_dataset_rows(data), batches = (count + batch_size - 1) / batch_size;
  uint32_t *rows = malloc(count * sizeof *rows), *order = malloc(batches * sizeof *order);
  qe_rng epoch;
  qe_rng_seed(&epoch, qe_rng_next(rng), "epoch");
  for (size_t i = 0; i < count; i++)
    rows[i] = (uint32_t)i;
  qe_rng_shuffle(&epoch, rows, count);
  for (size_t first = 0; first < count; first += 64 * batch_size)
    twin_sort(data, rows + first, count - first < 64 * batch_size ? count - first : 64 * batch_size);
  for (size_t i = 0; i < batches; i++)
    order[i] = (uint32_t)i;
  qe_rng_shuffle(&epoch, order, batches);
  for (size_t i = 0; i < batches; i++)
    for (size_t j = order[i] * batch_size; j < (order[i] + 1) * batch_size && j < count; j++)
      *expected++ = rows[j];
  free(rows);
  free(order);
}

static void compare_with_twin(size_t count, size_t batch_size) {
  qe_dataset *data = make_data(count, 30); /* many equal lengths */
  qe_batcher *batcher = make(data, NULL, 0, batch_size, 8);
  qe_rng rng = stream(8);
  uint32_t *rows = malloc(count * sizeof *rows), *expected = malloc(count * sizeof *expected);
  size_t *sizes = malloc(count * sizeof *sizes);
  for (int epoch = 0; epoch < 3; epoch++) {
    assert_int_equal(take_epoch(batcher, rows, sizes), count);
    twin_epoch(data, batch_size, &rng, expected);
    assert_memory_equal(rows, expected, count * sizeof *rows);
  }
  free(rows);
  free(expected);
  free(sizes);
  qe_batcher_free(batcher);
  qe_dataset_free(data);
}

static void test_order(void **state) {
  (void)state;
  compare_with_twin(1, 1);
  compare_with_twin(63, 1);
  compare_with_twin(64, 1);
  compare_with_twin(65, 1);
  compare_with_twin(500, 3);
  compare_with_twin(1000, 128);
}

static void test_batches_are_of_like_length(void **state) {
  (void)state;
  qe_dataset *data = make_data(640, 100);
  qe_batcher *batcher = make(data, NULL, 0, 10, 4);
  qe_batch *batch;
  size_t spread = 0;
  while (qe_batcher_next(batcher, &batch) == 1) {
    size_t low = SIZE_MAX, high = 0;
    for (size_t i = 0; i < qe_batch_size(batch); i++) {
      const size_t length = length_of(data, qe_batch_rows(batch)[i]);
      low = length < low ? length : low;
      high = length > high ? length : high;
    }
    spread += high - low;
    qe_batch_free(batch);
  }
  assert_true(spread <= 200); /* one window: batches cut the sorted lengths, 0..200, into pieces */
  qe_batcher_free(batcher);
  qe_dataset_free(data);
}

/* ---- cursors ---- */

/* What the next calls give, as numbers: 0 for the end of an epoch, else 1 + first row and size. */
static void record(qe_batcher *batcher, size_t calls, uint32_t (*out)[2]) {
  for (size_t i = 0; i < calls; i++) {
    qe_batch *batch;
    out[i][0] = out[i][1] = 0;
    if (qe_batcher_next(batcher, &batch) == 1) {
      out[i][0] = 1 + qe_batch_rows(batch)[0];
      out[i][1] = (uint32_t)qe_batch_size(batch);
    }
    qe_batch_free(batch);
  }
}

static void test_resume_anywhere(void **state) {
  (void)state;
  enum { CALLS = 40 }; /* more than three epochs of ten batches */
  qe_dataset *data = make_data(97, 12);
  uint32_t all[CALLS][2], rest[CALLS][2];
  qe_batcher *batcher = make(data, NULL, 0, 10, 21);
  record(batcher, CALLS, all);
  qe_batcher_free(batcher);
  for (size_t stop = 0; stop <= CALLS; stop++) {
    qe_cursor cursor, again;
    batcher = make(data, NULL, 0, 10, 21);
    record(batcher, stop, rest);
    qe_batcher_save(batcher, &cursor);
    qe_batcher_free(batcher);
    batcher = make(data, NULL, 0, 10, 999); /* another seed: the cursor must bring all */
    record(batcher, stop % 7, rest);
    assert_int_equal(qe_batcher_restore(batcher, &cursor), QE_OK);
    qe_batcher_save(batcher, &again);
    assert_memory_equal(&again, &cursor, sizeof cursor);
    record(batcher, CALLS - stop, rest);
    assert_memory_equal(rest, all + stop, (CALLS - stop) * sizeof *all);
    qe_batcher_free(batcher);
  }
  qe_dataset_free(data);
}

static void test_cursor_values(void **state) {
  (void)state;
  qe_dataset *data = make_data(5, 3);
  qe_batcher *batcher = make(data, NULL, 0, 2, 6);
  static const uint64_t expected[][2] = { { 0, 0 }, { 1, 1 }, { 1, 2 }, { 1, 3 }, { 1, 0 }, { 2, 1 } };
  qe_rng rng = stream(6);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    qe_cursor cursor;
    uint32_t unused[1][2];
    if (i > 0)
      record(batcher, 1, unused);
    if (i == 4)
      qe_rng_next(&rng); /* one draw per epoch */
    qe_batcher_save(batcher, &cursor);
    assert_int_equal(cursor.epoch, expected[i][0]);
    assert_int_equal(cursor.next, expected[i][1]);
    assert_memory_equal(&cursor.rng, &rng, sizeof rng);
  }
  qe_batcher_free(batcher);
  qe_dataset_free(data);
}

static void assert_not_restored(qe_batcher *batcher, qe_cursor cursor, const char *message) {
  qe_cursor before, after;
  qe_batcher_save(batcher, &before);
  assert_int_equal(qe_batcher_restore(batcher, &cursor), QE_FORMAT);
  assert_string_equal(qe_batcher_error(batcher), message);
  qe_batcher_save(batcher, &after);
  assert_memory_equal(&before, &after, sizeof before);
}

static void test_bad_cursors(void **state) {
  (void)state;
  qe_dataset *data = make_data(5, 3);
  qe_batcher *batcher = make(data, NULL, 0, 2, 6);
  const qe_rng rng = stream(1);
  uint32_t unused[2][2];
  record(batcher, 2, unused);
  assert_not_restored(batcher, (qe_cursor){ rng, 1, 4 }, "restore: 4 batches given out, but an epoch has 3");
  assert_not_restored(batcher, (qe_cursor){ rng, 0, 1 }, "restore: 1 batches given out before the first epoch");
  assert_not_restored(batcher, (qe_cursor){ { { 0 } }, 1, 1 },
                      "restore: the random state is all zeros, which none can be");
  assert_int_equal(qe_batcher_restore(batcher, &(qe_cursor){ rng, 1, 3 }), QE_OK);
  assert_string_equal(qe_batcher_error(batcher), "");
  qe_batcher_free(batcher);
  qe_dataset_free(data);
}

/* ---- misuse ---- */

static void assert_broken(qe_dataset *data, const uint32_t *rows, size_t count, size_t batch_size,
                          const char *message) {
  qe_batcher *batcher = make(data, rows, count, batch_size, 1);
  qe_batch *batch;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(qe_batcher_next(batcher, &batch), QE_USE);
    assert_null(batch);
    assert_string_equal(qe_batcher_error(batcher), message);
  }
  qe_cursor cursor;
  qe_batcher_save(batcher, &cursor);
  assert_int_equal(qe_batcher_restore(batcher, &cursor), QE_USE);
  assert_int_equal(qe_batcher_batches(batcher), 0);
  qe_batcher_free(batcher);
}

static void test_bad_choices(void **state) {
  (void)state;
  const uint32_t rows[] = { 0, 3 };
  qe_dataset *data = make_data(3, 3), *empty = qe_dataset_new();
  assert_broken(data, NULL, 0, 0, "batcher: batches of 0 rows");
  assert_broken(data, rows, 0, 2, "batcher: no rows to make batches of");
  assert_broken(empty, NULL, 0, 2, "batcher: no rows to make batches of");
  assert_broken(data, rows, 2, 2, "batcher: row 3, but the dataset has 3 rows");
  qe_batcher_free(NULL);
  qe_dataset_free(data);
  qe_dataset_free(empty);
}

static void test_growing_dataset(void **state) {
  (void)state;
  qe_dataset *data = make_data(30, 9);
  qe_batcher *batcher = make(data, NULL, 0, 4, 2), *other = make(data, NULL, 0, 4, 2);
  uint32_t before[30], after[30];
  size_t sizes[8];
  assert_int_equal(take_epoch(other, before, sizes), 30);
  assert_int_equal(qe_dataset_append_all(data, data), QE_OK);
  assert_int_equal(take_epoch(batcher, after, sizes), 30); /* the rows that there were */
  assert_memory_equal(before, after, sizeof before);
  qe_batcher_free(batcher);
  qe_batcher_free(other);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_row_once),  cmocka_unit_test(test_chosen_rows),
    cmocka_unit_test(test_order),           cmocka_unit_test(test_batches_are_of_like_length),
    cmocka_unit_test(test_resume_anywhere), cmocka_unit_test(test_cursor_values),
    cmocka_unit_test(test_bad_cursors),     cmocka_unit_test(test_bad_choices),
    cmocka_unit_test(test_growing_dataset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
