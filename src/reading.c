/*
** reading.c - words and characters of a text, as the guards need them: every word once as it was and once in lower
** case, with its kind and hash; letters by script. Invariant: the arrays per word have as many entries as there are
** words. Time is n log n at most. Scripts are told by ranges of code points, which is enough for letters.
*/
#include "guard.h"

#include <utf8proc.h>

enum { GRAM = 4, IDEOGRAPH_WEIGHT = 3 };

/* ---- characters ---- */

struct script_range {
  int32_t first, last;
  int script;
};

/* Han, kana and Bopomofo share a number, for Japanese mixes them freely. */
enum {
  HEBREW = SCRIPT_FIRST_OTHER,
  ARABIC,
  INDIC,
  TIBETAN = INDIC + 12,
  MYANMAR,
  GEORGIAN,
  HANGUL,
  ETHIOPIC,
  KHMER,
  MONGOLIAN,
  HAN,
  OTHER
};
_Static_assert((int)OTHER < (int)SCRIPTS, "scripts are numbered below SCRIPTS");

static const struct script_range script_ranges[] = {
  { 0x41, 0x2af, SCRIPT_LATIN },
  { 0x370, 0x3ff, SCRIPT_GREEK },
  { 0x400, 0x52f, SCRIPT_CYRILLIC },
  { 0x530, 0x58f, SCRIPT_ARMENIAN },
  { 0x590, 0x5ff, HEBREW },
  { 0x600, 0x8ff, ARABIC },
  { 0xf00, 0xfff, TIBETAN },
  { 0x1000, 0x109f, MYANMAR },
  { 0x10a0, 0x10ff, GEORGIAN },
  { 0x1100, 0x11ff, HANGUL },
  { 0x1200, 0x139f, ETHIOPIC },
  { 0x1780, 0x17ff, KHMER },
  { 0x1800, 0x18af, MONGOLIAN },
  { 0x1c80, 0x1c8f, SCRIPT_CYRILLIC },
  { 0x1c90, 0x1cbf, GEORGIAN },
  { 0x1d00, 0x1dbf, SCRIPT_LATIN },
  { 0x1e00, 0x1eff, SCRIPT_LATIN },
  { 0x1f00, 0x1fff, SCRIPT_GREEK },
  { 0x2c60, 0x2c7f, SCRIPT_LATIN },
  { 0x2d00, 0x2d2f, GEORGIAN },
  { 0x2de0, 0x2dff, SCRIPT_CYRILLIC },
  { 0x2e80, 0x312f, HAN },
  { 0x3130, 0x318f, HANGUL },
  { 0x3190, 0x9fff, HAN },
  { 0xa640, 0xa69f, SCRIPT_CYRILLIC },
  { 0xa720, 0xa7ff, SCRIPT_LATIN },
  { 0xa8e0, 0xa8ff, INDIC },
  { 0xab30, 0xab6f, SCRIPT_LATIN },
  { 0xac00, 0xd7af, HANGUL },
  { 0xf900, 0xfaff, HAN },
  { 0xfb50, 0xfdff, ARABIC },
  { 0xfe70, 0xfefe, ARABIC },
  { 0xff21, 0xff5a, SCRIPT_LATIN },
  { 0xff66, 0xff9f, HAN },
  { 0x20000, 0x3ffff, HAN },
};

int reading_script(int32_t point) {
  const utf8proc_category_t category = utf8proc_category(point);
  if (category < UTF8PROC_CATEGORY_LU || category > UTF8PROC_CATEGORY_LO)
    return SCRIPT_NONE;
  if (point >= 0x900 && point < 0xf00) /* Devanagari to Lao, 128 code points each */
    return INDIC + (point - 0x900) / 0x80;
  for (size_t i = 0; i < sizeof script_ranges / sizeof *script_ranges; i++)
    if (point <= script_ranges[i].last)
      return point >= script_ranges[i].first ? script_ranges[i].script : OTHER;
  return OTHER;
}

size_t reading_script_weight(int script) {
  return script == HAN ? IDEOGRAPH_WEIGHT : 1;
}

int reading_main_script(const size_t letters[SCRIPTS]) {
  int most = SCRIPT_NONE; /* of which there are none */
  for (int script = 1; script < SCRIPTS; script++)
    if (letters[script] > letters[most])
      most = script;
  return most;
}

bool reading_is_language(const char *code, const char *name) {
  return code && (code[0] | 0x20) == name[0] && (code[1] | 0x20) == name[1] &&
         (code[2] == '\0' || code[2] == '-' || code[2] == '_');
}

/* "-Latn" and the like, but for the Chinese "-Hans" and "-Hant" */
static bool names_script(const char *code) {
  const char *tag = code + 3;
  const bool chinese = (tag[0] | 0x20) == 'h' && (tag[1] | 0x20) == 'a' && (tag[2] | 0x20) == 'n';
  return strcspn(tag, "-_") == 4 && !chinese;
}

int reading_script_of_language(const char *code) {
  static const struct {
    int script;
    const char *languages; /* of two letters each */
  } known[] = {
    { SCRIPT_LATIN, "en de et ro es fr it pt nl pl cs sk sl hr hu fi sv da no nb lv lt tr vi id ca eu gl ga is" },
    { SCRIPT_CYRILLIC, "ru uk be bg mk" },
    { HAN, "zh ja" },
    { HANGUL, "ko" },
    { SCRIPT_GREEK, "el" },
    { SCRIPT_ARMENIAN, "hy" },
    { GEORGIAN, "ka" },
    { HEBREW, "he" },
    { ARABIC, "ar fa ur ps" },
    { INDIC, "ne hi mr" },
    { INDIC + (0xd80 - 0x900) / 0x80, "si" },
    { KHMER, "km" },
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    for (const char *name = known[i].languages; name; name = strchr(name, ' ') ? strchr(name, ' ') + 1 : NULL)
      if (reading_is_language(code, name))
        return code[2] && names_script(code) ? SCRIPT_NONE : known[i].script;
  return SCRIPT_NONE;
}

/* Characters that show nothing although their category does not say so. */
static bool is_blank(int32_t point) {
  return point == 0x34f || point == 0x115f || point == 0x1160 || point == 0x2800 || point == 0x3164 ||
         point == 0xffa0 || (point >= 0x17b4 && point <= 0x17b5) || (point >= 0x180b && point <= 0x180f) ||
         (point >= 0xfe00 && point <= 0xfe0f) || (point >= 0xe0000 && point <= 0xe0fff);
}

static bool is_seen(int32_t point) {
  if (point < 0x7f)
    return point > 0x20 || point == UTF8_BAD; /* which is shown as U+FFFD */
  const utf8proc_category_t category = utf8proc_category(point);
  const bool control = category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF;
  return !control && !(category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) && !is_blank(point);
}

static bool any_seen(qe_text text) {
  int32_t point;
  for (size_t at = 0; at < text.size;) {
    at += utf8_decode(text.data + at, text.size - at, &point);
    if (is_seen(point))
      return true;
  }
  return false;
}

/* ---- sorting: heapsort, which asks for no memory ---- */

static void sift(uint64_t *items, size_t root, size_t count) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && items[child] < items[child + 1])
      child++;
    if (items[root] >= items[child])
      return;
    const uint64_t item = items[root];
    items[root] = items[child];
    items[child] = item;
  }
}

void reading_sort(uint64_t *items, size_t count) {
  for (size_t root = count / 2; root-- > 0;)
    sift(items, root, count);
  for (size_t end = count; end-- > 1;) {
    const uint64_t item = items[0];
    items[0] = items[end];
    items[end] = item;
    sift(items, 0, end);
  }
}

/* ---- words ---- */

qe_text reading_word(const struct reading *reading, size_t number) {
  const uint32_t *offset = reading->words.offset + number;
  return (qe_text){ reading->words.bytes + offset[0], offset[1] - offset[0] };
}

qe_text reading_folded(const struct reading *reading, size_t number) {
  const uint32_t *offset = reading->folded_offset + number;
  return (qe_text){ reading->folded + offset[0], offset[1] - offset[0] };
}

qe_text reading_rest(const struct reading *reading, size_t number) {
  const uint32_t *offset = reading->folded_offset;
  return (qe_text){ reading->folded + offset[number], offset[reading->words.count] - offset[number] };
}

static bool matches(qe_text word, bool begins, const char *pattern, size_t size) {
  const bool end = *pattern == '*', beginning = begins || pattern[size - 1] == '*';
  const char *bytes = pattern + end;
  size -= end + (pattern[size - 1] == '*');
  if (word.size < size || (!end && !beginning && word.size != size))
    return false;
  return memcmp(end ? word.data + word.size - size : word.data, bytes, size) == 0;
}

bool reading_listed(qe_text word, bool begins, const char *list) {
  while (*list) {
    const char *blank = strchr(list, ' ');
    const size_t size = blank ? (size_t)(blank - list) : strlen(list);
    if (matches(word, begins, list, size))
      return true;
    list += size + (blank != NULL);
  }
  return false;
}

/* The next item of a list, of which `at` is put behind it; 0 at the end. */
static size_t next_item(const char **at, const char **pattern) {
  const size_t size = strcspn(*at, " ");
  *pattern = *at;
  *at += size + ((*at)[size] == ' ');
  return size;
}

bool listed_build(struct listed *listed, const char *const *lists, size_t count) {
  uint16_t place[257] = { 0 };
  const char *pattern;
  for (size_t i = 0; i < count; i++)
    for (const char *at = lists[i]; next_item(&at, &pattern) > 0;)
      place[(unsigned char)*pattern + 1]++;
  for (size_t byte = 0; byte < 256; byte++)
    place[byte + 1] = (uint16_t)(place[byte + 1] + place[byte]);
  memcpy(listed->first, place, sizeof place);
  if (place[256] > MOST_LISTED || count > 64)
    return false;
  for (size_t i = 0; i < count; i++)
    for (const char *at = lists[i]; *at;) {
      const size_t size = next_item(&at, &pattern);
      const size_t number = place[(unsigned char)*pattern]++;
      listed->item[number].pattern = pattern;
      listed->item[number].size = (uint16_t)size;
      listed->item[number].list = (uint16_t)i;
    }
  return true;
}

static uint64_t listed_under(const struct listed *listed, unsigned char byte, qe_text word) {
  uint64_t found = 0;
  for (size_t i = listed->first[byte]; i < listed->first[byte + 1]; i++)
    if (matches(word, false, listed->item[i].pattern, listed->item[i].size))
      found |= UINT64_C(1) << listed->item[i].list;
  return found;
}

uint64_t listed_in(const struct listed *listed, qe_text word) {
  if (word.size == 0)
    return 0;
  const unsigned char byte = (unsigned char)*word.data;
  return listed_under(listed, '*', word) | (byte != '*' ? listed_under(listed, byte, word) : 0);
}

static bool reserve_words(struct reading *reading) {
  const size_t count = reading->words.count;
  const size_t bytes = count > 0 ? reading->words.offset[count] : 0;
  return memory_reserve((void **)&reading->folded, &reading->folded_room, 2 * bytes, 1) &&
         memory_reserve((void **)&reading->folded_offset, &reading->folded_offset_room, count + 1,
                        sizeof *reading->folded_offset) &&
         memory_reserve((void **)&reading->kinds, &reading->kinds_room, count, sizeof *reading->kinds) &&
         memory_reserve((void **)&reading->hashes, &reading->hashes_room, count, sizeof *reading->hashes) &&
         memory_reserve((void **)&reading->sorted, &reading->sorted_room, count, sizeof *reading->sorted) &&
         memory_reserve((void **)&reading->grams, &reading->grams_room, count, sizeof *reading->grams);
}

/* Lower case takes at most twice the bytes. */
static size_t fold(char *folded, qe_text word) {
  size_t size = 0;
  for (size_t at = 0; at < word.size;) {
    int32_t point;
    at += utf8_decode(word.data + at, word.size - at, &point);
    size += (size_t)utf8proc_encode_char(utf8proc_tolower(point), (unsigned char *)folded + size);
  }
  return size;
}

static enum word_kind kind_of(qe_text word) {
  enum word_kind kind = WORD_MARK;
  for (size_t at = 0; at < word.size;) {
    int32_t point;
    at += utf8_decode(word.data + at, word.size - at, &point);
    const int script = reading_script(point);
    if (script != SCRIPT_NONE)
      return script == HAN ? WORD_IDEOGRAPH : WORD_LETTERS;
    if (utf8proc_category(point) == UTF8PROC_CATEGORY_ND)
      kind = WORD_NUMBER;
  }
  return kind;
}

static void count_characters(struct reading *reading) {
  const size_t size = reading->words.count > 0 ? reading->words.offset[reading->words.count] : 0;
  reading->length = 0;
  memset(reading->letters, 0, sizeof reading->letters);
  for (size_t at = 0; at < size;) {
    int32_t point;
    at += utf8_decode(reading->words.bytes + at, size - at, &point);
    const int script = reading_script(point);
    const size_t weight = reading_script_weight(script);
    reading->letters[script] += script == SCRIPT_NONE ? 0 : weight;
    reading->length += is_seen(point) ? weight : 0;
  }
}

static void describe_words(struct reading *reading) {
  uint32_t used = 0;
  reading->sorted_count = 0;
  for (size_t i = 0; i < reading->words.count; i++) {
    const qe_text word = reading_word(reading, i);
    const size_t size = fold(reading->folded + used, word);
    reading->folded_offset[i] = used;
    reading->kinds[i] = (unsigned char)kind_of(word);
    reading->hashes[i] = fnv1a(FNV1A_START, reading->folded + used, size);
    if (reading->kinds[i] >= WORD_LETTERS)
      reading->sorted[reading->sorted_count++] = reading->hashes[i];
    used += (uint32_t)size;
  }
  reading->folded_offset[reading->words.count] = used;
  reading_sort(reading->sorted, reading->sorted_count);
}

static void collect_grams(struct reading *reading) {
  reading->gram_count = 0;
  for (size_t i = GRAM; i <= reading->words.count; i++)
    reading->grams[reading->gram_count++] =
        fnv1a(FNV1A_START, reading->hashes + i - GRAM, GRAM * sizeof *reading->hashes);
  reading_sort(reading->grams, reading->gram_count);
}

int reading_of(struct reading *reading, qe_text text) {
  int status = text.size > UINT32_MAX / 8 ? QE_MEMORY : markup_read(reading, text);
  if (status == QE_OK)
    status = words_split(&reading->words, (qe_text){ reading->plain, reading->plain_size }, SIZE_MAX);
  if (status != QE_OK || !reserve_words(reading))
    return QE_MEMORY;
  reading->visible = any_seen(text);
  describe_words(reading);
  collect_grams(reading);
  count_characters(reading);
  numerals_read(reading);
  reading->spoken_known = false;
  return QE_OK;
}

void reading_free(struct reading *reading) {
  words_free(&reading->words);
  memory_free(reading->plain);
  memory_free(reading->folded);
  memory_free(reading->folded_offset);
  memory_free(reading->kinds);
  memory_free(reading->hashes);
  memory_free(reading->sorted);
  memory_free(reading->grams);
}
