/*
** test_windows.c - pairs that are longer than their model reads at once: their score is the mean over windows that are cut
** by hand here, whatever stands beside them; all of a text counts, and so do its log-probabilities; text without white
** space, malformed text and a side without words are cut, too.
*/
#include "kernel.h"
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static float score_of(const qe_model *model, qe_pair pair, size_t *truncated) {
  float score;
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_OK);
  if (truncated)
    *truncated = qe_scorer_truncated(scorer);
  qe_scorer_free(scorer);
  return score;
}

/* The mean over windows that begin at these bytes, weighted by bytes. */
static float by_hand(const qe_model *model, qe_pair pair, const size_t *source, const size_t *target,
                     size_t count) {
  double sum = 0, bytes = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t source_end = i + 1 < count ? source[i + 1] : pair.source.size;
    const size_t target_end = i + 1 < count ? target[i + 1] : pair.translation.size;
    const qe_pair window = { { pair.source.data + source[i], source_end - source[i] },
                             { pair.translation.data + target[i], target_end - target[i] },
                             NULL,
                             0 };
    size_t truncated;
    const double size = (double)(window.source.size + window.translation.size);
    sum += size * (double)score_of(model, window, &truncated);
    assert_int_equal(truncated, 0);
    bytes += size;
  }
  return (float)(sum / bytes);
}

/* Reads 12 words at once. */
#define TWELVE                                                                                                     \
  "{\"embedding\":7,\"hidden\":5,\"attention\":6,\"max_tokens\":12,"                                               \
  "\"source\":{\"kind\":\"ngrams\",\"buckets\":101},\"target\":{\"kind\":\"ngrams\",\"buckets\":53}}"

/* Of 30 words two windows are too long, four are not. */
static void test_windows_by_hand(void **state) {
  (void)state;
  char text[200] = "";
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(TWELVE, data);
  for (int i = 0; i < 30; i++)
    strcat(text, i < 12 ? "ka " : "su ");
  const qe_pair pair = { .source = qe_string(text), .translation = qe_string("pa te") };
  const size_t source[] = { 0, 21, 45, 66 }, target[] = { 0, 1, 2, 3 };
  size_t truncated;
  const float score = score_of(model, pair, &truncated);
  assert_int_equal(truncated, 1);
  assert_true(score == by_hand(model, pair, source, target, 4));
  const qe_pair turned = { .source = pair.translation, .translation = pair.source };
  assert_true(score_of(model, turned, NULL) == by_hand(model, turned, target, source, 4));
  memcpy(text + 84, "ka ka", 5); /* the end counts */
  assert_true(score_of(model, pair, NULL) != score);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Neither neighbours nor threads matter, and lists give the same. */
static void test_neighbours_do_not_matter(void **state) {
  (void)state;
  enum { PAIRS = 40, ROOM = 2000 };
  static char texts[PAIRS][ROOM];
  qe_rng rng;
  qe_rng_seed(&rng, 9, "windows");
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(FIXTURE_WORDS, data);
  qe_pool *pool = qe_pool_new(2);
  qe_scorer *team = qe_scorer_new(model, pool);
  qe_pair pairs[PAIRS];
  float scores[PAIRS], listed[PAIRS];
  for (size_t i = 0; i < PAIRS; i++) {
    fixture_sentence(&rng, texts[i], ROOM, i % 3 == 0 ? 150 : 8);
    pairs[i] = (qe_pair){ .source = qe_string(texts[i / 4]), .translation = qe_string(texts[i]) };
  }
  assert_int_equal(qe_score(team, pairs, PAIRS, scores), QE_OK);
  assert_true(qe_scorer_truncated(team) > PAIRS / 3);
  assert_int_equal(qe_score_list(team, pairs, PAIRS, listed), QE_OK);
  assert_memory_equal(scores, listed, sizeof scores);
  for (size_t i = 0; i < PAIRS; i++)
    assert_true(score_of(model, pairs[i], NULL) == scores[i]);
  qe_scorer_free(team);
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Nothing to cut at but characters, or not even those; more log-probabilities than windows, and fewer. */
static void test_odd_texts(void **state) {
  (void)state;
  enum { BYTES = 3000 };
  static char texts[4][BYTES + 1];
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(FIXTURE_WORDS, data);
  float logprobs[100], few = -1, score[2];
  for (size_t i = 0; i < 100; i++)
    logprobs[i] = (float)-0.01 * (float)i;
  for (size_t i = 0; i < BYTES; i++) {
    texts[0][i] = "\xe4\xb8\xad"[i % 3];
    texts[1][i] = (char)0xbf;
    texts[2][i] = " \t"[i % 2];
    texts[3][i] = "ab\n"[i % 3];
  }
  for (size_t i = 0; i < 16; i++) {
    const qe_pair pair = { .source = { texts[i / 4], BYTES }, .translation = { texts[i % 4], BYTES } };
    qe_pair known = pair, known_less = pair;
    known.logprobs = logprobs;
    known.logprob_count = 100;
    known_less.logprobs = &few;
    known_less.logprob_count = 1;
    assert_true(isfinite(score_of(model, pair, NULL)));
    score[0] = score_of(model, known, NULL);
    logprobs[99] = -40;
    score[1] = score_of(model, known, NULL);
    logprobs[99] = (float)-0.99;
    assert_true(isfinite(score[0]) && score[0] != score[1]);
    assert_true(isfinite(score_of(model, known_less, NULL)));
  }
  qe_model_free(model);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_windows_by_hand),
    cmocka_unit_test(test_neighbours_do_not_matter),
    cmocka_unit_test(test_odd_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
