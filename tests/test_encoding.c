/*
** test_encoding.c - many texts as packed ids: each text's words and each word's ids are those that it has alone;
** texts without words; counts of truncated texts; clearing keeps the memory.
*/
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const texts[] = {
  "",
  "Old ships, new sails.",
  "   ",
  "one",
  "Uus meri \xe2\x80\x93 vana s\xc3\xb5it, eks?",
  "\xe6\xb5\xb7\xe3\x81\xae\xe8\x88\xb9",
  "\xff\xfe a b c d e f g h i j",
  "",
};
enum { TEXTS = sizeof texts / sizeof *texts };

/* Text `number` of the encoding against the same text encoded alone. */
static void check_text(const struct encoding *encoding, size_t number, const char *text,
                       const struct vocabulary *vocabulary, size_t max_words) {
  struct words words = { 0 };
  const uint32_t first = encoding->word[number], end = encoding->word[number + 1];
  assert_int_equal(words_split(&words, qe_string(text), max_words), QE_OK);
  assert_int_equal(end - first, words.count);
  for (uint32_t i = 0; i < words.count; i++) {
    uint32_t ids[VOCABULARY_MAX_IDS];
    qe_text word = { words.bytes + words.offset[i], words.offset[i + 1] - words.offset[i] };
    size_t count = vocabulary_ids(vocabulary, word, ids);
    const uint32_t at = encoding->id[first + i];
    assert_int_equal(encoding->id[first + i + 1] - at, count);
    assert_memory_equal(encoding->ids + at, ids, count * sizeof *ids);
  }
  words_free(&words);
}

static void add_all(struct encoding *encoding, const struct vocabulary *vocabulary, size_t max_words) {
  struct encoding_work work = { 0 };
  for (size_t i = 0; i < TEXTS; i++)
    assert_int_equal(encoding_add(encoding, &work, vocabulary, qe_string(texts[i]), max_words), QE_OK);
  encoding_work_free(&work);
}

static void check_all(const struct vocabulary *vocabulary, size_t max_words, size_t truncated) {
  struct encoding encoding = { 0 };
  add_all(&encoding, vocabulary, max_words);
  add_all(&encoding, vocabulary, max_words);
  assert_int_equal(encoding.texts, 2 * TEXTS);
  assert_int_equal(encoding.truncated, 2 * truncated);
  assert_int_equal(encoding.word[0], 0);
  assert_int_equal(encoding.id[0], 0);
  assert_int_equal(encoding.word[encoding.texts], encoding.words);
  assert_int_equal(encoding.id[encoding.words], encoding.id_count);
  for (size_t i = 0; i < 2 * TEXTS; i++)
    check_text(&encoding, i, texts[i % TEXTS], vocabulary, max_words);
  encoding_free(&encoding);
}

static void test_ngrams(void **state) {
  (void)state;
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 1000, true);
  check_all(&vocabulary, SIZE_MAX, 0);
  check_all(&vocabulary, 6, 2);
  check_all(&vocabulary, 1, 4);
}

static void test_words(void **state) {
  (void)state;
  struct vocabulary vocabulary;
  struct error error = { 0 };
  qe_text all[TEXTS];
  for (size_t i = 0; i < TEXTS; i++)
    all[i] = qe_string(texts[i]);
  assert_int_equal(vocabulary_count(&vocabulary, all, TEXTS, 10, 1, false, 5, &error), QE_OK);
  check_all(&vocabulary, SIZE_MAX, 0);
  check_all(&vocabulary, 3, 3);
  vocabulary_free(&vocabulary);
}

static void test_empty(void **state) {
  (void)state;
  struct encoding encoding = { 0 };
  struct encoding_work work = { 0 };
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 10, true);
  encoding_clear(&encoding);
  assert_int_equal(encoding_add(&encoding, &work, &vocabulary, (qe_text){ NULL, 0 }, 5), QE_OK);
  assert_int_equal(encoding.texts, 1);
  assert_int_equal(encoding.words, 0);
  assert_int_equal(encoding.word[0], 0);
  assert_int_equal(encoding.word[1], 0);
  assert_int_equal(encoding.id[0], 0);
  encoding_free(&encoding);
  encoding_free(&encoding);
  encoding_work_free(&work);
}

static void test_clear(void **state) {
  (void)state;
  struct encoding encoding = { 0 };
  struct vocabulary vocabulary;
  vocabulary_hashed(&vocabulary, 64, false);
  add_all(&encoding, &vocabulary, 4);
  const struct encoding before = encoding;
  encoding_clear(&encoding);
  assert_int_equal(encoding.texts + encoding.words + encoding.id_count + encoding.truncated, 0);
  assert_int_equal(encoding.word[0], 0);
  assert_int_equal(encoding.id[0], 0);
  add_all(&encoding, &vocabulary, 4);
  assert_memory_equal(&encoding, &before, sizeof before); /* the very same memory */
  check_text(&encoding, 4, texts[4], &vocabulary, 4);
  encoding_free(&encoding);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_ngrams),
    cmocka_unit_test(test_words),
    cmocka_unit_test(test_empty),
    cmocka_unit_test(test_clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
