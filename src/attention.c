/*
** attention.c - weighted sums of rows within segments: pooling by given logits, and multi-head scaled dot-product
** attention. Each operation keeps its weights (softmax results) for backward: one per row for pooling; for attention
** a block of queries x keys per segment and head, one after another. Segments never see each other and an empty one
** gives zeros. No projections and no masks here: those are compositions of other operations.
*/
#include "core.h"
#include "clones.h"
#include "transcendental.h"

VECTOR_CLONES
void softmax_row(qe_real *x, size_t count) {
  qe_real most = x[0], sum = 0;
  for (size_t i = 1; i < count; i++)
    most = x[i] > most ? x[i] : most;
  for (size_t i = 0; i < count; i++)
    x[i] = real_exp(x[i] - most);
  for (size_t i = 0; i < count; i++)
    sum += x[i];
  for (size_t i = 0; i < count; i++)
    x[i] /= sum;
}

void softmax_row_backward(qe_real *g, const qe_real *weight, size_t count) {
  qe_real mean = 0;
  for (size_t i = 0; i < count; i++)
    mean += weight[i] * g[i];
  for (size_t i = 0; i < count; i++)
    g[i] = weight[i] * (g[i] - mean);
}

static void add_scaled(qe_real *restrict y, const qe_real *restrict x, qe_real scale, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += scale * x[i];
}

static qe_real dot(const qe_real *x, const qe_real *y, size_t count) {
  qe_real sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += x[i] * y[i];
  return sum;
}

/* ---- pooling ---- */

struct pooling {
  qe_real *weight;  /* per row */
  uint32_t *offset; /* the caller's may be gone at backward */
};

static void pooling_backward(struct node *node) {
  const struct pooling *pooling = node->extra;
  const struct node *values = node->input[0];
  size_t cols = node->cols;
  qe_real *values_g = node_gradient(node->input[0]), *logits_g = node_gradient(node->input[1]);
  qe_real *g = tape_alloc(node->tape, values->rows, sizeof *g);
  if (!g)
    return;
  for (size_t i = 0; i < node->rows; i++) {
    const qe_real *out_g = node->g + i * cols;
    size_t first = pooling->offset[i], end = pooling->offset[i + 1];
    for (size_t t = first; values_g && t < end; t++)
      add_scaled(values_g + t * cols, out_g, pooling->weight[t], cols);
    if (!logits_g || first == end)
      continue;
    for (size_t t = first; t < end; t++)
      g[t] = dot(out_g, values->x + t * cols, cols);
    softmax_row_backward(g + first, pooling->weight + first, end - first);
    add_scaled(logits_g + first, g + first, 1, end - first);
  }
}

static const struct operation pooling_operation = { "attention_pool", pooling_backward };

static void pooling_forward(struct node *node, const struct pooling *pooling) {
  const struct node *values = node->input[0], *logits = node->input[1];
  size_t cols = node->cols;
  memset(node->x, 0, node->rows * cols * sizeof *node->x);
  for (size_t i = 0; i < node->rows; i++) {
    size_t first = pooling->offset[i], end = pooling->offset[i + 1];
    if (first == end)
      continue;
    memcpy(pooling->weight + first, logits->x + first, (end - first) * sizeof *logits->x);
    softmax_row(pooling->weight + first, end - first);
    for (size_t t = first; t < end; t++)
      add_scaled(node->x + i * cols, values->x + t * cols, pooling->weight[t], cols);
  }
}

qe_tensor qe_attention_pool(qe_tensor values, qe_tensor logits, qe_segments segments) {
  struct node *inputs[2];
  if (!node_pair(values, logits, inputs))
    return QE_NONE;
  qe_tape *tape = inputs[0]->tape;
  if (inputs[1]->cols != 1 || inputs[1]->rows != inputs[0]->rows)
    return tape_fail(tape, QE_USE, "attention_pool: logits are %zu x %zu, expected %zu x 1", inputs[1]->rows,
                     inputs[1]->cols, inputs[0]->rows);
  if (!segments_fit(tape, "attention_pool", segments, inputs[0]->rows))
    return QE_NONE;
  struct node *node = node_new(tape, &pooling_operation, segments.count, inputs[0]->cols, inputs, 2);
  struct pooling *pooling = node ? tape_alloc(tape, 1, sizeof *pooling) : NULL;
  if (!pooling)
    return QE_NONE;
  pooling->weight = tape_alloc(tape, inputs[0]->rows, sizeof *pooling->weight);
  pooling->offset = offsets_keep(tape, segments.offset, segments.count);
  if (!pooling->weight || !pooling->offset)
    return QE_NONE;
  node->extra = pooling;
  pooling_forward(node, pooling);
  return node_handle(node);
}

/* ---- multi-head attention ---- */

struct attention {
  size_t heads, segments;
  uint32_t *query, *key; /* offsets */
  qe_real *weight;       /* segment by segment, head by head: queries x keys */
  size_t largest;        /* of these blocks, in cells */
};

/* One head in one segment: pointers to its corner in matrices with `stride` columns. */
struct block {
  size_t queries, keys, width, stride, query_corner, key_corner;
  qe_real scale;
};

static struct block block_at(const struct node *node, const struct attention *attention, size_t segment,
                             size_t head) {
  size_t width = node->cols / attention->heads;
  return (struct block){ .queries = attention->query[segment + 1] - attention->query[segment],
                         .keys = attention->key[segment + 1] - attention->key[segment],
                         .width = width,
                         .stride = node->cols,
                         .query_corner = attention->query[segment] * node->cols + head * width,
                         .key_corner = attention->key[segment] * node->cols + head * width,
                         .scale = (qe_real)(1 / sqrt((double)width)) };
}

static void block_forward(const struct node *node, const struct block *block, qe_real *weight) {
  const qe_real *query = node->input[0]->x + block->query_corner, *key = node->input[1]->x + block->key_corner;
  const qe_real *value = node->input[2]->x + block->key_corner;
  blas_gemm(QE_NT, block->queries, block->keys, block->width, block->scale, query, block->stride, key,
            block->stride, 0, weight, block->keys);
  for (size_t i = 0; i < block->queries; i++)
    softmax_row(weight + i * block->keys, block->keys);
  blas_gemm(QE_NN, block->queries, block->width, block->keys, 1, weight, block->keys, value, block->stride, 0,
            node->x + block->query_corner, block->stride);
}

/* `g` is work space for one block. Inputs that want no gradient have input_g NULL. */
static void block_backward(const struct node *node, const struct block *block, const qe_real *weight, qe_real *g,
                           qe_real *const input_g[3]) {
  const qe_real *query = node->input[0]->x + block->query_corner, *key = node->input[1]->x + block->key_corner;
  const qe_real *value = node->input[2]->x + block->key_corner, *out_g = node->g + block->query_corner;
  size_t queries = block->queries, keys = block->keys, width = block->width, stride = block->stride;
  if (input_g[2])
    blas_gemm(QE_TN, keys, width, queries, 1, weight, keys, out_g, stride, 1, input_g[2] + block->key_corner,
              stride);
  if (!input_g[0] && !input_g[1])
    return;
  blas_gemm(QE_NT, queries, keys, width, 1, out_g, stride, value, stride, 0, g, keys);
  for (size_t i = 0; i < queries; i++)
    softmax_row_backward(g + i * keys, weight + i * keys, keys);
  if (input_g[0])
    blas_gemm(QE_NN, queries, width, keys, block->scale, g, keys, key, stride, 1, input_g[0] + block->query_corner,
              stride);
  if (input_g[1])
    blas_gemm(QE_TN, keys, width, queries, block->scale, g, keys, query, stride, 1, input_g[1] + block->key_corner,
              stride);
}

static void attention_backward(struct node *node) {
  const struct attention *attention = node->extra;
  qe_real *input_g[3];
  for (int i = 0; i < 3; i++)
    input_g[i] = node_gradient(node->input[i]);
  qe_real *g = tape_alloc(node->tape, attention->largest, sizeof *g);
  if (!g)
    return;
  const qe_real *weight = attention->weight;
  for (size_t segment = 0; segment < attention->segments; segment++)
    for (size_t head = 0; head < attention->heads; head++) {
      struct block block = block_at(node, attention, segment, head);
      if (block.queries > 0 && block.keys > 0 && block.width > 0)
        block_backward(node, &block, weight, g, input_g);
      weight += block.queries * block.keys;
    }
}

static const struct operation attention_operation = { "attention", attention_backward };

static void attention_forward(struct node *node, const struct attention *attention) {
  qe_real *weight = attention->weight;
  memset(node->x, 0, node->rows * node->cols * sizeof *node->x);
  for (size_t segment = 0; segment < attention->segments; segment++)
    for (size_t head = 0; head < attention->heads; head++) {
      struct block block = block_at(node, attention, segment, head);
      if (block.queries > 0 && block.keys > 0 && block.width > 0)
        block_forward(node, &block, weight);
      weight += block.queries * block.keys;
    }
}

/* Cells of the weights of all heads, or false on overflow. A block fits always: offsets have 32 bits. */
static bool attention_cells(const struct attention *attention, size_t *cells) {
  *cells = 0;
  for (size_t i = 0; i < attention->segments; i++) {
    size_t queries = attention->query[i + 1] - attention->query[i],
           keys = attention->key[i + 1] - attention->key[i];
    size_t block, all;
    if (__builtin_mul_overflow(queries, keys, &block) || __builtin_mul_overflow(block, attention->heads, &all) ||
        __builtin_add_overflow(*cells, all, cells))
      return false;
  }
  return true;
}

static struct attention *attention_new(qe_tape *tape, size_t heads, qe_segments queries, qe_segments keys) {
  struct attention *attention = tape_alloc(tape, 1, sizeof *attention);
  if (!attention)
    return NULL;
  *attention = (struct attention){ .heads = heads, .segments = queries.count };
  attention->query = offsets_keep(tape, queries.offset, queries.count);
  attention->key = offsets_keep(tape, keys.offset, keys.count);
  if (!attention->query || !attention->key)
    return NULL;
  size_t cells;
  if (!attention_cells(attention, &cells)) {
    error_memory(tape_error(tape));
    return NULL;
  }
  for (size_t i = 0; i < attention->segments; i++) {
    size_t block =
        (size_t)(attention->query[i + 1] - attention->query[i]) * (attention->key[i + 1] - attention->key[i]);
    attention->largest = block > attention->largest ? block : attention->largest;
  }
  attention->weight = tape_alloc(tape, cells, sizeof *attention->weight);
  return attention->weight ? attention : NULL;
}

static bool attention_fits(qe_tape *tape, struct node *const inputs[3], size_t heads, qe_segments queries,
                           qe_segments keys) {
  size_t cols = inputs[0]->cols;
  if (inputs[1]->cols != cols || inputs[2]->cols != cols || inputs[1]->rows != inputs[2]->rows)
    tape_fail(tape, QE_USE,
              "attention: query %zu x %zu, key %zu x %zu, value %zu x %zu: expected equal columns, "
              "and as many keys as values",
              inputs[0]->rows, cols, inputs[1]->rows, inputs[1]->cols, inputs[2]->rows, inputs[2]->cols);
  else if (heads == 0 || cols % heads != 0)
    tape_fail(tape, QE_USE, "attention: %zu columns cannot be split over %zu heads", cols, heads);
  else if (queries.count != keys.count)
    tape_fail(tape, QE_USE, "attention: %lu query segments, but %lu key segments", (unsigned long)queries.count,
              (unsigned long)keys.count);
  return tape_error(tape)->status == QE_OK && segments_fit(tape, "attention query", queries, inputs[0]->rows) &&
         segments_fit(tape, "attention key", keys, inputs[1]->rows);
}

qe_tensor qe_attention(qe_tensor query, qe_tensor key, qe_tensor value, size_t heads, qe_segments query_segments,
                       qe_segments key_segments) {
  struct node *first[2], *second[2];
  if (!node_pair(query, key, first) || !node_pair(query, value, second))
    return QE_NONE;
  struct node *inputs[3] = { first[0], first[1], second[1] };
  qe_tape *tape = inputs[0]->tape;
  if (!attention_fits(tape, inputs, heads, query_segments, key_segments))
    return QE_NONE;
  struct node *node = node_new(tape, &attention_operation, inputs[0]->rows, inputs[0]->cols, inputs, 3);
  struct attention *attention = node ? attention_new(tape, heads, query_segments, key_segments) : NULL;
  if (!attention)
    return QE_NONE;
  node->extra = attention;
  attention_forward(node, attention);
  return node_handle(node);
}
