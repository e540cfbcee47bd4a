/*
** sentencepiece.h - reads a model file of SentencePiece, private.
*/
#ifndef QE_SENTENCEPIECE_H
#define QE_SENTENCEPIECE_H
#include "unigram.h"

/* Pieces get the ids that XLM-R's tokenizers give them: <s> 0, <pad> 1, </s> 2, <unk> 3, then those of the file from its
** number 3 on. Refused: models that are not unigram, that fall back to bytes, that treat white space in another way than
** XLM-R's, or whose first three pieces are not <unk>, <s>, </s>. */
int sentencepiece_read(struct unigram *unigram, qe_text file, struct error *error);

#endif
