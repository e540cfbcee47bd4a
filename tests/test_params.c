/*
** test_params.c - named matrices, parameters on tapes, touched rows and the sum of lanes. The twin of a gradient is a
** plain matrix in double that the same additions are made to; a small operation that scatters rows stands in for
** those of the library.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>

enum { ROWS = 40, COLS = 5, DENSE = 7, MOST_IDS = 12 };

/* ---- an operation that adds its number to some rows of its input's gradient ---- */

struct scatter {
  size_t count;
  uint32_t ids[MOST_IDS];
  qe_real value;
};

static void scatter_backward(struct node *node) {
  const struct scatter *scatter = node->extra;
  struct node *table = node->input[0];
  qe_real *g = node_gradient_sparse(table);
  params_touch(table, scatter->ids, scatter->count);
  for (size_t i = 0; i < scatter->count; i++)
    for (size_t j = 0; j < table->cols; j++)
      g[scatter->ids[i] * table->cols + j] += scatter->value + (qe_real)j;
}

static void dense_backward(struct node *node) {
  const qe_real *value = node->extra;
  struct node *table = node->input[0];
  qe_real *g = node_gradient(table);
  for (size_t i = 0; i < table->rows * table->cols; i++)
    g[i] += *value;
}

static const struct operation scatter_operation = { "scatter", scatter_backward };
static const struct operation dense_operation = { "dense", dense_backward };

static void scatter_on(qe_tensor table, const uint32_t *ids, size_t count, qe_real value) {
  struct node *input = node_of(table);
  struct node *node = node_new(table.tape, &scatter_operation, 1, 1, &input, 1);
  struct scatter *scatter = tape_alloc(table.tape, 1, sizeof *scatter);
  *scatter = (struct scatter){ .count = count, .value = value };
  memcpy(scatter->ids, ids, count * sizeof *ids);
  node->extra = scatter;
  assert_int_equal(qe_inject(node_handle(node), NULL), QE_OK);
}

static void dense_on(qe_tensor table, qe_real value) {
  struct node *input = node_of(table);
  struct node *node = node_new(table.tape, &dense_operation, 1, 1, &input, 1);
  qe_real *extra = tape_alloc(table.tape, 1, sizeof *extra);
  *extra = value;
  node->extra = extra;
  assert_int_equal(qe_inject(node_handle(node), NULL), QE_OK);
}

/* "table", sparse, and around it two dense ones. */
static qe_params *three_matrices(void) {
  qe_params *params = qe_params_new();
  assert_non_null(params);
  assert_int_equal(qe_params_add(params, "first", 1, DENSE, 0), 0);
  assert_int_equal(qe_params_add(params, "table", ROWS, COLS, 1), 1);
  assert_int_equal(qe_params_add(params, "last", 2, 3, 0), 2);
  return params;
}

static const qe_real *gradient_of(qe_params *params, size_t number) {
  static const size_t offset[] = { 0, DENSE, DENSE + ROWS * COLS };
  assert_int_equal(params_entry(params, number)->offset, offset[number]);
  qe_tape *tape = qe_tape_new(NULL, 1);
  const qe_real *g = qe_gradient(qe_param(tape, params, number));
  qe_tape_free(tape);
  return g; /* of the parameters, not of the tape */
}

static void expect_touched(qe_params *params, const uint32_t *rows, size_t count) {
  size_t found;
  params_settle(params);
  const uint32_t *touched = params_touched(params, 1, &found);
  assert_int_equal(found, count);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(touched[i], rows[i]);
}

/* ---- matrices ---- */

static void names_and_shapes(void **state) {
  (void)state;
  size_t rows = 9, cols = 9, count = 9;
  qe_params *params = qe_params_new();
  assert_int_equal(qe_params_count(params), 0);
  assert_null(qe_params_name(params, 0, &rows, &cols));
  assert_int_equal(rows + cols, 0);
  assert_null(qe_params_matrix(params, 0));
  assert_int_equal(qe_params_find(params, "table"), QE_USE);
  assert_null(params_touched(params, 0, &count));
  assert_int_equal(count, 0);
  qe_params_zero_gradient(params);
  qe_params_free(params);
  params = three_matrices();
  assert_int_equal(qe_params_count(params), 3);
  assert_string_equal(qe_params_name(params, 1, &rows, &cols), "table");
  assert_int_equal(rows, ROWS);
  assert_int_equal(cols, COLS);
  assert_string_equal(qe_params_name(params, 2, NULL, NULL), "last");
  assert_int_equal(qe_params_find(params, "last"), 2);
  assert_int_equal(qe_params_find(params, "las"), QE_USE);
  assert_int_equal(qe_block_size(qe_params_values(params)), DENSE + ROWS * COLS + 6);
  assert_ptr_equal(qe_params_matrix(params, 1), qe_params_matrix(params, 0) + DENSE);
  assert_null(qe_params_matrix(params, 3));
  for (size_t i = 0; i < DENSE + ROWS * COLS + 6; i++)
    assert_true(qe_params_matrix(params, 0)[i] == 0);
  qe_params_free(params);
  qe_params_free(NULL);
}

static void values_survive_adding(void **state) {
  (void)state;
  char name[16];
  qe_params *params = qe_params_new();
  qe_block *values = qe_params_values(params);
  for (int i = 0; i < 30; i++) {
    snprintf(name, sizeof name, "m%d", i);
    assert_int_equal(qe_params_add(params, name, 3, (size_t)i + 1, i % 2), i);
    qe_params_matrix(params, (size_t)i)[0] = (qe_real)i;
  }
  for (size_t i = 0; i < 30; i++) {
    assert_true(qe_params_matrix(params, i)[0] == (qe_real)i);
    assert_true(qe_params_matrix(params, i)[1] == 0);
  }
  assert_ptr_equal(values, qe_params_values(params));
  qe_params_free(params);
}

static void refused(qe_params *params, const char *name, size_t rows, size_t cols, int status, const char *text) {
  size_t before = qe_params_count(params);
  assert_int_equal(qe_params_add(params, name, rows, cols, 0), status);
  if (!strstr(qe_params_error(params), text))
    fail_msg("\"%s\" lacks \"%s\"", qe_params_error(params), text);
  assert_int_equal(qe_params_count(params), before);
}

static void wrong_additions(void **state) {
  (void)state;
  char name[257];
  qe_params *params = three_matrices();
  memset(name, 'n', 256);
  name[256] = '\0';
  refused(params, "table", 1, 1, QE_USE, "a matrix \"table\" already");
  refused(params, "", 1, 1, QE_USE, "1 to 255 bytes, not 0");
  refused(params, NULL, 1, 1, QE_USE, "not 0");
  refused(params, name, 1, 1, QE_USE, "not 256");
  refused(params, "none", 0, 1, QE_USE, "\"none\" cannot be 0 x 1");
  refused(params, "none", 1, 0, QE_USE, "1 x 0");
  refused(params, "huge", SIZE_MAX / 2, 1, QE_USE, "sides are 1 to 4294967295");
  refused(params, "huge", UINT32_MAX, UINT32_MAX, QE_MEMORY, "out of memory");
  name[255] = '\0';
  assert_int_equal(qe_params_add(params, name, 1, 1, 0), 3);
  assert_string_equal(qe_params_error(params), "");
  assert_non_null(qe_params_gradient(params));
  refused(params, "late", 1, 1, QE_USE, "\"late\" comes too late");
  qe_params_free(params);
}

static void too_late_after_tape(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tape_recording(tape, 0);
  assert_ptr_equal(qe_values(qe_param(tape, params, 0)), qe_params_matrix(params, 0));
  refused(params, "late", 1, 1, QE_USE, "in use");
  qe_tape_free(tape);
  qe_params_free(params);
}

static void random_values(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_rng rng, twin;
  qe_rng_seed(&rng, 3, "values");
  twin = rng;
  qe_params_uniform(params, 0, 0.25, &rng);
  qe_params_normal(params, 1, 3, &rng);
  qe_params_uniform(params, 9, 1, &rng); /* no such matrix: nothing is drawn */
  for (size_t i = 0; i < DENSE; i++)
    assert_true(qe_params_matrix(params, 0)[i] == (qe_real)(0.25 * (2 * qe_rng_uniform(&twin) - 1)));
  for (size_t i = 0; i < ROWS * COLS; i++)
    assert_true(qe_params_matrix(params, 1)[i] == (qe_real)(3 * qe_rng_normal(&twin)));
  assert_true(qe_params_matrix(params, 2)[0] == 0);
  assert_true(qe_rng_next(&rng) == qe_rng_next(&twin));
  qe_params_free(params);
}

/* ---- on a tape ---- */

static void node_is_the_matrix(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor table = qe_param(tape, params, 1);
  assert_int_equal(qe_rows(table), ROWS);
  assert_int_equal(qe_cols(table), COLS);
  assert_ptr_equal(qe_values(table), qe_params_matrix(params, 1));
  assert_ptr_equal(qe_gradient(table), qe_block_values(qe_params_gradient(params)) + DENSE);
  qe_tape_reset(tape);
  qe_tape_recording(tape, 0);
  assert_null(qe_gradient(qe_param(tape, params, 1)));
  qe_tape_recording(tape, 1);
  assert_null(qe_param(tape, params, 3).tape);
  assert_string_equal(qe_tape_error(tape), "param: no matrix number 3, there are 3");
  assert_null(qe_param(tape, params, 0).tape);
  qe_tape_reset(tape);
  tape_set_lane(tape, 4);
  assert_null(qe_param(tape, params, 0).tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), "param: no lane 4, there are 1");
  qe_tape_free(tape);
  qe_params_free(params);
}

static void gradients_add_up(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (int step = 0; step < 3; step++) {
    qe_tape_reset(tape);
    qe_tensor first = qe_param(tape, params, 0);
    dense_on(first, 2);
    dense_on(first, 1);
    assert_int_equal(qe_tape_backward(tape), QE_OK);
  }
  assert_true(gradient_of(params, 0)[DENSE - 1] == 9);
  assert_true(gradient_of(params, 1)[0] == 0);
  qe_params_zero_gradient(params);
  assert_true(gradient_of(params, 0)[DENSE - 1] == 0);
  qe_tape_free(tape);
  qe_params_free(params);
}

static void touched_rows(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor table = qe_param(tape, params, 1);
  /* the walk goes from the last to the first */
  scatter_on(table, (uint32_t[]){ 7, 39, 7 }, 3, 1);
  scatter_on(table, (uint32_t[]){ 30, 0, 39 }, 3, 10);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  expect_touched(params, (uint32_t[]){ 30, 0, 39, 7 }, 4);
  assert_true(gradient_of(params, 1)[7 * COLS + 2] == 6);
  assert_true(gradient_of(params, 1)[39 * COLS] == 11);
  qe_params_zero_gradient(params);
  expect_touched(params, NULL, 0);
  for (size_t i = 0; i < ROWS * COLS; i++)
    assert_true(gradient_of(params, 1)[i] == 0);
  qe_tape_free(tape);
  qe_params_free(params);
}

static void touch_without_parameter(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor variable = qe_variable(tape, ROWS, COLS, NULL), dense = qe_param(tape, params, 2);
  scatter_on(variable, (uint32_t[]){ 3 }, 1, 1);
  scatter_on(dense, (uint32_t[]){ 1 }, 1, 1);
  params_touch(node_of(qe_param(tape, params, 1)), NULL, 0); /* no rows, not all */
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  assert_true(qe_gradient(variable)[3 * COLS + 1] == 2);
  assert_true(qe_gradient(dense)[5] == 3);
  expect_touched(params, NULL, 0);
  qe_tape_free(tape);
  qe_params_free(params);
}

static void expect_all_touched(qe_params *params, const uint32_t *first, size_t count) {
  uint32_t expected[ROWS];
  size_t filled = count;
  for (size_t i = 0; i < count; i++)
    expected[i] = first[i];
  for (uint32_t row = 0; row < ROWS; row++) {
    bool listed = false;
    for (size_t i = 0; i < count; i++)
      listed = listed || first[i] == row;
    if (!listed)
      expected[filled++] = row;
  }
  expect_touched(params, expected, ROWS);
}

static void whole_gradient_touches_all(void **state) {
  (void)state;
  const uint32_t ids[] = { 11, 4 };
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor table = qe_param(tape, params, 1);
  dense_on(table, 3);
  scatter_on(table, ids, 2, 1);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  expect_all_touched(params, ids, 2);
  qe_params_zero_gradient(params);
  for (size_t i = 0; i < ROWS * COLS; i++)
    assert_true(gradient_of(params, 1)[i] == 0);
  qe_tape_free(tape);
  qe_params_free(params);
}

/* ---- written from outside ---- */

static void blocks_are_noticed(void **state) {
  (void)state;
  const uint32_t ids[] = { 20 };
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_block *gradient = qe_params_gradient(params), *copy = qe_block_clone(gradient);
  scatter_on(qe_param(tape, params, 1), ids, 1, 1);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  qe_block_values(copy)[DENSE + 2 * COLS + 4] = 5;
  qe_block_values(copy)[DENSE + 31 * COLS] = NAN;
  assert_int_equal(qe_block_axpy(gradient, 2, copy), QE_OK);
  expect_touched(params, (uint32_t[]){ 20, 2, 31 }, 3);
  qe_params_zero_gradient(params);
  assert_true(qe_block_norm(gradient) == 0);
  assert_int_equal(qe_block_copy(gradient, copy), QE_OK);
  qe_params_zero_gradient(params); /* nobody asked for the list in between */
  assert_true(qe_block_norm(gradient) == 0);
  expect_touched(params, NULL, 0);
  assert_int_equal(qe_block_fill(gradient, 1), QE_OK);
  expect_all_touched(params, NULL, 0);
  qe_block_free(copy);
  qe_tape_free(tape);
  qe_params_free(params);
}

static void addresses_are_noticed(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_real *g = qe_block_values(qe_params_gradient(params));
  for (uint32_t row = ROWS - 1; row > ROWS - 4; row--) { /* through one address, for ever */
    g[DENSE + row * COLS + row % COLS] = 1;
    expect_touched(params, &row, 1);
    qe_params_zero_gradient(params);
    assert_true(g[DENSE + row * COLS + row % COLS] == 0);
  }
  qe_params_free(params);
}

/* ---- lanes ---- */

enum { LANES = 5 };

struct walk {
  qe_params *params;
  qe_tape *tapes[LANES];
};

static void walk_lane(void *context, int part) {
  struct walk *walk = context;
  qe_tape_backward(walk->tapes[part]);
}

/* Draws the same walks for every pool: what lane `lane` adds where. */
static void record_lane(qe_params *params, qe_tape *tape, int lane, uint64_t seed) {
  qe_rng rng;
  uint32_t ids[MOST_IDS];
  qe_rng_seed(&rng, seed * LANES + (uint64_t)lane, "lane");
  tape_set_lane(tape, lane);
  qe_tensor table = qe_param(tape, params, 1), first = qe_param(tape, params, 0);
  size_t count = qe_rng_below(&rng, MOST_IDS + 1);
  for (size_t i = 0; i < count; i++)
    ids[i] = (uint32_t)qe_rng_below(&rng, ROWS);
  scatter_on(table, ids, count, (qe_real)qe_rng_normal(&rng));
  dense_on(first, (qe_real)(qe_rng_normal(&rng) * 1e3));
}

/* The gradient after lanes 0 .. LANES - 1 were walked by the pool's threads and summed. */
static qe_params *walked(int threads, uint64_t seed) {
  struct walk walk = { .params = three_matrices() };
  qe_pool *pool = threads > 0 ? qe_pool_new(threads) : NULL;
  assert_int_equal(params_lanes(walk.params, LANES - 1), QE_OK);
  for (int lane = 0; lane < LANES; lane++) {
    walk.tapes[lane] = qe_tape_new(NULL, 1);
    record_lane(walk.params, walk.tapes[lane], lane, seed);
  }
  pool_run(pool, LANES, walk_lane, &walk);
  params_lane_sum(walk.params, LANES - 1, pool);
  params_lane_sum(walk.params, LANES + 3, pool); /* empty by now; lanes that are not there are no matter */
  for (int lane = 0; lane < LANES; lane++)
    qe_tape_free(walk.tapes[lane]);
  qe_pool_free(pool);
  return walk.params;
}

/* One lane after the other on a gradient block of its own, added as single cells. */
static void twin_gradient(qe_real *sum, uint32_t *touched, size_t *count, uint64_t seed) {
  *count = 0;
  memset(sum, 0, (DENSE + ROWS * COLS) * sizeof *sum);
  for (int lane = 0; lane < LANES; lane++) {
    qe_params *params = three_matrices();
    qe_tape *tape = qe_tape_new(NULL, 1);
    size_t found;
    assert_int_equal(params_lanes(params, lane), QE_OK);
    record_lane(params, tape, lane, seed);
    tape_set_lane(tape, 0);
    assert_int_equal(qe_tape_backward(tape), QE_OK);
    params_lane_sum(params, lane, NULL);
    for (size_t i = 0; i < DENSE; i++)
      sum[i] += gradient_of(params, 0)[i];
    for (size_t i = 0; i < ROWS * COLS; i++)
      sum[DENSE + i] += gradient_of(params, 1)[i];
    const uint32_t *rows = params_touched(params, 1, &found);
    for (size_t i = 0; i < found; i++) {
      size_t j = 0;
      while (j < *count && touched[j] != rows[i])
        j++;
      touched[j] = rows[i];
      *count += j == *count;
    }
    qe_tape_free(tape);
    qe_params_free(params);
  }
}

static void sums_do_not_depend_on_threads(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 12; seed++) {
    qe_real expected[DENSE + ROWS * COLS];
    uint32_t rows[ROWS];
    size_t count;
    twin_gradient(expected, rows, &count, seed);
    for (int threads = 0; threads < 5; threads++) {
      qe_params *params = walked(threads, seed);
      expect_touched(params, rows, count);
      assert_memory_equal(gradient_of(params, 0), expected, DENSE * sizeof *expected);
      assert_memory_equal(gradient_of(params, 1), expected + DENSE, ROWS * COLS * sizeof *expected);
      qe_params_free(params);
    }
  }
}

static void only_touched_rows_are_summed(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_int_equal(params_lanes(params, 2), QE_OK);
  tape_set_lane(tape, 2);
  qe_tensor table = qe_param(tape, params, 1);
  qe_real *g = node_gradient_sparse(node_of(table));
  scatter_on(table, (uint32_t[]){ 5 }, 1, 1);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  g[6 * COLS] = 8; /* against the contract, to see that nobody looks */
  params_lane_sum(params, 2, NULL);
  assert_true(gradient_of(params, 1)[5 * COLS] == 1);
  assert_true(gradient_of(params, 1)[6 * COLS] == 0);
  assert_true(g[5 * COLS] == 0);
  assert_true(g[6 * COLS] == 8);
  expect_touched(params, (uint32_t[]){ 5 }, 1);
  qe_tape_free(tape);
  qe_params_free(params);
}

/* The same row again after the sum: its mark must have gone with the list. */
static void lanes_are_used_again(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_int_equal(params_lanes(params, 1), QE_OK);
  tape_set_lane(tape, 1);
  for (int step = 0; step < 3; step++) {
    scatter_on(qe_param(tape, params, 1), (uint32_t[]){ 9, 3 }, 2, 1);
    assert_int_equal(qe_tape_backward(tape), QE_OK);
    params_lane_sum(params, 1, NULL);
    expect_touched(params, (uint32_t[]){ 9, 3 }, 2);
    assert_true(gradient_of(params, 1)[3 * COLS + 1] == 2);
    qe_params_zero_gradient(params);
    qe_tape_reset(tape);
  }
  qe_tape_free(tape);
  qe_params_free(params);
}

static void failed_walk_leaves_nothing(void **state) {
  (void)state;
  qe_params *params = three_matrices();
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_int_equal(params_lanes(params, 1), QE_OK);
  tape_set_lane(tape, 1);
  scatter_on(qe_param(tape, params, 1), (uint32_t[]){ 8 }, 1, 1);
  dense_on(qe_param(tape, params, 2), 2);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  qe_params_zero_gradient(params); /* nobody summed */
  params_lane_sum(params, 1, NULL);
  assert_true(qe_block_norm(qe_params_gradient(params)) == 0);
  qe_tape_free(tape);
  qe_params_free(params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_and_shapes),
    cmocka_unit_test(values_survive_adding),
    cmocka_unit_test(wrong_additions),
    cmocka_unit_test(too_late_after_tape),
    cmocka_unit_test(random_values),
    cmocka_unit_test(node_is_the_matrix),
    cmocka_unit_test(gradients_add_up),
    cmocka_unit_test(touched_rows),
    cmocka_unit_test(touch_without_parameter),
    cmocka_unit_test(whole_gradient_touches_all),
    cmocka_unit_test(blocks_are_noticed),
    cmocka_unit_test(addresses_are_noticed),
    cmocka_unit_test(sums_do_not_depend_on_threads),
    cmocka_unit_test(only_touched_rows_are_summed),
    cmocka_unit_test(lanes_are_used_again),
    cmocka_unit_test(failed_walk_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
