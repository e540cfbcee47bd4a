/*
** test_list.c - n-best lists: the fields of every decoder's lines, lines written back byte for byte, features added and
** read, malformed lines named, and the order that weights give, compared with a naive sort.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int add(qe_list *list, const char *line, size_t number) {
  return qe_list_add(list, qe_string(line), number);
}

static void assert_text(qe_text text, const char *expected) {
  if (text.size != strlen(expected) || (text.size > 0 && memcmp(text.data, expected, text.size) != 0))
    fail_msg("found \"%.*s\", expected \"%s\"", (int)text.size, text.data, expected);
}

static void test_fields(void **state) {
  static const struct {
    const char *line, *text, *features, *between, *after;
    double total;
  } lines[] = {
    { "0 ||| a b . ||| F0= -1.5 ||| -0.5", "a b .", "F0= -1.5", "", "", -.5 },
    { "0 ||| a ||| F0=-1.5 ||| -2", "a", "F0=-1.5", "", "", -2 },
    { "0 |||  ||| F0= -1.82568 ||| 0", "", "F0= -1.82568", "", "", 0 },
    { "0 |||", "", "", "", "", NAN },
    { "0 ||| a", "a", "", "", "", NAN },
    { "0 ||| a |||", "a", "", "", "", NAN },
    { "0 ||| a ||| -3", "a", "", "", "", -3 },
    { "0 ||| a ||| -1 -2 ||| -3", "a", "-1 -2", "", "", -3 },
    { "0 ||| a b ||| 0-0 1-1 ||| F0= -1 ||| -1", "a b", "F0= -1", "0-0 1-1", "", -1 },
    { "0 ||| a ||| WordScores= -1 -2 ||| F0= -1 F1= -2 ||| -1", "a", "F0= -1 F1= -2", "WordScores= -1 -2", "", -1 },
    { "0 ||| a ||| 0-0 ||| WordScores= -1 ||| F0= 1 ||| 1", "a", "F0= 1", "0-0 ||| WordScores= -1", "", 1 },
    { "0 ||| a ||| LM0= -1 -2 d= 0 ||| -4 ||| 0-1=0-2 ||| 0-0", "a", "LM0= -1 -2 d= 0", "", "0-1=0-2 ||| 0-0", -4 },
    { "0 ||| x = y ||| F0= 1 ||| 1", "x = y", "F0= 1", "", "", 1 },
    { "0 ||| a ||| b ||| F0= 1 ||| 1", "a ||| b", "F0= 1", "", "", 1 },
    { "0 ||| a ||| QE=1.5 Glue=4 ||| 2.74856", "a", "QE=1.5 Glue=4", "", "", 2.74856 },
    { "0 ||| a ||| F0= 1 |||", "a", "F0= 1", "", "", NAN },
    { "0 ||| a ||| WordScores= -1 ||| -2 ||| F0= 1 ||| 1", "a", "F0= 1", "WordScores= -1 ||| -2", "", 1 },
    { "0 ||| a ||| F0= 1 |||  ||| 0-0", "a", "F0= 1", "", "0-0", NAN },
    { "0 ||| a |||  ||| -3", "a", "", "", "", -3 },
    { "0 ||| a ||| WordScores= -1 ||| -1", "a", "WordScores= -1", "", "", -1 },
    { "0 ||| a ||| 0-0 ||| F0= 1 WordScores= -1 ||| -1", "a", "F0= 1 WordScores= -1", "0-0", "", -1 },
    { "0 ||| a ||| 1 QE0= 2 ||| -1", "a", "1 QE0= 2", "", "", -1 },
  };
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    qe_list *list = qe_list_new();
    if (add(list, lines[i].line, 1) != 1)
      fail_msg("%s: %s", lines[i].line, qe_list_error(list));
    const qe_hypothesis *hypothesis = qe_list_get(list, 0);
    assert_text(hypothesis->id, "0");
    assert_text(hypothesis->text, lines[i].text);
    assert_text(hypothesis->features, lines[i].features);
    assert_text(hypothesis->between, lines[i].between);
    assert_text(hypothesis->after, lines[i].after);
    assert_true(hypothesis->total == lines[i].total || (isnan(hypothesis->total) && isnan(lines[i].total)));
    assert_text(qe_list_line(list, 0, NAN), lines[i].line);
    qe_list_free(list);
  }
}

static void test_adding_features(void **state) {
  static const char *const lines[][3] = {
    { "0 ||| a ||| F0= -1 ||| -1", "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 ||| -1",
      "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 ||| 7" },
    { "0 |||  ||| F0= -1", "0 |||  ||| F0= -1 QE0= 0.5 B= -2", "0 |||  ||| F0= -1 QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a", "0 ||| a ||| QE0= 0.5 B= -2", "0 ||| a ||| QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a |||", "0 ||| a ||| QE0= 0.5 B= -2", "0 ||| a ||| QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a ||| -3", "0 ||| a ||| QE0= 0.5 B= -2 ||| -3", "0 ||| a ||| QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a ||| F0= -1 ||| -1 ||| 0-0", "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 ||| -1 ||| 0-0",
      "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 ||| 7 ||| 0-0" },
    { "0 |||", "0 |||  ||| QE0= 0.5 B= -2", "0 |||  ||| QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a ||| F0= -1 |||", "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 |||",
      "0 ||| a ||| F0= -1 QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a |||  ||| -3 ||| |", "0 ||| a ||| QE0= 0.5 B= -2 ||| -3 ||| |",
      "0 ||| a ||| QE0= 0.5 B= -2 ||| 7 ||| |" },
    { "0 ||| a ||| -1 -2 ||| -3", "0 ||| a ||| -1 -2 QE0= 0.5 B= -2 ||| -3",
      "0 ||| a ||| -1 -2 QE0= 0.5 B= -2 ||| 7" },
    { "0 ||| a ||| nan", "0 ||| a ||| QE0= 0.5 B= -2 ||| nan", "0 ||| a ||| QE0= 0.5 B= -2 ||| 7" },
  };
  const double first = .5, second = -2;
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    double value;
    qe_list *list = qe_list_new();
    assert_int_equal(add(list, lines[i][0], 1), 1);
    assert_int_equal(qe_list_append(list, "QE0", &first), QE_OK);
    assert_int_equal(qe_list_append(list, "B", &second), QE_OK);
    assert_text(qe_list_line(list, 0, NAN), lines[i][1]);
    assert_text(qe_list_line(list, 0, 7), lines[i][2]);
    assert_int_equal(qe_list_feature(list, 0, "QE0", &value, 1), 1);
    assert_true(value == .5);
    assert_int_equal(qe_list_append(list, "QE0", &first), QE_USE);
    assert_int_equal(qe_list_append(list, "a=b", &first), QE_USE);
    qe_list_free(list);
  }
}

static void test_replacing_the_total(void **state) {
  static const char *const lines[][2] = {
    { "0 ||| a ||| F0= -1 ||| -1", "0 ||| a ||| F0= -1 ||| -0.1" },
    { "0 ||| a ||| F0= -1 ||| -1 ||| 0-0", "0 ||| a ||| F0= -1 ||| -0.1 ||| 0-0" },
    { "0 ||| a ||| F0= -1 ||| nan", "0 ||| a ||| F0= -1 ||| -0.1" },
    { "0 ||| a ||| F0= -1 |||", "0 ||| a ||| F0= -1 ||| -0.1" },
    { "0 ||| a ||| F0= -1", "0 ||| a ||| F0= -1 ||| -0.1" },
    { "0 ||| a ||| -3", "0 ||| a ||| -0.1" },
    { "0 ||| a |||", "0 ||| a |||  ||| -0.1" },
    { "0 ||| a", "0 ||| a ||| -0.1" },
    { "0 |||", "0 |||  ||| -0.1" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    qe_list *list = qe_list_new();
    assert_int_equal(add(list, lines[i][0], 1), 1);
    assert_text(qe_list_line(list, 0, -.1), lines[i][1]);
    assert_text(qe_list_line(list, 0, NAN), lines[i][0]);
    assert_int_equal(qe_list_line(list, 1, NAN).size, 0);
    assert_non_null(strstr(qe_list_error(list), "candidate 2 of 1"));
    qe_list_free(list);
  }
}

static void test_names_that_would_not_be_read_again(void **state) {
  static const char *const names[] = { "", "a b", "a=", "a\tb", "a|", "12", "0-1", "F0" };
  const double value = 1;
  (void)state;
  qe_list *list = qe_list_new();
  assert_int_equal(add(list, "0 ||| a ||| F0= 1 ||| 1", 1), 1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(qe_list_append(list, names[i], &value), QE_USE);
    assert_non_null(strstr(qe_list_error(list), names[i]));
    assert_text(qe_list_line(list, 0, NAN), "0 ||| a ||| F0= 1 ||| 1");
  }
  assert_int_equal(qe_list_append(list, "0x", &value), QE_OK);
  assert_int_equal(add(list, "0 ||| b ||| F0= 1 ||| 1", 2), QE_USE);
  qe_list_free(list);
}

static void test_most_fields(void **state) {
  (void)state;
  for (size_t count = 63; count <= 66; count++) {
    char line[600] = "0 ||| a ||| F= 1 ||| 2", expected[40];
    for (size_t i = 4; i < count; i++)
      strcat(line, " ||| x");
    qe_list *list = qe_list_new();
    assert_int_equal(add(list, line, 3), count > 64 ? QE_FORMAT : 1);
    snprintf(expected, sizeof expected, "line 3: %zu fields", count);
    assert_true(count <= 64 || strstr(qe_list_error(list), expected));
    qe_list_free(list);
  }
}

static void test_lists_end_where_the_id_changes(void **state) {
  double values[2];
  (void)state;
  qe_list *list = qe_list_new();
  assert_int_equal(add(list, "7 ||| a ||| F0= -1 LM= -2 -3 ||| -1", 1), 1);
  assert_int_equal(add(list, "7 ||| b ||| F0= -1 LM= -2 -3 ||| -1", 2), 1);
  assert_int_equal(add(list, "8 ||| c ||| F0= -1 ||| -1", 3), 0);
  assert_int_equal(qe_list_size(list), 2);
  assert_int_equal(qe_list_feature(list, 1, "LM", values, 2), 2);
  assert_true(values[0] == -2 && values[1] == -3);
  assert_int_equal(qe_list_feature(list, 1, "L", values, 2), 0);
  qe_list_clear(list);
  assert_int_equal(add(list, "8 ||| c ||| F0= -1 ||| -1", 3), 1);
  assert_int_equal(qe_list_size(list), 1);
  qe_list_free(list);
}

static void test_bad_lines_are_named(void **state) {
  static const char *const lines[][2] = {
    { "", "line 9: 1 field" },
    { "no separator", "line 9: 1 field" },
    { " ||| a ||| F0= 1 ||| 1", "id is empty" },
    { "0 ||| a ||| F0= 1 ||| much", "\"much\", not a number" },
    { "0 ||| a ||| b ||| c", "no field of features" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    qe_list *list = qe_list_new();
    assert_int_equal(add(list, "0 ||| good ||| F0= 1 ||| 1", 8), 1);
    assert_int_equal(add(list, lines[i][0], 9), QE_FORMAT);
    if (!strstr(qe_list_error(list), lines[i][1]))
      fail_msg("%s: %s", lines[i][0], qe_list_error(list));
    assert_int_equal(qe_list_size(list), 1);
    qe_list_free(list);
  }
}

static void test_weights_are_read(void **state) {
  static const char *const good[] = { "{\"F0\": -1, \"LM\": [1, 2]}",
                                      "[other]\nF0= 5\n[weight]\n# all\nF0= -1 # one\nLM= 1 2\n[x]\nz" };
  static const char *const bad[][2] = {
    { "{\"F0\": \"a\"}", "F0" },
    { "{\"F0\": 1, \"F0\": 2}", "duplicate" },
    { "{", "file:" },
    { "[weight]\nF0= x\n", "file:2" },
    { "[weight]\nF0= 1\nF0= 2\n", "file:3" },
    { "[weight]\nF0=\n", "no weight" },
    { "nothing", "neither JSON" },
    { "[weight]\nF0= inf\n", "not finite" },
  };
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    size_t order[2];
    double totals[2];
    qe_weights *weights = qe_weights_new();
    qe_list *list = qe_list_new();
    assert_int_equal(qe_weights_parse(weights, qe_string(good[i]), "file"), QE_OK);
    add(list, "0 ||| a ||| F0= -1 LM= 1 1 ||| 0", 1);
    add(list, "0 ||| b ||| F0= -2 LM= 0 2 ||| 0", 2);
    assert_int_equal(qe_list_rank(list, weights, order, totals), QE_OK);
    assert_true(totals[0] == 4 && totals[1] == 6 && order[0] == 1 && order[1] == 0);
    qe_list_free(list);
    qe_weights_free(weights);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    qe_weights *weights = qe_weights_new();
    assert_int_equal(qe_weights_parse(weights, qe_string(bad[i][0]), "file"), QE_FORMAT);
    if (!strstr(qe_weights_error(weights), bad[i][1]))
      fail_msg("%s: %s", bad[i][0], qe_weights_error(weights));
    qe_weights_free(weights);
  }
}

static void test_what_weights_ask_for_must_be_there(void **state) {
  const double one[2] = { 1, 1 };
  size_t order[2];
  (void)state;
  qe_list *list = qe_list_new();
  qe_weights *weights = qe_weights_new();
  add(list, "0 ||| a ||| F0= -1 LM= 1 1 ||| 0", 4);
  assert_int_equal(qe_weights_set(weights, "QE0", one, 1), QE_OK);
  assert_int_equal(qe_list_rank(list, weights, order, NULL), QE_FORMAT);
  assert_non_null(strstr(qe_list_error(list), "line 4 has no feature QE0"));
  qe_weights_free(weights);
  weights = qe_weights_new();
  assert_int_equal(qe_weights_set(weights, "F0", one, 2), QE_OK);
  assert_int_equal(qe_list_rank(list, weights, order, NULL), QE_FORMAT);
  assert_non_null(strstr(qe_list_error(list), "F0 has 1 values, there are 2 weights"));
  qe_weights_free(weights);
  qe_list_free(list);
}

/* Random totals with ties and NaN: no pair may stand in the wrong order. */
static void test_order(void **state) {
  enum { SIZE = 200 };
  const double one = 1;
  size_t order[SIZE];
  double totals[SIZE];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 3, "order");
  qe_list *list = qe_list_new();
  qe_weights *weights = qe_weights_new();
  assert_int_equal(qe_weights_set(weights, "total", &one, 1), QE_OK);
  for (size_t i = 0; i < SIZE; i++) {
    char line[64];
    if (qe_rng_below(&rng, 10) == 0)
      snprintf(line, sizeof line, "0 ||| a ||| F0= 1");
    else
      snprintf(line, sizeof line, "0 ||| a ||| F0= 1 ||| %d", (int)qe_rng_below(&rng, 20));
    assert_int_equal(add(list, line, i + 1), 1);
  }
  assert_int_equal(qe_list_rank(list, weights, order, totals), QE_OK);
  for (size_t i = 0; i < SIZE; i++)
    for (size_t j = i + 1; j < SIZE; j++) {
      double a = totals[order[i]], b = totals[order[j]];
      assert_true(isnan(a) ? isnan(b) && order[i] < order[j]
                           : isnan(b) || a > b || (!(a < b) && order[i] < order[j]));
    }
  qe_weights_free(weights);
  qe_list_free(list);
}

/* What real decoders wrote comes back byte for byte. */
static void test_real_lists(void **state) {
  static const char *const names[] = { "marian.plain.nbest", "marian.wordscores.nbest", "marian.ensemble.nbest",
                                       "cdec.nbest" };
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[1024], line[1 << 16];
    snprintf(path, sizeof path, QE_SOURCE_DIR "/../shared/data/nbest/%s", names[i]);
    FILE *file = fopen(path, "r");
    if (!file) {
      print_message("%s is not there\n", path);
      skip();
    }
    qe_list *list = qe_list_new();
    for (size_t number = 1; fgets(line, sizeof line, file); number++) {
      line[strcspn(line, "\n")] = '\0';
      qe_list_clear(list);
      if (add(list, line, number) != 1)
        fail_msg("%s: %s", names[i], qe_list_error(list));
      assert_false(isnan(qe_list_get(list, 0)->total));
      assert_text(qe_list_line(list, 0, NAN), line);
    }
    fclose(file);
    qe_list_free(list);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fields),
    cmocka_unit_test(test_adding_features),
    cmocka_unit_test(test_replacing_the_total),
    cmocka_unit_test(test_names_that_would_not_be_read_again),
    cmocka_unit_test(test_most_fields),
    cmocka_unit_test(test_lists_end_where_the_id_changes),
    cmocka_unit_test(test_bad_lines_are_named),
    cmocka_unit_test(test_weights_are_read),
    cmocka_unit_test(test_what_weights_ask_for_must_be_there),
    cmocka_unit_test(test_order),
    cmocka_unit_test(test_real_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
