/*
** format_pipes.c - lines of fields between " ||| ". The first is the id, the second the text. Features are the first
** field from the third on that begins with NAME=, is not WordScores and has a number or nothing behind it; the field
** after them is the total, all further ones are kept as they are, and so are alignments ("0-0 1-2"), WordScores and
** numbers between text and features (any other field there is taken as part of a text that contains the separator).
** Without such a field, features are WordScores, or unlabelled numbers before a total, or an empty third field; or the
** third field is the total alone. Travatar has the total before the features and nothing else: it is split from both
** ends. What was written is read the same way again; a text that would not be is refused by the writer.
*/
#include "format.h"

#include <math.h>

static const char separator[] = " ||| ";
enum { SEPARATOR = sizeof separator - 1, MOST_FIELDS = 64 };

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

static size_t offset(const struct candidate *candidate, const char *place) {
  return (size_t)(place - candidate->line);
}

static int read_total(struct error *error, struct candidate *candidate, qe_text field) {
  candidate->total = field;
  candidate->total_spots[0] =
      (struct spot){ .there = true, .at = offset(candidate, field.data), .size = field.size };
  if (field.size == 0 || number_parse(field, &candidate->hypothesis.total))
    return QE_OK;
  return error_set(error, QE_FORMAT, "line %zu: the total is \"%.*s\", not a number", candidate->number,
                   text_width(field), field.data);
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
  candidate->features = (struct spot){ true, offset(candidate, fields[features].data + fields[features].size),
                                       0,    fields[features].size > 0 ? " " : "",
                                       " ",  "" };
  if (features + 2 < count)
    hypothesis->after = span(fields[features + 2], fields[count - 1]);
  if (features + 1 < count)
    return read_total(error, candidate, fields[features + 1]);
  candidate->total_spots[0] = (struct spot){ true, SIZE_MAX, 0, separator, "", "" };
  return QE_OK;
}

/* id ||| text, or id ||| text ||| total */
static int parse_short(struct error *error, struct candidate *candidate, const qe_text *fields, size_t count) {
  qe_hypothesis *hypothesis = &candidate->hypothesis;
  double number;
  if (count > 2 && (count > 3 || !number_parse(fields[2], &number)))
    return error_set(error, QE_FORMAT, "line %zu: no field of features (Name= value) among %zu fields",
                     candidate->number, count);
  hypothesis->text = fields[1];
  candidate->total_spots[0] = (struct spot){ true, SIZE_MAX, 0, separator, "", "" };
  candidate->features = (struct spot){ true, SIZE_MAX, 0, separator, " ", "" };
  if (count == 2)
    return QE_OK;
  candidate->features = (struct spot){ true, offset(candidate, fields[2].data), 0, "", " ", separator };
  return read_total(error, candidate, fields[2]);
}

/* Splits the line and takes the id off. Returns the number of fields, or a negative status. */
static int open_line(struct error *error, struct candidate *candidate, qe_text fields[MOST_FIELDS]) {
  const size_t count = split((qe_text){ candidate->line, candidate->size }, fields);
  if (count < 2 || count > MOST_FIELDS)
    return error_set(error, QE_FORMAT, "line %zu: %zu field%s, expected id ||| text ||| features ||| total",
                     candidate->number, count, count == 1 ? "" : "s");
  candidate->open_separator = fields[count - 1].size == 0 && candidate->line[candidate->size - 1] == '|';
  candidate->hypothesis.id = fields[0];
  if (fields[0].size == 0)
    return error_set(error, QE_FORMAT, "line %zu: the id is empty", candidate->number);
  return (int)count;
}

/* ---- entities ---- */

static const struct entity {
  const char *name;
  char character;
} entities[] = { { "&amp;", '&' },   { "&#124;", '|' }, { "&bar;", '|' }, { "&lt;", '<' }, { "&gt;", '>' },
                 { "&apos;", '\'' }, { "&quot;", '"' }, { "&#91;", '[' }, { "&#93;", ']' } };
enum { ENTITIES = sizeof entities / sizeof *entities };

size_t pipes_unescape(qe_text text, char *out) {
  size_t size = 0;
  for (size_t i = 0; i < text.size;) {
    const qe_text rest = { text.data + i, text.size - i };
    size_t number = 0;
    while (number < ENTITIES && (*rest.data != '&' || !begins_with(rest, entities[number].name)))
      number++;
    out[size++] = number < ENTITIES ? entities[number].character : *rest.data;
    i += number < ENTITIES ? strlen(entities[number].name) : 1;
  }
  return size;
}

static void put_escaped(struct writer *writer, qe_text text) {
  size_t start = 0;
  for (size_t i = 0; i < text.size; i++)
    for (size_t number = 0; number < ENTITIES; number++) {
      if (text.data[i] != entities[number].character)
        continue;
      put(writer, text.data + start, i - start);
      put_string(writer, entities[number].name);
      start = i + 1;
      break;
    }
  put(writer, text.data + start, text.size - start);
}

static int unescape(qe_list *list, struct candidate *candidate) {
  qe_text *text = &candidate->hypothesis.text;
  if (!list->escapes || text->size == 0 || !memchr(text->data, '&', text->size))
    return QE_OK;
  candidate->decoded = memory_grow(NULL, text->size, 1);
  if (!candidate->decoded)
    return error_memory(&list->error);
  *text = (qe_text){ candidate->decoded, pipes_unescape(*text, candidate->decoded) };
  return QE_OK;
}

/* ---- the two orders of fields ---- */

int pipes_parse(qe_list *list, struct candidate *candidate) {
  qe_text fields[MOST_FIELDS];
  const int count = open_line(&list->error, candidate, fields);
  if (count < 0)
    return count;
  const size_t features = find_features(fields, (size_t)count);
  const int status = features ? parse_labelled(&list->error, candidate, fields, (size_t)count, features)
                              : parse_short(&list->error, candidate, fields, (size_t)count);
  return status == QE_OK ? unescape(list, candidate) : status;
}

static bool all_digits(qe_text text) {
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] < '0' || text.data[i] > '9')
      return false;
  return text.size > 0;
}

int cdec_parse(qe_list *list, struct candidate *candidate) {
  if (all_digits((qe_text){ candidate->line, candidate->size }))
    return error_set(&list->error, QE_FORMAT,
                     "line %zu: a number alone, as in cdec's compatibility mode, whose features are base64; "
                     "expected the lists that cdec writes without that mode",
                     candidate->number);
  return pipes_parse(list, candidate);
}

int travatar_parse(qe_list *list, struct candidate *candidate) {
  qe_text fields[MOST_FIELDS];
  double number;
  const int count = open_line(&list->error, candidate, fields);
  if (count < 0)
    return count;
  const bool labelled = count > 3 && (fields[count - 1].size == 0 || is_labelled(fields[count - 1]));
  const int total = labelled ? count - 2 : count - 1;
  if (count > 2 && fields[total].size > 0 && !number_parse(fields[total], &number))
    return error_set(&list->error, QE_FORMAT,
                     "line %zu: the total is \"%.*s\", expected id ||| text ||| number ||| "
                     "features",
                     candidate->number, text_width(fields[total]), fields[total].data);
  candidate->hypothesis.text = span(fields[1], fields[count > 2 ? total - 1 : 1]);
  if (count > 2)
    read_total(&list->error, candidate, fields[total]);
  if (count > 2)
    candidate->features = (struct spot){ true, SIZE_MAX, 0, separator, " ", "" };
  if (labelled) {
    candidate->hypothesis.features = fields[count - 1];
    candidate->features.before = fields[count - 1].size > 0 ? " " : "";
  }
  return unescape(list, candidate); /* a line without a total has no spots: it is written from its fields */
}

/* ---- printing ---- */

static void put_field(struct writer *writer, qe_text field) {
  if (field.size == 0)
    return;
  put(writer, separator, SEPARATOR);
  put_text(writer, field);
}

static void put_id_and_text(struct writer *writer, const struct candidate *candidate) {
  put_text(writer, candidate->hypothesis.id);
  put(writer, separator, SEPARATOR);
  if (writer->list->escapes)
    put_escaped(writer, candidate->hypothesis.text);
  else
    put_text(writer, candidate->hypothesis.text);
}

static bool are_unlabelled(qe_text features) {
  return features.size > 0 && !is_labelled(features);
}

static void put_values(struct writer *writer, const struct feature *feature) {
  qe_text values = feature->values, word;
  if (!values.data)
    put_number(writer, feature->value);
  for (bool first = true; values.data && list_word(&values, &word); first = false) {
    put(writer, " ", first ? 0 : 1);
    put_text(writer, word);
  }
}

/* Returns whether there are any. */
static bool put_features(struct writer *writer, size_t index) {
  struct features features = { NULL, 0, 0 };
  writer->failed = !features_collect(&features, writer->list, index) || writer->failed;
  const size_t count = features.count;
  for (size_t i = 0; i < count; i++) {
    put(writer, " ", i > 0);
    if (features.items[i].name.size > 0) {
      put_text(writer, features.items[i].name);
      put_string(writer, writer->format->equals);
    }
    put_values(writer, &features.items[i]);
  }
  features_free(&features);
  return count > 0;
}

static qe_text between_of(const struct writer *writer, const struct candidate *candidate) {
  return text_is(qe_string(writer->format->name), "marian") ? candidate->hypothesis.between : (qe_text){ NULL, 0 };
}

/* Unless they stand in the fields between text and features already. */
static void put_word_scores(struct writer *writer, const struct candidate *candidate) {
  qe_text scores = list_token_scores(candidate), between = candidate->hypothesis.between, word;
  double value;
  if (between.size > 0 && scores.data >= between.data && scores.data <= between.data + between.size)
    return;
  put_string(writer, " ||| WordScores=");
  while (list_number(&scores, &word, &value)) {
    put(writer, " ", 1);
    if (number_parse(word, &value))
      put_text(writer, word);
    else
      put_number(writer, NAN);
  }
}

void pipes_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  (void)place;
  put_id_and_text(writer, candidate);
  put_field(writer, between_of(writer, candidate));
  const bool scored = text_is(qe_string(writer->format->name), "marian") && list_token_scores(candidate).data;
  if (scored)
    put_word_scores(writer, candidate);
  const size_t start = writer->size;
  put(writer, separator, SEPARATOR);
  const bool any = put_features(writer, index);
  if (!any && scored)
    writer->size = start; /* WordScores stand in for features */
  const qe_text after = candidate->hypothesis.after;
  if (total.size > 0 || are_unlabelled(candidate->hypothesis.features) || after.size > 0) {
    put(writer, separator, SEPARATOR);
    put_text(writer, total.size > 0 ? total : qe_string("nan"));
    put_field(writer, after);
  } else if (!any) {
    writer->size = start; /* id and text are all */
  }
  put(writer, "\n", 1);
}

void travatar_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  (void)place;
  put_id_and_text(writer, candidate);
  put(writer, separator, SEPARATOR);
  put_text(writer, total.size > 0 ? total : qe_string("nan"));
  put(writer, separator, SEPARATOR);
  put_features(writer, index);
  put(writer, "\n", 1);
}

/* ---- guessing ---- */

static bool has_word_scores(const qe_text *fields, size_t count) {
  for (size_t i = 2; i < count; i++)
    if (begins_with(fields[i], "WordScores="))
      return true;
  return false;
}

static const struct format *guess_labelled(qe_text features) {
  qe_text word;
  if (!list_word(&features, &word))
    return format_find("moses");
  const size_t label = (size_t)((const char *)memchr(word.data, '=', word.size) - word.data);
  const bool numbered = label > 1 && *word.data == 'F' && all_digits((qe_text){ word.data + 1, label - 1 });
  if (numbered)
    return format_find("marian");
  return format_find(label + 1 < word.size ? "cdec" : "moses");
}

const struct format *pipes_guess(qe_text line, bool counted) {
  qe_text fields[MOST_FIELDS];
  double number;
  const size_t count = split(line, fields);
  if (count < 2 || count > MOST_FIELDS)
    return NULL;
  if (number_parse(fields[0], &number) && !all_digits(fields[0]))
    return format_find("ct2");
  if (count == 2 && counted && all_digits(fields[0]))
    return format_find("moses");
  if (has_word_scores(fields, count))
    return format_find("marian");
  if (count == 4 && number_parse(fields[2], &number) && (fields[3].size == 0 || is_features(fields[3])))
    return format_find("travatar");
  const size_t features = find_features(fields, count);
  return features && is_labelled(fields[features]) ? guess_labelled(fields[features]) : format_find("moses");
}
