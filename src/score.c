/*
** score.c - scores without a tape. A scorer owns one work area per thread; a call is cut into as many runs of pairs, and
** the model's architecture computes each pair of a run by the same operations in the same order wherever it stands, so
** its score depends on nothing else.
*/
#include "architecture.h"

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

/* ---- a model's parameters, made ready ---- */

int scoring_prepare(qe_model *model) {
  struct scoring *scoring = model->configuration.architecture->fold(model);
  if (!scoring)
    return model->error.status;
  scoring->architecture = model->configuration.architecture;
  scoring_free(model->scoring);
  model->scoring = scoring;
  return QE_OK;
}

void scoring_free(struct scoring *scoring) {
  if (scoring)
    scoring->architecture->scoring_free(scoring);
}

/* ---- parts ---- */

/* One part of a call: a run of pairs that depends on the numbers of pairs and parts alone. */
static void score_part(void *context, int part) {
  qe_scorer *scorer = context;
  struct work *work = scorer->works[part];
  const size_t parts = (size_t)scorer->parts, number = (size_t)part;
  work->status = QE_OK;
  work->token = &scorer->token[part];
  scorer->score(scorer, work, share_begin(scorer->count, parts, number),
                share_begin(scorer->count, parts, number + 1));
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
  scorer->token = memory_new((size_t)scorer->threads, sizeof *scorer->token);
  if (scorer->works && scorer->token)
    return scorer;
  memory_free(scorer->works);
  memory_free(scorer->token);
  memory_free(scorer);
  return NULL;
}

static void works_clear(qe_scorer *scorer) {
  for (int i = 0; i < scorer->threads && scorer->architecture; i++) {
    scorer->architecture->work_free(scorer->works[i]);
    scorer->works[i] = NULL;
  }
  scorer->architecture = NULL;
}

void qe_scorer_free(qe_scorer *scorer) {
  if (!scorer)
    return;
  works_clear(scorer);
  memory_free(scorer->cut);
  windows_free(&scorer->windows);
  for (int i = 0; i < scorer->threads; i++)
    words_free(&scorer->token[i]);
  memory_free(scorer->token);
  encoding_work_free(&scorer->encoding);
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

void scorer_beginnings(qe_scorer *scorer) {
  scorer->no_windows = true;
}

/* Work areas that fit the model as it is now: it may have become another one since the last call. */
static int works_open(qe_scorer *scorer, const struct scoring *scoring) {
  const struct architecture *architecture = scoring->architecture;
  if (scorer->architecture == architecture && architecture->work_fits(scorer->works[0], scoring))
    return QE_OK;
  works_clear(scorer);
  scorer->architecture = architecture;
  for (int i = 0; i < scorer->threads; i++) {
    scorer->works[i] = architecture->work_new(scoring);
    if (!scorer->works[i]) {
      works_clear(scorer);
      return error_memory(&scorer->error);
    }
  }
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
    if (pairs[i].logprob_count > 0 && scorer->model->configuration.decoder_inputs == 0)
      return error_set(&scorer->error, QE_USE,
                       "score: pair %zu has log-probabilities, but the model reads none (no decoder inputs)", i);
  }
  return QE_OK;
}

static int run_parts(qe_scorer *scorer, const qe_pair *pairs, size_t count, size_t fewest, float *scores) {
  const size_t parts = (count + fewest - 1) / fewest;
  if (!memory_reserve((void **)&scorer->cut, &scorer->cut_room, count + 1, sizeof *scorer->cut))
    return error_memory(&scorer->error);
  memset(scorer->cut, 0, count * sizeof *scorer->cut);
  scorer->pairs = pairs;
  scorer->scores = scores;
  scorer->count = count;
  scorer->parts = parts < (size_t)scorer->threads ? (int)parts : scorer->threads;
  pool_run(scorer->pool, scorer->parts, score_part, scorer);
  for (int i = 0; i < scorer->parts; i++)
    if (scorer->works[i]->status != QE_OK)
      error_memory(&scorer->error);
  return scorer->error.status;
}

int scorer_run(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  scorer->score = scorer->architecture->score;
  return run_parts(scorer, pairs, count, 1, scores);
}

static int score_by(qe_scorer *scorer, bool list, const qe_pair *pairs, size_t count, float *scores) {
  const size_t fewest = list ? 64 : 1; /* pairs of a part */
  size_t cut = 0;
  error_clear(&scorer->error);
  if (check_pairs(scorer, pairs, count, scores) != QE_OK || works_open(scorer, scorer->model->scoring) != QE_OK)
    return scorer->error.status;
  scorer->score = list ? scorer->architecture->score_list : scorer->architecture->score;
  if (run_parts(scorer, pairs, count, fewest, scores) != QE_OK)
    return scorer->error.status;
  for (size_t i = 0; i < count; i++)
    cut += scorer->cut[i];
  scorer->truncated += cut;
  return cut > 0 && !scorer->no_windows ? windows_score(scorer, pairs, count, scores) : QE_OK;
}

int qe_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  return score_by(scorer, false, pairs, count, scores);
}

int qe_score_list(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  return score_by(scorer, true, pairs, count, scores);
}
