/*
** format.h - the formats of n-best lists: a table of names with a parser and a printer each. Parsers fill candidates
** with slices and spots (list.h), printers write a candidate from its fields, as conversion needs it.
*/
#ifndef QE_FORMAT_H
#define QE_FORMAT_H
#include "list.h"

enum { TAKEN = 1, OTHER = 0, SKIPPED = 2 }; /* what became of a line; or a negative status */

struct writer {
  qe_list *list;
  const struct format *format;
  size_t size; /* bytes in the list's output */
  bool failed; /* no memory */
};

enum shape { PIPES, FAIRSEQ, BLOCKS, SOCKEYE, JSONL };

struct format {
  const char *name;
  enum shape shape;
  bool counted;    /* without ids: lists are so many lines */
  bool skip_blank; /* blank lines are padding */
  /* One line of one candidate; the id may be left empty where the list's is to be used. NULL: `take` reads. */
  int (*parse)(qe_list *list, struct candidate *candidate);
  int (*take)(qe_list *list, qe_text line, size_t number);
  /* The candidate from its fields, LF included, with that total (empty: none) as the line of that place in the list;
  ** NULL: the format writes whole lists (format_json.c). */
  void (*print)(struct writer *writer, size_t index, size_t place, qe_text total);
  const char *equals; /* between a feature's name and its value */
};

const struct format *format_find(const char *name); /* NULL: no such */
extern const char format_names[];                   /* all, for messages */
/* The format of text that begins with these lines, which `whole` says to be all there will be; NULL: cannot be told
** (yet). */
const struct format *format_guess(qe_text text, bool whole, bool counted);
bool format_is_hopeless(qe_text text);                       /* no more lines are looked at */
int format_take(qe_list *list, qe_text line, size_t number); /* by list->format */

/* ---- format_pipes.c ---- */
int pipes_parse(qe_list *list, struct candidate *candidate); /* Moses, Marian, cdec, Joshua */
int cdec_parse(qe_list *list, struct candidate *candidate);
int travatar_parse(qe_list *list, struct candidate *candidate);
void pipes_print(struct writer *writer, size_t index, size_t place, qe_text total);
void travatar_print(struct writer *writer, size_t index, size_t place, qe_text total);
const struct format *pipes_guess(qe_text line, bool counted); /* NULL: not of this family */
/* Replaces the entities that Moses' tokenizer makes; `out` has room for as many bytes. Returns the size. */
size_t pipes_unescape(qe_text text, char *out);

/* ---- format_blocks.c ---- */
int ct2_parse(qe_list *list, struct candidate *candidate);
int flat_parse(qe_list *list, struct candidate *candidate);
void ct2_print(struct writer *writer, size_t index, size_t place, qe_text total);
void flat_print(struct writer *writer, size_t index, size_t place, qe_text total);

/* ---- format_fairseq.c ---- */
int fairseq_take(qe_list *list, qe_text line, size_t number);
void fairseq_print(struct writer *writer, size_t index, size_t place, qe_text total);
bool fairseq_line(qe_text line, qe_text *id, qe_text *rest); /* X-id TAB rest */

/* ---- format_json.c ---- */
int jsonl_parse(qe_list *list, struct candidate *candidate);
int sockeye_take(qe_list *list, qe_text line, size_t number);
void jsonl_print(struct writer *writer, size_t index, size_t place, qe_text total);
/* A whole list as one line: as it was read with changes, or from the fields. */
int sockeye_edit(struct writer *writer, const size_t *order, size_t count, const double *totals);
int sockeye_print(struct writer *writer, const size_t *order, size_t count, const double *totals);
bool json_has(qe_text line, const char *key); /* an object with such a key */

/* ---- writer.c ---- */
void put(struct writer *writer, const void *bytes, size_t size);
void put_string(struct writer *writer, const char *text);
void put_text(struct writer *writer, qe_text text);
void put_count(struct writer *writer, size_t count);
void put_number(struct writer *writer, double value);
void put_json_string(struct writer *writer, qe_text text);
void put_json_number(struct writer *writer, qe_text word); /* a number as text */
void put_json_double(struct writer *writer, double value);
/* The total as text, replaced unless `total` is a NaN; empty where there is none. Memory: `room`, of 40 bytes. */
qe_text total_text(const struct candidate *candidate, double total, char *room);

/* ---- features.c: the features of candidates as a sequence of names with values ---- */
struct feature {
  qe_text name, values; /* values: words; data is NULL for one that was appended: then it is value */
  double value;
  size_t candidate, place; /* index in the list, place in the sequence */
  size_t next;             /* place of the next one of this name, or SIZE_MAX */
  bool repeated;           /* the name came before */
};
struct features {
  struct feature *items;
  size_t count, room;
};
/* Adds those of one candidate, appended ones included, WordScores left out. False: no memory. */
bool features_collect(struct features *features, const qe_list *list, size_t index);
bool features_chain(struct features *features); /* finds names that come again */
void features_free(struct features *features);

#endif
