/*
** test_model.c - models on the tape and off it: the plain forward agrees with the tape, scores depend on nothing but
** the pair, threads and shards change no bit, taps and given embeddings carry gradients, and the configuration is
** checked.
*/
#include "kernel.h"
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void score_rows(const qe_model *model, qe_dataset *data, qe_pool *pool, float *scores) {
  size_t rows = qe_dataset_rows(data);
  qe_pair *pairs = calloc(rows, sizeof *pairs);
  qe_scorer *scorer = qe_scorer_new(model, pool);
  scorer_beginnings(scorer);
  for (size_t i = 0; i < rows; i++) {
    pairs[i] = qe_dataset_pair(data, i);
    if (!qe_model_decoder_inputs(model)) {
      pairs[i].logprobs = NULL;
      pairs[i].logprob_count = 0;
    }
  }
  if (qe_score(scorer, pairs, rows, scores) != QE_OK)
    fail_msg("%s", qe_scorer_error(scorer));
  qe_scorer_free(scorer);
  free(pairs);
}

static qe_batch *whole(qe_dataset *data) {
  size_t rows = qe_dataset_rows(data);
  uint32_t *all = calloc(rows, sizeof *all);
  for (uint32_t i = 0; i < rows; i++)
    all[i] = i;
  qe_batch *batch = qe_batch_new(data, all, rows);
  free(all);
  return batch;
}

static void agree(const char *configuration, qe_dataset *data) {
  enum { ROWS = 1000 };
  const size_t rows = qe_dataset_rows(data);
  assert_true(rows <= ROWS);
  qe_model *model = fixture_model(configuration, data);
  qe_tape *tape = qe_tape_new(NULL, 3);
  qe_batch *batch = whole(data);
  float scores[ROWS];
  double spread = 0;
  score_rows(model, data, NULL, scores);
  qe_tensor score = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), "score");
  if (qe_tape_status(tape) != QE_OK)
    fail_msg("%s", qe_tape_error(tape));
  for (size_t i = 0; i < rows; i++) {
    assert_true(fabs((double)scores[i] - (double)qe_values(score)[i]) <= 1e-5);
    spread = fmax(spread, fabs((double)scores[i] - (double)scores[0]));
  }
  assert_true(spread > .05); /* the model does not give everything the same score */
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_scoring_agrees_with_the_tape(void **state) {
  (void)state;
  agree(FIXTURE_NGRAMS, fixture_data(300, 1, 30));
  agree(FIXTURE_WORDS, fixture_data(300, 1, 30));
}

/* A head of many bins is stored by bins. */
static void test_many_bins(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(40, 1, 12);
  static const char configuration[] = "{\"embedding\":12,\"hidden\":9,\"attention\":7,\"bins\":300,"
                                      "\"decoder_inputs\":4,\"dropout\":0}";
  qe_model *model = fixture_model(configuration, data);
  size_t rows, cols;
  const int head = qe_params_find(qe_model_params(model), "head.weight");
  assert_string_equal(qe_params_name(qe_model_params(model), (size_t)head, &rows, &cols), "head.weight");
  assert_int_equal(rows, 300);
  assert_int_equal(cols, 2 * 7 + 4);
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = whole(data);
  float scores[40];
  score_rows(model, data, NULL, scores);
  qe_pass pass = qe_model_forward(tape, model, batch, NULL);
  qe_tensor score = qe_pass_tap(pass, "score"), inputs = qe_pass_tap(pass, "inputs");
  assert_int_equal(qe_cols(inputs), cols);
  for (size_t i = 0; i < 40; i++)
    assert_true(fabs((double)scores[i] - (double)qe_values(score)[i]) <= 1e-5);
  qe_pass headless = qe_model_forward(tape, model, batch, &(qe_pass_options){ .no_head = 1 });
  assert_memory_equal(qe_values(qe_pass_tap(headless, "inputs")), qe_values(inputs), 40 * cols * sizeof(float));
  assert_null(qe_pass_tap(headless, "score").tape);
  assert_string_equal(qe_tape_error(tape), "tap \"score\": this pass did not make it (no head, or layers given)");
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_scoring_agrees_on_real_text(void **state) {
  (void)state;
  static const char *const configurations[] = {
    "{}", "{\"source\":{\"kind\":\"words\"},\"target\":{\"kind\":\"words\"}}"
  };
  for (int i = 0; i < 2; i++) {
    qe_dataset *data = qe_dataset_new();
    if (qe_dataset_read_mlqe(data, QE_SOURCE_DIR "/../shared/data/mlqe-pe/et-en", "dev") != QE_OK) {
      print_message("no MLQE-PE: %s\n", qe_dataset_error(data));
      qe_dataset_free(data);
      skip();
    }
    agree(configurations[i], data);
  }
}

static void test_scores_depend_on_the_pair_alone(void **state) {
  enum { ROWS = 200 };
  (void)state;
  qe_dataset *data = fixture_data(ROWS, 2, 25);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  float together[ROWS], threaded[ROWS];
  qe_pool *pool = qe_pool_new(3);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  score_rows(model, data, NULL, together);
  score_rows(model, data, pool, threaded);
  assert_memory_equal(together, threaded, sizeof together);
  for (size_t i = ROWS; i-- > 0;) { /* one by one, in another order */
    float alone;
    qe_pair pair = qe_dataset_pair(data, i);
    pair.logprob_count = 0;
    pair.logprobs = NULL;
    assert_int_equal(qe_score(scorer, &pair, 1, &alone), QE_OK);
    assert_memory_equal(&alone, &together[i], sizeof alone);
  }
  qe_scorer_free(scorer);
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_logprobs_are_refused_without_inputs(void **state) {
  (void)state;
  const float logprobs[2] = { -1, -2 };
  float score;
  qe_dataset *data = fixture_data(4, 3, 5);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_pair pair = {
    .source = qe_string("a"), .translation = qe_string("b"), .logprobs = logprobs, .logprob_count = 2
  };
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_USE);
  assert_non_null(strstr(qe_scorer_error(scorer), "decoder"));
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_decoder_inputs_matter(void **state) {
  (void)state;
  const float good[3] = { -.1f, -.1f, -.1f }, bad[3] = { -3, -2.5f, -2.9f };
  float scores[3];
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(FIXTURE_WORDS, data);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_pair pairs[3] = { { qe_string("ka su"), qe_string("pa ro"), good, 3 },
                       { qe_string("ka su"), qe_string("pa ro"), bad, 3 },
                       { qe_string("ka su"), qe_string("pa ro"), NULL, 0 } };
  assert_int_equal(qe_score(scorer, pairs, 3, scores), QE_OK);
  assert_true(scores[0] != scores[1] && scores[1] != scores[2] && isfinite(scores[2]));
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_long_sides_are_cut_and_counted(void **state) {
  (void)state;
  char text[400] = "";
  float scores[2];
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(FIXTURE_WORDS, data); /* 12 words */
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  scorer_beginnings(scorer);
  for (int i = 0; i < 30; i++)
    strcat(text, i < 12 ? "ka " : "su ");
  qe_pair pairs[2] = { { .source = qe_string(text), .translation = qe_string("pa") },
                       { .source = { text, 36 }, .translation = qe_string("pa") } };
  assert_int_equal(qe_score(scorer, pairs, 2, scores), QE_OK);
  assert_memory_equal(&scores[0], &scores[1], sizeof *scores);
  assert_int_equal(qe_scorer_truncated(scorer), 1);
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Three steps of training; values of all parameters afterwards. */
static void train(qe_pool *pool, qe_real **values, size_t *size) {
  enum { ROWS = 64 };
  qe_rng rng, data_rng;
  qe_dataset *data = fixture_data(ROWS, 6, 20);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  qe_params *params = qe_model_params(model);
  qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  qe_optimiser *optimiser = qe_optimiser_new(params, &options, pool);
  qe_tape *tape = qe_tape_new(pool, 4);
  qe_rng_seed(&rng, 1, "dropout");
  qe_rng_seed(&data_rng, 1, "data");
  qe_batcher *batcher = qe_batcher_new(data, NULL, 0, 16, &data_rng);
  for (int step = 0; step < 4; step++) {
    qe_batch *batch;
    qe_pass_options pass_options = { .dropout = &rng };
    assert_int_equal(qe_batcher_next(batcher, &batch), 1);
    qe_tape_reset(tape);
    qe_pass pass = qe_model_forward(tape, model, batch, &pass_options);
    qe_tensor loss = qe_squared_error(qe_pass_tap(pass, "score"), qe_batch_column(tape, batch, "gold"));
    assert_int_equal(qe_backward(qe_mean(loss, QE_ALL)), QE_OK);
    assert_int_equal(qe_optimiser_step(optimiser, .01), QE_OK);
    qe_batch_free(batch);
  }
  *size = qe_block_size(qe_params_values(params));
  *values = calloc(*size, sizeof **values);
  memcpy(*values, qe_block_values(qe_params_values(params)), *size * sizeof **values);
  qe_batcher_free(batcher);
  qe_tape_free(tape);
  qe_optimiser_free(optimiser);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_threads_change_no_bit_of_training(void **state) {
  qe_real *one, *other;
  size_t size;
  (void)state;
  train(NULL, &one, &size);
  for (int threads = 1; threads <= 4; threads++) {
    qe_pool *pool = qe_pool_new(threads);
    train(pool, &other, &size);
    assert_memory_equal(one, other, size * sizeof *one);
    free(other);
    qe_pool_free(pool);
  }
  free(one);
}

static void test_every_tap_is_there(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(7, 7, 6);
  qe_model *model = fixture_model(FIXTURE_WORDS, data);
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = whole(data);
  qe_segments words;
  assert_int_equal(qe_batch_segments(batch, model, QE_SOURCE, &words), QE_OK);
  qe_pass pass = qe_model_forward(tape, model, batch, NULL);
  char names[512];
  snprintf(names, sizeof names, "%s", qe_model_taps(model));
  int count = 0;
  for (char *name = strtok(names, " "); name; name = strtok(NULL, " "), count++) {
    qe_tensor tap = qe_pass_tap(pass, name);
    assert_int_equal(qe_tape_status(tape), QE_OK);
    if (strncmp(name, "source.", 7) == 0 && strcmp(name, "source.pooled") != 0)
      assert_int_equal(qe_rows(tap), words.offset[words.count]);
    else if (strncmp(name, "target.", 7) != 0)
      assert_int_equal(qe_rows(tap), 7);
  }
  assert_int_equal(count, 14);
  assert_int_equal(qe_cols(qe_pass_tap(pass, "logits")), 5);
  assert_null(qe_pass_tap(pass, "nonsense").tape);
  assert_non_null(strstr(qe_tape_error(tape), "source.states"));
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* The model run on its own embeddings, given as a variable: same scores, and a gradient for each token. */
static void test_embeddings_in_place_of_ids(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(9, 8, 6);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = whole(data);
  qe_pass plain = qe_model_forward(tape, model, batch, NULL);
  qe_tensor ids = qe_pass_tap(plain, "target.embedding"), score = qe_pass_tap(plain, "score");
  qe_tensor given = qe_variable(tape, qe_rows(ids), qe_cols(ids), qe_values(ids));
  qe_pass_options options = { .target_embedding = given, .no_gradient = 0 };
  qe_tensor again = qe_pass_tap(qe_model_forward(tape, model, batch, &options), "score");
  assert_int_equal(qe_tape_status(tape), QE_OK);
  assert_memory_equal(qe_values(score), qe_values(again), 9 * sizeof(qe_real));
  assert_int_equal(qe_backward(again), QE_OK);
  const qe_real *g = qe_gradient(given);
  assert_non_null(g);
  double norm = 0;
  for (size_t i = 0; i < qe_rows(given) * qe_cols(given); i++)
    norm += (double)(g[i] * g[i]);
  assert_true(norm > 0);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_no_gradient_reaches_a_teacher(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(9, 8, 6);
  qe_model *student = fixture_model(FIXTURE_NGRAMS, data), *teacher = fixture_model(FIXTURE_NGRAMS, data);
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = whole(data);
  qe_pass_options options = { .no_gradient = 1 };
  qe_tensor a = qe_pass_tap(qe_model_forward(tape, student, batch, NULL), "score");
  qe_tensor b = qe_pass_tap(qe_model_forward(tape, teacher, batch, &options), "score");
  qe_tensor gold = qe_batch_column(tape, batch, "gold");
  assert_int_equal(qe_backward(qe_add(qe_squared_error(a, gold), qe_squared_error(a, b))), QE_OK);
  assert_true(qe_block_norm(qe_params_gradient(qe_model_params(student))) > 0);
  assert_true(qe_block_norm(qe_params_gradient(qe_model_params(teacher))) == 0);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(student);
  qe_model_free(teacher);
  qe_dataset_free(data);
}

static void test_configurations_are_checked(void **state) {
  static const char *const refused[][2] = {
    { "{\"embeding\":50}", "embeding" },
    { "{\"embedding\":0}", "embedding" },
    { "{\"hidden\":1.5}", "hidden" },
    { "{\"name\":\"transformer\"}", "birnn" },
    { "{\"dropout\":1}", "dropout" },
    { "{\"bins\":1}", "bins" },
    { "{\"bins\":4,\"head\":\"sigmoid\"}", "head" },
    { "{\"decoder_inputs\":3}", "decoder_inputs" },
    { "{\"source\":{\"kind\":\"letters\"}}", "kind" },
    { "{\"source\":{\"kind\":\"words\",\"buckets\":4}}", "buckets" },
    { "{\"source\":{\"kind\":\"ngrams\",\"lowercase\":1}}", "lowercase" },
    { "[1]", "object" },
    { "{", "architecture" },
    { "{\"hidden\":5,\"hidden\":6}", "duplicate" },
  };
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 1, "x");
  qe_model *model = qe_model_new();
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    assert_int_equal(qe_model_create(model, refused[i][0], NULL, &rng), QE_FORMAT);
    if (!strstr(qe_model_error(model), refused[i][1]))
      fail_msg("%s: %s", refused[i][0], qe_model_error(model));
  }
  assert_int_equal(qe_model_create(model, "{\"source\":{\"kind\":\"words\"}}", NULL, &rng), QE_USE);
  qe_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_scoring_agrees_with_the_tape),
    cmocka_unit_test(test_many_bins),
    cmocka_unit_test(test_scoring_agrees_on_real_text),
    cmocka_unit_test(test_scores_depend_on_the_pair_alone),
    cmocka_unit_test(test_logprobs_are_refused_without_inputs),
    cmocka_unit_test(test_decoder_inputs_matter),
    cmocka_unit_test(test_long_sides_are_cut_and_counted),
    cmocka_unit_test(test_threads_change_no_bit_of_training),
    cmocka_unit_test(test_every_tap_is_there),
    cmocka_unit_test(test_embeddings_in_place_of_ids),
    cmocka_unit_test(test_no_gradient_reaches_a_teacher),
    cmocka_unit_test(test_configurations_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
