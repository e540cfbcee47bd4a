/*
** sequence.c - operations on packed rows: pooling over segments, softmax within them, one row spread over a segment,
** windows of neighbours side by side. Each keeps a copy of the offsets, since the caller's may be gone at backward.
** Invariant of the copy: it rises from 0 to the number of packed rows. Nothing here looks across segments, and every
** sum goes over the rows in their order. Recurrence and attention live elsewhere.
*/
#include "core.h"
#include "clones.h"
#include "transcendental.h"

struct sequence {
  size_t count;
  uint32_t *offset;
  qe_pooling pooling;
  uint32_t *best;        /* pooling by maximum: the row that gave each cell */
  size_t before, window; /* rows before, rows in all */
};

bool segments_rise(qe_tape *tape, const char *name, qe_segments segments) {
  bool rising = segments.offset != NULL && segments.offset[0] == 0;
  for (uint32_t i = 0; rising && i < segments.count; i++)
    rising = segments.offset[i] <= segments.offset[i + 1];
  if (!rising)
    tape_fail(tape, QE_USE, "%s: segment offsets are %s", name,
              segments.offset ? "not rising from 0" : "missing (NULL)");
  return rising;
}

bool segments_fit(qe_tape *tape, const char *name, qe_segments segments, size_t rows) {
  if (!segments_rise(tape, name, segments))
    return false;
  if (segments.offset[segments.count] == rows)
    return true;
  tape_fail(tape, QE_USE, "%s: segments end at row %lu of a matrix with %zu rows", name,
            (unsigned long)segments.offset[segments.count], rows);
  return false;
}

uint32_t *offsets_keep(qe_tape *tape, const uint32_t *offset, size_t count) {
  uint32_t *copy = tape_alloc(tape, count + 1, sizeof *copy);
  for (size_t i = 0; copy && i <= count; i++)
    copy[i] = offset[i] - offset[0];
  return copy;
}

static struct sequence *sequence_new(qe_tape *tape, qe_segments segments) {
  struct sequence *sequence = tape_alloc(tape, 1, sizeof *sequence);
  if (!sequence)
    return NULL;
  *sequence = (struct sequence){ .count = segments.count };
  sequence->offset = offsets_keep(tape, segments.offset, segments.count);
  return sequence->offset ? sequence : NULL;
}

/* A node of one input with its sequence in extra; NULL: recorded. */
static struct node *sequence_node(struct node *a, const struct operation *operation, size_t rows, size_t cols,
                                  qe_segments segments) {
  struct node *node = node_new(a->tape, operation, rows, cols, &a, 1);
  if (!node)
    return NULL;
  node->extra = sequence_new(a->tape, segments);
  return node->extra ? node : NULL;
}

VECTOR_CLONES
static void cells_add(qe_real *restrict y, const qe_real *restrict x, qe_real scale, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += scale * x[i];
}

/* ---- pooling ---- */

static qe_real pooling_scale(qe_pooling pooling, size_t rows) {
  return pooling == QE_POOL_MEAN ? 1 / (qe_real)rows : 1;
}

static void pool_max_backward(struct node *node, qe_real *g) {
  const struct sequence *sequence = node->extra;
  const size_t cols = node->cols;
  for (size_t i = 0; i < sequence->count; i++)
    for (size_t j = 0; j < cols && sequence->offset[i] < sequence->offset[i + 1]; j++)
      g[sequence->best[i * cols + j] * cols + j] += node->g[i * cols + j];
}

static void pool_backward(struct node *node) {
  const struct sequence *sequence = node->extra;
  qe_real *g = node_gradient(node->input[0]);
  if (!g)
    return;
  if (sequence->pooling == QE_POOL_MAX) {
    pool_max_backward(node, g);
    return;
  }
  for (size_t i = 0; i < sequence->count; i++) {
    const size_t first = sequence->offset[i], end = sequence->offset[i + 1];
    for (size_t t = first; t < end; t++)
      cells_add(g + t * node->cols, node->g + i * node->cols, pooling_scale(sequence->pooling, end - first),
                node->cols);
  }
}

static const struct operation pool_operation = { "pool_segments", pool_backward };

static void pool_sum(struct node *node, const struct sequence *sequence) {
  const size_t cols = node->cols;
  memset(node->x, 0, node->rows * cols * sizeof *node->x);
  for (size_t i = 0; i < sequence->count; i++) {
    const size_t first = sequence->offset[i], end = sequence->offset[i + 1];
    qe_real *out = node->x + i * cols;
    for (size_t t = first; t < end; t++)
      cells_add(out, node->input[0]->x + t * cols, 1, cols);
    const qe_real scale = pooling_scale(sequence->pooling, end - first);
    for (size_t j = 0; j < cols && first < end; j++)
      out[j] *= scale;
  }
}

/* The first of equals; a value that is not a number beats every number, so that it shows. */
static void pool_max(struct node *node, const struct sequence *sequence) {
  const size_t cols = node->cols;
  const qe_real *x = node->input[0]->x;
  memset(node->x, 0, node->rows * cols * sizeof *node->x);
  for (size_t i = 0; i < sequence->count; i++)
    for (size_t t = sequence->offset[i]; t < sequence->offset[i + 1]; t++)
      for (size_t j = 0; j < cols; j++) {
        const qe_real value = x[t * cols + j], most = node->x[i * cols + j];
        if (t > sequence->offset[i] && !(value > most) && !(isnan(value) && !isnan(most)))
          continue;
        node->x[i * cols + j] = value;
        sequence->best[i * cols + j] = (uint32_t)t;
      }
}

qe_tensor qe_pool_segments(qe_tensor a, qe_segments segments, qe_pooling pooling) {
  struct node *input = node_of(a);
  if (!input || !segments_fit(a.tape, "pool_segments", segments, input->rows))
    return QE_NONE;
  if (pooling != QE_POOL_SUM && pooling != QE_POOL_MEAN && pooling != QE_POOL_MAX)
    return tape_fail(a.tape, QE_USE, "pool_segments: pooling %d is none of sum, mean, max", (int)pooling);
  struct node *node = sequence_node(input, &pool_operation, segments.count, input->cols, segments);
  if (!node)
    return QE_NONE;
  struct sequence *sequence = node->extra;
  sequence->pooling = pooling;
  if (pooling != QE_POOL_MAX) {
    pool_sum(node, sequence);
    return node_handle(node);
  }
  sequence->best = tape_alloc(a.tape, node->rows * node->cols, sizeof *sequence->best);
  if (!sequence->best)
    return QE_NONE;
  pool_max(node, sequence);
  return node_handle(node);
}

/* ---- softmax ---- */

/* One row of work space per column: the sum of weight times gradient. */
static void softmax_backward(struct node *node) {
  const struct sequence *sequence = node->extra;
  const size_t cols = node->cols;
  qe_real *g = node_gradient(node->input[0]);
  qe_real *mean = tape_alloc(node->tape, cols, sizeof *mean);
  if (!g || !mean)
    return;
  for (size_t i = 0; i < sequence->count; i++) {
    const size_t first = sequence->offset[i] * cols, end = sequence->offset[i + 1] * cols;
    memset(mean, 0, cols * sizeof *mean);
    for (size_t at = first; at < end; at += cols)
      for (size_t j = 0; j < cols; j++)
        mean[j] += node->x[at + j] * node->g[at + j];
    for (size_t at = first; at < end; at += cols)
      for (size_t j = 0; j < cols; j++)
        g[at + j] += node->x[at + j] * (node->g[at + j] - mean[j]);
  }
}

static const struct operation softmax_operation = { "segment_softmax", softmax_backward };

/* `rows` >= 1 rows; `most` and `sum` are work space of one row. */
VECTOR_CLONES
static void softmax_columns(qe_real *restrict y, const qe_real *restrict x, size_t rows, size_t cols,
                            qe_real *restrict most, qe_real *restrict sum) {
  for (size_t j = 0; j < cols; j++) {
    most[j] = x[j];
    sum[j] = 0;
  }
  for (size_t i = 1; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      most[j] = x[i * cols + j] > most[j] ? x[i * cols + j] : most[j];
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++) {
      y[i * cols + j] = real_exp(x[i * cols + j] - most[j]);
      sum[j] += y[i * cols + j];
    }
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      y[i * cols + j] /= sum[j];
}

qe_tensor qe_segment_softmax(qe_tensor a, qe_segments segments) {
  struct node *input = node_of(a);
  if (!input || !segments_fit(a.tape, "segment_softmax", segments, input->rows))
    return QE_NONE;
  const size_t cols = input->cols;
  struct node *node = sequence_node(input, &softmax_operation, input->rows, cols, segments);
  qe_real *most = node ? tape_alloc(a.tape, cols, sizeof *most) : NULL;
  qe_real *sum = most ? tape_alloc(a.tape, cols, sizeof *sum) : NULL;
  if (!sum)
    return QE_NONE;
  for (size_t i = 0; i < segments.count; i++) {
    const size_t first = segments.offset[i], rows = segments.offset[i + 1] - first;
    if (rows > 0)
      softmax_columns(node->x + first * cols, input->x + first * cols, rows, cols, most, sum);
  }
  return node_handle(node);
}

/* ---- spread ---- */

static void spread_backward(struct node *node) {
  const struct sequence *sequence = node->extra;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < sequence->count; i++)
    for (size_t t = sequence->offset[i]; t < sequence->offset[i + 1]; t++)
      cells_add(g + i * node->cols, node->g + t * node->cols, 1, node->cols);
}

static const struct operation spread_operation = { "spread", spread_backward };

qe_tensor qe_spread(qe_tensor a, qe_segments segments) {
  struct node *input = node_of(a);
  if (!input || !segments_rise(a.tape, "spread", segments))
    return QE_NONE;
  if (input->rows != segments.count)
    return tape_fail(a.tape, QE_USE, "spread: %zu rows for %lu segments", input->rows,
                     (unsigned long)segments.count);
  const size_t cols = input->cols, rows = segments.offset[segments.count];
  struct node *node = sequence_node(input, &spread_operation, rows, cols, segments);
  for (size_t i = 0; node && i < segments.count; i++)
    for (size_t t = segments.offset[i]; t < segments.offset[i + 1]; t++)
      memcpy(node->x + t * cols, input->x + i * cols, cols * sizeof *node->x);
  return node_handle(node);
}

/* ---- window ---- */

/* The part of row t's window that lies in its segment: places from .. end - 1, the first showing row `row`. */
struct view {
  size_t from, end, row;
};

static struct view view_of(const struct sequence *sequence, size_t segment, size_t t) {
  const size_t first = sequence->offset[segment], after = sequence->offset[segment + 1] - t; /* t included */
  const size_t back = t - first < sequence->before ? t - first : sequence->before;
  const size_t from = sequence->before - back, ahead = sequence->window - sequence->before;
  return (struct view){ from, sequence->before + (after < ahead ? after : ahead), t - back };
}

static void window_backward(struct node *node) {
  const struct sequence *sequence = node->extra;
  const size_t cols = node->input[0]->cols;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < sequence->count; i++)
    for (size_t t = sequence->offset[i]; t < sequence->offset[i + 1]; t++) {
      const struct view view = view_of(sequence, i, t);
      cells_add(g + view.row * cols, node->g + t * node->cols + view.from * cols, 1, (view.end - view.from) * cols);
    }
}

static const struct operation window_operation = { "window", window_backward };

/* The rows of a view are neighbours in the matrix too, so that one copy moves them all. */
static void window_forward(struct node *node, const struct sequence *sequence) {
  const size_t cols = node->input[0]->cols;
  memset(node->x, 0, node->rows * node->cols * sizeof *node->x);
  for (size_t i = 0; i < sequence->count; i++)
    for (size_t t = sequence->offset[i]; t < sequence->offset[i + 1]; t++) {
      const struct view view = view_of(sequence, i, t);
      memcpy(node->x + t * node->cols + view.from * cols, node->input[0]->x + view.row * cols,
             (view.end - view.from) * cols * sizeof *node->x);
    }
}

qe_tensor qe_window(qe_tensor a, qe_segments segments, size_t before, size_t after) {
  size_t window, cols;
  struct node *input = node_of(a);
  if (!input || !segments_fit(a.tape, "window", segments, input->rows))
    return QE_NONE;
  if (__builtin_add_overflow(before, after, &window) || __builtin_add_overflow(window, (size_t)1, &window) ||
      __builtin_mul_overflow(window, input->cols, &cols))
    return tape_fail(a.tape, QE_USE, "window: %zu rows before and %zu after are too many", before, after);
  struct node *node = sequence_node(input, &window_operation, input->rows, cols, segments);
  if (!node)
    return QE_NONE;
  struct sequence *sequence = node->extra;
  sequence->before = before;
  sequence->window = window;
  window_forward(node, sequence);
  return node_handle(node);
}
