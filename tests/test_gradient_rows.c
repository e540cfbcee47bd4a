/*
** test_gradient_rows.c - gradients of reductions and of operations on rows against central differences, and of ties,
** zero rows and far-away values against what they must be.
*/
#include "gradient.h"

typedef qe_tensor reduction(qe_tensor a, qe_axis axis);
struct reduction_context {
  reduction *operation;
  qe_axis axis;
};

static qe_tensor run_reduction(const qe_tensor *inputs, const void *context) {
  const struct reduction_context *reduction_context = context;
  return reduction_context->operation(inputs[0], reduction_context->axis);
}

static void test_sum_and_mean(void **state) {
  (void)state;
  static const struct {
    const char *name;
    struct reduction_context context;
  } rounds[] = {
    { "sum", { qe_sum, QE_ALL } },
    { "sum over rows", { qe_sum, QE_OVER_ROWS } },
    { "sum over columns", { qe_sum, QE_OVER_COLUMNS } },
    { "mean", { qe_mean, QE_ALL } },
    { "mean over rows", { qe_mean, QE_OVER_ROWS } },
    { "mean over columns", { qe_mean, QE_OVER_COLUMNS } },
  };
  for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++)
    gradient_all_shapes(rounds[i].name, run_reduction, &rounds[i].context, NORMAL, 1);
}

static void check_max(const char *name, qe_axis axis) {
  static const size_t shapes[][2] = { { 1, 1 }, { 1, 7 }, { 5, 1 }, { 4, 3 }, { 3, 19 } };
  const struct reduction_context context = { qe_max, axis };
  struct gradient_report report = gradient_begin(name);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    struct gradient_case c = { run_reduction, &context, APART, 1, { { shapes[i][0], shapes[i][1] } } };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

static void test_max(void **state) {
  (void)state;
  check_max("max", QE_ALL);
  check_max("max over rows", QE_OVER_ROWS);
  check_max("max over columns", QE_OVER_COLUMNS);
}

static void check_ties(qe_axis axis, const qe_real *expected) {
  const qe_real values[] = { 1, 3, 3, 3, 3, 1 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 3, values);
  assert_int_equal(qe_backward(qe_max(a, axis)), QE_OK);
  for (int i = 0; i < 6; i++)
    assert_true(qe_gradient(a)[i] == expected[i]);
  qe_tape_free(tape);
}

static void test_first_of_equals(void **state) {
  (void)state;
  check_ties(QE_ALL, (const qe_real[]){ 0, 1, 0, 0, 0, 0 });
  check_ties(QE_OVER_COLUMNS, (const qe_real[]){ 0, 1, 0, 1, 0, 0 });
  check_ties(QE_OVER_ROWS, (const qe_real[]){ 0, 1, 1, 1, 0, 0 });
}

/* ---- rows ---- */

static qe_tensor run_softmax(const qe_tensor *inputs, const void *context) {
  return qe_softmax(inputs[0], *(const double *)context);
}

static qe_tensor run_log_softmax(const qe_tensor *inputs, const void *context) {
  return qe_log_softmax(inputs[0], *(const double *)context);
}

static qe_tensor run_unit(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_unit(inputs[0]);
}

static void test_rows(void **state) {
  (void)state;
  static const double one = 1, warm = 2.5, cool = 0.4;
  gradient_all_shapes("softmax", run_softmax, &one, NORMAL, 1);
  gradient_all_shapes("softmax at 2.5", run_softmax, &warm, NORMAL, 1);
  gradient_all_shapes("softmax at 0.4", run_softmax, &cool, NORMAL, 1);
  gradient_all_shapes("log_softmax", run_log_softmax, &one, NORMAL, 1);
  gradient_all_shapes("log_softmax at 2.5", run_log_softmax, &warm, NORMAL, 1);
  gradient_all_shapes("log_softmax at 0.4", run_log_softmax, &cool, NORMAL, 1);
  gradient_all_shapes("unit", run_unit, NULL, NORMAL, 1);
}

static qe_tensor run_layer_norm(const qe_tensor *inputs, const void *context) {
  return qe_layer_norm(inputs[0], inputs[1], inputs[2], *(const double *)context);
}

static void test_layer_norm(void **state) {
  (void)state;
  static const double epsilon = 1e-2;
  struct gradient_report report = gradient_begin("layer_norm");
  for (int i = 0; i < GRADIENT_SHAPES; i++) {
    const size_t *s = gradient_shapes[i];
    struct gradient_case c = { run_layer_norm, &epsilon, NORMAL, 3, { { s[0], s[1] }, { 1, s[1] }, { 1, s[1] } } };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

static void test_zero_rows_of_unit(void **state) {
  (void)state;
  const qe_real values[] = { 0, 0, 3, 4 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 2, values), u = qe_unit(a);
  assert_int_equal(qe_backward(u), QE_OK);
  assert_true(qe_values(u)[0] == 0 && qe_values(u)[1] == 0);
  assert_true(qe_gradient(a)[0] == 0 && qe_gradient(a)[1] == 0);
  assert_true(fabs(qe_gradient(a)[2] - (1 - 0.6 * 1.4) / 5) < 1e-15);
  qe_tape_free(tape);
}

/* Logits so far apart that a naive softmax overflows. */
static void test_far_logits(void **state) {
  (void)state;
  const qe_real values[] = { 1e5, -1e5, 1e5 }, weights[] = { 1, 2, 4 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 1, 3, values), b = qe_variable(tape, 1, 3, values);
  assert_int_equal(qe_inject(qe_softmax(a, 1), weights), QE_OK);
  assert_int_equal(qe_inject(qe_log_softmax(b, 1), weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  const qe_real in_softmax[] = { -0.75, 0, 0.75 }, in_log_softmax[] = { -2.5, 2, 0.5 };
  for (int i = 0; i < 3; i++) {
    assert_true(fabs(qe_gradient(a)[i] - in_softmax[i]) < 1e-12);
    assert_true(fabs(qe_gradient(b)[i] - in_log_softmax[i]) < 1e-12);
  }
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_sum_and_mean),    cmocka_unit_test(test_max),
    cmocka_unit_test(test_first_of_equals), cmocka_unit_test(test_rows),
    cmocka_unit_test(test_layer_norm),      cmocka_unit_test(test_zero_rows_of_unit),
    cmocka_unit_test(test_far_logits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
