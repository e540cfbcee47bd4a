/*
** test_decoder.c - statistics of log-probabilities against their definitions, standardised on the rows they were fitted on;
** zeros where there are none.
*/
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 40, MOST = 30 };

struct lists {
  float values[ROWS][MOST];
  size_t count[ROWS];
};

static void make(struct lists *lists) {
  qe_rng rng;
  qe_rng_seed(&rng, 1, "decoder");
  for (size_t i = 0; i < ROWS; i++) {
    lists->count[i] = i == 0 ? 0 : 1 + qe_rng_below(&rng, i < 8 ? 3 : MOST);
    for (size_t j = 0; j < lists->count[i]; j++)
      lists->values[i][j] = (float)-fabs(qe_rng_normal(&rng) * 1.5);
  }
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double mean_of(const double *x, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += x[i];
  return sum / (double)count;
}

static void twin(const float *values, size_t count, double out[DECODER_INPUTS]) {
  double x[MOST], sorted[MOST];
  for (size_t i = 0; i < count; i++)
    x[i] = sorted[i] = (double)values[i];
  qsort(sorted, count, sizeof *sorted, ascending);
  out[0] = mean_of(x, count);
  out[1] = sorted[0];
  out[2] = out[0] * (double)count;
  out[3] = mean_of(sorted, count < 3 ? count : 3);
}

static qe_dataset *dataset_of(const struct lists *lists) {
  qe_dataset *data = qe_dataset_new();
  for (size_t i = 0; i < ROWS; i++) {
    const qe_pair pair = { qe_string("ka"), qe_string("lo"), lists->count[i] ? lists->values[i] : NULL,
                           lists->count[i] };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  return data;
}

/* Row 0 has none and does not count. */
static void standardise(double (*values)[DECODER_INPUTS]) {
  for (size_t k = 0; k < DECODER_INPUTS; k++) {
    double mean = 0, squares = 0;
    for (size_t i = 1; i < ROWS; i++)
      mean += values[i][k] / (ROWS - 1);
    for (size_t i = 1; i < ROWS; i++)
      squares += (values[i][k] - mean) * (values[i][k] - mean) / (ROWS - 1);
    for (size_t i = 1; i < ROWS; i++)
      values[i][k] = (values[i][k] - mean) / sqrt(squares);
  }
}

static void test_statistics(void **state) {
  (void)state;
  struct lists lists;
  double expected[ROWS][DECODER_INPUTS] = { { 0 } };
  float found[DECODER_INPUTS];
  qe_model model = { .configuration = { .decoder_inputs = DECODER_INPUTS } };
  make(&lists);
  qe_dataset *data = dataset_of(&lists);
  decoder_fit(&model, data);
  for (size_t i = 1; i < ROWS; i++)
    twin(lists.values[i], lists.count[i], expected[i]);
  standardise(expected);
  for (size_t i = 0; i < ROWS; i++) {
    decoder_inputs(&model, lists.values[i], lists.count[i], found);
    for (size_t k = 0; k < DECODER_INPUTS; k++)
      assert_true(fabs((double)found[k] - expected[i][k]) < 1e-4);
  }
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_statistics) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
