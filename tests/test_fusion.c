/*
** test_fusion.c - weights from JSON, Moses files and by hand, with every refusal named, and the order that they give,
** compared with sums made by hand and an insertion sort.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIZE = 60 };

static qe_list *list_of(const char *const *lines, size_t count) {
  qe_list *list = qe_list_new();
  for (size_t i = 0; i < count; i++)
    if (qe_list_add(list, qe_string(lines[i]), i + 1) != 1)
      fail_msg("%s: %s", lines[i], qe_list_error(list));
  return list;
}

static qe_weights *weights_of(const char *text) {
  qe_weights *weights = qe_weights_new();
  if (qe_weights_parse(weights, qe_string(text), "file") != QE_OK)
    fail_msg("%s: %s", text, qe_weights_error(weights));
  return weights;
}

/* The sum of the one candidate "F0= 1 LM= 10 100 ||| 1000", which shows every weight as a digit. */
static double digits_of(const qe_weights *weights) {
  static const char *const line = "0 ||| a ||| F0= 1 LM= 10 100 ||| 1000";
  size_t order;
  double total = NAN;
  qe_list *list = list_of(&line, 1);
  if (qe_list_rank(list, weights, &order, &total) != QE_OK)
    fail_msg("%s", qe_list_error(list));
  qe_list_free(list);
  return total;
}

static void test_accepted(void **state) {
  static const struct {
    const char *text;
    double sum;
  } cases[] = {
    { "{\"F0\": 1, \"LM\": [2, 3], \"total\": 4}", 4321 },
    { " \n\t{\"F0\": [5]}", 5 },
    { "{}", 0 },
    { "{\"total\": -1.5e0}", -1500 },
    { "[weight]\nF0= 1\nLM= 2 3\ntotal= 4\n", 4321 },
    { "[weight]\r\nF0= 1\r\nLM= 2 3", 321 },
    { "# all of it\n[feature]\nLM name=LM\n[weight] # here\n\n  F0=1 # one\n\tLM=2  3\n[input-factors]\n0\n", 321 },
    { "[weight]\nF0= 1\n[other]\nF0= 7\n[weight]\ntotal= 1", 1001 },
    { "[weight]\n", 0 },
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qe_weights *weights = weights_of(cases[i].text);
    const double sum = digits_of(weights);
    if (sum < cases[i].sum || sum > cases[i].sum)
      fail_msg("%s: the sum is %g", cases[i].text, sum);
    qe_weights_free(weights);
  }
}

static void test_refused(void **state) {
  static const char *const cases[][2] = {
    { "", "file: neither JSON nor a file with [weight]" },
    { "F0= 1\n", "neither JSON" },
    { "[1]", "neither JSON" },
    { "{", "file:1: " },
    { "{\n\"F0\": 1,\n\"F0\": 2}", "file:3: duplicate" },
    { "{\"F0\": 1e999}", "file:1: " },
    { "{\"F0\": NaN}", "file:1: " },
    { "{\"F0\": \"1\"}", "F0: neither a number nor an array of numbers" },
    { "{\"F0\": [1, [2]]}", "F0: neither" },
    { "{\"F0\": []}", "F0 has no weight" },
    { "{\"F0\": 1} x", "file:1: " },
    { "[weight]\nF0= 1\nLM= 2\nF0= 3\n", "file:4: F0 is named twice" },
    { "[weight]\n\nF0= 1 nan\n", "file:3: a weight of F0 is not finite" },
    { "[weight]\nF0= -inf\n", "file:2: a weight of F0 is not finite" },
    { "[weight]\nF0= 1e999\n", "not finite" },
    { "[weight]\nF0= 1 x\n", "file:2: \"x\" is not a weight" },
    { "[weight]\nF0= # 1\n", "file:2: F0 has no weight" },
    { "[weight]\nF0 1\n", "file:2: \"F0\", expected Name= weight" },
    { "[weight]\n= 1\n", "file:2: \"=\", expected" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qe_weights *weights = weights_of("{\"F0\": 1}");
    assert_int_equal(qe_weights_parse(weights, qe_string(cases[i][0]), "file"), QE_FORMAT);
    if (!strstr(qe_weights_error(weights), cases[i][1]))
      fail_msg("%s: %s", cases[i][0], qe_weights_error(weights));
    assert_true(digits_of(weights) == 0); /* nothing of it, nor of what was there before */
    assert_int_equal(qe_weights_parse(weights, qe_string("{\"total\": 1}"), "file"), QE_OK);
    assert_string_equal(qe_weights_error(weights), "");
    qe_weights_free(weights);
  }
}

static void test_setting(void **state) {
  static double many[1001];
  const double values[] = { 2, 3 }, bad[] = { 1, INFINITY };
  (void)state;
  qe_weights *weights = weights_of("{\"F0\": 1}");
  assert_int_equal(qe_weights_set(weights, "LM", values, 2), QE_OK);
  assert_true(digits_of(weights) == 321);
  assert_int_equal(qe_weights_set(weights, "F0", values, 1), QE_OK); /* in place of what it was */
  assert_true(digits_of(weights) == 322);
  assert_int_equal(qe_weights_set(weights, "LM", bad, 2), QE_USE);
  assert_non_null(strstr(qe_weights_error(weights), "LM"));
  assert_int_equal(qe_weights_set(weights, "LM", values, 0), QE_USE);
  assert_int_equal(qe_weights_set(weights, "LM", many, 1001), QE_USE);
  assert_non_null(strstr(qe_weights_error(weights), "1001 weights of LM, expected 1 to 1000"));
  assert_true(digits_of(weights) == 322);
  qe_weights_free(weights);
}

static void test_what_does_not_fit_is_named(void **state) {
  static const char *const lines[] = { "0 ||| a ||| F0= 1 LM= 1 2 ||| 0", "0 ||| b ||| F0= 1 2 ||| 0" };
  static const char *const cases[][2] = {
    { "{\"LM\": [1, 1]}", "line 2 has no feature LM" },
    { "{\"QE0\": 1}", "line 1 has no feature QE0" },
    { "{\"F0\": 1}", "line 2: F0 has 2 values, there are 1 weights" },
    { "{\"F0\": [1, 2]}", "line 1: F0 has 1 values, there are 2 weights" },
    { "{\"total\": [1, 2]}", "the total is one value, there are 2 weights" },
  };
  (void)state;
  qe_list *list = list_of(lines, 2);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t order[2] = { 5, 6 };
    double totals[2] = { 7, 8 };
    qe_weights *weights = weights_of(cases[i][0]);
    assert_int_equal(qe_list_rank(list, weights, order, totals), QE_FORMAT);
    if (!strstr(qe_list_error(list), cases[i][1]))
      fail_msg("%s: %s", cases[i][0], qe_list_error(list));
    assert_true(order[0] == 5 && order[1] == 6 && totals[0] == 7 && totals[1] == 8);
    qe_weights_free(weights);
  }
  qe_list_free(list);
}

static void check_order(const char *const *lines, size_t count, const char *text, const char *expected) {
  size_t order[8];
  qe_list *list = list_of(lines, count);
  qe_weights *weights = weights_of(text);
  if (qe_list_rank(list, weights, order, NULL) != QE_OK)
    fail_msg("%s", qe_list_error(list));
  for (size_t i = 0; i < count; i++)
    if (order[i] != (size_t)(expected[i] - '0'))
      fail_msg("%s: %zu in place %zu, expected %s", text, order[i], i, expected);
  qe_weights_free(weights);
  qe_list_free(list);
}

static void test_totals_and_ties(void **state) {
  static const char *const all[] = { "0 ||| a ||| F= 1 ||| -3", "0 ||| b ||| F= 1 ||| -1",
                                     "0 ||| c ||| F= 2 ||| -3" };
  static const char *const some[] = { "0 ||| a ||| F= 1", "0 ||| b ||| F= 3 ||| -2", "0 ||| c ||| F= 2 ||| -1" };
  static const char *const none[] = { "0 ||| a ||| F= 1", "0 ||| b ||| F= 3", "0 ||| c" };
  static const char *const odd[] = { "0 ||| a ||| F= nan", "0 ||| b ||| F= -inf", "0 ||| c ||| F= inf",
                                     "0 ||| d ||| F= nan" };
  (void)state;
  check_order(all, 3, "{\"total\": 1}", "102");
  check_order(all, 3, "{\"total\": -1}", "021");
  check_order(all, 3, "{\"F\": 1}", "201");
  check_order(all, 3, "{\"F\": 2, \"total\": 1}", "120");
  check_order(all, 3, "{}", "012");
  check_order(some, 3, "{\"total\": 1}", "210");
  check_order(some, 3, "{\"total\": 1, \"F\": 1}", "120");
  check_order(none, 3, "{\"total\": 1}", "012");
  check_order(none, 2, "{\"total\": 1, \"F\": 1}", "10");
  check_order(odd, 4, "{\"F\": 1}", "2103");
  check_order(odd, 4, "{\"F\": 0}", "0123");
}

static void test_features_that_were_added(void **state) {
  static const char *const lines[] = { "0 ||| a", "0 ||| b ||| -1", "0 ||| c ||| F= 1" };
  const double quality[] = { .25, -.5, .75 };
  size_t order[3];
  double totals[3];
  (void)state;
  qe_list *list = list_of(lines, 3);
  qe_weights *weights = weights_of("{\"QE0\": 2}");
  assert_int_equal(qe_list_append(list, "QE0", quality), QE_OK);
  assert_int_equal(qe_list_rank(list, weights, order, totals), QE_OK);
  assert_true(totals[0] == .5 && totals[1] == -1 && totals[2] == 1.5);
  assert_true(order[0] == 2 && order[1] == 0 && order[2] == 1);
  qe_weights_free(weights);
  qe_list_free(list);
}

static void test_empty_list(void **state) {
  (void)state;
  qe_list *list = qe_list_new();
  qe_weights *weights = weights_of("{\"QE0\": 2}");
  assert_int_equal(qe_list_rank(list, weights, NULL, NULL), QE_OK);
  qe_weights_free(weights);
  qe_list_free(list);
}

/* ---- a naive twin: small integers, so that sums are exact in any order ---- */

struct twin {
  int f, l[2], total;
  bool has_total;
};

static double twin_sum(const struct twin *twin, const int weights[4]) {
  return twin->has_total
             ? weights[0] * twin->f + weights[1] * twin->l[0] + weights[2] * twin->l[1] + weights[3] * twin->total
             : (double)NAN;
}

static bool twin_better(double a, double b) {
  return isnan(b) ? !isnan(a) : a > b;
}

static void twin_sort(const double *sums, size_t *order, size_t count) {
  for (size_t i = 0; i < count; i++) {
    size_t place = i;
    for (; place > 0 && twin_better(sums[i], sums[order[place - 1]]); place--)
      order[place] = order[place - 1];
    order[place] = i;
  }
}

static int small(qe_rng *rng) {
  return (int)qe_rng_below(rng, 7) - 3;
}

static void twin_draw(struct twin *twin, qe_rng *rng, qe_list *list, size_t number) {
  char line[128];
  *twin = (struct twin){ small(rng), { small(rng), small(rng) }, small(rng), qe_rng_below(rng, 6) > 0 };
  int size = snprintf(line, sizeof line, "3 ||| t ||| L= %d %d F=%d", twin->l[0], twin->l[1], twin->f);
  if (twin->has_total)
    snprintf(line + size, sizeof line - (size_t)size, " ||| %d", twin->total);
  assert_int_equal(qe_list_add(list, qe_string(line), number), 1);
}

static void check_random_list(qe_rng *rng, size_t count) {
  struct twin twins[SIZE];
  double sums[SIZE], totals[SIZE];
  size_t expected[SIZE], order[SIZE];
  const int integers[4] = { small(rng), small(rng), small(rng), small(rng) };
  const double f = integers[0], l[2] = { integers[1], integers[2] }, total = integers[3];
  qe_list *list = qe_list_new();
  qe_weights *weights = qe_weights_new();
  qe_weights_set(weights, "F", &f, 1);
  qe_weights_set(weights, "L", l, 2);
  qe_weights_set(weights, "total", &total, 1);
  for (size_t i = 0; i < count; i++) {
    twin_draw(&twins[i], rng, list, i + 1);
    sums[i] = twin_sum(&twins[i], integers);
  }
  twin_sort(sums, expected, count);
  assert_int_equal(qe_list_rank(list, weights, order, totals), QE_OK);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(order[i], expected[i]);
    assert_true(isnan(sums[i]) ? isnan(totals[i]) : totals[i] == sums[i]);
  }
  qe_weights_free(weights);
  qe_list_free(list);
}

static void test_random_lists(void **state) {
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 11, "rerank");
  for (size_t round = 0; round < 300; round++)
    check_random_list(&rng, 20 + qe_rng_below(&rng, SIZE - 20)); /* so many that one of them has a total */
}

static void first_of(const char *const *lines, size_t count, const char *text, size_t expected) {
  size_t order[4];
  qe_list *list = list_of(lines, count);
  qe_weights *weights = weights_of(text);
  assert_int_equal(qe_list_rank(list, weights, order, NULL), QE_OK);
  assert_int_equal(order[0], expected);
  qe_weights_free(weights);
  qe_list_free(list);
}

/* A margin holds the decoder's first choice against what is better by less, unless its totals say nothing. */
static void test_margin(void **state) {
  static const char *const differ[] = { "0 ||| a ||| F0= 1 ||| -1", "0 ||| b ||| F0= 1.5 ||| -2" };
  static const char *const equal[] = { "0 ||| a ||| F0= 1 ||| -1", "0 ||| b ||| F0= 1.5 ||| -1" };
  static const char *const none[] = { "0 ||| a ||| F0= 1", "0 ||| b ||| F0= 1.5" };
  (void)state;
  first_of(differ, 2, "{\"F0\": 1}", 1);
  first_of(differ, 2, "{\"F0\": 1, \"first\": 0.4}", 1);
  first_of(differ, 2, "{\"F0\": 1, \"first\": 0.6}", 0);
  first_of(equal, 2, "{\"F0\": 1, \"first\": 0.6}", 1);
  first_of(none, 2, "{\"F0\": 1, \"first\": 0.6}", 1);
  first_of(none, 2, "{\"F0\": 1, \"total\": 5}", 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_accepted),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_margin),
    cmocka_unit_test(test_setting),
    cmocka_unit_test(test_what_does_not_fit_is_named),
    cmocka_unit_test(test_totals_and_ties),
    cmocka_unit_test(test_features_that_were_added),
    cmocka_unit_test(test_empty_list),
    cmocka_unit_test(test_random_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
