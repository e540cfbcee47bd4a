/*
** test_rerank.c - the reranker: evidence against the parts that make it, which weights serve in which case, what guards
** do to the order, and every refusal with its text.
*/
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 40 };

static qe_list *list_of(const char *source, const char *const *lines, size_t count) {
  qe_list *list = qe_list_new();
  for (size_t i = 0; i < count; i++)
    if (qe_list_add(list, qe_string(lines[i]), i + 1) != 1)
      fail_msg("%s: %s", lines[i], qe_list_error(list));
  if (source)
    assert_int_equal(qe_list_set_source(list, qe_string(source)), QE_OK);
  return list;
}

static void rank(qe_reranker *reranker, qe_list *list, size_t *order, double *totals, unsigned *vetoes) {
  if (qe_rerank(reranker, list, order, totals, vetoes) != QE_OK)
    fail_msg("%s", qe_reranker_error(reranker));
}

static void weigh(qe_reranker *reranker, const char *json) {
  if (qe_reranker_weights(reranker, qe_string(json), "here") != QE_OK)
    fail_msg("%s", qe_reranker_error(reranker));
}

static const char *const three[] = { "0 ||| the red house ||| F0= 1 ||| -3", "0 ||| a red horse ||| F0= 2 ||| -1",
                                     "0 ||| the red horse ||| F0= 3 ||| -2" };

static void test_consensus_is_that_of_the_list(void **state) {
  const qe_text texts[] = { qe_string("the red house"), qe_string("a red horse"), qe_string("the red horse") };
  const double totals[] = { -3, -1, -2 };
  double weights[3], mean[3], expected[3], sums[3], value;
  size_t order[3];
  (void)state;
  qe_consensus *consensus = qe_consensus_new();
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  qe_list *list = list_of(NULL, three, 3);
  assert_int_equal(qe_consensus_values(consensus, texts, 3, NULL, mean), QE_OK);
  assert_int_equal(qe_consensus_posterior(totals, 3, 1, weights), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, texts, 3, weights, expected), QE_OK);
  weigh(reranker, "{\"MBR0\": 2, \"MBRP0\": 1, \"F0\": 0.001}");
  rank(reranker, list, order, sums, NULL);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(qe_list_feature(list, i, "MBR0", &value, 1), 1);
    assert_true(value == mean[i]);
    assert_int_equal(qe_list_feature(list, i, "MBRP0", &value, 1), 1);
    assert_true(value == expected[i]);
    assert_true(fabs(sums[i] - (2 * mean[i] + expected[i] + .001 * (double)(i + 1))) < 1e-12);
  }
  assert_int_equal(order[0], 2);
  assert_string_equal(qe_reranker_origin(reranker), "here");
  qe_list_free(list);
  qe_reranker_free(reranker);
  qe_consensus_free(consensus);
}

/* What a list has is used as it is. */
static void test_evidence_that_is_there_stays(void **state) {
  static const char *const lines[] = { "0 ||| a b ||| MBR0= 1 ||| 0", "0 ||| a c ||| MBR0= 2 ||| 0",
                                       "0 ||| a b ||| MBR0= 0 ||| 0" };
  size_t order[3];
  (void)state;
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  qe_list *list = list_of(NULL, lines, 3);
  rank(reranker, list, order, NULL, NULL);
  assert_int_equal(order[0], 1);
  assert_int_equal(order[2], 2);
  qe_list_free(list);
  qe_reranker_free(reranker);
}

/* The model's scores are those of qe_score, with the list's scores of tokens where the model reads them. */
static void check_quality(const char *configuration, bool logprobs) {
  const float tokens[3][3] = { { -1, -2, 0 }, { -.5F, -.25F, -1 }, { -3, -2, -1 } };
  const size_t counts[] = { 2, 3, 3 };
  static const char *const lines[] = { "7 ||| ka lomi ||| WordScores= -1 -2 ||| F0= 1 ||| -1",
                                       "7 ||| pa! su ||| WordScores= -.5 -.25 -1 ||| F0= 1 ||| -2",
                                       "7 |||  ||| WordScores= -3 -2 -1 ||| F0= 1 ||| -3" };
  size_t order[3];
  double sums[3];
  float scores[3];
  qe_dataset *data = fixture_data(20, 3, 10);
  qe_model *model = fixture_model(configuration, data);
  qe_reranker *reranker = qe_reranker_new(model, NULL);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_list *list = list_of("Teri ka", lines, 3);
  qe_pair pairs[3];
  for (size_t i = 0; i < 3; i++)
    pairs[i] = (qe_pair){ qe_string("Teri ka"), qe_list_get(list, i)->text, logprobs ? tokens[i] : NULL,
                          logprobs ? counts[i] : 0 };
  assert_int_equal(qe_score(scorer, pairs, 3, scores), QE_OK);
  weigh(reranker, "{\"QE0\": 1}");
  assert_int_equal(qe_reranker_guards(reranker, "none"), QE_OK);
  rank(reranker, list, order, sums, NULL);
  for (size_t i = 0; i < 3; i++)
    assert_true(sums[i] == (double)scores[i]);
  assert_true(scores[order[0]] >= scores[order[1]] && scores[order[1]] >= scores[order[2]]);
  qe_list_free(list);
  qe_scorer_free(scorer);
  qe_reranker_free(reranker);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_quality_is_that_of_the_model(void **state) {
  (void)state;
  check_quality(FIXTURE_NGRAMS, false);
  check_quality(FIXTURE_WORDS, true);
}

static void expect_origin(const qe_model *model, const char *const *lines, const char *origin) {
  size_t order[2];
  qe_reranker *reranker = qe_reranker_new(model, NULL);
  qe_list *list = list_of("source", lines, 2);
  rank(reranker, list, order, NULL, NULL);
  assert_string_equal(qe_reranker_origin(reranker), origin);
  qe_list_free(list);
  qe_reranker_free(reranker);
}

static void test_which_weights(void **state) {
  static const char *const totals[] = { "0 ||| a ||| F0= 1 ||| -1", "0 ||| b ||| F0= 2 ||| -2" };
  static const char *const none[] = { "0 ||| a ||| F0= 1", "0 ||| b ||| F0= 2" };
  (void)state;
  qe_dataset *data = fixture_data(20, 3, 10);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  expect_origin(NULL, none, "default-consensus");
  expect_origin(NULL, totals, "default-decoder");
  expect_origin(model, none, "default-consensus-model");
  expect_origin(model, totals, "default-decoder-model");
  assert_int_equal(qe_model_describe(model, "{\"weights\": {\"F0\": 1}}"), QE_OK);
  expect_origin(model, totals, "manifest.json");
  qe_model_free(model);
  qe_dataset_free(data);
}

/* No weights at all keep the order, whatever the totals. */
static void test_decoder_order(void **state) {
  size_t order[3];
  (void)state;
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  qe_list *list = list_of(NULL, three, 3);
  weigh(reranker, "{}");
  rank(reranker, list, order, NULL, NULL);
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(order[i], i);
  qe_list_free(list);
  qe_reranker_free(reranker);
}

static void test_guards_hold_back(void **state) {
  static const char *const lines[] = { "0 ||| he has 3 dogs ||| F0= 1 ||| -1",
                                       "0 ||| he has 4 dogs ||| F0= 9 ||| -2", "0 |||  ||| F0= 8 ||| -2",
                                       "0 ||| he has got 3 dogs ||| F0= 7 ||| -2",
                                       "0 ||| he has 3 cats ||| F0= 2 ||| -2" };
  static const size_t held[] = { 3, 1, 2, 4, 0 };
  size_t order[5];
  unsigned vetoes[5];
  double sums[5];
  (void)state;
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  qe_list *list = list_of("er hat 3 hunde", lines, 5);
  weigh(reranker, "{\"F0\": 1}");
  rank(reranker, list, order, sums, vetoes);
  assert_memory_equal(order, held, sizeof held);
  assert_int_equal(qe_reranker_refused(reranker), 2);
  assert_true(sums[1] == 7 && sums[2] == 7 && sums[3] == 7 && sums[4] == 2);
  assert_int_equal(vetoes[1], QE_GUARD_NUMBER);
  assert_int_equal(vetoes[2] & QE_GUARD_EMPTY, QE_GUARD_EMPTY);
  assert_int_equal(vetoes[0] | vetoes[3] | vetoes[4], 0);
  assert_int_equal(qe_reranker_guards(reranker, "all,-number"), QE_OK);
  rank(reranker, list, order, NULL, NULL);
  assert_int_equal(order[0], 1);
  assert_int_equal(qe_reranker_guards(reranker, "none"), QE_OK);
  rank(reranker, list, order, sums, vetoes);
  assert_int_equal(order[0], 1);
  assert_true(sums[2] == 8);
  assert_int_equal(qe_reranker_refused(reranker), 0);
  assert_int_equal(vetoes[1], 0);
  qe_list_free(list);
  qe_reranker_free(reranker);
}

static int never(void *context) {
  return ++*(int *)context > 2;
}

static void expect_error(qe_reranker *reranker, const char *source, int status, const char *text) {
  size_t order[3];
  qe_list *list = list_of(source, three, 3);
  assert_int_equal(qe_rerank(reranker, list, order, NULL, NULL), status);
  if (!strstr(qe_reranker_error(reranker), text))
    fail_msg("\"%s\" does not say \"%s\"", qe_reranker_error(reranker), text);
  qe_list_free(list);
}

static void test_refusals(void **state) {
  int asked = 1;
  (void)state;
  qe_dataset *data = fixture_data(20, 3, 10);
  qe_model *model = fixture_model(FIXTURE_WORDS, data);
  qe_reranker *bare = qe_reranker_new(NULL, NULL), *reranker = qe_reranker_new(model, NULL);
  weigh(bare, "{\"QE0\": 1}");
  expect_error(bare, "s", QE_FORMAT, "line 1 has no feature QE0");
  assert_int_equal(qe_reranker_quality(bare, "QE0"), QE_USE);
  assert_int_equal(qe_reranker_weights(bare, qe_string("[x]"), "file"), QE_FORMAT);
  assert_non_null(strstr(qe_reranker_error(bare), "file"));
  expect_error(bare, "s", QE_FORMAT, "QE0"); /* what was refused changed nothing */
  assert_int_equal(qe_reranker_guards(bare, "all,-none-such"), QE_USE);
  weigh(reranker, "{\"QE0\": 1}");
  expect_error(reranker, NULL, QE_FORMAT, "source of list 0");
  expect_error(reranker, "s", QE_FORMAT, "scores of tokens");
  weigh(reranker, "{\"MBR0\": 1, \"MBRP0\": 1}");
  qe_reranker_stop(reranker, never, &asked);
  expect_error(reranker, "s", QE_WORLD, "stopped");
  assert_int_equal(asked, 3);
  qe_reranker_stop(reranker, NULL, NULL);
  assert_int_equal(qe_reranker_quality(reranker, ""), QE_USE);
  qe_reranker_free(reranker);
  assert_int_equal(qe_model_describe(model, "{\"weights\": {\"F0\": \"much\"}}"), QE_OK);
  reranker = qe_reranker_new(model, NULL);
  expect_error(reranker, "s", QE_FORMAT, "manifest.json: F0");
  weigh(reranker, "{\"F0\": 1}");
  expect_error(reranker, "s", QE_OK, "");
  qe_reranker_free(reranker);
  qe_reranker_free(bare);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Lists of any size, one after the other; order and picks are what a sort by hand gives. */
static void test_random_lists(void **state) {
  qe_rng rng;
  size_t order[MOST];
  double sums[MOST];
  unsigned vetoes[MOST];
  char text[512];
  (void)state;
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  qe_rng_seed(&rng, 4, "rerank");
  for (int round = 0; round < 200; round++) {
    qe_list *list = qe_list_new();
    const size_t count = qe_rng_below(&rng, MOST);
    for (size_t i = 0; i < count; i++) {
      const qe_hypothesis hypothesis = { .text = { text, fixture_sentence(&rng, text, sizeof text, 6) },
                                         .total = -(double)qe_rng_below(&rng, 3) };
      assert_int_equal(qe_list_push(list, &hypothesis), QE_OK);
    }
    rank(reranker, list, order, sums, vetoes);
    for (size_t i = 1; i < count; i++)
      assert_true(sums[order[i - 1]] > sums[order[i]] ||
                  (i == 1 || order[i - 1] < order[i] || vetoes[order[i - 1]] || vetoes[order[i]]));
    if (count > 0)
      assert_int_equal(vetoes[order[0]], 0);
    for (size_t i = 0; i < count; i++)
      if (!vetoes[i])
        assert_true(sums[i] <= sums[order[0]]);
    qe_list_free(list);
  }
  qe_reranker_free(reranker);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_consensus_is_that_of_the_list),
    cmocka_unit_test(test_evidence_that_is_there_stays),
    cmocka_unit_test(test_quality_is_that_of_the_model),
    cmocka_unit_test(test_which_weights),
    cmocka_unit_test(test_decoder_order),
    cmocka_unit_test(test_guards_hold_back),
    cmocka_unit_test(test_refusals),
    cmocka_unit_test(test_random_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
