/*
** fuzz_reference.c - any bytes as hypothesis and references. The first byte chooses the metric, the texts follow,
** separated by 0xff. Statistics stay within their bounds and do not depend on what went before; repairing UTF-8
** changes nothing; a text matches itself wholly; chrF's matches are those of a naive twin, and TER's edits lie between
** the difference of the lengths and the longer one.
*/
#include "demand.h"
#include "reference.h"
#include "text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS = 4, MOST = 1500, MOST_STATISTICS = 24 };

static bool same(double a, double b) {
  return a >= b && a <= b;
}

static qe_metric *metric_of(const char *name, const qe_text *references, size_t count) {
  qe_metric *metric = qe_metric_new();
  demand(metric && qe_metric_choose(metric, name) == QE_OK);
  demand(qe_metric_reference(metric, references, count) == QE_OK);
  demand(qe_metric_size(metric) <= MOST_STATISTICS);
  return metric;
}

static void check_same(qe_metric *metric, qe_text hypothesis, const double *expected) {
  double statistics[MOST_STATISTICS];
  demand(qe_metric_statistics(metric, hypothesis, statistics) == QE_OK);
  for (size_t i = 0; i < qe_metric_size(metric); i++)
    demand(same(statistics[i], expected[i]));
}

static void check_bounds(const qe_metric *metric, const double *statistics) {
  const double corpus = qe_metric_corpus(metric, statistics), sentence = qe_metric_sentence(metric, statistics);
  demand(isfinite(corpus) && corpus >= 0 && isfinite(sentence) && sentence >= 0);
  if (qe_metric_direction(metric) > 0)
    demand(corpus <= 100.0000001 && sentence <= 100.0000001 && corpus <= sentence + .0000001);
  for (size_t i = 0; i < qe_metric_size(metric); i++)
    demand(isfinite(statistics[i]) && statistics[i] >= 0);
}

static size_t repair(qe_text text, char *out) {
  size_t size = 0;
  for (size_t at = 0, taken; at < text.size; at += taken) {
    int32_t point;
    taken = utf8_decode(text.data + at, text.size - at, &point);
    memcpy(out + size, point == UTF8_BAD ? "\xef\xbf\xbd" : text.data + at, point == UTF8_BAD ? 3 : taken);
    size += point == UTF8_BAD ? 3 : taken;
  }
  return size;
}

static void check_self(const char *name, qe_text text) {
  double statistics[MOST_STATISTICS];
  qe_metric *metric = metric_of(name, &text, 1);
  demand(qe_metric_statistics(metric, text, statistics) == QE_OK);
  if (qe_metric_direction(metric) < 0)
    demand(same(statistics[0], 0) && same(qe_metric_corpus(metric, statistics), 0));
  else if (strncmp(name, "bleu", 4) == 0)
    for (size_t n = 0; n < 4; n++)
      demand(same(statistics[0], statistics[1]) && same(statistics[2 + n], statistics[6 + n]));
  else
    for (size_t i = 0; i < qe_metric_size(metric); i += 3)
      demand(same(statistics[i], statistics[i + 1]) && same(statistics[i], statistics[i + 2]));
  if (qe_metric_direction(metric) > 0 && statistics[0] > 0)
    demand(fabs(qe_metric_sentence(metric, statistics) - 100) < 1e-9);
  qe_metric_free(metric);
}

static size_t points_of(qe_text text, int32_t *points) {
  size_t count = 0;
  for (size_t at = 0; at < text.size;) {
    int32_t point;
    at += utf8_decode(text.data + at, text.size - at, &point);
    if (point == UTF8_BAD || !point_is_space((uint32_t)point))
      points[count++] = point == UTF8_BAD ? 0xfffd : point;
  }
  return count;
}

static void check_twin(qe_text hypothesis, qe_text reference) {
  int32_t a[100], b[100];
  double statistics[18];
  hypothesis.size = hypothesis.size > 100 ? 100 : hypothesis.size;
  reference.size = reference.size > 100 ? 100 : reference.size;
  const size_t a_size = points_of(hypothesis, a), b_size = points_of(reference, b);
  qe_metric *metric = metric_of("chrf", &reference, 1);
  demand(qe_metric_statistics(metric, hypothesis, statistics) == QE_OK);
  qe_metric_free(metric);
  for (size_t n = 1; n <= 6; n++) {
    bool gone[100] = { false };
    double matches = 0;
    for (size_t i = 0; i + n <= a_size; i++)
      for (size_t j = 0; j + n <= b_size; j++)
        if (!gone[j] && memcmp(a + i, b + j, n * sizeof *a) == 0) {
          gone[j] = true;
          matches++;
          break;
        }
    demand(same(matches, statistics[3 * n - 1]));
  }
}

static void check_edits(qe_text hypothesis, qe_text reference) {
  double edits[2], lengths[10];
  qe_metric *ter = metric_of("ter", &reference, 1), *bleu = metric_of("bleu:none", &reference, 1);
  demand(qe_metric_statistics(ter, hypothesis, edits) == QE_OK);
  demand(qe_metric_statistics(bleu, hypothesis, lengths) == QE_OK);
  demand(same(edits[1], lengths[1]));
  demand(edits[0] >= fabs(lengths[0] - lengths[1]) && edits[0] <= fmax(lengths[0], lengths[1]));
  qe_metric_free(ter);
  qe_metric_free(bleu);
}

static size_t split(qe_text rest, qe_text *texts) {
  size_t count = 0;
  while (count < TEXTS) {
    const char *end = rest.size > 0 ? memchr(rest.data, 0xff, rest.size) : NULL;
    const size_t size = end && count + 1 < TEXTS ? (size_t)(end - rest.data) : rest.size;
    texts[count++] = (qe_text){ rest.data, size > MOST ? MOST : size };
    if (size == rest.size)
      break;
    rest = (qe_text){ rest.data + size + 1, rest.size - size - 1 };
  }
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = { "chrf",    "chrf++",    "ter",       "bleu",
                                       "bleu:zh", "bleu:intl", "bleu:char", "bleu:none" };
  qe_text texts[TEXTS] = { { "", 0 }, { "", 0 } };
  double statistics[MOST_STATISTICS];
  char repaired[3 * MOST];
  if (size == 0)
    return 0;
  const char *name = names[data[0] % 8];
  size_t count = split((qe_text){ (const char *)data + 1, size - 1 }, texts);
  count = count < 2 ? 2 : count;
  qe_metric *metric = metric_of(name, texts + 1, count - 1);
  demand(qe_metric_statistics(metric, texts[0], statistics) == QE_OK);
  check_bounds(metric, statistics);
  check_same(metric, (qe_text){ repaired, repair(texts[0], repaired) }, statistics);
  check_same(metric, texts[0], statistics);
  demand(qe_metric_reference(metric, texts, 1) == QE_OK);
  demand(qe_metric_reference(metric, texts + 1, count - 1) == QE_OK);
  check_same(metric, texts[0], statistics);
  qe_metric_free(metric);
  check_self(name, texts[0]);
  check_twin(texts[0], texts[1]);
  check_edits(texts[0], texts[1]);
  return 0;
}
