/*
** numeral.c - the numbers of a text, so that two texts can be compared by what they count rather than by how it is
** written: digits of any script, groups of thousands ("1,000" "1.000" "1 000" "1,00,000"), decimals ("2.5" "2,5"), clock
** times, magnitudes ("2 million"). Invariant: a numeral's form is canonical, so equal numbers have equal fields. A
** separator before exactly three digits is taken for one of thousands in all languages. Number words are in spoken.c.
*/
#include "guard.h"

#include <utf8proc.h>

enum { MOST_DIGITS = 18, MOST_GROUPS = 8, NO_CLOCK = -1 };

int numeral_digit(int32_t point) {
  if (point < 0x80)
    return point >= '0' && point <= '9' ? point - '0' : -1;
  int32_t before = point; /* digits of a script lie side by side, from 0 to 9 */
  while (utf8proc_category(before) == UTF8PROC_CATEGORY_ND)
    before--;
  return before < point ? (point - before - 1) % 10 : -1;
}

void numerals_add(struct numerals *numerals, uint64_t significand, int32_t exponent) {
  if (numerals->count == MOST_FOUND)
    return;
  while (significand > 0 && significand % 10 == 0) {
    significand /= 10;
    exponent++;
  }
  numerals->items[numerals->count++] =
      (struct numeral){ .significand = significand, .exponent = significand > 0 ? exponent : 0 };
}

/* ---- digits ---- */

/* A run of digits. */
struct group {
  size_t start, end, count; /* bytes from start to end, count digits */
};

static bool take_group(qe_text text, size_t at, struct group *group) {
  *group = (struct group){ at, at, 0 };
  while (group->end < text.size) {
    int32_t point;
    const size_t taken = utf8_decode(text.data + group->end, text.size - group->end, &point);
    if (numeral_digit(point) < 0)
      break;
    group->end += taken;
    group->count++;
  }
  return group->count > 0;
}

/* Appends the digits of a group to a number, of which `digits` are known. */
static void append_digits(qe_text text, const struct group *group, uint64_t *value, size_t *digits) {
  for (size_t at = group->start; at < group->end;) {
    int32_t point;
    at += utf8_decode(text.data + at, text.size - at, &point);
    const uint64_t digit = (uint64_t)numeral_digit(point);
    if (*digits < MOST_DIGITS)
      *value = *value * 10 + digit;
    else
      *value = fnv1a(*value, &digit, sizeof digit) | UINT64_C(1) << 63;
    *digits += *digits > 0 || digit > 0;
  }
}

/* What may stand between groups: one of these, as ASCII stands for its relatives; 0 for nothing of the kind. */
static char separator(qe_text text, size_t at, size_t *taken) {
  int32_t point = 0;
  *taken = at < text.size ? utf8_decode(text.data + at, text.size - at, &point) : 0;
  switch (point) {
  case '.':
  case ',':
  case '\'':
  case ':':
  case ' ':
    return (char)point;
  case 'h': /* "8h46", and Chinese for "o'clock" */
  case 0x70b9:
  case 0x9ede:
  case 0x65f6:
  case 0x6642:
  case 0xff1a: /* full-width colon */
    return ':';
  case 0x66b:  /* Arabic decimal separator */
  case 0xff0e: /* full-width stop */
    return '.';
  case 0x66c:  /* Arabic thousands separator */
  case 0xff0c: /* full-width comma */
    return ',';
  case 0x2019:
    return '\'';
  case 0xa0:
  case 0x2009:
  case 0x202f:
    return ' ';
  default:
    return 0;
  }
}

static size_t take_groups(qe_text text, size_t at, struct group groups[MOST_GROUPS], char between[MOST_GROUPS]) {
  size_t count = 0, taken = 0;
  while (count < MOST_GROUPS && take_group(text, at, &groups[count])) {
    between[count] = separator(text, groups[count].end, &taken);
    at = groups[count++].end + taken;
    if (between[count - 1] == 0)
      break;
  }
  return count;
}

static bool is_zero(qe_text text, const struct group *group) {
  int32_t point;
  utf8_decode(text.data + group->start, text.size - group->start, &point);
  return numeral_digit(point) == 0;
}

/* How many of the groups are one whole number: the first alone, or with groups of three (Indian: two, the last three)
** behind it. */
static size_t thousands(qe_text text, const struct group *groups, const char *between, size_t count) {
  size_t whole = 1;
  if (groups[0].count > 3 || is_zero(text, &groups[0]) || between[0] == ':')
    return 1;
  for (size_t i = 1; i < count && between[i - 1] == between[0]; i++) {
    if (groups[i].count == 3)
      whole = i + 1;
    else if (groups[i].count != 2 || between[0] != ',')
      break;
  }
  return whole;
}

/* Whether the group behind the whole part is its fraction: one group after a point or comma, or the minutes of a time,
** with no further group behind it, as dates and versions have. */
static bool has_fraction(const struct group *groups, const char *between, size_t count, size_t whole) {
  const char mark = between[whole - 1];
  if (whole >= count || (whole > 1 && mark == between[0]))
    return false;
  if (mark == ':' && (groups[whole].count != 2 || groups[0].count > 2))
    return false;
  const bool alone = whole + 1 == count || between[whole] == ' ' || between[whole] != mark;
  return (mark == '.' || mark == ',' || mark == ':') && alone;
}

/* ---- what follows a number ---- */

/* Words without blanks behind them come first where they are longer. */
static const struct magnitude {
  int shift;
  const char *words;
} magnitudes[] = {
  { 12, "万亿 萬億 trillion*" },
  { 9, "billion* bn milliard* miliard* miljard* mrd mld млрд миллиард* अर्ब* බිලියන*" },
  { 8, "亿 億" },
  { 7, "千万 千萬 करोड* crore*" },
  { 6, "百万 百萬 million* millon* millón milion* miljon* mio mln m млн миллион* මිලියන*" },
  { 5, "लाख* lakh* ලක්ෂ*" },
  { 4, "万 萬" },
  { 3, "千 thousand* tausend* tuhat* tuhan* mii mie mil k тыс* हजार* දහස* දාහ*" },
};

static const char century_words[] = "世纪 世紀 centur* jahrhundert* sajand* secol* век* siglo*";

enum { LONGEST_FOLLOWER = 48 };

/* The letters behind a number, in lower case, with at most one blank or hyphen in front of them. */
static qe_text follower(qe_text text, size_t at, char bytes[LONGEST_FOLLOWER]) {
  size_t size = 0;
  int32_t point;
  for (size_t skipped = 0; at < text.size && size + 4 < LONGEST_FOLLOWER; skipped++) {
    const size_t taken = utf8_decode(text.data + at, text.size - at, &point);
    const bool blank = point == ' ' || point == 0xa0 || point == 0x202f || point == '-';
    const utf8proc_category_t category = utf8proc_category(point);
    if (point == UTF8_BAD ||
        (!(blank && skipped == 0) && (category < UTF8PROC_CATEGORY_LU || category > UTF8PROC_CATEGORY_ME)))
      break;
    if (!blank)
      size += (size_t)utf8proc_encode_char(utf8proc_tolower(point), (unsigned char *)bytes + size);
    at += taken;
  }
  return (qe_text){ bytes, size };
}

/* "pm", "p.m." with or without a blank in front, and nothing longer */
static bool is_afternoon(qe_text rest) {
  char found[4] = "";
  size_t size = 0, at = rest.size > 0 && *rest.data == ' ';
  for (; at < rest.size && size < sizeof found; at++)
    if (rest.data[at] != '.')
      found[size++] = (char)(rest.data[at] | 0x20);
  return size >= 2 && memcmp(found, "pm", 2) == 0 && (size == 2 || (unsigned char)(found[2] - 'a') >= 26);
}

static void describe_follower(qe_text text, size_t at, struct numeral *numeral) {
  char bytes[LONGEST_FOLLOWER];
  const qe_text word = follower(text, at, bytes);
  const bool begins = word.size > 0 && (unsigned char)*word.data >= 0xe4; /* an ideograph */
  for (size_t i = 0; i < sizeof magnitudes / sizeof *magnitudes && word.size > 0 && numeral->shift == 0; i++)
    if (reading_listed(word, begins, magnitudes[i].words))
      numeral->shift = magnitudes[i].shift;
  numeral->century = word.size > 0 && reading_listed(word, begins, century_words);
  numeral->afternoon = is_afternoon((qe_text){ text.data + at, text.size - at });
}

static void add_groups(struct reading *reading, qe_text text, const struct group *groups, size_t count,
                       size_t places) {
  uint64_t value = 0;
  size_t digits = 0;
  for (size_t i = 0; i < count; i++)
    append_digits(text, &groups[i], &value, &digits);
  const size_t before = reading->numerals.count;
  numerals_add(&reading->numerals, value, -(int32_t)places);
  if (reading->numerals.count > before)
    describe_follower(text, groups[count - 1].end, &reading->numerals.items[before]);
}

/* How many groups one mark holds together, as in dates and versions. */
static size_t chained(const char *between, size_t count) {
  size_t chain = 1;
  while (between[0] != ' ' && chain < count && between[chain - 1] == between[0])
    chain++;
  return chain;
}

/* One number, or those of a date, and what follows, from `at`, where a digit stands. Returns where it ends. */
static size_t read_number(struct reading *reading, qe_text text, size_t at) {
  struct group groups[MOST_GROUPS];
  char between[MOST_GROUPS];
  const size_t count = take_groups(text, at, groups, between);
  const size_t whole = thousands(text, groups, between, count);
  if (has_fraction(groups, between, count, whole)) {
    add_groups(reading, text, groups, whole + 1, groups[whole].count);
    return groups[whole].end;
  }
  const size_t chain = whole == 1 ? chained(between, count) : 1;
  for (size_t i = 0; i < chain; i++)
    add_groups(reading, text, &groups[i], whole, 0);
  return groups[whole + chain - 2].end;
}

void numerals_read(struct reading *reading) {
  const qe_text text = { reading->plain, reading->plain_size };
  reading->numerals.count = 0;
  for (size_t at = 0, end; at < text.size; at = end) {
    int32_t point;
    end = at + utf8_decode(text.data + at, text.size - at, &point);
    if (numeral_digit(point) >= 0)
      end = read_number(reading, text, at);
  }
}

/* ---- comparing ---- */

/* Millions are no milliards; other scales have names that mean different ones in different languages. */
static bool scales_fit(const struct numeral *a, const struct numeral *b) {
  return a->exponent != b->exponent || a->shift < 6 || b->shift < 6 || a->shift + b->shift != 6 + 9;
}

static bool same(const struct numeral *a, const struct numeral *b) {
  return a->significand == b->significand && a->exponent == b->exponent && scales_fit(a, b);
}

/* A time of day in minutes of a hundred to the hour; the same for "10.30" and "10:30". */
static int clock(const struct numeral *numeral) {
  uint64_t value = numeral->significand;
  if (value > 2400 || numeral->exponent < -2 || numeral->exponent > 1)
    return NO_CLOCK;
  for (int32_t i = -2; i < numeral->exponent; i++)
    value *= 10;
  return value < 2400 ? (int)value : NO_CLOCK;
}

static bool same_time(const struct numeral *a, const struct numeral *b) {
  const int one = clock(a), other = clock(b);
  return one != NO_CLOCK && other != NO_CLOCK &&
         ((a->afternoon && one + 1200 == other) || (b->afternoon && other + 1200 == one));
}

/* A whole number below 10000, else 0. */
static unsigned small(const struct numeral *numeral) {
  uint64_t value = numeral->significand;
  if (value >= 10000 || numeral->exponent < 0 || numeral->exponent > 3)
    return 0;
  for (int32_t i = 0; i < numeral->exponent; i++)
    value *= 10;
  return value < 10000 ? (unsigned)value : 0;
}

/* "the 90s" and "the 1990s" */
static bool same_year(const struct numeral *a, const struct numeral *b) {
  const unsigned one = small(a), other = small(b);
  const unsigned low = one < other ? one : other, high = one < other ? other : one;
  return low >= 10 && low < 100 && high >= 1100 && high < 2100 && high % 100 == low;
}

static bool alike(const struct numeral *a, const struct numeral *b) {
  if (a->significand == b->significand && scales_fit(a, b)) {
    const int32_t apart = a->exponent - b->exponent;
    if (apart == 0 || apart + a->shift == 0 || apart == b->shift || apart + a->shift == b->shift)
      return true;
  }
  return same_time(a, b) || same_year(a, b);
}

static void pair_up(struct numerals *a, struct numerals *b,
                    bool (*fits)(const struct numeral *, const struct numeral *)) {
  for (size_t i = 0; i < a->count; i++)
    for (size_t j = 0; j < b->count && !a->items[i].used; j++)
      if (!b->items[j].used && fits(&a->items[i], &b->items[j]))
        a->items[i].used = b->items[j].used = true;
}

/* "19th century" next to "the 1830s", which others call the thirties of that century */
static bool has_year_of(const struct numerals *numerals, const struct numeral *century) {
  for (size_t i = 0; century->century && i < numerals->count; i++)
    if (small(&numerals->items[i]) >= 1000 && small(&numerals->items[i]) / 100 + 1 == small(century))
      return true;
  return false;
}

static bool is_spoken(const struct numeral *numeral, struct reading *reading) {
  const struct numerals *spoken = spoken_of(reading);
  for (size_t i = 0; i < spoken->count; i++)
    if (alike(numeral, &spoken->items[i]))
      return true;
  return false;
}

static size_t unpaired(const struct numerals *numerals, struct reading *other, struct reading *witness) {
  size_t count = 0;
  for (size_t i = 0; i < numerals->count; i++) {
    const struct numeral *numeral = &numerals->items[i];
    count += !numeral->used && !has_year_of(&other->numerals, numeral) && !is_spoken(numeral, other) &&
             !(witness && is_spoken(numeral, witness));
  }
  return count;
}

static void release(struct numerals *numerals) {
  for (size_t i = 0; i < numerals->count; i++)
    numerals->items[i].used = false;
}

size_t numerals_differing(struct reading *source, struct reading *text, struct reading *witness) {
  release(&source->numerals);
  release(&text->numerals);
  pair_up(&source->numerals, &text->numerals, same);
  pair_up(&source->numerals, &text->numerals, alike);
  return unpaired(&source->numerals, text, NULL) + unpaired(&text->numerals, source, witness);
}
