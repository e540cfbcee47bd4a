/*
** test_lexicon.c - IBM model 1 against a twin with dense tables in double, leave-one-out against what a pair gives by
** itself; the bits do not depend on threads; pruning; words that are cut, unknown or missing.
*/
#include "lexicon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WORDS = 9, PAIRS = 40, MOST = 6, ITERATIONS = 5 };

/* Words by number, 1 to WORDS: sentences of both sides as numbers. */
struct corpus {
  qe_dataset *data;
  size_t count[2][PAIRS];
  int word[2][PAIRS][MOST];
};

static const char *const names[2] = { "abcdefghi", "rstuvwxyz" };

static struct corpus make(void) {
  struct corpus c = { .data = qe_dataset_new() };
  qe_rng rng;
  qe_rng_seed(&rng, 3, "corpus");
  for (size_t i = 0; i < PAIRS; i++) {
    char texts[2][64] = { "", "" };
    for (size_t side = 0; side < 2; side++) {
      c.count[side][i] = i == 7 ? 0 : qe_rng_below(&rng, MOST + 1);
      for (size_t j = 0; j < c.count[side][i]; j++) {
        c.word[side][i][j] = 1 + (int)qe_rng_below(&rng, WORDS);
        sprintf(texts[side] + strlen(texts[side]), "%c%c ", names[side][c.word[side][i][j] - 1], 'a' + (int)side);
      }
    }
    const qe_pair pair = { .source = qe_string(texts[0]), .translation = qe_string(texts[1]) };
    assert_int_equal(qe_dataset_append(c.data, &pair), QE_OK);
  }
  return c;
}

/* Given words 0 (empty) to WORDS, other words 1 to WORDS. */
struct twin {
  double before[WORDS + 1][WORDS + 1], count[WORDS + 1][WORDS + 1], total[WORDS + 1];
};

static int given_word(const struct corpus *c, size_t side, size_t pair, size_t n) {
  return n < c->count[side][pair] ? c->word[side][pair][n] : 0;
}

/* Posteriors of a pair, added to the counts. */
static void expect(const struct corpus *c, const struct twin *twin, size_t side, size_t pair,
                   double count[WORDS + 1][WORDS + 1]) {
  for (size_t m = 0; m < c->count[1 - side][pair]; m++) {
    const int other = c->word[1 - side][pair][m];
    double sum = 0;
    for (size_t n = 0; n <= c->count[side][pair]; n++)
      sum += twin->before[given_word(c, side, pair, n)][other];
    for (size_t n = 0; n <= c->count[side][pair]; n++)
      count[given_word(c, side, pair, n)][other] += twin->before[given_word(c, side, pair, n)][other] / sum;
  }
}

static void train_twin(const struct corpus *c, size_t side, struct twin *twin) {
  for (int iteration = 0; iteration < ITERATIONS; iteration++) {
    for (size_t e = 0; e <= WORDS; e++)
      for (size_t f = 1; f <= WORDS; f++)
        twin->before[e][f] = iteration == 0 ? 1 : twin->total[e] > 0 ? twin->count[e][f] / twin->total[e] : 0;
    memset(twin->count, 0, sizeof twin->count);
    memset(twin->total, 0, sizeof twin->total);
    for (size_t i = 0; i < PAIRS; i++)
      expect(c, twin, side, i, twin->count);
    for (size_t e = 0; e <= WORDS; e++)
      for (size_t f = 1; f <= WORDS; f++)
        twin->total[e] += twin->count[e][f];
  }
}

static const char *name(size_t side, int word, char text[3]) {
  text[0] = names[side][word - 1];
  text[1] = (char)('a' + (int)side);
  text[2] = '\0';
  return text;
}

static qe_lexicon *trained(const struct corpus *c, int threads) {
  const qe_lexicon_options options = { .iterations = ITERATIONS };
  qe_lexicon *lexicon = qe_lexicon_new();
  qe_pool *pool = qe_pool_new(threads);
  if (qe_lexicon_train(lexicon, c->data, &options, pool) != QE_OK)
    fail_msg("%s", qe_lexicon_error(lexicon));
  qe_pool_free(pool);
  return lexicon;
}

static void near(double found, double expected) {
  if (fabs(found - expected) > 1e-5)
    fail_msg("%.8f, the twin has %.8f", found, expected);
}

static void test_twin(void **state) {
  struct corpus c = make();
  qe_lexicon *lexicon = trained(&c, 1);
  (void)state;
  for (size_t side = 0; side < 2; side++) {
    struct twin *twin = calloc(1, sizeof *twin);
    train_twin(&c, side, twin);
    for (int e = 0; e <= WORDS; e++)
      for (int f = 1; f <= WORDS; f++) {
        char one[3], other[3];
        near(qe_lexicon_probability(lexicon, (qe_side)side, qe_string(e ? name(side, e, one) : ""),
                                    qe_string(name(1 - side, f, other))),
             twin->count[e][f] / (twin->total[e] + 1));
      }
    free(twin);
  }
  qe_lexicon_free(lexicon);
  qe_dataset_free(c.data);
}

static void check_pair(const struct corpus *c, const qe_lexicon *lexicon, const struct twin *twin, size_t side,
                       size_t pair, struct lexicon_matrix *matrix) {
  double own[WORDS + 1][WORDS + 1] = { { 0 } };
  const qe_pair text = qe_dataset_pair(c->data, pair);
  expect(c, twin, side, pair, own);
  for (int counted = 0; counted < 2; counted++) {
    assert_int_equal(lexicon_pair(lexicon, (qe_side)side, &text, &text, counted ? 1 : 0, matrix), QE_OK);
    assert_int_equal(matrix->rows, c->count[1 - side][pair]);
    assert_int_equal(matrix->cols, c->count[side][pair] + 1);
    for (size_t m = 0; m < matrix->rows; m++)
      for (size_t n = 0; n < matrix->cols; n++) {
        const int e = given_word(c, side, pair, n), f = c->word[1 - side][pair][m];
        double total = twin->total[e], count = twin->count[e][f];
        for (size_t k = 1; counted && k <= WORDS; k++)
          total -= own[e][k];
        count -= counted ? own[e][f] : 0;
        near((double)matrix->t[m * matrix->cols + n], fmax(count, 0) / (total + 1));
      }
  }
}

static void test_leave_one_out(void **state) {
  struct corpus c = make();
  qe_lexicon *lexicon = trained(&c, 1);
  struct lexicon_matrix matrix = { 0 };
  (void)state;
  for (size_t side = 0; side < 2; side++) {
    struct twin *twin = calloc(1, sizeof *twin);
    train_twin(&c, side, twin);
    for (size_t i = 0; i < PAIRS; i++)
      check_pair(&c, lexicon, twin, side, i, &matrix);
    free(twin);
  }
  lexicon_matrix_free(&matrix);
  qe_lexicon_free(lexicon);
  qe_dataset_free(c.data);
}

static void test_threads(void **state) {
  struct corpus c = make();
  qe_lexicon *one = trained(&c, 1), *three = trained(&c, 3);
  (void)state;
  for (size_t side = 0; side < 2; side++) {
    qe_text word[2], other[2];
    double t[2];
    assert_int_equal(qe_lexicon_entries(one, (qe_side)side), qe_lexicon_entries(three, (qe_side)side));
    for (size_t i = 0; i < qe_lexicon_entries(one, (qe_side)side); i++) {
      assert_int_equal(qe_lexicon_entry(one, (qe_side)side, i, &word[0], &other[0], &t[0]), QE_OK);
      assert_int_equal(qe_lexicon_entry(three, (qe_side)side, i, &word[1], &other[1], &t[1]), QE_OK);
      assert_memory_equal(&t[0], &t[1], sizeof t[0]);
      near(qe_lexicon_probability(one, (qe_side)side, word[0], other[0]), t[0]);
    }
    assert_int_equal(
        qe_lexicon_entry(one, (qe_side)side, qe_lexicon_entries(one, (qe_side)side), &word[0], &other[0], &t[0]),
        QE_USE);
  }
  qe_lexicon_free(one);
  qe_lexicon_free(three);
  qe_dataset_free(c.data);
}

static void test_pruning(void **state) {
  struct corpus c = make();
  qe_lexicon *whole = trained(&c, 1), *pruned = trained(&c, 1);
  size_t kept = 0;
  (void)state;
  assert_int_equal(qe_lexicon_prune(pruned, .1), QE_OK);
  for (size_t i = 0; i < qe_lexicon_entries(whole, QE_SOURCE); i++) {
    qe_text word, other;
    double t;
    assert_int_equal(qe_lexicon_entry(whole, QE_SOURCE, i, &word, &other, &t), QE_OK);
    near(qe_lexicon_probability(pruned, QE_SOURCE, word, other), t >= .1 ? t : 0);
    kept += t >= .1;
  }
  assert_in_range(kept, 1, qe_lexicon_entries(whole, QE_SOURCE) - 1);
  assert_int_equal(qe_lexicon_entries(pruned, QE_SOURCE), kept);
  assert_int_equal(qe_lexicon_prune(pruned, 2), QE_USE);
  qe_lexicon_free(whole);
  qe_lexicon_free(pruned);
  qe_dataset_free(c.data);
}

/* Forms of a word count together; what is no letter stays whole. */
static void test_stems(void **state) {
  static const char *const texts[][2] = { { "Majandus 1234567", "economy 1234567" },
                                          { "majanduse 1234568", "Economic 1234568" } };
  qe_dataset *data = qe_dataset_new();
  qe_lexicon *lexicon = qe_lexicon_new();
  (void)state;
  assert_int_equal(qe_lexicon_train(lexicon, data, NULL, NULL), QE_USE);
  for (size_t i = 0; i < 2; i++) {
    const qe_pair pair = { .source = qe_string(texts[i][0]), .translation = qe_string(texts[i][1]) };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  assert_int_equal(qe_lexicon_train(lexicon, data, NULL, NULL), QE_OK);
  assert_int_equal(qe_lexicon_words(lexicon, QE_SOURCE), 3);
  assert_int_equal(qe_lexicon_words(lexicon, QE_TARGET), 3);
  const double t = qe_lexicon_probability(lexicon, QE_SOURCE, qe_string("MAJANdusele"), qe_string("economist"));
  assert_true(t > .3);
  assert_true(qe_lexicon_probability(lexicon, QE_SOURCE, qe_string("1234567"), qe_string("1234568")) == 0);
  assert_true(qe_lexicon_probability(lexicon, QE_SOURCE, qe_string("unknown"), qe_string("economy")) == 0);
  assert_true(qe_lexicon_probability(lexicon, QE_SOURCE, qe_string("majandus"), qe_string("unknown")) == 0);
  qe_lexicon_free(lexicon);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_twin), cmocka_unit_test(test_leave_one_out),
                                      cmocka_unit_test(test_threads), cmocka_unit_test(test_pruning),
                                      cmocka_unit_test(test_stems) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
