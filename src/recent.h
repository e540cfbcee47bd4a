/*
** recent.h - vectors of words met lately, private: texts repeat words, and what a word's vector is depends on its bytes
** and the model alone. A word has one slot, by its hash; another of the same slot takes its place. Words are told apart
** by all their bytes, those that are too long for a slot are never kept.
*/
#ifndef QE_RECENT_H
#define QE_RECENT_H
#include "core.h"

enum { RECENT_SLOTS = 8192, RECENT_LONGEST = 27 };
struct recent_slot {
  uint32_t turn; /* in which the word came here; what came in an earlier one is forgotten */
  unsigned char length, bytes[RECENT_LONGEST];
};
struct recent {
  uint32_t turn;
  size_t width;
  struct recent_slot *slots;
  float *values; /* a row of `width` for each slot, one more for words without any */
};

bool recent_new(struct recent *recent, size_t width); /* false: no memory */
void recent_free(struct recent *recent);
/* Forgets all words: the next ones may be another model's. */
void recent_forget(struct recent *recent);
/* The row of a word; if it is not `known`, for the caller to fill before he asks for another one. */
float *recent_row(struct recent *recent, qe_text word, bool *known);

#endif
