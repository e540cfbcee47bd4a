/*
** gradient.h - the checker that the gradient tests share: derivatives from backward against central differences, in
** double. The loss is the sum of the result's cells times random weights, so that errors cannot cancel; every set of
** inputs that may want a gradient is tried; every input has a random gradient before the walk, which backward must
** add to. The error is |analytic - numeric| / max(FLOOR, |analytic|, |numeric|). One line per operation says how far
** it was off. Not for float builds.
*/
#ifndef QE_GRADIENT_H
#define QE_GRADIENT_H

#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef QE_DOUBLE
#error "central differences need the build in double"
#endif

enum { GRADIENT_INPUTS = 6 };
static const double GRADIENT_STEP = 1e-5, GRADIENT_FLOOR = 1e-3, GRADIENT_BOUND = 1e-6;

/* What the inputs are filled with. APART: odd multiples of 0.1, all different within an input, in random order; at
** least 0.1 away from every even multiple (kinks are put there) and 0.2 from each other. */
enum gradient_fill { NORMAL, POSITIVE, APART };

typedef qe_tensor gradient_operation(const qe_tensor *inputs, const void *context);

struct gradient_case {
  gradient_operation *operation;
  const void *context;
  enum gradient_fill fill;
  int inputs;
  size_t shape[GRADIENT_INPUTS][2];
};

/* The worst of one operation over its cases. */
struct gradient_report {
  const char *name;
  double worst;
  size_t cases, cells;
  qe_rng rng;
};

static inline struct gradient_report gradient_begin(const char *name) {
  struct gradient_report report = { .name = name };
  qe_rng_seed(&report.rng, 20, name);
  return report;
}

static inline qe_real *gradient_numbers(qe_rng *rng, enum gradient_fill fill, size_t count) {
  qe_real *values = malloc((count + 1) * sizeof *values);
  uint32_t *order = malloc((count + 1) * sizeof *order);
  assert_true(values && order);
  for (size_t i = 0; i < count; i++)
    order[i] = (uint32_t)i;
  qe_rng_shuffle(rng, order, count);
  for (size_t i = 0; i < count; i++)
    if (fill == APART)
      values[i] = 0.2 * ((double)order[i] - (double)(count / 2)) + 0.1;
    else
      values[i] = fill == NORMAL ? qe_rng_normal(rng) : 0.3 + 2 * qe_rng_uniform(rng);
  free(order);
  return values;
}

/* Runs the operation; bit i of `wanted` makes input i a variable. */
static inline qe_tensor gradient_run(qe_tape *tape, const struct gradient_case *c, qe_real *const *values,
                                     unsigned wanted, qe_tensor *inputs) {
  for (int i = 0; i < c->inputs; i++)
    inputs[i] = wanted >> i & 1 ? qe_variable(tape, c->shape[i][0], c->shape[i][1], values[i])
                                : qe_constant(tape, c->shape[i][0], c->shape[i][1], values[i]);
  qe_tensor out = c->operation(inputs, c->context);
  if (qe_tape_status(tape) != QE_OK)
    fail_msg("%s", qe_tape_error(tape));
  return out;
}

static inline size_t gradient_out_cells(const struct gradient_case *c, qe_real *const *values) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[GRADIENT_INPUTS], out = gradient_run(tape, c, values, 0, inputs);
  size_t cells = qe_rows(out) * qe_cols(out);
  qe_tape_free(tape);
  return cells;
}

/* Adds scale * weights * result; by cells, so that what does not change cancels exactly. */
static inline void gradient_add_loss(qe_tape *tape, const struct gradient_case *c, qe_real *const *values,
                                     const qe_real *weights, double scale, qe_real *sums) {
  qe_tensor inputs[GRADIENT_INPUTS];
  qe_tape_reset(tape);
  qe_tensor out = gradient_run(tape, c, values, 0, inputs);
  for (size_t i = 0; i < qe_rows(out) * qe_cols(out); i++)
    sums[i] += scale * weights[i] * qe_values(out)[i];
}

static inline double gradient_difference(qe_tape *tape, const struct gradient_case *c, qe_real *const *values,
                                         const qe_real *weights, size_t out_cells, qe_real *cell) {
  const qe_real kept = *cell;
  qe_real *sums = calloc(out_cells + 1, sizeof *sums);
  double sum = 0;
  assert_non_null(sums);
  *cell = kept + GRADIENT_STEP;
  gradient_add_loss(tape, c, values, weights, 1, sums);
  *cell = kept - GRADIENT_STEP;
  gradient_add_loss(tape, c, values, weights, -1, sums);
  *cell = kept;
  for (size_t i = 0; i < out_cells; i++)
    sum += sums[i];
  free(sums);
  return sum / (2 * GRADIENT_STEP);
}

static inline double gradient_error(double analytic, double numeric) {
  double error = fabs(analytic - numeric) / fmax(GRADIENT_FLOOR, fmax(fabs(analytic), fabs(numeric)));
  return isfinite(error) ? error : INFINITY;
}

/* Central differences for every cell of every input, one array per input. */
static inline void gradient_differences(const struct gradient_case *c, qe_real **values, const qe_real *weights,
                                        qe_real **numeric) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  const size_t out_cells = gradient_out_cells(c, values);
  for (int i = 0; i < c->inputs; i++)
    for (size_t j = 0; j < c->shape[i][0] * c->shape[i][1]; j++)
      numeric[i][j] = gradient_difference(tape, c, values, weights, out_cells, &values[i][j]);
  qe_tape_free(tape);
}

/* The worst error with one set of variables; `before` are the gradients that are there at the start. */
static inline double gradient_of_set(const struct gradient_case *c, qe_real *const *values, const qe_real *weights,
                                     qe_real *const *numeric, qe_real *const *before, unsigned wanted) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[GRADIENT_INPUTS], out = gradient_run(tape, c, values, wanted, inputs);
  double worst = 0;
  for (int i = 0; i < c->inputs; i++)
    assert_int_equal(qe_inject(inputs[i], before[i]), QE_OK);
  assert_int_equal(qe_inject(out, weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  for (int i = 0; i < c->inputs; i++) {
    const qe_real *g = qe_gradient(inputs[i]);
    assert_int_equal(g != NULL, wanted >> i & 1);
    for (size_t j = 0; g && j < c->shape[i][0] * c->shape[i][1]; j++)
      worst = fmax(worst, gradient_error(g[j] - before[i][j], numeric[i][j]));
  }
  qe_tape_free(tape);
  return worst;
}

/* Checks one case and returns its worst error. */
static inline double gradient_check(struct gradient_report *report, const struct gradient_case *c) {
  qe_real *values[GRADIENT_INPUTS], *numeric[GRADIENT_INPUTS], *before[GRADIENT_INPUTS];
  double worst = 0;
  for (int i = 0; i < c->inputs; i++) {
    size_t cells = c->shape[i][0] * c->shape[i][1];
    values[i] = gradient_numbers(&report->rng, c->fill, cells);
    before[i] = gradient_numbers(&report->rng, NORMAL, cells);
    numeric[i] = gradient_numbers(&report->rng, NORMAL, cells);
    report->cells += cells;
  }
  qe_real *weights = gradient_numbers(&report->rng, NORMAL, gradient_out_cells(c, values));
  gradient_differences(c, values, weights, numeric);
  for (unsigned wanted = 1; wanted < 1u << c->inputs; wanted++)
    worst = fmax(worst, gradient_of_set(c, values, weights, numeric, before, wanted));
  for (int i = 0; i < c->inputs; i++) {
    free(values[i]);
    free(before[i]);
    free(numeric[i]);
  }
  free(weights);
  report->worst = fmax(report->worst, worst);
  report->cases++;
  return worst;
}

static inline void gradient_end(const struct gradient_report *report) {
  printf("gradient %-22s worst relative error %.1e (%zu cases, %zu cells)\n", report->name, report->worst,
         report->cases, report->cells);
  assert_true(report->cells > 0);
  if (!(report->worst <= GRADIENT_BOUND))
    fail_msg("%s: %g is more than %g", report->name, report->worst, GRADIENT_BOUND);
}

/* Shapes that every operation on one matrix is checked with. */
static const size_t gradient_shapes[][2] = {
  { 1, 1 }, { 1, 7 }, { 5, 1 }, { 4, 3 }, { 3, 19 }, { 0, 4 }, { 3, 0 }
};
enum { GRADIENT_SHAPES = sizeof gradient_shapes / sizeof *gradient_shapes };

/* All shapes for an operation of `inputs` matrices of equal shape. */
static inline void gradient_all_shapes(const char *name, gradient_operation *operation, const void *context,
                                       enum gradient_fill fill, int inputs) {
  struct gradient_report report = gradient_begin(name);
  for (int i = 0; i < GRADIENT_SHAPES; i++) {
    struct gradient_case c = { operation, context, fill, inputs, { { 0 } } };
    for (int j = 0; j < inputs; j++)
      memcpy(c.shape[j], gradient_shapes[i], sizeof c.shape[j]);
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

#endif
