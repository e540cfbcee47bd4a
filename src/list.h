/*
** list.h - the insides of an n-best list, private to list.c and rerank.c.
*/
#ifndef QE_LIST_H
#define QE_LIST_H
#include "core.h"

struct candidate {
  char *line;          /* as read; the hypothesis is slices of it */
  size_t size, number; /* bytes; number of the line in its file */
  qe_hypothesis hypothesis;
  qe_text total;       /* the field of the total; data is NULL where there is none */
  size_t insert;       /* where features are added to the line */
  const char *before;  /* and what separates them there from what precedes */
  const char *behind;  /* and from what follows */
  bool open_separator; /* the line ends after " |||": a blank completes it before anything is added there */
};

struct appended {
  char *name;
  double *values; /* one per candidate */
};

struct qe_list {
  struct error error;
  struct candidate *candidates;
  size_t count, room;
  struct appended *appended;
  size_t appended_count, appended_room;
  char *output; /* what qe_list_line returned last */
  size_t output_room;
};

/* The next word of `text` between white space, taken off its front; false at the end. */
bool list_word(qe_text *text, qe_text *word);

#endif
