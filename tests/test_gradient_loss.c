/*
** test_gradient_loss.c - gradients of losses by both arguments against central differences, alone and as parts of a
** training loss, and of values far outside of where logarithms of probabilities are numbers.
*/
#include "gradient.h"

typedef qe_tensor binary(qe_tensor a, qe_tensor b);
struct loss_context {
  binary *operation;
};

static qe_tensor run_loss(const qe_tensor *inputs, const void *context) {
  const struct loss_context *loss_context = context;
  return loss_context->operation(inputs[0], inputs[1]);
}

static qe_tensor run_huber(const qe_tensor *inputs, const void *context) {
  return qe_huber(inputs[0], inputs[1], *(const double *)context);
}

static qe_tensor run_kl(const qe_tensor *inputs, const void *context) {
  return qe_kl(inputs[0], inputs[1], *(const double *)context);
}

static void test_losses(void **state) {
  (void)state;
  static const struct {
    const char *name;
    struct loss_context context;
  } losses[] = {
    { "squared_error", { qe_squared_error } },
    { "cross_entropy", { qe_cross_entropy } },
    { "binary_cross_entropy", { qe_binary_cross_entropy } },
  };
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
    gradient_all_shapes(losses[i].name, run_loss, &losses[i].context, NORMAL, 2);
}

/* Differences of APART values are even multiples of 0.1; both kinks are at odd ones. */
static void test_huber(void **state) {
  (void)state;
  static const double wide = 0.7, narrow = 0.1;
  gradient_all_shapes("huber 0.7", run_huber, &wide, APART, 2);
  gradient_all_shapes("huber 0.1", run_huber, &narrow, APART, 2);
}

static void test_kl(void **state) {
  (void)state;
  static const double one = 1, warm = 2, cool = 0.5;
  gradient_all_shapes("kl", run_kl, &one, NORMAL, 2);
  gradient_all_shapes("kl at 2", run_kl, &warm, NORMAL, 2);
  gradient_all_shapes("kl at 0.5", run_kl, &cool, NORMAL, 2);
}

/* One tensor in both places. */
static qe_tensor run_with_itself(const qe_tensor *inputs, const void *context) {
  (void)context;
  qe_tensor all[] = { qe_squared_error(inputs[0], inputs[0]), qe_cross_entropy(inputs[0], inputs[0]),
                      qe_binary_cross_entropy(inputs[0], inputs[0]), qe_kl(inputs[0], inputs[0], 1),
                      qe_huber(inputs[0], inputs[0], 1) };
  return qe_beside(all, 5);
}

static void test_with_itself(void **state) {
  (void)state;
  gradient_all_shapes("losses of x and x", run_with_itself, NULL, NORMAL, 1);
}

/* A distillation loss as a recipe would write it. */
static qe_tensor run_distillation(const qe_tensor *inputs, const void *context) {
  (void)context;
  qe_tensor soft = qe_affine(qe_kl(inputs[1], inputs[0], 2), 4, 0);
  qe_tensor hard = qe_cross_entropy(inputs[0], qe_softmax(inputs[2], 1));
  qe_tensor near = qe_huber(qe_tanh(inputs[0]), inputs[2], 10);
  return qe_mean(qe_add(qe_add(soft, hard), near), QE_ALL);
}

static void test_distillation(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("distillation");
  struct gradient_case c = { run_distillation, NULL, NORMAL, 3, { { 4, 5 }, { 4, 5 }, { 4, 5 } } };
  gradient_check(&report, &c);
  gradient_end(&report);
}

static void test_detached_target(void **state) {
  (void)state;
  const qe_real values[] = { 1, 2, 3 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 1, 3, values), b = qe_variable(tape, 1, 3, NULL);
  assert_int_equal(qe_backward(qe_squared_error(a, qe_detach(b))), QE_OK);
  assert_non_null(qe_gradient(a));
  assert_null(qe_gradient(b));
  qe_tape_free(tape);
}

static void check_cells(const qe_real *found, const qe_real *expected, size_t count) {
  for (size_t i = 0; i < count; i++)
    assert_true(fabs(found[i] - expected[i]) <= 1e-12 * fmax(1, fabs(expected[i])));
}

static void test_far_logits(void **state) {
  (void)state;
  const qe_real far[] = { 2000, -2000, 0 }, near[] = { 0, 0, 0 }, target[] = { 0, 1, 0 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 1, 3, far), b = qe_variable(tape, 1, 3, far);
  qe_tensor p = qe_variable(tape, 1, 3, near), q = qe_variable(tape, 1, 3, far),
            t = qe_constant(tape, 1, 3, target);
  qe_tensor losses[] = { qe_cross_entropy(a, t), qe_binary_cross_entropy(b, t), qe_kl(p, q, 1) };
  qe_tensor all = qe_beside(losses, 3);
  assert_int_equal(qe_backward(all), QE_OK);
  check_cells(qe_values(all), (const qe_real[]){ 4000, (4000 + log(2)) / 3, 2000 - log(3) }, 3);
  check_cells(qe_gradient(a), (const qe_real[]){ 1, -1, 0 }, 3);
  check_cells(qe_gradient(b), (const qe_real[]){ 1.0 / 3, -1.0 / 3, 0.5 / 3 }, 3);
  check_cells(qe_gradient(p), (const qe_real[]){ -2000.0 / 3, 2000.0 / 3, 0 }, 3);
  check_cells(qe_gradient(q), (const qe_real[]){ 2.0 / 3, -1.0 / 3, -1.0 / 3 }, 3);
  qe_tape_free(tape);
}

/* Where the probability is exactly 0, its infinite logarithm stays out of the gradient. */
static void test_impossible_classes(void **state) {
  (void)state;
  const qe_real first[] = { 1, 2, -INFINITY }, second[] = { 2, 1, -INFINITY };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor p = qe_variable(tape, 1, 3, first), q = qe_variable(tape, 1, 3, second);
  qe_tensor short_p = qe_variable(tape, 1, 2, first), short_q = qe_variable(tape, 1, 2, second);
  assert_int_equal(qe_inject(qe_kl(short_p, short_q, 2), NULL), QE_OK);
  assert_int_equal(qe_backward(qe_kl(p, q, 2)), QE_OK);
  check_cells(qe_gradient(p), qe_gradient(short_p), 2);
  check_cells(qe_gradient(q), qe_gradient(short_q), 2);
  assert_true(qe_gradient(p)[2] == 0 && qe_gradient(q)[2] == 0);
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_losses),       cmocka_unit_test(test_huber),
    cmocka_unit_test(test_kl),           cmocka_unit_test(test_with_itself),
    cmocka_unit_test(test_distillation), cmocka_unit_test(test_detached_target),
    cmocka_unit_test(test_far_logits),   cmocka_unit_test(test_impossible_classes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
