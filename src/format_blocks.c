/*
** format_blocks.c - lines without ids, of which so many are a list: CTranslate2's ("total ||| text", or the text alone)
** and flat files ("text", or "text TAB total" as OpenNMT-py writes it). They have no place for features. A text that
** looks as if it had a total cannot be told from one that has.
*/
#include "format.h"

#include <math.h>

static const char separator[] = " ||| ";
enum { SEPARATOR = sizeof separator - 1 };

static bool set_total(struct candidate *candidate, qe_text number) {
  if (!number_parse(number, &candidate->hypothesis.total))
    return false;
  candidate->total = number;
  candidate->total_spots[0] =
      (struct spot){ .there = true, .at = (size_t)(number.data - candidate->line), .size = number.size };
  return true;
}

int ct2_parse(qe_list *list, struct candidate *candidate) {
  const char *end = memmem(candidate->line, candidate->size, " |||", SEPARATOR - 1);
  const size_t size = end ? (size_t)(end - candidate->line) : 0;
  const bool empty = size + SEPARATOR - 1 == candidate->size; /* the line may end right behind the pipes */
  (void)list;
  if (end && (empty || end[SEPARATOR - 1] == ' ') && set_total(candidate, (qe_text){ candidate->line, size })) {
    const size_t start = size + SEPARATOR - empty;
    candidate->hypothesis.text = (qe_text){ candidate->line + start, candidate->size - start };
    return QE_OK;
  }
  candidate->hypothesis.text = (qe_text){ candidate->line, candidate->size };
  candidate->total_spots[0] = (struct spot){ true, 0, 0, "", "", separator };
  return QE_OK;
}

int flat_parse(qe_list *list, struct candidate *candidate) {
  const char *tab = memrchr(candidate->line, '\t', candidate->size);
  const size_t size = tab ? (size_t)(tab - candidate->line) : 0;
  (void)list;
  if (tab && set_total(candidate, (qe_text){ tab + 1, candidate->size - size - 1 })) {
    candidate->hypothesis.text = (qe_text){ candidate->line, size };
    return QE_OK;
  }
  candidate->hypothesis.text = (qe_text){ candidate->line, candidate->size };
  candidate->total_spots[0] = (struct spot){ true, SIZE_MAX, 0, "\t", "", "" };
  return QE_OK;
}

void ct2_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  (void)place;
  put_text(writer, total);
  put(writer, separator, total.size > 0 ? SEPARATOR : 0);
  put_text(writer, candidate->hypothesis.text);
  put(writer, "\n", 1);
}

void flat_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  (void)place;
  put_text(writer, candidate->hypothesis.text);
  put(writer, "\t", total.size > 0);
  put_text(writer, total);
  put(writer, "\n", 1);
}
