/*
** test_table.c - lines and tables against a splitter that goes byte by byte, and every refusal with its words.
*/
#include "table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static qe_text text_of(const char *text) {
  return (qe_text){ text, strlen(text) };
}

static void assert_text(qe_text text, const char *expected) {
  assert_int_equal(text.size, strlen(expected));
  assert_memory_equal(text.data, expected, text.size);
}

/* ---- lines ---- */

static void assert_lines(const char *bytes, size_t size, const char *const *expected) {
  struct lines lines = lines_of((qe_text){ bytes, size });
  qe_text line;
  size_t count = 0;
  for (; lines_next(&lines, &line); count++) {
    assert_non_null(expected[count]);
    assert_text(line, expected[count]);
    assert_int_equal(lines.number, count + 1);
  }
  assert_null(expected[count]);
  assert_false(lines_next(&lines, &line));
}

static void test_lines(void **state) {
  (void)state;
  assert_lines(NULL, 0, (const char *const[]){ NULL });
  assert_lines("\n", 1, (const char *const[]){ "", NULL });
  assert_lines("a", 1, (const char *const[]){ "a", NULL });
  assert_lines("a\n", 2, (const char *const[]){ "a", NULL });
  assert_lines("a\n\n", 3, (const char *const[]){ "a", "", NULL });
  assert_lines("\n\nb", 3, (const char *const[]){ "", "", "b", NULL });
}

static void test_line_ends(void **state) {
  (void)state;
  assert_lines("a\r\nb\r", 5, (const char *const[]){ "a", "b", NULL });
  assert_lines("a\r\r\n\r\n", 6, (const char *const[]){ "a\r", "", NULL }); /* one, not all */
  assert_lines("a\rb\n", 4, (const char *const[]){ "a\rb", NULL });
  assert_lines("a\v\f\xE2\x80\xA8\xC2\x85z\n", 9, (const char *const[]){ "a\v\f\xE2\x80\xA8\xC2\x85z", NULL });
}

static void test_byte_order_mark(void **state) {
  (void)state;
  assert_lines("\xEF\xBB\xBF", 3, (const char *const[]){ NULL });
  assert_lines("\xEF\xBB\xBF\n", 4, (const char *const[]){ "", NULL });
  assert_lines("\xEF\xBB\xBFx\n\xEF\xBB\xBFy", 9, (const char *const[]){ "x", "\xEF\xBB\xBFy", NULL });
  assert_lines("\xEF\xBB", 2, (const char *const[]){ "\xEF\xBB", NULL });
}

/* ---- tables ---- */

static struct table parse(const char *text) {
  struct table table;
  struct error error = { 0 };
  if (table_parse(&table, text_of(text), "t.tsv", &error) != QE_OK)
    fail_msg("%s", error.text);
  return table;
}

static void test_fields(void **state) {
  (void)state;
  struct table table = parse("a\tb\tc\n1\t\"x\t\n\t\t\\n\"\n");
  assert_int_equal(table.columns, 3);
  assert_int_equal(table.rows, 2);
  assert_text(table_name(&table, 2), "c");
  assert_text(table_field(&table, 0, 1), "\"x"); /* quotes mean nothing */
  assert_text(table_field(&table, 0, 2), "");
  assert_text(table_field(&table, 1, 2), "\\n\"");
  assert_int_equal(table_line(1), 3);
  table_free(&table);
}

static void test_header_alone(void **state) {
  (void)state;
  struct table table = parse("a\tb");
  double values[1];
  assert_int_equal(table.rows, 0);
  assert_false(table_numbers(&table, 0, values));
  table_free(&table);
}

static void test_one_column_with_empty_lines(void **state) {
  (void)state;
  struct table table = parse("a\n\nx\n\n");
  assert_int_equal(table.rows, 3);
  assert_text(table_field(&table, 0, 0), "");
  assert_text(table_field(&table, 1, 0), "x");
  table_free(&table);
}

static void test_any_byte_in_a_field(void **state) {
  (void)state;
  struct table table;
  struct error error = { 0 };
  const char bytes[] = "a\tb\n\0x\t\xFF\xFE\n";
  assert_int_equal(table_parse(&table, (qe_text){ bytes, sizeof bytes - 1 }, "t.tsv", &error), QE_OK);
  assert_int_equal(table_field(&table, 0, 0).size, 2);
  assert_memory_equal(table_field(&table, 0, 0).data, "\0x", 2);
  assert_memory_equal(table_field(&table, 0, 1).data, "\xFF\xFE", 2);
  table_free(&table);
}

static void assert_refused(const char *bytes, size_t size, const char *message) {
  struct table table;
  struct error error = { 0 };
  assert_int_equal(table_parse(&table, (qe_text){ bytes, size }, "t.tsv", &error), QE_FORMAT);
  assert_string_equal(error.text, message);
  table_free(&table);
}

static void test_refusals(void **state) {
  (void)state;
  assert_refused("", 0, "t.tsv: empty, expected a line with the names of the columns");
  assert_refused("\xEF\xBB\xBF", 3, "t.tsv: empty, expected a line with the names of the columns");
  assert_refused("\na\tb\n", 5, "t.tsv:1: an empty line, expected the names of the columns");
  assert_refused("\r\n", 2, "t.tsv:1: an empty line, expected the names of the columns");
  assert_refused("a\tb\n1\t2\n3\n", 10, "t.tsv:3: 1 fields, expected 2 as in the header");
  assert_refused("a\tb\n1\t2\t\n", 9, "t.tsv:2: 3 fields, expected 2 as in the header");
  assert_refused("a\tb\n1\t2\n\n", 9, "t.tsv:3: 1 fields, expected 2 as in the header");
  assert_refused("a\tbb\ta\n", 7, "t.tsv:1: two columns are named \"a\"");
  assert_refused("a\0b\tc\n", 6, "t.tsv:1: the name of a column has a NUL byte");
}

static void test_names_may_be_missing(void **state) {
  (void)state;
  struct table table = parse("\ta\t\n1\t2\t3\n");
  assert_int_equal(table.columns, 3);
  assert_int_equal(table_name(&table, 0).size, 0);
  table_free(&table);
}

static void test_find(void **state) {
  (void)state;
  static const char *const sources[] = { "source", "src", NULL }, *const other[] = { "sourc", "sources", NULL };
  struct table table = parse("index\tsrc\tx");
  assert_int_equal(table_find(&table, sources), 1);
  assert_int_equal(table_find(&table, other), TABLE_NONE);
  table_free(&table);
  table = parse("source\tx\tsrc");
  assert_int_equal(table_find(&table, sources), TABLE_SEVERAL);
  assert_int_equal(table_find(&table, other), TABLE_NONE);
  table_free(&table);
}

static void test_numbers(void **state) {
  (void)state;
  struct table table = parse("a\tb\tc\td\te\n1\t\tx\t\tnan\n-2.5e3\t\t1\t7\t1\n");
  double values[2];
  assert_true(table_numbers(&table, 0, values));
  assert_true(values[0] == 1 && values[1] == -2500);
  assert_false(table_numbers(&table, 1, values)); /* nothing but empty fields */
  assert_false(table_numbers(&table, 2, values));
  assert_true(table_numbers(&table, 3, values));
  assert_true(isnan(values[0]) && values[1] == 7);
  assert_true(table_numbers(&table, 4, values));
  assert_true(isnan(values[0]) && values[1] == 1);
  table_free(&table);
}

/* ---- messages ---- */

static void test_clip(void **state) {
  (void)state;
  char bytes[200];
  memset(bytes, 'x', sizeof bytes);
  assert_int_equal(table_clip((qe_text){ bytes, 60 }), 60);
  assert_int_equal(table_clip((qe_text){ bytes, 61 }), 60);
  memcpy(bytes + 59, "\xC3\xB5", 2); /* would be cut in two */
  assert_int_equal(table_clip((qe_text){ bytes, 200 }), 59);
  memset(bytes, '\x80', sizeof bytes);
  assert_int_equal(table_clip((qe_text){ bytes, 200 }), 60);
}

static void test_list(void **state) {
  (void)state;
  struct table table = parse("one\ttwo\tthree");
  char out[32];
  table_list(&table, out, sizeof out);
  assert_string_equal(out, "one, two, three");
  table_list(&table, out, 14);
  assert_string_equal(out, "one, two, ...");
  table_list(&table, out, 13);
  assert_string_equal(out, "one, ...");
  table_list(&table, out, 6);
  assert_string_equal(out, "...");
  table_free(&table);
}

/* ---- random bytes ---- */

/* Byte by byte: fields end at tab and LF; a CR is held back until it is known that no line end follows. */
struct twin {
  char field[64][64];
  size_t size[64], line_fields[64], fields, lines;
};

static void twin_put(struct twin *twin, char byte) {
  twin->field[twin->fields][twin->size[twin->fields]++] = byte;
}

static void twin_end_line(struct twin *twin) {
  twin->fields++;
  twin->line_fields[twin->lines++]++;
}

static void twin_split(struct twin *twin, const char *bytes, size_t size) {
  bool held = false, open = false;
  memset(twin, 0, sizeof *twin);
  for (size_t i = 0; i < size; i++) {
    const char byte = bytes[i];
    if (held && byte != '\n')
      twin_put(twin, '\r');
    held = byte == '\r';
    open = byte != '\n';
    if (byte == '\n')
      twin_end_line(twin);
    else if (byte == '\t')
      twin->fields++, twin->line_fields[twin->lines]++;
    else if (byte != '\r')
      twin_put(twin, byte);
  }
  if (open)
    twin_end_line(twin);
}

static bool twin_accepts(const struct twin *twin) {
  if (twin->lines == 0 || (twin->line_fields[0] == 1 && twin->size[0] == 0))
    return false;
  for (size_t i = 1; i < twin->lines; i++)
    if (twin->line_fields[i] != twin->line_fields[0])
      return false;
  for (size_t i = 0; i < twin->line_fields[0]; i++)
    for (size_t j = 0; j < i; j++)
      if (twin->size[i] > 0 && twin->size[i] == twin->size[j] &&
          memcmp(twin->field[i], twin->field[j], twin->size[i]) == 0)
        return false;
  return true;
}

static void assert_same(const struct table *table, const struct twin *twin) {
  assert_int_equal(table->columns, twin->line_fields[0]);
  assert_int_equal(table->rows + 1, twin->lines);
  for (size_t i = 0; i < twin->fields; i++) {
    assert_int_equal(table->fields[i].size, twin->size[i]);
    assert_memory_equal(table->fields[i].data, twin->field[i], twin->size[i]);
  }
}

static void test_random_bytes(void **state) {
  (void)state;
  enum { ROUNDS = 40000 };
  static const char alphabet[] = "\t\t\n\n\rab1";
  qe_rng rng;
  size_t accepted = 0;
  qe_rng_seed(&rng, 11, "table");
  for (int round = 0; round < ROUNDS; round++) {
    struct twin twin;
    struct table table;
    struct error error = { 0 };
    char bytes[16];
    const size_t size = (size_t)qe_rng_below(&rng, sizeof bytes);
    for (size_t i = 0; i < size; i++)
      bytes[i] = alphabet[qe_rng_below(&rng, sizeof alphabet - 1)];
    twin_split(&twin, bytes, size);
    const int status = table_parse(&table, (qe_text){ bytes, size }, "t", &error);
    assert_int_equal(status == QE_OK, twin_accepts(&twin));
    if (status == QE_OK)
      assert_same(&table, &twin);
    accepted += status == QE_OK;
    table_free(&table);
  }
  assert_true(accepted > ROUNDS / 20 && accepted < ROUNDS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lines),
    cmocka_unit_test(test_line_ends),
    cmocka_unit_test(test_byte_order_mark),
    cmocka_unit_test(test_fields),
    cmocka_unit_test(test_header_alone),
    cmocka_unit_test(test_one_column_with_empty_lines),
    cmocka_unit_test(test_any_byte_in_a_field),
    cmocka_unit_test(test_refusals),
    cmocka_unit_test(test_names_may_be_missing),
    cmocka_unit_test(test_find),
    cmocka_unit_test(test_numbers),
    cmocka_unit_test(test_clip),
    cmocka_unit_test(test_list),
    cmocka_unit_test(test_random_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
