/*
** fuzz_feature_weights.c - any bytes as a file of feature weights. Moses files are read by a naive twin too: both accept
** the same files, and the weights that the twin found rank a made-up candidate to the very sum that it expects.
*/
#include "core.h"
#include "demand.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the twin: byte by byte, weights are kept in a fixed table ---- */

enum { MOST_NAMES = 64, MOST_VALUES = 1000, NAME = 256 };

struct twin {
  char name[MOST_NAMES][NAME];
  double values[MOST_NAMES][MOST_VALUES];
  size_t counts[MOST_NAMES], names;
  bool inside, found, refused, full; /* full: more names than the twin has room for */
};

static bool blank(char c) {
  return c == ' ' || c == '\t';
}

static void twin_values(struct twin *twin, const char *at, const char *end) {
  double *values = twin->values[twin->names];
  size_t count = 0;
  while (at < end) {
    const char *word = at;
    while (at < end && !blank(*at))
      at++;
    const bool read =
        at == word || (count < MOST_VALUES && number_parse((qe_text){ word, (size_t)(at - word) }, &values[count]));
    twin->refused |= !read || (at > word && !isfinite(values[count]));
    if (twin->refused)
      return;
    count += at > word;
    at += at < end;
  }
  twin->counts[twin->names] = count;
  twin->refused |= count == 0;
}

static void twin_weight(struct twin *twin, const char *start, const char *end) {
  const char *equals = start;
  while (equals < end && *equals != '=' && *equals != '\0' && !blank(*equals))
    equals++;
  const size_t size = (size_t)(equals - start);
  if (equals == end || *equals != '=' || size == 0 || size >= NAME) {
    twin->refused = true;
    return;
  }
  char *name = twin->name[twin->names];
  memcpy(name, start, size);
  name[size] = '\0';
  for (size_t i = 0; i < twin->names; i++)
    twin->refused |= strcmp(name, twin->name[i]) == 0;
  twin_values(twin, equals + 1, end);
  twin->names++;
}

static void twin_line(struct twin *twin, const char *start, const char *end) {
  for (const char *at = start; at < end; at++)
    if (*at == '#')
      end = at;
  while (end > start && (blank(end[-1]) || end[-1] == '\r'))
    end--;
  while (start < end && blank(*start))
    start++;
  if (start < end && *start == '[') {
    twin->inside = end - start == 8 && memcmp(start, "[weight]", 8) == 0;
    twin->found |= twin->inside;
  } else if (twin->inside && start < end) {
    if (twin->names == MOST_NAMES)
      twin->full = true;
    else
      twin_weight(twin, start, end);
  }
}

static void twin_read(struct twin *twin, qe_text text) {
  const char *start = text.data, *end = text.data + text.size;
  *twin = (struct twin){ 0 };
  while (start < end && !twin->refused && !twin->full) {
    const char *line = start;
    while (start < end && *start != '\n')
      start++;
    twin_line(twin, line, start);
    start += start < end;
  }
  twin->refused |= !twin->found && !twin->full;
}

/* ---- comparison ---- */

/* A candidate with every feature of the twin: the values 1, 2, 3, 1, 2, 3, ... */
static char *candidate_line(const struct twin *twin) {
  size_t size = 64;
  for (size_t i = 0; i < twin->names; i++)
    size += strlen(twin->name[i]) + 2 + 2 * twin->counts[i];
  char *line = malloc(size), *at = line;
  demand(line != NULL);
  at += sprintf(at, "0 ||| a ||| ");
  for (size_t i = 0; i < twin->names; i++) {
    at += sprintf(at, "%s=", twin->name[i]);
    for (size_t j = 0; j < twin->counts[i]; j++)
      at += sprintf(at, " %zu", j % 3 + 1);
    *at++ = ' ';
  }
  sprintf(at, "||| 2");
  return line;
}

static double expected_sum(const struct twin *twin) {
  double sum = 0;
  for (size_t i = 0; i < twin->names; i++)
    for (size_t j = 0; j < twin->counts[i]; j++)
      sum += twin->values[i][j] * (strcmp(twin->name[i], "total") == 0 ? 2 : (double)(j % 3 + 1));
  return sum;
}

/* Names that a list would not read as labels ("0-1", "|||", "WordScores") cannot be compared through a list. */
static bool comparable(const struct twin *twin, const qe_list *list) {
  for (size_t i = 0; i < twin->names; i++) {
    const bool total = strcmp(twin->name[i], "total") == 0;
    if (total ? twin->counts[i] != 1 : qe_list_feature(list, 0, twin->name[i], NULL, 0) != twin->counts[i])
      return false;
  }
  return true;
}

static void compare(const struct twin *twin, const qe_weights *weights) {
  size_t order;
  double total;
  char *line = candidate_line(twin);
  qe_list *list = qe_list_new();
  demand(list != NULL);
  if (qe_list_add(list, qe_string(line), 1) == 1 && comparable(twin, list)) {
    demand(qe_list_rank(list, weights, &order, &total) == QE_OK && order == 0);
    const double expected = expected_sum(twin);
    demand((total >= expected && total <= expected) || (isnan(total) && isnan(expected)));
  }
  qe_list_free(list);
  free(line);
}

/* Whatever the bytes were, the object can be used: it holds all weights or none. */
static void check_use(qe_weights *weights, int status) {
  size_t order;
  double total;
  qe_list *list = qe_list_new();
  demand(list && qe_list_add(list, qe_string("0 ||| a ||| QE0= 1 F0= 2 ||| 3"), 1) == 1);
  const int ranked = qe_list_rank(list, weights, &order, &total);
  demand(ranked == QE_OK ? order == 0 : *qe_list_error(list) != '\0');
  demand(status == QE_OK || (ranked == QE_OK && fabs(total) <= 0));
  qe_list_free(list);
}

static bool is_json(qe_text text) {
  size_t first = 0;
  while (first < text.size && (blank(text.data[first]) || text.data[first] == '\r' || text.data[first] == '\n'))
    first++;
  return first < text.size && text.data[first] == '{';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const qe_text text = { (const char *)data, size };
  struct twin *twin = malloc(sizeof *twin);
  qe_weights *weights = qe_weights_new();
  demand(weights && twin);
  const int status = qe_weights_parse(weights, text, "origin");
  const char *message = qe_weights_error(weights);
  demand(status == QE_OK ? *message == '\0' : strncmp(message, "origin:", 7) == 0);
  check_use(weights, status);
  if (!is_json(text)) {
    twin_read(twin, text);
    demand(twin->full || twin->refused == (status != QE_OK));
    if (status == QE_OK && !twin->full)
      compare(twin, weights);
  }
  qe_weights_free(weights);
  free(twin);
  return 0;
}
