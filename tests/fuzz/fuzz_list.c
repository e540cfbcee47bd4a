/*
** fuzz_list.c - any bytes as the lines of n-best lists. A refused line leaves the list as it was and is named; an
** accepted one is written back byte for byte; with features and a total added, it is read the same way again.
*/
#include "core.h"
#include "demand.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(qe_text a, qe_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_number(double a, double b) {
  return isnan(a) ? isnan(b) : a >= b && a <= b;
}

static bool starts_with(qe_text text, const char *start) {
  return text.size >= strlen(start) && memcmp(text.data, start, strlen(start)) == 0;
}

/* The id, found the naive way: what precedes the first separator. */
static void check_id(qe_text line, qe_text id) {
  const qe_text rest = { line.data + id.size, line.size - id.size };
  demand(same(id, (qe_text){ line.data, id.size }));
  demand(starts_with(rest, " ||| ") || (rest.size == 4 && starts_with(rest, " |||")));
  for (size_t i = 0; i < id.size; i++)
    demand(!starts_with((qe_text){ line.data + i, line.size - i }, " ||| "));
}

static void check_read_again(qe_list *list, size_t index, double total) {
  const double added[2] = { -.375, NAN };
  double value[2];
  qe_list *again = qe_list_new();
  demand(again && qe_list_add(again, qe_list_line(list, index, total), 1) == 1);
  const qe_hypothesis *old = qe_list_get(list, index), *new = qe_list_get(again, 0);
  demand(same(old->id, new->id) && same(old->text, new->text));
  demand(same(old->between, new->between) && same(old->after, new->after));
  demand(same_number(new->total, isnan(total) ? old->total : total));
  demand(old->features.size <= new->features.size);
  demand(same(old->features, (qe_text){ new->features.data, old->features.size }));
  for (size_t i = 0; i < 2; i++) {
    demand(qe_list_feature(again, 0, i ? "B" : "QE0", &value[0], 1) == 1);
    demand(qe_list_feature(list, index, i ? "B" : "QE0", &value[1], 1) == 1);
    demand(same_number(value[0], added[i]) && same_number(value[1], added[i]));
  }
  qe_list_free(again);
}

/* A total alone, before any feature has been added. */
static void check_total(qe_list *list, size_t index) {
  qe_list *again = qe_list_new();
  demand(again && qe_list_add(again, qe_list_line(list, index, -7.5), 1) == 1);
  const qe_hypothesis *old = qe_list_get(list, index), *new = qe_list_get(again, 0);
  demand(same(old->text, new->text) && same(old->between, new->between) && same(old->features, new->features));
  demand(same(old->after, new->after) && same_number(new->total, -7.5));
  qe_list_free(again);
}

static void finish(qe_list *list) {
  double values[2][64];
  for (size_t i = 0; i < 64; i++) {
    values[0][i] = -.375;
    values[1][i] = NAN;
  }
  for (size_t i = 0; i < qe_list_size(list); i++)
    check_total(list, i);
  if (qe_list_append(list, "QE0", values[0]) == QE_OK && qe_list_append(list, "B", values[1]) == QE_OK)
    for (size_t i = 0; i < qe_list_size(list); i++) {
      check_read_again(list, i, NAN);
      check_read_again(list, i, 12);
    }
  qe_list_clear(list);
}

static void take(qe_list *list, qe_text line, size_t number) {
  char name[32];
  const size_t before = qe_list_size(list);
  int status = qe_list_add(list, line, number);
  snprintf(name, sizeof name, "line %zu: ", number);
  demand((status < 0) == (*qe_list_error(list) != '\0'));
  demand(status >= 0 || starts_with(qe_string(qe_list_error(list)), name));
  demand(qe_list_size(list) == before + (status == 1));
  if (status == 1) {
    check_id(line, qe_list_get(list, before)->id);
    demand(same(qe_list_line(list, before, NAN), line));
  }
  if (status == 0 || qe_list_size(list) == 64)
    finish(list);
  if (status == 0)
    demand(before > 0 && qe_list_add(list, line, number) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qe_text rest = { (const char *)data, size };
  qe_list *list = qe_list_new();
  demand(list != NULL);
  for (size_t number = 1; rest.size > 0; number++) {
    const char *end = memchr(rest.data, '\n', rest.size);
    const size_t length = end ? (size_t)(end - rest.data) : rest.size;
    take(list, (qe_text){ rest.data, length }, number);
    rest.data += length + (end != NULL);
    rest.size -= length + (end != NULL);
  }
  finish(list);
  qe_list_free(list);
  return 0;
}
