/*
** test_gradient_elementwise.c - gradients of arithmetic with every kind of broadcasting, of functions of one matrix
** and of dropout against central differences; and that the checker sees gradients that are wrong.
*/
#include "gradient.h"

/* ---- arithmetic ---- */

typedef qe_tensor binary(qe_tensor a, qe_tensor b);
struct binary_context {
  binary *operation;
};

static qe_tensor run_binary(const qe_tensor *inputs, const void *context) {
  const struct binary_context *binary_context = context;
  return binary_context->operation(inputs[0], inputs[1]);
}

/* The same tensor on both sides: gradients of both arrive in one place. */
static qe_tensor run_both_sides(const qe_tensor *inputs, const void *context) {
  const struct binary_context *binary_context = context;
  return binary_context->operation(inputs[0], inputs[0]);
}

static void check_binary(const char *name, binary *operation, enum gradient_fill fill) {
  static const size_t shapes[][4] = {
    { 1, 1, 1, 1 },  { 4, 3, 4, 3 },  { 3, 21, 3, 21 }, { 4, 3, 1, 3 },   { 1, 3, 4, 3 }, { 4, 3, 4, 1 },
    { 4, 1, 4, 3 },  { 4, 3, 1, 1 },  { 1, 1, 4, 3 },   { 5, 1, 1, 1 },   { 1, 1, 5, 1 }, { 1, 6, 1, 1 },
    { 1, 1, 1, 6 },  { 0, 3, 1, 3 },  { 1, 1, 0, 3 },   { 3, 0, 3, 1 },   { 0, 3, 0, 3 }, { 1, 0, 3, 0 },
    { 2, 37, 2, 1 }, { 2, 1, 2, 37 }, { 1, 1, 2, 150 }, { 2, 150, 1, 1 },
  };
  const struct binary_context context = { operation };
  struct gradient_report report = gradient_begin(name);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const size_t *s = shapes[i];
    struct gradient_case c = { run_binary, &context, fill, 2, { { s[0], s[1] }, { s[2], s[3] } } };
    gradient_check(&report, &c);
  }
  struct gradient_case twice = { run_both_sides, &context, fill, 1, { { 4, 3 } } };
  gradient_check(&report, &twice);
  gradient_end(&report);
}

static void test_arithmetic(void **state) {
  (void)state;
  check_binary("add", qe_add, NORMAL);
  check_binary("sub", qe_sub, NORMAL);
  check_binary("mul", qe_mul, NORMAL);
  check_binary("div", qe_div, POSITIVE);
}

/* A row longer than the strip in which slopes of a broadcast operand are summed. */
static void test_long_rows(void **state) {
  (void)state;
  const struct binary_context context = { qe_mul };
  struct gradient_report report = gradient_begin("mul of long rows");
  struct gradient_case c = { run_binary, &context, NORMAL, 2, { { 2, 1 }, { 2, 259 } } };
  gradient_check(&report, &c);
  gradient_end(&report);
}

/* ---- functions ---- */

typedef qe_tensor unary(qe_tensor a);
struct unary_context {
  unary *operation;
};

static qe_tensor run_unary(const qe_tensor *inputs, const void *context) {
  const struct unary_context *unary_context = context;
  return unary_context->operation(inputs[0]);
}

static void test_functions(void **state) {
  (void)state;
  static const struct {
    const char *name;
    unary *operation;
    enum gradient_fill fill;
  } functions[] = {
    { "sigmoid", qe_sigmoid, NORMAL }, { "tanh", qe_tanh, NORMAL }, { "relu", qe_relu, APART },
    { "gelu", qe_gelu, NORMAL },       { "exp", qe_exp, NORMAL },   { "log", qe_log, POSITIVE },
    { "sqrt", qe_sqrt, POSITIVE },     { "abs", qe_abs, APART },    { "square", qe_square, NORMAL },
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    const struct unary_context context = { functions[i].operation };
    gradient_all_shapes(functions[i].name, run_unary, &context, functions[i].fill, 1);
  }
}

static qe_tensor run_affine(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_affine(inputs[0], -1.75, 0.5);
}

static qe_tensor run_clamp(const qe_tensor *inputs, const void *context) {
  (void)context;
  return qe_clamp(inputs[0], -0.4, 0.6);
}

/* The same seed every time: the same cells are dropped. */
static qe_tensor run_dropout(const qe_tensor *inputs, const void *context) {
  qe_rng rng;
  qe_rng_seed(&rng, 5, "dropout");
  return qe_dropout(inputs[0], *(const double *)context, &rng);
}

static void test_with_constants(void **state) {
  (void)state;
  static const double half = 0.5, tenth = 0.1, nothing = 0;
  gradient_all_shapes("affine", run_affine, NULL, NORMAL, 1);
  gradient_all_shapes("clamp", run_clamp, NULL, APART, 1);
  gradient_all_shapes("dropout 0.5", run_dropout, &half, NORMAL, 1);
  gradient_all_shapes("dropout 0.1", run_dropout, &tenth, NORMAL, 1);
  gradient_all_shapes("dropout 0", run_dropout, &nothing, NORMAL, 1);
}

/* Values that kinks are put at: the slopes that the comment of elementwise.c promises. */
static void test_slopes_at_kinks(void **state) {
  (void)state;
  const qe_real zero = 0, one = 1;
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor x = qe_variable(tape, 1, 1, &zero), y = qe_variable(tape, 1, 1, &zero);
  qe_tensor z = qe_variable(tape, 1, 1, &one);
  assert_int_equal(qe_inject(qe_relu(x), NULL), QE_OK);
  assert_int_equal(qe_inject(qe_abs(y), NULL), QE_OK);
  assert_int_equal(qe_inject(qe_clamp(z, 0, 1), NULL), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  assert_true(qe_gradient(x)[0] == 0 && qe_gradient(y)[0] == 0 && qe_gradient(z)[0] == 1);
  qe_tape_free(tape);
}

/* Longer chains, where a tensor is used more than once. */
static qe_tensor run_chain(const qe_tensor *inputs, const void *context) {
  (void)context;
  qe_tensor a = qe_tanh(qe_add(qe_mul(inputs[0], inputs[1]), inputs[2]));
  return qe_mul(qe_sub(a, qe_square(inputs[0])), qe_sigmoid(qe_add(a, a)));
}

static void test_chain(void **state) {
  (void)state;
  struct gradient_report report = gradient_begin("a chain");
  struct gradient_case c = { run_chain, NULL, NORMAL, 3, { { 4, 3 }, { 1, 3 }, { 4, 1 } } };
  gradient_check(&report, &c);
  gradient_end(&report);
}

/* ---- the checker itself: x^2 with backwards that are wrong in one way each ---- */

enum mistake { NO_MISTAKE, HALF, SLIGHTLY_MORE, OVERWRITES, ONE_CELL, NEIGHBOUR, NOTHING, NOT_A_NUMBER };

static void wrong_backward(struct node *node) {
  const enum mistake mistake = *(const enum mistake *)node->extra;
  const size_t cells = node->rows * node->cols;
  const qe_real *x = node->input[0]->x;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && mistake != NOTHING && i < cells; i++) {
    qe_real slope = (mistake == HALF ? x[i] : 2 * x[i]) * (mistake == SLIGHTLY_MORE ? 1.00001 : 1);
    if (mistake == ONE_CELL && i + 1 == cells)
      slope = -slope;
    if (mistake == NOT_A_NUMBER && i == 0)
      slope = NAN;
    qe_real from = node->g[mistake == NEIGHBOUR ? (i + 1) % cells : i];
    g[i] = from * slope + (mistake == OVERWRITES ? 0 : g[i]);
  }
}

static const struct operation wrong = { "wrong", wrong_backward };

static qe_tensor run_wrong(const qe_tensor *inputs, const void *context) {
  struct node *input = node_of(inputs[0]);
  struct node *node = node_new(input->tape, &wrong, input->rows, input->cols, &input, 1);
  enum mistake *mistake = tape_alloc(input->tape, 1, sizeof *mistake);
  *mistake = *(const enum mistake *)context;
  node->extra = mistake;
  for (size_t i = 0; i < node->rows * node->cols; i++)
    node->x[i] = input->x[i] * input->x[i];
  return node_handle(node);
}

static void test_checker_sees_mistakes(void **state) {
  (void)state;
  for (enum mistake mistake = NO_MISTAKE; mistake <= NOT_A_NUMBER; mistake++) {
    struct gradient_report report = gradient_begin("wrong");
    struct gradient_case c = { run_wrong, &mistake, NORMAL, 1, { { 4, 3 } } };
    double worst = gradient_check(&report, &c);
    if (mistake == NO_MISTAKE)
      assert_true(worst <= GRADIENT_BOUND);
    else
      assert_true(worst > 5 * GRADIENT_BOUND);
    assert_true(report.worst == worst);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_arithmetic),
    cmocka_unit_test(test_long_rows),
    cmocka_unit_test(test_functions),
    cmocka_unit_test(test_with_constants),
    cmocka_unit_test(test_slopes_at_kinks),
    cmocka_unit_test(test_chain),
    cmocka_unit_test(test_checker_sees_mistakes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
