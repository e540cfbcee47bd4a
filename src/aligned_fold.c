/*
** aligned_fold.c - an aligned student's parameters laid out for scoring: weights as panels, everything padded with zeros.
*/
#include "aligned.h"

static void side_layout(const struct aligned_shape *s, struct aligned_side *side, struct room *room) {
  side->embedding = room_take(room, s->context ? s->context : side->vocabulary->rows, s->wide);
  side->center = room_take(room, s->context ? 1 : 0, s->wide);
  if (s->window > 0) {
    side->mix = room_take(room, (2 * s->window + 1) * s->embedding, s->wide);
    side->mix_bias = room_take(room, 1, s->wide);
    side->turn = room_take(room, s->embedding, s->wide);
  }
  side->state = room_take(room, s->embedding + WORD_CHANNELS, s->state_wide);
  side->state_bias = room_take(room, 1, s->state_wide);
  side->compare = room_take(room, 4 * s->states + WORD_CHANNELS, s->compare_wide);
  side->compare_bias = room_take(room, 1, s->compare_wide);
  side->pool = room_take(room, 1, s->compare_wide);
}

static void layout(void *owner, struct room *room) {
  struct aligned_scoring *scoring = owner;
  const struct aligned_shape *s = &scoring->shape;
  for (size_t side = 0; side < SIDES; side++)
    side_layout(s, &scoring->side[side], room);
  scoring->query = room_take(room, s->states, s->state_wide);
  scoring->hidden = room_take(room, s->pooled, s->hidden_wide);
  scoring->hidden_bias = room_take(room, 1, s->hidden_wide);
  scoring->head = room_take(room, s->hidden + s->decoder, s->outputs);
  scoring->head_bias = room_take(room, 1, s->outputs);
  scoring->zeros = room_take(room, 1, s->wide);
  scoring->words = room_take(room, s->comparison, s->words * KERNEL_LANES);
  scoring->words_bias = room_take(room, 1, s->words * KERNEL_LANES);
}

static const qe_real *of_side(qe_model *model, size_t side, size_t matrix) {
  return qe_params_matrix(model->params, aligned_matrix(&model->configuration, side, matrix));
}

static const qe_real *of_pair(qe_model *model, size_t matrix) {
  return qe_params_matrix(model->params, aligned_pair_matrix(&model->configuration, matrix));
}

static void fold_words(const struct aligned_shape *s, struct aligned_side *side, qe_model *model, size_t number) {
  const qe_real *embedding = of_side(model, number, EMBEDDING);
  if (!s->context) {
    room_copy(side->embedding, s->wide, embedding, side->vocabulary->rows, s->embedding);
    return;
  }
  room_panels(side->embedding, embedding, s->context, s->embedding);
  room_copy(side->center, 0, architecture_matrix(model, side_names[number], "center"), 1, s->embedding);
}

static void fold_moves(const struct aligned_shape *s, struct aligned_side *side, qe_model *model, size_t number) {
  room_panels(side->mix, of_side(model, number, MIX), (2 * s->window + 1) * s->embedding, s->embedding);
  room_copy(side->mix_bias, 0, of_side(model, number, MIX_BIAS), 1, s->embedding);
  room_panels(side->turn, of_side(model, number, TURN), s->embedding, s->embedding);
}

static void fold_side(const struct aligned_shape *s, struct aligned_side *side, qe_model *model, size_t number) {
  if (s->window > 0)
    fold_moves(s, side, model, number);
  room_panels(side->state, of_side(model, number, STATE), s->embedding + WORD_CHANNELS, s->states);
  room_copy(side->state_bias, 0, of_side(model, number, STATE_BIAS), 1, s->states);
  room_panels(side->compare, of_side(model, number, COMPARE), 4 * s->states + WORD_CHANNELS, s->comparison);
  room_copy(side->compare_bias, 0, of_side(model, number, COMPARE_BIAS), 1, s->comparison);
  room_copy(side->pool, 0, of_side(model, number, POOL), 1, s->comparison);
}

static int fold(struct aligned_scoring *scoring, qe_model *model) {
  const struct aligned_shape *s = &scoring->shape;
  for (size_t side = 0; side < SIDES; side++)
    fold_words(s, &scoring->side[side], model, side);
  for (size_t side = 0; side < SIDES; side++)
    fold_side(s, &scoring->side[side], model, side);
  room_panels(scoring->query, of_pair(model, QUERY), s->states, s->states);
  for (size_t i = 0; i < GAINS; i++)
    scoring->gain[i] = (float)of_pair(model, GAIN)[i];
  room_panels(scoring->hidden, of_pair(model, HIDDEN), s->pooled, s->hidden);
  room_copy(scoring->hidden_bias, 0, of_pair(model, HIDDEN_BIAS), 1, s->hidden);
  if (s->words) {
    room_panels(scoring->words, architecture_matrix(model, "words", "weight"), s->comparison, 1);
    room_copy(scoring->words_bias, 0, architecture_matrix(model, "words", "bias"), 1, 1);
  }
  return room_head(model, s->hidden + s->decoder, s->outputs, scoring->head, scoring->head_bias);
}

void aligned_scoring_free(struct scoring *base) {
  struct aligned_scoring *scoring = (struct aligned_scoring *)base;
  context_release(scoring->context);
  memory_free(scoring->block);
  memory_free(scoring);
}

static struct aligned_shape shape_of(const struct configuration *c) {
  const size_t wide = padded(c->aligned.embedding), inputs = padded(aligned_state_inputs(c));
  return (struct aligned_shape){ .embedding = c->aligned.embedding,
                                 .window = c->aligned.window,
                                 .states = c->aligned.states,
                                 .comparison = c->aligned.comparison,
                                 .hidden = c->aligned.hidden,
                                 .bins = c->bins,
                                 .decoder = c->decoder_inputs,
                                 .words = c->aligned.words,
                                 .context = aligned_in_context(c) ? c->aligned.context_width : 0,
                                 .wide = wide,
                                 .state_wide = padded(c->aligned.states),
                                 .compare_wide = padded(c->aligned.comparison),
                                 .hidden_wide = padded(c->aligned.hidden),
                                 .pooled = aligned_pooled(c),
                                 .outputs = padded(c->bins ? c->bins : 1),
                                 .state_stride = wide > inputs ? wide : inputs,
                                 .compare_stride = kernel_stride(aligned_compare_inputs(c)) };
}

struct scoring *aligned_fold(qe_model *model) {
  if (aligned_in_context(&model->configuration) && !model->context) {
    error_set(&model->error, QE_USE, "the model reads words in context but has no encoder (qe_model_set_context)");
    return NULL;
  }
  struct aligned_scoring *scoring = memory_new(1, sizeof *scoring);
  if (!scoring) {
    error_memory(&model->error);
    return NULL;
  }
  scoring->shape = shape_of(&model->configuration);
  scoring->context = context_hold(model->context);
  for (size_t side = 0; side < SIDES; side++)
    scoring->side[side].vocabulary = &model->vocabulary[side];
  scoring->block = room_lay(scoring, layout);
  if (!scoring->block)
    error_memory(&model->error);
  if (scoring->block && fold(scoring, model) == QE_OK)
    return &scoring->base;
  aligned_scoring_free(&scoring->base);
  return NULL;
}
