/*
** ter.c - translation edit rate: words that are inserted, deleted or replaced, and blocks of words that are shifted,
** per word of the reference; case is ignored. Statistics: edits (the fewest of all references), mean length of the
** references. Shifts are found greedily, as Tercom and sacreBLEU do, with their limits: each round tries blocks that
** match the reference somewhere else, and keeps the one after which the edit distance is smallest. The distance is
** a matrix of which only a beam around the diagonal is computed; a row depends on the words before it alone, so that
** a candidate starts from the first row that its shift changes. The search is not exhaustive, and is not meant to be.
*/
#include "reference.h"

#include <math.h>
#include <utf8proc.h>

enum { MAX_SHIFT_SIZE = 10, MAX_SHIFT_DISTANCE = 50, BEAM_WIDTH = 25, MAX_CANDIDATES = 1000 };
enum { UNREACHED = UINT32_MAX / 2 };

/* ---- words ---- */

/* As Unicode's Case_Ignorable and Cased, of which only what may stand beside a sigma matters. */
static bool is_case_ignorable(uint32_t point) {
  static const uint32_t inside_words[] = { 0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                           0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a };
  for (size_t i = 0; i < sizeof inside_words / sizeof *inside_words; i++)
    if (point == inside_words[i])
      return true;
  const utf8proc_category_t category = utf8proc_category((int32_t)point);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK;
}

static bool is_cased(uint32_t point) {
  const utf8proc_category_t category = utf8proc_category((int32_t)point);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || point == 0xaa || point == 0xba ||
         (point >= 0x2160 && point <= 0x217f) || (point >= 0x24b6 && point <= 0x24e9) ||
         (point >= 0x1f130 && point <= 0x1f149) || (point >= 0x1f150 && point <= 0x1f169) ||
         (point >= 0x1f170 && point <= 0x1f189);
}

static bool is_final_sigma(const struct symbols *points, size_t at) {
  size_t before = at, after = at + 1;
  while (before > 0 && is_case_ignorable(points->items[before - 1]))
    before--;
  if (before == 0 || !is_cased(points->items[before - 1]))
    return false;
  while (after < points->count && is_case_ignorable(points->items[after]))
    after++;
  return after == points->count || !is_cased(points->items[after]);
}

/* Unicode's full lower-casing: only the I with a dot becomes two code points. */
static int lowercase(const struct symbols *from, struct symbols *to) {
  to->count = 0;
  if (!symbols_reserve(to, 2 * from->count + 1))
    return QE_MEMORY;
  for (size_t i = 0; i < from->count; i++) {
    const uint32_t point = from->items[i];
    if (point < 0x80)
      to->items[to->count++] = point >= 'A' && point <= 'Z' ? point + 32 : point;
    else if (point == 0x3a3)
      to->items[to->count++] = is_final_sigma(from, i) ? 0x3c2 : 0x3c3;
    else
      to->items[to->count++] = (uint32_t)utf8proc_tolower((int32_t)point);
    if (point == 0x130)
      to->items[to->count++] = 0x307;
  }
  return QE_OK;
}

static int ter_read(qe_metric *metric, qe_text text, struct symbols *words) {
  if (points_decode(&metric->text[0], text) != QE_OK || lowercase(&metric->text[0], &metric->text[1]) != QE_OK)
    return QE_MEMORY;
  return words_number(&metric->spelling, &metric->text[1], true, words);
}

/* ---- edit distance ---- */

/* Cell (i, j) is what it costs to turn i words of the hypothesis into j of the reference. Of row i the columns
** low(i) .. high(i) - 1 are there, what is beside them counts as out of reach; row 0 and the last one go to the end. */
struct matrix {
  struct edits *edits;
  const uint32_t *reference;
  size_t height, width; /* words of hypothesis and reference */
  size_t beam, stride;
  double ratio;
};

static size_t row_low(const struct matrix *matrix, size_t row) {
  const size_t diagonal = (size_t)floor((double)row * matrix->ratio);
  return diagonal > matrix->beam ? diagonal - matrix->beam : 0;
}

static size_t row_high(const struct matrix *matrix, size_t row) {
  const size_t high = (size_t)floor((double)row * matrix->ratio) + matrix->beam;
  return high > matrix->width || row == 0 || row == matrix->height ? matrix->width + 1 : high;
}

static uint32_t *matrix_row(const struct matrix *matrix, size_t row) {
  return row == 0 ? matrix->edits->first.items : matrix->edits->rows.items + (row - 1) * matrix->stride;
}

static uint32_t matrix_cell(const struct matrix *matrix, size_t row, size_t column) {
  const size_t low = row_low(matrix, row);
  return column < low || column >= row_high(matrix, row) ? UNREACHED : matrix_row(matrix, row)[column - low];
}

static bool matrix_begin(struct matrix *matrix, struct edits *edits, size_t height) {
  size_t cells;
  matrix->edits = edits;
  matrix->height = height;
  matrix->ratio = height > 0 ? (double)matrix->width / (double)height : 1;
  /* Where the lengths differ much, rows would have no column in common. */
  matrix->beam = matrix->ratio / 2 > BEAM_WIDTH ? (size_t)ceil(matrix->ratio / 2 + BEAM_WIDTH) : BEAM_WIDTH;
  matrix->stride = 2 * matrix->beam + 2;
  if (__builtin_mul_overflow(height, matrix->stride, &cells) || !symbols_reserve(&edits->rows, cells) ||
      !symbols_reserve(&edits->rolling, 2 * matrix->stride) || !symbols_reserve(&edits->first, matrix->width + 1))
    return false;
  for (size_t column = 0; column <= matrix->width; column++)
    edits->first.items[column] = (uint32_t)column;
  return true;
}

/* Computes a row from the one above it; returns its smallest cell, which no later row goes below. */
static uint32_t compute_row(const struct matrix *matrix, size_t row, uint32_t word, const uint32_t *above,
                            uint32_t *cells) {
  const size_t low = row_low(matrix, row), high = row_high(matrix, row);
  const size_t above_low = row_low(matrix, row - 1), above_size = row_high(matrix, row - 1) - above_low;
  uint32_t least = UNREACHED, left = UNREACHED;
  uint32_t corner = low - 1 - above_low < above_size ? above[low - 1 - above_low] : UNREACHED; /* low 0: wraps */
  for (size_t column = low; column < high; column++) {
    const uint32_t top = column - above_low < above_size ? above[column - above_low] : UNREACHED;
    uint32_t cost = left < top ? left + 1 : top + 1;
    if (column > 0) {
      const uint32_t replaced = corner + (word != matrix->reference[column - 1]);
      cost = replaced < cost ? replaced : cost;
    }
    cost = cost < UNREACHED ? cost : UNREACHED;
    cells[column - low] = left = cost;
    corner = top;
    least = cost < least ? cost : least;
  }
  return least;
}

static uint32_t last_cell(const struct matrix *matrix, const uint32_t *cells) {
  return cells[matrix->width - row_low(matrix, matrix->height)];
}

static uint32_t matrix_fill(const struct matrix *matrix, const uint32_t *words) {
  for (size_t row = 1; row <= matrix->height; row++)
    compute_row(matrix, row, words[row - 1], matrix_row(matrix, row - 1), matrix_row(matrix, row));
  return last_cell(matrix, matrix_row(matrix, matrix->height));
}

/* The distance of words that are those of the matrix up to `same`; anything above the limit if it is above. */
static uint32_t matrix_distance(const struct matrix *matrix, const uint32_t *words, size_t same, uint32_t limit) {
  const uint32_t *above = matrix_row(matrix, same);
  for (size_t row = same + 1; row <= matrix->height; row++) {
    uint32_t *cells = matrix->edits->rolling.items + row % 2 * matrix->stride;
    if (compute_row(matrix, row, words[row - 1], above, cells) > limit)
      return UNREACHED;
    above = cells;
  }
  return last_cell(matrix, above);
}

/* ---- alignment ---- */

/* places[j]: words of the hypothesis up to and with the one that word j of the reference is aligned to; wrong words
** are those that are not kept. Of equal costs replacing comes first, then deleting, then inserting. */
static void align(const struct matrix *matrix, const uint32_t *words) {
  struct edits *edits = matrix->edits;
  size_t i = matrix->height, j = matrix->width;
  while (i > 0 || j > 0) {
    const uint32_t cost = matrix_cell(matrix, i, j);
    const bool same = i > 0 && j > 0 && words[i - 1] == matrix->reference[j - 1];
    if (i > 0 && j > 0 && matrix_cell(matrix, i - 1, j - 1) + !same == cost) {
      edits->places.items[--j] = (uint32_t)i--;
      edits->wrong_words.items[i] = edits->wrong_references.items[j] = !same;
    } else if (i > 0 && matrix_cell(matrix, i - 1, j) + 1 == cost) {
      edits->wrong_words.items[--i] = 1;
    } else {
      edits->places.items[--j] = (uint32_t)i;
      edits->wrong_references.items[j] = 1;
    }
  }
}

static bool any_wrong(const struct symbols *wrong, size_t begin, size_t length) {
  for (size_t i = begin; i < begin + length; i++)
    if (wrong->items[i] != 0)
      return true;
  return false;
}

/* ---- shifts ---- */

struct shift {
  uint32_t gain; /* 0: none found */
  size_t length, start, target;
};

struct search {
  struct matrix matrix;
  const uint32_t *words;
  uint32_t distance; /* of them */
  size_t candidates; /* tried so far, in all rounds */
  struct shift best;
};

static bool is_better(const struct shift *a, const struct shift *b) {
  if (a->gain != b->gain)
    return a->gain > b->gain;
  if (a->length != b->length)
    return a->length > b->length;
  return a->start != b->start ? a->start < b->start : a->target < b->target;
}

/* The words with the block before what was the target, or that far on where the target lies in the block. Returns
** how many words at the beginning stay. */
static size_t move_block(const uint32_t *words, size_t count, const struct shift *shift, uint32_t *moved) {
  const size_t start = shift->start, end = start + shift->length;
  size_t target = shift->target;
  if (target >= start && target <= end)
    target = target + shift->length < count ? target + shift->length : count;
  const size_t first = target < start ? target : start, last = target < start ? end : target;
  const size_t before = target < start ? 0 : last - end; /* words that change sides with the block */
  memcpy(moved, words, count * sizeof *words);
  memcpy(moved + first, words + end, before * sizeof *words);
  memcpy(moved + first + before, words + start, shift->length * sizeof *words);
  if (target < start)
    memcpy(moved + first + shift->length, words + first, (start - first) * sizeof *words);
  return first;
}

static void try_shift(struct search *search, struct shift shift) {
  uint32_t *moved = search->matrix.edits->candidate.items;
  const uint32_t wanted = search->best.gain > 0 ? search->best.gain : 1; /* no gain is no candidate */
  search->candidates++;
  const size_t same = move_block(search->words, search->matrix.height, &shift, moved);
  const uint32_t distance = matrix_distance(&search->matrix, moved, same, search->distance - wanted);
  shift.gain = distance < search->distance ? search->distance - distance : 0;
  if (shift.gain > 0 && is_better(&shift, &search->best))
    search->best = shift;
}

/* Tries to put a block of words where the equal block of the reference is aligned to: before it or behind one of its
** words. A block that is right already, here or there, is not moved. */
static void try_block(struct search *search, size_t start, size_t reference, size_t length) {
  const struct edits *edits = search->matrix.edits;
  const uint32_t *places = edits->places.items;
  if (!any_wrong(&edits->wrong_words, start, length) || !any_wrong(&edits->wrong_references, reference, length) ||
      (places[reference] > start && places[reference] <= start + length))
    return;
  uint32_t previous = reference == 0 ? 0 : places[reference - 1];
  try_shift(search, (struct shift){ 0, length, start, previous });
  for (size_t i = 0; i < length; i++) {
    const uint32_t target = places[reference + i];
    if (target != previous)
      try_shift(search, (struct shift){ 0, length, start, target });
    previous = target;
  }
}

static void try_blocks(struct search *search, size_t start, size_t reference) {
  const struct matrix *matrix = &search->matrix;
  for (size_t length = 1; length <= MAX_SHIFT_SIZE && search->candidates < MAX_CANDIDATES; length++) {
    const size_t word = start + length - 1, other = reference + length - 1;
    if (word >= matrix->height || other >= matrix->width || search->words[word] != matrix->reference[other])
      return;
    try_block(search, start, reference, length);
  }
}

/* One round: finds the best shift. */
static void search_round(struct search *search) {
  const struct matrix *matrix = &search->matrix;
  search->best.gain = 0;
  for (size_t start = 0; start < matrix->height; start++) {
    size_t reference = start > MAX_SHIFT_DISTANCE ? start - MAX_SHIFT_DISTANCE : 0;
    for (; reference < matrix->width && reference <= start + MAX_SHIFT_DISTANCE; reference++)
      try_blocks(search, start, reference);
  }
}

static bool edits_reserve(struct edits *edits, size_t words, size_t references) {
  return symbols_reserve(&edits->candidate, words + 1) && symbols_reserve(&edits->shifted, words + 1) &&
         symbols_reserve(&edits->wrong_words, words + 1) && symbols_reserve(&edits->places, references) &&
         symbols_reserve(&edits->wrong_references, references);
}

/* Edits between words, which change places, and a reference that is not empty. */
static int count_edits(struct edits *edits, uint32_t *words, size_t count, const uint32_t *reference,
                       size_t reference_count, uint32_t *total) {
  struct search search = { .matrix = { .reference = reference, .width = reference_count }, .words = words };
  uint32_t shifts = 0;
  if (!edits_reserve(edits, count, reference_count) || !matrix_begin(&search.matrix, edits, count))
    return QE_MEMORY;
  for (;; shifts++) {
    search.distance = matrix_fill(&search.matrix, words);
    if (search.distance == 0)
      break;
    align(&search.matrix, words);
    search_round(&search);
    /* When the limit is reached, what the round found is not used either. */
    if (search.candidates >= MAX_CANDIDATES || search.best.gain == 0)
      break;
    move_block(words, count, &search.best, edits->candidate.items);
    memcpy(words, edits->candidate.items, count * sizeof *words);
  }
  *total = shifts + search.distance;
  return QE_OK;
}

/* ---- metric ---- */

static int ter_prepare(qe_metric *metric, const qe_text *references) {
  struct symbols *words = &metric->edits.references;
  words->count = 0;
  trie_cut(&metric->spelling, 0);
  if (!symbols_reserve(&metric->lengths, metric->references))
    return QE_MEMORY;
  for (size_t i = 0; i < metric->references; i++) {
    if (ter_read(metric, references[i], &metric->ids) != QE_OK ||
        !symbols_reserve(words, words->count + metric->ids.count + 1))
      return QE_MEMORY;
    memcpy(words->items + words->count, metric->ids.items, metric->ids.count * sizeof *words->items);
    words->count += metric->ids.count;
    metric->lengths.items[i] = (uint32_t)metric->ids.count;
  }
  metric->known = metric->spelling.nodes;
  return QE_OK;
}

static int ter_statistics(qe_metric *metric, qe_text hypothesis, double *statistics) {
  const uint32_t *reference = metric->edits.references.items;
  struct symbols *shifted = &metric->edits.shifted;
  uint32_t fewest = UINT32_MAX;
  double length = 0;
  trie_cut(&metric->spelling, metric->known); /* words of the hypothesis before */
  if (ter_read(metric, hypothesis, &metric->ids) != QE_OK || !symbols_reserve(shifted, metric->ids.count + 1))
    return QE_MEMORY;
  for (size_t i = 0; i < metric->references; i++) {
    const size_t size = metric->lengths.items[i];
    uint32_t edits = (uint32_t)metric->ids.count; /* of an empty reference */
    memcpy(shifted->items, metric->ids.items, metric->ids.count * sizeof *shifted->items);
    if (size > 0 &&
        count_edits(&metric->edits, shifted->items, metric->ids.count, reference, size, &edits) != QE_OK)
      return QE_MEMORY;
    fewest = edits < fewest ? edits : fewest;
    length += (double)size;
    reference += size;
  }
  statistics[0] = fewest;
  statistics[1] = length / (double)metric->references;
  return QE_OK;
}

static double ter_score(const struct metric_kind *kind, const double *sums, bool sentence) {
  (void)kind;
  (void)sentence;
  if (sums[1] > 0)
    return 100 * (sums[0] / sums[1]);
  return sums[0] > 0 ? 100 : 0;
}

const struct metric_kind metric_ter = { "ter", -1, 2, 0, 0, ter_prepare, ter_statistics, ter_score };
