/*
** format_fairseq.c - what fairseq-generate prints: lines "X-id TAB ...", of which S- opens a list, H- (score, tokens)
** opens a candidate, and D- (the text without segmentation), P- (scores of tokens), A-, I-, E- follow it. A candidate's
** lines are kept as one block with LFs between them, those before the first H- in the list's head. Added features form
** a line of their own, Q-. Lines of any other shape are fairseq's log and are skipped. Scores are logarithms to base 2
** divided by the length; they are carried as they are.
*/
#include "format.h"

#include <math.h>

bool fairseq_line(qe_text line, qe_text *id, qe_text *rest) {
  size_t end = 2;
  if (line.size < 3 || line.data[0] < 'A' || line.data[0] > 'Z' || line.data[1] != '-')
    return false;
  while (end < line.size && line.data[end] >= '0' && line.data[end] <= '9')
    end++;
  *id = (qe_text){ line.data + 2, end - 2 };
  if (end < line.size && *line.data == 'E' && line.data[end] == '_') /* the step of a refinement */
    while (++end < line.size && line.data[end] >= '0' && line.data[end] <= '9')
      continue;
  if (id->size == 0 || (end < line.size && line.data[end] != '\t'))
    return false;
  end += end < line.size;
  *rest = (qe_text){ line.data + end, line.size - end };
  return true;
}

/* "score TAB text" of an H- or D- line. */
static int read_scored(qe_list *list, struct candidate *candidate, qe_text rest, struct spot *spot) {
  const char *tab = rest.size > 0 ? memchr(rest.data, '\t', rest.size) : NULL;
  const qe_text number = { rest.data, tab ? (size_t)(tab - rest.data) : rest.size };
  const size_t start = number.size + (tab != NULL);
  double total;
  if (!number_parse(number, &total))
    return error_set(&list->error, QE_FORMAT, "line %zu: the score is \"%.*s\", not a number", candidate->number,
                     text_width(number), number.data);
  *spot = (struct spot){ .there = true, .at = (size_t)(number.data - candidate->line), .size = number.size };
  candidate->hypothesis.text = (qe_text){ rest.data + start, rest.size - start };
  return QE_OK;
}

/* The H- line, which is the candidate's line so far. */
static int begin_candidate(qe_list *list, qe_text line, size_t number) {
  qe_text id, rest;
  struct candidate *candidate = list_candidate(list, line, number);
  if (!candidate)
    return error_memory(&list->error);
  fairseq_line((qe_text){ candidate->line, candidate->size }, &id, &rest);
  if (read_scored(list, candidate, rest, &candidate->total_spots[0]) != QE_OK) {
    list_drop(list);
    return list->error.status;
  }
  candidate->total = (qe_text){ candidate->line + candidate->total_spots[0].at, candidate->total_spots[0].size };
  number_parse(candidate->total, &candidate->hypothesis.total);
  candidate->features = (struct spot){ true, SIZE_MAX, 0, "\nQ-", " ", "" };
  candidate->hypothesis.id = list->id;
  list->count++;
  return TAKEN;
}

/* Adds a line to the block, whose slices move with it. */
static char *extend(struct candidate *candidate, qe_text line) {
  qe_text *slices[] = { &candidate->hypothesis.text, &candidate->hypothesis.features, &candidate->total,
                        &candidate->token_scores };
  enum { SLICES = sizeof slices / sizeof *slices };
  size_t offsets[SLICES];
  for (size_t i = 0; i < SLICES; i++)
    offsets[i] = slices[i]->data ? (size_t)(slices[i]->data - candidate->line) : 0;
  if (!memory_reserve((void **)&candidate->line, &candidate->room, candidate->size + line.size + 1, 1))
    return NULL;
  for (size_t i = 0; i < SLICES; i++)
    if (slices[i]->data)
      slices[i]->data = candidate->line + offsets[i];
  char *start = candidate->line + candidate->size + 1;
  start[-1] = '\n';
  memcpy(start, line.data, line.size);
  candidate->size += line.size + 1;
  return start;
}

static bool has_line(const struct candidate *candidate, char kind) {
  switch (kind) {
  case 'D':
    return candidate->total_spots[1].there;
  case 'P':
    return candidate->token_scores.data != NULL;
  case 'Q':
    return candidate->features.at != SIZE_MAX;
  default:
    return false;
  }
}

static int continue_candidate(qe_list *list, qe_text line, size_t number) {
  qe_text id, rest;
  struct candidate *candidate = &list->candidates[list->count - 1];
  const char kind = *line.data;
  if (has_line(candidate, kind))
    return error_set(&list->error, QE_FORMAT, "line %zu: a second %c- line, expected one for each H- line", number,
                     kind);
  const struct candidate before = *candidate;
  char *start = extend(candidate, line);
  if (!start)
    return error_memory(&list->error);
  fairseq_line((qe_text){ start, line.size }, &id, &rest);
  candidate->number = number;
  if (kind == 'D' && read_scored(list, candidate, rest, &candidate->total_spots[1]) != QE_OK)
    candidate->size = before.size;
  candidate->number = before.number;
  if (kind == 'P')
    candidate->token_scores = rest;
  if (kind == 'Q') {
    candidate->hypothesis.features = rest;
    candidate->features = (struct spot){ true, (size_t)(rest.data + rest.size - candidate->line),
                                         0,    rest.size > 0 ? " " : "",
                                         " ",  "" };
  }
  return list->error.status == QE_OK ? TAKEN : list->error.status;
}

int fairseq_take(qe_list *list, qe_text line, size_t number) {
  qe_text id, rest;
  if (!fairseq_line(line, &id, &rest))
    return SKIPPED;
  if (list->id.data && (!text_same(list->id, id) || (*line.data == 'S' && (list->count > 0 || list->source.data))))
    return OTHER;
  if (list_set_id(list, id) != QE_OK)
    return list->error.status;
  if (*line.data == 'H')
    return begin_candidate(list, line, number);
  if (list->count > 0)
    return continue_candidate(list, line, number);
  if (*line.data == 'S' && qe_list_set_source(list, rest) != QE_OK)
    return list->error.status;
  return list_add_head(list, line) == QE_OK ? TAKEN : list->error.status;
}

/* ---- printing ---- */

static void open_line(struct writer *writer, const char *kind, qe_text id) {
  put_string(writer, kind);
  put_text(writer, id);
  put(writer, "\t", 1);
}

static void put_token_scores(struct writer *writer, qe_text id, qe_text scores) {
  qe_text word;
  double value;
  if (!scores.data)
    return;
  open_line(writer, "P-", id);
  for (bool first = true; list_number(&scores, &word, &value); first = false) {
    put(writer, " ", first ? 0 : 1);
    if (number_parse(word, &value))
      put_text(writer, word);
    else
      put_number(writer, NAN);
  }
  put(writer, "\n", 1);
}

static void put_features(struct writer *writer, size_t index, qe_text id) {
  struct features features = { NULL, 0, 0 };
  writer->failed = !features_collect(&features, writer->list, index) || writer->failed;
  if (features.count > 0)
    open_line(writer, "Q-", id);
  for (size_t i = 0; i < features.count; i++) {
    const struct feature *feature = &features.items[i];
    qe_text values = feature->values, word;
    put(writer, " ", i > 0);
    put_text(writer, feature->name);
    put_string(writer, feature->name.size > 0 ? "=" : "");
    for (bool first = feature->name.size == 0; values.data && list_word(&values, &word); first = false) {
      put(writer, " ", first ? 0 : 1);
      put_text(writer, word);
    }
    if (!values.data) {
      put(writer, " ", 1);
      put_number(writer, feature->value);
    }
  }
  put(writer, "\n", features.count > 0);
  features_free(&features);
}

void fairseq_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  const qe_text id = candidate->hypothesis.id;
  (void)place;
  open_line(writer, "H-", id);
  put_text(writer, total.size > 0 ? total : qe_string("nan"));
  put(writer, "\t", 1);
  put_text(writer, candidate->hypothesis.text);
  put(writer, "\n", 1);
  put_token_scores(writer, id, list_token_scores(candidate));
  put_features(writer, index, id);
}
