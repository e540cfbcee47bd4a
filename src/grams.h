/*
** grams.h - n-grams that texts have often enough, private: each has a row of an embedding table to itself, where those that
** are hashed share rows with others. Kept of them is a sketch of their hashes, and a row is the place of an entry in it;
** row 0 is for words of which nothing is known.
*/
#ifndef QE_GRAMS_H
#define QE_GRAMS_H
#include "sketch.h"

struct grams; /* read by all the vocabularies that have it, freed by the last */

/* From the hashes of all n-grams of some texts, as often as they occur, which are sorted: those that occur `minimum` times,
** the most frequent first, at most `rows` - 1. NULL: no memory. */
struct grams *grams_choose(uint64_t *hashes, size_t count, uint32_t rows, uint32_t minimum);
uint32_t grams_rows(const struct grams *grams); /* row 0 included */
/* Rows of hashes that have one, in their order, into `rows`; returns how many. */
size_t grams_find(const struct grams *grams, const uint64_t *hashes, size_t count, uint32_t *rows);
/* The archive member. Refused: what grams_write would write differently, any other number of rows. */
struct grams *grams_parse(qe_text member, uint32_t rows, struct error *error); /* NULL: recorded */
int grams_write(const struct grams *grams, char **bytes, size_t *size);        /* QE_OK or QE_MEMORY */
uint64_t grams_hash(const struct grams *grams); /* continues nothing; differs, but for chance, between any two */
struct grams *grams_hold(struct grams *grams);
void grams_release(struct grams *grams);

#endif
