/*
** test_likeness.c - consensus by word vectors against its definition, computed from a model's embeddings in double; texts
** without words, equal texts, a model that has no vectors; what a reranker makes of it.
*/
#include "likeness_twin.h"
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ALIGNED                                                                                                    \
  "{\"name\":\"aligned\",\"embedding\":20,\"states\":8,\"comparison\":8,\"hidden\":8,\"max_tokens\":12,"           \
  "\"source\":{\"kind\":\"ngrams\",\"buckets\":50},\"target\":{\"kind\":\"ngrams\",\"buckets\":90}}"
enum { WIDTH = 20, TEXTS = 7, MOST_WORDS = 12 };

static const char *const texts[TEXTS] = {
  "ka lo mi su", "ka lo mi su te", "Teri, pa!", "", "x", "  ", "ka ka ka ka ka ka ka ka ka ka ka ka lo lo lo"
};

/* ---- the naive twin ---- */

static void directions_of(qe_model *model, const char *text, struct directions *out) {
  struct words words = { 0 };
  const qe_real *table = qe_params_matrix(model->params, (size_t)qe_params_find(model->params, "target.embedding"));
  assert_int_equal(words_split(&words, qe_string(text), MOST_WORDS), QE_OK);
  out->count = words.count;
  for (size_t i = 0; i < words.count; i++) {
    uint32_t ids[VOCABULARY_MAX_IDS];
    const qe_text word = { words.bytes + words.offset[i], words.offset[i + 1] - words.offset[i] };
    const size_t count = vocabulary_ids(&model->vocabulary[QE_TARGET], word, ids);
    double size = 0;
    for (size_t j = 0; j < WIDTH; j++) {
      out->x[i][j] = 0;
      for (size_t k = 0; k < count; k++)
        out->x[i][j] += (double)table[ids[k] * WIDTH + j] / (double)count;
      size += out->x[i][j] * out->x[i][j];
    }
    for (size_t j = 0; j < WIDTH; j++)
      out->x[i][j] /= sqrt(size);
  }
  words_free(&words);
}

static double alike(qe_model *model, const char *a, const char *b) {
  struct directions one, other;
  directions_of(model, a, &one);
  directions_of(model, b, &other);
  return twin_alike(&one, &other, WIDTH);
}

/* ---- tests ---- */

static qe_model *model_of(qe_dataset **data) {
  *data = fixture_data(60, 4, 10);
  return fixture_model(ALIGNED, *data);
}

static void test_against_the_twin(void **state) {
  (void)state;
  qe_text list[TEXTS];
  double values[TEXTS], weights[TEXTS], weighted[TEXTS];
  qe_dataset *data;
  qe_model *model = model_of(&data);
  qe_consensus *consensus = qe_consensus_by_words(model);
  assert_non_null(consensus);
  for (size_t i = 0; i < TEXTS; i++) {
    list[i] = qe_string(texts[i]);
    weights[i] = .5 + (double)i;
  }
  for (int round = 0; round < 2; round++) {
    assert_int_equal(qe_consensus_values(consensus, list, TEXTS, NULL, values), QE_OK);
    assert_int_equal(qe_consensus_values(consensus, list, TEXTS, weights, weighted), QE_OK);
    for (size_t i = 0; i < TEXTS; i++) {
      double sum = 0, weighted_sum = weights[i], weight = weights[i];
      for (size_t j = 0; j < TEXTS; j++) {
        if (j == i)
          continue;
        const double u = alike(model, texts[i], texts[j]);
        sum += u;
        weighted_sum += weights[j] * u;
        weight += weights[j];
      }
      assert_true(fabs(values[i] - sum / (TEXTS - 1)) < 1e-5);
      assert_true(fabs(weighted[i] - weighted_sum / weight) < 1e-5);
    }
  }
  qe_consensus_free(consensus);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Of many strings a sample stands for all: each is then read as a text that is no reference. */
static void test_samples(void **state) {
  (void)state;
  enum { MANY = 60 };
  char strings[MANY][64];
  qe_text list[MANY];
  double all[MANY], some[MANY];
  qe_dataset *data;
  qe_model *model = model_of(&data);
  qe_consensus *consensus = qe_consensus_by_words(model);
  qe_rng rng;
  qe_rng_seed(&rng, 3, "likeness");
  for (size_t i = 0; i < MANY; i++) {
    fixture_sentence(&rng, strings[i], sizeof strings[i], 6);
    list[i] = qe_string(strings[i]);
  }
  assert_int_equal(qe_consensus_values(consensus, list, MANY, NULL, all), QE_OK);
  assert_int_equal(qe_consensus_sample(consensus, 40), QE_OK);
  assert_int_equal(qe_consensus_values(consensus, list, MANY, NULL, some), QE_OK);
  assert_true(qe_consensus_standard_error(consensus) > 0);
  for (size_t i = 0; i < MANY; i++)
    assert_true(fabs(all[i] - some[i]) < 6 * qe_consensus_standard_error(consensus));
  qe_consensus_free(consensus);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_models_without_vectors(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(60, 4, 10);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data), *empty = qe_model_new();
  assert_int_equal(qe_model_word_vectors(model), 0);
  assert_null(qe_consensus_by_words(model));
  assert_null(qe_consensus_by_words(empty));
  qe_model_free(empty);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* The features of a list are these values; a model without vectors leaves the name to the ranking, which refuses it. */
static void test_reranker(void **state) {
  (void)state;
  enum { LINES = 3 };
  static const char *const lines[LINES] = { "0 ||| ka lo mi su ||| F0= 1 ||| -1", "0 ||| ka lo mi ||| F0= 1 ||| -2",
                                            "0 ||| te ||| F0= 1 ||| -3" };
  const qe_text list[LINES] = { qe_string("ka lo mi su"), qe_string("ka lo mi"), qe_string("te") };
  double values[LINES], found;
  size_t order[LINES];
  qe_dataset *data;
  qe_model *model = model_of(&data), *plain = fixture_model(FIXTURE_NGRAMS, data);
  qe_consensus *consensus = qe_consensus_by_words(model);
  qe_reranker *reranker = qe_reranker_new(model, NULL), *other = qe_reranker_new(plain, NULL);
  qe_list *candidates = qe_list_new();
  for (size_t i = 0; i < LINES; i++)
    assert_int_equal(qe_list_add(candidates, qe_string(lines[i]), i + 1), 1);
  assert_int_equal(qe_consensus_values(consensus, list, LINES, NULL, values), QE_OK);
  assert_int_equal(qe_reranker_guards(reranker, "none"), QE_OK);
  assert_int_equal(qe_reranker_weights(reranker, qe_string("{\"MBRV0\": 1, \"MBRVP0\": 0.001}"), "here"), QE_OK);
  assert_int_equal(qe_reranker_weights(other, qe_string("{\"MBRV0\": 1}"), "here"), QE_OK);
  assert_true(qe_rerank(other, candidates, order, NULL, NULL) != QE_OK);
  assert_int_equal(qe_rerank(reranker, candidates, order, NULL, NULL), QE_OK);
  assert_int_not_equal(order[0], 2);
  for (size_t i = 0; i < LINES; i++) {
    assert_int_equal(qe_list_feature(candidates, i, "MBRV0", &found, 1), 1);
    assert_true(found == values[i]);
    assert_int_equal(qe_list_feature(candidates, i, "MBRVP0", &found, 1), 1);
  }
  qe_list_free(candidates);
  qe_reranker_free(reranker);
  qe_reranker_free(other);
  qe_consensus_free(consensus);
  qe_model_free(plain);
  qe_model_free(model);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_against_the_twin),
    cmocka_unit_test(test_samples),
    cmocka_unit_test(test_models_without_vectors),
    cmocka_unit_test(test_reranker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
