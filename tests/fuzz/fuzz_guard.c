/*
** fuzz_guard.c - any bytes as languages, guards, source and candidates, one a line; the first candidate is the first
** choice. The first choice and copies of it are allowed; a veto is among the enabled guards and the same when the
** candidate is alone, in other guards.
*/
#include "core.h"
#include "demand.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 16, ALL = (1 << 9) - 1 };

static qe_text take_line(qe_text *rest) {
  const char *end = memchr(rest->data, '\n', rest->size);
  const qe_text line = { rest->data, end ? (size_t)(end - rest->data) : rest->size };
  rest->data += line.size + (end != NULL);
  rest->size -= line.size + (end != NULL);
  return line;
}

static void string_of(qe_text line, char *string, size_t room) {
  const size_t size = line.size < room ? line.size : room - 1;
  memcpy(string, line.data, size);
  string[size] = '\0';
}

static bool same(qe_text a, qe_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void set_languages(qe_guards *guards, const char *codes) {
  char source[64];
  const char *target = strchr(codes, ' ');
  string_of((qe_text){ codes, target ? (size_t)(target - codes) : strlen(codes) }, source, sizeof source);
  demand(qe_guards_languages(guards, source, target ? target + 1 : NULL) == QE_OK);
}

static unsigned parse(qe_guards *guards, const char *text) {
  unsigned bits = 1u << 20;
  const int status = qe_guards_parse(guards, text, &bits);
  demand((status != QE_OK) == (*qe_guards_error(guards) != '\0'));
  demand(status == QE_OK ? bits <= ALL : status == QE_USE && bits == 1u << 20);
  return status == QE_OK ? bits : ALL;
}

static void check_alone(qe_guards *guards, unsigned enabled, qe_text source, qe_text first, qe_text candidate,
                        unsigned expected) {
  const qe_text pair[2] = { candidate, first };
  unsigned vetoes[2];
  demand(qe_guards_check(guards, ALL, source, pair, 2, 1, vetoes) == QE_OK);
  demand(vetoes[1] == 0 && (vetoes[0] & enabled) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qe_text rest = { (const char *)data, size }, candidates[MOST];
  char line[64];
  unsigned vetoes[MOST];
  size_t count = 0;
  qe_guards *guards = qe_guards_new(), *others = qe_guards_new();
  demand(guards && others);
  string_of(take_line(&rest), line, sizeof line);
  set_languages(guards, line);
  set_languages(others, line);
  string_of(take_line(&rest), line, sizeof line);
  const unsigned enabled = parse(guards, line);
  const qe_text source = take_line(&rest);
  do
    candidates[count++] = take_line(&rest);
  while (rest.size > 0 && count < MOST);
  demand(qe_guards_check(guards, enabled, source, candidates, count, 0, vetoes) == QE_OK);
  for (size_t i = 0; i < count; i++) {
    demand((vetoes[i] & ~enabled) == 0);
    demand(vetoes[i] == 0 || !same(candidates[i], candidates[0]));
    check_alone(others, enabled, source, candidates[0], candidates[i], vetoes[i]);
  }
  qe_guards_free(guards);
  qe_guards_free(others);
  return 0;
}
