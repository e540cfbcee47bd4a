/*
** test_score_list.c - scores of lists against qe_score of each pair alone, bit by bit: random lists with duplicates,
** common beginnings and ends, empty, broken and over-long texts, mixed sources, several threads, more than a block.
*/
#include "kernel.h"
#include "model_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROOM = 1024 };

struct list {
  char (*texts)[ROOM];
  qe_pair *pairs;
  float logprobs[3];
  size_t count;
};

/* A text that shares what it can with `base`: itself, its beginning, its end, or a text with other words inside. */
static size_t variant(qe_rng *rng, char *text, const char *base) {
  char inner[ROOM / 4];
  const size_t size = strlen(base);
  const size_t cut = size > 0 ? qe_rng_below(rng, size) : 0;
  switch (qe_rng_below(rng, 6)) {
  case 0:
    return (size_t)snprintf(text, ROOM, "%s", base);
  case 1:
    return (size_t)snprintf(text, ROOM, "%.*s", (int)cut, base); /* cuts characters apart, too */
  case 2:
    return (size_t)snprintf(text, ROOM, "%s", base + cut);
  case 3:
    return (size_t)snprintf(text, ROOM, "%s", "");
  default:
    fixture_sentence(rng, inner, sizeof inner, 4);
    return (size_t)snprintf(text, ROOM, "%.*s %s %s", (int)cut, base, inner, base + cut);
  }
}

static struct list make_list(qe_rng *rng, size_t count, size_t words, size_t sources, bool logprobs) {
  static const char *const source[] = { "Teri ka lomi, su pa!", "", "xyzzy \xff 42" };
  char base[ROOM / 2];
  struct list list = { calloc(count + 1, ROOM), calloc(count + 1, sizeof *list.pairs), { -1, -2, -.5F }, count };
  fixture_sentence(rng, base, sizeof base, words);
  for (size_t i = 0; i < count; i++) {
    const size_t size = variant(rng, list.texts[i], base);
    list.pairs[i] = (qe_pair){
      qe_string(source[qe_rng_below(rng, sources)]), { list.texts[i], size < ROOM ? size : ROOM - 1 }, NULL, 0
    };
    list.pairs[i].logprob_count = logprobs ? qe_rng_below(rng, 4) : 0;
  }
  return list;
}

static void free_list(struct list *list) {
  free(list->texts);
  free(list->pairs);
}

static void compare(const qe_model *model, qe_pool *pool, struct list *list, const char *kernel) {
  float *alone = calloc(list->count + 1, sizeof *alone), *together = calloc(list->count + 1, sizeof *together);
  qe_scorer *one = qe_scorer_new(model, NULL), *many = qe_scorer_new(model, pool);
  if (kernel_choose(kernel)) {
    scorer_use(one, kernel_choose(kernel));
    scorer_use(many, kernel_choose(kernel));
  }
  for (size_t i = 0; i < list->count; i++)
    if (list->pairs[i].logprob_count > 0)
      list->pairs[i].logprobs = list->logprobs;
  for (size_t i = 0; i < list->count; i++)
    assert_int_equal(qe_score(one, &list->pairs[i], 1, &alone[i]), QE_OK);
  for (int round = 0; round < 2; round++) {
    memset(together, 0xff, list->count * sizeof *together);
    assert_int_equal(qe_score_list(many, list->pairs, list->count, together), QE_OK);
    assert_memory_equal(together, alone, list->count * sizeof *alone);
  }
  assert_int_equal(qe_scorer_truncated(many), 2 * qe_scorer_truncated(one));
  qe_scorer_free(one);
  qe_scorer_free(many);
  free(alone);
  free(together);
}

static void check(const char *configuration, bool logprobs) {
  qe_rng rng;
  qe_rng_seed(&rng, 12, "lists");
  qe_dataset *data = fixture_data(40, 3, 10);
  qe_model *model = fixture_model(configuration, data);
  qe_pool *pool = qe_pool_new(3);
  for (size_t round = 0; round < 40; round++) {
    struct list list = make_list(&rng, qe_rng_below(&rng, 300), 30, 1 + round % 3, logprobs);
    compare(model, round % 2 ? pool : NULL, &list, round % 5 ? NULL : "portable");
    free_list(&list);
  }
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_ngrams(void **state) {
  (void)state;
  check(FIXTURE_NGRAMS, false);
}

/* Words, bins, log-probabilities, and a limit of 12 tokens, which many of these texts pass. */
static void test_words(void **state) {
  (void)state;
  check(FIXTURE_WORDS, true);
}

/* More pairs and more tokens than a block takes. */
static void test_long_lists(void **state) {
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 7, "long lists");
  qe_dataset *data = fixture_data(40, 3, 10);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  qe_pool *pool = qe_pool_new(2);
  struct list list = make_list(&rng, 9000, 3, 1, false);
  compare(model, pool, &list, NULL);
  free_list(&list);
  list = make_list(&rng, 600, 60, 1, false);
  compare(model, NULL, &list, NULL);
  free_list(&list);
  list = make_list(&rng, 0, 3, 1, false);
  compare(model, pool, &list, NULL);
  free_list(&list);
  qe_pool_free(pool);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* A step of many rows is that many steps. */
static void test_rows_of_the_kernel(void **state) {
  enum { HIDDEN = 9, LANES = 32, ROWS = 7 };
  static const char *const names[] = { "portable", "v3", "v4" };
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 3, "rows");
  _Alignas(64) float weight[HIDDEN * LANES], bias[LANES], input[ROWS][2 * LANES], before[ROWS * LANES] = { 0 };
  _Alignas(64) float single[ROWS * LANES], many[ROWS * LANES], inner[ROWS * LANES + LANES] = { 0 },
                                                                                    gates[2 * LANES];
  const float *inputs[ROWS];
  for (size_t i = 0; i < HIDDEN * LANES; i++)
    weight[i] = i % LANES < 3 * HIDDEN ? (float)qe_rng_normal(&rng) : 0;
  for (size_t j = 0; j < LANES; j++)
    bias[j] = (float)qe_rng_normal(&rng);
  for (size_t i = 0; i < ROWS; i++) {
    for (size_t j = 0; j < 2 * LANES; j++)
      input[i][j] = (float)qe_rng_normal(&rng);
    for (size_t j = 0; j < HIDDEN; j++)
      before[i * LANES + j] = (float)qe_rng_normal(&rng);
    inputs[i] = input[i];
  }
  const struct kernel_gru gru = { HIDDEN, LANES, weight, bias };
  for (size_t k = 0; k < 3; k++) {
    const struct kernel *kernel = kernel_choose(names[k]);
    if (!kernel) {
      print_message("this CPU has no kernel %s\n", names[k]);
      continue;
    }
    kernel->gru_rows(&gru, ROWS, inputs, before, many, inner, gates);
    for (size_t i = 0; i < ROWS; i++)
      kernel->gru(&gru, 1, &inputs[i], false, single + i * LANES, LANES, before + i * LANES, inner, gates);
    assert_memory_equal(many, single, sizeof many);
  }
}

static void test_refusals(void **state) {
  float score = 0;
  const qe_pair pair = { .source = qe_string("a"), .translation = qe_string("b") };
  (void)state;
  qe_model *empty = qe_model_new();
  qe_scorer *scorer = qe_scorer_new(empty, NULL);
  assert_int_equal(qe_score_list(scorer, &pair, 1, &score), QE_USE);
  assert_non_null(strstr(qe_scorer_error(scorer), "empty"));
  qe_scorer_free(scorer);
  qe_model_free(empty);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rows_of_the_kernel), cmocka_unit_test(test_ngrams),   cmocka_unit_test(test_words),
    cmocka_unit_test(test_long_lists),         cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
