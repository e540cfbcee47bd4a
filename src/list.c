/*
** list.c - the candidates of one source, in the decoder's order, and what is asked of them: fields, features, scores of
** tokens. Invariant: what was read stays as it was; added features lie beside it until the list is written (writer.c).
** All candidates share the list's id and its source. How lines become candidates is the formats' business.
*/
#include "format.h"

#include <math.h>

qe_list *qe_list_new(void) {
  return memory_new(1, sizeof(qe_list));
}

static void forget(qe_text *text) {
  char *memory;
  memcpy(&memory, &text->data, sizeof memory); /* a copy that the list owns */
  memory_free(memory);
  *text = (qe_text){ NULL, 0 };
}

void qe_list_clear(qe_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    memory_free(list->candidates[i].line);
    memory_free(list->candidates[i].decoded);
  }
  for (size_t i = 0; i < list->appended_count; i++) {
    memory_free(list->appended[i].name);
    memory_free(list->appended[i].values);
  }
  forget(&list->id);
  forget(&list->source);
  list->count = list->appended_count = list->head_size = 0;
  list->format = NULL;
  list->escapes = list->complete = list->pushed = list->numbered = false;
  error_clear(&list->error);
}

void qe_list_free(qe_list *list) {
  if (!list)
    return;
  qe_list_clear(list);
  memory_free(list->candidates);
  memory_free(list->appended);
  memory_free(list->head);
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

size_t qe_list_number(const qe_list *list, size_t index) {
  return index < list->count ? list->candidates[index].number : 0;
}

qe_text qe_list_id(const qe_list *list) {
  return list->id.data || list->count == 0 ? list->id : list->candidates[0].hypothesis.id;
}

qe_text qe_list_source(const qe_list *list) {
  return list->source;
}

/* ---- words ---- */

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

static bool is_between_numbers(char c) {
  return is_space(c) || c == ',' || c == '[' || c == ']' || c == '\r' || c == '\n';
}

bool list_number(qe_text *text, qe_text *word, double *value) {
  size_t start = 0, end;
  while (start < text->size && is_between_numbers(text->data[start]))
    start++;
  for (end = start; end < text->size && !is_between_numbers(text->data[end]);)
    end++;
  if (end == start)
    return false;
  *word = (qe_text){ text->data + start, end - start };
  *text = (qe_text){ text->data + end, text->size - end };
  if (!number_parse(*word, value))
    *value = NAN;
  return true;
}

/* ---- building ---- */

static int text_copy(qe_list *list, qe_text *to, qe_text from) {
  char *copy = memory_grow(NULL, from.size + 1, 1);
  if (!copy)
    return error_memory(&list->error);
  if (from.size > 0)
    memcpy(copy, from.data, from.size);
  forget(to);
  *to = (qe_text){ copy, from.size };
  return QE_OK;
}

int qe_list_set_source(qe_list *list, qe_text source) {
  error_clear(&list->error);
  return text_copy(list, &list->source, source);
}

int list_set_id(qe_list *list, qe_text id) {
  return list->id.data ? QE_OK : text_copy(list, &list->id, id);
}

int list_set_ordinal(qe_list *list) {
  char digits[24];
  snprintf(digits, sizeof digits, "%zu", list->ordinal);
  return list_set_id(list, qe_string(digits));
}

int list_add_head(qe_list *list, qe_text line) {
  if (!memory_reserve((void **)&list->head, &list->head_room, list->head_size + line.size + 2, 1))
    return error_memory(&list->error);
  if (list->head_size > 0)
    list->head[list->head_size++] = '\n';
  if (line.size > 0)
    memcpy(list->head + list->head_size, line.data, line.size);
  list->head_size += line.size;
  return QE_OK;
}

struct candidate *list_candidate(qe_list *list, qe_text line, size_t number) {
  if (!memory_reserve((void **)&list->candidates, &list->room, list->count + 1, sizeof *list->candidates))
    return NULL;
  struct candidate *candidate = &list->candidates[list->count];
  *candidate = (struct candidate){ .number = number, .hypothesis.total = NAN };
  if (!line.data)
    return candidate;
  candidate->line = memory_grow(NULL, line.size + 1, 1);
  if (!candidate->line)
    return NULL;
  if (line.size > 0)
    memcpy(candidate->line, line.data, line.size);
  candidate->size = line.size;
  candidate->room = line.size + 1;
  return candidate;
}

void list_drop(qe_list *list) {
  memory_free(list->candidates[list->count].line);
  memory_free(list->candidates[list->count].decoded);
}

int qe_list_add(qe_list *list, qe_text text, size_t line) {
  error_clear(&list->error);
  if (list->appended_count > 0)
    return error_set(&list->error, QE_USE, "line %zu: features have been added to this list; clear it first", line);
  if (!list->format)
    list->format = format_find("moses");
  if (!list->format->parse || list->format->counted)
    return error_set(&list->error, QE_USE, "line %zu: a list of %s is read by a reader", line, list->format->name);
  return format_take(list, text.data ? text : qe_string(""), line);
}

/* ---- candidates of the host ---- */

bool list_names_feature(qe_text name) {
  bool range = true;
  for (size_t i = 0; i < name.size; i++) {
    if (!name.data[i] || strchr("= \t\r\n\v\f|", name.data[i]))
      return false;
    range = range && (name.data[i] == '-' || (name.data[i] >= '0' && name.data[i] <= '9'));
  }
  return !range; /* "0-1" is a label of Moses' segmentation, "" none at all */
}

static bool are_features(qe_text field) {
  qe_text word;
  double value;
  while (list_word(&field, &word)) {
    const char *equals = memchr(word.data, '=', word.size);
    const size_t size = equals ? (size_t)(equals - word.data) : 0;
    if (equals && !list_names_feature((qe_text){ word.data, size }))
      return false;
    if (equals && size + 1 == word.size)
      continue;
    if (!number_parse(equals ? (qe_text){ equals + 1, word.size - size - 1 } : word, &value))
      return false;
  }
  return true;
}

static int check_pushed(qe_list *list, const qe_hypothesis *hypothesis) {
  const size_t place = list->count + 1;
  const qe_text id = qe_list_id(list);
  if (list->appended_count > 0)
    return error_set(&list->error, QE_USE, "candidate %zu: features have been added to this list", place);
  if (id.data && hypothesis->id.size > 0 && !text_same(id, hypothesis->id))
    return error_set(&list->error, QE_USE, "candidate %zu: its id is \"%.*s\", the list's is \"%.*s\"", place,
                     text_width(hypothesis->id), hypothesis->id.data, text_width(id), id.data);
  if (!are_features(hypothesis->features))
    return error_set(&list->error, QE_USE, "candidate %zu: features \"%.*s\", expected Name= value ...", place,
                     text_width(hypothesis->features), hypothesis->features.data);
  return QE_OK;
}

/* Moves a text into the candidate's memory. */
static void settle(qe_text *text, char **next) {
  if (text->size > 0)
    memcpy(*next, text->data, text->size);
  text->data = *next;
  *next += text->size;
}

static int copy_hypothesis(qe_list *list, struct candidate *candidate, const qe_hypothesis *from) {
  qe_hypothesis *to = &candidate->hypothesis;
  *to = *from;
  qe_text *texts[] = { &to->text, &to->features, &to->between, &to->after, &to->system };
  size_t size = 1;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (__builtin_add_overflow(size, texts[i]->size, &size))
      return error_memory(&list->error);
  char *next = candidate->decoded = memory_grow(NULL, size, 1);
  if (!next || list_set_id(list, from->id.size > 0 ? from->id : qe_string("0")) != QE_OK)
    return error_memory(&list->error);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    settle(texts[i], &next);
  to->id = list->id;
  return QE_OK;
}

int qe_list_push(qe_list *list, const qe_hypothesis *hypothesis) {
  error_clear(&list->error);
  if (check_pushed(list, hypothesis) != QE_OK)
    return list->error.status;
  if (!list->id.data && list->count > 0 && list_set_id(list, qe_list_id(list)) != QE_OK)
    return list->error.status;
  struct candidate *candidate = list_candidate(list, (qe_text){ NULL, 0 }, list->count + 1);
  if (!candidate)
    return error_memory(&list->error);
  if (copy_hypothesis(list, candidate, hypothesis) != QE_OK) {
    list_drop(list);
    return list->error.status;
  }
  list->count++;
  list->pushed = true;
  return QE_OK;
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
  if (!list_names_feature(qe_string(name)))
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

/* ---- scores of tokens ---- */

/* The numbers behind "WordScores="; no data: not there. */
static qe_text word_scores(qe_text field) {
  static const char label[] = "WordScores=";
  const char *start = field.size > 0 ? memmem(field.data, field.size, label, sizeof label - 1) : NULL;
  if (!start || (start > field.data && start[-1] != ' '))
    return (qe_text){ NULL, 0 };
  start += sizeof label - 1;
  qe_text rest = { start, (size_t)(field.data + field.size - start) }, scores = { start, 0 }, word;
  while (list_word(&rest, &word) && !memchr(word.data, '=', word.size) && !text_is(word, "|||"))
    scores.size = (size_t)(word.data + word.size - start);
  return scores;
}

/* Marian writes a field of them, and once wrote them among the features. */
qe_text list_token_scores(const struct candidate *candidate) {
  if (candidate->token_scores.data)
    return candidate->token_scores;
  const qe_text scores = word_scores(candidate->hypothesis.between);
  return scores.data ? scores : word_scores(candidate->hypothesis.features);
}

int qe_list_remove(qe_list *list, const char *name) {
  for (size_t i = 0; i < list->appended_count; i++)
    if (strcmp(list->appended[i].name, name) == 0) {
      memory_free(list->appended[i].name);
      memory_free(list->appended[i].values);
      memmove(&list->appended[i], &list->appended[i + 1], (--list->appended_count - i) * sizeof *list->appended);
      return 1;
    }
  return 0;
}

double list_log_unit(const qe_list *list) {
  return list->format && strcmp(list->format->name, "fairseq") == 0 ? 0.69314718055994531 : 1;
}

size_t qe_list_token_scores(const qe_list *list, size_t index, double *values, size_t room) {
  size_t count = 0;
  double value;
  qe_text word;
  if (index >= list->count)
    return 0;
  qe_text scores = list_token_scores(&list->candidates[index]);
  for (; list_number(&scores, &word, &value); count++)
    if (count < room)
      values[count] = value;
  return count;
}
