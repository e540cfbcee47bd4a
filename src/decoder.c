/*
** decoder.c - what a model is told of the decoder's own confidence: four statistics of the log-probabilities of the
** translation's tokens (end token included), standardised with the mean and deviation they have on the training rows.
** A pair without log-probabilities gets zeros, the mean. Sums are in double in the order of the tokens; square roots
** happen only when fitting.
*/
#include "model.h"

#include <math.h>

enum { LOWEST = 3 };

/* The lowest three so far, ascending. */
static void keep_lowest(double lowest[LOWEST], double value) {
  for (int i = 0; i < LOWEST; i++)
    if (value < lowest[i]) {
      double pushed = lowest[i];
      lowest[i] = value;
      value = pushed;
    }
}

static void statistics(const float *logprobs, size_t count, double out[DECODER_INPUTS]) {
  double sum = 0, lowest[LOWEST] = { HUGE_VAL, HUGE_VAL, HUGE_VAL }, low_sum = 0;
  size_t low_count = count < LOWEST ? count : LOWEST;
  for (size_t i = 0; i < count; i++) {
    sum += (double)logprobs[i];
    keep_lowest(lowest, (double)logprobs[i]);
  }
  for (size_t i = 0; i < low_count; i++)
    low_sum += lowest[i];
  out[0] = sum / (double)count;
  out[1] = lowest[0];
  out[2] = sum;
  out[3] = low_sum / (double)low_count;
}

void decoder_inputs(const qe_model *model, const float *logprobs, size_t count, float inputs[DECODER_INPUTS]) {
  double values[DECODER_INPUTS];
  if (count == 0) {
    memset(inputs, 0, DECODER_INPUTS * sizeof *inputs);
    return;
  }
  statistics(logprobs, count, values);
  for (int i = 0; i < DECODER_INPUTS; i++)
    inputs[i] = (float)((values[i] - (double)model->decoder_mean[i]) / (double)model->decoder_sd[i]);
}

void decoder_fit(qe_model *model, const qe_dataset *data) {
  double sum[DECODER_INPUTS] = { 0 }, squares[DECODER_INPUTS] = { 0 }, values[DECODER_INPUTS];
  size_t rows = 0;
  for (size_t row = 0; row < qe_dataset_rows(data); row++) {
    qe_pair pair = qe_dataset_pair(data, row);
    if (pair.logprob_count == 0)
      continue;
    statistics(pair.logprobs, pair.logprob_count, values);
    rows++;
    for (int i = 0; i < DECODER_INPUTS; i++) {
      double before = values[i] - sum[i];
      sum[i] += before / (double)rows;
      squares[i] += before * (values[i] - sum[i]);
    }
  }
  for (int i = 0; i < DECODER_INPUTS; i++) {
    double deviation = rows > 1 ? sqrt(squares[i] / (double)rows) : 0;
    model->decoder_mean[i] = (float)sum[i];
    model->decoder_sd[i] = deviation > 1e-6 ? (float)deviation : 1;
  }
}
