/*
** scores.c - a teacher's file joined to the rows by "index". The rows' indices are sorted once, each line is found
** by bisection, and every line must find one row that no other line has found. Values are taken in a dataset
** without rows of its own first, so that nothing is stored before everything was checked.
*/
#include "dataset.h"
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct key {
  double index;
  size_t row;
};
struct join {
  const qe_dataset *data;
  const struct table *table;
  struct key *keys; /* of the rows that have an index, sorted */
  size_t key_count;
  size_t *line; /* per row of the dataset: the line that names it, or 0 */
  size_t *row;  /* per row of the table: the row that it names */
};

static int compare_keys(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  return x->index < y->index ? -1 : x->index > y->index;
}

static int join_start(struct join *join, const qe_dataset *data, const struct table *table, struct error *error) {
  *join = (struct join){ .data = data, .table = table };
  join->keys = memory_new(data->count, sizeof *join->keys);
  join->line = memory_new(data->count, sizeof *join->line);
  join->row = memory_new(table->rows, sizeof *join->row);
  if (!join->keys || !join->line || !join->row)
    return error_memory(error);
  const double *index = qe_dataset_column(data, "index");
  for (size_t row = 0; row < data->count; row++)
    if (!index || !isnan(index[row]))
      join->keys[join->key_count++] = (struct key){ index ? index[row] : (double)row, row };
  qsort(join->keys, join->key_count, sizeof *join->keys, compare_keys);
  return QE_OK;
}

static void join_free(struct join *join) {
  memory_free(join->keys);
  memory_free(join->line);
  memory_free(join->row);
}

/* The first key that is not less. */
static size_t join_search(const struct join *join, double index) {
  size_t low = 0, high = join->key_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (join->keys[middle].index < index)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The row that line `number` of the table (from 0) names by this field. */
static int join_line(struct join *join, size_t number, qe_text field, struct error *error) {
  const char *origin = join->table->origin;
  const size_t line = table_line(number);
  double index;
  if (!number_parse(field, &index) || isnan(index))
    return error_set(error, QE_FORMAT, "%s:%zu: index \"%.*s\", expected a number", origin, line, table_clip(field),
                     field.data);
  const struct key *key = join->keys + join_search(join, index), *end = join->keys + join->key_count;
  if (key == end || key->index > index)
    return error_set(error, QE_FORMAT, "%s:%zu: index %.*s, which none of the %zu rows has", origin, line,
                     table_clip(field), field.data, join->data->count);
  if (key + 1 != end && !(key[1].index > index))
    return error_set(error, QE_FORMAT, "%s:%zu: index %.*s, which more than one row has", origin, line,
                     table_clip(field), field.data);
  if (join->line[key->row] > 0)
    return error_set(error, QE_FORMAT, "%s:%zu: index %.*s again, after line %zu", origin, line, table_clip(field),
                     field.data, join->line[key->row]);
  join->line[key->row] = line;
  join->row[number] = key->row;
  return QE_OK;
}

static int join_lines(struct join *join, size_t column, struct error *error) {
  int status = QE_OK;
  for (size_t number = 0; number < join->table->rows && status == QE_OK; number++)
    status = join_line(join, number, table_field(join->table, number, column), error);
  return status;
}

/* ---- values ---- */

/* prefix, prefix_2, prefix_3 ..., or the column's own name. */
static int take_column(qe_dataset *taken, const struct table *table, size_t column, const char *prefix,
                       struct error *error) {
  if (!prefix)
    return import_column(taken, table, column, table_name(table, column), error);
  const size_t room = strlen(prefix) + sizeof "_18446744073709551615";
  char *name = memory_new(room, 1);
  if (!name)
    return error_memory(error);
  snprintf(name, room, taken->column_count > 0 ? "%s_%zu" : "%s", prefix, taken->column_count + 1);
  int status = import_column(taken, table, column, qe_string(name), error);
  memory_free(name);
  return status;
}

static int take_columns(qe_dataset *taken, const struct table *table, size_t index, const char *prefix,
                        struct error *error) {
  int status = QE_OK;
  taken->count = table->rows; /* as many values in each column; the rows themselves do not matter */
  for (size_t column = 0; column < table->columns && status >= 0; column++)
    if (column != index && table_name(table, column).size > 0)
      status = take_column(taken, table, column, prefix, error);
  if (status >= 0 && taken->column_count == 0)
    return error_set(error, QE_FORMAT, "%s: no column of numbers beside the index", table->origin);
  return status < 0 ? status : QE_OK;
}

/* Rows that got at least one value. */
static size_t count_matched(const struct join *join, const qe_dataset *taken) {
  size_t matched = 0;
  for (size_t number = 0; number < join->table->rows; number++) {
    bool any = false;
    for (size_t i = 0; i < taken->column_count; i++)
      any = any || !isnan(taken->columns[i].values[number]);
    matched += any;
  }
  return matched;
}

static int store(qe_dataset *data, const struct join *join, const qe_dataset *taken, struct error *error) {
  const size_t before = data->column_count;
  for (size_t i = 0; i < taken->column_count; i++)
    if (!dataset_make_column(data, qe_string(taken->columns[i].name), error)) {
      dataset_drop_columns(data, before);
      return error->status;
    }
  for (size_t i = 0; i < taken->column_count; i++) {
    double *values = dataset_make_column(data, qe_string(taken->columns[i].name), error);
    for (size_t number = 0; number < join->table->rows; number++)
      if (!isnan(taken->columns[i].values[number]))
        values[join->row[number]] = taken->columns[i].values[number];
  }
  return QE_OK;
}

static int find_index(const struct table *table, size_t *column, struct error *error) {
  static const char *const names[] = { "index", NULL };
  const ptrdiff_t found = table_find(table, names);
  char header[256];
  if (found < 0) {
    table_list(table, header, sizeof header);
    return error_set(error, QE_FORMAT, "%s:1: no column index in the header: %s", table->origin, header);
  }
  *column = (size_t)found;
  return QE_OK;
}

static int join_table(qe_dataset *data, const struct table *table, const char *prefix, size_t *matched) {
  struct error *error = &data->error;
  size_t index = 0;
  if (find_index(table, &index, error) != QE_OK)
    return error->status;
  struct join join;
  qe_dataset taken = { 0 };
  int status = join_start(&join, data, table, error);
  if (status == QE_OK)
    status = join_lines(&join, index, error);
  if (status == QE_OK)
    status = take_columns(&taken, table, index, prefix, error);
  if (status == QE_OK)
    status = store(data, &join, &taken, error);
  if (status == QE_OK)
    *matched = count_matched(&join, &taken);
  join_free(&join);
  dataset_clear(&taken);
  return status;
}

int qe_dataset_read_scores(qe_dataset *data, const char *path, const char *prefix, size_t *matched) {
  struct table table;
  size_t unused;
  if (!matched)
    matched = &unused;
  *matched = 0;
  error_clear(&data->error);
  if (prefix && !*prefix)
    return error_set(&data->error, QE_USE, "%s: the prefix is empty, expected a name or none", path);
  int status = table_read(&table, path, &data->error);
  if (status == QE_OK)
    status = join_table(data, &table, prefix, matched);
  table_free(&table);
  return status;
}
