/*
** table.h - text files as lines and as tables of tab-separated fields, private to the files that read data.
*/
#ifndef QE_TABLE_H
#define QE_TABLE_H
#include "core.h"

/* Lines end with LF; one CR before it (or before the end of the bytes) is dropped; the last line needs no LF. A
** UTF-8 byte order mark at the very beginning is skipped. */
struct lines {
  const char *next, *end;
  size_t number; /* of the line that lines_next gave last, from 1 */
};
struct lines lines_of(qe_text bytes);
bool lines_next(struct lines *lines, qe_text *line); /* false at the end */

/* Fields are slices of the bytes; field (row, column) is fields[(row + 1) * columns + column], the header is the
** first run of `columns`. Every line has `columns` fields, so row r is line r + 2. */
struct table {
  const char *origin; /* the caller's; named by messages */
  qe_text *fields;
  size_t columns, rows, field_count, field_room;
  char *bytes; /* the file, where table_read read one */
};
enum { TABLE_NONE = -1, TABLE_SEVERAL = -2 };
/* Refused: no header, a name twice in it or with a NUL, a line with another number of fields. table_free is due
** whether or not it fails. */
int table_parse(struct table *table, qe_text bytes, const char *origin, struct error *error);
int table_read(struct table *table, const char *path, struct error *error);
void table_free(struct table *table);
qe_text table_name(const struct table *table, size_t column); /* "": a column without a name */
qe_text table_field(const struct table *table, size_t row, size_t column);
size_t table_line(size_t row); /* the number of its line */
/* The one column that has one of these names (the list ends with NULL), TABLE_NONE or TABLE_SEVERAL. */
ptrdiff_t table_find(const struct table *table, const char *const *names);
/* values[row] = the column's numbers, NaN where a field is empty. False if a field is something else or all are
** empty; what is in values is then of no use. */
bool table_numbers(const struct table *table, size_t column, double *values);
/* The names of the header, for a message; ends with "..." where there is no more room. */
void table_list(const struct table *table, char *out, size_t room);

/* A whole file, the caller's to memory_free; messages name the path. */
int table_load(const char *path, char **bytes, size_t *size, struct error *error);
/* What of a text goes into a message: its first bytes, cut between characters; for "%.*s". */
int table_clip(qe_text text);

#endif
