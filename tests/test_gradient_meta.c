/*
** test_gradient_meta.c - the gradient of a quiz by the teacher's scores through a pilot step (Zhou et al. 2021), in
** double: central differences along a direction with replayed dropout, as lua/qestrel/meta.lua has them, against brute
** force, which takes the whole inner step anew for every score that is moved.
*/
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROWS = 6 };
static const double pilot_rate = 0.3;

struct meta {
  qe_dataset *data;
  qe_model *model;
  qe_tape *tape;
  qe_batch *batch, *quiz;
  qe_rng dropout; /* as it is before every pass over the batch */
  qe_block *theta;
  qe_real told[ROWS];
};

static void meta_open(struct meta *m) {
  uint32_t rows[2][ROWS];
  qe_rng rng;
  m->data = fixture_data(2 * ROWS, 3, 6);
  m->model = qe_model_new();
  m->tape = qe_tape_new(NULL, 2);
  qe_rng_seed(&rng, 4, "model");
  if (qe_model_create(
          m->model,
          "{\"embedding\":4,\"hidden\":3,\"attention\":5,\"dropout\":0.5,"
          "\"source\":{\"kind\":\"ngrams\",\"buckets\":31},\"target\":{\"kind\":\"ngrams\",\"buckets\":31}}",
          m->data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(m->model));
  for (uint32_t i = 0; i < ROWS; i++) {
    rows[0][i] = i;
    rows[1][i] = ROWS + i;
    m->told[i] = qe_rng_uniform(&rng);
  }
  m->batch = qe_batch_new(m->data, rows[0], ROWS);
  m->quiz = qe_batch_new(m->data, rows[1], ROWS);
  qe_rng_seed(&m->dropout, 5, "dropout");
  m->theta = qe_block_clone(qe_params_values(qe_model_params(m->model)));
}

static void meta_close(struct meta *m) {
  qe_block_free(m->theta);
  qe_batch_free(m->batch);
  qe_batch_free(m->quiz);
  qe_tape_free(m->tape);
  qe_model_free(m->model);
  qe_dataset_free(m->data);
}

static qe_params *params_of(const struct meta *m) {
  return qe_model_params(m->model);
}

/* Scores of the batch at the parameters as they are, always with the same dropout. */
static qe_tensor batch_scores(struct meta *m) {
  qe_rng again = m->dropout;
  const qe_pass_options options = { .dropout = &again };
  qe_tape_reset(m->tape);
  return qe_pass_tap(qe_model_forward(m->tape, m->model, m->batch, &options), "score");
}

static qe_tensor quiz_loss(struct meta *m) {
  qe_tape_reset(m->tape);
  qe_tensor score = qe_pass_tap(qe_model_forward(m->tape, m->model, m->quiz, NULL), "score");
  return qe_mean(qe_squared_error(score, qe_batch_column(m->tape, m->quiz, "gold")), QE_ALL);
}

/* One step of gradient descent on the distance to what is told, from theta. */
static void pilot(struct meta *m) {
  assert_int_equal(qe_block_copy(qe_params_values(params_of(m)), m->theta), QE_OK);
  qe_tensor score = batch_scores(m);
  qe_tensor told = qe_constant(m->tape, ROWS, 1, m->told);
  assert_int_equal(qe_backward(qe_mean(qe_squared_error(score, told), QE_ALL)), QE_OK);
  assert_int_equal(qe_block_axpy(qe_params_values(params_of(m)), -pilot_rate, qe_params_gradient(params_of(m))),
                   QE_OK);
  qe_params_zero_gradient(params_of(m));
}

static double quiz_after_pilot(struct meta *m) {
  pilot(m);
  return (double)qe_values(quiz_loss(m))[0];
}

static void brute_force(struct meta *m, double gradient[ROWS]) {
  const double step = 1e-5;
  for (size_t i = 0; i < ROWS; i++) {
    const qe_real kept = m->told[i];
    m->told[i] = kept + step;
    const double above = quiz_after_pilot(m);
    m->told[i] = kept - step;
    const double below = quiz_after_pilot(m);
    m->told[i] = kept;
    gradient[i] = (above - below) / (2 * step);
  }
}

static void along_direction(struct meta *m, double gradient[ROWS]) {
  qe_block *values = qe_params_values(params_of(m));
  pilot(m);
  assert_int_equal(qe_backward(quiz_loss(m)), QE_OK);
  qe_block *direction = qe_block_clone(qe_params_gradient(params_of(m)));
  qe_params_zero_gradient(params_of(m));
  const double step = 1e-3 * qe_block_norm(m->theta) / qe_block_norm(direction);
  for (size_t i = 0; i < ROWS; i++)
    gradient[i] = 0;
  for (int sign = 1; sign >= -1; sign -= 2) {
    assert_int_equal(qe_block_copy(values, m->theta), QE_OK);
    assert_int_equal(qe_block_axpy(values, sign * step, direction), QE_OK);
    const qe_real *scores = qe_values(batch_scores(m));
    for (size_t i = 0; i < ROWS; i++)
      gradient[i] += sign * 2 * pilot_rate / ROWS * (double)scores[i] / (2 * step);
  }
  qe_block_free(direction);
}

static void test_meta_gradient(void **state) {
  struct meta m;
  double expected[ROWS], found[ROWS], size = 0, worst = 0;
  (void)state;
  meta_open(&m);
  brute_force(&m, expected);
  along_direction(&m, found);
  for (size_t i = 0; i < ROWS; i++) {
    size = fmax(size, fabs(expected[i]));
    worst = fmax(worst, fabs(expected[i] - found[i]));
  }
  print_message("meta-gradient: largest %.3g, off by %.1e of it\n", size, worst / size);
  assert_true(size > 1e-6);
  assert_true(worst < 1e-3 * size);
  meta_close(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_meta_gradient) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
