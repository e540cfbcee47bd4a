/*
** chrf.c - chrF: F2 over character n-grams up to 6 without white space, chrF++ with word n-grams up to 2 besides.
** Statistics: for each order (characters first) the n-grams of hypothesis and reference and how many match; of
** several references the one of the best F counts. An order that the reference is too short for counts nothing.
*/
#include "reference.h"

enum { CHARACTERS = 6, WORDS = 2 };

static double chrf_score(const struct metric_kind *kind, const double *sums, bool sentence) {
  double precision = 0, recall = 0, orders = 0;
  (void)sentence;
  for (size_t i = 0; i < kind->size; i += 3)
    if (sums[i] > 0 && sums[i + 1] > 0) {
      precision += sums[i + 2] / sums[i];
      recall += sums[i + 2] / sums[i + 1];
      orders++;
    }
  if (!(precision + recall > 0))
    return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (5 * precision * recall / (4 * precision + recall));
}

static int characters_of(struct symbols *points, qe_text text) {
  if (points_decode(points, text) != QE_OK)
    return QE_MEMORY;
  size_t kept = 0;
  for (size_t i = 0; i < points->count; i++)
    if (!point_is_space(points->items[i]))
      points->items[kept++] = points->items[i];
  points->count = kept;
  return QE_OK;
}

static bool is_punctuation(uint32_t point) {
  return (point >= '!' && point <= '/') || (point >= ':' && point <= '@') || (point >= '[' && point <= '`') ||
         (point >= '{' && point <= '~');
}

/* Where a word falls in two: before a mark at its end, else behind one at its beginning, else at its end. */
static size_t word_cut(const uint32_t *word, size_t size) {
  if (size > 1 && is_punctuation(word[size - 1]))
    return size - 1;
  return size > 1 && is_punctuation(word[0]) ? 1 : size;
}

static int words_of(qe_metric *metric, qe_text text, bool learn) {
  struct symbols *points = &metric->text[1], *ids = &metric->ids;
  size_t begin, at = 0;
  ids->count = 0;
  if (points_decode(points, text) != QE_OK || !symbols_reserve(ids, points->count + 1))
    return QE_MEMORY;
  while (points_word(points, &begin, &at)) {
    const uint32_t *word = points->items + begin;
    const size_t size = at - begin, cut = word_cut(word, size);
    if (!word_number(&metric->spelling, word, cut, learn, &ids->items[ids->count++]) ||
        (cut < size && !word_number(&metric->spelling, word + cut, size - cut, learn, &ids->items[ids->count++])))
      return QE_MEMORY;
  }
  return QE_OK;
}

/* The text as characters in text[0] and, for chrF++, as words in ids. */
static int chrf_read(qe_metric *metric, qe_text text, bool learn) {
  metric->ids.count = 0;
  if (characters_of(&metric->text[0], text) != QE_OK)
    return QE_MEMORY;
  return metric->kind->word_order > 0 ? words_of(metric, text, learn) : QE_OK;
}

static int chrf_prepare(qe_metric *metric, const qe_text *references) {
  const size_t count = metric->references;
  ngrams_clear(&metric->characters, metric->kind->character_order, count);
  ngrams_clear(&metric->words, metric->kind->word_order, count);
  trie_cut(&metric->spelling, 0);
  if (count > SIZE_MAX / 16 || !symbols_reserve(&metric->lengths, count * 2) ||
      !symbols_reserve(&metric->matches, count * (CHARACTERS + WORDS)))
    return QE_MEMORY;
  for (size_t i = 0; i < count; i++) {
    if (chrf_read(metric, references[i], true) != QE_OK ||
        ngrams_add(&metric->characters, &metric->text[0], i) != QE_OK ||
        ngrams_add(&metric->words, &metric->ids, i) != QE_OK)
      return QE_MEMORY;
    metric->lengths.items[2 * i] = (uint32_t)metric->text[0].count;
    metric->lengths.items[2 * i + 1] = (uint32_t)metric->ids.count;
  }
  return QE_OK;
}

/* The statistics of the orders from one kind of n-gram. */
static double *put(double *out, size_t hypothesis, size_t reference, const uint32_t *matches, size_t order) {
  for (size_t n = 0; n < order; n++) {
    const bool any = reference > n;
    *out++ = any && hypothesis > n ? (double)(hypothesis - n) : 0;
    *out++ = any ? (double)(reference - n) : 0;
    *out++ = matches[n];
  }
  return out;
}

static int chrf_statistics(qe_metric *metric, qe_text hypothesis, double *statistics) {
  const struct metric_kind *kind = metric->kind;
  const size_t characters = kind->character_order, words = kind->word_order;
  double best = -1, candidate[3 * (CHARACTERS + WORDS)];
  if (chrf_read(metric, hypothesis, false) != QE_OK)
    return QE_MEMORY;
  uint32_t *const matches = metric->matches.items, *const word_matches = matches + metric->references * characters;
  ngrams_match(&metric->characters, &metric->text[0], matches);
  ngrams_match(&metric->words, &metric->ids, word_matches);
  for (size_t r = 0; r < metric->references; r++) {
    const uint32_t *lengths = metric->lengths.items + 2 * r;
    double *out = put(candidate, metric->text[0].count, lengths[0], matches + r * characters, characters);
    put(out, metric->ids.count, lengths[1], word_matches + r * words, words);
    const double score = chrf_score(kind, candidate, true);
    if (score > best) {
      best = score;
      memcpy(statistics, candidate, kind->size * sizeof *statistics);
    }
  }
  return QE_OK;
}

const struct metric_kind metric_chrf = {
  "chrf", 1, 3 * CHARACTERS, CHARACTERS, 0, chrf_prepare, chrf_statistics, chrf_score,
};
const struct metric_kind metric_chrf_words = {
  "chrf++", 1, 3 * (CHARACTERS + WORDS), CHARACTERS, WORDS, chrf_prepare, chrf_statistics, chrf_score,
};
