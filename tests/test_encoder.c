/*
** test_encoder.c - pretrained encoders: scores without a tape against the tape, with bits that depend on the pair alone;
** passes that start at given states or leave layers alone; import of folders, hostile ones included; archives.
*/
#include "architecture.h"
#include "sentencepiece.h"
#include "scores.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BERT QE_SOURCE_DIR "/tests/parity/bert"
#define BOTH "{\"joint\":true,\"alignment\":[0,2],\"prefix\":\"go: \",\"decoder_inputs\":4}"

static qe_model *import(const char *configuration, const qe_dataset *corpus) {
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, 1, "import");
  if (qe_model_import(model, BERT, configuration, corpus, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  return model;
}

/* Pairs of made-up words, some unknown, some empty, some longer than there are positions for. Some have the source of the
** pair before, some its translation, some both. */
static qe_dataset *make_data(void) {
  static const char *const words[] = { "ka", "lo", "mi", "su", "te", "ro", "pa", "vi", "xq", "ne", "so", "go" };
  qe_dataset *data = qe_dataset_new();
  qe_rng rng;
  char texts[2][1024];
  const float logprobs[] = { -.5f, -1.25f, -.125f };
  qe_rng_seed(&rng, 7, "data");
  for (size_t i = 0; i < PAIRS; i++) {
    for (size_t side = 0; side < 2; side++) {
      if (i > 0 && i / 4 >> side & 1)
        continue;
      const size_t count = i % 20 == 19 ? 60 : qe_rng_below(&rng, 12);
      texts[side][0] = '\0';
      for (size_t j = 0; j < count; j++)
        sprintf(texts[side] + strlen(texts[side]), "%s%s", j ? " " : "", words[qe_rng_below(&rng, 12)]);
    }
    qe_pair pair = { qe_string(texts[0]), qe_string(texts[1]), i % 2 ? logprobs : NULL, i % 2 ? 3 : 0 };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  return data;
}

/* ---- scores ---- */

/* A joint encoder that learned without log-probabilities, too, does not need them; one that reads each text alone never
** learns that. */
static void test_who_needs_logprobs(void **state) {
  static const struct {
    const char *configuration;
    int needed;
  } cases[] = { { BOTH, 1 },
                { "{\"joint\":true,\"decoder_inputs\":4,\"decoder_dropout\":0.5}", 0 },
                { "{\"alignment\":[1],\"decoder_inputs\":4,\"decoder_dropout\":0.5}", 1 },
                { "{\"joint\":true}", 0 } };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qe_model *model = import(cases[i].configuration, NULL);
    assert_int_equal(qe_model_decoder_needed(model), cases[i].needed);
    qe_model_free(model);
  }
}

/* Adapters begin by adding nothing; here they add. */
static void move_adapters(qe_model *model) {
  qe_rng rng;
  size_t rows, cols;
  qe_rng_seed(&rng, 2, "adapters");
  for (size_t i = 0; i < qe_params_count(model->params); i++)
    if (strncmp(qe_params_name(model->params, i, &rows, &cols), "adapter", 7) == 0)
      qe_params_normal(model->params, i, .4, &rng);
}

static void test_adapters(void **state) {
  qe_dataset *data = make_data();
  qe_model *plain = import("{\"joint\":true}", NULL), *model = import("{\"joint\":true,\"rank\":3}", NULL);
  qe_pair pairs[PAIRS];
  float before[PAIRS], same[PAIRS], moved[PAIRS];
  (void)state;
  take_pairs(data, model, pairs);
  assert_true(qe_model_take(model, plain) > 0);
  assert_int_equal(qe_model_prepare(plain), QE_OK);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(plain, NULL, 1, pairs, PAIRS, before);
  score(model, NULL, 1, pairs, PAIRS, same);
  assert_memory_equal(before, same, sizeof before);
  move_adapters(model);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  score(model, NULL, 1, pairs, PAIRS, moved);
  assert_memory_not_equal(before, moved, sizeof before);
  qe_model_free(plain);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_scores_are_those_of_the_tape(void **state) {
  static const char *const configurations[] = { "{\"alignment\":[1,2]}",
                                                "{\"joint\":true}",
                                                BOTH,
                                                "{\"alignment\":[2],\"bins\":7}",
                                                "{\"joint\":true,\"bins\":300}",
                                                "{\"joint\":true,\"rank\":3}",
                                                "{}" };
  qe_dataset *data = make_data();
  (void)state;
  for (size_t c = 0; c < sizeof configurations / sizeof *configurations; c++) {
    qe_model *model = import(configurations[c], NULL);
    move_adapters(model);
    check_against_tape(model, data, configurations[c]);
    qe_model_free(model);
  }
  qe_dataset_free(data);
}

static void test_bits_depend_on_the_pair_alone(void **state) {
  qe_dataset *data = make_data();
  qe_model *model = import(BOTH, NULL);
  (void)state;
  check_bits(model, data);
  qe_model_free(model);
  qe_dataset_free(data);
}

static size_t count_long(const qe_model *model, const qe_pair pairs[PAIRS]) {
  struct unigram_work work = { 0 };
  size_t count = 0;
  for (size_t i = 0; i < 2 * PAIRS; i++) {
    assert_int_equal(
        unigram_encode(vocabulary_unigram(&model->vocabulary[0]), &work, pair_side(&pairs[i / 2], i % 2), SIZE_MAX),
        QE_OK);
    count += work.count > model->configuration.max_tokens;
  }
  unigram_work_free(&work);
  return count;
}

static void test_long_and_empty(void **state) {
  qe_dataset *data = make_data();
  qe_model *model = import(BOTH, NULL);
  qe_pair pairs[PAIRS];
  float scores[PAIRS];
  (void)state;
  take_pairs(data, model, pairs);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  assert_int_equal(qe_score(scorer, pairs, 1, scores), QE_USE); /* not prepared */
  assert_int_equal(qe_model_prepare(model), QE_OK);
  assert_int_equal(qe_score(scorer, pairs, PAIRS, scores), QE_OK);
  assert_int_equal(qe_scorer_truncated(scorer), count_long(model, pairs));
  assert_in_range(qe_scorer_truncated(scorer), 2 * PAIRS / 20, PAIRS);
  const qe_pair nothing = { qe_string(""), qe_string(""), NULL, 0 };
  assert_int_equal(qe_score(scorer, &nothing, 1, scores), QE_OK);
  assert_true(scores[0] > 0 && scores[0] < 1);
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* ---- passes ---- */

struct passing {
  qe_dataset *data;
  qe_model *model;
  qe_tape *tape;
  qe_batch *batch;
};

static void passing_open(struct passing *p, const char *configuration) {
  static const uint32_t rows[] = { 3, 1, 4, 5, 9, 2 };
  p->data = make_data();
  p->model = import(configuration, NULL);
  p->tape = qe_tape_new(NULL, 2);
  p->batch = qe_batch_new(p->data, rows, 6);
}

static void passing_close(struct passing *p) {
  qe_batch_free(p->batch);
  qe_tape_free(p->tape);
  qe_model_free(p->model);
  qe_dataset_free(p->data);
}

static double gradient_size(qe_model *model, const char *name) {
  qe_params *params = qe_model_params(model);
  const int number = qe_params_find(params, name);
  size_t rows, cols;
  double sum = 0;
  qe_params_name(params, (size_t)number, &rows, &cols);
  const size_t at = (size_t)(qe_params_matrix(params, (size_t)number) - qe_params_matrix(params, 0));
  for (size_t i = 0; i < rows * cols; i++)
    sum += fabs((double)qe_block_values(qe_params_gradient(params))[at + i]);
  return sum;
}

static void test_frozen_layers_get_no_gradient(void **state) {
  struct passing p;
  (void)state;
  passing_open(&p, BOTH);
  for (int frozen = 0; frozen <= 4; frozen++) {
    const qe_pass_options options = { .frozen_layers = frozen };
    qe_tape_reset(p.tape);
    qe_tensor loss = qe_mean(qe_pass_tap(qe_model_forward(p.tape, p.model, p.batch, &options), "score"), QE_ALL);
    assert_int_equal(qe_backward(loss), QE_OK);
    assert_int_equal(gradient_size(p.model, "embeddings.word") > 0, frozen < 1);
    assert_int_equal(gradient_size(p.model, "embeddings.type") > 0, frozen < 1);
    assert_int_equal(gradient_size(p.model, "layer1.inner.weight") > 0, frozen < 2);
    assert_int_equal(gradient_size(p.model, "layer2.key.weight") > 0, frozen < 3);
    assert_true(gradient_size(p.model, "pooler.weight") > 0);
    assert_true(gradient_size(p.model, "head.weight") > 0);
    qe_params_zero_gradient(qe_model_params(p.model));
  }
  passing_close(&p);
}

static void test_given_states_stand_for_layers(void **state) {
  struct passing p;
  qe_real scores[6], *kept;
  (void)state;
  passing_open(&p, "{\"joint\":true}");
  qe_pass whole = qe_model_forward(p.tape, p.model, p.batch, NULL);
  memcpy(scores, qe_values(qe_pass_tap(whole, "score")), sizeof scores);
  for (int layer = 0; layer <= 2; layer++) {
    char name[32];
    qe_tape_reset(p.tape);
    snprintf(name, sizeof name, "joint.layer%d", layer);
    qe_tensor states = qe_pass_tap(qe_model_forward(p.tape, p.model, p.batch, NULL), name);
    const size_t rows = qe_rows(states), cols = qe_cols(states);
    kept = calloc(rows * cols, sizeof *kept);
    memcpy(kept, qe_values(states), rows * cols * sizeof *kept);
    qe_tape_reset(p.tape);
    const qe_pass_options options = { .source_embedding = qe_variable(p.tape, rows, cols, kept),
                                      .first_layer = layer };
    qe_tensor again = qe_pass_tap(qe_model_forward(p.tape, p.model, p.batch, &options), "score");
    assert_int_equal(qe_tape_status(p.tape), QE_OK);
    assert_memory_equal(scores, qe_values(again), sizeof scores);
    assert_int_equal(qe_backward(qe_mean(again, QE_ALL)), QE_OK);
    assert_non_null(qe_gradient(options.source_embedding));
    free(kept);
  }
  qe_tape_reset(p.tape);
  const qe_pass_options wrong = { .target_embedding = qe_constant(p.tape, 3, 8, NULL) };
  assert_null(qe_model_forward(p.tape, p.model, p.batch, &wrong).tape);
  passing_close(&p);
}

static void test_taps(void **state) {
  struct passing p;
  qe_segments tokens;
  (void)state;
  passing_open(&p, BOTH);
  assert_string_equal(qe_model_taps(p.model),
                      "score logits pooled inputs source.layer0 source.layer1 source.layer2 target.layer0 "
                      "target.layer1 target.layer2 joint.layer0 joint.layer1 joint.layer2");
  qe_pass pass = qe_model_forward(p.tape, p.model, p.batch, NULL);
  assert_int_equal(qe_batch_segments(p.batch, p.model, QE_TARGET, &tokens), QE_OK);
  assert_int_equal(qe_rows(qe_pass_tap(pass, "target.layer1")), tokens.offset[tokens.count]);
  assert_int_equal(qe_cols(qe_pass_tap(pass, "target.layer1")), 8);
  assert_int_equal(qe_cols(qe_pass_tap(pass, "pooled")), 8 + 2 * 4);
  assert_int_equal(qe_cols(qe_pass_tap(pass, "inputs")), 8 + 2 * 4 + 4);
  passing_close(&p);
}

/* ---- import ---- */

static void test_pruned_vocabulary(void **state) {
  qe_dataset *data = make_data(), *corpus = qe_dataset_new();
  qe_pair pairs[PAIRS];
  float all[PAIRS], few[PAIRS];
  (void)state;
  qe_model *whole = import("{\"alignment\":[2],\"prefix\":\"go: \"}", NULL);
  take_pairs(data, whole, pairs);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(qe_dataset_append(corpus, &pairs[i]), QE_OK);
  qe_model *pruned = import("{\"alignment\":[2],\"prefix\":\"go: \"}", corpus);
  assert_true(pruned->vocabulary[0].rows < whole->vocabulary[0].rows);
  assert_int_equal(qe_model_prepare(whole), QE_OK);
  assert_int_equal(qe_model_prepare(pruned), QE_OK);
  score(whole, NULL, 1, pairs, 4, all);
  score(pruned, NULL, 1, pairs, 4, few);
  assert_memory_equal(all, few, 4 * sizeof *all);
  score(pruned, NULL, 1, pairs, PAIRS, few); /* unknown pieces get a score, too */
  qe_model_free(whole);
  qe_model_free(pruned);
  qe_dataset_free(corpus);
  qe_dataset_free(data);
}

static char *get(const char *name, size_t *size) {
  char path[400];
  snprintf(path, sizeof path, BERT "/%s", name);
  char *bytes = scratch_get(path, size);
  assert_non_null(bytes);
  return bytes;
}

static void put(struct scratch *scratch, const char *name, const char *bytes, size_t size) {
  scratch_put(scratch_path(scratch, name), bytes, size);
}

static void copy_folder(struct scratch *scratch) {
  static const char *const names[] = { "config.json", "sentencepiece.bpe.model", "model.safetensors" };
  for (size_t i = 0; i < 3; i++) {
    size_t size;
    char *bytes = get(names[i], &size);
    put(scratch, names[i], bytes, size);
    free(bytes);
  }
}

/* Importing fails and says all of these words. */
static void refused(struct scratch *scratch, const char *configuration, const char *const *words) {
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, 1, "import");
  assert_int_not_equal(qe_model_import(model, scratch->folder, configuration, NULL, &rng), QE_OK);
  for (; *words; words++)
    if (!strstr(qe_model_error(model), *words))
      fail_msg("\"%s\" does not say \"%s\"", qe_model_error(model), *words);
  assert_null(qe_model_params(model));
  qe_model_free(model);
}

static void replace_in(struct scratch *scratch, const char *name, const char *from, const char *to) {
  size_t size;
  char *bytes = get(name, &size), *found = NULL;
  for (size_t i = 0; !found && i + strlen(from) <= size; i++)
    if (memcmp(bytes + i, from, strlen(from)) == 0)
      found = bytes + i;
  assert_non_null(found);
  assert_int_equal(strlen(from), strlen(to)); /* so that no size changes */
  memcpy(found, to, strlen(to));
  put(scratch, name, bytes, size);
  free(bytes);
}

static void test_hostile_folders(void **state) {
  static const struct {
    const char *file, *from, *to;
    const char *words[4];
  } cases[] = {
    { "config.json", "\"hidden_size\": 8", "\"hidden_size\": 6", { "model.safetensors", "word_embeddings", "8" } },
    { "config.json",
      "\"hidden_act\": \"gelu\"",
      "\"hidden_act\": \"relu\"",
      { "config.json", "hidden_act", "relu" } },
    { "config.json",
      "\"model_type\": \"bert\"",
      "\"model_type\": \"gpt2\"",
      { "config.json", "model_type", "gpt2" } },
    { "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", { "encoder.layer.2", "no tensor" } },
    { "config.json", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", { "3 heads" } },
    { "config.json", "\"layer_norm_eps\"", "\"layer_norm_epx\"", { "layer_norm_eps" } },
    { "config.json", "{", "[", { "config.json:" } },
    { "model.safetensors",
      "encoder.layer.1.output.dense.bias",
      "encoder.layer.1.output.dense.bios",
      { "no tensor", "encoder.layer.1.output.dense.bias" } },
    { "model.safetensors", "\"shape\":[31,8]", "\"shape\":[30,8]", { "word_embeddings", "bytes" } },
    { "model.safetensors", "\"dtype\":\"F32\"", "\"dtype\":\"X32\"", { "dtype" } },
    { "model.safetensors", "\"dtype\":\"F32\"", "\"dtype\":\"I32\"", { "I32", "F16 or BF16" } },
  };
  struct scratch scratch;
  (void)state;
  scratch_make(&scratch);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    copy_folder(&scratch);
    replace_in(&scratch, cases[i].file, cases[i].from, cases[i].to);
    refused(&scratch, "{}", cases[i].words);
  }
  scratch_remove(scratch.folder);
}

static void test_cut_files(void **state) {
  static const char *const cut[] = { "model.safetensors", "fit a file", NULL };
  static const char *const cut_data[] = { "model.safetensors", "cut off", NULL };
  static const char *const missing[] = { "sentencepiece.bpe.model", NULL };
  static const char *const not_finite[] = { "not finite", NULL };
  static const char *const long_text[] = { "max_tokens", "positions", NULL };
  static const char *const unknown[] = { "unknown key", NULL };
  struct scratch scratch;
  size_t size;
  (void)state;
  scratch_make(&scratch);
  char *bytes = get("model.safetensors", &size);
  copy_folder(&scratch);
  put(&scratch, "model.safetensors", bytes, 100);
  refused(&scratch, "{}", cut);
  put(&scratch, "model.safetensors", bytes, size - 1);
  refused(&scratch, "{}", cut_data);
  memset(bytes + size - 4, 0xff, 4);
  put(&scratch, "model.safetensors", bytes, size);
  refused(&scratch, "{}", not_finite);
  copy_folder(&scratch);
  refused(&scratch, "{\"max_tokens\":47}", long_text);
  refused(&scratch, "{\"maxtokens\":40}", unknown);
  remove(scratch_path(&scratch, "sentencepiece.bpe.model"));
  refused(&scratch, "{}", missing);
  free(bytes);
  scratch_remove(scratch.folder);
}

static void test_vocabulary_of_another_model(void **state) {
  static const char *const words[] = { "pieces", "rows", NULL };
  struct scratch scratch;
  struct unigram unigram;
  struct error error = { 0 };
  size_t size;
  char extra[200] = "";
  (void)state;
  scratch_make(&scratch);
  copy_folder(&scratch);
  char *bytes = get("sentencepiece.bpe.model", &size);
  assert_int_equal(sentencepiece_read(&unigram, (qe_text){ bytes, size }, &error), QE_OK);
  unigram_free(&unigram);
  /* one more piece: field 1, {1: "zz", 2: -9.0} */
  memcpy(extra, "\x0a\x09\x0a\x02zz\x15\x00\x00\x10\xc1", 11);
  char *longer = malloc(size + 11);
  memcpy(longer, extra, 11);
  memcpy(longer + 11, bytes, size);
  /* SentencePiece's first pieces must stay first, so the new one goes behind them all */
  memcpy(longer, bytes, size);
  memcpy(longer + size, extra, 11);
  put(&scratch, "sentencepiece.bpe.model", longer, size + 11);
  refused(&scratch, "{}", words);
  free(longer);
  free(bytes);
  scratch_remove(scratch.folder);
}

/* ---- archives and derived models ---- */

static void test_archive(void **state) {
  qe_dataset *data = make_data();
  qe_model *model = import(BOTH, NULL), *again = qe_model_new();
  qe_pair pairs[PAIRS];
  float one[PAIRS], other[PAIRS];
  struct scratch scratch;
  (void)state;
  scratch_make(&scratch);
  take_pairs(data, model, pairs);
  assert_int_equal(qe_model_set_golden(model, pairs, 20), QE_OK);
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  assert_int_equal(qe_model_round(model, "int8"), QE_OK);
  assert_int_equal(qe_model_save(model, scratch_path(&scratch, "encoder.qe")), QE_OK);
  if (qe_model_open(again, scratch.path, 0) != QE_OK)
    fail_msg("%s", qe_model_error(again));
  score(model, NULL, 1, pairs, PAIRS, one);
  score(again, NULL, 1, pairs, PAIRS, other);
  assert_memory_equal(one, other, sizeof one);
  assert_string_equal(qe_model_manifest(model), qe_model_manifest(again));
  qe_model *copy = qe_model_new();
  assert_int_equal(qe_model_copy(copy, again), QE_OK);
  qe_model_free(again);
  assert_int_equal(qe_model_prepare(copy), QE_OK);
  score(copy, NULL, 2, pairs, PAIRS, other);
  assert_memory_equal(one, other, sizeof one);
  qe_model_free(copy);
  qe_model_free(model);
  qe_dataset_free(data);
  scratch_remove(scratch.folder);
}

static void test_derived(void **state) {
  qe_model *model = import("{\"alignment\":[2]}", NULL), *joint = qe_model_new();
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 1, "derive");
  assert_int_equal(
      qe_model_derive(joint, model, "{\"joint\":true,\"alignment\":[],\"bins\":5,\"max_tokens\":20}", NULL, &rng),
      QE_OK);
  qe_params *to = qe_model_params(joint), *from = qe_model_params(model);
  const size_t cells = (size_t)(qe_params_matrix(from, (size_t)qe_params_find(from, "alignment.center")) -
                                qe_params_matrix(from, 0));
  assert_memory_equal(qe_params_matrix(to, 0), qe_params_matrix(from, 0), cells * sizeof(qe_real));
  assert_true(qe_params_find(to, "alignment.center") < 0);
  assert_true(qe_params_find(to, "pooler.weight") >= 0);
  assert_int_equal(qe_model_derive(joint, model, "{\"pieces\":9}", NULL, &rng), QE_USE);
  assert_non_null(strstr(qe_model_error(joint), "vocabularies"));
  assert_int_equal(qe_model_derive(joint, model, "{\"alignment\":[3]}", NULL, &rng), QE_FORMAT);
  assert_int_equal(qe_model_derive(joint, model, "{\"alignment\":[]}", NULL, &rng), QE_FORMAT); /* no form left */
  assert_int_equal(qe_model_create(joint, "{\"name\":\"encoder\",\"pieces\":9}", NULL, &rng), QE_USE);
  qe_model_free(joint);
  qe_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_who_needs_logprobs),
    cmocka_unit_test(test_adapters),
    cmocka_unit_test(test_scores_are_those_of_the_tape),
    cmocka_unit_test(test_bits_depend_on_the_pair_alone),
    cmocka_unit_test(test_long_and_empty),
    cmocka_unit_test(test_frozen_layers_get_no_gradient),
    cmocka_unit_test(test_given_states_stand_for_layers),
    cmocka_unit_test(test_taps),
    cmocka_unit_test(test_pruned_vocabulary),
    cmocka_unit_test(test_hostile_folders),
    cmocka_unit_test(test_cut_files),
    cmocka_unit_test(test_vocabulary_of_another_model),
    cmocka_unit_test(test_archive),
    cmocka_unit_test(test_derived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
