/*
** words_twin.h - the naive twin of words_split: repairs, normalises and cuts the whole text, one after the other,
** with a copy each time. Used by the test and by the fuzz target of text.c.
*/
#ifndef WORDS_TWIN_H
#define WORDS_TWIN_H
#include "text.h"

#include <stdlib.h>
#include <utf8proc.h>

/* The words with a LF behind each. */
struct twin_words {
  char *lines;
  size_t size, count;
};

static inline void *twin_memory(void *memory) {
  if (!memory)
    abort();
  return memory;
}

/* Whether some code point's encoding begins with these bytes: the smallest and the greatest number that they leave
** possible are looked at. */
static inline bool twin_begins(const unsigned char *bytes, size_t count, size_t *length) {
  static const uint32_t first[5] = { 0, 0, 0x80, 0x800, 0x10000 };
  *length = bytes[0] < 0x80 ? 1 : bytes[0] >> 5 == 6 ? 2 : bytes[0] >> 4 == 14 ? 3 : bytes[0] >> 3 == 30 ? 4 : 0;
  if (*length == 0 || count > *length)
    return false;
  uint32_t low = *length == 1 ? bytes[0] : bytes[0] & ((1u << (7 - *length)) - 1), high = low;
  for (size_t i = 1; i < *length; i++) {
    if (i < count && bytes[i] >> 6 != 2)
      return false;
    low = low * 64 + (i < count ? bytes[i] % 64 : 0);
    high = high * 64 + (i < count ? bytes[i] % 64 : 63);
  }
  if (low < first[*length])
    low = first[*length];
  if (high > 0x10ffff)
    high = 0x10ffff;
  if (low >= 0xd800 && low <= 0xdfff)
    low = 0xe000;
  return low <= high;
}

/* How many bytes the next code point or bad part has. */
static inline size_t twin_next(const char *text, size_t size, bool *good) {
  const unsigned char *bytes = (const unsigned char *)text;
  size_t longest = 1, length;
  *good = false;
  for (size_t count = 1; count <= 4 && count <= size; count++)
    if (twin_begins(bytes, count, &length)) {
      longest = count;
      *good = count == length;
    }
  return longest;
}

static inline char *twin_repair(const char *text, size_t size, size_t *repaired) {
  char *out = twin_memory(malloc(3 * size + 1));
  *repaired = 0;
  for (size_t at = 0; at < size;) {
    bool good;
    size_t count = twin_next(text + at, size - at, &good);
    memcpy(out + *repaired, good ? text + at : "\xef\xbf\xbd", good ? count : 3);
    *repaired += good ? count : 3;
    at += count;
  }
  return out;
}

static inline bool twin_alone(int32_t c) {
  const char *category = utf8proc_category_string(c);
  bool han = c == 0x3005 || c == 0x3006 || c == 0x3007 || (c >= 0x3021 && c <= 0x3029) ||
             (c >= 0x2e80 && c < 0x2fe0) || (c >= 0x3038 && c <= 0x303c) || (c >= 0x3400 && c < 0x4dc0) ||
             (c >= 0x4e00 && c < 0xa000) || c >> 8 == 0xf9 || c >> 8 == 0xfa || c >> 16 == 2 || c >> 16 == 3;
  bool kana = (c >= 0x3031 && c <= 0x3035) || (c > 0x3040 && c < 0x3100) || (c >= 0x31f0 && c < 0x3200) ||
              (c >= 0x1aff0 && c < 0x1b170);
  return category[0] == 'P' || category[0] == 'S' || han || kana;
}

static inline bool twin_space(int32_t c) {
  const char *category = utf8proc_category_string(c);
  return category[0] == 'Z' || strcmp(category, "Cc") == 0;
}

static inline struct twin_words twin_cut(const unsigned char *text, size_t size) {
  struct twin_words words = { twin_memory(malloc(2 * size + 1)), 0, 0 };
  bool open = false;
  for (size_t at = 0; at < size;) {
    int32_t c;
    size_t count = (size_t)utf8proc_iterate(text + at, (utf8proc_ssize_t)(size - at), &c);
    if (open && (twin_space(c) || twin_alone(c)))
      words.lines[words.size++] = '\n';
    words.count += !twin_space(c) && (!open || twin_alone(c));
    open = !twin_space(c) && !twin_alone(c);
    if (!twin_space(c)) {
      memcpy(words.lines + words.size, text + at, count);
      words.size += count;
      if (!open)
        words.lines[words.size++] = '\n';
    }
    at += count;
  }
  if (open)
    words.lines[words.size++] = '\n';
  return words;
}

static inline struct twin_words twin_split(const char *text, size_t size) {
  size_t repaired;
  char *good = twin_repair(text, size, &repaired);
  utf8proc_uint8_t *normal = NULL;
  utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)good, (utf8proc_ssize_t)repaired, &normal,
                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (length < 0)
    abort();
  struct twin_words words = twin_cut(normal, (size_t)length);
  free(normal);
  free(good);
  return words;
}

/* Whether there are so many marks or parts of Hangul syllables in a row that words_split may normalise in pieces.
** The twin had better not be asked then: utf8proc orders marks in quadratic time. */
static inline bool twin_crowded(const char *text, size_t size) {
  size_t repaired, run = 0, worst = 0;
  char *good = twin_repair(text, size, &repaired);
  for (size_t at = 0; at < repaired;) {
    int32_t c, parts[18];
    at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)good + at, (utf8proc_ssize_t)(repaired - at), &c);
    int boundary = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char(c, parts, 18, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < count; i++) {
      bool part = parts[i] >= 0x1100 && parts[i] <= 0x11ff;
      run = part || utf8proc_category_string(parts[i])[0] == 'M' ? run + 1 : 0;
      worst = run > worst ? run : worst;
    }
  }
  free(good);
  return worst > 30;
}

/* What words_split found in the same form; to be freed. */
static inline char *twin_lines(const struct words *words, size_t *size) {
  char *lines = twin_memory(malloc(words->offset[words->count] + (size_t)words->count + 1));
  *size = 0;
  for (uint32_t i = 0; i < words->count; i++) {
    size_t length = words->offset[i + 1] - words->offset[i];
    memcpy(lines + *size, words->bytes + words->offset[i], length);
    *size += length;
    lines[(*size)++] = '\n';
  }
  return lines;
}

static inline bool twin_agrees(const struct words *words, const struct twin_words *twin) {
  size_t size;
  char *lines = twin_lines(words, &size);
  bool agrees = words->count == twin->count && size == twin->size && memcmp(lines, twin->lines, size) == 0;
  free(lines);
  return agrees;
}

#endif
