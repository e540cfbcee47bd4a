/*
** scores.h - what tests of a kind of model share: PAIRS pairs scored without a tape, by any kernel and number of threads,
** and on a tape; both must agree, and the bits must depend on the pair alone.
*/
#ifndef QE_TEST_SCORES_H
#define QE_TEST_SCORES_H
#include "architecture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PAIRS = 60 };

static inline void take_pairs(const qe_dataset *data, const qe_model *model, qe_pair pairs[PAIRS]) {
  for (size_t i = 0; i < PAIRS; i++) {
    pairs[i] = qe_dataset_pair(data, i);
    pairs[i].logprob_count = qe_model_decoder_inputs(model) > 0 ? pairs[i].logprob_count : 0;
  }
}

/* Returns how many texts were cut. */
static inline size_t score(const qe_model *model, const char *kernel, int threads, const qe_pair *pairs,
                           size_t count, float *scores) {
  qe_pool *pool = qe_pool_new(threads);
  qe_scorer *scorer = qe_scorer_new(model, pool);
  scorer_beginnings(scorer);
  if (kernel)
    scorer_use(scorer, kernel_choose(kernel));
  assert_int_equal(qe_score(scorer, pairs, count, scores), QE_OK);
  const size_t truncated = qe_scorer_truncated(scorer);
  qe_scorer_free(scorer);
  qe_pool_free(pool);
  return truncated;
}

static inline void tape_scores(qe_model *model, qe_dataset *data, float scores[PAIRS]) {
  uint32_t rows[PAIRS];
  for (uint32_t i = 0; i < PAIRS; i++)
    rows[i] = i;
  qe_tape *tape = qe_tape_new(NULL, 3);
  qe_batch *batch = qe_batch_new(data, rows, PAIRS);
  qe_tensor found = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), "score");
  if (qe_tape_status(tape) != QE_OK)
    fail_msg("%s", qe_tape_error(tape));
  for (size_t i = 0; i < PAIRS; i++)
    scores[i] = (float)qe_values(found)[i];
  qe_batch_free(batch);
  qe_tape_free(tape);
}

static inline void check_against_tape(qe_model *model, qe_dataset *data, const char *what) {
  qe_pair pairs[PAIRS];
  float expected[PAIRS], found[PAIRS], low = 1, high = 0;
  take_pairs(data, model, pairs);
  tape_scores(model, data, expected);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(model, NULL, 1, pairs, PAIRS, found);
  for (size_t i = 0; i < PAIRS; i++) {
    if (fabsf(expected[i] - found[i]) > 2e-6f)
      fail_msg("%s, pair %zu: %.8f, the tape has %.8f", what, i, (double)found[i], (double)expected[i]);
    low = fminf(low, found[i]);
    high = fmaxf(high, found[i]);
  }
  assert_true(high - low > 1e-3f);
}

static inline void check_bits(qe_model *model, const qe_dataset *data) {
  static const char *const kernels[] = { "portable", "v3", "v4" };
  qe_pair pairs[PAIRS], turned[PAIRS];
  float whole[PAIRS], other[PAIRS];
  take_pairs(data, model, pairs);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(model, "portable", 1, pairs, PAIRS, whole);
  for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
    if (!kernel_choose(kernels[k])) {
      print_message("this CPU does not run kernel %s: skipped\n", kernels[k]);
      continue;
    }
    for (int threads = 1; threads <= 3; threads++) {
      score(model, kernels[k], threads, pairs, PAIRS, other);
      assert_memory_equal(whole, other, sizeof whole);
    }
    for (size_t i = 0; i < PAIRS; i++) {
      score(model, kernels[k], 1, &pairs[i], 1, other);
      assert_memory_equal(&whole[i], other, sizeof *other);
      turned[i] = pairs[PAIRS - 1 - i];
    }
    score(model, kernels[k], 1, turned, PAIRS, other);
    for (size_t i = 0; i < PAIRS; i++)
      assert_memory_equal(&whole[i], &other[PAIRS - 1 - i], sizeof *other);
  }
}

#endif
