/*
** json_text.c - a cursor over JSON text, see json_text.h. Invariant: the cursor moves forward over what has been checked;
** escapes in strings are checked when a string is passed, so that decoding cannot fail.
*/
#include "json_text.h"

enum { DEEPEST = 100 };

static void skip_space(struct json *json) {
  while (json->next < json->end &&
         (*json->next == ' ' || *json->next == '\t' || *json->next == '\r' || *json->next == '\n'))
    json->next++;
}

static bool take(struct json *json, char wanted) {
  skip_space(json);
  const bool found = json->next < json->end && *json->next == wanted;
  json->next += found;
  return found;
}

static int digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits; -1 otherwise. */
static long hexadecimal(const char *text, const char *end) {
  long value = 0;
  if (end - text < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    const int next = digit(text[i]);
    if (next < 0)
      return -1;
    value = 16 * value + next;
  }
  return value;
}

/* Behind the backslash: how long the escape is there, 0 if it is none. */
static size_t escape_size(const char *text, const char *end) {
  if (text == end || !*text)
    return 0;
  if (*text == 'u')
    return hexadecimal(text + 1, end) >= 0 ? 5 : 0;
  return strchr("\"\\/bfnrt", *text) ? 1 : 0;
}

static bool pass_string(struct json *json) {
  for (json->next++; json->next < json->end && *json->next != '"'; json->next++) {
    if (*json->next != '\\')
      continue;
    const size_t size = escape_size(json->next + 1, json->end);
    if (size == 0)
      return false;
    json->next += size;
  }
  const bool closed = json->next < json->end;
  json->next += closed;
  return closed;
}

static bool pass_word(struct json *json) {
  const char *start = json->next;
  while (json->next < json->end && !strchr(" \t\r\n,]}:\"[{", *json->next))
    json->next++;
  const qe_text word = { start, (size_t)(json->next - start) };
  double value;
  return (word.size == 4 && (memcmp(start, "null", 4) == 0 || memcmp(start, "true", 4) == 0)) ||
         (word.size == 5 && memcmp(start, "false", 5) == 0) || number_parse(word, &value);
}

static bool pass_value(struct json *json, int depth);

static bool pass_container(struct json *json, char close, int depth) {
  json->next++;
  if (take(json, close))
    return true;
  do {
    skip_space(json);
    if (close == '}' && (json->next == json->end || *json->next != '"' || !pass_string(json) || !take(json, ':')))
      return false;
    if (!pass_value(json, depth + 1))
      return false;
  } while (take(json, ','));
  return take(json, close);
}

static bool pass_value(struct json *json, int depth) {
  skip_space(json);
  if (json->next == json->end || depth > DEEPEST)
    return false;
  switch (*json->next) {
  case '"':
    return pass_string(json);
  case '{':
    return pass_container(json, '}', depth);
  case '[':
    return pass_container(json, ']', depth);
  default:
    return pass_word(json);
  }
}

bool json_open(struct json *json, qe_text text, char kind) {
  *json = (struct json){ text.data, text.data ? text.data + text.size : NULL, true };
  return text.data && take(json, kind);
}

static int take_value(struct json *json, qe_text *value) {
  skip_space(json);
  const char *start = json->next;
  if (!pass_value(json, 1))
    return -1;
  *value = (qe_text){ start, (size_t)(json->next - start) };
  return 1;
}

/* Whether another one follows: 1, 0 at the end, -1. */
static int proceed(struct json *json, char close) {
  const bool first = json->first;
  json->first = false;
  if (take(json, close))
    return 0;
  return first || take(json, ',') ? 1 : -1;
}

int json_member(struct json *json, qe_text *key, qe_text *value) {
  const int status = proceed(json, '}');
  if (status != 1)
    return status;
  if (take_value(json, key) != 1 || !json_is_string(*key) || !take(json, ':'))
    return -1;
  return take_value(json, value);
}

int json_element(struct json *json, qe_text *value) {
  const int status = proceed(json, ']');
  return status == 1 ? take_value(json, value) : status;
}

bool json_ends(struct json *json) {
  skip_space(json);
  return json->next == json->end;
}

bool json_is_null(qe_text value) {
  return value.size == 4 && memcmp(value.data, "null", 4) == 0;
}

bool json_is_key(qe_text key, const char *name) {
  const size_t size = strlen(name);
  return key.size == size + 2 && memcmp(key.data + 1, name, size) == 0;
}

static size_t pass_digits(qe_text value, size_t place) {
  while (place < value.size && value.data[place] >= '0' && value.data[place] <= '9')
    place++;
  return place;
}

bool json_is_number(qe_text value) {
  const size_t whole = value.size > 0 && *value.data == '-';
  size_t place = pass_digits(value, whole), start;
  if (place == whole || (value.data[whole] == '0' && place > whole + 1))
    return false;
  if (place < value.size && value.data[place] == '.') {
    start = place + 1;
    place = pass_digits(value, start);
    if (place == start)
      return false;
  }
  if (place < value.size && (value.data[place] == 'e' || value.data[place] == 'E')) {
    start = place + 1;
    start += start < value.size && (value.data[start] == '+' || value.data[start] == '-');
    place = pass_digits(value, start);
    if (place == start)
      return false;
  }
  return place == value.size;
}

/* ---- strings ---- */

static size_t put_utf8(unsigned long point, char *out) {
  if (point < 0x80)
    return out[0] = (char)point, 1;
  if (point < 0x800)
    return out[0] = (char)(0xc0 | point >> 6), out[1] = (char)(0x80 | (point & 0x3f)), 2;
  if (point < 0x10000) {
    out[0] = (char)(0xe0 | point >> 12);
    out[1] = (char)(0x80 | (point >> 6 & 0x3f));
    out[2] = (char)(0x80 | (point & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | point >> 18);
  out[1] = (char)(0x80 | (point >> 12 & 0x3f));
  out[2] = (char)(0x80 | (point >> 6 & 0x3f));
  out[3] = (char)(0x80 | (point & 0x3f));
  return 4;
}

static bool is_surrogate(long unit, long first) {
  return unit >= first && unit < first + 0x400;
}

/* At "uXXXX"; half of a surrogate pair becomes U+FFFD. */
static size_t decode_unit(const char **text, const char *end, char *out) {
  const long high = hexadecimal(*text + 1, end);
  const char *behind = *text + 5;
  const long low = end - behind >= 6 && behind[0] == '\\' && behind[1] == 'u' ? hexadecimal(behind + 2, end) : -1;
  *text = behind;
  if (is_surrogate(high, 0xd800) && is_surrogate(low, 0xdc00)) {
    *text += 6;
    return put_utf8((unsigned long)(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), out);
  }
  const bool half = is_surrogate(high, 0xd800) || is_surrogate(high, 0xdc00);
  return put_utf8(half ? 0xfffd : (unsigned long)high, out);
}

size_t json_decode(qe_text string, char *out) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const char *text = string.data + 1, *end = string.data + string.size - 1;
  size_t size = 0;
  while (text < end) {
    if (*text != '\\') {
      out[size++] = *text++;
    } else if (text[1] == 'u') {
      text++;
      size += decode_unit(&text, end, out + size);
    } else {
      out[size++] = meanings[strchr(letters, text[1]) - letters];
      text += 2;
    }
  }
  return size;
}
