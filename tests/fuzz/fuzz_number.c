/*
** fuzz_number.c - any bytes as a number: accepted where a regular expression matches, with the value of strtod, and
** printed so that the same value is read again.
*/
#include "core.h"

#include <math.h>
#include <regex.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool matches(const char *text) {
  regex_t expression;
  if (regcomp(&expression, "^[-+]?(([0-9]+[.]?[0-9]*|[.][0-9]+)(e[-+]?[0-9]+)?|nan|inf|infinity)$",
              REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0)
    abort();
  bool found = regexec(&expression, text, 0, NULL, 0) == 0;
  regfree(&expression);
  return found;
}

static bool same(double a, double b) {
  return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check_print(double value) {
  char text[40];
  double again;
  int size = number_print(text, sizeof text, value, 17);
  if (size < 1 || !number_parse((qe_text){ text, (size_t)size }, &again) || !same(value, again))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = calloc(size + 1, 1);
  if (!text)
    abort();
  if (size > 0)
    memcpy(text, data, size);
  double value = 0;
  const bool accepted = number_parse((qe_text){ (const char *)data, size }, &value);
  const bool expected = strlen(text) == size && matches(text);
  if (accepted != expected || (accepted && !same(value, strtod(text, NULL))))
    abort();
  if (accepted)
    check_print(value);
  if (size == sizeof value) {
    memcpy(&value, data, size);
    check_print(value);
  }
  free(text);
  return 0;
}
