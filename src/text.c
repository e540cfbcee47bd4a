/*
** text.c - bytes -> words, in one pass. Code points wait in `pending`, decomposed (a lone one as it came), until
** one arrives that is sure not to combine with them; then they are ordered, composed and handed to the last stage,
** which cuts words. Invariant: all before `pending` has its final form. Since a pending sequence has a fixed limit,
** memory grows with the words alone and time with the bytes, whatever the text. Characters that normalisation
** leaves alone (most of them) skip its tables. The file does not lower-case and knows no language.
*/
#include "text.h"

#include <utf8proc.h>

enum { MOST_MARKS = 30, MOST_PENDING = 64, LONGEST_DECOMPOSITION = 18, REPLACEMENT = 0xfffd };
enum { ENOUGH = 1 }; /* status beside QE_OK and QE_MEMORY: max_words is reached */

struct splitter {
  struct words *words;
  size_t max_words;
  size_t used;         /* of words->bytes */
  bool inside;         /* the last word still grows */
  bool settled;        /* pending is a single code point, final unless marks follow it; not decomposed */
  size_t count, marks; /* of pending; marks: non-starters at its end */
  int32_t pending[MOST_PENDING + LONGEST_DECOMPOSITION];
};

struct range {
  int32_t first, last;
};

static bool range_has(const struct range *ranges, size_t count, int32_t point) {
  for (size_t i = 0; i < count; i++)
    if (point <= ranges[i].last)
      return point >= ranges[i].first;
  return false;
}

size_t utf8_decode(const char *bytes, size_t size, int32_t *point) {
  const unsigned char *byte = (const unsigned char *)bytes, lead = byte[0];
  const size_t more = lead < 0xc2 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
  /* The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF. */
  unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  int32_t value = lead < 0x80 ? lead : lead & (0x3f >> more);
  size_t used = 1;
  while (used <= more && used < size && byte[used] >= low && byte[used] <= high) {
    value = value << 6 | (byte[used++] & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  *point = lead < 0x80 || (more > 0 && used == more + 1) ? value : UTF8_BAD;
  return used;
}

bool utf8_is_letter(int32_t point) {
  const utf8proc_category_t category = point < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

/* ---- words ---- */

static bool is_ascii_letter(unsigned char c) {
  return (unsigned)(c | 0x20) - 'a' < 26 || (unsigned)c - '0' < 10;
}

static bool is_cjk(int32_t point) {
  static const struct range ranges[] = {
    { 0x2e80, 0x2fdf },   /* radicals */
    { 0x3005, 0x3007 },   /* iteration mark, closing mark, zero */
    { 0x3021, 0x3029 },   /* Hangzhou numerals */
    { 0x3031, 0x3035 },   /* kana repeat marks */
    { 0x3038, 0x303c },   /* Hangzhou numerals, iteration mark, masu mark */
    { 0x3041, 0x30ff },   /* Hiragana, Katakana */
    { 0x31f0, 0x31ff },   /* Katakana phonetic extensions */
    { 0x3400, 0x4dbf },   /* Han extension A */
    { 0x4e00, 0x9fff },   /* Han */
    { 0xf900, 0xfaff },   /* the compatibility ideographs that NFKC keeps */
    { 0x1aff0, 0x1b16f }, /* kana extensions and supplement */
    { 0x20000, 0x3ffff }, /* the ideographic planes */
  };
  return point >= ranges[0].first && range_has(ranges, sizeof ranges / sizeof *ranges, point);
}

enum kind { LETTER, SPACE, ALONE };

static enum kind kind_of(int32_t point) {
  if (point < 0x80) {
    if (is_ascii_letter((unsigned char)point))
      return LETTER;
    return point <= 0x20 || point == 0x7f ? SPACE : ALONE;
  }
  const utf8proc_category_t category = utf8proc_category(point);
  if (category == UTF8PROC_CATEGORY_CC || (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP))
    return SPACE;
  const bool mark = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_SO;
  return mark || is_cjk(point) ? ALONE : LETTER;
}

static int reserve_bytes(struct splitter *s, size_t more) {
  struct words *words = s->words;
  if (more > UINT32_MAX - s->used)
    return QE_MEMORY;
  if (s->used + more <= words->bytes_room ||
      memory_reserve((void **)&words->bytes, &words->bytes_room, s->used + more, 1))
    return QE_OK;
  return QE_MEMORY;
}

static int reserve_offsets(struct words *words, size_t need) {
  return memory_reserve((void **)&words->offset, &words->offset_room, need, sizeof *words->offset) ? QE_OK
                                                                                                   : QE_MEMORY;
}

static int begin_word(struct splitter *s) {
  struct words *words = s->words;
  if (words->count >= s->max_words) {
    words->truncated = true;
    return ENOUGH;
  }
  int status = reserve_offsets(words, (size_t)words->count + 2);
  if (status == QE_OK)
    words->offset[words->count++] = (uint32_t)s->used;
  return status;
}

/* Bytes of characters of one kind; ALONE: of one character. */
static int add_bytes(struct splitter *s, enum kind kind, const char *bytes, size_t size) {
  if (kind == SPACE) {
    s->inside = false;
    return QE_OK;
  }
  int status = s->inside && kind == LETTER ? QE_OK : begin_word(s);
  if (status == QE_OK)
    status = reserve_bytes(s, size);
  if (status != QE_OK)
    return status;
  memcpy(s->words->bytes + s->used, bytes, size);
  s->used += size;
  s->inside = kind == LETTER;
  return QE_OK;
}

static int add_final(struct splitter *s, int32_t point) {
  unsigned char bytes[4];
  const size_t size = (size_t)utf8proc_encode_char(point, bytes);
  return add_bytes(s, kind_of(point), (const char *)bytes, size);
}

/* ---- normalisation ---- */

/* Starters that are their own NFKC and never combine with what precedes them. Not all such: letters that are
** common. */
static bool is_stable(int32_t point) {
  static const struct range ranges[] = {
    { 0x0, 0x9f },      { 0xa1, 0xa7 },     { 0xa9, 0xa9 },     { 0xab, 0xae },     { 0xb0, 0xb1 },
    { 0xb6, 0xb7 },     { 0xbb, 0xbb },     { 0xbf, 0x131 },    { 0x134, 0x13e },   { 0x141, 0x148 },
    { 0x14a, 0x17e },   { 0x180, 0x1c3 },   { 0x1cd, 0x1f0 },   { 0x1f4, 0x2af },   { 0x388, 0x3ce },
    { 0x400, 0x482 },   { 0x48a, 0x52f },   { 0x2010, 0x2010 }, { 0x2012, 0x2016 }, { 0x2018, 0x2023 },
    { 0x3001, 0x3029 }, { 0x3041, 0x3096 }, { 0x30a1, 0x30fa }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff },
    { 0xac00, 0xd7a3 },
  };
  return range_has(ranges, sizeof ranges / sizeof *ranges, point);
}

static int combining_class(int32_t point) {
  return utf8proc_get_property(point)->combining_class;
}

/* Whether a code point of a decomposition is sure not to combine with any before it. Those that do combine are
** marks, the vowels and finals of Hangul, and the vowel signs of Kirat Rai. */
static bool is_boundary(int32_t point) {
  if (point < 0x300)
    return true;
  const utf8proc_category_t category = utf8proc_category(point);
  const bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
  return !mark && combining_class(point) == 0 && !(point >= 0x1160 && point <= 0x11ff) &&
         !(point >= 0x16d63 && point <= 0x16d6a);
}

/* Marks into the order of their classes, equal ones as they were. Runs are short: see add_point. */
static void order_marks(int32_t *points, size_t count) {
  for (size_t i = 1; i < count; i++) {
    const int32_t point = points[i];
    const int class = combining_class(point);
    size_t place = i;
    if (class == 0)
      continue;
    for (; place > 0 && combining_class(points[place - 1]) > class; place--)
      points[place] = points[place - 1];
    points[place] = point;
  }
}

static int flush(struct splitter *s) {
  size_t count = s->count;
  s->count = s->marks = 0;
  if (count > 0 && !s->settled) {
    order_marks(s->pending, count);
    const utf8proc_ssize_t composed =
        utf8proc_normalize_utf32(s->pending, (utf8proc_ssize_t)count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    count = composed > 0 ? (size_t)composed : 0;
  }
  int status = QE_OK;
  for (size_t i = 0; i < count && status == QE_OK; i++)
    status = add_final(s, s->pending[i]);
  return status;
}

static size_t decompose(int32_t point, int32_t points[LONGEST_DECOMPOSITION]) {
  int last_boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(
      point, points, LONGEST_DECOMPOSITION, UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_STABLE, &last_boundary);
  if (count > 0 && count <= LONGEST_DECOMPOSITION)
    return (size_t)count;
  points[0] = point;
  return 1;
}

static void append_pending(struct splitter *s, const int32_t *points, size_t count) {
  for (size_t i = 0; i < count; i++) {
    s->marks = combining_class(points[i]) == 0 ? 0 : s->marks + 1;
    s->pending[s->count++] = points[i];
  }
  s->settled = false;
}

/* A mark is about to follow the lone code point, which may have marks of its own to be ordered with it. */
static void unsettle(struct splitter *s) {
  if (!s->settled || s->count == 0)
    return;
  int32_t points[LONGEST_DECOMPOSITION];
  const size_t count = decompose(s->pending[0], points);
  s->count = 0;
  append_pending(s, points, count);
}

static int add_decomposed(struct splitter *s, int32_t point) {
  int32_t points[LONGEST_DECOMPOSITION];
  const size_t count = decompose(point, points);
  size_t leading = 0;
  while (leading < count && combining_class(points[leading]) != 0)
    leading++;
  int status = QE_OK;
  if (is_boundary(points[0])) {
    status = flush(s);
  } else {
    unsettle(s);
    if (s->marks + leading > MOST_MARKS || s->count >= MOST_PENDING)
      status = flush(s);
  }
  if (status == QE_OK)
    append_pending(s, points, count);
  return status;
}

static int add_point(struct splitter *s, int32_t point) {
  if (!is_stable(point))
    return add_decomposed(s, point);
  const int status = flush(s);
  s->pending[0] = point;
  s->count = 1;
  s->settled = true;
  return status;
}

/* ---- bytes ---- */

/* Takes a run of ASCII letters or one other ASCII character. All but its last character are final, and that is too
** unless something follows that might combine with it. */
static int add_ascii(struct splitter *s, const char *bytes, size_t size, size_t *taken) {
  size_t run = 0;
  while (run < size && is_ascii_letter((unsigned char)bytes[run]))
    run++;
  *taken = run > 0 ? run : 1;
  const bool whole = *taken == size || (unsigned char)bytes[*taken] < 0x80;
  const size_t final = whole ? *taken : *taken - 1;
  int status = flush(s);
  if (status == QE_OK && final > 0)
    status = add_bytes(s, kind_of(bytes[0]), bytes, final);
  if (status == QE_OK && !whole)
    status = add_point(s, bytes[*taken - 1]);
  return status;
}

static int add_text(struct splitter *s, qe_text text) {
  int status = QE_OK;
  for (size_t at = 0, taken; at < text.size && status == QE_OK; at += taken) {
    if ((unsigned char)text.data[at] < 0x80) {
      status = add_ascii(s, text.data + at, text.size - at, &taken);
    } else {
      int32_t point;
      taken = utf8_decode(text.data + at, text.size - at, &point);
      status = add_point(s, point == UTF8_BAD ? REPLACEMENT : point);
    }
  }
  return status == QE_OK ? flush(s) : status;
}

int words_split(struct words *words, qe_text text, size_t max_words) {
  struct splitter s;
  s.words = words;
  s.max_words = max_words;
  s.used = s.count = s.marks = 0;
  s.inside = s.settled = false;
  words->count = 0;
  words->truncated = false;
  int status = reserve_offsets(words, 1);
  if (status == QE_OK)
    status = add_text(&s, text);
  if (status == QE_MEMORY)
    words->count = 0;
  if (words->offset)
    words->offset[words->count] = status == QE_MEMORY ? 0 : (uint32_t)s.used;
  return status == QE_MEMORY ? QE_MEMORY : QE_OK;
}

void words_free(struct words *words) {
  memory_free(words->bytes);
  memory_free(words->offset);
  *words = (struct words){ 0 };
}

/* ---- tokens ---- */

bool text_next_token(qe_text *rest, qe_text *token) {
  size_t start = 0;
  while (start < rest->size && text_is_white(rest->data[start]))
    start++;
  size_t end = start;
  while (end < rest->size && !text_is_white(rest->data[end]))
    end++;
  *token = (qe_text){ rest->data + start, end - start };
  *rest = (qe_text){ rest->data + end, rest->size - end };
  return token->size > 0;
}
