/*
** reader_fixture.h - whole texts through a reader in pieces, and what a list holds as text to compare.
*/
#ifndef READER_FIXTURE_H
#define READER_FIXTURE_H
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct text { /* that grows; ends with NUL */
  char *bytes;
  size_t size;
};

static inline void text_add(struct text *text, const char *bytes, size_t size) {
  text->bytes = realloc(text->bytes, text->size + size + 1);
  if (!text->bytes)
    abort();
  if (size > 0)
    memcpy(text->bytes + text->size, bytes, size);
  text->size += size;
  text->bytes[text->size] = '\0';
}

static inline void text_printf(struct text *text, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text_add(text, line, strlen(line));
}

/* id<source>{text;total;features;scores} for every candidate, numbers as %g. */
static inline void text_add_list(struct text *text, const qe_list *list) {
  const qe_text id = qe_list_id(list), source = qe_list_source(list);
  text_add(text, id.data, id.size);
  text_printf(text, "<");
  text_add(text, source.data, source.size);
  text_printf(text, ">");
  for (size_t i = 0; i < qe_list_size(list); i++) {
    const qe_hypothesis *hypothesis = qe_list_get(list, i);
    double values[64];
    text_printf(text, "{");
    text_add(text, hypothesis->text.data, hypothesis->text.size);
    if (!isnan(hypothesis->total))
      text_printf(text, ";%g", hypothesis->total);
    const size_t count = qe_list_token_scores(list, i, values, 64);
    for (size_t j = 0; j < count && j < 64; j++)
      text_printf(text, isnan(values[j]) ? "%snan" : "%s%g", j == 0 ? ";t " : " ", values[j]);
    text_printf(text, "}");
  }
}

struct reading {
  const char *format;       /* NULL: auto */
  size_t per_source, piece; /* piece: 0 for all at once */
  const char *target;       /* format to write, NULL: as read */
  bool escapes;
  struct text written, fields; /* out */
  size_t lists, skipped, lines;
  char guess[16], error[512];
};

static inline void reading_free(struct reading *reading) {
  free(reading->written.bytes);
  free(reading->fields.bytes);
  reading->written = reading->fields = (struct text){ NULL, 0 };
}

static inline int reading_drain(struct reading *reading, qe_reader *reader, qe_list *list) {
  int status;
  while ((status = qe_reader_next(reader, list)) == 1) {
    qe_text out;
    reading->lists++;
    text_add_list(&reading->fields, list);
    if (qe_list_write(list, reading->target, NULL, 0, NULL, &out) != QE_OK) {
      snprintf(reading->error, sizeof reading->error, "%s", qe_list_error(list));
      return QE_FORMAT;
    }
    text_add(&reading->written, out.data, out.size);
  }
  if (status < 0)
    snprintf(reading->error, sizeof reading->error, "%s", qe_reader_error(reader));
  return status;
}

/* Feeds and reads everything; QE_OK or the first failure. */
static inline int reading_run(struct reading *reading, const char *bytes, size_t size) {
  qe_reader *reader = qe_reader_new();
  qe_list *list = qe_list_new();
  const size_t piece = reading->piece > 0 ? reading->piece : size;
  reading_free(reading);
  text_add(&reading->written, "", 0);
  text_add(&reading->fields, "", 0);
  reading->error[0] = '\0';
  reading->lists = 0;
  int status = qe_reader_format(reader, reading->format ? reading->format : "auto", reading->per_source);
  if (status != QE_OK)
    snprintf(reading->error, sizeof reading->error, "%s", qe_reader_error(reader));
  qe_reader_escapes(reader, reading->escapes);
  for (size_t at = 0; at < size && status == QE_OK; at += piece) {
    qe_reader_feed(reader, bytes + at, size - at < piece ? size - at : piece);
    status = reading_drain(reading, reader, list);
  }
  qe_reader_end(reader);
  if (status == QE_OK)
    status = reading_drain(reading, reader, list);
  reading->skipped = qe_reader_skipped(reader);
  reading->lines = qe_reader_lines(reader);
  snprintf(reading->guess, sizeof reading->guess, "%s", qe_reader_guess(reader));
  qe_list_free(list);
  qe_reader_free(reader);
  return status;
}

static inline void assert_reading(struct reading *reading, const char *bytes, const char *fields) {
  if (reading_run(reading, bytes, strlen(bytes)) != QE_OK)
    fail_msg("%s", reading->error);
  assert_string_equal(reading->fields.bytes, fields);
}

static inline void assert_refused(struct reading *reading, const char *bytes, const char *message) {
  if (reading_run(reading, bytes, strlen(bytes)) == QE_OK)
    fail_msg("not refused, expected \"%s\"", message);
  if (!strstr(reading->error, message))
    fail_msg("\"%s\", expected \"%s\"", reading->error, message);
}

#endif
