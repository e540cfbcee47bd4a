/*
** likeness_twin.h - how alike two texts are by the directions of their words, by definition and in double: what the tests
** of consensus by words compare with, wherever the directions come from.
*/
#ifndef QE_TEST_LIKENESS_TWIN_H
#define QE_TEST_LIKENESS_TWIN_H
#include <math.h>
#include <stddef.h>

enum { TWIN_WORDS = 20, TWIN_WIDEST = 20 };

struct directions {
  double x[TWIN_WORDS][TWIN_WIDEST];
  size_t count;
};

static inline double twin_best_mean(const struct directions *a, const struct directions *b, size_t width) {
  double sum = 0;
  for (size_t i = 0; i < a->count; i++) {
    double best = 0;
    for (size_t j = 0; j < b->count; j++) {
      double cosine = 0;
      for (size_t k = 0; k < width; k++)
        cosine += a->x[i][k] * b->x[j][k];
      best = fmax(best, cosine);
    }
    sum += best;
  }
  return sum / (double)a->count;
}

/* Texts without words are alike, and like nothing else. */
static inline double twin_alike(const struct directions *a, const struct directions *b, size_t width) {
  if (a->count == 0 || b->count == 0)
    return a->count == b->count;
  return (twin_best_mean(a, b, width) + twin_best_mean(b, a, width)) / 2;
}

#endif
