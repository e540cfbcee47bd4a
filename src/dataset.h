/*
** dataset.h - the insides of a dataset, private to the files that fill one.
*/
#ifndef QE_DATASET_H
#define QE_DATASET_H
#include "data.h"

/* Where a row's texts lie in `bytes` and its log-probabilities in `logprobs`. Tokens of the translation that people have
** tagged are followed by a byte for each: 1 for BAD. */
struct row {
  size_t source, source_size, translation, translation_size, logprob, logprob_count;
  size_t tokens, tokens_size, tag_count;
};
struct column {
  char *name;
  double *values; /* one per row; never NULL */
  size_t room;
};
struct kept_encoding {
  qe_side side;
  uint64_t fingerprint;
  size_t max_words;
  struct encoding encoding;
};
struct qe_dataset {
  struct error error;
  struct row *rows;
  size_t count, row_room;
  char *bytes; /* all texts */
  size_t byte_count, byte_room;
  float *logprobs;
  size_t logprob_count, logprob_room;
  struct column *columns;
  size_t column_count, column_room;
  struct kept_encoding **encodings;
  size_t encoding_count, encoding_room;
};

/* ---- dataset.c ----
** Whatever adds rows makes them in a dataset of its own, on the stack, and joins that to the real one in a single
** step that either happens or does not: so a failure half-way leaves no trace.
*/
void dataset_clear(qe_dataset *data);
/* One row; `data` has no columns yet, and the pair lies elsewhere. */
int dataset_add_row(qe_dataset *data, const qe_pair *pair, struct error *error);
/* Adds the rows and columns of `added` (which may be `data` itself). */
int dataset_join(qe_dataset *data, const qe_dataset *added, struct error *error);
/* The values of the column of that name, made of NaN if there was none; NULL: no memory, recorded. */
double *dataset_make_column(qe_dataset *data, qe_text name, struct error *error);
void dataset_drop_columns(qe_dataset *data, size_t kept); /* all but the first `kept` */

/* ---- import.c ---- */
struct table;
/* A column of the table becomes one of `data`, which has a row for each of the table's. 1: done, 0: its fields are
** not numbers, or < 0. */
int import_column(qe_dataset *data, const struct table *table, size_t column, qe_text name, struct error *error);

/* ---- logprobs.c ---- */
struct logprobs {
  float *values;
  size_t count, room;
  size_t *offset; /* lines + 1: line i has the values offset[i] .. offset[i + 1] - 1 */
  size_t lines, offset_room;
};
/* Every line holds finite numbers, at least one. logprobs_free is due whether or not it fails. */
int logprobs_parse(struct logprobs *logprobs, qe_text bytes, const char *origin, struct error *error);
/* Refuses tokens that are not one fewer, line by line, than the numbers. */
int logprobs_check(const struct logprobs *logprobs, const char *origin, qe_text tokens, const char *tokens_origin,
                   struct error *error);
void logprobs_free(struct logprobs *logprobs);
int logprobs_read(qe_dataset *data, const char *path, const char *tokens, size_t first, struct error *error);

/* ---- tags.c ---- */
struct tagged_text {
  const char *tokens_path, *tags_path;
  qe_text tokens, tags; /* the bytes of both */
};
/* A line of each for every row from `first` on; after an error none of those has tags. */
int tags_parse(qe_dataset *data, const struct tagged_text *text, size_t first, struct error *error);

#endif
