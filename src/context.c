/*
** context.c - an encoder under an aligned student. It does two things for it: encodes each text alone and gives every word
** the mean state of its pieces in some layer, and says what it thinks of the pair itself. The encoder is a whole model,
** prepared once and then only read; adapters, which fine-tuning has added to it, count for the second alone.
*/
#include "context.h"
#include "architecture.h"
#include "cover.h"
#include "encoder_score.h"

#include <stdatomic.h>

struct context {
  atomic_size_t holders;
  qe_model *encoder;
  size_t layer;
};

struct context_work {
  struct context *context; /* held */
  struct work *encoder;
  struct cover cover;
  float *states[SIDES];
  size_t room[SIDES];
  /* of the call */
  const struct kernel *kernel;
  const qe_pair *pairs;
  size_t max_words;
  context_take *take;
  void *owner;
};

static int check(const qe_model *model, size_t layer, struct error *error) {
  if (!model->params || model->configuration.architecture != &encoder)
    return error_set(error, QE_USE, "context: the model that words are read by is no encoder");
  if (layer > model->configuration.encoder.layers)
    return error_set(error, QE_USE, "context: layer %zu of an encoder of %zu", layer,
                     model->configuration.encoder.layers);
  if (qe_model_decoder_needed(model))
    return error_set(error, QE_USE, "context: the encoder needs log-probabilities");
  return QE_OK;
}

/* One that was opened for its words to be read lies ready. */
static int prepare(qe_model *model, size_t layer) {
  if (model->scoring && model->read_layers == layer)
    return QE_OK;
  model->read_layers = layer;
  return qe_model_prepare(model);
}

struct context *context_new(qe_model *model, size_t layer, struct error *error) {
  struct context *context = memory_new(1, sizeof *context);
  if (!context) {
    error_memory(error);
  } else if (check(model, layer, error) == QE_OK && prepare(model, layer) != QE_OK) {
    error_set(error, model->error.status, "context: %.300s", model->error.text);
  }
  if (error->status != QE_OK) {
    qe_model_free(model);
    memory_free(context);
    return NULL;
  }
  atomic_init(&context->holders, 1);
  context->encoder = model;
  context->layer = layer;
  return context;
}

struct context *context_hold(struct context *context) {
  if (context)
    atomic_fetch_add(&context->holders, 1);
  return context;
}

void context_release(struct context *context) {
  if (!context || atomic_fetch_sub(&context->holders, 1) > 1)
    return;
  qe_model_free(context->encoder);
  memory_free(context);
}

qe_model *context_encoder(const struct context *context) {
  return context->encoder;
}

bool context_work_fits(const struct context_work *work, const struct context *context) {
  return work ? work->context == context : context == NULL;
}

/* ---- reading ---- */

void context_work_free(struct context_work *work) {
  if (!work)
    return;
  context_release(work->context);
  encoder_work_free(work->encoder);
  cover_free(&work->cover);
  for (size_t side = 0; side < SIDES; side++)
    memory_free(work->states[side]);
  memory_free(work);
}

struct context_work *context_work_new(struct context *context) {
  struct context_work *work = memory_new(1, sizeof *work);
  if (!work)
    return NULL;
  work->context = context_hold(context);
  work->encoder = encoder_work_new(context->encoder->scoring);
  if (work->encoder)
    return work;
  context_work_free(work);
  return NULL;
}

/* The words of one side; their states stand in work->states[side]. */
static int read_side(struct context_work *work, size_t side, qe_text text, const struct encoder_text *read) {
  struct cover *cover = &work->cover;
  const struct unigram *unigram = vocabulary_unigram(&work->context->encoder->vocabulary[0]);
  const struct text_pieces pieces = { read->ids, read->count, read->truncated };
  if (!cover_begin(cover) || cover_add(cover, unigram, text, work->max_words, pieces, 0) != QE_OK ||
      !memory_reserve((void **)&work->states[side], &work->room[side], (cover->words_done + 1) * read->stride,
                      sizeof(float)))
    return QE_MEMORY;
  for (size_t i = 0; i < cover->words_done; i++)
    work->kernel->mean(read->states, read->stride, cover->rows + cover->offset[i],
                       cover->offset[i + 1] - cover->offset[i], work->states[side] + i * read->stride);
  return QE_OK;
}

static int take_texts(void *owner, size_t number, const struct encoder_text texts[SIDES]) {
  struct context_work *work = owner;
  struct context_words words = { .stride = texts[0].stride };
  for (size_t side = 0; side < SIDES; side++) {
    const int status = read_side(work, side, pair_side(&work->pairs[number], side), &texts[side]);
    if (status != QE_OK)
      return status;
    words.states[side] = work->states[side];
    words.count[side] = work->cover.words_done;
    words.truncated[side] = texts[side].truncated || work->cover.words.truncated;
  }
  return work->take(work->owner, number, &words);
}

int context_read(struct context_work *work, const struct kernel *kernel, const qe_pair *pairs, size_t first,
                 size_t end, size_t max_words, context_take *take, void *owner) {
  const qe_scorer scorer = { .model = work->context->encoder, .kernel = kernel, .pairs = pairs };
  work->kernel = kernel;
  work->pairs = pairs;
  work->max_words = max_words;
  work->take = take;
  work->owner = owner;
  return encoder_read(work->encoder, &scorer, first, end, work->context->layer, take_texts, work);
}

int context_score(struct context_work *work, bool asked, const struct kernel *kernel, const qe_pair *pairs,
                  size_t first, size_t end, float *scores) {
  memset(scores + first, 0, (end - first) * sizeof *scores);
  if (!asked)
    return QE_OK;
  qe_scorer scorer = { .model = work->context->encoder, .kernel = kernel, .pairs = pairs, .scores = scores };
  work->encoder->status = QE_OK;
  encoder_score(&scorer, work->encoder, first, end);
  return work->encoder->status;
}
