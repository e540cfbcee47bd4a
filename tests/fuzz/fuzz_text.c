/*
** fuzz_text.c - any bytes as text. The words are well-formed UTF-8, none empty, none with white space inside, the
** same after a limit; where no run of marks is cut they are those of the twin, and stay when they are split again.
*/
#include "../words_twin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine) {
  if (!fine)
    abort();
}

static void check_word(const char *word, size_t size) {
  size_t characters = 0;
  bool alone = false;
  check(size > 0);
  for (size_t at = 0; at < size; characters++) {
    int32_t point;
    at += utf8_decode(word + at, size - at, &point);
    check(point != UTF8_BAD && !twin_space(point));
    alone = alone || twin_alone(point);
  }
  check(!alone || characters == 1);
}

static void check_limited(const struct words *all, qe_text text, size_t most) {
  struct words words = { 0 };
  check(words_split(&words, text, most) == QE_OK);
  check(words.truncated == (all->count > most) && words.count == (words.truncated ? most : all->count));
  check(memcmp(words.offset, all->offset, ((size_t)words.count + 1) * sizeof *words.offset) == 0);
  check(words.count == 0 || memcmp(words.bytes, all->bytes, words.offset[words.count]) == 0);
  words_free(&words);
}

static void check_again(const struct twin_words *twin) {
  struct words words = { 0 };
  check(words_split(&words, (qe_text){ twin->lines, twin->size }, SIZE_MAX) == QE_OK);
  check(twin_agrees(&words, twin));
  words_free(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct words words = { 0 };
  const qe_text text = { (const char *)data, size };
  check(words_split(&words, text, SIZE_MAX) == QE_OK && !words.truncated && words.offset[0] == 0);
  for (uint32_t i = 0; i < words.count; i++)
    check_word(words.bytes + words.offset[i], words.offset[i + 1] - words.offset[i]);
  check_limited(&words, text, words.count / 2);
  if (!twin_crowded(text.data, size)) {
    struct twin_words twin = twin_split(text.data, size);
    check(twin_agrees(&words, &twin));
    check_again(&twin);
    free(twin.lines);
  }
  words_free(&words);
  return 0;
}
