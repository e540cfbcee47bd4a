/*
** test_gradient_match.c - best inner products with another text's rows in double: values against loops over single
** cells, gradients against central differences; misuse.
*/
#include "gradient.h"

static const uint32_t own[] = { 0, 3, 3, 5, 9 }, other[] = { 0, 2, 6, 6, 9 };
static const qe_segments a_segments = { own, 4 }, b_segments = { other, 4 };

static qe_tensor match(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_best_match(inputs[0], inputs[1], a_segments, b_segments);
}

static void test_gradient(void **state) {
  struct gradient_report report = gradient_begin("best_match");
  (void)state;
  for (size_t cols = 1; cols <= 7; cols += 3) {
    const struct gradient_case c = {
      .operation = match, .fill = NORMAL, .inputs = 2, .shape = { { 9, cols }, { 9, cols } }
    };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

static void test_values(void **state) {
  enum { COLS = 5 };
  qe_real a[9 * COLS], b[9 * COLS];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 1, "match");
  for (size_t i = 0; i < 9 * COLS; i++) {
    a[i] = qe_rng_normal(&rng);
    b[i] = qe_rng_normal(&rng);
  }
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor out =
      qe_best_match(qe_constant(tape, 9, COLS, a), qe_constant(tape, 9, COLS, b), a_segments, b_segments);
  for (size_t s = 0; s < 4; s++)
    for (size_t i = own[s]; i < own[s + 1]; i++) {
      double best = other[s] == other[s + 1] ? 0 : -INFINITY;
      for (size_t j = other[s]; j < other[s + 1]; j++) {
        double product = 0;
        for (size_t k = 0; k < COLS; k++)
          product += a[i * COLS + k] * b[j * COLS + k];
        best = fmax(best, product);
      }
      assert_true(fabs(qe_values(out)[i] - best) < 1e-12);
    }
  qe_tape_free(tape);
}

static void test_misuse(void **state) {
  static const uint32_t few[] = { 0, 9 };
  (void)state;
  for (int wrong = 0; wrong < 3; wrong++) {
    qe_tape *tape = qe_tape_new(NULL, 1);
    qe_tensor a = qe_constant(tape, 9, 2, NULL),
              b = qe_constant(tape, wrong == 1 ? 8 : 9, wrong == 0 ? 3 : 2, NULL);
    assert_null(qe_best_match(a, b, a_segments, wrong == 2 ? (qe_segments){ few, 1 } : b_segments).tape);
    assert_int_equal(qe_tape_status(tape), QE_USE);
    assert_non_null(strstr(qe_tape_error(tape), "best_match"));
    qe_tape_free(tape);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_gradient), cmocka_unit_test(test_values),
                                      cmocka_unit_test(test_misuse) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
