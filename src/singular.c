/*
** singular.c - how much one layer passes on to the next: the largest singular value of the transmitting matrix
** a^T b / T of every segment (Shang et al. 2021, Lipschitz Continuity Guided Knowledge Distillation; methods.md M11),
** where the rows of a and b are the T states of one sentence in two layers. The matrix itself is never made: power
** iteration multiplies by a, b and their transposes. The gradient is that of the converged value, d sigma = u v^T, not
** of the iteration; both vectors are kept, by segment. The start is fixed, so that the same rows give the same value.
*/
#include "core.h"

#include <math.h>

struct singular {
  size_t count;
  uint32_t *offset;
  qe_real *left, *right; /* unit vectors u, v of every segment; zero where the value is */
};

/* One segment: its rows in both matrices. */
struct transmission {
  const qe_real *a, *b;
  size_t rows, a_cols, b_cols;
};

static struct transmission transmission_of(const struct node *node, size_t i) {
  const struct singular *singular = node->extra;
  const struct node *a = node->input[0], *b = node->input[1];
  const size_t first = singular->offset[i];
  return (struct transmission){ a->x + first * a->cols, b->x + first * b->cols, singular->offset[i + 1] - first,
                                a->cols, b->cols };
}

static double dot(const qe_real *x, const qe_real *y, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += (double)x[i] * (double)y[i];
  return sum;
}

/* to = x^T (y from) / rows, scaled to norm 1; returns the norm before. */
static double pass(const qe_real *x, size_t x_cols, const qe_real *y, size_t y_cols, size_t rows,
                   const qe_real *from, qe_real *to) {
  memset(to, 0, x_cols * sizeof *to);
  for (size_t t = 0; t < rows; t++) {
    const qe_real weight = (qe_real)(dot(y + t * y_cols, from, y_cols) / (double)rows);
    for (size_t j = 0; j < x_cols; j++)
      to[j] += weight * x[t * x_cols + j];
  }
  const double norm = sqrt(dot(to, to, x_cols));
  for (size_t j = 0; j < x_cols; j++)
    to[j] = norm > 0 ? (qe_real)((double)to[j] / norm) : 0;
  return norm;
}

/* Irregular, so that hardly any matrix has its first singular vector at right angles to it. */
static void start(qe_real *v, size_t count) {
  static const double golden = 0.6180339887498949;
  for (size_t j = 0; j < count; j++)
    v[j] = (qe_real)(0.5 + fmod((double)(j + 1) * golden, 1));
}

static double largest(const struct transmission *m, size_t iterations, qe_real *u, qe_real *v) {
  double value = 0;
  start(v, m->b_cols);
  for (size_t i = 0; i < iterations; i++) {
    pass(m->a, m->a_cols, m->b, m->b_cols, m->rows, v, u);
    value = pass(m->b, m->b_cols, m->a, m->a_cols, m->rows, u, v);
  }
  return value;
}

/* Row t of the one layer gets scale (row t of the other . its vector) times its own vector. */
static void spread_back(qe_real *g, const qe_real *own, size_t cols, const qe_real *other, const qe_real *vector,
                        size_t other_cols, size_t rows, double scale) {
  for (size_t t = 0; t < rows; t++) {
    const qe_real weight = (qe_real)(scale * dot(other + t * other_cols, vector, other_cols));
    for (size_t j = 0; j < cols; j++)
      g[t * cols + j] += weight * own[j];
  }
}

static void singular_backward(struct node *node) {
  const struct singular *singular = node->extra;
  qe_real *a_g = node_gradient(node->input[0]), *b_g = node_gradient(node->input[1]);
  for (size_t i = 0; i < singular->count; i++) {
    const struct transmission m = transmission_of(node, i);
    const qe_real *u = singular->left + i * m.a_cols, *v = singular->right + i * m.b_cols;
    const double scale = m.rows > 0 ? (double)node->g[i] / (double)m.rows : 0;
    if (a_g)
      spread_back(a_g + singular->offset[i] * m.a_cols, u, m.a_cols, m.b, v, m.b_cols, m.rows, scale);
    if (b_g)
      spread_back(b_g + singular->offset[i] * m.b_cols, v, m.b_cols, m.a, u, m.a_cols, m.rows, scale);
  }
}

static const struct operation singular_operation = { "top_singular", singular_backward };

static struct singular *singular_new(qe_tape *tape, qe_segments segments, size_t a_cols, size_t b_cols) {
  const size_t offsets = (size_t)segments.count + 1;
  struct singular *singular = tape_alloc(tape, 1, sizeof *singular);
  if (!singular)
    return NULL;
  *singular = (struct singular){ segments.count, tape_alloc(tape, offsets, sizeof *singular->offset),
                                 tape_alloc(tape, segments.count * a_cols, sizeof *singular->left),
                                 tape_alloc(tape, segments.count * b_cols, sizeof *singular->right) };
  if (!singular->offset || !singular->left || !singular->right)
    return NULL;
  memcpy(singular->offset, segments.offset, offsets * sizeof *singular->offset);
  return singular;
}

qe_tensor qe_top_singular(qe_tensor a, qe_tensor b, qe_segments segments, size_t iterations) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs) || !segments_fit(a.tape, "top_singular", segments, inputs[0]->rows))
    return QE_NONE;
  if (inputs[0]->rows != inputs[1]->rows)
    return tape_fail(a.tape, QE_USE, "top_singular: %zu and %zu rows, expected two layers of the same tokens",
                     inputs[0]->rows, inputs[1]->rows);
  if (iterations == 0)
    return tape_fail(a.tape, QE_USE, "top_singular: 0 iterations, expected at least 1");
  struct node *node = node_new(a.tape, &singular_operation, segments.count, 1, inputs, 2);
  struct singular *singular = node ? singular_new(a.tape, segments, inputs[0]->cols, inputs[1]->cols) : NULL;
  if (!singular)
    return QE_NONE;
  node->extra = singular;
  for (size_t i = 0; i < singular->count; i++) {
    const struct transmission m = transmission_of(node, i);
    node->x[i] = (qe_real)largest(&m, iterations, singular->left + i * m.a_cols, singular->right + i * m.b_cols);
  }
  return node_handle(node);
}
