/*
** test_kernel.c - the kernels of scoring against chains of single fused multiply-adds, bit by bit; qe_score against a
** naive twin in double that knows no folding, and against the tape; and that a score's bits depend on nothing but the
** pair: not on the kernel, the batch, its order or the threads.
*/
#include "architecture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kernel_list[] = { "portable", "v3", "v4" };
enum { KERNELS = 3 };

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static void assert_same(const float *got, const float *expected, size_t count) {
  for (size_t i = 0; i < count; i++)
    assert_int_equal(bits_of(got[i]), bits_of(expected[i]));
}

static float *numbers(qe_rng *rng, size_t count, double size) {
  float *values = malloc((count + 1) * sizeof *values);
  for (size_t i = 0; i < count; i++)
    values[i] = (float)(qe_rng_normal(rng) * size);
  return values;
}

/* ---- single kernels ---- */

static void check_affine(const struct kernel *kernel, qe_rng *rng, size_t rows, size_t depth, size_t cols) {
  size_t stride = depth + 3;
  float *in = numbers(rng, rows * stride, 1), *weight = numbers(rng, depth * cols, 1),
        *bias = numbers(rng, cols, 1);
  float *out = numbers(rng, rows * cols, 1), *expected = numbers(rng, rows * cols, 1);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++) {
      float sum = bias[j];
      for (size_t k = 0; k < depth; k++)
        sum = fmaf(in[i * stride + k], weight[k * cols + j], sum);
      expected[i * cols + j] = sum;
    }
  kernel->affine(rows, depth, cols, in, stride, weight, bias, out);
  assert_same(out, expected, rows * cols);
  free(in);
  free(weight);
  free(bias);
  free(out);
  free(expected);
}

static void test_affine(void **state) {
  (void)state;
  static const size_t shapes[][2] = { { 0, 32 },   { 1, 32 },   { 5, 64 }, { 7, 64 },
                                      { 50, 160 }, { 33, 320 }, { 9, 352 } };
  qe_rng rng;
  qe_rng_seed(&rng, 1, "affine");
  for (size_t i = 0; i < KERNELS; i++)
    for (size_t j = 0; kernel_choose(kernel_list[i]) && j < sizeof shapes / sizeof *shapes; j++)
      for (size_t rows = 0; rows < 10; rows++)
        check_affine(kernel_choose(kernel_list[i]), &rng, rows, shapes[j][0], shapes[j][1]);
}

/* Of the last panel only the half that is needed may be written, and what is written is as single multiply-adds give it. */
static void check_product(const struct kernel *kernel, qe_rng *rng, size_t rows, size_t depth, size_t cols,
                          size_t stride) {
  enum { HALF = KERNEL_LANES / 2 };
  const size_t wide = (cols + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES,
               written = (cols + HALF - 1) / HALF * HALF;
  float *in = numbers(rng, rows * stride, 1), *weight = numbers(rng, depth * wide, 1),
        *bias = numbers(rng, wide, 1);
  float *panels = numbers(rng, depth * wide, 1), *out = numbers(rng, rows * wide, 1);
  float *expected = numbers(rng, rows * wide, 1);
  memcpy(expected, out, rows * wide * sizeof *out);
  panels_of(panels, weight, wide, depth, wide);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < written; j++) {
      expected[i * wide + j] = bias[j];
      for (size_t k = 0; k < depth; k++)
        expected[i * wide + j] = fmaf(in[i * stride + k], weight[k * wide + j], expected[i * wide + j]);
    }
  kernel->product(rows, depth, cols, in, stride, panels, bias, out, wide);
  assert_same(out, expected, rows * wide);
  free(in);
  free(weight);
  free(bias);
  free(panels);
  free(out);
  free(expected);
}

static void test_product(void **state) {
  (void)state;
  static const size_t cols[] = { 1, 16, 17, 32, 48, 64, 70 }, rows[] = { 0, 1, 2, 3, 4, 6, 13, 17, 29 };
  qe_rng rng;
  qe_rng_seed(&rng, 3, "product");
  for (size_t i = 0; i < KERNELS; i++)
    for (size_t c = 0; kernel_choose(kernel_list[i]) && c < sizeof cols / sizeof *cols; c++)
      for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        check_product(kernel_choose(kernel_list[i]), &rng, rows[r], 7, cols[c], 9);
        check_product(kernel_choose(kernel_list[i]), &rng, rows[r], 393, cols[c], 400);
      }
}

/* Turned panels by definition: columns are rows of what is turned, zeros where there is none. */
static void test_turned_panels(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 4, "panels");
  for (size_t count = 0; count < 70; count += 1 + count / 9)
    for (size_t depth = 1; depth < 12; depth++) {
      const size_t stride = depth + 2, panels = (count + KERNEL_LANES - 1) / KERNEL_LANES;
      float *from = numbers(&rng, count * stride, 1), *to = numbers(&rng, panels * depth * KERNEL_LANES, 1);
      panels_turned(to, from, stride, count, depth);
      for (size_t j = 0; j < panels * KERNEL_LANES; j++)
        for (size_t k = 0; k < depth; k++) {
          const float expected = j < count ? from[j * stride + k] : 0.0f;
          assert_same(&to[j / KERNEL_LANES * depth * KERNEL_LANES + k * KERNEL_LANES + j % KERNEL_LANES], &expected,
                      1);
        }
      free(from);
      free(to);
    }
}

static void test_logarithms(void **state) {
  (void)state;
  float x[2 * KERNEL_LANES], expected[2 * KERNEL_LANES];
  for (size_t i = 0; i < 2 * KERNEL_LANES; i++)
    expected[i] = logf(ldexpf(1 + (float)i / 77, (int)i - 20));
  for (size_t i = 0; i < KERNELS; i++) {
    if (!kernel_choose(kernel_list[i]))
      continue;
    for (size_t j = 0; j < 2 * KERNEL_LANES; j++)
      x[j] = ldexpf(1 + (float)j / 77, (int)j - 20);
    kernel_choose(kernel_list[i])->log(2 * KERNEL_LANES, x);
    for (size_t j = 0; j < 2 * KERNEL_LANES; j++)
      assert_true(fabsf(x[j] - expected[j]) <= (i == 0 ? 3e-7f * fmaxf(1, fabsf(expected[j])) : 0));
    memcpy(expected, x, sizeof x); /* the next kernel gives these bits */
  }
}

static void test_mean(void **state) {
  (void)state;
  static const uint32_t ids[] = { 3, 0, 3, 7, 1 };
  qe_rng rng;
  qe_rng_seed(&rng, 2, "mean");
  float *table = numbers(&rng, 8 * 64, 1), out[64];
  for (size_t i = 0; i < KERNELS; i++)
    for (size_t count = 0; kernel_choose(kernel_list[i]) && count <= 5; count++) {
      kernel_choose(kernel_list[i])->mean(table, 64, ids, count, out);
      for (size_t j = 0; j < 64; j++) {
        double sum = 0;
        for (size_t k = 0; k < count; k++)
          sum += (double)table[ids[k] * 64 + j];
        assert_true(fabs((double)out[j] - (count ? sum / (double)count : 0)) < 1e-6);
      }
    }
  free(table);
}

static void test_score_of_logits(void **state) {
  (void)state;
  for (size_t i = 0; i < KERNELS; i++) {
    const struct kernel *kernel = kernel_choose(kernel_list[i]);
    if (!kernel)
      continue;
    float one[] = { -1.5f }, five[] = { 0.5f, 1000, 1000, -3, 2 }, same[] = { 7, 7, 7, 7 };
    assert_true(fabs((double)kernel->score(0, one) - 1 / (1 + exp(1.5))) < 1e-7);
    assert_true(fabs((double)kernel->score(5, five) - 0.4) < 1e-7);
    assert_true(fabs((double)kernel->score(4, same) - 0.5) < 1e-7);
  }
}

static void test_choice(void **state) {
  (void)state;
  assert_non_null(kernel_choose(NULL));
  assert_string_equal(kernel_choose("portable")->name, "portable");
  assert_null(kernel_choose("v5"));
  assert_null(kernel_choose(""));
  for (size_t i = 0; i < KERNELS; i++)
    if (kernel_choose(kernel_list[i])) {
      assert_string_equal(kernel_choose(kernel_list[i])->name, kernel_list[i]);
      assert_non_null(strstr(qe_build(), kernel_list[i]));
    }
}

/* ---- models made by hand ---- */

struct sizes {
  size_t embedding, hidden, attention, bins, decoder;
  enum vocabulary_kind kind[2];
};

static const char *const sides[] = { "source", "target" };

static void add(qe_model *model, qe_rng *rng, const char *group, const char *name, size_t rows, size_t cols,
                double size) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  int number = qe_params_add(model->params, full, rows, cols, 0);
  assert_true(number >= 0);
  qe_real *values = qe_params_matrix(model->params, (size_t)number);
  for (size_t i = 0; i < rows * cols; i++)
    values[i] = (qe_real)(qe_rng_normal(rng) * size);
}

static void add_side(qe_model *model, qe_rng *rng, size_t side, const struct sizes *s) {
  char group[32];
  const char *const directions[] = { "forward", "backward" };
  add(model, rng, sides[side], "embedding", model->vocabulary[side].rows, s->embedding, 1);
  for (size_t d = 0; d < 2; d++) {
    snprintf(group, sizeof group, "%s.%s", sides[side], directions[d]);
    add(model, rng, group, "input_weight", s->embedding, 3 * s->hidden, 1 / sqrt((double)s->embedding));
    add(model, rng, group, "hidden_weight", s->hidden, 3 * s->hidden, 1 / sqrt((double)s->hidden));
    add(model, rng, group, "input_bias", 1, 3 * s->hidden, 0.3);
    add(model, rng, group, "hidden_bias", 1, 3 * s->hidden, 0.3);
  }
  add(model, rng, sides[side], "projection", 2 * s->hidden, s->attention, 0.5);
  add(model, rng, sides[side], "projection_bias", 1, s->attention, 0.3);
  add(model, rng, sides[side], "context", s->attention, 1, 0.3);
}

static const char *const texts[] = {
  "one small word",
  "",
  "the river, wide and grey, went by",
  "Words! of mixed (kinds) 123",
  "a",
  "\xff\xfe broken \xc3( bytes",
  "unseen tokens everywhere here",
  "the the the the the the the the the the the the the the the the the the the the the the the the the the the",
  "   \t ",
  "v\xc3\xa4ga h\xc3\xa4sti, ait\xc3\xa4h!",
};
enum { TEXTS = sizeof texts / sizeof *texts };

static void make_vocabulary(struct vocabulary *vocabulary, enum vocabulary_kind kind) {
  struct error error = { 0 };
  qe_text words[TEXTS];
  for (size_t i = 0; i < TEXTS; i++)
    words[i] = qe_string(texts[i]);
  if (kind == VOCABULARY_NGRAMS)
    assert_int_equal(vocabulary_hashed(vocabulary, 97, true), QE_OK);
  else
    assert_int_equal(vocabulary_count(vocabulary, words, TEXTS - 4, 30, 1, true, 1000, &error), QE_OK);
}

static qe_model *model_make(const struct sizes *s, uint64_t seed) {
  qe_model *model = calloc(1, sizeof *model);
  size_t outputs = s->bins ? s->bins : 1;
  qe_rng rng;
  qe_rng_seed(&rng, seed, "model");
  model->params = qe_params_new();
  model->configuration = (struct configuration){ .architecture = &birnn,
                                                 .bins = s->bins,
                                                 .decoder_inputs = s->decoder,
                                                 .max_tokens = 20,
                                                 .birnn = { s->embedding, s->hidden, s->attention } };
  for (size_t side = 0; side < 2; side++) {
    make_vocabulary(&model->vocabulary[side], s->kind[side]);
    add_side(model, &rng, side, s);
  }
  add(model, &rng, "head", "weight", 2 * s->attention + s->decoder, outputs, 0.5);
  add(model, &rng, "head", "bias", 1, outputs, 0.3);
  model->scale = 2.5f;
  model->shift = -1.25f;
  for (size_t i = 0; i < DECODER_INPUTS; i++) {
    model->decoder_mean[i] = -0.5f * (float)i;
    model->decoder_sd[i] = 1.0f + (float)i;
  }
  assert_int_equal(scoring_prepare(model), QE_OK);
  return model;
}

static void model_destroy(qe_model *model) {
  scoring_free(model->scoring);
  qe_params_free(model->params);
  vocabulary_free(&model->vocabulary[0]);
  vocabulary_free(&model->vocabulary[1]);
  free(model);
}

static const struct sizes shapes[] = {
  { 50, 50, 100, 0, 0, { VOCABULARY_NGRAMS, VOCABULARY_WORDS } },
  { 16, 16, 16, 5, 4, { VOCABULARY_WORDS, VOCABULARY_NGRAMS } },
  { 1, 1, 1, 0, 4, { VOCABULARY_NGRAMS, VOCABULARY_NGRAMS } },
  { 7, 27, 9, 20, 0, { VOCABULARY_WORDS, VOCABULARY_WORDS } },
  { 33, 70, 21, 0, 0, { VOCABULARY_NGRAMS, VOCABULARY_WORDS } },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, PAIRS = TEXTS * TEXTS };

static const float logprobs[] = { -0.25f, -1.5f, -0.125f, -3.0f, -0.5f };

/* Every text with every other; every third has log-probabilities, of 1 to 5 tokens, where the model reads them. */
static void make_pairs(const qe_model *model, qe_pair pairs[PAIRS]) {
  for (size_t i = 0; i < PAIRS; i++) {
    pairs[i] = (qe_pair){ .source = qe_string(texts[i / TEXTS]), .translation = qe_string(texts[i % TEXTS]) };
    if (model->configuration.decoder_inputs && i % 3 == 0) {
      pairs[i].logprobs = logprobs;
      pairs[i].logprob_count = 1 + i % 5;
    }
  }
}

static void score_all(const qe_model *model, const char *kernel, qe_pool *pool, float scores[PAIRS]) {
  qe_pair pairs[PAIRS];
  make_pairs(model, pairs);
  qe_scorer *scorer = qe_scorer_new(model, pool);
  scorer_beginnings(scorer);
  scorer_use(scorer, kernel_choose(kernel));
  assert_int_equal(qe_score(scorer, pairs, PAIRS, scores), QE_OK);
  qe_scorer_free(scorer);
}

/* ---- the naive twin ---- */

static const qe_real *find(const qe_model *model, const char *group, const char *name) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  return qe_params_matrix(model->params, (size_t)qe_params_find(model->params, full));
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* h becomes the next state. */
static void twin_step(const qe_model *model, const char *group, const double *x, double *h) {
  size_t width = model->configuration.birnn.hidden, wide = 3 * width;
  const qe_real *w = find(model, group, "input_weight"), *u = find(model, group, "hidden_weight");
  const qe_real *b = find(model, group, "input_bias"), *c = find(model, group, "hidden_bias");
  double in[3 * 128], hidden[3 * 128];
  for (size_t j = 0; j < wide; j++) {
    in[j] = (double)b[j];
    hidden[j] = (double)c[j];
    for (size_t k = 0; k < model->configuration.birnn.embedding; k++)
      in[j] += x[k] * (double)w[k * wide + j];
    for (size_t k = 0; k < width; k++)
      hidden[j] += h[k] * (double)u[k * wide + j];
  }
  for (size_t j = 0; j < width; j++) {
    double r = sigmoid(in[j] + hidden[j]), z = sigmoid(in[width + j] + hidden[width + j]);
    h[j] = (1 - z) * tanh(in[2 * width + j] + r * hidden[2 * width + j]) + z * h[j];
  }
}

static void twin_embed(const qe_model *model, size_t side, const struct words *words, size_t t, double *x) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  size_t width = model->configuration.birnn.embedding;
  qe_text word = { words->bytes + words->offset[t], words->offset[t + 1] - words->offset[t] };
  size_t count = vocabulary_ids(&model->vocabulary[side], word, ids);
  const qe_real *table = find(model, sides[side], "embedding");
  for (size_t j = 0; j < width; j++) {
    x[j] = 0;
    for (size_t k = 0; k < count; k++)
      x[j] += (double)table[ids[k] * width + j] / (double)count;
  }
}

/* projected[t] of one text, tokens x attention; returns the number of tokens. */
static size_t twin_project(const qe_model *model, size_t side, const char *text, double (*projected)[128]) {
  static double states[64][256];
  struct words words = { 0 };
  const struct configuration *c = &model->configuration;
  assert_int_equal(words_split(&words, qe_string(text), c->max_tokens), QE_OK);
  size_t tokens = words.count;
  for (size_t d = 0; d < 2; d++) {
    char group[32];
    double h[128] = { 0 }, x[128];
    snprintf(group, sizeof group, "%s.%s", sides[side], d ? "backward" : "forward");
    for (size_t i = 0; i < tokens; i++) {
      size_t t = d ? tokens - 1 - i : i;
      twin_embed(model, side, &words, t, x);
      twin_step(model, group, x, h);
      memcpy(states[t] + d * c->birnn.hidden, h, c->birnn.hidden * sizeof *h);
    }
  }
  const qe_real *p = find(model, sides[side], "projection"), *b = find(model, sides[side], "projection_bias");
  for (size_t t = 0; t < tokens; t++)
    for (size_t j = 0; j < c->birnn.attention; j++) {
      projected[t][j] = (double)b[j];
      for (size_t k = 0; k < 2 * c->birnn.hidden; k++)
        projected[t][j] += states[t][k] * (double)p[k * c->birnn.attention + j];
    }
  words_free(&words);
  return tokens;
}

static void twin_pool(const qe_model *model, size_t side, const char *text, double *pooled) {
  static double projected[64][128];
  size_t tokens = twin_project(model, side, text, projected), width = model->configuration.birnn.attention;
  const qe_real *context = find(model, sides[side], "context");
  double total = 0;
  memset(pooled, 0, width * sizeof *pooled);
  for (size_t t = 0; t < tokens; t++) {
    double logit = 0;
    for (size_t j = 0; j < width; j++)
      logit += projected[t][j] * (double)context[j];
    total += exp(logit);
    for (size_t j = 0; j < width; j++)
      pooled[j] += exp(logit) * projected[t][j];
  }
  for (size_t j = 0; tokens && j < width; j++)
    pooled[j] /= total;
}

static double twin_score(const qe_model *model, const double *input) {
  const struct configuration *c = &model->configuration;
  size_t outputs = c->bins ? c->bins : 1;
  const qe_real *weight = find(model, "head", "weight"), *bias = find(model, "head", "bias");
  double total = 0, expected = 0, logit = 0;
  for (size_t j = 0; j < outputs; j++) {
    logit = (double)bias[j];
    for (size_t k = 0; k < 2 * c->birnn.attention + c->decoder_inputs; k++)
      logit += input[k] * (double)weight[k * outputs + j];
    total += exp(logit);
    expected += exp(logit) * ((double)j + 0.5) / (double)outputs;
  }
  return c->bins ? expected / total : sigmoid(logit);
}

/* pooled: those of all texts, per side. */
static double twin_pair(const qe_model *model, const qe_pair *pair, const double *source, const double *target) {
  size_t a = model->configuration.birnn.attention;
  double input[2 * 128 + DECODER_INPUTS] = { 0 };
  memcpy(input, source, a * sizeof *input);
  memcpy(input + a, target, a * sizeof *input);
  if (pair->logprob_count > 0) {
    double sum = 0, sorted[5];
    size_t n = pair->logprob_count, low = n < 3 ? n : 3;
    for (size_t i = 0; i < n; i++) {
      size_t j = i;
      for (; j > 0 && sorted[j - 1] > (double)pair->logprobs[i]; j--)
        sorted[j] = sorted[j - 1];
      sorted[j] = (double)pair->logprobs[i];
      sum += (double)pair->logprobs[i];
    }
    double values[] = { sum / (double)n, sorted[0], sum, 0 };
    for (size_t i = 0; i < low; i++)
      values[3] += sorted[i] / (double)low;
    for (size_t i = 0; i < DECODER_INPUTS; i++)
      input[2 * a + i] = (values[i] - (double)model->decoder_mean[i]) / (double)model->decoder_sd[i];
  }
  return (double)model->shift + (double)model->scale * twin_score(model, input);
}

static void test_scores_match_the_twin(void **state) {
  (void)state;
  for (size_t s = 0; s < SHAPES; s++) {
    qe_model *model = model_make(&shapes[s], s);
    double pooled[2][TEXTS][128];
    float scores[PAIRS], lowest = 1e9f, highest = -1e9f;
    qe_pair pairs[PAIRS];
    make_pairs(model, pairs);
    score_all(model, NULL, NULL, scores);
    for (size_t side = 0; side < 2; side++)
      for (size_t i = 0; i < TEXTS; i++)
        twin_pool(model, side, texts[i], pooled[side][i]);
    for (size_t i = 0; i < PAIRS; i++) {
      double expected = twin_pair(model, &pairs[i], pooled[0][i / TEXTS], pooled[1][i % TEXTS]);
      assert_true(fabs((double)scores[i] - expected) < 1e-5);
      lowest = scores[i] < lowest ? scores[i] : lowest;
      highest = scores[i] > highest ? scores[i] : highest;
    }
    assert_true(highest - lowest > 0.01f); /* the comparison says something */
    model_destroy(model);
  }
}

/* ---- bits ---- */

static void test_kernels_agree(void **state) {
  (void)state;
  for (size_t s = 0; s < SHAPES; s++) {
    qe_model *model = model_make(&shapes[s], s + 10);
    float expected[PAIRS], scores[PAIRS];
    score_all(model, "portable", NULL, expected);
    for (size_t i = 1; i < KERNELS; i++)
      if (kernel_choose(kernel_list[i])) {
        score_all(model, kernel_list[i], NULL, scores);
        assert_same(scores, expected, PAIRS);
      }
    model_destroy(model);
  }
}

static void test_batch_and_threads_do_not_matter(void **state) {
  (void)state;
  qe_model *model = model_make(&shapes[1], 3);
  qe_pair pairs[PAIRS], turned[PAIRS];
  float expected[PAIRS], scores[PAIRS];
  make_pairs(model, pairs);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  scorer_beginnings(scorer);
  for (size_t i = 0; i < PAIRS; i++)
    assert_int_equal(qe_score(scorer, &pairs[i], 1, &expected[i]), QE_OK);
  for (size_t i = 0; i < PAIRS; i++)
    turned[i] = pairs[PAIRS - 1 - i];
  assert_int_equal(qe_score(scorer, turned, PAIRS, scores), QE_OK);
  for (size_t i = 0; i < PAIRS; i++)
    assert_int_equal(bits_of(scores[PAIRS - 1 - i]), bits_of(expected[i]));
  qe_scorer_free(scorer);
  for (int threads = 1; threads <= 4; threads++) {
    qe_pool *pool = qe_pool_new(threads);
    score_all(model, NULL, pool, scores);
    assert_same(scores, expected, PAIRS);
    qe_pool_free(pool);
  }
  model_destroy(model);
}

static void test_few_pairs_many_threads(void **state) {
  (void)state;
  qe_model *model = model_make(&shapes[0], 3);
  qe_pool *pool = qe_pool_new(3);
  qe_scorer *alone = qe_scorer_new(model, NULL), *team = qe_scorer_new(model, pool);
  qe_pair pairs[PAIRS];
  float expected[8], scores[8];
  make_pairs(model, pairs);
  for (size_t count = 0; count < 8; count++) {
    assert_int_equal(qe_score(alone, pairs, count, expected), QE_OK);
    assert_int_equal(qe_score(team, pairs, count, scores), QE_OK);
    assert_same(scores, expected, count);
  }
  qe_scorer_free(alone);
  qe_scorer_free(team);
  qe_pool_free(pool);
  model_destroy(model);
}

/* ---- calls ---- */

static void test_truncation_is_counted(void **state) {
  (void)state;
  qe_model *model = model_make(&shapes[0], 3);
  qe_pool *pool = qe_pool_new(2);
  qe_scorer *scorer = qe_scorer_new(model, pool);
  const qe_pair pairs[] = { { .source = qe_string(texts[7]), .translation = qe_string(texts[7]) },
                            { .source = qe_string(texts[0]), .translation = qe_string(texts[1]) },
                            { .source = qe_string(texts[7]), .translation = qe_string(texts[2]) } };
  float scores[3];
  assert_int_equal(qe_scorer_truncated(scorer), 0);
  assert_int_equal(qe_score(scorer, pairs, 3, scores), QE_OK);
  assert_int_equal(qe_scorer_truncated(scorer), 3);
  assert_int_equal(qe_score(scorer, pairs, 3, scores), QE_OK);
  assert_int_equal(qe_scorer_truncated(scorer), 6);
  qe_scorer_free(scorer);
  qe_pool_free(pool);
  model_destroy(model);
}

static void expect_refusal(const qe_model *model, const qe_pair *pairs, size_t count, const char *message) {
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  float scores[4];
  assert_int_equal(qe_score(scorer, pairs, count, scores), QE_USE);
  assert_string_equal(qe_scorer_error(scorer), message);
  assert_int_equal(qe_score(scorer, NULL, 0, NULL), model->scoring ? QE_OK : QE_USE);
  assert_string_equal(qe_scorer_error(scorer),
                      model->scoring ? "" : "score: the model is empty or has not been prepared");
  qe_scorer_free(scorer);
}

static void test_refusals(void **state) {
  (void)state;
  qe_model *model = model_make(&shapes[0], 1), *reader = model_make(&shapes[1], 1);
  qe_model *empty = calloc(1, sizeof *empty);
  qe_pair pairs[2] = { { .source = qe_string("a"), .translation = qe_string("b") },
                       { .source = qe_string("a"), .logprobs = logprobs, .logprob_count = 2 } };
  expect_refusal(model, pairs, 2,
                 "score: pair 1 has log-probabilities, but the model reads none (no decoder inputs)");
  expect_refusal(model, NULL, 2, "score: pairs is NULL");
  expect_refusal(empty, pairs, 1, "score: the model is empty or has not been prepared");
  pairs[1].logprobs = NULL;
  expect_refusal(reader, pairs, 2, "score: pair 1 has 2 log-probabilities at NULL");
  qe_scorer_free(NULL);
  free(empty);
  model_destroy(model);
  model_destroy(reader);
}

/* The scorer follows when the model becomes another one. */
static void test_model_may_change_shape(void **state) {
  (void)state;
  qe_model *small = model_make(&shapes[2], 1), *large = model_make(&shapes[4], 2), swap;
  const qe_pair pair = { .source = qe_string(texts[2]), .translation = qe_string(texts[3]) };
  float expected, score;
  qe_scorer *scorer = qe_scorer_new(small, NULL), *other = qe_scorer_new(large, NULL);
  assert_int_equal(qe_score(other, &pair, 1, &expected), QE_OK);
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_OK);
  assert_true(bits_of(score) != bits_of(expected));
  swap = *small;
  *small = *large;
  *large = swap;
  assert_int_equal(scoring_prepare(small), QE_OK);
  assert_int_equal(scoring_prepare(large), QE_OK);
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_OK);
  assert_int_equal(bits_of(score), bits_of(expected));
  qe_scorer_free(scorer);
  qe_scorer_free(other);
  model_destroy(small);
  model_destroy(large);
}

static void test_missing_parameter(void **state) {
  (void)state;
  qe_model *model = model_make(&shapes[2], 1);
  qe_params_free(model->params);
  model->params = qe_params_new();
  assert_int_equal(scoring_prepare(model), QE_USE);
  assert_string_equal(model->error.text, "the model has no parameter \"head.weight\"");
  model_destroy(model);
}

/* ---- the tape ---- */

static void check_against_the_tape(const char *configuration, uint64_t seed) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "tape");
  qe_dataset *data = qe_dataset_new();
  qe_model *model = qe_model_new();
  uint32_t rows[TEXTS];
  qe_pair pairs[TEXTS];
  for (uint32_t i = 0; i < TEXTS; i++) {
    rows[i] = i;
    pairs[i] = (qe_pair){ .source = qe_string(texts[i]), .translation = qe_string(texts[(i * 3 + 1) % TEXTS]) };
    assert_int_equal(qe_dataset_append(data, &pairs[i]), QE_OK);
  }
  if (qe_model_create(model, configuration, data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  assert_int_equal(qe_model_prepare(model), QE_OK);
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = qe_batch_new(data, rows, TEXTS);
  qe_pass_options options = { .source_embedding = QE_NONE, .target_embedding = QE_NONE };
  qe_tensor tap = qe_pass_tap(qe_model_forward(tape, model, batch, &options), "score");
  assert_int_equal(qe_tape_status(tape), QE_OK);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  float scores[TEXTS];
  assert_int_equal(qe_score(scorer, pairs, TEXTS, scores), QE_OK);
  for (size_t i = 0; i < TEXTS; i++)
    assert_true(fabs((double)scores[i] - (double)qe_values(tap)[i]) < 1e-5);
  qe_scorer_free(scorer);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_dataset_free(data);
}

static void test_scores_match_the_tape(void **state) {
  (void)state;
  check_against_the_tape(
      "{\"name\":\"birnn\",\"embedding\":50,\"hidden\":50,\"attention\":100,\"head\":\"sigmoid\","
      "\"source\":{\"kind\":\"ngrams\",\"buckets\":512},\"target\":{\"kind\":\"words\"}}",
      1);
  check_against_the_tape("{\"name\":\"birnn\",\"embedding\":12,\"hidden\":9,\"attention\":7,\"head\":\"bins\","
                         "\"bins\":6,\"source\":{\"kind\":\"words\"},\"target\":{\"kind\":\"ngrams\","
                         "\"buckets\":64}}",
                         2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_affine),
    cmocka_unit_test(test_product),
    cmocka_unit_test(test_turned_panels),
    cmocka_unit_test(test_logarithms),
    cmocka_unit_test(test_mean),
    cmocka_unit_test(test_score_of_logits),
    cmocka_unit_test(test_choice),
    cmocka_unit_test(test_scores_match_the_twin),
    cmocka_unit_test(test_kernels_agree),
    cmocka_unit_test(test_batch_and_threads_do_not_matter),
    cmocka_unit_test(test_few_pairs_many_threads),
    cmocka_unit_test(test_truncation_is_counted),
    cmocka_unit_test(test_refusals),
    cmocka_unit_test(test_model_may_change_shape),
    cmocka_unit_test(test_missing_parameter),
    cmocka_unit_test(test_scores_match_the_tape),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
