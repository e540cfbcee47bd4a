/*
** test_gradient_matrix.c - gradients of products and of copies of parts against central differences; of tables that
** are sparse parameters: the same gradient as of a variable, and exactly the rows that were read marked as touched.
*/
#include "gradient.h"

/* ---- matmul ---- */

static qe_tensor run_matmul(const qe_tensor *inputs, const void *context) {
  return qe_matmul(inputs[0], inputs[1], *(const qe_transpose *)context);
}

static void check_matmul(const char *name, qe_transpose transpose) {
  static const size_t sizes[][3] = { { 1, 1, 1 },   { 3, 4, 5 }, { 1, 6, 3 }, { 6, 1, 3 }, { 4, 5, 1 },
                                     { 17, 18, 3 }, { 0, 3, 2 }, { 3, 0, 2 }, { 3, 2, 0 }, { 0, 0, 0 } };
  struct gradient_report report = gradient_begin(name);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const size_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
    const bool a_turned = transpose == QE_TN || transpose == QE_TT;
    const bool b_turned = transpose == QE_NT || transpose == QE_TT;
    struct gradient_case c = { run_matmul,
                               &transpose,
                               NORMAL,
                               2,
                               { { a_turned ? k : m, a_turned ? m : k }, { b_turned ? n : k, b_turned ? k : n } } };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

static void test_matmul(void **state) {
  (void)state;
  check_matmul("matmul nn", QE_NN);
  check_matmul("matmul nt", QE_NT);
  check_matmul("matmul tn", QE_TN);
  check_matmul("matmul tt", QE_TT);
}

static qe_tensor run_square(const qe_tensor *inputs, const void *context) {
  return qe_matmul(inputs[0], inputs[0], *(const qe_transpose *)context);
}

static void test_matmul_with_itself(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("matmul of x and x");
  for (qe_transpose transpose = QE_NN; transpose <= QE_TT; transpose++) {
    struct gradient_case c = { run_square, &transpose, NORMAL, 1, { { 4, 4 } } };
    gradient_check(&report, &c);
  }
  gradient_end(&report);
}

/* ---- parts ---- */

static qe_tensor run_transposed(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_transposed(inputs[0]);
}

/* The context is {first, count}. */
static qe_tensor run_columns(const qe_tensor *inputs, const void *context) {
  return qe_columns(inputs[0], ((const size_t *)context)[0], ((const size_t *)context)[1]);
}

static qe_tensor run_slice(const qe_tensor *inputs, const void *context) {
  return qe_slice(inputs[0], ((const size_t *)context)[0], ((const size_t *)context)[1]);
}

static void check_ranges(const char *name, gradient_operation *operation) {
  static const size_t ranges[][2] = { { 0, 5 }, { 0, 1 }, { 4, 1 }, { 1, 3 }, { 2, 0 }, { 5, 0 } };
  struct gradient_report report = gradient_begin(name);
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    struct gradient_case c = { operation, ranges[i], NORMAL, 1, { { 5, 5 } } };
    gradient_check(&report, &c);
  }
  static const size_t nothing[] = { 0, 0 };
  struct gradient_case empty = { operation, nothing, NORMAL, 1, { { 0, 0 } } };
  gradient_check(&report, &empty);
  gradient_end(&report);
}

static void test_parts(void **state) {
  (void)state;
  gradient_all_shapes("transposed", run_transposed, NULL, NORMAL, 1);
  check_ranges("columns", run_columns);
  check_ranges("slice", run_slice);
}

static void test_ranges_of_flat_matrices(void **state) {
  (void)state;
  static const size_t middle[] = { 1, 2 };
  struct gradient_report report = gradient_begin("columns, slice: flat");
  struct gradient_case row = { run_columns, middle, NORMAL, 1, { { 1, 4 } } };
  struct gradient_case column = { run_slice, middle, NORMAL, 1, { { 4, 1 } } };
  struct gradient_case no_rows = { run_columns, middle, NORMAL, 1, { { 0, 4 } } };
  struct gradient_case no_columns = { run_slice, middle, NORMAL, 1, { { 4, 0 } } };
  gradient_check(&report, &row);
  gradient_check(&report, &column);
  gradient_check(&report, &no_rows);
  gradient_check(&report, &no_columns);
  gradient_end(&report);
}

static qe_tensor run_beside(const qe_tensor *inputs, const void *context) {
  return qe_beside(inputs, *(const size_t *)context);
}

static qe_tensor run_below(const qe_tensor *inputs, const void *context) {
  return qe_below(inputs, *(const size_t *)context);
}

/* More parts than a node has places for, one of them twice. */
static qe_tensor run_many_beside(const qe_tensor *inputs, const void *context) {
  (void)context;
  const qe_tensor parts[] = { inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[1] };
  return qe_beside(parts, 7);
}

static void test_beside(void **state) {
  (void)state;
  static const size_t one = 1, two = 2, three = 3;
  struct gradient_report report = gradient_begin("beside");
  const struct gradient_case cases[] = {
    { run_beside, &one, NORMAL, 1, { { 3, 2 } } },
    { run_beside, &two, NORMAL, 2, { { 3, 2 }, { 3, 4 } } },
    { run_beside, &three, NORMAL, 3, { { 2, 0 }, { 2, 3 }, { 2, 1 } } },
    { run_beside, &two, NORMAL, 2, { { 0, 2 }, { 0, 3 } } },
    { run_many_beside, NULL, NORMAL, 6, { { 2, 1 }, { 2, 2 }, { 2, 0 }, { 2, 3 }, { 2, 1 }, { 2, 2 } } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    gradient_check(&report, &cases[i]);
  gradient_end(&report);
}

static void test_below(void **state) {
  (void)state;
  static const size_t one = 1, two = 2, three = 3, six = 6;
  struct gradient_report report = gradient_begin("below");
  const struct gradient_case cases[] = {
    { run_below, &one, NORMAL, 1, { { 3, 2 } } },
    { run_below, &two, NORMAL, 2, { { 3, 2 }, { 1, 2 } } },
    { run_below, &three, NORMAL, 3, { { 0, 3 }, { 2, 3 }, { 1, 3 } } },
    { run_below, &two, NORMAL, 2, { { 2, 0 }, { 3, 0 } } },
    { run_below, &six, NORMAL, 6, { { 2, 2 }, { 1, 2 }, { 3, 2 }, { 0, 2 }, { 1, 2 }, { 2, 2 } } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    gradient_check(&report, &cases[i]);
  gradient_end(&report);
}

/* ---- gather, pick, bag ---- */

struct lookup {
  const uint32_t *ids;
  size_t count;
  qe_segments bags;
};

/* Lists are overwritten after the call: they are the caller's. */
static qe_tensor run_gather(const qe_tensor *inputs, const void *context) {
  const struct lookup *lookup = context;
  uint32_t ids[16];
  memcpy(ids, lookup->ids, lookup->count * sizeof *ids);
  qe_tensor out = qe_gather(inputs[0], ids, lookup->count);
  memset(ids, 0xff, sizeof ids);
  return out;
}

static qe_tensor run_pick(const qe_tensor *inputs, const void *context) {
  const struct lookup *lookup = context;
  uint32_t ids[16];
  memcpy(ids, lookup->ids, lookup->count * sizeof *ids);
  qe_tensor out = qe_pick(inputs[0], ids);
  memset(ids, 0xff, sizeof ids);
  return out;
}

static qe_tensor run_bag(const qe_tensor *inputs, const void *context) {
  const struct lookup *lookup = context;
  uint32_t ids[16], offset[16];
  memcpy(ids, lookup->ids, lookup->count * sizeof *ids);
  memcpy(offset, lookup->bags.offset, (lookup->bags.count + 1) * sizeof *offset);
  qe_tensor out = qe_bag(inputs[0], ids, (qe_segments){ offset, lookup->bags.count });
  memset(ids, 0xff, sizeof ids);
  memset(offset, 0xff, sizeof offset);
  return out;
}

static const uint32_t some_ids[] = { 3, 0, 3, 1, 3, 0, 3 };
static const uint32_t some_bags[] = { 0, 0, 2, 3, 3, 7, 7 }; /* one with 3 twice */
static const struct lookup some = { some_ids, 7, { some_bags, 6 } }, none = { some_ids, 0, { some_bags, 1 } };
static const struct lookup no_bags = { some_ids, 0, { some_bags, 0 } };

static void test_gather(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("gather");
  const struct gradient_case cases[] = {
    { run_gather, &some, NORMAL, 1, { { 5, 3 } } }, { run_gather, &some, NORMAL, 1, { { 4, 1 } } },
    { run_gather, &none, NORMAL, 1, { { 4, 3 } } }, { run_gather, &none, NORMAL, 1, { { 0, 3 } } },
    { run_gather, &some, NORMAL, 1, { { 4, 0 } } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    gradient_check(&report, &cases[i]);
  gradient_end(&report);
}

static void test_pick(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("pick");
  const struct gradient_case cases[] = {
    { run_pick, &some, NORMAL, 1, { { 7, 4 } } },
    { run_pick, &some, NORMAL, 1, { { 7, 20 } } },
    { run_pick, &none, NORMAL, 1, { { 0, 4 } } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    gradient_check(&report, &cases[i]);
  gradient_end(&report);
}

static void test_bag(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("bag");
  const struct gradient_case cases[] = {
    { run_bag, &some, NORMAL, 1, { { 5, 3 } } },    { run_bag, &some, NORMAL, 1, { { 4, 1 } } },
    { run_bag, &none, NORMAL, 1, { { 4, 3 } } },    { run_bag, &none, NORMAL, 1, { { 0, 3 } } },
    { run_bag, &no_bags, NORMAL, 1, { { 4, 3 } } }, { run_bag, &some, NORMAL, 1, { { 4, 0 } } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    gradient_check(&report, &cases[i]);
  gradient_end(&report);
}

/* ---- tables that are parameters ---- */

enum { TABLE_ROWS = 6, TABLE_COLS = 3 };

struct table {
  qe_params *params;
  int number;
};

static struct table table_make(int sparse) {
  struct table table = { qe_params_new(), 0 };
  qe_rng rng;
  qe_rng_seed(&rng, 4, "table");
  table.number = qe_params_add(table.params, "table", TABLE_ROWS, TABLE_COLS, sparse);
  assert_int_equal(table.number, 0);
  qe_params_normal(table.params, 0, 1, &rng);
  return table;
}

/* Backward of the operation with the table as a parameter and as a variable: the same, twice over in two steps. */
static void check_parameter(gradient_operation *operation, const struct lookup *lookup, int sparse) {
  struct table table = table_make(sparse);
  qe_tape *tape = qe_tape_new(NULL, 1);
  const qe_real *g = qe_block_values(qe_params_gradient(table.params));
  for (int step = 1; step <= 2; step++) {
    qe_tape_reset(tape);
    qe_tensor parameter = qe_param(tape, table.params, 0);
    qe_tensor variable = qe_variable(tape, TABLE_ROWS, TABLE_COLS, qe_params_matrix(table.params, 0));
    assert_int_equal(qe_inject(qe_square(operation(&parameter, lookup)), NULL), QE_OK);
    assert_int_equal(qe_inject(qe_square(operation(&variable, lookup)), NULL), QE_OK);
    assert_int_equal(qe_tape_backward(tape), QE_OK);
    for (size_t i = 0; i < TABLE_ROWS * TABLE_COLS; i++)
      assert_true(fabs(g[i] - step * (qe_gradient(variable) ? qe_gradient(variable)[i] : 0)) < 1e-12);
  }
  qe_tape_free(tape);
  size_t count;
  params_settle(table.params);
  const uint32_t *touched = params_touched(table.params, 0, &count);
  if (sparse) { /* in order of first touch */
    assert_int_equal(count, lookup->count ? 3 : 0);
    for (size_t i = 0; i < count; i++)
      assert_int_equal(touched[i], ((const uint32_t[]){ 3, 0, 1 })[i]);
  }
  qe_params_free(table.params);
}

static void test_parameters(void **state) {
  (void)state;
  for (int sparse = 0; sparse < 2; sparse++) {
    check_parameter(run_gather, &some, sparse);
    check_parameter(run_gather, &none, sparse);
    check_parameter(run_bag, &some, sparse);
    check_parameter(run_bag, &none, sparse);
  }
}

/* Other operations on a sparse matrix touch all of it. */
static void test_whole_parameter(void **state) {
  (void)state;
  struct table table = table_make(1);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor parameter = qe_param(tape, table.params, 0);
  assert_int_equal(qe_inject(qe_gather(parameter, some_ids, 7), NULL), QE_OK);
  assert_int_equal(qe_inject(qe_matmul(parameter, parameter, QE_TN), NULL), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  size_t count;
  params_settle(table.params);
  params_touched(table.params, 0, &count);
  assert_int_equal(count, TABLE_ROWS);
  qe_tape_free(tape);
  qe_params_free(table.params);
}

/* With recording off nothing arrives and nothing is touched. */
static void test_parameter_without_recording(void **state) {
  (void)state;
  struct table table = table_make(1);
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tape_recording(tape, 0);
  qe_tensor out = qe_gather(qe_param(tape, table.params, 0), some_ids, 7);
  assert_int_equal(qe_backward(out), QE_OK);
  size_t count;
  params_settle(table.params);
  params_touched(table.params, 0, &count);
  assert_int_equal(count, 0);
  assert_true(qe_block_norm(qe_params_gradient(table.params)) == 0);
  qe_tape_free(tape);
  qe_params_free(table.params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_matmul),
    cmocka_unit_test(test_matmul_with_itself),
    cmocka_unit_test(test_parts),
    cmocka_unit_test(test_ranges_of_flat_matrices),
    cmocka_unit_test(test_beside),
    cmocka_unit_test(test_below),
    cmocka_unit_test(test_gather),
    cmocka_unit_test(test_pick),
    cmocka_unit_test(test_bag),
    cmocka_unit_test(test_parameters),
    cmocka_unit_test(test_whole_parameter),
    cmocka_unit_test(test_parameter_without_recording),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
