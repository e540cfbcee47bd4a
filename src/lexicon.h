/*
** lexicon.h - the insides of a lexicon that students need, private.
*/
#ifndef QE_LEXICON_H
#define QE_LEXICON_H
#include "text.h"

enum { LEXICON_LETTERS = 5 }; /* that words are cut to, where options say nothing else */

/* t(word | given) of all words of a pair: rows are the words of the other side, columns those of side `given`, then the
** word that stands for nothing. */
struct lexicon_matrix {
  float *t;
  size_t rows, cols, room;
};
/* `left_out`: pairs that were counted, the pair itself among them or not, and what they contributed is taken away first:
** t = max(C(e,f) - own(e,f), 0) / (C(e) - own(e) + 1); 0 for what was never seen together. QE_OK or QE_MEMORY. */
int lexicon_pair(const qe_lexicon *lexicon, qe_side given, const qe_pair *pair, const qe_pair *left_out,
                 size_t count, struct lexicon_matrix *matrix);
void lexicon_matrix_free(struct lexicon_matrix *matrix);

#endif
