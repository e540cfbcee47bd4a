/*
** birnn.c - the student of Gajbhiye et al. 2021 (Knowledge Distillation for Quality Estimation; methods.md M1) on a
** tape. Per side: embeddings of words -> bidirectional GRU -> dropout -> linear -> attention with a learned context
** vector -> one vector; both vectors -> head.c. Sentences are packed, so none sees its neighbours. birnn_score.c computes
** the same without a tape.
*/
#include "birnn_score.h"

#include <math.h>
#include <stdio.h>

static const char *const tap_names[] = {
  "score",         "logits",           "pooled",           "inputs",        "source.embedding",
  "source.states", "source.projected", "source.attention", "source.pooled", "target.embedding",
  "target.states", "target.projected", "target.attention", "target.pooled",
};
enum { TAPS = sizeof tap_names / sizeof *tap_names };

/* Matrices of one side in the order in which they are added; two sides, then the head (head.c). */
enum {
  EMBEDDING,
  FORWARD,
  BACKWARD = FORWARD + 4,
  PROJECTION = BACKWARD + 4,
  PROJECTION_BIAS,
  CONTEXT,
  SIDE_MATRICES
};

/* ---- parameters ---- */

static int add_gru(qe_model *model, const char *side, const char *direction) {
  const size_t e = model->configuration.birnn.embedding, h = model->configuration.birnn.hidden;
  const struct {
    const char *name;
    size_t rows, cols;
  } matrices[] = { { "input_weight", e, 3 * h },
                   { "hidden_weight", h, 3 * h },
                   { "input_bias", 1, 3 * h },
                   { "hidden_bias", 1, 3 * h } };
  for (size_t i = 0; i < 4; i++) {
    char name[48];
    snprintf(name, sizeof name, "%s.%s", direction, matrices[i].name);
    if (architecture_add(model, side, name, matrices[i].rows, matrices[i].cols, 0) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

static int add_side(qe_model *model, const char *side, size_t rows) {
  const struct configuration *c = &model->configuration;
  if (architecture_add(model, side, "embedding", rows, c->birnn.embedding, 1) != QE_OK ||
      add_gru(model, side, "forward") != QE_OK || add_gru(model, side, "backward") != QE_OK ||
      architecture_add(model, side, "projection", 2 * c->birnn.hidden, c->birnn.attention, 0) != QE_OK ||
      architecture_add(model, side, "projection_bias", 1, c->birnn.attention, 0) != QE_OK ||
      architecture_add(model, side, "context", c->birnn.attention, 1, 0) != QE_OK)
    return model->error.status;
  return QE_OK;
}

static int parameters(qe_model *model) {
  if (add_side(model, "source", model->vocabulary[0].rows) != QE_OK ||
      add_side(model, "target", model->vocabulary[1].rows) != QE_OK)
    return model->error.status;
  return head_parameters(model, 2 * model->configuration.birnn.attention);
}

/* Uniform in +-1/sqrt(width) as PyTorch starts GRU and linear layers; embeddings normal, small enough that the mean of
** twenty n-grams and a single word start alike in the gates' linear range. */
static void start(qe_model *model, qe_rng *rng) {
  static const double embedding_sd = 0.1;
  const struct configuration *c = &model->configuration;
  for (size_t side = 0; side < 2; side++) {
    const size_t first = side * SIDE_MATRICES;
    qe_params_normal(model->params, first + EMBEDDING, embedding_sd, rng);
    for (size_t i = FORWARD; i < PROJECTION; i++)
      qe_params_uniform(model->params, first + i, 1 / sqrt((double)c->birnn.hidden), rng);
    qe_params_uniform(model->params, first + PROJECTION, 1 / sqrt((double)(2 * c->birnn.hidden)), rng);
    qe_params_uniform(model->params, first + PROJECTION_BIAS, 1 / sqrt((double)(2 * c->birnn.hidden)), rng);
    qe_params_uniform(model->params, first + CONTEXT, 1 / sqrt((double)c->birnn.attention), rng);
  }
  head_start(model, rng);
}

static size_t least_cells(const struct configuration *c) {
  const size_t e = c->birnn.embedding, h = c->birnn.hidden;
  return (c->vocabulary[0].rows + (size_t)c->vocabulary[1].rows) * e + h * h * 12 + e * h * 12 +
         h * c->birnn.attention * 4;
}

/* ---- configuration ---- */

static const char *const keys[] = { "embedding", "hidden", "attention", CONFIGURATION_WORD_KEYS, NULL };

static int parse(struct configuration *c, const json_t *object, struct error *error) {
  if (configuration_size(object, "embedding", 1, 4096, &c->birnn.embedding, error) != QE_OK ||
      configuration_size(object, "hidden", 1, 4096, &c->birnn.hidden, error) != QE_OK ||
      configuration_size(object, "attention", 1, 4096, &c->birnn.attention, error) != QE_OK)
    return error->status;
  return configuration_words(c, object, error);
}

static int dump(const struct configuration *c, json_t *object) {
  return json_object_set_new(object, "embedding", json_integer((json_int_t)c->birnn.embedding)) |
         json_object_set_new(object, "hidden", json_integer((json_int_t)c->birnn.hidden)) |
         json_object_set_new(object, "attention", json_integer((json_int_t)c->birnn.attention)) |
         configuration_dump_words(c, object);
}

/* ---- forward ---- */

static qe_tensor gru(qe_tape *tape, qe_model *model, size_t first, qe_tensor x, qe_segments words, int reversed) {
  qe_tensor weights[4];
  for (size_t i = 0; i < 4; i++)
    weights[i] = qe_param(tape, model->params, first + i);
  return qe_gru(x, weights[0], weights[1], weights[2], weights[3], words, reversed);
}

/* Fills the five taps of one side and returns the last, the pooled vector. */
static qe_tensor encode(struct shard *shard, size_t side, qe_rng *dropout) {
  qe_tape *tape = shard->tape;
  qe_model *model = shard->model;
  const size_t first = side * SIDE_MATRICES;
  qe_tensor *taps = shard->taps + TAP_OWN + 5 * side;
  const qe_segments words = words_of(shard, side);
  taps[0] = words_embed(shard, side, first + EMBEDDING);
  qe_tensor directions[2] = { gru(tape, model, first + FORWARD, taps[0], words, 0),
                              gru(tape, model, first + BACKWARD, taps[0], words, 1) };
  taps[1] = qe_beside(directions, 2);
  qe_tensor kept = qe_dropout(taps[1], model->configuration.dropout, dropout);
  taps[2] = qe_add(qe_matmul(kept, qe_param(tape, model->params, first + PROJECTION), QE_NN),
                   qe_param(tape, model->params, first + PROJECTION_BIAS));
  qe_tensor logits = qe_matmul(taps[2], qe_param(tape, model->params, first + CONTEXT), QE_NN);
  taps[3] = qe_segment_softmax(logits, words);
  return taps[4] = qe_attention_pool(taps[2], logits, words);
}

static void forward(struct shard *shard) {
  qe_rng *dropout = shard->drops ? &shard->dropout : NULL;
  qe_tensor source = encode(shard, 0, dropout);
  qe_tensor both[2] = { source, encode(shard, 1, dropout) };
  head_forward(shard, qe_beside(both, 2));
}

/* ---- the entry ---- */

static bool tap_name(const struct configuration *configuration, size_t number, char name[MOST_TAP_NAME]) {
  (void)configuration;
  return architecture_tap(tap_names, TAPS, number, name);
}

static size_t width(const struct configuration *configuration) {
  return configuration->birnn.embedding;
}

const struct architecture birnn = {
  .name = "birnn",
  .defaults = { .max_tokens = 200,
                .dropout = .5,
                .vocabulary = { { VOCABULARY_NGRAMS, 32768, 1, true }, { VOCABULARY_NGRAMS, 32768, 1, true } },
                .birnn = { .embedding = 50, .hidden = 50, .attention = 100 } },
  .keys = keys,
  .parse = parse,
  .dump = dump,
  .parameters = parameters,
  .start = start,
  .least_cells = least_cells,
  .tap_name = tap_name,
  .width = width,
  .offset = words_offset,
  .forward = forward,
  .fold = birnn_fold,
  .scoring_free = birnn_scoring_free,
  .work_new = birnn_work_new,
  .work_fits = birnn_work_fits,
  .work_free = birnn_work_free,
  .score = birnn_score,
  .score_list = birnn_score_list,
};
