/*
** architecture.h - what a kind of model is: a row of functions that configuration.c, pass.c, package.c, model.c and
** score.c call, and that birnn.c and its sisters fill. A new kind is one more entry in architectures[] (configuration.c);
** those files know none of them by name.
*/
#ifndef QE_ARCHITECTURE_H
#define QE_ARCHITECTURE_H
#include "scoring.h"

/* Rows first .. first + count - 1 of a batch on a tape of their own. */
struct shard {
  qe_tape *tape;
  qe_model *model;
  qe_dataset *data;
  const struct side *sides[2]; /* of the whole batch */
  const uint32_t *rows;        /* of the dataset, count of them */
  size_t first, count;
  bool drops, headless;                          /* headless: no score, no logits */
  size_t first_layer, last_layer, frozen_layers; /* last_layer 0: all */
  qe_rng dropout;
  qe_tensor given[2]; /* on this tape: what the caller has in place of embeddings, or QE_NONE: look ids up */
  qe_tensor *taps;    /* filled by `forward`, in the order of their names */
  qe_tensor decoder;  /* statistics that a kind has made for itself; QE_NONE: the head makes them */
};
/* The taps that every kind has come first. */
enum { TAP_SCORE, TAP_LOGITS, TAP_POOLED, TAP_INPUTS, TAP_OWN };
enum { MOST_TAP_NAME = 32 };

struct context_words;
struct architecture {
  const char *name;
  struct configuration defaults;

  /* configuration.c. `keys`: those of its own in the "architecture" object, beside the ones that all kinds have. */
  const char *const *keys;
  int (*parse)(struct configuration *configuration, const json_t *object, struct error *error);
  int (*dump)(const struct configuration *configuration, json_t *object); /* sets them; -1: no memory */

  /* model.c and package.c */
  /* Whether a model with decoder inputs learned to do without; NULL: none did. */
  bool (*decoder_optional)(const struct configuration *configuration);
  /* Whether a model says which words of a translation are BAD; NULL: none does. */
  bool (*tags_words)(const struct configuration *configuration);
  bool counts;                        /* it reads evidence, which its archives have as a member */
  int (*parameters)(qe_model *model); /* adds the matrices, zero */
  void (*start)(qe_model *model, qe_rng *rng);
  size_t (*least_cells)(
      const struct configuration *configuration); /* of all matrices, at least; SIZE_MAX: too many */

  /* pass.c */
  bool (*tap_name)(const struct configuration *configuration, size_t number, char name[MOST_TAP_NAME]);
  size_t (*width)(const struct configuration *configuration); /* of embeddings that are given */
  /* Where row `row` of the batch begins in the embeddings given for `side`; row = all rows: how many there are. */
  size_t (*offset)(const qe_model *model, const struct side *const sides[2], int side, size_t row);
  void (*forward)(struct shard *shard);

  /* score.c: without a tape */
  struct scoring *(*fold)(qe_model *model); /* NULL: recorded */
  void (*scoring_free)(struct scoring *scoring);
  struct work *(*work_new)(const struct scoring *scoring);
  bool (*work_fits)(const struct work *work, const struct scoring *scoring);
  void (*work_free)(struct work *work);
  /* Vectors of a translation's words, unit or zero, vector_width (padded) apart; NULL: it has none. Those of words alone, or
  ** of words in context as the encoder of model->context has read them. */
  size_t (*vector_width)(const struct scoring *scoring);
  void (*vectors_read)(const struct scoring *scoring, const struct kernel *kernel,
                       const struct context_words *words, float *out);
  void (*vectors)(const struct scoring *scoring, const struct kernel *kernel, const struct words *words,
                  float *out);
  score_pairs *score, *score_list; /* the latter knows that candidates of one source stand together */
};
extern const struct architecture birnn, encoder, aligned_student, family_of_students;

/* ---- head.c: from what a model found out to a score, on a tape ---- */
int head_parameters(qe_model *model, size_t inputs); /* adds head.weight and head.bias */
void head_start(qe_model *model, qe_rng *rng);
/* rows x DECODER_INPUTS as the head will see them, and rows x 1: 1 where there are any. A share of the rows that have some,
** `hidden`, is treated as if it had none, in passes with dropout. */
bool head_statistics(struct shard *shard, double hidden, qe_tensor *known);
/* `pooled` (and the decoder's statistics) -> taps inputs, logits, score. */
void head_forward(struct shard *shard, qe_tensor pooled);

/* ---- words.c: embeddings of words, on a tape ---- */
qe_segments words_of(const struct shard *shard, size_t side);
size_t words_offset(const qe_model *model, const struct side *const sides[2], int side, size_t row); /* `offset` */
/* Those that were given, or rows of the parameter with number `table`. */
qe_tensor words_embed(const struct shard *shard, size_t side, size_t table);

/* ---- what the files of several kinds share ---- */
int architecture_add(qe_model *model, const char *group, const char *name, size_t rows, size_t cols, int sparse);
/* `tap_name` of a kind whose taps have fixed names, `count` of them. */
bool architecture_tap(const char *const *names, size_t count, size_t number, char name[MOST_TAP_NAME]);
/* The matrix group.name; NULL: there is none, recorded. */
const qe_real *architecture_matrix(qe_model *model, const char *group, const char *name);

#endif
