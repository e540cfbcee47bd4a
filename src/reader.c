/*
** reader.c - bytes in pieces of any size to lists. Two queues: bytes as they were fed, and the text that they are (the
** same, or what gzip members unpack to, a piece at a time). Lines leave the text only when a list takes them, so that
** the line that begins the next list is still there; nothing but the list that is being read is held. Reads no files.
*/
#include "format.h"
#include "gzip.h"

#include <zlib.h>

enum { PIECE = 1 << 16 };

struct queue {
  char *bytes;
  size_t start, end, room;
};

struct qe_reader {
  struct error error;
  const struct format *format; /* NULL: to be guessed */
  size_t per_source;
  bool escapes;
  struct queue fed, text;
  enum packing { UNKNOWN, PLAIN, GZIP, BETWEEN_MEMBERS } packing;
  z_stream stream;
  bool ended;          /* no more is fed */
  const qe_list *list; /* the one that holds a part of what it will; NULL: none */
  size_t scanned;      /* bytes at the front of the text without an LF */
  size_t lines, skipped, ordinal;
};

qe_reader *qe_reader_new(void) {
  return memory_new(1, sizeof(qe_reader));
}

void qe_reader_free(qe_reader *reader) {
  if (!reader)
    return;
  if (reader->packing == GZIP || reader->packing == BETWEEN_MEMBERS)
    inflateEnd(&reader->stream);
  memory_free(reader->fed.bytes);
  memory_free(reader->text.bytes);
  memory_free(reader);
}

const char *qe_reader_error(const qe_reader *reader) {
  return reader->error.text;
}

const char *qe_reader_guess(const qe_reader *reader) {
  return reader->format ? reader->format->name : "";
}

size_t qe_reader_lines(const qe_reader *reader) {
  return reader->lines;
}

size_t qe_reader_skipped(const qe_reader *reader) {
  return reader->skipped;
}

static bool is_pristine(const qe_reader *reader) {
  return reader->fed.end == 0 && reader->text.end == 0 && !reader->ended;
}

int qe_reader_format(qe_reader *reader, const char *name, size_t per_source) {
  const struct format *format = format_find(name);
  error_clear(&reader->error);
  if (!is_pristine(reader))
    return error_set(&reader->error, QE_USE, "the format is chosen before anything is fed");
  if (!format && strcmp(name, "auto") != 0)
    return error_set(&reader->error, QE_USE, "no format is called %.40s, expected %s", name, format_names);
  if (format && format->counted && per_source == 0)
    return error_set(&reader->error, QE_USE,
                     "lists of %s have no ids: the number of hypotheses per source is needed", name);
  reader->format = format;
  reader->per_source = per_source;
  return QE_OK;
}

int qe_reader_escapes(qe_reader *reader, int escapes) {
  error_clear(&reader->error);
  if (!is_pristine(reader))
    return error_set(&reader->error, QE_USE, "escapes are chosen before anything is fed");
  reader->escapes = escapes != 0;
  return QE_OK;
}

/* ---- bytes ---- */

static size_t queue_size(const struct queue *queue) {
  return queue->end - queue->start;
}

/* Room for `size` more; what was taken off the front makes way once it is half of all. */
static bool queue_reserve(struct queue *queue, size_t size) {
  if (queue->start > 0 && queue->start >= queue_size(queue)) {
    memmove(queue->bytes, queue->bytes + queue->start, queue_size(queue));
    queue->end -= queue->start;
    queue->start = 0;
  }
  size_t need;
  return !__builtin_add_overflow(queue->end, size, &need) &&
         memory_reserve((void **)&queue->bytes, &queue->room, need + 1, 1);
}

static bool queue_add(struct queue *queue, const void *bytes, size_t size) {
  if (!queue_reserve(queue, size))
    return false;
  if (size > 0)
    memcpy(queue->bytes + queue->end, bytes, size);
  queue->end += size;
  return true;
}

/* Misuse is forgiven with the next call, other errors stay. */
static int standing_error(qe_reader *reader) {
  if (reader->error.status == QE_USE)
    error_clear(&reader->error);
  return reader->error.status;
}

int qe_reader_feed(qe_reader *reader, const void *bytes, size_t size) {
  if (standing_error(reader) != QE_OK)
    return reader->error.status;
  if (reader->ended)
    return error_set(&reader->error, QE_USE, "fed after the end");
  return queue_add(&reader->fed, bytes, size) ? QE_OK : error_memory(&reader->error);
}

int qe_reader_end(qe_reader *reader) {
  reader->ended = true;
  return reader->error.status;
}

/* ---- gzip ---- */

/* Whether it can be said what the bytes are. */
static bool find_packing(qe_reader *reader) {
  const size_t size = queue_size(&reader->fed);
  const char *bytes = size > 0 ? reader->fed.bytes + reader->fed.start : "";
  const bool could_be = size == 0 || (bytes[0] == '\x1f' && (size == 1 || bytes[1] == '\x8b'));
  if (could_be && size < 2 && !reader->ended)
    return false;
  reader->packing = PLAIN;
  if (!could_be || size < 2)
    return true;
  reader->stream = (z_stream){ .zalloc = gzip_allocate, .zfree = gzip_release };
  if (inflateInit2(&reader->stream, MAX_WBITS + 16) != Z_OK)
    return error_memory(&reader->error), false;
  reader->packing = GZIP;
  return true;
}

static int unpack(qe_reader *reader) {
  z_stream *stream = &reader->stream;
  const size_t size = queue_size(&reader->fed);
  if (!queue_reserve(&reader->text, PIECE))
    return error_memory(&reader->error);
  if (reader->packing == BETWEEN_MEMBERS && inflateReset(stream) == Z_OK)
    reader->packing = GZIP;
  union { /* zlib reads without const */
    const char *read;
    unsigned char *bytes;
  } input = { .read = reader->fed.bytes + reader->fed.start };
  stream->next_in = input.bytes;
  stream->avail_in = (unsigned)(size > PIECE ? PIECE : size);
  stream->next_out = (unsigned char *)reader->text.bytes + reader->text.end;
  stream->avail_out = PIECE;
  const unsigned available = stream->avail_in;
  const int status = inflate(stream, Z_NO_FLUSH);
  reader->fed.start += available - stream->avail_in;
  reader->text.end += PIECE - stream->avail_out;
  if (status == Z_STREAM_END)
    reader->packing = BETWEEN_MEMBERS;
  if (status == Z_MEM_ERROR)
    return error_memory(&reader->error);
  /* what came out before the damage is read first; zlib says the same again */
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR && stream->avail_out == PIECE)
    return error_set(&reader->error, QE_FORMAT, "behind line %zu: damaged gzip data (%s)", reader->lines,
                     stream->msg ? stream->msg : "not a gzip member");
  return QE_OK;
}

/* Moves some bytes on into the text: 1, 0 where there are none, or a negative status. */
static int fill_text(qe_reader *reader) {
  if (reader->packing == UNKNOWN && !find_packing(reader))
    return reader->error.status;
  const size_t before = queue_size(&reader->text), size = queue_size(&reader->fed);
  if (reader->packing == PLAIN) {
    if (size > 0 && !queue_add(&reader->text, reader->fed.bytes + reader->fed.start, size))
      return error_memory(&reader->error);
    reader->fed.start = reader->fed.end;
    return size > 0;
  }
  /* zlib may hold text back although it has taken all bytes */
  while (queue_size(&reader->text) == before) {
    const size_t left = queue_size(&reader->fed);
    if (left == 0 && reader->packing == BETWEEN_MEMBERS)
      return 0;
    if (unpack(reader) != QE_OK)
      return reader->error.status;
    if (queue_size(&reader->fed) == left && queue_size(&reader->text) == before)
      break;
  }
  if (queue_size(&reader->text) > before)
    return 1;
  return reader->ended && reader->packing == GZIP
             ? error_set(&reader->error, QE_FORMAT, "behind line %zu: the gzip data ends too early", reader->lines)
             : 0;
}

/* ---- lines ---- */

/* The line at the front of the text, which stays there: 1, 0 where it is not whole yet (or there is none), negative. */
static int next_line(qe_reader *reader, qe_text *line) {
  const char *end = NULL;
  for (;;) {
    const struct queue *text = &reader->text;
    const size_t size = queue_size(text);
    if (size > reader->scanned)
      end = memchr(text->bytes + text->start + reader->scanned, '\n', size - reader->scanned);
    reader->scanned = end ? (size_t)(end - text->bytes - text->start) : size;
    if (end)
      break;
    const int status = fill_text(reader);
    if (status < 0)
      return status;
    if (status == 0 && (!reader->ended || size == 0))
      return 0;
    if (status == 0)
      break;
  }
  *line = (qe_text){ reader->text.bytes + reader->text.start, reader->scanned };
  if (line->size > 0 && line->data[line->size - 1] == '\r')
    line->size--;
  return 1;
}

/* Takes it off the front, with its LF; the last line may have none. */
static void pass_line(qe_reader *reader) {
  const bool ends = queue_size(&reader->text) > reader->scanned;
  reader->text.start += reader->scanned + ends;
  reader->scanned = 0;
  reader->lines++;
}

/* ---- lists ---- */

/* The text that has not been taken yet. */
static qe_text rest_of(const struct queue *queue) {
  return (qe_text){ queue->bytes ? queue->bytes + queue->start : "", queue_size(queue) };
}

/* 1 once the format is known; 0: more lines are needed, or there are none at all. */
static int find_format(qe_reader *reader) {
  int status = 1;
  while (!reader->format && (status = fill_text(reader)) == 1) {
    const qe_text text = rest_of(&reader->text);
    if (memchr(text.data + reader->scanned, '\n', text.size - reader->scanned))
      reader->format = format_guess(text, false, reader->per_source > 0);
    reader->scanned = text.size;
  }
  if (status < 0)
    return status;
  const qe_text rest = rest_of(&reader->text);
  if (!reader->format && reader->ended && rest.size > 0)
    reader->format = format_guess(rest, true, reader->per_source > 0);
  if (!reader->format && (format_is_hopeless(rest) || (reader->ended && rest.size > 0)))
    return error_set(
        &reader->error, QE_FORMAT,
        "line 1: the first lines have no known format; expected one of %s (flat and ct2 need the number "
        "of hypotheses per source)",
        format_names);
  reader->scanned = reader->format ? 0 : reader->scanned;
  return reader->format != NULL;
}

static int check_format(qe_reader *reader) {
  if (reader->format->counted && reader->per_source == 0)
    return error_set(&reader->error, QE_FORMAT,
                     "line 1: this looks like %s, whose lists have no ids: the number of hypotheses per source is "
                     "needed",
                     reader->format->name);
  return QE_OK;
}

static void begin_list(qe_reader *reader, qe_list *list) {
  qe_list_clear(list);
  list->format = reader->format;
  list->escapes = reader->escapes;
  list->ordinal = reader->ordinal;
  list->numbered = reader->per_source > 0;
  reader->list = list;
}

static bool is_complete(const qe_reader *reader, const qe_list *list) {
  return list->complete ||
         (reader->per_source > 0 && list->count >= reader->per_source && reader->format->shape != FAIRSEQ);
}

static int finish_list(qe_reader *reader) {
  reader->list = NULL;
  reader->ordinal++;
  return 1;
}

/* The bytes have ended. */
static int finish_last(qe_reader *reader, const qe_list *list) {
  const bool empty = list->count == 0 && list->head_size == 0;
  if (!empty && reader->format->counted)
    return error_set(&reader->error, QE_FORMAT,
                     "line %zu: the last list has %zu hypotheses, expected %zu: %zu lines are not a multiple",
                     reader->lines, list->count, reader->per_source, reader->lines);
  if (empty)
    reader->list = NULL;
  return empty ? 0 : finish_list(reader);
}

/* TAKEN and SKIPPED pass the line, OTHER leaves it to the next list. */
static int offer(qe_reader *reader, qe_list *list, qe_text line) {
  const int status = format_take(list, line, reader->lines + 1);
  if (status < 0)
    return error_set(&reader->error, status, "%s", qe_list_error(list));
  if (status != OTHER)
    pass_line(reader);
  reader->skipped += status == SKIPPED;
  return status;
}

static int read_list(qe_reader *reader, qe_list *list) {
  qe_text line;
  while (!is_complete(reader, list)) {
    const int found = next_line(reader, &line);
    if (found == 0 && reader->ended)
      return finish_last(reader, list);
    if (found != 1)
      return found;
    const int status = offer(reader, list, line);
    if (status < 0)
      return status;
    if (status == OTHER)
      break;
  }
  return finish_list(reader);
}

int qe_reader_next(qe_reader *reader, qe_list *list) {
  if (standing_error(reader) != QE_OK)
    return reader->error.status;
  if (reader->list && reader->list != list)
    return error_set(&reader->error, QE_USE, "a list is half read: call again with the same one");
  const int status = reader->format ? 1 : find_format(reader);
  if (status != 1)
    return status;
  if (check_format(reader) != QE_OK)
    return reader->error.status;
  if (!reader->list)
    begin_list(reader, list);
  return read_list(reader, list);
}
