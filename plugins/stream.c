/*
** stream.c - lists out of a stream of bytes: a reader, a session, and the output handed over list by list. Bytes of the
** list that is not complete yet are kept as they came, so that text which turns out to be no list can still go out
** unchanged. Source lines are read once, whole, when the stream begins.
*/
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qestrel_plugin_stream {
  qestrel_plugin *plugin;
  struct session *session;
  qe_reader *reader;
  qestrel_plugin_output *output;
  void *context;
  char *sources; /* the file */
  qe_text *lines;
  size_t line_count, list_count;
  char *kept; /* bytes since the line `kept_line`, from 1, begin at kept_at */
  size_t kept_at, kept_size, kept_room, kept_line;
  size_t *order;
  double *totals;
  size_t order_room;
  bool ended, broken; /* broken: what comes is no list any more */
};

/* ---- source lines ---- */

static bool read_file(const char *path, char **bytes, size_t *size) {
  FILE *file = fopen(path, "rb");
  size_t room = 0, read = 1;
  *bytes = NULL;
  *size = 0;
  while (file && read > 0) {
    if (*size == room) {
      char *grown = realloc(*bytes, room = room ? 2 * room : 1 << 16);
      if (!grown)
        break;
      *bytes = grown;
    }
    read = fread(*bytes + *size, 1, room - *size, file);
    *size += read;
  }
  const bool whole = file && read == 0 && !ferror(file);
  if (file)
    fclose(file);
  return whole;
}

static bool split_lines(qestrel_plugin_stream *stream, size_t size) {
  size_t room = 0;
  for (const char *at = stream->sources, *end = at + size; at < end;) {
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    const char *next = line_end ? line_end + 1 : end;
    size_t length = (size_t)((line_end ? line_end : end) - at);
    if (length > 0 && at[length - 1] == '\r')
      length--;
    if (stream->line_count == room) {
      qe_text *grown = realloc(stream->lines, (room = room ? 2 * room : 256) * sizeof *grown);
      if (!grown)
        return false;
      stream->lines = grown;
    }
    stream->lines[stream->line_count++] = (qe_text){ at, length };
    at = next;
  }
  return true;
}

static bool open_sources(qestrel_plugin_stream *stream, char *error, size_t room) {
  const char *path = stream->plugin->options.source;
  size_t size;
  if (!path)
    return true;
  if (read_file(path, &stream->sources, &size) && split_lines(stream, size))
    return true;
  snprintf(error, room, "%s cannot be read", path);
  return false;
}

/* The source of a list whose place among the lists is `place`; false: there is none. */
static bool find_source(const qestrel_plugin_stream *stream, qe_list *list, size_t place) {
  const char *by = stream->plugin->options.source_by;
  const qe_text id = qe_list_id(list);
  if (!by || strcmp(by, "id") == 0) {
    place = id.size > 0 && id.size < 19 ? 0 : SIZE_MAX;
    for (size_t i = 0; i < id.size && place != SIZE_MAX; i++)
      place = id.data[i] >= '0' && id.data[i] <= '9' ? 10 * place + (size_t)(id.data[i] - '0') : SIZE_MAX;
  }
  return place < stream->line_count && qe_list_set_source(list, stream->lines[place]) == QE_OK;
}

/* ---- life ---- */

static bool set_up(qestrel_plugin_stream *stream, char *error, size_t size) {
  const struct options *options = &stream->plugin->options;
  if (!stream->session || !stream->reader) {
    snprintf(error, size, "out of memory");
    return false;
  }
  if (qe_reader_format(stream->reader, options->format ? options->format : "auto", options->per_source) == QE_OK)
    return open_sources(stream, error, size);
  snprintf(error, size, "%s", qe_reader_error(stream->reader));
  return false;
}

qestrel_plugin_stream *qestrel_plugin_stream_new(qestrel_plugin *plugin, qestrel_plugin_output *output,
                                                 void *context) {
  char error[ERROR_SIZE] = "out of memory";
  qestrel_plugin_stream *stream = calloc(1, sizeof *stream);
  if (stream) {
    *stream = (qestrel_plugin_stream){ .plugin = plugin, .output = output, .context = context, .kept_line = 1 };
    stream->session = plugin_take(plugin);
    stream->reader = qe_reader_new();
    if (set_up(stream, error, sizeof error))
      return stream;
  }
  plugin_failed(plugin, error);
  qestrel_plugin_stream_free(stream);
  return NULL;
}

void qestrel_plugin_stream_free(qestrel_plugin_stream *stream) {
  if (!stream)
    return;
  if (stream->session)
    plugin_give(stream->plugin, stream->session);
  qe_reader_free(stream->reader);
  free(stream->sources);
  free(stream->lines);
  free(stream->kept);
  free(stream->order);
  free(stream->totals);
  free(stream);
}

/* ---- output ---- */

static void emit(qestrel_plugin_stream *stream, const char *bytes, size_t size) {
  if (size > 0 && !stream->ended && stream->output(stream->context, bytes, size) != 0)
    stream->ended = true;
}

static bool prints_lists(const qestrel_plugin_stream *stream) {
  const char *output = stream->plugin->options.output;
  return output && strcmp(output, "nbest") == 0;
}

static void emit_list(qestrel_plugin_stream *stream, qe_list *list, const size_t *order) {
  const size_t count = qe_list_size(list);
  qe_text text = { NULL, 0 };
  if (!prints_lists(stream)) {
    if (count > 0)
      text = qe_list_get(list, order ? order[0] : 0)->text;
    emit(stream, text.data, text.size);
    emit(stream, "\n", 1);
  } else if (qe_list_write(list, NULL, order, order ? count : 0, NULL, &text) == QE_OK) {
    emit(stream, text.data, text.size);
  } else {
    plugin_failed(stream->plugin, qe_list_error(list));
  }
}

/* ---- lists ---- */

static bool reserve_order(qestrel_plugin_stream *stream, size_t count) {
  if (count <= stream->order_room)
    return true;
  size_t *order = realloc(stream->order, 2 * count * sizeof *order);
  stream->order = order ? order : stream->order;
  if (order)
    stream->order_room = 2 * count;
  return order != NULL;
}

/* Drops what is kept of lines up to `line`, which went out with a list. */
static void forget(qestrel_plugin_stream *stream, size_t line) {
  while (stream->kept_line <= line && stream->kept_at < stream->kept_size) {
    const char *at = stream->kept + stream->kept_at;
    const char *end = memchr(at, '\n', stream->kept_size - stream->kept_at);
    if (!end)
      return;
    stream->kept_at = (size_t)(end + 1 - stream->kept);
    stream->kept_line++;
  }
}

static void count_list(qestrel_plugin_stream *stream, bool fine, bool moved, size_t count) {
  struct counters *counters = &stream->plugin->counters;
  counters->lists++;
  counters->hypotheses += count;
  counters->reranked += fine;
  counters->failed += !fine;
  counters->moved += moved;
  counters->refused += fine && qe_reranker_refused(stream->session->reranker) > 0;
}

static void take(qestrel_plugin_stream *stream, qe_list *list) {
  const size_t count = qe_list_size(list), place = stream->list_count++;
  qe_reranker *reranker = stream->session->reranker;
  const char *problem = NULL;
  if (stream->line_count > 0 && !find_source(stream, list, place))
    problem = "a list's id is no line of the source file";
  else if (!reserve_order(stream, count))
    problem = "out of memory";
  else if (count <= stream->plugin->options.max_hypotheses &&
           qe_rerank(reranker, list, stream->order, NULL, NULL) != QE_OK)
    problem = qe_reranker_error(reranker);
  if (problem)
    plugin_failed(stream->plugin, problem);
  const bool fine = !problem && count <= stream->plugin->options.max_hypotheses;
  count_list(stream, fine, fine && count > 0 && stream->order[0] != 0, count);
  emit_list(stream, list, fine ? stream->order : NULL);
  if (count > 0)
    forget(stream, qe_list_number(list, count - 1));
}

/* From here on bytes go through as they come, beginning with those that are kept. */
static void pass_on(qestrel_plugin_stream *stream) {
  stream->broken = true;
  plugin_failed(stream->plugin, qe_reader_error(stream->reader));
  if (prints_lists(stream))
    emit(stream, stream->kept + stream->kept_at, stream->kept_size - stream->kept_at);
  else
    stream->ended = true;
  stream->kept_at = stream->kept_size = 0;
}

static void drain(qestrel_plugin_stream *stream) {
  const double began = session_clock();
  const double deadline_ms = stream->plugin->options.deadline_ms;
  int status = 1;
  while (status == 1 && !stream->ended) {
    stream->session->deadline = deadline_ms > 0 ? session_clock() + 1e-3 * deadline_ms : 0;
    status = qe_reader_next(stream->reader, stream->session->list);
    if (status == 1)
      take(stream, stream->session->list);
  }
  if (status < 0)
    pass_on(stream);
  stream->plugin->counters.nanoseconds += (uint64_t)(1e9 * (session_clock() - began));
}

static bool keep(qestrel_plugin_stream *stream, const void *bytes, size_t size) {
  stream->kept_size -= stream->kept_at;
  if (stream->kept_at > 0)
    memmove(stream->kept, stream->kept + stream->kept_at, stream->kept_size);
  stream->kept_at = 0;
  if (size > stream->kept_room - stream->kept_size) {
    char *grown = realloc(stream->kept, 2 * (stream->kept_size + size));
    if (!grown)
      return false;
    stream->kept = grown;
    stream->kept_room = 2 * (stream->kept_size + size);
  }
  if (size > 0)
    memcpy(stream->kept + stream->kept_size, bytes, size);
  stream->kept_size += size;
  return true;
}

int qestrel_plugin_nbest_feed(qestrel_plugin_stream *stream, const void *bytes, size_t size) {
  if (stream->broken) {
    emit(stream, bytes, size);
  } else if (!keep(stream, bytes, size) || qe_reader_feed(stream->reader, bytes, size) != QE_OK) {
    pass_on(stream);
  } else {
    drain(stream);
  }
  return stream->ended ? -1 : 0;
}

int qestrel_plugin_nbest_flush(qestrel_plugin_stream *stream) {
  if (!stream->broken) {
    if (qe_reader_end(stream->reader) != QE_OK)
      pass_on(stream);
    else
      drain(stream);
  }
  return stream->ended ? -1 : 0;
}
