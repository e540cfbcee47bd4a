/*
** blas.c - matrix products, row-major, handed to a BLAS, and a check that this BLAS can multiply. Own loops were
** measured against OpenBLAS for the sizes of this library, from 1 x 50 times 50 x 150 upward, and never won. Only
** what a BLAS refuses or leaves open stays here: empty products and sizes beyond its integers. The BLAS's threads are
** left as they are; the bits of a product may depend on them and on the CPU.
*/
#include "core.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>

/* ---- products ---- */

static inline bool transposes_a(qe_transpose transpose) {
  return transpose == QE_TN || transpose == QE_TT;
}

static inline bool transposes_b(qe_transpose transpose) {
  return transpose == QE_NT || transpose == QE_TT;
}

static void scale_rows(size_t m, size_t n, qe_real beta, qe_real *c, size_t ldc) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++)
      c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j]; /* 0 times NaN shall be 0 */
}

/* Sizes that an int does not hold: rare, and so large that memory is what takes the time. */
static void plain_product(qe_transpose transpose, size_t m, size_t n, size_t k, qe_real alpha, const qe_real *a,
                          size_t lda, const qe_real *b, size_t ldb, qe_real *c, size_t ldc) {
  const size_t a_down = transposes_a(transpose) ? 1 : lda, a_right = transposes_a(transpose) ? lda : 1;
  const size_t b_down = transposes_b(transpose) ? 1 : ldb, b_right = transposes_b(transpose) ? ldb : 1;
  for (size_t i = 0; i < m; i++)
    for (size_t p = 0; p < k; p++) {
      const qe_real x = alpha * a[i * a_down + p * a_right];
      for (size_t j = 0; j < n; j++)
        c[i * ldc + j] += x * b[p * b_down + j * b_right];
    }
}

static bool fits_int(size_t m, size_t n, size_t k, size_t lda, size_t ldb, size_t ldc) {
  return m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX && lda <= INT32_MAX && ldb <= INT32_MAX &&
         ldc <= INT32_MAX;
}

void blas_gemm(qe_transpose transpose, size_t m, size_t n, size_t k, qe_real alpha, const qe_real *a, size_t lda,
               const qe_real *b, size_t ldb, qe_real beta, qe_real *c, size_t ldc) {
  const CBLAS_TRANSPOSE a_form = transposes_a(transpose) ? CblasTrans : CblasNoTrans;
  const CBLAS_TRANSPOSE b_form = transposes_b(transpose) ? CblasTrans : CblasNoTrans;
  if (m == 0 || n == 0)
    return;
  if (k == 0 || !fits_int(m, n, k, lda, ldb, ldc)) {
    scale_rows(m, n, beta, c, ldc);
    plain_product(transpose, m, n, k, alpha, a, lda, b, ldb, c, ldc);
    return;
  }
#ifdef QE_DOUBLE
  cblas_dgemm(CblasRowMajor, a_form, b_form, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c,
              (int)ldc);
#else
  cblas_sgemm(CblasRowMajor, a_form, b_form, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c,
              (int)ldc);
#endif
}

/* ---- check ---- */

enum { LARGEST = 70, GAP = 3 }; /* rows lie GAP cells further apart than they need */

struct trial {
  qe_transpose transpose;
  size_t m, n, k;
  bool whole; /* small whole numbers, for which every result is exact */
  qe_real alpha, beta;
  size_t lda, ldb, ldc;
  qe_real *a, *b, *c, *before; /* LARGEST rows of LARGEST + GAP cells each */
};

static size_t matrix_cells(void) {
  return (size_t)LARGEST * (LARGEST + GAP);
}

static void draw(qe_real *x, bool whole, qe_rng *rng) {
  for (size_t i = 0; i < matrix_cells(); i++)
    x[i] = whole ? (qe_real)qe_rng_below(rng, 9) - 4 : (qe_real)(2 * qe_rng_uniform(rng) - 1);
}

/* One cell in double; *size is the sum of the absolute values of its terms. */
static double naive_cell(const struct trial *trial, size_t i, size_t j, double *size) {
  double sum = (double)trial->beta * (double)trial->before[i * trial->ldc + j];
  *size = fabs(sum);
  for (size_t p = 0; p < trial->k; p++) {
    double x = transposes_a(trial->transpose) ? trial->a[p * trial->lda + i] : trial->a[i * trial->lda + p];
    double y = transposes_b(trial->transpose) ? trial->b[j * trial->ldb + p] : trial->b[p * trial->ldb + j];
    sum += (double)trial->alpha * x * y;
    *size += fabs((double)trial->alpha * x * y);
  }
  return sum;
}

/* QE_WORLD if a cell is wrong or one was written outside of the product. */
static int trial_compare(const struct trial *trial, struct error *error) {
  static const char *const forms[] = { "A B", "A B'", "A' B", "A' B'" };
  const double unit = sizeof(qe_real) == sizeof(float) ? 0x1p-23 : 0x1p-52;
  for (size_t i = 0; i < LARGEST; i++)
    for (size_t j = 0; j < trial->ldc && i * trial->ldc + j < matrix_cells(); j++) {
      const size_t at = i * trial->ldc + j;
      const bool inside = i < trial->m && j < trial->n;
      double size = 0;
      const double expected = inside ? naive_cell(trial, i, j, &size) : (double)trial->before[at];
      const double allowed = trial->whole ? 0 : ((double)trial->k + 4) * unit * size;
      if (!(fabs((double)trial->c[at] - expected) <= allowed))
        return error_set(
            error, QE_WORLD,
            "BLAS (%s, kernels for %s) is wrong: %s of %zu x %zu x %zu has %.9g at row %zu, column %zu, "
            "expected %.9g",
            openblas_get_config(), openblas_get_corename(), forms[trial->transpose], trial->m, trial->n, trial->k,
            (double)trial->c[at], i, j, expected);
    }
  return QE_OK;
}

static int trial_run(struct trial *trial, qe_rng *rng, struct error *error) {
  trial->lda = (transposes_a(trial->transpose) ? trial->m : trial->k) + GAP;
  trial->ldb = (transposes_b(trial->transpose) ? trial->k : trial->n) + GAP;
  trial->ldc = trial->n + GAP;
  draw(trial->a, trial->whole, rng);
  draw(trial->b, trial->whole, rng);
  draw(trial->before, trial->whole, rng);
  memcpy(trial->c, trial->before, matrix_cells() * sizeof *trial->c);
  blas_gemm(trial->transpose, trial->m, trial->n, trial->k, trial->alpha, trial->a, trial->lda, trial->b,
            trial->ldb, trial->beta, trial->c, trial->ldc);
  return trial_compare(trial, error);
}

static int trials_run(struct trial *trial, struct error *error) {
  static const size_t sizes[][3] = { { 1, 1, 1 },    { 3, 5, 7 },   { 17, 31, 13 }, { 1, 70, 50 },
                                     { 50, 70, 16 }, { 33, 1, 65 }, { 69, 67, 70 }, { 2, 3, 0 } };
  static const qe_real factors[][2] = { { 1, 0 }, { 1, 1 }, { 2, -3 } };
  int status = QE_OK;
  qe_rng rng;
  qe_rng_seed(&rng, 1, "blas");
  for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
    for (size_t i = 0; status == QE_OK && i < 4 * 2 * 3; i++) {
      trial->m = sizes[size][0];
      trial->n = sizes[size][1];
      trial->k = sizes[size][2];
      trial->transpose = (qe_transpose)(i % 4);
      trial->whole = i / 4 % 2 == 0;
      trial->alpha = factors[i / 8][0];
      trial->beta = factors[i / 8][1];
      status = trial_run(trial, &rng, error);
    }
  return status;
}

int qe_blas_check(char *error, size_t error_size) {
  struct error found = { 0 };
  qe_real *cells = memory_new(4 * matrix_cells(), sizeof *cells);
  struct trial trial = { 0 };
  if (cells) {
    trial.a = cells;
    trial.b = trial.a + matrix_cells();
    trial.c = trial.b + matrix_cells();
    trial.before = trial.c + matrix_cells();
    trials_run(&trial, &found);
  } else
    error_memory(&found);
  memory_free(cells);
  if (error && error_size > 0)
    snprintf(error, error_size, "%s", found.text);
  return found.status;
}
