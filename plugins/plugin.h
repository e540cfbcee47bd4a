/*
** plugin.h - what the files of the plugin share. A handle is options, a model that is only read, and sessions: the
** mutable part of a call (reranker, scorer, list), of which a thread takes one and gives it back. No lock is held at any
** time, so that a fork in the middle of other threads' calls leaves nothing locked.
**   options.c  text -> options      session.c  one list reranked      stream.c  lists out of bytes
**   tokens.c   tokens -> text       plugin.c   the handle and the exports
*/
#ifndef PLUGIN_H
#define PLUGIN_H
#include "qestrel.h"
#include "qestrel_plugin.h"

#include <stdatomic.h>
#include <stdbool.h>

enum token_kind { TOKENS_AUTO, TOKENS_SENTENCEPIECE, TOKENS_BPE, TOKENS_PLAIN };

struct options {
  char *model, *weights, *guards, *languages, *strip, *format, *source, *source_by, *output; /* NULL: not given */
  size_t max_hypotheses, per_source;
  double deadline_ms;
  enum token_kind tokens;
};
/* False: the reason is in `error`. */
bool options_parse(struct options *options, const char *text, char *error, size_t size);
void options_clear(struct options *options);

/* ---- session.c ---- */
struct session {
  qe_reranker *reranker;
  qe_scorer *scorer; /* for single targets; NULL without a model */
  qe_list *list;
  size_t *order;
  double *totals;
  size_t order_room, total_room, text_room;
  char *text;      /* token scores of a hypothesis, as a list has them */
  double deadline; /* of the call, by session_clock; 0: none */
};
double session_clock(void); /* seconds, monotonic */
struct session *session_new(const qe_model *model, const struct options *options, char *error, size_t size);
void session_free(struct session *session);
/* Fills order, quality and score of a list that has identity order and NaNs already; returns its status. `error` has a
** text where that is FAILED. */
int session_rerank(struct session *session, const struct options *options, qestrel_plugin_list *list, char *error,
                   size_t size);

/* ---- plugin.c ---- */
enum { SESSIONS = 64, ERROR_SIZE = 512 };

struct counters {
  atomic_uint_fast64_t lists, hypotheses, reranked, moved, failed, late, refused, scored, remembered, nanoseconds;
};

struct qestrel_plugin {
  struct options options;
  qe_model *model; /* NULL without one */
  _Atomic(struct session *) sessions[SESSIONS];
  _Atomic(char *) failure; /* the first one, then never changed */
  qestrel_plugin_log *log;
  void *log_context;
  struct counters counters;
};
struct session *plugin_take(qestrel_plugin *plugin); /* NULL: no memory, recorded */
void plugin_give(qestrel_plugin *plugin, struct session *session);
void plugin_failed(qestrel_plugin *plugin, const char *reason);

#endif
