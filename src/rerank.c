/*
** rerank.c - from a list to a decision: evidence that the weights name and the list lacks is computed and appended, the
** weighted sum ranks, guards refuse. Invariant: the decoder's first choice is never refused, so there is always a pick;
** a list that could not be ranked keeps its order. What a feature is worth is not known here but in the weights.
*/
#include "list.h"
#include "model.h"

#include <stdlib.h>

enum { PIECE = 256, MODEL = 1, TOTALS = 2 }; /* pairs between two questions to stop; bits of a case */

/* Tuned on lists of several systems' translations, of which the best system stands for the decoder's first choice
** where there are totals (examples/rerank/defaults.sh). */
static const struct {
  const char *name, *json;
} shipped[] = {
  [0] = { "default-consensus", "{\"MBR0\": 1}" },
  [MODEL] = { "default-consensus-model", "{\"MBR0\": 1, \"QE0\": 0.03}" },
  [TOTALS] = { "default-decoder", "{\"MBR0\": 1, \"first\": 0.15}" },
  [MODEL | TOTALS] = { "default-decoder-model", "{\"MBR0\": 1, \"QE0\": 0.03, \"first\": 0.15}" },
};
enum { CASES = sizeof shipped / sizeof *shipped };

struct qe_reranker {
  struct error error;
  struct error manifest;              /* why its weights cannot be used */
  const qe_model *model;              /* or NULL */
  qe_scorer *scorer;                  /* or NULL */
  qe_consensus *consensus, *by_words; /* the latter NULL: the model has no word vectors */
  qe_guards *guards;
  qe_weights *given; /* or NULL */
  qe_weights *defaults[CASES];
  const qe_weights *used;
  const char *used_origin;
  char *origin;          /* of those given */
  char quality[64];      /* name of the score, "" while only the weights ask for it */
  double standard_error; /* of the last list's consensus */
  size_t refused_count;
  unsigned enabled; /* guards */
  int (*stop)(void *context);
  void *stop_context;
  qe_text *texts; /* of the candidates, and room beside them */
  double *values, *posterior;
  qe_pair *pairs;
  float *scores, *logprobs;
  unsigned *vetoes;
  size_t text_room, value_room, posterior_room, pair_room, score_room, logprob_room, veto_room;
};

/* ---- life ---- */

static const char *manifest_text(const json_t *object, const char *name) {
  return json_string_value(json_object_get(object, name));
}

/* "ro-en", or {"source": "ro", "target": "en"}. */
static int read_languages(qe_reranker *reranker) {
  const json_t *languages = json_object_get(reranker->model->manifest, "languages");
  const char *pair = json_string_value(languages), *dash = pair ? strchr(pair, '-') : NULL;
  char source[4] = "";
  if (!dash)
    return qe_reranker_languages(reranker, manifest_text(languages, "source"), manifest_text(languages, "target"));
  if ((size_t)(dash - pair) >= sizeof source)
    return QE_OK;
  memcpy(source, pair, (size_t)(dash - pair));
  return qe_reranker_languages(reranker, source, dash + 1);
}

static int read_weights(qe_reranker *reranker) {
  const json_t *weights = json_object_get(reranker->model->manifest, "weights");
  if (!weights)
    return QE_OK;
  char *text = json_dumps(weights, JSON_COMPACT | JSON_ENCODE_ANY);
  if (!text)
    return error_memory(&reranker->error);
  const int status = qe_reranker_weights(reranker, qe_string(text), "manifest.json");
  reranker->manifest = reranker->error;
  free(text);
  return status;
}

static bool make_defaults(qe_reranker *reranker) {
  for (size_t i = 0; i < CASES; i++) {
    reranker->defaults[i] = qe_weights_new();
    if (!reranker->defaults[i] ||
        qe_weights_parse(reranker->defaults[i], qe_string(shipped[i].json), shipped[i].name) != QE_OK)
      return false;
  }
  return true;
}

qe_reranker *qe_reranker_new(const qe_model *model, qe_pool *pool) {
  qe_reranker *reranker = memory_new(1, sizeof *reranker);
  if (!reranker)
    return NULL;
  reranker->model = model;
  reranker->consensus = qe_consensus_new();
  reranker->guards = qe_guards_new();
  reranker->by_words = model && qe_model_word_vectors(model) ? qe_consensus_by_words(model) : NULL;
  reranker->scorer = model ? qe_scorer_new(model, pool) : NULL;
  const bool words = reranker->by_words || !model || !qe_model_word_vectors(model);
  const bool whole = reranker->consensus && words && reranker->guards && (reranker->scorer || !model) &&
                     make_defaults(reranker) && qe_reranker_guards(reranker, "all") == QE_OK &&
                     (!model || (read_languages(reranker) != QE_MEMORY && read_weights(reranker) != QE_MEMORY));
  if (whole)
    return reranker;
  qe_reranker_free(reranker);
  return NULL;
}

void qe_reranker_free(qe_reranker *reranker) {
  if (!reranker)
    return;
  for (size_t i = 0; i < CASES; i++)
    qe_weights_free(reranker->defaults[i]);
  qe_weights_free(reranker->given);
  qe_scorer_free(reranker->scorer);
  qe_consensus_free(reranker->consensus);
  qe_consensus_free(reranker->by_words);
  qe_guards_free(reranker->guards);
  memory_free(reranker->origin);
  memory_free(reranker->texts);
  memory_free(reranker->values);
  memory_free(reranker->posterior);
  memory_free(reranker->pairs);
  memory_free(reranker->scores);
  memory_free(reranker->logprobs);
  memory_free(reranker->vetoes);
  memory_free(reranker);
}

const char *qe_reranker_error(const qe_reranker *reranker) {
  return reranker->error.text;
}

const qe_weights *qe_reranker_used(const qe_reranker *reranker) {
  return reranker->used;
}

const char *qe_reranker_origin(const qe_reranker *reranker) {
  return reranker->used_origin ? reranker->used_origin : "";
}

size_t qe_reranker_refused(const qe_reranker *reranker) {
  return reranker->refused_count;
}

double qe_reranker_standard_error(const qe_reranker *reranker) {
  return reranker->standard_error;
}

size_t qe_reranker_truncated(const qe_reranker *reranker) {
  return reranker->scorer ? qe_scorer_truncated(reranker->scorer) : 0;
}

/* ---- settings ---- */

int qe_reranker_weights(qe_reranker *reranker, qe_text text, const char *origin) {
  error_clear(&reranker->error);
  const size_t size = strlen(origin) + 1;
  qe_weights *weights = qe_weights_new();
  char *copy = memory_new(size, 1);
  const int status = weights && copy ? qe_weights_parse(weights, text, origin) : QE_MEMORY;
  if (status != QE_OK)
    error_set(&reranker->error, status, "%s", weights && copy ? qe_weights_error(weights) : "out of memory");
  if (reranker->error.status != QE_OK) {
    qe_weights_free(weights);
    memory_free(copy);
    return reranker->error.status;
  }
  qe_weights_free(reranker->given);
  memory_free(reranker->origin);
  error_clear(&reranker->manifest);
  reranker->given = weights;
  reranker->origin = memcpy(copy, origin, size);
  reranker->used = NULL;
  reranker->used_origin = NULL;
  return QE_OK;
}

int qe_reranker_guards(qe_reranker *reranker, const char *names) {
  error_clear(&reranker->error);
  const int status = qe_guards_parse(reranker->guards, names, &reranker->enabled);
  return status == QE_OK ? QE_OK : error_set(&reranker->error, status, "%s", qe_guards_error(reranker->guards));
}

int qe_reranker_languages(qe_reranker *reranker, const char *source, const char *target) {
  error_clear(&reranker->error);
  const int status = qe_guards_languages(reranker->guards, source, target);
  return status == QE_OK ? QE_OK : error_set(&reranker->error, status, "%s", qe_guards_error(reranker->guards));
}

int qe_reranker_quality(qe_reranker *reranker, const char *name) {
  error_clear(&reranker->error);
  if (!reranker->scorer)
    return error_set(&reranker->error, QE_USE, "%.60s is a model's score, and there is no model", name);
  if (*name == '\0' || strlen(name) >= sizeof reranker->quality)
    return error_set(&reranker->error, QE_USE, "a name of 1 to %zu bytes is expected",
                     sizeof reranker->quality - 1);
  strcpy(reranker->quality, name);
  return QE_OK;
}

void qe_reranker_stop(qe_reranker *reranker, int (*stop)(void *context), void *context) {
  reranker->stop = stop;
  reranker->stop_context = context;
}

static int go_on(qe_reranker *reranker) {
  const bool stopped = reranker->stop && reranker->stop(reranker->stop_context);
  return stopped ? error_set(&reranker->error, QE_WORLD, "stopped") : QE_OK;
}

/* ---- evidence ---- */

static bool make_room(qe_reranker *reranker, size_t count) {
  return memory_reserve((void **)&reranker->texts, &reranker->text_room, count, sizeof *reranker->texts) &&
         memory_reserve((void **)&reranker->values, &reranker->value_room, count, sizeof *reranker->values) &&
         memory_reserve((void **)&reranker->posterior, &reranker->posterior_room, count,
                        sizeof *reranker->posterior) &&
         memory_reserve((void **)&reranker->vetoes, &reranker->veto_room, count, sizeof *reranker->vetoes);
}

static int append(qe_reranker *reranker, qe_list *list, const char *name) {
  const int status = qe_list_append(list, name, reranker->values);
  return status == QE_OK ? QE_OK : error_set(&reranker->error, status, "%s", qe_list_error(list));
}

/* Whether every candidate has scores of tokens: candidates are compared, so it is all of them or none. */
static bool all_have_scores(const qe_list *list, size_t *without) {
  for (size_t i = 0; i < list->count; i++)
    if (qe_list_token_scores(list, i, NULL, 0) == 0) {
      *without = list->candidates[i].number;
      return false;
    }
  return true;
}

/* The log-probabilities of all candidates, one behind the other, into reranker->logprobs. */
static int read_logprobs(qe_reranker *reranker, const qe_list *list) {
  size_t used = 0, without;
  const double unit = list_log_unit(list);
  if (!all_have_scores(list, &without))
    return !qe_model_decoder_needed(reranker->model)
               ? QE_OK
               : error_set(&reranker->error, QE_FORMAT, "line %zu has no scores of tokens, which the model needs",
                           without);
  for (size_t i = 0; i < list->count; i++) {
    const size_t count = qe_list_token_scores(list, i, NULL, 0);
    double *values = memory_new(count, sizeof *values);
    if (!values || !memory_reserve((void **)&reranker->logprobs, &reranker->logprob_room, used + count,
                                   sizeof *reranker->logprobs)) {
      memory_free(values);
      return error_memory(&reranker->error);
    }
    qe_list_token_scores(list, i, values, count);
    for (size_t j = 0; j < count; j++)
      reranker->logprobs[used + j] = (float)(values[j] * unit);
    memory_free(values);
    reranker->pairs[i].logprob_count = count;
    used += count;
  }
  /* Only now, when the memory moves no more. */
  for (size_t i = 0, at = 0; i < list->count; at += reranker->pairs[i++].logprob_count)
    reranker->pairs[i].logprobs = reranker->logprobs + at;
  return QE_OK;
}

static int make_pairs(qe_reranker *reranker, const qe_list *list) {
  const qe_text source = qe_list_source(list);
  if (!source.data)
    return error_set(&reranker->error, QE_FORMAT, "the model needs the source of list %.*s",
                     text_width(qe_list_id(list)), qe_list_id(list).data);
  if (!memory_reserve((void **)&reranker->pairs, &reranker->pair_room, list->count, sizeof *reranker->pairs) ||
      !memory_reserve((void **)&reranker->scores, &reranker->score_room, list->count, sizeof *reranker->scores))
    return error_memory(&reranker->error);
  for (size_t i = 0; i < list->count; i++)
    reranker->pairs[i] = (qe_pair){ .source = source, .translation = reranker->texts[i] };
  return qe_model_decoder_inputs(reranker->model) ? read_logprobs(reranker, list) : QE_OK;
}

static int score(qe_reranker *reranker, size_t count) {
  const size_t piece = reranker->stop ? PIECE : count;
  for (size_t i = 0; i < count; i += piece) {
    const size_t rest = count - i < piece ? count - i : piece;
    if (go_on(reranker) != QE_OK)
      return reranker->error.status;
    const int status = qe_score_list(reranker->scorer, reranker->pairs + i, rest, reranker->scores + i);
    if (status != QE_OK)
      return error_set(&reranker->error, status, "%s", qe_scorer_error(reranker->scorer));
  }
  return QE_OK;
}

static int add_quality(qe_reranker *reranker, qe_list *list, const char *name) {
  if (make_pairs(reranker, list) != QE_OK || score(reranker, list->count) != QE_OK)
    return reranker->error.status;
  for (size_t i = 0; i < list->count; i++)
    reranker->values[i] = (double)reranker->scores[i];
  return append(reranker, list, name);
}

static int add_consensus(qe_reranker *reranker, qe_list *list, const char *name, qe_consensus *consensus,
                         const double *weights) {
  if (go_on(reranker) != QE_OK)
    return reranker->error.status;
  const int status = qe_consensus_values(consensus, reranker->texts, list->count, weights, reranker->values);
  if (status != QE_OK)
    return error_set(&reranker->error, status, "%s", qe_consensus_error(consensus));
  const double found = qe_consensus_standard_error(consensus);
  reranker->standard_error = found > reranker->standard_error ? found : reranker->standard_error;
  return append(reranker, list, name);
}

static int add_expected(qe_reranker *reranker, qe_list *list, const char *name, qe_consensus *consensus) {
  for (size_t i = 0; i < list->count; i++)
    reranker->values[i] = list->candidates[i].hypothesis.total;
  qe_consensus_posterior(reranker->values, list->count, 1, reranker->posterior);
  return add_consensus(reranker, list, name, consensus, reranker->posterior);
}

static bool has(const qe_list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (qe_list_feature(list, i, name, NULL, 0) > 0)
      return true;
  return false;
}

/* One name that the list lacks; names that nobody here can compute are left to the ranking, which refuses them. */
static int add_evidence(qe_reranker *reranker, qe_list *list, const char *name) {
  if (has(list, name))
    return QE_OK;
  if (strcmp(name, "MBR0") == 0)
    return add_consensus(reranker, list, name, reranker->consensus, NULL);
  if (strcmp(name, "MBRP0") == 0)
    return add_expected(reranker, list, name, reranker->consensus);
  if (strcmp(name, "MBRV0") == 0 && reranker->by_words)
    return add_consensus(reranker, list, name, reranker->by_words, NULL);
  if (strcmp(name, "MBRVP0") == 0 && reranker->by_words)
    return add_expected(reranker, list, name, reranker->by_words);
  if (strcmp(name, "QE0") == 0 && reranker->scorer)
    return add_quality(reranker, list, name);
  return QE_OK;
}

static int gather(qe_reranker *reranker, qe_list *list) {
  for (size_t i = 0; i < list->count; i++)
    reranker->texts[i] = list->candidates[i].hypothesis.text;
  if (*reranker->quality && add_quality(reranker, list, reranker->quality) != QE_OK)
    return reranker->error.status;
  for (size_t i = 0; i < qe_weights_count(reranker->used); i++)
    if (add_evidence(reranker, list, qe_weights_name(reranker->used, i)) != QE_OK)
      return reranker->error.status;
  return QE_OK;
}

/* ---- decision ---- */

static void choose_weights(qe_reranker *reranker, const qe_list *list) {
  const unsigned which = (reranker->scorer ? MODEL : 0) | (qe_list_totals_differ(list) ? TOTALS : 0);
  reranker->used = reranker->given ? reranker->given : reranker->defaults[which];
  reranker->used_origin = reranker->given ? reranker->origin : shipped[which].name;
}

static int check_guards(qe_reranker *reranker, const qe_list *list, unsigned *vetoes) {
  const int status = qe_guards_check(reranker->guards, reranker->enabled, qe_list_source(list), reranker->texts,
                                     list->count, 0, vetoes);
  return status == QE_OK ? QE_OK : error_set(&reranker->error, status, "%s", qe_guards_error(reranker->guards));
}

/* Moves the first candidate that nothing refuses to the front; returns how many stood before it. */
static size_t refuse(const unsigned *vetoes, size_t *order, double *totals) {
  size_t place = 0;
  while (vetoes[order[place]])
    place++;
  const size_t pick = order[place];
  for (size_t i = 0; totals && i < place; i++)
    if (totals[order[i]] > totals[pick])
      totals[order[i]] = totals[pick];
  memmove(order + 1, order, place * sizeof *order);
  order[0] = pick;
  return place;
}

int qe_rerank(qe_reranker *reranker, qe_list *list, size_t *order, double *totals, unsigned *vetoes) {
  error_clear(&reranker->error);
  reranker->refused_count = 0;
  reranker->standard_error = 0;
  if (reranker->manifest.status != QE_OK)
    return error_set(&reranker->error, reranker->manifest.status, "%s", reranker->manifest.text);
  if (list->count == 0)
    return QE_OK;
  if (!make_room(reranker, list->count))
    return error_memory(&reranker->error);
  choose_weights(reranker, list);
  if (gather(reranker, list) != QE_OK)
    return reranker->error.status;
  const int status = qe_list_rank(list, reranker->used, order, totals);
  if (status != QE_OK)
    return error_set(&reranker->error, status, "%s", qe_list_error(list));
  vetoes = vetoes ? vetoes : reranker->vetoes;
  if (check_guards(reranker, list, vetoes) != QE_OK)
    return reranker->error.status;
  reranker->refused_count = refuse(vetoes, order, totals);
  return QE_OK;
}
