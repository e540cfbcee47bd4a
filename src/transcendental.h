/*
** transcendental.h - exp, log, tanh, the logistic function and the normal distribution of floats, and a fused
** multiply-add, as inline arithmetic that gives the same bits on every CPU: only +, *, / and fused multiply-adds in a
** fixed order, no branches (so that loops over them become vector code), no libm. A few units in the last place from the
** truth; NaN in, NaN out; the sign of zero survives tanh. Not here: errno, floating-point flags, rounding modes other
** than to nearest.
*/
#ifndef QE_TRANSCENDENTAL_H
#define QE_TRANSCENDENTAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Upper half of an f32, to nearest, ties to even; the largest values stay finite instead of rounding to infinity. */
static inline uint16_t bf16_of(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((rounded & 0x7f80) == 0x7f80 ? bits >> 16 : rounded);
}

static inline float float_of_bf16(uint64_t half) {
  return float_of((uint32_t)half << 16);
}

/* By masks: of `condition ? yes : no` the compiler makes a jump when one of them is a constant. */
static inline float float_choice(int condition, float yes, float no) {
  uint32_t mask = 0u - (uint32_t)condition;
  return float_of((float_bits(yes) & mask) | (float_bits(no) & ~mask));
}

/* a b + c, rounded once, without instruction or library. The product is exact in double; the sum is rounded to odd
** there (where inexact, to the neighbour whose last bit is 1), which makes the second rounding, to float, harmless. */
static inline float fused_by_hand(float a, float b, float c) {
  double product = (double)a * (double)b, addend = (double)c;
  double sum = product + addend;
  double part = sum - product;
  double lost = (product - (sum - part)) + (addend - part);
  uint64_t bits, lost_bits;
  memcpy(&bits, &sum, sizeof bits);
  memcpy(&lost_bits, &lost, sizeof lost_bits);
  uint64_t size_of_lost = lost_bits << 1; /* bit arithmetic, as SSE2 has no comparisons of this width */
  uint64_t inexact = (size_of_lost | (0 - size_of_lost)) >> 63;
  uint64_t infinite = ((bits >> 52 & 0x7ff) + 1) >> 11; /* or NaN */
  uint64_t adjust = inexact & ~infinite & ~bits & 1;
  uint64_t toward_zero = (bits ^ lost_bits) >> 63;
  bits += adjust - ((adjust & toward_zero) << 1);
  memcpy(&sum, &bits, sizeof sum);
  return (float)sum;
}

/* Files that may not call libm define TRANSCENDENTAL_NO_LIBM; the others leave it to the compiler, which makes an
** instruction of it wherever a clone's target has one. */
static inline float fused(float a, float b, float c) {
#if defined(TRANSCENDENTAL_NO_LIBM) && !defined(__FP_FAST_FMAF)
  return fused_by_hand(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

/* x = exponent ln 2 + rest, |rest| <= ln 2 / 2; |x| must be below 2^21. Returns exp(rest) - 1, precise near 0 too. */
static inline float exp_split(float x, uint32_t *exponent) {
  const float shift = 0x1.8p23f; /* adding it rounds to a whole number in the low bits */
  float shifted = fused(x, 0x1.715476p+0f, shift);
  float whole = shifted - shift;
  *exponent = float_bits(shifted) - float_bits(shift);
  float r = fused(whole, -0x1.62e43p-1f, x);
  r = fused(whole, 0x1.05c61p-29f, r);
  float p = 0x1.a032c4p-13f;
  p = fused(p, r, 0x1.6d723ep-10f);
  p = fused(p, r, 0x1.11118ap-7f);
  p = fused(p, r, 0x1.5554bp-5f);
  p = fused(p, r, 0x1.555554p-3f);
  p = fused(p, r, 0.5f);
  return fused(p, r * r, r);
}

/* 2^exponent for -126 .. 127. */
static inline float power_of_two(uint32_t exponent) {
  return float_of((exponent + 127) << 23);
}

static inline float exp_float(float x) {
  float bounded = float_choice(x < -105.0f, -105.0f, x); /* NaN passes both */
  bounded = float_choice(bounded > 90.0f, 90.0f, bounded);
  uint32_t exponent;
  float y = exp_split(bounded, &exponent) + 1.0f;
  uint32_t half = (uint32_t)((int32_t)exponent >> 1); /* in two steps, as 2^-151 and 2^130 are no floats */
  return y * power_of_two(half) * power_of_two(exponent - half);
}

/* Of a positive, normal number: x = 2^k m, m near 1, log m = 2 atanh((m - 1) / (m + 1)). Within two units of the last place
** of the larger of 1 and the result. */
static inline float log_float(float x) {
  const uint32_t bits = float_bits(x), half = float_bits(0x1.6a09e6p-1f); /* sqrt(1/2): m lies in [half, 2 half) */
  const int32_t exponent = (int32_t)(bits - half) >> 23;
  const float m = float_of(bits - ((uint32_t)exponent << 23));
  const float s = (m - 1.0f) / (m + 1.0f), square = s * s;
  float p = fused(square, 0x1.c71c72p-4f, 0x1.24924ap-3f); /* 1/9, 1/7, 1/5, 1/3 */
  p = fused(p, square, 0x1.99999ap-3f);
  p = fused(p, square, 0x1.555556p-2f);
  const float log_m = 2.0f * fused(s * square, p, s);
  return fused((float)exponent, 0x1.62e43p-1f, log_m);
}

/* tanh |x| = e / (e + 2), e = exp(2 |x|) - 1. */
static inline float tanh_float(float x) {
  float size = float_of(float_bits(x) & 0x7fffffffu);
  size = float_choice(size > 10.0f, 10.0f, size); /* tanh 10 rounds to 1 */
  uint32_t exponent;
  float y = exp_split(2.0f * size, &exponent);
  float power = power_of_two(exponent);
  float e = fused(power, y, power - 1.0f);
  float magnitude = e / (e + 2.0f);
  return float_of(float_bits(magnitude) | (float_bits(x) & 0x80000000u));
}

/* 1 / (1 + exp(-x)), by exp(-|x|) so that both tails are precise. */
static inline float sigmoid_float(float x) {
  float e = exp_float(float_of(float_bits(x) | 0x80000000u));
  float numerator = float_choice(x < 0.0f, e, 1.0f);
  return numerator / (1.0f + e);
}

/* The standard normal distribution's Phi(x), by erfc(z) = exp(-z P(z)), z = |x| / sqrt 2; P fitted up to z = 6, beyond
** which it is 0 or 1. Within 5e-8 of the truth, the lower tail to five digits. */
static inline float normal_cdf_float(float x) {
  float size = float_of(float_bits(x) & 0x7fffffffu) * 0x1.6a09e6p-1f;
  float z = float_choice(size > 6.0f, 6.0f, size);
  float p = 0x1.242532p-28f;
  p = fused(p, z, -0x1.5ae2e8p-23f);
  p = fused(p, z, 0x1.6d9c2ep-19f);
  p = fused(p, z, -0x1.c1b9dcp-16f);
  p = fused(p, z, 0x1.62e22ep-13f);
  p = fused(p, z, -0x1.6cb0d2p-11f);
  p = fused(p, z, 0x1.b04974p-10f);
  p = fused(p, z, -0x1.636ac6p-16f);
  p = fused(p, z, -0x1.3c6610p-6f);
  p = fused(p, z, 0x1.a54db2p-4f);
  p = fused(p, z, 0x1.45f0b0p-1f);
  p = fused(p, z, 0x1.20dd8ap+0f);
  float low = float_choice(size > 6.0f, 0.0f, 0.5f * exp_float(-p * z));
  return float_choice(x < 0.0f, low, 1.0f - low);
}

#ifdef QE_DOUBLE
static inline double real_normal_cdf(double x) {
  return 0.5 * erfc(x * -0.70710678118654752440);
}
static inline double real_exp(double x) {
  return exp(x);
}
static inline double real_tanh(double x) {
  return tanh(x);
}
static inline double real_sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}
#else
static inline float real_normal_cdf(float x) {
  return normal_cdf_float(x);
}
static inline float real_exp(float x) {
  return exp_float(x);
}
static inline float real_tanh(float x) {
  return tanh_float(x);
}
static inline float real_sigmoid(float x) {
  return sigmoid_float(x);
}
#endif

#endif
