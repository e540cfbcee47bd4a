/*
** score.c - scores without a tape. A scorer owns one work area per thread; a pair is computed in one of them from its
** text to its score by the same operations in the same order wherever it stands, so its score depends on nothing else.
** No arithmetic on floats but single additions and products happens here: the rest is in kernel.c.
*/
#include "scoring.h"

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
  shared_free(work->shared);
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

bool work_reserve(struct work *work, const struct shape *shape, size_t tokens) {
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

void work_inputs(struct work *work, const struct shape *shape, const struct scoring_side *side,
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
static void encode(struct work *work, const struct shape *shape, const struct scoring_side *side,
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

int work_side(struct work *work, const qe_scorer *scorer, size_t side, qe_text text, size_t *tokens) {
  const struct scoring *scoring = scorer->model->scoring;
  int status = words_split(&work->words, text, scorer->model->configuration.max_tokens);
  if (status != QE_OK)
    return status;
  *tokens = work->words.count;
  if (*tokens == 0)
    return QE_OK;
  if (!work_reserve(work, &scoring->shape, *tokens))
    return QE_MEMORY;
  encode(work, &scoring->shape, &scoring->side[side], scorer->kernel);
  return QE_OK;
}

void work_begin(struct work *work, const qe_scorer *scorer, const qe_pair *pair) {
  const struct scoring *scoring = scorer->model->scoring;
  const struct shape *shape = &scoring->shape;
  float decoder[DECODER_INPUTS] = { 0 };
  if (shape->decoder > 0)
    decoder_inputs(scorer->model, pair->logprobs, pair->logprob_count, decoder);
  scorer->kernel->affine(1, shape->decoder, shape->outputs, decoder, DECODER_INPUTS, scoring->decoder_weight,
                         scoring->head_bias, work->logits);
}

void work_add(struct work *work, const qe_scorer *scorer, const float *part) {
  for (size_t j = 0; j < scorer->shape.outputs; j++)
    work->logits[j] += part[j];
}

float work_score(struct work *work, const qe_scorer *scorer) {
  const qe_model *model = scorer->model;
  return model->shift + model->scale * scorer->kernel->score(scorer->shape.bins, work->logits);
}

/* ---- pairs ---- */

static int score_pair(struct work *work, const qe_scorer *scorer, const qe_pair *pair, float *score) {
  const qe_text sides[SIDES] = { [QE_SOURCE] = pair->source, [QE_TARGET] = pair->translation };
  work_begin(work, scorer, pair);
  for (size_t side = 0; side < SIDES; side++) {
    size_t tokens;
    int status = work_side(work, scorer, side, sides[side], &tokens);
    if (status != QE_OK)
      return status;
    work->truncated += work->words.truncated;
    if (tokens > 0)
      work_add(work, scorer, work->part);
  }
  *score = work_score(work, scorer);
  return QE_OK;
}

static void score_each(qe_scorer *scorer, struct work *work, size_t first, size_t end) {
  for (size_t i = first; i < end && work->status == QE_OK; i++)
    work->status = score_pair(work, scorer, &scorer->pairs[i], &scorer->scores[i]);
}

/* One part of a call: a run of pairs that depends on the numbers of pairs and parts alone. */
static void score_part(void *context, int part) {
  qe_scorer *scorer = context;
  struct work *work = &scorer->works[part];
  size_t parts = (size_t)scorer->parts, share = scorer->count / parts, extra = scorer->count % parts;
  size_t number = (size_t)part;
  size_t first = number * share + (number < extra ? number : extra);
  work->status = QE_OK;
  work->truncated = 0;
  scorer->score(scorer, work, first, first + share + (number < extra));
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

/* `fewest`: pairs of a part. */
static int score_by(qe_scorer *scorer, score_pairs *score, size_t fewest, const qe_pair *pairs, size_t count,
                    float *scores) {
  error_clear(&scorer->error);
  if (check_pairs(scorer, pairs, count, scores) != QE_OK ||
      works_open(scorer, &scorer->model->scoring->shape) != QE_OK)
    return scorer->error.status;
  const size_t parts = (count + fewest - 1) / fewest;
  scorer->score = score;
  scorer->pairs = pairs;
  scorer->scores = scores;
  scorer->count = count;
  scorer->parts = parts < (size_t)scorer->threads ? (int)parts : scorer->threads;
  pool_run(scorer->pool, scorer->parts, score_part, scorer);
  for (int i = 0; i < scorer->parts; i++) {
    scorer->truncated += scorer->works[i].truncated;
    if (scorer->works[i].status != QE_OK)
      error_memory(&scorer->error);
  }
  return scorer->error.status;
}

int qe_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  return score_by(scorer, score_each, 1, pairs, count, scores);
}

int qe_score_list(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  return score_by(scorer, score_run, 64, pairs, count, scores);
}
