/*
** fuzz_reader.c - any bytes as a stream of lists. The first byte chooses the format, the second the size of lists and
** the pieces. Reading in pieces and at once gives the same; what is written is read as the same; what converts to jsonl
** is read there with the same texts.
*/
#include "core.h"
#include "demand.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const formats[] = { "auto", "moses",   "marian", "cdec",    "joshua", "travatar",
                                       "ct2",  "fairseq", "flat",   "sockeye", "jsonl" };

static bool same(qe_text a, qe_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_number(double a, double b) {
  return isnan(a) ? isnan(b) : a >= b && a <= b;
}

static void check_same(const qe_list *a, const qe_list *b) {
  demand(same(qe_list_id(a), qe_list_id(b)) && qe_list_size(a) == qe_list_size(b));
  for (size_t i = 0; i < qe_list_size(a); i++) {
    const qe_hypothesis *left = qe_list_get(a, i), *right = qe_list_get(b, i);
    demand(same(left->text, right->text) && same_number(left->total, right->total));
    demand(qe_list_token_scores(a, i, NULL, 0) == qe_list_token_scores(b, i, NULL, 0));
  }
}

static qe_reader *open(const char *format, size_t per_source, qe_text bytes) {
  qe_reader *reader = qe_reader_new();
  demand(reader && qe_reader_format(reader, format, per_source) == QE_OK);
  demand(qe_reader_feed(reader, bytes.data, bytes.size) == QE_OK && qe_reader_end(reader) == QE_OK);
  return reader;
}

/* The list alone, written, is read as the same list and is all there is. */
static void check_again(qe_list *list, const char *read, const char *written, size_t per_source, qe_text bytes) {
  const bool numbered = strcmp(read, "ct2") == 0 || strcmp(read, "flat") == 0;
  qe_reader *reader = open(written, per_source, bytes);
  qe_list *again = qe_list_new();
  demand(again != NULL);
  if (bytes.size > 0) {
    demand(qe_reader_next(reader, again) == 1);
    if (!numbered && strcmp(written, "sockeye") != 0 && strcmp(read, "jsonl") != 0)
      check_same(list, again);
    demand(qe_reader_next(reader, again) == 0);
  }
  qe_list_free(again);
  qe_reader_free(reader);
}

static void check_list(qe_list *list, const char *format, size_t per_source) {
  qe_text out;
  demand(qe_list_write(list, NULL, NULL, 0, NULL, &out) == QE_OK);
  /* a blank line of padding and a list's last line without its end may look like something else alone */
  check_again(list, format, format, qe_list_size(list) > 0 && per_source > 0 ? qe_list_size(list) : per_source,
              out);
  if (qe_list_write(list, "jsonl", NULL, 0, NULL, &out) == QE_OK)
    check_again(list, format, "jsonl", 0, out);
  for (size_t i = 1; i < sizeof formats / sizeof *formats; i++)
    if (qe_list_write(list, formats[i], NULL, 0, NULL, &out) != QE_OK)
      demand(*qe_list_error(list) != '\0' && out.size == 0);
  double *values = calloc(qe_list_size(list) + 1, sizeof *values);
  demand(values != NULL);
  if (qe_list_append(list, "QE0", values) == QE_OK && qe_list_write(list, NULL, NULL, 0, values, &out) == QE_OK)
    check_again(list, "ct2", format, qe_list_size(list) > 0 && per_source > 0 ? qe_list_size(list) : per_source,
                out);
  free(values);
}

/* The next list in pieces. */
static int next_in_pieces(qe_reader *reader, qe_list *list, qe_text *rest, size_t piece) {
  for (;;) {
    const int status = qe_reader_next(reader, list);
    if (status != 0 || rest->size == 0)
      return status;
    const size_t size = rest->size < piece ? rest->size : piece;
    demand(qe_reader_feed(reader, rest->data, size) == QE_OK);
    rest->data += size;
    rest->size -= size;
    if (rest->size == 0)
      demand(qe_reader_end(reader) == QE_OK);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3)
    return 0;
  const char *format = formats[data[0] % (sizeof formats / sizeof *formats)];
  const size_t piece = (size_t)data[1] / 4 + 1;
  const size_t per_source = format[0] == 'c' || format[0] == 'f' ? (size_t)data[1] % 4 + 1 : (size_t)data[1] % 4;
  qe_text rest = { (const char *)data + 2, size - 2 };
  qe_reader *whole = open(format, per_source, rest), *pieces = qe_reader_new();
  qe_list *one = qe_list_new(), *two = qe_list_new();
  demand(pieces && one && two && qe_reader_format(pieces, format, per_source) == QE_OK);
  int status;
  do {
    status = qe_reader_next(whole, one);
    demand(next_in_pieces(pieces, two, &rest, piece) == status);
    demand((status < 0) == (*qe_reader_error(whole) != '\0'));
    if (status == 1) {
      check_same(one, two);
      check_list(one, qe_reader_guess(whole), per_source);
    }
  } while (status == 1);
  qe_list_free(one);
  qe_list_free(two);
  qe_reader_free(whole);
  qe_reader_free(pieces);
  return 0;
}
