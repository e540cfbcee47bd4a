/*
** writer.c - lists as text. A list in the format in which it was read is its lines with insertions at their spots, so
** that nothing is lost; in another format it is printed from its fields. What is printed is read again at once, and
** refused if that gives another id, text or total: fields without escapes cannot hold every text.
*/
#include "format.h"
#include "json_text.h"

#include <math.h>

enum { PRECISION = 6, EXACT = 17 };

void put(struct writer *writer, const void *bytes, size_t size) {
  qe_list *list = writer->list;
  if (writer->failed || !memory_reserve((void **)&list->output, &list->output_room, writer->size + size + 1, 1)) {
    writer->failed = true;
    return;
  }
  if (size > 0)
    memcpy(list->output + writer->size, bytes, size);
  writer->size += size;
}

void put_string(struct writer *writer, const char *text) {
  put(writer, text, strlen(text));
}

void put_text(struct writer *writer, qe_text text) {
  put(writer, text.data, text.size);
}

void put_count(struct writer *writer, size_t count) {
  char text[24];
  put(writer, text, (size_t)snprintf(text, sizeof text, "%zu", count));
}

void put_number(struct writer *writer, double value) {
  char text[40];
  put(writer, text, (size_t)number_print(text, sizeof text, value, PRECISION));
}

/* The fewest digits that give the value back. */
static qe_text exact(char *room, size_t size, double value) {
  double again = NAN;
  int length = 0;
  for (int digits = PRECISION; digits <= EXACT && !(again >= value && again <= value); digits++) {
    length = number_print(room, size, value, digits);
    number_parse((qe_text){ room, (size_t)length }, &again);
  }
  return (qe_text){ room, (size_t)length };
}

qe_text total_text(const struct candidate *candidate, double total, char *room) {
  if (!isnan(total))
    return (qe_text){ room, (size_t)number_print(room, 40, total, PRECISION) };
  if (candidate->total.size > 0)
    return candidate->total;
  return isnan(candidate->hypothesis.total) ? (qe_text){ NULL, 0 } : exact(room, 40, candidate->hypothesis.total);
}

/* ---- JSON ---- */

void put_json_string(struct writer *writer, qe_text text) {
  static const char letters[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";
  size_t start = 0;
  put(writer, "\"", 1);
  for (size_t i = 0; i < text.size; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    const char *letter = c ? strchr(letters, c) : NULL;
    char escape[8];
    if (!letter && c >= 0x20)
      continue;
    put(writer, text.data + start, i - start);
    if (letter)
      snprintf(escape, sizeof escape, "\\%c", escapes[letter - letters]);
    else
      snprintf(escape, sizeof escape, "\\u%04x", c);
    put_string(writer, escape);
    start = i + 1;
  }
  put(writer, text.size > 0 ? text.data + start : "", text.size - start);
  put(writer, "\"", 1);
}

/* JSON has no NaN, and an infinity only as a number that is too large. */
static bool put_unusual(struct writer *writer, double value) {
  if (isfinite(value))
    return false;
  put_string(writer, isnan(value) ? "null" : value > 0 ? "1e999" : "-1e999");
  return true;
}

void put_json_double(struct writer *writer, double value) {
  if (!put_unusual(writer, value))
    put_number(writer, value);
}

void put_json_number(struct writer *writer, qe_text word) {
  char room[40];
  double value = NAN;
  if (json_is_number(word)) {
    put_text(writer, word);
    return;
  }
  number_parse(word, &value);
  if (!put_unusual(writer, value))
    put_text(writer, exact(room, sizeof room, value));
}

/* ---- lines with insertions ---- */

enum change { FEATURES, TOTAL, SECOND_TOTAL, RANK, CHANGES };

struct changed {
  struct writer *writer;
  const struct candidate *candidate;
  size_t index, taken; /* bytes of the line passed */
  double total;
  qe_text rank; /* empty: its own */
};

/* The line up to `end`, from where the last call stopped. */
static void put_line(struct changed *changed, size_t end) {
  const struct candidate *candidate = changed->candidate;
  if (end > candidate->size)
    end = candidate->size;
  put(changed->writer, candidate->line + changed->taken, end - changed->taken);
  if (end == candidate->size && changed->taken < end && candidate->open_separator)
    put(changed->writer, " ", 1);
  changed->taken = end;
}

static void put_feature(struct writer *writer, const struct appended *appended, size_t index) {
  if (writer->format->shape == JSONL) {
    put_json_string(writer, qe_string(appended->name));
    put_string(writer, ": ");
    put_json_double(writer, appended->values[index]);
  } else {
    put_string(writer, appended->name);
    put_string(writer, "= ");
    put_number(writer, appended->values[index]);
  }
}

static void put_features(struct changed *changed) {
  struct writer *writer = changed->writer;
  const struct spot *spot = &changed->candidate->features;
  put_string(writer, spot->before);
  if (writer->format->shape == FAIRSEQ && spot->at == SIZE_MAX) {
    put_text(writer, changed->candidate->hypothesis.id);
    put(writer, "\t", 1);
  }
  for (size_t i = 0; i < writer->list->appended_count; i++) {
    put_string(writer, i == 0 ? "" : spot->between);
    put_feature(writer, &writer->list->appended[i], changed->index);
  }
  put_string(writer, spot->behind);
}

static void put_total(struct changed *changed, const struct spot *spot) {
  put_string(changed->writer, spot->before ? spot->before : "");
  if (changed->writer->format->shape == JSONL)
    put_json_double(changed->writer, changed->total);
  else
    put_number(changed->writer, changed->total);
  put_string(changed->writer, spot->behind ? spot->behind : "");
}

static void put_change(struct changed *changed, enum change change, const struct spot *spot) {
  put_line(changed, spot->at);
  if (change == FEATURES)
    put_features(changed);
  else if (change == RANK)
    put_text(changed->writer, changed->rank);
  else
    put_total(changed, spot);
  changed->taken += spot->size;
}

/* The spots that change, from left to right; features come before a total at the same place. */
static size_t find_changes(const struct changed *changed, enum change *order, struct spot *spots) {
  const struct candidate *candidate = changed->candidate;
  const size_t rank = candidate->rank.size > 0 ? (size_t)(candidate->rank.data - candidate->line) : 0;
  const bool retotal = !isnan(changed->total);
  size_t count = 0;
  spots[FEATURES] = candidate->features;
  spots[TOTAL] = candidate->total_spots[0];
  spots[SECOND_TOTAL] = candidate->total_spots[1];
  spots[RANK] = (struct spot){ .there = changed->rank.size > 0, .at = rank, .size = candidate->rank.size };
  const bool wanted[CHANGES] = { changed->writer->list->appended_count > 0, retotal, retotal, true };
  for (enum change change = FEATURES; change < CHANGES; change++) {
    if (!wanted[change] || !spots[change].there)
      continue;
    size_t place = count++;
    for (; place > 0 && spots[order[place - 1]].at > spots[change].at; place--)
      order[place] = order[place - 1];
    order[place] = change;
  }
  return count;
}

static void put_changed(struct changed *changed) {
  enum change order[CHANGES];
  struct spot spots[CHANGES];
  const size_t count = find_changes(changed, order, spots);
  for (size_t i = 0; i < count; i++)
    put_change(changed, order[i], &spots[order[i]]);
  const struct candidate *candidate = changed->candidate;
  put(changed->writer, candidate->line + changed->taken, candidate->size - changed->taken);
  put(changed->writer, "\n", 1);
}

/* ---- printed lines ---- */

static bool same_total(double a, double b) {
  return isnan(a) ? isnan(b) : a >= b && a <= b;
}

/* Whether the line that stands at the end of the output is read as what it was made of. */
static bool reads_again(struct writer *writer, size_t start, const struct candidate *candidate, qe_text total) {
  qe_list *list = writer->list;
  const qe_hypothesis *fields = &candidate->hypothesis;
  struct candidate again = { .line = list->output + start, .size = writer->size - start - 1, .number = 1 };
  const bool ends =
      again.size == 0 || (!memchr(again.line, '\n', again.size) && again.line[again.size - 1] != '\r');
  again.hypothesis.total = NAN;
  const bool taken = ends && writer->format->parse(list, &again) == QE_OK;
  double expected = NAN;
  if (total.size > 0)
    number_parse(total, &expected);
  const bool same = taken && text_same(again.hypothesis.text, fields->text) &&
                    (writer->format->counted || text_same(again.hypothesis.id, fields->id)) &&
                    same_total(again.hypothesis.total, expected);
  if (list->error.status != QE_MEMORY)
    error_clear(&list->error);
  memory_free(again.decoded);
  return same;
}

static bool is_fairseq(const qe_hypothesis *fields) {
  for (size_t i = 0; i < fields->id.size; i++)
    if (fields->id.data[i] < '0' || fields->id.data[i] > '9')
      return false;
  const qe_text text = fields->text;
  return text.size == 0 || (!memchr(text.data, '\n', text.size) && text.data[text.size - 1] != '\r');
}

static void put_printed(struct writer *writer, size_t index, size_t place, double total) {
  qe_list *list = writer->list;
  const struct candidate *candidate = &list->candidates[index];
  char room[40];
  const qe_text number = total_text(candidate, total, room);
  const size_t start = writer->size;
  writer->format->print(writer, index, place, number);
  if (writer->failed)
    return;
  bool good = true;
  if (writer->format->shape == FAIRSEQ)
    good = is_fairseq(&candidate->hypothesis);
  else if (writer->format->shape != JSONL)
    good = reads_again(writer, start, candidate, number);
  if (!good)
    error_set(&list->error, QE_FORMAT,
              "candidate %zu (\"%.*s\") cannot be written as %s: it would be read as something else", index + 1,
              text_width(candidate->hypothesis.text), candidate->hypothesis.text.data, writer->format->name);
}

/* ---- whole lists ---- */

static bool is_kept(const struct writer *writer, const struct candidate *candidate, double total) {
  const struct format *read = writer->list->format;
  if (!candidate->line || writer->format != (read ? read : format_find("moses")))
    return false;
  const bool features = writer->list->appended_count == 0 || candidate->features.there;
  return (features || writer->format->shape == BLOCKS) && (isnan(total) || candidate->total_spots[0].there);
}

static void put_candidate(struct writer *writer, size_t index, size_t place, double total) {
  qe_list *list = writer->list;
  struct changed changed = { writer, &list->candidates[index], index, 0, total, { NULL, 0 } };
  if (!is_kept(writer, changed.candidate, total)) {
    put_printed(writer, index, place, total);
    return;
  }
  /* ranks stay where they are when hypotheses move */
  if (changed.candidate->rank.size > 0 && place != index && place < list->count)
    changed.rank = list->candidates[place].rank;
  put_changed(&changed);
}

static void put_head(struct writer *writer) {
  qe_list *list = writer->list;
  if (writer->format->shape != FAIRSEQ)
    return;
  if (list->format == writer->format) {
    put(writer, list->head, list->head_size);
    put(writer, "\n", list->head_size > 0);
  } else if (list->source.data) {
    put_string(writer, "S-");
    put_text(writer, qe_list_id(list));
    put(writer, "\t", 1);
    put_text(writer, list->source);
    put(writer, "\n", 1);
  }
}

static bool is_unchanged(const qe_list *list, const size_t *order, size_t count, const double *totals) {
  if (list->appended_count > 0 || list->pushed || count != list->count)
    return false;
  for (size_t i = 0; i < count; i++)
    if (order[i] != i || (totals && !isnan(totals[i])))
      return false;
  return true;
}

static void put_object(struct writer *writer, const size_t *order, size_t count, const double *totals) {
  const qe_list *list = writer->list;
  if (list->format != writer->format || list->pushed) {
    sockeye_print(writer, order, count, totals);
  } else if (is_unchanged(list, order, count, totals)) {
    put(writer, list->head, list->head_size);
    put(writer, "\n", 1);
  } else {
    sockeye_edit(writer, order, count, totals);
  }
}

static int put_list(struct writer *writer, const size_t *order, size_t count, const double *totals) {
  qe_list *list = writer->list;
  if (writer->format->shape == SOCKEYE)
    put_object(writer, order, count, totals);
  else
    put_head(writer);
  for (size_t i = 0; writer->format->shape != SOCKEYE && i < count && list->error.status == QE_OK; i++)
    put_candidate(writer, order[i], i, totals ? totals[order[i]] : NAN);
  return writer->failed ? error_memory(&list->error) : list->error.status;
}

static int write_all(struct writer *writer, const double *totals) {
  const size_t count = writer->list->count;
  size_t *order = memory_new(count, sizeof *order);
  if (!order)
    return error_memory(&writer->list->error);
  for (size_t i = 0; i < count; i++)
    order[i] = i;
  const int status = put_list(writer, order, count, totals);
  memory_free(order);
  return status;
}

int qe_list_write(qe_list *list, const char *format, const size_t *order, size_t count, const double *totals,
                  qe_text *out) {
  struct writer writer = { .list = list };
  *out = (qe_text){ "", 0 };
  error_clear(&list->error);
  writer.format = format ? format_find(format) : list->format ? list->format : format_find("moses");
  if (!writer.format)
    return error_set(&list->error, QE_USE, "no format is called %.40s, expected %s", format, format_names);
  for (size_t i = 0; order && i < count; i++)
    if (order[i] >= list->count)
      return error_set(&list->error, QE_USE, "candidate %zu of %zu", order[i] + 1, list->count);
  const int status = order ? put_list(&writer, order, count, totals) : write_all(&writer, totals);
  if (status == QE_OK && writer.size > 0)
    *out = (qe_text){ list->output, writer.size };
  return status;
}

/* Of an object that holds a whole list, one hypothesis. */
static void put_one_of_object(struct writer *writer, size_t index, double total) {
  qe_list *list = writer->list;
  double *totals = memory_new(list->count, sizeof *totals);
  if (!totals) {
    writer->failed = true;
    return;
  }
  totals[index] = total;
  if (list->pushed)
    sockeye_print(writer, &index, 1, totals);
  else
    sockeye_edit(writer, &index, 1, totals);
  memory_free(totals);
}

qe_text qe_list_line(qe_list *list, size_t index, double total) {
  struct writer writer = { .list = list, .format = list->format ? list->format : format_find("moses") };
  error_clear(&list->error);
  if (index >= list->count) {
    error_set(&list->error, QE_USE, "candidate %zu of %zu", index + 1, list->count);
    return (qe_text){ "", 0 };
  }
  const struct candidate *candidate = &list->candidates[index];
  if (candidate->line && list->appended_count == 0 && isnan(total))
    return (qe_text){ candidate->line, candidate->size };
  if (writer.format->shape == SOCKEYE)
    put_one_of_object(&writer, index, total);
  else
    put_candidate(&writer, index, index, total);
  if (writer.failed)
    error_memory(&list->error);
  if (list->error.status != QE_OK)
    return (qe_text){ "", 0 };
  return (qe_text){ list->output, writer.size - 1 };
}
