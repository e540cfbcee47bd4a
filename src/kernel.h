/*
** kernel.h - the arithmetic of scoring, in several translations of one source (kernel.c) that give the same bits.
** Columns come padded to a multiple of KERNEL_LANES, with zeros where they are weights. Nothing here allocates,
** calls the C library's mathematics or keeps state.
*/
#ifndef QE_KERNEL_H
#define QE_KERNEL_H
#include "core.h"

/* Loops of 32 rounds become vector code; compilers unroll those of 16 into single floats before they look. */
enum { KERNEL_LANES = 32 };

/* Strides of rows that `product` reads fastest: an odd number of cache lines, so that rows beside each other do not fall
** on the same places of a cache. */
#define KERNEL_STRIDES(X) X(400) X(784) X(1040) X(1552) X(3088) X(4112)
/* The first of them that has room for so many columns, else that many, padded. */
static inline size_t kernel_stride(size_t cols) {
#define FITS(stride)                                                                                               \
  if (cols <= stride)                                                                                              \
    return stride;
  if (cols > 128) {
    KERNEL_STRIDES(FITS)
  }
#undef FITS
  return (cols + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}

/* One direction of a gated recurrent unit (equations in qestrel.h), prepared: `weight` is hidden x cols, gates r z n
** one after another; `bias` holds the hidden bias of n, and zeros for r and z, whose biases are in the input. */
struct kernel_gru {
  size_t hidden, cols; /* cols >= 3 hidden */
  const float *weight, *bias;
};

struct kernel {
  const char *name;
  /* out = mean of table[ids[i]], rows of `width`; zeros where there are none. */
  void (*mean)(const float *table, size_t width, const uint32_t *ids, size_t count, float *out);
  /* out[i] = bias + in[i] weight; in has depth columns in rows of in_stride, weight and out have cols columns. */
  void (*affine)(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride, const float *weight,
                 const float *bias, float *out);
  /* state t = states + t * stride, padded hidden wide, zeros behind column hidden. input[t][0..] are the inputs of the
  ** gates, of which KERNEL_LANES more than 3 hidden are read; `before` holds zeros (padded hidden); `inner` is work
  ** space of cols + KERNEL_LANES, `gates` of 2 hidden + KERNEL_LANES. */
  void (*gru)(const struct kernel_gru *gru, size_t tokens, const float *const *input, bool reversed, float *states,
              size_t stride, const float *before, float *inner, float *gates);
  /* One step of `rows` sequences at once: before and after are rows x padded hidden, inner is work space of rows x cols +
  ** KERNEL_LANES. The same bits as one by one. */
  void (*gru_rows)(const struct kernel_gru *gru, size_t rows, const float *const *input, const float *before,
                   float *after, float *inner, float *gates);
  /* pooled = sum over t of softmax_t(states[t] . context) states[t]; tokens >= 1; `weights` is work space. */
  void (*attend)(size_t tokens, size_t width, const float *states, const float *context, float *weights,
                 float *pooled);
  /* out[i] = bias + in[i] weight, as `affine`, of a weight laid out in panels: KERNEL_LANES columns of all rows, then
  ** the next columns; what a large product needs. `cols` need not be padded: of the last panel only the first half is
  ** computed where that is enough, else all of it. */
  void (*product)(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride, const float *panels,
                  const float *bias, float *out, size_t out_stride);
  /* The same, and x Phi(x) of each result. */
  void (*product_gelu)(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride,
                       const float *panels, const float *bias, float *out, size_t out_stride);
  /* Layer norm of x + y (y may be NULL), rows of padded width `stride` and `y_stride` apart, into x; zeros behind column
  ** width. */
  void (*norm)(size_t rows, size_t width, float *x, size_t stride, const float *y, size_t y_stride,
               const float *gain, const float *bias, float epsilon);
  void (*tanh)(size_t count, float *x); /* padded */
  void (*log)(size_t count, float *x);  /* padded; of positive, normal numbers */
  /* Softmax of scale x in place; there is room up to padded(count), zeros after it. */
  void (*softmax)(size_t count, float scale, float *x);
  /* out = (x - center) / its norm, or zeros; width is padded. */
  void (*direction)(size_t width, const float *x, const float *center, float *out);
  /* bins = 0: logistic function of the logit. Otherwise the expected centre of the bins; logits are overwritten. */
  float (*score)(size_t bins, float *logits);
};

/* ---- score.c ---- */
/* The kernel of this name ("portable", "v3", "v4") if this CPU runs it, else NULL; for NULL the best. */
const struct kernel *kernel_choose(const char *name);
void scorer_use(qe_scorer *scorer, const struct kernel *kernel); /* for tests: in place of the best */
void scorer_beginnings(qe_scorer *scorer); /* no windows: of a long side only what the model reads at once counts */

#endif
