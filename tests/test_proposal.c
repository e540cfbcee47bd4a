/*
** test_proposal.c - draws against the probabilities that they claim, ranks of bins against sorting, masses against their
** definition.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { DRAWS = 200000, MOST = 64 };

static void groups(void **state) {
  (void)state;
  assert_int_equal(qe_proposal_groups(1), 1);
  assert_int_equal(qe_proposal_groups(4), 4);
  assert_int_equal(qe_proposal_groups(5), 5);
  assert_int_equal(qe_proposal_groups(7), 6);
  assert_int_equal(qe_proposal_groups(16), 8);
  assert_true(qe_proposal_groups(10000) < 30 && qe_proposal_groups(UINT32_MAX) <= MOST);
}

/* Every rank as often as its log_q says, within five standard deviations. */
static void check_draws(size_t classes, const double *masses, double uniform) {
  qe_rng rng;
  qe_rng_seed(&rng, 3, "proposal");
  qe_proposal *proposal = qe_proposal_new(classes, masses, uniform);
  uint32_t *ranks = calloc(DRAWS, sizeof *ranks);
  double *log_q = calloc(DRAWS, sizeof *log_q), *claimed = calloc(classes, sizeof *claimed), sum = 0;
  size_t *seen = calloc(classes, sizeof *seen);
  qe_proposal_draw(proposal, &rng, DRAWS, ranks, log_q);
  for (size_t i = 0; i < DRAWS; i++) {
    assert_true(ranks[i] < classes);
    seen[ranks[i]]++;
    claimed[ranks[i]] = exp(log_q[i]);
  }
  for (size_t i = 0; i < classes; i++) {
    const double expected = claimed[i] * DRAWS;
    sum += claimed[i];
    assert_true(fabs((double)seen[i] - expected) <= 5 * sqrt(expected) + 1e-9);
  }
  assert_true(fabs(sum - 1) < (uniform > 0 || !masses ? 1e-9 : 0.01)); /* all ranks were seen */
  free(ranks);
  free(log_q);
  free(claimed);
  free(seen);
  qe_proposal_free(proposal);
}

static void draws(void **state) {
  (void)state;
  double masses[MOST] = { 5, 3, 0, 1, 0.5, 0.25, 7 };
  check_draws(1, NULL, 0);
  check_draws(300, NULL, 0.5);
  check_draws(300, masses, 0.2);
  check_draws(12, masses, 0.05);
  masses[1] = NAN; /* what is no mass is none */
  masses[2] = -1;
  check_draws(300, masses, 0.1);
  assert_null(qe_proposal_new(0, NULL, 0));
  assert_null(qe_proposal_new(4, NULL, 1.5));
}

/* The bin of each rank, by sorting on the distance to the value; ties may fall either way. */
static void nearest(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 4, "proposal");
  for (int round = 0; round < 300; round++) {
    const size_t bins = 1 + qe_rng_below(&rng, 40);
    const double value = 1.4 * qe_rng_uniform(&rng) - 0.2, place = fmin(fmax(value, 0.5 / (double)bins), 1);
    unsigned char seen[MOST] = { 0 };
    double last = -1;
    for (uint32_t rank = 0; rank < bins; rank++) {
      const uint32_t bin = qe_nearest_bin(value, bins, rank);
      assert_true(bin < bins && !seen[bin]++);
      const double distance = fabs((bin + 0.5) / (double)bins - fmin(place, 1 - 0.5 / (double)bins));
      assert_true(distance >= last - 1e-9);
      last = distance;
    }
  }
}

static void masses_by_rank(void **state) {
  (void)state;
  const float p[] = { 0.1f, 0.4f, 0.2f, 0.05f, 0.25f, 0.3f, 0.3f, 0.1f, 0.2f, 0.1f };
  const float q[] = { 0.5f, 0.1f, 0.2f, 0.1f, 0.1f, 0.2f, 0.2f, 0.2f, 0.2f, 0.2f };
  double found[MOST];
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor teacher = qe_constant(tape, 2, 5, p), student = qe_constant(tape, 2, 5, q);
  assert_int_equal(qe_proposal_masses(teacher, student, found), QE_OK);
  const double expected[] = { (0.3 + 0.1) / 2, (0.15 + 0.1) / 2, (0 + 0) / 2., (0.4 + 0.1) / 2, (0.05 + 0.1) / 2 };
  for (int i = 0; i < 5; i++)
    assert_true(fabs(found[i] - expected[i]) < 1e-6);
  assert_int_equal(qe_proposal_masses(teacher, QE_NONE, found), QE_OK);
  assert_true(fabs(found[0] - 0.35) < 1e-6);
  assert_int_equal(qe_proposal_masses(teacher, qe_constant(tape, 2, 4, NULL), found), QE_USE);
  qe_tape_free(tape);
}

/* Sampled, the gradient is near the whole one, and the nearer the more classes are drawn. */
static double cosine(qe_rng *rng, const qe_proposal *proposal, const double *p, const double *q, size_t classes,
                     size_t k) {
  uint32_t *ranks = calloc(k, sizeof *ranks);
  double *log_q = calloc(k, sizeof *log_q), *g = calloc(classes, sizeof *g), sums[2] = { 0, 0 }, dot = 0, a = 0,
         b = 0;
  qe_proposal_draw(proposal, rng, k, ranks, log_q);
  for (size_t i = 0; i < k; i++) {
    sums[0] += p[ranks[i]] / exp(log_q[i]);
    sums[1] += q[ranks[i]] / exp(log_q[i]);
  }
  for (size_t i = 0; i < k; i++)
    g[ranks[i]] += q[ranks[i]] / exp(log_q[i]) / sums[1] - p[ranks[i]] / exp(log_q[i]) / sums[0];
  for (size_t i = 0; i < classes; i++) {
    dot += g[i] * (q[i] - p[i]);
    a += g[i] * g[i];
    b += (q[i] - p[i]) * (q[i] - p[i]);
  }
  free(ranks);
  free(log_q);
  free(g);
  return dot / sqrt(a * b);
}

static void sampled_gradient(void **state) {
  (void)state;
  enum { CLASSES = 1000 };
  static double p[CLASSES], q[CLASSES], masses[MOST];
  static float told[CLASSES], said[CLASSES];
  double mean[2] = { 0, 0 }, sum = 0;
  qe_rng rng;
  qe_rng_seed(&rng, 5, "proposal");
  for (size_t i = 0; i < CLASSES; i++)
    sum += p[i] = exp(-(double)i / 5);
  for (size_t i = 0; i < CLASSES; i++) {
    told[i] = (float)(p[i] /= sum);
    said[i] = (float)(q[i] = 1.0 / CLASSES);
  }
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_int_equal(
      qe_proposal_masses(qe_constant(tape, 1, CLASSES, told), qe_constant(tape, 1, CLASSES, said), masses), QE_OK);
  qe_proposal *fitted = qe_proposal_new(CLASSES, masses, 0.1), *even = qe_proposal_new(CLASSES, NULL, 1);
  for (int round = 0; round < 50; round++) {
    mean[0] += cosine(&rng, fitted, p, q, CLASSES, 200) / 50;
    mean[1] += cosine(&rng, even, p, q, CLASSES, 200) / 50;
  }
  assert_true(mean[0] > 0.9 && mean[0] > mean[1]);
  assert_true(cosine(&rng, fitted, p, q, CLASSES, 100000) > 0.999);
  qe_proposal_free(fitted);
  qe_proposal_free(even);
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(groups), cmocka_unit_test(draws), cmocka_unit_test(nearest),
                                      cmocka_unit_test(masses_by_rank), cmocka_unit_test(sampled_gradient) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
