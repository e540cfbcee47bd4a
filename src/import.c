/*
** import.c - files of rows. A TSV file becomes a dataset of its own, which then joins the real one; an MLQE-PE set
** is a TSV file found by the shape of its name, with the decoder's log-probabilities beside it. What a column means
** is decided here by its name (the two texts) and its fields (numbers or not).
*/
#include "dataset.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- tables ---- */

int import_column(qe_dataset *data, const struct table *table, size_t column, qe_text name, struct error *error) {
  const size_t before = data->column_count;
  double *values = dataset_make_column(data, name, error);
  if (!values)
    return error->status;
  if (table_numbers(table, column, values))
    return 1;
  dataset_drop_columns(data, before);
  return 0;
}

/* The column that has one of these names; `what` says so in a message. */
static int find_text(const struct table *table, const char *const *names, const char *what, size_t *column,
                     struct error *error) {
  const ptrdiff_t found = table_find(table, names);
  char header[256];
  if (found >= 0) {
    *column = (size_t)found;
    return QE_OK;
  }
  table_list(table, header, sizeof header);
  return error_set(error, QE_FORMAT, "%s:1: expected one column %s, found %s in the header: %s", table->origin,
                   what, found == TABLE_SEVERAL ? "several" : "none", header);
}

static int add_rows(qe_dataset *stage, const struct table *table, size_t source, size_t translation,
                    struct error *error) {
  int status = QE_OK;
  for (size_t row = 0; row < table->rows && status == QE_OK; row++) {
    const qe_pair pair = { .source = table_field(table, row, source),
                           .translation = table_field(table, row, translation) };
    status = dataset_add_row(stage, &pair, error);
  }
  return status;
}

static int import_table(qe_dataset *stage, const struct table *table, struct error *error) {
  static const char *const sources[] = { "source", "original", "src", NULL };
  static const char *const translations[] = { "translation", "target", "mt", "tgt", NULL };
  size_t source, translation;
  if (find_text(table, sources, "source, original or src", &source, error) != QE_OK ||
      find_text(table, translations, "translation, target, mt or tgt", &translation, error) != QE_OK)
    return error->status;
  int status = add_rows(stage, table, source, translation, error);
  for (size_t column = 0; column < table->columns && status >= 0; column++)
    if (column != source && column != translation && table_name(table, column).size > 0)
      status = import_column(stage, table, column, table_name(table, column), error);
  return status < 0 ? status : QE_OK;
}

static int import_file(qe_dataset *stage, const char *path, struct error *error) {
  struct table table;
  int status = table_read(&table, path, error);
  if (status == QE_OK)
    status = import_table(stage, &table, error);
  table_free(&table);
  return status;
}

int qe_dataset_read(qe_dataset *data, const char *path) {
  qe_dataset stage = { 0 };
  error_clear(&data->error);
  int status = import_file(&stage, path, &data->error);
  if (status == QE_OK)
    status = dataset_join(data, &stage, &data->error);
  dataset_clear(&stage);
  return status;
}

/* ---- MLQE-PE ---- */

static const char table_ending[] = ".df.short.tsv";

/* Of "train.eten.df.short.tsv", where the set is "train", the part "eten"; empty if the name is of another kind. */
static qe_text languages_of(const char *name, const char *set) {
  const size_t size = strlen(name), set_size = strlen(set), ending = sizeof table_ending - 1;
  const qe_text none = { name, 0 };
  if (size <= set_size + 1 + ending || strncmp(name, set, set_size) != 0 || name[set_size] != '.' ||
      strcmp(name + size - ending, table_ending) != 0)
    return none;
  return (qe_text){ name + set_size + 1, size - ending - set_size - 1 };
}

/* "folder/beginning" + "set.languages" + ending, or NULL. */
static char *make_path(const char *folder, const char *beginning, const char *set, const char *languages,
                       const char *ending) {
  const size_t room = strlen(folder) + strlen(beginning) + strlen(set) + strlen(languages) + strlen(ending) + 3;
  char *path = memory_new(room, 1);
  if (path)
    snprintf(path, room, "%s/%s%s.%s%s", folder, beginning, set, languages, ending);
  return path;
}

/* Looks at one name in the folder; *languages becomes a copy of its part. */
static int consider(const char *folder, const char *set, const char *name, char **languages, struct error *error) {
  const qe_text part = languages_of(name, set);
  if (part.size == 0)
    return QE_OK;
  if (*languages)
    return error_set(error, QE_FORMAT, "%s: more than one file %s.*%s (%s and %.*s), expected one", folder, set,
                     table_ending, *languages, (int)part.size, part.data);
  *languages = memory_new(part.size + 1, 1);
  if (!*languages)
    return error_memory(error);
  memcpy(*languages, part.data, part.size);
  return QE_OK;
}

static int find_languages(const char *folder, const char *set, char **languages, struct error *error) {
  DIR *entries = opendir(folder);
  *languages = NULL;
  if (!entries)
    return error_set(error, QE_WORLD, "%s: cannot open the folder: %s", folder, strerror(errno));
  int status = QE_OK;
  errno = 0;
  for (const struct dirent *entry; status == QE_OK && (entry = readdir(entries)); errno = 0)
    status = consider(folder, set, entry->d_name, languages, error);
  if (status == QE_OK && errno != 0)
    status = error_set(error, QE_WORLD, "%s: cannot read the folder: %s", folder, strerror(errno));
  closedir(entries);
  if (status == QE_OK && !*languages)
    status = error_set(error, QE_WORLD, "%s: no file %s.*%s", folder, set, table_ending);
  return status;
}

/* Whatever is there but cannot be read is left for the reader to complain about. */
static bool is_absent(const char *path) {
  struct stat found;
  return stat(path, &found) != 0 && errno == ENOENT;
}

static int import_set(qe_dataset *stage, const char *folder, const char *set, const char *languages,
                      struct error *error) {
  char *table = make_path(folder, "", set, languages, table_ending);
  char *logprobs = make_path(folder, "word_probas.", set, languages, "");
  char *tokens = make_path(folder, "mt.", set, languages, "");
  int status = table && logprobs && tokens ? import_file(stage, table, error) : error_memory(error);
  if (status == QE_OK && !is_absent(logprobs))
    status = logprobs_read(stage, logprobs, is_absent(tokens) ? NULL : tokens, 0, error);
  memory_free(table);
  memory_free(logprobs);
  memory_free(tokens);
  return status;
}

int qe_dataset_read_mlqe(qe_dataset *data, const char *folder, const char *set) {
  qe_dataset stage = { 0 };
  char *languages;
  error_clear(&data->error);
  int status = find_languages(folder, set, &languages, &data->error);
  if (status == QE_OK)
    status = import_set(&stage, folder, set, languages, &data->error);
  if (status == QE_OK)
    status = dataset_join(data, &stage, &data->error);
  memory_free(languages);
  dataset_clear(&stage);
  return status;
}
