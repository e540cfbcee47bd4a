/*
** test_gradient_singular.c - the largest singular value of what one layer passes on: against the eigenvalues of a
** small matrix by Jacobi rotations, with the iterations that recipes use; gradients against central differences.
*/
#include "gradient.h"

enum { MOST = 8, ROWS = 11, USUAL_ITERATIONS = 30, CONVERGED = 2000 };

static const uint32_t offsets[] = { 0, 3, 3, 4, 11 };
static const qe_segments segments = { offsets, 4 };

/* ---- exact ---- */

static void transmitting(const qe_real *a, size_t n, const qe_real *b, size_t m, size_t rows,
                         double k[MOST][MOST]) {
  double product[MOST][MOST] = { { 0 } };
  for (size_t t = 0; t < rows; t++)
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < m; j++)
        product[i][j] += a[t * n + i] * b[t * m + j] / (double)rows;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      k[i][j] = 0;
      for (size_t l = 0; l < m; l++)
        k[i][j] += product[i][l] * product[j][l];
    }
}

static void rotate(double k[MOST][MOST], size_t n, size_t p, size_t q) {
  if (fabs(k[p][q]) < 1e-300)
    return;
  const double angle = 0.5 * atan2(2 * k[p][q], k[q][q] - k[p][p]), c = cos(angle), s = sin(angle);
  for (size_t i = 0; i < n; i++) {
    const double x = k[i][p], y = k[i][q];
    k[i][p] = c * x - s * y;
    k[i][q] = s * x + c * y;
  }
  for (size_t i = 0; i < n; i++) {
    const double x = k[p][i], y = k[q][i];
    k[p][i] = c * x - s * y;
    k[q][i] = s * x + c * y;
  }
}

/* The two largest singular values of a^T b / rows. */
static void exact(const qe_real *a, size_t n, const qe_real *b, size_t m, size_t rows, double found[2]) {
  double k[MOST][MOST];
  transmitting(a, n, b, m, rows, k);
  for (int sweep = 0; sweep < 60; sweep++)
    for (size_t p = 0; p < n; p++)
      for (size_t q = p + 1; q < n; q++)
        rotate(k, n, p, q);
  found[0] = found[1] = 0;
  for (size_t i = 0; i < n; i++) {
    const double value = sqrt(fmax(k[i][i], 0));
    found[1] = fmax(found[1], fmin(value, found[0]));
    found[0] = fmax(found[0], value);
  }
}

static void values(void **state) {
  (void)state;
  qe_rng rng;
  size_t clear = 0;
  qe_rng_seed(&rng, 5, "singular");
  for (int round = 0; round < 200; round++) {
    const size_t n = 1 + qe_rng_below(&rng, MOST), m = 1 + qe_rng_below(&rng, MOST);
    qe_real *a = gradient_numbers(&rng, NORMAL, ROWS * n), *b = gradient_numbers(&rng, NORMAL, ROWS * m);
    qe_tape *tape = qe_tape_new(NULL, 1);
    qe_tensor out =
        qe_top_singular(qe_constant(tape, ROWS, n, a), qe_constant(tape, ROWS, m, b), segments, USUAL_ITERATIONS);
    assert_int_equal(qe_rows(out), 4);
    assert_true(qe_values(out)[1] == 0);
    for (uint32_t i = 0; i < segments.count; i++) {
      double expected[2];
      const size_t rows = offsets[i + 1] - offsets[i];
      if (rows == 0)
        continue;
      exact(a + offsets[i] * n, n, b + offsets[i] * m, m, rows, expected);
      assert_true(qe_values(out)[i] <= expected[0] * (1 + 1e-9)); /* never above, converged or not */
      if (expected[0] < 1.1 * expected[1])
        continue;
      clear++;
      assert_true(fabs(qe_values(out)[i] - expected[0]) < 1e-3 * expected[0]);
    }
    qe_tape_free(tape);
    free(a);
    free(b);
  }
  assert_true(clear > 500);
}

/* ---- gradients ---- */

static qe_tensor apply(const qe_tensor *in, const void *context) {
  (void)context;
  return qe_top_singular(in[0], in[1], segments, CONVERGED);
}

static void gradients(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("top_singular");
  for (size_t n = 1; n < 5; n++)
    for (size_t m = 1; m < 5; m++)
      gradient_check(&report, &(struct gradient_case){ apply, NULL, NORMAL, 2, { { ROWS, n }, { ROWS, m } } });
  gradient_end(&report);
}

static void refusals(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, ROWS, 2, NULL);
  assert_null(qe_top_singular(a, qe_constant(tape, ROWS - 1, 2, NULL), segments, 5).tape);
  assert_string_equal(qe_tape_error(tape), "top_singular: 11 and 10 rows, expected two layers of the same tokens");
  qe_tape_reset(tape);
  a = qe_constant(tape, ROWS, 2, NULL);
  assert_null(qe_top_singular(a, a, segments, 0).tape);
  assert_string_equal(qe_tape_error(tape), "top_singular: 0 iterations, expected at least 1");
  qe_tape_reset(tape);
  a = qe_constant(tape, ROWS, 2, NULL);
  qe_tensor zero = qe_top_singular(a, a, segments, 5); /* of nothing but zeros */
  for (size_t i = 0; i < 4; i++)
    assert_true(qe_values(zero)[i] == 0);
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(gradients),
                                      cmocka_unit_test(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
