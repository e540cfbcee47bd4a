/*
** elementwise.c - operations on cells: arithmetic of two matrices with broadcasting, functions of one, dropout. Each
** has its value and its slope side by side; the loops around them are written once, inlined into a function per
** operation, and compiled for several kinds of CPU. A broadcast operand has a step of 0 along rows or columns; its
** gradient is the sum over the cells that read it. The result always has the shape of one of the operands (a column
** and a row do not meet). Slopes at kinks: abs 0, relu 0, clamp 1 on its bounds.
*/
#include "rows.h"
#include "clones.h"
#include "transcendental.h"

#include <tgmath.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- add, sub, mul, div ---- */

enum arithmetic { ADD, SUB, MUL, DIV };

INLINE qe_real arithmetic_value(enum arithmetic which, qe_real x, qe_real y) {
  return which == ADD ? x + y : which == SUB ? x - y : which == MUL ? x * y : x / y;
}

/* g times the derivative by x (side 0) or by y (side 1). */
INLINE qe_real arithmetic_slope(enum arithmetic which, int side, qe_real g, qe_real x, qe_real y) {
  switch (which) {
  case ADD:
    return g;
  case SUB:
    return side == 0 ? g : -g;
  case MUL:
    return side == 0 ? g * y : g * x;
  default:
    return side == 0 ? g / y : -(g * (x / y)) / y;
  }
}

/* Both operands as seen from the result: cell (i, j) of operand s is x[s][i * down[s] + j * right[s]]. */
struct pair {
  size_t rows, cols, down[2], right[2];
};

static bool shape_covers(const struct node *whole, const struct node *part) {
  return (part->rows == whole->rows || part->rows == 1) && (part->cols == whole->cols || part->cols == 1);
}

static struct pair pair_of(const struct node *node) {
  struct pair pair = { .rows = node->rows, .cols = node->cols };
  bool flat = true; /* every operand is whole or a single cell: one long row does */
  for (int side = 0; side < 2; side++) {
    const struct node *input = node->input[side];
    pair.down[side] = input->rows == 1 ? 0 : input->cols;
    pair.right[side] = input->cols == 1 ? 0 : 1;
    if (input->rows == node->rows && input->cols == node->cols)
      pair.right[side] = 1;
    else if (input->rows != 1 || input->cols != 1)
      flat = false;
  }
  if (flat) {
    pair.cols *= pair.rows;
    pair.rows = pair.cols > 0;
  }
  return pair;
}

/* Three loops, so that the compiler sees steps of 0 and 1. */
INLINE void arithmetic_row(enum arithmetic which, qe_real *restrict out, const qe_real *x, size_t x_right,
                           const qe_real *y, size_t y_right, size_t cols) {
  if (x_right && y_right)
    for (size_t j = 0; j < cols; j++)
      out[j] = arithmetic_value(which, x[j], y[j]);
  else if (x_right)
    for (size_t j = 0; j < cols; j++)
      out[j] = arithmetic_value(which, x[j], y[0]);
  else
    for (size_t j = 0; j < cols; j++)
      out[j] = arithmetic_value(which, x[0], y[j * y_right]);
}

INLINE void arithmetic_rows(enum arithmetic which, struct node *node) {
  const struct pair pair = pair_of(node);
  for (size_t i = 0; i < pair.rows; i++)
    arithmetic_row(which, node->x + i * pair.cols, node->input[0]->x + i * pair.down[0], pair.right[0],
                   node->input[1]->x + i * pair.down[1], pair.right[1], pair.cols);
}

INLINE void slope_row(enum arithmetic which, int side, qe_real *restrict out, const qe_real *restrict g,
                      const qe_real *restrict x, size_t x_right, const qe_real *restrict y, size_t y_right,
                      size_t cols) {
  if (x_right && y_right)
    for (size_t j = 0; j < cols; j++)
      out[j] += arithmetic_slope(which, side, g[j], x[j], y[j]);
  else if (x_right)
    for (size_t j = 0; j < cols; j++)
      out[j] += arithmetic_slope(which, side, g[j], x[j], y[0]);
  else
    for (size_t j = 0; j < cols; j++)
      out[j] += arithmetic_slope(which, side, g[j], x[0], y[j * y_right]);
}

enum { STRIP = 256 };

/* The sum of a row's slopes, by way of a strip of them. */
INLINE qe_real slope_sum(enum arithmetic which, int side, const qe_real *g, const qe_real *x, size_t x_right,
                         const qe_real *y, size_t y_right, size_t cols) {
  qe_real strip[STRIP], sum = 0;
  for (size_t j = 0; j < cols; j += STRIP) {
    size_t width = cols - j < STRIP ? cols - j : STRIP;
    memset(strip, 0, width * sizeof *strip);
    slope_row(which, side, strip, g + j, x + j * x_right, x_right, y + j * y_right, y_right, width);
    sum += row_sum(strip, width);
  }
  return sum;
}

INLINE void slope_rows(enum arithmetic which, int side, const struct node *node, qe_real *out) {
  const struct pair pair = pair_of(node);
  for (size_t i = 0; i < pair.rows; i++) {
    const qe_real *g = node->g + i * pair.cols;
    const qe_real *x = node->input[0]->x + i * pair.down[0], *y = node->input[1]->x + i * pair.down[1];
    qe_real *to = out + i * pair.down[side];
    if (pair.right[side])
      slope_row(which, side, to, g, x, pair.right[0], y, pair.right[1], pair.cols);
    else
      *to += slope_sum(which, side, g, x, pair.right[0], y, pair.right[1], pair.cols);
  }
}

static struct node *arithmetic_node(const struct operation *operation, qe_tensor a, qe_tensor b) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs))
    return NULL;
  const struct node *whole = shape_covers(inputs[0], inputs[1]) ? inputs[0] : inputs[1];
  if (shape_covers(whole, inputs[0]) && shape_covers(whole, inputs[1]))
    return node_new(a.tape, operation, whole->rows, whole->cols, inputs, 2);
  tape_fail(a.tape, QE_USE, "%s: %zu x %zu and %zu x %zu do not broadcast", operation->name, inputs[0]->rows,
            inputs[0]->cols, inputs[1]->rows, inputs[1]->cols);
  return NULL;
}

#define ARITHMETIC(name, which)                                                                                    \
  VECTOR_CLONES                                                                                                    \
  static void name##_forward(struct node *node) {                                                                  \
    arithmetic_rows(which, node);                                                                                  \
  }                                                                                                                \
  VECTOR_CLONES                                                                                                    \
  static void name##_slopes(struct node *node, qe_real *g, int side) {                                             \
    if (side == 0)                                                                                                 \
      slope_rows(which, 0, node, g);                                                                               \
    else                                                                                                           \
      slope_rows(which, 1, node, g);                                                                               \
  }                                                                                                                \
  static void name##_backward(struct node *node) {                                                                 \
    for (int side = 0; side < 2; side++) {                                                                         \
      qe_real *g = node_gradient(node->input[side]);                                                               \
      if (g)                                                                                                       \
        name##_slopes(node, g, side);                                                                              \
    }                                                                                                              \
  }                                                                                                                \
  static const struct operation name##_operation = { #name, name##_backward };                                     \
  qe_tensor qe_##name(qe_tensor a, qe_tensor b) {                                                                  \
    struct node *node = arithmetic_node(&name##_operation, a, b);                                                  \
    if (node)                                                                                                      \
      name##_forward(node);                                                                                        \
    return node_handle(node);                                                                                      \
  }

ARITHMETIC(add, ADD)
ARITHMETIC(sub, SUB)
ARITHMETIC(mul, MUL)
ARITHMETIC(div, DIV)

/* ---- functions of one matrix ---- */

static struct node *function_node(const struct operation *operation, qe_tensor a) {
  struct node *input = node_of(a);
  return input ? node_new(a.tape, operation, input->rows, input->cols, &input, 1) : NULL;
}

/* The constants of an operation, kept for its backward. NULL: recorded. */
static const qe_real *constants_keep(struct node *node, double first, double second) {
  qe_real *kept = node ? tape_alloc(node->tape, 2, sizeof *kept) : NULL;
  if (!kept)
    return NULL;
  kept[0] = (qe_real)first;
  kept[1] = (qe_real)second;
  node->extra = kept;
  return kept;
}

/* Loops over a value y of x and the slope there; p and q are the constants in node->extra, 0 where there are none. */
#define FUNCTION_LOOPS(name, value, slope)                                                                         \
  VECTOR_CLONES                                                                                                    \
  static void name##_values(qe_real *restrict out, const qe_real *restrict in, size_t count, qe_real p,            \
                            qe_real q) {                                                                           \
    (void)p, (void)q;                                                                                              \
    for (size_t i = 0; i < count; i++) {                                                                           \
      const qe_real x = in[i];                                                                                     \
      out[i] = (value);                                                                                            \
    }                                                                                                              \
  }                                                                                                                \
  VECTOR_CLONES                                                                                                    \
  static void name##_slopes(qe_real *restrict in_g, const qe_real *restrict out_g, const qe_real *restrict in,     \
                            const qe_real *restrict out, size_t count, qe_real p, qe_real q) {                     \
    (void)p, (void)q;                                                                                              \
    for (size_t i = 0; i < count; i++) {                                                                           \
      const qe_real x = in[i], y = out[i];                                                                         \
      (void)x, (void)y;                                                                                            \
      in_g[i] += out_g[i] * (slope);                                                                               \
    }                                                                                                              \
  }                                                                                                                \
  static void name##_backward(struct node *node) {                                                                 \
    const struct node *input = node->input[0];                                                                     \
    const qe_real *constants = node->extra;                                                                        \
    qe_real *g = node_gradient(node->input[0]);                                                                    \
    if (g)                                                                                                         \
      name##_slopes(g, node->g, input->x, node->x, node->rows * node->cols, constants ? constants[0] : 0,          \
                    constants ? constants[1] : 0);                                                                 \
  }                                                                                                                \
  static const struct operation name##_operation = { #name, name##_backward };

#define FUNCTION(name, value, slope)                                                                               \
  FUNCTION_LOOPS(name, value, slope)                                                                               \
  qe_tensor qe_##name(qe_tensor a) {                                                                               \
    struct node *node = function_node(&name##_operation, a);                                                       \
    if (node)                                                                                                      \
      name##_values(node->x, node->input[0]->x, node->rows * node->cols, 0, 0);                                    \
    return node_handle(node);                                                                                      \
  }

static inline qe_real normal_density(qe_real x) {
  return (qe_real)0.39894228040143267794 * real_exp((qe_real)-0.5 * x * x);
}

/* NaN goes through all of them. */
/* clang-format off */
FUNCTION(sigmoid,      real_sigmoid(x),                 y * (1 - y))
FUNCTION(tanh,         real_tanh(x),                    1 - y * y)
FUNCTION(relu,         x < 0 ? 0 : x,                   x > 0 ? 1 : 0)
FUNCTION(gelu,         x * real_normal_cdf(x),          real_normal_cdf(x) + x * normal_density(x))
FUNCTION(exp,          real_exp(x),                     y)
FUNCTION(log,          log(x),                          1 / x)
FUNCTION(sqrt,         sqrt(x),                         (qe_real)0.5 / y)
FUNCTION(abs,          fabs(x),                         (qe_real)((x > 0) - (x < 0)))
FUNCTION(square,       x * x,                           2 * x)
FUNCTION_LOOPS(affine, p * x + q,                       p)
FUNCTION_LOOPS(clamp,  x < p ? p : x > q ? q : x,       x >= p && x <= q ? 1 : 0)
/* clang-format on */

qe_tensor qe_affine(qe_tensor a, double scale, double shift) {
  struct node *node = function_node(&affine_operation, a);
  const qe_real *constants = constants_keep(node, scale, shift);
  if (!constants)
    return QE_NONE;
  affine_values(node->x, node->input[0]->x, node->rows * node->cols, constants[0], constants[1]);
  return node_handle(node);
}

qe_tensor qe_clamp(qe_tensor a, double low, double high) {
  if (!(low <= high))
    return node_of(a) ? tape_fail(a.tape, QE_USE, "clamp: bounds %g and %g are not in order", low, high) : QE_NONE;
  struct node *node = function_node(&clamp_operation, a);
  const qe_real *constants = constants_keep(node, low, high);
  if (!constants)
    return QE_NONE;
  clamp_values(node->x, node->input[0]->x, node->rows * node->cols, constants[0], constants[1]);
  return node_handle(node);
}

/* ---- dropout ---- */

enum { DRAWS_PER_NUMBER = 4, DRAW_BITS = 16 };

struct dropout {
  qe_real scale;
  unsigned char kept[]; /* 1 or 0 per cell */
};

/* A random number decides on four cells in a row, lowest bits first, 16 bits each: a cell is dropped where they are
** below rate * 65536, rounded. */
static void mask_draw(unsigned char *kept, size_t count, double rate, qe_rng *rng) {
  const uint32_t limit = (uint32_t)(rate * (1 << DRAW_BITS) + 0.5);
  for (size_t i = 0; i < count; i += DRAWS_PER_NUMBER) {
    uint64_t bits = qe_rng_next(rng);
    for (size_t j = i; j < count && j < i + DRAWS_PER_NUMBER; j++, bits >>= DRAW_BITS)
      kept[j] = (bits & ((1 << DRAW_BITS) - 1)) >= limit;
  }
}

VECTOR_CLONES
static void mask_values(qe_real *restrict out, const qe_real *restrict in, const unsigned char *restrict kept,
                        qe_real scale, size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = in[i] * (scale * (qe_real)kept[i]);
}

VECTOR_CLONES
static void mask_slopes(qe_real *restrict in_g, const qe_real *restrict out_g, const unsigned char *restrict kept,
                        qe_real scale, size_t count) {
  for (size_t i = 0; i < count; i++)
    in_g[i] += out_g[i] * (scale * (qe_real)kept[i]);
}

static void dropout_backward(struct node *node) {
  const struct dropout *dropout = node->extra;
  qe_real *g = node_gradient(node->input[0]);
  if (g)
    mask_slopes(g, node->g, dropout->kept, dropout->scale, node->rows * node->cols);
}

static const struct operation dropout_operation = { "dropout", dropout_backward };

qe_tensor qe_dropout(qe_tensor a, double rate, qe_rng *rng) {
  struct node *input = node_of(a);
  if (!input)
    return QE_NONE;
  if (!(rate >= 0 && rate < 1))
    return tape_fail(a.tape, QE_USE, "dropout: rate %g is not in [0, 1)", rate);
  if (!rng || rate == 0)
    return a;
  struct node *node = node_new(a.tape, &dropout_operation, input->rows, input->cols, &input, 1);
  size_t cells = node ? node->rows * node->cols : 0;
  struct dropout *dropout = node ? tape_alloc(a.tape, 1, sizeof *dropout + cells) : NULL;
  if (!dropout)
    return QE_NONE;
  dropout->scale = (qe_real)(1 / (1 - rate));
  node->extra = dropout;
  mask_draw(dropout->kept, cells, rate, rng);
  mask_values(node->x, input->x, dropout->kept, dropout->scale, cells);
  return node_handle(node);
}
