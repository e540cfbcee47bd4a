/*
** utility.h - how much one text is worth if another one is the truth: what consensus.c asks of a similarity, as a
** table of functions, so that it knows nothing of n-grams or vectors. References are prepared once, hypotheses come
** one by one. Invariant: utilities lie in 0..1 and depend on the two texts alone, not on what else was prepared.
*/
#ifndef QE_UTILITY_H
#define QE_UTILITY_H
#include "core.h"

struct utility {
  void *(*create)(const void *context); /* the state of the calls below; NULL when memory is out */
  void (*destroy)(void *state);
  /* Sets the references, one or more, in place of earlier ones; the texts need not outlive the call. QE_OK or
  ** QE_MEMORY, after which there are none. */
  int (*prepare)(void *state, const qe_text *references, size_t count);
  /* Sets the hypothesis of the calls that follow: any text, or one of the references, which costs less. */
  int (*read)(void *state, qe_text hypothesis); /* QE_OK or QE_MEMORY */
  void (*take)(void *state, size_t reference);
  /* The hypothesis against the references from `first` on, whose places in the arrays are their numbers; the entries
  ** before are left alone. `reverse` (may be NULL) is with the two sides exchanged. */
  void (*row)(void *state, size_t first, double *utilities, double *reverse);
  double (*alone)(const void *state); /* the hypothesis against itself */
};

/* overlap.c: sentence chrF2, as "chrf" of qe_metric scores it, divided by 100. */
extern const struct utility utility_chrf;
/* likeness.c: alignment by word vectors. The context is a model that has them and has been prepared; it must outlive the
** state. */
extern const struct utility utility_likeness;

#endif
