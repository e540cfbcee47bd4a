/*
** encoder_score.h - how an encoder scores without a tape, private to encoder_fold.c (its parameters, laid out for the
** kernels) and encoder_score.c.
*/
#ifndef QE_ENCODER_SCORE_H
#define QE_ENCODER_SCORE_H
#include "encoder.h"

/* Weights are panels (kernel.h), everything is padded with zeros. */
struct encoder_weights {
  float *mixing, *mixing_bias; /* queries, keys, values beside each other, 3 x wide columns */
  float *output, *output_bias, *attention_gain, *attention_bias;
  float *inner, *inner_bias, *outer, *outer_bias, *gain, *bias;
};

struct encoder_shape {
  size_t width, wide, stride; /* wide: padded; stride: from row to row */
  size_t inner, inner_wide, inner_stride;
  size_t heads, head, head_wide;
  size_t layers, needed, aligned, joint; /* needed: the highest layer that is looked at */
  size_t pooled_from, pooled; /* numbers that the pooler reads; that the head reads before the decoder's */
  size_t bins, decoder, outputs;
};

struct encoder_scoring {
  struct scoring base;
  void *block;
  struct configuration configuration;
  struct encoder_shape shape;
  float *word, *position, *type, *gain, *bias; /* rows wide apart */
  struct encoder_weights *layer, *plain;       /* plain: the lowest ones without adapters; NULL: as `layer` */
  size_t plain_layers;
  float *pooler, *pooler_bias;                   /* panels, pooled_from x wide */
  float *center, *feature_scale, *feature_shift; /* 2 aligned rows wide apart; FEATURES * aligned */
  float *head, *head_bias;                       /* (pooled + decoder) x outputs */
  float *zeros;                                  /* as many as a row of anything has */
};

/* ---- encoder.c ---- */
size_t encoder_adapters(const qe_model *model, size_t layer); /* number of a layer's first adapter matrix */

/* ---- encoder_fold.c ---- */
struct scoring *encoder_fold(qe_model *model);
void encoder_scoring_free(struct scoring *scoring);

/* ---- encoder_score.c ---- */
struct work *encoder_work_new(const struct scoring *scoring);
bool encoder_work_fits(const struct work *work, const struct scoring *scoring);
void encoder_work_free(struct work *work);
void encoder_score(qe_scorer *scorer, struct work *work, size_t first, size_t end);
/* A text that was encoded alone: the states of its pieces, `stride` apart. */
struct encoder_text {
  const float *states;
  const uint32_t *ids;
  size_t stride, count;
  bool truncated;
};
typedef int encoder_take(void *owner, size_t pair, const struct encoder_text texts[SIDES]);
/* Encodes both texts of pairs first .. end - 1 of the call, each alone, by the lowest `layer` layers without adapters, and
** hands them over, in their order. The first status of `take` that is not QE_OK ends it. */
int encoder_read(struct work *work, const qe_scorer *scorer, size_t first, size_t end, size_t layer,
                 encoder_take *take, void *owner);

#endif
