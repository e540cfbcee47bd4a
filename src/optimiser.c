/*
** optimiser.c - gradient descent with momentum, Adagrad and Adam over parameters. State is blocks of the parameters'
** layout. A step looks at the whole gradient first (touched rows of sparse matrices, all of the others) and refuses
** it whole if a cell is not finite; then it updates the same cells in parts on the pool, cell by cell, so that the
** cutting changes no bits; then it clears the gradient. Rates, schedules and clipping are the caller's business.
*/
#include "block.h"
#include "clones.h"

#include <math.h>

enum { MOVED = 2, MOST_STATES, MOST_PARTS = 64 }; /* states[MOVED]: when rows that catch up moved last */

struct qe_optimiser {
  struct error error;
  qe_params *params;
  qe_optimiser_options options;
  qe_pool *pool;
  uint64_t steps;
  qe_block *states[MOST_STATES];
  size_t state_count;
  double *factor, *most; /* per matrix: of the rate, and of the steps that a row catches up with */
};

/* Cells of one matrix that one part of a step works on: some rows of a sparse one, a run of cells of another. */
struct span {
  const uint32_t *rows; /* NULL: one row, at offset */
  size_t offset, count, width;
};

/* ---- options ---- */

qe_optimiser_options qe_optimiser_defaults(qe_rule rule) {
  return (qe_optimiser_options){
    .rule = rule, .beta1 = 0.9, .beta2 = 0.999, .epsilon = rule == QE_ADAGRAD ? 1e-10 : 1e-8
  };
}

static bool not_negative(double value) {
  return isfinite(value) && value >= 0;
}

static int options_check(qe_optimiser *optimiser, double rate) {
  const qe_optimiser_options *options = &optimiser->options;
  const char *wrong = NULL;
  if (options->rule != QE_SGD && options->rule != QE_ADAGRAD && options->rule != QE_ADAM)
    wrong = "the rule is none of SGD, Adagrad, Adam";
  else if (!not_negative(options->momentum) || options->momentum >= 1)
    wrong = "momentum is not in [0, 1)";
  else if (!not_negative(options->beta1) || options->beta1 >= 1 || !not_negative(options->beta2) ||
           options->beta2 >= 1)
    wrong = "a beta is not in [0, 1)";
  else if (!not_negative(options->epsilon) || !not_negative(options->weight_decay))
    wrong = "epsilon or weight_decay is negative or not finite";
  else if (!not_negative(rate))
    wrong = "the rate is negative or not finite";
  return wrong ? error_set(&optimiser->error, QE_USE, "step: %s", wrong) : QE_OK;
}

static size_t states_needed(const qe_optimiser_options *options) {
  if (options->rule == QE_SGD)
    return options->momentum > 0 ? 1 : 0;
  return options->rule == QE_ADAM ? 2 : 1;
}

/* ---- object ---- */

static bool state_add(qe_optimiser *optimiser) {
  qe_block *state = block_new(qe_params_gradient(optimiser->params)->layout);
  if (!state)
    return false;
  state->owned = true;
  optimiser->states[optimiser->state_count++] = state;
  return true;
}

qe_optimiser *qe_optimiser_new(qe_params *params, const qe_optimiser_options *options, qe_pool *pool) {
  const qe_block *gradient = qe_params_gradient(params);
  qe_optimiser *optimiser = gradient ? memory_new(1, sizeof *optimiser) : NULL;
  if (!optimiser)
    return NULL;
  optimiser->params = params;
  optimiser->options = options ? *options : qe_optimiser_defaults(QE_ADAM);
  optimiser->pool = pool;
  optimiser->factor = memory_new(qe_params_count(params), sizeof *optimiser->factor);
  optimiser->most = memory_new(qe_params_count(params), sizeof *optimiser->most);
  bool made = optimiser->factor && optimiser->most;
  for (size_t i = 0; made && i < qe_params_count(params); i++)
    optimiser->factor[i] = optimiser->most[i] = 1;
  while (made && optimiser->state_count < states_needed(&optimiser->options))
    made = state_add(optimiser);
  if (made)
    return optimiser;
  qe_optimiser_free(optimiser);
  return NULL;
}

void qe_optimiser_free(qe_optimiser *optimiser) {
  if (!optimiser)
    return;
  for (size_t i = 0; i < optimiser->state_count; i++)
    block_drop(optimiser->states[i]);
  memory_free(optimiser->factor);
  memory_free(optimiser->most);
  memory_free(optimiser);
}

int qe_optimiser_scale(qe_optimiser *optimiser, size_t number, double factor) {
  error_clear(&optimiser->error);
  if (number >= qe_params_count(optimiser->params) || !not_negative(factor))
    return error_set(&optimiser->error, QE_USE, "scale: matrix %zu times %g: there is none, or no such factor",
                     number, factor);
  optimiser->factor[number] = factor;
  return QE_OK;
}

int qe_optimiser_catch_up(qe_optimiser *optimiser, size_t number, double most) {
  error_clear(&optimiser->error);
  if (optimiser->options.rule != QE_ADAM || optimiser->options.dense)
    return error_set(&optimiser->error, QE_USE, "catch_up: only for Adam that moves touched rows alone");
  if (number >= qe_params_count(optimiser->params) || !params_entry(optimiser->params, number)->sparse ||
      !isfinite(most) || most < 1)
    return error_set(&optimiser->error, QE_USE,
                     "catch_up: matrix %zu, %g steps at most: there is none, or not sparse, or no such number",
                     number, most);
  if (optimiser->state_count <= MOVED && !state_add(optimiser))
    return error_set(&optimiser->error, QE_MEMORY, "catch_up: no memory");
  optimiser->most[number] = most;
  return QE_OK;
}

const char *qe_optimiser_error(const qe_optimiser *optimiser) {
  return optimiser->error.text;
}

uint64_t qe_optimiser_steps(const qe_optimiser *optimiser) {
  return optimiser->steps;
}

void qe_optimiser_set_steps(qe_optimiser *optimiser, uint64_t steps) {
  optimiser->steps = steps;
}

size_t qe_optimiser_blocks(const qe_optimiser *optimiser) {
  return optimiser->state_count;
}

qe_block *qe_optimiser_block(qe_optimiser *optimiser, size_t number) {
  return number < optimiser->state_count ? optimiser->states[number] : NULL;
}

/* ---- spans ---- */

/* The share of a part in a matrix. */
static struct span span_of(const qe_optimiser *optimiser, size_t number, size_t part, size_t parts) {
  const struct layout_entry *entry = params_entry(optimiser->params, number);
  if (entry->sparse && !optimiser->options.dense) {
    size_t count;
    const uint32_t *rows = params_touched(optimiser->params, number, &count);
    const size_t first = part_begin(count, part, parts), end = part_begin(count, part + 1, parts);
    return (struct span){ rows + first, entry->offset, end - first, entry->cols };
  }
  const size_t cells = entry->rows * entry->cols;
  const size_t first = part_begin(cells, part, parts), end = part_begin(cells, part + 1, parts);
  return (struct span){ NULL, entry->offset + first, 1, end - first };
}

static inline size_t span_row(const struct span *span, size_t i) {
  return span->offset + (span->rows ? span->rows[i] * span->width : 0);
}

/* Asks for the row after next: scattered rows of large matrices come from far, and nothing but this tells so early. */
static inline void span_prefetch(const struct span *span, size_t i, const qe_real *cells) {
  enum { LINE = 64 / sizeof(qe_real), AHEAD = 2 };
  if (!span->rows || i + AHEAD >= span->count)
    return;
  const qe_real *next = cells + span_row(span, i + AHEAD);
  for (size_t j = 0; j < span->width; j += LINE)
    __builtin_prefetch(next + j);
}

/* ---- a gradient that is not finite ---- */

VECTOR_CLONES
static bool span_is_finite(const struct span *span, const qe_real *gradient) {
  int finite = 1;
  for (size_t i = 0; i < span->count; i++) {
    const qe_real *g = gradient + span_row(span, i);
    span_prefetch(span, i, gradient);
    for (size_t j = 0; j < span->width; j++)
      finite &= g[j] - g[j] == 0;
  }
  return finite;
}

struct check {
  const qe_optimiser *optimiser;
  const qe_real *gradient;
  size_t parts;
  bool finite[MOST_PARTS];
};

static void check_part(void *context, int part) {
  struct check *check = context;
  bool finite = true;
  for (size_t i = 0; finite && i < qe_params_count(check->optimiser->params); i++) {
    const struct span span = span_of(check->optimiser, i, (size_t)part, check->parts);
    finite = span_is_finite(&span, check->gradient);
  }
  check->finite[part] = finite;
}

/* Names the first matrix and the first of its cells in row order. */
static int refuse(qe_optimiser *optimiser, const qe_real *gradient) {
  for (size_t i = 0; i < qe_params_count(optimiser->params); i++) {
    const struct layout_entry *entry = params_entry(optimiser->params, i);
    for (size_t j = 0; j < entry->rows * entry->cols; j++) {
      const qe_real g = gradient[entry->offset + j];
      if (!isfinite(g))
        return error_set(&optimiser->error, QE_FORMAT,
                         "step %llu: the gradient of \"%s\" is %s at row %zu, column %zu, expected finite numbers",
                         (unsigned long long)optimiser->steps + 1, entry->name,
                         isnan(g) ? "not a number" : "infinite", j / entry->cols, j % entry->cols);
    }
  }
  return QE_OK;
}

static int gradient_check(qe_optimiser *optimiser, const qe_real *gradient) {
  struct check check = { .optimiser = optimiser, .gradient = gradient, .parts = block_parts(optimiser->pool) };
  bool finite = true;
  pool_run(optimiser->pool, (int)check.parts, check_part, &check);
  for (size_t i = 0; i < check.parts; i++)
    finite = finite && check.finite[i];
  return finite ? QE_OK : refuse(optimiser, gradient);
}

/* ---- rules ---- */

/* A step's constants, computed in double, and the cells that it works on. */
struct step {
  const qe_optimiser *optimiser;
  size_t parts;
  void (*update)(const struct step *step, const struct span *span);
  qe_real *value, *first, *second; /* first, second: states */
  qe_real *moved;                  /* NULL: no row of this matrix catches up */
  const qe_real *gradient;
  qe_real rate, decay, momentum, beta2, rest1, rest2, epsilon, number, most;
};

/* Vector code only under -fno-math-errno, else right but slower. */
static inline qe_real square_root(qe_real x) {
#ifdef QE_DOUBLE
  return sqrt(x);
#else
  return sqrtf(x);
#endif
}

VECTOR_CLONES
static void update_plain(const struct step *step, const struct span *span) {
  const qe_real rate = step->rate, decay = step->decay;
  for (size_t i = 0; i < span->count; i++) {
    const size_t at = span_row(span, i);
    qe_real *restrict value = step->value + at;
    const qe_real *restrict gradient = step->gradient + at;
    for (size_t j = 0; j < span->width; j++)
      value[j] -= rate * (gradient[j] + decay * value[j]);
  }
}

VECTOR_CLONES
static void update_momentum(const struct step *step, const struct span *span) {
  const qe_real rate = step->rate, decay = step->decay, momentum = step->momentum;
  for (size_t i = 0; i < span->count; i++) {
    const size_t at = span_row(span, i);
    qe_real *restrict value = step->value + at, *restrict speed = step->first + at;
    const qe_real *restrict gradient = step->gradient + at;
    for (size_t j = 0; j < span->width; j++) {
      speed[j] = momentum * speed[j] + (gradient[j] + decay * value[j]);
      value[j] -= rate * speed[j];
    }
  }
}

VECTOR_CLONES
static void update_adagrad(const struct step *step, const struct span *span) {
  const qe_real rate = step->rate, decay = step->decay, epsilon = step->epsilon;
  for (size_t i = 0; i < span->count; i++) {
    const size_t at = span_row(span, i);
    qe_real *restrict value = step->value + at, *restrict sum = step->first + at;
    const qe_real *restrict gradient = step->gradient + at;
    for (size_t j = 0; j < span->width; j++) {
      const qe_real g = gradient[j] + decay * value[j];
      sum[j] += g * g;
      value[j] -= rate * g / (square_root(sum[j]) + epsilon);
    }
  }
}

/* How many steps a row moves at once, whose first cell is at `at`; from now on it has moved. */
static inline qe_real steps_due(const struct step *step, size_t at) {
  const qe_real due = step->number - step->moved[at];
  step->moved[at] = step->number;
  return due < 1 ? 1 : due < step->most ? due : step->most;
}

/* Bias correction is in rate and epsilon; decay is what remains of a value. */
VECTOR_CLONES
static void update_adam(const struct step *step, const struct span *span) {
  const qe_real epsilon = step->epsilon;
  const qe_real beta2 = step->beta2, rest1 = step->rest1, rest2 = step->rest2;
  for (size_t i = 0; i < span->count; i++) {
    const size_t at = span_row(span, i);
    qe_real *restrict value = step->value + at;
    qe_real *restrict mean = step->first + at, *restrict square = step->second + at;
    const qe_real *restrict gradient = step->gradient + at;
    span_prefetch(span, i, step->value);
    span_prefetch(span, i, step->first);
    span_prefetch(span, i, step->second);
    span_prefetch(span, i, step->gradient);
    qe_real rate = step->rate, decay = step->decay;
    if (step->moved) {
      const qe_real due = steps_due(step, at);
      rate *= due;
      decay = 1 - due * (1 - decay);
    }
    for (size_t j = 0; j < span->width; j++) {
      const qe_real g = gradient[j];
      mean[j] += rest1 * (g - mean[j]);
      square[j] = beta2 * square[j] + rest2 * g * g;
      value[j] = decay * value[j] - rate * mean[j] / (square_root(square[j]) + epsilon);
    }
  }
}

/* With c1 = 1 - beta1^t and c2 = 1 - beta2^t, Adam's rate / c1 m / (sqrt(v / c2) + epsilon) is
** rate sqrt(c2) / c1 m / (sqrt(v) + epsilon sqrt(c2)), which takes one division. */
static void step_adam(struct step *step, const qe_optimiser_options *options, double rate, uint64_t number) {
  const double c1 = 1 - pow(options->beta1, (double)number);
  const double root = sqrt(1 - pow(options->beta2, (double)number));
  step->update = update_adam;
  step->rate = (qe_real)(rate * root / c1);
  step->epsilon = (qe_real)(options->epsilon * root);
  step->decay = (qe_real)(1 - rate * options->weight_decay);
  step->beta2 = (qe_real)options->beta2;
  step->rest1 = (qe_real)(1 - options->beta1);
  step->rest2 = (qe_real)(1 - options->beta2);
}

static struct step step_make(const qe_optimiser *optimiser, const qe_block *gradient, double rate) {
  const qe_optimiser_options *options = &optimiser->options;
  struct step step = {
    .optimiser = optimiser,
    .parts = block_parts(optimiser->pool),
    .value = qe_params_values(optimiser->params)->values,
    .gradient = gradient->values,
    .first = optimiser->states[0] ? optimiser->states[0]->values : NULL,
    .second = optimiser->states[1] ? optimiser->states[1]->values : NULL,
    .rate = (qe_real)rate,
    .decay = (qe_real)options->weight_decay,
    .momentum = (qe_real)options->momentum,
    .epsilon = (qe_real)options->epsilon,
  };
  if (options->rule == QE_ADAM)
    step_adam(&step, options, rate, optimiser->steps + 1);
  else if (options->rule == QE_ADAGRAD)
    step.update = update_adagrad;
  else
    step.update = step.first ? update_momentum : update_plain;
  return step;
}

/* A step of matrices that have the rate itself, and what others are made from. */
struct steps {
  struct step whole;
  const qe_block *gradient;
  double rate;
};

/* Where rows of matrix `number` tell when they moved, if they catch up. */
static void catch_up(struct step *step, size_t number) {
  if (step->optimiser->most[number] <= 1)
    return;
  step->moved = step->optimiser->states[MOVED]->values;
  step->number = (qe_real)(step->optimiser->steps + 1);
  step->most = (qe_real)step->optimiser->most[number];
}

static void step_part(void *context, int part) {
  const struct steps *steps = context;
  const qe_optimiser *optimiser = steps->whole.optimiser;
  for (size_t i = 0; i < qe_params_count(optimiser->params); i++) {
    const struct span span = span_of(optimiser, i, (size_t)part, steps->whole.parts);
    const double factor = optimiser->factor[i];
    if (factor == 0)
      continue;
    struct step own = factor == 1 ? steps->whole : step_make(optimiser, steps->gradient, steps->rate * factor);
    catch_up(&own, i);
    own.update(&own, &span);
  }
}

int qe_optimiser_step(qe_optimiser *optimiser, double rate) {
  error_clear(&optimiser->error);
  int status = options_check(optimiser, rate);
  if (status != QE_OK)
    return status;
  const qe_block *gradient = qe_params_gradient(optimiser->params);
  params_settle(optimiser->params);
  status = gradient_check(optimiser, gradient->values);
  if (status != QE_OK)
    return status;
  struct steps steps = { step_make(optimiser, gradient, rate), gradient, rate };
  pool_run(optimiser->pool, (int)steps.whole.parts, step_part, &steps);
  optimiser->steps++;
  qe_params_zero_gradient(optimiser->params);
  return QE_OK;
}
