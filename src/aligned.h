/*
** aligned.h - the parts of an aligned student, private to aligned.c (on a tape), aligned_fold.c and aligned_score.c.
*/
#ifndef QE_ALIGNED_H
#define QE_ALIGNED_H
#include "architecture.h"
#include "context.h"

/* Matrices in the order in which they are added: of both sides, then of the pair; then the head (head.c). Without a
** window nothing moves words: there are no MIX to TURN; words in context are turned by one EMBEDDING on both sides. What
** follows comes sooner (aligned_matrix). */
enum { EMBEDDING, MIX, MIX_BIAS, TURN, STATE, STATE_BIAS, COMPARE, COMPARE_BIAS, POOL, SIDE_MATRICES };
enum { QUERY = 2 * SIDE_MATRICES, GAIN, HIDDEN, HIDDEN_BIAS };
enum { GAIN_PRIOR, GAIN_COSINE, GAINS };

/* What is known of a word beside its embedding: the channels of the evidence, and its best cosine. */
enum { WORD_CHANNELS = CHANNELS + 1, POOLINGS = 3 };

enum { ALIGNED_MOST_TOKENS = 1000 }; /* of a side: work grows with their product */
enum { ALIGNED_WIDEST = 1024 };      /* embedding */

/* Words have no embeddings of their own but states of an encoder, turned by EMBEDDING and moved by a center. */
static inline bool aligned_in_context(const struct configuration *c) {
  return c->aligned.context_layer > 0;
}
static inline bool aligned_has_embedding(const struct configuration *c, size_t side) { /* of its own */
  return side == QE_SOURCE || !aligned_in_context(c);
}
static inline size_t aligned_embedding_rows(const struct configuration *c, size_t side) {
  return aligned_in_context(c) ? c->aligned.context_width : c->vocabulary[side].rows;
}

static const char *const side_names[SIDES] = { "source", "target" };

static inline bool aligned_moves(const struct configuration *c) {
  return c->aligned.window > 0;
}
static inline size_t aligned_window(const struct configuration *c) { /* numbers of a word and its neighbours */
  return (2 * c->aligned.window + 1) * c->aligned.embedding;
}
/* The numbers among a model's parameters of a side's matrix, and of one of the pair. */
static inline size_t aligned_matrix(const struct configuration *c, size_t side, size_t matrix) {
  const size_t missing = aligned_moves(c) ? 0 : STATE - MIX, before = side * (SIDE_MATRICES - missing);
  if (matrix == EMBEDDING && side == QE_TARGET && !aligned_has_embedding(c, side))
    return EMBEDDING;
  return before + matrix - (matrix >= STATE ? missing : 0) - (side > QE_SOURCE && !aligned_has_embedding(c, side));
}
static inline size_t aligned_pair_matrix(const struct configuration *c, size_t matrix) {
  return aligned_matrix(c, SIDES, EMBEDDING) + matrix - QUERY;
}
static inline size_t aligned_state_inputs(const struct configuration *c) {
  return c->aligned.embedding + WORD_CHANNELS;
}
static inline size_t aligned_compare_inputs(const struct configuration *c) {
  return 4 * c->aligned.states + WORD_CHANNELS;
}
/* Comparisons, evidence, then what the decoder knows and whether it is known. */
static inline size_t aligned_pooled(const struct configuration *c) {
  return 2 * POOLINGS * c->aligned.comparison + EVIDENCE_FEATURES + (c->decoder_inputs ? c->decoder_inputs + 1 : 0);
}

/* ---- scoring without a tape ---- */
struct aligned_side {
  const struct vocabulary *vocabulary;
  float *embedding, *center;     /* rows x wide, as panels where words are read in context; there, one row */
  float *mix, *mix_bias, *turn;  /* panels; nothing without a window */
  float *state, *state_bias;     /* panels; */
  float *compare, *compare_bias; /* panels */
  float *pool;                   /* padded comparison */
};
struct aligned_shape {
  size_t pooled;                                                       /* inputs of the hidden layer */
  size_t embedding, window, states, comparison, hidden, bins, decoder; /* as configured */
  size_t wide, state_wide, compare_wide, hidden_wide, outputs;         /* padded */
  size_t state_stride, compare_stride;                                 /* of rows of inputs */
  size_t words;                                                        /* 1: it has a head for them */
  size_t context; /* width of the states that words are made of; 0: they have embeddings */
};
struct aligned_scoring {
  struct scoring base;
  void *block;
  struct context *context; /* NULL: words have embeddings */
  struct aligned_shape shape;
  struct aligned_side side[SIDES];
  float *query; /* panels */
  float gain[GAINS];
  float *hidden, *hidden_bias; /* panels */
  float *head, *head_bias;     /* (hidden + decoder) x outputs */
  float *words, *words_bias;   /* panels of one column */
  float *zeros;                /* an embedding's */
};

struct scoring *aligned_fold(qe_model *model);
void aligned_scoring_free(struct scoring *scoring);
struct work *aligned_work_new(const struct scoring *scoring);
bool aligned_work_fits(const struct work *work, const struct scoring *scoring);
void aligned_work_free(struct work *work);
size_t aligned_vector_width(const struct scoring *scoring);
void aligned_vectors_read(const struct scoring *scoring, const struct kernel *kernel,
                          const struct context_words *words, float *out);
void aligned_vectors(const struct scoring *scoring, const struct kernel *kernel, const struct words *words,
                     float *out);
/* A pair whose words were read already; what the encoder says of it stands in the scores. */
int aligned_score_read(struct work *work, const qe_scorer *scorer, size_t number,
                       const struct context_words *words);
void aligned_score(qe_scorer *scorer, struct work *work, size_t first, size_t end);

#endif
