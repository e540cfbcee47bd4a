/*
** fuzz_vocabulary.c - any bytes as the archive member of a vocabulary: the first says how many words are expected,
** the rest is the member. It is accepted where a naive reader accepts it, is written again as the same bytes, and
** every word finds its own row. The bytes are also taken as one word and hashed, and as a member of counted n-grams, which
** is written again as the same bytes where it is accepted.
*/
#include "bytes.h"
#include "text.h"

#include <stdlib.h>
#include <utf8proc.h>

enum { MOST_WORDS = 255 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine) {
  if (!fine)
    abort();
}

static bool good_word(qe_text word) {
  size_t points = 0;
  for (size_t at = 0; at < word.size; points++) {
    utf8proc_int32_t point;
    utf8proc_ssize_t taken =
        utf8proc_iterate((const utf8proc_uint8_t *)word.data + at, (utf8proc_ssize_t)(word.size - at), &point);
    if (taken < 1)
      return false;
    at += (size_t)taken;
  }
  return points >= 1 && points <= VOCABULARY_MAX_WORD;
}

/* How many words the member has; -1 if it is none. */
static int read_naively(qe_text member, qe_text words[MOST_WORDS + 1]) {
  const unsigned char *bytes = (const unsigned char *)member.data;
  int count = 0;
  for (size_t at = 0; at < member.size; count++) {
    if (member.size - at < 2 || count == MOST_WORDS)
      return -1;
    qe_text word = { member.data + at + 2, bytes[at] + 256u * bytes[at + 1] };
    if (word.size > member.size - at - 2 || !good_word(word))
      return -1;
    for (int i = 0; i < count; i++)
      if (words[i].size == word.size && memcmp(words[i].data, word.data, word.size) == 0)
        return -1;
    words[count] = word;
    at += 2 + word.size;
  }
  return count;
}

static void check_accepted(const struct vocabulary *vocabulary, qe_text member, const qe_text *words, int count) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  char *bytes;
  size_t size;
  check(vocabulary->rows == (uint32_t)count + 1);
  for (int i = 0; i < count; i++)
    check(vocabulary_ids(vocabulary, words[i], ids) == 1 && ids[0] == (uint32_t)i + 1);
  check(vocabulary_write(vocabulary, &bytes, &size) == QE_OK);
  check(size == member.size && (size == 0 || memcmp(bytes, member.data, size) == 0));
  memory_free(bytes);
}

static void check_hashed(qe_text word, uint32_t buckets) {
  struct vocabulary vocabulary;
  uint32_t ids[VOCABULARY_MAX_IDS];
  check(vocabulary_hashed(&vocabulary, buckets, buckets % 2) == QE_OK);
  const size_t count = vocabulary_ids(&vocabulary, word, ids);
  check(count >= 1 && count <= VOCABULARY_MAX_IDS);
  for (size_t i = 0; i < count; i++)
    check(ids[i] < buckets);
}

/* The rows are those that the member itself says, so that more than its head is looked at. */
static void check_counted(qe_text member) {
  struct vocabulary vocabulary;
  struct error error = { 0 };
  uint32_t ids[VOCABULARY_MAX_IDS];
  const uint32_t rows = member.size > 4 ? 1 + (uint32_t)bytes_load((const unsigned char *)member.data + 1, 4) : 1;
  if (rows == 0)
    return;
  if (vocabulary_parse_grams(&vocabulary, member, rows, true, &error) == QE_OK) {
    char *bytes;
    size_t size;
    check(vocabulary.rows == rows && vocabulary_write(&vocabulary, &bytes, &size) == QE_OK);
    check(size == member.size && memcmp(bytes, member.data, size) == 0);
    memory_free(bytes);
    const size_t count = vocabulary_ids(&vocabulary, member, ids);
    check(count >= 1 && count <= VOCABULARY_MAX_IDS);
    for (size_t i = 0; i < count; i++)
      check(ids[i] < rows);
  } else {
    check(error.status != QE_OK && error.text[0] != '\0');
  }
  vocabulary_free(&vocabulary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  struct vocabulary vocabulary;
  struct error error = { 0 };
  qe_text member = { (const char *)data + 1, size - 1 }, words[MOST_WORDS + 1];
  const uint32_t expected = data[0];
  const int count = read_naively(member, words);
  const int status = vocabulary_parse(&vocabulary, member, expected + 1, false, &error);
  check(status == error.status && (status == QE_OK) == (error.text[0] == '\0'));
  check((status == QE_OK) == (count == (int)expected));
  if (status == QE_OK)
    check_accepted(&vocabulary, member, words, count);
  vocabulary_free(&vocabulary);
  check_hashed(member, expected + 1);
  check_counted(member);
  return 0;
}
