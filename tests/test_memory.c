/*
** test_memory.c - every allocation of the library fails once, in turn: whatever was asked for then fails with
** QE_MEMORY, nothing crashes, nothing leaks (AddressSanitizer looks), and without a failure all is well; and scoring that
** is warm asks for nothing. This file takes the place of memory.c.
*/
#include "model_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static long countdown = -1; /* the allocation that fails; negative: none */
static _Atomic long asked;  /* by any thread */

static bool refuses(void) {
  asked++;
  return countdown >= 0 && countdown-- == 0;
}

void *memory_new(size_t count, size_t size) {
  return refuses() ? NULL : calloc(count ? count : 1, size);
}

void *memory_grow(void *block, size_t count, size_t size) {
  size_t bytes;
  if (refuses() || __builtin_mul_overflow(count, size, &bytes))
    return NULL;
  return realloc(block, bytes ? bytes : 1);
}

void memory_free(void *block) {
  free(block);
}

bool memory_reserve(void **items, size_t *room, size_t need, size_t size) {
  size_t grown = *room < 8 ? 8 : *room;
  if (need <= *room)
    return true;
  while (grown < need)
    grown *= 2;
  void *moved = memory_grow(*items, grown, size);
  if (!moved)
    return false;
  *items = moved;
  *room = grown;
  return true;
}

/* Each scenario returns QE_OK, or QE_MEMORY where an object could not be made or a call said so. */

static int train_one_step(void) {
  qe_rng rng;
  const qe_pair pair = { .source = qe_string("ka lomi"), .translation = qe_string("su pa!") };
  const double gold[2] = { .25, .75 };
  int status = QE_MEMORY;
  qe_dataset *data = qe_dataset_new();
  qe_model *model = qe_model_new();
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batcher *batcher = NULL;
  qe_batch *batch = NULL;
  qe_optimiser *optimiser = NULL;
  qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  qe_rng_seed(&rng, 1, "x");
  if (data && model && tape && qe_dataset_append(data, &pair) == QE_OK && qe_dataset_append(data, &pair) == QE_OK &&
      qe_dataset_set_column(data, "gold", gold) == QE_OK)
    status = qe_model_create(model, FIXTURE_WORDS, data, &rng);
  if (status == QE_OK) {
    optimiser = qe_optimiser_new(qe_model_params(model), &options, NULL);
    batcher = qe_batcher_new(data, NULL, 0, 2, &rng);
    status = optimiser && batcher && qe_batcher_next(batcher, &batch) == 1 ? QE_OK : QE_MEMORY;
  }
  if (status == QE_OK) {
    qe_tensor score = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), "score");
    qe_tensor loss = qe_squared_error(score, qe_batch_column(tape, batch, "gold"));
    status = qe_tape_status(tape) == QE_OK ? qe_backward(qe_mean(loss, QE_ALL)) : qe_tape_status(tape);
    status = qe_tape_status(tape) == QE_OK && status == QE_OK ? qe_optimiser_step(optimiser, .01) : QE_MEMORY;
  }
  qe_batch_free(batch);
  qe_batcher_free(batcher);
  qe_optimiser_free(optimiser);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
  return status;
}

static const char path[] = "test_memory.qe";

static int open_and_score(void) {
  float score;
  const qe_pair pair = { .source = qe_string("ka lomi"), .translation = qe_string("su pa!") };
  qe_model *model = qe_model_new();
  int status = model ? qe_model_open(model, path, 0) : QE_MEMORY;
  qe_scorer *scorer = status == QE_OK ? qe_scorer_new(model, NULL) : NULL;
  if (status == QE_OK)
    status = scorer ? qe_score(scorer, &pair, 1, &score) : QE_MEMORY;
  if (status == QE_OK)
    status = qe_score_list(scorer, &pair, 1, &score);
  if (status == QE_OK)
    status = qe_model_save(model, path);
  qe_scorer_free(scorer);
  qe_model_free(model);
  return status;
}

static int rerank(void) {
  const double values[2] = { 1, 2 };
  size_t order[2];
  int status = QE_MEMORY;
  qe_list *list = qe_list_new();
  qe_weights *weights = qe_weights_new();
  if (list && weights && qe_weights_set(weights, "QE0", values, 1) == QE_OK &&
      qe_list_add(list, qe_string("0 ||| a ||| F0= 1 ||| 1"), 1) == 1 &&
      qe_list_add(list, qe_string("0 ||| b ||| F0= 1 ||| 1"), 2) == 1 &&
      qe_list_append(list, "QE0", values) == QE_OK)
    status = qe_list_rank(list, weights, order, NULL);
  if (status == QE_OK && qe_list_line(list, 0, 1).size == 0)
    status = QE_MEMORY;
  qe_weights_free(weights);
  qe_list_free(list);
  return status;
}

/* Evidence, weights and guards of a list without a model. */
static int decide(void) {
  size_t order[2];
  qe_list *list = qe_list_new();
  qe_reranker *reranker = qe_reranker_new(NULL, NULL);
  int status = QE_MEMORY;
  if (list && reranker && qe_reranker_weights(reranker, qe_string("{\"MBRP0\": 1}"), "here") == QE_OK &&
      qe_list_add(list, qe_string("0 ||| a ||| F0= 1 ||| 1"), 1) == 1 &&
      qe_list_add(list, qe_string("0 ||| b 2 ||| F0= 1 ||| 1"), 2) == 1)
    status = qe_rerank(reranker, list, order, NULL, NULL);
  qe_reranker_free(reranker);
  qe_list_free(list);
  return status;
}

static int measure_with(const char *name, qe_metric *metric) {
  const qe_text references[] = { qe_string("a b c d, e \xff f"), qe_string("d e a b c") };
  double statistics[24];
  int status = qe_metric_choose(metric, name);
  if (status == QE_OK)
    status = qe_metric_reference(metric, references, 2);
  if (status == QE_OK)
    status = qe_metric_statistics(metric, qe_string("e f x a b c D the rest of it"), statistics);
  return status;
}

static int measure(void) {
  static const char *const names[] = { "chrf++", "ter", "bleu:zh" };
  qe_metric *metric = qe_metric_new();
  int status = metric ? QE_OK : QE_MEMORY;
  for (size_t i = 0; i < 3 && status == QE_OK; i++)
    status = measure_with(names[i], metric);
  qe_metric_free(metric);
  return status;
}

static int guard_with(qe_guards *guards) {
  const qe_text candidates[] = { qe_string("He has 3 dogs, not {0}."),
                                 qe_string("Two two two two dogs of Obama &amp; 7"), qe_string("") };
  unsigned vetoes[3];
  return qe_guards_check(guards, QE_GUARD_COPY | QE_GUARD_NUMBER | QE_GUARD_NEGATION,
                         qe_string("Er hat 3 Hunde, 1.000 Katzen und \xff {0} nicht."), candidates, 3, 0, vetoes);
}

static int guard(void) {
  qe_guards *guards = qe_guards_new();
  const int status = guards ? guard_with(guards) : QE_MEMORY;
  qe_guards_free(guards);
  return status;
}

static void every_failure(int scenario(void)) {
  countdown = -1;
  asked = 0;
  assert_int_equal(scenario(), QE_OK);
  const long total = asked;
  assert_true(total > 3);
  for (long i = 0; i < total; i++) {
    countdown = i;
    const int status = scenario();
    if (status != QE_MEMORY)
      fail_msg("allocation %ld of %ld failed, the status is %d", i, total, status);
  }
  countdown = -1;
  assert_int_equal(scenario(), QE_OK);
}

static void test_training(void **state) {
  (void)state;
  every_failure(train_one_step);
}

static void test_archives(void **state) {
  const qe_pair golden = { .source = qe_string("ka"), .translation = qe_string("pa") };
  (void)state;
  qe_dataset *data = fixture_data(20, 1, 6);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  qe_model_set_card(model, "card");
  qe_model_set_licence(model, "licence");
  qe_model_set_golden(model, &golden, 1);
  assert_int_equal(qe_model_save(model, path), QE_OK);
  qe_model_free(model);
  qe_dataset_free(data);
  every_failure(open_and_score);
  unlink(path);
}

/* Scoring asks for memory until its work areas fit the longest pair, then never again, on any thread. */
static void warm_scoring(const char *configuration) {
  enum { PAIRS = 60 };
  float scores[PAIRS];
  qe_pair pairs[PAIRS];
  qe_dataset *data = fixture_data(PAIRS, 4, 30);
  qe_model *model = fixture_model(configuration, data);
  qe_pool *pool = qe_pool_new(2);
  qe_scorer *alone = qe_scorer_new(model, NULL), *team = qe_scorer_new(model, pool);
  for (size_t i = 0; i < PAIRS; i++) {
    pairs[i] = qe_dataset_pair(data, i);
    if (qe_model_decoder_inputs(model) == 0)
      pairs[i].logprob_count = 0;
  }
  asked = 0;
  assert_int_equal(qe_score(alone, pairs, PAIRS, scores), QE_OK);
  assert_int_equal(qe_score(team, pairs, PAIRS, scores), QE_OK);
  assert_true(asked > 0);
  assert_int_equal(qe_score_list(team, pairs, PAIRS, scores), QE_OK);
  asked = 0;
  assert_int_equal(qe_score_list(team, pairs, PAIRS, scores), QE_OK);
  assert_int_equal(qe_score(alone, pairs, PAIRS, scores), QE_OK);
  for (size_t i = 0; i < PAIRS; i++)
    assert_int_equal(qe_score(alone, &pairs[i], 1, &scores[i]), QE_OK);
  assert_int_equal(qe_score(team, pairs, PAIRS, scores), QE_OK);
  assert_int_equal(asked, 0);
  qe_scorer_free(alone);
  qe_scorer_free(team);
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_warm_scoring(void **state) {
  (void)state;
  countdown = -1;
  warm_scoring(FIXTURE_NGRAMS);
  warm_scoring(FIXTURE_WORDS);
}

static void test_lists(void **state) {
  (void)state;
  every_failure(rerank);
  every_failure(decide);
}

static void test_metrics(void **state) {
  static const char *const names[] = { "chrf++", "ter", "bleu" };
  (void)state;
  every_failure(measure);
  qe_metric *metric = qe_metric_new();
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(measure_with(names[i], metric), QE_OK);
    asked = 0;
    assert_int_equal(measure_with(names[i], metric), QE_OK);
    assert_int_equal(asked, 0);
  }
  qe_metric_free(metric);
}

static void test_guards(void **state) {
  (void)state;
  every_failure(guard);
  qe_guards *guards = qe_guards_new();
  assert_int_equal(guard_with(guards), QE_OK);
  asked = 0;
  assert_int_equal(guard_with(guards), QE_OK);
  assert_int_equal(asked, 0);
  qe_guards_free(guards);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_training), cmocka_unit_test(test_archives),
                                      cmocka_unit_test(test_lists),    cmocka_unit_test(test_warm_scoring),
                                      cmocka_unit_test(test_metrics),  cmocka_unit_test(test_guards) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
