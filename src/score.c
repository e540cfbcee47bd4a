/*
** score.c - scores without a tape. `scoring` is a model's parameters folded for that: what is linear and follows
** something linear is multiplied out, columns are padded for the kernels. It is made once and then only read. A
** scorer owns one work area per thread; a pair is computed in one of them from its text to its score by the same
** operations in the same order wherever it stands, so its score depends on nothing else. No arithmetic on floats
** but single additions and products happens here: the rest is in kernel.c.
**
** Folding. Input gates of word vocabularies are a table, a row per word. A token's attention logit is
** (h P + b) c = h (P c) + constant, and softmax ignores the constant. As attention weights sum to one, the head sees
** (sum w_t h_t) (P W) + b W of each side that has tokens.
*/
#include "kernel.h"
#include "model.h"

#include <stdio.h>

enum { DIRECTIONS = 2, SIDES = 2, TABLE_BYTES = 64 << 20, ALIGNED = 64 };

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
};

struct qe_scorer {
  struct error error;
  const qe_model *model;
  const struct kernel *kernel;
  qe_pool *pool;
  struct work *works;
  int threads, parts;
  size_t truncated;
  struct shape shape;   /* that the work areas fit */
  const qe_pair *pairs; /* of the call that runs */
  float *scores;
  size_t count;
};

/* ---- kernels ---- */

extern const struct kernel kernel_portable;
#ifdef __x86_64__
extern const struct kernel kernel_v3, kernel_v4;
#endif

const struct kernel *kernel_choose(const char *name) {
#ifdef __x86_64__
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  if (v4 && (!name || strcmp(name, "v4") == 0))
    return &kernel_v4;
  if (v3 && (!name || strcmp(name, "v3") == 0))
    return &kernel_v3;
#endif
  return !name || strcmp(name, "portable") == 0 ? &kernel_portable : NULL;
}

/* ---- memory of aligned arrays, laid out twice: once to count, once to point ---- */

struct room {
  float *start; /* NULL while counting */
  size_t used;
  bool overflow;
};

static size_t padded(size_t count) {
  return (count + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}

static float *room_take(struct room *room, size_t rows, size_t cols) {
  size_t cells, used;
  if (__builtin_mul_overflow(rows, cols, &cells) || cells > SIZE_MAX / 2 ||
      __builtin_add_overflow(room->used, padded(cells), &used)) {
    room->overflow = true;
    return NULL;
  }
  float *place = room->start ? room->start + room->used : NULL;
  room->used = used;
  return place;
}

/* Zeroed memory for what was counted; the room then starts over, with pointers. */
static void *room_open(struct room *room) {
  if (room->overflow || room->used > SIZE_MAX / sizeof(float) - ALIGNED)
    return NULL;
  char *block = memory_new(room->used * sizeof(float) + ALIGNED, 1);
  if (block)
    *room = (struct room){ .start = (float *)(void *)(block + (ALIGNED - (uintptr_t)block % ALIGNED) % ALIGNED) };
  return block;
}

/* ---- folding ---- */

struct side_parameters {
  const qe_real *embedding, *input_weight[DIRECTIONS], *hidden_weight[DIRECTIONS], *input_bias[DIRECTIONS],
      *hidden_bias[DIRECTIONS], *projection, *projection_bias, *context;
};

static const qe_real *parameter(qe_model *model, const char *group, const char *name) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  int number = qe_params_find(model->params, full);
  if (number < 0) {
    error_set(&model->error, QE_USE, "scoring: the model has no parameter \"%s\"", full);
    return NULL;
  }
  return qe_params_matrix(model->params, (size_t)number);
}

static int side_parameters(qe_model *model, size_t side, struct side_parameters *p) {
  static const char *const names[SIDES] = { "source", "target" };
  static const char *const directions[SIDES][DIRECTIONS] = { { "source.forward", "source.backward" },
                                                             { "target.forward", "target.backward" } };
  for (size_t d = 0; d < DIRECTIONS; d++) {
    p->input_weight[d] = parameter(model, directions[side][d], "input_weight");
    p->hidden_weight[d] = parameter(model, directions[side][d], "hidden_weight");
    p->input_bias[d] = parameter(model, directions[side][d], "input_bias");
    p->hidden_bias[d] = parameter(model, directions[side][d], "hidden_bias");
  }
  p->embedding = parameter(model, names[side], "embedding");
  p->projection = parameter(model, names[side], "projection");
  p->projection_bias = parameter(model, names[side], "projection_bias");
  p->context = parameter(model, names[side], "context");
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

static void scoring_layout(struct scoring *scoring, struct room *room) {
  const struct shape *shape = &scoring->shape;
  for (size_t i = 0; i < SIDES; i++)
    side_layout(shape, &scoring->side[i], room);
  scoring->head_bias = room_take(room, shape->outputs, 1);
  scoring->decoder_weight = room_take(room, shape->decoder, shape->outputs);
}

static void copy_matrix(float *to, size_t stride, const qe_real *from, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      to[i * stride + j] = (float)from[i * cols + j];
}

static void fold_gru(const struct shape *shape, struct scoring_side *side, const struct side_parameters *p) {
  size_t h = shape->hidden, both = 2 * shape->cols;
  for (size_t d = 0; d < DIRECTIONS; d++) {
    float *input_bias = side->input_bias + d * shape->cols;
    copy_matrix(side->input_weight + d * shape->cols, both, p->input_weight[d], shape->embedding, 3 * h);
    copy_matrix(side->hidden_weight[d], shape->cols, p->hidden_weight[d], h, 3 * h);
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

/* weight: this side's rows of the head's. */
static void fold_head(const struct shape *shape, struct scoring_side *side, const struct side_parameters *p,
                      const qe_real *weight) {
  size_t a = shape->attention, outputs = shape->bins ? shape->bins : 1;
  for (size_t i = 0; i < 2 * shape->hidden; i++) {
    size_t place = state_place(shape, i);
    const qe_real *row = p->projection + i * a;
    side->context[place] = (float)dot_strided(row, p->context, 1, a);
    for (size_t j = 0; j < outputs; j++)
      side->head[place * shape->outputs + j] = (float)dot_strided(row, weight + j, outputs, a);
  }
  for (size_t j = 0; j < outputs; j++)
    side->head_bias[j] = (float)dot_strided(p->projection_bias, weight + j, outputs, a);
}

static int fold_words(const struct shape *shape, struct scoring_side *side, const qe_real *embedding) {
  size_t rows = side->vocabulary->rows, width = shape->embedding;
  if (side->embedding) {
    copy_matrix(side->embedding, shape->wide, embedding, rows, width);
    return QE_OK;
  }
  const struct kernel *kernel = kernel_choose(NULL);
  float *row = memory_new(shape->wide, sizeof *row);
  if (!row)
    return QE_MEMORY;
  for (size_t i = 0; i < rows; i++) {
    copy_matrix(row, width, embedding + i * width, 1, width);
    kernel->affine(1, width, 2 * shape->cols, row, width, side->input_weight, side->input_bias,
                   side->table + i * 2 * shape->cols);
  }
  memory_free(row);
  return QE_OK;
}

static int fold(struct scoring *scoring, qe_model *model) {
  const struct shape *shape = &scoring->shape;
  size_t outputs = shape->bins ? shape->bins : 1;
  const qe_real *head = parameter(model, "head", "weight"), *bias = parameter(model, "head", "bias");
  if (!head || !bias)
    return model->error.status;
  for (size_t i = 0; i < SIDES; i++) {
    struct side_parameters p;
    if (side_parameters(model, i, &p) != QE_OK)
      return model->error.status;
    fold_gru(shape, &scoring->side[i], &p);
    fold_head(shape, &scoring->side[i], &p, head + i * shape->attention * outputs);
    if (fold_words(shape, &scoring->side[i], p.embedding) != QE_OK)
      return error_memory(&model->error);
  }
  copy_matrix(scoring->head_bias, shape->outputs, bias, 1, outputs);
  copy_matrix(scoring->decoder_weight, shape->outputs, head + SIDES * shape->attention * outputs, shape->decoder,
              outputs);
  return QE_OK;
}

void scoring_free(struct scoring *scoring) {
  if (!scoring)
    return;
  memory_free(scoring->block);
  memory_free(scoring);
}

static struct shape shape_of(const struct configuration *c) {
  return (struct shape){ .embedding = c->embedding,
                         .hidden = c->hidden,
                         .attention = c->attention,
                         .bins = c->bins,
                         .decoder = c->decoder_inputs,
                         .wide = padded(c->embedding),
                         .state = padded(c->hidden),
                         .cols = padded(3 * c->hidden),
                         .outputs = padded(c->bins ? c->bins : 1) };
}

int scoring_prepare(qe_model *model) {
  struct scoring *scoring = memory_new(1, sizeof *scoring);
  if (!scoring)
    return error_memory(&model->error);
  scoring->shape = shape_of(&model->configuration);
  for (size_t i = 0; i < SIDES; i++)
    scoring->side[i].vocabulary = &model->vocabulary[i];
  struct room room = { 0 };
  scoring_layout(scoring, &room);
  scoring->block = room_open(&room);
  if (!scoring->block)
    error_memory(&model->error);
  else
    scoring_layout(scoring, &room);
  if (!scoring->block || fold(scoring, model) != QE_OK) {
    scoring_free(scoring);
    return model->error.status;
  }
  scoring_free(model->scoring);
  model->scoring = scoring;
  return QE_OK;
}

/* ---- one side of one pair ---- */

static void work_fixed_layout(struct work *work, const struct shape *shape, struct room *room) {
  work->zeros = room_take(room, shape->state, 1);
  work->inner = room_take(room, shape->cols + KERNEL_LANES, 1);
  work->gates = room_take(room, 2 * shape->hidden + KERNEL_LANES, 1);
  work->pooled = room_take(room, 2 * shape->state, 1);
  work->logits = room_take(room, shape->outputs, 1);
  work->part = room_take(room, shape->outputs, 1);
}

static void work_tokens_layout(struct work *work, const struct shape *shape, size_t tokens, struct room *room) {
  work->mean = room_take(room, tokens, shape->wide);
  work->gate_inputs = room_take(room, tokens, 2 * shape->cols);
  room_take(room, KERNEL_LANES, 1); /* kernels read that far */
  work->states = room_take(room, tokens, 2 * shape->state);
  work->weights = room_take(room, tokens, 1);
}

static void work_clear(struct work *work) {
  words_free(&work->words);
  memory_free(work->fixed_block);
  memory_free(work->tokens_block);
  memory_free((void *)work->input);
  *work = (struct work){ 0 };
}

static bool work_open(struct work *work, const struct shape *shape) {
  struct room room = { 0 };
  work_fixed_layout(work, shape, &room);
  work->fixed_block = room_open(&room);
  if (work->fixed_block)
    work_fixed_layout(work, shape, &room);
  return work->fixed_block != NULL;
}

static bool work_reserve(struct work *work, const struct shape *shape, size_t tokens) {
  enum { FEWEST = 64 };
  if (tokens <= work->tokens)
    return true;
  size_t grown = tokens < FEWEST ? FEWEST : tokens + tokens / 2;
  struct room room = { 0 };
  work_tokens_layout(work, shape, grown, &room);
  void *block = room_open(&room);
  const float **input = memory_new(grown, DIRECTIONS * sizeof *input);
  memory_free(work->tokens_block);
  memory_free((void *)work->input);
  work->tokens_block = block;
  work->input = input;
  work->tokens = block && input ? grown : 0;
  if (work->tokens > 0)
    work_tokens_layout(work, shape, grown, &room);
  return work->tokens > 0;
}

/* Points input[] at the gate inputs of every token, once per direction. */
static void find_inputs(struct work *work, const struct shape *shape, const struct scoring_side *side,
                        const struct kernel *kernel) {
  size_t tokens = work->words.count, both = 2 * shape->cols;
  uint32_t ids[VOCABULARY_MAX_IDS];
  for (size_t t = 0; t < tokens; t++) {
    const uint32_t *offset = work->words.offset + t;
    qe_text word = { work->words.bytes + offset[0], offset[1] - offset[0] };
    size_t count = vocabulary_ids(side->vocabulary, word, ids);
    if (!side->table)
      kernel->mean(side->embedding, shape->wide, ids, count, work->mean + t * shape->wide);
    work->input[t] = side->table ? side->table + ids[0] * both : work->gate_inputs + t * both;
    work->input[work->tokens + t] = work->input[t] + shape->cols;
  }
  if (!side->table)
    kernel->affine(tokens, shape->embedding, both, work->mean, shape->wide, side->input_weight, side->input_bias,
                   work->gate_inputs);
}

/* Leaves in `part` what one side adds to the logits. */
static void encode(struct work *work, const struct shape *shape, const struct scoring_side *side,
                   const struct kernel *kernel) {
  size_t tokens = work->words.count, width = 2 * shape->state;
  find_inputs(work, shape, side, kernel);
  for (size_t d = 0; d < DIRECTIONS; d++) {
    struct kernel_gru gru = { shape->hidden, shape->cols, side->hidden_weight[d], side->hidden_bias[d] };
    kernel->gru(&gru, tokens, work->input + d * work->tokens, d == 1, work->states + d * shape->state, width,
                work->zeros, work->inner, work->gates);
  }
  kernel->attend(tokens, width, work->states, side->context, work->weights, work->pooled);
  kernel->affine(1, width, shape->outputs, work->pooled, width, side->head, side->head_bias, work->part);
}

static int add_side(struct work *work, const qe_scorer *scorer, size_t number, qe_text text) {
  const struct scoring *scoring = scorer->model->scoring;
  int status = words_split(&work->words, text, scorer->model->configuration.max_tokens);
  if (status != QE_OK)
    return status;
  work->truncated += work->words.truncated;
  if (work->words.count == 0)
    return QE_OK;
  if (!work_reserve(work, &scoring->shape, work->words.count))
    return QE_MEMORY;
  encode(work, &scoring->shape, &scoring->side[number], scorer->kernel);
  for (size_t j = 0; j < scoring->shape.outputs; j++)
    work->logits[j] += work->part[j];
  return QE_OK;
}

/* ---- pairs ---- */

static int score_pair(struct work *work, const qe_scorer *scorer, const qe_pair *pair, float *score) {
  const qe_model *model = scorer->model;
  const struct scoring *scoring = model->scoring;
  const struct shape *shape = &scoring->shape;
  float decoder[DECODER_INPUTS] = { 0 };
  if (shape->decoder > 0)
    decoder_inputs(model, pair->logprobs, pair->logprob_count, decoder);
  scorer->kernel->affine(1, shape->decoder, shape->outputs, decoder, DECODER_INPUTS, scoring->decoder_weight,
                         scoring->head_bias, work->logits);
  int status = add_side(work, scorer, QE_SOURCE, pair->source);
  if (status == QE_OK)
    status = add_side(work, scorer, QE_TARGET, pair->translation);
  if (status == QE_OK)
    *score = model->shift + model->scale * scorer->kernel->score(shape->bins, work->logits);
  return status;
}

/* One part of a call: a run of pairs that depends on the numbers of pairs and parts alone. */
static void score_part(void *context, int part) {
  qe_scorer *scorer = context;
  struct work *work = &scorer->works[part];
  size_t parts = (size_t)scorer->parts, share = scorer->count / parts, extra = scorer->count % parts;
  size_t number = (size_t)part;
  size_t first = number * share + (number < extra ? number : extra);
  size_t end = first + share + (number < extra);
  work->status = QE_OK;
  work->truncated = 0;
  for (size_t i = first; i < end && work->status == QE_OK; i++)
    work->status = score_pair(work, scorer, &scorer->pairs[i], &scorer->scores[i]);
}

/* ---- scorer ---- */

qe_scorer *qe_scorer_new(const qe_model *model, qe_pool *pool) {
  qe_scorer *scorer = memory_new(1, sizeof *scorer);
  if (!scorer)
    return NULL;
  scorer->model = model;
  scorer->pool = pool;
  scorer->kernel = kernel_choose(NULL);
  scorer->threads = qe_pool_threads(pool);
  scorer->works = memory_new((size_t)scorer->threads, sizeof *scorer->works);
  if (!scorer->works) {
    memory_free(scorer);
    return NULL;
  }
  return scorer;
}

static void works_clear(qe_scorer *scorer) {
  for (int i = 0; i < scorer->threads; i++)
    work_clear(&scorer->works[i]);
  scorer->shape = (struct shape){ 0 };
}

void qe_scorer_free(qe_scorer *scorer) {
  if (!scorer)
    return;
  works_clear(scorer);
  memory_free(scorer->works);
  memory_free(scorer);
}

const char *qe_scorer_error(const qe_scorer *scorer) {
  return scorer->error.text;
}

size_t qe_scorer_truncated(const qe_scorer *scorer) {
  return scorer->truncated;
}

void scorer_use(qe_scorer *scorer, const struct kernel *kernel) {
  scorer->kernel = kernel;
}

/* Work areas of the model's present shape: it may have become another one since the last call. */
static int works_open(qe_scorer *scorer, const struct shape *shape) {
  if (memcmp(&scorer->shape, shape, sizeof *shape) == 0)
    return QE_OK;
  works_clear(scorer);
  for (int i = 0; i < scorer->threads; i++)
    if (!work_open(&scorer->works[i], shape)) {
      works_clear(scorer);
      return error_memory(&scorer->error);
    }
  scorer->shape = *shape;
  return QE_OK;
}

static int check_pairs(qe_scorer *scorer, const qe_pair *pairs, size_t count, const float *scores) {
  if (!scorer->model->scoring)
    return error_set(&scorer->error, QE_USE, "score: the model is empty or has not been prepared");
  if (count > 0 && (!pairs || !scores))
    return error_set(&scorer->error, QE_USE, "score: %s is NULL", pairs ? "scores" : "pairs");
  for (size_t i = 0; i < count; i++) {
    if (pairs[i].logprob_count > 0 && !pairs[i].logprobs)
      return error_set(&scorer->error, QE_USE, "score: pair %zu has %zu log-probabilities at NULL", i,
                       pairs[i].logprob_count);
    if (pairs[i].logprob_count > 0 && scorer->model->scoring->shape.decoder == 0)
      return error_set(&scorer->error, QE_USE,
                       "score: pair %zu has log-probabilities, but the model reads none (no decoder inputs)", i);
  }
  return QE_OK;
}

int qe_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  error_clear(&scorer->error);
  if (check_pairs(scorer, pairs, count, scores) != QE_OK ||
      works_open(scorer, &scorer->model->scoring->shape) != QE_OK)
    return scorer->error.status;
  scorer->pairs = pairs;
  scorer->scores = scores;
  scorer->count = count;
  scorer->parts = count < (size_t)scorer->threads ? (int)count : scorer->threads;
  pool_run(scorer->pool, scorer->parts, score_part, scorer);
  for (int i = 0; i < scorer->parts; i++) {
    scorer->truncated += scorer->works[i].truncated;
    if (scorer->works[i].status != QE_OK)
      error_memory(&scorer->error);
  }
  return scorer->error.status;
}
