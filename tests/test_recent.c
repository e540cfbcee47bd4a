/*
** test_recent.c - vectors of words met lately: a word is known once its row was asked for, words of one slot are told
** apart, long ones are never kept, and forgetting forgets all, when turns begin again too.
*/
#include "recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { WIDTH = 3 };

static float *row(struct recent *recent, const char *word, bool expected) {
  bool known;
  float *values = recent_row(recent, qe_string(word), &known);
  assert_int_equal(known, expected);
  return values;
}

static void test_known_once_asked(void **state) {
  (void)state;
  struct recent recent;
  assert_true(recent_new(&recent, WIDTH));
  float *one = row(&recent, "kestrel", false);
  memcpy(one, (float[WIDTH]){ 1, 2, 3 }, sizeof(float[WIDTH]));
  row(&recent, "kestre", false);
  assert_ptr_equal(row(&recent, "kestrel", true), one);
  assert_memory_equal(one, ((float[WIDTH]){ 1, 2, 3 }), sizeof(float[WIDTH]));
  recent_free(&recent);
}

/* More words than slots: whatever is known has the row that was written for it. */
static void test_words_of_one_slot(void **state) {
  (void)state;
  enum { WORDS = 3 * RECENT_SLOTS };
  struct recent recent;
  size_t found = 0;
  assert_true(recent_new(&recent, WIDTH));
  for (size_t round = 0; round < 2; round++)
    for (size_t i = 0; i < WORDS; i++) {
      char word[32];
      bool known;
      sprintf(word, "w%zu", i / 2 * 7 % WORDS);
      const float mark = (float)(i / 2 * 7 % WORDS);
      float *values = recent_row(&recent, qe_string(word), &known);
      if (known)
        assert_true(values[0] == mark && values[WIDTH - 1] == mark + 1);
      values[0] = mark;
      values[WIDTH - 1] = mark + 1;
      found += known;
    }
  assert_true(found >= WORDS && found < 2 * WORDS - WORDS / 4); /* every second one, and not many more */
  recent_free(&recent);
}

static void test_long_words_are_not_kept(void **state) {
  (void)state;
  struct recent recent;
  char word[RECENT_LONGEST + 2];
  assert_true(recent_new(&recent, WIDTH));
  memset(word, 'x', sizeof word);
  word[RECENT_LONGEST] = '\0';
  row(&recent, word, false);
  row(&recent, word, true);
  word[RECENT_LONGEST] = 'x';
  word[RECENT_LONGEST + 1] = '\0';
  float *spare = row(&recent, word, false);
  assert_ptr_equal(row(&recent, word, false), spare);
  assert_ptr_equal(spare, recent.values + (size_t)RECENT_SLOTS * WIDTH);
  recent_free(&recent);
}

static void test_forgetting(void **state) {
  (void)state;
  struct recent recent;
  assert_true(recent_new(&recent, WIDTH));
  row(&recent, "once", false);
  recent_forget(&recent);
  row(&recent, "once", false);
  row(&recent, "once", true);
  recent.turn = UINT32_MAX;
  row(&recent, "twice", false);
  recent_forget(&recent); /* turns begin again: "once" came in the second of the former ones */
  assert_int_equal(recent.turn, 1);
  recent_forget(&recent);
  row(&recent, "once", false);
  recent_free(&recent);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_known_once_asked),
    cmocka_unit_test(test_words_of_one_slot),
    cmocka_unit_test(test_long_words_are_not_kept),
    cmocka_unit_test(test_forgetting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
