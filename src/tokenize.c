/*
** tokenize.c - bytes -> code points -> words as the reference metrics count them. A tokenizer is a row of passes, each
** of which reads one array of code points and writes another with spaces put in, as the regular expressions that
** define it do, one after the other, matches from left to right without overlap; what is then between white space is
** a token. Invariant: a pass writes at most three code points for one, so that room is made once. The file normalises
** nothing and knows no language; Unicode categories are those of utf8proc.
*/
#include "reference.h"
#include "text.h"

#include <utf8proc.h>

enum { REPLACEMENT = 0xfffd };

bool point_is_space(uint32_t point) {
  if (point < 0x80)
    return point == ' ' || (point >= 0x9 && point <= 0xd) || (point >= 0x1c && point <= 0x1f);
  return point == 0x85 || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
         point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

int points_decode(struct symbols *points, qe_text text) {
  points->count = 0;
  if (text.size >= UINT32_MAX || !symbols_reserve(points, text.size + 1))
    return QE_MEMORY;
  for (size_t at = 0; at < text.size;) {
    int32_t point;
    at += utf8_decode(text.data + at, text.size - at, &point);
    points->items[points->count++] = point == UTF8_BAD ? REPLACEMENT : (uint32_t)point;
  }
  return QE_OK;
}

bool points_word(const struct symbols *points, size_t *begin, size_t *at) {
  while (*at < points->count && point_is_space(points->items[*at]))
    ++*at;
  *begin = *at;
  while (*at < points->count && !point_is_space(points->items[*at]))
    ++*at;
  return *begin < *at;
}

bool word_number(struct trie *spelling, const uint32_t *points, size_t count, bool learn, uint32_t *number) {
  *number = 0;
  for (size_t i = 0; i < count; i++) {
    *number = learn ? trie_add(spelling, *number, points[i]) : trie_find(spelling, *number, points[i]);
    if (*number == 0)
      return !learn;
  }
  return true;
}

int words_number(struct trie *spelling, const struct symbols *points, bool learn, struct symbols *numbers) {
  size_t begin, at = 0;
  numbers->count = 0;
  if (!symbols_reserve(numbers, points->count / 2 + 1))
    return QE_MEMORY;
  while (points_word(points, &begin, &at))
    if (!word_number(spelling, points->items + begin, at - begin, learn, &numbers->items[numbers->count++]))
      return QE_MEMORY;
  return QE_OK;
}

/* ---- passes ---- */

struct passes {
  struct symbols *from, *to;
  bool failed; /* memory is out: nothing happens any more */
};

static bool pass_begin(struct passes *passes) {
  size_t need;
  passes->to->count = 0;
  passes->failed = passes->failed || __builtin_mul_overflow(passes->from->count + 1, (size_t)3, &need) ||
                   !symbols_reserve(passes->to, need);
  return !passes->failed;
}

static void pass_put(struct passes *passes, uint32_t point) {
  passes->to->items[passes->to->count++] = point;
}

static void pass_end(struct passes *passes) {
  struct symbols *done = passes->to;
  passes->to = passes->from;
  passes->from = done;
}

static bool starts_with(const struct symbols *points, size_t at, const char *what, size_t size) {
  if (points->count - at < size)
    return false;
  for (size_t i = 0; i < size; i++)
    if (points->items[at + i] != (unsigned char)what[i])
      return false;
  return true;
}

static void pass_replace(struct passes *passes, const char *what, const char *with) {
  const size_t size = strlen(what);
  if (!pass_begin(passes))
    return;
  for (size_t i = 0; i < passes->from->count;)
    if (starts_with(passes->from, i, what, size)) {
      for (const char *c = with; *c; c++)
        pass_put(passes, (unsigned char)*c);
      i += size;
    } else {
      pass_put(passes, passes->from->items[i++]);
    }
  pass_end(passes);
}

typedef bool point_class(uint32_t point);

/* Spaces on both sides of every code point of the class. */
static void pass_apart(struct passes *passes, point_class *class) {
  if (!pass_begin(passes))
    return;
  for (size_t i = 0; i < passes->from->count; i++) {
    const uint32_t point = passes->from->items[i];
    const bool apart = class(point);
    if (apart)
      pass_put(passes, ' ');
    pass_put(passes, point);
    if (apart)
      pass_put(passes, ' ');
  }
  pass_end(passes);
}

/* Pairs of the two classes get a space in between, and one before (which: -1) or behind (1) them. */
static void pass_pairs(struct passes *passes, point_class *first, point_class *second, int outside) {
  if (!pass_begin(passes))
    return;
  const struct symbols *from = passes->from;
  for (size_t i = 0; i < from->count; i++) {
    if (i + 1 == from->count || !first(from->items[i]) || !second(from->items[i + 1])) {
      pass_put(passes, from->items[i]);
      continue;
    }
    if (outside < 0)
      pass_put(passes, ' ');
    pass_put(passes, from->items[i++]);
    pass_put(passes, ' ');
    pass_put(passes, from->items[i]);
    if (outside > 0)
      pass_put(passes, ' ');
  }
  pass_end(passes);
}

static void pass_surround(struct passes *passes) {
  if (!pass_begin(passes))
    return;
  pass_put(passes, ' ');
  for (size_t i = 0; i < passes->from->count; i++)
    pass_put(passes, passes->from->items[i]);
  pass_put(passes, ' ');
  pass_end(passes);
}

static void strip_right(struct passes *passes) {
  struct symbols *points = passes->from;
  while (points->count > 0 && point_is_space(points->items[points->count - 1]))
    points->count--;
}

/* ---- classes ---- */

static bool is_digit(uint32_t point) {
  return point >= '0' && point <= '9';
}

static bool is_no_digit(uint32_t point) {
  return !is_digit(point);
}

static bool is_stop(uint32_t point) {
  return point == '.' || point == ',';
}

static bool is_hyphen(uint32_t point) {
  return point == '-';
}

/* ASCII that is neither letter nor digit nor one of ' , - . */
static bool is_mark(uint32_t point) {
  return (point >= '{' && point <= '~') || (point >= '[' && point <= '`') || (point >= ' ' && point <= '&') ||
         (point >= '(' && point <= '+') || (point >= ':' && point <= '@') || point == '/';
}

static bool is_chinese(uint32_t point) {
  static const uint32_t ranges[][2] = {
    { 0x2001, 0x2a6d }, /* not Chinese, but what sacreBLEU's "\u20000" to "\u2a6d6" come to in Python */
    { 0x2e80, 0x2eff }, { 0x2f00, 0x2fdf }, { 0x2ff0, 0x303f }, { 0x3100, 0x312f }, { 0x31a0, 0x31bf },
    { 0x31c0, 0x31ef }, { 0x3200, 0x33ff }, { 0x3400, 0x4db5 }, { 0x4e00, 0x9fbb }, { 0xf900, 0xfa2d },
    { 0xfa30, 0xfa6a }, { 0xfa70, 0xfad9 }, { 0xfe10, 0xfe1f }, { 0xfe30, 0xfe4f }, { 0xff00, 0xffef },
  };
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges && point >= ranges[i][0]; i++)
    if (point <= ranges[i][1])
      return true;
  return false;
}

static bool is_anything(uint32_t point) {
  (void)point;
  return true;
}

static bool category_between(uint32_t point, utf8proc_category_t first, utf8proc_category_t last) {
  const utf8proc_category_t category = utf8proc_category((int32_t)point);
  return category >= first && category <= last;
}

static bool is_no_number(uint32_t point) {
  return !category_between(point, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

static bool is_punctuation(uint32_t point) {
  return category_between(point, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

static bool is_symbol(uint32_t point) {
  return category_between(point, UTF8PROC_CATEGORY_SM, UTF8PROC_CATEGORY_SO);
}

/* ---- tokenizers ---- */

static void tokenize_western(struct passes *passes) {
  pass_apart(passes, is_mark);
  pass_pairs(passes, is_no_digit, is_stop, 1);
  pass_pairs(passes, is_stop, is_no_digit, -1);
  pass_pairs(passes, is_digit, is_hyphen, 1);
}

static void tokenize_13a(struct passes *passes) {
  static const char *const replaced[][2] = { { "<skipped>", "" }, { "-\n", "" },    { "\n", " " },
                                             { "&quot;", "\"" },  { "&amp;", "&" }, { "&lt;", "<" },
                                             { "&gt;", ">" } };
  for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++)
    pass_replace(passes, replaced[i][0], replaced[i][1]);
  pass_surround(passes);
  tokenize_western(passes);
}

/* Without the spaces around the text, so that a full stop at its beginning stays with what follows. */
static void tokenize_zh(struct passes *passes) {
  size_t begin = 0;
  while (begin < passes->from->count && point_is_space(passes->from->items[begin]))
    begin++;
  passes->from->count -= begin;
  memmove(passes->from->items, passes->from->items + begin, passes->from->count * sizeof *passes->from->items);
  pass_apart(passes, is_chinese);
  tokenize_western(passes);
}

static void tokenize_intl(struct passes *passes) {
  pass_pairs(passes, is_no_number, is_punctuation, 1);
  pass_pairs(passes, is_punctuation, is_no_number, -1);
  pass_apart(passes, is_symbol);
}

static void tokenize_char(struct passes *passes) {
  pass_apart(passes, is_anything);
}

static void tokenize_none(struct passes *passes) {
  (void)passes;
}

struct tokenizer {
  const char *name;
  void (*run)(struct passes *passes);
};

const struct tokenizer *tokenizer_find(const char *name) {
  static const struct tokenizer tokenizers[] = {
    { "13a", tokenize_13a },   { "zh", tokenize_zh },     { "intl", tokenize_intl },
    { "char", tokenize_char }, { "none", tokenize_none },
  };
  for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
    if (strcmp(tokenizers[i].name, name) == 0)
      return &tokenizers[i];
  return NULL;
}

int tokenizer_run(const struct tokenizer *tokenizer, qe_text text, struct symbols work[2],
                  const struct symbols **tokens) {
  struct passes passes = { &work[0], &work[1], false };
  if (points_decode(passes.from, text) != QE_OK)
    return QE_MEMORY;
  strip_right(&passes);
  tokenizer->run(&passes);
  *tokens = passes.from;
  return passes.failed ? QE_MEMORY : QE_OK;
}
