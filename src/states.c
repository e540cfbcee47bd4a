/*
** states.c - a teacher's hidden states of one layer, kept so that students learn from them without the teacher (Liu et
** al. 2021, Marginal Utility Diminishes; methods.md M6): of every text the most important tokens, of these the cells
** furthest from zero, as half-precision numbers. The store is one run of bytes, in memory as in a file:
**   "QESTATES" | u32 width | u32 texts | per text: u32 tokens, u32 pairs, then pairs of u16 gap and f16 value
** with cells counted token by token, gaps counted from the cell after the last one, and 65535 for a gap of as many
** cells without a value. A text of which every cell is kept has 2^32 - 1 for the pairs and bare values instead.
** Invariant: every gap leads to a cell of the text and every value is finite; little-endian throughout.
*/
#include "bytes.h"
#include "core.h"

#include <math.h>
#include <stdlib.h>

enum { HEADER = 16, TEXT_HEADER = 8, PAIR = 4, HALF = 2, SKIP = 65535 };
static const uint32_t DENSE = UINT32_MAX;
static const char magic[] = "QESTATES";

struct qe_states {
  struct error error;
  size_t width, count;
  unsigned char *bytes;
  size_t size, room;
  size_t *offset; /* of every text's first byte */
  size_t offset_room;
};

/* ---- numbers as bytes ---- */

/* No number of a store is wider than 32 bits. */
static uint32_t load(const unsigned char *bytes, size_t size) {
  return (uint32_t)bytes_load(bytes, size);
}

/* To the nearest, ties to even; what is too large becomes the largest. Scaled so that a half's last place is 1. */
static uint16_t half_of(double value) {
  static const double largest = 65504;
  const double size = fmin(fabs(value), largest);
  const uint16_t sign = signbit(value) ? 0x8000 : 0;
  int exponent;
  frexp(size, &exponent);
  if (size == 0 || exponent < -13) /* subnormal: units of 2^-24 */
    exponent = -13;
  const uint32_t units = (uint32_t)nearbyint(ldexp(size, 11 - exponent)); /* 0 .. 2048 */
  const uint32_t bits = (uint32_t)(exponent + 13) * 1024 + units;         /* a carry moves the exponent */
  return (uint16_t)(sign | (bits > 0x7bff ? 0x7bff : bits));
}

static double half_value(uint32_t half) {
  const uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
  const double size =
      exponent == 0 ? ldexp((double)fraction, -24) : ldexp((double)(1024 + fraction), (int)exponent - 25);
  return half & 0x8000 ? -size : size;
}

static bool half_finite(uint32_t half) {
  return (half & 0x7c00) != 0x7c00;
}

/* ---- the object ---- */

static bool states_header(qe_states *states) {
  if (!memory_reserve((void **)&states->bytes, &states->room, HEADER, 1))
    return false;
  memcpy(states->bytes, magic, 8);
  bytes_store(states->bytes + 8, (uint32_t)states->width, 4);
  bytes_store(states->bytes + 12, (uint32_t)states->count, 4);
  states->size = states->size < HEADER ? HEADER : states->size;
  return true;
}

qe_states *qe_states_new(size_t width) {
  qe_states *states = width > 0 && width <= UINT16_MAX ? memory_new(1, sizeof *states) : NULL;
  if (!states)
    return NULL;
  states->width = width;
  if (states_header(states))
    return states;
  memory_free(states);
  return NULL;
}

void qe_states_free(qe_states *states) {
  if (!states)
    return;
  memory_free(states->bytes);
  memory_free(states->offset);
  memory_free(states);
}

const char *qe_states_error(const qe_states *states) {
  return states->error.text;
}

size_t qe_states_count(const qe_states *states) {
  return states->count;
}

size_t qe_states_width(const qe_states *states) {
  return states->width;
}

qe_text qe_states_bytes(const qe_states *states) {
  return (qe_text){ (const char *)states->bytes, states->size };
}

/* ---- choosing cells ---- */

struct cell {
  double key; /* the larger the better */
  uint32_t index;
};

static int by_key(const void *a, const void *b) {
  const struct cell *x = a, *y = b;
  if (x->key != y->key)
    return x->key < y->key ? 1 : -1;
  return (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b) {
  const struct cell *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

/* The `keep` best of `count` cells first, in the order of their indices. */
static void cells_choose(struct cell *cells, size_t count, size_t keep) {
  if (keep < count)
    qsort(cells, count, sizeof *cells, by_key);
  qsort(cells, keep, sizeof *cells, by_index);
}

static size_t share_of(double share, size_t count) {
  const double wanted = ceil(share * (double)count - 1e-9);
  return wanted < 0 ? 0 : wanted < (double)count ? (size_t)wanted : count;
}

/* Fills `cells` with the kept ones of one text; returns how many. `cells` has room for all of them and the tokens. */
static size_t text_choose(struct cell *cells, const qe_real *x, const qe_real *importance, size_t tokens,
                          size_t width, const qe_states_options *options) {
  const size_t kept = options->tokens > 0 && options->tokens < tokens ? options->tokens : tokens;
  struct cell *token = cells + tokens * width;
  size_t count = 0;
  for (size_t t = 0; t < tokens; t++)
    token[t] = (struct cell){ importance ? (double)importance[t] : -(double)t, (uint32_t)t };
  cells_choose(token, tokens, kept);
  for (size_t k = 0; k < kept; k++)
    for (size_t j = 0; j < width; j++, count++) {
      const uint32_t index = token[k].index * (uint32_t)width + (uint32_t)j;
      cells[count] = (struct cell){ options->rng ? qe_rng_uniform(options->rng) : fabs((double)x[index]), index };
    }
  const size_t keep = share_of(options->share, count);
  cells_choose(cells, count, keep);
  return keep;
}

/* ---- adding ---- */

static unsigned char *pair_write(unsigned char *out, uint32_t gap, double value) {
  for (; gap >= SKIP; gap -= SKIP, out += PAIR)
    bytes_store(out, SKIP, PAIR); /* value 0 */
  bytes_store(out, gap, 2);
  bytes_store(out + 2, half_of(value), 2);
  return out + PAIR;
}

static void text_write(qe_states *states, const struct cell *cells, size_t kept, const qe_real *x, size_t tokens) {
  unsigned char *start = states->bytes + states->size, *out = start + TEXT_HEADER;
  const bool dense = kept == tokens * states->width;
  uint32_t next = 0;
  for (size_t i = 0; i < kept; i++) {
    const uint32_t index = cells[i].index;
    if (dense) {
      bytes_store(out, half_of((double)x[index]), HALF);
      out += HALF;
    } else
      out = pair_write(out, index - next, (double)x[index]);
    next = index + 1;
  }
  bytes_store(start, (uint32_t)tokens, 4);
  bytes_store(start + 4, dense ? DENSE : (uint32_t)((size_t)(out - start - TEXT_HEADER) / PAIR), 4);
  states->offset[states->count++] = states->size;
  states->size += (size_t)(out - start);
  bytes_store(states->bytes + 12, (uint32_t)states->count, 4);
}

static int text_add(qe_states *states, const qe_real *x, const qe_real *importance, size_t tokens,
                    const qe_states_options *options) {
  size_t cells, most;
  if (__builtin_mul_overflow(tokens, states->width, &cells) || cells >= UINT32_MAX || states->count >= UINT32_MAX)
    return error_set(&states->error, QE_USE, "states: a text of %zu tokens, %zu wide, is too large", tokens,
                     states->width);
  struct cell *work = memory_new(cells + tokens + 1, sizeof *work);
  most = states->size + TEXT_HEADER + (cells + cells / SKIP + 1) * PAIR;
  if (!work || !memory_reserve((void **)&states->bytes, &states->room, most, 1) ||
      !memory_reserve((void **)&states->offset, &states->offset_room, states->count + 1, sizeof *states->offset)) {
    memory_free(work);
    return error_memory(&states->error);
  }
  text_write(states, work, text_choose(work, x, importance, tokens, states->width, options), x, tokens);
  memory_free(work);
  return QE_OK;
}

static bool all_finite(const qe_real *x, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < count; i++)
    finite &= isfinite(x[i]) != 0;
  return finite;
}

static int addition_check(qe_states *states, const struct node *x, const struct node *importance,
                          qe_segments segments, const qe_states_options *options) {
  if (!x || !segments_fit(x->tape, "states", segments, x->rows))
    return error_set(&states->error, QE_USE, "%s", x ? qe_tape_error(x->tape) : "states: no tensor");
  if (x->cols != states->width)
    return error_set(&states->error, QE_USE, "states: %zu columns, expected %zu", x->cols, states->width);
  if (importance && (importance->rows != x->rows || importance->cols != 1))
    return error_set(&states->error, QE_USE, "states: importance is %zu x %zu, expected %zu x 1", importance->rows,
                     importance->cols, x->rows);
  if (!(options->share >= 0 && options->share <= 1))
    return error_set(&states->error, QE_USE, "states: a share of %g, expected 0 to 1", options->share);
  if (!all_finite(x->x, x->rows * x->cols))
    return error_set(&states->error, QE_USE, "states: a value is not finite");
  return QE_OK;
}

int qe_states_add(qe_states *states, qe_tensor x, qe_tensor importance, qe_segments segments,
                  const qe_states_options *options) {
  const struct node *values = node_of(x), *weights = importance.tape ? node_of(importance) : NULL;
  error_clear(&states->error);
  if (importance.tape && !weights)
    return error_set(&states->error, QE_USE, "states: importance is stale");
  if (addition_check(states, values, weights, segments, options) != QE_OK)
    return states->error.status;
  for (uint32_t i = 0; i < segments.count; i++) {
    const size_t first = segments.offset[i];
    if (text_add(states, values->x + first * values->cols, weights ? weights->x + first : NULL,
                 segments.offset[i + 1] - first, options) != QE_OK)
      return states->error.status;
  }
  return QE_OK;
}

/* ---- reading a store ---- */

/* Bytes of the text that starts here, or 0 for a wrong one. */
static size_t text_size(const unsigned char *bytes, size_t size, size_t width) {
  size_t cells, need;
  if (size < TEXT_HEADER)
    return 0;
  const uint32_t tokens = load(bytes, 4), pairs = load(bytes + 4, 4);
  if (__builtin_mul_overflow((size_t)tokens, width, &cells) || cells >= UINT32_MAX)
    return 0;
  need = TEXT_HEADER + (pairs == DENSE ? cells * HALF : (size_t)pairs * PAIR);
  if (need > size)
    return 0;
  size_t next = 0;
  bool good = true, skipped = false;
  for (size_t i = 0; i < (pairs == DENSE ? cells : pairs); i++) {
    const unsigned char *at = bytes + TEXT_HEADER + i * (pairs == DENSE ? HALF : PAIR);
    const uint32_t gap = pairs == DENSE ? 0 : load(at, 2), half = load(pairs == DENSE ? at : at + 2, 2);
    skipped = gap == SKIP;
    next += gap + (skipped ? 0 : 1);
    good &= half_finite(half) && next <= cells && (!skipped || half == 0);
  }
  return good && !skipped ? need : 0;
}

static int texts_find(qe_states *states, size_t count) {
  size_t at = HEADER;
  for (; states->count < count; states->count++) {
    const size_t size = text_size(states->bytes + at, states->size - at, states->width);
    if (size == 0)
      return error_set(&states->error, QE_FORMAT, "states: text %zu is damaged", states->count + 1);
    if (!memory_reserve((void **)&states->offset, &states->offset_room, states->count + 1, sizeof *states->offset))
      return error_memory(&states->error);
    states->offset[states->count] = at;
    at += size;
  }
  if (at != states->size)
    return error_set(&states->error, QE_FORMAT, "states: %zu bytes after the last text", states->size - at);
  return QE_OK;
}

static int states_take(qe_states *states, qe_text bytes) {
  if (bytes.size < HEADER || memcmp(bytes.data, magic, 8) != 0)
    return error_set(&states->error, QE_FORMAT, "states: this is no store of states");
  const unsigned char *header = (const unsigned char *)bytes.data;
  states->width = load(header + 8, 4);
  if (states->width == 0 || states->width > UINT16_MAX)
    return error_set(&states->error, QE_FORMAT, "states: %zu wide, expected 1 to %d", states->width, UINT16_MAX);
  if (!memory_reserve((void **)&states->bytes, &states->room, bytes.size, 1))
    return error_memory(&states->error);
  memcpy(states->bytes, bytes.data, bytes.size);
  states->size = bytes.size;
  return texts_find(states, load(header + 12, 4));
}

int qe_states_read(qe_states *states, qe_text bytes) {
  const size_t width = states->width;
  error_clear(&states->error);
  states->count = 0;
  if (states_take(states, bytes) == QE_OK)
    return QE_OK;
  states->count = states->size = 0;
  states->width = width;
  states_header(states); /* there is room, there was a header */
  return states->error.status;
}

/* ---- as targets ---- */

static void text_fill(const qe_states *states, size_t number, qe_real *values, qe_real *mask) {
  const unsigned char *at = states->bytes + states->offset[number] + TEXT_HEADER;
  const size_t cells = (size_t)load(at - TEXT_HEADER, 4) * states->width;
  const uint32_t pairs = load(at - 4, 4);
  memset(values, 0, cells * sizeof *values);
  memset(mask, 0, cells * sizeof *mask);
  for (size_t i = 0; pairs == DENSE && i < cells; i++) {
    values[i] = (qe_real)half_value(load(at + i * HALF, HALF));
    mask[i] = 1;
  }
  size_t next = 0;
  for (size_t i = 0; pairs != DENSE && i < pairs; i++) {
    const uint32_t gap = load(at + i * PAIR, 2);
    next += gap;
    if (gap == SKIP)
      continue;
    values[next] = (qe_real)half_value(load(at + i * PAIR + 2, 2));
    mask[next++] = 1;
  }
}

/* The number of the first row that does not fit, or `count`. */
static size_t first_misfit(const qe_states *states, const uint32_t *rows, qe_segments segments) {
  size_t i = 0;
  while (i < segments.count && rows[i] < states->count &&
         load(states->bytes + states->offset[rows[i]], 4) == segments.offset[i + 1] - segments.offset[i])
    i++;
  return i;
}

qe_tensor qe_states_target(qe_tape *tape, const qe_states *states, const uint32_t *rows, qe_segments segments,
                           qe_tensor *mask) {
  *mask = QE_NONE;
  const size_t tokens = segments.offset ? segments.offset[segments.count] : 0;
  if (!segments_fit(tape, "states", segments, tokens))
    return QE_NONE;
  const size_t misfit = first_misfit(states, rows, segments);
  if (misfit < segments.count)
    return tape_fail(tape, QE_USE, "states: text %lu of %zu in the store does not have the %lu tokens of the batch",
                     (unsigned long)rows[misfit] + 1, states->count,
                     (unsigned long)(segments.offset[misfit + 1] - segments.offset[misfit]));
  qe_real *values = tape_alloc(tape, tokens * states->width, sizeof *values);
  qe_real *known = values ? tape_alloc(tape, tokens * states->width, sizeof *known) : NULL;
  for (size_t i = 0; known && i < segments.count; i++)
    text_fill(states, rows[i], values + segments.offset[i] * states->width,
              known + segments.offset[i] * states->width);
  if (!known)
    return QE_NONE;
  *mask = qe_constant(tape, tokens, states->width, known);
  return qe_constant(tape, tokens, states->width, values);
}
