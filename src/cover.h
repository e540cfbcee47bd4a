/*
** cover.h - which pieces of a text make up each of its words, private to cover.c and context.c.
*/
#ifndef QE_COVER_H
#define QE_COVER_H
#include "model.h"

/* As unigram_encode leaves them. */
struct text_pieces {
  const uint32_t *ids;
  size_t count;
  bool truncated;
};

/* Of some texts, one after another; begins as zeros. */
struct cover {
  struct words words; /* of the last text */
  size_t *piece_end;  /* in bytes without spaces */
  size_t piece_room;
  uint32_t *rows, *offset; /* word i has the pieces rows[offset[i]] .. rows[offset[i + 1] - 1] */
  size_t used, words_done, rows_room, offset_room;
};
bool cover_begin(struct cover *cover); /* no texts; false: no memory */
/* One more text, whose pieces are numbered from `first` on. QE_OK or QE_MEMORY. */
int cover_add(struct cover *cover, const struct unigram *unigram, qe_text text, size_t max_words,
              struct text_pieces pieces, size_t first);
void cover_free(struct cover *cover);

#endif
