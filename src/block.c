/*
** block.c - layouts (counted by their holders, never changed) and the algebra of blocks, flat vectors of cells. Two
** blocks combine only if their layouts have the same names and shapes. Sums are taken in double by eight running
** sums, each over every eighth cell, added up in a fixed order: vector code, yet the same bits everywhere. The flags
** tell parameters that somebody wrote into their gradient. Nothing here knows sparse matrices or threads.
*/
#include "block.h"
#include "clones.h"

#include <math.h>

/* ---- layouts ---- */

struct layout *layout_new(void) {
  struct layout *layout = memory_new(1, sizeof *layout);
  if (layout)
    atomic_init(&layout->holders, 1);
  return layout;
}

/* Places the entry behind those that are there; the room has been made. */
static bool layout_place(struct layout *layout, const struct layout_entry *entry) {
  size_t size = strlen(entry->name) + 1;
  char *name = memory_new(size, 1);
  if (!name)
    return false;
  memcpy(name, entry->name, size);
  struct layout_entry *placed = &layout->entries[layout->count++];
  *placed = *entry;
  placed->name = name;
  placed->offset = layout->cells;
  layout->cells += entry->rows * entry->cols;
  return true;
}

struct layout *layout_extended(const struct layout *old, const char *name, size_t rows, size_t cols, bool sparse) {
  struct layout *layout = layout_new();
  if (!layout)
    return NULL;
  char *copy = memory_new(strlen(name) + 1, 1);
  struct layout_entry entry = { .name = copy, .rows = rows, .cols = cols, .sparse = sparse };
  layout->entries = memory_new(old->count + 1, sizeof *layout->entries);
  bool placed = copy && layout->entries;
  if (copy)
    memcpy(copy, name, strlen(name) + 1);
  for (size_t i = 0; placed && i < old->count; i++)
    placed = layout_place(layout, &old->entries[i]);
  placed = placed && layout_place(layout, &entry);
  memory_free(copy);
  if (placed)
    return layout;
  layout_release(layout);
  return NULL;
}

struct layout *layout_hold(struct layout *layout) {
  atomic_fetch_add(&layout->holders, 1);
  return layout;
}

void layout_release(struct layout *layout) {
  if (!layout || atomic_fetch_sub(&layout->holders, 1) > 1)
    return;
  for (size_t i = 0; i < layout->count; i++)
    memory_free(layout->entries[i].name);
  memory_free(layout->entries);
  memory_free(layout);
}

bool layout_equal(const struct layout *a, const struct layout *b) {
  if (a == b)
    return true;
  bool equal = a->count == b->count;
  for (size_t i = 0; equal && i < a->count; i++) {
    const struct layout_entry *x = &a->entries[i], *y = &b->entries[i];
    equal = x->rows == y->rows && x->cols == y->cols && strcmp(x->name, y->name) == 0;
  }
  return equal;
}

/* ---- blocks ---- */

qe_block *block_new(struct layout *layout) {
  qe_block *block = memory_new(1, sizeof *block);
  if (!block)
    return NULL;
  block->values = memory_new(layout->cells, sizeof *block->values);
  if (!block->values) {
    memory_free(block);
    return NULL;
  }
  block->layout = layout_hold(layout);
  return block;
}

void block_drop(qe_block *block) {
  if (!block)
    return;
  layout_release(block->layout);
  memory_free(block->values);
  memory_free(block);
}

void qe_block_free(qe_block *block) {
  if (block && !block->owned)
    block_drop(block);
}

qe_block *qe_block_clone(const qe_block *block) {
  qe_block *clone = block_new(block->layout);
  if (clone)
    memcpy(clone->values, block->values, block->layout->cells * sizeof *block->values);
  return clone;
}

size_t qe_block_size(const qe_block *block) {
  return block->layout->cells;
}

qe_real *qe_block_values(qe_block *block) {
  block->exposed = true;
  return block->values;
}

/* ---- algebra ---- */

VECTOR_CLONES
static void cells_fill(qe_real *x, qe_real value, size_t count) {
  for (size_t i = 0; i < count; i++)
    x[i] = value;
}

VECTOR_CLONES
static void cells_axpy(qe_real *y, qe_real a, const qe_real *x, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += a * x[i];
}

VECTOR_CLONES
static void cells_lerp(qe_real *y, const qe_real *x, qe_real t, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] += t * (x[i] - y[i]);
}

VECTOR_CLONES
static void cells_scale(qe_real *y, qe_real a, size_t count) {
  for (size_t i = 0; i < count; i++)
    y[i] *= a;
}

VECTOR_CLONES
static double cells_dot(const qe_real *x, const qe_real *y, size_t count) {
  enum { WAYS = 8 };
  double sums[WAYS] = { 0 }, sum = 0;
  size_t i = 0;
  for (; i + WAYS <= count; i += WAYS)
    for (size_t way = 0; way < WAYS; way++)
      sums[way] += (double)x[i + way] * (double)y[i + way];
  for (; i < count; i++)
    sums[i % WAYS] += (double)x[i] * (double)y[i];
  for (size_t way = 0; way < WAYS; way++)
    sum += sums[way];
  return sum;
}

int qe_block_fill(qe_block *x, double value) {
  x->written = true;
  cells_fill(x->values, (qe_real)value, x->layout->cells);
  return QE_OK;
}

int qe_block_copy(qe_block *y, const qe_block *x) {
  if (!layout_equal(y->layout, x->layout))
    return QE_USE;
  y->written = true;
  memmove(y->values, x->values, x->layout->cells * sizeof *x->values);
  return QE_OK;
}

int qe_block_axpy(qe_block *y, double a, const qe_block *x) {
  if (!layout_equal(y->layout, x->layout))
    return QE_USE;
  y->written = true;
  cells_axpy(y->values, (qe_real)a, x->values, x->layout->cells);
  return QE_OK;
}

int qe_block_lerp(qe_block *y, const qe_block *x, double t) {
  if (!layout_equal(y->layout, x->layout))
    return QE_USE;
  y->written = true;
  cells_lerp(y->values, x->values, (qe_real)t, x->layout->cells);
  return QE_OK;
}

int qe_block_scale(qe_block *y, double a) {
  if (!isfinite((qe_real)a)) /* else zeros stay zeros, and no row changes that was not touched */
    y->written = true;
  cells_scale(y->values, (qe_real)a, y->layout->cells);
  return QE_OK;
}

int qe_block_dot(const qe_block *x, const qe_block *y, double *dot) {
  if (!layout_equal(x->layout, y->layout))
    return QE_USE;
  *dot = cells_dot(x->values, y->values, x->layout->cells);
  return QE_OK;
}

double qe_block_norm(const qe_block *x) {
  return sqrt(cells_dot(x->values, x->values, x->layout->cells));
}

/* A norm that is not a number, or infinite, scales nothing: the optimiser shall see the gradient as it is. */
double qe_block_clip(qe_block *x, double norm) {
  double before = qe_block_norm(x);
  if (norm >= 0 && isfinite(before) && before > norm)
    qe_block_scale(x, norm / before);
  return before;
}
