/*
** reference.c - metrics that compare a translation with references. Whatever the metric, a segment is a vector of
** statistics and a corpus the sum of them. References are prepared once; the hypotheses that follow reuse all room, so
** that nothing is allocated once it has the size of the longest. The object knows no corpus: the caller sums.
*/
#include "reference.h"

#include <math.h>

static void edits_free(struct edits *edits) {
  symbols_free(&edits->references);
  symbols_free(&edits->shifted);
  symbols_free(&edits->candidate);
  symbols_free(&edits->first);
  symbols_free(&edits->rows);
  symbols_free(&edits->rolling);
  symbols_free(&edits->places);
  symbols_free(&edits->wrong_words);
  symbols_free(&edits->wrong_references);
}

qe_metric *qe_metric_new(void) {
  return memory_new(1, sizeof(qe_metric));
}

void qe_metric_free(qe_metric *metric) {
  if (!metric)
    return;
  symbols_free(&metric->lengths);
  symbols_free(&metric->text[0]);
  symbols_free(&metric->text[1]);
  symbols_free(&metric->ids);
  symbols_free(&metric->matches);
  trie_free(&metric->spelling);
  ngrams_free(&metric->characters);
  ngrams_free(&metric->words);
  edits_free(&metric->edits);
  memory_free(metric);
}

const char *qe_metric_error(const qe_metric *metric) {
  return metric->error.text;
}

int qe_metric_choose(qe_metric *metric, const char *name) {
  static const struct metric_kind *const kinds[] = { &metric_chrf, &metric_chrf_words, &metric_bleu, &metric_ter };
  const char *colon = strchr(name, ':');
  const size_t size = colon ? (size_t)(colon - name) : strlen(name);
  const struct metric_kind *kind = NULL;
  error_clear(&metric->error);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strlen(kinds[i]->name) == size && memcmp(kinds[i]->name, name, size) == 0)
      kind = kinds[i];
  if (!kind)
    return error_set(&metric->error, QE_USE, "no metric \"%.60s\"; there are chrf, chrf++, bleu, ter", name);
  if (colon && kind != &metric_bleu)
    return error_set(&metric->error, QE_USE, "\"%.60s\": only bleu has tokenizers", name);
  const struct tokenizer *tokenizer = tokenizer_find(colon ? colon + 1 : "13a");
  if (!tokenizer)
    return error_set(&metric->error, QE_USE, "no tokenizer \"%.60s\"; there are 13a, zh, intl, char, none",
                     colon + 1);
  metric->kind = kind;
  metric->tokenizer = tokenizer;
  metric->references = 0;
  return QE_OK;
}

static int fail_unchosen(qe_metric *metric) {
  return error_set(&metric->error, QE_USE, "no metric was chosen");
}

size_t qe_metric_size(const qe_metric *metric) {
  return metric->kind ? metric->kind->size : 0;
}

int qe_metric_direction(const qe_metric *metric) {
  return metric->kind ? metric->kind->direction : 0;
}

int qe_metric_reference(qe_metric *metric, const qe_text *references, size_t count) {
  error_clear(&metric->error);
  metric->references = 0;
  if (!metric->kind)
    return fail_unchosen(metric);
  if (count == 0)
    return error_set(&metric->error, QE_USE, "0 references, expected 1 or more");
  metric->references = count;
  if (metric->kind->prepare(metric, references) == QE_OK)
    return QE_OK;
  metric->references = 0;
  return error_memory(&metric->error);
}

int qe_metric_statistics(qe_metric *metric, qe_text hypothesis, double *statistics) {
  error_clear(&metric->error);
  if (!metric->kind)
    return fail_unchosen(metric);
  if (metric->references == 0)
    return error_set(&metric->error, QE_USE, "no references were set");
  return metric->kind->statistics(metric, hypothesis, statistics) == QE_OK ? QE_OK : error_memory(&metric->error);
}

double qe_metric_corpus(const qe_metric *metric, const double *sums) {
  return metric->kind ? metric->kind->score(metric->kind, sums, false) : (double)NAN;
}

double qe_metric_sentence(const qe_metric *metric, const double *statistics) {
  return metric->kind ? metric->kind->score(metric->kind, statistics, true) : (double)NAN;
}
