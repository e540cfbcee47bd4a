/*
** test_gzip.c - whole files that may be packed: members that zlib packs here come back, what is no gzip stays, and
** damage, a cut and a bomb are refused.
*/
#include "gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

enum { SIZE = 3000000, ROOM = 4000000 };

static char *make_text(void) {
  char *text = malloc(SIZE);
  qe_rng rng;
  qe_rng_seed(&rng, 1, "text");
  for (size_t i = 0; i < SIZE; i++)
    text[i] = (char)('a' + qe_rng_below(&rng, 20));
  return text;
}

/* One member, behind those that are there. */
static void pack(char *packed, size_t *used, char *text, size_t size) {
  z_stream stream = { 0 };
  assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = (unsigned char *)text;
  stream.avail_in = (unsigned)size;
  stream.next_out = (unsigned char *)packed + *used;
  stream.avail_out = (unsigned)(ROOM - *used);
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  *used += stream.total_out;
  deflateEnd(&stream);
}

static char *copy(const char *bytes, size_t size) {
  char *block = memory_new(size, 1);
  memcpy(block, bytes, size);
  return block;
}

static int unpack(const char *bytes, size_t size, size_t limit, const char *expected, size_t expected_size,
                  const char *word) {
  struct error error = { 0 };
  char *block = copy(bytes, size);
  const int status = gzip_unpack(&block, &size, limit, &error);
  if (status == QE_OK) {
    assert_int_equal(size, expected_size);
    assert_memory_equal(block, expected, size);
  } else if (!strstr(error.text, word))
    fail_msg("\"%s\" does not say \"%s\"", error.text, word);
  memory_free(block);
  return status;
}

static void test_members(void **state) {
  char *text = make_text(), *packed = malloc(ROOM);
  size_t used = 0;
  (void)state;
  pack(packed, &used, text, SIZE / 2);
  pack(packed, &used, text, 0);
  pack(packed, &used, text + SIZE / 2, SIZE - SIZE / 2);
  assert_int_equal(unpack(packed, used, SIZE, text, SIZE, ""), QE_OK);
  assert_int_equal(unpack(packed, used, SIZE - 1, text, SIZE, "limit"), QE_FORMAT);
  assert_int_equal(unpack(packed, used - 1, SIZE, text, SIZE, "too early"), QE_FORMAT);
  packed[used / 2] ^= 0x55;
  assert_int_equal(unpack(packed, used, SIZE, text, SIZE, "damaged"), QE_FORMAT);
  free(packed);
  free(text);
}

static void test_plain(void **state) {
  static const char *const texts[] = { "", "\x1f", "index\tscore\n", "\x8b\x1f", "\x1fgz" };
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_int_equal(unpack(texts[i], strlen(texts[i]), 0, texts[i], strlen(texts[i]), ""), QE_OK);
  assert_int_equal(unpack("\x1f\x8b rest", 7, SIZE, NULL, 0, "damaged"), QE_FORMAT);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_members), cmocka_unit_test(test_plain) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
