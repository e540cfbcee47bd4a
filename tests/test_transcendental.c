/*
** test_transcendental.c - the inline exp, tanh and logistic function against the C library's in double, on every
** thousandth float, and the hand-made fused multiply-add against the C library's on random bits. Loops over arrays
** (vector code) must give the bits of single calls.
*/
#include "clones.h"
#include "core.h"
#include "transcendental.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { STRIDE = 1009 }; /* every thousandth or so; prime, so that all low bits occur */

typedef float function(float x);
typedef double truth(double x);

static double exact_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* Distance in units of the last place that the truth has as a float. */
static double ulps(float got, double expected) {
  int exponent;
  frexp(expected, &exponent);
  double unit = ldexp(1, exponent - 24);
  const double least = 0x1p-149;
  return fabs((double)got - expected) / (unit < least ? least : unit);
}

static double worst(function *f, truth *exact, uint32_t first, uint32_t last) {
  double most = 0;
  for (uint64_t bits = first; bits <= last; bits += STRIDE) {
    float x = float_of((uint32_t)bits);
    double expected = exact((double)x), distance = ulps(f(x), expected);
    if (fabs(expected) > (double)0x1.fffffep127f) /* both overflow */
      distance = isinf(f(x)) ? 0 : 1e9;
    most = distance > most ? distance : most;
  }
  return most;
}

enum { POSITIVE_END = 0x7f800000 };
#define NEGATIVE 0x80000000u

static void test_errors_are_a_few_ulps(void **state) {
  (void)state;
  assert_true(worst(exp_float, exp, 0, POSITIVE_END) < 1.5);
  assert_true(worst(exp_float, exp, NEGATIVE, NEGATIVE + POSITIVE_END) < 1.5);
  assert_true(worst(tanh_float, tanh, 0, POSITIVE_END) < 3);
  assert_true(worst(tanh_float, tanh, NEGATIVE, NEGATIVE + POSITIVE_END) < 3);
  assert_true(worst(sigmoid_float, exact_sigmoid, 0, POSITIVE_END) < 2.5);
  assert_true(worst(sigmoid_float, exact_sigmoid, NEGATIVE, NEGATIVE + POSITIVE_END) < 2.5);
}

static void test_limits(void **state) {
  (void)state;
  assert_true(exp_float(0.0f) == 1.0f && exp_float(-0.0f) == 1.0f);
  assert_true(exp_float(-INFINITY) == 0.0f && exp_float(-1e30f) == 0.0f);
  assert_true(isinf(exp_float(INFINITY)) && isinf(exp_float(89.0f)) && isfinite(exp_float(88.7f)));
  assert_true(tanh_float(INFINITY) == 1.0f && tanh_float(-INFINITY) == -1.0f);
  assert_true(tanh_float(0.0f) == 0.0f && !signbit(tanh_float(0.0f)) && signbit(tanh_float(-0.0f)));
  assert_true(tanh_float(0x1p-149f) == 0x1p-149f);
  assert_true(sigmoid_float(0.0f) == 0.5f);
  assert_true(sigmoid_float(INFINITY) == 1.0f && sigmoid_float(-INFINITY) == 0.0f);
  assert_true(isnan(exp_float(NAN)) && isnan(tanh_float(NAN)) && isnan(sigmoid_float(NAN)));
  assert_true(isnan(exp_float(-NAN)) && isnan(tanh_float(-NAN)) && isnan(sigmoid_float(-NAN)));
}

static void test_ranges_and_symmetry(void **state) {
  (void)state;
  for (uint64_t bits = 0; bits <= POSITIVE_END; bits += STRIDE) {
    float x = float_of((uint32_t)bits);
    assert_true(float_bits(tanh_float(-x)) == float_bits(-tanh_float(x)));
    assert_true(tanh_float(x) <= 1.0f);
    assert_true(sigmoid_float(x) >= 0.5f && sigmoid_float(x) <= 1.0f);
    assert_true(sigmoid_float(-x) >= 0.0f && sigmoid_float(-x) <= 0.5f);
  }
}

/* Never falls by more than the rounding of a neighbour. */
static void test_nearly_monotone(void **state) {
  (void)state;
  for (int i = -400000; i < 400000; i++) {
    float x = (float)i * 2.5e-4f, y = (float)(i + 1) * 2.5e-4f;
    assert_true(exp_float(y) >= exp_float(x) * (1 - 2e-7f));
    assert_true(tanh_float(y) >= tanh_float(x) - 2e-7f);
    assert_true(sigmoid_float(y) >= sigmoid_float(x) * (1 - 3e-7f));
  }
}

static void same_product(float a, float b, float c) {
  float expected = fmaf(a, b, c), got = fused_by_hand(a, b, c);
  if (isnan(expected))
    assert_true(isnan(got));
  else
    assert_int_equal(float_bits(got), float_bits(expected));
}

static void test_fused_by_hand(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 5, "fused");
  for (int i = 0; i < 300000; i++) {
    uint64_t one = qe_rng_next(&rng), two = qe_rng_next(&rng);
    float a = float_of((uint32_t)one), b = float_of((uint32_t)(one >> 32)), c = float_of((uint32_t)two);
    same_product(a, b, c);
    /* near the product, where the sum is inexact in double or falls between two floats */
    same_product(a, b, -(a * b));
    int shift = (int)(two >> 32 & 63) - 32;
    same_product(a, b, ldexpf(a * b, shift));
    same_product(a, b, -ldexpf(a * b, shift));
  }
  const float corners[] = { 0.0f,           -0.0f,    1.0f,      -1.0f,      INFINITY,
                            -INFINITY,      NAN,      0x1p-149f, -0x1p-149f, 0x1.fffffep127f,
                            0x1.000002p+0f, 0x1p-75f, 0x1p64f,   0x1.8p-75f };
  const size_t count = sizeof corners / sizeof *corners;
  for (size_t i = 0; i < count * count * count; i++)
    same_product(corners[i % count], corners[i / count % count], corners[i / count / count]);
}

/* The tie that double rounding gets wrong: the sum lies a hair above the middle of two floats. */
static void test_double_rounding(void **state) {
  (void)state;
  float a = 0x1p-30f, c = 1.0f + 0x1p-23f;
  same_product(0x1p-24f, 1.0f + 0x1p-20f, c);
  same_product(a, a, c);
  same_product(0x1.000002p-24f, 0x1.000002p-0f, 1.0f);
  same_product(0x1.fffffep-25f, 1.0f, 1.0f);
  assert_int_equal(float_bits(fused_by_hand(0x1.8p-12f, 0x1.555556p-13f, 1.0f)),
                   float_bits(fmaf(0x1.8p-12f, 0x1.555556p-13f, 1.0f)));
}

VECTOR_CLONES
static void in_loops(size_t count, const float *restrict x, float *restrict exps, float *restrict tanhs,
                     float *restrict sigmoids) {
  for (size_t i = 0; i < count; i++)
    exps[i] = exp_float(x[i]);
  for (size_t i = 0; i < count; i++)
    tanhs[i] = tanh_float(x[i]);
  for (size_t i = 0; i < count; i++)
    sigmoids[i] = sigmoid_float(x[i]);
}

static void test_vector_code_has_the_same_bits(void **state) {
  (void)state;
  enum { COUNT = 1003 };
  static float x[COUNT], exps[COUNT], tanhs[COUNT], sigmoids[COUNT];
  qe_rng rng;
  qe_rng_seed(&rng, 6, "loops");
  for (int round = 0; round < 50; round++) {
    for (size_t i = 0; i < COUNT; i++)
      x[i] = (float)((qe_rng_uniform(&rng) - 0.5) * (round % 2 ? 4 : 220));
    in_loops(COUNT, x, exps, tanhs, sigmoids);
    for (size_t i = 0; i < COUNT; i++) {
      assert_int_equal(float_bits(exps[i]), float_bits(exp_float(x[i])));
      assert_int_equal(float_bits(tanhs[i]), float_bits(tanh_float(x[i])));
      assert_int_equal(float_bits(sigmoids[i]), float_bits(sigmoid_float(x[i])));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_errors_are_a_few_ulps),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_ranges_and_symmetry),
    cmocka_unit_test(test_nearly_monotone),
    cmocka_unit_test(test_fused_by_hand),
    cmocka_unit_test(test_double_rounding),
    cmocka_unit_test(test_vector_code_has_the_same_bits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
