/*
** numeral.c - the numbers of a text, so that two texts can be compared by what they count rather than by how it is
** written: digits of any script, groups of thousands ("1,000" "1.000" "1 000" "1,00,000"), decimals ("2.5" "2,5"), clock
** times, magnitudes ("2 million"), Roman numerals and number words. Invariant: a numeral's form is canonical, so equal
** numbers have equal fields. Number words never are a fault, they only excuse a number that is missing elsewhere: lists
** of words are never complete. A separator before exactly three digits is taken for one of thousands in all languages.
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

static struct numeral numeral_of(uint64_t significand, int32_t exponent) {
  while (significand > 0 && significand % 10 == 0) {
    significand /= 10;
    exponent++;
  }
  return (struct numeral){ .significand = significand, .exponent = significand > 0 ? exponent : 0 };
}

static int numerals_add(struct numerals *numerals, struct numeral numeral) {
  if (numerals->count == MOST_FOUND)
    return QE_OK;
  if (!memory_reserve((void **)&numerals->items, &numerals->room, numerals->count + 1, sizeof *numerals->items))
    return QE_MEMORY;
  numerals->items[numerals->count++] = numeral;
  return QE_OK;
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
  case 0x66b:  /* Arabic decimal separator */
  case 0xff0e: /* full-width stop */
    return '.';
  case 0x66c:  /* Arabic thousands separator */
  case 0xff0c: /* full-width comma */
    return ',';
  case 0xff1a:
    return ':';
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

struct magnitude {
  const char *word;
  int shift;
};

static const struct magnitude magnitudes[] = {
  { "thousand*", 3 },  { "tausend*", 3 },  { "tuhat*", 3 },    { "tuhan*", 3 },   { "mii", 3 },
  { "mie", 3 },        { "тыс*", 3 },      { "mil", 3 },       { "हजार*", 3 },    { "දහස*", 3 },
  { "දාහ*", 3 },       { "千", 3 },        { "万", 4 },        { "萬", 4 },       { "लाख*", 5 },
  { "lakh*", 5 },      { "ලක්ෂ*", 5 },      { "million*", 6 },  { "millon*", 6 },  { "millón", 6 },
  { "milion*", 6 },    { "miljon*", 6 },   { "mio", 6 },       { "mln", 6 },      { "m", 6 },
  { "млн", 6 },        { "миллион*", 6 },  { "මිලියන*", 6 },     { "百万", 6 },     { "करोड*", 7 },
  { "crore*", 7 },     { "千万", 7 },      { "亿", 8 },        { "億", 8 },       { "billion*", 9 },
  { "bn", 9 },         { "milliard*", 9 }, { "miliard*", 9 },  { "miljard*", 9 }, { "mrd", 9 },
  { "mld", 9 },        { "млрд", 9 },      { "миллиард*", 9 }, { "अर्ब*", 9 },     { "බිලියන*", 9 },
  { "trillion*", 12 }, { "万亿", 12 },     { "k", 3 },
};

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

/* Magnitudes of ideographs stand without a blank before the next word: the longest that fits counts. */
static bool begins_with(qe_text word, const char *start) {
  return word.size >= strlen(start) && memcmp(word.data, start, strlen(start)) == 0;
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
  size_t longest = 0;
  for (size_t i = 0; i < sizeof magnitudes / sizeof *magnitudes; i++) {
    const char *name = magnitudes[i].word;
    const bool ideograph = (unsigned char)*name >= 0xe4;
    if (strlen(name) > longest && (ideograph ? begins_with(word, name) : reading_matches(word, qe_string(name)))) {
      longest = strlen(name);
      numeral->shift = magnitudes[i].shift;
    }
  }
  numeral->afternoon = is_afternoon((qe_text){ text.data + at, text.size - at });
}

/* One number and what follows it, from `at`, where a digit stands. */
static int read_number(struct reading *reading, qe_text text, size_t at, size_t *end) {
  struct group groups[MOST_GROUPS];
  char between[MOST_GROUPS];
  const size_t count = take_groups(text, at, groups, between);
  const size_t whole = thousands(text, groups, between, count);
  const bool fraction = has_fraction(groups, between, count, whole);
  uint64_t value = 0;
  size_t digits = 0;
  for (size_t i = 0; i < whole + fraction; i++)
    append_digits(text, &groups[i], &value, &digits);
  *end = groups[whole + fraction - 1].end;
  const int32_t places = fraction ? -(int32_t)groups[whole].count : 0;
  struct numeral numeral = numeral_of(value, places);
  describe_follower(text, *end, &numeral);
  return numerals_add(&reading->numerals, numeral);
}

static int read_digits(struct reading *reading) {
  const qe_text text = { reading->plain, reading->plain_size };
  int status = QE_OK;
  for (size_t at = 0, end; at < text.size && status == QE_OK; at = end) {
    int32_t point;
    end = at + utf8_decode(text.data + at, text.size - at, &point);
    if (numeral_digit(point) >= 0)
      status = read_number(reading, text, at, &end);
  }
  return status;
}

/* ---- words ---- */

struct number_word {
  const char *word;
  uint32_t value;
};

static const struct number_word number_words[] = {
  /* English */
  { "zero", 0 },
  { "one", 1 },
  { "two", 2 },
  { "three", 3 },
  { "four*", 4 },
  { "five", 5 },
  { "six*", 6 },
  { "seven*", 7 },
  { "eight*", 8 },
  { "nine*", 9 },
  { "ten", 10 },
  { "tenth*", 10 },
  { "eleven*", 11 },
  { "twelve", 12 },
  { "twelfth", 12 },
  { "thirteen*", 13 },
  { "fourteen*", 14 },
  { "fifteen*", 15 },
  { "sixteen*", 16 },
  { "seventeen*", 17 },
  { "eighteen*", 18 },
  { "nineteen*", 19 },
  { "twent*", 20 },
  { "thirt*", 30 },
  { "fort*", 40 },
  { "fift*", 50 },
  { "sixt*", 60 },
  { "sevent*", 70 },
  { "eight*", 80 },
  { "ninet*", 90 },
  { "hundred*", 100 },
  { "thousand*", 1000 },
  { "million*", 1000000 },
  { "billion*", 1000000000 },
  { "first", 1 },
  { "second", 2 },
  { "third", 3 },
  { "fifth", 5 },
  { "ninth", 9 },
  { "once", 1 },
  { "twice", 2 },
  { "single", 1 },
  { "both", 2 },
  { "dozen", 12 },
  { "decade", 10 },
  { "century", 100 },
  { "noon", 12 },
  { "midnight", 12 },
  /* German */
  { "null", 0 },
  { "ein*", 1 },
  { "erst*", 1 },
  { "zwei*", 2 },
  { "zwo", 2 },
  { "drei*", 3 },
  { "dritt*", 3 },
  { "vier*", 4 },
  { "fünf*", 5 },
  { "sechs*", 6 },
  { "sieb*", 7 },
  { "acht*", 8 },
  { "neun*", 9 },
  { "zehn*", 10 },
  { "elf*", 11 },
  { "zwölf*", 12 },
  { "*zwanzig", 20 },
  { "zwanzig*", 20 },
  { "dreißig*", 30 },
  { "vierzig*", 40 },
  { "fünfzig*", 50 },
  { "hundert*", 100 },
  { "tausend*", 1000 },
  /* Estonian */
  { "null*", 0 },
  { "üks", 1 },
  { "ühe*", 1 },
  { "esime*", 1 },
  { "kaks*", 2 },
  { "kahe*", 2 },
  { "teine", 2 },
  { "teise*", 2 },
  { "kolm*", 3 },
  { "neli", 4 },
  { "nelja*", 4 },
  { "viis*", 5 },
  { "viie*", 5 },
  { "kuus", 6 },
  { "kuue*", 6 },
  { "seits*", 7 },
  { "kaheksa*", 8 },
  { "üheksa*", 9 },
  { "küm*", 10 },
  { "üksteist*", 11 },
  { "kaksteist*", 12 },
  { "kakskümmend*", 20 },
  { "kahekümne*", 20 },
  { "kolmkümmend*", 30 },
  { "sada*", 100 },
  { "saja*", 100 },
  { "tuhat*", 1000 },
  { "tuhan*", 1000 },
  /* Romanian */
  { "unu", 1 },
  { "un", 1 },
  { "una", 1 },
  { "o", 1 },
  { "prim*", 1 },
  { "doi*", 2 },
  { "două*", 2 },
  { "doua*", 2 },
  { "trei*", 3 },
  { "patru*", 4 },
  { "cinci*", 5 },
  { "șase*", 6 },
  { "şase*", 6 },
  { "șapte*", 7 },
  { "şapte*", 7 },
  { "opt*", 8 },
  { "nouă*", 9 },
  { "zece*", 10 },
  { "unsprezece*", 11 },
  { "doisprezece*", 12 },
  { "douăsprezece*", 12 },
  { "douăzeci*", 20 },
  { "treizeci*", 30 },
  { "sut*", 100 },
  { "mie", 1000 },
  { "mii", 1000 },
  /* Russian */
  { "ноль", 0 },
  { "один", 1 },
  { "одн*", 1 },
  { "перв*", 1 },
  { "два", 2 },
  { "две", 2 },
  { "двух*", 2 },
  { "втор*", 2 },
  { "три", 3 },
  { "трех", 3 },
  { "трёх*", 3 },
  { "трет*", 3 },
  { "четыр*", 4 },
  { "четверт*", 4 },
  { "пят*", 5 },
  { "шест*", 6 },
  { "сем*", 7 },
  { "седьм*", 7 },
  { "восем*", 8 },
  { "восьм*", 8 },
  { "девят*", 9 },
  { "десят*", 10 },
  { "одиннадцат*", 11 },
  { "двенадцат*", 12 },
  { "двадцат*", 20 },
  { "тридцат*", 30 },
  { "сто", 100 },
  { "тысяч*", 1000 },
  /* Spanish */
  { "cero", 0 },
  { "uno", 1 },
  { "dos", 2 },
  { "segund*", 2 },
  { "tres", 3 },
  { "tercer*", 3 },
  { "cuatro", 4 },
  { "cuart*", 4 },
  { "cinco", 5 },
  { "quint*", 5 },
  { "seis", 6 },
  { "siete", 7 },
  { "ocho", 8 },
  { "nueve", 9 },
  { "diez", 10 },
  { "once", 11 },
  { "doce", 12 },
  { "veinte", 20 },
  { "treinta", 30 },
  { "cien*", 100 },
  { "mil", 1000 },
  /* Nepali */
  { "शून्य", 0 },
  { "एक", 1 },
  { "पहिलो", 1 },
  { "दुई*", 2 },
  { "दोस्रो", 2 },
  { "तीन", 3 },
  { "तेस्रो", 3 },
  { "चार", 4 },
  { "पाँच*", 5 },
  { "छ", 6 },
  { "सात", 7 },
  { "आठ", 8 },
  { "नौ", 9 },
  { "दस*", 10 },
  { "दश*", 10 },
  { "एघार", 11 },
  { "बाह्र", 12 },
  { "बीस", 20 },
  { "सय", 100 },
  { "हजार*", 1000 },
  /* Sinhala */
  { "එක*", 1 },
  { "පළමු*", 1 },
  { "දෙක*", 2 },
  { "දෙවන*", 2 },
  { "දෙ", 2 },
  { "තුන*", 3 },
  { "තෙවන*", 3 },
  { "හතර*", 4 },
  { "පහ*", 5 },
  { "හය*", 6 },
  { "හත*", 7 },
  { "අට*", 8 },
  { "නවය*", 9 },
  { "දහය*", 10 },
  { "එකොළ*", 11 },
  { "දොළ*", 12 },
  { "විසි*", 20 },
  { "සිය*", 100 },
  { "දහස*", 1000 },
};

static int spoken_add(struct reading *reading, uint64_t value) {
  return numerals_add(&reading->spoken, numeral_of(value, 0));
}

/* "twenty-five": the tens of the word before, or of the one before a hyphen, with these units. */
static uint64_t tens_before(const struct numerals *spoken) {
  if (spoken->count == 0)
    return 0;
  const struct numeral last = spoken->items[spoken->count - 1];
  return last.exponent == 1 && last.significand >= 2 ? last.significand * 10 : 0;
}

static int read_number_word(struct reading *reading, size_t number, uint64_t tens) {
  const qe_text word = reading_folded(reading, number);
  int status = QE_OK;
  for (size_t i = 0; i < sizeof number_words / sizeof *number_words && status == QE_OK; i++) {
    if (!reading_matches(word, qe_string(number_words[i].word)))
      continue;
    if (tens > 0 && number_words[i].value < 10)
      status = spoken_add(reading, tens + number_words[i].value);
    if (status == QE_OK)
      status = spoken_add(reading, number_words[i].value);
  }
  return status;
}

static int roman_digit(char c) {
  static const char names[] = "IVXLCDM";
  static const int values[] = { 1, 5, 10, 50, 100, 500, 1000 };
  const char *found = c != '\0' ? strchr(names, c) : NULL;
  return found ? values[found - names] : 0;
}

static int read_roman(struct reading *reading, qe_text word) {
  int value = 0;
  if (word.size > 8)
    return QE_OK;
  for (size_t i = 0; i < word.size; i++) {
    const int digit = roman_digit(word.data[i]), next = i + 1 < word.size ? roman_digit(word.data[i + 1]) : 0;
    if (digit == 0)
      return QE_OK;
    value += digit < next ? -digit : digit;
  }
  return value > 0 ? spoken_add(reading, (uint64_t)value) : QE_OK;
}

/* Chinese numerals: digits 0..9, units as powers of ten from 10 on, else -1. */
static int64_t ideograph_value(qe_text word) {
  static const struct {
    const char *character;
    int64_t value;
  } values[] = {
    { "〇", 0 },    { "零", 0 },     { "一", 1 },     { "二", 2 },         { "两", 2 },
    { "兩", 2 },    { "三", 3 },     { "四", 4 },     { "五", 5 },         { "六", 6 },
    { "七", 7 },    { "八", 8 },     { "九", 9 },     { "十", 10 },        { "百", 100 },
    { "千", 1000 }, { "万", 10000 }, { "萬", 10000 }, { "亿", 100000000 }, { "億", 100000000 },
  };
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    if (word.size == strlen(values[i].character) && memcmp(word.data, values[i].character, word.size) == 0)
      return values[i].value;
  return -1;
}

/* A run of Chinese numerals from word `start`: 二十五 is 25, 二〇〇五 is 2005. */
static int read_ideographs(struct reading *reading, size_t start, size_t *end) {
  uint64_t total = 0, section = 0, digit = 0;
  bool units = false;
  size_t at = start;
  for (; at < reading->words.count && at - start < 16; at++) {
    const int64_t value = ideograph_value(reading_word(reading, at));
    if (value < 0)
      break;
    const uint64_t number = (uint64_t)value;
    if (number < 10) {
      digit = units ? number : digit * 10 + number;
      continue;
    }
    units = true;
    section += (digit > 0 || section > 0 ? digit : 1) * (number < 10000 ? number : 0);
    if (number >= 10000) {
      total = (total + section + digit) * number;
      section = 0;
    }
    digit = 0;
  }
  *end = at;
  return at > start ? spoken_add(reading, total + section + digit) : QE_OK;
}

static int read_words(struct reading *reading) {
  uint64_t tens = 0;
  int status = QE_OK;
  for (size_t i = 0, end; i < reading->words.count && status == QE_OK; i = end) {
    const qe_text word = reading_word(reading, i);
    end = i + 1;
    if (reading->kinds[i] == WORD_IDEOGRAPH) {
      status = read_ideographs(reading, i, &end);
      end = end > i ? end : i + 1;
    } else if (reading->kinds[i] == WORD_LETTERS) {
      const size_t before = reading->spoken.count;
      status = read_number_word(reading, i, tens);
      tens = reading->spoken.count > before ? tens_before(&reading->spoken) : 0;
      if (status == QE_OK)
        status = read_roman(reading, word);
    } else if (!(word.size == 1 && *word.data == '-')) {
      tens = 0;
    }
  }
  return status;
}

int numerals_read(struct reading *reading) {
  reading->numerals.count = reading->spoken.count = 0;
  const int status = read_digits(reading);
  return status == QE_OK ? read_words(reading) : status;
}

/* ---- comparing ---- */

static bool same(const struct numeral *a, const struct numeral *b) {
  return a->significand == b->significand && a->exponent == b->exponent;
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
  if (a->significand == b->significand) {
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

static bool excused(const struct numeral *numeral, const struct numerals *spoken) {
  for (size_t i = 0; i < spoken->count; i++)
    if (alike(numeral, &spoken->items[i]))
      return true;
  return false;
}

static size_t unpaired(const struct numerals *numerals, const struct reading *other,
                       const struct reading *witness) {
  size_t count = 0;
  for (size_t i = 0; i < numerals->count; i++)
    count += !numerals->items[i].used && !excused(&numerals->items[i], &other->spoken) &&
             !(witness && excused(&numerals->items[i], &witness->spoken));
  return count;
}

static void release(struct numerals *numerals) {
  for (size_t i = 0; i < numerals->count; i++)
    numerals->items[i].used = false;
}

size_t numerals_differing(struct reading *source, struct reading *text, const struct reading *witness) {
  release(&source->numerals);
  release(&text->numerals);
  pair_up(&source->numerals, &text->numerals, same);
  pair_up(&source->numerals, &text->numerals, alike);
  return unpaired(&source->numerals, text, NULL) + unpaired(&text->numerals, source, witness);
}
