/*
** product.c - stands in for the BLAS, which training needs and a decoder does not: the plugin only scores, with kernels
** of its own, and must not start a BLAS's threads in its host. The product is right all the same, should anything call it.
*/
#include <cblas.h>
#include <stddef.h>

static float at(const float *matrix, int stride, CBLAS_TRANSPOSE transpose, int row, int column) {
  return transpose == CblasNoTrans ? matrix[(ptrdiff_t)row * stride + column]
                                   : matrix[(ptrdiff_t)column * stride + row];
}

void cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, blasint rows,
                 blasint columns, blasint inner, float alpha, const float *a, blasint stride_a, const float *b,
                 blasint stride_b, float beta, float *c, blasint stride_c) {
  (void)order; /* row major, the only one that is used */
  for (blasint i = 0; i < rows; i++)
    for (blasint j = 0; j < columns; j++) {
      float sum = 0, *cell = &c[(ptrdiff_t)i * stride_c + j];
      for (blasint k = 0; k < inner; k++)
        sum += at(a, stride_a, transpose_a, i, k) * at(b, stride_b, transpose_b, k, j);
      *cell = alpha * sum + (beta == 0 ? 0 : beta * *cell);
    }
}

char *openblas_get_config(void) {
  static char none[] = "none";
  return none;
}

char *openblas_get_corename(void) {
  return openblas_get_config();
}
