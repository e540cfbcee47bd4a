/*
** test_text.c - UTF-8 repair, normalisation and cutting into words: chosen texts, every code point, and random
** mixtures against a twin that treats the whole text at each step; limits; long runs of combining marks.
*/
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "words_twin.h"

/* ---- UTF-8 ---- */

/* Code points as "U+0041 U+0042", bad parts as "bad". */
static void decode_all(const char *text, char *out, size_t room) {
  size_t size = strlen(text), used = 0;
  out[0] = '\0';
  for (size_t at = 0; at < size;) {
    int32_t point;
    at += utf8_decode(text + at, size - at, &point);
    used +=
        (size_t)(point == UTF8_BAD ? snprintf(out + used, room - used, "%sbad", used ? " " : "")
                                   : snprintf(out + used, room - used, "%s%X", used ? " " : "", (unsigned)point));
  }
}

static void test_decode(void **state) {
  (void)state;
  static const char *const cases[][2] = {
    { "a\x7f", "61 7F" },
    { "\xc3\xb5\xe2\x82\xac\xf0\x9f\x98\x80", "F5 20AC 1F600" },
    { "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "80 7FF 800 FFFF 10000 10FFFF" },
    { "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", "bad bad bad bad bad bad bad bad 41" }, /* overlong */
    { "\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", "bad bad bad bad bad bad bad bad 41" }, /* surrogates */
    { "\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", "bad bad bad bad bad 41 bad bad 42" },  /* too great, stray */
    { "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "bad bad bad bad 41" },                 /* cut off: one each */
    { "\xf0\x9f\x98", "bad" },
    { "\xf0\x9f\x98 ", "bad 20" },
    { "\xed\x9f\xbf\xee\x80\x80", "D7FF E000" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char found[200];
    decode_all(cases[i][0], found, sizeof found);
    assert_string_equal(found, cases[i][1]);
  }
}

/* Four bytes with every pair of first ones, the others from those that matter. */
static void test_decode_against_twin(void **state) {
  (void)state;
  static const unsigned char some[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xff };
  for (unsigned pair = 0; pair < 65536; pair++)
    for (size_t third = 0; third < sizeof some; third++) {
      const unsigned char bytes[4] = { (unsigned char)(pair >> 8), (unsigned char)pair, some[third],
                                       some[(third * 5 + pair) % sizeof some] };
      char text[4];
      int32_t point;
      bool good;
      memcpy(text, bytes, 4);
      for (size_t size = 1; size <= 4; size++) {
        size_t taken = utf8_decode(text, size, &point), expected = twin_next(text, size, &good);
        if (taken != expected || (point != UTF8_BAD) != good)
          fail_msg("%02x %02x %02x %02x: %zu bytes taken, not %zu", bytes[0], bytes[1], bytes[2], bytes[3], taken,
                   expected);
      }
    }
}

/* ---- words ---- */

/* Joined by '|'. */
static void check_words(const char *text, const char *expected) {
  struct words words = { 0 };
  size_t size;
  assert_int_equal(words_split(&words, qe_string(text), SIZE_MAX), QE_OK);
  assert_false(words.truncated);
  char *lines = twin_lines(&words, &size);
  for (size_t i = 0; i < size; i++)
    if (lines[i] == '\n')
      lines[i] = i + 1 < size ? '|' : '\0';
  lines[size] = '\0';
  assert_string_equal(lines, expected);
  free(lines);
  words_free(&words);
}

static void test_chosen(void **state) {
  (void)state;
  check_words("", "");
  check_words(" \t\r\n\v\f ", "");
  check_words("one", "one");
  check_words("  one two  three ", "one|two|three");
  check_words("Don't (stop), now!", "Don|'|t|(|stop|)|,|now|!");
  check_words("3.5% of $20 a_b", "3|.|5|%|of|$|20|a|_|b");
  check_words("M\xc3\xb5ned \xe2\x80\x9eh\xc3\xa4sti\xe2\x80\x9c \xe2\x80\x93 ja",
              "M\xc3\xb5ned|\xe2\x80\x9e|h\xc3\xa4sti|\xe2\x80\x9c|\xe2\x80\x93|ja");
  check_words("\xd0\x9b\xd1\x91\xd0\xb4, \xd0\xb8", "\xd0\x9b\xd1\x91\xd0\xb4|,|\xd0\xb8");
  check_words("\xe6\xb8\xaf\xe5\x8f\xa3"
              "ab\xe3\x82\xab\xe3\x81\xaa\xe3\x80\x82",
              "\xe6\xb8\xaf|\xe5\x8f\xa3|ab|\xe3\x82\xab|\xe3\x81\xaa|\xe3\x80\x82");
  check_words("\xed\x95\x9c\xea\xb8\x80 \xeb\xa7\x90", "\xed\x95\x9c\xea\xb8\x80|\xeb\xa7\x90");
  check_words("\xe0\xb8\x97\xe0\xb8\xb5\xe0\xb9\x88",
              "\xe0\xb8\x97\xe0\xb8\xb5\xe0\xb9\x88"); /* Thai stays whole */
  check_words("ok\xf0\x9f\x98\x80go", "ok|\xf0\x9f\x98\x80|go");
}

static void test_spaces(void **state) {
  (void)state;
  check_words("a\xc2\xa0"
              "b\xe3\x80\x80"
              "c\xe2\x80\xa8"
              "d\xe2\x80\xa9"
              "e\xc2\x85"
              "f\x01g\x7fh",
              "a|b|c|d|e|f|g|h");
  struct words words = { 0 };
  assert_int_equal(words_split(&words, (qe_text){ "a\0b", 3 }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, 2);
  words_free(&words);
}

static void test_normalisation(void **state) {
  (void)state;
  check_words("u\xcc\x88"
              "ber",
              "\xc3\xbc"
              "ber"); /* composed */
  check_words("o\xcc\x83\xcc\x84"
              "x",
              "\xc8\xad"
              "x");                                                    /* twice */
  check_words("a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81");            /* ordered first */
  check_words("\xef\xac\x81ne", "fine");                               /* ligature */
  check_words("\xef\xbc\xa1\xef\xbc\x91\xef\xbc\x81", "A1|!");         /* full width */
  check_words("\xef\xbd\xb6\xef\xbe\x9e", "\xe3\x82\xac");             /* half width with its mark */
  check_words("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"); /* Hangul from its parts */
  check_words("\xea\xb0\x80\xe1\x86\xa8"
              "a",
              "\xea\xb0\x81"
              "a"); /* and a final added */
  check_words("\xc2\xbd\xe2\x80\xa6", "1|\xe2\x81\x84|2|.|.|.");
  check_words("=\xcc\xb8"
              "a",
              "\xe2\x89\xa0|a"); /* ASCII that composes */
  check_words("ab\xcc\x80"
              "c",
              "ab\xcc\x80"
              "c");                                            /* nothing to compose with */
  check_words("\xe2\x84\xab\xe2\x84\xa6", "\xc3\x85\xce\xa9"); /* singletons */
  check_words("\xe0\xb7\x99\xe0\xb7\x8f", "\xe0\xb7\x9c");     /* two vowel signs, classes 0 */
  check_words("a\xff"
              "b\xe2\x82"
              "c",
              "a|\xef\xbf\xbd|b|\xef\xbf\xbd|c"); /* repaired */
}

static void check_twin(struct words *words, const char *text, size_t size) {
  struct twin_words twin = twin_split(text, size);
  assert_int_equal(words_split(words, (qe_text){ text, size }, SIZE_MAX), QE_OK);
  if (!twin_agrees(words, &twin)) {
    for (size_t i = 0; i < size && i < 200; i++)
      print_error("%02x ", (unsigned char)text[i]);
    fail_msg("the words of these bytes are not those of the twin");
  }
  free(twin.lines);
}

/* Some at a time: `before`, the code point and `after` over and over. */
static void check_points(struct words *words, int32_t first, int32_t end, const char *before, const char *after) {
  enum { AT_A_TIME = 512 };
  static char text[AT_A_TIME * 20];
  for (int32_t point = first; point < end;) {
    size_t size = 0;
    for (int i = 0; i < AT_A_TIME && point < end; i++, point++) {
      size += (size_t)sprintf(text + size, "%s", before);
      if (utf8proc_codepoint_valid(point))
        size += (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)text + size);
      size += (size_t)sprintf(text + size, "%s", after);
    }
    check_twin(words, text, size);
  }
}

static void test_every_point(void **state) {
  (void)state;
  struct words words = { 0 };
  check_points(&words, 0, 0x32000, "e", " ");
  check_points(&words, 0xe0000, 0xe0200, "e", " ");
  check_points(&words, 0, 0x3000, "\xc3\xb5", "\xcc\x88\xcc\xa3");       /* marks behind it */
  check_points(&words, 0xa000, 0x11a00, "\xe1\x84\x92", "\xe1\x85\xa1"); /* amid parts of Hangul */
  check_points(&words, 0x900, 0xe00, "\xe0\xb7\x99", "\xe0\xb7\x8f");    /* amid vowel signs */
  words_free(&words);
}

static size_t draw_piece(qe_rng *rng, char *to) {
  static const char *const pieces[] = {
    "a",
    "Be",
    " ",
    ".",
    "\xcc\x81",
    "\xcc\xa3",
    "\xcc\xb8",
    "\xe3\x82\x99",
    "\xe3\x81\x8b",
    "\xc3\xa4",
    "\xc2\xa0",
    "\xe1\x84\x80",
    "\xe1\x85\xa1",
    "\xe1\x86\xa8",
    "\xea\xb0\x80",
    "\xef\xb7\xba",
    "\xef\xac\x81",
    "\xe0\xb7\x99",
    "\xe0\xb7\x8f",
    "\xe4\xb8\xad",
    "\xd0\xb9",
    "\xcd\x84",
    "\xf0\x9d\x85\xa5",
    "<",
    "\xe0\xa4\x95\xe0\xa4\xbc",
    "\n",
  };
  const char *piece = pieces[qe_rng_below(rng, sizeof pieces / sizeof *pieces)];
  if (qe_rng_below(rng, 8) == 0) {
    to[0] = (char)qe_rng_next(rng);
    return 1;
  }
  if (qe_rng_below(rng, 4) == 0)
    return (size_t)utf8proc_encode_char((int32_t)qe_rng_below(rng, 0x3100), (utf8proc_uint8_t *)to);
  memcpy(to, piece, strlen(piece));
  return strlen(piece);
}

static void test_random(void **state) {
  (void)state;
  struct words words = { 0 };
  qe_rng rng;
  size_t compared = 0;
  qe_rng_seed(&rng, 1, "text");
  for (int round = 0; round < 8000; round++) {
    char text[400];
    size_t size = 0;
    for (size_t left = qe_rng_below(&rng, 60); left > 0; left--)
      size += draw_piece(&rng, text + size);
    if (twin_crowded(text, size))
      continue;
    check_twin(&words, text, size);
    compared++;
  }
  assert_true(compared > 7500);
  words_free(&words);
}

/* ---- limits ---- */

static void test_most_words(void **state) {
  (void)state;
  static const char text[] = "one two, \xe4\xb8\xad\xe6\x96\x87 \xc3\xa4 u\xcc\x88 end";
  struct words all = { 0 }, some = { 0 };
  assert_int_equal(words_split(&all, qe_string(text), SIZE_MAX), QE_OK);
  assert_int_equal(all.count, 8);
  for (size_t most = 0; most < 12; most++) {
    assert_int_equal(words_split(&some, qe_string(text), most), QE_OK);
    assert_int_equal(some.count, most < all.count ? most : all.count);
    assert_int_equal(some.truncated, most < all.count);
    assert_memory_equal(some.offset, all.offset, (some.count + 1) * sizeof *all.offset);
    if (some.count > 0)
      assert_memory_equal(some.bytes, all.bytes, some.offset[some.count]);
  }
  assert_int_equal(words_split(&some, qe_string("one two  . "), 3), QE_OK);
  assert_false(some.truncated); /* white space is no further word */
  words_free(&all);
  words_free(&some);
}

static void test_memory_kept(void **state) {
  (void)state;
  static const char text[] = "Some w\xc3\xb6rds, o\xcc\x83nes \xef\xac\x81ne \xe4\xb8\xad.";
  struct words words = { 0 }, before;
  assert_int_equal(words_split(&words, qe_string(text), SIZE_MAX), QE_OK);
  before = words;
  assert_int_equal(words_split(&words, (qe_text){ NULL, 0 }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, 0);
  assert_int_equal(words.offset[0], 0);
  assert_int_equal(words_split(&words, qe_string(text), SIZE_MAX), QE_OK);
  assert_memory_equal(&words, &before, sizeof words);
  words_free(&words);
  words_free(&words);
}

/* A letter and so many marks, by turns above (230) and below (220). */
static char *marks_make(size_t count, size_t *size) {
  char *text = malloc(2 * count + 2);
  text[0] = 'x';
  for (size_t i = 0; i < count; i++)
    memcpy(text + 1 + 2 * i, i % 2 ? "\xcc\xa3" : "\xcc\x81", 2);
  *size = 2 * count + 1;
  return text;
}

/* Marks come out in order as long as they are no more than 30, and 30 by 30 beyond that. */
static void test_many_marks(void **state) {
  (void)state;
  struct words words = { 0 };
  for (size_t count = 1; count < 100; count++) {
    size_t size;
    char *text = marks_make(count, &size);
    assert_int_equal(words_split(&words, (qe_text){ text, size }, SIZE_MAX), QE_OK);
    assert_int_equal(words.count, 1);
    assert_int_equal(words.offset[1], size);
    for (size_t first = 0; first < count; first += 30) {
      size_t run = count - first < 30 ? count - first : 30, below = first % 2 ? (run + 1) / 2 : run / 2;
      for (size_t i = 0; i < run; i++)
        assert_memory_equal(words.bytes + 1 + 2 * (first + i), i < below ? "\xcc\xa3" : "\xcc\x81", 2);
    }
    free(text);
  }
  words_free(&words);
}

/* In quadratic time each of these would take minutes. */
static void test_linear_time(void **state) {
  (void)state;
  enum { COUNT = 200000 };
  struct words words = { 0 };
  size_t size;
  char *text = marks_make(COUNT, &size);
  assert_int_equal(words_split(&words, (qe_text){ text, size }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, 1);
  assert_int_equal(words.offset[1], size);
  for (size_t i = 0; i + 3 <= size; i += 3)
    memcpy(text + i, "\xe0\xb7\x8f", 3); /* a vowel sign of class 0 that composes */
  assert_int_equal(words_split(&words, (qe_text){ text, size / 3 * 3 }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, 1);
  assert_int_equal(words.offset[1], size / 3 * 3);
  memset(text, '.', size);
  assert_int_equal(words_split(&words, (qe_text){ text, size }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, size);
  memset(text, 0x80, size);
  assert_int_equal(words_split(&words, (qe_text){ text, size }, SIZE_MAX), QE_OK);
  assert_int_equal(words.count, size);
  free(text);
  words_free(&words);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_decode),        cmocka_unit_test(test_decode_against_twin),
    cmocka_unit_test(test_chosen),        cmocka_unit_test(test_spaces),
    cmocka_unit_test(test_normalisation), cmocka_unit_test(test_every_point),
    cmocka_unit_test(test_random),        cmocka_unit_test(test_most_words),
    cmocka_unit_test(test_memory_kept),   cmocka_unit_test(test_many_marks),
    cmocka_unit_test(test_linear_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
