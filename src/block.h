/*
** block.h - what a block is: a flat vector of cells in the order of a layout, which any number of blocks and the
** parameters share. A layout never changes once it is made; adding a matrix makes another one.
*/
#ifndef QE_BLOCK_H
#define QE_BLOCK_H

#include "core.h"

#include <stdatomic.h>

struct layout {
  atomic_size_t holders; /* clones of one block may belong to different threads */
  size_t cells, count;
  struct layout_entry *entries;
};

struct qe_block {
  struct layout *layout;
  qe_real *values;
  bool owned;   /* belongs to parameters or an optimiser: qe_block_free leaves it alone */
  bool written; /* cells were changed through this block since somebody cleared the flag */
  bool exposed; /* the address of the values was given out: they may change at any time */
};

struct layout *layout_new(void); /* without entries; NULL: no memory */
/* `old` and one more matrix; NULL: no memory. The caller has checked that the sum of cells fits. */
struct layout *layout_extended(const struct layout *old, const char *name, size_t rows, size_t cols, bool sparse);
struct layout *layout_hold(struct layout *layout);
void layout_release(struct layout *layout);
bool layout_equal(const struct layout *a, const struct layout *b); /* same names and shapes in the same order */

qe_block *block_new(struct layout *layout); /* of zeros; NULL: no memory */
void block_drop(qe_block *block);           /* frees it even if it is owned */

/* Work on blocks is cut into parts for a pool; where they are cut changes no bits. */
static inline size_t block_parts(const qe_pool *pool) {
  enum { PER_THREAD = 4, MOST_PARTS = 64 };
  const int threads = qe_pool_threads(pool);
  return threads == 1 ? 1 : threads * PER_THREAD < MOST_PARTS ? (size_t)threads * PER_THREAD : MOST_PARTS;
}
static inline size_t part_begin(size_t count, size_t part, size_t parts) {
  const size_t rest = count % parts;
  return count / parts * part + (part < rest ? part : rest);
}

#endif
