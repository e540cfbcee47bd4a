/*
** bleu.c - BLEU of 4 orders. Statistics: tokens of the hypothesis, tokens of the reference of the nearest length (the
** shorter one of two as near), then for each order how many n-grams match, clipped to the most that one reference
** has, then for each order how many there are. An order without a match is smoothed: the k-th such counts as 2^-k
** matches. A sentence is scored by the orders that it is long enough for, a corpus always by all.
*/
#include "reference.h"

#include <math.h>

enum { ORDER = 4, MATCHES = 2, TOTALS = MATCHES + ORDER };

static double brevity_penalty(double hypothesis, double reference) {
  if (hypothesis >= reference)
    return 1;
  return hypothesis > 0 ? exp(1 - reference / hypothesis) : 0;
}

static double bleu_score(const struct metric_kind *kind, const double *sums, bool sentence) {
  double sum = 0, missing = 1, matches = 0;
  int order = 0;
  (void)kind;
  for (int n = 0; n < ORDER; n++)
    matches += sums[MATCHES + n];
  if (!(matches > 0))
    return 0;
  for (; order < ORDER && sums[TOTALS + order] > 0; order++) {
    double count = sums[MATCHES + order];
    if (!(count > 0))
      count = 1 / (missing *= 2);
    sum += log(100 * count / sums[TOTALS + order]);
  }
  if (order == 0 || (order < ORDER && !sentence))
    return 0;
  return brevity_penalty(sums[0], sums[1]) * exp(sum / order);
}

static int bleu_read(qe_metric *metric, qe_text text, bool learn) {
  const struct symbols *tokens;
  const int status = tokenizer_run(metric->tokenizer, text, metric->text, &tokens);
  return status == QE_OK ? words_number(&metric->spelling, tokens, learn, &metric->ids) : status;
}

static int bleu_prepare(qe_metric *metric, const qe_text *references) {
  ngrams_clear(&metric->words, ORDER, metric->references);
  trie_cut(&metric->spelling, 0);
  if (!symbols_reserve(&metric->lengths, metric->references) || !symbols_reserve(&metric->matches, ORDER))
    return QE_MEMORY;
  for (size_t i = 0; i < metric->references; i++) {
    if (bleu_read(metric, references[i], true) != QE_OK || ngrams_add(&metric->words, &metric->ids, i) != QE_OK)
      return QE_MEMORY;
    metric->lengths.items[i] = (uint32_t)metric->ids.count;
  }
  ngrams_merge(&metric->words);
  return QE_OK;
}

static size_t nearest_length(const qe_metric *metric, size_t length) {
  size_t nearest = metric->lengths.items[0];
  for (size_t i = 1; i < metric->references; i++) {
    const size_t other = metric->lengths.items[i];
    const size_t apart = other > length ? other - length : length - other;
    const size_t before = nearest > length ? nearest - length : length - nearest;
    if (apart < before || (apart == before && other < nearest))
      nearest = other;
  }
  return nearest;
}

static int bleu_statistics(qe_metric *metric, qe_text hypothesis, double *statistics) {
  if (bleu_read(metric, hypothesis, false) != QE_OK)
    return QE_MEMORY;
  const size_t length = metric->ids.count;
  ngrams_match(&metric->words, &metric->ids, metric->matches.items);
  statistics[0] = (double)length;
  statistics[1] = (double)nearest_length(metric, length);
  for (size_t n = 0; n < ORDER; n++) {
    statistics[MATCHES + n] = metric->matches.items[n];
    statistics[TOTALS + n] = length > n ? (double)(length - n) : 0;
  }
  return QE_OK;
}

const struct metric_kind metric_bleu = {
  "bleu", 1, TOTALS + ORDER, 0, ORDER, bleu_prepare, bleu_statistics, bleu_score,
};
