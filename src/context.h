/*
** context.h - the encoder that an aligned student reads words in context by, private to context.c, aligned.c (on a tape),
** aligned_fold.c, aligned_score.c (without one), model.c and package.c.
*/
#ifndef QE_CONTEXT_H
#define QE_CONTEXT_H
#include "scoring.h"

struct context; /* read by all the models that have it, freed by the last */

/* Takes over the encoder, whatever happens: prepared, with its lowest `layer` layers ready to be read. NULL: recorded. */
struct context *context_new(qe_model *model, size_t layer, struct error *error);
struct context *context_hold(struct context *context);
void context_release(struct context *context);
qe_model *context_encoder(const struct context *context);

/* States of the words of both sides of a pair, `stride` apart. */
struct context_words {
  const float *states[SIDES];
  size_t count[SIDES], stride;
  bool truncated[SIDES];
};
typedef int context_take(void *owner, size_t pair, const struct context_words *words);

struct context_work;                                                                    /* one per thread */
struct context_work *context_work_new(struct context *context);                         /* NULL: no memory */
bool context_work_fits(const struct context_work *work, const struct context *context); /* either may be NULL */
void context_work_free(struct context_work *work);
/* Whether what the encoder says counts in a student's scores. */
static inline bool context_asked(const qe_model *student) {
  return student->line[0].context > 0 || student->line[1].context > 0;
}
/* What the encoder itself thinks of pairs first .. end - 1; zeros unless it is asked. QE_OK or QE_MEMORY. */
int context_score(struct context_work *work, bool asked, const struct kernel *kernel, const qe_pair *pairs,
                  size_t first, size_t end, float *scores);
/* Hands over their words, of which max_words a side are read, pair by pair. */
int context_read(struct context_work *work, const struct kernel *kernel, const qe_pair *pairs, size_t first,
                 size_t end, size_t max_words, context_take *take, void *owner);

#endif
