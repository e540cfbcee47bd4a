/*
** plugin.c - the handle and what is exported of it. Invariant: a session is in one place at a time, in a slot of the
** handle or with the thread that took it; slots are exchanged atomically and nothing ever waits. A session that another
** thread held at a fork is lost to the child, no more.
*/
#include "plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HAS(object, type, field) ((object)->struct_size >= offsetof(type, field) + sizeof((object)->field))

uint32_t qestrel_plugin_abi_version(void) {
  return (uint32_t)QESTREL_PLUGIN_MAJOR << 16 | QESTREL_PLUGIN_MINOR;
}

/* ---- life ---- */

static bool open_model(qestrel_plugin *plugin, char *error, size_t size) {
  if (!plugin->options.model)
    return true;
  plugin->model = qe_model_new();
  const bool fine = plugin->model && qe_model_open(plugin->model, plugin->options.model, 0) == QE_OK;
  if (!fine)
    snprintf(error, size, "%s", plugin->model ? qe_model_error(plugin->model) : "out of memory");
  return fine;
}

qestrel_plugin *qestrel_plugin_create(const char *options, char *error, size_t size) {
  char unseen[1];
  if (!error || size == 0) {
    error = unseen;
    size = sizeof unseen;
  }
  *error = '\0';
  qestrel_plugin *plugin = calloc(1, sizeof *plugin);
  if (!plugin) {
    snprintf(error, size, "out of memory");
    return NULL;
  }
  if (options_parse(&plugin->options, options, error, size) && open_model(plugin, error, size))
    plugin->sessions[0] = session_new(plugin->model, &plugin->options, error, size);
  if (plugin->sessions[0])
    return plugin;
  qestrel_plugin_destroy(plugin);
  return NULL;
}

qestrel_plugin *qestrel_plugin_create_from_file(const char *path, char *error, size_t size) {
  char text[1 << 14];
  FILE *file = fopen(path, "rb");
  const size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
  const bool whole = file && !ferror(file) && read < sizeof text - 1 && !memchr(text, '\0', read);
  if (file)
    fclose(file);
  if (!whole) {
    if (error && size > 0)
      snprintf(error, size, "%s: cannot be read, or is not a text of options", path);
    return NULL;
  }
  text[read] = '\0';
  return qestrel_plugin_create(text, error, size);
}

void qestrel_plugin_destroy(qestrel_plugin *plugin) {
  if (!plugin)
    return;
  for (size_t i = 0; i < SESSIONS; i++)
    session_free(plugin->sessions[i]);
  qe_model_free(plugin->model);
  options_clear(&plugin->options);
  free(plugin->failure);
  free(plugin);
}

/* ---- sessions ---- */

struct session *plugin_take(qestrel_plugin *plugin) {
  char error[ERROR_SIZE];
  for (size_t i = 0; i < SESSIONS; i++) {
    struct session *session = atomic_exchange(&plugin->sessions[i], NULL);
    if (session)
      return session;
  }
  struct session *session = session_new(plugin->model, &plugin->options, error, sizeof error);
  if (!session)
    plugin_failed(plugin, error);
  return session;
}

void plugin_give(qestrel_plugin *plugin, struct session *session) {
  for (size_t i = 0; i < SESSIONS; i++) {
    struct session *none = NULL;
    if (atomic_compare_exchange_strong(&plugin->sessions[i], &none, session))
      return;
  }
  session_free(session);
}

/* ---- what is told ---- */

void plugin_failed(qestrel_plugin *plugin, const char *reason) {
  char *none = NULL, *copy = strdup(reason);
  if (copy && atomic_compare_exchange_strong(&plugin->failure, &none, copy)) {
    if (plugin->log)
      plugin->log(plugin->log_context, copy);
  } else {
    free(copy);
  }
}

const char *qestrel_plugin_error(const qestrel_plugin *plugin) {
  const char *failure = atomic_load(&plugin->failure);
  return failure ? failure : "";
}

void qestrel_plugin_set_log(qestrel_plugin *plugin, qestrel_plugin_log *log, void *context) {
  plugin->log = log;
  plugin->log_context = context;
}

int qestrel_plugin_describe(const qestrel_plugin *plugin, qestrel_plugin_description *description) {
  const qestrel_plugin_description whole = {
    .struct_size = description->struct_size,
    .feature = "QE0",
    .version = qe_version(),
    .model = plugin->model ? qe_model_sha256(plugin->model) : "",
    .higher_is_better = 1,
    .has_model = plugin->model != NULL,
    .threads = 1,
    .low = -(double)INFINITY,
    .high = (double)INFINITY,
    .preferred_batch = 1,
  };
  if (!HAS(description, qestrel_plugin_description, preferred_batch))
    return -1;
  *description = whole;
  return 0;
}

int qestrel_plugin_get_stats(const qestrel_plugin *plugin, qestrel_plugin_stats *stats) {
  const struct counters *counters = &plugin->counters;
  if (!HAS(stats, qestrel_plugin_stats, seconds))
    return -1;
  *stats = (qestrel_plugin_stats){
    .struct_size = stats->struct_size,
    .lists = counters->lists,
    .hypotheses = counters->hypotheses,
    .reranked = counters->reranked,
    .moved = counters->moved,
    .failed = counters->failed,
    .late = counters->late,
    .refused = counters->refused,
    .scored = counters->scored,
    .remembered = counters->remembered,
    .seconds = 1e-9 * (double)counters->nanoseconds,
  };
  return 0;
}

/* ---- lists ---- */

/* The decoder's order, which stays whatever fails. */
static void keep_order(qestrel_plugin_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    list->order[i] = i;
    if (list->quality)
      list->quality[i] = (double)NAN;
    if (list->score)
      list->score[i] = (double)NAN;
  }
}

static void count_list(qestrel_plugin *plugin, const struct session *session, const qestrel_plugin_list *list) {
  struct counters *counters = &plugin->counters;
  counters->lists++;
  counters->hypotheses += list->count;
  counters->failed += list->status == QESTREL_PLUGIN_FAILED;
  counters->late += list->status == QESTREL_PLUGIN_DEADLINE;
  if (list->status != QESTREL_PLUGIN_OK)
    return;
  counters->reranked++;
  counters->moved += list->order[0] != 0;
  counters->refused += qe_reranker_refused(session->reranker) > 0;
}

static void rerank_list(qestrel_plugin *plugin, struct session *session, qestrel_plugin_list *list) {
  char error[ERROR_SIZE] = "";
  keep_order(list);
  list->status = QESTREL_PLUGIN_EMPTY;
  if (list->count > 0)
    list->status =
        session ? session_rerank(session, &plugin->options, list, error, sizeof error) : QESTREL_PLUGIN_FAILED;
  if (list->status == QESTREL_PLUGIN_FAILED && *error)
    plugin_failed(plugin, error);
  count_list(plugin, session, list);
}

static qestrel_plugin_list *list_at(qestrel_plugin_list *lists, size_t index) {
  return (void *)((char *)(void *)lists + index * lists->struct_size);
}

size_t qestrel_plugin_rerank(qestrel_plugin *plugin, qestrel_plugin_list *lists, size_t count, double deadline_ms) {
  const double began = session_clock();
  if (count == 0 || !HAS(lists, qestrel_plugin_list, status))
    return 0;
  if (!(deadline_ms > 0))
    deadline_ms = plugin->options.deadline_ms;
  struct session *session = plugin_take(plugin);
  size_t reranked = 0;
  if (session)
    session->deadline = deadline_ms > 0 ? began + 1e-3 * deadline_ms : 0;
  for (size_t i = 0; i < count; i++) {
    rerank_list(plugin, session, list_at(lists, i));
    reranked += list_at(lists, i)->status == QESTREL_PLUGIN_OK;
  }
  if (session)
    plugin_give(plugin, session);
  plugin->counters.nanoseconds += (uint64_t)(1e9 * (session_clock() - began));
  return reranked;
}

/* ---- single targets ---- */

struct remembered {
  char *text;
  size_t size;
  double score;
};

struct qestrel_plugin_source {
  qestrel_plugin *plugin;
  struct session *session; /* NULL: no memory */
  char *text;
  size_t size;
  struct remembered *items; /* a hash table of `room`, a power of two; text NULL: free */
  size_t count, room;
};

static uint64_t hash(const char *bytes, size_t size) {
  uint64_t value = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < size; i++)
    value = (value ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
  return value;
}

static char *copy_of(const char *bytes, size_t size) {
  char *copy = malloc(size + 1);
  if (copy && size > 0)
    memcpy(copy, bytes, size);
  return copy;
}

qestrel_plugin_source *qestrel_plugin_begin_source(qestrel_plugin *plugin, qestrel_plugin_text text) {
  qestrel_plugin_source *source = calloc(1, sizeof *source);
  if (source) {
    source->plugin = plugin;
    source->text = copy_of(text.data, text.size);
    source->size = text.size;
    source->session = plugin_take(plugin);
  }
  if (source && source->text && source->session)
    return source;
  qestrel_plugin_end_source(source);
  return NULL;
}

/* Where the text is, or the free place for it. */
static struct remembered *find(struct remembered *items, size_t room, const char *text, size_t size) {
  size_t at = hash(text, size) & (room - 1);
  while (items[at].text && (items[at].size != size || memcmp(items[at].text, text, size) != 0))
    at = (at + 1) & (room - 1);
  return &items[at];
}

static bool grow(qestrel_plugin_source *source) {
  if (2 * (source->count + 1) <= source->room)
    return true;
  const size_t room = source->room ? 2 * source->room : 64;
  struct remembered *items = calloc(room, sizeof *items);
  if (!items)
    return false;
  for (size_t i = 0; i < source->room; i++)
    if (source->items[i].text)
      *find(items, room, source->items[i].text, source->items[i].size) = source->items[i];
  free(source->items);
  source->items = items;
  source->room = room;
  return true;
}

static double score(qestrel_plugin_source *source, qestrel_plugin_text target) {
  float value = NAN;
  const qe_pair pair = { .source = { source->text, source->size }, .translation = { target.data, target.size } };
  if (!source->session->scorer)
    return (double)NAN;
  source->plugin->counters.scored++;
  if (qe_score(source->session->scorer, &pair, 1, &value) == QE_OK)
    return (double)value;
  plugin_failed(source->plugin, qe_scorer_error(source->session->scorer));
  source->plugin->counters.failed++;
  return (double)NAN;
}

double qestrel_plugin_score_target(qestrel_plugin_source *source, qestrel_plugin_text target) {
  if (!grow(source))
    return score(source, target);
  struct remembered *item = find(source->items, source->room, target.data, target.size);
  if (item->text) {
    source->plugin->counters.remembered++;
    return item->score;
  }
  const double value = score(source, target);
  item->text = copy_of(target.data, target.size);
  item->size = target.size;
  item->score = value;
  source->count += item->text != NULL;
  return value;
}

void qestrel_plugin_end_source(qestrel_plugin_source *source) {
  if (!source)
    return;
  for (size_t i = 0; i < source->room; i++)
    free(source->items[i].text);
  if (source->session)
    plugin_give(source->plugin, source->session);
  free(source->items);
  free(source->text);
  free(source);
}
