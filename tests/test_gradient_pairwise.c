/*
** test_gradient_pairwise.c - numbers for pairs of rows of two texts in double: values against loops over single cells,
** gradients against central differences; rows without a partner; misuse.
*/
#include "gradient.h"

enum { ROWS = 9, CELLS = 6 + 0 + 12 };
static const uint32_t own[] = { 0, 3, 3, 5, 9 }, other[] = { 0, 2, 6, 6, 9 };
static const qe_segments a_segments = { own, 4 }, b_segments = { other, 4 };

static qe_tensor products(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_pairwise(inputs[0], inputs[1], a_segments, b_segments);
}

static qe_tensor look(const qe_tensor *inputs, const void *context) {
  return qe_look(inputs[0], inputs[1], a_segments, b_segments, *(const int *)context);
}

static void test_gradient_of_products(void **state) {
  struct gradient_report report = gradient_begin("pairwise");
  (void)state;
  for (size_t cols = 1; cols <= 7; cols += 3) {
    const struct gradient_case c = {
      .operation = products, .fill = NORMAL, .inputs = 2, .shape = { { ROWS, cols }, { ROWS, cols } }
    };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

static void test_gradient_of_looking(void **state) {
  struct gradient_report report = gradient_begin("look");
  (void)state;
  for (int turned = 0; turned < 2; turned++)
    for (size_t cols = 1; cols <= 4; cols += 3) {
      const struct gradient_case c = { .operation = look,
                                       .context = &turned,
                                       .fill = NORMAL,
                                       .inputs = 2,
                                       .shape = { { CELLS, 1 }, { ROWS, cols } } };
      gradient_check(&report, &c);
    }
  gradient_end(&report);
}

static void fill(qe_rng *rng, qe_real *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    values[i] = qe_rng_normal(rng);
}

static void test_products(void **state) {
  enum { COLS = 5 };
  qe_real a[ROWS * COLS], b[ROWS * COLS];
  qe_rng rng;
  size_t cell = 0;
  (void)state;
  qe_rng_seed(&rng, 1, "products");
  fill(&rng, a, ROWS * COLS);
  fill(&rng, b, ROWS * COLS);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor out =
      qe_pairwise(qe_constant(tape, ROWS, COLS, a), qe_constant(tape, ROWS, COLS, b), a_segments, b_segments);
  for (size_t s = 0; s < 4; s++)
    for (size_t i = own[s]; i < own[s + 1]; i++)
      for (size_t j = other[s]; j < other[s + 1]; j++) {
        double sum = 0;
        for (size_t k = 0; k < COLS; k++)
          sum += a[i * COLS + k] * b[j * COLS + k];
        assert_true(fabs(qe_values(out)[cell++] - sum) < 1e-12);
      }
  assert_int_equal(cell, CELLS);
  assert_int_equal(qe_rows(out), CELLS);
  qe_tape_free(tape);
}

/* What row i of segment s sees, by hand. */
static double seen(const qe_real *cells, const qe_real *values, size_t s, size_t first_cell, size_t i, int turned) {
  const size_t a_rows = own[s + 1] - own[s], b_rows = other[s + 1] - other[s];
  const size_t count = turned ? a_rows : b_rows;
  double sum = 0, mixed = 0;
  for (size_t j = 0; j < count; j++) {
    const double weight = exp(cells[first_cell + (turned ? j * b_rows + i : i * b_rows + j)]);
    sum += weight;
    mixed += weight * values[(turned ? own[s] : other[s]) + j];
  }
  return sum > 0 ? mixed / sum : 0;
}

static void test_looking(void **state) {
  qe_real cells[CELLS], values[ROWS];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 2, "looking");
  fill(&rng, cells, CELLS);
  fill(&rng, values, ROWS);
  for (int turned = 0; turned < 2; turned++) {
    qe_tape *tape = qe_tape_new(NULL, 1);
    qe_tensor out = qe_look(qe_constant(tape, CELLS, 1, cells), qe_constant(tape, ROWS, 1, values), a_segments,
                            b_segments, turned);
    const uint32_t *rows = turned ? other : own;
    assert_int_equal(qe_rows(out), ROWS);
    for (size_t s = 0, cell = 0; s < 4; cell += (own[s + 1] - own[s]) * (other[s + 1] - other[s]), s++)
      for (size_t i = rows[s]; i < rows[s + 1]; i++)
        assert_true(fabs(qe_values(out)[i] - seen(cells, values, s, cell, i - rows[s], turned)) < 1e-12);
    qe_tape_free(tape);
  }
}

static qe_tensor misuse(qe_tape *tape, int wrong) {
  static const uint32_t few[] = { 0, 9 }, falling[] = { 0, 5, 3, 6, 9 };
  const qe_segments one = { few, 1 }, down = { falling, 4 };
  const qe_tensor a = qe_constant(tape, ROWS, 2, NULL), cells = qe_constant(tape, CELLS, 1, NULL);
  switch (wrong) {
  case 0:
    return qe_pairwise(a, qe_constant(tape, ROWS, 3, NULL), a_segments, b_segments);
  case 1:
    return qe_pairwise(a, qe_constant(tape, ROWS - 1, 2, NULL), a_segments, b_segments);
  case 2:
    return qe_pairwise(a, a, a_segments, one);
  case 3:
    return qe_look(qe_constant(tape, CELLS + 1, 1, NULL), a, a_segments, b_segments, 0);
  case 4:
    return qe_look(cells, qe_constant(tape, ROWS - 1, 2, NULL), a_segments, b_segments, 0);
  case 5:
    return qe_look(cells, a, a_segments, one, 1);
  default:
    return qe_look(cells, a, down, b_segments, 0);
  }
}

static void test_misuse(void **state) {
  (void)state;
  for (int wrong = 0; wrong < 7; wrong++) {
    qe_tape *tape = qe_tape_new(NULL, 1);
    assert_null(misuse(tape, wrong).tape);
    assert_int_equal(qe_tape_status(tape), QE_USE);
    assert_non_null(strstr(qe_tape_error(tape), wrong < 3 ? "pairwise" : "look"));
    qe_tape_free(tape);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_gradient_of_products),
                                      cmocka_unit_test(test_gradient_of_looking), cmocka_unit_test(test_products),
                                      cmocka_unit_test(test_looking), cmocka_unit_test(test_misuse) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
