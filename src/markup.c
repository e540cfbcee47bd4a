/*
** markup.c - placeholders: what software puts into a text or reads out of it, and a translation leaves as it is. One
** pass from left to right; at each byte the kinds are tried in turn and the first that fits takes its bytes, which
** become a hash. The rest is copied as plain text, with a blank for a placeholder. Time grows with the bytes: every kind
** has a longest form or consumes what it looked at. No markup language is parsed and nesting is not checked.
*/
#include "guard.h"

enum { LONGEST_BRACES = 64, LONGEST_TAG = 256, LONGEST_NAME = 64 };

static bool is_letter(char c) {
  return (unsigned)(c | 0x20) - 'a' < 26;
}

static bool is_digit(char c) {
  return (unsigned)c - '0' < 10;
}

static bool is_name(char c) {
  return is_letter(c) || is_digit(c) || c == '_';
}

static bool is_one_of(char c, const char *set) {
  return c != '\0' && strchr(set, c);
}

static size_t run_of_name(qe_text text, size_t at) {
  size_t end = at;
  while (end < text.size && end - at < LONGEST_NAME && is_name(text.data[end]))
    end++;
  return end - at;
}

static bool begins(qe_text text, const char *start) {
  const size_t size = strlen(start);
  if (text.size < size)
    return false;
  for (size_t i = 0; i < size; i++)
    if ((is_letter(text.data[i]) ? text.data[i] | 0x20 : text.data[i]) != start[i])
      return false;
  return true;
}

/* Each of these returns how many bytes at the beginning of the text are a placeholder, 0 for none. */

/* {0} {name} {} {{name}} */
static size_t braces(qe_text text) {
  size_t depth = text.size > 1 && text.data[1] == '{' ? 2 : 1, at = depth;
  while (at < text.size && at < LONGEST_BRACES && (is_name(text.data[at]) || is_one_of(text.data[at], ".:-,#$%")))
    at++;
  for (size_t i = 0; i < depth; i++, at++)
    if (at >= text.size || text.data[at] != '}')
      return 0;
  return at;
}

/* %s %d %1$s %-5.2f %(name)s %@ */
static size_t conversion(qe_text text) {
  size_t at = 1;
  if (at < text.size && text.data[at] == '(') {
    const size_t name = run_of_name(text, at + 1);
    at += name + 1;
    if (name == 0 || at >= text.size || text.data[at++] != ')')
      return 0;
  }
  while (at < text.size && at < LONGEST_NAME && (is_digit(text.data[at]) || is_one_of(text.data[at], "$-+#.*lhz")))
    at++;
  if (at >= text.size || !is_one_of(text.data[at], "diouxXeEfgGcsp@"))
    return 0;
  at++;
  return at < text.size && is_name(text.data[at]) ? 0 : at;
}

/* $NAME ${name} */
static size_t variable(qe_text text) {
  if (text.size > 1 && text.data[1] == '{') {
    const size_t inside = braces((qe_text){ text.data + 1, text.size - 1 });
    return inside > 0 ? inside + 1 : 0;
  }
  if (text.size < 3 || !(is_letter(text.data[1]) || text.data[1] == '_'))
    return 0;
  const size_t name = run_of_name(text, 1);
  return name > 1 ? name + 1 : 0;
}

/* __NAME__ */
static size_t underscored(qe_text text) {
  const size_t size = run_of_name(text, 0);
  const char *end = text.data + size;
  return size > 4 && text.data[1] == '_' && text.data[2] != '_' && end[-1] == '_' && end[-2] == '_' ? size : 0;
}

/* <b> </b> <a href="..."> <br/> <x:y-z> */
static size_t tag(qe_text text) {
  size_t at = text.size > 1 && text.data[1] == '/' ? 2 : 1;
  if (at >= text.size || !is_letter(text.data[at]))
    return 0;
  while (at < text.size && at < LONGEST_NAME && (is_name(text.data[at]) || is_one_of(text.data[at], "-:.")))
    at++;
  if (at < text.size && !is_one_of(text.data[at], " \t\n\r/>"))
    return 0;
  while (at < text.size && at < LONGEST_TAG && text.data[at] != '<' && text.data[at] != '>')
    at++;
  return at < text.size && text.data[at] == '>' ? at + 1 : 0;
}

/* &amp; &#39; &#x27; */
static size_t escape(qe_text text) {
  size_t at = text.size > 1 && text.data[1] == '#' ? 2 : 1;
  const size_t name = run_of_name(text, at);
  at += name;
  return name > 1 && name < 10 && at < text.size && text.data[at] == ';' ? at + 1 : 0;
}

/* http://... https://... www...., without the punctuation of the sentence around it */
static size_t address(qe_text text) {
  size_t at = begins(text, "http://") ? 7 : begins(text, "https://") ? 8 : begins(text, "www.") ? 4 : 0;
  const size_t start = at;
  if (at == 0)
    return 0;
  while (at < text.size && (unsigned char)text.data[at] > ' ' && (unsigned char)text.data[at] < 0x7f &&
         !is_one_of(text.data[at], "<>\"{}|\\^`"))
    at++;
  while (at > start && is_one_of(text.data[at - 1], ".,;:!?)]'*"))
    at--;
  return at > start ? at : 0;
}

static bool is_local(char c) {
  return is_name(c) || is_one_of(c, ".%+-");
}

/* What follows the @ of a mail address. */
static size_t domain(qe_text text) {
  size_t at = 1, dots = 0;
  while (at < text.size && (is_letter(text.data[at]) || is_digit(text.data[at]) || is_one_of(text.data[at], ".-")))
    at++;
  while (at > 1 && is_one_of(text.data[at - 1], ".-"))
    at--;
  for (size_t i = 2; i < at; i++)
    dots += text.data[i] == '.';
  return dots > 0 ? at : 0;
}

/* ---- the pass ---- */

static size_t placeholder(qe_text text, bool after_name) {
  const char c = *text.data;
  if (after_name && c != '{' && c != '<' && c != '&')
    return 0;
  switch (c) {
  case '{':
    return braces(text);
  case '%':
    return conversion(text);
  case '$':
    return variable(text);
  case '_':
    return underscored(text);
  case '<':
    return tag(text);
  case '&':
    return escape(text);
  default:
    return (c | 0x20) == 'h' || (c | 0x20) == 'w' ? address(text) : 0;
  }
}

static void keep(struct reading *reading, const char *bytes, size_t size) {
  if (reading->placeholder_count < MOST_FOUND)
    reading->placeholders[reading->placeholder_count++] = fnv1a(FNV1A_START, bytes, size);
}

/* What a placeholder leaves in the plain text: an apostrophe goes on being one, so that "don&#39;t" is a word. */
static char left_of(qe_text found) {
  return begins(found, "&#39;") || begins(found, "&apos;") || begins(found, "&#x27;") ? '\'' : ' ';
}

/* Takes the local part of a mail address back out of the plain text. */
static size_t local_part(const struct reading *reading) {
  size_t size = 0;
  while (size < reading->plain_size && is_local(reading->plain[reading->plain_size - 1 - size]))
    size++;
  return size;
}

/* One placeholder or one byte from the front of `rest`; returns how many bytes that were. */
static size_t take(struct reading *reading, qe_text rest, bool after_name) {
  size_t taken = placeholder(rest, after_name);
  if (taken > 0) {
    reading->plain[reading->plain_size++] = left_of((qe_text){ rest.data, taken });
    if (*rest.data == '&')
      reading->escapes++;
    else
      keep(reading, rest.data, taken);
    return taken;
  }
  const size_t local = *rest.data == '@' ? local_part(reading) : 0;
  taken = local > 0 ? domain(rest) : 0;
  if (taken > 0) {
    reading->plain_size -= local;
    keep(reading, rest.data - local, local + taken);
  }
  reading->plain[reading->plain_size++] = taken > 0 ? ' ' : *rest.data;
  return taken > 0 ? taken : 1;
}

int markup_read(struct reading *reading, qe_text text) {
  reading->plain_size = reading->placeholder_count = reading->escapes = 0;
  if (!memory_reserve((void **)&reading->plain, &reading->plain_room, text.size, 1))
    return QE_MEMORY;
  for (size_t at = 0; at < text.size;) {
    const bool after_name = at > 0 && is_name(text.data[at - 1]);
    at += take(reading, (qe_text){ text.data + at, text.size - at }, after_name);
  }
  reading_sort(reading->placeholders, reading->placeholder_count);
  return QE_OK;
}
