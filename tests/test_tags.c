/*
** test_tags.c - words that people have tagged: files and their refusals; tags carried over to a model's words, whatever cuts
** translation and tokens; what a head for words says of tokens, against the tape.
*/
#include "dataset.h"
#include "model_fixture.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static qe_dataset *rows_of(const char *const *translations, size_t count) {
  qe_dataset *data = qe_dataset_new();
  for (size_t i = 0; i < count; i++) {
    const qe_pair pair = { qe_string("ka lo mi"), qe_string(translations[i]), NULL, 0 };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  return data;
}

static int tag(qe_dataset *data, const char *tokens, const char *tags, size_t first) {
  const struct tagged_text text = { "mt", "tags", qe_string(tokens), qe_string(tags) };
  error_clear(&data->error);
  return tags_parse(data, &text, first, &data->error);
}

static void expect(const char *tokens, const char *tags, size_t first, const char *message) {
  static const char *const translations[] = { "ka lo", "mi" };
  qe_dataset *data = rows_of(translations, 2);
  assert_int_equal(tag(data, tokens, tags, first), message ? QE_FORMAT : QE_OK);
  assert_string_equal(data->error.text, message ? message : "");
  for (size_t i = 0; message && i < 2; i++)
    assert_int_equal(data->rows[i].tag_count, 0);
  qe_dataset_free(data);
}

static void test_files(void **state) {
  (void)state;
  expect("ka lo\nmi\n", "OK BAD\nOK\n", 0, NULL);
  expect("ka lo\nmi", "OK OK BAD OK OK\nOK BAD OK", 0, NULL);
  expect("mi\n", "BAD\n", 1, NULL);
  expect("ka lo\nmi\n", "OK BAD OK\nOK\n", 0, "tags:1: 3 tags, expected 2 or 5: mt has 2 tokens there");
  expect("ka lo\nmi\n", "OK BAD\nGOOD\n", 0, "tags:2: tag \"GOOD\", expected OK or BAD");
  expect("ka lo\n", "OK BAD\n", 0, "mt and tags do not have 2 lines each, one for each row");
  expect("ka lo\nmi\nsu\n", "OK BAD\nOK\nOK\n", 0, "mt and tags do not have 2 lines each, one for each row");
  expect("ka lo\nmi\n", "OK BAD\n", 0, "mt and tags do not have 2 lines each, one for each row");
}

static void test_paths(void **state) {
  (void)state;
  static const char *const translations[] = { "ka lo" };
  qe_dataset *data = rows_of(translations, 1);
  assert_int_equal(qe_dataset_read_tags(data, "/nowhere/mt", "/nowhere/tags", 0), QE_WORLD);
  assert_non_null(strstr(qe_dataset_error(data), "/nowhere/mt"));
  assert_int_equal(qe_dataset_read_tags(data, "/nowhere/mt", "/nowhere/tags", 2), QE_USE);
  qe_dataset_free(data);
}

/* Joined rows keep their tags, and a fingerprint knows of them. */
static void test_rows_keep_their_tags(void **state) {
  (void)state;
  static const char *const translations[] = { "ka lo", "mi" };
  char plain[65], tagged[65], other[65];
  qe_dataset *data = rows_of(translations, 2), *all = rows_of(translations, 2);
  qe_dataset_sha256(data, plain);
  assert_int_equal(tag(data, "ka lo\nmi", "OK BAD\nOK", 0), QE_OK);
  qe_dataset_sha256(data, tagged);
  assert_int_equal(tag(data, "ka lo\nmi", "OK BAD\nBAD", 0), QE_OK);
  qe_dataset_sha256(data, other);
  assert_true(strcmp(plain, tagged) != 0 && strcmp(tagged, other) != 0);
  assert_int_equal(qe_dataset_append_all(all, data), QE_OK);
  const struct row *row = &all->rows[2];
  assert_int_equal(all->rows[0].tag_count, 0);
  assert_int_equal(row->tag_count, 2);
  assert_memory_equal(all->bytes + row->tokens, "ka lo\0\1", 7);
  qe_dataset_free(data);
  qe_dataset_free(all);
}

/* ---- carried over ---- */

#define TWELVE                                                                                                     \
  "{\"embedding\":7,\"hidden\":5,\"attention\":6,\"max_tokens\":12,"                                               \
  "\"source\":{\"kind\":\"ngrams\",\"buckets\":101},\"target\":{\"kind\":\"ngrams\",\"buckets\":53}}"

/* Per word of the translation "0", "1" (BAD) or "?". */
static void carried(const char *translation, const char *tokens, const char *tags, const char *expected) {
  const char *const translations[] = { "pa", translation };
  const uint32_t rows[] = { 1, 0 };
  char text[512], marks[512], found[64] = "";
  qe_dataset *data = rows_of(translations, 2), *seen = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(TWELVE, seen);
  snprintf(text, sizeof text, "pa\n%s\n", tokens);
  snprintf(marks, sizeof marks, "BAD\n%s\n", tags);
  assert_int_equal(tag(data, text, marks, 0), QE_OK);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_batch *batch = qe_batch_new(data, rows, 2);
  qe_tensor values = qe_batch_tags(tape, batch, model);
  if (qe_tape_status(tape) != QE_OK)
    fail_msg("%s: %s", translation, qe_tape_error(tape));
  const size_t words = qe_rows(values);
  for (size_t i = 0; i < words; i++)
    found[i] = qe_values(values)[2 * i + 1] > 0 ? qe_values(values)[2 * i] > 0 ? '1' : '0' : '?';
  assert_int_equal(found[words - 1], '1'); /* the other row, "pa" */
  found[words - 1] = '\0';
  assert_string_equal(found, expected);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(seen);
  qe_dataset_free(data);
}

static void test_carried_over(void **state) {
  (void)state;
  carried("ka lo, mi.", "ka lo , mi .", "OK BAD OK OK BAD", "01001");
  carried("ka lo, mi.", "ka lo, mi.", "OK BAD OK", "01100"); /* coarser tokens */
  carried("ka's", "k a 's", "OK BAD OK", "100");             /* finer ones */
  carried("ka \xc2\xa0 lo", "ka lo", "OK BAD", "01");        /* another white space */
  carried("\xef\xac\x81 x", "fi x", "BAD OK", "10");         /* a ligature, taken apart in both */
  carried("ka lo", "ka la", "OK BAD", "??");
  carried("ka lo", "ka lo mi", "OK OK BAD", "??");
  carried("ka lo mi", "ka lo", "OK BAD", "???");
  carried("", "", "", "");
  carried("a b c d e f g h i j k l m n", "a b c d e f g h i j k l m n",
          "OK OK OK OK OK OK OK OK OK OK OK BAD BAD OK", "000000000001"); /* as far as is read */
}

/* ---- a head for words ---- */

#define HEAD                                                                                                       \
  "{\"name\":\"aligned\",\"embedding\":20,\"states\":33,\"comparison\":17,\"hidden\":9,\"words\":true,"            \
  "\"source\":{\"kind\":\"ngrams\",\"buckets\":50},\"target\":{\"kind\":\"ngrams\",\"buckets\":50}}"

static void test_tokens_are_as_bad_as_their_worst_word(void **state) {
  (void)state;
  static const char *const translations[] = { "ka  lo-mi, (su)\tte!" };
  static const size_t words[] = { 1, 4, 3, 2 }; /* of each token */
  const uint32_t row = 0;
  float bad[8];
  float score, alone;
  size_t offset[2], next = 0;
  qe_dataset *data = rows_of(translations, 1), *seen = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(HEAD, seen);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_batch *batch = qe_batch_new(data, &row, 1);
  qe_tensor logits = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), "words");
  assert_int_equal(qe_tape_status(tape), QE_OK);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  const qe_pair pair = qe_dataset_pair(data, 0);
  const size_t count = qe_count_tokens(&pair, 1, offset);
  assert_true(offset[0] == 0 && offset[1] == 4 && count == 4);
  assert_int_equal(qe_score_words(scorer, &pair, 1, offset, &score, bad), QE_OK);
  assert_int_equal(qe_score(scorer, &pair, 1, &alone), QE_OK);
  assert_memory_equal(&score, &alone, sizeof score);
  assert_int_equal(qe_rows(logits), 10);
  for (size_t i = 0; i < count; i++) {
    double worst = -INFINITY;
    for (size_t j = 0; j < words[i]; j++)
      worst = fmax(worst, (double)qe_values(logits)[next++]);
    assert_true(fabs((double)bad[i] - 1 / (1 + exp(-worst))) < 1e-5);
  }
  assert_int_equal(qe_score_words(scorer, &pair, 1, NULL, &score, bad), QE_USE);
  assert_int_equal(qe_score_words(scorer, &pair, 1, offset, &score, NULL), QE_USE);
  qe_scorer_free(scorer);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(seen);
  qe_dataset_free(data);
}

/* Words of many pairs in one call are those of each alone, and the scores are those of qe_score: also where texts are cut
** into windows, even inside a token, which stays one. */
static void test_words_of_many_pairs(void **state) {
  enum { MANY = 24, TEXT = 2000, MOST = 400 };
  static char texts[MANY][TEXT];
  static float bad[MANY * MOST];
  float scores[MANY], expected[MANY], alone[MOST], score;
  size_t offset[MANY + 1], own[2];
  qe_rng rng;
  qe_pair pairs[MANY];
  (void)state;
  qe_rng_seed(&rng, 3, "many");
  for (size_t i = 0; i < MANY; i++)
    fixture_sentence(&rng, texts[i], TEXT, i % 3 == 0 ? 250 : i % 7);
  strcpy(texts[4], "abcde"); /* the translation of a source that is cut into more windows than it has bytes */
  for (size_t i = 0; i < MANY; i++)
    pairs[i] = (qe_pair){ .source = qe_string(texts[i == 4 ? 0 : i / 2]), .translation = qe_string(texts[i]) };
  qe_dataset *seen = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(HEAD, seen);
  qe_pool *pool = qe_pool_new(2);
  qe_scorer *team = qe_scorer_new(model, pool), *scorer = qe_scorer_new(model, NULL);
  const size_t tokens = qe_count_tokens(pairs, MANY, offset);
  assert_true(offset[5] - offset[4] == 1 && tokens < MANY * MOST);
  for (size_t i = 0; i <= tokens; i++)
    bad[i] = -1;
  assert_int_equal(qe_score_words(team, pairs, MANY, offset, scores, bad), QE_OK);
  assert_true(qe_scorer_truncated(team) > MANY / 4);
  for (size_t i = 0; i < tokens; i++)
    assert_true(bad[i] >= 0 && bad[i] <= 1);
  assert_true(bad[tokens] == -1);
  assert_int_equal(qe_score(scorer, pairs, MANY, expected), QE_OK);
  assert_memory_equal(scores, expected, sizeof scores);
  for (size_t i = 0; i < MANY; i++) {
    const size_t count = qe_count_tokens(&pairs[i], 1, own);
    assert_int_equal(count, offset[i + 1] - offset[i]);
    assert_int_equal(qe_score_words(scorer, &pairs[i], 1, own, &score, alone), QE_OK);
    assert_memory_equal(alone, bad + offset[i], count * sizeof *alone);
  }
  qe_scorer_free(team);
  qe_scorer_free(scorer);
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(seen);
}

/* What a side is written in, as the manifest's languages have it. */
static void test_scripts_and_reasons(void **state) {
  (void)state;
  unsigned reasons;
  qe_dataset *seen = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(TWELVE, seen);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  const qe_pair pair = { qe_string("ka lo"), qe_string("\xd0\xba\xd0\xb0"), NULL, 0 },
                same = { pair.source, pair.source, NULL, 0 };
  const qe_pair numbers = { qe_string("42"), qe_string("42"), NULL, 0 },
                empty = { pair.source, qe_string(" \t"), NULL, 0 };
  assert_int_equal(qe_score_reasons(scorer, &pair, &reasons), QE_OK);
  assert_int_equal(reasons, 0); /* nothing is known of its languages */
  assert_int_equal(qe_model_describe(model, "{\"languages\":\"ru-en\"}"), QE_OK);
  assert_int_equal(qe_score_reasons(scorer, &pair, &reasons), QE_OK);
  assert_int_equal(reasons, QE_REASON_WRONG_SCRIPT);
  assert_int_equal(qe_model_describe(model, "{\"languages\":\"en-ru\"}"), QE_OK);
  assert_int_equal(qe_score_reasons(scorer, &pair, &reasons), QE_OK);
  assert_int_equal(reasons, 0);
  assert_int_equal(qe_score_reasons(scorer, &same, &reasons), QE_OK);
  assert_int_equal(reasons, QE_REASON_COPIED | QE_REASON_WRONG_SCRIPT);
  assert_int_equal(qe_score_reasons(scorer, &numbers, &reasons), QE_OK);
  assert_int_equal(reasons, 0);
  assert_int_equal(qe_score_reasons(scorer, &empty, &reasons), QE_OK);
  assert_int_equal(reasons, QE_REASON_EMPTY);
  assert_true(qe_model_script_fits(model, QE_SOURCE, qe_string("1 + 1")));
  assert_string_equal(qe_reason_name(QE_REASON_TRUNCATED), "truncated");
  assert_null(qe_reason_name(16));
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(seen);
}

/* Spread and threshold are what the manifest says; without it nothing is known. */
static void test_spread_and_threshold(void **state) {
  (void)state;
  qe_dataset *seen = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(HEAD, seen), *plain = fixture_model(TWELVE, seen);
  assert_true(isnan(qe_model_spread(model, 0)) && isnan(qe_model_word_threshold(plain)));
  assert_true(fabs((double)qe_model_word_threshold(model) - .5) < 1e-7);
  assert_int_equal(qe_model_describe(model, "{\"spread\":{\"a\":-0.5,\"b\":0.25},\"words\":{\"threshold\":0.375}}"),
                   QE_OK);
  assert_true(fabs((double)qe_model_spread(model, 2) - 1) < 1e-6);
  assert_true(fabs((double)qe_model_spread(model, 0) - exp(-.5)) < 1e-6);
  assert_true(qe_model_word_threshold(model) == .375F);
  assert_int_equal(qe_model_describe(model, "{\"spread\":[1]}"), QE_FORMAT);
  assert_true(qe_model_word_threshold(model) == .375F);
  qe_model_free(model);
  qe_model_free(plain);
  qe_dataset_free(seen);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_files),
    cmocka_unit_test(test_paths),
    cmocka_unit_test(test_rows_keep_their_tags),
    cmocka_unit_test(test_carried_over),
    cmocka_unit_test(test_tokens_are_as_bad_as_their_worst_word),
    cmocka_unit_test(test_words_of_many_pairs),
    cmocka_unit_test(test_scripts_and_reasons),
    cmocka_unit_test(test_spread_and_threshold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
