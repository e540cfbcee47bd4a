/*
** pass.c - one pass of a model over a batch. The batch is cut into as many shards as the tape says, each with a tape of
** its own that a thread of the pool runs. On the outer tape a pass is a node without cells (its inputs: embeddings
** given in place of ids) and every tap asked for is a node whose rows are those of the shards, one after another. The
** walk backward meets the taps first, which hand their gradients in, then the pass, which walks the shards' tapes and
** adds what they found to the parameters' gradient in the order of the shards: the same bits for any thread count.
*/
#include "architecture.h"

#include <stdio.h>

struct pass {
  qe_model *model;
  size_t shards;
  struct shard shard[];
};

/* ---- forward ---- */

static void run_shard(void *context, int part) {
  struct pass *pass = context;
  pass->model->configuration.architecture->forward(&pass->shard[part]);
}

static void walk_shard(void *context, int part) {
  struct pass *pass = context;
  qe_tape_backward(pass->shard[part].tape);
}

/* The first shard's failure becomes the outer tape's. */
static bool shards_failed(qe_tape *tape, const struct pass *pass) {
  for (size_t i = 0; i < pass->shards; i++) {
    const struct error *error = tape_error(pass->shard[i].tape);
    if (error->status != QE_OK) {
      tape_fail(tape, error->status, "%s", error->text);
      return true;
    }
  }
  return false;
}

static size_t given_offset(const struct shard *shard, int side, size_t row) {
  return shard->model->configuration.architecture->offset(shard->model, shard->sides, side, row);
}

static void return_given(struct node *outer, const struct shard *shard, size_t side) {
  const struct node *inner = node_of(shard->given[side]);
  qe_real *g = node_gradient(outer);
  if (!inner || !inner->g || !g)
    return;
  g += given_offset(shard, (int)side, shard->first) * outer->cols;
  for (size_t i = 0; i < inner->rows * inner->cols; i++)
    g[i] += inner->g[i];
}

static void pass_backward(struct node *node) {
  struct pass *pass = node->extra;
  pool_run(tape_pool(node->tape), (int)pass->shards, walk_shard, pass);
  if (shards_failed(node->tape, pass))
    return;
  params_lane_sum(pass->model->params, (int)pass->shards, tape_pool(node->tape));
  for (size_t i = 0; i < pass->shards; i++)
    for (int input = 0, side = 0; side < 2; side++)
      if (pass->shard[i].given[side].tape)
        return_given(node->input[input++], &pass->shard[i], (size_t)side);
}

static const struct operation pass_operation = { "forward", pass_backward };

/* The rows of a given matrix that belong to one shard, as a leaf of its tape. */
static qe_tensor given_slice(const struct node *node, const struct shard *shard, int side) {
  const size_t first = given_offset(shard, side, shard->first);
  const size_t rows = given_offset(shard, side, shard->first + shard->count) - first;
  const qe_real *x = node->x + first * node->cols;
  return node->wants ? qe_variable(shard->tape, rows, node->cols, x)
                     : qe_constant(shard->tape, rows, node->cols, x);
}

static bool given_fits(qe_tape *tape, const struct node *node, const qe_model *model,
                       const struct side *const sides[2], int side) {
  const struct configuration *configuration = &model->configuration;
  const size_t tokens = configuration->architecture->offset(model, sides, side, sides[side]->words.count);
  const size_t width = configuration->architecture->width(configuration);
  if (node->rows == tokens && node->cols == width)
    return true;
  tape_fail(tape, QE_USE, "forward: embeddings are %zu x %zu, not %zu (tokens) x %zu", node->rows, node->cols,
            tokens, width);
  return false;
}

static bool shard_start(struct shard *shard, const struct pass *pass, qe_tape *outer, size_t number,
                        uint64_t draw) {
  char name[32];
  shard->tape = tape_shard(outer);
  if (!shard->tape)
    return false;
  tape_set_lane(shard->tape, (int)number + 1);
  snprintf(name, sizeof name, "shard %zu of %zu", number, pass->shards);
  qe_rng_seed(&shard->dropout, draw, name);
  return true;
}

/* Batch, sides and given embeddings, resolved. */
struct request {
  qe_batch *batch;
  const struct side *sides[2];
  struct node *given[2], *inputs[2]; /* per side or NULL; those that are there */
  int input_count;
  bool gradient;
};

static bool resolve_sides(struct request *request, qe_tape *tape, const qe_model *model) {
  for (int side = 0; side < 2; side++) {
    request->sides[side] =
        batch_side(request->batch, (qe_side)side, &model->vocabulary[side], model->configuration.max_tokens);
    if (!request->sides[side]) {
      error_memory(tape_error(tape));
      return false;
    }
  }
  return true;
}

static bool resolve_given(struct request *request, qe_tape *tape, const qe_model *model, const qe_tensor given[2]) {
  for (int side = 0; side < 2; side++) {
    if (!given[side].tape)
      continue;
    struct node *node = node_of(given[side]);
    if (!node || given[side].tape != tape) {
      tape_fail(tape, QE_USE, "forward: embeddings of another tape");
      return false;
    }
    if (!given_fits(tape, node, model, request->sides, side))
      return false;
    request->given[side] = request->inputs[request->input_count++] = node;
  }
  return true;
}

static bool request_resolve(struct request *request, qe_tape *tape, qe_model *model, qe_batch *batch,
                            const qe_pass_options *options) {
  const qe_tensor given[2] = { options->source_embedding, options->target_embedding };
  *request = (struct request){ .batch = batch };
  return resolve_sides(request, tape, model) && resolve_given(request, tape, model, given);
}

static void fill_shard(struct shard *shard, const struct pass *pass, const struct request *request, size_t number) {
  const size_t rows = qe_batch_size(request->batch);
  shard->model = pass->model;
  shard->data = batch_dataset(request->batch);
  shard->first = rows * number / pass->shards;
  shard->count = rows * (number + 1) / pass->shards - shard->first;
  shard->rows = qe_batch_rows(request->batch) + shard->first;
  for (int side = 0; side < 2; side++) {
    shard->sides[side] = request->sides[side];
    shard->given[side] = QE_NONE;
  }
}

static size_t tap_count(const struct configuration *configuration) {
  char name[MOST_TAP_NAME];
  size_t count = 0;
  while (configuration->architecture->tap_name(configuration, count, name))
    count++;
  return count;
}

static size_t natural(int number) {
  return number > 0 ? (size_t)number : 0;
}

static struct pass *pass_make(qe_tape *tape, qe_model *model, const struct request *request,
                              const qe_pass_options *options) {
  qe_rng *dropout = options->dropout;
  const size_t shards = (size_t)tape_shards(tape);
  const uint64_t draw = dropout ? qe_rng_next(dropout) : 0;
  struct pass *pass = tape_alloc(tape, 1, sizeof *pass + shards * sizeof *pass->shard);
  const size_t taps = tap_count(&model->configuration);
  qe_tensor *none = tape_alloc(tape, shards * taps, sizeof *none);
  if (!pass || !none)
    return NULL;
  pass->model = model;
  pass->shards = shards;
  for (size_t i = 0; i < shards; i++) {
    struct shard *shard = &pass->shard[i];
    fill_shard(shard, pass, request, i);
    shard->taps = none + i * taps;
    for (size_t tap = 0; tap < taps; tap++)
      shard->taps[tap] = QE_NONE;
    shard->decoder = QE_NONE;
    shard->drops = dropout != NULL;
    shard->headless = options->no_head;
    shard->first_layer = natural(options->first_layer);
    shard->last_layer = natural(options->last_layer);
    shard->frozen_layers = natural(options->frozen_layers);
    if (!shard_start(shard, pass, tape, i, draw))
      return NULL;
    qe_tape_recording(shard->tape, request->gradient);
    for (int side = 0; side < 2; side++)
      if (request->given[side])
        shard->given[side] = given_slice(request->given[side], shard, side);
  }
  return pass;
}

qe_pass qe_model_forward(qe_tape *tape, qe_model *model, qe_batch *batch, const qe_pass_options *options) {
  static const qe_pass_options none = { 0 };
  static const qe_pass failed = { NULL, 0, 0 };
  struct request request;
  if (!options)
    options = &none;
  if (tape_error(tape)->status != QE_OK)
    return failed;
  if (!model->params) {
    tape_fail(tape, QE_USE, "forward: the model is empty");
    return failed;
  }
  if (!request_resolve(&request, tape, model, batch, options))
    return failed;
  const int recording = qe_tape_recording(tape, 1);
  qe_tape_recording(tape, recording);
  request.gradient = recording && !options->no_gradient;
  struct node *node = node_new(tape, &pass_operation, 0, 0, request.inputs, request.input_count);
  if (!node || (request.gradient && params_lanes(model->params, tape_shards(tape)) != QE_OK)) {
    error_memory(tape_error(tape));
    return failed;
  }
  node->wants = request.gradient;
  node->extra = pass_make(tape, model, &request, options);
  if (!node->extra)
    return failed;
  struct pass *pass = node->extra;
  pool_run(tape_pool(tape), (int)pass->shards, run_shard, pass);
  if (shards_failed(tape, pass))
    return failed;
  return (qe_pass){ tape, node->id, tape_generation(tape) };
}

/* ---- taps ---- */

static void tap_backward(struct node *node) {
  const struct pass *pass = node->input[0]->extra;
  const size_t tap = *(const size_t *)node->extra;
  const qe_real *g = node->g;
  for (size_t i = 0; i < pass->shards; i++) {
    struct node *inner = node_of(pass->shard[i].taps[tap]);
    const size_t cells = inner->rows * inner->cols;
    qe_real *inner_g = node_gradient(inner);
    for (size_t j = 0; inner_g && j < cells; j++)
      inner_g[j] += g[j];
    g += cells;
  }
  node_gradient(node->input[0]); /* so that the walk stops at the pass */
}

static const struct operation tap_operation = { "tap", tap_backward };

static bool tap_find(const struct configuration *configuration, const char *wanted, size_t *tap) {
  char name[MOST_TAP_NAME];
  for (*tap = 0; configuration->architecture->tap_name(configuration, *tap, name); ++*tap)
    if (strcmp(name, wanted) == 0)
      return true;
  return false;
}

static void tap_copy(struct node *node, const struct pass *pass, size_t tap) {
  qe_real *x = node->x;
  for (size_t i = 0; i < pass->shards; i++) {
    const struct node *inner = node_of(pass->shard[i].taps[tap]);
    if (inner->rows * inner->cols > 0)
      memcpy(x, inner->x, inner->rows * inner->cols * sizeof *x);
    x += inner->rows * inner->cols;
  }
}

qe_tensor qe_pass_tap(qe_pass pass, const char *name) {
  size_t tap, rows = 0;
  if (!pass.tape)
    return QE_NONE;
  struct node *input = node_of((qe_tensor){ pass.tape, pass.id, pass.generation });
  if (!input)
    return QE_NONE;
  const struct pass *inner = input->extra;
  if (!tap_find(&inner->model->configuration, name, &tap))
    return tape_fail(pass.tape, QE_USE, "no tap \"%s\"; there are: %s", name, inner->model->taps);
  if (!inner->shard[0].taps[tap].tape)
    return tape_fail(pass.tape, QE_USE, "tap \"%s\": this pass did not make it (no head, or layers given)", name);
  for (size_t i = 0; i < inner->shards; i++)
    rows += qe_rows(inner->shard[i].taps[tap]);
  struct node *node = node_new(pass.tape, &tap_operation, rows, qe_cols(inner->shard[0].taps[tap]), &input, 1);
  size_t *extra = node ? tape_alloc(pass.tape, 1, sizeof *extra) : NULL;
  if (!extra)
    return QE_NONE;
  *extra = tap;
  node->extra = extra;
  tap_copy(node, inner, tap);
  return node_handle(node);
}
