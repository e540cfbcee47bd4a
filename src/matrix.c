/*
** matrix.c - products of matrices, and copies of their parts: transposed, a range of columns or rows, side by side,
** one below the other, rows by id, cells by column, means of rows. Each operation stands together with its backward,
** which adds to the gradients of the inputs and looks at nothing but node->g, what the inputs hold and node->extra.
** Lists of ids belong to the caller, who may change them at once: where backward reads them, a copy is in the arena.
** No arithmetic on cells (elementwise.c) and no products by hand (blas.c).
*/
#include "core.h"
#include "clones.h"

static inline void cells_add(qe_real *restrict y, const qe_real *restrict x, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += x[i];
}

/* A copy of rows x cols cells between matrices whose rows are `to_stride` and `from_stride` cells apart. */
static void block_copy(qe_real *to, size_t to_stride, const qe_real *from, size_t from_stride, size_t rows,
                       size_t cols) {
  for (size_t i = 0; cols > 0 && i < rows; i++)
    memcpy(to + i * to_stride, from + i * from_stride, cols * sizeof *to);
}

static void block_add(qe_real *to, size_t to_stride, const qe_real *from, size_t from_stride, size_t rows,
                      size_t cols) {
  for (size_t i = 0; i < rows; i++)
    cells_add(to + i * to_stride, from + i * from_stride, cols);
}

/* ---- matmul ---- */

struct factor {
  const qe_real *x;
  size_t rows, cols;
};

static bool first_is_transposed(qe_transpose transpose) {
  return transpose == QE_TN || transpose == QE_TT;
}

static bool second_is_transposed(qe_transpose transpose) {
  return transpose == QE_NT || transpose == QE_TT;
}

/* out = op(a) op(b) + keep out. A BLAS need not bear empty matrices. */
static void multiply(qe_transpose transpose, struct factor a, struct factor b, qe_real keep, qe_real *out) {
  size_t m = first_is_transposed(transpose) ? a.cols : a.rows;
  size_t k = first_is_transposed(transpose) ? a.rows : a.cols;
  size_t n = second_is_transposed(transpose) ? b.rows : b.cols;
  if (m > 0 && n > 0 && k > 0)
    blas_gemm(transpose, m, n, k, 1, a.x, a.cols, b.x, b.cols, keep, out, n);
  else if (keep == 0)
    memset(out, 0, m * n * sizeof *out);
}

/* op(a)'s gradient is g op(b)', op(b)'s is op(a)' g; where a or b is transposed, so is the whole product. */
static void matmul_backward(struct node *node) {
  const qe_transpose *transpose = node->extra;
  struct node *first = node->input[0], *second = node->input[1];
  struct factor a = { first->x, first->rows, first->cols }, b = { second->x, second->rows, second->cols };
  struct factor g = { node->g, node->rows, node->cols };
  bool a_turned = first_is_transposed(*transpose), b_turned = second_is_transposed(*transpose);
  qe_real *a_g = node_gradient(first), *b_g = node_gradient(second);
  if (a_g && a_turned)
    multiply(b_turned ? QE_TT : QE_NT, b, g, 1, a_g);
  else if (a_g)
    multiply(b_turned ? QE_NN : QE_NT, g, b, 1, a_g);
  if (b_g && b_turned)
    multiply(a_turned ? QE_TT : QE_TN, g, a, 1, b_g);
  else if (b_g)
    multiply(a_turned ? QE_NN : QE_TN, a, g, 1, b_g);
}

static const struct operation matmul = { "matmul", matmul_backward };

qe_tensor qe_matmul(qe_tensor a, qe_tensor b, qe_transpose transpose) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs))
    return QE_NONE;
  if ((unsigned)transpose > QE_TT)
    return tape_fail(a.tape, QE_USE, "matmul: no such transpose, %d", (int)transpose);
  bool a_turned = first_is_transposed(transpose), b_turned = second_is_transposed(transpose);
  size_t rows = a_turned ? inputs[0]->cols : inputs[0]->rows, inner = a_turned ? inputs[0]->rows : inputs[0]->cols;
  size_t cols = b_turned ? inputs[1]->rows : inputs[1]->cols, other = b_turned ? inputs[1]->cols : inputs[1]->rows;
  if (inner != other)
    return tape_fail(a.tape, QE_USE, "matmul: %zu x %zu%s times %zu x %zu%s: the inner sizes, %zu and %zu, differ",
                     inputs[0]->rows, inputs[0]->cols, a_turned ? " transposed" : "", inputs[1]->rows,
                     inputs[1]->cols, b_turned ? " transposed" : "", inner, other);
  struct node *node = node_new(a.tape, &matmul, rows, cols, inputs, 2);
  qe_transpose *kept = node ? tape_alloc(a.tape, 1, sizeof *kept) : NULL;
  if (!kept)
    return QE_NONE;
  *kept = transpose;
  node->extra = kept;
  multiply(transpose, (struct factor){ inputs[0]->x, inputs[0]->rows, inputs[0]->cols },
           (struct factor){ inputs[1]->x, inputs[1]->rows, inputs[1]->cols }, 0, node->x);
  return node_handle(node);
}

/* ---- transposed ---- */

static void transposed_backward(struct node *node) {
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < node->rows; i++)
    for (size_t j = 0; j < node->cols; j++)
      g[j * node->rows + i] += node->g[i * node->cols + j];
}

static const struct operation transposed = { "transposed", transposed_backward };

qe_tensor qe_transposed(qe_tensor a) {
  struct node *input = node_of(a);
  struct node *node = input ? node_new(a.tape, &transposed, input->cols, input->rows, &input, 1) : NULL;
  if (!node)
    return QE_NONE;
  for (size_t i = 0; i < node->rows; i++)
    for (size_t j = 0; j < node->cols; j++)
      node->x[i * node->cols + j] = input->x[j * node->rows + i];
  return node_handle(node);
}

/* ---- columns, slice ---- */

/* The corner in the input is kept as a count of cells. */
static void part_backward(struct node *node) {
  const size_t *corner = node->extra;
  struct node *input = node->input[0];
  qe_real *g = node_gradient(input);
  if (g)
    block_add(g + *corner, input->cols, node->g, node->cols, node->rows, node->cols);
}

static const struct operation columns = { "columns", part_backward };
static const struct operation slice = { "slice", part_backward };

static qe_tensor part(const struct operation *operation, struct node *input, size_t rows, size_t cols,
                      size_t corner) {
  struct node *node = node_new(input->tape, operation, rows, cols, &input, 1);
  size_t *kept = node ? tape_alloc(input->tape, 1, sizeof *kept) : NULL;
  if (!kept)
    return QE_NONE;
  *kept = corner;
  node->extra = kept;
  block_copy(node->x, cols, input->x + corner, input->cols, rows, cols);
  return node_handle(node);
}

qe_tensor qe_columns(qe_tensor a, size_t first, size_t count) {
  struct node *input = node_of(a);
  if (!input)
    return QE_NONE;
  if (first > input->cols || count > input->cols - first)
    return tape_fail(a.tape, QE_USE, "columns: %zu from column %zu of a matrix with %zu", count, first,
                     input->cols);
  return part(&columns, input, input->rows, count, input->rows > 0 ? first : 0);
}

qe_tensor qe_slice(qe_tensor a, size_t first, size_t count) {
  struct node *input = node_of(a);
  if (!input)
    return QE_NONE;
  if (first > input->rows || count > input->rows - first)
    return tape_fail(a.tape, QE_USE, "slice: %zu from row %zu of a matrix with %zu", count, first, input->rows);
  return part(&slice, input, count, input->cols, first * input->cols);
}

/* ---- beside, below ---- */

struct parts {
  size_t count;
  struct node *node[];
};

/* The parts, of one tape and with equal rows (or columns), and the sum of the other size; NULL: recorded. */
static struct parts *parts_resolve(const qe_tensor *tensors, size_t count, bool beside, size_t *total) {
  struct node *pair[2];
  if (count == 0 || !node_pair(tensors[0], tensors[0], pair))
    return NULL;
  qe_tape *tape = tensors[0].tape;
  struct parts *parts = NULL;
  if (count < SIZE_MAX / sizeof *parts->node - 1)
    parts = tape_alloc(tape, 1, sizeof *parts + count * sizeof *parts->node);
  *total = 0;
  for (size_t i = 0; parts && i < count; i++) {
    if (!node_pair(tensors[0], tensors[i], pair))
      return NULL;
    const struct node *first = pair[0], *next = pair[1];
    size_t expected = beside ? first->rows : first->cols, found = beside ? next->rows : next->cols;
    if (found != expected) {
      tape_fail(tape, QE_USE, "%s: part %zu is %zu x %zu, expected %zu %s as in part 1",
                beside ? "beside" : "below", i + 1, next->rows, next->cols, expected, beside ? "rows" : "columns");
      return NULL;
    }
    if (__builtin_add_overflow(*total, beside ? next->cols : next->rows, total)) {
      error_memory(tape_error(tape));
      return NULL;
    }
    parts->node[i] = pair[1];
    parts->count = i + 1;
  }
  return parts;
}

/* A node has few places for inputs; one part that wants a gradient, if there is any, stands for all. */
static struct node *parts_node(const struct operation *operation, struct parts *parts, size_t rows, size_t cols) {
  struct node *input = parts->node[0];
  for (size_t i = 0; i < parts->count && !input->wants; i++)
    input = parts->node[i];
  struct node *node = node_new(input->tape, operation, rows, cols, &input, 1);
  if (node)
    node->extra = parts;
  return node;
}

static void beside_backward(struct node *node) {
  const struct parts *parts = node->extra;
  size_t column = 0;
  for (size_t i = 0; i < parts->count; i++) {
    struct node *input = parts->node[i];
    qe_real *g = node_gradient(input);
    if (g && node->rows > 0)
      block_add(g, input->cols, node->g + column, node->cols, node->rows, input->cols);
    column += input->cols;
  }
}

static const struct operation beside_operation = { "beside", beside_backward };

qe_tensor qe_beside(const qe_tensor *parts, size_t count) {
  size_t cols, column = 0;
  struct parts *kept = parts_resolve(parts, count, true, &cols);
  struct node *node = kept ? parts_node(&beside_operation, kept, kept->node[0]->rows, cols) : NULL;
  for (size_t i = 0; node && node->rows > 0 && i < count; i++) {
    const struct node *input = kept->node[i];
    block_copy(node->x + column, cols, input->x, input->cols, node->rows, input->cols);
    column += input->cols;
  }
  return node_handle(node);
}

static void below_backward(struct node *node) {
  const struct parts *parts = node->extra;
  const qe_real *from = node->g;
  for (size_t i = 0; i < parts->count; i++) {
    struct node *input = parts->node[i];
    qe_real *g = node_gradient(input);
    if (g)
      cells_add(g, from, input->rows * input->cols);
    from += input->rows * input->cols;
  }
}

static const struct operation below_operation = { "below", below_backward };

qe_tensor qe_below(const qe_tensor *parts, size_t count) {
  size_t rows;
  struct parts *kept = parts_resolve(parts, count, false, &rows);
  struct node *node = kept ? parts_node(&below_operation, kept, rows, kept->node[0]->cols) : NULL;
  qe_real *to = node ? node->x : NULL;
  for (size_t i = 0; node && i < count; i++) {
    const struct node *input = kept->node[i];
    block_copy(to, input->cols, input->x, input->cols, input->rows, input->cols);
    to += input->rows * input->cols;
  }
  return node_handle(node);
}

/* ---- gather ---- */

/* A copy of ids, all below `limit`; NULL: recorded. */
static uint32_t *ids_keep(qe_tape *tape, const char *name, const uint32_t *ids, size_t count, size_t limit) {
  if (!ids && count > 0) {
    tape_fail(tape, QE_USE, "%s: %zu ids are missing (NULL)", name, count);
    return NULL;
  }
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= limit) {
      tape_fail(tape, QE_USE, "%s: id %lu at place %zu is not below %zu", name, (unsigned long)ids[i], i, limit);
      return NULL;
    }
  uint32_t *kept = tape_alloc(tape, count, sizeof *kept);
  if (kept && count > 0)
    memcpy(kept, ids, count * sizeof *kept);
  return kept;
}

static void gather_backward(struct node *node) {
  const uint32_t *ids = node->extra;
  size_t cols = node->cols;
  qe_real *g = node_gradient_sparse(node->input[0]);
  if (!g)
    return;
  params_touch(node->input[0], ids, node->rows);
  for (size_t i = 0; i < node->rows; i++)
    cells_add(g + ids[i] * cols, node->g + i * cols, cols);
}

static const struct operation gather = { "gather", gather_backward };

qe_tensor qe_gather(qe_tensor table, const uint32_t *ids, size_t count) {
  struct node *input = node_of(table);
  uint32_t *kept = input ? ids_keep(table.tape, "gather", ids, count, input->rows) : NULL;
  struct node *node = kept ? node_new(table.tape, &gather, count, input->cols, &input, 1) : NULL;
  if (!node)
    return QE_NONE;
  node->extra = kept;
  for (size_t i = 0; node->cols > 0 && i < count; i++)
    memcpy(node->x + i * node->cols, input->x + ids[i] * node->cols, node->cols * sizeof *node->x);
  return node_handle(node);
}

/* ---- pick ---- */

static void pick_backward(struct node *node) {
  const uint32_t *ids = node->extra;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < node->rows; i++)
    g[i * node->input[0]->cols + ids[i]] += node->g[i];
}

static const struct operation pick = { "pick", pick_backward };

qe_tensor qe_pick(qe_tensor a, const uint32_t *ids) {
  struct node *input = node_of(a);
  uint32_t *kept = input ? ids_keep(a.tape, "pick", ids, input->rows, input->cols) : NULL;
  struct node *node = kept ? node_new(a.tape, &pick, input->rows, 1, &input, 1) : NULL;
  if (!node)
    return QE_NONE;
  node->extra = kept;
  for (size_t i = 0; i < node->rows; i++)
    node->x[i] = input->x[i * input->cols + kept[i]];
  return node_handle(node);
}

/* ---- bag ---- */

struct bag {
  uint32_t *ids, *offset;
};

static struct bag *bag_keep(qe_tape *tape, const uint32_t *ids, qe_segments bags, size_t limit) {
  bool rising = bags.offset && bags.offset[0] == 0;
  for (uint32_t i = 0; rising && i < bags.count; i++)
    rising = bags.offset[i] <= bags.offset[i + 1];
  if (!rising) {
    tape_fail(tape, QE_USE, "bag: segment offsets are %s", bags.offset ? "not rising from 0" : "missing (NULL)");
    return NULL;
  }
  size_t offsets = (size_t)bags.count + 1;
  struct bag *bag = tape_alloc(tape, 1, sizeof *bag);
  if (!bag)
    return NULL;
  bag->ids = ids_keep(tape, "bag", ids, bags.offset[bags.count], limit);
  bag->offset = tape_alloc(tape, offsets, sizeof *bag->offset);
  if (!bag->ids || !bag->offset)
    return NULL;
  memcpy(bag->offset, bags.offset, offsets * sizeof *bag->offset);
  return bag;
}

/* Adds an equal share of `out` to each of the rows that it is the mean of. */
VECTOR_CLONES
static void rows_share(qe_real *g, const uint32_t *ids, size_t count, const qe_real *restrict out, size_t cols) {
  const qe_real share = (qe_real)1 / (qe_real)count;
  for (size_t i = 0; i < count; i++) {
    qe_real *restrict row = g + ids[i] * cols;
    for (size_t j = 0; j < cols; j++)
      row[j] += share * out[j];
  }
}

static void bag_backward(struct node *node) {
  const struct bag *bag = node->extra;
  size_t cols = node->cols;
  qe_real *g = node_gradient_sparse(node->input[0]);
  if (!g)
    return;
  params_touch(node->input[0], bag->ids, bag->offset[node->rows]);
  for (size_t i = 0; i < node->rows; i++) {
    const size_t first = bag->offset[i], end = bag->offset[i + 1];
    rows_share(g, bag->ids + first, end - first, node->g + i * cols, cols);
  }
}

static const struct operation bag_operation = { "bag", bag_backward };

VECTOR_CLONES
static void rows_mean(qe_real *restrict out, const qe_real *table, const uint32_t *ids, size_t count, size_t cols) {
  memset(out, 0, cols * sizeof *out);
  for (size_t i = 0; i < count; i++)
    cells_add(out, table + ids[i] * cols, cols);
  for (size_t j = 0; count > 1 && j < cols; j++)
    out[j] /= (qe_real)count;
}

static void bag_forward(struct node *node, const struct bag *bag) {
  for (size_t i = 0; i < node->rows; i++) {
    const size_t first = bag->offset[i], end = bag->offset[i + 1];
    rows_mean(node->x + i * node->cols, node->input[0]->x, bag->ids + first, end - first, node->cols);
  }
}

qe_tensor qe_bag(qe_tensor table, const uint32_t *ids, qe_segments bags) {
  struct node *input = node_of(table);
  struct bag *bag = input ? bag_keep(table.tape, ids, bags, input->rows) : NULL;
  struct node *node = bag ? node_new(table.tape, &bag_operation, bags.count, input->cols, &input, 1) : NULL;
  if (!node)
    return QE_NONE;
  node->extra = bag;
  bag_forward(node, bag);
  return node_handle(node);
}
