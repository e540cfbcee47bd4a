/*
** options.c - the options of a handle: lines "key=value". An unknown key or a value that makes no sense is refused by
** name, because a decoder that runs for weeks with a misspelt option is worse than one that does not start.
*/
#include "plugin.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static bool refuse(char *error, size_t size, int line, const char *text, const char *expected) {
  snprintf(error, size, "options:%d: \"%.80s\", expected %s", line, text, expected);
  return false;
}

/* Where a key's text goes; NULL: the key is none of these. */
static char **text_of(struct options *options, const char *key) {
  const struct {
    const char *key;
    char **text;
  } keys[] = {
    { "model", &options->model },         { "weights", &options->weights },     { "guards", &options->guards },
    { "languages", &options->languages }, { "strip", &options->strip },         { "format", &options->format },
    { "source", &options->source },       { "source_by", &options->source_by }, { "output", &options->output },
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(keys[i].key, key) == 0)
      return keys[i].text;
  return NULL;
}

static bool read_number(const char *text, double least, double *value) {
  char *end;
  errno = 0;
  *value = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*value) && *value >= least && *value <= 1e9;
}

static bool read_count(const char *text, size_t *count) {
  double value;
  if (!read_number(text, 1, &value) || value != floor(value))
    return false;
  *count = (size_t)value;
  return true;
}

static bool read_tokens(const char *text, enum token_kind *kind) {
  static const char *const names[] = { "auto", "sentencepiece", "bpe", "plain" };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], text) == 0) {
      *kind = (enum token_kind)i;
      return true;
    }
  return false;
}

static bool one_of(const char *value, const char *first, const char *second) {
  return strcmp(value, first) == 0 || strcmp(value, second) == 0;
}

static bool set_text(char **text, const char *key, const char *value, int line, char *error, size_t size) {
  if (strcmp(key, "source_by") == 0 && !one_of(value, "id", "order"))
    return refuse(error, size, line, value, "source_by=id or order");
  if (strcmp(key, "output") == 0 && !one_of(value, "best", "nbest"))
    return refuse(error, size, line, value, "output=best or nbest");
  free(*text);
  *text = strdup(value);
  if (!*text)
    snprintf(error, size, "out of memory");
  return *text != NULL;
}

static bool set(struct options *options, const char *key, const char *value, int line, char *error, size_t size) {
  char **text = text_of(options, key);
  if (text)
    return set_text(text, key, value, line, error, size);
  if (strcmp(key, "max_hypotheses") == 0)
    return read_count(value, &options->max_hypotheses) || refuse(error, size, line, value, "a count from 1 on");
  if (strcmp(key, "per_source") == 0)
    return read_count(value, &options->per_source) || refuse(error, size, line, value, "a count from 1 on");
  if (strcmp(key, "deadline_ms") == 0)
    return read_number(value, 0, &options->deadline_ms) || refuse(error, size, line, value, "milliseconds");
  if (strcmp(key, "tokens") == 0)
    return read_tokens(value, &options->tokens) ||
           refuse(error, size, line, value, "tokens=auto, sentencepiece, bpe or plain");
  return refuse(error, size, line, key,
                "one of model, weights, guards, languages, max_hypotheses, deadline_ms, tokens, strip, format, "
                "per_source, source, source_by, output");
}

/* One line, ended by NUL, which is changed. */
static bool parse_line(struct options *options, char *line, int number, char *error, size_t size) {
  line[strcspn(line, "\r")] = '\0';
  line += strspn(line, " \t");
  if (*line == '\0' || *line == '#')
    return true;
  char *equals = strchr(line, '=');
  if (!equals)
    return refuse(error, size, number, line, "key=value");
  *equals = '\0';
  return set(options, line, equals + 1, number, error, size);
}

bool options_parse(struct options *options, const char *text, char *error, size_t size) {
  *options = (struct options){ .max_hypotheses = 1000 };
  char *copy = strdup(text ? text : ""), *line = copy;
  if (!copy)
    snprintf(error, size, "out of memory");
  bool whole = copy != NULL;
  for (int number = 1; whole && line; number++) {
    char *next = strchr(line, '\n');
    if (next)
      *next++ = '\0';
    whole = parse_line(options, line, number, error, size);
    line = next;
  }
  free(copy);
  if (!whole)
    options_clear(options);
  return whole;
}

void options_clear(struct options *options) {
  char *const texts[] = { options->model,  options->weights, options->guards,    options->languages, options->strip,
                          options->format, options->source,  options->source_by, options->output };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    free(texts[i]);
  *options = (struct options){ .max_hypotheses = 0 };
}
