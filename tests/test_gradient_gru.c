/*
** test_gradient_gru.c - qe_gru in double: its values against one sentence at a time, one cell at a time; its
** gradients against central differences for each of the five inputs, alone and together, both directions.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { X, INPUT_WEIGHT, HIDDEN_WEIGHT, INPUT_BIAS, HIDDEN_BIAS, INPUTS };

struct problem {
  size_t inputs, hidden;
  qe_segments segments;
  int reversed;
  size_t rows[INPUTS], cols[INPUTS];
  qe_real *values[INPUTS];
  qe_real *weights; /* of the loss: sum of weights times outputs */
};

static size_t cells(const struct problem *problem, int input) {
  return problem->rows[input] * problem->cols[input];
}

static qe_real *numbers(qe_rng *rng, size_t count) {
  qe_real *values = malloc((count + 1) * sizeof *values);
  for (size_t i = 0; i < count; i++)
    values[i] = qe_rng_normal(rng) * 0.7;
  return values;
}

static struct problem problem_make(size_t inputs, size_t hidden, const uint32_t *offset, uint32_t count,
                                   int reversed, uint64_t seed) {
  size_t tokens = offset[count], wide = 3 * hidden;
  struct problem problem = { .inputs = inputs,
                             .hidden = hidden,
                             .segments = { offset, count },
                             .reversed = reversed,
                             .rows = { tokens, inputs, hidden, 1, 1 },
                             .cols = { inputs, wide, wide, wide, wide } };
  qe_rng rng;
  qe_rng_seed(&rng, seed, "gru");
  for (int i = 0; i < INPUTS; i++)
    problem.values[i] = numbers(&rng, cells(&problem, i));
  problem.weights = numbers(&rng, tokens * hidden);
  return problem;
}

static void problem_free(struct problem *problem) {
  for (int i = 0; i < INPUTS; i++)
    free(problem->values[i]);
  free(problem->weights);
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* Gate `gate` of unit j, split in the part from x and the part from h, biases included. */
static void preactivation(const struct problem *p, int gate, size_t j, const qe_real *x, const qe_real *h,
                          double parts[2]) {
  size_t column = (size_t)gate * p->hidden + j, wide = 3 * p->hidden;
  parts[0] = p->values[INPUT_BIAS][column];
  parts[1] = p->values[HIDDEN_BIAS][column];
  for (size_t k = 0; k < p->inputs; k++)
    parts[0] += x[k] * p->values[INPUT_WEIGHT][k * wide + column];
  for (size_t k = 0; k < p->hidden; k++)
    parts[1] += h[k] * p->values[HIDDEN_WEIGHT][k * wide + column];
}

static void naive_gru(const struct problem *p, qe_real *out) {
  qe_real *zeros = calloc(p->hidden + 1, sizeof *zeros);
  for (uint32_t s = 0; s < p->segments.count; s++) {
    long first = (long)p->segments.offset[s], end = (long)p->segments.offset[s + 1];
    const qe_real *h = zeros;
    for (long t = p->reversed ? end - 1 : first; t >= first && t < end; t += p->reversed ? -1 : 1) {
      const qe_real *x = p->values[X] + (size_t)t * p->inputs;
      qe_real *next = out + (size_t)t * p->hidden;
      for (size_t j = 0; j < p->hidden; j++) {
        double r[2], z[2], n[2];
        preactivation(p, 0, j, x, h, r);
        preactivation(p, 1, j, x, h, z);
        preactivation(p, 2, j, x, h, n);
        double update = sigmoid(z[0] + z[1]);
        next[j] = (1 - update) * tanh(n[0] + sigmoid(r[0] + r[1]) * n[1]) + update * h[j];
      }
      h = next;
    }
  }
  free(zeros);
}

static double loss(const struct problem *p, qe_real *work) {
  double sum = 0;
  naive_gru(p, work);
  for (size_t i = 0; i < p->rows[X] * p->hidden; i++)
    sum += p->weights[i] * work[i];
  return sum;
}

/* `wanted` has a bit per input that is a variable. */
static qe_tensor run(qe_tape *tape, const struct problem *p, unsigned wanted, qe_tensor inputs[INPUTS]) {
  for (int i = 0; i < INPUTS; i++)
    inputs[i] = wanted >> i & 1 ? qe_variable(tape, p->rows[i], p->cols[i], p->values[i])
                                : qe_constant(tape, p->rows[i], p->cols[i], p->values[i]);
  return qe_gru(inputs[X], inputs[INPUT_WEIGHT], inputs[HIDDEN_WEIGHT], inputs[INPUT_BIAS], inputs[HIDDEN_BIAS],
                p->segments, p->reversed);
}

static void check_values(const struct problem *p) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[INPUTS], out = run(tape, p, 0, inputs);
  assert_int_equal(qe_tape_status(tape), QE_OK);
  assert_int_equal(qe_rows(out), p->rows[X]);
  assert_int_equal(qe_cols(out), p->hidden);
  qe_real *expected = malloc((p->rows[X] * p->hidden + 1) * sizeof *expected);
  naive_gru(p, expected);
  for (size_t i = 0; i < p->rows[X] * p->hidden; i++)
    assert_true(fabs(qe_values(out)[i] - expected[i]) < 1e-12);
  free(expected);
  qe_tape_free(tape);
}

static void check_gradient(struct problem *p, unsigned wanted) {
  const double step = 1e-5;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[INPUTS], out = run(tape, p, wanted, inputs);
  assert_int_equal(qe_inject(out, p->weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  qe_real *work = malloc((p->rows[X] * p->hidden + 1) * sizeof *work);
  for (int i = 0; i < INPUTS; i++) {
    const qe_real *g = qe_gradient(inputs[i]);
    assert_true((g != NULL) == (wanted >> i & 1));
    for (size_t j = 0; g && j < cells(p, i); j++) {
      qe_real kept = p->values[i][j];
      p->values[i][j] = kept + step;
      double above = loss(p, work);
      p->values[i][j] = kept - step;
      double below = loss(p, work);
      p->values[i][j] = kept;
      assert_true(fabs(g[j] - (above - below) / (2 * step)) < 1e-7);
    }
  }
  free(work);
  qe_tape_free(tape);
}

static const uint32_t offsets[] = { 0, 3, 3, 4, 9, 11, 16, 16 }; /* lengths 3 0 1 5 2 5 0 */
enum { SENTENCES = 7 };

static void test_values(void **state) {
  (void)state;
  const size_t widths[][2] = { { 3, 4 }, { 1, 1 }, { 5, 17 }, { 7, 2 }, { 50, 50 } };
  for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
    for (int reversed = 0; reversed < 2; reversed++) {
      struct problem problem = problem_make(widths[i][0], widths[i][1], offsets, SENTENCES, reversed, i);
      check_values(&problem);
      problem_free(&problem);
    }
}

static void test_random_lengths(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 11, "lengths");
  for (int round = 0; round < 40; round++) {
    uint32_t offset[41] = { 0 }, count = (uint32_t)qe_rng_below(&rng, 41);
    for (uint32_t i = 0; i < count; i++)
      offset[i + 1] = offset[i] + (uint32_t)qe_rng_below(&rng, 12);
    struct problem problem = problem_make(3, 5, offset, count, round % 2, (uint64_t)round);
    check_values(&problem);
    problem_free(&problem);
  }
}

static void test_gradients(void **state) {
  (void)state;
  for (int reversed = 0; reversed < 2; reversed++) {
    struct problem problem = problem_make(3, 4, offsets, SENTENCES, reversed, 21);
    check_gradient(&problem, 31);
    for (unsigned input = 0; input < INPUTS; input++) {
      check_gradient(&problem, 1u << input);
      check_gradient(&problem, 31u & ~(1u << input));
    }
    problem_free(&problem);
  }
}

static void test_gradients_of_one_step(void **state) {
  (void)state;
  static const uint32_t ones[] = { 0, 1, 2, 2, 3 };
  struct problem problem = problem_make(2, 3, ones, 4, 0, 5);
  check_gradient(&problem, 31);
  problem_free(&problem);
}

/* Gradients add to what is there: twice the same tensor, and weights used by both directions. */
static void test_shared_inputs(void **state) {
  (void)state;
  struct problem p = problem_make(3, 4, offsets, SENTENCES, 0, 8);
  qe_real *single[2];
  size_t count = cells(&p, HIDDEN_WEIGHT);
  for (int reversed = 0; reversed < 2; reversed++) {
    qe_tape *tape = qe_tape_new(NULL, 1);
    qe_tensor inputs[INPUTS];
    p.reversed = reversed;
    assert_int_equal(qe_backward(run(tape, &p, 31, inputs)), QE_OK);
    single[reversed] = malloc(count * sizeof **single);
    memcpy(single[reversed], qe_gradient(inputs[HIDDEN_WEIGHT]), count * sizeof **single);
    qe_tape_free(tape);
  }
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[INPUTS], out[2];
  out[0] = run(tape, &p, 31, inputs);
  out[1] = qe_gru(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], p.segments, 0);
  assert_int_equal(qe_inject(out[0], NULL), QE_OK);
  assert_int_equal(qe_inject(out[1], NULL), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  for (size_t i = 0; i < count; i++)
    assert_true(fabs(qe_gradient(inputs[HIDDEN_WEIGHT])[i] - single[0][i] - single[1][i]) < 1e-12);
  qe_tape_free(tape);
  free(single[0]);
  free(single[1]);
  problem_free(&p);
}

static void test_nothing_to_do(void **state) {
  (void)state;
  static const uint32_t none[] = { 0, 0, 0 };
  for (uint32_t count = 0; count <= 2; count++) {
    struct problem problem = problem_make(3, 4, none, count, 1, 1);
    check_values(&problem);
    check_gradient(&problem, 31);
    problem_free(&problem);
  }
}

static void expect_refusal(const struct problem *problem, const char *message) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor inputs[INPUTS], out = run(tape, problem, 31, inputs);
  assert_null(out.tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), message);
  qe_tape_free(tape);
}

static void test_refusals(void **state) {
  (void)state;
  static const uint32_t falling[] = { 0, 5, 3, 4, 9, 11, 16, 16 }, late[] = { 1, 3, 3, 4, 9, 11, 16, 16 };
  struct problem p = problem_make(3, 4, offsets, SENTENCES, 0, 2), q = p;
  q.segments.offset = NULL;
  expect_refusal(&q, "gru: segment offsets are missing (NULL)");
  q.segments.offset = falling;
  expect_refusal(&q, "gru: segment offsets are not rising from 0");
  q.segments.offset = late;
  expect_refusal(&q, "gru: segment offsets are not rising from 0");
  q = p;
  q.rows[X] = 15;
  expect_refusal(&q, "gru: segments end at row 16 of a matrix with 15 rows");
  static const char *const messages[] = { NULL, "gru: input weight is 3 x 11, expected 3 x 12",
                                          "gru: hidden weight is 4 x 11, expected 4 x 12",
                                          "gru: input bias is 1 x 11, expected 1 x 12",
                                          "gru: hidden bias is 1 x 11, expected 1 x 12" };
  for (int i = 1; i < INPUTS; i++) {
    q = p;
    q.cols[i]--;
    expect_refusal(&q, messages[i]);
  }
  problem_free(&p);
}

static void test_none_in_none_out(void **state) {
  (void)state;
  struct problem p = problem_make(3, 4, offsets, SENTENCES, 0, 2);
  qe_tape *tape = qe_tape_new(NULL, 1), *other = qe_tape_new(NULL, 1);
  qe_tensor in[INPUTS], out = run(tape, &p, 31, in);
  assert_non_null(out.tape);
  assert_null(qe_gru(QE_NONE, in[1], in[2], in[3], in[4], p.segments, 0).tape);
  assert_null(qe_gru(in[0], in[1], in[2], in[3], QE_NONE, p.segments, 0).tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), "an operand is none");
  qe_tape_reset(tape);
  assert_non_null(run(tape, &p, 31, in).tape);
  qe_tensor foreign = qe_constant(other, 1, 12, NULL);
  assert_null(qe_gru(in[0], in[1], in[2], in[3], foreign, p.segments, 0).tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), "tensors of two tapes meet in one operation");
  qe_tape_free(other);
  qe_tape_free(tape);
  problem_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_values),        cmocka_unit_test(test_random_lengths),
    cmocka_unit_test(test_gradients),     cmocka_unit_test(test_gradients_of_one_step),
    cmocka_unit_test(test_shared_inputs), cmocka_unit_test(test_nothing_to_do),
    cmocka_unit_test(test_refusals),      cmocka_unit_test(test_none_in_none_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
