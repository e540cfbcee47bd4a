/*
** table.c - tab-separated text over bytes in memory. A table is a flat array of slices, header first, the same
** number for every line. Fields are plain: quotes, backslashes and any byte but tab and LF are text. It does not
** know what columns mean, and keeps no line that it did not check.
*/
#include "table.h"

#include "file.h"
#include "gzip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t MOST_UNPACKED = SIZE_MAX >> 31; /* 8 GiB */

/* ---- lines ---- */

struct lines lines_of(qe_text bytes) {
  static const char mark[] = "\xEF\xBB\xBF";
  const size_t mark_size = sizeof mark - 1;
  struct lines lines = { bytes.data, NULL, 0 };
  if (bytes.size == 0)
    return lines;
  lines.end = bytes.data + bytes.size;
  if (bytes.size >= mark_size && memcmp(bytes.data, mark, mark_size) == 0)
    lines.next += mark_size;
  return lines;
}

bool lines_next(struct lines *lines, qe_text *line) {
  if (!lines->end || lines->next == lines->end)
    return false;
  const size_t left = (size_t)(lines->end - lines->next);
  const char *feed = memchr(lines->next, '\n', left);
  *line = (qe_text){ lines->next, feed ? (size_t)(feed - lines->next) : left };
  lines->next = feed ? feed + 1 : lines->end;
  lines->number++;
  if (line->size > 0 && line->data[line->size - 1] == '\r')
    line->size--;
  return true;
}

/* ---- messages ---- */

int table_clip(qe_text text) {
  enum { SHOWN = 60 };
  if (text.size <= SHOWN)
    return (int)text.size;
  int size = SHOWN;
  while (size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80)
    size--;
  return size > 0 ? size : SHOWN;
}

void table_list(const struct table *table, char *out, size_t room) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t column = 0; column < table->columns; column++) {
    qe_text name = table_name(table, column);
    const int size = table_clip(name);
    if (used + (size_t)size + sizeof ", ..." > room) {
      snprintf(out + used, room - used, "...");
      return;
    }
    used += (size_t)snprintf(out + used, room - used, "%.*s%s", size, name.data,
                             column + 1 < table->columns ? ", " : "");
  }
}

/* ---- parsing ---- */

static int table_add_fields(struct table *table, qe_text line, size_t *added, struct error *error) {
  const char *next = line.data, *end = line.data + line.size;
  *added = 0;
  for (;;) {
    const char *tab = next < end ? memchr(next, '\t', (size_t)(end - next)) : NULL;
    if (!memory_reserve((void **)&table->fields, &table->field_room, table->field_count + 1, sizeof *table->fields))
      return error_memory(error);
    table->fields[table->field_count++] = (qe_text){ next, (size_t)((tab ? tab : end) - next) };
    ++*added;
    if (!tab)
      return QE_OK;
    next = tab + 1;
  }
}

static int compare_names(const void *a, const void *b) {
  const qe_text *x = a, *y = b;
  if (x->size != y->size)
    return x->size < y->size ? -1 : 1;
  return x->size > 0 ? memcmp(x->data, y->data, x->size) : 0;
}

static int table_check_header(const struct table *table, struct error *error) {
  qe_text *names = memory_new(table->columns, sizeof *names);
  if (!names)
    return error_memory(error);
  memcpy(names, table->fields, table->columns * sizeof *names);
  qsort(names, table->columns, sizeof *names, compare_names);
  int status = QE_OK;
  for (size_t i = 0; i < table->columns && status == QE_OK; i++) {
    if (names[i].size > 0 && memchr(names[i].data, '\0', names[i].size))
      status = error_set(error, QE_FORMAT, "%s:1: the name of a column has a NUL byte", table->origin);
    else if (i > 0 && names[i].size > 0 && compare_names(&names[i - 1], &names[i]) == 0)
      status = error_set(error, QE_FORMAT, "%s:1: two columns are named \"%.*s\"", table->origin,
                         table_clip(names[i]), names[i].data);
  }
  memory_free(names);
  return status;
}

static int table_parse_header(struct table *table, struct lines *lines, struct error *error) {
  qe_text line;
  if (!lines_next(lines, &line))
    return error_set(error, QE_FORMAT, "%s: empty, expected a line with the names of the columns", table->origin);
  if (line.size == 0)
    return error_set(error, QE_FORMAT, "%s:1: an empty line, expected the names of the columns", table->origin);
  int status = table_add_fields(table, line, &table->columns, error);
  return status == QE_OK ? table_check_header(table, error) : status;
}

int table_parse(struct table *table, qe_text bytes, const char *origin, struct error *error) {
  *table = (struct table){ .origin = origin };
  struct lines lines = lines_of(bytes);
  int status = table_parse_header(table, &lines, error);
  for (qe_text line; status == QE_OK && lines_next(&lines, &line); table->rows++) {
    size_t added;
    status = table_add_fields(table, line, &added, error);
    if (status == QE_OK && added != table->columns)
      return error_set(error, QE_FORMAT, "%s:%zu: %zu fields, expected %zu as in the header", origin, lines.number,
                       added, table->columns);
  }
  return status;
}

int table_load(const char *path, char **bytes, size_t *size, struct error *error) {
  struct error reason = { 0 };
  int status = file_read(path, SIZE_MAX / 4, bytes, size, &reason);
  if (status == QE_OK && (status = gzip_unpack(bytes, size, MOST_UNPACKED, &reason)) != QE_OK) {
    memory_free(*bytes);
    *bytes = NULL;
  }
  return status == QE_OK ? QE_OK : error_set(error, status, "%s: %s", path, reason.text);
}

int table_read(struct table *table, const char *path, struct error *error) {
  char *bytes;
  size_t size;
  *table = (struct table){ 0 };
  int status = table_load(path, &bytes, &size, error);
  if (status != QE_OK)
    return status;
  status = table_parse(table, (qe_text){ bytes, size }, path, error);
  table->bytes = bytes;
  return status;
}

void table_free(struct table *table) {
  memory_free(table->fields);
  memory_free(table->bytes);
  *table = (struct table){ 0 };
}

/* ---- looking ---- */

qe_text table_name(const struct table *table, size_t column) {
  return table->fields[column];
}

qe_text table_field(const struct table *table, size_t row, size_t column) {
  return table->fields[(row + 1) * table->columns + column];
}

size_t table_line(size_t row) {
  return row + 2;
}

static bool is_one_of(qe_text name, const char *const *names) {
  for (; *names; names++)
    if (name.size == strlen(*names) && memcmp(name.data, *names, name.size) == 0)
      return true;
  return false;
}

ptrdiff_t table_find(const struct table *table, const char *const *names) {
  ptrdiff_t found = TABLE_NONE;
  for (size_t column = 0; column < table->columns; column++)
    if (is_one_of(table_name(table, column), names))
      found = found == TABLE_NONE ? (ptrdiff_t)column : TABLE_SEVERAL;
  return found;
}

bool table_numbers(const struct table *table, size_t column, double *values) {
  bool any = false;
  for (size_t row = 0; row < table->rows; row++) {
    qe_text field = table_field(table, row, column);
    values[row] = NAN;
    if (field.size == 0)
      continue;
    if (!number_parse(field, &values[row]))
      return false;
    any = true;
  }
  return any;
}
