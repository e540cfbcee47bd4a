/*
** encoder.h - where an encoder's matrices stand and how its sequences are made up, private to encoder.c (on a tape),
** encoder_score.c (without one) and import_encoder.c (from files of others).
*/
#ifndef QE_ENCODER_H
#define QE_ENCODER_H
#include "architecture.h"

/* Matrices in the order in which they are added: embeddings, layers, pooler, alignment, then the head (head.c). All
** weights are inputs x outputs, all others are one row. */
enum { WORD, POSITION, TYPE, EMBEDDING_GAIN, EMBEDDING_BIAS, EMBEDDING_MATRICES };
enum {
  QUERY,
  QUERY_BIAS,
  KEY,
  KEY_BIAS,
  VALUE,
  VALUE_BIAS,
  OUTPUT,
  OUTPUT_BIAS,
  ATTENTION_GAIN,
  ATTENTION_BIAS,
  INNER,
  INNER_BIAS,
  OUTER,
  OUTER_BIAS,
  LAYER_GAIN,
  LAYER_BIAS,
  LAYER_MATRICES
};
enum { POOLER, POOLER_BIAS, POOLER_MATRICES };                     /* of the joint form */
enum { CENTER, FEATURE_SCALE, FEATURE_SHIFT, ALIGNMENT_MATRICES }; /* where layers are aligned */

static inline size_t encoder_layer(size_t layer) { /* from 0 */
  return EMBEDDING_MATRICES + layer * LAYER_MATRICES;
}
static inline size_t encoder_pooler(const struct configuration *c) {
  return encoder_layer(c->encoder.layers);
}
static inline size_t encoder_alignment(const struct configuration *c) {
  return encoder_pooler(c) + (c->encoder.joint ? POOLER_MATRICES : 0);
}
static inline size_t encoder_aligned(const struct configuration *c) {
  return (size_t)__builtin_popcountll(c->encoder.alignment);
}

/* What the pooler reads: first state, means of both texts and, where there are decoder inputs, those and whether they are
** known. */
static inline size_t encoder_pooled_from(const struct configuration *c) {
  return 3 * c->encoder.width + (c->decoder_inputs > 0 ? c->decoder_inputs + 1 : 0);
}

/* Adapters (LoRA: Hu et al. 2021): to each weight of a layer a product of two thin matrices is added, inputs x rank and rank
** x outputs. They stand behind all other matrices, by layer, weight and side. */
enum { DOWN, UP, ADAPTER_SIDES };
static const unsigned char adapted[] = { QUERY, KEY, VALUE, OUTPUT, INNER, OUTER };
enum { ADAPTED = sizeof adapted, ADAPTER_MATRICES = ADAPTED * ADAPTER_SIDES, ENCODER_MOST_RANK = 64 };
/* Its place among a layer's adapted weights; ADAPTED: it is none. */
static inline size_t encoder_adapted(size_t matrix) {
  size_t place = 0;
  while (place < ADAPTED && adapted[place] != matrix)
    place++;
  return place;
}

/* The highest layer that something is made of. */
static inline size_t encoder_needed(const struct configuration *c) {
  const uint64_t aligned = c->encoder.alignment;
  return c->encoder.joint ? c->encoder.layers : aligned > 1 ? 63 - (size_t)__builtin_clzll(aligned) : 0;
}

/* Of one aligned layer: mean of the best matches of source and target pieces, and mean square of what they lack to 1. */
enum { FEATURES = 4 };
/* A joint sequence: <s> prefix source </s> </s> target </s>; a separate one: <s> prefix text </s>. */
enum { JOINT_SPECIAL = 4, SEPARATE_SPECIAL = 2 };

#endif
