/*
** qestrel_plugin.h - reranking for decoders: the one ABI that every adapter speaks. A host loads libqestrel_plugin.so
** (dlopen, RTLD_LOCAL is fine), creates a handle, hands over lists and gets an order back.
**
**   qestrel_plugin *plugin = qestrel_plugin_create("model=et-en.qe\nweights=weights.json", error, sizeof error);
**   qestrel_plugin_list list = { .struct_size = sizeof list, .source = ..., .hypotheses = ..., .count = n, .order = order };
**   qestrel_plugin_rerank(plugin, &list, 1, 0);       // order[0] is the pick
**   qestrel_plugin_destroy(plugin);
**
** Fail open. Whatever fails - a bad model's score, lack of memory, a deadline - leaves the decoder's order: `order` is
** always a permutation and a list that could not be reranked has the identity. The first failure is kept as text and
** goes to the log once.
** Threads. One handle may be used by any number of threads at once, and after fork by the child as well. Nothing runs and
** nothing is printed when the library is loaded; it holds no global state, so dlclose is safe once handles are destroyed.
** Memory. What a host passes stays the host's and is not kept beyond the call. No exception and no signal leaves a call.
** Versions. The major number changes when something here breaks, the minor one when something is added at the end of a
** struct. Every struct begins with its size as the host compiled it.
*/
#ifndef QESTREL_PLUGIN_H
#define QESTREL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QESTREL_PLUGIN_MAJOR 1
#define QESTREL_PLUGIN_MINOR 0

#if defined(__GNUC__)
#define QESTREL_PLUGIN_API __attribute__((visibility("default")))
#else
#define QESTREL_PLUGIN_API
#endif

/* major << 16 | minor. A host refuses another major number. */
QESTREL_PLUGIN_API uint32_t qestrel_plugin_abi_version(void);

typedef struct qestrel_plugin qestrel_plugin;

/* UTF-8, not ended by NUL. Any bytes are accepted. */
typedef struct qestrel_plugin_text {
  const char *data;
  size_t size;
} qestrel_plugin_text;

/* `options`: lines "key=value", NULL or "" for none; blank lines and lines that begin with # do not count.
**   model=FILE            archive; without it consensus, guards and the decoder's scores decide
**   weights=FILE          as `qestrel tune` writes them; "decoder" keeps the decoder's order. Default: the model's, else
**                         shipped ones
**   guards=NAMES          all (default), none, names joined by commas, -NAME
**   languages=xx-yy       default: the model's
**   max_hypotheses=N      of a list; those behind keep their places (default 1000)
**   deadline_ms=N         for calls that name none (default 0: none)
**   tokens=KIND           how tokens are joined: auto (default), sentencepiece, bpe, plain
**   strip=TOKEN ...       tokens that are no text, beside </s> <s> <pad> <unk> and language tags (xxx_Xxxx, __xx__, >>xx<<)
**   format=NAME           of streams: auto (default), moses, marian, ... (qestrel.h)
**   per_source=N          of streams without ids
**   source=FILE           of streams: source sentences, a line each; a list's id is the number of its line, from 0
**   source_by=HOW         id (default) or order
**   output=KIND           of streams: best (default; a line each) or nbest
** NULL: the reason is in `error`, of which at most `size` bytes are written, NUL included. */
QESTREL_PLUGIN_API qestrel_plugin *qestrel_plugin_create(const char *options, char *error, size_t size);
QESTREL_PLUGIN_API qestrel_plugin *qestrel_plugin_create_from_file(const char *path, char *error, size_t size);
/* NULL is fine. No call on the handle may be going on; sources and streams of it are ended first. */
QESTREL_PLUGIN_API void qestrel_plugin_destroy(qestrel_plugin *plugin);

typedef struct qestrel_plugin_description {
  size_t struct_size;
  const char *feature;  /* name for the score in lists of features: "QE0" */
  const char *version;  /* of Qestrel */
  const char *model;    /* sha256 of the archive, "" without one */
  int higher_is_better; /* 1 */
  int has_model;
  int threads;            /* 1: one handle serves many threads */
  double low, high;       /* the score's range: any finite z-score */
  size_t preferred_batch; /* lists per call that make good use of it: 1 */
} qestrel_plugin_description;
/* Strings live as long as the handle. 0, or -1 where struct_size is smaller than any version's. */
QESTREL_PLUGIN_API int qestrel_plugin_describe(const qestrel_plugin *plugin,
                                               qestrel_plugin_description *description);

typedef struct qestrel_plugin_feature {
  qestrel_plugin_text name;
  double value;
} qestrel_plugin_feature;

typedef struct qestrel_plugin_hypothesis {
  size_t struct_size;
  qestrel_plugin_text text; /* plain text: see qestrel_plugin_tokens_to_text */
  double total;             /* the decoder's, larger is better; NaN: none */
  const qestrel_plugin_feature *features;
  size_t feature_count;
  const double *token_scores; /* natural logarithms, end token included; NULL: none */
  size_t token_score_count;
} qestrel_plugin_hypothesis;

enum {
  QESTREL_PLUGIN_OK = 0,       /* reranked */
  QESTREL_PLUGIN_FAILED = 1,   /* the order is the decoder's */
  QESTREL_PLUGIN_DEADLINE = 2, /* the same, for want of time */
  QESTREL_PLUGIN_EMPTY = 3     /* there is nothing to rerank */
};

typedef struct qestrel_plugin_list {
  size_t struct_size;
  qestrel_plugin_text id, source; /* source without data: not known */
  const qestrel_plugin_hypothesis *hypotheses;
  size_t count;
  size_t *order;   /* out, count: best first */
  double *quality; /* out, count, or NULL: the model's score, NaN where there is none */
  double *score;   /* out, count, or NULL: the weighted sum, NaN where the list was not reranked */
  int status;      /* out */
} qestrel_plugin_list;

/* Reranks `count` lists, whose structs (and those of hypotheses) follow each other at the distance of the first one's
** struct_size. `deadline_ms` counts from the call: 0 stands for the option. Returns how many were reranked. */
QESTREL_PLUGIN_API size_t qestrel_plugin_rerank(qestrel_plugin *plugin, qestrel_plugin_list *lists, size_t count,
                                                double deadline_ms);

/* For hosts that see one hypothesis at a time: scores of translations of one source, remembered by text. A source is
** used by one thread at a time. NULL: no memory. */
typedef struct qestrel_plugin_source qestrel_plugin_source;
QESTREL_PLUGIN_API qestrel_plugin_source *qestrel_plugin_begin_source(qestrel_plugin *plugin,
                                                                      qestrel_plugin_text source);
/* The model's score; NaN where there is no model or it failed. */
QESTREL_PLUGIN_API double qestrel_plugin_score_target(qestrel_plugin_source *source, qestrel_plugin_text target);
QESTREL_PLUGIN_API void qestrel_plugin_end_source(qestrel_plugin_source *source);

/* The text that tokens stand for. Writes at most `room` bytes, NUL included where there is room; returns the size of the
** whole text without NUL. Calls with the same tokens give the same text. */
QESTREL_PLUGIN_API size_t qestrel_plugin_tokens_to_text(const qestrel_plugin *plugin,
                                                        const qestrel_plugin_text *tokens, size_t count, char *out,
                                                        size_t room);

/* A stream of n-best lists as a decoder prints them; the output is handed over list by list, as soon as a list is
** complete. A stream is used by one thread at a time. A callback that returns other than 0 ends the stream. */
typedef struct qestrel_plugin_stream qestrel_plugin_stream;
typedef int qestrel_plugin_output(void *context, const char *bytes, size_t size);
QESTREL_PLUGIN_API qestrel_plugin_stream *qestrel_plugin_stream_new(qestrel_plugin *plugin,
                                                                    qestrel_plugin_output *output, void *context);
/* Lists that cannot be reranked go out as they came; after text that is no list everything does (output=nbest). 0, or -1
** when the stream has ended: the callback said so, or nothing that is left can be a list. */
QESTREL_PLUGIN_API int qestrel_plugin_nbest_feed(qestrel_plugin_stream *stream, const void *bytes, size_t size);
QESTREL_PLUGIN_API int qestrel_plugin_nbest_flush(qestrel_plugin_stream *stream); /* no more will come */
QESTREL_PLUGIN_API void qestrel_plugin_stream_free(qestrel_plugin_stream *stream);

/* Called with a line (no LF) when something failed for the first time; NULL (the beginning): silence. To be set before
** the handle is shared. */
typedef void qestrel_plugin_log(void *context, const char *line);
QESTREL_PLUGIN_API void qestrel_plugin_set_log(qestrel_plugin *plugin, qestrel_plugin_log *log, void *context);
/* What failed first, "" while nothing did; lives as long as the handle. */
QESTREL_PLUGIN_API const char *qestrel_plugin_error(const qestrel_plugin *plugin);

typedef struct qestrel_plugin_stats {
  size_t struct_size;
  uint64_t lists, hypotheses;  /* handed over */
  uint64_t reranked, moved;    /* lists; those with another first candidate */
  uint64_t failed, late;       /* lists with status FAILED, DEADLINE */
  uint64_t refused;            /* lists in which a guard held back what would have won */
  uint64_t scored, remembered; /* single targets: scored, and found again */
  double seconds;              /* spent in calls, all threads together */
} qestrel_plugin_stats;
QESTREL_PLUGIN_API int qestrel_plugin_get_stats(const qestrel_plugin *plugin, qestrel_plugin_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
