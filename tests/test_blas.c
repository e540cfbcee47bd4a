/*
** test_blas.c - products against three loops, and the check of the BLAS: it accepts the one that is there and, built
** a second time on top of one that errs, refuses it.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <cblas.h>
#include <math.h>
#include <stdlib.h>

/* ---- blas.c on top of a BLAS that gets one cell wrong ---- */

static int wrong_calls;

static void wrong_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k,
                        float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                        int ldc) {
  cblas_sgemm(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (ta == CblasTrans && tb == CblasNoTrans && m == 17) {
    c[16 * ldc + 30] += 1;
    wrong_calls++;
  }
}

void wrong_blas_gemm(qe_transpose transpose, size_t m, size_t n, size_t k, qe_real alpha, const qe_real *a,
                     size_t lda, const qe_real *b, size_t ldb, qe_real beta, qe_real *c, size_t ldc);
int wrong_blas_check(char *error, size_t error_size);

#define cblas_sgemm   wrong_sgemm
#define blas_gemm     wrong_blas_gemm
#define qe_blas_check wrong_blas_check
#include "blas.c"
#undef cblas_sgemm
#undef blas_gemm
#undef qe_blas_check

/* ---- tests ---- */

static void the_blas_is_right(void **state) {
  (void)state;
  char error[200] = "x";
  assert_int_equal(qe_blas_check(error, sizeof error), QE_OK);
  assert_string_equal(error, "");
  assert_int_equal(qe_blas_check(NULL, 0), QE_OK);
}

static void a_wrong_blas_is_named(void **state) {
  (void)state;
  char error[512], expected[64], small[8];
  assert_int_equal(wrong_blas_check(error, sizeof error), QE_WORLD);
  assert_true(wrong_calls > 0);
  snprintf(expected, sizeof expected, "kernels for %s", openblas_get_corename());
  assert_non_null(strstr(error, expected));
  assert_non_null(strstr(error, openblas_get_config()));
  assert_non_null(strstr(error, "A' B of 17 x 31 x 13"));
  assert_non_null(strstr(error, "at row 16, column 30, expected "));
  assert_int_equal(wrong_blas_check(small, sizeof small), QE_WORLD);
  assert_string_equal(small, "BLAS (O");
  assert_int_equal(wrong_blas_check(NULL, 0), QE_WORLD);
}

static double cell(const qe_real *x, size_t ld, size_t row, size_t col, bool transposed) {
  return (double)(transposed ? x[col * ld + row] : x[row * ld + col]);
}

static void compare(qe_transpose transpose, size_t m, size_t n, size_t k, qe_rng *rng) {
  const bool ta = transpose == QE_TN || transpose == QE_TT, tb = transpose == QE_NT || transpose == QE_TT;
  const size_t lda = (ta ? m : k) + 1, ldb = (tb ? k : n) + 2, ldc = n + 3;
  qe_real *a = calloc((ta ? k : m) * lda + 1, sizeof *a), *b = calloc((tb ? n : k) * ldb + 1, sizeof *b);
  qe_real *c = calloc(m * ldc + 1, sizeof *c);
  for (size_t i = 0; i < (ta ? k : m) * lda; i++)
    a[i] = (qe_real)qe_rng_normal(rng);
  for (size_t i = 0; i < (tb ? n : k) * ldb; i++)
    b[i] = (qe_real)qe_rng_normal(rng);
  for (size_t i = 0; i < m * ldc; i++)
    c[i] = (qe_real)(i % 5);
  blas_gemm(transpose, m, n, k, 2, a, lda, b, ldb, -1, c, ldc);
  for (size_t i = 0; i < m * ldc; i++) {
    double expected = (double)(i % 5);
    if (i % ldc < n) {
      expected = -expected;
      for (size_t p = 0; p < k; p++)
        expected += 2 * cell(a, lda, i / ldc, p, ta) * cell(b, ldb, p, i % ldc, tb);
    }
    assert_true(fabs((double)c[i] - expected) <= 2e-5 * (double)(k + 1));
  }
  free(a);
  free(b);
  free(c);
}

static void products(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 5, "blas");
  for (int i = 0; i < 200; i++)
    compare((qe_transpose)(i % 4), qe_rng_below(&rng, 40), qe_rng_below(&rng, 40), qe_rng_below(&rng, 60), &rng);
  for (int i = 0; i < 4; i++) {
    compare((qe_transpose)i, 16, 150, 50, &rng);
    compare((qe_transpose)i, 0, 3, 2, &rng);
    compare((qe_transpose)i, 3, 0, 2, &rng);
    compare((qe_transpose)i, 3, 2, 0, &rng);
  }
}

static void beta_zero_overwrites(void **state) {
  (void)state;
  const qe_real a[] = { 1, 2 }, b[] = { 3, 4 };
  qe_real c[] = { NAN, INFINITY };
  blas_gemm(QE_NN, 1, 1, 2, 1, a, 2, b, 1, 0, c, 1);
  assert_true(c[0] == 11);
  blas_gemm(QE_NN, 1, 2, 0, 1, a, 0, b, 2, 0, c, 2);
  assert_true(c[0] == 0 && c[1] == 0);
}

/* Distances between rows that an int does not hold; there is but one row, so that none is ever gone. */
static void large_sizes(void **state) {
  (void)state;
  const size_t large = (size_t)INT32_MAX + 1;
  const qe_real a[] = { 1, 2, 3 }, b[] = { 4, 5, 6 };
  qe_real c[] = { 10, 20, 30 };
  blas_gemm(QE_NT, 1, 1, 3, 2, a, large, b, large, 1, c, large);
  assert_true(c[0] == 10 + 2 * 32 && c[1] == 20);
  blas_gemm(QE_TN, 3, 3, 1, 1, a, large, b, large, 0, (qe_real[9]){ NAN }, 3);
  blas_gemm(QE_NN, 1, 3, 1, -1, a, large, b, large, 1, c, large);
  assert_true(c[1] == 15 && c[2] == 24);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_blas_is_right),    cmocka_unit_test(a_wrong_blas_is_named), cmocka_unit_test(products),
    cmocka_unit_test(beta_zero_overwrites), cmocka_unit_test(large_sizes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
