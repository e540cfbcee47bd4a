/*
** data.h - the insides of datasets and batches that models need, private.
*/
#ifndef QE_DATA_H
#define QE_DATA_H
#include "text.h"

/* The encoding of one side of all rows under one vocabulary, made on first use, kept by the dataset until rows
** are added. NULL: no memory. */
const struct encoding *dataset_encoding(qe_dataset *data, qe_side side, const struct vocabulary *vocabulary,
                                        size_t max_words);

/* One side of a batch as one vocabulary has it: packed and re-based; made on first use, lives as long as the batch.
** NULL: no memory. */
struct side {
  qe_segments words; /* per row of the batch: its words */
  qe_segments bags;  /* per word: its ids */
  const uint32_t *ids;
};
const struct side *batch_side(qe_batch *batch, qe_side side, const struct vocabulary *vocabulary, size_t max_words);
qe_dataset *batch_dataset(const qe_batch *batch);
struct error *dataset_error_of(qe_dataset *data);

#endif
