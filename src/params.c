/*
** params.c - named matrices, one after another in a block of values, and their gradients in lanes. Lane 0 is the
** gradient block, made when it is first needed; each further lane is written by one thread at a time. Of a sparse
** matrix a lane lists the rows touched since it was cleared, in order of first touch. Invariant: all other rows of it
** are zero, except in a gradient block that was written to from outside, which params_settle puts right. Addresses of
** cells are fixed as soon as a tape or the gradient is asked for; no matrix can be added any more.
*/
#include "block.h"
#include "clones.h"

enum { MOST_NAME = 255 };

struct touched { /* all NULL for a dense matrix */
  uint32_t *rows;
  unsigned char *seen; /* per row */
  size_t count;
};

struct lane {
  qe_real *g;
  struct touched *touched; /* per matrix; stays where it is while lanes are added */
};

struct qe_params {
  struct error error;
  qe_block *values, *gradient; /* gradient->values is lanes[0].g; NULL without lanes */
  struct lane *lanes;
  size_t lane_count;
  atomic_bool used; /* on a tape; shards of a pass set it at the same time */
};

/* ---- matrices ---- */

qe_params *qe_params_new(void) {
  qe_params *params = memory_new(1, sizeof *params);
  struct layout *layout = layout_new();
  if (params && layout)
    params->values = block_new(layout);
  layout_release(layout);
  if (params && params->values) {
    params->values->owned = true;
    return params;
  }
  memory_free(params);
  return NULL;
}

static void lane_free(struct lane *lane, const struct layout *layout) {
  for (size_t i = 0; lane->touched && i < layout->count; i++) {
    memory_free(lane->touched[i].rows);
    memory_free(lane->touched[i].seen);
  }
  memory_free(lane->touched);
  memory_free(lane->g);
}

void qe_params_free(qe_params *params) {
  if (!params)
    return;
  if (params->gradient) /* its cells are lane 0 */
    params->gradient->values = NULL;
  block_drop(params->gradient);
  for (size_t i = 0; i < params->lane_count; i++)
    lane_free(&params->lanes[i], params->values->layout);
  memory_free(params->lanes);
  block_drop(params->values);
  memory_free(params);
}

const char *qe_params_error(const qe_params *params) {
  return params->error.text;
}

int qe_params_find(const qe_params *params, const char *name) {
  const struct layout *layout = params->values->layout;
  for (size_t i = 0; i < layout->count; i++)
    if (strcmp(layout->entries[i].name, name) == 0)
      return (int)i;
  return QE_USE;
}

static int addition_check(qe_params *params, const char *name, size_t rows, size_t cols) {
  size_t cells, bytes, length = name ? strlen(name) : 0;
  const struct layout *layout = params->values->layout;
  if (length == 0 || length > MOST_NAME)
    return error_set(&params->error, QE_USE, "add: a name has 1 to %d bytes, not %zu", MOST_NAME, length);
  if (params->lane_count > 0 || atomic_load_explicit(&params->used, memory_order_relaxed))
    return error_set(&params->error, QE_USE, "add: \"%.255s\" comes too late, the parameters are in use", name);
  if (qe_params_find(params, name) >= 0)
    return error_set(&params->error, QE_USE, "add: there is a matrix \"%.255s\" already", name);
  if (rows == 0 || cols == 0 || rows > UINT32_MAX || cols > UINT32_MAX)
    return error_set(&params->error, QE_USE, "add: \"%.255s\" cannot be %zu x %zu, sides are 1 to %lu", name, rows,
                     cols, (unsigned long)UINT32_MAX);
  if (layout->count >= INT32_MAX || __builtin_mul_overflow(rows, cols, &cells) ||
      __builtin_add_overflow(cells, layout->cells, &cells) ||
      __builtin_mul_overflow(cells, sizeof(qe_real), &bytes))
    return error_memory(&params->error);
  return QE_OK;
}

int qe_params_add(qe_params *params, const char *name, size_t rows, size_t cols, int sparse) {
  error_clear(&params->error);
  int status = addition_check(params, name, rows, cols);
  if (status != QE_OK)
    return status;
  qe_block *values = params->values;
  struct layout *layout = layout_extended(values->layout, name, rows, cols, sparse != 0);
  qe_real *grown = layout ? memory_grow(values->values, layout->cells, sizeof *grown) : NULL;
  if (!grown) {
    layout_release(layout);
    return error_memory(&params->error);
  }
  memset(grown + values->layout->cells, 0, rows * cols * sizeof *grown);
  layout_release(values->layout);
  values->layout = layout;
  values->values = grown;
  return (int)layout->count - 1;
}

size_t qe_params_count(const qe_params *params) {
  return params->values->layout->count;
}

const struct layout_entry *params_entry(const qe_params *params, size_t number) {
  const struct layout *layout = params->values->layout;
  return number < layout->count ? &layout->entries[number] : NULL;
}

void params_coarsen(qe_params *params, size_t number, size_t rows) {
  params->values->layout->entries[number].coarse = rows;
}

const char *qe_params_name(const qe_params *params, size_t number, size_t *rows, size_t *cols) {
  const struct layout_entry *entry = params_entry(params, number);
  if (rows)
    *rows = entry ? entry->rows : 0;
  if (cols)
    *cols = entry ? entry->cols : 0;
  return entry ? entry->name : NULL;
}

qe_real *qe_params_matrix(qe_params *params, size_t number) {
  const struct layout_entry *entry = params_entry(params, number);
  return entry ? params->values->values + entry->offset : NULL;
}

void qe_params_uniform(qe_params *params, size_t number, double bound, qe_rng *rng) {
  const struct layout_entry *entry = params_entry(params, number);
  qe_real *x = qe_params_matrix(params, number);
  for (size_t i = 0; entry && i < entry->rows * entry->cols; i++)
    x[i] = (qe_real)(bound * (2 * qe_rng_uniform(rng) - 1));
}

void qe_params_normal(qe_params *params, size_t number, double sd, qe_rng *rng) {
  const struct layout_entry *entry = params_entry(params, number);
  qe_real *x = qe_params_matrix(params, number);
  for (size_t i = 0; entry && i < entry->rows * entry->cols; i++)
    x[i] = (qe_real)(sd * qe_rng_normal(rng));
}

qe_block *qe_params_values(qe_params *params) {
  return params->values;
}

/* ---- lanes ---- */

static bool touched_make(struct touched *touched, const struct layout_entry *entry) {
  if (!entry->sparse)
    return true;
  touched->rows = memory_new(entry->rows, sizeof *touched->rows);
  touched->seen = memory_new(entry->rows, 1);
  return touched->rows && touched->seen;
}

static bool lane_make(struct lane *lane, const struct layout *layout) {
  lane->g = memory_new(layout->cells, sizeof *lane->g);
  lane->touched = memory_new(layout->count, sizeof *lane->touched);
  bool made = lane->g && lane->touched;
  for (size_t i = 0; made && i < layout->count; i++)
    made = touched_make(&lane->touched[i], &layout->entries[i]);
  if (!made)
    lane_free(lane, layout);
  return made;
}

/* The block around lane 0. */
static bool gradient_make(qe_params *params, const struct lane *lane) {
  params->gradient = memory_new(1, sizeof *params->gradient);
  if (!params->gradient)
    return false;
  *params->gradient = (qe_block){ .layout = layout_hold(params->values->layout), .values = lane->g, .owned = true };
  return true;
}

int params_lanes(qe_params *params, int lanes) {
  const size_t need = (size_t)(lanes < 0 ? 0 : lanes) + 1;
  const struct layout *layout = params->values->layout;
  if (params->lane_count >= need)
    return QE_OK;
  struct lane *grown = memory_grow(params->lanes, need, sizeof *grown);
  if (!grown)
    return error_memory(&params->error);
  params->lanes = grown;
  while (params->lane_count < need) {
    struct lane lane = { NULL, NULL };
    if (!lane_make(&lane, layout))
      return error_memory(&params->error);
    if (params->lane_count == 0 && !gradient_make(params, &lane)) {
      lane_free(&lane, layout);
      return error_memory(&params->error);
    }
    params->lanes[params->lane_count++] = lane;
  }
  return QE_OK;
}

qe_block *qe_params_gradient(qe_params *params) {
  error_clear(&params->error);
  return params_lanes(params, 0) == QE_OK ? params->gradient : NULL;
}

/* ---- touched rows ---- */

static void touched_add(struct touched *touched, uint32_t row) {
  if (touched->seen[row])
    return;
  touched->seen[row] = 1;
  touched->rows[touched->count++] = row;
}

static void touched_clear(struct touched *touched) {
  for (size_t i = 0; i < touched->count; i++)
    touched->seen[touched->rows[i]] = 0;
  touched->count = 0;
}

static void touch_rows(struct node *node, const uint32_t *ids, size_t count) {
  struct touched *touched = node->extra;
  if (!ids)
    count = touched->count == node->rows ? 0 : node->rows;
  for (size_t i = 0; i < count; i++)
    touched_add(touched, ids ? ids[i] : (uint32_t)i);
}

void params_touch(struct node *node, const uint32_t *ids, size_t count) {
  if (node->touch && node->wants && count > 0)
    node->touch(node, ids, count);
}

static bool row_is_zero(const qe_real *row, size_t cols) {
  int zero = 1;
  for (size_t i = 0; i < cols; i++)
    zero &= row[i] == 0;
  return zero;
}

VECTOR_CLONES
static void rows_find(struct touched *touched, const qe_real *g, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    if (!touched->seen[i] && !row_is_zero(g + i * cols, cols))
      touched_add(touched, (uint32_t)i);
}

void params_settle(qe_params *params) {
  const struct layout *layout = params->values->layout;
  if (!params->gradient || !(params->gradient->written || params->gradient->exposed))
    return;
  for (size_t i = 0; i < layout->count; i++) {
    const struct layout_entry *entry = &layout->entries[i];
    if (entry->sparse)
      rows_find(&params->lanes[0].touched[i], params->lanes[0].g + entry->offset, entry->rows, entry->cols);
  }
  params->gradient->written = false;
}

const uint32_t *params_touched(const qe_params *params, size_t number, size_t *count) {
  const struct touched *touched = params->lane_count > 0 ? &params->lanes[0].touched[number] : NULL;
  *count = touched ? touched->count : 0;
  return touched ? touched->rows : NULL;
}

static void lane_clear(struct lane *lane, const struct layout *layout) {
  for (size_t i = 0; i < layout->count; i++) {
    const struct layout_entry *entry = &layout->entries[i];
    struct touched *touched = &lane->touched[i];
    qe_real *g = lane->g + entry->offset;
    if (!entry->sparse)
      memset(g, 0, entry->rows * entry->cols * sizeof *g);
    for (size_t j = 0; entry->sparse && j < touched->count; j++)
      memset(g + touched->rows[j] * entry->cols, 0, entry->cols * sizeof *g);
    touched_clear(touched);
  }
}

/* Further lanes too: a walk that failed leaves something there. */
void qe_params_zero_gradient(qe_params *params) {
  params_settle(params);
  for (size_t i = 0; i < params->lane_count; i++)
    lane_clear(&params->lanes[i], params->values->layout);
}

/* ---- sum of lanes ---- */

struct lane_sum {
  qe_params *params;
  size_t lanes, parts;
};

VECTOR_CLONES
static void cells_move(qe_real *restrict sum, qe_real *restrict from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    sum[i] += from[i];
    from[i] = 0;
  }
}

static void sum_dense(const struct lane_sum *sum, const struct layout_entry *entry, size_t part) {
  struct lane *lanes = sum->params->lanes;
  const size_t cells = entry->rows * entry->cols;
  const size_t first = part_begin(cells, part, sum->parts), end = part_begin(cells, part + 1, sum->parts);
  for (size_t i = 1; i <= sum->lanes; i++)
    cells_move(lanes[0].g + entry->offset + first, lanes[i].g + entry->offset + first, end - first);
}

/* Every row that some lane touched is in lane 0's list by now; a part has its own rows of all lanes. */
static void sum_sparse(const struct lane_sum *sum, const struct layout_entry *entry, size_t number, size_t part) {
  struct lane *lanes = sum->params->lanes;
  const struct touched *all = &lanes[0].touched[number];
  const size_t end = part_begin(all->count, part + 1, sum->parts);
  for (size_t j = part_begin(all->count, part, sum->parts); j < end; j++) {
    const uint32_t row = all->rows[j];
    const size_t at = entry->offset + row * entry->cols;
    for (size_t i = 1; i <= sum->lanes; i++) {
      unsigned char *seen = &lanes[i].touched[number].seen[row];
      if (*seen)
        cells_move(lanes[0].g + at, lanes[i].g + at, entry->cols);
      *seen = 0;
    }
  }
}

static void sum_part(void *context, int part) {
  const struct lane_sum *sum = context;
  const struct layout *layout = sum->params->values->layout;
  for (size_t i = 0; i < layout->count; i++)
    if (layout->entries[i].sparse)
      sum_sparse(sum, &layout->entries[i], i, (size_t)part);
    else
      sum_dense(sum, &layout->entries[i], (size_t)part);
}

static void touched_merge(struct touched *all, const struct touched *lane) {
  for (size_t i = 0; i < lane->count; i++)
    touched_add(all, lane->rows[i]);
}

void params_lane_sum(qe_params *params, int lanes, qe_pool *pool) {
  const size_t count = params->values->layout->count;
  struct lane_sum sum = { .params = params, .lanes = lanes < 0 ? 0 : (size_t)lanes };
  if (params->lane_count == 0)
    return;
  if (sum.lanes >= params->lane_count)
    sum.lanes = params->lane_count - 1;
  for (size_t i = 1; i <= sum.lanes; i++)
    for (size_t j = 0; j < count; j++)
      touched_merge(&params->lanes[0].touched[j], &params->lanes[i].touched[j]);
  sum.parts = block_parts(pool);
  pool_run(pool, (int)sum.parts, sum_part, &sum);
  for (size_t i = 1; i <= sum.lanes; i++)
    for (size_t j = 0; j < count; j++)
      params->lanes[i].touched[j].count = 0;
}

/* ---- on a tape ---- */

static const struct operation parameter = { "param", NULL };

/* The lane that a recording tape writes to; its own tape makes lane 0, shards find theirs made. */
static struct lane *lane_of(qe_params *params, qe_tape *tape) {
  const size_t lane = (size_t)tape_lane(tape);
  if (lane == 0 && params_lanes(params, 0) != QE_OK) {
    error_memory(tape_error(tape));
    return NULL;
  }
  if (lane < params->lane_count)
    return &params->lanes[lane];
  tape_fail(tape, QE_USE, "param: no lane %zu, there are %zu", lane, params->lane_count);
  return NULL;
}

qe_tensor qe_param(qe_tape *tape, qe_params *params, size_t number) {
  const struct layout_entry *entry = params_entry(params, number);
  if (!entry)
    return tape_fail(tape, QE_USE, "param: no matrix number %zu, there are %zu", number, qe_params_count(params));
  atomic_store_explicit(&params->used, true, memory_order_relaxed);
  struct node *node = node_leaf(tape, &parameter, entry->rows, entry->cols, qe_params_matrix(params, number));
  if (!node || !node->wants)
    return node_handle(node);
  struct lane *lane = lane_of(params, tape);
  if (!lane)
    return QE_NONE;
  node->g = lane->g + entry->offset;
  node->extra = &lane->touched[number];
  node->touch = entry->sparse ? touch_rows : NULL;
  return node_handle(node);
}
