/*
** pairwise.c - a number for every pair of a row of one text and a row of another: inner products, and sums of rows
** weighted by a softmax of such numbers. Cells of all segments stand below one another, those of a segment by rows of a,
** then of b; a prior is one more column of as many rows, added by other operations. Segments never see each other; rows
** that have no partner get zeros.
*/
#include "core.h"

struct pairwise {
  uint32_t *a, *b; /* offsets */
  size_t segments, cells, largest;
  bool turned;     /* rows of b look at rows of a */
  qe_real *weight; /* softmax results, looking rows x seen rows of every segment; NULL for products */
};

/* One segment. */
struct area {
  size_t a, b, a_rows, b_rows, cell;
};

static struct area area_at(const struct pairwise *p, size_t segment, size_t cell) {
  return (struct area){ p->a[segment], p->b[segment], p->a[segment + 1] - p->a[segment],
                        p->b[segment + 1] - p->b[segment], cell };
}

static struct pairwise *pairwise_new(qe_tape *tape, const char *name, qe_segments a, qe_segments b, bool turned) {
  if (a.count != b.count) {
    tape_fail(tape, QE_USE, "%s: %lu segments, but %lu partners", name, (unsigned long)a.count,
              (unsigned long)b.count);
    return NULL;
  }
  struct pairwise *p = tape_alloc(tape, 1, sizeof *p);
  if (!p)
    return NULL;
  *p = (struct pairwise){ .a = offsets_keep(tape, a.offset, a.count),
                          .b = offsets_keep(tape, b.offset, b.count),
                          .segments = a.count,
                          .turned = turned };
  for (size_t s = 0; p->a && p->b && s < p->segments; s++) {
    const struct area area = area_at(p, s, 0);
    const size_t block = area.a_rows * area.b_rows; /* fits: offsets have 32 bits */
    p->largest = block > p->largest ? block : p->largest;
    if (__builtin_add_overflow(p->cells, block, &p->cells)) {
      error_memory(tape_error(tape));
      return NULL;
    }
  }
  return p->a && p->b ? p : NULL;
}

/* ---- products ---- */

static void products_backward(struct node *node) {
  const struct pairwise *p = node->extra;
  const struct node *a = node->input[0], *b = node->input[1];
  const size_t cols = a->cols;
  qe_real *a_g = node_gradient(node->input[0]), *b_g = node_gradient(node->input[1]);
  for (size_t s = 0, cell = 0; s < p->segments; s++) {
    const struct area t = area_at(p, s, cell);
    cell += t.a_rows * t.b_rows;
    if (t.a_rows == 0 || t.b_rows == 0)
      continue;
    if (a_g)
      blas_gemm(QE_NN, t.a_rows, cols, t.b_rows, 1, node->g + t.cell, t.b_rows, b->x + t.b * cols, cols, 1,
                a_g + t.a * cols, cols);
    if (b_g)
      blas_gemm(QE_TN, t.b_rows, cols, t.a_rows, 1, node->g + t.cell, t.b_rows, a->x + t.a * cols, cols, 1,
                b_g + t.b * cols, cols);
  }
}

static const struct operation products_operation = { "pairwise", products_backward };

qe_tensor qe_pairwise(qe_tensor a, qe_tensor b, qe_segments a_segments, qe_segments b_segments) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs))
    return QE_NONE;
  qe_tape *tape = inputs[0]->tape;
  const size_t cols = inputs[0]->cols;
  if (inputs[1]->cols != cols || cols == 0)
    return tape_fail(tape, QE_USE, "pairwise: %zu and %zu columns", cols, inputs[1]->cols);
  if (!segments_fit(tape, "pairwise", a_segments, inputs[0]->rows) ||
      !segments_fit(tape, "pairwise partner", b_segments, inputs[1]->rows))
    return QE_NONE;
  struct pairwise *p = pairwise_new(tape, "pairwise", a_segments, b_segments, false);
  struct node *node = p ? node_new(tape, &products_operation, p->cells, 1, inputs, 2) : NULL;
  if (!node)
    return QE_NONE;
  node->extra = p;
  for (size_t s = 0, cell = 0; s < p->segments; s++) {
    const struct area t = area_at(p, s, cell);
    cell += t.a_rows * t.b_rows;
    if (t.a_rows > 0 && t.b_rows > 0)
      blas_gemm(QE_NT, t.a_rows, t.b_rows, cols, 1, inputs[0]->x + t.a * cols, cols, inputs[1]->x + t.b * cols,
                cols, 0, node->x + t.cell, t.b_rows);
  }
  return node_handle(node);
}

/* ---- weighted sums ---- */

/* What a segment's block looks like from the side that looks. */
struct look {
  size_t from, seen, from_rows, seen_rows;
};

static struct look look_at(const struct pairwise *p, const struct area *t) {
  return p->turned ? (struct look){ t->b, t->a, t->b_rows, t->a_rows }
                   : (struct look){ t->a, t->b, t->a_rows, t->b_rows };
}

/* `to` = block of a x b cells as looking x seen ones; or adds it back. */
static void turn(const qe_real *from, qe_real *to, const struct look *look, bool turned) {
  for (size_t i = 0; i < look->from_rows; i++)
    for (size_t j = 0; j < look->seen_rows; j++)
      to[i * look->seen_rows + j] = turned ? from[j * look->from_rows + i] : from[i * look->seen_rows + j];
}

static void add_back(const qe_real *from, qe_real *to, const struct look *look, bool turned) {
  for (size_t i = 0; i < look->from_rows; i++)
    for (size_t j = 0; j < look->seen_rows; j++)
      to[turned ? j * look->from_rows + i : i * look->seen_rows + j] += from[i * look->seen_rows + j];
}

static void look_backward(struct node *node) {
  const struct pairwise *p = node->extra;
  const struct node *values = node->input[1];
  const size_t cols = node->cols;
  qe_real *cells_g = node_gradient(node->input[0]), *values_g = node_gradient(node->input[1]);
  qe_real *g = tape_alloc(node->tape, p->largest, sizeof *g);
  for (size_t s = 0, cell = 0; g && s < p->segments; s++) {
    const struct area t = area_at(p, s, cell);
    const struct look look = look_at(p, &t);
    const qe_real *weight = p->weight + t.cell, *out_g = node->g + look.from * cols;
    cell += t.a_rows * t.b_rows;
    if (t.a_rows == 0 || t.b_rows == 0)
      continue;
    if (values_g)
      blas_gemm(QE_TN, look.seen_rows, cols, look.from_rows, 1, weight, look.seen_rows, out_g, cols, 1,
                values_g + look.seen * cols, cols);
    if (!cells_g)
      continue;
    blas_gemm(QE_NT, look.from_rows, look.seen_rows, cols, 1, out_g, cols, values->x + look.seen * cols, cols, 0, g,
              look.seen_rows);
    for (size_t i = 0; i < look.from_rows; i++)
      softmax_row_backward(g + i * look.seen_rows, weight + i * look.seen_rows, look.seen_rows);
    add_back(g, cells_g + t.cell, &look, p->turned);
  }
}

static const struct operation look_operation = { "look", look_backward };

static void look_forward(struct node *node, const struct pairwise *p) {
  const struct node *cells = node->input[0], *values = node->input[1];
  const size_t cols = node->cols;
  memset(node->x, 0, node->rows * cols * sizeof *node->x);
  for (size_t s = 0, cell = 0; s < p->segments; s++) {
    const struct area t = area_at(p, s, cell);
    const struct look look = look_at(p, &t);
    qe_real *weight = p->weight + t.cell;
    cell += t.a_rows * t.b_rows;
    if (t.a_rows == 0 || t.b_rows == 0)
      continue;
    turn(cells->x + t.cell, weight, &look, p->turned);
    for (size_t i = 0; i < look.from_rows; i++)
      softmax_row(weight + i * look.seen_rows, look.seen_rows);
    blas_gemm(QE_NN, look.from_rows, cols, look.seen_rows, 1, weight, look.seen_rows, values->x + look.seen * cols,
              cols, 0, node->x + look.from * cols, cols);
  }
}

static bool look_fits(qe_tape *tape, struct node *const inputs[2], const struct pairwise *p) {
  const size_t seen = p->turned ? p->a[p->segments] : p->b[p->segments];
  if (inputs[0]->rows != p->cells || inputs[0]->cols != 1)
    tape_fail(tape, QE_USE, "look: numbers are %zu x %zu, expected %zu x 1", inputs[0]->rows, inputs[0]->cols,
              p->cells);
  else if (inputs[1]->rows != seen)
    tape_fail(tape, QE_USE, "look: %zu rows of values, but %zu are looked at", inputs[1]->rows, seen);
  return tape_error(tape)->status == QE_OK;
}

qe_tensor qe_look(qe_tensor cells, qe_tensor values, qe_segments a_segments, qe_segments b_segments, int turned) {
  struct node *inputs[2];
  if (!node_pair(cells, values, inputs))
    return QE_NONE;
  qe_tape *tape = inputs[0]->tape;
  if (!segments_rise(tape, "look", a_segments) || !segments_rise(tape, "look partner", b_segments))
    return QE_NONE;
  struct pairwise *p = pairwise_new(tape, "look", a_segments, b_segments, turned != 0);
  if (!p || !look_fits(tape, inputs, p))
    return QE_NONE;
  const size_t rows = turned ? p->b[p->segments] : p->a[p->segments];
  struct node *node = node_new(tape, &look_operation, rows, inputs[1]->cols, inputs, 2);
  p->weight = node ? tape_alloc(tape, p->cells, sizeof *p->weight) : NULL;
  if (!p->weight)
    return QE_NONE;
  node->extra = p;
  look_forward(node, p);
  return node_handle(node);
}
