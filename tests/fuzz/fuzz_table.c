/*
** fuzz_table.c - a table that was accepted, written out again with tabs and line feeds, is the input without its
** byte order mark and without the carriage returns before line ends; one that was refused has a fault that can be
** seen.
*/
#include "table.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* The input in the form in which tables are written: every line ends with LF alone. */
static size_t normalise(const uint8_t *data, size_t size, char *out) {
  size_t count = 0, i = size >= 3 && data[0] == 0xEF && data[1] == 0xBB && data[2] == 0xBF ? 3 : 0;
  if (i == size)
    return 0;
  for (; i < size; i++)
    if (data[i] != '\r' || (i + 1 < size && data[i + 1] != '\n'))
      out[count++] = (char)data[i];
  if (data[size - 1] != '\n')
    out[count++] = '\n';
  return count;
}

static size_t write_table(const struct table *table, char *out) {
  size_t count = 0;
  for (size_t row = 0; row <= table->rows; row++)
    for (size_t column = 0; column < table->columns; column++) {
      qe_text field = row == 0 ? table_name(table, column) : table_field(table, row - 1, column);
      if (field.size > 0)
        memcpy(out + count, field.data, field.size);
      count += field.size;
      out[count++] = column + 1 < table->columns ? '\t' : '\n';
    }
  return count;
}

static size_t count_byte(const char *from, const char *end, char byte) {
  size_t count = 0;
  for (; from < end; from++)
    count += *from == byte;
  return count;
}

static bool has_two_of_a_name(const char *header, const char *end) {
  for (const char *a = header; a <= end;) {
    const char *a_end = a;
    while (a_end < end && *a_end != '\t')
      a_end++;
    for (const char *b = a_end + 1; b <= end;) {
      const char *b_end = b;
      while (b_end < end && *b_end != '\t')
        b_end++;
      if (a_end > a && a_end - a == b_end - b && memcmp(a, b, (size_t)(a_end - a)) == 0)
        return true;
      b = b_end + 1;
    }
    a = a_end + 1;
  }
  return false;
}

static bool is_faulty(const char *text, size_t size) {
  if (size == 0 || text[0] == '\n')
    return true;
  const char *end = text + size, *line_end = memchr(text, '\n', size);
  if (!line_end)
    return false;
  const size_t tabs = count_byte(text, line_end, '\t');
  if (count_byte(text, line_end, '\0') > 0 || has_two_of_a_name(text, line_end))
    return true;
  for (const char *line = line_end + 1; line < end; line = line_end + 1) {
    line_end = memchr(line, '\n', (size_t)(end - line));
    if (count_byte(line, line_end, '\t') != tabs)
      return true;
  }
  return false;
}

static void check_numbers(const struct table *table) {
  double *values = malloc((table->rows + 1) * sizeof *values);
  for (size_t column = 0; column < table->columns && column < 4; column++) {
    bool all = true, any = false;
    for (size_t row = 0; row < table->rows; row++) {
      qe_text field = table_field(table, row, column);
      double value;
      const bool number = number_parse(field, &value);
      all = all && (field.size == 0 || number);
      any = any || (field.size > 0 && number);
    }
    check(table_numbers(table, column, values) == (all && any), "numbers");
  }
  free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct table table;
  struct error error = { 0 };
  char *expected = malloc(size + 1), *found = malloc(size + 1), names[100];
  const size_t count = normalise(data, size, expected);
  const int status = table_parse(&table, (qe_text){ (const char *)data, size }, "input", &error);
  check((status == QE_OK) == (error.status == QE_OK) && (status == QE_OK || error.text[0]),
        "a status without words");
  check((status != QE_OK) == is_faulty(expected, count), "accepted or refused without reason");
  if (status == QE_OK) {
    check(write_table(&table, found) == count && memcmp(found, expected, count) == 0, "not what was read");
    table_list(&table, names, sizeof names);
    check(strlen(names) < sizeof names, "a list beyond its room");
    check_numbers(&table);
  }
  table_free(&table);
  free(expected);
  free(found);
  return 0;
}
