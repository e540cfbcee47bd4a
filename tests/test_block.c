/*
** test_block.c - the algebra of blocks against loops over single cells, and which blocks refuse each other.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>

static qe_params *params_of(const char *second, size_t rows, size_t cols) {
  qe_params *params = qe_params_new();
  assert_int_equal(qe_params_add(params, "first", 1, 3, 0), 0);
  assert_int_equal(qe_params_add(params, second, rows, cols, 1), 1);
  return params;
}

/* A block of `size` >= 4 cells whose layout nobody else holds. */
static qe_block *block_of(size_t size, uint64_t seed) {
  qe_rng rng;
  qe_params *params = params_of("second", 1, size - 3);
  qe_rng_seed(&rng, seed, "block");
  qe_params_normal(params, 0, 2, &rng);
  qe_params_normal(params, 1, 2, &rng);
  qe_block *block = qe_block_clone(qe_params_values(params));
  qe_params_free(params);
  assert_non_null(block);
  assert_int_equal(qe_block_size(block), size);
  return block;
}

static void clones_stand_alone(void **state) {
  (void)state;
  qe_params *params = params_of("second", 2, 2);
  qe_block *clone = qe_block_clone(qe_params_values(params));
  qe_params_matrix(params, 0)[0] = 1;
  assert_true(qe_block_values(clone)[0] == 0);
  qe_block_free(qe_params_values(params)); /* belongs to params: stays */
  qe_block_free(qe_params_gradient(params));
  assert_int_equal(qe_params_add(params, "third", 1, 1, 0), QE_USE);
  qe_params_free(params);
  qe_block *second = qe_block_clone(clone);
  qe_block_free(clone);
  assert_int_equal(qe_block_copy(second, second), QE_OK);
  assert_int_equal(qe_block_size(second), 7);
  qe_block_free(second);
  qe_block_free(NULL);
}

static void adding_a_matrix_parts_them(void **state) {
  (void)state;
  qe_params *params = params_of("second", 2, 2);
  qe_block *clone = qe_block_clone(qe_params_values(params));
  assert_int_equal(qe_block_copy(clone, qe_params_values(params)), QE_OK);
  assert_int_equal(qe_params_add(params, "third", 1, 1, 0), 2);
  assert_int_equal(qe_block_copy(clone, qe_params_values(params)), QE_USE);
  assert_int_equal(qe_block_copy(qe_params_values(params), qe_params_gradient(params)), QE_OK);
  qe_params_free(params);
  assert_int_equal(qe_block_size(clone), 7);
  qe_block_free(clone);
}

static void unequal_layouts(void **state) {
  (void)state;
  qe_params *params = params_of("second", 2, 6), *same = params_of("second", 2, 6);
  qe_params *others[] = { params_of("secant", 2, 6), params_of("second", 6, 2), params_of("second", 2, 5),
                          params_of("second", 2, 6) };
  double dot = 5;
  assert_int_equal(qe_params_add(others[3], "third", 1, 1, 0), 2);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    qe_block *x = qe_params_values(params), *y = qe_params_values(others[i]);
    assert_int_equal(qe_block_copy(x, y), QE_USE);
    assert_int_equal(qe_block_axpy(x, 1, y), QE_USE);
    assert_int_equal(qe_block_lerp(x, y, 1), QE_USE);
    assert_int_equal(qe_block_dot(x, y, &dot), QE_USE);
    qe_params_free(others[i]);
  }
  assert_true(dot == 5);
  assert_int_equal(qe_block_axpy(qe_params_values(params), 1, qe_params_gradient(same)), QE_OK);
  qe_params_free(params);
  qe_params_free(same);
}

static void algebra_cell_by_cell(void **state) {
  (void)state;
  const qe_real a = (qe_real)-1.7, t = (qe_real)0.3;
  for (size_t size = 4; size < 80; size += size < 40 ? 1 : 13) {
    qe_block *x = block_of(size, size), *y = block_of(size, size + 1000);
    qe_block *sum = qe_block_clone(y), *mean = qe_block_clone(y), *scaled = qe_block_clone(y);
    assert_int_equal(qe_block_axpy(sum, -1.7, x), QE_OK);
    assert_int_equal(qe_block_lerp(mean, x, 0.3), QE_OK);
    assert_int_equal(qe_block_scale(scaled, -1.7), QE_OK);
    for (size_t i = 0; i < size; i++) {
      const qe_real p = qe_block_values(x)[i], q = qe_block_values(y)[i];
      assert_true(qe_block_values(sum)[i] == q + a * p);
      assert_true(qe_block_values(mean)[i] == q + t * (p - q));
      assert_true(qe_block_values(scaled)[i] == q * a);
    }
    assert_int_equal(qe_block_copy(y, x), QE_OK);
    assert_memory_equal(qe_block_values(y), qe_block_values(x), size * sizeof(qe_real));
    assert_int_equal(qe_block_axpy(y, 1, y), QE_OK); /* with itself */
    assert_true(qe_block_values(y)[size - 1] == 2 * qe_block_values(x)[size - 1]);
    assert_int_equal(qe_block_fill(y, 0.1), QE_OK);
    for (size_t i = 0; i < size; i++)
      assert_true(qe_block_values(y)[i] == (qe_real)0.1);
    qe_block_free(x);
    qe_block_free(y);
    qe_block_free(sum);
    qe_block_free(mean);
    qe_block_free(scaled);
  }
}

static void products_in_double(void **state) {
  (void)state;
  for (size_t size = 4; size < 3000; size = size * 3 / 2 + 1) {
    qe_block *x = block_of(size, size), *y = block_of(size, size + 1000);
    long double expected = 0, terms = 0;
    double dot, again;
    for (size_t i = size; i-- > 0;) {
      const long double term = (long double)qe_block_values(x)[i] * (long double)qe_block_values(y)[i];
      expected += term;
      terms += fabsl(term);
    }
    assert_int_equal(qe_block_dot(x, y, &dot), QE_OK);
    assert_true(fabsl((long double)dot - expected) <= 1e-14L * terms);
    assert_int_equal(qe_block_dot(y, x, &again), QE_OK);
    assert_true(dot == again);
    assert_int_equal(qe_block_dot(x, x, &dot), QE_OK);
    assert_true(qe_block_norm(x) == sqrt(dot));
    qe_block_free(x);
    qe_block_free(y);
  }
}

/* 1 + 2^-30 has no place in a float, but the sum has in a double. */
static void small_terms_count(void **state) {
  (void)state;
  qe_block *x = block_of(21, 1), *y = block_of(21, 2);
  double dot;
  qe_block_fill(x, 0x1p-30);
  qe_block_values(x)[3] = 1;
  qe_block_fill(y, 1);
  assert_int_equal(qe_block_dot(x, y, &dot), QE_OK);
  assert_true(dot == 1 + 20 * 0x1p-30);
  qe_block_free(x);
  qe_block_free(y);
}

static void clipping(void **state) {
  (void)state;
  qe_block *x = block_of(30, 7), *before = qe_block_clone(x);
  const double norm = qe_block_norm(x);
  assert_true(qe_block_clip(x, norm) == norm);
  assert_true(qe_block_clip(x, norm * 2) == norm);
  assert_true(qe_block_clip(x, -1) == norm);
  assert_true(qe_block_clip(x, NAN) == norm);
  assert_memory_equal(qe_block_values(x), qe_block_values(before), 30 * sizeof(qe_real));
  assert_true(qe_block_clip(x, norm / 8) == norm);
  assert_true(fabs(qe_block_norm(x) / norm * 8 - 1) < 1e-6);
  assert_true(qe_block_values(x)[4] == qe_block_values(before)[4] / 8);
  qe_block_clip(x, 0);
  assert_true(qe_block_norm(x) == 0);
  assert_true(qe_block_clip(x, 0) == 0);
  qe_block_values(x)[2] = INFINITY;
  qe_block_values(x)[5] = 3;
  assert_true(isinf(qe_block_clip(x, 1)));
  assert_true(qe_block_values(x)[5] == 3);
  qe_block_free(x);
  qe_block_free(before);
}

static void empty_block(void **state) {
  (void)state;
  qe_params *params = qe_params_new();
  qe_block *x = qe_params_values(params), *y = qe_block_clone(x);
  double dot = 1;
  assert_int_equal(qe_block_size(y), 0);
  assert_int_equal(qe_block_copy(y, x), QE_OK);
  assert_int_equal(qe_block_fill(y, 1), QE_OK);
  assert_int_equal(qe_block_dot(x, y, &dot), QE_OK);
  assert_true(dot == 0);
  qe_block_free(y);
  qe_params_free(params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(clones_stand_alone), cmocka_unit_test(adding_a_matrix_parts_them),
    cmocka_unit_test(unequal_layouts),    cmocka_unit_test(algebra_cell_by_cell),
    cmocka_unit_test(products_in_double), cmocka_unit_test(small_terms_count),
    cmocka_unit_test(clipping),           cmocka_unit_test(empty_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
