/*
** test_gradient_sampled.c - logits of a few classes of many: values against a loop, gradients against central
** differences, and of a sparse table the touched rows alone.
*/
#include "gradient.h"

enum { CLASSES = 9, ROWS = 3, K = 4 };

static const uint32_t ids[ROWS * K] = { 0, 8, 3, 3, 5, 0, 1, 8, 8, 8, 8, 8 };

static qe_tensor apply(const qe_tensor *in, const void *context) {
  (void)context;
  return qe_sampled_logits(in[0], in[1], in[2], ids, K);
}

static void gradients(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("sampled_logits");
  for (size_t width = 1; width < 40; width += 6)
    gradient_check(&report, &(struct gradient_case){
                                apply, NULL, NORMAL, 3, { { ROWS, width }, { CLASSES, width }, { CLASSES, 1 } } });
  gradient_end(&report);
}

static void rows_alone(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 6, "sampled");
  qe_params *params = qe_params_new();
  qe_params_add(params, "table", CLASSES, 20, 1);
  qe_params_add(params, "bias", CLASSES, 1, 1);
  qe_params_normal(params, 0, 1, &rng);
  qe_params_normal(params, 1, 1, &rng);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_real *hidden = gradient_numbers(&rng, NORMAL, ROWS * 20);
  qe_tensor out = qe_sampled_logits(qe_constant(tape, ROWS, 20, hidden), qe_param(tape, params, 0),
                                    qe_param(tape, params, 1), ids, K);
  for (size_t i = 0; i < ROWS * K; i++) {
    double sum = qe_params_matrix(params, 1)[ids[i]];
    for (size_t j = 0; j < 20; j++)
      sum += hidden[i / K * 20 + j] * qe_params_matrix(params, 0)[ids[i] * 20 + j];
    assert_true(fabs(qe_values(out)[i] - sum) < 1e-12);
  }
  assert_int_equal(qe_backward(out), QE_OK);
  size_t count;
  const uint32_t *touched = params_touched(params, 0, &count);
  assert_int_equal(count, 5);
  for (size_t i = 0; i < count; i++)
    assert_true(touched[i] != 2 && touched[i] != 4 && touched[i] != 6 && touched[i] != 7);
  free(hidden);
  qe_tape_free(tape);
  qe_params_free(params);
}

static void refusals(void **state) {
  (void)state;
  const uint32_t far[] = { 0, 9 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor hidden = qe_constant(tape, 1, 2, NULL), table = qe_constant(tape, 9, 2, NULL);
  assert_null(qe_sampled_logits(hidden, table, qe_constant(tape, 9, 1, NULL), far, 2).tape);
  assert_string_equal(qe_tape_error(tape), "sampled_logits: class 9 at place 1 is not below 9");
  qe_tape_reset(tape);
  hidden = qe_constant(tape, 1, 3, NULL);
  table = qe_constant(tape, 9, 2, NULL);
  assert_null(qe_sampled_logits(hidden, table, qe_constant(tape, 9, 1, NULL), ids, 2).tape);
  assert_string_equal(qe_tape_error(tape), "sampled_logits: hidden 1 x 3, table 9 x 2, bias 9 x 1 do not fit");
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(gradients), cmocka_unit_test(rows_alone),
                                      cmocka_unit_test(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
