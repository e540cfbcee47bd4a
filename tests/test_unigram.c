/*
** test_unigram.c - text -> pieces: the likeliest path against all paths, rewriting rules and spaces, malformed bytes, the
** archive member and what it refuses, pruning. With QE_PIECES=FOLDER also a model, lines and ids that SentencePiece
** itself wrote there (tests/parity/pieces.py), every one of which must come out the same.
*/
#include "file.h"
#include "sentencepiece.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char *text;
  float score;
} pieces[] = { { "\xe2\x96\x81", -2 },
               { "\xe2\x96\x81"
                 "a",
                 -3 },
               { "a", -2.5f },
               { "b", -2.25f },
               { "ab", -4.5f },
               { "ba", -5 },
               { "aba", -6 },
               { "\xe2\x96\x81"
                 "ab",
                 -6.5f },
               { "bab", -7.75f } };
enum { PIECES = sizeof pieces / sizeof *pieces, SPECIAL = 4, UNKNOWN = 3 };

static void make(struct unigram *unigram) {
  struct unigram_parts parts = { 0 };
  struct error error = { 0 };
  static const char *const special[] = { "<s>", "<pad>", "</s>", "<unk>" };
  for (size_t i = 0; i < SPECIAL; i++)
    assert_int_equal(unigram_add_piece(&parts, qe_string(special[i]), 0, true), QE_OK);
  for (size_t i = 0; i < PIECES; i++)
    assert_int_equal(unigram_add_piece(&parts, qe_string(pieces[i].text), pieces[i].score, false), QE_OK);
  assert_int_equal(unigram_add_rule(&parts, qe_string("\t"), qe_string(" ")), QE_OK);
  assert_int_equal(unigram_add_rule(&parts, qe_string("A"), qe_string("a")), QE_OK);
  assert_int_equal(unigram_add_rule(&parts, qe_string("AB"), qe_string("b b")), QE_OK);
  parts.unigram.begin = 0;
  parts.unigram.end = 2;
  parts.unigram.unknown = UNKNOWN;
  assert_int_equal(unigram_finish(&parts, unigram, &error), QE_OK);
}

/* Ids as text. */
static const char *ids_of(const struct unigram *unigram, const char *text, size_t size) {
  static char out[1 << 17];
  struct unigram_work work = { 0 };
  size_t used = 0;
  assert_int_equal(unigram_encode(unigram, &work, (qe_text){ text, size }, SIZE_MAX), QE_OK);
  *out = '\0';
  for (size_t i = 0; i < work.count; i++)
    used += (size_t)snprintf(out + used, sizeof out - used, "%s%u", i ? " " : "", work.ids[i]);
  unigram_work_free(&work);
  return out;
}

static void test_spaces_and_rules(void **state) {
  struct unigram unigram;
  (void)state;
  make(&unigram);
  assert_string_equal(ids_of(&unigram, "", 0), "");
  assert_string_equal(ids_of(&unigram, " \t  ", 4), "");
  assert_string_equal(ids_of(&unigram, "a", 1), "5");
  assert_string_equal(ids_of(&unigram, "  a\t\ta ", 7), "5 5");
  assert_string_equal(ids_of(&unigram, "A", 1), "5");
  assert_string_equal(ids_of(&unigram, "AB", 2), "4 7 4 7"); /* the longest rule, whose value has a space */
  assert_string_equal(ids_of(&unigram, "xyz", 3), "4 3");    /* one unknown piece for the run */
  assert_string_equal(ids_of(&unigram, "xa\xff\xe2\x96", 5), "4 3 6 3");
  assert_string_equal(ids_of(&unigram, "a\0a", 3), "5 3 6");
  unigram_free(&unigram);
}

/* The best sum over all ways to cut text[at..], unknown characters not among them; floats as they are few. */
static float best_of(const char *text) {
  float best = -INFINITY;
  if (!*text)
    return 0;
  for (size_t i = 0; i < PIECES; i++) {
    const size_t size = strlen(pieces[i].text);
    if (strncmp(text, pieces[i].text, size) == 0) {
      const float rest = best_of(text + size) + pieces[i].score;
      best = rest > best ? rest : best;
    }
  }
  return best;
}

static void test_the_likeliest_path(void **state) {
  struct unigram unigram;
  struct unigram_work work = { 0 };
  (void)state;
  make(&unigram);
  for (unsigned code = 0; code < 1u << 12; code++) {
    char text[16] = { 0 }, whole[32] = "\xe2\x96\x81";
    const size_t size = 1 + code % 11;
    for (size_t i = 0; i < size; i++)
      text[i] = code >> i & 1 ? 'b' : 'a';
    assert_int_equal(unigram_encode(&unigram, &work, qe_string(text), SIZE_MAX), QE_OK);
    float sum = 0;
    char joined[64] = { 0 };
    for (size_t i = 0; i < work.count; i++) {
      const qe_text piece = unigram_piece(&unigram, work.ids[i]);
      strncat(joined, piece.data, piece.size);
      sum += unigram.score[work.ids[i]];
    }
    assert_string_equal(joined, strcat(whole, text));
    assert_true(sum == best_of(whole)); /* quarters: exact */
  }
  unigram_work_free(&work);
  unigram_free(&unigram);
}

static void test_truncation(void **state) {
  struct unigram unigram;
  struct unigram_work work = { 0 };
  (void)state;
  make(&unigram);
  assert_int_equal(unigram_encode(&unigram, &work, qe_string("a a a"), 2), QE_OK);
  assert_int_equal(work.count, 2);
  assert_true(work.truncated);
  assert_int_equal(unigram_encode(&unigram, &work, qe_string("a a"), 2), QE_OK);
  assert_false(work.truncated);
  unigram_work_free(&work);
  unigram_free(&unigram);
}

static void test_the_member(void **state) {
  struct unigram unigram, again;
  struct error error = { 0 };
  char *bytes, *other;
  size_t size, other_size;
  (void)state;
  make(&unigram);
  assert_int_equal(unigram_write(&unigram, &bytes, &size), QE_OK);
  assert_int_equal(unigram_parse(&again, (qe_text){ bytes, size }, &error), QE_OK);
  assert_int_equal(unigram_write(&again, &other, &other_size), QE_OK);
  assert_int_equal(size, other_size);
  assert_memory_equal(bytes, other, size);
  assert_true(unigram_fingerprint(&unigram) == unigram_fingerprint(&again));
  assert_string_equal(ids_of(&again, "abba AB", 7), ids_of(&unigram, "abba AB", 7));
  unigram_free(&again);
  for (size_t cut = 0; cut < size; cut++) { /* no beginning of it is taken for the whole */
    error_clear(&error);
    assert_int_equal(unigram_parse(&again, (qe_text){ bytes, cut }, &error), QE_FORMAT);
    assert_true(strstr(error.text, "pieces: ") == error.text);
  }
  memory_free(bytes);
  memory_free(other);
  unigram_free(&unigram);
}

static void test_doubles_are_refused(void **state) {
  struct unigram_parts parts = { 0 };
  struct unigram unigram;
  struct error error = { 0 };
  (void)state;
  unigram_add_piece(&parts, qe_string("<unk>"), 0, true);
  unigram_add_piece(&parts, qe_string("a"), -1, false);
  unigram_add_piece(&parts, qe_string("a"), -2, false);
  assert_int_equal(unigram_finish(&parts, &unigram, &error), QE_FORMAT);
  assert_string_equal(error.text, "pieces: 2 is 1 again");
}

/* Rules whose texts run together alike, and pieces that differ in nothing but being found. */
static void test_fingerprints_differ(void **state) {
  static const struct {
    const char *key, *value;
    bool special;
  } kinds[] = { { "ab", "c", false }, { "a", "bc", false }, { "ab", "c", true } };
  uint64_t hash[3];
  (void)state;
  for (size_t i = 0; i < 3; i++) {
    struct unigram_parts parts = { 0 };
    struct unigram unigram;
    struct error error = { 0 };
    unigram_add_piece(&parts, qe_string("<unk>"), 0, true);
    unigram_add_piece(&parts, qe_string("a"), -1, kinds[i].special);
    unigram_add_rule(&parts, qe_string(kinds[i].key), qe_string(kinds[i].value));
    assert_int_equal(unigram_finish(&parts, &unigram, &error), QE_OK);
    hash[i] = unigram_fingerprint(&unigram);
    unigram_free(&unigram);
  }
  assert_true(hash[0] != hash[1] && hash[0] != hash[2]);
}

static void test_pruning(void **state) {
  struct unigram unigram, pruned;
  struct error error = { 0 };
  uint32_t kept[SPECIAL + 2] = { 0, 1, 2, 3, 5, 6 };
  (void)state;
  make(&unigram);
  assert_int_equal(unigram_prune(&pruned, &unigram, kept, SPECIAL + 2, &error), QE_OK);
  assert_int_equal(pruned.count, SPECIAL + 2);
  assert_string_equal(ids_of(&pruned, "Aa", 2), "4 5");
  unigram_free(&pruned);
  kept[0] = 6, kept[1] = 0, kept[2] = 1, kept[3] = 2, kept[4] = 3,
  kept[5] = 5; /* what is special, and which, moves, too */
  assert_int_equal(unigram_prune(&pruned, &unigram, kept, SPECIAL + 2, &error), QE_OK);
  assert_string_equal(ids_of(&pruned, "Aa", 2), "5 0");
  assert_int_equal(pruned.unknown, unigram.unknown + 1);
  unigram_free(&pruned);
  unigram_free(&unigram);
}

static void read_whole(const char *folder, const char *name, char **bytes, size_t *size) {
  char path[4096];
  struct error error = { 0 };
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(file_read(path, (size_t)1 << 30, bytes, size, &error), QE_OK);
}

static bool take_line(qe_text *text, qe_text *line) {
  const char *end = memchr(text->data, '\n', text->size);
  if (!end)
    return false;
  *line = (qe_text){ text->data, (size_t)(end - text->data) };
  text->data = end + 1;
  text->size -= line->size + 1;
  return true;
}

static void test_as_sentencepiece(void **state) {
  const char *folder = getenv("QE_PIECES");
  struct unigram unigram;
  struct error error = { 0 };
  char *bytes[3];
  size_t size[3], count = 0;
  (void)state;
  if (!folder) {
    print_message("no QE_PIECES: tests/cli/pieces.sh compares with SentencePiece\n");
    skip();
  }
  read_whole(folder, "pieces.model", &bytes[0], &size[0]);
  read_whole(folder, "lines", &bytes[1], &size[1]);
  read_whole(folder, "ids", &bytes[2], &size[2]);
  assert_int_equal(sentencepiece_read(&unigram, (qe_text){ bytes[0], size[0] }, &error), QE_OK);
  qe_text lines = { bytes[1], size[1] }, ids = { bytes[2], size[2] }, line, expected;
  for (; take_line(&lines, &line); count++) {
    assert_true(take_line(&ids, &expected));
    const char *found = ids_of(&unigram, line.data, line.size);
    if (!text_is(expected, found))
      fail_msg("line %zu: %s, SentencePiece: %.*s", count + 1, found, (int)expected.size, expected.data);
  }
  print_message("%zu lines are cut as by SentencePiece\n", count);
  assert_true(count > 1000);
  for (size_t cut = 0; cut < size[0]; cut += 1 + size[0] / 997) { /* what is damaged is refused or still a model */
    error_clear(&error);
    struct unigram other;
    if (sentencepiece_read(&other, (qe_text){ bytes[0], cut }, &error) == QE_OK)
      unigram_free(&other);
    else
      assert_int_equal(error.status, QE_FORMAT);
  }
  unigram_free(&unigram);
  for (size_t i = 0; i < 3; i++)
    memory_free(bytes[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_spaces_and_rules),
    cmocka_unit_test(test_the_likeliest_path),
    cmocka_unit_test(test_truncation),
    cmocka_unit_test(test_the_member),
    cmocka_unit_test(test_doubles_are_refused),
    cmocka_unit_test(test_fingerprints_differ),
    cmocka_unit_test(test_pruning),
    cmocka_unit_test(test_as_sentencepiece),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
