/*
** int2.c - one row of a table at two bits a number, see int4.h: words so rare that it matters little how well they are
** known, but much that they are. A number becomes .5 or 1.5 steps, which is nearly the best for a normal distribution
** (Max 1960, Quantizing for Minimum Distortion); the step is found by least squares. What was read is written again as the
** same bytes: a number of .5 steps is in every row, so that those of 1.5 are further from zero than the root mean square.
*/
#include "bytes.h"
#include "int4.h"
#include "transcendental.h"

#include <float.h>
#include <math.h>

enum { SCALE = 2, IN_BYTE = 4, ROUNDS = 4, MASK = 3 };

static const double near_zero = .5, far_from_zero = 1.5, rounding = 1 + 1e-7;
static const float largest_step = 0x1p127f;

size_t int2_size(size_t cols) {
  return SCALE + (cols + IN_BYTE - 1) / IN_BYTE;
}

/* ---- the step ---- */

static double root_mean_square(const qe_real *row, size_t cols) {
  double sum = 0;
  for (size_t i = 0; i < cols; i++)
    sum += (double)(float)row[i] * (double)(float)row[i];
  return sqrt(sum / (double)cols);
}

static bool is_far(qe_real value, double limit) {
  return fabs((double)(float)value) > limit * rounding;
}

/* The one that fits best if numbers beyond `limit` are far; 0: all are. */
static double fitted(const qe_real *row, size_t cols, double limit) {
  double products = 0, squares = 0;
  bool any_near = false;
  for (size_t i = 0; i < cols; i++) {
    const double steps = is_far(row[i], limit) ? far_from_zero : near_zero;
    products += steps * fabs((double)(float)row[i]);
    squares += steps * steps;
    any_near |= steps < far_from_zero;
  }
  return any_near ? products / squares : 0;
}

/* As bf16; one that would lose bits because it is subnormal becomes zero. */
static float rounded(double step) {
  const float scale = float_of_bf16(bf16_of(step > (double)largest_step ? largest_step : (float)step));
  return scale < FLT_MIN ? 0 : scale;
}

static float step_of(const qe_real *row, size_t cols) {
  const double mean = root_mean_square(row, cols);
  double step = mean;
  for (int i = 0; i < ROUNDS && step > 0; i++)
    step = (double)rounded(fitted(row, cols, step));
  return step > 0 && fitted(row, cols, step) > 0 ? (float)step : rounded(mean / near_zero); /* of nearly one size */
}

/* ---- the row ---- */

static unsigned level_of(qe_real value, float step) {
  const unsigned far = is_far(value, (double)step);
  return value < 0 ? 1 - far : 2 + far;
}

static qe_real value_of(unsigned level, float step) {
  return step > 0 ? (qe_real)(step * ((float)level - (float)far_from_zero)) : 0;
}

static unsigned level_at(const unsigned char *bytes, size_t i) {
  return bytes[SCALE + i / IN_BYTE] >> 2 * (i % IN_BYTE) & MASK;
}

void int2_write(unsigned char *out, const qe_real *row, size_t cols) {
  const float step = step_of(row, cols);
  bytes_store(out, bf16_of(step), SCALE);
  memset(out + SCALE, 0, int2_size(cols) - SCALE);
  for (size_t i = 0; i < cols && step > 0; i++)
    out[SCALE + i / IN_BYTE] |= (unsigned char)(level_of(row[i], step) << 2 * (i % IN_BYTE));
}

/* A step and a number that is near, or nothing but zeros; nothing after the last number. */
static bool is_valid(const unsigned char *bytes, size_t cols) {
  const float step = float_of_bf16((uint16_t)bytes_load(bytes, SCALE));
  bool any_near = false, zeros = true;
  for (size_t i = 0; i < cols; i++) {
    any_near |= level_at(bytes, i) == 1 || level_at(bytes, i) == 2;
    zeros &= level_at(bytes, i) == 0;
  }
  for (size_t i = cols; i % IN_BYTE != 0; i++)
    if (level_at(bytes, i) != 0)
      return false;
  return bytes_load(bytes, SCALE) == 0 ? zeros : any_near && step >= FLT_MIN && step <= largest_step;
}

bool int2_read(const unsigned char *bytes, qe_real *row, size_t cols) {
  const float step = float_of_bf16((uint16_t)bytes_load(bytes, SCALE));
  if (!is_valid(bytes, cols))
    return false;
  for (size_t i = 0; i < cols; i++)
    row[i] = value_of(level_at(bytes, i), step);
  return true;
}

void int2_round(qe_real *row, size_t cols) {
  const float step = step_of(row, cols);
  for (size_t i = 0; i < cols; i++)
    row[i] = value_of(level_of(row[i], step), step);
}
