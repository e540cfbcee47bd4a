/*
** cover.c - states of pieces as states of words: every word gets the mean over the pieces that cover it. Both ways to cut
** a text are laid along its bytes without spaces; an unknown piece takes its share of the bytes that no other piece
** explains, and where the two normalisations disagree about lengths, places are scaled. Nothing is kept; the result is a
** composition of other operations.
*/
#include "model.h"

struct cover {
  struct words words;
  struct unigram_work pieces;
  size_t *word_end, *piece_end; /* in bytes */
  size_t word_room, piece_room;
  uint32_t *rows, *offset; /* found so far: rows of states; per word */
  size_t used, words_done, rows_room, offset_room;
};

static void cover_free(struct cover *cover) {
  words_free(&cover->words);
  unigram_work_free(&cover->pieces);
  memory_free(cover->word_end);
  memory_free(cover->piece_end);
  memory_free(cover->rows);
  memory_free(cover->offset);
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
static void end_pieces(struct cover *cover, const struct unigram *unigram, size_t total) {
  size_t known = 0, unknown = 0, at = 0;
  for (size_t i = 0; i < cover->pieces.count; i++)
    if (cover->pieces.ids[i] == unigram->unknown)
      unknown++;
    else
      known += piece_bytes(unigram_piece(unigram, cover->pieces.ids[i]));
  const bool whole = !cover->words.truncated && !cover->pieces.truncated;
  const size_t share = unknown == 0 ? 0 : whole && total > known ? (total - known) / unknown : 1;
  const size_t sum = known + unknown * share;
  for (size_t i = 0; i < cover->pieces.count; i++) {
    const uint32_t id = cover->pieces.ids[i];
    at += id == unigram->unknown ? share : piece_bytes(unigram_piece(unigram, id));
    cover->piece_end[i] = whole && sum > 0 ? at * total / sum : at;
  }
}

static bool reserve(struct cover *cover) {
  const size_t words = cover->words.count, pieces = cover->pieces.count;
  return memory_reserve((void **)&cover->word_end, &cover->word_room, words + 1, sizeof *cover->word_end) &&
         memory_reserve((void **)&cover->piece_end, &cover->piece_room, pieces + 1, sizeof *cover->piece_end) &&
         memory_reserve((void **)&cover->rows, &cover->rows_room, cover->used + words + pieces + 1,
                        sizeof *cover->rows) &&
         memory_reserve((void **)&cover->offset, &cover->offset_room, cover->words_done + words + 1,
                        sizeof *cover->offset);
}

/* Pieces that share a byte with each word; `first` is the row of the text's first piece. */
static void overlap(struct cover *cover, size_t first) {
  size_t piece = 0;
  for (size_t i = 0; i < cover->words.count; i++) {
    const size_t begin = cover->words.offset[i], end = cover->words.offset[i + 1];
    while (piece < cover->pieces.count && cover->piece_end[piece] <= begin)
      piece++;
    for (size_t p = piece; p < cover->pieces.count && (p > 0 ? cover->piece_end[p - 1] : 0) < end; p++)
      if (cover->piece_end[p] > (p > 0 ? cover->piece_end[p - 1] : 0))
        cover->rows[cover->used++] = (uint32_t)(first + p);
    cover->offset[++cover->words_done] = (uint32_t)cover->used;
  }
}

static int add_text(struct cover *cover, const qe_model *from, const qe_model *to, qe_side side, qe_text text,
                    size_t first) {
  const struct unigram *unigram = vocabulary_unigram(&from->vocabulary[side]);
  if (words_split(&cover->words, text, to->configuration.max_tokens) != QE_OK ||
      unigram_encode(unigram, &cover->pieces, text, from->configuration.max_tokens) != QE_OK || !reserve(cover))
    return QE_MEMORY;
  end_pieces(cover, unigram, cover->words.count > 0 ? cover->words.offset[cover->words.count] : 0);
  overlap(cover, first);
  return QE_OK;
}

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
  qe_dataset *data = batch_dataset(batch);
  size_t first = 0;
  int status = QE_OK;
  if (!node_of(states))
    return QE_NONE;
  if (!reads(from, side, true) || !reads(to, side, false))
    return tape_fail(states.tape, QE_USE,
                     "states_of_words: expected states of a model that reads pieces, and another "
                     "that reads words");
  cover.offset = memory_new(1, sizeof *cover.offset);
  cover.offset_room = cover.offset ? 1 : 0;
  for (size_t i = 0; cover.offset && status == QE_OK && i < qe_batch_size(batch); i++) {
    const qe_pair pair = qe_dataset_pair(data, qe_batch_rows(batch)[i]);
    status = add_text(&cover, from, to, side, side == QE_SOURCE ? pair.source : pair.translation, first);
    first += cover.pieces.count;
  }
  qe_tensor result = QE_NONE;
  if (!cover.offset || status != QE_OK)
    error_memory(tape_error(states.tape));
  else if (first != qe_rows(states))
    tape_fail(states.tape, QE_USE, "states_of_words: %zu rows of states, but the texts have %zu pieces",
              qe_rows(states), first);
  else
    result = gather(states, &cover);
  cover_free(&cover);
  return result;
}
