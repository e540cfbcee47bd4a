/*
** test_forest.c - boosted trees: they learn what a few features decide and nothing from shuffled values, with the same bits
** every time; trees by hand; what they read of a pair; the archive member, whole, cut and altered; their say in the score of
** an aligned student, with log-probabilities and without, before and after an archive.
*/
#include "forest.h"
#include "scores.h"
#include "scratch.h"
#include "transcendental.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- growing ---- */

enum { ROWS = 1200, TREES = 60 };

/* Two features and their product decide, with noise; the others are noise, too, one of them constant. */
static void make_rows(uint64_t seed, float *matrix, double *values) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "forest");
  for (size_t row = 0; row < ROWS; row++) {
    float *x = matrix + row * FOREST_FEATURES;
    for (size_t i = 0; i < FOREST_FEATURES; i++)
      x[i] = i == 7 ? 1.5f : (float)qe_rng_normal(&rng);
    values[row] = 3 + (x[2] > .3f ? 1 : -1) + (x[2] > .3f && x[5] > 0 ? 2 : 0) + .3 * qe_rng_normal(&rng);
  }
}

static double agreement(const struct forest *forest, const float *matrix, const double *values) {
  double said[ROWS];
  for (size_t row = 0; row < ROWS; row++) {
    said[row] = (double)forest->start;
    for (size_t t = 0; t < forest->trees; t++)
      said[row] += (double)forest_leaf(&forest->tree[t], matrix + row * FOREST_FEATURES);
  }
  return qe_pearson(said, values, ROWS);
}

static struct forest grown(const float *matrix, const double *values, size_t features) {
  struct forest forest;
  qe_rng rng;
  qe_rng_seed(&rng, 1, "grow");
  assert_int_equal(forest_grow(&forest, matrix, values, ROWS, features, TREES, &rng), QE_OK);
  assert_int_equal(forest.trees, TREES);
  return forest;
}

static void test_growing(void **state) {
  float *matrix = malloc(sizeof(float[ROWS][FOREST_FEATURES])),
        *fresh = malloc(sizeof(float[ROWS][FOREST_FEATURES]));
  double values[ROWS], truth[ROWS], shuffled[ROWS];
  uint32_t order[ROWS];
  qe_rng rng;
  (void)state;
  make_rows(1, matrix, values);
  make_rows(2, fresh, truth);
  struct forest forest = grown(matrix, values, FOREST_FEATURES), again = grown(matrix, values, FOREST_FEATURES);
  assert_memory_equal(forest.tree, again.tree, TREES * sizeof *forest.tree);
  assert_true(fabs((double)forest.start - 3) < .6);
  assert_true(agreement(&forest, fresh, truth) > .93);
  for (size_t t = 0; t < TREES; t++)
    for (size_t i = 0; i < FOREST_NODES; i++) {
      const float threshold = forest.tree[t].threshold[i];
      assert_true(isinf(threshold) ||
                  (forest.tree[t].feature[i] != 7 && float_of_bf16(bf16_of(threshold)) == threshold));
    }
  memory_free(again.tree);
  again = grown(matrix, values, 3); /* of which one decides half of it */
  for (size_t t = 0; t < TREES; t++)
    for (size_t i = 0; i < FOREST_NODES; i++)
      assert_true(again.tree[t].feature[i] < 3);
  assert_true(agreement(&again, fresh, truth) < agreement(&forest, fresh, truth) - .05);
  memory_free(again.tree);
  for (uint32_t i = 0; i < ROWS; i++)
    order[i] = i;
  qe_rng_seed(&rng, 3, "shuffle");
  qe_rng_shuffle(&rng, order, ROWS);
  for (size_t i = 0; i < ROWS; i++)
    shuffled[i] = values[order[i]];
  again = grown(matrix, shuffled, FOREST_FEATURES);
  assert_true(fabs(agreement(&again, fresh, truth)) < .15);
  memory_free(again.tree);
  memory_free(forest.tree);
  free(matrix);
  free(fresh);
}

/* Fewer rows than a leaf needs, and none: the mean. */
static void test_few_rows(void **state) {
  static float matrix[20 * FOREST_FEATURES];
  double values[20];
  (void)state;
  for (size_t rows = 0; rows <= 20; rows += 20) {
    struct forest forest;
    qe_rng rng;
    qe_rng_seed(&rng, 1, "grow");
    for (size_t i = 0; i < 20; i++)
      values[i] = matrix[i * FOREST_FEATURES] = (float)i;
    assert_int_equal(forest_grow(&forest, matrix, values, rows, FOREST_FEATURES, 3, &rng), QE_OK);
    assert_true(forest.start == (rows ? 9.5f : 0));
    for (size_t i = 0; i < FOREST_NODES; i++)
      assert_true(isinf(forest.tree[0].threshold[i]));
    memory_free(forest.tree);
  }
}

/* ---- trees by hand, and the member ---- */

static struct forests *by_hand(void) {
  struct forests *forests = forests_new(FORESTS);
  for (size_t i = 0; i < FORESTS; i++) {
    struct forest *forest = forests_one(forests, i);
    *forest = (struct forest){ .start = .25f, .trees = 2, .tree = memory_new(3, sizeof(struct forest_tree)) };
    for (size_t t = 0; t < 2; t++)
      for (size_t node = 0; node < FOREST_NODES; node++) {
        forest->tree[t].feature[node] = (unsigned char)(node < 3 ? node : i > 0 ? FOREST_FEATURES - 1 : 3);
        forest->tree[t].threshold[node] = node == 2 ? HUGE_VALF : (float)node;
      }
    for (size_t leaf = 0; leaf < FOREST_LEAVES; leaf++) {
      forest->tree[0].leaf[leaf] = (float)leaf;
      forest->tree[1].leaf[leaf] = (float)leaf * -16;
    }
  }
  return forests;
}

static void test_by_hand(void **state) {
  float features[FOREST_FEATURES] = { 0 };
  struct forests *forests = by_hand();
  (void)state;
  /* 0 < 0 no: node 2, whose threshold is infinite: node 5; its feature, 3, is 5 or less. */
  features[3] = 4;
  assert_true(forests_score(forests, false, features) == .25f + 4 - 64);
  features[3] = 5;
  assert_true(forests_score(forests, false, features) == .25f + 5 - 80);
  features[0] = -1; /* node 1; feature 1 is not below 1: node 4 */
  features[1] = 1;
  features[3] = 3;
  assert_true(forests_score(forests, false, features) == .25f + 2 - 32);
  features[FOREST_FEATURES - 1] = 7; /* the second forest looks there */
  assert_true(forests_score(forests, false, features) == .25f + 2 - 32);
  assert_true(forests_score(forests, true, features) == .25f + 3 - 48);
  forests_release(forests);
}

static void refused(qe_text member, size_t count, const char *reason) {
  struct error error = { 0 };
  assert_null(forests_parse(member, count, &error));
  if (!strstr(error.text, reason))
    fail_msg("\"%s\" lacks \"%s\"", error.text, reason);
}

static void test_member(void **state) {
  struct forests *forests = by_hand();
  struct error error = { 0 };
  char *bytes, *other;
  size_t size, other_size;
  (void)state;
  assert_int_equal(forests_write(forests, &bytes, &size), QE_OK);
  assert_int_equal(size, 8 + 2 * (8 + 2 * 37));
  forests_release(forests);
  forests = forests_parse((qe_text){ bytes, size }, FORESTS, &error);
  assert_non_null(forests);
  assert_int_equal(forests_write(forests, &other, &other_size), QE_OK);
  assert_int_equal(other_size, size);
  assert_memory_equal(bytes, other, size);
  memory_free(other);
  forests_release(forests);
  for (size_t cut = 0; cut < size; cut++)
    refused((qe_text){ bytes, cut }, FORESTS, "forest: ");
  refused((qe_text){ bytes, size }, 1, "too many");
  bytes[16] = TEXT_FEATURES; /* of a text's forest */
  refused((qe_text){ bytes, size }, FORESTS, "tree 1 reads");
  bytes[16] = 0;
  bytes[8 + 82 + 8 + 6] = (char)FOREST_FEATURES;
  refused((qe_text){ bytes, size }, FORESTS, "tree 1 reads");
  bytes[8 + 82 + 8 + 6] = 0;
  memcpy(bytes + 16 + 7, "\xc0\x7f", 2); /* a threshold that is no number */
  refused((qe_text){ bytes, size }, FORESTS, "tree 1 reads");
  memcpy(bytes + 16 + 7, "\0\0", 2);
  memcpy(bytes + 16 + 21, "\x80\x7f", 2); /* an infinite leaf */
  refused((qe_text){ bytes, size }, FORESTS, "tree 1 reads or gives");
  memcpy(bytes + 16 + 21, "\0\0", 2);
  memcpy(bytes + 8, "\x11\x27", 2); /* 10001 */
  refused((qe_text){ bytes, size }, FORESTS, "expected at most 10000");
  bytes[0] = 'X';
  refused((qe_text){ bytes, size }, FORESTS, "no trees of version 1");
  memory_free(bytes);
}

/* ---- what is read of a pair ---- */

static void read_texts(const char *source, const char *target, const float *logprobs, size_t count,
                       float *features) {
  struct words words[2] = { { 0 }, { 0 } };
  const struct evidence_pair evidence = { .features = { 1, 2, 3 } };
  assert_int_equal(words_split(&words[0], qe_string(source), 100), QE_OK);
  assert_int_equal(words_split(&words[1], qe_string(target), 100), QE_OK);
  surface_read(words, &evidence, logprobs, count, features);
  words_free(&words[0]);
  words_free(&words[1]);
}

static void check(const float *found, const float *expected, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (fabsf(found[i] - expected[i]) > 1e-6f)
      fail_msg("feature %zu is %.7g, expected %.7g", i, (double)found[i], (double)expected[i]);
}

static void test_surface(void **state) {
  float features[FOREST_FEATURES];
  const float logprobs[] = { -1, -.05f, -4, -.2f };
  (void)state;
  read_texts("Il a (12) chats, 7 chiens.", "le chat le chat 12 12 Éa \"x\"", logprobs, 4, features);
  check(features, (float[]){ 1, 2, 3, 0 }, 4);
  /* 10 words of 1, 2, 1, 2, 1, 5, 1, 1, 6, 1 characters: Il a ( 12 ) chats , 7 chiens . */
  check(features + EVIDENCE_FEATURES, (float[]){ 10, 21, 21 / 11.f, 6, 1 / 22.f, 4, 1, 1, 2, 0, 0 }, SIDE_FEATURES);
  /* le chat le chat 12 12 Éa " x " */
  check(features + EVIDENCE_FEATURES + SIDE_FEATURES,
        (float[]){ 10, 21, 21 / 11.f, 4, 1 / 22.f, 2, 0, 0, 2, 1 / 22.f, 1 }, SIDE_FEATURES);
  check(features + EVIDENCE_FEATURES + 2 * SIDE_FEATURES, (float[]){ 0, 0, 0, 1, 0, 0, -2, 2, 1, 1, 4, 1, 0, 1 },
        PAIR_FEATURES);
  const float mean = -5.25f / 4, halves[2] = { -1.05f / 2, -4.2f / 2 };
  const float squares = (-1 - mean) * (-1 - mean) + (-.05f - mean) * (-.05f - mean) + (-4 - mean) * (-4 - mean) +
                        (-.2f - mean) * (-.2f - mean);
  check(features + TEXT_FEATURES,
        (float[]){ mean,
                   -5.25f,
                   -4,
                   sqrtf(squares / 4),
                   -5.2f / 3,
                   4,
                   -1,
                   -.2f,
                   halves[1],
                   halves[0],
                   (expf(-1) + expf(-.05f) + expf(-4) + expf(-.2f)) / 4,
                   (.95f + 3.95f + 3.8f) / 4,
                   3.8f,
                   -3.95f,
                   -5.05f / 3,
                   mean,
                   .75f,
                   .5f,
                   2,
                   .25f,
                   1,
                   .25f,
                   1,
                   .25f,
                   1 },
        LOGPROB_FEATURES);
  read_texts("", "", NULL, 0, features);
  for (size_t i = EVIDENCE_FEATURES; i < FOREST_FEATURES; i++)
    assert_true(features[i] == 0);
  read_texts("", "\xff\xfe x\xc3", logprobs, 1, features);
  for (size_t i = 0; i < FOREST_FEATURES; i++)
    assert_true(isfinite(features[i]));
}

/* ---- a student's second opinion ---- */

static qe_dataset *make_data(uint64_t seed, size_t rows) {
  static const char *const words[] = { "ka", "lo", "mi", "su", "te", "ro", "pa", "vi" };
  qe_dataset *data = qe_dataset_new();
  double *gold = calloc(rows, sizeof *gold);
  qe_rng rng;
  qe_rng_seed(&rng, seed, "data");
  for (size_t i = 0; i < rows; i++) {
    char texts[2][200] = { "", "" };
    const size_t count = 3 + qe_rng_below(&rng, 9), other = 3 + qe_rng_below(&rng, 9);
    for (size_t j = 0; j < count; j++)
      sprintf(texts[0] + strlen(texts[0]), "%s ", words[qe_rng_below(&rng, 8)]);
    for (size_t j = 0; j < other; j++)
      sprintf(texts[1] + strlen(texts[1]), "%s ", words[qe_rng_below(&rng, 8)]);
    const float logprobs[] = { -(float)qe_rng_uniform(&rng), -2 * (float)qe_rng_uniform(&rng) };
    gold[i] = fabs((double)count - (double)other) * -.2 + (i % 2 ? (double)logprobs[0] : 0);
    if (i % 50 == 9)
      gold[i] = NAN;
    const qe_pair pair = { qe_string(texts[0]), qe_string(texts[1]), i % 2 ? logprobs : NULL, i % 2 ? 2 : 0 };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  assert_int_equal(qe_dataset_set_column(data, "gold", gold), QE_OK);
  free(gold);
  return data;
}

static qe_model *student(const qe_dataset *data, const char *more) {
  char configuration[300];
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, 1, "student");
  sprintf(configuration,
          "{\"name\":\"aligned\",\"embedding\":8,\"states\":9,\"comparison\":5,\"hidden\":6,\"decoder_inputs\":4%s,"
          "\"source\":{\"kind\":\"ngrams\",\"buckets\":50}}",
          more);
  if (qe_model_create(model, configuration, data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  return model;
}

static void score_rows(qe_model *model, const qe_dataset *data, float *scores) {
  qe_pair pairs[PAIRS];
  take_pairs(data, model, pairs);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(model, NULL, 1, pairs, PAIRS, scores);
}

static void test_second_opinion(void **state) {
  qe_dataset *train = make_data(1, 800), *data = make_data(2, PAIRS);
  qe_model *model = student(train, ""), *again = qe_model_new(), *copy = qe_model_new();
  float alone[PAIRS], trees[PAIRS], both[PAIRS], found[PAIRS];
  double said[PAIRS], gold[PAIRS];
  size_t known = 0;
  struct scratch scratch;
  qe_rng rng;
  (void)state;
  scratch_make(&scratch);
  score_rows(model, data, alone);
  qe_rng_seed(&rng, 1, "forest");
  assert_int_equal(qe_model_grow(model, train, "gold", 80, &rng), QE_OK);
  score_rows(model, data, both); /* they are not heard yet */
  assert_memory_equal(alone, both, sizeof both);
  assert_int_equal(qe_model_trees(model, data, trees), QE_OK);
  for (size_t i = 0; i < PAIRS; i++)
    if (!isnan(qe_dataset_column(data, "gold")[i])) {
      said[known] = (double)trees[i];
      gold[known++] = qe_dataset_column(data, "gold")[i];
    }
  assert_true(qe_pearson(said, gold, known) > .8);
  assert_int_equal(qe_model_describe(model, "{\"score\":{\"scale\":2,\"shift\":1,\"forest\":0.5,"
                                            "\"with_logprobs\":{\"scale\":3,\"shift\":-1,\"forest\":0.25}}}"),
                   QE_OK);
  score_rows(model, data, both);
  for (size_t i = 0; i < PAIRS; i++) {
    const float expected = i % 2 ? -1 + 3 * (alone[i] + .25f * trees[i]) : 1 + 2 * (alone[i] + .5f * trees[i]);
    assert_true(fabsf(both[i] - expected) < 1e-6f);
  }
  check_bits(model, data);
  assert_int_equal(qe_model_copy(copy, model), QE_OK);
  qe_pair golden = qe_dataset_pair(data, 3);
  assert_int_equal(qe_model_set_golden(model, &golden, 1), QE_OK);
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  if (qe_model_save(model, scratch_path(&scratch, "student.qe")) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  qe_model_free(model); /* the copy holds the trees */
  score_rows(copy, data, found);
  assert_memory_equal(both, found, sizeof both);
  if (qe_model_open(again, scratch_path(&scratch, "student.qe"), 0) != QE_OK)
    fail_msg("%s", qe_model_error(again));
  score_rows(again, data, found);
  assert_memory_equal(both, found, sizeof both);
  assert_int_equal(qe_model_trees(again, data, found), QE_OK);
  assert_memory_equal(trees, found, sizeof trees);
  qe_model_free(again);
  qe_model_free(copy);
  qe_dataset_free(train);
  qe_dataset_free(data);
  scratch_remove(scratch.folder);
}

static void test_misuse(void **state) {
  qe_dataset *train = make_data(1, 100);
  qe_model *model = student(train, ""), *other = qe_model_new();
  float scores[100];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 1, "forest");
  assert_int_equal(qe_model_trees(model, train, scores), QE_USE);
  assert_int_equal(qe_model_grow(model, train, "silver", 5, &rng), QE_USE);
  assert_non_null(strstr(qe_model_error(model), "no column silver"));
  assert_int_equal(qe_model_grow(model, train, "gold", 0, &rng), QE_USE);
  assert_int_equal(qe_model_grow(model, train, "gold", 10001, &rng), QE_USE);
  assert_int_equal(qe_model_create(other, "{\"name\":\"birnn\"}", train, &rng), QE_OK);
  assert_int_equal(qe_model_grow(other, train, "gold", 5, &rng), QE_USE);
  assert_non_null(strstr(qe_model_error(other), "only aligned students"));
  assert_int_equal(qe_model_create(other, "{\"name\":\"aligned\",\"forests\":1}", train, &rng), QE_USE);
  assert_non_null(strstr(qe_model_error(other), "are grown"));
  qe_model_free(other);
  qe_model_free(model);
  qe_dataset_free(train);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_growing), cmocka_unit_test(test_few_rows), cmocka_unit_test(test_by_hand),
    cmocka_unit_test(test_member),  cmocka_unit_test(test_surface),  cmocka_unit_test(test_second_opinion),
    cmocka_unit_test(test_misuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
