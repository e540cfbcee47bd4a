/*
** overlap.c - sentence chrF2 of many texts against many. An item is the k-th occurrence of an n-gram in a text, so
** that a text is a set of items and two texts match in as many n-grams as they share items. Items are nodes of a trie:
** the n-gram's own for the first occurrence, below it one for each further occurrence, under a symbol that is no code
** point. What is in all references is one number, what is in many a bit (matches are then population counts), what
** is in few a posting list, so that memory grows with the length of the texts and never with its square.
** Invariant: between calls the `seen` of every item is 0. Utilities have the bits that chrf.c's formula gives.
*/
#include "clones.h"
#include "reference.h"
#include "utility.h"

enum { ORDERS = 6, REPEATED = 0x110000 };
enum {
  FEW = 8
}; /* an item of less than every eighth reference has postings: about where both ways cost the same */

struct item {
  uint32_t frequency; /* references that have it */
  uint32_t seen;      /* in the text being read */
  uint32_t place;     /* its bit, or the end of its postings */
  uint32_t order;
};

struct reading {
  uint32_t length; /* in characters */
  uint32_t everywhere[ORDERS], listed[ORDERS];
  size_t first; /* of its occurrences; once it is settled, only those with postings are left */
};

struct overlap {
  struct trie trie;
  struct item *items; /* by node */
  struct reading *readings;
  uint64_t *bits;                   /* one row per reading */
  size_t words[ORDERS + 1];         /* of a row: where each order begins */
  struct symbols points, nodes;     /* of the text being read; nodes: of the n-gram that begins at each point */
  struct symbols occurrences;       /* items of the readings, by order */
  struct symbols postings, matches; /* matches: order times references + reference */
  double *totals;                   /* n-grams, in the same way, at least 1 */
  double *shares;                   /* sums of precisions, then of recalls */
  size_t item_room, reading_room, bit_room, total_room, share_room;
  size_t references, current; /* the reading behind those of the references is a hypothesis from elsewhere */
  uint32_t known;             /* nodes that have an item */
};

static void *overlap_create(const void *context) {
  (void)context;
  return memory_new(1, sizeof(struct overlap));
}

static void overlap_destroy(void *state) {
  struct overlap *overlap = state;
  if (!overlap)
    return;
  trie_free(&overlap->trie);
  memory_free(overlap->items);
  memory_free(overlap->readings);
  memory_free(overlap->bits);
  memory_free(overlap->totals);
  memory_free(overlap->shares);
  symbols_free(&overlap->points);
  symbols_free(&overlap->nodes);
  symbols_free(&overlap->occurrences);
  symbols_free(&overlap->postings);
  symbols_free(&overlap->matches);
  memory_free(overlap);
}

static size_t ngrams_of(size_t length, size_t order) {
  return length > order ? length - order : 0;
}

/* ---- texts as items ---- */

static bool read_points(struct symbols *points, qe_text text) {
  size_t kept = 0;
  if (text.size >= UINT32_MAX - REPEATED || points_decode(points, text) != QE_OK)
    return false;
  for (size_t i = 0; i < points->count; i++)
    if (!point_is_space(points->items[i]))
      points->items[kept++] = points->items[i];
  points->count = kept;
  return true;
}

/* Every occurrence brings at most one node. */
static bool reserve_items(struct overlap *overlap, size_t occurrences) {
  return memory_reserve((void **)&overlap->items, &overlap->item_room, overlap->trie.nodes + occurrences + 1,
                        sizeof *overlap->items);
}

static uint32_t learn(struct overlap *overlap, uint32_t parent, uint32_t symbol, uint32_t order) {
  const uint32_t node = trie_add(&overlap->trie, parent, symbol);
  if (node > overlap->known) {
    overlap->items[node] = (struct item){ .order = order };
    overlap->known = node;
  }
  return node;
}

/* The n-grams of one order, whose beginnings are in `nodes`. False when memory is out. */
static bool learn_order(struct overlap *overlap, uint32_t order, uint32_t *occurrence) {
  const uint32_t *points = overlap->points.items + order;
  uint32_t *nodes = overlap->nodes.items;
  const size_t count = ngrams_of(overlap->points.count, order);
  for (size_t i = 0; i < count; i++) {
    const uint32_t node = nodes[i] = learn(overlap, order > 0 ? nodes[i] : 0, points[i], order);
    if (node == 0)
      return false;
    const uint32_t before = overlap->items[node].seen++;
    occurrence[i] = before == 0 ? node : learn(overlap, node, REPEATED + before, order);
    if (occurrence[i] == 0)
      return false;
  }
  return true;
}

/* The same with items that are known; 0 stands for others. */
static void find_order(struct overlap *overlap, uint32_t order, uint32_t *occurrence) {
  const uint32_t *points = overlap->points.items + order;
  uint32_t *nodes = overlap->nodes.items;
  const size_t count = ngrams_of(overlap->points.count, order);
  for (size_t i = 0; i < count; i++) {
    occurrence[i] = 0;
    if (order > 0 && nodes[i] == 0)
      continue;
    const uint32_t node = nodes[i] = trie_find(&overlap->trie, order > 0 ? nodes[i] : 0, points[i]);
    if (node == 0)
      continue;
    const uint32_t before = overlap->items[node].seen++;
    occurrence[i] = before == 0 ? node : trie_find(&overlap->trie, node, REPEATED + before);
  }
}

/* Leaves the items of the text behind the occurrences so far, and their number in *added. */
static int read_text(struct overlap *overlap, qe_text text, bool learning, struct reading *reading, size_t *added) {
  struct symbols *occurrences = &overlap->occurrences;
  if (!read_points(&overlap->points, text))
    return QE_MEMORY;
  const size_t length = overlap->points.count, most = length * ORDERS;
  *reading = (struct reading){ .length = (uint32_t)length, .first = occurrences->count };
  if (!symbols_reserve(&overlap->nodes, length) || !symbols_reserve(occurrences, occurrences->count + most) ||
      (learning && !reserve_items(overlap, most)))
    return QE_MEMORY;
  uint32_t *const begin = occurrences->items + occurrences->count, *end = begin;
  for (uint32_t order = 0; order < ORDERS; order++) {
    if (!learning)
      find_order(overlap, order, end);
    else if (!learn_order(overlap, order, end))
      return QE_MEMORY;
    end += ngrams_of(length, order);
  }
  for (uint32_t *occurrence = begin; occurrence < end; occurrence++)
    if (*occurrence != 0) {
      overlap->items[*occurrence].seen = 0;
      overlap->items[*occurrence].frequency += learning;
    }
  *added = (size_t)(end - begin);
  return QE_OK;
}

/* ---- items as bits and postings ---- */

static bool is_dense(const struct overlap *overlap, const struct item *item) {
  return (size_t)item->frequency * FEW >= overlap->references;
}

/* Gives every item its bit or its postings. */
static int place_items(struct overlap *overlap) {
  size_t bits[ORDERS] = { 0 }, postings = 0;
  for (uint32_t node = 1; node <= overlap->known; node++) {
    struct item *item = &overlap->items[node];
    if (item->frequency == overlap->references)
      continue;
    const bool dense = is_dense(overlap, item);
    item->place = (uint32_t)(dense ? bits[item->order]++ : postings);
    postings += dense ? 0 : item->frequency;
  }
  for (size_t order = 0; order < ORDERS; order++)
    overlap->words[order + 1] = overlap->words[order] + (bits[order] + 63) / 64;
  for (uint32_t node = 1; node <= overlap->known; node++)
    if (is_dense(overlap, &overlap->items[node]))
      overlap->items[node].place += (uint32_t)overlap->words[overlap->items[node].order] * 64;
  size_t need;
  if (postings > UINT32_MAX || overlap->words[ORDERS] > UINT32_MAX / 64 ||
      __builtin_mul_overflow(overlap->references + 1, overlap->words[ORDERS], &need) ||
      !symbols_reserve(&overlap->postings, postings) ||
      !memory_reserve((void **)&overlap->bits, &overlap->bit_room, need, sizeof *overlap->bits))
    return QE_MEMORY;
  return QE_OK;
}

static uint64_t *bits_of(const struct overlap *overlap, size_t number) {
  return overlap->bits + number * overlap->words[ORDERS];
}

/* From occurrences to counts, bits and what has postings; a reference enters the latter. */
static void settle(struct overlap *overlap, size_t number) {
  struct reading *reading = &overlap->readings[number];
  uint32_t *occurrence = overlap->occurrences.items + reading->first, *kept = occurrence;
  uint64_t *bits = bits_of(overlap, number);
  if (overlap->words[ORDERS] > 0)
    memset(bits, 0, overlap->words[ORDERS] * sizeof *bits);
  for (size_t order = 0; order < ORDERS; order++)
    for (size_t left = ngrams_of(reading->length, order); left > 0; left--) {
      const uint32_t node = *occurrence++;
      struct item *item = &overlap->items[node];
      if (node == 0)
        continue;
      if (item->frequency == overlap->references) {
        reading->everywhere[order]++;
      } else if (is_dense(overlap, item)) {
        bits[item->place / 64] |= UINT64_C(1) << item->place % 64;
      } else {
        *kept++ = node;
        reading->listed[order]++;
        if (number < overlap->references)
          overlap->postings.items[item->place++] = (uint32_t)number;
      }
    }
}

static void set_totals(struct overlap *overlap) {
  for (size_t order = 0; order < ORDERS; order++)
    for (size_t i = 0; i < overlap->references; i++) {
      const size_t count = ngrams_of(overlap->readings[i].length, order);
      overlap->totals[order * overlap->references + i] = count > 0 ? (double)count : 1;
    }
}

static int set_references(struct overlap *overlap, const qe_text *references, size_t count) {
  if (count > SIZE_MAX / 64 || !symbols_reserve(&overlap->matches, count * ORDERS) ||
      !memory_reserve((void **)&overlap->readings, &overlap->reading_room, count + 1, sizeof *overlap->readings) ||
      !memory_reserve((void **)&overlap->totals, &overlap->total_room, count * ORDERS, sizeof *overlap->totals) ||
      !memory_reserve((void **)&overlap->shares, &overlap->share_room, count * 2, sizeof *overlap->shares) ||
      !reserve_items(overlap, 0))
    return QE_MEMORY;
  overlap->items[0] = (struct item){ 0 };
  for (size_t i = 0; i < count; i++) {
    size_t added;
    if (read_text(overlap, references[i], true, &overlap->readings[i], &added) != QE_OK)
      return QE_MEMORY;
    overlap->occurrences.count += added;
  }
  overlap->references = count;
  return place_items(overlap);
}

static int overlap_prepare(void *state, const qe_text *references, size_t count) {
  struct overlap *overlap = state;
  trie_cut(&overlap->trie, 0);
  overlap->known = 0;
  overlap->references = overlap->occurrences.count = 0;
  if (set_references(overlap, references, count) != QE_OK) {
    overlap->references = 0;
    return QE_MEMORY;
  }
  for (size_t i = 0; i < count; i++)
    settle(overlap, i);
  set_totals(overlap);
  return QE_OK;
}

/* ---- hypotheses ---- */

static int overlap_read(void *state, qe_text hypothesis) {
  struct overlap *overlap = state;
  size_t added;
  overlap->current = overlap->references;
  if (read_text(overlap, hypothesis, false, &overlap->readings[overlap->current], &added) != QE_OK)
    return QE_MEMORY;
  settle(overlap, overlap->current);
  return QE_OK;
}

static void overlap_take(void *state, size_t reference) {
  ((struct overlap *)state)->current = reference;
}

static double overlap_alone(const void *state) {
  const struct overlap *overlap = state;
  return overlap->readings[overlap->current].length > 0;
}

/* matches = base + bits that both have, of `rows` references whose bits are `stride` words apart */
VECTOR_CLONES
static void count_bits(const uint64_t *own, const uint64_t *other, size_t words, size_t stride, size_t rows,
                       uint32_t base, uint32_t *matches) {
  for (size_t row = 0; row < rows; row++, other += stride) {
    uint64_t sum = base;
    for (size_t i = 0; i < words; i++)
      sum += (uint64_t)__builtin_popcountll(own[i] & other[i]);
    matches[row] = (uint32_t)sum;
  }
}

static void count_postings(struct overlap *overlap, const struct reading *reading, size_t first) {
  const uint32_t *node = overlap->occurrences.items + reading->first;
  for (size_t order = 0; order < ORDERS; order++) {
    uint32_t *matches = overlap->matches.items + order * overlap->references;
    for (uint32_t left = reading->listed[order]; left > 0; left--) {
      const struct item *item = &overlap->items[*node++];
      const uint32_t *posting = overlap->postings.items + item->place, *begin = posting - item->frequency;
      while (posting > begin && *--posting >= first)
        matches[*posting]++;
    }
  }
}

VECTOR_CLONES
static void add_shares(const uint32_t *restrict matches, double hypothesis, const double *restrict references,
                       size_t count, double *restrict precision, double *restrict recall) {
  for (size_t i = 0; i < count; i++) {
    precision[i] += (double)matches[i] / hypothesis;
    recall[i] += (double)matches[i] / references[i];
  }
}

static double f2(double precision, double recall) {
  return precision + recall > 0 ? 5 * precision * recall / (4 * precision + recall) : 0;
}

static void score(const struct overlap *overlap, size_t length, size_t first, double *utilities, double *reverse) {
  const double *precision = overlap->shares, *recall = overlap->shares + overlap->references;
  for (size_t i = first; i < overlap->references; i++) {
    size_t orders = overlap->readings[i].length < length ? overlap->readings[i].length : length;
    orders = orders > ORDERS ? ORDERS : orders > 0 ? orders : 1;
    const double p = precision[i] / (double)orders, r = recall[i] / (double)orders;
    utilities[i] = f2(p, r);
    if (reverse)
      reverse[i] = f2(r, p);
  }
}

static void overlap_row(void *state, size_t first, double *utilities, double *reverse) {
  struct overlap *overlap = state;
  const struct reading *reading = &overlap->readings[overlap->current];
  const size_t references = overlap->references, count = references - first, *words = overlap->words;
  double *precision = overlap->shares, *recall = precision + references;
  for (size_t order = 0; order < ORDERS; order++)
    count_bits(bits_of(overlap, overlap->current) + words[order], bits_of(overlap, first) + words[order],
               words[order + 1] - words[order], words[ORDERS], count, reading->everywhere[order],
               overlap->matches.items + order * references + first);
  count_postings(overlap, reading, first);
  memset(precision, 0, 2 * references * sizeof *precision);
  for (size_t order = 0; order < ORDERS && order < reading->length; order++) {
    const size_t at = order * references + first;
    add_shares(overlap->matches.items + at, (double)(reading->length - order), overlap->totals + at, count,
               precision + first, recall + first);
  }
  score(overlap, reading->length, first, utilities, reverse);
}

const struct utility utility_chrf = {
  overlap_create, overlap_destroy, overlap_prepare, overlap_read, overlap_take, overlap_row, overlap_alone,
};
