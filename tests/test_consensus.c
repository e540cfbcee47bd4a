/*
** test_consensus.c - consensus of lists: values equal those that qe_metric gives pair by pair, with and without weights,
** whatever repeats; a sample's values lie within a few of the standard errors that it states; order of candidates, an
** object's past and junk bytes change nothing; the posterior is a softmax.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROOM = 96, LIST = 40 };

struct list {
  char bytes[LIST][ROOM];
  qe_text texts[LIST];
  double weights[LIST];
  size_t count;
};

static double utility(qe_metric *metric, qe_text hypothesis, qe_text reference) {
  double statistics[64];
  assert_int_equal(qe_metric_reference(metric, &reference, 1), QE_OK);
  assert_int_equal(qe_metric_statistics(metric, hypothesis, statistics), QE_OK);
  return qe_metric_sentence(metric, statistics) / 100;
}

static bool is_first(const struct list *list, size_t number) {
  for (size_t i = 0; i < number; i++)
    if (text_same(list->texts[i], list->texts[number]))
      return false;
  return true;
}

static double naive_mean(qe_metric *metric, const struct list *list, size_t number) {
  double sum = 0;
  size_t others = 0;
  for (size_t j = 0; j < list->count; j++)
    if (is_first(list, j) && !text_same(list->texts[j], list->texts[number])) {
      sum += utility(metric, list->texts[number], list->texts[j]);
      others++;
    }
  return others > 0 ? sum / (double)others : 1;
}

static double naive_expected(qe_metric *metric, const struct list *list, size_t number) {
  double sum = 0, weight = 0;
  for (size_t j = 0; j < list->count; j++) {
    sum += list->weights[j] * utility(metric, list->texts[number], list->texts[j]);
    weight += list->weights[j];
  }
  return sum / weight;
}

/* Few letters, so that n-grams repeat within a text; white space, two-byte letters, junk and empty texts too. */
static void fill(struct list *list, qe_rng *rng) {
  static const char *const pieces[] = { "a", "b", "ab", " ", "\xc3\xb5", "aa", "\xff", ". ", "cab " };
  list->count = 1 + (size_t)(qe_rng_uniform(rng) * LIST);
  for (size_t i = 0; i < list->count; i++) {
    const size_t length = (size_t)(qe_rng_uniform(rng) * 18);
    list->bytes[i][0] = 0;
    for (size_t k = 0; k < length; k++)
      strcat(list->bytes[i], pieces[(size_t)(qe_rng_uniform(rng) * 9)]);
    if (i > 0 && qe_rng_uniform(rng) < .3)
      strcpy(list->bytes[i], list->bytes[(size_t)(qe_rng_uniform(rng) * (double)i)]);
    list->texts[i] = qe_string(list->bytes[i]);
    list->weights[i] = .01 + qe_rng_uniform(rng);
  }
}

static void test_values(void **state) {
  qe_rng rng;
  struct list list;
  double values[LIST], expected[LIST];
  qe_consensus *consensus = *state;
  qe_metric *metric = qe_metric_new();
  assert_int_equal(qe_metric_choose(metric, "chrf"), QE_OK);
  qe_rng_seed(&rng, 7, "lists");
  for (int round = 0; round < 60; round++) {
    fill(&list, &rng);
    assert_int_equal(qe_consensus_values(consensus, list.texts, list.count, NULL, values), QE_OK);
    assert_int_equal(qe_consensus_values(consensus, list.texts, list.count, list.weights, expected), QE_OK);
    assert_true(qe_consensus_standard_error(consensus) == 0);
    for (size_t i = 0; i < list.count; i++) {
      assert_true(fabs(values[i] - naive_mean(metric, &list, i)) < 1e-12);
      assert_true(fabs(expected[i] - naive_expected(metric, &list, i)) < 1e-12);
    }
  }
  qe_metric_free(metric);
}

static void test_order(void **state) {
  qe_rng rng;
  struct list list;
  double values[LIST], reversed[LIST];
  qe_text texts[LIST];
  qe_consensus *consensus = *state;
  qe_rng_seed(&rng, 11, "lists");
  for (int round = 0; round < 20; round++) {
    fill(&list, &rng);
    for (size_t i = 0; i < list.count; i++)
      texts[list.count - 1 - i] = list.texts[i];
    assert_int_equal(qe_consensus_values(consensus, list.texts, list.count, NULL, values), QE_OK);
    assert_int_equal(qe_consensus_values(consensus, texts, list.count, NULL, reversed), QE_OK);
    for (size_t i = 0; i < list.count; i++)
      assert_true(fabs(values[i] - reversed[list.count - 1 - i]) < 1e-13);
  }
}

static void test_small(void **state) {
  const qe_text one[] = { { "word", 4 }, { "word", 4 } }, two[] = { { "abc", 3 }, { "xyz", 3 } };
  const double none[] = { NAN, -1 };
  double values[2] = { -1, -1 }, weighted[2], uniform[2];
  const double alike[] = { 1, 1 };
  qe_consensus *consensus = *state;
  assert_int_equal(qe_consensus_values(consensus, NULL, 0, NULL, NULL), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, one, 2, NULL, values), QE_OK);
  assert_true(values[0] == 1 && values[1] == 1);
  assert_int_equal(qe_consensus_values(consensus, two, 2, NULL, values), QE_OK);
  assert_true(values[0] == 0 && values[1] == 0);
  assert_int_equal(qe_consensus_values(consensus, two, 2, none, weighted), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, two, 2, alike, uniform), QE_OK);
  assert_true(weighted[0] == uniform[0] && weighted[0] == .5);
}

/* 3000 strings of twelve words out of twenty each. */
static char *many_texts(qe_text *texts, size_t count, qe_rng *rng) {
  char *bytes = calloc(count, 128), *at = bytes;
  assert_non_null(bytes);
  for (size_t i = 0; i < count; i++, at += 128) {
    for (int k = 0; k < 12; k++)
      sprintf(at + strlen(at), "w%dx%d ", (int)(qe_rng_uniform(rng) * 20), k % 4);
    texts[i] = qe_string(at);
  }
  return bytes;
}

static void check_sample(qe_consensus *consensus, const qe_text *texts, size_t count, const double *weights) {
  double *exact = calloc(count, sizeof *exact), *values = calloc(count, sizeof *values), square = 0;
  assert_int_equal(qe_consensus_sample(consensus, 4000), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, texts, count, weights, exact), QE_OK);
  assert_int_equal(qe_consensus_sample(consensus, 200), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, texts, count, weights, values), QE_OK);
  const double stated = qe_consensus_standard_error(consensus);
  for (size_t i = 0; i < count; i++)
    square += (values[i] - exact[i]) * (values[i] - exact[i]);
  const double seen = sqrt(square / (double)count);
  assert_true(seen > 0 && stated > 0);
  assert_true(seen < 3 * stated);
  assert_true(stated < .02);
  assert_int_equal(qe_consensus_values(consensus, texts, count, weights, exact), QE_OK);
  assert_memory_equal(exact, values, count * sizeof *values);
  free(exact);
  free(values);
}

static void test_sample(void **state) {
  enum { MANY = 1500 };
  qe_rng rng;
  static qe_text texts[MANY];
  static double weights[MANY];
  qe_rng_seed(&rng, 3, "lists");
  char *bytes = many_texts(texts, MANY, &rng);
  for (size_t i = 0; i < MANY; i++)
    weights[i] = qe_rng_uniform(&rng);
  check_sample(*state, texts, MANY, NULL);
  check_sample(*state, texts, MANY, weights);
  free(bytes);
}

static void test_posterior(void **state) {
  (void)state;
  const double totals[] = { -1, -3, NAN, -1 }, none[] = { NAN, NAN }, infinite[] = { INFINITY, 0, -INFINITY };
  double weights[4];
  assert_int_equal(qe_consensus_posterior(totals, 4, 2, weights), QE_OK);
  assert_true(fabs(weights[1] / weights[0] - exp(-1)) < 1e-15 && weights[2] == 0 && weights[0] == weights[3]);
  assert_true(fabs(weights[0] + weights[1] + weights[3] - 1) < 1e-15);
  assert_int_equal(qe_consensus_posterior(none, 2, 1, weights), QE_OK);
  assert_true(weights[0] == .5 && weights[1] == .5);
  assert_int_equal(qe_consensus_posterior(infinite, 3, 1, weights), QE_OK);
  assert_true(weights[0] == 1 && weights[1] == 0 && weights[2] == 0);
  assert_int_equal(qe_consensus_posterior(totals, 4, 0, weights), QE_USE);
  assert_int_equal(qe_consensus_posterior(totals, 4, NAN, weights), QE_USE);
}

static void test_errors(void **state) {
  qe_consensus *consensus = *state;
  assert_int_equal(qe_consensus_sample(consensus, 1), QE_USE);
  assert_string_equal(qe_consensus_error(consensus), "a sample has 2 to 65535 strings, not 1");
  assert_int_equal(qe_consensus_sample(consensus, 65536), QE_USE);
  assert_int_equal(qe_consensus_sample(consensus, 2), QE_OK);
  assert_string_equal(qe_consensus_error(consensus), "");
}

static int setup(void **state) {
  return (*state = qe_consensus_new()) ? 0 : -1;
}

static int teardown(void **state) {
  qe_consensus_free(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_values, setup, teardown),
    cmocka_unit_test_setup_teardown(test_order, setup, teardown),
    cmocka_unit_test_setup_teardown(test_small, setup, teardown),
    cmocka_unit_test_setup_teardown(test_sample, setup, teardown),
    cmocka_unit_test(test_posterior),
    cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
