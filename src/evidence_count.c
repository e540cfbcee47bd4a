/*
** evidence_count.c - counting a dataset's pairs into evidence: exact tallies per side (sorted keys of n-grams, how often,
** sum of the gold scores of the texts), the lexicon, then the coarse form of both, and the mean and deviation of every
** channel over the counted pairs. The tallies stay for as long as a model trains: they can take away what one pair
** contributed.
*/
#include "evidence.h"
#include "lexicon.h"

#include <math.h>
#include <stdlib.h>

struct gram {
  uint64_t key;
  uint32_t count;
  unsigned length; /* in words */
  float rate;      /* sum of standardised gold scores; of single words */
};
struct tally {
  struct gram *gram; /* rising keys */
  size_t count, room;
};

struct known {
  uint64_t key;
  float gold;
};

/* A pair of further parallel text, which only the lexicon has seen; its texts follow one another in `bytes`. */
struct companion {
  uint64_t source; /* hash of that text */
  size_t at, sizes[2];
};

struct counted {
  struct evidence_choice choice;
  qe_lexicon *lexicon;
  struct tally tally[2];
  struct known *pair;          /* rising keys */
  struct companion *companion; /* by source */
  char *bytes;
  size_t pairs, companions, bytes_used, bytes_room;
};

enum { RATE_WEIGHT = 3 };

void counted_free(struct counted *counted) {
  if (!counted)
    return;
  qe_lexicon_free(counted->lexicon);
  memory_free(counted->tally[0].gram);
  memory_free(counted->tally[1].gram);
  memory_free(counted->pair);
  memory_free(counted->companion);
  memory_free(counted->bytes);
  memory_free(counted);
}

/* ---- tallies ---- */

static int gram_order(const void *a, const void *b) {
  const struct gram *one = a, *other = b;
  if (one->key != other->key)
    return one->key < other->key ? -1 : 1;
  return (one->rate > other->rate) - (one->rate < other->rate); /* so that sums have one order */
}

static int known_order(const void *a, const void *b) {
  const struct known *one = a, *other = b;
  return (one->key > other->key) - (one->key < other->key);
}

static bool tally_add(struct tally *tally, const struct hashed *text, float gold) {
  if (!memory_reserve((void **)&tally->gram, &tally->room, tally->count + 3 * (text->count + 1),
                      sizeof *tally->gram))
    return false;
  for (size_t i = 0; i <= text->count; i++)
    for (size_t length = 1; length <= 3; length++)
      tally->gram[tally->count++] =
          (struct gram){ evidence_gram(text, i, length), 1, (unsigned)length, length == 1 ? gold : 0.0f };
  return true;
}

static void tally_join(struct tally *tally) {
  size_t used = 0;
  if (tally->count > 0)
    qsort(tally->gram, tally->count, sizeof *tally->gram, gram_order);
  for (size_t i = 0; i < tally->count; i++)
    if (used > 0 && tally->gram[used - 1].key == tally->gram[i].key) {
      tally->gram[used - 1].count++;
      tally->gram[used - 1].rate += tally->gram[i].rate;
    } else {
      tally->gram[used++] = tally->gram[i];
    }
  tally->count = used;
}

static const struct gram *tally_find(const struct tally *tally, uint64_t key) {
  size_t low = 0, high = tally->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (tally->gram[middle].key == key)
      return &tally->gram[middle];
    if (tally->gram[middle].key < key)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* Triples that occur once are not worth their place in an archive: half of all entries, and the least that is known. */
static unsigned char gram_level(const struct counted *counted, double count, size_t length) {
  const size_t least = counted->choice.least_count;
  return count < (double)(length == 3 && least < 2 ? 2 : least) ? 0 : level_of_count(count);
}

static unsigned char link_level(const struct counted *counted, float t) {
  const unsigned char level = level_of_probability(t);
  return level < counted->choice.least_link ? 0 : level;
}

static double smoothed_rate(double sum, double count) {
  return sum / (count + RATE_WEIGHT);
}

/* ---- without a pair's own share ---- */

static size_t own_count(const struct hashed *text, uint64_t key, size_t length) {
  size_t count = 0;
  for (size_t i = 0; i <= text->count; i++)
    count += evidence_gram(text, i, length) == key;
  return count;
}

static void counted_grams(const struct counted *counted, int side, const struct hashed *text, float gold,
                          unsigned char *levels[3], unsigned char *rate) {
  const struct tally *tally = &counted->tally[side];
  for (size_t i = 0; i <= text->count; i++)
    for (size_t length = 1; length <= 3; length++) {
      const uint64_t key = evidence_gram(text, i, length);
      const struct gram *gram = tally_find(tally, key);
      const double own = (double)own_count(text, key, length);
      levels[length - 1][i] = gram_level(counted, gram ? gram->count - own : 0, length);
      if (length == 1)
        rate[i] =
            level_of_rate(gram ? smoothed_rate((double)gram->rate - own * (double)gold, gram->count - own) : 0);
    }
}

static int companion_order(const void *a, const void *b) {
  const struct companion *one = a, *other = b;
  if (one->source != other->source)
    return one->source < other->source ? -1 : 1;
  return (one->at > other->at) - (one->at < other->at);
}

/* The pair and what else is known of its source, a post-edit perhaps: at most LEFT_OUT of them. */
enum { LEFT_OUT = 8 };
static size_t gather_left_out(const struct counted *counted, const qe_pair *pair, qe_pair left_out[LEFT_OUT]) {
  const uint64_t source = evidence_text(pair->source);
  size_t low = 0, high = counted->companions, count = 1;
  left_out[0] = *pair;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (counted->companion[middle].source < source)
      low = middle + 1;
    else
      high = middle;
  }
  for (; low < counted->companions && counted->companion[low].source == source && count < LEFT_OUT; low++) {
    const struct companion *c = &counted->companion[low];
    left_out[count++] = (qe_pair){ .source = { counted->bytes + c->at, c->sizes[0] },
                                   .translation = { counted->bytes + c->at + c->sizes[0], c->sizes[1] } };
  }
  return count;
}

/* Level of every t; a matrix of lexicon_pair has the words of `given` as columns. */
static int counted_links(const struct counted *counted, const qe_pair *pair, const struct hashed texts[2],
                         int given, unsigned char *levels) {
  struct lexicon_matrix matrix = { 0 };
  qe_pair left_out[LEFT_OUT];
  const size_t count = gather_left_out(counted, pair, left_out);
  int status = lexicon_pair(counted->lexicon, (qe_side)given, pair, left_out, count, &matrix);
  for (size_t m = 0; status == QE_OK && m < texts[1].count; m++)
    for (size_t n = 0; n < texts[0].count; n++) {
      const size_t row = given == QE_SOURCE ? m : n, column = given == QE_SOURCE ? n : m;
      const bool inside = row < matrix.rows && column + 1 < matrix.cols;
      levels[m * texts[0].count + n] = inside ? link_level(counted, matrix.t[row * matrix.cols + column]) : 0;
    }
  lexicon_matrix_free(&matrix);
  return status;
}

int counted_levels(const struct counted *counted, const qe_pair *pair, const struct hashed texts[2],
                   struct levels *levels, bool *found) {
  const struct known wanted = { evidence_pair_key(pair), 0 };
  const struct known *known =
      counted->pairs > 0 ? bsearch(&wanted, counted->pair, counted->pairs, sizeof wanted, known_order) : NULL;
  *found = known != NULL;
  int status = QE_OK;
  for (int side = 0; known && status == QE_OK && side < 2; side++) {
    unsigned char *grams[3] = { levels->one[side], levels->two[side], levels->three[side] };
    counted_grams(counted, side, &texts[side], known->gold, grams, levels->rate[side]);
    status = counted_links(counted, pair, texts, side, levels->given[side]);
  }
  return status;
}

/* ---- counting ---- */

struct counting {
  const qe_dataset *data, *parallel;
  struct evidence_choice choice;
  struct words words[2];
  struct evidence_pair pair; /* channels, and hashes of the words */
  struct evidence *evidence;
  const double *gold;
  double gold_mean, gold_sd;
};

static void fit_gold(struct counting *c) {
  const size_t rows = qe_dataset_rows(c->data);
  double sum = 0, squares = 0;
  size_t count = 0;
  c->gold = qe_dataset_column(c->data, "gold");
  for (size_t i = 0; c->gold && i < rows; i++)
    if (!isnan(c->gold[i])) {
      const double before = c->gold[i] - sum;
      sum += before / (double)++count;
      squares += before * (c->gold[i] - sum);
    }
  c->gold_mean = sum;
  c->gold_sd = squares > 0 ? sqrt(squares / (double)count) : 1;
}

static float gold_of(const struct counting *c, size_t row) {
  return c->gold && !isnan(c->gold[row]) ? (float)((c->gold[row] - c->gold_mean) / c->gold_sd) : 0.0f;
}

static int tally_row(struct counting *c, size_t row) {
  struct counted *counted = c->evidence->counted;
  const qe_pair pair = qe_dataset_pair(c->data, row);
  const float gold = gold_of(c, row);
  counted->pair[row] = (struct known){ evidence_pair_key(&pair), gold };
  if (evidence_split(c->words, &pair, c->choice.max_tokens) != QE_OK)
    return QE_MEMORY;
  for (int side = 0; side < 2; side++) {
    const struct hashed *text = evidence_hash(&c->pair, side, &c->words[side]);
    if (!text || !tally_add(&counted->tally[side], text, gold))
      return QE_MEMORY;
    c->evidence->tokens[side] += (float)text->count;
  }
  return QE_OK;
}

static int tally_rows(struct counting *c) {
  struct counted *counted = c->evidence->counted;
  const size_t rows = qe_dataset_rows(c->data);
  counted->pair = memory_new(rows, sizeof *counted->pair);
  if (!counted->pair)
    return QE_MEMORY;
  for (size_t row = 0; row < rows; row++)
    if (tally_row(c, row) != QE_OK)
      return QE_MEMORY;
  counted->pairs = rows;
  qsort(counted->pair, rows, sizeof *counted->pair, known_order);
  tally_join(&counted->tally[0]);
  tally_join(&counted->tally[1]);
  return QE_OK;
}

static char *copy_text(char *to, qe_text text) {
  if (text.size > 0)
    memcpy(to, text.data, text.size);
  return to + text.size;
}

static int keep_companions(struct counted *counted, const qe_dataset *parallel) {
  const size_t rows = qe_dataset_rows(parallel);
  counted->companion = memory_new(rows, sizeof *counted->companion);
  if (!counted->companion)
    return QE_MEMORY;
  for (size_t row = 0; row < rows; row++) {
    const qe_pair pair = qe_dataset_pair(parallel, row);
    const size_t size = pair.source.size + pair.translation.size;
    if (!memory_reserve((void **)&counted->bytes, &counted->bytes_room, counted->bytes_used + size + 1, 1))
      return QE_MEMORY;
    counted->companion[row] = (struct companion){ evidence_text(pair.source),
                                                  counted->bytes_used,
                                                  { pair.source.size, pair.translation.size } };
    copy_text(copy_text(counted->bytes + counted->bytes_used, pair.source), pair.translation);
    counted->bytes_used += size;
  }
  counted->companions = rows;
  qsort(counted->companion, rows, sizeof *counted->companion, companion_order);
  return QE_OK;
}

/* From the pairs and further parallel text, which may be NULL. */
static int train_lexicon(struct counted *counted, const qe_dataset *data, const qe_dataset *parallel,
                         struct error *error) {
  if (!parallel || qe_dataset_rows(parallel) == 0)
    return qe_lexicon_train(counted->lexicon, data, NULL, NULL) == QE_OK
               ? QE_OK
               : error_set(error, QE_USE, "%s", qe_lexicon_error(counted->lexicon));
  qe_dataset *both = qe_dataset_new();
  int status = both ? qe_dataset_append_all(both, data) : QE_MEMORY;
  if (status == QE_OK)
    status = qe_dataset_append_all(both, parallel);
  if (status == QE_OK)
    status = qe_lexicon_train(counted->lexicon, both, NULL, NULL);
  if (status == QE_OK)
    status = keep_companions(counted, parallel);
  qe_dataset_free(both);
  return status == QE_OK ? QE_OK
                         : error_set(error, status, "parallel text: %s", qe_lexicon_error(counted->lexicon));
}

/* ---- the coarse form ---- */

static int coarse_grams(struct evidence *evidence, int side) {
  const struct tally *tally = &evidence->counted->tally[side];
  struct sketch_entry *entries = memory_new(tally->count, sizeof *entries);
  size_t used = 0;
  for (size_t i = 0; entries && i < tally->count; i++) {
    const struct gram *gram = &tally->gram[i];
    const unsigned rate = gram->length == 1 ? level_of_rate(smoothed_rate((double)gram->rate, gram->count)) : 0;
    const unsigned level = gram_level(evidence->counted, gram->count, gram->length);
    if (level > 0)
      entries[used++] = (struct sketch_entry){ gram->key, (unsigned char)(level | rate << 4) };
  }
  int status = entries ? sketch_build(&evidence->grams[side], entries, used) : QE_MEMORY;
  memory_free(entries);
  return status;
}

static int entry_order(const void *a, const void *b) {
  const struct sketch_entry *one = a, *other = b;
  return (one->key > other->key) - (one->key < other->key);
}

/* Links of one direction that have a level; returns how many. The empty word has none. */
static size_t list_links(const struct counted *counted, qe_side given, struct sketch_entry *entries) {
  const qe_lexicon *lexicon = counted->lexicon;
  const size_t count = qe_lexicon_entries(lexicon, given);
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    qe_text word, other;
    double t;
    if (qe_lexicon_entry(lexicon, given, i, &word, &other, &t) != QE_OK || word.size == 0)
      continue;
    const unsigned char level = link_level(counted, (float)t);
    const uint64_t source = evidence_text(given == QE_SOURCE ? word : other);
    const uint64_t target = evidence_text(given == QE_SOURCE ? other : word);
    if (level > 0)
      entries[used++] = (struct sketch_entry){ evidence_link(source, target),
                                               (unsigned char)(given == QE_SOURCE ? level : level << 4) };
  }
  return used;
}

/* Both directions of a link in one entry. */
static size_t join_links(struct sketch_entry *entries, size_t count) {
  size_t used = 0;
  if (count > 0)
    qsort(entries, count, sizeof *entries, entry_order);
  for (size_t i = 0; i < count; i++)
    if (used > 0 && entries[used - 1].key == entries[i].key)
      entries[used - 1].value |= entries[i].value;
    else
      entries[used++] = entries[i];
  return used;
}

static int coarse_links(struct evidence *evidence) {
  const qe_lexicon *lexicon = evidence->counted->lexicon;
  const size_t most = qe_lexicon_entries(lexicon, QE_SOURCE) + qe_lexicon_entries(lexicon, QE_TARGET);
  struct sketch_entry *entries = memory_new(most, sizeof *entries);
  if (!entries)
    return QE_MEMORY;
  size_t count = list_links(evidence->counted, QE_SOURCE, entries);
  count += list_links(evidence->counted, QE_TARGET, entries + count);
  int status = sketch_build(&evidence->lexicon, entries, join_links(entries, count));
  memory_free(entries);
  return status;
}

/* ---- mean and deviation of channels ---- */

struct moments {
  double mean[CHANNELS], squares[CHANNELS], count;
};

static void moments_add(struct moments *moments, const float *channel) {
  moments->count++;
  for (size_t c = 0; c < CHANNELS; c++) {
    const double before = (double)channel[c] - moments->mean[c];
    moments->mean[c] += before / moments->count;
    moments->squares[c] += before * ((double)channel[c] - moments->mean[c]);
  }
}

/* Reads every pair as training will. */
static int fit_channels(struct counting *c) {
  struct moments moments[2] = { { { 0 }, { 0 }, 0 }, { { 0 }, { 0 }, 0 } };
  for (size_t row = 0; row < qe_dataset_rows(c->data); row++) {
    const qe_pair pair = qe_dataset_pair(c->data, row);
    if (evidence_split(c->words, &pair, c->choice.max_tokens) != QE_OK ||
        evidence_read_raw(c->evidence, &pair, c->words, true, &c->pair) != QE_OK)
      return QE_MEMORY;
    for (int side = 0; side < 2; side++)
      for (size_t i = 0; i < c->pair.count[side]; i++)
        moments_add(&moments[side], c->pair.channel[side] + i * CHANNELS);
  }
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < CHANNELS; i++) {
      const double deviation = moments[side].count > 0 ? sqrt(moments[side].squares[i] / moments[side].count) : 0;
      c->evidence->mean[side][i] = (float)moments[side].mean[i];
      c->evidence->sd[side][i] = deviation > 1e-3 ? (float)deviation : 1.0f;
    }
  return QE_OK;
}

static size_t count_types(const struct counting *c, int side) {
  size_t types = 0;
  const struct tally *tally = &c->evidence->counted->tally[side];
  for (size_t i = 0; i < tally->count; i++)
    types += tally->gram[i].length == 1;
  return types;
}

static int count(struct counting *c, struct error *error) {
  struct counted *counted = c->evidence->counted = memory_new(1, sizeof *counted);
  if (!counted || !(counted->lexicon = qe_lexicon_new()))
    return error_memory(error);
  counted->choice = c->choice;
  fit_gold(c);
  if (train_lexicon(counted, c->data, c->parallel, error) != QE_OK)
    return error->status;
  if (tally_rows(c) != QE_OK || coarse_links(c->evidence) != QE_OK || coarse_grams(c->evidence, 0) != QE_OK ||
      coarse_grams(c->evidence, 1) != QE_OK)
    return error_memory(error);
  for (int side = 0; side < 2; side++) {
    c->evidence->tokens[side] += 1;
    c->evidence->types[side] = (float)(count_types(c, side) + 1);
  }
  return fit_channels(c) == QE_OK ? QE_OK : error_memory(error);
}

struct evidence *evidence_count(const qe_dataset *data, const qe_dataset *parallel, struct evidence_choice choice,
                                struct error *error) {
  struct counting counting = {
    .data = data, .parallel = parallel, .choice = choice, .evidence = evidence_new(error)
  };
  if (!counting.evidence)
    return NULL;
  const int status = count(&counting, error);
  words_free(&counting.words[0]);
  words_free(&counting.words[1]);
  evidence_pair_free(&counting.pair);
  if (status == QE_OK)
    return counting.evidence;
  evidence_release(counting.evidence);
  return NULL;
}
