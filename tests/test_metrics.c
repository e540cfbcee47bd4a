/*
** test_metrics.c - correlations and errors against naive twins, with and without ties, and what is undefined.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROWS = 150 };

static void random_columns(uint64_t seed, uint64_t values, double x[ROWS], double y[ROWS]) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "metrics");
  for (size_t i = 0; i < ROWS; i++) {
    x[i] = (double)qe_rng_below(&rng, values) - 3;
    y[i] = x[i] * (qe_rng_uniform(&rng) < .5) + (double)qe_rng_below(&rng, values);
  }
}

static double naive_kendall(const double *x, const double *y, size_t n) {
  double sum = 0, free_x = 0, free_y = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      double a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
      sum += a * b;
      free_x += a * a;
      free_y += b * b;
    }
  return sum / sqrt(free_x * free_y);
}

static void naive_ranks(const double *x, size_t n, double *ranks) {
  for (size_t i = 0; i < n; i++) {
    ranks[i] = 1;
    for (size_t j = 0; j < n; j++)
      ranks[i] += j != i ? (x[j] < x[i]) + .5 * (double)!(x[j] < x[i] || x[j] > x[i]) : 0;
  }
}

static double naive_pearson(const double *x, const double *y, size_t n) {
  long double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0, count = n;
  for (size_t i = 0; i < n; i++) {
    sx += x[i];
    sy += y[i];
    sxx += (long double)x[i] * x[i];
    syy += (long double)y[i] * y[i];
    sxy += (long double)x[i] * y[i];
  }
  return (double)((count * sxy - sx * sy) / sqrtl((count * sxx - sx * sx) * (count * syy - sy * sy)));
}

static void test_correlations(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    double x[ROWS], y[ROWS], rank_x[ROWS], rank_y[ROWS];
    random_columns(seed, seed % 2 ? 5 : 100000, x, y);
    size_t n = 2 + seed * 7;
    naive_ranks(x, n, rank_x);
    naive_ranks(y, n, rank_y);
    const double expected[3] = { naive_pearson(x, y, n), naive_pearson(rank_x, rank_y, n), naive_kendall(x, y, n) };
    const double found[3] = { qe_pearson(x, y, n), qe_spearman(x, y, n), qe_kendall(x, y, n) };
    for (int i = 0; i < 3; i++)
      assert_true(fabs(found[i] - expected[i]) < 1e-9 || (isnan(found[i]) && isnan(expected[i])));
  }
}

static void test_errors(void **state) {
  const double x[4] = { 1, 2, 3, 4 }, y[4] = { 1, 4, 3, 0 };
  (void)state;
  assert_true(fabs(qe_mae(x, y, 4) - 1.5) < 1e-12);
  assert_true(fabs(qe_rmse(x, y, 4) - sqrt(5)) < 1e-12);
}

static void test_worst_decile(void **state) {
  double x[40], y[40];
  (void)state;
  for (int i = 0; i < 40; i++)
    x[i] = y[i] = i;
  assert_true(qe_worst_decile_recall(x, y, 40) == 1);
  x[1] = 100; /* of rows 0 to 3 one is no longer among the lowest */
  assert_true(qe_worst_decile_recall(x, y, 40) == .75);
  assert_true(qe_worst_decile_recall(x, y, 1) == 1);
}

/* Row i is in the lowest tenth if fewer than a tenth of the rows come before it. */
static bool naive_in_tenth(const double *x, size_t n, size_t i) {
  size_t before = 0;
  for (size_t j = 0; j < n; j++)
    before += x[j] < x[i] || (j < i && !(x[j] > x[i]));
  return before < (n >= 10 ? n / 10 : 1);
}

static void test_worst_decile_with_ties(void **state) {
  double x[ROWS], y[ROWS];
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++)
    for (size_t n = 1; n <= ROWS; n += 1 + n / 8) {
      size_t both = 0, tenth = 0;
      random_columns(seed, seed % 2 ? 5 : 100000, x, y);
      for (size_t i = 0; i < n; i++) {
        tenth += naive_in_tenth(y, n, i);
        both += naive_in_tenth(y, n, i) && naive_in_tenth(x, n, i);
      }
      assert_true(fabs(qe_worst_decile_recall(x, y, n) - (double)both / (double)tenth) < 1e-12);
    }
}

/* The mean of equal numbers is not always that number, see 0.1 six times. */
static void test_constant(void **state) {
  double constant[ROWS], x[ROWS], y[ROWS];
  qe_statistic *const statistics[] = { qe_pearson, qe_spearman, qe_kendall };
  (void)state;
  random_columns(3, 100000, x, y);
  for (size_t i = 0; i < ROWS; i++)
    constant[i] = .1;
  for (size_t n = 2; n <= ROWS; n++)
    for (int i = 0; i < 3; i++)
      assert_true(isnan(statistics[i](constant, y, n)) && isnan(statistics[i](y, constant, n)));
}

static void test_undefined(void **state) {
  const double constant[3] = { 1, 1, 1 }, rising[3] = { 1, 2, 3 }, broken[3] = { 1, NAN, 3 };
  qe_statistic *const statistics[] = { qe_pearson, qe_spearman, qe_kendall };
  (void)state;
  for (int i = 0; i < 3; i++) {
    assert_true(isnan(statistics[i](constant, rising, 3)));
    assert_true(isnan(statistics[i](rising, broken, 3)));
    assert_true(isnan(statistics[i](rising, rising, 1)));
    assert_true(fabs(statistics[i](rising, rising, 3) - 1) < 1e-12);
  }
  assert_true(isnan(qe_mae(rising, rising, 0)) && isnan(qe_worst_decile_recall(rising, rising, 0)));
}

static void test_bootstrap(void **state) {
  double x[ROWS], y[ROWS];
  qe_interval first, second;
  const double constant[3] = { 1, 1, 1 };
  (void)state;
  random_columns(4, 1000, x, y);
  assert_int_equal(qe_bootstrap(qe_pearson, x, y, ROWS, 500, .95, 1, &first), QE_OK);
  assert_int_equal(qe_bootstrap(qe_pearson, x, y, ROWS, 500, .95, 1, &second), QE_OK);
  assert_memory_equal(&first, &second, sizeof first);
  const double r = qe_pearson(x, y, ROWS), width = first.high - first.low, expected = 4 * (1 - r * r) / sqrt(ROWS);
  assert_true(first.low < r && r < first.high);
  assert_true(width > .6 * expected && width < 1.6 * expected);
  assert_int_equal(qe_bootstrap(qe_pearson, constant, constant, 3, 100, .95, 1, &first), QE_OK);
  assert_true(isnan(first.low));
  assert_int_equal(qe_bootstrap(qe_pearson, x, y, ROWS, 10, 1, 1, &first), QE_USE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_correlations), cmocka_unit_test(test_errors),
    cmocka_unit_test(test_worst_decile), cmocka_unit_test(test_worst_decile_with_ties),
    cmocka_unit_test(test_constant),     cmocka_unit_test(test_undefined),
    cmocka_unit_test(test_bootstrap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
