/*
** match.c - alignment of two texts by their vectors: every row's best inner product with the rows of the other text.
** Each segment of a has its partner segment in b; a row whose partner segment is empty matches nothing and gets 0. Kept
** for backward: which row was the best, the first of equals. No scaling to unit norm here (qe_unit).
*/
#include "core.h"

#include <math.h>

struct match {
  const uint32_t *a, *b; /* offsets */
  size_t segments;
  uint32_t *best; /* row of b; MATCHLESS */
};
enum { MATCHLESS = 0xffffffffu };

static void add_scaled(qe_real *restrict y, const qe_real *restrict x, qe_real scale, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += scale * x[i];
}

static void match_backward(struct node *node) {
  const struct match *match = node->extra;
  const struct node *a = node->input[0], *b = node->input[1];
  qe_real *a_g = node_gradient(node->input[0]), *b_g = node_gradient(node->input[1]);
  for (size_t i = 0; i < node->rows; i++) {
    const size_t best = match->best[i];
    if (best == MATCHLESS)
      continue;
    if (a_g)
      add_scaled(a_g + i * a->cols, b->x + best * b->cols, node->g[i], a->cols);
    if (b_g)
      add_scaled(b_g + best * b->cols, a->x + i * a->cols, node->g[i], a->cols);
  }
}

static const struct operation match_operation = { "best_match", match_backward };

/* Products of a segment -> the best of every row; one that is not a number wins, so that it shows. */
static void choose(struct node *node, struct match *match, const qe_real *products, size_t segment) {
  const size_t first = match->b[segment], count = match->b[segment + 1] - first;
  for (size_t i = match->a[segment]; i < match->a[segment + 1]; i++, products += count) {
    size_t best = 0;
    for (size_t j = 1; j < count; j++)
      if (products[j] > products[best] || (isnan(products[j]) && !isnan(products[best])))
        best = j;
    match->best[i] = (uint32_t)(first + best);
    node->x[i] = products[best];
  }
}

static void match_forward(struct node *node, struct match *match, qe_real *products) {
  const struct node *a = node->input[0], *b = node->input[1];
  for (size_t s = 0; s < match->segments; s++) {
    const size_t rows = match->a[s + 1] - match->a[s], columns = match->b[s + 1] - match->b[s];
    if (columns > 0 && rows > 0) {
      blas_gemm(QE_NT, rows, columns, a->cols, 1, a->x + match->a[s] * a->cols, a->cols,
                b->x + match->b[s] * b->cols, b->cols, 0, products, columns);
      choose(node, match, products, s);
    }
    for (size_t i = match->a[s]; columns == 0 && i < match->a[s + 1]; i++) {
      match->best[i] = MATCHLESS;
      node->x[i] = 0;
    }
  }
}

static size_t largest_block(const struct match *match) {
  size_t largest = 0;
  for (size_t s = 0; s < match->segments; s++) {
    const size_t cells = (size_t)(match->a[s + 1] - match->a[s]) * (match->b[s + 1] - match->b[s]);
    largest = cells > largest ? cells : largest;
  }
  return largest;
}

static bool match_fits(qe_tape *tape, struct node *const inputs[2], qe_segments a, qe_segments b) {
  if (inputs[0]->cols != inputs[1]->cols || inputs[0]->cols == 0)
    tape_fail(tape, QE_USE, "best_match: %zu and %zu columns", inputs[0]->cols, inputs[1]->cols);
  else if (a.count != b.count)
    tape_fail(tape, QE_USE, "best_match: %lu segments, but %lu partners", (unsigned long)a.count,
              (unsigned long)b.count);
  return tape_error(tape)->status == QE_OK && segments_fit(tape, "best_match", a, inputs[0]->rows) &&
         segments_fit(tape, "best_match partner", b, inputs[1]->rows);
}

qe_tensor qe_best_match(qe_tensor a, qe_tensor b, qe_segments a_segments, qe_segments b_segments) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs) || !match_fits(inputs[0]->tape, inputs, a_segments, b_segments))
    return QE_NONE;
  qe_tape *tape = inputs[0]->tape;
  struct node *node = node_new(tape, &match_operation, inputs[0]->rows, 1, inputs, 2);
  struct match *match = node ? tape_alloc(tape, 1, sizeof *match) : NULL;
  if (!match)
    return QE_NONE;
  *match = (struct match){ offsets_keep(tape, a_segments.offset, a_segments.count),
                           offsets_keep(tape, b_segments.offset, b_segments.count), a_segments.count,
                           tape_alloc(tape, inputs[0]->rows, sizeof *match->best) };
  qe_real *products =
      match->a && match->b && match->best ? tape_alloc(tape, largest_block(match), sizeof *products) : NULL;
  if (!products)
    return QE_NONE;
  node->extra = match;
  match_forward(node, match, products);
  return node_handle(node);
}
