/*
** fusion.c - the weighted sum of features that decides the order of a list. Weights are names with one weight per
** value; "total" stands for the decoder's total. Equal sums keep the decoder's order and a sum that is not a number
** comes last. A list in which nothing has a total keeps its order under "total". "first" is 1 for the decoder's first
** choice where totals differ: its weight is the margin by which another candidate must be better.
*/
#include "list.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_VALUES = 1000 }; /* of one feature */

struct weight {
  char *name;
  double *values;
  size_t count;
};

struct qe_weights {
  struct error error;
  struct weight *items;
  size_t count, room;
};

qe_weights *qe_weights_new(void) {
  return memory_new(1, sizeof(qe_weights));
}

static void weights_clear(qe_weights *weights) {
  for (size_t i = 0; i < weights->count; i++) {
    memory_free(weights->items[i].name);
    memory_free(weights->items[i].values);
  }
  weights->count = 0;
}

void qe_weights_free(qe_weights *weights) {
  if (!weights)
    return;
  weights_clear(weights);
  memory_free(weights->items);
  memory_free(weights);
}

const char *qe_weights_error(const qe_weights *weights) {
  return weights->error.text;
}

size_t qe_weights_count(const qe_weights *weights) {
  return weights->count;
}

const char *qe_weights_name(const qe_weights *weights, size_t number) {
  return number < weights->count ? weights->items[number].name : NULL;
}

const double *qe_weights_values(const qe_weights *weights, size_t number, size_t *count) {
  *count = number < weights->count ? weights->items[number].count : 0;
  return number < weights->count ? weights->items[number].values : NULL;
}

/* ---- setting ---- */

static struct weight *weights_find(const qe_weights *weights, const char *name) {
  for (size_t i = 0; i < weights->count; i++)
    if (strcmp(weights->items[i].name, name) == 0)
      return &weights->items[i];
  return NULL;
}

static int weights_add(qe_weights *weights, const char *name, const double *values, size_t count) {
  struct weight item = { memory_grow(NULL, strlen(name) + 1, 1), memory_new(count, sizeof *values), count };
  if (!item.name || !item.values ||
      !memory_reserve((void **)&weights->items, &weights->room, weights->count + 1, sizeof *weights->items)) {
    memory_free(item.name);
    memory_free(item.values);
    return error_memory(&weights->error);
  }
  memcpy(item.name, name, strlen(name) + 1);
  memcpy(item.values, values, count * sizeof *values);
  weights->items[weights->count++] = item;
  return QE_OK;
}

int qe_weights_set(qe_weights *weights, const char *name, const double *values, size_t count) {
  error_clear(&weights->error);
  if (count == 0 || count > MOST_VALUES)
    return error_set(&weights->error, QE_USE, "%zu weights of %.60s, expected 1 to %d", count, name, MOST_VALUES);
  for (size_t i = 0; i < count; i++)
    if (!isfinite(values[i]))
      return error_set(&weights->error, QE_USE, "weight of %.60s is not finite", name);
  struct weight *item = weights_find(weights, name);
  if (!item)
    return weights_add(weights, name, values, count);
  double *copy = memory_new(count, sizeof *copy);
  if (!copy)
    return error_memory(&weights->error);
  memcpy(copy, values, count * sizeof *copy);
  memory_free(item->values);
  item->values = copy;
  item->count = count;
  return QE_OK;
}

/* ---- reading ---- */

static int parsed(qe_weights *weights, const char *origin, size_t line, const char *name, const double *values,
                  size_t count) {
  if (count == 0)
    return error_set(&weights->error, QE_FORMAT, "%s:%zu: %.60s has no weight", origin, line, name);
  for (size_t i = 0; i < count; i++)
    if (!isfinite(values[i]))
      return error_set(&weights->error, QE_FORMAT, "%s:%zu: a weight of %.60s is not finite", origin, line, name);
  if (weights_find(weights, name))
    return error_set(&weights->error, QE_FORMAT, "%s:%zu: %.60s is named twice", origin, line, name);
  return weights_add(weights, name, values, count);
}

static int parse_json_value(qe_weights *weights, const char *origin, const char *name, const json_t *value) {
  double values[MOST_VALUES];
  const size_t count = json_is_array(value) ? json_array_size(value) : 1;
  if (count > MOST_VALUES)
    return error_set(&weights->error, QE_FORMAT, "%s: %.60s has %zu weights", origin, name, count);
  for (size_t i = 0; i < count; i++) {
    const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
    if (!json_is_number(item))
      return error_set(&weights->error, QE_FORMAT, "%s: %.60s: neither a number nor an array of numbers", origin,
                       name);
    values[i] = json_number_value(item);
  }
  return parsed(weights, origin, 1, name, values, count);
}

static int parse_json(qe_weights *weights, qe_text text, const char *origin) {
  json_error_t reason;
  const char *name;
  json_t *value, *object = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &reason);
  if (!object)
    return error_set(&weights->error, QE_FORMAT, "%s:%d: %s", origin, reason.line, reason.text);
  json_object_foreach(object, name, value) {
    if (parse_json_value(weights, origin, name, value) != QE_OK)
      break;
  }
  json_decref(object);
  return weights->error.status;
}

/* "Name= v v" */
static int parse_moses_line(qe_weights *weights, qe_text line, const char *origin, size_t number) {
  double values[MOST_VALUES];
  char name[256];
  size_t count = 0;
  qe_text word;
  list_word(&line, &word);
  const char *equals = memchr(word.data, '=', word.size);
  const size_t size = equals ? (size_t)(equals - word.data) : 0;
  if (size == 0 || size >= sizeof name || memchr(word.data, '\0', size))
    return error_set(&weights->error, QE_FORMAT, "%s:%zu: \"%.*s\", expected Name= weight ...", origin, number,
                     text_width(word), word.data);
  memcpy(name, word.data, size);
  name[size] = '\0';
  word = (qe_text){ equals + 1, word.size - size - 1 };
  do {
    if (word.size == 0)
      continue;
    if (count == MOST_VALUES || !number_parse(word, &values[count]))
      return error_set(&weights->error, QE_FORMAT, "%s:%zu: \"%.*s\" is not a weight", origin, number,
                       text_width(word), word.data);
    count++;
  } while (list_word(&line, &word));
  return parsed(weights, origin, number, name, values, count);
}

static qe_text trimmed(qe_text line) {
  const char *comment = memchr(line.data, '#', line.size);
  if (comment)
    line.size = (size_t)(comment - line.data);
  while (line.size > 0 &&
         (line.data[line.size - 1] == ' ' || line.data[line.size - 1] == '\t' || line.data[line.size - 1] == '\r'))
    line.size--;
  while (line.size > 0 && (*line.data == ' ' || *line.data == '\t')) {
    line.data++;
    line.size--;
  }
  return line;
}

static int parse_moses(qe_weights *weights, qe_text text, const char *origin) {
  bool inside = false, found = false;
  for (size_t number = 1; text.size > 0; number++) {
    const char *end = memchr(text.data, '\n', text.size);
    const size_t size = end ? (size_t)(end - text.data) : text.size;
    const qe_text line = trimmed((qe_text){ text.data, size });
    text.data += size + (end != NULL);
    text.size -= size + (end != NULL);
    if (line.size > 0 && *line.data == '[') {
      inside = text_is(line, "[weight]");
      found = found || inside;
    } else if (inside && line.size > 0 && parse_moses_line(weights, line, origin, number) != QE_OK) {
      return weights->error.status;
    }
  }
  return found ? QE_OK : error_set(&weights->error, QE_FORMAT, "%s: neither JSON nor a file with [weight]", origin);
}

int qe_weights_parse(qe_weights *weights, qe_text text, const char *origin) {
  error_clear(&weights->error);
  weights_clear(weights);
  size_t first = 0;
  while (first < text.size && strchr(" \t\r\n", text.data[first]) && text.data[first])
    first++;
  const bool json = first < text.size && text.data[first] == '{';
  int status = json ? parse_json(weights, text, origin) : parse_moses(weights, text, origin);
  if (status != QE_OK)
    weights_clear(weights);
  return status;
}

/* ---- ranking ---- */

static bool any_total(const qe_list *list) {
  for (size_t i = 0; i < list->count; i++)
    if (!isnan(list->candidates[i].hypothesis.total))
      return true;
  return false;
}

static int add_feature(qe_list *list, const struct weight *weight, size_t index, double *sum) {
  double values[MOST_VALUES];
  const struct candidate *candidate = &list->candidates[index];
  const size_t count = qe_list_feature(list, index, weight->name, values, MOST_VALUES);
  if (count == 0)
    return error_set(&list->error, QE_FORMAT, "line %zu has no feature %.60s", candidate->number, weight->name);
  if (count != weight->count)
    return error_set(&list->error, QE_FORMAT, "line %zu: %.60s has %zu values, there are %zu weights for it",
                     candidate->number, weight->name, count, weight->count);
  for (size_t i = 0; i < count; i++)
    *sum += weight->values[i] * values[i];
  return QE_OK;
}

int qe_list_totals_differ(const qe_list *list) {
  for (size_t i = 1; i < list->count; i++) {
    const double a = list->candidates[0].hypothesis.total, b = list->candidates[i].hypothesis.total;
    if (a < b || a > b || isnan(a) != isnan(b))
      return 1;
  }
  return 0;
}

/* What "total" and "first" depend on, besides the candidate. */
struct decoder {
  bool totals, differ;
};

/* Those two stand for no feature of the line; false for other names. */
static bool decoder_feature(const qe_list *list, struct decoder decoder, const char *name, size_t index,
                            double *value) {
  if (strcmp(name, "total") == 0)
    *value = decoder.totals ? list->candidates[index].hypothesis.total : 0;
  else if (strcmp(name, "first") == 0)
    *value = index == 0 && decoder.differ;
  else
    return false;
  return true;
}

/* Adds what one weight contributes. */
static int contribute(qe_list *list, const struct weight *weight, struct decoder decoder, size_t index,
                      double *sum) {
  double value;
  if (!decoder_feature(list, decoder, weight->name, index, &value))
    return add_feature(list, weight, index, sum);
  if (weight->count != 1)
    return error_set(&list->error, QE_FORMAT, "the %s is one value, there are %zu weights for it", weight->name,
                     weight->count);
  *sum += weight->values[0] * value;
  return QE_OK;
}

static int weighted_sum(qe_list *list, const qe_weights *weights, struct decoder decoder, size_t index,
                        double *sum) {
  *sum = 0;
  for (size_t i = 0; i < weights->count; i++)
    if (contribute(list, &weights->items[i], decoder, index, sum) != QE_OK)
      return list->error.status;
  return QE_OK;
}

int qe_list_contributions(qe_list *list, const qe_weights *weights, size_t index, double *contributions) {
  error_clear(&list->error);
  if (index >= list->count)
    return error_set(&list->error, QE_USE, "candidate %zu of %zu", index, list->count);
  const struct decoder decoder = { any_total(list), qe_list_totals_differ(list) };
  for (size_t i = 0; i < weights->count; i++) {
    contributions[i] = 0;
    if (contribute(list, &weights->items[i], decoder, index, &contributions[i]) != QE_OK)
      return list->error.status;
  }
  return QE_OK;
}

struct ranked {
  double sum;
  size_t index;
};

static int best_first(const void *left, const void *right) {
  const struct ranked *a = left, *b = right;
  if (isnan(a->sum) != isnan(b->sum))
    return isnan(a->sum) ? 1 : -1;
  if (a->sum > b->sum || a->sum < b->sum)
    return a->sum > b->sum ? -1 : 1;
  return (a->index > b->index) - (a->index < b->index);
}

int qe_list_rank(qe_list *list, const qe_weights *weights, size_t *order, double *totals) {
  error_clear(&list->error);
  struct ranked *ranked = memory_new(list->count, sizeof *ranked);
  if (!ranked)
    return error_memory(&list->error);
  const struct decoder decoder = { any_total(list), qe_list_totals_differ(list) };
  for (size_t i = 0; i < list->count && list->error.status == QE_OK; i++) {
    ranked[i].index = i;
    weighted_sum(list, weights, decoder, i, &ranked[i].sum);
  }
  if (list->error.status == QE_OK) {
    for (size_t i = 0; totals && i < list->count; i++)
      totals[i] = ranked[i].sum;
    qsort(ranked, list->count, sizeof *ranked, best_first);
    for (size_t i = 0; i < list->count; i++)
      order[i] = ranked[i].index;
  }
  memory_free(ranked);
  return list->error.status;
}
