/*
** birnn_score.h - how the BiRNN scores without a tape, private to birnn_fold.c (its parameters, multiplied out),
** birnn_score.c (pairs) and birnn_list.c (candidates that share a source and much of their words).
*/
#ifndef QE_BIRNN_SCORE_H
#define QE_BIRNN_SCORE_H
#include "architecture.h"

enum { DIRECTIONS = 2 };

struct scoring_side {
  const struct vocabulary *vocabulary;
  float *table;        /* rows x 2 cols: gate inputs of both directions; NULL: embedding in its place */
  float *embedding;    /* rows x padded embedding */
  float *input_weight; /* embedding x 2 cols */
  float *input_bias;   /* 2 cols; hidden biases of r and z included */
  float *hidden_weight[DIRECTIONS], *hidden_bias[DIRECTIONS];
  float *context;   /* 2 padded hidden: P c */
  float *head;      /* 2 padded hidden x outputs: P W */
  float *head_bias; /* outputs: b W */
};

struct shape {
  size_t embedding, hidden, attention, bins, decoder; /* as configured */
  size_t wide;                                        /* padded embedding */
  size_t state;                                       /* padded hidden */
  size_t cols;                                        /* padded 3 hidden */
  size_t outputs;                                     /* padded bins */
};

struct birnn_scoring {
  struct scoring base;
  void *block;
  struct shape shape;
  struct scoring_side side[SIDES];
  float *head_bias;      /* outputs */
  float *decoder_weight; /* decoder x outputs */
};

/* Everything between text and score of one pair. */
struct birnn_work {
  struct work base;
  struct shape shape; /* that the arrays have room for */
  struct words words;
  void *fixed_block, *tokens_block;
  size_t tokens;             /* that there is room for */
  const float **input;       /* per direction and token: gate inputs */
  float *mean, *gate_inputs; /* tokens x wide, tokens x 2 cols */
  float *states;             /* tokens x 2 state */
  float *weights;            /* tokens */
  float *zeros, *inner, *gates, *pooled, *logits, *part;
  struct shared *shared; /* what a list shares; NULL until the first one */
};

static inline const struct birnn_scoring *birnn_scoring(const qe_scorer *scorer) {
  return (const struct birnn_scoring *)scorer->model->scoring;
}

/* ---- birnn_fold.c ---- */
struct scoring *birnn_fold(qe_model *model);
void birnn_scoring_free(struct scoring *scoring);

/* ---- birnn_score.c ---- */
struct work *birnn_work_new(const struct scoring *scoring);
bool birnn_work_fits(const struct work *work, const struct scoring *scoring);
void birnn_work_free(struct work *work);
void birnn_score(qe_scorer *scorer, struct work *work, size_t first, size_t end);
/* Room for so many tokens, in the arrays of `work` that have one per token. */
bool work_reserve(struct birnn_work *work, size_t tokens);
/* Points input[] at the gate inputs of every word, once per direction; there is room. */
void work_inputs(struct birnn_work *work, const struct shape *shape, const struct scoring_side *side,
                 const struct kernel *kernel, const struct words *words);
/* Leaves in `part` what a text adds to the logits as one side of a pair; *tokens is 0 where that is nothing. */
int work_side(struct birnn_work *work, const qe_scorer *scorer, size_t side, qe_text text, size_t *tokens);
/* Logits before any side was added: bias and log-probabilities. */
void work_begin(struct birnn_work *work, const qe_scorer *scorer, const qe_pair *pair);
void work_add(struct birnn_work *work, const qe_scorer *scorer, const float *part);
float work_score(struct birnn_work *work, const qe_scorer *scorer);

/* ---- birnn_list.c ---- */
void birnn_score_list(qe_scorer *scorer, struct work *work, size_t first, size_t end);
void shared_free(struct shared *shared);

#endif
