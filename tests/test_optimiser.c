/*
** test_optimiser.c - optimisers against their textbook formulas, cell by cell in double, with the moments of rows that
** are not touched left alone; refusals; the same bits for every pool; saved and restored state.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>

enum { ROWS = 23, COLS = 6, DENSE = 37, CELLS = DENSE + ROWS * COLS, STEPS = 15 };

/* ---- a training that draws its own gradients ---- */

static qe_params *params_make(void) {
  qe_rng rng;
  qe_params *params = qe_params_new();
  assert_int_equal(qe_params_add(params, "dense", 1, DENSE, 0), 0);
  assert_int_equal(qe_params_add(params, "table", ROWS, COLS, 1), 1);
  qe_rng_seed(&rng, 1, "values");
  qe_params_normal(params, 0, 1, &rng);
  qe_params_normal(params, 1, 1, &rng);
  return params;
}

/* Adds the gradient of step `number`: all of the dense matrix, some rows of the table. */
static void gradient_draw(qe_params *params, uint64_t number, bool touched[ROWS]) {
  qe_rng rng;
  qe_tape *tape = qe_tape_new(NULL, 1);
  struct node *dense = node_of(qe_param(tape, params, 0)), *table = node_of(qe_param(tape, params, 1));
  qe_real *dense_g = node_gradient(dense), *table_g = node_gradient_sparse(table);
  qe_rng_seed(&rng, number, "gradient");
  for (size_t i = 0; i < DENSE; i++)
    dense_g[i] += (qe_real)qe_rng_normal(&rng);
  for (uint32_t row = 0; row < ROWS; row++) {
    touched[row] = qe_rng_below(&rng, 3) == 0;
    if (!touched[row])
      continue;
    params_touch(table, &row, 1);
    for (size_t j = 0; j < COLS; j++)
      table_g[row * COLS + j] += (qe_real)(qe_rng_normal(&rng) * 3);
  }
  qe_tape_free(tape);
}

static double rate_of(uint64_t number) {
  return 0.02 / (double)(number + 1);
}

static void train(qe_optimiser *optimiser, qe_params *params, uint64_t first, uint64_t end) {
  bool touched[ROWS];
  for (uint64_t step = first; step < end; step++) {
    gradient_draw(params, step, touched);
    assert_int_equal(qe_optimiser_step(optimiser, rate_of(step)), QE_OK);
  }
}

/* ---- the twin ---- */

struct twin {
  double x[CELLS], a[CELLS], b[CELLS];
  uint64_t moved[ROWS]; /* the step after which a row has moved last */
};

static double sgd(struct twin *twin, size_t i, double g, const qe_optimiser_options *options) {
  g += options->weight_decay * twin->x[i];
  twin->a[i] = options->momentum * twin->a[i] + g;
  return twin->a[i];
}

static double adagrad(struct twin *twin, size_t i, double g, const qe_optimiser_options *options) {
  g += options->weight_decay * twin->x[i];
  twin->a[i] += g * g;
  return g / (sqrt(twin->a[i]) + options->epsilon);
}

static double adam(struct twin *twin, size_t i, double g, const qe_optimiser_options *options, uint64_t t) {
  twin->a[i] = options->beta1 * twin->a[i] + (1 - options->beta1) * g;
  twin->b[i] = options->beta2 * twin->b[i] + (1 - options->beta2) * g * g;
  const double m = twin->a[i] / (1 - pow(options->beta1, (double)t));
  const double v = twin->b[i] / (1 - pow(options->beta2, (double)t));
  return m / (sqrt(v) + options->epsilon) + options->weight_decay * twin->x[i];
}

/* How many steps a touched row is to make up for. */
static double due(struct twin *twin, size_t row, uint64_t number, double most) {
  const double steps = (double)(number + 1 - twin->moved[row]);
  twin->moved[row] = number + 1;
  return steps < most ? steps : most;
}

static void twin_step(struct twin *twin, qe_params *params, const bool touched[ROWS], uint64_t number,
                      const qe_optimiser_options *options, double most) {
  const qe_real *g = qe_block_values(qe_params_gradient(params));
  double times[ROWS];
  for (size_t row = 0; row < ROWS; row++)
    times[row] = touched[row] ? due(twin, row, number, most) : 1;
  for (size_t i = 0; i < CELLS; i++) {
    if (!options->dense && i >= DENSE && !touched[(i - DENSE) / COLS])
      continue;
    double move;
    if (options->rule == QE_SGD)
      move = sgd(twin, i, (double)g[i], options);
    else if (options->rule == QE_ADAGRAD)
      move = adagrad(twin, i, (double)g[i], options);
    else
      move = adam(twin, i, (double)g[i], options, number + 1);
    twin->x[i] -= rate_of(number) * move * (i >= DENSE ? times[(i - DENSE) / COLS] : 1);
  }
}

static void close_to(const qe_real *found, const double *expected, double allowed) {
  for (size_t i = 0; i < CELLS; i++)
    if (!(fabs((double)found[i] - expected[i]) <= allowed * (1 + fabs(expected[i]))))
      fail_msg("cell %zu is %.9g, expected %.9g", i, (double)found[i], expected[i]);
}

/* Every rule, with and without decay and momentum, lazy and dense; then Adam whose rows catch up. */
enum { PLAIN = 24, VARIANTS = 26, MOST = 3 };

static qe_optimiser_options variant(int number) {
  static const qe_rule rules[] = { QE_SGD, QE_ADAGRAD, QE_ADAM };
  qe_optimiser_options options = qe_optimiser_defaults(rules[number < PLAIN ? number % 3 : 2]);
  options.weight_decay = (number < PLAIN ? number / 3 : number) % 2 ? 0.3 : 0;
  options.momentum = number / 6 % 2 ? 0.8 : 0;
  options.dense = number < PLAIN && number / 12 % 2;
  return options;
}

static qe_optimiser *optimiser_make(qe_params *params, int number, qe_pool *pool) {
  const qe_optimiser_options options = variant(number);
  qe_optimiser *optimiser = qe_optimiser_new(params, &options, pool);
  if (number >= PLAIN)
    assert_int_equal(qe_optimiser_catch_up(optimiser, 1, MOST), QE_OK);
  return optimiser;
}

static void follow(int number) {
  static struct twin twin;
  bool touched[ROWS];
  qe_params *params = params_make();
  const qe_optimiser_options options = variant(number);
  qe_optimiser *optimiser = optimiser_make(params, number, NULL);
  memset(&twin, 0, sizeof twin);
  for (size_t i = 0; i < CELLS; i++)
    twin.x[i] = (double)qe_params_matrix(params, 0)[i];
  for (uint64_t step = 0; step < STEPS; step++) {
    gradient_draw(params, step, touched);
    twin_step(&twin, params, touched, step, &options, number < PLAIN ? 1 : MOST);
    assert_int_equal(qe_optimiser_step(optimiser, rate_of(step)), QE_OK);
    assert_true(qe_block_norm(qe_params_gradient(params)) == 0);
    close_to(qe_params_matrix(params, 0), twin.x, 3e-6);
  }
  if (qe_optimiser_blocks(optimiser) > 0)
    close_to(qe_block_values(qe_optimiser_block(optimiser, 0)), twin.a, 1e-5);
  if (qe_optimiser_blocks(optimiser) > 1)
    close_to(qe_block_values(qe_optimiser_block(optimiser, 1)), twin.b, 1e-5);
  assert_int_equal(qe_optimiser_steps(optimiser), STEPS);
  qe_optimiser_free(optimiser);
  qe_params_free(params);
}

static void textbook(void **state) {
  (void)state;
  for (int i = 0; i < VARIANTS; i++)
    follow(i);
}

static void defaults(void **state) {
  (void)state;
  const qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  assert_true(options.rule == QE_ADAM && options.beta1 == 0.9 && options.beta2 == 0.999);
  assert_true(options.epsilon == 1e-8 && options.weight_decay == 0 && options.momentum == 0 && !options.dense);
  assert_true(qe_optimiser_defaults(QE_ADAGRAD).epsilon == 1e-10);
  assert_true(qe_optimiser_defaults(QE_SGD).rule == QE_SGD);
}

/* Adam's first step is the rate, whatever the size of the gradient. */
static void first_step_of_adam(void **state) {
  (void)state;
  qe_params *params = params_make();
  qe_optimiser *optimiser = qe_optimiser_new(params, NULL, NULL);
  const qe_real before[] = { qe_params_matrix(params, 0)[0], qe_params_matrix(params, 0)[1],
                             qe_params_matrix(params, 0)[2] };
  qe_block_values(qe_params_gradient(params))[0] = 1000;
  qe_block_values(qe_params_gradient(params))[1] = (qe_real)-0.01;
  assert_int_equal(qe_optimiser_step(optimiser, 0.125), QE_OK);
  assert_true(fabs((double)(before[0] - qe_params_matrix(params, 0)[0]) - 0.125) < 1e-6);
  assert_true(fabs((double)(qe_params_matrix(params, 0)[1] - before[1]) - 0.125) < 1e-6);
  assert_true(qe_params_matrix(params, 0)[2] == before[2]);
  qe_optimiser_free(optimiser);
  qe_params_free(params);
}

static void untouched_rows_stay(void **state) {
  (void)state;
  bool touched[ROWS];
  for (int i = 0; i < VARIANTS; i++) {
    const qe_optimiser_options options = variant(i);
    qe_params *params = params_make(), *before = params_make();
    qe_optimiser *optimiser = optimiser_make(params, i, NULL);
    train(optimiser, params, 0, 3);
    qe_block_copy(qe_params_values(before), qe_params_values(params));
    gradient_draw(params, 3, touched);
    assert_int_equal(qe_optimiser_step(optimiser, 0.1), QE_OK);
    const bool moves = options.dense && (options.weight_decay > 0 || options.rule == QE_ADAM ||
                                         (options.rule == QE_SGD && options.momentum > 0));
    size_t moved = 0;
    for (size_t row = 0; row < ROWS; row++) {
      const bool same = memcmp(qe_params_matrix(params, 1) + row * COLS, qe_params_matrix(before, 1) + row * COLS,
                               COLS * sizeof(qe_real)) == 0;
      assert_true(!touched[row] || !same);
      moved += !touched[row] && !same;
    }
    assert_true(moves ? moved > 0 : moved == 0);
    qe_optimiser_free(optimiser);
    qe_params_free(params);
    qe_params_free(before);
  }
}

static void threads_change_nothing(void **state) {
  (void)state;
  for (int i = 0; i < VARIANTS; i++) {
    qe_params *alone = params_make();
    qe_optimiser *optimiser = optimiser_make(alone, i, NULL);
    train(optimiser, alone, 0, 5);
    for (int threads = 1; threads < 5; threads++) {
      qe_params *params = params_make();
      qe_pool *pool = qe_pool_new(threads);
      qe_optimiser *other = optimiser_make(params, i, pool);
      train(other, params, 0, 5);
      assert_memory_equal(qe_params_matrix(params, 0), qe_params_matrix(alone, 0), CELLS * sizeof(qe_real));
      qe_optimiser_free(other);
      qe_pool_free(pool);
      qe_params_free(params);
    }
    qe_optimiser_free(optimiser);
    qe_params_free(alone);
  }
}

static void state_is_all_there_is(void **state) {
  (void)state;
  for (int i = 0; i < VARIANTS; i++) {
    qe_params *whole = params_make(), *resumed = params_make();
    qe_optimiser *first = optimiser_make(whole, i, NULL), *second = optimiser_make(resumed, i, NULL);
    train(first, whole, 0, 4);
    qe_block_copy(qe_params_values(resumed), qe_params_values(whole));
    for (size_t j = 0; j < qe_optimiser_blocks(first); j++)
      assert_int_equal(qe_block_copy(qe_optimiser_block(second, j), qe_optimiser_block(first, j)), QE_OK);
    qe_optimiser_set_steps(second, qe_optimiser_steps(first));
    train(first, whole, 4, 8);
    train(second, resumed, 4, 8);
    assert_memory_equal(qe_params_matrix(whole, 0), qe_params_matrix(resumed, 0), CELLS * sizeof(qe_real));
    assert_int_equal(qe_optimiser_steps(second), 8);
    qe_optimiser_free(first);
    qe_optimiser_free(second);
    qe_params_free(whole);
    qe_params_free(resumed);
  }
}

static void catching_up(void **state) {
  (void)state;
  qe_params *params = params_make();
  const qe_optimiser_options dense = { .rule = QE_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .dense = 1 };
  const qe_optimiser_options adagrad = qe_optimiser_defaults(QE_ADAGRAD);
  const qe_optimiser_options *const wrong[] = { &dense, &adagrad };
  qe_optimiser *optimiser = qe_optimiser_new(params, NULL, NULL);
  assert_int_equal(qe_optimiser_catch_up(optimiser, 0, 5), QE_USE); /* not sparse */
  assert_string_equal(qe_optimiser_error(optimiser), "catch_up: matrix 0, 5 steps at most: there is none, or not "
                                                     "sparse, or no such number");
  assert_int_equal(qe_optimiser_catch_up(optimiser, 2, 5), QE_USE);
  assert_int_equal(qe_optimiser_catch_up(optimiser, 1, 0.5), QE_USE);
  assert_int_equal(qe_optimiser_catch_up(optimiser, 1, NAN), QE_USE);
  assert_int_equal(qe_optimiser_blocks(optimiser), 2);
  assert_int_equal(qe_optimiser_catch_up(optimiser, 1, 5), QE_OK);
  assert_int_equal(qe_optimiser_catch_up(optimiser, 1, 7), QE_OK);
  assert_int_equal(qe_optimiser_blocks(optimiser), 3);
  qe_optimiser_free(optimiser);
  for (size_t i = 0; i < 2; i++) {
    optimiser = qe_optimiser_new(params, wrong[i], NULL);
    assert_int_equal(qe_optimiser_catch_up(optimiser, 1, 5), QE_USE);
    assert_string_equal(qe_optimiser_error(optimiser), "catch_up: only for Adam that moves touched rows alone");
    qe_optimiser_free(optimiser);
  }
  qe_params_free(params);
}

static void number_of_blocks(void **state) {
  (void)state;
  qe_params *params = params_make();
  static const size_t blocks[] = { 0, 1, 2, 0, 1, 2, 1, 1, 2 };
  for (int i = 0; i < 9; i++) {
    const qe_optimiser_options options = variant(i);
    qe_optimiser *optimiser = qe_optimiser_new(params, &options, NULL);
    assert_int_equal(qe_optimiser_blocks(optimiser), blocks[i]);
    assert_null(qe_optimiser_block(optimiser, blocks[i]));
    qe_optimiser_free(optimiser);
  }
  qe_optimiser_free(NULL);
  qe_params_free(params);
}

/* Puts `value` into one cell of a gradient and expects that the step is refused whole. */
static void expect_refusal(size_t at, qe_real value, int dense, const char *text, qe_pool *pool) {
  bool touched[ROWS];
  qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  options.dense = dense;
  qe_params *params = params_make();
  qe_optimiser *optimiser = qe_optimiser_new(params, &options, pool);
  train(optimiser, params, 0, 2);
  gradient_draw(params, 2, touched);
  qe_real *g = qe_block_values(qe_params_gradient(params)), kept = g[at];
  g[at] = value;
  qe_block *values = qe_block_clone(qe_params_values(params)),
           *gradient = qe_block_clone(qe_params_gradient(params));
  qe_block *mean = qe_block_clone(qe_optimiser_block(optimiser, 0));
  assert_int_equal(qe_optimiser_step(optimiser, 0.1), QE_FORMAT);
  assert_string_equal(qe_optimiser_error(optimiser), text);
  assert_memory_equal(qe_block_values(values), qe_params_matrix(params, 0), CELLS * sizeof(qe_real));
  assert_memory_equal(qe_block_values(gradient), g, CELLS * sizeof(qe_real));
  assert_memory_equal(qe_block_values(mean), qe_block_values(qe_optimiser_block(optimiser, 0)),
                      CELLS * sizeof(qe_real));
  assert_int_equal(qe_optimiser_steps(optimiser), 2);
  g[at] = kept;
  assert_int_equal(qe_optimiser_step(optimiser, 0.1), QE_OK);
  assert_string_equal(qe_optimiser_error(optimiser), "");
  qe_block_free(values);
  qe_block_free(gradient);
  qe_block_free(mean);
  qe_optimiser_free(optimiser);
  qe_params_free(params);
}

static void not_finite(void **state) {
  (void)state;
  qe_pool *pool = qe_pool_new(3);
  for (int dense = 0; dense < 2; dense++) {
    expect_refusal(36, NAN, dense,
                   "step 3: the gradient of \"dense\" is not a number at row 0, column 36, expected finite numbers",
                   NULL);
    expect_refusal(0, -INFINITY, dense,
                   "step 3: the gradient of \"dense\" is infinite at row 0, column 0, expected finite numbers",
                   pool);
    for (size_t row = 0; row < ROWS; row += 7) { /* touched or not */
      char text[120];
      snprintf(text, sizeof text,
               "step 3: the gradient of \"table\" is infinite at row %zu, column 5, expected finite numbers", row);
      expect_refusal(DENSE + row * COLS + 5, INFINITY, dense, text, row % 2 ? pool : NULL);
    }
  }
  qe_pool_free(pool);
}

static void expect_use(qe_optimiser_options options, double rate, const char *text) {
  qe_params *params = params_make();
  qe_optimiser *optimiser = qe_optimiser_new(params, &options, NULL);
  assert_non_null(optimiser);
  assert_int_equal(qe_optimiser_step(optimiser, rate), QE_USE);
  assert_string_equal(qe_optimiser_error(optimiser), text);
  assert_int_equal(qe_optimiser_steps(optimiser), 0);
  qe_optimiser_free(optimiser);
  qe_params_free(params);
}

static void wrong_options(void **state) {
  (void)state;
  qe_optimiser_options adam = qe_optimiser_defaults(QE_ADAM), wrong = adam;
  expect_use(adam, NAN, "step: the rate is negative or not finite");
  expect_use(adam, -1, "step: the rate is negative or not finite");
  wrong.beta2 = 1;
  expect_use(wrong, 1, "step: a beta is not in [0, 1)");
  wrong = adam;
  wrong.beta1 = NAN;
  expect_use(wrong, 1, "step: a beta is not in [0, 1)");
  wrong = adam;
  wrong.momentum = 1;
  expect_use(wrong, 1, "step: momentum is not in [0, 1)");
  wrong = adam;
  wrong.epsilon = -1e-8;
  expect_use(wrong, 1, "step: epsilon or weight_decay is negative or not finite");
  wrong = adam;
  wrong.weight_decay = INFINITY;
  expect_use(wrong, 1, "step: epsilon or weight_decay is negative or not finite");
  wrong = adam;
  wrong.rule = (qe_rule)7;
  expect_use(wrong, 1, "step: the rule is none of SGD, Adagrad, Adam");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(textbook),
    cmocka_unit_test(defaults),
    cmocka_unit_test(first_step_of_adam),
    cmocka_unit_test(untouched_rows_stay),
    cmocka_unit_test(threads_change_nothing),
    cmocka_unit_test(state_is_all_there_is),
    cmocka_unit_test(catching_up),
    cmocka_unit_test(number_of_blocks),
    cmocka_unit_test(not_finite),
    cmocka_unit_test(wrong_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
