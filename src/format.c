/*
** format.c - the table of formats, and which of them some first lines are in. A guess rests on the first line that only
** one format can have; lines before it that no format has are what fairseq logs.
*/
#include "format.h"

enum { LOOK_AHEAD = 64 }; /* lines */

const char format_names[] = "moses, marian, cdec, joshua, travatar, fairseq, ct2, sockeye, flat, jsonl or auto";

static const struct format formats[] = {
  { "moses", PIPES, false, false, pipes_parse, NULL, pipes_print, "= " },
  { "marian", PIPES, false, false, pipes_parse, NULL, pipes_print, "= " },
  { "cdec", PIPES, false, true, cdec_parse, NULL, pipes_print, "=" },
  { "joshua", PIPES, false, false, pipes_parse, NULL, pipes_print, "=" },
  { "travatar", PIPES, false, false, travatar_parse, NULL, travatar_print, "=" },
  { "fairseq", FAIRSEQ, false, false, NULL, fairseq_take, fairseq_print, "= " },
  { "ct2", BLOCKS, true, false, ct2_parse, NULL, ct2_print, NULL },
  { "sockeye", SOCKEYE, false, true, NULL, sockeye_take, NULL, NULL },
  { "flat", BLOCKS, true, false, flat_parse, NULL, flat_print, NULL },
  { "jsonl", JSONL, false, true, jsonl_parse, NULL, jsonl_print, NULL },
};

const struct format *format_find(const char *name) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (text_is(qe_string(name), formats[i].name))
      return &formats[i];
  return NULL;
}

static bool is_blank(qe_text line) {
  qe_text word;
  return !list_word(&line, &word);
}

static bool is_object(qe_text line) {
  qe_text word;
  return list_word(&line, &word) && *word.data == '{';
}

static const struct format *guess_line(qe_text line, bool counted) {
  qe_text id, rest;
  if (is_object(line))
    return format_find(json_has(line, "translations") ? "sockeye" : "jsonl");
  if (fairseq_line(line, &id, &rest))
    return format_find("fairseq");
  return pipes_guess(line, counted);
}

static qe_text take_line(qe_text *text) {
  const char *end = memchr(text->data, '\n', text->size);
  qe_text line = { text->data, end ? (size_t)(end - text->data) : text->size };
  const size_t taken = line.size + (end != NULL);
  *text = (qe_text){ text->data + taken, text->size - taken };
  if (line.size > 0 && line.data[line.size - 1] == '\r')
    line.size--;
  return line;
}

const struct format *format_guess(qe_text text, bool whole, bool counted) {
  for (size_t number = 0; number < LOOK_AHEAD && text.size > 0; number++) {
    if (!whole && !memchr(text.data, '\n', text.size))
      return NULL;
    const qe_text line = take_line(&text);
    const struct format *format = guess_line(line, counted);
    if (format)
      return format;
    if (counted && !is_blank(line))
      return format_find("flat");
  }
  return NULL;
}

bool format_is_hopeless(qe_text text) {
  size_t lines = 0;
  while (lines < LOOK_AHEAD && text.size > 0 && memchr(text.data, '\n', text.size)) {
    take_line(&text);
    lines++;
  }
  return lines == LOOK_AHEAD;
}

/* ---- taking ---- */

static bool belongs(const qe_list *list, const struct candidate *candidate) {
  return list->count == 0 || text_same(qe_list_id(list), candidate->hypothesis.id);
}

static int take_candidate(qe_list *list, qe_text line, size_t number) {
  struct candidate *candidate = list_candidate(list, line, number);
  if (!candidate)
    return error_memory(&list->error);
  int status = list->format->parse(list, candidate);
  if (status == QE_OK && list->format->counted)
    status = list_set_ordinal(list);
  if (status == QE_OK && candidate->hypothesis.id.size == 0)
    candidate->hypothesis.id = list->id;
  if (status == QE_OK && belongs(list, candidate)) {
    list->count++;
    return TAKEN;
  }
  list_drop(list);
  return status == QE_OK ? OTHER : status;
}

int format_take(qe_list *list, qe_text line, size_t number) {
  if (list->format->skip_blank && is_blank(line))
    return SKIPPED;
  return list->format->take ? list->format->take(list, line, number) : take_candidate(list, line, number);
}
