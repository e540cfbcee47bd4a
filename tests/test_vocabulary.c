/*
** test_vocabulary.c - words -> ids: n-grams against a twin that builds each as a string and hashes it by shifts;
** the table of words against linear search; counting against a count in quadratic time; the archive member and all
** that it refuses; copies and fingerprints.
*/
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <utf8proc.h>

/* ---- n-grams ---- */

/* The prime is 2^40 + 2^8 + 0xb3. */
static uint64_t twin_hash(const char *text) {
  uint64_t hash = UINT64_C(14695981039346656037);
  for (size_t i = 0; text[i]; i++) {
    hash ^= (unsigned char)text[i];
    hash = (hash << 40) + (hash << 8) + hash * 0xb3;
  }
  return hash;
}

/* Words of at most 60 characters, well-formed. */
static size_t twin_ids(const char *word, uint32_t rows, bool lowercase, uint32_t *ids) {
  char characters[62][5] = { "<" }, whole[300] = "\x02";
  size_t count = 1, used = 0;
  for (const char *at = word; *at;) {
    int32_t point;
    at += utf8proc_iterate((const utf8proc_uint8_t *)at, -1, &point);
    characters[count][utf8proc_encode_char(lowercase ? utf8proc_tolower(point) : point,
                                           (utf8proc_uint8_t *)characters[count])] = '\0';
    strcat(whole, characters[count++]);
  }
  strcpy(characters[count++], ">");
  ids[used++] = (uint32_t)(twin_hash(strcat(whole, "\x03")) % rows);
  for (size_t first = 0; first < count; first++)
    for (size_t length = 3; length <= 5 && first + length <= count; length++) {
      char ngram[30] = "";
      for (size_t i = 0; i < length; i++)
        strcat(ngram, characters[first + i]);
      if (used < VOCABULARY_MAX_IDS)
        ids[used++] = (uint32_t)(twin_hash(ngram) % rows);
    }
  return used;
}

static void check_ids(const char *word, uint32_t rows, bool lowercase) {
  uint32_t ids[VOCABULARY_MAX_IDS], expected[VOCABULARY_MAX_IDS];
  struct vocabulary vocabulary;
  assert_int_equal(vocabulary_hashed(&vocabulary, rows, lowercase), QE_OK);
  size_t count = vocabulary_ids(&vocabulary, qe_string(word), ids);
  assert_int_equal(count, twin_ids(word, rows, lowercase, expected));
  assert_memory_equal(ids, expected, count * sizeof *ids);
  vocabulary_free(&vocabulary);
}

static void test_ngrams(void **state) {
  (void)state;
  static const char *const words[] = { "",
                                       "a",
                                       "ab",
                                       "abc",
                                       "Abcd",
                                       "banana",
                                       "aaaaaa",
                                       "<",
                                       ">",
                                       "<>",
                                       "\xc3\x95un",
                                       "\xd0\x9b\xd1\x91\xd0\xb4",
                                       "\xe4\xb8\xad",
                                       "\xf0\x9f\x98\x80",
                                       "\xc4\xb0x",
                                       "abcdefghijklmnopqrstuvwxyzabcdef",
                                       "\xc3\xa4\xc3\xa4\xc3\xa4" };
  static const uint32_t rows[] = { 1, 2, 97, 32768, 1000003, 1u << 24 };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
      for (int lowercase = 0; lowercase < 2; lowercase++)
        check_ids(words[i], rows[j], lowercase);
}

static void test_ngrams_random(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 1, "ngrams");
  for (int round = 0; round < 3000; round++) {
    char word[260];
    size_t size = 0;
    for (size_t left = qe_rng_below(&rng, round % 10 ? 12 : 60); left > 0; left--) {
      int32_t point = 33 + (int32_t)qe_rng_below(&rng, qe_rng_below(&rng, 3) ? 90 : 0xd7cd);
      size += (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)word + size);
    }
    word[size] = '\0';
    check_ids(word, 1 + (uint32_t)qe_rng_below(&rng, 100000), round % 2);
  }
}

/* The ids of a word of 4 characters: the word, then by where they begin. */
static void test_ngram_order(void **state) {
  (void)state;
  static const char *const expected[] = { "\x02word\x03", "<wo",   "<wor", "<word", "wor",
                                          "word",         "word>", "ord",  "ord>",  "rd>" };
  uint32_t ids[VOCABULARY_MAX_IDS];
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 1u << 24, true);
  assert_int_equal(vocabulary_ids(&vocabulary, qe_string("WORD"), ids), 10);
  for (size_t i = 0; i < 10; i++)
    assert_int_equal(ids[i], twin_hash(expected[i]) % (1u << 24));
  assert_int_equal(vocabulary_hashed(&vocabulary, 0, true), QE_USE);
}

/* Only the first 256 characters count, and no more than 96 ids are given. */
static void test_long_words(void **state) {
  (void)state;
  char word[2000];
  uint32_t ids[VOCABULARY_MAX_IDS], other[VOCABULARY_MAX_IDS];
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 1u << 20, false);
  for (size_t i = 0; i < sizeof word; i += 2)
    memcpy(word + i, i / 2 % 3 ? "\xc3\xb5" : "\xc3\xa4", 2);
  assert_int_equal(vocabulary_ids(&vocabulary, (qe_text){ word, sizeof word }, ids), VOCABULARY_MAX_IDS);
  vocabulary_ids(&vocabulary, (qe_text){ word, 2 * VOCABULARY_MAX_WORD }, other);
  assert_memory_equal(ids, other, sizeof ids);
  vocabulary_ids(&vocabulary, (qe_text){ word, 2 * VOCABULARY_MAX_WORD - 2 }, other);
  assert_int_not_equal(ids[0], other[0]);
  assert_memory_equal(ids + 1, other + 1, sizeof ids - sizeof *ids);
}

/* Bad bytes count as U+FFFD. */
static void test_bad_bytes(void **state) {
  (void)state;
  uint32_t ids[VOCABULARY_MAX_IDS], other[VOCABULARY_MAX_IDS];
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 32768, true);
  size_t count = vocabulary_ids(&vocabulary, qe_string("a\xff\xe2\x82z"), ids);
  assert_int_equal(vocabulary_ids(&vocabulary, qe_string("a\xef\xbf\xbd\xef\xbf\xbdZ"), other), count);
  assert_memory_equal(ids, other, count * sizeof *ids);
}

/* ---- words ---- */

static struct vocabulary counted(const char *const *texts, size_t count, uint32_t rows, uint32_t minimum,
                                 bool lowercase, size_t max_words) {
  struct vocabulary vocabulary;
  struct error error = { 0 };
  qe_text *all = calloc(count + 1, sizeof *all);
  for (size_t i = 0; i < count; i++)
    all[i] = qe_string(texts[i]);
  assert_int_equal(vocabulary_count(&vocabulary, all, count, rows, minimum, lowercase, max_words, &error), QE_OK);
  free(all);
  return vocabulary;
}

/* Its words behind each other, separated by spaces. */
static void check_rows(struct vocabulary vocabulary, const char *expected) {
  char found[2000] = "";
  for (uint32_t row = 1; row < vocabulary.rows; row++) {
    char word[100];
    snprintf(word, sizeof word, "%s%.*s", row > 1 ? " " : "",
             (int)(vocabulary.offset[row] - vocabulary.offset[row - 1]),
             vocabulary.bytes + vocabulary.offset[row - 1]);
    strcat(found, word);
  }
  assert_string_equal(found, expected);
  vocabulary_free(&vocabulary);
}

static void test_count(void **state) {
  (void)state;
  static const char *const texts[] = { "b a c. B", "a b", "a \xc3\x95 d ab", "", "\xc3\xb5 d" };
  check_rows(counted(texts, 5, 100, 1, false, SIZE_MAX), "a b d . B ab c \xc3\x95 \xc3\xb5");
  check_rows(counted(texts, 5, 100, 1, true, SIZE_MAX), "a b d \xc3\xb5 . ab c");
  check_rows(counted(texts, 5, 100, 2, false, SIZE_MAX), "a b d");
  check_rows(counted(texts, 5, 100, 0, false, 1), "a b \xc3\xb5");
  check_rows(counted(texts, 5, 4, 1, true, SIZE_MAX), "a b d");
  check_rows(counted(texts, 5, 1, 1, true, SIZE_MAX), "");
  check_rows(counted(texts, 0, 5, 1, true, SIZE_MAX), "");
  struct error error = { 0 };
  struct vocabulary vocabulary;
  assert_int_equal(vocabulary_count(&vocabulary, NULL, 0, 0, 1, true, 10, &error), QE_USE);
  assert_string_equal(error.text, "a vocabulary has at least one row, that of the unknown word");
}

enum { DRAWN = 3000, KINDS = 1200 };

static void draw_word(uint64_t number, char word[16]) {
  snprintf(word, 16, "%s%x", number % 3 ? "w" : "\xc3\xb5", (unsigned)(number * number));
}

/* All words of a text, the frequent ones by chance; frequency[] as counted. */
static char *draw_text(size_t frequency[KINDS]) {
  char *text = calloc(DRAWN, 17);
  qe_rng rng;
  qe_rng_seed(&rng, 1, "words");
  for (size_t i = 0; i < DRAWN; i++) {
    uint64_t number = qe_rng_below(&rng, 1 + qe_rng_below(&rng, KINDS));
    draw_word(number, text + strlen(text));
    strcat(text, " ");
    frequency[number]++;
  }
  return text;
}

/* Words by how many words should stand before them. */
static void test_count_random(void **state) {
  (void)state;
  static size_t frequency[KINDS];
  static char words[KINDS][16];
  char *text = draw_text(frequency);
  struct vocabulary vocabulary = counted((const char *const[]){ text }, 1, 400, 2, false, SIZE_MAX);
  for (uint64_t i = 0; i < KINDS; i++)
    draw_word(i, words[i]);
  for (size_t i = 0; i < KINDS; i++) {
    size_t before = 0;
    uint32_t ids[VOCABULARY_MAX_IDS];
    for (size_t j = 0; j < KINDS; j++)
      before += frequency[j] > frequency[i] || (frequency[j] == frequency[i] && strcmp(words[j], words[i]) < 0);
    assert_int_equal(vocabulary_ids(&vocabulary, qe_string(words[i]), ids), 1);
    assert_int_equal(ids[0], before < 399 && frequency[i] >= 2 ? before + 1 : 0);
  }
  vocabulary_free(&vocabulary);
  free(text);
}

static uint32_t id_of(const struct vocabulary *vocabulary, const char *word) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  assert_int_equal(vocabulary_ids(vocabulary, qe_string(word), ids), 1);
  return ids[0];
}

static void test_look_up(void **state) {
  (void)state;
  struct vocabulary small = counted((const char *const[]){ "Aa aa Aa \xc3\x95" }, 1, 9, 1, false, 9);
  assert_int_equal(id_of(&small, "Aa"), 1);
  assert_int_equal(id_of(&small, "aa"), 2);
  assert_int_equal(id_of(&small, "\xc3\x95"), 3);
  assert_int_equal(id_of(&small, "\xc3\xb5"), 0);
  assert_int_equal(id_of(&small, ""), 0);
  vocabulary_free(&small);
  small = counted((const char *const[]){ "Aa aa Aa \xc3\x95" }, 1, 9, 1, true, 9);
  assert_int_equal(id_of(&small, "AA"), 1);
  assert_int_equal(id_of(&small, "\xc3\xb5"), 2);
  vocabulary_free(&small);
}

/* A word of more than 256 characters is known by its first 256, and such a vocabulary can be written and read. */
static void test_long_key(void **state) {
  (void)state;
  char text[700], *bytes;
  struct error error = { 0 };
  struct vocabulary again;
  size_t size;
  memset(text, 'x', 699);
  text[699] = '\0';
  struct vocabulary vocabulary = counted((const char *const[]){ text }, 1, 9, 1, false, 9);
  assert_int_equal(vocabulary.offset[1], VOCABULARY_MAX_WORD);
  assert_int_equal(id_of(&vocabulary, text), 1);
  assert_int_equal(id_of(&vocabulary, text + 450), 0);
  assert_int_equal(vocabulary_write(&vocabulary, &bytes, &size), QE_OK);
  assert_int_equal(vocabulary_parse(&again, (qe_text){ bytes, size }, 2, false, &error), QE_OK);
  assert_int_equal(id_of(&again, text), 1);
  memory_free(bytes);
  vocabulary_free(&again);
  vocabulary_free(&vocabulary);
}

/* Lower-casing twice is lower-casing once, so that a vocabulary's words find themselves. */
static void test_lowercase(void **state) {
  (void)state;
  for (int32_t point = 0; point < 0x110000; point++) {
    const int32_t lower = utf8proc_tolower(point);
    if (utf8proc_tolower(lower) != lower)
      fail_msg("U+%04X", (unsigned)point);
  }
}

/* ---- the archive member ---- */

static int parse(const char *bytes, size_t size, uint32_t rows, struct error *error) {
  struct vocabulary vocabulary;
  *error = (struct error){ 0 };
  int status = vocabulary_parse(&vocabulary, (qe_text){ bytes, size }, rows, false, error);
  if (status != QE_OK) {
    assert_null(vocabulary.bytes);
    assert_null(vocabulary.offset);
    assert_null(vocabulary.slots);
  }
  vocabulary_free(&vocabulary);
  return status;
}

#define MEMBER "\3\0one\2\0\xc3\xb5\1\0b"
enum { MEMBER_SIZE = sizeof MEMBER - 1 };

static void test_member(void **state) {
  (void)state;
  struct error error = { 0 };
  struct vocabulary vocabulary;
  char *bytes;
  size_t size;
  assert_int_equal(vocabulary_parse(&vocabulary, (qe_text){ MEMBER, MEMBER_SIZE }, 4, false, &error), QE_OK);
  assert_int_equal(id_of(&vocabulary, "one"), 1);
  assert_int_equal(id_of(&vocabulary, "\xc3\xb5"), 2);
  assert_int_equal(id_of(&vocabulary, "b"), 3);
  assert_int_equal(id_of(&vocabulary, "two"), 0);
  assert_int_equal(vocabulary_write(&vocabulary, &bytes, &size), QE_OK);
  assert_int_equal(size, MEMBER_SIZE);
  assert_memory_equal(bytes, MEMBER, size);
  memory_free(bytes);
  vocabulary_free(&vocabulary);
  assert_int_equal(parse("", 0, 1, &error), QE_OK);
  vocabulary_hashed(&vocabulary, 5, true);
  assert_int_equal(vocabulary_write(&vocabulary, &bytes, &size), QE_OK);
  assert_int_equal(size, 0);
  memory_free(bytes);
}

static void check_refused(const char *bytes, size_t size, uint32_t rows, const char *message) {
  struct error error;
  assert_int_equal(parse(bytes, size, rows, &error), QE_FORMAT);
  assert_string_equal(error.text, message);
}

static void test_refused(void **state) {
  (void)state;
  struct error error;
  check_refused(MEMBER, MEMBER_SIZE, 3, "vocabulary: more than the 2 words expected");
  check_refused(MEMBER, MEMBER_SIZE, 1, "vocabulary: more than the 0 words expected");
  check_refused(MEMBER, MEMBER_SIZE, 5, "vocabulary: 3 words, 4 expected");
  check_refused(MEMBER, MEMBER_SIZE - 1, 4, "vocabulary: word 3 is cut off");
  check_refused(MEMBER, MEMBER_SIZE - 2, 4, "vocabulary: word 3 is cut off");
  check_refused("\0\1x", 3, 2, "vocabulary: word 1 is cut off");
  check_refused("\1\0x\0\0", 5, 3, "vocabulary: word 2 is empty");
  check_refused("\1\0x\1\0y\1\0x", 9, 4, "vocabulary: word 3 is word 1 again");
  check_refused("\3\0a\xed\xa0", 5, 2, "vocabulary: word 1 is not UTF-8 from its byte 2 on");
  check_refused("\2\0\xe2\x82", 4, 2, "vocabulary: word 1 is not UTF-8 from its byte 1 on");
  assert_int_equal(parse("", 0, 0, &error), QE_USE);
  char long_word[2 + 2 * 257];
  for (size_t i = 0; i < sizeof long_word; i += 2)
    memcpy(long_word + i, i ? "\xc3\xb5" : "\2\2", 2);
  check_refused(long_word, sizeof long_word, 2, "vocabulary: word 1 has 257 characters, more than 256");
  long_word[0] = 0;
  assert_int_equal(parse(long_word, sizeof long_word - 2, 2, &error), QE_OK);
}

/* Words chosen to collide in tables of up to 4096 slots. */
static void test_collisions(void **state) {
  (void)state;
  enum { WORDS = 1100, WORD = 8 };
  static char member[WORDS * (WORD + 2)];
  struct error error;
  size_t size = 0;
  for (uint32_t number = 0, found = 0; found < WORDS; number++) {
    char word[WORD + 1];
    snprintf(word, sizeof word, "%08x", (unsigned)number);
    uint64_t hash = fnv1a(FNV1A_START, word, WORD);
    if (((hash ^ hash >> 32) & 4095) != 7)
      continue;
    memcpy(member + size, "\x08", 2);
    memcpy(member + size + 2, word, WORD);
    size += WORD + 2;
    found++;
  }
  assert_int_equal(parse(member, 1000 * (WORD + 2), 1001, &error), QE_OK);
  check_refused(member, size, WORDS + 1, "vocabulary: word 1025 has the hash of too many others");
}

/* ---- copies ---- */

static void test_copy(void **state) {
  (void)state;
  struct vocabulary copy, first = counted((const char *const[]){ "one two two \xc3\xb5" }, 1, 9, 1, true, 9);
  const uint64_t fingerprint = vocabulary_fingerprint(&first, 9);
  assert_int_equal(vocabulary_copy(&copy, &first), QE_OK);
  vocabulary_free(&first);
  assert_int_equal(id_of(&copy, "TWO"), 1);
  assert_int_equal(id_of(&copy, "one"), 2);
  assert_int_equal(id_of(&copy, "\xc3\x95"), 3);
  assert_true(vocabulary_fingerprint(&copy, 9) == fingerprint);
  vocabulary_free(&copy);
  vocabulary_hashed(&first, 77, true);
  assert_int_equal(vocabulary_copy(&copy, &first), QE_OK);
  check_ids("word", 77, true);
  assert_int_equal(copy.rows, 77);
  assert_true(copy.lowercase && copy.kind == VOCABULARY_NGRAMS);
  vocabulary_free(&copy);
}

static void test_fingerprint(void **state) {
  (void)state;
  enum { COUNT = 9 };
  struct vocabulary all[COUNT];
  uint64_t prints[COUNT + 1];
  vocabulary_hashed(&all[0], 100, true);
  vocabulary_hashed(&all[1], 101, true);
  vocabulary_hashed(&all[2], 100, false);
  all[3] = counted((const char *const[]){ "a bc" }, 1, 9, 1, true, 9);
  all[4] = counted((const char *const[]){ "ab c" }, 1, 9, 1, true, 9);
  all[5] = counted((const char *const[]){ "a bc bc" }, 1, 9, 1, true, 9);
  all[6] = counted((const char *const[]){ "a bc" }, 1, 9, 1, false, 9);
  all[7] = counted((const char *const[]){ "a" }, 1, 9, 1, false, 9);
  all[8] = counted((const char *const[]){ "" }, 1, 9, 1, false, 9);
  for (size_t i = 0; i < COUNT; i++)
    prints[i] = vocabulary_fingerprint(&all[i], 50);
  prints[COUNT] = vocabulary_fingerprint(&all[0], 51);
  for (size_t i = 0; i <= COUNT; i++)
    for (size_t j = 0; j < i; j++)
      assert_true(prints[i] != prints[j]);
  for (size_t i = 0; i < COUNT; i++)
    vocabulary_free(&all[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_ngrams),       cmocka_unit_test(test_ngrams_random), cmocka_unit_test(test_ngram_order),
    cmocka_unit_test(test_long_words),   cmocka_unit_test(test_bad_bytes),     cmocka_unit_test(test_count),
    cmocka_unit_test(test_count_random), cmocka_unit_test(test_look_up),       cmocka_unit_test(test_long_key),
    cmocka_unit_test(test_lowercase),    cmocka_unit_test(test_member),        cmocka_unit_test(test_refused),
    cmocka_unit_test(test_collisions),   cmocka_unit_test(test_copy),          cmocka_unit_test(test_fingerprint),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
