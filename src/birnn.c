/*
** birnn.c - the student of Gajbhiye et al. 2021 (Knowledge Distillation for Quality Estimation; methods.md M1) on a
** tape. Per side: embeddings of words -> bidirectional GRU -> dropout -> linear -> attention with a learned context
** vector -> one vector; both vectors (and the decoder's statistics) -> linear -> sigmoid, or bins whose expected
** centre is the score. Sentences are packed, so none sees its neighbours. score.c computes the same without a tape.
*/
#include "birnn.h"

#include <math.h>
#include <stdio.h>

const char *const birnn_taps[BIRNN_TAPS] = {
  "score",         "logits",           "pooled",           "inputs",        "source.embedding",
  "source.states", "source.projected", "source.attention", "source.pooled", "target.embedding",
  "target.states", "target.projected", "target.attention", "target.pooled",
};
enum { TAP_SCORE, TAP_LOGITS, TAP_POOLED, TAP_INPUTS, TAP_SIDE };

/* Matrices of one side in the order in which they are added; two sides, then the head. */
enum {
  EMBEDDING,
  FORWARD,
  BACKWARD = FORWARD + 4,
  PROJECTION = BACKWARD + 4,
  PROJECTION_BIAS,
  CONTEXT,
  SIDE_MATRICES
};
enum { HEAD_WEIGHT = 2 * SIDE_MATRICES, HEAD_BIAS };

/* ---- parameters ---- */

static int add(qe_model *model, const char *side, const char *name, size_t rows, size_t cols, int sparse) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", side, name);
  int number = qe_params_add(model->params, full, rows, cols, sparse);
  return number < 0 ? error_set(&model->error, number, "%s", qe_params_error(model->params)) : QE_OK;
}

static int add_gru(qe_model *model, const char *side, const char *direction) {
  const size_t e = model->configuration.embedding, h = model->configuration.hidden;
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
    if (add(model, side, name, matrices[i].rows, matrices[i].cols, 0) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

static int add_side(qe_model *model, const char *side, size_t rows) {
  const struct configuration *c = &model->configuration;
  if (add(model, side, "embedding", rows, c->embedding, 1) != QE_OK || add_gru(model, side, "forward") != QE_OK ||
      add_gru(model, side, "backward") != QE_OK ||
      add(model, side, "projection", 2 * c->hidden, c->attention, 0) != QE_OK ||
      add(model, side, "projection_bias", 1, c->attention, 0) != QE_OK ||
      add(model, side, "context", c->attention, 1, 0) != QE_OK)
    return model->error.status;
  return QE_OK;
}

int birnn_parameters(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t outputs = c->bins ? c->bins : 1, inputs = 2 * c->attention + c->decoder_inputs;
  const int many = many_bins(c);
  if (add_side(model, "source", model->vocabulary[0].rows) != QE_OK ||
      add_side(model, "target", model->vocabulary[1].rows) != QE_OK ||
      add(model, "head", "weight", many ? outputs : inputs, many ? inputs : outputs, many) != QE_OK)
    return model->error.status;
  return add(model, "head", "bias", many ? outputs : 1, many ? 1 : outputs, many);
}

/* Uniform in +-1/sqrt(width) as PyTorch starts GRU and linear layers; embeddings normal, small enough that the mean of
** twenty n-grams and a single word start alike in the gates' linear range. */
void birnn_start(qe_model *model, qe_rng *rng) {
  static const double embedding_sd = 0.1;
  const struct configuration *c = &model->configuration;
  for (size_t side = 0; side < 2; side++) {
    const size_t first = side * SIDE_MATRICES;
    qe_params_normal(model->params, first + EMBEDDING, embedding_sd, rng);
    for (size_t i = FORWARD; i < PROJECTION; i++)
      qe_params_uniform(model->params, first + i, 1 / sqrt((double)c->hidden), rng);
    qe_params_uniform(model->params, first + PROJECTION, 1 / sqrt((double)(2 * c->hidden)), rng);
    qe_params_uniform(model->params, first + PROJECTION_BIAS, 1 / sqrt((double)(2 * c->hidden)), rng);
    qe_params_uniform(model->params, first + CONTEXT, 1 / sqrt((double)c->attention), rng);
  }
  const double inputs = (double)(2 * c->attention + c->decoder_inputs);
  qe_params_uniform(model->params, HEAD_WEIGHT, 1 / sqrt(inputs), rng);
  qe_params_uniform(model->params, HEAD_BIAS, 1 / sqrt(inputs), rng);
}

/* ---- forward ---- */

/* offset[0..count] re-based to start at 0, in the arena, where backward still finds it when the batch is gone. */
static uint32_t *copy_offsets(qe_tape *tape, const uint32_t *offset, size_t count) {
  uint32_t *copy = tape_alloc(tape, count + 1, sizeof *copy);
  for (size_t i = 0; copy && i <= count; i++)
    copy[i] = offset[i] - offset[0];
  return copy;
}

static qe_segments segments_from(qe_tape *tape, const uint32_t *offset, size_t count) {
  return (qe_segments){ copy_offsets(tape, offset, count), (uint32_t)count };
}

static qe_tensor embed(qe_tape *tape, qe_model *model, size_t side, const struct side *input, size_t first,
                       size_t count) {
  const uint32_t word = input->words.offset[first], words = input->words.offset[first + count] - word;
  const uint32_t id = input->bags.offset[word], ids = input->bags.offset[word + words] - id;
  qe_segments bags = segments_from(tape, input->bags.offset + word, words);
  uint32_t *copy = tape_alloc(tape, ids, sizeof *copy);
  if (!bags.offset || !copy)
    return QE_NONE;
  if (ids > 0)
    memcpy(copy, input->ids + id, ids * sizeof *copy);
  qe_tensor table = qe_param(tape, model->params, side * SIDE_MATRICES + EMBEDDING);
  return model->vocabulary[side].kind == VOCABULARY_WORDS ? qe_gather(table, copy, ids) : qe_bag(table, copy, bags);
}

static qe_tensor gru(qe_tape *tape, qe_model *model, size_t first, qe_tensor x, qe_segments words, int reversed) {
  qe_tensor weights[4];
  for (size_t i = 0; i < 4; i++)
    weights[i] = qe_param(tape, model->params, first + i);
  return qe_gru(x, weights[0], weights[1], weights[2], weights[3], words, reversed);
}

/* Fills the five taps of one side and returns the last, the pooled vector. */
static qe_tensor encode(struct birnn_shard *shard, size_t side, qe_rng *dropout) {
  qe_tape *tape = shard->tape;
  qe_model *model = shard->model;
  const size_t first = side * SIDE_MATRICES;
  qe_tensor *taps = shard->taps + TAP_SIDE + 5 * side;
  qe_segments words = segments_from(tape, shard->sides[side]->words.offset + shard->first, shard->count);
  taps[0] = shard->embedding[side].tape ? shard->embedding[side]
                                        : embed(tape, model, side, shard->sides[side], shard->first, shard->count);
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

static qe_tensor statistics(struct birnn_shard *shard) {
  float *values = tape_alloc(shard->tape, shard->count * DECODER_INPUTS, sizeof *values);
  qe_real *reals = tape_alloc(shard->tape, shard->count * DECODER_INPUTS, sizeof *reals);
  for (size_t i = 0; values && reals && i < shard->count; i++) {
    qe_pair pair = qe_dataset_pair(shard->data, shard->rows[i]);
    decoder_inputs(shard->model, pair.logprobs, pair.logprob_count, values + i * DECODER_INPUTS);
  }
  for (size_t i = 0; values && reals && i < shard->count * DECODER_INPUTS; i++)
    reals[i] = values[i];
  return values && reals ? qe_constant(shard->tape, shard->count, DECODER_INPUTS, reals) : QE_NONE;
}

/* Expected centre of the bins, (i + 1/2) / bins. */
static qe_tensor expectation(qe_tape *tape, qe_tensor logits, size_t bins) {
  qe_real *centre = tape_alloc(tape, bins, sizeof *centre);
  for (size_t i = 0; centre && i < bins; i++)
    centre[i] = ((qe_real)i + (qe_real).5) / (qe_real)bins;
  return centre ? qe_matmul(qe_softmax(logits, 1), qe_constant(tape, bins, 1, centre), QE_NN) : QE_NONE;
}

static qe_tensor head_logits(qe_tape *tape, qe_model *model, qe_tensor inputs) {
  const bool many = many_bins(&model->configuration);
  qe_tensor bias = qe_param(tape, model->params, HEAD_BIAS);
  return qe_add(qe_matmul(inputs, qe_param(tape, model->params, HEAD_WEIGHT), many ? QE_NT : QE_NN),
                many ? qe_transposed(bias) : bias);
}

void birnn_forward(struct birnn_shard *shard) {
  qe_tape *tape = shard->tape;
  const struct configuration *c = &shard->model->configuration;
  qe_rng *dropout = shard->drops ? &shard->dropout : NULL;
  qe_tensor source = encode(shard, 0, dropout);
  qe_tensor parts[3] = { source, encode(shard, 1, dropout), QE_NONE };
  shard->taps[TAP_POOLED] = qe_beside(parts, 2);
  qe_tensor inputs = shard->taps[TAP_POOLED];
  if (c->decoder_inputs) {
    parts[2] = statistics(shard);
    inputs = qe_beside(parts, 3);
  }
  shard->taps[TAP_INPUTS] = inputs;
  shard->taps[TAP_LOGITS] = shard->taps[TAP_SCORE] = QE_NONE;
  if (shard->headless)
    return;
  qe_tensor logits = head_logits(tape, shard->model, inputs);
  shard->taps[TAP_LOGITS] = logits;
  shard->taps[TAP_SCORE] = c->bins ? expectation(tape, logits, c->bins) : qe_sigmoid(logits);
}
