/*
** batch.c - a choice of rows. For every vocabulary that asks, a batch makes one block: its rows cut out of the
** dataset's encoding, packed and re-based to start at 0. The block depends on the texts of the chosen rows alone,
** which never change, so it is kept for good even when the dataset grows and drops its encodings. It does not look
** at the texts.
*/
#include "model.h"

#include <stdio.h>

struct kept_side {
  qe_side side;
  uint64_t fingerprint;
  size_t max_words;
  struct side packed;
  uint32_t block[]; /* offsets of words, offsets of bags, ids */
};
struct qe_batch {
  qe_dataset *data;
  uint32_t *rows;
  size_t count;
  struct kept_side **sides;
  size_t side_count, side_room;
};

/* ---- rows ---- */

static bool rows_exist(qe_dataset *data, const uint32_t *rows, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (rows[i] >= qe_dataset_rows(data)) {
      error_set(dataset_error_of(data), QE_USE, "batch: row %lu, but the dataset has %zu rows",
                (unsigned long)rows[i], qe_dataset_rows(data));
      return false;
    }
  return true;
}

qe_batch *qe_batch_new(qe_dataset *data, const uint32_t *rows, size_t count) {
  error_clear(dataset_error_of(data));
  if (!rows_exist(data, rows, count))
    return NULL;
  qe_batch *batch = memory_new(1, sizeof *batch);
  uint32_t *copy = memory_new(count, sizeof *copy);
  if (!batch || !copy) {
    memory_free(batch);
    memory_free(copy);
    error_memory(dataset_error_of(data));
    return NULL;
  }
  if (count > 0)
    memcpy(copy, rows, count * sizeof *copy);
  *batch = (qe_batch){ .data = data, .rows = copy, .count = count };
  return batch;
}

void qe_batch_free(qe_batch *batch) {
  if (!batch)
    return;
  for (size_t i = 0; i < batch->side_count; i++)
    memory_free(batch->sides[i]);
  memory_free(batch->sides);
  memory_free(batch->rows);
  memory_free(batch);
}

size_t qe_batch_size(const qe_batch *batch) {
  return batch->count;
}

const uint32_t *qe_batch_rows(const qe_batch *batch) {
  return batch->rows;
}

qe_dataset *batch_dataset(const qe_batch *batch) {
  return batch->data;
}

/* ---- sides ---- */

/* Words and ids of all rows. */
static void count_tokens(const qe_batch *batch, const struct encoding *encoding, size_t *words, size_t *ids) {
  *words = *ids = 0;
  for (size_t i = 0; i < batch->count; i++) {
    const uint32_t first = encoding->word[batch->rows[i]], end = encoding->word[batch->rows[i] + (size_t)1];
    *words += end - first;
    if (end > first)
      *ids += encoding->id[end] - encoding->id[first];
  }
}

static struct kept_side *side_new(const qe_batch *batch, size_t words, size_t ids) {
  size_t numbers, bytes;
  if (words > UINT32_MAX || ids > UINT32_MAX || batch->count > UINT32_MAX ||
      __builtin_add_overflow(batch->count + words + 2, ids, &numbers) ||
      __builtin_mul_overflow(numbers, sizeof(uint32_t), &bytes) ||
      __builtin_add_overflow(bytes, sizeof(struct kept_side), &bytes))
    return NULL;
  return memory_new(bytes, 1);
}

static void side_fill(struct kept_side *kept, const qe_batch *batch, const struct encoding *encoding,
                      size_t words) {
  uint32_t *word = kept->block, *bag = word + batch->count + 1, *ids = bag + words + 1;
  uint32_t word_count = 0, id_count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    const uint32_t first = encoding->word[batch->rows[i]], end = encoding->word[batch->rows[i] + (size_t)1];
    word[i] = word_count;
    for (uint32_t w = first; w < end; w++)
      bag[word_count++] = id_count + (encoding->id[w] - encoding->id[first]);
    const uint32_t added = end > first ? encoding->id[end] - encoding->id[first] : 0;
    if (added > 0)
      memcpy(ids + id_count, encoding->ids + encoding->id[first], added * sizeof *ids);
    id_count += added;
  }
  word[batch->count] = word_count;
  bag[word_count] = id_count;
  kept->packed = (struct side){
    .words = { word, (uint32_t)batch->count },
    .bags = { bag, word_count },
    .ids = ids,
  };
}

static const struct kept_side *side_make(qe_batch *batch, const struct kept_side *key,
                                         const struct vocabulary *vocabulary) {
  const struct encoding *encoding = dataset_encoding(batch->data, key->side, vocabulary, key->max_words);
  if (!encoding)
    return NULL;
  size_t words, ids;
  count_tokens(batch, encoding, &words, &ids);
  struct kept_side *kept = side_new(batch, words, ids);
  if (!kept ||
      !memory_reserve((void **)&batch->sides, &batch->side_room, batch->side_count + 1, sizeof *batch->sides)) {
    memory_free(kept);
    error_memory(dataset_error_of(batch->data));
    return NULL;
  }
  kept->side = key->side;
  kept->fingerprint = key->fingerprint;
  kept->max_words = key->max_words;
  side_fill(kept, batch, encoding, words);
  return batch->sides[batch->side_count++] = kept;
}

const struct side *batch_side(qe_batch *batch, qe_side side, const struct vocabulary *vocabulary,
                              size_t max_words) {
  const struct kept_side key = { .side = side,
                                 .fingerprint = vocabulary_fingerprint(vocabulary, max_words),
                                 .max_words = max_words };
  for (size_t i = 0; i < batch->side_count; i++) {
    const struct kept_side *kept = batch->sides[i];
    if (kept->side == side && kept->fingerprint == key.fingerprint && kept->max_words == max_words)
      return &kept->packed;
  }
  error_clear(dataset_error_of(batch->data));
  const struct kept_side *made = side_make(batch, &key, vocabulary);
  return made ? &made->packed : NULL;
}

int qe_batch_segments(qe_batch *batch, const qe_model *model, qe_side side, qe_segments *segments) {
  struct error *error = dataset_error_of(batch->data);
  error_clear(error);
  if (!model->params)
    return error_set(error, QE_USE, "segments: the model is empty");
  if (side != QE_SOURCE && side != QE_TARGET)
    return error_set(error, QE_USE, "segments: side %d, expected %d or %d", (int)side, QE_SOURCE, QE_TARGET);
  const struct side *found = batch_side(batch, side, &model->vocabulary[side], model->configuration.max_tokens);
  if (!found)
    return error->status;
  *segments = found->words;
  return QE_OK;
}

/* ---- columns ---- */

static void list_columns(const qe_dataset *data, char *out, size_t room) {
  size_t used = 0;
  snprintf(out, room, "none");
  for (size_t i = 0; i < qe_dataset_columns(data); i++) {
    const char *name = qe_dataset_column_name(data, i);
    if (used + strlen(name) + sizeof ", ..." > room) {
      snprintf(out + used, room - used, "%s...", i > 0 ? ", " : "");
      return;
    }
    used += (size_t)snprintf(out + used, room - used, "%s%s", i > 0 ? ", " : "", name);
  }
}

qe_tensor qe_batch_column(qe_tape *tape, qe_batch *batch, const char *name) {
  const double *column = qe_dataset_column(batch->data, name);
  if (!column) {
    char known[320];
    list_columns(batch->data, known, sizeof known);
    return tape_fail(tape, QE_USE, "batch column: there is none named \"%.100s\"; the dataset has: %s", name,
                     known);
  }
  qe_real *values = tape_alloc(tape, batch->count, sizeof *values);
  for (size_t i = 0; values && i < batch->count; i++)
    values[i] = (qe_real)column[batch->rows[i]];
  return values ? qe_constant(tape, batch->count, 1, values) : QE_NONE;
}
