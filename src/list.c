/*
** list.c - the candidates of one source as a decoder wrote them, a line each: fields between " ||| ". The first is the
** id, the second the text. Features are the first field from the third on that begins with NAME=, is not WordScores and
** has a number or nothing behind it; the field after them is the total, all further ones are kept as they are, and so
** are alignments ("0-0 1-2"), WordScores and numbers between text and features (any other field there is taken as part
** of a text that contains the separator). Without such a field, features are WordScores, or unlabelled numbers before a
** total, or an empty third field; or the third field is the total alone. A candidate keeps its line whole: writing is
** the line with insertions, so nothing that was read can be lost, and what was written is read the same way again.
*/
#include "list.h"

#include <math.h>

static const char separator[] = " ||| ";
enum { SEPARATOR = sizeof separator - 1, MOST_FIELDS = 64, PRECISION = 6 };

qe_list *qe_list_new(void) {
  return memory_new(1, sizeof(qe_list));
}

void qe_list_clear(qe_list *list) {
  for (size_t i = 0; i < list->count; i++)
    memory_free(list->candidates[i].line);
  for (size_t i = 0; i < list->appended_count; i++) {
    memory_free(list->appended[i].name);
    memory_free(list->appended[i].values);
  }
  list->count = 0;
  list->appended_count = 0;
  error_clear(&list->error);
}

void qe_list_free(qe_list *list) {
  if (!list)
    return;
  qe_list_clear(list);
  memory_free(list->candidates);
  memory_free(list->appended);
  memory_free(list->output);
  memory_free(list);
}

const char *qe_list_error(const qe_list *list) {
  return list->error.text;
}

size_t qe_list_size(const qe_list *list) {
  return list->count;
}

const qe_hypothesis *qe_list_get(const qe_list *list, size_t index) {
  return index < list->count ? &list->candidates[index].hypothesis : NULL;
}

/* ---- words and fields ---- */

static bool is_space(char c) {
  return c == ' ' || c == '\t';
}

bool list_word(qe_text *text, qe_text *word) {
  while (text->size > 0 && is_space(*text->data)) {
    text->data++;
    text->size--;
  }
  word->data = text->data;
  word->size = 0;
  while (word->size < text->size && !is_space(text->data[word->size]))
    word->size++;
  if (word->size == 0)
    return false; /* the text may be at NULL, to which nothing can be added */
  text->data += word->size;
  text->size -= word->size;
  return true;
}

/* Splits at the separator; " |||" at the very end closes a field too, an empty one following it. Returns how many
** fields there are, of which the first MOST_FIELDS are stored. */
static size_t split(qe_text line, qe_text fields[MOST_FIELDS]) {
  size_t count = 0, start = 0;
  for (size_t i = 0; i + SEPARATOR - 1 <= line.size; i++) {
    const bool at_end = i + SEPARATOR - 1 == line.size;
    if (memcmp(line.data + i, separator, at_end ? SEPARATOR - 1 : SEPARATOR) != 0)
      continue;
    fields[count < MOST_FIELDS ? count : MOST_FIELDS - 1] = (qe_text){ line.data + start, i - start };
    count++;
    start = at_end ? line.size : i + SEPARATOR;
    i = start - 1;
  }
  fields[count < MOST_FIELDS ? count : MOST_FIELDS - 1] = (qe_text){ line.data + start, line.size - start };
  return count + 1;
}

static bool begins_with(qe_text text, const char *start) {
  const size_t size = strlen(start);
  return text.size >= size && memcmp(text.data, start, size) == 0;
}

/* The label of Moses' segmentation, "0-1=0-2", which names no feature. */
static bool is_range(qe_text label) {
  for (size_t i = 0; i < label.size; i++)
    if (label.data[i] != '-' && (label.data[i] < '0' || label.data[i] > '9'))
      return false;
  return true;
}

/* NAME=, or unlabelled numbers to which features were added. */
static bool is_labelled(qe_text field) {
  qe_text word;
  double number;
  do {
    if (!list_word(&field, &word))
      return false;
  } while (number_parse(word, &number));
  const char *equals = memchr(word.data, '=', word.size);
  return equals && !is_range((qe_text){ word.data, (size_t)(equals - word.data) });
}

static bool is_features(qe_text field) {
  return is_labelled(field) && !begins_with(field, "WordScores=");
}

static bool is_alignment_point(qe_text word) {
  size_t dashes = 0;
  for (size_t i = 0; i < word.size; i++) {
    const bool dash = word.data[i] == '-' && i > 0 && i + 1 < word.size;
    if (!dash && (word.data[i] < '0' || word.data[i] > '9'))
      return false;
    dashes += dash;
  }
  return dashes == 1;
}

/* What decoders put between text and features. */
static bool is_between(qe_text field) {
  qe_text word;
  double number;
  if (begins_with(field, "WordScores=") || number_parse(field, &number))
    return true;
  size_t words = 0;
  for (; list_word(&field, &word); words++)
    if (!is_alignment_point(word))
      return false;
  return words > 0;
}

static bool all_numbers(qe_text field) {
  qe_text word;
  double number;
  while (list_word(&field, &word))
    if (!number_parse(word, &number))
      return false;
  return true;
}

/* From the start of one field to the end of another. */
static qe_text span(qe_text first, qe_text last) {
  return (qe_text){ first.data, (size_t)(last.data + last.size - first.data) };
}

/* ---- parsing ---- */

static bool may_be_total(qe_text field) {
  double number;
  return field.size == 0 || number_parse(field, &number);
}

/* Index of the features field, 0 if there is none. */
static size_t find_features(const qe_text *fields, size_t count) {
  for (size_t i = 2; i < count; i++)
    if (is_features(fields[i]) && (i + 1 == count || may_be_total(fields[i + 1])))
      return i;
  for (size_t i = count; i-- > 2;)
    if (is_labelled(fields[i]))
      return i;
  if (count >= 4 && all_numbers(fields[2]) && may_be_total(fields[3]))
    return 2;
  return count == 3 && fields[2].size == 0 ? 2 : 0;
}

static int read_total(struct error *error, struct candidate *candidate, qe_text field) {
  candidate->total = field;
  if (field.size == 0 || number_parse(field, &candidate->hypothesis.total))
    return QE_OK;
  return error_set(error, QE_FORMAT, "line %zu: the total is \"%.*s\", not a number", candidate->number,
                   (int)(field.size > 40 ? 40 : field.size), field.data);
}

static void place_text(qe_hypothesis *hypothesis, const qe_text *fields, size_t features) {
  size_t last = features - 1;
  while (last > 1 && is_between(fields[last]))
    last--;
  hypothesis->text = span(fields[1], fields[last]);
  if (last + 1 < features)
    hypothesis->between = span(fields[last + 1], fields[features - 1]);
}

static int parse_labelled(struct error *error, struct candidate *candidate, const qe_text *fields, size_t count,
                          size_t features) {
  qe_hypothesis *hypothesis = &candidate->hypothesis;
  hypothesis->features = fields[features];
  place_text(hypothesis, fields, features);
  candidate->insert = (size_t)(fields[features].data + fields[features].size - candidate->line);
  candidate->before = fields[features].size > 0 ? " " : "";
  candidate->behind = "";
  if (features + 2 < count)
    hypothesis->after = span(fields[features + 2], fields[count - 1]);
  return features + 1 < count ? read_total(error, candidate, fields[features + 1]) : QE_OK;
}

/* id ||| text, or id ||| text ||| total */
static int parse_short(struct error *error, struct candidate *candidate, const qe_text *fields, size_t count) {
  qe_hypothesis *hypothesis = &candidate->hypothesis;
  double number;
  if (count > 2 && (count > 3 || !number_parse(fields[2], &number)))
    return error_set(error, QE_FORMAT, "line %zu: no field of features (Name= value) among %zu fields",
                     candidate->number, count);
  hypothesis->text = fields[1];
  candidate->insert = count == 3 ? (size_t)(fields[2].data - candidate->line) : candidate->size;
  candidate->before = count == 3 ? "" : separator;
  candidate->behind = count == 3 ? separator : "";
  return count == 3 ? read_total(error, candidate, fields[2]) : QE_OK;
}

static int parse(struct error *error, struct candidate *candidate) {
  qe_text fields[MOST_FIELDS];
  const size_t count = split((qe_text){ candidate->line, candidate->size }, fields);
  candidate->hypothesis.total = NAN;
  if (count < 2 || count > MOST_FIELDS)
    return error_set(error, QE_FORMAT, "line %zu: %zu field%s, expected id ||| text ||| features ||| total",
                     candidate->number, count, count == 1 ? "" : "s");
  candidate->open_separator = fields[count - 1].size == 0 && candidate->line[candidate->size - 1] == '|';
  candidate->hypothesis.id = fields[0];
  if (fields[0].size == 0)
    return error_set(error, QE_FORMAT, "line %zu: the id is empty", candidate->number);
  const size_t features = find_features(fields, count);
  return features ? parse_labelled(error, candidate, fields, count, features)
                  : parse_short(error, candidate, fields, count);
}

static bool same_id(const qe_list *list, qe_text id) {
  const qe_text first = list->candidates[0].hypothesis.id;
  return first.size == id.size && memcmp(first.data, id.data, id.size) == 0;
}

int qe_list_add(qe_list *list, qe_text text, size_t line) {
  error_clear(&list->error);
  if (list->appended_count > 0)
    return error_set(&list->error, QE_USE, "line %zu: features have been added to this list; clear it first", line);
  struct candidate candidate = { .line = memory_grow(NULL, text.size + 1, 1), .size = text.size, .number = line };
  if (!candidate.line ||
      !memory_reserve((void **)&list->candidates, &list->room, list->count + 1, sizeof *list->candidates)) {
    memory_free(candidate.line);
    return error_memory(&list->error);
  }
  if (text.size > 0)
    memcpy(candidate.line, text.data, text.size);
  int status = parse(&list->error, &candidate);
  if (status == QE_OK && (list->count == 0 || same_id(list, candidate.hypothesis.id))) {
    list->candidates[list->count++] = candidate;
    return 1;
  }
  memory_free(candidate.line);
  return status == QE_OK ? 0 : status;
}

/* ---- features ---- */

static const struct appended *find_appended(const qe_list *list, const char *name) {
  for (size_t i = 0; i < list->appended_count; i++)
    if (strcmp(list->appended[i].name, name) == 0)
      return &list->appended[i];
  return NULL;
}

static void keep_value(qe_text word, double *values, size_t room, size_t *count) {
  double value;
  if (word.size == 0 || !number_parse(word, &value))
    return;
  if (*count < room)
    values[*count] = value;
  ++*count;
}

size_t qe_list_feature(const qe_list *list, size_t index, const char *name, double *values, size_t room) {
  const struct appended *appended = find_appended(list, name);
  const size_t size = strlen(name);
  size_t count = 0;
  bool inside = false;
  if (index >= list->count)
    return 0;
  if (appended) {
    if (room > 0)
      values[0] = appended->values[index];
    return 1;
  }
  qe_text rest = list->candidates[index].hypothesis.features, word;
  while (list_word(&rest, &word)) {
    const char *equals = memchr(word.data, '=', word.size);
    if (equals) {
      const size_t label = (size_t)(equals - word.data);
      inside = label == size && memcmp(word.data, name, size) == 0;
      word = (qe_text){ equals + 1, word.size - label - 1 };
    }
    if (inside)
      keep_value(word, values, room, &count);
  }
  return count;
}

static int check_name(qe_list *list, const char *name) {
  if (strpbrk(name, "= \t\r\n\v\f|") || is_range(qe_string(name)))
    return error_set(&list->error, QE_USE, "\"%.60s\" cannot be the name of a feature", name);
  double value;
  for (size_t i = 0; i < list->count; i++)
    if (qe_list_feature(list, i, name, &value, 1) > 0)
      return error_set(&list->error, QE_USE, "line %zu has a feature %s already", list->candidates[i].number, name);
  return QE_OK;
}

int qe_list_append(qe_list *list, const char *name, const double *values) {
  error_clear(&list->error);
  if (check_name(list, name) != QE_OK)
    return list->error.status;
  struct appended added = { memory_grow(NULL, strlen(name) + 1, 1), memory_new(list->count, sizeof *added.values) };
  if (!added.name || !added.values ||
      !memory_reserve((void **)&list->appended, &list->appended_room, list->appended_count + 1,
                      sizeof *list->appended)) {
    memory_free(added.name);
    memory_free(added.values);
    return error_memory(&list->error);
  }
  memcpy(added.name, name, strlen(name) + 1);
  if (list->count > 0)
    memcpy(added.values, values, list->count * sizeof *values);
  list->appended[list->appended_count++] = added;
  return QE_OK;
}

/* ---- writing ---- */

struct writer {
  qe_list *list;
  size_t size, taken; /* bytes written, bytes of the candidate's line passed */
  bool failed;
};

static void put(struct writer *writer, const char *bytes, size_t size) {
  qe_list *list = writer->list;
  if (writer->failed || !memory_reserve((void **)&list->output, &list->output_room, writer->size + size + 1, 1)) {
    writer->failed = true;
    return;
  }
  if (size > 0)
    memcpy(list->output + writer->size, bytes, size);
  writer->size += size;
}

static void put_number(struct writer *writer, double value) {
  char text[40];
  put(writer, text, (size_t)number_print(text, sizeof text, value, PRECISION));
}

/* The line up to `end`, from where the last call stopped. */
static void put_line(struct writer *writer, const struct candidate *candidate, size_t end) {
  put(writer, candidate->line + writer->taken, end - writer->taken);
  if (end == candidate->size && writer->taken < end && candidate->open_separator)
    put(writer, " ", 1);
  writer->taken = end;
}

static void put_features(struct writer *writer, size_t index) {
  const qe_list *list = writer->list;
  const struct candidate *candidate = &list->candidates[index];
  for (size_t i = 0; i < list->appended_count; i++) {
    const char *before = i == 0 ? candidate->before : " ";
    put(writer, before, strlen(before));
    put(writer, list->appended[i].name, strlen(list->appended[i].name));
    put(writer, "= ", 2);
    put_number(writer, list->appended[i].values[index]);
  }
  if (list->appended_count > 0)
    put(writer, candidate->behind, strlen(candidate->behind));
}

static void put_total(struct writer *writer, const struct candidate *candidate, double total) {
  if (candidate->total.data) {
    put_line(writer, candidate, (size_t)(candidate->total.data - candidate->line));
    writer->taken += candidate->total.size;
  } else {
    put(writer, separator, SEPARATOR);
  }
  put_number(writer, total);
}

static void put_rest(struct writer *writer, const struct candidate *candidate) {
  put(writer, candidate->line + writer->taken, candidate->size - writer->taken);
}

qe_text qe_list_line(qe_list *list, size_t index, double total) {
  struct writer writer = { .list = list };
  error_clear(&list->error);
  if (index >= list->count) {
    error_set(&list->error, QE_USE, "candidate %zu of %zu", index + 1, list->count);
    return (qe_text){ "", 0 };
  }
  const struct candidate *candidate = &list->candidates[index];
  if (list->appended_count == 0 && isnan(total))
    return (qe_text){ candidate->line, candidate->size };
  put_line(&writer, candidate, candidate->insert);
  put_features(&writer, index);
  if (!isnan(total))
    put_total(&writer, candidate, total);
  put_rest(&writer, candidate);
  if (writer.failed) {
    error_memory(&list->error);
    return (qe_text){ "", 0 };
  }
  return (qe_text){ list->output, writer.size };
}
