/*
** surface.c - what a forest reads of a pair beside its words' evidence: counts of what the texts are made of, how the two
** sides differ in them, what the translation repeats, and statistics of the decoder's log-probabilities. Everything is
** counted on words as they were split, in one fixed order, so that the numbers depend on the pair alone.
*/
#define TRANSCENDENTAL_NO_LIBM
#include "forest.h"
#include "transcendental.h"

#include <utf8proc.h>

enum kind { OTHER, DIGITS, PUNCTUATION, COMMA, STOP, QUOTE, BRACKET };

/* ---- one side ---- */

struct side_counts {
  size_t tokens, points, longest, capitals, foreign, kinds[BRACKET + 1];
  bool lower_first;
  enum kind last;
};

static bool one_of(int32_t point, const int32_t *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (list[i] == point)
      return true;
  return false;
}
#define ONE_OF(point, ...)                                                                                         \
  one_of(point, (const int32_t[]){ __VA_ARGS__ }, sizeof(int32_t[]){ __VA_ARGS__ } / sizeof(int32_t))

/* Of a word of a single code point. */
static enum kind kind_of_point(int32_t point) {
  if (point >= '0' && point <= '9')
    return DIGITS;
  if (ONE_OF(point, ',', 0x3001, 0xff0c, 0x60c))
    return COMMA;
  if (ONE_OF(point, '.', '!', '?', 0x3002, 0xff01, 0xff1f, 0x964))
    return STOP;
  if (ONE_OF(point, '"', 0xab, 0xbb, 0x201c, 0x201d, 0x201e, 0x300c, 0x300d))
    return QUOTE;
  if (ONE_OF(point, '(', ')', '[', ']', 0xff08, 0xff09))
    return BRACKET;
  const utf8proc_category_t category = point == UTF8_BAD ? UTF8PROC_CATEGORY_CN : utf8proc_category(point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO ? PUNCTUATION : OTHER;
}

static qe_text word_at(const struct words *words, size_t number) {
  return (qe_text){ words->bytes + words->offset[number], words->offset[number + 1] - words->offset[number] };
}

static bool is_number(qe_text word) {
  for (size_t i = 0; i < word.size; i++)
    if (word.data[i] < '0' || word.data[i] > '9')
      return false;
  return word.size > 0;
}

static void count_word(struct side_counts *counts, qe_text word) {
  size_t points = 0;
  int32_t point = 0;
  for (size_t at = 0; at < word.size; points++) {
    at += utf8_decode(word.data + at, word.size - at, &point);
    const bool capital =
        point < 0x80 ? point >= 'A' && point <= 'Z' : utf8proc_category(point) == UTF8PROC_CATEGORY_LU;
    counts->capitals += capital;
    counts->foreign += point >= 0x80 || point == UTF8_BAD;
    if (counts->points == 0 && points == 0)
      counts->lower_first =
          point < 0x80 ? point >= 'a' && point <= 'z' : utf8proc_category(point) == UTF8PROC_CATEGORY_LL;
  }
  counts->last = is_number(word) ? DIGITS : points == 1 ? kind_of_point(point) : OTHER;
  counts->kinds[counts->last]++;
  counts->points += points;
  counts->longest = counts->longest < points ? points : counts->longest;
}

static struct side_counts count_side(const struct words *words) {
  struct side_counts counts = { .tokens = words->count };
  for (size_t i = 0; i < words->count; i++)
    count_word(&counts, word_at(words, i));
  return counts;
}

static float share(size_t part, size_t whole) {
  return (float)part / (float)(whole + 1);
}

static size_t punctuation(const struct side_counts *counts) {
  size_t sum = 0;
  for (int kind = PUNCTUATION; kind <= BRACKET; kind++)
    sum += counts->kinds[kind];
  return sum;
}

static void side_features(const struct side_counts *counts, float out[SIDE_FEATURES]) {
  const float features[SIDE_FEATURES] = {
    (float)counts->tokens,
    (float)counts->points,
    share(counts->points, counts->tokens),
    (float)counts->longest,
    share(counts->capitals, counts->points),
    (float)punctuation(counts),
    (float)counts->kinds[COMMA],
    (float)counts->kinds[STOP],
    (float)counts->kinds[DIGITS],
    share(counts->foreign, counts->points),
    (float)counts->lower_first,
  };
  memcpy(out, features, sizeof features);
}

/* ---- both sides ---- */

/* Numbers of one side that the other has not. */
static size_t numbers_missing(const struct words *from, const struct words *in) {
  size_t missing = 0;
  for (size_t i = 0; i < from->count; i++) {
    const qe_text word = word_at(from, i);
    bool found = !is_number(word);
    for (size_t j = 0; j < in->count && !found; j++)
      found = text_same(word, word_at(in, j));
    missing += !found;
  }
  return missing;
}

/* Runs of so many words that stood there before. */
static size_t repeated(const struct words *words, size_t length) {
  size_t count = 0;
  for (size_t i = 0; i + length <= words->count; i++) {
    bool again = false;
    for (size_t j = 0; j < i && !again; j++) {
      again = true;
      for (size_t k = 0; k < length && again; k++)
        again = text_same(word_at(words, i + k), word_at(words, j + k));
    }
    count += again;
  }
  return count;
}

static size_t doubled(const struct words *words) {
  size_t count = 0;
  for (size_t i = 1; i < words->count; i++)
    count += text_same(word_at(words, i), word_at(words, i - 1));
  return count;
}

static float log_ratio(size_t a, size_t b) {
  return log_float((float)(a + 1)) - log_float((float)(b + 1));
}

static void pair_features(const struct words words[2], const struct side_counts counts[2],
                          float out[PAIR_FEATURES]) {
  const struct side_counts *source = &counts[0], *target = &counts[1];
  const float ratio = log_ratio(target->tokens, source->tokens);
  const bool marked[2] = { source->last >= PUNCTUATION, target->last >= PUNCTUATION };
  const float features[PAIR_FEATURES] = {
    ratio,
    __builtin_fabsf(ratio),
    log_ratio(target->points, source->points),
    (float)numbers_missing(&words[0], &words[1]),
    (float)numbers_missing(&words[1], &words[0]),
    (float)(marked[0] != marked[1]),
    (float)source->kinds[QUOTE] - (float)target->kinds[QUOTE],
    (float)source->kinds[BRACKET] - (float)target->kinds[BRACKET],
    (float)(source->kinds[BRACKET] > 0),
    (float)(source->last == STOP),
    (float)repeated(&words[1], 1),
    (float)repeated(&words[1], 2),
    (float)repeated(&words[1], 3),
    (float)doubled(&words[1]),
  };
  memcpy(out, features, sizeof features);
}

/* ---- log-probabilities ---- */

static float mean_of(const float *values, size_t count) {
  float sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += values[i];
  return count > 0 ? sum / (float)count : 0;
}

static size_t below(const float *values, size_t count, float limit) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++)
    found += values[i] < limit;
  return found;
}

/* The worst mean of so many that follow one another. */
static float worst_run(const float *values, size_t count, size_t length) {
  float worst = mean_of(values, count < length ? count : length);
  for (size_t i = 1; i + length <= count; i++) {
    const float mean = mean_of(values + i, length);
    worst = mean < worst ? mean : worst;
  }
  return worst;
}

static float deviation_of(const float *values, size_t count, float mean) {
  float sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += (values[i] - mean) * (values[i] - mean);
  return __builtin_sqrtf(sum / (float)count);
}

enum { LOWEST = 3 };
struct extremes {
  float lowest[LOWEST], rise, fall, change, chance;
};

static void keep_lowest(float lowest[LOWEST], float value) {
  for (int i = 0; i < LOWEST; i++)
    if (value < lowest[i]) {
      const float pushed = lowest[i];
      lowest[i] = value;
      value = pushed;
    }
}

static struct extremes extremes_of(const float *values, size_t count) {
  struct extremes e = { .lowest = { HUGE_VALF, HUGE_VALF, HUGE_VALF } };
  for (size_t i = 0; i < count; i++) {
    const float step = i > 0 ? values[i] - values[i - 1] : 0;
    keep_lowest(e.lowest, values[i]);
    e.rise = step > e.rise ? step : e.rise;
    e.fall = step < e.fall ? step : e.fall;
    e.change += __builtin_fabsf(step);
    e.chance += exp_float(values[i]);
  }
  return e;
}

static void logprob_features(const float *values, size_t count, float out[LOGPROB_FEATURES]) {
  static const float limits[] = { -.1f, -.5f, -1, -2, -3 };
  enum { LIMITS = sizeof limits / sizeof *limits };
  const struct extremes e = extremes_of(values, count);
  const float n = (float)count, mean = mean_of(values, count);
  const size_t half = count / 2, lowest = count < LOWEST ? count : LOWEST;
  const float features[LOGPROB_FEATURES - 2 * LIMITS + 1] = {
    mean,
    mean * n,
    e.lowest[0],
    deviation_of(values, count, mean),
    mean_of(e.lowest, lowest),
    n,
    values[0],
    values[count - 1],
    mean_of(values + half, count - half),
    mean_of(values, half > 0 ? half : 1),
    e.chance / n,
    e.change / n,
    e.rise,
    e.fall,
    worst_run(values, count, 3),
    worst_run(values, count, 5),
  };
  memcpy(out, features, sizeof features);
  out += sizeof features / sizeof *features;
  for (size_t i = 0; i < LIMITS; i++) {
    const float found = (float)below(values, count, limits[i]);
    *out++ = found / n;
    if (i > 0)
      *out++ = found;
  }
}

void surface_read(const struct words words[2], const struct evidence_pair *evidence, const float *logprobs,
                  size_t count, float *features) {
  const struct side_counts counts[2] = { count_side(&words[0]), count_side(&words[1]) };
  memcpy(features, evidence->features, sizeof evidence->features);
  features += EVIDENCE_FEATURES;
  for (int side = 0; side < 2; side++, features += SIDE_FEATURES)
    side_features(&counts[side], features);
  pair_features(words, counts, features);
  features += PAIR_FEATURES;
  memset(features, 0, LOGPROB_FEATURES * sizeof *features);
  if (count > 0)
    logprob_features(logprobs, count, features);
}
