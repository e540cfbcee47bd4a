/*
** encoder_fold.c - an encoder's parameters laid out for scoring: weights as panels of KERNEL_LANES columns, queries, keys
** and values as one product, rows padded with zeros. Adapters are multiplied out and added, in a fixed order, so that they
** cost nothing when scoring.
*/
#include "encoder_score.h"

/* ---- layout ---- */

static void layer_layout(const struct encoder_shape *s, struct encoder_weights *layer, struct room *room) {
  layer->mixing = room_take(room, s->width, 3 * s->wide);
  layer->mixing_bias = room_take(room, 3, s->wide);
  layer->output = room_take(room, s->width, s->wide);
  layer->inner = room_take(room, s->width, s->inner_wide);
  layer->inner_bias = room_take(room, 1, s->inner_wide);
  layer->outer = room_take(room, s->inner, s->wide);
  float **rows[] = { &layer->output_bias, &layer->attention_gain, &layer->attention_bias,
                     &layer->outer_bias,  &layer->gain,           &layer->bias };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    *rows[i] = room_take(room, 1, s->wide);
}

static void scoring_layout(void *owner, struct room *room) {
  struct encoder_scoring *scoring = owner;
  const struct encoder_shape *s = &scoring->shape;
  const struct configuration *c = &scoring->configuration;
  scoring->word = room_take(room, c->vocabulary[0].rows, s->wide);
  scoring->position = room_take(room, c->encoder.positions, s->wide);
  scoring->type = room_take(room, 1, s->wide);
  scoring->gain = room_take(room, 1, s->wide);
  scoring->bias = room_take(room, 1, s->wide);
  for (size_t i = 0; i < s->layers; i++)
    layer_layout(s, &scoring->layer[i], room);
  for (size_t i = 0; scoring->plain && i < scoring->plain_layers; i++)
    layer_layout(s, &scoring->plain[i], room);
  scoring->pooler = room_take(room, s->joint * s->pooled_from, s->wide);
  scoring->pooler_bias = room_take(room, s->joint, s->wide);
  scoring->center = room_take(room, 2 * s->aligned, s->wide);
  scoring->feature_scale = room_take(room, FEATURES, s->aligned);
  scoring->feature_shift = room_take(room, FEATURES, s->aligned);
  scoring->head = room_take(room, s->pooled + s->decoder, s->outputs);
  scoring->head_bias = room_take(room, 1, s->outputs);
  scoring->zeros = room_take(room, 1, 3 * s->wide + s->inner_wide + padded(c->encoder.positions));
}

/* ---- filling ---- */

static const qe_real *matrix(qe_model *model, size_t number) {
  return qe_params_matrix(model->params, number);
}

/* out += down x up */
static void add_product(qe_real *out, const qe_real *down, const qe_real *up, size_t rows, size_t rank,
                        size_t cols) {
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < rank; k++) {
      const qe_real factor = down[i * rank + k];
      for (size_t j = 0; j < cols; j++)
        out[i * cols + j] += factor * up[k * cols + j];
    }
}

/* A weight of a layer, with what its adapter adds in `sum`, which has room for it; NULL: without. */
static const qe_real *weight_of(qe_model *model, size_t layer, size_t number, qe_real *sum) {
  const size_t rank = model->configuration.encoder.rank;
  const qe_real *weight = matrix(model, encoder_layer(layer) + number);
  size_t rows, cols;
  if (rank == 0 || !sum)
    return weight;
  const size_t down = encoder_adapters(model, layer) + ADAPTER_SIDES * encoder_adapted(number);
  qe_params_name(model->params, encoder_layer(layer) + number, &rows, &cols);
  memcpy(sum, weight, rows * cols * sizeof *sum);
  add_product(sum, matrix(model, down), matrix(model, down + UP), rows, rank, cols);
  return sum;
}

static void fold_layer(const struct encoder_shape *s, struct encoder_weights *layer, qe_model *model, size_t number,
                       qe_real *sum) {
  const size_t first = encoder_layer(number);
  const struct {
    float *to;
    size_t matrix;
  } rows[] = { { layer->output_bias, OUTPUT_BIAS },
               { layer->attention_gain, ATTENTION_GAIN },
               { layer->attention_bias, ATTENTION_BIAS },
               { layer->outer_bias, OUTER_BIAS },
               { layer->gain, LAYER_GAIN },
               { layer->bias, LAYER_BIAS } };
  for (size_t i = 0; i < 3; i++) {
    room_panels(layer->mixing + i * s->width * s->wide, weight_of(model, number, QUERY + 2 * i, sum), s->width,
                s->width);
    room_copy(layer->mixing_bias + i * s->wide, 0, matrix(model, first + QUERY_BIAS + 2 * i), 1, s->width);
  }
  room_panels(layer->output, weight_of(model, number, OUTPUT, sum), s->width, s->width);
  room_panels(layer->inner, weight_of(model, number, INNER, sum), s->width, s->inner);
  room_copy(layer->inner_bias, 0, matrix(model, first + INNER_BIAS), 1, s->inner);
  room_panels(layer->outer, weight_of(model, number, OUTER, sum), s->inner, s->width);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    room_copy(rows[i].to, 0, matrix(model, first + rows[i].matrix), 1, s->width);
}

static void fold_alignment(struct encoder_scoring *scoring, qe_model *model) {
  const struct encoder_shape *s = &scoring->shape;
  const size_t first = encoder_alignment(&scoring->configuration);
  room_copy(scoring->center, s->wide, matrix(model, first + CENTER), 2 * s->aligned, s->width);
  room_copy(scoring->feature_scale, 0, matrix(model, first + FEATURE_SCALE), 1, FEATURES * s->aligned);
  room_copy(scoring->feature_shift, 0, matrix(model, first + FEATURE_SHIFT), 1, FEATURES * s->aligned);
}

static int fold(struct encoder_scoring *scoring, qe_model *model) {
  const struct encoder_shape *s = &scoring->shape;
  const struct configuration *c = &scoring->configuration;
  room_copy(scoring->word, s->wide, matrix(model, WORD), c->vocabulary[0].rows, s->width);
  room_copy(scoring->position, s->wide, matrix(model, POSITION), c->encoder.positions, s->width);
  room_copy(scoring->type, 0, matrix(model, TYPE), 1, s->width);
  room_copy(scoring->gain, 0, matrix(model, EMBEDDING_GAIN), 1, s->width);
  room_copy(scoring->bias, 0, matrix(model, EMBEDDING_BIAS), 1, s->width);
  const size_t widest = s->width * (s->inner > s->width ? s->inner : s->width);
  qe_real *sum = memory_new(widest, sizeof *sum);
  if (!sum)
    return error_memory(&model->error);
  for (size_t i = 0; i < s->layers; i++)
    fold_layer(s, &scoring->layer[i], model, i, sum);
  memory_free(sum);
  for (size_t i = 0; scoring->plain && i < scoring->plain_layers; i++)
    fold_layer(s, &scoring->plain[i], model, i, NULL);
  if (s->joint) {
    room_panels(scoring->pooler, matrix(model, encoder_pooler(c) + POOLER), s->pooled_from, s->width);
    room_copy(scoring->pooler_bias, 0, matrix(model, encoder_pooler(c) + POOLER_BIAS), 1, s->width);
  }
  if (s->aligned > 0)
    fold_alignment(scoring, model);
  return room_head(model, s->pooled + s->decoder, s->outputs, scoring->head, scoring->head_bias);
}

static struct encoder_shape shape_of(const struct configuration *c) {
  const size_t width = c->encoder.width, aligned = encoder_aligned(c);
  return (struct encoder_shape){ .width = width,
                                 .wide = padded(width),
                                 .stride = kernel_stride(padded(width)),
                                 .inner = c->encoder.inner,
                                 .inner_wide = padded(c->encoder.inner),
                                 .inner_stride = kernel_stride(padded(c->encoder.inner)),
                                 .heads = c->encoder.heads,
                                 .head = width / c->encoder.heads,
                                 .head_wide = padded(width / c->encoder.heads),
                                 .layers = c->encoder.layers,
                                 .needed = encoder_needed(c),
                                 .aligned = aligned,
                                 .joint = c->encoder.joint,
                                 .pooled_from = encoder_pooled_from(c),
                                 .pooled = (c->encoder.joint ? width : 0) + FEATURES * aligned,
                                 .bins = c->bins,
                                 .decoder = c->decoder_inputs,
                                 .outputs = padded(c->bins ? c->bins : 1) };
}

void encoder_scoring_free(struct scoring *base) {
  struct encoder_scoring *scoring = (struct encoder_scoring *)base;
  if (!scoring)
    return;
  memory_free(scoring->block);
  memory_free(scoring->layer);
  memory_free(scoring->plain);
  memory_free(scoring);
}

struct scoring *encoder_fold(qe_model *model) {
  struct encoder_scoring *scoring = memory_new(1, sizeof *scoring);
  if (!scoring) {
    error_memory(&model->error);
    return NULL;
  }
  scoring->configuration = model->configuration;
  scoring->shape = shape_of(&model->configuration);
  scoring->layer = memory_new(scoring->shape.layers, sizeof *scoring->layer);
  const size_t read = model->read_layers < scoring->shape.layers ? model->read_layers : scoring->shape.layers;
  scoring->plain_layers = model->configuration.encoder.rank > 0 ? read : 0;
  scoring->plain = scoring->plain_layers > 0 ? memory_new(scoring->plain_layers, sizeof *scoring->plain) : NULL;
  const bool whole = scoring->layer && (scoring->plain || scoring->plain_layers == 0);
  scoring->block = whole ? room_lay(scoring, scoring_layout) : NULL;
  if (!scoring->block)
    error_memory(&model->error);
  if (scoring->block && fold(scoring, model) == QE_OK)
    return &scoring->base;
  encoder_scoring_free(&scoring->base);
  return NULL;
}
