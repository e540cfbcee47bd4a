/*
** words.c - from the words of a shard's texts to their embeddings, on a tape: what every kind of model does that reads
** words. A word is the row of its id, or the mean of the rows of its n-grams.
*/
#include "architecture.h"

static qe_segments segments_from(qe_tape *tape, const uint32_t *offset, size_t count) {
  return (qe_segments){ offsets_keep(tape, offset, count), (uint32_t)count };
}

qe_segments words_of(const struct shard *shard, size_t side) {
  return segments_from(shard->tape, shard->sides[side]->words.offset + shard->first, shard->count);
}

size_t words_offset(const qe_model *model, const struct side *const sides[2], int side, size_t row) {
  (void)model;
  return sides[side]->words.offset[row];
}

qe_tensor words_embed(const struct shard *shard, size_t side, size_t table) {
  if (shard->given[side].tape)
    return shard->given[side];
  const struct side *input = shard->sides[side];
  const uint32_t word = input->words.offset[shard->first];
  const uint32_t words = input->words.offset[shard->first + shard->count] - word;
  const uint32_t id = input->bags.offset[word], ids = input->bags.offset[word + words] - id;
  const qe_segments bags = segments_from(shard->tape, input->bags.offset + word, words);
  uint32_t *copy = tape_alloc(shard->tape, ids, sizeof *copy);
  if (!bags.offset || !copy)
    return QE_NONE;
  if (ids > 0)
    memcpy(copy, input->ids + id, ids * sizeof *copy);
  const qe_tensor rows = qe_param(shard->tape, shard->model->params, table);
  return shard->model->vocabulary[side].kind == VOCABULARY_WORDS ? qe_gather(rows, copy, ids)
                                                                 : qe_bag(rows, copy, bags);
}
