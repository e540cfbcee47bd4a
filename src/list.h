/*
** list.h - the insides of an n-best list, private to list.c, writer.c, the formats and fusion.c. A candidate keeps what
** was read of it whole; the places where its line can change are spots. What is no slice of the line (decoded JSON,
** unescaped text) lies in memory of the candidate's own.
*/
#ifndef QE_LIST_H
#define QE_LIST_H
#include "core.h"

struct format;

/* A part of the line that writing may replace (size > 0) or a place for an insertion (size 0). */
struct spot {
  bool there;
  size_t at, size;     /* at: beyond the line stands for its end */
  const char *before;  /* an insertion is separated by this from what precedes */
  const char *between; /* features from each other */
  const char *behind;  /* from what follows */
};

struct candidate {
  char *line;                /* as read; NULL: there is none, the fields are all */
  size_t size, room, number; /* bytes, room for them; number of the line in its file */
  char *decoded;             /* what the slices that are not in the line point into, or NULL */
  qe_hypothesis hypothesis;
  qe_text total, token_scores;          /* as text; data is NULL where there is none */
  qe_text rank;                         /* a slice of the line, or empty */
  struct spot features, total_spots[2]; /* fairseq writes a total twice */
  bool open_separator; /* the line ends after " |||": a blank completes it before anything is added there */
};

struct appended {
  char *name;
  double *values; /* one per candidate */
};

struct qe_list {
  struct error error;
  const struct format *format; /* NULL: lines of Moses and its relatives */
  struct candidate *candidates;
  size_t count, room;
  struct appended *appended;
  size_t appended_count, appended_room;
  qe_text id, source; /* copies; data is NULL where there is none */
  char *head;         /* what was read and belongs to no candidate: fairseq's S- and T- lines, all of Sockeye's */
  size_t head_size, head_room;
  bool escapes;   /* texts of lines with pipes are escaped as Moses does it */
  bool complete;  /* nothing can follow */
  size_t ordinal; /* the list's number, its id where there is no other */
  bool numbered;  /* candidates need no id */
  bool pushed;    /* some candidates were not read */
  char *output;   /* what qe_list_line or qe_list_write returned last */
  size_t output_room;
};

/* The next word of `text` between white space, taken off its front; false at the end. */
bool list_word(qe_text *text, qe_text *word);

/* ---- list.c: what formats build lists with ---- */
/* A candidate after the last, with a copy of `line` (NULL data: none) and no total, not counted yet; NULL: no memory.
** Either list->count++ follows or list_drop. */
struct candidate *list_candidate(qe_list *list, qe_text line, size_t number);
void list_drop(qe_list *list);
int list_set_id(qe_list *list, qe_text id);     /* the first one stays */
int list_set_ordinal(qe_list *list);            /* the same with the list's number */
int list_add_head(qe_list *list, qe_text line); /* and an LF before it unless it is the first */
/* Whether a feature of this name is read again as one, in any format. */
bool list_names_feature(qe_text name);
/* Takes the next number of white space, commas and brackets; JSON's null is a NaN. False at the end. */
bool list_number(qe_text *text, qe_text *word, double *value);
/* As text, in any notation that list_number reads; no data: there are none. */
qe_text list_token_scores(const struct candidate *candidate);
double list_log_unit(const qe_list *list); /* what a token score of 1 is as a natural logarithm */

#endif
