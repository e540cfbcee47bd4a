/*
** rows.h - sums and the maximum of a run of cells, in parts that vector code can handle side by side, and the logarithm of a
** softmax. The order of the additions depends on the count alone, so that the bits are the same on every CPU.
*/
#ifndef QE_ROWS_H
#define QE_ROWS_H

#include "core.h"

typedef qe_real row_lanes __attribute__((vector_size(64)));
enum { ROW_LANES = sizeof(row_lanes) / sizeof(qe_real) };

static inline qe_real row_sum(const qe_real *x, size_t count) {
  row_lanes sums = { 0 }, lanes;
  qe_real sum = 0;
  size_t i = 0;
  for (; i + ROW_LANES <= count; i += ROW_LANES) {
    memcpy(&lanes, x + i, sizeof lanes);
    sums += lanes;
  }
  for (; i < count; i++)
    sum += x[i];
  for (int lane = 0; count >= ROW_LANES && lane < ROW_LANES; lane++)
    sum += sums[lane];
  return sum;
}

static inline qe_real row_dot(const qe_real *x, const qe_real *y, size_t count) {
  row_lanes sums = { 0 }, lanes, others;
  qe_real sum = 0;
  size_t i = 0;
  for (; i + ROW_LANES <= count; i += ROW_LANES) {
    memcpy(&lanes, x + i, sizeof lanes);
    memcpy(&others, y + i, sizeof others);
    sums += lanes * others;
  }
  for (; i < count; i++)
    sum += x[i] * y[i];
  for (int lane = 0; count >= ROW_LANES && lane < ROW_LANES; lane++)
    sum += sums[lane];
  return sum;
}

/* Of at least one cell. NaN is passed over unless it comes first. */
static inline qe_real row_max(const qe_real *x, size_t count) {
  qe_real most = x[0];
  size_t i = 0;
  if (count >= ROW_LANES) {
    row_lanes best, lanes;
    memcpy(&best, x, sizeof best);
    for (i = ROW_LANES; i + ROW_LANES <= count; i += ROW_LANES) {
      memcpy(&lanes, x + i, sizeof lanes);
      const __typeof__(lanes > best) larger = lanes > best;
      best = (row_lanes)((larger & (__typeof__(larger))lanes) | (~larger & (__typeof__(larger))best));
    }
    for (int lane = 0; lane < ROW_LANES; lane++)
      most = best[lane] > most ? best[lane] : most;
  }
  for (; i < count; i++)
    most = x[i] > most ? x[i] : most;
  return most;
}

/* rows.c: 1 / temperature, or false and recorded. */
bool rows_temperature(qe_tape *tape, const char *name, double temperature, qe_real *inverse);

/* rows.c: out = log softmax(x / temperature), row by row; `inverse` is 1 / temperature. */
void rows_log_softmax(qe_real *out, const qe_real *x, size_t rows, size_t cols, qe_real inverse);

#endif
