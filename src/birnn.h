/*
** birnn.h - one shard of a batch on its way through the student; private to birnn.c, pass.c and model.c.
*/
#ifndef QE_BIRNN_H
#define QE_BIRNN_H
#include "model.h"

enum { BIRNN_TAPS = 14 };
extern const char *const birnn_taps[BIRNN_TAPS]; /* their names */

/* Rows first .. first + count - 1 of a batch on a tape of their own. */
struct birnn_shard {
  qe_tape *tape;
  qe_model *model;
  qe_dataset *data;
  const struct side *sides[2]; /* of the whole batch */
  const uint32_t *rows;        /* of the dataset, count of them */
  size_t first, count;
  bool drops, headless; /* headless: no score, no logits */
  qe_rng dropout;
  qe_tensor embedding[2];     /* on this tape, tokens x embedding, or QE_NONE: look ids up */
  qe_tensor taps[BIRNN_TAPS]; /* filled by birnn_forward */
};
void birnn_forward(struct birnn_shard *shard);

int birnn_parameters(qe_model *model); /* adds the matrices, zero */
void birnn_start(qe_model *model, qe_rng *rng);

#endif
