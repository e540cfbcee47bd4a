/*
** test_operations.c - values of every operation in the build that users have (float), against twins in double that
** take one cell at a time; values at the edges (NaN, infinities, ties, far logits); dropout against its own draws;
** the messages for shapes and numbers that do not fit.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

/* Sizes around the width of vectors and of strips. */
static const size_t shapes[][2] = { { 1, 1 },  { 1, 15 }, { 1, 16 }, { 1, 17 },  { 5, 1 },  { 3, 4 },
                                    { 7, 33 }, { 2, 63 }, { 64, 2 }, { 3, 257 }, { 20, 50 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A matrix and its cells, which a cell function below reads. */
struct matrix {
  size_t rows, cols;
  qe_real *cells;
  qe_tensor tensor;
};

enum fill { NORMAL, POSITIVE, PROBABLE };

static struct matrix matrix_make(qe_tape *tape, qe_rng *rng, enum fill fill, size_t rows, size_t cols) {
  struct matrix m = { .rows = rows, .cols = cols, .cells = malloc((rows * cols + 1) * sizeof *m.cells) };
  assert_non_null(m.cells);
  for (size_t i = 0; i < rows * cols; i++)
    m.cells[i] =
        (qe_real)(fill == NORMAL ? 2 * qe_rng_normal(rng) : qe_rng_uniform(rng) + (fill == POSITIVE ? 0.1 : 0));
  m.tensor = qe_constant(tape, rows, cols, m.cells);
  return m;
}

static double cell(const struct matrix *m, size_t i, size_t j) {
  return (double)m->cells[i * m->cols + j];
}

/* A cell of a broadcast operand. */
static double wide_cell(const struct matrix *m, size_t i, size_t j) {
  return cell(m, m->rows == 1 ? 0 : i, m->cols == 1 ? 0 : j);
}

static void check_cell(const char *name, double found, double expected) {
  if (!(fabs(found - expected) <= 4e-6 * fmax(1, fabs(expected))))
    fail_msg("%s: found %.9g, expected %.9g", name, found, expected);
}

static void check_shape(const char *name, qe_tensor t, size_t rows, size_t cols) {
  if (!t.tape || qe_rows(t) != rows || qe_cols(t) != cols)
    fail_msg("%s: %zu x %zu, expected %zu x %zu (%s)", name, qe_rows(t), qe_cols(t), rows, cols,
             t.tape ? qe_tape_error(t.tape) : "no tensor");
}

struct fixture {
  qe_tape *tape;
  qe_rng rng;
};

static struct fixture fixture_make(const char *name) {
  struct fixture f = { .tape = qe_tape_new(NULL, 1) };
  qe_rng_seed(&f.rng, 8, name);
  assert_non_null(f.tape);
  return f;
}

/* ---- elementwise ---- */

static double plus(double x, double y) {
  return x + y;
}
static double minus(double x, double y) {
  return x - y;
}
static double times(double x, double y) {
  return x * y;
}
static double over(double x, double y) {
  return x / y;
}

static void test_arithmetic(void **state) {
  (void)state;
  static const struct {
    const char *name;
    qe_tensor (*operation)(qe_tensor a, qe_tensor b);
    double (*twin)(double x, double y);
  } operations[] = {
    { "add", qe_add, plus }, { "sub", qe_sub, minus }, { "mul", qe_mul, times }, { "div", qe_div, over }
  };
  struct fixture f = fixture_make("arithmetic");
  for (size_t s = 0; s < SHAPES * 7; s++) {
    const size_t rows = shapes[s / 7][0], cols = shapes[s / 7][1],
                 form = s % 7; /* 1..3: b is smaller, 4..6: a is */
    const size_t small[2] = { form % 3 == 1 ? rows : 1, form % 3 == 2 ? cols : 1 };
    qe_tape_reset(f.tape);
    const bool a_small = form > 3, b_small = form > 0 && form <= 3;
    struct matrix a = matrix_make(f.tape, &f.rng, POSITIVE, a_small ? small[0] : rows, a_small ? small[1] : cols);
    struct matrix b = matrix_make(f.tape, &f.rng, POSITIVE, b_small ? small[0] : rows, b_small ? small[1] : cols);
    for (size_t o = 0; o < 4; o++) {
      qe_tensor out = operations[o].operation(a.tensor, b.tensor);
      check_shape(operations[o].name, out, rows, cols);
      for (size_t i = 0; i < rows * cols; i++)
        check_cell(operations[o].name, (double)qe_values(out)[i],
                   operations[o].twin(wide_cell(&a, i / cols, i % cols), wide_cell(&b, i / cols, i % cols)));
    }
    free(a.cells);
    free(b.cells);
  }
  qe_tape_free(f.tape);
}

static double naive_sigmoid(double x) {
  return 0.5 + 0.5 * tanh(x / 2);
}
static double naive_relu(double x) {
  return fmax(x, 0);
}
static double naive_gelu(double x) {
  return x * (1 + erf(x / sqrt(2))) / 2;
}
static double naive_square(double x) {
  return pow(x, 2);
}
static double naive_affine(double x) {
  return 3 - x / 4;
}
static double naive_clamp(double x) {
  return fmin(fmax(x, -1), 0.5);
}
static qe_tensor affine(qe_tensor a) {
  return qe_affine(a, -0.25, 3);
}
static qe_tensor clamp(qe_tensor a) {
  return qe_clamp(a, -1, 0.5);
}

struct function {
  const char *name;
  qe_tensor (*operation)(qe_tensor a);
  double (*twin)(double x);
  enum fill fill;
};

static const struct function functions[] = {
  { "sigmoid", qe_sigmoid, naive_sigmoid, NORMAL },
  { "tanh", qe_tanh, tanh, NORMAL },
  { "relu", qe_relu, naive_relu, NORMAL },
  { "gelu", qe_gelu, naive_gelu, NORMAL },
  { "exp", qe_exp, exp, NORMAL },
  { "log", qe_log, log, POSITIVE },
  { "sqrt", qe_sqrt, sqrt, POSITIVE },
  { "abs", qe_abs, fabs, NORMAL },
  { "square", qe_square, naive_square, NORMAL },
  { "affine", affine, naive_affine, NORMAL },
  { "clamp", clamp, naive_clamp, NORMAL },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void test_functions(void **state) {
  (void)state;
  struct fixture f = fixture_make("functions");
  for (size_t o = 0; o < FUNCTIONS; o++)
    for (size_t s = 0; s < SHAPES; s++) {
      qe_tape_reset(f.tape);
      struct matrix a = matrix_make(f.tape, &f.rng, functions[o].fill, shapes[s][0], shapes[s][1]);
      qe_tensor out = functions[o].operation(a.tensor);
      check_shape(functions[o].name, out, a.rows, a.cols);
      for (size_t i = 0; i < a.rows * a.cols; i++)
        check_cell(functions[o].name, (double)qe_values(out)[i], functions[o].twin((double)a.cells[i]));
      free(a.cells);
    }
  qe_tape_free(f.tape);
}

/* NaN must not be lost: that is how the optimiser notices that training went astray. */
static void test_not_a_number(void **state) {
  (void)state;
  const qe_real nan = (qe_real)NAN;
  struct fixture f = fixture_make("nan");
  qe_tensor a = qe_constant(f.tape, 1, 1, &nan);
  for (size_t o = 0; o < FUNCTIONS; o++)
    assert_true(isnan(qe_values(functions[o].operation(a))[0]));
  const qe_real row[] = { 1, (qe_real)NAN, 2, 3 };
  qe_tensor b = qe_constant(f.tape, 1, 4, row);
  assert_true(isnan(qe_values(qe_max(b, QE_ALL))[0]));
  assert_true(isnan(qe_values(qe_sum(b, QE_ALL))[0]));
  assert_true(isnan(qe_values(qe_softmax(b, 1))[0]));
  assert_true(isnan(qe_values(qe_log_softmax(b, 1))[0]));
  assert_true(isnan(qe_values(qe_unit(b))[0]));
  assert_true(isnan(qe_values(qe_layer_norm(b, b, b, 1))[0]));
  assert_true(isnan(qe_values(qe_squared_error(b, b))[0]));
  assert_true(isnan(qe_values(qe_huber(b, b, 1))[0]));
  assert_true(isnan(qe_values(qe_cross_entropy(b, b))[0]));
  assert_true(isnan(qe_values(qe_binary_cross_entropy(b, b))[0]));
  assert_true(isnan(qe_values(qe_kl(b, b, 1))[0]));
  qe_tape_free(f.tape);
}

static void test_extremes(void **state) {
  (void)state;
  const qe_real ends[] = { -INFINITY, -1000, 1000, INFINITY };
  const qe_real sigmoids[] = { 0, 0, 1, 1 }, tanhs[] = { -1, -1, 1, 1 }, exps[] = { 0, 0, INFINITY, INFINITY };
  struct fixture f = fixture_make("extremes");
  qe_tensor a = qe_constant(f.tape, 1, 4, ends);
  assert_memory_equal(qe_values(qe_sigmoid(a)), sigmoids, sizeof sigmoids);
  assert_memory_equal(qe_values(qe_tanh(a)), tanhs, sizeof tanhs);
  assert_memory_equal(qe_values(qe_exp(a)), exps, sizeof exps);
  const qe_real *gelus = qe_values(qe_gelu(a));
  assert_true(gelus[1] == 0 && gelus[2] == 1000 && isinf(gelus[3]));
  const qe_real three[] = { -3, 3 };
  check_cell("gelu's lower tail", (double)qe_values(qe_gelu(qe_constant(f.tape, 1, 2, three)))[0] * 1000,
             -4.0496951);
  qe_tape_free(f.tape);
}

/* ---- dropout ---- */

static void check_dropout(struct fixture *f, size_t cells, double rate) {
  struct matrix a = matrix_make(f->tape, &f->rng, POSITIVE, 1, cells);
  qe_rng used = f->rng, twin = f->rng;
  qe_tensor out = qe_dropout(a.tensor, rate, &used);
  check_shape("dropout", out, 1, cells);
  uint64_t bits = 0;
  for (size_t i = 0; i < cells; i++) {
    if (i % 4 == 0)
      bits = qe_rng_next(&twin);
    const double draw = (double)(bits >> (16 * (i % 4)) & 0xffff);
    const bool dropped = draw < floor(rate * 65536 + 0.5);
    check_cell("dropout", (double)qe_values(out)[i], dropped ? 0 : (double)a.cells[i] / (1 - rate));
  }
  assert_memory_equal(&used, &twin, sizeof used); /* no more draws than that */
  free(a.cells);
}

static void test_dropout(void **state) {
  (void)state;
  static const double rates[] = { 0.5, 0.1, 0.999, 1e-4 };
  struct fixture f = fixture_make("dropout");
  for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
    for (size_t cells = 0; cells < 40; cells++)
      check_dropout(&f, cells, rates[i]);
  check_dropout(&f, 300000, 0.5); /* some draws are at the very limit */
  qe_tape_free(f.tape);
}

static void test_dropout_share(void **state) {
  (void)state;
  enum { CELLS = 200000 };
  static const double rates[] = { 0.5, 0.1, 0.75 };
  struct fixture f = fixture_make("share");
  for (size_t i = 0; i < 3; i++) {
    qe_tensor ones = qe_affine(qe_constant(f.tape, 1, CELLS, NULL), 0, 1);
    qe_tensor out = qe_dropout(ones, rates[i], &f.rng);
    size_t dropped = 0;
    for (size_t j = 0; j < CELLS; j++)
      dropped += qe_values(out)[j] == 0;
    const double deviation = sqrt(CELLS * rates[i] * (1 - rates[i]));
    assert_true(fabs((double)dropped - CELLS * rates[i]) < 4 * deviation);
    assert_true(fabs((double)qe_values(qe_mean(out, QE_ALL))[0] - 1) < 4 * deviation / CELLS / (1 - rates[i]));
  }
  qe_tape_free(f.tape);
}

static void test_dropout_without_effect(void **state) {
  (void)state;
  struct fixture f = fixture_make("none");
  const qe_rng before = f.rng;
  qe_tensor a = qe_constant(f.tape, 2, 3, NULL);
  qe_tensor b = qe_dropout(a, 0.5, NULL), c = qe_dropout(a, 0, &f.rng);
  assert_true(b.tape == a.tape && b.id == a.id && b.generation == a.generation && c.id == a.id);
  assert_memory_equal(&before, &f.rng, sizeof before);
  qe_tape_reset(f.tape);
  assert_null(qe_dropout(a, 0.5, NULL).tape); /* stale */
  assert_int_equal(qe_tape_status(f.tape), QE_USE);
  qe_tape_free(f.tape);
}

/* ---- matrices ---- */

static void check_product(struct fixture *f, qe_transpose transpose, size_t m, size_t n, size_t k) {
  const bool a_turned = transpose == QE_TN || transpose == QE_TT,
             b_turned = transpose == QE_NT || transpose == QE_TT;
  struct matrix a = matrix_make(f->tape, &f->rng, PROBABLE, a_turned ? k : m, a_turned ? m : k);
  struct matrix b = matrix_make(f->tape, &f->rng, PROBABLE, b_turned ? n : k, b_turned ? k : n);
  qe_tensor out = qe_matmul(a.tensor, b.tensor, transpose);
  check_shape("matmul", out, m, n);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t p = 0; p < k; p++)
        sum += (a_turned ? cell(&a, p, i) : cell(&a, i, p)) * (b_turned ? cell(&b, j, p) : cell(&b, p, j));
      check_cell("matmul", (double)qe_values(out)[i * n + j], sum);
    }
  free(a.cells);
  free(b.cells);
}

static void test_matmul(void **state) {
  (void)state;
  static const size_t sizes[][3] = { { 1, 1, 1 },  { 3, 4, 5 },    { 1, 20, 33 },
                                     { 17, 1, 9 }, { 40, 50, 60 }, { 2, 3, 0 } };
  struct fixture f = fixture_make("matmul");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (qe_transpose transpose = QE_NN; transpose <= QE_TT; transpose++) {
      qe_tape_reset(f.tape);
      check_product(&f, transpose, sizes[i][0], sizes[i][1], sizes[i][2]);
    }
  qe_tape_free(f.tape);
}

static void test_parts(void **state) {
  (void)state;
  struct fixture f = fixture_make("parts");
  for (size_t s = 0; s < SHAPES; s++) {
    qe_tape_reset(f.tape);
    struct matrix a = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    const size_t row = a.rows / 3, rows = a.rows - row, column = a.cols / 2, cols = a.cols - column;
    qe_tensor turned = qe_transposed(a.tensor), right = qe_columns(a.tensor, column, cols);
    qe_tensor low = qe_slice(a.tensor, row, rows);
    check_shape("transposed", turned, a.cols, a.rows);
    check_shape("columns", right, a.rows, cols);
    check_shape("slice", low, rows, a.cols);
    for (size_t i = 0; i < a.rows; i++)
      for (size_t j = 0; j < a.cols; j++) {
        assert_true((double)qe_values(turned)[j * a.rows + i] == cell(&a, i, j));
        assert_true(j < column || (double)qe_values(right)[i * cols + j - column] == cell(&a, i, j));
        assert_true(i < row || (double)qe_values(low)[(i - row) * a.cols + j] == cell(&a, i, j));
      }
    const qe_tensor halves[] = { qe_columns(a.tensor, 0, column), right };
    const qe_tensor stack[] = { qe_slice(a.tensor, 0, row), low };
    qe_tensor beside = qe_beside(halves, 2), below = qe_below(stack, 2); /* put together again */
    check_shape("beside", beside, a.rows, a.cols);
    check_shape("below", below, a.rows, a.cols);
    assert_memory_equal(qe_values(beside), a.cells, a.rows * a.cols * sizeof *a.cells);
    assert_memory_equal(qe_values(below), a.cells, a.rows * a.cols * sizeof *a.cells);
    free(a.cells);
  }
  qe_tape_free(f.tape);
}

static void check_lookups(struct fixture *f, size_t rows, size_t cols) {
  uint32_t ids[40], offset[14] = { 0 };
  struct matrix table = matrix_make(f->tape, &f->rng, NORMAL, rows, cols);
  for (size_t i = 0; i < 40; i++)
    ids[i] = (uint32_t)qe_rng_below(&f->rng, rows);
  for (size_t i = 0; i < 13; i++)
    offset[i + 1] = offset[i] + (uint32_t)qe_rng_below(&f->rng, 4);
  qe_tensor gathered = qe_gather(table.tensor, ids, 40),
            bags = qe_bag(table.tensor, ids, (qe_segments){ offset, 13 });
  check_shape("gather", gathered, 40, cols);
  check_shape("bag", bags, 13, cols);
  for (size_t i = 0; i < 40 * cols; i++)
    assert_true((double)qe_values(gathered)[i] == cell(&table, ids[i / cols], i % cols));
  for (size_t i = 0; i < 13 * cols; i++) {
    double mean = 0;
    for (size_t j = offset[i / cols]; j < offset[i / cols + 1]; j++)
      mean += cell(&table, ids[j], i % cols) / (offset[i / cols + 1] - offset[i / cols]);
    check_cell("bag", (double)qe_values(bags)[i], mean);
  }
  free(table.cells);
}

static void test_lookups(void **state) {
  (void)state;
  struct fixture f = fixture_make("lookups");
  for (size_t s = 0; s < SHAPES; s++) {
    qe_tape_reset(f.tape);
    check_lookups(&f, shapes[s][0], shapes[s][1]);
    struct matrix a = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    uint32_t columns[64];
    for (size_t i = 0; i < a.rows; i++)
      columns[i] = (uint32_t)qe_rng_below(&f.rng, a.cols);
    qe_tensor picked = qe_pick(a.tensor, columns);
    check_shape("pick", picked, a.rows, 1);
    for (size_t i = 0; i < a.rows; i++)
      assert_true((double)qe_values(picked)[i] == cell(&a, i, columns[i]));
    free(a.cells);
  }
  qe_tape_free(f.tape);
}

/* ---- reductions ---- */

/* The group that a cell belongs to. */
static size_t group_of(qe_axis axis, size_t i, size_t j) {
  return axis == QE_ALL ? 0 : axis == QE_OVER_ROWS ? j : i;
}

static void check_reductions(struct fixture *f, const struct matrix *a, qe_axis axis) {
  double sums[300] = { 0 }, most[300];
  size_t members[300] = { 0 }, rows = axis == QE_OVER_COLUMNS ? a->rows : 1,
         cols = axis == QE_OVER_ROWS ? a->cols : 1;
  (void)f;
  for (size_t i = 0; i < a->rows; i++)
    for (size_t j = 0; j < a->cols; j++) {
      size_t group = group_of(axis, i, j);
      most[group] = members[group]++ ? fmax(most[group], cell(a, i, j)) : cell(a, i, j);
      sums[group] += cell(a, i, j);
    }
  qe_tensor sum = qe_sum(a->tensor, axis), mean = qe_mean(a->tensor, axis), max = qe_max(a->tensor, axis);
  check_shape("sum", sum, rows, cols);
  check_shape("mean", mean, rows, cols);
  check_shape("max", max, rows, cols);
  for (size_t i = 0; i < rows * cols; i++) {
    check_cell("sum", (double)qe_values(sum)[i], sums[i]);
    check_cell("mean", (double)qe_values(mean)[i], sums[i] / (double)members[i]);
    assert_true((double)qe_values(max)[i] == most[i]);
  }
}

static void test_reductions(void **state) {
  (void)state;
  struct fixture f = fixture_make("reductions");
  for (size_t s = 0; s < SHAPES; s++) {
    qe_tape_reset(f.tape);
    struct matrix a = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    for (qe_axis axis = QE_ALL; axis <= QE_OVER_COLUMNS; axis++)
      check_reductions(&f, &a, axis);
    free(a.cells);
  }
  qe_tape_free(f.tape);
}

/* A million tenths: added in float, one by one, they come to 100958. */
static void test_long_sums(void **state) {
  (void)state;
  enum { CELLS = 1000000 };
  struct fixture f = fixture_make("long");
  qe_tensor row = qe_affine(qe_constant(f.tape, 1, CELLS, NULL), 1, 0.1);
  qe_tensor column = qe_affine(qe_constant(f.tape, CELLS, 1, NULL), 1, 0.1);
  check_cell("sum of a row", (double)qe_values(qe_sum(row, QE_ALL))[0], 100000);
  check_cell("sum of a column", (double)qe_values(qe_sum(column, QE_OVER_ROWS))[0], 100000);
  check_cell("mean", (double)qe_values(qe_mean(column, QE_ALL))[0], 0.1);
  qe_tape_free(f.tape);
}

/* ---- rows ---- */

/* log softmax of one cell, from differences of logits. */
static double naive_log_softmax(const struct matrix *m, size_t i, size_t j, double temperature) {
  double sum = 0;
  for (size_t k = 0; k < m->cols; k++)
    sum += exp((cell(m, i, k) - cell(m, i, j)) / temperature);
  return -log(sum);
}

static void check_softmaxes(const struct matrix *a, double temperature) {
  qe_tensor soft = qe_softmax(a->tensor, temperature), log_soft = qe_log_softmax(a->tensor, temperature);
  check_shape("softmax", soft, a->rows, a->cols);
  check_shape("log_softmax", log_soft, a->rows, a->cols);
  for (size_t i = 0; i < a->rows * a->cols; i++) {
    double expected = naive_log_softmax(a, i / a->cols, i % a->cols, temperature);
    check_cell("softmax", (double)qe_values(soft)[i], exp(expected));
    check_cell("log_softmax", (double)qe_values(log_soft)[i], expected);
  }
}

static void check_unit(const struct matrix *a) {
  qe_tensor unit = qe_unit(a->tensor);
  check_shape("unit", unit, a->rows, a->cols);
  for (size_t i = 0; i < a->rows; i++) {
    double norm = 0;
    for (size_t j = 0; j < a->cols; j++)
      norm = hypot(norm, cell(a, i, j));
    for (size_t j = 0; j < a->cols; j++)
      check_cell("unit", (double)qe_values(unit)[i * a->cols + j], cell(a, i, j) / norm);
  }
}

static void check_layer_norm(struct fixture *f, const struct matrix *a, double epsilon) {
  struct matrix gain = matrix_make(f->tape, &f->rng, NORMAL, 1, a->cols);
  struct matrix bias = matrix_make(f->tape, &f->rng, NORMAL, 1, a->cols);
  qe_tensor out = qe_layer_norm(a->tensor, gain.tensor, bias.tensor, epsilon);
  check_shape("layer_norm", out, a->rows, a->cols);
  for (size_t i = 0; i < a->rows; i++) {
    double mean = 0, squares = 0, n = (double)a->cols;
    for (size_t j = 0; j < a->cols; j++) {
      mean += cell(a, i, j) / n;
      squares += cell(a, i, j) * cell(a, i, j) / n;
    }
    for (size_t j = 0; j < a->cols; j++) {
      double normal = (cell(a, i, j) - mean) / sqrt(squares - mean * mean + epsilon);
      check_cell("layer_norm", (double)qe_values(out)[i * a->cols + j],
                 normal * cell(&gain, 0, j) + cell(&bias, 0, j));
    }
  }
  free(gain.cells);
  free(bias.cells);
}

static void test_rows(void **state) {
  (void)state;
  struct fixture f = fixture_make("rows");
  for (size_t s = 0; s < SHAPES; s++) {
    qe_tape_reset(f.tape);
    struct matrix a = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    check_softmaxes(&a, 1);
    check_softmaxes(&a, 3);
    check_softmaxes(&a, 0.25);
    check_unit(&a);
    check_layer_norm(&f, &a, 0.1);
    free(a.cells);
  }
  qe_tape_free(f.tape);
}

static void test_far_rows(void **state) {
  (void)state;
  const qe_real logits[] = { 30000, -30000, 30000, -INFINITY }, tiny[] = { 3e-30f, 4e-30f, 0, 0 };
  const qe_real huge[] = { 3e30f, 4e30f, 0, 0 }, half[] = { 0.5, 0, 0.5, 0 };
  struct fixture f = fixture_make("far");
  qe_tensor a = qe_constant(f.tape, 1, 4, logits);
  assert_memory_equal(qe_values(qe_softmax(a, 1)), half, sizeof half);
  const qe_real *logs = qe_values(qe_log_softmax(a, 1));
  check_cell("log_softmax", (double)logs[0], -log(2));
  check_cell("log_softmax", (double)logs[1], -60000 - log(2));
  assert_true(isinf(logs[3]) && logs[3] < 0);
  for (int i = 0; i < 2; i++) {
    const qe_real *unit = qe_values(qe_unit(qe_constant(f.tape, 1, 4, i ? huge : tiny)));
    check_cell("unit", (double)unit[0], 0.6);
    check_cell("unit", (double)unit[1], 0.8);
    assert_true(unit[2] == 0 && unit[3] == 0);
  }
  const qe_real *zero = qe_values(qe_unit(qe_constant(f.tape, 1, 4, NULL)));
  assert_true(zero[0] == 0 && zero[3] == 0);
  qe_tape_free(f.tape);
}

/* The largest logit is found wherever it is. */
static void test_far_logit_at_any_place(void **state) {
  (void)state;
  enum { MOST = 40 };
  struct fixture f = fixture_make("places");
  for (size_t cols = 1; cols <= MOST; cols++)
    for (size_t place = 0; place < cols; place++) {
      qe_real logits[MOST];
      for (size_t j = 0; j < cols; j++)
        logits[j] = j == place ? 1000 : -(qe_real)j;
      qe_tape_reset(f.tape);
      qe_tensor a = qe_constant(f.tape, 1, cols, logits), soft = qe_softmax(a, 1), logs = qe_log_softmax(a, 1);
      for (size_t j = 0; j < cols; j++) {
        assert_true(qe_values(soft)[j] == (j == place));
        assert_true(qe_values(logs)[j] == logits[j] - 1000);
      }
    }
  qe_tape_free(f.tape);
}

/* ---- losses ---- */

static double naive_huber(double d, double delta) {
  return fabs(d) <= delta ? d * d / 2 : delta * fabs(d) - delta * delta / 2;
}

static double naive_binary(double logit, double target) {
  double p = naive_sigmoid(logit);
  return -target * log(p) - (1 - target) * log(1 - p);
}

static void check_losses(const struct matrix *a, const struct matrix *b, const struct matrix *target) {
  qe_tensor square = qe_squared_error(a->tensor, b->tensor), huber = qe_huber(a->tensor, b->tensor, 1.5);
  qe_tensor cross = qe_cross_entropy(a->tensor, target->tensor);
  qe_tensor binary = qe_binary_cross_entropy(a->tensor, target->tensor), kl = qe_kl(a->tensor, b->tensor, 2);
  const qe_tensor all[] = { square, huber, cross, binary, kl };
  for (size_t k = 0; k < 5; k++)
    check_shape("losses", all[k], a->rows, 1);
  for (size_t i = 0; i < a->rows; i++) {
    double sums[5] = { 0 }, n = (double)a->cols;
    for (size_t j = 0; j < a->cols; j++) {
      double x = cell(a, i, j), y = cell(b, i, j), t = cell(target, i, j);
      double p = naive_log_softmax(a, i, j, 2), q = naive_log_softmax(b, i, j, 2);
      sums[0] += pow(x - y, 2) / n;
      sums[1] += naive_huber(x - y, 1.5) / n;
      sums[2] -= t * naive_log_softmax(a, i, j, 1);
      sums[3] += naive_binary(x, t) / n;
      sums[4] += exp(p) * (p - q);
    }
    for (size_t k = 0; k < 5; k++)
      check_cell("losses", (double)qe_values(all[k])[i], sums[k]);
  }
}

static void test_losses(void **state) {
  (void)state;
  struct fixture f = fixture_make("losses");
  for (size_t s = 0; s < SHAPES; s++) {
    qe_tape_reset(f.tape);
    struct matrix a = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    struct matrix b = matrix_make(f.tape, &f.rng, NORMAL, shapes[s][0], shapes[s][1]);
    struct matrix target = matrix_make(f.tape, &f.rng, PROBABLE, shapes[s][0], shapes[s][1]);
    check_losses(&a, &b, &target);
    free(a.cells);
    free(b.cells);
    free(target.cells);
  }
  qe_tape_free(f.tape);
}

/* A target of 0 may stand where the probability is 0. */
static void test_impossible_classes(void **state) {
  (void)state;
  const qe_real logits[] = { 0, 0, -INFINITY }, target[] = { 0.5, 0.5, 0 };
  struct fixture f = fixture_make("impossible");
  qe_tensor a = qe_constant(f.tape, 1, 3, logits), t = qe_constant(f.tape, 1, 3, target);
  check_cell("cross_entropy", (double)qe_values(qe_cross_entropy(a, t))[0], log(2));
  check_cell("kl", (double)qe_values(qe_kl(a, t, 1))[0], log((2 + exp(-0.5)) / 2));
  assert_true(qe_values(qe_kl(a, a, 1))[0] == 0);
  assert_true(isinf(qe_values(qe_kl(t, a, 1))[0]));
  qe_tape_free(f.tape);
}

/* ---- errors ---- */

struct errors {
  struct fixture f;
  qe_tensor a, b; /* 2 x 3, 3 x 2 */
};

static struct errors errors_make(void) {
  struct errors e = { .f = fixture_make("errors") };
  e.a = qe_constant(e.f.tape, 2, 3, NULL);
  e.b = qe_constant(e.f.tape, 3, 2, NULL);
  return e;
}

static void expect(struct errors *e, qe_tensor result, const char *message) {
  assert_null(result.tape);
  assert_int_equal(qe_tape_status(e->f.tape), QE_USE);
  assert_string_equal(qe_tape_error(e->f.tape), message);
  qe_tape_reset(e->f.tape);
  e->a = qe_constant(e->f.tape, 2, 3, NULL);
  e->b = qe_constant(e->f.tape, 3, 2, NULL);
}

static void test_shape_errors(void **state) {
  (void)state;
  struct errors e = errors_make();
  expect(&e, qe_matmul(e.a, e.a, QE_NN), "matmul: 2 x 3 times 2 x 3: the inner sizes, 3 and 2, differ");
  expect(&e, qe_matmul(e.a, e.b, QE_NT), "matmul: 2 x 3 times 3 x 2 transposed: the inner sizes, 3 and 2, differ");
  expect(&e, qe_matmul(e.a, e.b, QE_TN), "matmul: 2 x 3 transposed times 3 x 2: the inner sizes, 2 and 3, differ");
  expect(&e, qe_matmul(e.a, e.b, (qe_transpose)4), "matmul: no such transpose, 4");
  expect(&e, qe_columns(e.a, 2, 2), "columns: 2 from column 2 of a matrix with 3");
  expect(&e, qe_columns(e.a, 4, 0), "columns: 0 from column 4 of a matrix with 3");
  expect(&e, qe_slice(e.a, 1, SIZE_MAX), "slice: 18446744073709551615 from row 1 of a matrix with 2");
  expect(&e, qe_beside((qe_tensor[]){ e.a, e.b }, 2), "beside: part 2 is 3 x 2, expected 2 rows as in part 1");
  expect(&e, qe_below((qe_tensor[]){ e.a, e.b }, 2), "below: part 2 is 3 x 2, expected 3 columns as in part 1");
  expect(&e, qe_squared_error(e.a, e.b), "squared_error: 2 x 3 and 3 x 2 differ in shape");
  expect(&e, qe_huber(e.a, e.b, 1), "huber: 2 x 3 and 3 x 2 differ in shape");
  expect(&e, qe_cross_entropy(e.a, e.b), "cross_entropy: 2 x 3 and 3 x 2 differ in shape");
  expect(&e, qe_kl(e.a, e.b, 1), "kl: 2 x 3 and 3 x 2 differ in shape");
  expect(&e, qe_binary_cross_entropy(e.a, e.b), "binary_cross_entropy: 2 x 3 and 3 x 2 differ in shape");
  qe_tensor row = qe_constant(e.f.tape, 1, 3, NULL);
  expect(&e, qe_layer_norm(e.a, row, e.b, 1), "layer_norm: bias is 3 x 2, expected 1 x 3");
  row = qe_constant(e.f.tape, 1, 3, NULL);
  expect(&e, qe_layer_norm(e.a, e.a, row, 1), "layer_norm: gain is 2 x 3, expected 1 x 3");
  qe_tape_free(e.f.tape);
}

static void test_id_errors(void **state) {
  (void)state;
  static const uint32_t ids[] = { 0, 1, 3 }, falling[] = { 0, 2, 1 }, late[] = { 1, 2 }, fine[] = { 0, 3 };
  struct errors e = errors_make();
  expect(&e, qe_gather(e.b, ids, 3), "gather: id 3 at place 2 is not below 3");
  expect(&e, qe_gather(e.b, NULL, 2), "gather: 2 ids are missing (NULL)");
  expect(&e, qe_gather(qe_constant(e.f.tape, 0, 2, NULL), ids, 1), "gather: id 0 at place 0 is not below 0");
  expect(&e, qe_pick(e.b, ids), "pick: id 3 at place 2 is not below 2");
  expect(&e, qe_bag(e.b, ids, (qe_segments){ fine, 1 }), "bag: id 3 at place 2 is not below 3");
  expect(&e, qe_bag(e.b, ids, (qe_segments){ falling, 2 }), "bag: segment offsets are not rising from 0");
  expect(&e, qe_bag(e.b, ids, (qe_segments){ late, 1 }), "bag: segment offsets are not rising from 0");
  expect(&e, qe_bag(e.b, ids, (qe_segments){ NULL, 1 }), "bag: segment offsets are missing (NULL)");
  expect(&e, qe_bag(e.b, NULL, (qe_segments){ fine, 1 }), "bag: 3 ids are missing (NULL)");
  qe_tape_free(e.f.tape);
}

static void test_number_errors(void **state) {
  (void)state;
  struct errors e = errors_make();
  qe_rng *rng = &e.f.rng;
  expect(&e, qe_clamp(e.a, 2, 1), "clamp: bounds 2 and 1 are not in order");
  expect(&e, qe_dropout(e.a, 1, rng), "dropout: rate 1 is not in [0, 1)");
  expect(&e, qe_dropout(e.a, -0.5, NULL), "dropout: rate -0.5 is not in [0, 1)");
  expect(&e, qe_softmax(e.a, 0), "softmax: temperature 0 is not a positive number");
  expect(&e, qe_log_softmax(e.a, -1), "log_softmax: temperature -1 is not a positive number");
  expect(&e, qe_kl(e.a, e.a, INFINITY), "kl: temperature inf is not a positive number");
  expect(&e, qe_huber(e.a, e.a, 0), "huber: delta 0 is not positive");
  qe_tensor row = qe_constant(e.f.tape, 1, 3, NULL);
  expect(&e, qe_layer_norm(row, row, row, 0), "layer_norm: epsilon 0 is not positive");
  expect(&e, qe_sum(e.a, (qe_axis)3), "sum: no such axis, 3");
  expect(&e, qe_max(qe_constant(e.f.tape, 0, 3, NULL), QE_ALL), "max: of nothing, in a matrix of 0 x 3");
  expect(&e, qe_max(qe_constant(e.f.tape, 0, 3, NULL), QE_OVER_ROWS), "max: of nothing, in a matrix of 0 x 3");
  expect(&e, qe_max(qe_constant(e.f.tape, 3, 0, NULL), QE_OVER_COLUMNS), "max: of nothing, in a matrix of 3 x 0");
  assert_int_equal(qe_rows(qe_max(qe_constant(e.f.tape, 0, 3, NULL), QE_OVER_COLUMNS)), 0);
  assert_int_equal(qe_tape_status(e.f.tape), QE_OK);
  qe_tape_free(e.f.tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_arithmetic),
    cmocka_unit_test(test_functions),
    cmocka_unit_test(test_not_a_number),
    cmocka_unit_test(test_extremes),
    cmocka_unit_test(test_dropout),
    cmocka_unit_test(test_dropout_share),
    cmocka_unit_test(test_dropout_without_effect),
    cmocka_unit_test(test_matmul),
    cmocka_unit_test(test_parts),
    cmocka_unit_test(test_lookups),
    cmocka_unit_test(test_reductions),
    cmocka_unit_test(test_long_sums),
    cmocka_unit_test(test_rows),
    cmocka_unit_test(test_far_rows),
    cmocka_unit_test(test_far_logit_at_any_place),
    cmocka_unit_test(test_losses),
    cmocka_unit_test(test_impossible_classes),
    cmocka_unit_test(test_shape_errors),
    cmocka_unit_test(test_id_errors),
    cmocka_unit_test(test_number_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
