/*
** forest.h - a forest of small boosted trees (Friedman 2001) over what can be counted of a pair, private: a second opinion
** beside an aligned student's, which errs elsewhere. All trees have three levels. A model has none, one that reads texts, or
** two, of which the second reads the decoder's log-probabilities as well.
*/
#ifndef QE_FOREST_H
#define QE_FOREST_H
#include "evidence.h"

enum {
  FORESTS = 2,
  FOREST_LEVELS = 3,
  FOREST_NODES = (1 << FOREST_LEVELS) - 1,
  FOREST_LEAVES = 1 << FOREST_LEVELS
};
enum { FOREST_MOST_TREES = 10000 };

/* What a forest reads of a pair (surface.c): the evidence's features, then what the texts look like, then the
** log-probabilities. */
enum { SIDE_FEATURES = 11, PAIR_FEATURES = 14, LOGPROB_FEATURES = 25 };
enum { TEXT_FEATURES = EVIDENCE_FEATURES + 2 * SIDE_FEATURES + PAIR_FEATURES };
enum { FOREST_FEATURES = TEXT_FEATURES + LOGPROB_FEATURES };

/* ---- surface.c ---- */
/* `features`: FOREST_FEATURES, the last ones zero where there are no log-probabilities. `evidence`: as it was read of these
** words. The same bits everywhere. */
void surface_read(const struct words words[2], const struct evidence_pair *evidence, const float *logprobs,
                  size_t count, float *features);

/* Node i has the children 2 i + 1 and 2 i + 2, then leaves; a pair goes to the first one if its feature is below the
** threshold, which is infinite where a node was not worth splitting. Thresholds and leaves are bf16. */
struct forest_tree {
  unsigned char feature[FOREST_NODES];
  float threshold[FOREST_NODES], leaf[FOREST_LEAVES];
};
struct forest {
  float start; /* that trees add to */
  size_t trees;
  struct forest_tree *tree;
};
/* Shared by all the models that have it, freed by the last. */
struct forests;

/* ---- forest.c ---- */
struct forests *forests_new(size_t count); /* without trees; NULL: no memory */
struct forests *forests_hold(struct forests *forests);
void forests_release(struct forests *forests);
size_t forests_count(const struct forests *forests); /* of NULL: 0 */
struct forest *forests_one(struct forests *forests, size_t number);
float forest_leaf(const struct forest_tree *tree, const float *features);
/* What the forest for such a pair says. */
float forests_score(const struct forests *forests, bool logprobs, const float *features);
struct forests *forests_parse(qe_text member, size_t count, struct error *error); /* NULL: recorded */
int forests_write(const struct forests *forests, char **bytes, size_t *size);

/* ---- forest_grow.c ---- */
/* Fits trees to a column of values: rows x FOREST_FEATURES, of which the first `features` may be read. */
int forest_grow(struct forest *forest, const float *matrix, const double *values, size_t rows, size_t features,
                size_t trees, qe_rng *rng);

#endif
