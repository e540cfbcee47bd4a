/*
** logprobs.c - the decoder's log-probabilities, a line of numbers per row. They are parsed and checked as a whole,
** then put into the dataset's pool, where a row that had others points to the new ones. Whether a number is
** plausible for a logarithm of a probability is not asked, only that it is finite.
*/
#include "dataset.h"
#include "table.h"

#include <math.h>

static int add_line(struct logprobs *logprobs, qe_text line, const char *origin, size_t number,
                    struct error *error) {
  const size_t before = logprobs->count;
  for (qe_text token; text_next_token(&line, &token);) {
    double value;
    if (!number_parse(token, &value) || !isfinite((float)value))
      return error_set(error, QE_FORMAT, "%s:%zu: \"%.*s\", expected a finite number", origin, number,
                       table_clip(token), token.data);
    if (!memory_reserve((void **)&logprobs->values, &logprobs->room, logprobs->count + 1, sizeof *logprobs->values))
      return error_memory(error);
    logprobs->values[logprobs->count++] = (float)value;
  }
  if (logprobs->count == before)
    return error_set(error, QE_FORMAT, "%s:%zu: no number, expected one for each token and one for the end", origin,
                     number);
  if (!memory_reserve((void **)&logprobs->offset, &logprobs->offset_room, logprobs->lines + 2,
                      sizeof *logprobs->offset))
    return error_memory(error);
  logprobs->offset[++logprobs->lines] = logprobs->count;
  return QE_OK;
}

int logprobs_parse(struct logprobs *logprobs, qe_text bytes, const char *origin, struct error *error) {
  *logprobs = (struct logprobs){ 0 };
  if (!memory_reserve((void **)&logprobs->offset, &logprobs->offset_room, 1, sizeof *logprobs->offset))
    return error_memory(error);
  logprobs->offset[0] = 0;
  struct lines lines = lines_of(bytes);
  int status = QE_OK;
  for (qe_text line; status == QE_OK && lines_next(&lines, &line);)
    status = add_line(logprobs, line, origin, lines.number, error);
  return status;
}

void logprobs_free(struct logprobs *logprobs) {
  memory_free(logprobs->values);
  memory_free(logprobs->offset);
  *logprobs = (struct logprobs){ 0 };
}

static size_t count_tokens(qe_text line) {
  size_t count = 0;
  for (qe_text token; text_next_token(&line, &token);)
    count++;
  return count;
}

int logprobs_check(const struct logprobs *logprobs, const char *origin, qe_text tokens, const char *tokens_origin,
                   struct error *error) {
  struct lines lines = lines_of(tokens);
  for (qe_text line; lines_next(&lines, &line);) {
    if (lines.number > logprobs->lines)
      continue; /* the message below gives the number of all lines */
    const size_t found = logprobs->offset[lines.number] - logprobs->offset[lines.number - 1];
    const size_t count = count_tokens(line);
    if (found != count + 1)
      return error_set(error, QE_FORMAT, "%s:%zu: %zu numbers, expected %zu: %s has %zu tokens there, and the end",
                       origin, lines.number, found, count + 1, tokens_origin, count);
  }
  if (lines.number != logprobs->lines)
    return error_set(error, QE_FORMAT, "%s: %zu lines, expected %zu as in %s", tokens_origin, lines.number,
                     logprobs->lines, origin);
  return QE_OK;
}

/* ---- files ---- */

static int check_file(const struct logprobs *logprobs, const char *origin, const char *path, struct error *error) {
  char *bytes;
  size_t size;
  int status = table_load(path, &bytes, &size, error);
  if (status == QE_OK)
    status = logprobs_check(logprobs, origin, (qe_text){ bytes, size }, path, error);
  memory_free(bytes);
  return status;
}

static int load(struct logprobs *logprobs, const char *path, struct error *error) {
  char *bytes;
  size_t size;
  *logprobs = (struct logprobs){ 0 };
  int status = table_load(path, &bytes, &size, error);
  if (status == QE_OK)
    status = logprobs_parse(logprobs, (qe_text){ bytes, size }, path, error);
  memory_free(bytes);
  return status;
}

/* Log-probabilities that rows had before stay in the pool, unused: reading twice is rare, moving is not free. */
static int store(qe_dataset *data, const struct logprobs *logprobs, size_t first, struct error *error) {
  size_t need;
  if (__builtin_add_overflow(data->logprob_count, logprobs->count, &need) ||
      !memory_reserve((void **)&data->logprobs, &data->logprob_room, need, sizeof *data->logprobs))
    return error_memory(error);
  if (logprobs->count > 0)
    memcpy(data->logprobs + data->logprob_count, logprobs->values, logprobs->count * sizeof *logprobs->values);
  for (size_t line = 0; line < logprobs->lines; line++) {
    struct row *row = &data->rows[first + line];
    row->logprob = data->logprob_count + logprobs->offset[line];
    row->logprob_count = logprobs->offset[line + 1] - logprobs->offset[line];
  }
  data->logprob_count = need;
  return QE_OK;
}

int logprobs_read(qe_dataset *data, const char *path, const char *tokens, size_t first, struct error *error) {
  if (first > data->count)
    return error_set(error, QE_USE, "%s: the first row is to be number %zu, but there are %zu", path, first,
                     data->count);
  struct logprobs logprobs;
  int status = load(&logprobs, path, error);
  if (status == QE_OK && logprobs.lines != data->count - first)
    status = error_set(error, QE_FORMAT, "%s: %zu lines, expected %zu: one for each row from the first to the last",
                       path, logprobs.lines, data->count - first);
  if (status == QE_OK && tokens)
    status = check_file(&logprobs, path, tokens, error);
  if (status == QE_OK)
    status = store(data, &logprobs, first, error);
  logprobs_free(&logprobs);
  return status;
}

int qe_dataset_read_logprobs(qe_dataset *data, const char *logprobs, const char *tokens, size_t first) {
  error_clear(&data->error);
  return logprobs_read(data, logprobs, tokens, first, &data->error);
}
