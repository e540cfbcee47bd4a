/*
** test_gradient_attention.c - attention pooling and multi-head attention in double: values against loops over single
** cells, gradients against central differences.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_INPUTS = 3 };

struct problem {
  int inputs; /* 2: pooling of (values, logits); 3: attention of (query, key, value) */
  size_t heads;
  qe_segments queries, keys; /* pooling reads keys only */
  size_t rows[MOST_INPUTS], cols[MOST_INPUTS];
  qe_real *values[MOST_INPUTS];
  size_t out_rows;
  qe_real *weights; /* of the loss */
};

static qe_real *numbers(qe_rng *rng, size_t count, double size) {
  qe_real *values = malloc((count + 1) * sizeof *values);
  for (size_t i = 0; i < count; i++)
    values[i] = qe_rng_normal(rng) * size;
  return values;
}

static void problem_fill(struct problem *problem, uint64_t seed) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "attention");
  for (int i = 0; i < problem->inputs; i++)
    problem->values[i] = numbers(&rng, problem->rows[i] * problem->cols[i], 1.3);
  problem->weights = numbers(&rng, problem->out_rows * problem->cols[0], 1);
}

static struct problem pooling_make(size_t cols, qe_segments segments, uint64_t seed) {
  size_t rows = segments.offset[segments.count];
  struct problem problem = { .inputs = 2,
                             .queries = segments,
                             .keys = segments,
                             .rows = { rows, rows },
                             .cols = { cols, 1 },
                             .out_rows = segments.count };
  problem_fill(&problem, seed);
  return problem;
}

static struct problem attention_make(size_t cols, size_t heads, qe_segments queries, qe_segments keys,
                                     uint64_t seed) {
  size_t n = queries.offset[queries.count], m = keys.offset[keys.count];
  struct problem problem = { .inputs = 3,
                             .heads = heads,
                             .queries = queries,
                             .keys = keys,
                             .rows = { n, m, m },
                             .cols = { cols, cols, cols },
                             .out_rows = n };
  problem_fill(&problem, seed);
  return problem;
}

static void problem_free(struct problem *problem) {
  for (int i = 0; i < problem->inputs; i++)
    free(problem->values[i]);
  free(problem->weights);
}

static void naive_pooling(const struct problem *p, qe_real *out) {
  size_t cols = p->cols[0];
  for (uint32_t s = 0; s < p->keys.count; s++) {
    double total = 0;
    for (uint32_t t = p->keys.offset[s]; t < p->keys.offset[s + 1]; t++)
      total += exp(p->values[1][t]);
    for (size_t j = 0; j < cols; j++) {
      double sum = 0;
      for (uint32_t t = p->keys.offset[s]; t < p->keys.offset[s + 1]; t++)
        sum += exp(p->values[1][t]) / total * p->values[0][t * cols + j];
      out[s * cols + j] = sum;
    }
  }
}

/* exp(q . k / sqrt(width)) of the head that column j belongs to. */
static double similarity(const struct problem *p, size_t query, size_t key, size_t j) {
  size_t cols = p->cols[0], width = cols / p->heads, first = j / width * width;
  double sum = 0;
  for (size_t k = first; k < first + width; k++)
    sum += p->values[0][query * cols + k] * p->values[1][key * cols + k];
  return exp(sum / sqrt((double)width));
}

static void naive_attention(const struct problem *p, qe_real *out) {
  size_t cols = p->cols[0];
  for (uint32_t s = 0; s < p->queries.count; s++)
    for (uint32_t i = p->queries.offset[s]; i < p->queries.offset[s + 1]; i++)
      for (size_t j = 0; j < cols; j++) {
        double total = 0, sum = 0;
        for (uint32_t t = p->keys.offset[s]; t < p->keys.offset[s + 1]; t++) {
          double weight = similarity(p, i, t, j);
          total += weight;
          sum += weight * p->values[2][t * cols + j];
        }
        out[i * cols + j] = total > 0 ? sum / total : 0;
      }
}

static double loss(const struct problem *p, qe_real *out) {
  double sum = 0;
  (p->inputs == 2 ? naive_pooling : naive_attention)(p, out);
  for (size_t i = 0; i < p->out_rows * p->cols[0]; i++)
    sum += p->weights[i] * out[i];
  return sum;
}

static qe_tensor run(qe_tape *tape, const struct problem *p, unsigned wanted, qe_tensor in[MOST_INPUTS]) {
  for (int i = 0; i < p->inputs; i++)
    in[i] = wanted >> i & 1 ? qe_variable(tape, p->rows[i], p->cols[i], p->values[i])
                            : qe_constant(tape, p->rows[i], p->cols[i], p->values[i]);
  return p->inputs == 2 ? qe_attention_pool(in[0], in[1], p->keys)
                        : qe_attention(in[0], in[1], in[2], p->heads, p->queries, p->keys);
}

static void check_gradient(struct problem *p, const qe_tensor in[MOST_INPUTS], unsigned wanted, qe_real *work) {
  const double step = 1e-5;
  for (int i = 0; i < p->inputs; i++) {
    const qe_real *g = qe_gradient(in[i]);
    assert_true((g != NULL) == (wanted >> i & 1));
    for (size_t j = 0; g && j < p->rows[i] * p->cols[i]; j++) {
      qe_real kept = p->values[i][j];
      p->values[i][j] = kept + step;
      double above = loss(p, work);
      p->values[i][j] = kept - step;
      double below = loss(p, work);
      p->values[i][j] = kept;
      assert_true(fabs(g[j] - (above - below) / (2 * step)) < 1e-7);
    }
  }
}

static void check(struct problem *p, unsigned wanted) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor in[MOST_INPUTS], out = run(tape, p, wanted, in);
  assert_int_equal(qe_tape_status(tape), QE_OK);
  assert_int_equal(qe_rows(out), p->out_rows);
  assert_int_equal(qe_cols(out), p->cols[0]);
  qe_real *work = malloc((p->out_rows * p->cols[0] + 1) * sizeof *work);
  loss(p, work);
  for (size_t i = 0; i < p->out_rows * p->cols[0]; i++)
    assert_true(fabs(qe_values(out)[i] - work[i]) < 1e-12);
  assert_int_equal(qe_inject(out, p->weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  check_gradient(p, in, wanted, work);
  free(work);
  qe_tape_free(tape);
}

static void check_all(struct problem *p) {
  for (unsigned wanted = 0; wanted < 1u << p->inputs; wanted++)
    check(p, wanted);
  problem_free(p);
}

static const uint32_t some[] = { 0, 3, 3, 4, 9, 9 }, others[] = { 0, 2, 5, 5, 8, 8 };
enum { SEGMENTS = 5 };

static void test_pooling(void **state) {
  (void)state;
  for (size_t cols = 1; cols < 6; cols += 2) {
    struct problem problem = pooling_make(cols, (qe_segments){ some, SEGMENTS }, cols);
    check_all(&problem);
  }
  struct problem empty = pooling_make(3, (qe_segments){ some, 0 }, 1);
  check_all(&empty);
}

static void test_attention(void **state) {
  (void)state;
  const size_t shapes[][2] = { { 1, 1 }, { 4, 1 }, { 4, 2 }, { 6, 3 }, { 3, 3 } };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    struct problem same = attention_make(shapes[i][0], shapes[i][1], (qe_segments){ some, SEGMENTS },
                                         (qe_segments){ some, SEGMENTS }, i);
    check_all(&same);
    struct problem cross = attention_make(shapes[i][0], shapes[i][1], (qe_segments){ some, SEGMENTS },
                                          (qe_segments){ others, SEGMENTS }, i + 50);
    check_all(&cross);
  }
}

/* One tensor as query, key and value: its gradient is the sum of three. */
static void test_self_attention(void **state) {
  (void)state;
  qe_segments segments = { some, SEGMENTS };
  struct problem p = attention_make(4, 2, segments, segments, 9);
  for (int i = 1; i < 3; i++)
    memcpy(p.values[i], p.values[0], 9 * 4 * sizeof(qe_real));
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor in[MOST_INPUTS], apart = run(tape, &p, 7, in), x = qe_variable(tape, 9, 4, p.values[0]);
  qe_tensor joined = qe_attention(x, x, x, 2, segments, segments);
  assert_int_equal(qe_inject(apart, p.weights), QE_OK);
  assert_int_equal(qe_inject(joined, p.weights), QE_OK);
  assert_int_equal(qe_tape_backward(tape), QE_OK);
  for (size_t i = 0; i < 9 * 4; i++) {
    double sum = qe_gradient(in[0])[i] + qe_gradient(in[1])[i] + qe_gradient(in[2])[i];
    assert_true(fabs(qe_gradient(x)[i] - sum) < 1e-12);
  }
  qe_tape_free(tape);
  problem_free(&p);
}

static void test_large_logits(void **state) {
  (void)state;
  static const uint32_t one[] = { 0, 3 };
  const qe_real values[] = { 1, 2, 4 }, logits[] = { 5000, 5000, -5000 };
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor out =
      qe_attention_pool(qe_constant(tape, 3, 1, values), qe_constant(tape, 3, 1, logits), (qe_segments){ one, 1 });
  assert_true(fabs(qe_values(out)[0] - 1.5) < 1e-12);
  qe_tape_free(tape);
}

static void expect_refusal(const struct problem *problem, const char *message) {
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_tensor in[MOST_INPUTS];
  assert_null(run(tape, problem, 7, in).tape);
  assert_int_equal(qe_tape_status(tape), QE_USE);
  assert_string_equal(qe_tape_error(tape), message);
  qe_tape_free(tape);
}

static void test_pooling_refusals(void **state) {
  (void)state;
  struct problem p = pooling_make(3, (qe_segments){ some, SEGMENTS }, 1), q = p;
  q.keys.offset = NULL;
  expect_refusal(&q, "attention_pool: segment offsets are missing (NULL)");
  q.keys = (qe_segments){ others, SEGMENTS };
  expect_refusal(&q, "attention_pool: segments end at row 8 of a matrix with 9 rows");
  q = p;
  q.rows[1]--;
  expect_refusal(&q, "attention_pool: logits are 8 x 1, expected 9 x 1");
  problem_free(&p);
}

static void test_attention_refusals(void **state) {
  (void)state;
  qe_segments segments = { some, SEGMENTS };
  struct problem p = attention_make(4, 2, segments, segments, 1), q = p;
  q.heads = 3;
  expect_refusal(&q, "attention: 4 columns cannot be split over 3 heads");
  q.heads = 0;
  expect_refusal(&q, "attention: 4 columns cannot be split over 0 heads");
  q = p;
  q.keys.count--;
  expect_refusal(&q, "attention: 5 query segments, but 4 key segments");
  q = p;
  q.queries.offset = NULL;
  expect_refusal(&q, "attention query: segment offsets are missing (NULL)");
  q = p;
  q.keys.offset = others;
  expect_refusal(&q, "attention key: segments end at row 8 of a matrix with 9 rows");
  q = p;
  q.cols[1] = 3;
  expect_refusal(&q, "attention: query 9 x 4, key 9 x 3, value 9 x 4: expected equal columns, and as many keys as "
                     "values");
  q = p;
  q.rows[2] = 8;
  expect_refusal(&q, "attention: query 9 x 4, key 9 x 4, value 8 x 4: expected equal columns, and as many keys as "
                     "values");
  problem_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pooling),          cmocka_unit_test(test_attention),
    cmocka_unit_test(test_self_attention),   cmocka_unit_test(test_large_logits),
    cmocka_unit_test(test_pooling_refusals), cmocka_unit_test(test_attention_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
