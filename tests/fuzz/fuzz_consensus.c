/*
** fuzz_consensus.c - any bytes as a list, a candidate a line. Every value lies in 0..1, is that of the naive mean of
** qe_metric over the other distinct lines, and copies share it.
*/
#include "core.h"
#include "demand.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 12 };

static qe_text take_line(qe_text *rest) {
  const char *end = memchr(rest->data, '\n', rest->size);
  const qe_text line = { rest->data, end ? (size_t)(end - rest->data) : rest->size };
  rest->data += line.size + (end != NULL);
  rest->size -= line.size + (end != NULL);
  return line;
}

static double utility(qe_metric *metric, qe_text hypothesis, qe_text reference) {
  double statistics[64];
  demand(qe_metric_reference(metric, &reference, 1) == QE_OK);
  demand(qe_metric_statistics(metric, hypothesis, statistics) == QE_OK);
  return qe_metric_sentence(metric, statistics) / 100;
}

static bool seen_before(const qe_text *texts, size_t number) {
  for (size_t i = 0; i < number; i++)
    if (text_same(texts[i], texts[number]))
      return true;
  return false;
}

static double naive(qe_metric *metric, const qe_text *texts, size_t count, size_t number) {
  double sum = 0;
  size_t others = 0;
  for (size_t i = 0; i < count; i++)
    if (!text_same(texts[i], texts[number]) && !seen_before(texts, i)) {
      sum += utility(metric, texts[number], texts[i]);
      others++;
    }
  return others > 0 ? sum / (double)others : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qe_text rest = { (const char *)data, size < 2000 ? size : 2000 }, texts[MOST];
  double values[MOST];
  size_t count = 0;
  while (rest.size > 0 && count < MOST)
    texts[count++] = take_line(&rest);
  qe_consensus *consensus = qe_consensus_new();
  qe_metric *metric = qe_metric_new();
  demand(consensus && metric && qe_metric_choose(metric, "chrf") == QE_OK);
  demand(qe_consensus_values(consensus, texts, count, NULL, values) == QE_OK);
  for (size_t i = 0; i < count; i++) {
    demand(values[i] >= 0 && values[i] <= 1 + 1e-12);
    demand(fabs(values[i] - naive(metric, texts, count, i)) < 1e-12);
  }
  qe_metric_free(metric);
  qe_consensus_free(consensus);
  return 0;
}
