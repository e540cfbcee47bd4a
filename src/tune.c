/*
** tune.c - weights for features of n-best lists, found on lists whose candidates have statistics of a metric. The
** tuner keeps two matrices, a row per candidate: features, and statistics that add up over the picked candidates of all
** lists to what the objective is computed from. Along one weight every candidate of a list is a line, the pick follows
** their upper envelope, and so the objective is constant between the breakpoints of all lists: each line search looks
** at every interval and is exact (Och 2003, section 4). Features are scaled to spread 1 within lists while searching.
** Nothing here knows what a feature or a metric is.
*/
#include "core.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { SWEEPS = 50 }; /* over all weights, at most, from one start */

struct qe_tuner {
  struct error error;
  size_t features, size;               /* columns of the two matrices */
  size_t *start, lists, start_room;    /* first candidate of every list, and the end: lists + 1 */
  double *values, *statistics;         /* as added */
  size_t values_room, statistics_room; /* cells */
  double *scaled;                      /* values by spread, while a search runs */
};

qe_tuner *qe_tuner_new(size_t features, size_t size) {
  qe_tuner *tuner = memory_new(1, sizeof *tuner);
  if (!tuner)
    return NULL;
  tuner->features = features;
  tuner->size = size;
  if (!memory_reserve((void **)&tuner->start, &tuner->start_room, 1, sizeof *tuner->start)) {
    memory_free(tuner);
    return NULL;
  }
  tuner->start[0] = 0;
  return tuner;
}

void qe_tuner_free(qe_tuner *tuner) {
  if (!tuner)
    return;
  memory_free(tuner->start);
  memory_free(tuner->values);
  memory_free(tuner->statistics);
  memory_free(tuner->scaled);
  memory_free(tuner);
}

const char *qe_tuner_error(const qe_tuner *tuner) {
  return tuner->error.text;
}

static int all_finite(qe_tuner *tuner, const double *cells, size_t count, size_t columns, const char *what) {
  for (size_t i = 0; i < count * columns; i++)
    if (!isfinite(cells[i]))
      return error_set(&tuner->error, QE_FORMAT, "list %zu: %s %zu of candidate %zu is not finite",
                       tuner->lists + 1, what, i % columns + 1, i / columns + 1);
  return QE_OK;
}

static bool reserve_rows(qe_tuner *tuner, size_t rows) {
  size_t values, statistics;
  if (__builtin_mul_overflow(rows, tuner->features, &values) ||
      __builtin_mul_overflow(rows, tuner->size, &statistics))
    return false;
  return memory_reserve((void **)&tuner->values, &tuner->values_room, values + 1, sizeof(double)) &&
         memory_reserve((void **)&tuner->statistics, &tuner->statistics_room, statistics + 1, sizeof(double)) &&
         memory_reserve((void **)&tuner->start, &tuner->start_room, tuner->lists + 2, sizeof *tuner->start);
}

int qe_tuner_add(qe_tuner *tuner, const double *values, const double *statistics, size_t count) {
  error_clear(&tuner->error);
  const size_t first = tuner->start[tuner->lists];
  if (count == 0)
    return error_set(&tuner->error, QE_USE, "list %zu has no candidates", tuner->lists + 1);
  if (all_finite(tuner, values, count, tuner->features, "feature") != QE_OK ||
      all_finite(tuner, statistics, count, tuner->size, "statistic") != QE_OK)
    return tuner->error.status;
  if (!reserve_rows(tuner, first + count))
    return error_memory(&tuner->error);
  if (tuner->features > 0)
    memcpy(tuner->values + first * tuner->features, values, count * tuner->features * sizeof *values);
  if (tuner->size > 0)
    memcpy(tuner->statistics + first * tuner->size, statistics, count * tuner->size * sizeof *statistics);
  tuner->start[++tuner->lists] = first + count;
  return QE_OK;
}

qe_tuning_options qe_tuning_defaults(void) {
  return (qe_tuning_options){ .restarts = 20, .folds = 5, .draws = 1000, .level = .95, .simplest = 1 };
}

/* ---- search ---- */

struct breakpoint {
  double at;
  size_t from, to; /* candidates */
};

/* A search over some of the lists; `chosen` are their numbers. */
struct search {
  const qe_tuner *tuner;
  const qe_tuning_options *options;
  qe_objective *objective;
  void *context;
  const size_t *chosen;
  size_t count;
  double *sums, *base;            /* statistics; what a candidate scores without the weight that moves */
  size_t *order, *pick;           /* candidates of one list by slope; per list of the tuner */
  struct breakpoint *breakpoints; /* at most one per candidate */
  double *differences;            /* on resampled lists */
};

static bool as_simple_as_possible(const struct search *search) {
  return search->options->simplest && search->options->folds > 1;
}

static double feature(const struct search *search, size_t candidate, size_t number) {
  return search->tuner->scaled[candidate * search->tuner->features + number];
}

static double weighted(const struct search *search, size_t candidate, const double *weights, size_t without) {
  double sum = 0;
  for (size_t k = 0; k < search->tuner->features; k++)
    if (k != without)
      sum += weights[k] * feature(search, candidate, k);
  return sum;
}

/* The first of the best, as qe_list_rank has it. */
static size_t best_candidate(const struct search *search, size_t list, const double *weights) {
  size_t best = search->tuner->start[list];
  double most = weighted(search, best, weights, SIZE_MAX);
  for (size_t i = best + 1; i < search->tuner->start[list + 1]; i++) {
    const double sum = weighted(search, i, weights, SIZE_MAX);
    if (sum > most) {
      most = sum;
      best = i;
    }
  }
  return best;
}

static void add_statistics(const struct search *search, double *sums, size_t candidate, double sign) {
  const size_t size = search->tuner->size;
  for (size_t j = 0; j < size; j++)
    sums[j] += sign * search->tuner->statistics[candidate * size + j];
}

static void clear_sums(const struct search *search) {
  for (size_t j = 0; j < search->tuner->size; j++)
    search->sums[j] = 0;
}

/* Of the picks as they are. */
static double objective_of_picks(const struct search *search) {
  clear_sums(search);
  for (size_t i = 0; i < search->count; i++)
    add_statistics(search, search->sums, search->pick[search->chosen[i]], 1);
  return search->objective(search->context, search->sums);
}

static double objective_at(const struct search *search, const double *weights) {
  for (size_t i = 0; i < search->count; i++)
    search->pick[search->chosen[i]] = best_candidate(search, search->chosen[i], weights);
  return objective_of_picks(search);
}

/* ---- the line search ---- */

struct slope_order {
  const struct search *search;
  size_t feature;
};

static int by_slope(const void *left, const void *right, void *context) {
  const size_t a = *(const size_t *)left, b = *(const size_t *)right;
  const struct slope_order *order = context;
  const double x = feature(order->search, a, order->feature), y = feature(order->search, b, order->feature);
  if (x < y || x > y)
    return x < y ? -1 : 1;
  const double p = order->search->base[a], q = order->search->base[b];
  if (p < q || p > q)
    return p > q ? -1 : 1;
  return (a > b) - (a < b);
}

/* Where the steeper line overtakes. */
static double crossing(const struct search *search, size_t number, size_t flat, size_t steep) {
  return (search->base[flat] - search->base[steep]) /
         (feature(search, steep, number) - feature(search, flat, number));
}

/* The candidates of one list on the upper envelope, from the flattest line to the steepest, left in `order`. */
static size_t envelope(const struct search *search, size_t list, size_t number) {
  const size_t first = search->tuner->start[list], count = search->tuner->start[list + 1] - first;
  size_t *order = search->order, kept = 0;
  for (size_t i = 0; i < count; i++)
    order[i] = first + i;
  struct slope_order context = { search, number };
  qsort_r(order, count, sizeof *order, by_slope, &context);
  for (size_t i = 0; i < count; i++) {
    const size_t line = order[i];
    if (kept > 0 && !(feature(search, line, number) > feature(search, order[kept - 1], number)))
      continue; /* parallel and not above */
    while (kept > 1 && crossing(search, number, order[kept - 1], line) <=
                           crossing(search, number, order[kept - 2], order[kept - 1]))
      kept--;
    order[kept++] = line;
  }
  return kept;
}

/* Breakpoints above `low`; the pick becomes the candidate that leads there. */
static size_t list_breakpoints(const struct search *search, size_t list, size_t number, double low,
                               struct breakpoint *breakpoints) {
  const size_t kept = envelope(search, list, number);
  size_t count = 0, lead = search->order[0];
  for (size_t i = 1; i < kept; i++) {
    const double at = crossing(search, number, search->order[i - 1], search->order[i]);
    if (at > low)
      breakpoints[count++] = (struct breakpoint){ at, search->order[i - 1], search->order[i] };
    else
      lead = search->order[i];
  }
  search->pick[list] = lead;
  return count;
}

static int by_place(const void *left, const void *right) {
  const struct breakpoint *a = left, *b = right;
  if (a->at < b->at || a->at > b->at)
    return a->at < b->at ? -1 : 1;
  return (a->from > b->from) - (a->from < b->from);
}

static double middle(double low, double high) {
  const double span = 1;
  if (isinf(low) && isinf(high))
    return span;
  if (isinf(low))
    return high - span;
  return isinf(high) ? low + span : low + (high - low) / 2;
}

/* Walks the intervals from the left; the middle of the best one, and its objective in `best` if that rises. */
static double sweep(const struct search *search, size_t count, double low, double *best, double present) {
  double weight = present, left = low;
  objective_of_picks(search);
  for (size_t i = 0; i <= count;) {
    const double right = i < count ? search->breakpoints[i].at : INFINITY;
    const double value = search->objective(search->context, search->sums);
    if (value > *best && right > left) {
      *best = value;
      weight = middle(left, right);
    }
    for (; i < count && search->breakpoints[i].at <= right; i++) {
      add_statistics(search, search->sums, search->breakpoints[i].from, -1);
      add_statistics(search, search->sums, search->breakpoints[i].to, 1);
    }
    left = right;
    if (i == count && isinf(right))
      break;
  }
  return weight;
}

/* The best value of one weight with the others fixed; 0 is tried by itself, as ties are then the decoder's. */
static double line_search(const struct search *search, double *weights, size_t number, double best) {
  const double low = search->options->negative ? -INFINITY : 0, before = weights[number];
  size_t count = 0;
  for (size_t i = 0; i < search->count; i++) {
    const size_t list = search->chosen[i];
    for (size_t c = search->tuner->start[list]; c < search->tuner->start[list + 1]; c++)
      search->base[c] = weighted(search, c, weights, number);
    count += list_breakpoints(search, list, number, low, search->breakpoints + count);
  }
  qsort(search->breakpoints, count, sizeof *search->breakpoints, by_place);
  double found = best;
  weights[number] = sweep(search, count, low, &found, before);
  const double exact = objective_at(search, weights);
  if (exact > best)
    return exact;
  weights[number] = before;
  return best;
}

static double try_zero(const struct search *search, double *weights, size_t number, double best) {
  const double before = weights[number];
  weights[number] = 0;
  const double value = before != 0 ? objective_at(search, weights) : best;
  if (value >= best)
    return value;
  weights[number] = before;
  return best;
}

/* Coordinate search over the weights in `use`, up to a point that no single weight improves. */
static double climb(const struct search *search, double *weights, const bool *use) {
  double best = objective_at(search, weights);
  for (int round = 0; round < SWEEPS; round++) {
    const double before = best;
    for (size_t k = 0; k < search->tuner->features; k++) {
      if (!use[k])
        continue;
      best = line_search(search, weights, k, best);
      best = try_zero(search, weights, k, best);
    }
    if (!(best > before))
      break;
  }
  return best;
}

/* Start r: feature r alone, then all alike, then at random. */
static void start_point(const struct search *search, size_t number, const bool *use, qe_rng *rng, double *weights) {
  const size_t features = search->tuner->features;
  for (size_t k = 0; k < features; k++) {
    const double draw =
        qe_rng_uniform(rng) * (search->options->negative ? 2 : 1) - (search->options->negative ? 1 : 0);
    weights[k] = number < features ? (double)(k == number) : number == features ? 1 : draw;
    if (!use[k])
      weights[k] = 0;
  }
}

/* The best of all starts, in `weights`; `trial` is room for one point. */
static void search_best(const struct search *search, const bool *use, double *weights, double *trial) {
  const size_t features = search->tuner->features;
  qe_rng rng;
  qe_rng_seed(&rng, search->options->seed, "tune");
  for (size_t k = 0; k < features; k++)
    weights[k] = 0;
  double best = objective_at(search, weights);
  for (size_t start = 0; start <= features + search->options->restarts; start++) {
    start_point(search, start, use, &rng, trial);
    const double value = climb(search, trial, use);
    if (!(value > best))
      continue;
    best = value;
    memcpy(weights, trial, features * sizeof *weights);
  }
}

/* ---- how sure ---- */

/* Differences of the objective between two sets of picks, on resampled lists. */
static void resample(const struct search *search, const size_t *one, const size_t *other) {
  qe_rng rng;
  qe_rng_seed(&rng, search->options->seed, "bootstrap");
  for (size_t d = 0; d < search->options->draws; d++) {
    const qe_rng replay = rng;
    double value[2];
    for (size_t side = 0; side < 2; side++) {
      const size_t *pick = side == 0 ? one : other;
      rng = replay;
      clear_sums(search);
      for (size_t i = 0; i < search->count; i++)
        add_statistics(search, search->sums, pick[search->chosen[qe_rng_below(&rng, search->count)]], 1);
      value[side] = search->objective(search->context, search->sums);
    }
    search->differences[d] = value[0] - value[1];
  }
}

static double standard_error(const double *values, size_t count) {
  double mean = 0, squares = 0;
  for (size_t i = 0; i < count; i++)
    mean += values[i] / (double)count;
  for (size_t i = 0; i < count; i++)
    squares += (values[i] - mean) * (values[i] - mean);
  return count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
}

/* Whether a loss is no more than what other lists might have turned round; paired, list by list. */
static bool within_one_error(const struct search *search, double loss, const size_t *better, const size_t *worse) {
  resample(search, better, worse);
  return loss <= standard_error(search->differences, search->options->draws);
}

static int by_value(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

static qe_interval interval_of(double *values, size_t count, double level) {
  qsort(values, count, sizeof *values, by_value);
  const double tail = (1 - level) / 2 * (double)(count - 1);
  const size_t low = (size_t)floor(tail), high = count - 1 - low;
  return (qe_interval){ values[low], values[high] };
}

/* ---- fewer and fewer features ---- */

/* The points of a path: row s has at most s weights that are not 0. */
struct path {
  double *points; /* features + 1 rows */
  bool *use;
  double *trial, *next;
  size_t *pick; /* by the point that a plainer one is measured by */
};

static double *path_point(const struct search *search, const struct path *path, size_t size) {
  return path->points + size * search->tuner->features;
}

static void copy_weights(const struct search *search, double *to, const double *from) {
  if (search->tuner->features > 0)
    memcpy(to, from, search->tuner->features * sizeof *to);
}

/* How many are not 0; only those stay in use. */
static size_t keep_in_use(const struct search *search, const struct path *path, const double *weights) {
  size_t count = 0;
  for (size_t k = 0; k < search->tuner->features; k++) {
    path->use[k] = weights[k] != 0;
    count += path->use[k];
  }
  return count;
}

/* Into `next`: the best point without one of the features in use, the others searched anew. */
static void leave_out_least(const struct search *search, const struct path *path, const double *weights) {
  double most = -INFINITY;
  bool found = false;
  for (size_t k = 0; k < search->tuner->features; k++) {
    if (!path->use[k])
      continue;
    copy_weights(search, path->trial, weights);
    path->trial[k] = 0;
    path->use[k] = false;
    const double value = climb(search, path->trial, path->use);
    path->use[k] = true;
    if (found && !(value > most))
      continue;
    found = true;
    most = value;
    copy_weights(search, path->next, path->trial);
  }
}

static void fill_path(const struct search *search, const struct path *path) {
  for (size_t size = search->tuner->features;; size--) {
    const size_t count = keep_in_use(search, path, path->next);
    for (; size > count; size--)
      copy_weights(search, path_point(search, path, size), path->next);
    copy_weights(search, path_point(search, path, size), path->next);
    if (size == 0)
      return;
    leave_out_least(search, path, path_point(search, path, size));
  }
}

/* The last feature in use, or their number. */
static size_t last_in_use(const struct search *search, const double *weights) {
  for (size_t k = search->tuner->features; k-- > 0;)
    if (weights[k] != 0)
      return k;
  return search->tuner->features;
}

/* Into `trial`: feature `last` of the point traded for an earlier one, the weights in use searched anew. Picks are by
** that. */
static double trade(const struct search *search, const struct path *path, const double *point, size_t last,
                    size_t earlier) {
  copy_weights(search, path->trial, point);
  path->trial[earlier] = path->trial[last];
  path->trial[last] = 0;
  keep_in_use(search, path, path->trial);
  climb(search, path->trial, path->use);
  return objective_at(search, path->trial);
}

static bool make_plainer(const struct search *search, const struct path *path, double best, double *point) {
  const size_t last = last_in_use(search, point);
  if (last == search->tuner->features)
    return false;
  for (size_t k = 0; k < last; k++) {
    if (point[k] != 0)
      continue;
    const double loss = best - trade(search, path, point, last, k);
    if (!within_one_error(search, loss, path->pick, search->pick))
      continue;
    copy_weights(search, point, path->trial);
    return true;
  }
  return false;
}

/* Where lists cannot tell a point, whose objective is `best` and by which the picks are, from one of as many but earlier
** features, the latter it is. */
static void make_plainest(const struct search *search, const struct path *path, double best, double *point) {
  memcpy(path->pick, search->pick, search->tuner->lists * sizeof *path->pick);
  while (make_plainer(search, path, best, point))
    ;
}

/* From the best point of all to the decoder's order; returns the objective of the best. A search that began with fewer
** features may have come to a better end: then it is the end for more features too. */
static double walk(const struct search *search, const struct path *path) {
  const size_t features = search->tuner->features;
  for (size_t k = 0; k < features; k++)
    path->use[k] = true;
  search_best(search, path->use, path->next, path->trial);
  fill_path(search, path);
  double best = objective_at(search, path_point(search, path, 0));
  for (size_t size = 1; size <= features; size++) {
    double *point = path_point(search, path, size);
    const double value = objective_at(search, point);
    if (!(value > best)) {
      copy_weights(search, point, path_point(search, path, size - 1));
      continue;
    }
    best = value;
    if (as_simple_as_possible(search))
      make_plainest(search, path, value, point);
  }
  return best;
}

/* ---- scale ---- */

/* Spread within lists, pooled; 0 for what never differs. */
static double spread(const qe_tuner *tuner, size_t number) {
  double squares = 0;
  for (size_t list = 0; list < tuner->lists; list++) {
    const size_t first = tuner->start[list], end = tuner->start[list + 1];
    double mean = 0;
    for (size_t i = first; i < end; i++)
      mean += tuner->values[i * tuner->features + number] / (double)(end - first);
    for (size_t i = first; i < end; i++) {
      const double difference = tuner->values[i * tuner->features + number] - mean;
      squares += difference * difference;
    }
  }
  const double deviation = sqrt(squares / (double)(tuner->start[tuner->lists] + 1));
  return deviation > DBL_MIN && isfinite(deviation) ? deviation : 0;
}

static void scale_values(qe_tuner *tuner, double *spreads) {
  const size_t rows = tuner->start[tuner->lists], features = tuner->features;
  for (size_t k = 0; k < features; k++) {
    spreads[k] = spread(tuner, k);
    for (size_t i = 0; i < rows; i++)
      tuner->scaled[i * features + k] = spreads[k] > 0 ? tuner->values[i * features + k] / spreads[k] : 0;
  }
}

/* Back to the scale of the features, sum of magnitudes 1. */
static void unscale(double *weights, const double *spreads, size_t count) {
  double sum = 0;
  for (size_t k = 0; k < count; k++) {
    weights[k] = spreads[k] > 0 ? weights[k] / spreads[k] : 0;
    sum += fabs(weights[k]);
  }
  for (size_t k = 0; k < count; k++)
    weights[k] = sum > 0 ? weights[k] / sum : 0;
}

/* ---- the whole ---- */

struct tuning {
  struct search search;
  struct path path;
  double *spreads;
  size_t *lists, *fold, *first_pick, *picks; /* picks: of held-out lists by every size of the path */
};

/* One allocation after another; false when one failed. */
static bool take(void *place, size_t count, size_t size) {
  void *memory = memory_new(count + 1, size);
  memcpy(place, &memory, sizeof memory);
  return memory != NULL;
}

static bool tuning_open(struct tuning *tuning, qe_tuner *tuner, const qe_tuning_options *options) {
  const size_t rows = tuner->start[tuner->lists], features = tuner->features, lists = tuner->lists;
  struct search *search = &tuning->search;
  struct path *path = &tuning->path;
  memory_free(tuner->scaled);
  return take(&tuner->scaled, rows * features, sizeof(double)) &&
         take(&search->sums, tuner->size, sizeof(double)) && take(&search->base, rows, sizeof(double)) &&
         take(&search->order, rows, sizeof(size_t)) && take(&search->pick, lists, sizeof(size_t)) &&
         take(&search->breakpoints, rows, sizeof *search->breakpoints) &&
         take(&path->points, (features + 1) * features, sizeof(double)) &&
         take(&path->use, features, sizeof(bool)) && take(&path->trial, features, sizeof(double)) &&
         take(&path->next, features, sizeof(double)) && take(&path->pick, lists, sizeof(size_t)) &&
         take(&search->differences, options->draws, sizeof(double)) &&
         take(&tuning->spreads, features, sizeof(double)) && take(&tuning->lists, lists, sizeof(size_t)) &&
         take(&tuning->fold, lists, sizeof(size_t)) && take(&tuning->first_pick, lists, sizeof(size_t)) &&
         take(&tuning->picks, (features + 1) * lists, sizeof(size_t));
}

static void tuning_close(struct tuning *tuning) {
  struct search *search = &tuning->search;
  struct path *path = &tuning->path;
  void *all[] = { search->sums,        search->base,        search->order, search->pick,
                  search->breakpoints, search->differences, path->points,  path->use,
                  path->trial,         path->next,          path->pick,    tuning->lists,
                  tuning->fold,        tuning->first_pick,  tuning->picks, tuning->spreads };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    memory_free(all[i]);
}

static void choose_all(struct tuning *tuning) {
  tuning->search.chosen = tuning->lists;
  tuning->search.count = tuning->search.tuner->lists;
}

static size_t *held_out_picks(const struct tuning *tuning, size_t size) {
  return tuning->picks + size * tuning->search.tuner->lists;
}

static void validate_fold(struct tuning *tuning, size_t fold, size_t folds) {
  struct search *search = &tuning->search;
  const size_t lists = search->tuner->lists;
  search->count = 0;
  for (size_t list = 0; list < lists; list++)
    if (list % folds != fold)
      tuning->fold[search->count++] = list;
  search->chosen = tuning->fold;
  walk(search, &tuning->path);
  for (size_t size = 0; size <= search->tuner->features; size++)
    for (size_t list = fold; list < lists; list += folds)
      held_out_picks(tuning, size)[list] = best_candidate(search, list, path_point(search, &tuning->path, size));
}

static double objective_of(struct tuning *tuning, const size_t *pick) {
  memcpy(tuning->search.pick, pick, tuning->search.tuner->lists * sizeof *pick);
  return objective_of_picks(&tuning->search);
}

/* The smallest size whose held-out picks are within one standard error of the best size's (Breiman et al. 1984,
** section 3.4.3). */
static size_t one_standard_error(struct tuning *tuning) {
  const size_t features = tuning->search.tuner->features;
  size_t best = 0;
  double most = objective_of(tuning, held_out_picks(tuning, 0));
  for (size_t size = 1; size <= features; size++) {
    const double value = objective_of(tuning, held_out_picks(tuning, size));
    if (value > most) {
      most = value;
      best = size;
    }
  }
  for (size_t size = 0; size < best; size++) {
    const double loss = most - objective_of(tuning, held_out_picks(tuning, size));
    if (within_one_error(&tuning->search, loss, held_out_picks(tuning, best), held_out_picks(tuning, size)))
      return size;
  }
  return best;
}

static qe_interval gain(struct tuning *tuning, const size_t *pick) {
  const qe_tuning_options *options = tuning->search.options;
  resample(&tuning->search, pick, tuning->first_pick);
  return interval_of(tuning->search.differences, options->draws, options->level);
}

/* Every list's pick by weights that were found without it, for every size. Returns the size to use. */
static size_t cross_validate(struct tuning *tuning, qe_tuning *result) {
  const size_t lists = tuning->search.tuner->lists, wanted = tuning->search.options->folds;
  const size_t folds = wanted < lists ? wanted : lists;
  for (size_t fold = 0; fold < folds; fold++)
    validate_fold(tuning, fold, folds);
  choose_all(tuning);
  const size_t size =
      as_simple_as_possible(&tuning->search) ? one_standard_error(tuning) : tuning->search.tuner->features;
  result->validated = objective_of(tuning, held_out_picks(tuning, size));
  result->validated_gain = gain(tuning, held_out_picks(tuning, size));
  return size;
}

static void run(struct tuning *tuning, double *weights, qe_tuning *result) {
  struct search *search = &tuning->search;
  const qe_tuner *tuner = search->tuner;
  size_t size = tuner->features;
  for (size_t i = 0; i < tuner->lists; i++) {
    tuning->lists[i] = i;
    tuning->first_pick[i] = tuner->start[i];
  }
  choose_all(tuning);
  result->first = objective_of(tuning, tuning->first_pick);
  result->validated = NAN;
  result->validated_gain = (qe_interval){ NAN, NAN };
  if (search->options->folds > 1 && tuner->lists > 1)
    size = cross_validate(tuning, result);
  result->best = walk(search, &tuning->path);
  copy_weights(search, weights, path_point(search, &tuning->path, size));
  result->tuned = objective_at(search, weights);
  memcpy(tuning->picks, search->pick, tuner->lists * sizeof *tuning->picks);
  result->gain = gain(tuning, tuning->picks);
  unscale(weights, tuning->spreads, tuner->features);
}

int qe_tuner_run(qe_tuner *tuner, qe_objective *objective, void *context, const qe_tuning_options *options,
                 double *weights, qe_tuning *result) {
  error_clear(&tuner->error);
  if (tuner->lists == 0)
    return error_set(&tuner->error, QE_USE, "tune: no lists");
  if (options->draws < 2 || !(options->level > 0 && options->level < 1))
    return error_set(&tuner->error, QE_USE, "tune: %zu draws at level %g, expected at least 2 and 0..1",
                     options->draws, options->level);
  struct tuning tuning = { .search = {
                               .tuner = tuner, .options = options, .objective = objective, .context = context } };
  if (tuning_open(&tuning, tuner, options)) {
    scale_values(tuner, tuning.spreads);
    run(&tuning, weights, result);
  } else {
    error_memory(&tuner->error);
  }
  tuning_close(&tuning);
  return tuner->error.status;
}
