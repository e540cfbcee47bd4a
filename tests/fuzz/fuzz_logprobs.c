/*
** fuzz_logprobs.c - the input is a file of log-probabilities and, behind the first byte '|', one of tokens. What is
** accepted has the numbers that a walk over the bytes finds, and tokens that fit; what is refused has a fault.
*/
#include "dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* Runs of bytes other than blanks, per line. */
struct walk {
  float *values;
  size_t count, lines, *line_count;
  bool faulty; /* a run is no finite number, or a line has none */
};

static void walk_run(struct walk *walk, const char *run, size_t size) {
  double value = NAN;
  if (size == 0)
    return;
  if (!number_parse((qe_text){ run, size }, &value) || !isfinite((float)value))
    walk->faulty = true;
  walk->values[walk->count++] = (float)value;
  walk->line_count[walk->lines]++;
}

static void walk_line_end(struct walk *walk) {
  if (walk->line_count[walk->lines] == 0)
    walk->faulty = true;
  walk->lines++;
}

static struct walk walk_over(const char *bytes, size_t size) {
  struct walk walk = { malloc((size + 1) * sizeof(float)), 0, 0, calloc(size + 2, sizeof(size_t)), false };
  size_t run = 0, i = size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
  for (run = i; i < size; i++) {
    const bool cut = bytes[i] == '\r' && (i + 1 == size || bytes[i + 1] == '\n');
    if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\n' && !cut)
      continue;
    walk_run(&walk, bytes + run, i - run);
    run = i + 1;
    if (bytes[i] == '\n')
      walk_line_end(&walk);
  }
  walk_run(&walk, bytes + run, size - run);
  if (size > 0 && bytes[size - 1] != '\n' && !(size == 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0))
    walk_line_end(&walk);
  return walk;
}

static void walk_free(struct walk *walk) {
  free(walk->values);
  free(walk->line_count);
}

static void check_values(const struct logprobs *found, const struct walk *expected) {
  check(found->lines == expected->lines && found->count == expected->count, "other counts");
  check(found->count == 0 || memcmp(found->values, expected->values, found->count * sizeof(float)) == 0, "values");
  check(found->offset[0] == 0, "offsets");
  for (size_t i = 0; i < found->lines; i++)
    check(found->offset[i + 1] - found->offset[i] == expected->line_count[i], "counts of a line");
}

static bool tokens_fit(const struct walk *logprobs, const struct walk *tokens) {
  if (logprobs->lines != tokens->lines)
    return false;
  for (size_t i = 0; i < tokens->lines; i++)
    if (logprobs->line_count[i] != tokens->line_count[i] + 1)
      return false;
  return true;
}

static void check_tokens(const struct logprobs *found, const struct walk *expected, const char *bytes,
                         size_t size) {
  struct error error = { 0 };
  struct walk tokens = walk_over(bytes, size);
  const int status = logprobs_check(found, "numbers", (qe_text){ bytes, size }, "tokens", &error);
  check((status == QE_OK) == tokens_fit(expected, &tokens), "tokens accepted or refused without reason");
  check((status == QE_OK) == (error.text[0] == '\0'), "a status without words");
  walk_free(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  const char *bar = size > 0 ? memchr(bytes, '|', size) : NULL;
  const size_t first = bar ? (size_t)(bar - bytes) : size;
  struct logprobs found;
  struct error error = { 0 };
  struct walk expected = walk_over(bytes, first);
  const int status = logprobs_parse(&found, (qe_text){ bytes, first }, "numbers", &error);
  check((status == QE_OK) == !expected.faulty, "accepted or refused without reason");
  check((status == QE_OK) == (error.text[0] == '\0'), "a status without words");
  if (status == QE_OK)
    check_values(&found, &expected);
  if (status == QE_OK && bar)
    check_tokens(&found, &expected, bar + 1, size - first - 1);
  logprobs_free(&found);
  walk_free(&expected);
  return 0;
}
