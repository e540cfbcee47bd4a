/*
** metrics.c - how two columns of numbers agree. Everything is computed in double in the order of the rows; ranks share
** ties evenly. NaN where a figure is undefined: constant input, too few rows, a NaN among the values. Nothing is kept
** between calls.
*/
#include "core.h"

#include <math.h>
#include <stdlib.h>

/* Looked at apart from the variance, which rounding of the mean can leave above 0. */
static bool is_constant(const double *x, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (x[i] < x[0] || x[i] > x[0])
      return false;
  return true;
}

double qe_pearson(const double *x, const double *y, size_t n) {
  double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
  if (is_constant(x, n) || is_constant(y, n))
    return NAN;
  for (size_t i = 0; i < n; i++) {
    mean_x += x[i] / (double)n;
    mean_y += y[i] / (double)n;
  }
  for (size_t i = 0; i < n; i++) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / (sqrt(xx) * sqrt(yy)) : NAN;
}

/* ---- sorting: a row and what it is sorted by ---- */

struct entry {
  double x, y;
  size_t row;
};

static int by_row(const struct entry *a, const struct entry *b) {
  return (a->row > b->row) - (a->row < b->row);
}

static int by_x(const void *left, const void *right) {
  const struct entry *a = left, *b = right;
  return a->x < b->x ? -1 : a->x > b->x ? 1 : by_row(a, b);
}

static int by_x_then_y(const void *left, const void *right) {
  const struct entry *a = left, *b = right;
  if (a->x < b->x || a->x > b->x)
    return a->x < b->x ? -1 : 1;
  return a->y < b->y ? -1 : a->y > b->y ? 1 : by_row(a, b);
}

static struct entry *entries_new(const double *x, const double *y, size_t n) {
  struct entry *entries = memory_new(n, sizeof *entries);
  for (size_t i = 0; entries && i < n; i++)
    entries[i] = (struct entry){ x[i], y[i], i };
  return entries;
}

static bool has_nan(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (isnan(x[i]))
      return true;
  return false;
}

/* ---- Spearman ---- */

/* Mid-ranks of x into `ranks`; `entries` is work space. */
static void rank_into(struct entry *entries, const double *x, size_t n, double *ranks) {
  for (size_t i = 0; i < n; i++)
    entries[i] = (struct entry){ x[i], 0, i };
  qsort(entries, n, sizeof *entries, by_x);
  for (size_t first = 0, end; first < n; first = end) {
    for (end = first + 1; end < n && !(entries[end].x > entries[first].x); end++) {
    }
    for (size_t i = first; i < end; i++)
      ranks[entries[i].row] = ((double)first + (double)end + 1) / 2;
  }
}

double qe_spearman(const double *x, const double *y, size_t n) {
  double result = NAN;
  if (n < 2 || has_nan(x, n) || has_nan(y, n))
    return result;
  struct entry *entries = memory_new(n, sizeof *entries);
  double *ranks = memory_new(n, 2 * sizeof *ranks);
  if (entries && ranks) {
    rank_into(entries, x, n, ranks);
    rank_into(entries, y, n, ranks + n);
    result = qe_pearson(ranks, ranks + n, n);
  }
  memory_free(entries);
  memory_free(ranks);
  return result;
}

/* ---- Kendall's tau-b after Knight (1966): sort by x, then count the exchanges that a merge sort by y makes ---- */

/* Pairs of neighbours in sorted order that `same` holds equal, over whole runs. */
static double tied_pairs(const struct entry *entries, size_t n,
                         bool same(const struct entry *, const struct entry *)) {
  double pairs = 0;
  for (size_t first = 0, end; first < n; first = end) {
    for (end = first + 1; end < n && same(&entries[first], &entries[end]); end++) {
    }
    pairs += (double)(end - first) * (double)(end - first - 1) / 2;
  }
  return pairs;
}

static bool same_x(const struct entry *a, const struct entry *b) {
  return !(a->x < b->x || a->x > b->x);
}

static bool same_y(const struct entry *a, const struct entry *b) {
  return !(a->y < b->y || a->y > b->y);
}

static bool same_both(const struct entry *a, const struct entry *b) {
  return same_x(a, b) && same_y(a, b);
}

static double merge(struct entry *entries, struct entry *work, size_t first, size_t middle, size_t end) {
  double exchanges = 0;
  size_t left = first, right = middle, out = first;
  while (left < middle && right < end) {
    if (entries[right].y < entries[left].y) {
      exchanges += (double)(middle - left);
      work[out++] = entries[right++];
    } else {
      work[out++] = entries[left++];
    }
  }
  while (left < middle)
    work[out++] = entries[left++];
  while (right < end)
    work[out++] = entries[right++];
  memcpy(entries + first, work + first, (end - first) * sizeof *entries);
  return exchanges;
}

static double count_exchanges(struct entry *entries, struct entry *work, size_t n) {
  double exchanges = 0;
  for (size_t width = 1; width < n; width *= 2)
    for (size_t first = 0; first + width < n; first += 2 * width)
      exchanges += merge(entries, work, first, first + width, first + 2 * width < n ? first + 2 * width : n);
  return exchanges;
}

double qe_kendall(const double *x, const double *y, size_t n) {
  double result = NAN;
  if (n < 2 || has_nan(x, n) || has_nan(y, n))
    return result;
  struct entry *entries = entries_new(x, y, n), *work = memory_new(n, sizeof *work);
  if (entries && work) {
    qsort(entries, n, sizeof *entries, by_x_then_y);
    const double all = (double)n * (double)(n - 1) / 2;
    const double ties_x = tied_pairs(entries, n, same_x), ties_both = tied_pairs(entries, n, same_both);
    const double exchanges = count_exchanges(entries, work, n); /* now sorted by y */
    const double ties_y = tied_pairs(entries, n, same_y);
    const double product = (all - ties_x) * (all - ties_y);
    if (product > 0)
      result = (all - ties_x - ties_y + ties_both - 2 * exchanges) / sqrt(product);
  }
  memory_free(entries);
  memory_free(work);
  return result;
}

/* ---- errors ---- */

double qe_mae(const double *x, const double *y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += fabs(x[i] - y[i]);
  return n > 0 ? sum / (double)n : NAN;
}

double qe_rmse(const double *x, const double *y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += (x[i] - y[i]) * (x[i] - y[i]);
  return n > 0 ? sqrt(sum / (double)n) : NAN;
}

/* A tenth is n / 10 rounded down, at least one row; equal values count in the order of the rows. */
double qe_worst_decile_recall(const double *x, const double *y, size_t n) {
  const size_t tenth = n < 20 ? 1 : n / 10;
  if (n == 0 || has_nan(x, n) || has_nan(y, n))
    return NAN;
  struct entry *lowest_x = entries_new(x, x, n), *lowest_y = entries_new(y, y, n);
  bool *in_x = memory_new(n, sizeof *in_x);
  double found = NAN;
  if (lowest_x && lowest_y && in_x) {
    found = 0;
    qsort(lowest_x, n, sizeof *lowest_x, by_x);
    qsort(lowest_y, n, sizeof *lowest_y, by_x);
    for (size_t i = 0; i < tenth; i++)
      in_x[lowest_x[i].row] = true;
    for (size_t i = 0; i < tenth; i++)
      found += in_x[lowest_y[i].row];
    found /= (double)tenth;
  }
  memory_free(lowest_x);
  memory_free(lowest_y);
  memory_free(in_x);
  return found;
}

/* ---- bootstrap ---- */

static int compare_doubles(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Linear interpolation between order statistics. */
static double quantile(const double *sorted, size_t n, double share) {
  const double place = share * (double)(n - 1);
  const size_t below = (size_t)place;
  const double above = below + 1 < n ? sorted[below + 1] : sorted[below];
  return sorted[below] + (place - (double)below) * (above - sorted[below]);
}

/* Statistics of the resamples that have one; returns how many. */
static size_t resample(qe_statistic *statistic, const double *x, const double *y, size_t n, size_t draws,
                       qe_rng *rng, double *rows, double *results) {
  size_t defined = 0;
  for (size_t draw = 0; draw < draws; draw++) {
    for (size_t i = 0; i < n; i++) {
      const size_t row = (size_t)qe_rng_below(rng, n);
      rows[i] = x[row];
      rows[n + i] = y[row];
    }
    const double result = statistic(rows, rows + n, n);
    if (!isnan(result))
      results[defined++] = result;
  }
  return defined;
}

int qe_bootstrap(qe_statistic *statistic, const double *x, const double *y, size_t n, size_t draws, double level,
                 uint64_t seed, qe_interval *interval) {
  qe_rng rng;
  *interval = (qe_interval){ NAN, NAN };
  if (!(level > 0 && level < 1))
    return QE_USE;
  if (n == 0 || draws == 0)
    return QE_OK;
  double *rows = memory_new(n, 2 * sizeof *rows), *results = memory_new(draws, sizeof *results);
  const bool ok = rows && results;
  if (ok) {
    qe_rng_seed(&rng, seed, "bootstrap");
    const size_t defined = resample(statistic, x, y, n, draws, &rng, rows, results);
    if (2 * defined > draws) { /* mostly undefined: no interval */
      qsort(results, defined, sizeof *results, compare_doubles);
      interval->low = quantile(results, defined, (1 - level) / 2);
      interval->high = quantile(results, defined, (1 + level) / 2);
    }
  }
  memory_free(rows);
  memory_free(results);
  return ok ? QE_OK : QE_MEMORY;
}

/* ---- paired bootstrap of corpora ---- */

static void add_times(double *sums, const double *statistics, size_t size, double times) {
  for (size_t j = 0; j < size; j++)
    sums[j] += times * statistics[j];
}

int qe_resample(qe_objective *objective, void *context, const double *statistics, size_t outputs, size_t segments,
                size_t size, size_t draws, uint64_t seed, double *values) {
  qe_rng rng;
  double *sums = memory_new(size, sizeof *sums);
  uint32_t *times = memory_new(segments, sizeof *times);
  qe_rng_seed(&rng, seed, "resample");
  for (size_t draw = 0; sums && times && draw < draws; draw++) {
    memset(times, 0, segments * sizeof *times);
    for (size_t i = 0; i < segments; i++)
      times[qe_rng_below(&rng, segments)]++;
    for (size_t output = 0; output < outputs; output++) {
      memset(sums, 0, size * sizeof *sums);
      for (size_t i = 0; i < segments; i++)
        if (times[i] > 0)
          add_times(sums, statistics + (output * segments + i) * size, size, times[i]);
      values[output * draws + draw] = objective(context, sums);
    }
  }
  const int status = sums && times ? QE_OK : QE_MEMORY;
  memory_free(sums);
  memory_free(times);
  return status;
}
