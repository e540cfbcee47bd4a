/*
** birnn_fold.c - a BiRNN's parameters folded for scoring: what is linear and follows something linear is multiplied out,
** columns are padded for the kernels.
**
** Folding. Input gates of word vocabularies are a table, a row per word. A token's attention logit is
** (h P + b) c = h (P c) + constant, and softmax ignores the constant. As attention weights sum to one, the head sees
** (sum w_t h_t) (P W) + b W of each side that has tokens.
*/
#include "birnn_score.h"

#include <stdio.h>

enum { TABLE_BYTES = 64 << 20 };

/* ---- folding ---- */

struct side_parameters {
  const qe_real *embedding, *input_weight[DIRECTIONS], *hidden_weight[DIRECTIONS], *input_bias[DIRECTIONS],
      *hidden_bias[DIRECTIONS], *projection, *projection_bias, *context;
};

static int side_parameters(qe_model *model, size_t side, struct side_parameters *p) {
  static const char *const names[SIDES] = { "source", "target" };
  static const char *const directions[SIDES][DIRECTIONS] = { { "source.forward", "source.backward" },
                                                             { "target.forward", "target.backward" } };
  for (size_t d = 0; d < DIRECTIONS; d++) {
    p->input_weight[d] = architecture_matrix(model, directions[side][d], "input_weight");
    p->hidden_weight[d] = architecture_matrix(model, directions[side][d], "hidden_weight");
    p->input_bias[d] = architecture_matrix(model, directions[side][d], "input_bias");
    p->hidden_bias[d] = architecture_matrix(model, directions[side][d], "hidden_bias");
  }
  p->embedding = architecture_matrix(model, names[side], "embedding");
  p->projection = architecture_matrix(model, names[side], "projection");
  p->projection_bias = architecture_matrix(model, names[side], "projection_bias");
  p->context = architecture_matrix(model, names[side], "context");
  return model->error.status;
}

static bool has_table(const struct shape *shape, const struct vocabulary *vocabulary) {
  return vocabulary->kind == VOCABULARY_WORDS &&
         vocabulary->rows <= TABLE_BYTES / sizeof(float) / (2 * shape->cols);
}

static void side_layout(const struct shape *shape, struct scoring_side *side, struct room *room) {
  size_t rows = side->vocabulary->rows, both = 2 * shape->cols;
  if (has_table(shape, side->vocabulary))
    side->table = room_take(room, rows * both + KERNEL_LANES, 1);
  else
    side->embedding = room_take(room, rows, shape->wide);
  side->input_weight = room_take(room, shape->embedding, both);
  side->input_bias = room_take(room, both, 1);
  for (size_t d = 0; d < DIRECTIONS; d++) {
    side->hidden_weight[d] = room_take(room, shape->hidden, shape->cols);
    side->hidden_bias[d] = room_take(room, shape->cols, 1);
  }
  side->context = room_take(room, 2 * shape->state, 1);
  side->head = room_take(room, 2 * shape->state, shape->outputs);
  side->head_bias = room_take(room, shape->outputs, 1);
}

static void scoring_layout(void *owner, struct room *room) {
  struct birnn_scoring *scoring = owner;
  const struct shape *shape = &scoring->shape;
  for (size_t i = 0; i < SIDES; i++)
    side_layout(shape, &scoring->side[i], room);
  scoring->head_bias = room_take(room, shape->outputs, 1);
  scoring->decoder_weight = room_take(room, shape->decoder, shape->outputs);
}

static void fold_gru(const struct shape *shape, struct scoring_side *side, const struct side_parameters *p) {
  size_t h = shape->hidden, both = 2 * shape->cols;
  for (size_t d = 0; d < DIRECTIONS; d++) {
    float *input_bias = side->input_bias + d * shape->cols;
    room_copy(side->input_weight + d * shape->cols, both, p->input_weight[d], shape->embedding, 3 * h);
    room_copy(side->hidden_weight[d], shape->cols, p->hidden_weight[d], h, 3 * h);
    for (size_t j = 0; j < 3 * h; j++) {
      bool joins = j < 2 * h; /* the hidden bias of n stays inside r (h U + c) */
      input_bias[j] = (float)(p->input_bias[d][j] + (joins ? p->hidden_bias[d][j] : 0));
      side->hidden_bias[d][j] = joins ? 0.0f : (float)p->hidden_bias[d][j];
    }
  }
}

/* `place` of row i of the states in the padded layout: forward and backward are padded apart. */
static size_t state_place(const struct shape *shape, size_t i) {
  return i < shape->hidden ? i : shape->state + i - shape->hidden;
}

/* x[0..a) . y[0], y[stride], ... */
static double dot_strided(const qe_real *x, const qe_real *y, size_t stride, size_t count) {
  double sum = 0;
  for (size_t k = 0; k < count; k++)
    sum += (double)x[k] * (double)y[k * stride];
  return sum;
}

/* The head's matrix: cell of input i and output j at weight[i * down + j * right]. */
struct head {
  const qe_real *weight;
  size_t down, right;
};

static struct head head_of(const qe_model *model, const qe_real *weight) {
  const struct configuration *c = &model->configuration;
  const size_t inputs = 2 * c->birnn.attention + c->decoder_inputs, outputs = c->bins ? c->bins : 1;
  return many_bins(c) ? (struct head){ weight, 1, inputs } : (struct head){ weight, outputs, 1 };
}

/* head: from this side's rows on. */
static void fold_head(const struct shape *shape, struct scoring_side *side, const struct side_parameters *p,
                      struct head head) {
  size_t a = shape->attention, outputs = shape->bins ? shape->bins : 1;
  for (size_t i = 0; i < 2 * shape->hidden; i++) {
    size_t place = state_place(shape, i);
    const qe_real *row = p->projection + i * a;
    side->context[place] = (float)dot_strided(row, p->context, 1, a);
    for (size_t j = 0; j < outputs; j++)
      side->head[place * shape->outputs + j] = (float)dot_strided(row, head.weight + j * head.right, head.down, a);
  }
  for (size_t j = 0; j < outputs; j++)
    side->head_bias[j] = (float)dot_strided(p->projection_bias, head.weight + j * head.right, head.down, a);
}

static int fold_words(const struct shape *shape, struct scoring_side *side, const qe_real *embedding) {
  size_t rows = side->vocabulary->rows, width = shape->embedding;
  if (side->embedding) {
    room_copy(side->embedding, shape->wide, embedding, rows, width);
    return QE_OK;
  }
  const struct kernel *kernel = kernel_choose(NULL);
  float *row = memory_new(shape->wide, sizeof *row);
  if (!row)
    return QE_MEMORY;
  for (size_t i = 0; i < rows; i++) {
    room_copy(row, width, embedding + i * width, 1, width);
    kernel->affine(1, width, 2 * shape->cols, row, width, side->input_weight, side->input_bias,
                   side->table + i * 2 * shape->cols);
  }
  memory_free(row);
  return QE_OK;
}

static int fold(struct birnn_scoring *scoring, qe_model *model) {
  const struct shape *shape = &scoring->shape;
  size_t outputs = shape->bins ? shape->bins : 1;
  const qe_real *weight = architecture_matrix(model, "head", "weight"),
                *bias = architecture_matrix(model, "head", "bias");
  if (!weight || !bias)
    return model->error.status;
  struct head head = head_of(model, weight);
  for (size_t i = 0; i < SIDES; i++) {
    struct side_parameters p;
    if (side_parameters(model, i, &p) != QE_OK)
      return model->error.status;
    fold_gru(shape, &scoring->side[i], &p);
    fold_head(shape, &scoring->side[i], &p, head);
    head.weight += shape->attention * head.down;
    if (fold_words(shape, &scoring->side[i], p.embedding) != QE_OK)
      return error_memory(&model->error);
  }
  room_copy(scoring->head_bias, shape->outputs, bias, 1, outputs);
  for (size_t i = 0; i < shape->decoder; i++)
    for (size_t j = 0; j < outputs; j++)
      scoring->decoder_weight[i * shape->outputs + j] = (float)head.weight[i * head.down + j * head.right];
  return QE_OK;
}

void birnn_scoring_free(struct scoring *base) {
  struct birnn_scoring *scoring = (struct birnn_scoring *)base;
  memory_free(scoring->block);
  memory_free(scoring);
}

static struct shape shape_of(const struct configuration *c) {
  return (struct shape){ .embedding = c->birnn.embedding,
                         .hidden = c->birnn.hidden,
                         .attention = c->birnn.attention,
                         .bins = c->bins,
                         .decoder = c->decoder_inputs,
                         .wide = padded(c->birnn.embedding),
                         .state = padded(c->birnn.hidden),
                         .cols = padded(3 * c->birnn.hidden),
                         .outputs = padded(c->bins ? c->bins : 1) };
}

struct scoring *birnn_fold(qe_model *model) {
  struct birnn_scoring *scoring = memory_new(1, sizeof *scoring);
  if (!scoring) {
    error_memory(&model->error);
    return NULL;
  }
  scoring->shape = shape_of(&model->configuration);
  for (size_t i = 0; i < SIDES; i++)
    scoring->side[i].vocabulary = &model->vocabulary[i];
  scoring->block = room_lay(scoring, scoring_layout);
  if (!scoring->block)
    error_memory(&model->error);
  if (scoring->block && fold(scoring, model) == QE_OK)
    return &scoring->base;
  birnn_scoring_free(&scoring->base);
  return NULL;
}
