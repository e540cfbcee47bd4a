/*
** test_aligned.c - aligned students: scores without a tape against the tape, with bits that depend on the pair alone; empty
** and long texts; training pairs are read without their own share, on a tape alone; archives; what a model takes from
** another; states of pieces as states of words.
*/
#include "aligned.h"
#include "scores.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TRAIN = 80 };

/* The first TRAIN pairs are counted, others are scored: some empty on a side, some longer than max_tokens. */
static qe_dataset *make_data(uint64_t seed, size_t rows) {
  static const char *const words[] = { "ka", "lo", "mi", "su", "te", "ro", "pa", "vi", "Xq", "ne", "so", "42" };
  static const char *const other[] = { "kati", "loti", "miti", "suti", "teti", "roti",
                                       "pati", "viti", "xq",   "neti", "soti", "42" };
  qe_dataset *data = qe_dataset_new();
  double gold[TRAIN + PAIRS];
  qe_rng rng;
  char texts[2][1024];
  const float logprobs[] = { -.5f, -1.25f, -.125f };
  qe_rng_seed(&rng, seed, "data");
  for (size_t i = 0; i < rows; i++) {
    const size_t count = i % 20 == 19 ? 60 : i % 13 == 7 ? 0 : 3 + qe_rng_below(&rng, 9);
    texts[0][0] = texts[1][0] = '\0';
    if (seed != 1 && count > 2)
      strcpy(texts[0], "zz "); /* no pair is one of the counted ones */
    for (size_t j = 0; j < count; j++) {
      const size_t word = qe_rng_below(&rng, 12);
      sprintf(texts[0] + strlen(texts[0]), "%s ", words[word]);
      if (i % 10 != 3)
        sprintf(texts[1] + strlen(texts[1]), "%s ", other[qe_rng_below(&rng, 3) ? word : qe_rng_below(&rng, 12)]);
    }
    gold[i] = qe_rng_normal(&rng);
    qe_pair pair = { qe_string(texts[0]), qe_string(texts[1]), i % 2 ? logprobs : NULL, i % 2 ? 3 : 0 };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  assert_int_equal(qe_dataset_set_column(data, "gold", gold), QE_OK);
  return data;
}

#define SMALL_BUT(max_tokens)                                                                                      \
  "\"name\":\"aligned\",\"embedding\":20,\"states\":33,\"comparison\":17,\"hidden\":9,"                            \
  "\"max_tokens\":" max_tokens ",\"source\":{\"kind\":\"ngrams\",\"buckets\":50,\"lowercase\":true}"
#define SMALL SMALL_BUT("40")

static qe_model *create(const char *configuration, const qe_dataset *data) {
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, 1, "student");
  if (qe_model_create(model, configuration, data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  static const char *const stirred[] = { "source.turn", "target.turn", "hidden.weight", "head.weight" };
  for (size_t i = 0; i < sizeof stirred / sizeof *stirred; i++) { /* a score that hangs on everything */
    const int number = qe_params_find(model->params, stirred[i]);
    assert_true(number >= 0 || (i < 2 && strstr(configuration, "\"window\":0")));
    if (number >= 0)
      qe_params_normal(model->params, (size_t)number, .3, &rng);
  }
  return model;
}

static void test_scores_are_those_of_the_tape(void **state) {
  static const char *const configurations[] = {
    "{" SMALL "}",
    "{" SMALL ",\"head\":\"bins\",\"bins\":7}",
    "{" SMALL ",\"decoder_inputs\":4,\"window\":0}",
    "{" SMALL ",\"head\":\"bins\",\"bins\":300}",
    "{\"name\":\"aligned\"}",
  };
  qe_dataset *train = make_data(1, TRAIN), *data = make_data(2, PAIRS);
  (void)state;
  for (size_t c = 0; c < sizeof configurations / sizeof *configurations; c++) {
    qe_model *model = create(configurations[c], train);
    check_against_tape(model, data, configurations[c]);
    qe_model_free(model);
  }
  qe_dataset_free(train);
  qe_dataset_free(data);
}

static void test_bits_depend_on_the_pair_alone(void **state) {
  qe_dataset *train = make_data(1, TRAIN), *data = make_data(2, PAIRS);
  qe_model *model = create("{" SMALL ",\"decoder_inputs\":4}", train);
  qe_pair pairs[PAIRS];
  float scores[PAIRS];
  (void)state;
  check_bits(model, data);
  take_pairs(data, model, pairs);
  assert_true(score(model, NULL, 1, pairs, PAIRS, scores) > 0);
  qe_model_free(model);
  qe_dataset_free(train);
  qe_dataset_free(data);
}

/* What is kept of the words and the source of the pair before changes nothing, nor does a model that became another one
** since; translations are of all lengths, so that room grows under a source that stays. */
static void test_candidates_of_one_source(void **state) {
  enum { RUNS = 6, CANDIDATES = 9, COUNT = RUNS * CANDIDATES, ROOM = 800 };
  static char sources[RUNS][ROOM], translations[COUNT][ROOM];
  qe_dataset *train = make_data(1, TRAIN);
  qe_model *model = create("{" SMALL_BUT("400") "}", train);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_pair pairs[COUNT];
  float together[COUNT], alone;
  (void)state;
  for (size_t i = 0; i < COUNT; i++) {
    const size_t run = i / CANDIDATES, words = i % CANDIDATES == 0 ? 2 : i * 37 % 140;
    if (i % CANDIDATES == 0)
      for (size_t j = 0; j < 25 - run * 5; j++)
        sprintf(sources[run] + strlen(sources[run]), "%s ", j % 3 ? "ka" : "lo");
    for (size_t j = 0; j < words; j++)
      sprintf(translations[i] + strlen(translations[i]), "%s ", (i + j) % 4 ? "kati" : "loti");
    pairs[i] = (qe_pair){ .source = qe_string(sources[run]), .translation = qe_string(translations[i]) };
  }
  for (int time = 0; time < 2; time++) {
    assert_int_equal(qe_model_prepare(model), QE_OK);
    assert_int_equal(qe_score_list(scorer, pairs, COUNT, together), QE_OK);
    for (size_t i = 0; i < COUNT; i++) {
      score(model, NULL, 1, &pairs[i], 1, &alone);
      assert_memory_equal(&alone, &together[i], sizeof alone);
    }
    assert_int_equal(qe_score_list(scorer, pairs + 1, 1, &alone), QE_OK); /* its neighbour is of another call */
    assert_memory_equal(&alone, &together[1], sizeof alone);
    qe_rng rng;
    qe_rng_seed(&rng, 5, "other");
    qe_params_normal(model->params, EMBEDDING, 1, &rng);
  }
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(train);
}

/* Training reads its pairs without their own share; scoring reads them as anybody's. */
static void test_own_share(void **state) {
  qe_dataset *train = make_data(1, TRAIN);
  qe_model *model = create("{" SMALL "}", train);
  qe_pair pairs[PAIRS];
  float expected[PAIRS], found[PAIRS];
  size_t differ = 0;
  (void)state;
  take_pairs(train, model, pairs);
  tape_scores(model, train, expected);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(model, NULL, 1, pairs, PAIRS, found);
  for (size_t i = 0; i < PAIRS; i++)
    differ += fabsf(expected[i] - found[i]) > 1e-4f;
  assert_true(differ > PAIRS / 2);
  qe_model_free(model);
  qe_dataset_free(train);
}

static void test_archive(void **state) {
  qe_dataset *train = make_data(1, TRAIN), *data = make_data(2, PAIRS);
  qe_model *model = create("{" SMALL "}", train), *again = qe_model_new(), *copy = qe_model_new();
  qe_pair pairs[PAIRS], counted[PAIRS];
  float one[PAIRS], other[PAIRS];
  struct scratch scratch;
  (void)state;
  scratch_make(&scratch);
  take_pairs(data, model, pairs);
  take_pairs(train, model, counted);
  assert_int_equal(qe_model_set_golden(model, counted, 20), QE_OK);
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  assert_int_equal(qe_model_round(model, "int8-all"), QE_OK);
  if (qe_model_save(model, scratch_path(&scratch, "aligned.qe")) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  if (qe_model_open(again, scratch.path, 0) != QE_OK)
    fail_msg("%s", qe_model_error(again));
  score(model, NULL, 1, pairs, PAIRS, one);
  score(again, NULL, 1, pairs, PAIRS, other);
  assert_memory_equal(one, other, sizeof one);
  assert_string_equal(qe_model_manifest(model), qe_model_manifest(again));
  assert_int_equal(qe_model_copy(copy, again), QE_OK);
  qe_model_free(again);
  assert_int_equal(qe_model_prepare(copy), QE_OK);
  score(copy, NULL, 2, pairs, PAIRS, other);
  assert_memory_equal(one, other, sizeof one);
  qe_model_free(copy);
  qe_model_free(model);
  qe_dataset_free(train);
  qe_dataset_free(data);
  scratch_remove(scratch.folder);
}

static void test_take(void **state) {
  qe_dataset *train = make_data(1, TRAIN);
  qe_model *model = create("{" SMALL "}", train), *same = create("{" SMALL "}", train);
  qe_model *birnn_model = create("{\"name\":\"aligned\",\"embedding\":20}", train), *empty = qe_model_new();
  (void)state;
  qe_params_matrix(same->params, QUERY)[3] = 7;
  assert_int_equal(qe_model_take(model, same), qe_params_count(model->params));
  assert_true(qe_params_matrix(model->params, QUERY)[3] == 7);
  assert_true(qe_model_take(model, birnn_model) < qe_params_count(model->params));
  assert_int_equal(qe_model_take(model, empty), 0);
  assert_int_equal(qe_model_take(model, model), 0);
  qe_model_free(model);
  qe_model_free(same);
  qe_model_free(birnn_model);
  qe_model_free(empty);
  qe_dataset_free(train);
}

static void test_refused(void **state) {
  static const struct {
    const char *configuration, *message;
  } cases[] = {
    { "{\"name\":\"aligned\",\"max_tokens\":1001}", "max_tokens 1001" },
    { "{\"name\":\"aligned\",\"states\":0}", "\"states\"" },
    { "{\"name\":\"aligned\",\"attention\":5}", "unknown key \"attention\"" },
    { "{\"name\":\"aligned\"}", "data to count" },
  };
  qe_dataset *none = qe_dataset_new();
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qe_model *model = qe_model_new();
    qe_rng rng;
    qe_rng_seed(&rng, 1, "student");
    assert_int_not_equal(qe_model_create(model, cases[i].configuration, none, &rng), QE_OK);
    assert_non_null(strstr(qe_model_error(model), cases[i].message));
    qe_model_free(model);
  }
  qe_dataset_free(none);
}

/* ---- pieces and words ---- */

/* States that say which piece they are; every word must get those whose letters it has. */
static void test_states_of_words(void **state) {
  qe_dataset *train = make_data(1, TRAIN), *data = qe_dataset_new();
  qe_model *model = create("{" SMALL "}", train), *encoder_model = qe_model_new();
  qe_rng rng;
  const qe_pair pairs[] = { { .source = qe_string("kalo, su!"), .translation = qe_string("") },
                            { .source = qe_string("mi"), .translation = qe_string("ka") } };
  const uint32_t rows[] = { 0, 1 };
  (void)state;
  qe_rng_seed(&rng, 1, "import");
  if (qe_model_import(encoder_model, QE_SOURCE_DIR "/tests/parity/bert", "{\"alignment\":[1]}", NULL, &rng) !=
      QE_OK)
    fail_msg("%s", qe_model_error(encoder_model));
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(qe_dataset_append(data, &pairs[i]), QE_OK);
  qe_batch *batch = qe_batch_new(data, rows, 2);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor states = qe_pass_tap(qe_model_forward(tape, encoder_model, batch, NULL), "source.layer1");
  qe_tensor words = qe_states_of_words(states, batch, QE_SOURCE, encoder_model, model);
  if (qe_tape_status(tape) != QE_OK)
    fail_msg("%s", qe_tape_error(tape));
  assert_int_equal(qe_rows(words), 5); /* kalo , su ! mi */
  assert_int_equal(qe_cols(words), qe_cols(states));
  for (size_t i = 0; i < qe_rows(words); i++) { /* a mean over at least one piece is not zero */
    double size = 0;
    for (size_t j = 0; j < qe_cols(words); j++)
      size += fabs((double)qe_values(words)[i * qe_cols(words) + j]);
    assert_true(size > 0);
  }
  assert_null(qe_states_of_words(states, batch, QE_SOURCE, model, model).tape);
  assert_non_null(strstr(qe_tape_error(tape), "states_of_words"));
  qe_tape_free(tape);
  qe_batch_free(batch);
  qe_model_free(model);
  qe_model_free(encoder_model);
  qe_dataset_free(train);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_scores_are_those_of_the_tape),
    cmocka_unit_test(test_bits_depend_on_the_pair_alone),
    cmocka_unit_test(test_candidates_of_one_source),
    cmocka_unit_test(test_own_share),
    cmocka_unit_test(test_archive),
    cmocka_unit_test(test_take),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_states_of_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
