/*
** batcher.c - endless epochs of batches. An epoch is a function of the chosen rows, the batch size and the random
** state it begins with, so that state, with a count of batches given out, is all that a cursor saves. One draw of
** the state seeds the epoch's own stream, and then
**   1. the rows are shuffled;
**   2. each window of 64 batches' worth of them is sorted by length (bytes of source and translation, for which no
**      model is needed), equal lengths in shuffled order;
**   3. what results is cut into batches, of which the last may be smaller;
**   4. the batches are shuffled, the smaller one among them.
** Invariant: next > 0 says that `order` and `batch` hold the epoch's; next = 0 says that it has not begun, `epoch`
** being the number of those that are over. It keeps no batch: they are the caller's.
*/
#include "data.h"

#include <stdlib.h>

enum { WINDOW_BATCHES = 64 };

struct item {
  size_t length;
  uint32_t place, row; /* place: after the shuffle */
};
struct qe_batcher {
  struct error error;
  bool broken; /* made of what cannot be; the error says what */
  qe_dataset *data;
  uint32_t *rows; /* as chosen */
  struct item *items;
  uint32_t *order; /* rows, batch after batch */
  uint32_t *batch; /* which batch is given out when */
  size_t count, batch_size, batches;
  qe_rng rng; /* as it was when the epoch began */
  uint64_t epoch;
  size_t next;
};

/* ---- one epoch ---- */

static int compare_items(const void *a, const void *b) {
  const struct item *x = a, *y = b;
  if (x->length != y->length)
    return x->length < y->length ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

static void sort_windows(struct item *items, size_t count, size_t window) {
  for (size_t first = 0; first < count; first += window) {
    if (window > count - first)
      window = count - first;
    qsort(items + first, window, sizeof *items, compare_items);
  }
}

static void draw_epoch(qe_batcher *batcher) {
  qe_rng parent = batcher->rng, stream;
  qe_rng_seed(&stream, qe_rng_next(&parent), "epoch");
  memcpy(batcher->order, batcher->rows, batcher->count * sizeof *batcher->order);
  qe_rng_shuffle(&stream, batcher->order, batcher->count);
  for (size_t i = 0; i < batcher->count; i++) {
    qe_pair pair = qe_dataset_pair(batcher->data, batcher->order[i]);
    batcher->items[i] = (struct item){ pair.source.size + pair.translation.size, (uint32_t)i, batcher->order[i] };
  }
  const size_t all = batcher->count;
  sort_windows(batcher->items, all,
               batcher->batch_size <= all / WINDOW_BATCHES ? WINDOW_BATCHES * batcher->batch_size : all);
  for (size_t i = 0; i < all; i++)
    batcher->order[i] = batcher->items[i].row;
  for (size_t i = 0; i < batcher->batches; i++)
    batcher->batch[i] = (uint32_t)i;
  qe_rng_shuffle(&stream, batcher->batch, batcher->batches);
}

/* ---- life ---- */

static bool batcher_room(qe_batcher *batcher) {
  batcher->rows = memory_new(batcher->count, sizeof *batcher->rows);
  batcher->order = memory_new(batcher->count, sizeof *batcher->order);
  batcher->items = memory_new(batcher->count, sizeof *batcher->items);
  batcher->batch = memory_new(batcher->batches, sizeof *batcher->batch);
  return batcher->rows && batcher->order && batcher->items && batcher->batch;
}

static int check_choice(qe_batcher *batcher, const uint32_t *rows) {
  const size_t all = qe_dataset_rows(batcher->data);
  if (batcher->batch_size == 0)
    return error_set(&batcher->error, QE_USE, "batcher: batches of 0 rows");
  if (batcher->count == 0)
    return error_set(&batcher->error, QE_USE, "batcher: no rows to make batches of");
  if (batcher->count > UINT32_MAX)
    return error_set(&batcher->error, QE_USE, "batcher: %zu rows are too many", batcher->count);
  for (size_t i = 0; rows && i < batcher->count; i++)
    if (rows[i] >= all)
      return error_set(&batcher->error, QE_USE, "batcher: row %lu, but the dataset has %zu rows",
                       (unsigned long)rows[i], all);
  return QE_OK;
}

qe_batcher *qe_batcher_new(qe_dataset *data, const uint32_t *rows, size_t count, size_t batch_size,
                           const qe_rng *rng) {
  qe_batcher *batcher = memory_new(1, sizeof *batcher);
  if (!batcher)
    return NULL;
  batcher->data = data;
  batcher->count = rows ? count : qe_dataset_rows(data);
  batcher->batch_size = batch_size;
  batcher->rng = *rng;
  batcher->broken = check_choice(batcher, rows) != QE_OK;
  if (batcher->broken)
    return batcher;
  batcher->batches = batcher->count / batch_size + (batcher->count % batch_size > 0);
  if (!batcher_room(batcher)) {
    qe_batcher_free(batcher);
    return NULL;
  }
  for (size_t i = 0; i < batcher->count; i++)
    batcher->rows[i] = rows ? rows[i] : (uint32_t)i;
  return batcher;
}

void qe_batcher_free(qe_batcher *batcher) {
  if (!batcher)
    return;
  memory_free(batcher->rows);
  memory_free(batcher->order);
  memory_free(batcher->items);
  memory_free(batcher->batch);
  memory_free(batcher);
}

const char *qe_batcher_error(const qe_batcher *batcher) {
  return batcher->error.text;
}

size_t qe_batcher_batches(const qe_batcher *batcher) {
  return batcher->batches;
}

/* ---- batches ---- */

static qe_batch *make_batch(const qe_batcher *batcher) {
  const size_t first = batcher->batch[batcher->next] * batcher->batch_size, left = batcher->count - first;
  return qe_batch_new(batcher->data, batcher->order + first,
                      left < batcher->batch_size ? left : batcher->batch_size);
}

int qe_batcher_next(qe_batcher *batcher, qe_batch **batch) {
  *batch = NULL;
  if (batcher->broken)
    return batcher->error.status;
  error_clear(&batcher->error);
  if (batcher->next == batcher->batches) {
    qe_rng_next(&batcher->rng); /* the draw that the epoch was made of */
    batcher->next = 0;
    return 0;
  }
  if (batcher->next == 0)
    draw_epoch(batcher);
  *batch = make_batch(batcher);
  if (!*batch)
    return error_memory(&batcher->error);
  if (batcher->next++ == 0)
    batcher->epoch++;
  return 1;
}

void qe_batcher_save(const qe_batcher *batcher, qe_cursor *cursor) {
  *cursor = (qe_cursor){ batcher->rng, batcher->epoch, batcher->next };
}

int qe_batcher_restore(qe_batcher *batcher, const qe_cursor *cursor) {
  const uint64_t *s = cursor->rng.s;
  if (batcher->broken)
    return batcher->error.status;
  error_clear(&batcher->error);
  if (cursor->next > batcher->batches)
    return error_set(&batcher->error, QE_FORMAT, "restore: %llu batches given out, but an epoch has %zu",
                     (unsigned long long)cursor->next, batcher->batches);
  if (cursor->epoch == 0 && cursor->next > 0)
    return error_set(&batcher->error, QE_FORMAT, "restore: %llu batches given out before the first epoch",
                     (unsigned long long)cursor->next);
  if ((s[0] | s[1] | s[2] | s[3]) == 0)
    return error_set(&batcher->error, QE_FORMAT, "restore: the random state is all zeros, which none can be");
  batcher->rng = cursor->rng;
  batcher->epoch = cursor->epoch;
  batcher->next = (size_t)cursor->next;
  if (batcher->next > 0)
    draw_epoch(batcher);
  return QE_OK;
}
