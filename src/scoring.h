/*
** scoring.h - the insides of scoring without a tape, private. `scoring` is a model's parameters folded for it
** (scoring.c), made once and then only read. A scorer owns one work area per thread (score.c); what the candidates of a
** list share lies in a list area beside it (score_list.c).
*/
#ifndef QE_SCORING_H
#define QE_SCORING_H
#include "kernel.h"
#include "model.h"

enum { DIRECTIONS = 2, SIDES = 2, ALIGNED = 64 };

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

struct scoring {
  void *block;
  struct shape shape;
  struct scoring_side side[SIDES];
  float *head_bias;      /* outputs */
  float *decoder_weight; /* decoder x outputs */
};

/* Everything between text and score of one pair. */
struct work {
  struct words words;
  void *fixed_block, *tokens_block;
  size_t tokens;             /* that there is room for */
  const float **input;       /* per direction and token: gate inputs */
  float *mean, *gate_inputs; /* tokens x wide, tokens x 2 cols */
  float *states;             /* tokens x 2 state */
  float *weights;            /* tokens */
  float *zeros, *inner, *gates, *pooled, *logits, *part;
  size_t truncated;
  int status;
  struct shared *shared; /* what a list shares; NULL until the first one */
};

typedef void score_pairs(qe_scorer *scorer, struct work *work, size_t first, size_t end);

struct qe_scorer {
  struct error error;
  const qe_model *model;
  const struct kernel *kernel;
  qe_pool *pool;
  struct work *works;
  int threads, parts;
  size_t truncated;
  struct shape shape; /* that the work areas fit */
  score_pairs *score; /* of the call that runs */
  const qe_pair *pairs;
  float *scores;
  size_t count;
};

/* ---- memory of aligned arrays, laid out twice: once to count, once to point ---- */
struct room {
  float *start; /* NULL while counting */
  size_t used;
  bool overflow;
};
static inline size_t padded(size_t count) {
  return (count + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}
float *room_take(struct room *room, size_t rows, size_t cols);
void *
room_open(struct room *room); /* zeroed memory for what was counted; the room then starts over, with pointers */

/* ---- score.c ---- */
/* Room for so many tokens, in the arrays of `work` that have one per token. */
bool work_reserve(struct work *work, const struct shape *shape, size_t tokens);
/* Points input[] at the gate inputs of every word, once per direction; there is room. */
void work_inputs(struct work *work, const struct shape *shape, const struct scoring_side *side,
                 const struct kernel *kernel, const struct words *words);
/* Leaves in `part` what a text adds to the logits as one side of a pair; *tokens is 0 where that is nothing. */
int work_side(struct work *work, const qe_scorer *scorer, size_t side, qe_text text, size_t *tokens);
/* Logits before any side was added: bias and log-probabilities. */
void work_begin(struct work *work, const qe_scorer *scorer, const qe_pair *pair);
void work_add(struct work *work, const qe_scorer *scorer, const float *part);
float work_score(struct work *work, const qe_scorer *scorer);

/* ---- score_list.c ---- */
/* Pairs first .. end - 1 of the call; status and truncated are left in the work area. */
void score_run(qe_scorer *scorer, struct work *work, size_t first, size_t end);
void shared_free(struct shared *shared);

#endif
