/*
** birnn_score.c - the BiRNN's scores of pairs without a tape: both sides, one after the other, from words to what they
** add to the logits. No arithmetic on floats but single additions and products happens here: the rest is in kernel.c.
*/
#include "birnn_score.h"

/* ---- one side of one pair ---- */

static void work_fixed_layout(void *owner, struct room *room) {
  struct birnn_work *work = owner;
  const struct shape *shape = &work->shape;
  work->zeros = room_take(room, shape->state, 1);
  work->inner = room_take(room, shape->cols + KERNEL_LANES, 1);
  work->gates = room_take(room, 2 * shape->hidden + KERNEL_LANES, 1);
  work->pooled = room_take(room, 2 * shape->state, 1);
  work->logits = room_take(room, shape->outputs, 1);
  work->part = room_take(room, shape->outputs, 1);
}

static void work_tokens_layout(void *owner, struct room *room) {
  struct birnn_work *work = owner;
  const struct shape *shape = &work->shape;
  const size_t tokens = work->tokens;
  work->mean = room_take(room, tokens, shape->wide);
  work->gate_inputs = room_take(room, tokens, 2 * shape->cols);
  room_take(room, KERNEL_LANES, 1); /* kernels read that far */
  work->states = room_take(room, tokens, 2 * shape->state);
  work->weights = room_take(room, tokens, 1);
}

void birnn_work_free(struct work *base) {
  struct birnn_work *work = (struct birnn_work *)base;
  if (!work)
    return;
  words_free(&work->words);
  memory_free(work->fixed_block);
  memory_free(work->tokens_block);
  memory_free((void *)work->input);
  shared_free(work->shared);
  memory_free(work);
}

struct work *birnn_work_new(const struct scoring *scoring) {
  struct birnn_work *work = memory_new(1, sizeof *work);
  if (!work)
    return NULL;
  work->shape = ((const struct birnn_scoring *)scoring)->shape;
  work->fixed_block = room_lay(work, work_fixed_layout);
  if (work->fixed_block)
    return &work->base;
  memory_free(work);
  return NULL;
}

bool birnn_work_fits(const struct work *work, const struct scoring *scoring) {
  return memcmp(&((const struct birnn_work *)work)->shape, &((const struct birnn_scoring *)scoring)->shape,
                sizeof(struct shape)) == 0;
}

bool work_reserve(struct birnn_work *work, size_t tokens) {
  enum { FEWEST = 64 };
  if (tokens <= work->tokens)
    return true;
  work->tokens = tokens < FEWEST ? FEWEST : tokens + tokens / 2;
  memory_free(work->tokens_block);
  memory_free((void *)work->input);
  work->tokens_block = room_lay(work, work_tokens_layout);
  work->input = memory_new(work->tokens, DIRECTIONS * sizeof *work->input);
  if (work->tokens_block && work->input)
    return true;
  work->tokens = 0;
  return false;
}

void work_inputs(struct birnn_work *work, const struct shape *shape, const struct scoring_side *side,
                 const struct kernel *kernel, const struct words *words) {
  size_t count = words->count, both = 2 * shape->cols;
  uint32_t ids[VOCABULARY_MAX_IDS];
  for (size_t t = 0; t < count; t++) {
    const uint32_t *offset = words->offset + t;
    qe_text word = { words->bytes + offset[0], offset[1] - offset[0] };
    size_t id_count = vocabulary_ids(side->vocabulary, word, ids);
    if (!side->table)
      kernel->mean(side->embedding, shape->wide, ids, id_count, work->mean + t * shape->wide);
    work->input[t] = side->table ? side->table + ids[0] * both : work->gate_inputs + t * both;
    work->input[work->tokens + t] = work->input[t] + shape->cols;
  }
  if (!side->table)
    kernel->affine(count, shape->embedding, both, work->mean, shape->wide, side->input_weight, side->input_bias,
                   work->gate_inputs);
}

/* Leaves in `part` what one side adds to the logits. */
static void encode(struct birnn_work *work, const struct shape *shape, const struct scoring_side *side,
                   const struct kernel *kernel) {
  size_t tokens = work->words.count, width = 2 * shape->state;
  work_inputs(work, shape, side, kernel, &work->words);
  for (size_t d = 0; d < DIRECTIONS; d++) {
    struct kernel_gru gru = { shape->hidden, shape->cols, side->hidden_weight[d], side->hidden_bias[d] };
    kernel->gru(&gru, tokens, work->input + d * work->tokens, d == 1, work->states + d * shape->state, width,
                work->zeros, work->inner, work->gates);
  }
  kernel->attend(tokens, width, work->states, side->context, work->weights, work->pooled);
  kernel->affine(1, width, shape->outputs, work->pooled, width, side->head, side->head_bias, work->part);
}

int work_side(struct birnn_work *work, const qe_scorer *scorer, size_t side, qe_text text, size_t *tokens) {
  const struct birnn_scoring *scoring = birnn_scoring(scorer);
  int status = words_split(&work->words, text, scorer->model->configuration.max_tokens);
  if (status != QE_OK)
    return status;
  *tokens = work->words.count;
  if (*tokens == 0)
    return QE_OK;
  if (!work_reserve(work, *tokens))
    return QE_MEMORY;
  encode(work, &scoring->shape, &scoring->side[side], scorer->kernel);
  return QE_OK;
}

void work_begin(struct birnn_work *work, const qe_scorer *scorer, const qe_pair *pair) {
  const struct birnn_scoring *scoring = birnn_scoring(scorer);
  const struct shape *shape = &scoring->shape;
  float decoder[DECODER_INPUTS] = { 0 };
  if (shape->decoder > 0)
    decoder_inputs(scorer->model, pair->logprobs, pair->logprob_count, decoder);
  scorer->kernel->affine(1, shape->decoder, shape->outputs, decoder, DECODER_INPUTS, scoring->decoder_weight,
                         scoring->head_bias, work->logits);
}

void work_add(struct birnn_work *work, const qe_scorer *scorer, const float *part) {
  for (size_t j = 0; j < birnn_scoring(scorer)->shape.outputs; j++)
    work->logits[j] += part[j];
}

float work_score(struct birnn_work *work, const qe_scorer *scorer) {
  const qe_model *model = scorer->model;
  return model->shift + model->scale * scorer->kernel->score(birnn_scoring(scorer)->shape.bins, work->logits);
}

/* ---- pairs ---- */

static int score_pair(struct birnn_work *work, const qe_scorer *scorer, size_t number) {
  const qe_pair *pair = &scorer->pairs[number];
  work_begin(work, scorer, pair);
  for (size_t side = 0; side < SIDES; side++) {
    size_t tokens;
    int status = work_side(work, scorer, side, pair_side(pair, side), &tokens);
    if (status != QE_OK)
      return status;
    scorer->cut[number] += work->words.truncated;
    if (tokens > 0)
      work_add(work, scorer, work->part);
  }
  scorer->scores[number] = work_score(work, scorer);
  return QE_OK;
}

void birnn_score(qe_scorer *scorer, struct work *base, size_t first, size_t end) {
  struct birnn_work *work = (struct birnn_work *)base;
  for (size_t i = first; i < end && base->status == QE_OK; i++)
    base->status = score_pair(work, scorer, i);
}
