/*
** scoring.h - the insides of scoring without a tape, private. A model's architecture folds its parameters into a
** `scoring`, made once and then only read; a scorer owns one `work` area per thread. Both are the heads of an
** architecture's own structures, of which score.c knows no more than stands here.
*/
#ifndef QE_SCORING_H
#define QE_SCORING_H
#include "kernel.h"
#include "model.h"

enum { SIDES = 2, ALIGNED = 64 };

struct architecture;

struct scoring {
  const struct architecture *architecture;
};

struct work {
  int status;
  struct words *token; /* of the thread, for score_words.c */
};

/* Scores pairs first .. end - 1 of the call; the status is left in the work area. */
typedef void score_pairs(qe_scorer *scorer, struct work *work, size_t first, size_t end);

/* Room for long pairs: which those are, and one of them in windows. */
struct windows {
  size_t *numbers;
  qe_pair *pairs;
  float *scores;
  size_t number_room, pair_room, score_room;
  size_t count; /* of the pair that was cut last */
};

struct qe_scorer {
  struct error error;
  const qe_model *model;
  const struct kernel *kernel;
  qe_pool *pool;
  struct work **works;                     /* NULL until the first call */
  const struct architecture *architecture; /* that made them */
  int threads, parts;
  size_t truncated;
  score_pairs *score; /* of the call that runs */
  const qe_pair *pairs;
  float *scores;
  size_t count;
  unsigned char *cut; /* per pair: its sides of which the model has read only the beginning */
  size_t cut_room;
  struct windows windows;
  struct encoding_work encoding; /* of reasons.c */
  struct words *token;           /* per thread */
  struct tagging *tagging;       /* of a call that wants words, too; otherwise NULL */
  bool no_windows;               /* such pairs keep the score of their beginning */
};

/* ---- score.c ---- */
/* Scores pairs in one call of the pool, as far as the model reads them. */
int scorer_run(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores);
/* ---- score_words.c ---- */
struct tagging;
/* Takes how likely each word of a translation is BAD, where the scorer has `tagging`. QE_OK or QE_MEMORY. */
int words_take(const qe_scorer *scorer, const struct work *work, size_t number, const float *bad, size_t words);
/* Those of a pair of the call that was cut into windows, which are scored once more, one by one. */
int words_of_windows(qe_scorer *scorer, struct tagging *tagging, size_t number);
/* ---- windows.c ---- */
void windows_free(struct windows *windows);
/* The pairs of which only the beginning was read, again, in windows. */
int windows_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores);
/* Where part `part` of `parts` of a call of so many things begins: a matter of these numbers alone. */
static inline size_t share_begin(size_t count, size_t parts, size_t part) {
  const size_t extra = count % parts;
  return part * (count / parts) + (part < extra ? part : extra);
}
static inline qe_text pair_side(const qe_pair *pair, size_t side) {
  return side == QE_SOURCE ? pair->source : pair->translation;
}

/* ---- room.c: memory of aligned arrays, laid out twice: once to count, once to point ---- */
struct room {
  float *start; /* NULL while counting */
  size_t used;
  bool overflow;
};
static inline size_t padded(size_t count) {
  return (count + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}
float *room_take(struct room *room, size_t rows, size_t cols);
/* Takes all arrays of its owner, in the same order each time. */
typedef void room_layout(void *owner, struct room *room);
/* One zeroed block with the owner's arrays pointing into it, to memory_free; NULL: no memory, and they point nowhere. */
void *room_lay(void *owner, room_layout *layout);
/* rows x cols into an array whose rows are `stride` apart. */
void room_copy(float *to, size_t stride, const qe_real *from, size_t rows, size_t cols);
/* As panels, for kernel->product: KERNEL_LANES columns of all rows, then the next columns, the last filled with zeros. */
void room_panels(float *to, const qe_real *from, size_t rows, size_t cols);
void panels_of(float *to, const float *from, size_t stride, size_t rows, size_t cols);
/* Panels of the transposed matrix: `count` rows of `depth` numbers become columns. */
void panels_turned(float *to, const float *from, size_t stride, size_t count, size_t depth);
/* The head's matrix as inputs x outputs (padded), whichever way it is stored, and its bias; recorded where it is missing. */
int room_head(qe_model *model, size_t inputs, size_t outputs, float *weight, float *bias);

#endif
