/*
** sampled.c - logits of a few classes of many: for row i of `hidden` those of classes ids[i k] .. ids[i k + k - 1], each
** hidden . table[class] + bias[class]. Forward and backward touch only these rows of the table, which as a sparse
** parameter is also all that the optimiser moves (methods.md M7). Classes may repeat; every copy counts.
*/
#include "core.h"
#include "clones.h"

struct sampled {
  size_t k;
  uint32_t *ids;
};

/* Asks for the row of the class after next, which lies anywhere in a large table. */
static inline void class_prefetch(const qe_real *table, const uint32_t *ids, size_t at, size_t end, size_t width) {
  enum { LINE = 64 / sizeof(qe_real), AHEAD = 2 };
  for (size_t j = 0; at + AHEAD < end && j < width; j += LINE)
    __builtin_prefetch(table + (size_t)ids[at + AHEAD] * width + j);
}

VECTOR_CLONES
static void logits_of(qe_real *restrict out, const qe_real *restrict hidden, const qe_real *table,
                      const qe_real *bias, const uint32_t *ids, size_t k, size_t width) {
  enum { LANES = 16 };
  for (size_t i = 0; i < k; i++) {
    const qe_real *restrict row = table + (size_t)ids[i] * width;
    qe_real lanes[LANES] = { 0 }, sum = bias[ids[i]];
    class_prefetch(table, ids, i, k, width);
    size_t j = 0;
    for (; j + LANES <= width; j += LANES)
      for (size_t lane = 0; lane < LANES; lane++)
        lanes[lane] += hidden[j + lane] * row[j + lane];
    for (; j < width; j++)
      sum += hidden[j] * row[j];
    for (size_t lane = 0; lane < LANES; lane++)
      sum += lanes[lane];
    out[i] = sum;
  }
}

/* Adds scale * from to to. */
VECTOR_CLONES
static void row_add(qe_real *restrict to, const qe_real *restrict from, qe_real scale, size_t width) {
  for (size_t j = 0; j < width; j++)
    to[j] += scale * from[j];
}

static void sampled_backward(struct node *node) {
  const struct sampled *sampled = node->extra;
  struct node *hidden = node->input[0], *table = node->input[1], *bias = node->input[2];
  const size_t width = hidden->cols, all = node->rows * sampled->k;
  qe_real *hidden_g = node_gradient(hidden);
  qe_real *table_g = node_gradient_sparse(table), *bias_g = node_gradient_sparse(bias);
  params_touch(table, sampled->ids, all);
  params_touch(bias, sampled->ids, all);
  for (size_t at = 0; at < all; at++) {
    const size_t row = at / sampled->k * width, place = (size_t)sampled->ids[at] * width;
    class_prefetch(table->x, sampled->ids, at, all, width);
    if (table_g)
      class_prefetch(table_g, sampled->ids, at, all, width);
    if (hidden_g)
      row_add(hidden_g + row, table->x + place, node->g[at], width);
    if (table_g)
      row_add(table_g + place, hidden->x + row, node->g[at], width);
    if (bias_g)
      bias_g[sampled->ids[at]] += node->g[at];
  }
}

static const struct operation sampled_operation = { "sampled_logits", sampled_backward };

static bool sampled_fits(qe_tape *tape, struct node *const inputs[3], const uint32_t *ids, size_t count) {
  const struct node *hidden = inputs[0], *table = inputs[1], *bias = inputs[2];
  if (table->cols != hidden->cols || bias->rows != table->rows || bias->cols != 1) {
    tape_fail(tape, QE_USE, "sampled_logits: hidden %zu x %zu, table %zu x %zu, bias %zu x %zu do not fit",
              hidden->rows, hidden->cols, table->rows, table->cols, bias->rows, bias->cols);
    return false;
  }
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= table->rows) {
      tape_fail(tape, QE_USE, "sampled_logits: class %lu at place %zu is not below %zu", (unsigned long)ids[i], i,
                table->rows);
      return false;
    }
  return true;
}

qe_tensor qe_sampled_logits(qe_tensor hidden, qe_tensor table, qe_tensor bias, const uint32_t *ids, size_t k) {
  struct node *inputs[3], *pair[2];
  size_t count;
  if (!node_pair(hidden, table, inputs) || !node_pair(hidden, bias, pair))
    return QE_NONE;
  inputs[2] = pair[1];
  if (__builtin_mul_overflow(inputs[0]->rows, k, &count))
    return tape_fail(hidden.tape, QE_USE, "sampled_logits: %zu classes per row are too many", k);
  if (!sampled_fits(hidden.tape, inputs, ids, count))
    return QE_NONE;
  struct node *node = node_new(hidden.tape, &sampled_operation, inputs[0]->rows, k, inputs, 3);
  struct sampled *sampled = node ? tape_alloc(hidden.tape, 1, sizeof *sampled) : NULL;
  if (!sampled)
    return QE_NONE;
  *sampled = (struct sampled){ k, tape_alloc(hidden.tape, count, sizeof *sampled->ids) };
  if (!sampled->ids)
    return QE_NONE;
  if (count > 0)
    memcpy(sampled->ids, ids, count * sizeof *ids);
  node->extra = sampled;
  for (size_t i = 0; i < node->rows; i++)
    logits_of(node->x + i * k, inputs[0]->x + i * inputs[0]->cols, inputs[1]->x, inputs[2]->x, sampled->ids + i * k,
              k, inputs[0]->cols);
  return node_handle(node);
}
