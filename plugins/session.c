/*
** session.c - one list reranked: the host's structs go into a list, the reranker decides, and the answer goes into the
** host's arrays. Structs are read at the distance that the host's struct_size tells, so that a host compiled against a
** later header, whose structs are longer, is served as well.
*/
#include "plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double session_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int is_late(void *context) {
  const struct session *session = context;
  return session->deadline > 0 && session_clock() > session->deadline;
}

/* ---- life ---- */

static bool read_weights(qe_reranker *reranker, const char *path, char *error, size_t size) {
  if (strcmp(path, "decoder") == 0)
    return qe_reranker_weights(reranker, qe_string("{}"), path) == QE_OK;
  char text[1 << 16];
  FILE *file = fopen(path, "rb");
  const size_t read = file ? fread(text, 1, sizeof text, file) : 0;
  const bool whole = file && !ferror(file) && read < sizeof text;
  if (file)
    fclose(file);
  if (!whole) {
    snprintf(error, size, "%s: %s", path, file && read == sizeof text ? "too long for weights" : "cannot be read");
    return false;
  }
  const bool fine = qe_reranker_weights(reranker, (qe_text){ text, read }, path) == QE_OK;
  if (!fine)
    snprintf(error, size, "%s", qe_reranker_error(reranker));
  return fine;
}

/* "et-en" */
static bool read_languages(qe_reranker *reranker, const char *pair, char *error, size_t size) {
  char source[16];
  const char *hyphen = strchr(pair, '-');
  const size_t length = hyphen ? (size_t)(hyphen - pair) : 0;
  if (length < 2 || length >= sizeof source || strlen(hyphen + 1) < 2) {
    snprintf(error, size, "languages=%.40s: expected two codes, as in et-en", pair);
    return false;
  }
  memcpy(source, pair, length);
  source[length] = '\0';
  const bool fine = qe_reranker_languages(reranker, source, hyphen + 1) == QE_OK;
  if (!fine)
    snprintf(error, size, "%s", qe_reranker_error(reranker));
  return fine;
}

static bool set_up(struct session *session, const struct options *options, char *error, size_t size) {
  if (options->weights && !read_weights(session->reranker, options->weights, error, size))
    return false;
  if (options->languages && !read_languages(session->reranker, options->languages, error, size))
    return false;
  const bool fine = (!options->guards || qe_reranker_guards(session->reranker, options->guards) == QE_OK) &&
                    (!session->scorer || qe_reranker_quality(session->reranker, "QE0") == QE_OK);
  if (!fine)
    snprintf(error, size, "%s", qe_reranker_error(session->reranker));
  return fine;
}

struct session *session_new(const qe_model *model, const struct options *options, char *error, size_t size) {
  struct session *session = calloc(1, sizeof *session);
  if (session) {
    session->reranker = qe_reranker_new(model, NULL);
    session->list = qe_list_new();
    session->scorer = model ? qe_scorer_new(model, NULL) : NULL;
  }
  if (!session || !session->reranker || !session->list || (model && !session->scorer)) {
    snprintf(error, size, "out of memory");
    session_free(session);
    return NULL;
  }
  qe_reranker_stop(session->reranker, is_late, session);
  if (set_up(session, options, error, size))
    return session;
  session_free(session);
  return NULL;
}

void session_free(struct session *session) {
  if (!session)
    return;
  qe_reranker_free(session->reranker);
  qe_scorer_free(session->scorer);
  qe_list_free(session->list);
  free(session->order);
  free(session->totals);
  free(session->text);
  free(session);
}

/* ---- the host's structs ---- */

static bool reserve(void **items, size_t *room, size_t need, size_t size) {
  if (need <= *room)
    return true;
  void *grown = need <= SIZE_MAX / size / 2 ? realloc(*items, 2 * need * size) : NULL;
  if (!grown)
    return false;
  *items = grown;
  *room = 2 * need;
  return true;
}

static const qestrel_plugin_hypothesis *hypothesis_at(const qestrel_plugin_list *list, size_t index) {
  return (const void *)((const char *)(const void *)list->hypotheses + index * list->hypotheses->struct_size);
}

/* Appends " v" to the session's text, with a point in every locale. */
static bool put_number(struct session *session, size_t *used, double value) {
  char number[40];
  const int size = snprintf(number, sizeof number, " %.17g", value);
  char *comma = strchr(number, ',');
  if (comma)
    *comma = '.';
  if (!reserve((void **)&session->text, &session->text_room, *used + (size_t)size, 1))
    return false;
  memcpy(session->text + *used, number, (size_t)size);
  *used += (size_t)size;
  return true;
}

/* Token scores as lists have them: "WordScores= v v". */
static bool write_token_scores(struct session *session, const qestrel_plugin_hypothesis *from, qe_text *to) {
  static const char name[] = "WordScores=";
  size_t used = sizeof name - 1;
  if (from->token_score_count == 0)
    return true;
  if (!reserve((void **)&session->text, &session->text_room, used, 1))
    return false;
  memcpy(session->text, name, used);
  for (size_t i = 0; i < from->token_score_count; i++)
    if (!put_number(session, &used, from->token_scores[i]))
      return false;
  *to = (qe_text){ session->text, used };
  return true;
}

static int push(struct session *session, const qestrel_plugin_list *list, size_t index) {
  const qestrel_plugin_hypothesis *from = hypothesis_at(list, index);
  qe_hypothesis to = { .id = { list->id.data, list->id.size },
                       .text = { from->text.data, from->text.size },
                       .total = from->total };
  if (!write_token_scores(session, from, &to.between))
    return QE_MEMORY;
  return qe_list_push(session->list, &to);
}

static const qestrel_plugin_feature *find_feature(const qestrel_plugin_hypothesis *hypothesis,
                                                  qestrel_plugin_text name) {
  for (size_t i = 0; i < hypothesis->feature_count; i++)
    if (hypothesis->features[i].name.size == name.size &&
        memcmp(hypothesis->features[i].name.data, name.data, name.size) == 0)
      return &hypothesis->features[i];
  return NULL;
}

/* One feature of the first hypothesis, which all must have. */
static int append_feature(struct session *session, const qestrel_plugin_list *list, size_t count,
                          qestrel_plugin_text name, char *error, size_t size) {
  char text[256];
  if (name.size >= sizeof text || !reserve((void **)&session->totals, &session->total_room, count, sizeof(double)))
    return QE_MEMORY;
  memcpy(text, name.data, name.size);
  text[name.size] = '\0';
  for (size_t i = 0; i < count; i++) {
    const qestrel_plugin_feature *feature = find_feature(hypothesis_at(list, i), name);
    if (!feature) {
      snprintf(error, size, "hypothesis %zu has no feature %s, which the first one has", i, text);
      return QE_FORMAT;
    }
    session->totals[i] = feature->value;
  }
  const int status = qe_list_append(session->list, text, session->totals);
  if (status != QE_OK)
    snprintf(error, size, "%s", qe_list_error(session->list));
  return status;
}

static int fill(struct session *session, const qestrel_plugin_list *list, size_t count, char *error, size_t size) {
  const qestrel_plugin_hypothesis *first = list->hypotheses;
  if (first->struct_size < sizeof *first) {
    snprintf(error, size, "struct_size of a hypothesis is %zu, expected %zu", first->struct_size, sizeof *first);
    return QE_USE;
  }
  qe_list_clear(session->list);
  snprintf(error, size, "out of memory");
  for (size_t i = 0; i < count; i++) {
    const int status = push(session, list, i);
    if (status < 0) {
      snprintf(error, size, "hypothesis %zu: %s", i, qe_list_error(session->list));
      return status;
    }
  }
  for (size_t i = 0; i < first->feature_count; i++)
    if (append_feature(session, list, count, first->features[i].name, error, size) != QE_OK)
      return QE_FORMAT;
  if (!list->source.data)
    return QE_OK;
  return qe_list_set_source(session->list, (qe_text){ list->source.data, list->source.size });
}

/* ---- the answer ---- */

static void answer(const struct session *session, qestrel_plugin_list *list, size_t count) {
  memcpy(list->order, session->order, count * sizeof *list->order);
  if (list->score)
    memcpy(list->score, session->totals, count * sizeof *list->score);
  for (size_t i = 0; list->quality && i < count; i++)
    if (qe_list_feature(session->list, i, "QE0", &list->quality[i], 1) == 0)
      list->quality[i] = (double)NAN;
}

int session_rerank(struct session *session, const struct options *options, qestrel_plugin_list *list, char *error,
                   size_t size) {
  const size_t count = list->count < options->max_hypotheses ? list->count : options->max_hypotheses;
  if (is_late(session))
    return QESTREL_PLUGIN_DEADLINE;
  if (!reserve((void **)&session->order, &session->order_room, count, sizeof *session->order) ||
      !reserve((void **)&session->totals, &session->total_room, count, sizeof *session->totals)) {
    snprintf(error, size, "out of memory");
    return QESTREL_PLUGIN_FAILED;
  }
  if (fill(session, list, count, error, size) != QE_OK)
    return QESTREL_PLUGIN_FAILED;
  if (qe_rerank(session->reranker, session->list, session->order, session->totals, NULL) == QE_OK) {
    answer(session, list, count);
    return QESTREL_PLUGIN_OK;
  }
  if (is_late(session))
    return QESTREL_PLUGIN_DEADLINE;
  snprintf(error, size, "%s", qe_reranker_error(session->reranker));
  return QESTREL_PLUGIN_FAILED;
}
