/*
** test_tune.c - the tuner against a naive twin that tries every interval of one weight by brute force, and what tuning
** promises: it finds weights that made the lists, keeps the decoder's order where there is nothing to gain, and says
** so in its cross-validated estimate.
*/
#include "qestrel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LISTS = 120, CANDIDATES = 8, FEATURES = 4 };

struct world {
  double values[LISTS][CANDIDATES][FEATURES];
  double statistics[LISTS][CANDIDATES][2]; /* quality, 1 */
};

static double mean_quality(void *context, const double *sums) {
  (void)context;
  return sums[0] / sums[1];
}

/* Quality is the weighted sum of the features and noise. */
static struct world *world_new(const double *weights, double noise, uint64_t seed) {
  struct world *world = calloc(1, sizeof *world);
  assert_non_null(world);
  qe_rng rng;
  qe_rng_seed(&rng, seed, "world");
  for (size_t i = 0; i < LISTS; i++)
    for (size_t j = 0; j < CANDIDATES; j++) {
      double quality = noise * qe_rng_normal(&rng);
      for (size_t k = 0; k < FEATURES; k++) {
        world->values[i][j][k] = (k + 1) * qe_rng_normal(&rng);
        quality += weights[k] * world->values[i][j][k];
      }
      world->statistics[i][j][0] = quality;
      world->statistics[i][j][1] = 1;
    }
  return world;
}

static qe_tuner *tuner_of(const struct world *world) {
  qe_tuner *tuner = qe_tuner_new(FEATURES, 2);
  assert_non_null(tuner);
  for (size_t i = 0; i < LISTS; i++)
    assert_int_equal(qe_tuner_add(tuner, world->values[i][0], world->statistics[i][0], CANDIDATES), QE_OK);
  return tuner;
}

static double pick_quality(const struct world *world, const double *weights) {
  double total = 0;
  for (size_t i = 0; i < LISTS; i++) {
    double most = -INFINITY, quality = 0;
    for (size_t j = 0; j < CANDIDATES; j++) {
      double sum = 0;
      for (size_t k = 0; k < FEATURES; k++)
        sum += weights[k] * world->values[i][j][k];
      if (sum > most) {
        most = sum;
        quality = world->statistics[i][j][0];
      }
    }
    total += quality;
  }
  return total / LISTS;
}

static double oracle_quality(const struct world *world) {
  double total = 0;
  for (size_t i = 0; i < LISTS; i++) {
    double most = -INFINITY;
    for (size_t j = 0; j < CANDIDATES; j++)
      most = fmax(most, world->statistics[i][j][0]);
    total += most;
  }
  return total / LISTS;
}

static qe_tuning tune(qe_tuner *tuner, const qe_tuning_options *options, double *weights) {
  qe_tuning result;
  assert_int_equal(qe_tuner_run(tuner, mean_quality, NULL, options, weights, &result), QE_OK);
  return result;
}

static void finds_the_weights_that_made_the_lists(void **state) {
  (void)state;
  const double truth[FEATURES] = { 3, 1, 2, 0 };
  struct world *world = world_new(truth, 0, 1);
  qe_tuner *tuner = tuner_of(world);
  qe_tuning_options options = qe_tuning_defaults();
  options.folds = 0;
  options.simplest = 0;
  double weights[FEATURES];
  const qe_tuning result = tune(tuner, &options, weights);
  assert_true(fabs(result.tuned - pick_quality(world, weights)) < 1e-9);
  assert_true(result.tuned > .995 * oracle_quality(world));
  assert_true(isnan(result.validated));
  double sum = 0;
  for (size_t k = 0; k < FEATURES; k++) {
    assert_true(weights[k] >= 0);
    sum += weights[k];
  }
  assert_true(fabs(sum - 1) < 1e-9);
  qe_tuner_free(tuner);
  free(world);
}

static void drops_a_feature_that_says_nothing(void **state) {
  (void)state;
  const double truth[FEATURES] = { 0, 2, 0, 0 };
  struct world *world = world_new(truth, 1, 2);
  qe_tuner *tuner = tuner_of(world);
  qe_tuning_options options = qe_tuning_defaults();
  double weights[FEATURES];
  const qe_tuning result = tune(tuner, &options, weights);
  assert_true(weights[0] == 0 && weights[2] == 0 && weights[3] == 0);
  assert_true(fabs(weights[1] - 1) < 1e-12);
  assert_true(result.best >= result.tuned && result.validated_gain.low > 0);
  qe_tuner_free(tuner);
  free(world);
}

/* The last feature is the first one, a little off. */
static struct world *world_of_twins(uint64_t seed) {
  const double truth[FEATURES] = { 2, 0, 0, 0 };
  struct world *world = world_new(truth, 2, seed);
  qe_rng rng;
  qe_rng_seed(&rng, seed, "twins");
  for (size_t i = 0; i < LISTS; i++)
    for (size_t j = 0; j < CANDIDATES; j++)
      world->values[i][j][FEATURES - 1] = world->values[i][j][0] + .05 * qe_rng_normal(&rng);
  return world;
}

static void takes_the_earlier_of_two_that_lists_do_not_tell_apart(void **state) {
  (void)state;
  size_t late = 0, luck = 0;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    struct world *world = world_of_twins(seed);
    qe_tuner *tuner = tuner_of(world);
    qe_tuning_options options = qe_tuning_defaults();
    double weights[FEATURES];
    tune(tuner, &options, weights);
    late += weights[FEATURES - 1] > weights[0];
    options.simplest = 0;
    tune(tuner, &options, weights);
    luck += weights[FEATURES - 1] > weights[0];
    qe_tuner_free(tuner);
    free(world);
  }
  assert_in_range(luck, 5, 20);
  assert_in_range(late, 0, 4); /* one error is passed by chance in a sixth of them */
}

/* The best point promises a gain on noise, the estimate must not. */
static void noise_gains_nothing(void **state) {
  (void)state;
  const double truth[FEATURES] = { 0 };
  size_t kept = 0, promised = 0, risen = 0;
  for (uint64_t seed = 10; seed < 20; seed++) {
    struct world *world = world_new(truth, 1, seed);
    qe_tuner *tuner = tuner_of(world);
    qe_tuning_options options = qe_tuning_defaults();
    options.restarts = 3;
    options.draws = 200;
    double weights[FEATURES], magnitude = 0;
    const qe_tuning result = tune(tuner, &options, weights);
    for (size_t k = 0; k < FEATURES; k++)
      magnitude += weights[k];
    kept += magnitude == 0;
    promised += result.validated_gain.low > 0;
    assert_true(result.best >= result.first && result.best >= result.tuned);
    risen += result.best > result.first;
    qe_tuner_free(tuner);
    free(world);
  }
  assert_in_range(risen, 8, 10);
  assert_in_range(promised, 0, 1);
  assert_in_range(kept, 6, 10);
}

static void negative_weights_only_when_asked(void **state) {
  (void)state;
  const double truth[FEATURES] = { -3, 0, 0, 0 };
  struct world *world = world_new(truth, .1, 3);
  qe_tuner *tuner = tuner_of(world);
  qe_tuning_options options = qe_tuning_defaults();
  options.folds = 0;
  double weights[FEATURES];
  tune(tuner, &options, weights);
  assert_true(weights[0] == 0);
  options.negative = 1;
  const qe_tuning result = tune(tuner, &options, weights);
  assert_true(weights[0] < -.9);
  assert_true(result.tuned > .98 * oracle_quality(world));
  qe_tuner_free(tuner);
  free(world);
}

static void same_bits_every_time(void **state) {
  (void)state;
  const double truth[FEATURES] = { 1, 1, 0, 1 };
  struct world *world = world_new(truth, 3, 4);
  qe_tuner *tuner = tuner_of(world);
  const qe_tuning_options options = qe_tuning_defaults();
  double one[FEATURES], other[FEATURES];
  const qe_tuning first = tune(tuner, &options, one), second = tune(tuner, &options, other);
  assert_memory_equal(one, other, sizeof one);
  assert_memory_equal(&first, &second, sizeof first);
  assert_true(first.best >= first.tuned);
  qe_tuner_free(tuner);
  free(world);
}

/* ---- the twin: one free weight beside a fixed one, every pair of candidates gives a place to look around ---- */

enum { SMALL = 12, FEW = 5 };

static double twin_objective(double values[SMALL][FEW][1], double statistics[SMALL][FEW][2], double weight) {
  double sums[2] = { 0 };
  for (size_t i = 0; i < SMALL; i++) {
    size_t best = 0;
    for (size_t j = 1; j < FEW; j++)
      if (weight * values[i][j][0] > weight * values[i][best][0])
        best = j;
    sums[0] += statistics[i][best][0];
    sums[1] += statistics[i][best][1];
  }
  return sums[0] / sums[1];
}

static void one_weight_is_on_or_off(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 40; seed++) {
    double values[SMALL][FEW][1], statistics[SMALL][FEW][2];
    qe_rng rng;
    qe_rng_seed(&rng, seed, "small");
    qe_tuner *tuner = qe_tuner_new(1, 2);
    for (size_t i = 0; i < SMALL; i++) {
      for (size_t j = 0; j < FEW; j++) {
        values[i][j][0] = (double)qe_rng_below(&rng, 4); /* with ties */
        statistics[i][j][0] = (double)qe_rng_below(&rng, 9);
        statistics[i][j][1] = 1;
      }
      assert_int_equal(qe_tuner_add(tuner, values[i][0], statistics[i][0], FEW), QE_OK);
    }
    qe_tuning_options options = { .draws = 20, .level = .9, .negative = (int)(seed % 2) };
    double weight, best = twin_objective(values, statistics, 0);
    best = fmax(best, twin_objective(values, statistics, 1));
    if (seed % 2)
      best = fmax(best, twin_objective(values, statistics, -1));
    const qe_tuning result = tune(tuner, &options, &weight);
    assert_true(fabs(result.best - best) < 1e-12);
    assert_true(fabs(twin_objective(values, statistics, weight) - best) < 1e-12);
    qe_tuner_free(tuner);
  }
}

/* Two features on a circle of directions: a fine grid of ratios can come close to the exact search but not beat it. */
static void no_grid_beats_the_exact_search(void **state) {
  (void)state;
  const double truth[FEATURES] = { 1, .3, 0, 0 };
  struct world *world = world_new(truth, 2, 5);
  qe_tuner *tuner = qe_tuner_new(2, 2);
  for (size_t i = 0; i < LISTS; i++) {
    double two[CANDIDATES][2];
    for (size_t j = 0; j < CANDIDATES; j++)
      memcpy(two[j], world->values[i][j], sizeof two[j]);
    assert_int_equal(qe_tuner_add(tuner, two[0], world->statistics[i][0], CANDIDATES), QE_OK);
  }
  qe_tuning_options options = { .restarts = 5, .draws = 20, .level = .9 };
  double weights[2], grid = -INFINITY;
  const qe_tuning result = tune(tuner, &options, weights);
  for (size_t step = 0; step <= 2000; step++) {
    const double angle = (double)step / 2000 * 1.57079632679489661923;
    const double point[FEATURES] = { cos(angle), sin(angle), 0, 0 };
    grid = fmax(grid, pick_quality(world, point));
  }
  assert_true(result.best >= grid - 1e-12);
  qe_tuner_free(tuner);
  free(world);
}

static void refuses_what_is_not_finite(void **state) {
  (void)state;
  qe_tuner *tuner = qe_tuner_new(1, 1);
  const double good[2] = { 1, 2 }, bad[2] = { 1, NAN };
  qe_tuning_options options = qe_tuning_defaults();
  double weight;
  qe_tuning result;
  assert_int_equal(qe_tuner_run(tuner, mean_quality, NULL, &options, &weight, &result), QE_USE);
  assert_int_equal(qe_tuner_add(tuner, good, good, 2), QE_OK);
  assert_int_equal(qe_tuner_add(tuner, bad, good, 2), QE_FORMAT);
  assert_non_null(strstr(qe_tuner_error(tuner), "list 2: feature 1 of candidate 2"));
  assert_int_equal(qe_tuner_add(tuner, good, bad, 2), QE_FORMAT);
  assert_int_equal(qe_tuner_add(tuner, good, good, 0), QE_USE);
  options.draws = 1;
  assert_int_equal(qe_tuner_run(tuner, mean_quality, NULL, &options, &weight, &result), QE_USE);
  qe_tuner_free(tuner);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds_the_weights_that_made_the_lists),
    cmocka_unit_test(drops_a_feature_that_says_nothing),
    cmocka_unit_test(takes_the_earlier_of_two_that_lists_do_not_tell_apart),
    cmocka_unit_test(noise_gains_nothing),
    cmocka_unit_test(negative_weights_only_when_asked),
    cmocka_unit_test(same_bits_every_time),
    cmocka_unit_test(one_weight_is_on_or_off),
    cmocka_unit_test(no_grid_beats_the_exact_search),
    cmocka_unit_test(refuses_what_is_not_finite),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
