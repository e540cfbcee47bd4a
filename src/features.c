/*
** features.c - the features of one or more candidates as a sequence of names with values, in the order in which they
** were written. Places of the same name are chained, found by sorting, so that a line of many features stays cheap.
** Values without a name before them have the empty name. WordScores are scores of tokens and no feature here.
*/
#include "format.h"

#include <stdlib.h>

static bool add(struct features *features, struct feature feature) {
  if (!memory_reserve((void **)&features->items, &features->room, features->count + 1, sizeof *features->items))
    return false;
  feature.place = features->count;
  feature.next = SIZE_MAX;
  features->items[features->count++] = feature;
  return true;
}

/* The words up to the next that has a name, the first one without its own. */
static qe_text take_values(qe_text *rest, qe_text first) {
  qe_text values = first, word;
  for (qe_text ahead = *rest; list_word(&ahead, &word) && !memchr(word.data, '=', word.size); *rest = ahead)
    values.size = (size_t)(word.data + word.size - values.data);
  return values;
}

bool features_collect(struct features *features, const qe_list *list, size_t index) {
  qe_text rest = list->candidates[index].hypothesis.features, word;
  while (list_word(&rest, &word)) {
    const char *equals = memchr(word.data, '=', word.size);
    const size_t size = equals ? (size_t)(equals - word.data) : 0;
    const qe_text name = { word.data, size };
    const size_t start = equals ? size + 1 : 0;
    const qe_text values = take_values(&rest, (qe_text){ word.data + start, word.size - start });
    if (!text_is(name, "WordScores") &&
        !add(features, (struct feature){ .name = name, .values = values, .candidate = index }))
      return false;
  }
  for (size_t i = 0; i < list->appended_count; i++)
    if (!add(features, (struct feature){ .name = qe_string(list->appended[i].name),
                                         .value = list->appended[i].values[index],
                                         .candidate = index }))
      return false;
  return true;
}

static int by_name(const void *left, const void *right) {
  const struct feature *a = *(struct feature *const *)left, *b = *(struct feature *const *)right;
  const size_t common = a->name.size < b->name.size ? a->name.size : b->name.size;
  const int order = common > 0 ? memcmp(a->name.data, b->name.data, common) : 0;
  if (order != 0 || a->name.size != b->name.size)
    return order != 0 ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
  return (a->place > b->place) - (a->place < b->place);
}

bool features_chain(struct features *features) {
  struct feature **sorted = memory_new(features->count, sizeof(struct feature *));
  if (!sorted)
    return false;
  for (size_t i = 0; i < features->count; i++)
    sorted[i] = &features->items[i];
  if (features->count > 0)
    qsort(sorted, features->count, sizeof *sorted, by_name);
  for (size_t i = 1; i < features->count; i++)
    if (text_same(sorted[i - 1]->name, sorted[i]->name)) {
      sorted[i - 1]->next = sorted[i]->place;
      sorted[i]->repeated = true;
    }
  memory_free(sorted);
  return true;
}

void features_free(struct features *features) {
  memory_free(features->items);
}
