/*
** test_tape.c - what the tape promises whatever the operation: stale and missing handles, two tapes, the first error,
** recording off, one walk, injected gradients, memory that is reused after reset, matrices without rows or columns.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define IS_POISONED(address) __asan_address_is_poisoned(address)
#else
#define IS_POISONED(address) ((void)(address), 1)
#endif

static const qe_real numbers[] = { 1, 2, 3, 4, 5, 6 };

static bool is_none(qe_tensor t) {
  return t.tape == NULL;
}

static void assert_error(const qe_tape *tape, const char *part) {
  assert_int_equal(qe_tape_status(tape), QE_USE);
  if (!strstr(qe_tape_error(tape), part))
    fail_msg("\"%s\" does not say \"%s\"", qe_tape_error(tape), part);
}

/* ---- handles ---- */

static void test_leaves(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, 2, 3, numbers), zeros = qe_variable(tape, 3, 2, NULL);
  assert_int_equal(qe_rows(a), 2);
  assert_int_equal(qe_cols(a), 3);
  assert_memory_equal(qe_values(a), numbers, sizeof numbers);
  for (int i = 0; i < 6; i++)
    assert_true(qe_values(zeros)[i] == 0);
  assert_true((uintptr_t)qe_values(a) % 64 == 0 && (uintptr_t)qe_values(zeros) % 64 == 0);
  assert_null(qe_gradient(zeros));
  qe_tensor copy = qe_detach(a);
  assert_memory_equal(qe_values(copy), numbers, sizeof numbers);
  assert_ptr_not_equal(qe_values(copy), qe_values(a));
  qe_tape_free(tape);
  qe_tape_free(NULL);
}

static void test_stale(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor old = qe_constant(tape, 2, 3, numbers);
  qe_tape_reset(tape);
  assert_int_equal(qe_rows(old), 0);
  assert_error(tape, "stale");
  qe_tape_reset(tape);
  assert_int_equal(qe_tape_status(tape), QE_OK);
  assert_string_equal(qe_tape_error(tape), "");
  qe_tensor fresh = qe_constant(tape, 2, 3, numbers);
  assert_true(is_none(qe_add(fresh, old)));
  assert_error(tape, "stale");
  qe_tape_reset(tape);
  assert_null(qe_values(fresh));
  assert_int_equal(qe_backward(fresh), QE_USE);
  assert_int_equal(qe_inject(fresh, NULL), QE_USE);
  qe_tape_free(tape);
}

/* An id that the tape has not given out. */
static void test_forged(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, 2, 3, numbers);
  a.id = 7;
  assert_true(is_none(qe_tanh(a)));
  assert_error(tape, "stale");
  qe_tape_free(tape);
}

static void test_two_tapes(void **state) {
  (void)state;
  qe_tape *one = qe_tape_new(NULL, 1), *two = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(one, 2, 3, numbers), b = qe_constant(two, 2, 3, numbers);
  assert_true(is_none(qe_mul(a, b)));
  assert_error(one, "two tapes");
  assert_error(two, "two tapes");
  qe_tape_reset(one);
  qe_tape_reset(two);
  a = qe_constant(one, 2, 3, numbers);
  b = qe_constant(two, 2, 3, numbers);
  const qe_tensor parts[] = { a, a, b };
  assert_true(is_none(qe_below(parts, 3)));
  assert_error(one, "two tapes");
  qe_tape_free(one);
  qe_tape_free(two);
}

typedef qe_tensor unary(qe_tensor a);
typedef qe_tensor binary(qe_tensor a, qe_tensor b);

static void test_none(void **state) {
  (void)state;
  static unary *const unaries[] = { qe_sigmoid, qe_tanh, qe_relu,   qe_gelu,       qe_exp,  qe_log,
                                    qe_sqrt,    qe_abs,  qe_square, qe_transposed, qe_unit, qe_detach };
  static binary *const binaries[] = {
    qe_add, qe_sub, qe_mul, qe_div, qe_squared_error, qe_cross_entropy, qe_binary_cross_entropy
  };
  static const uint32_t ids[] = { 0, 1 };
  const qe_segments bags = { ids, 1 };
  for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++)
    assert_true(is_none(unaries[i](QE_NONE)));
  for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++)
    assert_true(is_none(binaries[i](QE_NONE, QE_NONE)));
  for (qe_axis axis = QE_ALL; axis <= QE_OVER_COLUMNS; axis++)
    assert_true(is_none(qe_sum(QE_NONE, axis)) && is_none(qe_mean(QE_NONE, axis)) &&
                is_none(qe_max(QE_NONE, axis)));
  assert_true(is_none(qe_matmul(QE_NONE, QE_NONE, QE_NN)) && is_none(qe_affine(QE_NONE, 1, 1)));
  assert_true(is_none(qe_columns(QE_NONE, 0, 0)) && is_none(qe_slice(QE_NONE, 0, 0)));
  assert_true(is_none(qe_gather(QE_NONE, ids, 2)) && is_none(qe_pick(QE_NONE, ids)));
  assert_true(is_none(qe_bag(QE_NONE, ids, bags)) && is_none(qe_clamp(QE_NONE, 2, 1)));
  assert_true(is_none(qe_dropout(QE_NONE, 0.5, NULL)) && is_none(qe_softmax(QE_NONE, 1)));
  assert_true(is_none(qe_log_softmax(QE_NONE, 1)) && is_none(qe_layer_norm(QE_NONE, QE_NONE, QE_NONE, 1e-5)));
  assert_true(is_none(qe_huber(QE_NONE, QE_NONE, 1)) && is_none(qe_kl(QE_NONE, QE_NONE, 1)));
  assert_true(is_none(qe_beside(&QE_NONE, 1)) && is_none(qe_below(&QE_NONE, 1)));
  assert_true(is_none(qe_beside(NULL, 0)) && is_none(qe_below(NULL, 0)));
  assert_int_equal(qe_rows(QE_NONE), 0);
  assert_int_equal(qe_cols(QE_NONE), 0);
  assert_null(qe_values(QE_NONE));
  assert_null(qe_gradient(QE_NONE));
  assert_int_equal(qe_backward(QE_NONE), QE_USE);
}

static qe_tensor fresh_tensor(qe_tape *tape) {
  qe_tape_reset(tape);
  return qe_constant(tape, 2, 3, numbers);
}

/* The error is that of this very operation: the tape is reset after each. */
static qe_tensor refused_none(qe_tape *tape, qe_tensor result) {
  assert_true(is_none(result));
  assert_error(tape, "an operand is none");
  return fresh_tensor(tape);
}

static void test_one_of_two_is_none(void **state) {
  (void)state;
  static binary *const binaries[] = {
    qe_add, qe_sub, qe_mul, qe_div, qe_squared_error, qe_cross_entropy, qe_binary_cross_entropy
  };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = fresh_tensor(tape);
  for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
    a = refused_none(tape, binaries[i](a, QE_NONE));
    a = refused_none(tape, binaries[i](QE_NONE, a));
  }
  a = refused_none(tape, qe_layer_norm(a, QE_NONE, a, 1));
  a = refused_none(tape, qe_layer_norm(a, a, QE_NONE, 1));
  a = refused_none(tape, qe_beside((const qe_tensor[]){ a, QE_NONE }, 2));
  refused_none(tape, qe_below((const qe_tensor[]){ a, QE_NONE }, 2));
  qe_tape_free(tape);
}

/* ---- errors ---- */

static void test_first_error_stays(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, 2, 3, numbers), b = qe_constant(tape, 3, 2, numbers);
  assert_true(is_none(qe_add(a, b)));
  assert_error(tape, "add: 2 x 3 and 3 x 2");
  assert_true(is_none(qe_matmul(a, a, QE_NN)));
  assert_error(tape, "add: 2 x 3 and 3 x 2");
  assert_true(is_none(qe_tanh(a)));
  assert_true(is_none(qe_constant(tape, 1, 1, NULL)));
  assert_int_equal(qe_backward(a), QE_USE);
  assert_int_equal(qe_tape_backward(tape), QE_USE);
  assert_error(tape, "add: 2 x 3 and 3 x 2");
  qe_tape_reset(tape);
  a = qe_variable(tape, 2, 3, numbers);
  assert_int_equal(qe_backward(qe_tanh(a)), QE_OK);
  qe_tape_free(tape);
}

static void test_broadcasting_errors(void **state) {
  (void)state;
  static const size_t shapes[][4] = { { 2, 3, 3, 2 }, { 2, 3, 2, 2 }, { 2, 3, 1, 2 }, { 1, 2, 2, 3 },
                                      { 2, 3, 3, 1 }, { 1, 3, 2, 1 }, { 2, 1, 1, 3 }, { 4, 1, 2, 1 },
                                      { 0, 3, 2, 3 }, { 2, 0, 2, 3 } };
  static const struct {
    const char *name;
    binary *operation;
  } operations[] = { { "add", qe_add }, { "sub", qe_sub }, { "mul", qe_mul }, { "div", qe_div } };
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (size_t j = 0; j < 4; j++) {
      char expected[100];
      const size_t *s = shapes[i];
      qe_tensor a = qe_constant(tape, s[0], s[1], NULL), b = qe_constant(tape, s[2], s[3], NULL);
      assert_true(is_none(operations[j].operation(a, b)));
      snprintf(expected, sizeof expected, "%s: %zu x %zu and %zu x %zu do not broadcast", operations[j].name, s[0],
               s[1], s[2], s[3]);
      assert_error(tape, expected);
      qe_tape_reset(tape);
    }
  qe_tape_free(tape);
}

static void test_sizes_overflow(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  assert_true(is_none(qe_constant(tape, SIZE_MAX / 2, 4, NULL)));
  assert_int_equal(qe_tape_status(tape), QE_MEMORY);
  qe_tape_reset(tape);
  assert_true(is_none(qe_constant(tape, SIZE_MAX / sizeof(qe_real), 1, NULL)));
  assert_int_equal(qe_tape_status(tape), QE_MEMORY);
  qe_tape_reset(tape);
  qe_tensor tall = qe_constant(tape, SIZE_MAX / 2 + 1, 0, NULL);
  const qe_tensor both[] = { tall, tall };
  assert_true(is_none(qe_below(both, 2)));
  assert_int_equal(qe_tape_status(tape), QE_MEMORY);
  qe_tape_reset(tape);
  qe_tensor a = qe_constant(tape, SIZE_MAX / 2, 0, NULL), b = qe_constant(tape, 0, SIZE_MAX / 2, NULL);
  assert_true(is_none(qe_matmul(a, b, QE_NN)));
  assert_int_equal(qe_tape_status(tape), QE_MEMORY);
  qe_tape_free(tape);
}

/* ---- recording and backward ---- */

static void test_recording_off(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 3, numbers);
  assert_int_equal(qe_tape_recording(tape, 0), 1);
  qe_tensor b = qe_square(a), silent = qe_variable(tape, 2, 3, numbers);
  const qe_tensor parts[] = { a, a };
  qe_tensor side = qe_beside(parts, 2);
  assert_int_equal(qe_tape_recording(tape, 0), 0);
  assert_int_equal(qe_tape_recording(tape, 1), 0);
  assert_int_equal(qe_tape_recording(tape, 1), 1);
  qe_tensor c = qe_mul(a, b), d = qe_mul(a, silent);
  assert_int_equal(qe_inject(c, NULL), QE_OK);
  assert_int_equal(qe_inject(d, NULL), QE_OK);
  assert_int_equal(qe_inject(side, NULL), QE_OK); /* wants none: nothing happens */
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  assert_null(qe_gradient(b));
  assert_null(qe_gradient(silent));
  assert_null(qe_gradient(side));
  for (int i = 0; i < 6; i++) /* b counts as a constant */
    assert_true(fabs((double)(qe_gradient(a)[i] - (numbers[i] * numbers[i] + numbers[i]))) < 1e-5);
  qe_tape_free(tape);
}

static void test_backward_of_a_constant(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_constant(tape, 2, 3, numbers), b = qe_tanh(a);
  assert_int_equal(qe_backward(b), QE_OK);
  assert_null(qe_gradient(a));
  assert_null(qe_gradient(b));
  qe_tape_free(tape);
}

static void test_backward_twice(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 3, numbers), b = qe_sum(a, QE_ALL);
  assert_int_equal(qe_backward(b), QE_OK);
  assert_true(qe_gradient(a)[0] == 1);
  assert_int_equal(qe_backward(b), QE_USE);
  assert_error(tape, "walked");
  assert_true(qe_gradient(a)[0] == 1);
  qe_tape_reset(tape);
  a = qe_variable(tape, 2, 3, numbers);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  assert_true(is_none(qe_tanh(a)));
  assert_error(tape, "tanh");
  qe_tape_free(tape);
}

static void test_unused_variable(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor used = qe_variable(tape, 1, 1, NULL), unused = qe_variable(tape, 1, 1, NULL);
  qe_tensor dead = qe_exp(unused);
  assert_int_equal(qe_backward(qe_exp(used)), QE_OK);
  assert_non_null(qe_gradient(used));
  assert_null(qe_gradient(unused));
  assert_null(qe_gradient(dead));
  qe_tape_free(tape);
}

/* Injected gradients add up, at results, in the middle and at variables. */
static void test_inject(void **state) {
  (void)state;
  const qe_real ones[] = { 1, 1, 1, 1, 1, 1 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 3, numbers), b = qe_affine(a, 2, 0), c = qe_affine(b, 5, 0);
  assert_int_equal(qe_inject(c, numbers), QE_OK);
  assert_int_equal(qe_inject(c, ones), QE_OK);
  assert_int_equal(qe_inject(b, numbers), QE_OK);
  assert_int_equal(qe_inject(a, NULL), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  for (int i = 0; i < 6; i++) {
    assert_true(qe_gradient(c)[i] == numbers[i] + 1);
    assert_true(qe_gradient(b)[i] == numbers[i] + 5 * (numbers[i] + 1));
    assert_true(qe_gradient(a)[i] == 1 + 2 * qe_gradient(b)[i]);
  }
  assert_int_equal(qe_inject(a, numbers), QE_USE);
  assert_error(tape, "inject");
  qe_tape_free(tape);
}

static void test_any_shape_of_loss(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 2, 3, numbers);
  assert_int_equal(qe_backward(qe_square(a)), QE_OK);
  for (int i = 0; i < 6; i++)
    assert_true(qe_gradient(a)[i] == 2 * numbers[i]);
  qe_tape_free(tape);
}

/* A tensor that thousands of nodes use, and a chain as long. */
static void test_long_tape(void **state) {
  (void)state;
  enum { LENGTH = 20000 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor a = qe_variable(tape, 1, 1, numbers), sum = a;
  for (int i = 0; i < LENGTH; i++)
    sum = qe_add(sum, a);
  assert_int_equal(qe_backward(sum), QE_OK);
  assert_true(qe_values(sum)[0] == LENGTH + 1);
  assert_true(qe_gradient(a)[0] == LENGTH + 1);
  qe_tape_free(tape);
}

/* ---- memory ---- */

enum { PLACES = 400 };

/* A step of training: small and large matrices (some larger than a chunk), a walk. Notes where values are. */
static void step(qe_tape *tape, const void *places[PLACES]) {
  qe_rng rng;
  qe_rng_seed(&rng, 3, "sizes");
  qe_tape_reset(tape);
  for (int i = 0; i < PLACES; i += 4) {
    size_t rows = i % 100 == 60 ? 9000 : 1 + (size_t)qe_rng_below(&rng, 40);
    qe_tensor a = qe_variable(tape, rows, 40, NULL), b = qe_exp(a), c = qe_mul(a, b), d = qe_mean(c, QE_ALL);
    assert_int_equal(qe_inject(d, NULL), QE_OK);
    places[i] = qe_values(a);
    places[i + 1] = qe_values(b);
    places[i + 2] = qe_values(c);
    places[i + 3] = qe_values(d);
  }
  assert_int_equal(qe_tape_backward(tape), QE_OK);
}

/* The same step finds the same memory every time but the first: the arena does not grow. */
static void test_memory_is_reused(void **state) {
  (void)state;
  const void *first[PLACES], *again[PLACES];
  qe_tape *tape = qe_tape_new(NULL, 1);
  step(tape, again); /* in chunks, of which the next reset makes one */
  step(tape, first);
  for (int round = 0; round < 20; round++) {
    step(tape, again);
    assert_memory_equal(first, again, sizeof first);
  }
  qe_tape_free(tape);
}

static void test_reset_poisons(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  const qe_real *old = qe_values(qe_constant(tape, 2, 3, numbers));
  assert_true(IS_POISONED(old + 6)); /* a red zone behind every matrix */
  qe_tape_reset(tape);
  assert_true(IS_POISONED(old) && IS_POISONED(old + 5));
  const qe_real *fresh = qe_values(qe_constant(tape, 2, 3, NULL));
  assert_ptr_equal(old, fresh);
  for (int i = 0; i < 6; i++)
    assert_true(fresh[i] == 0);
  qe_tape_free(tape);
}

/* Gradients of a recording do not show in the next, which has the same memory. */
static void test_gradients_start_at_zero(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (int round = 0; round < 3; round++) {
    qe_tape_reset(tape);
    qe_tensor a = qe_variable(tape, 2, 3, numbers);
    assert_null(qe_gradient(a));
    assert_int_equal(qe_backward(qe_affine(a, 3, 0)), QE_OK);
    for (int i = 0; i < 6; i++)
      assert_true(qe_gradient(a)[i] == 3);
  }
  qe_tape_free(tape);
}

/* ---- matrices without rows or columns ---- */

static void check_shape(qe_tensor t, size_t rows, size_t cols) {
  if (is_none(t))
    fail_msg("no tensor where %zu x %zu was expected", rows, cols);
  assert_int_equal(qe_rows(t), rows);
  assert_int_equal(qe_cols(t), cols);
  assert_int_equal(qe_inject(t, NULL), QE_OK);
}

static void check_empty_rows(qe_tensor a, size_t rows, size_t cols) {
  static unary *const unaries[] = { qe_sigmoid, qe_tanh, qe_relu, qe_gelu,   qe_exp,
                                    qe_log,     qe_sqrt, qe_abs,  qe_square, qe_unit };
  qe_rng rng;
  qe_rng_seed(&rng, 1, "empty");
  for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++)
    check_shape(unaries[i](a), rows, cols);
  check_shape(qe_softmax(a, 1), rows, cols);
  check_shape(qe_log_softmax(a, 1), rows, cols);
  check_shape(qe_affine(a, 2, 1), rows, cols);
  check_shape(qe_clamp(a, 0, 1), rows, cols);
  check_shape(qe_dropout(a, 0.5, &rng), rows, cols);
  check_shape(qe_transposed(a), cols, rows);
  check_shape(qe_matmul(a, a, QE_NT), rows, rows);
  check_shape(qe_matmul(a, a, QE_TN), cols, cols);
  check_shape(qe_columns(a, cols, 0), rows, 0);
  check_shape(qe_slice(a, rows, 0), 0, cols);
  check_shape(qe_squared_error(a, a), rows, 1);
  check_shape(qe_huber(a, a, 1), rows, 1);
  check_shape(qe_cross_entropy(a, a), rows, 1);
  check_shape(qe_kl(a, a, 1), rows, 1);
  check_shape(qe_binary_cross_entropy(a, a), rows, 1);
  check_shape(qe_sum(a, QE_OVER_ROWS), 1, cols);
  check_shape(qe_mean(a, QE_OVER_COLUMNS), rows, 1);
  qe_tensor total = qe_mean(a, QE_ALL);
  check_shape(total, 1, 1);
  assert_true(qe_values(total)[0] == 0);
}

static void test_empty_matrices(void **state) {
  (void)state;
  static const size_t shapes[][2] = { { 0, 3 }, { 3, 0 }, { 0, 0 }, { 0, 1 }, { 1, 0 } };
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    qe_tape_reset(tape);
    qe_tensor a = qe_variable(tape, shapes[i][0], shapes[i][1], NULL);
    check_empty_rows(a, shapes[i][0], shapes[i][1]);
    if (qe_tape_status(tape) != QE_OK)
      fail_msg("%s", qe_tape_error(tape));
    assert_int_equal(qe_tape_backward(tape), QE_OK);
  }
  qe_tape_free(tape);
}

/* A product over an inner size of 0 is zeros, not what the memory held. */
static void test_empty_inner_size(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (int round = 0; round < 2; round++) {
    qe_tape_reset(tape);
    qe_tensor a = qe_constant(tape, 3, 0, NULL), product = qe_matmul(a, a, QE_NT);
    for (int i = 0; i < 9; i++)
      assert_true(qe_values(product)[i] == 0);
    qe_tape_reset(tape); /* leaves ones for the second round */
    for (int i = 0; i < 8; i++)
      qe_affine(qe_constant(tape, 3, 3, NULL), 1, 1);
  }
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_leaves),
    cmocka_unit_test(test_stale),
    cmocka_unit_test(test_forged),
    cmocka_unit_test(test_two_tapes),
    cmocka_unit_test(test_none),
    cmocka_unit_test(test_one_of_two_is_none),
    cmocka_unit_test(test_first_error_stays),
    cmocka_unit_test(test_broadcasting_errors),
    cmocka_unit_test(test_sizes_overflow),
    cmocka_unit_test(test_recording_off),
    cmocka_unit_test(test_backward_of_a_constant),
    cmocka_unit_test(test_backward_twice),
    cmocka_unit_test(test_unused_variable),
    cmocka_unit_test(test_inject),
    cmocka_unit_test(test_any_shape_of_loss),
    cmocka_unit_test(test_long_tape),
    cmocka_unit_test(test_memory_is_reused),
    cmocka_unit_test(test_reset_poisons),
    cmocka_unit_test(test_gradients_start_at_zero),
    cmocka_unit_test(test_empty_matrices),
    cmocka_unit_test(test_empty_inner_size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
