/*
** test_proposal.c - draws against the probabilities that they claim, those of bins against counting, masses against
** their definition.
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

/* The rank of each bin for a value by counting those that are nearer; of two as near, the other may be the nearer. */
static void ranks_by_counting(double value, size_t bins, size_t rank[MOST], bool tied[MOST]) {
  const double place = fmin(fmax(value, 0.5 / (double)bins), 1 - 0.5 / (double)bins);
  for (size_t i = 0; i < bins; i++) {
    const double own = fabs((double)i + 0.5 - place * (double)bins);
    rank[i] = 0;
    tied[i] = false;
    for (size_t j = 0; j < bins; j++) {
      const double other = fabs((double)j + 0.5 - place * (double)bins);
      rank[i] += other < own - 1e-9;
      tied[i] |= j != i && fabs(other - own) < 1e-9;
    }
  }
}

/* How probable a bin is by definition: the mean over targets of what the proposal gives to its rank. */
static void mixture(const double *of_rank, size_t bins, const double *targets, size_t count, double *least,
                    double *most) {
  size_t rank[MOST];
  bool tied[MOST];
  memset(least, 0, bins * sizeof *least);
  memset(most, 0, bins * sizeof *most);
  for (size_t t = 0; t < count; t++) {
    ranks_by_counting(targets[t], bins, rank, tied);
    for (size_t i = 0; i < bins; i++) {
      const double first = of_rank[rank[i]], second = of_rank[rank[i] + tied[i]];
      least[i] += fmin(first, second) / (double)count;
      most[i] += fmax(first, second) / (double)count;
    }
  }
}

/* What a proposal says of its ranks. */
static void rank_probabilities(const qe_proposal *proposal, size_t bins, double *of_rank) {
  uint32_t ranks[4000];
  double log_q[4000];
  qe_rng rng;
  qe_rng_seed(&rng, 9, "proposal");
  qe_proposal_draw(proposal, &rng, 4000, ranks, log_q);
  memset(of_rank, 0, bins * sizeof *of_rank);
  for (size_t i = 0; i < 4000; i++)
    of_rank[ranks[i]] = exp(log_q[i]);
}

/* Bins drawn for several targets: as often as they say, and they say what the definition says. */
static void bins_of_targets(void **state) {
  (void)state;
  enum { TARGETS = 5, ROUNDS = 200, EACH = 37 };
  qe_rng rng;
  qe_rng_seed(&rng, 4, "proposal");
  for (size_t bins = 1; bins < 40; bins += 1 + bins / 4) {
    double masses[MOST], targets[TARGETS], of_rank[MOST], least[MOST], most[MOST], seen[MOST] = { 0 }, log_q[EACH];
    uint32_t drawn[EACH];
    for (size_t i = 0; i < MOST; i++)
      masses[i] = qe_rng_uniform(&rng);
    for (size_t i = 0; i < TARGETS; i++)
      targets[i] = i == 0 ? 0.5 : 1.4 * qe_rng_uniform(&rng) - 0.2;
    qe_proposal *proposal = qe_proposal_new(bins, masses, 0.4);
    rank_probabilities(proposal, bins, of_rank);
    mixture(of_rank, bins, targets, TARGETS, least, most);
    for (int round = 0; round < ROUNDS; round++) {
      assert_int_equal(qe_proposal_draw_bins(proposal, &rng, targets, TARGETS, EACH, drawn, log_q), QE_OK);
      for (size_t i = 0; i < EACH; i++) {
        assert_true(drawn[i] < bins);
        assert_true(exp(log_q[i]) >= least[drawn[i]] - 1e-9 && exp(log_q[i]) <= most[drawn[i]] + 1e-9);
        seen[drawn[i]] += 1.0 / (ROUNDS * EACH);
      }
    }
    for (size_t i = 0; i < bins; i++)
      assert_true(seen[i] >= least[i] - 0.02 && seen[i] <= most[i] + 0.02);
    qe_proposal_free(proposal);
  }
}

/* Each draw has its own part of the probability: of as many draws as equal bins, around one target, each bin about one. */
static void strata(void **state) {
  (void)state;
  enum { BINS = 64 };
  const double target = 0.5, both[] = { 0.1, 0.9 };
  uint32_t drawn[BINS];
  double log_q[BINS];
  qe_rng rng;
  qe_rng_seed(&rng, 8, "proposal");
  qe_proposal *even = qe_proposal_new(BINS, NULL, 1),
              *nearest = qe_proposal_new(BINS, (const double[MOST]){ 1 }, 0);
  unsigned char seen[BINS] = { 0 };
  assert_int_equal(qe_proposal_draw_bins(even, &rng, &target, 1, BINS, drawn, log_q), QE_OK);
  for (size_t i = 0; i < BINS; i++)
    assert_true(!seen[drawn[i]]++ && fabs(log_q[i] + log(BINS)) < 1e-12);
  assert_int_equal(qe_proposal_draw_bins(nearest, &rng, both, 2, 10, drawn, log_q), QE_OK);
  for (size_t i = 0; i < 10; i++)
    assert_true(drawn[i] == (i < 5 ? 6 : 57) && fabs(log_q[i] - log(0.5)) < 1e-12);
  assert_int_equal(qe_proposal_draw_bins(even, &rng, NULL, 0, 10, drawn, log_q), QE_USE);
  qe_proposal_free(even);
  qe_proposal_free(nearest);
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
  const struct CMUnitTest tests[] = { cmocka_unit_test(groups),          cmocka_unit_test(draws),
                                      cmocka_unit_test(bins_of_targets), cmocka_unit_test(strata),
                                      cmocka_unit_test(masses_by_rank),  cmocka_unit_test(sampled_gradient) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
