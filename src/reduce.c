/*
** reduce.c - sum, mean and maximum of all cells, of every column (over the rows) or of every row (over the columns).
** An axis divides the cells into groups, one per cell of the result; a struct groups says where their members are.
** Sums are added in double, in an order that depends on the shape alone. The sum and the mean of nothing are 0; the
** maximum of nothing is a use error. NaN wins every maximum.
*/
#include "rows.h"

/* Member k of group i is cell i * down + k * right. */
struct groups {
  size_t rows, cols; /* of the result */
  size_t count, members, down, right;
};

static struct groups groups_of(const struct node *input, qe_axis axis) {
  size_t rows = input->rows, cols = input->cols;
  switch (axis) {
  case QE_OVER_ROWS:
    return (struct groups){ 1, cols, cols, rows, 1, cols };
  case QE_OVER_COLUMNS:
    return (struct groups){ rows, 1, rows, cols, cols, 1 };
  default:
    return (struct groups){ 1, 1, 1, rows * cols, 0, 1 };
  }
}

static struct node *groups_node(const struct operation *operation, qe_tensor a, qe_axis axis,
                                struct groups *groups) {
  struct node *input = node_of(a);
  if (!input)
    return NULL;
  if ((unsigned)axis > QE_OVER_COLUMNS) {
    tape_fail(a.tape, QE_USE, "%s: no such axis, %d", operation->name, (int)axis);
    return NULL;
  }
  *groups = groups_of(input, axis);
  return node_new(a.tape, operation, groups->rows, groups->cols, &input, 1);
}

/* ---- sum, mean ---- */

enum { LANES = 8 };

static double cells_sum(const qe_real *x, size_t count) {
  double lanes[LANES] = { 0 }, sum = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (size_t lane = 0; lane < LANES; lane++)
      lanes[lane] += (double)x[i + lane];
  for (; i < count; i++)
    sum += (double)x[i];
  for (size_t lane = 0; lane < LANES; lane++)
    sum += lanes[lane];
  return sum;
}

/* Row by row, as memory lies, rather than column by column. */
static void columns_sum(double *sums, const qe_real *x, size_t rows, size_t cols) {
  memset(sums, 0, cols * sizeof *sums);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      sums[j] += (double)x[i * cols + j];
}

struct summing {
  struct groups groups;
  double scale; /* 1, or 1 / members */
};

static void summing_backward(struct node *node) {
  const struct summing *summing = node->extra;
  const struct groups *groups = &summing->groups;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < groups->count; i++) {
    const qe_real share = (qe_real)((double)node->g[i] * summing->scale);
    for (size_t k = 0; k < groups->members; k++)
      g[i * groups->down + k * groups->right] += share;
  }
}

static const struct operation sum = { "sum", summing_backward };
static const struct operation mean = { "mean", summing_backward };

static qe_tensor summing_make(const struct operation *operation, qe_tensor a, qe_axis axis) {
  struct groups groups;
  struct node *node = groups_node(operation, a, axis, &groups);
  struct summing *summing = node ? tape_alloc(a.tape, 1, sizeof *summing) : NULL;
  double *sums = summing ? tape_alloc(a.tape, groups.count, sizeof *sums) : NULL;
  if (!sums)
    return QE_NONE;
  *summing = (struct summing){ groups, operation == &mean && groups.members > 0 ? 1 / (double)groups.members : 1 };
  node->extra = summing;
  const qe_real *x = node->input[0]->x;
  if (axis == QE_OVER_ROWS)
    columns_sum(sums, x, groups.members, groups.count);
  for (size_t i = 0; axis != QE_OVER_ROWS && i < groups.count; i++)
    sums[i] = cells_sum(x + i * groups.down, groups.members);
  for (size_t i = 0; i < groups.count; i++)
    node->x[i] = (qe_real)(sums[i] * summing->scale);
  return node_handle(node);
}

qe_tensor qe_sum(qe_tensor a, qe_axis axis) {
  return summing_make(&sum, a, axis);
}

qe_tensor qe_mean(qe_tensor a, qe_axis axis) {
  return summing_make(&mean, a, axis);
}

/* ---- max ---- */

/* The cell that every group's maximum came from is kept. */
static void max_backward(struct node *node) {
  const size_t *winner = node->extra;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < node->rows * node->cols; i++)
    g[winner[i]] += node->g[i];
}

static const struct operation max_operation = { "max", max_backward };

static size_t group_winner(const qe_real *x, const struct groups *groups, size_t group) {
  size_t best = group * groups->down;
  for (size_t k = 1; k < groups->members; k++) {
    size_t next = group * groups->down + k * groups->right;
    if (x[next] > x[best] || (x[next] != x[next] && x[best] == x[best]))
      best = next;
  }
  return best;
}

qe_tensor qe_max(qe_tensor a, qe_axis axis) {
  struct groups groups;
  struct node *node = groups_node(&max_operation, a, axis, &groups);
  if (!node)
    return QE_NONE;
  if (groups.count > 0 && groups.members == 0)
    return tape_fail(a.tape, QE_USE, "max: of nothing, in a matrix of %zu x %zu", node->input[0]->rows,
                     node->input[0]->cols);
  size_t *winner = tape_alloc(a.tape, groups.count, sizeof *winner);
  if (!winner)
    return QE_NONE;
  node->extra = winner;
  for (size_t i = 0; i < groups.count; i++) {
    winner[i] = group_winner(node->input[0]->x, &groups, i);
    node->x[i] = node->input[0]->x[winner[i]];
  }
  return node_handle(node);
}
