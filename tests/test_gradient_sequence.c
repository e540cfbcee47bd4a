/*
** test_gradient_sequence.c - pooling, softmax, spread and window in double: values against definitions cell by cell,
** gradients against central differences, refusals by their words.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>

enum { MOST = 400 };

enum kind { SUM, MEAN, MAX, SOFTMAX, SPREAD, WINDOW, KINDS };

static const uint32_t mixed[] = { 0, 0, 3, 4, 4, 9, 9 }, one[] = { 0, 5 }, none[] = { 0 }, empty[] = { 0, 0, 0 };
static const qe_segments shapes[] = { { mixed, 6 }, { one, 1 }, { none, 0 }, { empty, 2 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct sides {
  size_t before, after;
};
static const struct sides windows[] = { { 1, 1 }, { 0, 0 }, { 2, 0 }, { 0, 7 }, { 9, 9 } };

static qe_tensor apply(enum kind kind, qe_tensor a, qe_segments segments, struct sides sides) {
  switch (kind) {
  case SUM:
    return qe_pool_segments(a, segments, QE_POOL_SUM);
  case MEAN:
    return qe_pool_segments(a, segments, QE_POOL_MEAN);
  case MAX:
    return qe_pool_segments(a, segments, QE_POOL_MAX);
  case SOFTMAX:
    return qe_segment_softmax(a, segments);
  case SPREAD:
    return qe_spread(a, segments);
  default:
    return qe_window(a, segments, sides.before, sides.after);
  }
}

static size_t segment_of(qe_segments segments, size_t row) {
  size_t i = 0;
  while (segments.offset[i + 1] <= row)
    i++;
  return i;
}

/* ---- definitions, for one cell ---- */

static double pooled(enum kind kind, const qe_real *x, size_t cols, size_t first, size_t end, size_t j) {
  double result = kind == MAX && first < end ? -INFINITY : 0;
  for (size_t t = first; t < end; t++)
    result = kind == MAX ? fmax(result, x[t * cols + j]) : result + x[t * cols + j];
  return kind == MEAN && first < end ? result / (double)(end - first) : result;
}

static double share(const qe_real *x, size_t cols, size_t first, size_t end, size_t t, size_t j) {
  double sum = 0;
  for (size_t u = first; u < end; u++)
    sum += exp(x[u * cols + j] - x[t * cols + j]);
  return 1 / sum;
}

static double expected_cell(enum kind kind, const qe_real *x, size_t cols, qe_segments segments, struct sides sides,
                            size_t i, size_t j) {
  const size_t segment = kind <= MAX ? i : segment_of(segments, i);
  const size_t first = segments.offset[segment], end = segments.offset[segment + 1];
  if (kind <= MAX)
    return pooled(kind, x, cols, first, end, j);
  if (kind == SOFTMAX)
    return share(x, cols, first, end, i, j);
  if (kind == SPREAD)
    return x[segment * cols + j];
  const ptrdiff_t t = (ptrdiff_t)i + (ptrdiff_t)(j / cols) - (ptrdiff_t)sides.before;
  return t < (ptrdiff_t)first || t >= (ptrdiff_t)end ? 0 : x[(size_t)t * cols + j % cols];
}

/* ---- comparisons ---- */

static double loss_of(enum kind kind, const qe_real *x, size_t rows, size_t cols, qe_segments segments,
                      struct sides sides, const qe_real *weights) {
  double loss = 0;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor out = apply(kind, qe_constant(tape, rows, cols, x), segments, sides);
  for (size_t i = 0; i < qe_rows(out) * qe_cols(out); i++)
    loss += weights[i] * qe_values(out)[i];
  qe_tape_free(tape);
  return loss;
}

static void gradient_check(enum kind kind, qe_tensor a, qe_segments segments, struct sides sides,
                           const qe_real *weights) {
  const double step = 1e-5;
  const size_t rows = qe_rows(a), cols = qe_cols(a);
  qe_real x[MOST];
  memcpy(x, qe_values(a), rows * cols * sizeof *x);
  for (size_t i = 0; i < rows * cols; i++) {
    const qe_real kept = x[i];
    x[i] = kept + step;
    double slope = loss_of(kind, x, rows, cols, segments, sides, weights);
    x[i] = kept - step;
    slope = (slope - loss_of(kind, x, rows, cols, segments, sides, weights)) / (2 * step);
    x[i] = kept;
    const double found = qe_gradient(a)[i];
    if (!(fabs(found - slope) <= 1e-6 * fmax(0.01, fmax(fabs(found), fabs(slope)))))
      fail_msg("operation %d, cell %zu: gradient %.9g, difference quotient %.9g", (int)kind, i, found, slope);
  }
}

static void check(enum kind kind, size_t cols, qe_segments segments, struct sides sides, qe_rng *rng) {
  const size_t rows = kind == SPREAD ? segments.count : segments.offset[segments.count];
  qe_real x[MOST], weights[MOST];
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (size_t i = 0; i < MOST; i++) {
    x[i] = qe_rng_normal(rng);
    weights[i] = qe_rng_normal(rng);
  }
  uint32_t offset[8];
  memcpy(offset, segments.offset, (segments.count + 1) * sizeof *offset);
  qe_tensor a = qe_variable(tape, rows, cols, x);
  qe_tensor out = apply(kind, a, (qe_segments){ offset, segments.count }, sides);
  assert_string_equal(qe_tape_error(tape), "");
  memset(offset, 255, sizeof offset); /* backward must not read it any more */
  assert_int_equal(qe_rows(out), kind <= MAX ? segments.count : segments.offset[segments.count]);
  assert_int_equal(qe_cols(out), kind == WINDOW ? (sides.before + 1 + sides.after) * cols : cols);
  assert_true(qe_rows(out) * qe_cols(out) <= MOST);
  for (size_t i = 0; i < qe_rows(out); i++)
    for (size_t j = 0; j < qe_cols(out); j++)
      assert_true(fabs(qe_values(out)[i * qe_cols(out) + j] - expected_cell(kind, x, cols, segments, sides, i, j)) <
                  1e-12);
  assert_int_equal(qe_inject(out, weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  gradient_check(kind, a, segments, sides, weights);
  qe_tape_free(tape);
}

static void all_operations(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 11, "sequence");
  for (int kind_number = 0; kind_number < WINDOW; kind_number++)
    for (size_t shape = 0; shape < SHAPES; shape++)
      for (size_t cols = 0; cols < 6; cols++)
        check((enum kind)kind_number, cols, shapes[shape], (struct sides){ 0, 0 }, &rng);
}

static void all_windows(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 12, "sequence");
  for (size_t window = 0; window < sizeof windows / sizeof *windows; window++)
    for (size_t shape = 0; shape < SHAPES; shape++)
      for (size_t cols = 0; cols < 3; cols++)
        check(WINDOW, cols, shapes[shape], windows[window], &rng);
}

/* ---- corner cases ---- */

static void first_of_equals(void **state) {
  (void)state;
  const qe_real x[] = { 1, 3, 3, 1, 3, -2 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 3, 2, x);
  qe_tensor most = qe_pool_segments(a, (qe_segments){ (uint32_t[]){ 0, 3 }, 1 }, QE_POOL_MAX);
  assert_int_equal(qe_backward(most), QE_OK);
  assert_true(qe_values(most)[0] == 3 && qe_values(most)[1] == 3);
  assert_true(qe_gradient(a)[2] == 1 && qe_gradient(a)[4] == 0 && qe_gradient(a)[1] == 1);
  qe_tape_free(tape);
}

static void not_a_number_shows(void **state) {
  (void)state;
  const qe_real x[] = { NAN, 1, 1, NAN, 2, 3 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_segments segments = { (uint32_t[]){ 0, 3 }, 1 };
  qe_tensor a = qe_constant(tape, 3, 2, x);
  for (int pooling = QE_POOL_SUM; pooling <= QE_POOL_MAX; pooling++) {
    qe_tensor out = qe_pool_segments(a, segments, (qe_pooling)pooling);
    assert_true(isnan(qe_values(out)[0]) && isnan(qe_values(out)[1]));
  }
  qe_tape_free(tape);
}

/* exp overflows at 710 */
static void softmax_of_large_numbers(void **state) {
  (void)state;
  const qe_real x[] = { 1e5, 1e5, -1e5 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor out = qe_segment_softmax(qe_constant(tape, 3, 1, x), (qe_segments){ (uint32_t[]){ 0, 3 }, 1 });
  assert_true(qe_values(out)[0] == 0.5 && qe_values(out)[1] == 0.5 && qe_values(out)[2] == 0);
  qe_tape_free(tape);
}

static void no_gradient_wanted(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (int kind_number = 0; kind_number < KINDS; kind_number++) {
    qe_tensor a = qe_constant(tape, 5 - 4 * (kind_number == SPREAD), 2, NULL);
    qe_tensor out = apply((enum kind)kind_number, a, shapes[1], windows[0]);
    assert_int_equal(qe_inject(out, NULL), QE_OK);
    assert_null(qe_gradient(out));
  }
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  qe_tape_free(tape);
}

static void refused(enum kind kind, size_t rows, qe_segments segments, struct sides sides, const char *text) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, rows, 2, NULL);
  assert_null(apply(kind, a, segments, sides).tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), text);
  assert_null(apply(kind, QE_NONE, segments, sides).tape);
  qe_tape_reset(tape);
  assert_null(apply(kind, a, segments, sides).tape);
  assert_non_null(strstr(qe_tape_error(tape), "stale"));
  qe_tape_free(tape);
}

static void refusals(void **state) {
  (void)state;
  static const uint32_t late[] = { 1, 5 }, falling[] = { 0, 4, 3, 5 };
  const struct sides sides = { 1, 1 };
  refused(SUM, 5, (qe_segments){ NULL, 0 }, sides, "pool_segments: segment offsets are missing (NULL)");
  refused(SOFTMAX, 5, (qe_segments){ NULL, 2 }, sides, "segment_softmax: segment offsets are missing (NULL)");
  refused(SPREAD, 1, (qe_segments){ late, 1 }, sides, "spread: segment offsets are not rising from 0");
  refused(WINDOW, 5, (qe_segments){ falling, 3 }, sides, "window: segment offsets are not rising from 0");
  refused(MAX, 6, shapes[1], sides, "pool_segments: segments end at row 5 of a matrix with 6 rows");
  refused(SOFTMAX, 4, shapes[1], sides, "segment_softmax: segments end at row 5 of a matrix with 4 rows");
  refused(WINDOW, 4, shapes[1], sides, "window: segments end at row 5 of a matrix with 4 rows");
  refused(SPREAD, 2, shapes[1], sides, "spread: 2 rows for 1 segments");
  refused(WINDOW, 5, shapes[1], (struct sides){ SIZE_MAX, 0 },
          "window: 18446744073709551615 rows before and 0 after are too many");
}

static void unknown_pooling(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_null(qe_pool_segments(qe_constant(tape, 5, 1, NULL), shapes[1], (qe_pooling)3).tape);
  assert_string_equal(qe_tape_error(tape), "pool_segments: pooling 3 is none of sum, mean, max");
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(all_operations),     cmocka_unit_test(all_windows),
    cmocka_unit_test(first_of_equals),    cmocka_unit_test(not_a_number_shows),
    cmocka_unit_test(refusals),           cmocka_unit_test(softmax_of_large_numbers),
    cmocka_unit_test(no_gradient_wanted), cmocka_unit_test(unknown_pooling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
