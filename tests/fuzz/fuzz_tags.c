/*
** fuzz_tags.c - the input is a file of tokens and, behind the first byte '|', one of tags, for three rows. What is accepted
** has in each row a tag for every token, or for every gap, too, as a walk over the bytes finds; what is refused has not.
*/
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 3 };

static void check(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* Tokens of the first lines, and whether all are OK or BAD; lines are counted to the end. */
struct walk {
  size_t lines, tokens[ROWS];
  bool tags, bad[ROWS][64];
};

static void walk_token(struct walk *walk, const char *token, size_t size) {
  const size_t line = walk->lines;
  const bool bad = size == 3 && memcmp(token, "BAD", 3) == 0;
  if (size == 0 || line >= ROWS)
    return;
  walk->tags &= bad || (size == 2 && memcmp(token, "OK", 2) == 0);
  if (walk->tokens[line] < 64)
    walk->bad[line][walk->tokens[line]] = bad;
  walk->tokens[line]++;
}

static struct walk walk_over(const char *bytes, size_t size) {
  struct walk walk = { .tags = true };
  size_t i = size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, begin = i;
  const bool any = size > i;
  for (; i < size; i++) {
    if (bytes[i] != ' ' && !(bytes[i] >= '\t' && bytes[i] <= '\r'))
      continue;
    walk_token(&walk, bytes + begin, i - begin);
    begin = i + 1;
    walk.lines += bytes[i] == '\n';
  }
  walk_token(&walk, bytes + begin, size - begin);
  walk.lines += any && bytes[size - 1] != '\n';
  return walk;
}

static bool fits(const struct walk *tokens, const struct walk *tags) {
  if (tokens->lines != ROWS || tags->lines != ROWS || !tags->tags)
    return false;
  for (size_t i = 0; i < ROWS; i++)
    if (tags->tokens[i] != tokens->tokens[i] && tags->tokens[i] != 2 * tokens->tokens[i] + 1)
      return false;
  return true;
}

static void check_row(const qe_dataset *data, size_t number, const struct walk *tokens, const struct walk *tags) {
  const struct row *row = &data->rows[number];
  const bool gaps = tags->tokens[number] > tokens->tokens[number];
  check(row->tag_count == tokens->tokens[number], "other counts");
  for (size_t i = 0; i < row->tag_count && 2 * i + 1 < 64; i++)
    check(data->bytes[row->tokens + row->tokens_size + i] == tags->bad[number][gaps ? 2 * i + 1 : i],
          "another tag");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const char *start = (const char *)bytes, *bar = size > 0 ? memchr(bytes, '|', size) : NULL;
  const size_t first = bar ? (size_t)(bar - start) : size;
  const struct tagged_text text = {
    "tokens", "tags", { start, first }, { bar ? bar + 1 : start, bar ? size - first - 1 : 0 }
  };
  const struct walk tokens = walk_over(text.tokens.data, text.tokens.size),
                    tags = walk_over(text.tags.data, text.tags.size);
  const qe_pair pair = { qe_string("ka"), qe_string("ka"), NULL, 0 };
  struct error error = { 0 };
  qe_dataset *data = qe_dataset_new();
  for (size_t i = 0; i < ROWS; i++)
    check(qe_dataset_append(data, &pair) == QE_OK, "append");
  const int status = tags_parse(data, &text, 0, &error);
  check((status == QE_OK) == fits(&tokens, &tags), "accepted or refused without reason");
  check((status == QE_OK) == (error.text[0] == '\0'), "a status without words");
  for (size_t i = 0; i < ROWS; i++)
    if (status == QE_OK)
      check_row(data, i, &tokens, &tags);
    else
      check(data->rows[i].tag_count == 0, "tags after an error");
  qe_dataset_free(data);
  return 0;
}
