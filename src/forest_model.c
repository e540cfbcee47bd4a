/*
** forest_model.c - the forests of a model: rows of a dataset to what forests read of them, growing, asking. Rows are read as
** training reads them, a counted pair without its own share, so that trees are grown on what new pairs will look like.
*/
#include "forest.h"
#include "model.h"

#include <math.h>

static int read_pair(const qe_model *model, const qe_pair *pair, struct evidence_reading *reading,
                     float *features) {
  const int status = evidence_read_training(model->evidence, pair, model->configuration.max_tokens, reading);
  if (status == QE_OK)
    surface_read(reading->words, &reading->pair, pair->logprobs, pair->logprob_count, features);
  return status;
}

/* ---- growing ---- */

struct sample {
  float *matrix; /* FOREST_FEATURES a row */
  double *values;
  size_t rows;
};

/* Rows that have a value and, if asked for, log-probabilities. */
static int sample_rows(const qe_model *model, const qe_dataset *data, const double *column, bool logprobs,
                       struct sample *sample) {
  struct evidence_reading reading = { 0 };
  const size_t rows = qe_dataset_rows(data);
  int status = QE_OK;
  sample->rows = 0;
  for (size_t row = 0; row < rows && status == QE_OK; row++) {
    const qe_pair pair = qe_dataset_pair(data, row);
    if (isnan(column[row]) || (logprobs && pair.logprob_count == 0))
      continue;
    sample->values[sample->rows] = column[row];
    status = read_pair(model, &pair, &reading, sample->matrix + sample->rows++ * FOREST_FEATURES);
  }
  evidence_reading_free(&reading);
  return status;
}

static int grow(qe_model *model, const qe_dataset *data, const double *column, size_t trees, qe_rng *rng,
                struct forests *forests) {
  const size_t rows = qe_dataset_rows(data);
  struct sample sample = { memory_new(rows + 1, FOREST_FEATURES * sizeof(float)),
                           memory_new(rows + 1, sizeof(double)), 0 };
  int status = sample.matrix && sample.values ? QE_OK : QE_MEMORY;
  for (size_t i = 0; i < forests_count(forests) && status == QE_OK; i++) {
    status = sample_rows(model, data, column, i > 0, &sample);
    if (status == QE_OK)
      status = forest_grow(forests_one(forests, i), sample.matrix, sample.values, sample.rows,
                           i > 0 ? FOREST_FEATURES : TEXT_FEATURES, trees, rng);
  }
  memory_free(sample.matrix);
  memory_free(sample.values);
  return status;
}

static bool has_logprobs(const qe_dataset *data) {
  for (size_t row = 0; row < qe_dataset_rows(data); row++)
    if (qe_dataset_pair(data, row).logprob_count > 0)
      return true;
  return false;
}

int qe_model_grow(qe_model *model, const qe_dataset *data, const char *column, size_t trees, qe_rng *rng) {
  error_clear(&model->error);
  if (!model->params || !model->evidence)
    return error_set(&model->error, QE_USE, "grow: only aligned students, which count words, have forests");
  const double *values = qe_dataset_column(data, column);
  if (!values)
    return error_set(&model->error, QE_USE, "grow: the data have no column %.60s", column);
  if (trees < 1 || trees > FOREST_MOST_TREES)
    return error_set(&model->error, QE_USE, "grow: %zu trees, expected 1 to %d", trees, FOREST_MOST_TREES);
  const size_t count = model->configuration.decoder_inputs > 0 && has_logprobs(data) ? FORESTS : 1;
  struct forests *forests = forests_new(count);
  if (!forests || grow(model, data, values, trees, rng, forests) != QE_OK) {
    forests_release(forests);
    return error_memory(&model->error);
  }
  forests_release(model->forests);
  model->forests = forests;
  model->configuration.aligned.forests = count;
  return QE_OK;
}

/* ---- asking ---- */

int qe_model_trees(qe_model *model, const qe_dataset *data, float *scores) {
  struct evidence_reading reading = { 0 };
  float features[FOREST_FEATURES];
  int status = QE_OK;
  error_clear(&model->error);
  if (!model->forests)
    return error_set(&model->error, QE_USE, "trees: the model has no forest");
  for (size_t row = 0; row < qe_dataset_rows(data) && status == QE_OK; row++) {
    const qe_pair pair = qe_dataset_pair(data, row);
    status = read_pair(model, &pair, &reading, features);
    if (status == QE_OK)
      scores[row] = forests_score(model->forests, pair.logprob_count > 0, features);
  }
  evidence_reading_free(&reading);
  return status == QE_OK ? QE_OK : error_memory(&model->error);
}
