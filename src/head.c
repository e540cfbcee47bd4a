/*
** head.c - from what a model found out about a pair to its score, on a tape: the pooled vector and, where the model has
** decoder inputs, their statistics -> linear -> sigmoid, or a softmax over bins whose expected centre is the score.
*/
#include "architecture.h"

#include <math.h>
#include <stdio.h>

/* ---- parameters ---- */

int architecture_add(qe_model *model, const char *group, const char *name, size_t rows, size_t cols, int sparse) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  int number = qe_params_add(model->params, full, rows, cols, sparse);
  return number < 0 ? error_set(&model->error, number, "%s", qe_params_error(model->params)) : QE_OK;
}

static int find(qe_model *model, const char *group, const char *name) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  const int number = qe_params_find(model->params, full);
  return number < 0 ? error_set(&model->error, QE_USE, "the model has no parameter \"%s\"", full) : number;
}

bool architecture_tap(const char *const *names, size_t count, size_t number, char name[MOST_TAP_NAME]) {
  if (number < count)
    snprintf(name, MOST_TAP_NAME, "%s", names[number]);
  return number < count;
}

const qe_real *architecture_matrix(qe_model *model, const char *group, const char *name) {
  const int number = find(model, group, name);
  return number < 0 ? NULL : qe_params_matrix(model->params, (size_t)number);
}

int head_parameters(qe_model *model, size_t pooled) {
  const struct configuration *c = &model->configuration;
  const size_t outputs = c->bins ? c->bins : 1, inputs = pooled + c->decoder_inputs;
  const int many = many_bins(c);
  if (architecture_add(model, "head", "weight", many ? outputs : inputs, many ? inputs : outputs, many) != QE_OK)
    return model->error.status;
  return architecture_add(model, "head", "bias", many ? outputs : 1, many ? 1 : outputs, many);
}

void head_start(qe_model *model, qe_rng *rng) {
  const size_t weight = (size_t)qe_params_find(model->params, "head.weight");
  size_t rows, cols;
  qe_params_name(model->params, weight, &rows, &cols);
  const double inputs = (double)(many_bins(&model->configuration) ? cols : rows);
  qe_params_uniform(model->params, weight, 1 / sqrt(inputs), rng);
  qe_params_uniform(model->params, weight + 1, 1 / sqrt(inputs), rng);
}

/* ---- forward ---- */

/* As many floats as decoder_inputs writes, of one row; false: there are none. */
static bool row_statistics(struct shard *shard, size_t row, double hidden, qe_real *out) {
  const qe_pair pair = qe_dataset_pair(shard->data, shard->rows[row]);
  const bool drop = shard->drops && hidden > 0 && qe_rng_uniform(&shard->dropout) < hidden;
  float values[DECODER_INPUTS];
  decoder_inputs(shard->model, pair.logprobs, drop ? 0 : pair.logprob_count, values);
  for (size_t i = 0; i < DECODER_INPUTS; i++)
    out[i] = (qe_real)values[i];
  return pair.logprob_count > 0 && !drop;
}

bool head_statistics(struct shard *shard, double hidden, qe_tensor *known) {
  qe_real *values = tape_alloc(shard->tape, shard->count * DECODER_INPUTS, sizeof *values);
  qe_real *mask = tape_alloc(shard->tape, shard->count, sizeof *mask);
  if (!values || !mask)
    return false;
  for (size_t i = 0; i < shard->count; i++)
    mask[i] = row_statistics(shard, i, hidden, values + i * DECODER_INPUTS) ? 1 : 0;
  shard->decoder = qe_constant(shard->tape, shard->count, DECODER_INPUTS, values);
  *known = qe_constant(shard->tape, shard->count, 1, mask);
  return true;
}

/* Expected centre of the bins, (i + 1/2) / bins. */
static qe_tensor expectation(qe_tape *tape, qe_tensor logits, size_t bins) {
  qe_real *centre = tape_alloc(tape, bins, sizeof *centre);
  for (size_t i = 0; centre && i < bins; i++)
    centre[i] = ((qe_real)i + (qe_real).5) / (qe_real)bins;
  return centre ? qe_matmul(qe_softmax(logits, 1), qe_constant(tape, bins, 1, centre), QE_NN) : QE_NONE;
}

static qe_tensor logits_of(struct shard *shard, qe_tensor inputs) {
  qe_params *params = shard->model->params;
  const bool many = many_bins(&shard->model->configuration);
  const size_t weight = (size_t)qe_params_find(params, "head.weight");
  qe_tensor bias = qe_param(shard->tape, params, weight + 1);
  return qe_add(qe_matmul(inputs, qe_param(shard->tape, params, weight), many ? QE_NT : QE_NN),
                many ? qe_transposed(bias) : bias);
}

void head_forward(struct shard *shard, qe_tensor pooled) {
  const struct configuration *c = &shard->model->configuration;
  qe_tensor inputs = pooled;
  shard->taps[TAP_POOLED] = pooled;
  shard->taps[TAP_INPUTS] = shard->taps[TAP_LOGITS] = shard->taps[TAP_SCORE] = QE_NONE;
  if (c->decoder_inputs) {
    qe_tensor known;
    if (!shard->decoder.tape && !head_statistics(shard, 0, &known))
      return;
    const qe_tensor parts[2] = { pooled, shard->decoder };
    inputs = qe_beside(parts, 2);
  }
  shard->taps[TAP_INPUTS] = inputs;
  if (shard->headless)
    return;
  qe_tensor logits = logits_of(shard, inputs);
  shard->taps[TAP_LOGITS] = logits;
  shard->taps[TAP_SCORE] = c->bins ? expectation(shard->tape, logits, c->bins) : qe_sigmoid(logits);
}
