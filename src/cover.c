/*
** cover.c - states of pieces as states of words: every word gets the mean over the pieces that cover it. Both ways to cut
** a text are laid along its bytes without spaces; an unknown piece takes its share of the bytes that no other piece
** explains, and where the two normalisations disagree about lengths, places are scaled. On a tape the result is a
** composition of other operations.
*/
#include "cover.h"

void cover_free(struct cover *cover) {
  words_free(&cover->words);
  memory_free(cover->piece_end);
  memory_free(cover->rows);
  memory_free(cover->offset);
}

bool cover_begin(struct cover *cover) {
  cover->used = cover->words_done = 0;
  if (!memory_reserve((void **)&cover->offset, &cover->offset_room, 1, sizeof *cover->offset))
    return false;
  cover->offset[0] = 0;
  return true;
}

/* Bytes of a piece that are no spaces (U+2581). */
static size_t piece_bytes(qe_text piece) {
  size_t bytes = piece.size;
  for (size_t i = 0; i + 3 <= piece.size; i++)
    if (memcmp(piece.data + i, "\xe2\x96\x81", 3) == 0)
      bytes -= 3;
  return bytes;
}

/* Ends of all pieces, then scaled to the `total` bytes that the words have, unless they were cut off. */
static void end_pieces(struct cover *cover, const struct unigram *unigram, struct text_pieces pieces,
                       size_t total) {
  size_t known = 0, unknown = 0, at = 0;
  for (size_t i = 0; i < pieces.count; i++)
    if (pieces.ids[i] == unigram->unknown)
      unknown++;
    else
      known += piece_bytes(unigram_piece(unigram, pieces.ids[i]));
  const bool whole = !cover->words.truncated && !pieces.truncated;
  const size_t share = unknown == 0 ? 0 : whole && total > known ? (total - known) / unknown : 1;
  const size_t sum = known + unknown * share;
  for (size_t i = 0; i < pieces.count; i++) {
    const uint32_t id = pieces.ids[i];
    at += id == unigram->unknown ? share : piece_bytes(unigram_piece(unigram, id));
    cover->piece_end[i] = whole && sum > 0 ? at * total / sum : at;
  }
}

static bool reserve(struct cover *cover, size_t pieces) {
  const size_t words = cover->words.count;
  return memory_reserve((void **)&cover->piece_end, &cover->piece_room, pieces + 1, sizeof *cover->piece_end) &&
         memory_reserve((void **)&cover->rows, &cover->rows_room, cover->used + words + pieces + 1,
                        sizeof *cover->rows) &&
         memory_reserve((void **)&cover->offset, &cover->offset_room, cover->words_done + words + 1,
                        sizeof *cover->offset);
}

/* Pieces that share a byte with each word; `first` is the row of the text's first piece. */
static void overlap(struct cover *cover, size_t pieces, size_t first) {
  size_t piece = 0;
  for (size_t i = 0; i < cover->words.count; i++) {
    const size_t begin = cover->words.offset[i], end = cover->words.offset[i + 1];
    while (piece < pieces && cover->piece_end[piece] <= begin)
      piece++;
    for (size_t p = piece; p < pieces && (p > 0 ? cover->piece_end[p - 1] : 0) < end; p++)
      if (cover->piece_end[p] > (p > 0 ? cover->piece_end[p - 1] : 0))
        cover->rows[cover->used++] = (uint32_t)(first + p);
    cover->offset[++cover->words_done] = (uint32_t)cover->used;
  }
}

int cover_add(struct cover *cover, const struct unigram *unigram, qe_text text, size_t max_words,
              struct text_pieces pieces, size_t first) {
  if (words_split(&cover->words, text, max_words) != QE_OK || !reserve(cover, pieces.count))
    return QE_MEMORY;
  end_pieces(cover, unigram, pieces, cover->words.count > 0 ? cover->words.offset[cover->words.count] : 0);
  overlap(cover, pieces.count, first);
  return QE_OK;
}

/* ---- on a tape ---- */

static qe_tensor gather(qe_tensor states, const struct cover *cover) {
  uint32_t *rows = tape_alloc(states.tape, cover->used, sizeof *rows);
  uint32_t *offset = tape_alloc(states.tape, cover->words_done + 1, sizeof *offset);
  if (!rows || !offset)
    return QE_NONE;
  if (cover->used > 0)
    memcpy(rows, cover->rows, cover->used * sizeof *rows);
  memcpy(offset, cover->offset, (cover->words_done + 1) * sizeof *offset);
  return qe_pool_segments(qe_gather(states, rows, cover->used),
                          (qe_segments){ offset, (uint32_t)cover->words_done }, QE_POOL_MEAN);
}

static bool reads(const qe_model *model, qe_side side, bool pieces) {
  return model->params && (model->vocabulary[side].kind == VOCABULARY_PIECES) == pieces;
}

qe_tensor qe_states_of_words(qe_tensor states, qe_batch *batch, qe_side side, const qe_model *from,
                             const qe_model *to) {
  struct cover cover = { 0 };
  struct unigram_work found = { 0 };
  qe_dataset *data = batch_dataset(batch);
  size_t first = 0;
  int status = QE_OK;
  if (!node_of(states))
    return QE_NONE;
  if (!reads(from, side, true) || !reads(to, side, false))
    return tape_fail(states.tape, QE_USE,
                     "states_of_words: expected states of a model that reads pieces, and another "
                     "that reads words");
  const bool begun = cover_begin(&cover);
  for (size_t i = 0; begun && status == QE_OK && i < qe_batch_size(batch); i++) {
    const qe_pair pair = qe_dataset_pair(data, qe_batch_rows(batch)[i]);
    const qe_text text = side == QE_SOURCE ? pair.source : pair.translation;
    const struct unigram *unigram = vocabulary_unigram(&from->vocabulary[side]);
    status = unigram_encode(unigram, &found, text, from->configuration.max_tokens);
    if (status == QE_OK)
      status = cover_add(&cover, unigram, text, to->configuration.max_tokens,
                         (struct text_pieces){ found.ids, found.count, found.truncated }, first);
    first += found.count;
  }
  qe_tensor result = QE_NONE;
  if (!begun || status != QE_OK)
    error_memory(tape_error(states.tape));
  else if (first != qe_rows(states))
    tape_fail(states.tape, QE_USE, "states_of_words: %zu rows of states, but the texts have %zu pieces",
              qe_rows(states), first);
  else
    result = gather(states, &cover);
  cover_free(&cover);
  unigram_work_free(&found);
  return result;
}
