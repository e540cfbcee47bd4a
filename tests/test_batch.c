/*
** test_batch.c - packed sides against rows encoded one by one, columns on a tape, and batches of a dataset that
** grows.
*/
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ROWS = 40 };

static size_t make_sentence(qe_rng *rng, char *out, size_t room) {
  size_t size = 0;
  out[0] = '\0';
  for (uint64_t words = qe_rng_below(rng, 9); words > 0; words--)
    size += (size_t)snprintf(out + size, room - size, "w%d ", (int)qe_rng_below(rng, 500));
  return size;
}

static qe_dataset *make_data(void) {
  qe_dataset *data = qe_dataset_new();
  qe_rng rng;
  char source[200], translation[200];
  qe_rng_seed(&rng, 1, "batch data");
  for (size_t i = 0; i < ROWS; i++) {
    const qe_pair pair = { .source = { source, make_sentence(&rng, source, sizeof source) },
                           .translation = { translation, make_sentence(&rng, translation, sizeof translation) } };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  return data;
}

static struct vocabulary make_vocabulary(uint32_t buckets) {
  struct vocabulary vocabulary = { 0 };
  assert_int_equal(vocabulary_hashed(&vocabulary, buckets, true), QE_OK);
  return vocabulary;
}

/* Row `number` of the batch, encoded alone. */
static void assert_row(qe_batch *batch, const struct side *side, qe_side which, size_t number,
                       const struct vocabulary *vocabulary, size_t max_words) {
  struct encoding alone = { 0 };
  struct encoding_work work = { 0 };
  const qe_pair pair = qe_dataset_pair(batch_dataset(batch), qe_batch_rows(batch)[number]);
  assert_int_equal(
      encoding_add(&alone, &work, vocabulary, which == QE_SOURCE ? pair.source : pair.translation, max_words),
      QE_OK);
  const uint32_t first = side->words.offset[number], end = side->words.offset[number + 1];
  assert_int_equal(end - first, alone.words);
  for (uint32_t w = first; w < end; w++) {
    const uint32_t begin = side->bags.offset[w], size = side->bags.offset[w + 1] - begin;
    assert_int_equal(size, alone.id[w - first + 1] - alone.id[w - first]);
    assert_memory_equal(side->ids + begin, alone.ids + alone.id[w - first], size * sizeof *alone.ids);
  }
  encoding_work_free(&work);
  encoding_free(&alone);
}

static void assert_side(qe_batch *batch, const struct side *side, qe_side which,
                        const struct vocabulary *vocabulary, size_t max_words) {
  assert_non_null(side);
  assert_int_equal(side->words.count, qe_batch_size(batch));
  assert_int_equal(side->words.offset[0], 0);
  assert_int_equal(side->bags.offset[0], 0);
  assert_int_equal(side->words.offset[side->words.count], side->bags.count);
  for (size_t i = 0; i < qe_batch_size(batch); i++)
    assert_row(batch, side, which, i, vocabulary, max_words);
}

static void test_random_batches(void **state) {
  (void)state;
  qe_dataset *data = make_data();
  struct vocabulary vocabulary = make_vocabulary(97);
  qe_rng rng;
  qe_rng_seed(&rng, 2, "batches");
  for (int round = 0; round < 100; round++) {
    uint32_t rows[2 * ROWS];
    const size_t count = (size_t)qe_rng_below(&rng, 2 * ROWS); /* rows may repeat */
    for (size_t i = 0; i < count; i++)
      rows[i] = (uint32_t)qe_rng_below(&rng, ROWS);
    qe_batch *batch = qe_batch_new(data, rows, count);
    assert_int_equal(qe_batch_size(batch), count);
    assert_memory_equal(qe_batch_rows(batch), rows, count * sizeof *rows);
    const size_t max_words = round % 2 ? 4 : 100;
    for (int side = 0; side < 2; side++)
      assert_side(batch, batch_side(batch, (qe_side)side, &vocabulary, max_words), (qe_side)side, &vocabulary,
                  max_words);
    qe_batch_free(batch);
  }
  vocabulary_free(&vocabulary);
  qe_dataset_free(data);
}

static void test_sides_are_kept(void **state) {
  (void)state;
  const uint32_t rows[] = { 3, 1, 3 };
  qe_dataset *data = make_data();
  struct vocabulary one = make_vocabulary(97), other = make_vocabulary(89), same = make_vocabulary(97);
  qe_batch *batch = qe_batch_new(data, rows, 3);
  const struct side *side = batch_side(batch, QE_SOURCE, &one, 50);
  assert_ptr_equal(batch_side(batch, QE_SOURCE, &same, 50), side); /* equal, though not the same object */
  assert_ptr_not_equal(batch_side(batch, QE_TARGET, &one, 50), side);
  assert_ptr_not_equal(batch_side(batch, QE_SOURCE, &other, 50), side);
  assert_ptr_not_equal(batch_side(batch, QE_SOURCE, &one, 2), side);
  assert_ptr_equal(batch_side(batch, QE_SOURCE, &one, 50), side);
  assert_side(batch, batch_side(batch, QE_SOURCE, &other, 50), QE_SOURCE, &other, 50);
  assert_side(batch, batch_side(batch, QE_SOURCE, &one, 2), QE_SOURCE, &one, 2);
  qe_batch_free(batch);
  vocabulary_free(&one);
  vocabulary_free(&other);
  vocabulary_free(&same);
  qe_dataset_free(data);
}

static void test_encodings_are_kept_until_rows_come(void **state) {
  (void)state;
  const uint32_t rows[] = { 7, 0 };
  qe_dataset *data = make_data();
  struct vocabulary vocabulary = make_vocabulary(97);
  const struct encoding *encoding = dataset_encoding(data, QE_TARGET, &vocabulary, 50);
  assert_int_equal(encoding->texts, ROWS);
  double values[2 * ROWS] = { 0 };
  assert_int_equal(qe_dataset_set_column(data, "x", values), QE_OK);
  assert_ptr_equal(dataset_encoding(data, QE_TARGET, &vocabulary, 50), encoding);
  qe_batch *batch = qe_batch_new(data, rows, 2);
  const struct side *side = batch_side(batch, QE_TARGET, &vocabulary, 50);
  assert_int_equal(qe_dataset_append_all(data, data), QE_OK);
  assert_ptr_equal(batch_side(batch, QE_TARGET, &vocabulary, 50), side); /* outlives the encoding */
  assert_side(batch, side, QE_TARGET, &vocabulary, 50);
  assert_int_equal(dataset_encoding(data, QE_TARGET, &vocabulary, 50)->texts, 2 * ROWS);
  const uint32_t late[] = { ROWS + 7 };
  qe_batch *second = qe_batch_new(data, late, 1);
  assert_side(second, batch_side(second, QE_TARGET, &vocabulary, 50), QE_TARGET, &vocabulary, 50);
  qe_batch_free(second);
  qe_batch_free(batch);
  vocabulary_free(&vocabulary);
  qe_dataset_free(data);
}

static void test_empty_batch(void **state) {
  (void)state;
  qe_dataset *data = qe_dataset_new();
  struct vocabulary vocabulary = make_vocabulary(97);
  qe_batch *batch = qe_batch_new(data, NULL, 0);
  const struct side *side = batch_side(batch, QE_SOURCE, &vocabulary, 50);
  assert_int_equal(side->words.count, 0);
  assert_int_equal(side->words.offset[0], 0);
  assert_int_equal(side->bags.count, 0);
  assert_int_equal(side->bags.offset[0], 0);
  qe_batch_free(batch);
  qe_batch_free(NULL);
  vocabulary_free(&vocabulary);
  qe_dataset_free(data);
}

static void test_row_that_is_not_there(void **state) {
  (void)state;
  const uint32_t rows[] = { 0, ROWS };
  qe_dataset *data = make_data();
  assert_null(qe_batch_new(data, rows, 2));
  assert_string_equal(qe_dataset_error(data), "batch: row 40, but the dataset has 40 rows");
  qe_batch *batch = qe_batch_new(data, rows, 1);
  assert_non_null(batch);
  assert_string_equal(qe_dataset_error(data), "");
  qe_batch_free(batch);
  qe_dataset_free(data);
}

/* ---- segments of a model ---- */

static void test_segments(void **state) {
  (void)state;
  const uint32_t rows[] = { 5, 6, 7 };
  qe_dataset *data = make_data();
  qe_batch *batch = qe_batch_new(data, rows, 3);
  struct qe_model model = { 0 };
  qe_segments segments = { NULL, 0 };
  assert_int_equal(qe_batch_segments(batch, &model, QE_SOURCE, &segments), QE_USE);
  assert_string_equal(qe_dataset_error(data), "segments: the model is empty");
  model.params = qe_params_new();
  model.vocabulary[QE_SOURCE] = make_vocabulary(31);
  model.vocabulary[QE_TARGET] = make_vocabulary(37);
  model.configuration.max_tokens = 5;
  assert_int_equal(qe_batch_segments(batch, &model, (qe_side)2, &segments), QE_USE);
  assert_string_equal(qe_dataset_error(data), "segments: side 2, expected 0 or 1");
  for (int side = 0; side < 2; side++) {
    assert_int_equal(qe_batch_segments(batch, &model, (qe_side)side, &segments), QE_OK);
    assert_int_equal(segments.count, 3);
    assert_ptr_equal(segments.offset, batch_side(batch, (qe_side)side, &model.vocabulary[side], 5)->words.offset);
    vocabulary_free(&model.vocabulary[side]);
  }
  qe_params_free(model.params);
  qe_batch_free(batch);
  qe_dataset_free(data);
}

/* ---- columns ---- */

static void test_column(void **state) {
  (void)state;
  const uint32_t rows[] = { 9, 0, 9 };
  qe_dataset *data = make_data();
  double values[ROWS];
  for (size_t i = 0; i < ROWS; i++)
    values[i] = i == 0 ? NAN : (double)i / 4;
  assert_int_equal(qe_dataset_set_column(data, "z", values), QE_OK);
  qe_batch *batch = qe_batch_new(data, rows, 3);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor column = qe_batch_column(tape, batch, "z");
  assert_int_equal(qe_tape_status(tape), QE_OK);
  assert_int_equal(qe_rows(column), 3);
  assert_int_equal(qe_cols(column), 1);
  const qe_real *found = qe_values(column);
  assert_true(found[0] == (qe_real)2.25 && isnan(found[1]) && found[2] == (qe_real)2.25);
  qe_tape_free(tape);
  qe_batch_free(batch);
  qe_dataset_free(data);
}

static void assert_no_column(qe_tape *tape, qe_batch *batch, const char *message) {
  qe_tensor column = qe_batch_column(tape, batch, "label");
  assert_null(column.tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), message);
  qe_tape_reset(tape);
}

static void test_column_that_is_not_there(void **state) {
  (void)state;
  const uint32_t rows[] = { 1 };
  qe_dataset *data = make_data();
  const double values[ROWS] = { 0 };
  qe_batch *batch = qe_batch_new(data, rows, 1);
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_no_column(tape, batch, "batch column: there is none named \"label\"; the dataset has: none");
  qe_dataset_set_column(data, "z", values);
  qe_dataset_set_column(data, "labels", values);
  assert_no_column(tape, batch, "batch column: there is none named \"label\"; the dataset has: z, labels");
  for (int i = 0; i < 60; i++) {
    char name[24];
    snprintf(name, sizeof name, "column_%d", i);
    qe_dataset_set_column(data, name, values);
  }
  qe_batch_column(tape, batch, "label");
  const char *text = qe_tape_error(tape);
  assert_string_equal(text + strlen(text) - 5, ", ...");
  qe_tape_free(tape);
  qe_batch_free(batch);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_random_batches),
    cmocka_unit_test(test_sides_are_kept),
    cmocka_unit_test(test_encodings_are_kept_until_rows_come),
    cmocka_unit_test(test_empty_batch),
    cmocka_unit_test(test_row_that_is_not_there),
    cmocka_unit_test(test_segments),
    cmocka_unit_test(test_column),
    cmocka_unit_test(test_column_that_is_not_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
