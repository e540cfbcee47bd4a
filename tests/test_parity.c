/*
** test_parity.c - the student against PyTorch: tests/parity/birnn.txt holds weights, inputs, outputs, all gradients and
** the weights after ten steps of three optimisers, as PyTorch computed them (tests/parity/birnn.py). Everything must
** agree to 1e-5.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const double tolerance = 1e-5;

struct dump {
  FILE *file;
  int embedding, hidden, attention, steps, pairs;
  double rate;
  qe_dataset *data;
  qe_model *model;
  qe_tape *tape;
};

static void open_dump(struct dump *dump) {
  char source[256], target[256];
  double *gold;
  dump->file = fopen(QE_SOURCE_DIR "/tests/parity/birnn.txt", "r");
  assert_non_null(dump->file);
  assert_int_equal(fscanf(dump->file, "sizes %d %d %d %d %lf %d\n", &dump->embedding, &dump->hidden,
                          &dump->attention, &dump->steps, &dump->rate, &dump->pairs),
                   6);
  dump->data = qe_dataset_new();
  gold = calloc((size_t)dump->pairs, sizeof *gold);
  for (int i = 0; i < dump->pairs; i++) {
    assert_int_equal(fscanf(dump->file, "pair\t%255[^\t]\t%255[^\t]\t%lf\n", source, target, &gold[i]), 3);
    qe_pair pair = { .source = qe_string(source), .translation = qe_string(target) };
    assert_int_equal(qe_dataset_append(dump->data, &pair), QE_OK);
  }
  assert_int_equal(qe_dataset_set_column(dump->data, "gold", gold), QE_OK);
  free(gold);
}

static void make_model(struct dump *dump) {
  char configuration[512];
  qe_rng rng;
  qe_rng_seed(&rng, 1, "parity");
  snprintf(configuration, sizeof configuration,
           "{\"embedding\":%d,\"hidden\":%d,\"attention\":%d,\"source\":{\"kind\":\"words\",\"size\":100},"
           "\"target\":{\"kind\":\"words\",\"size\":100}}",
           dump->embedding, dump->hidden, dump->attention);
  dump->model = qe_model_new();
  if (qe_model_create(dump->model, configuration, dump->data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(dump->model));
  dump->tape = qe_tape_new(NULL, 2);
}

static void close_dump(struct dump *dump) {
  char word[8];
  assert_int_equal(fscanf(dump->file, "%7s", word), 1);
  assert_string_equal(word, "end");
  fclose(dump->file);
  qe_tape_free(dump->tape);
  qe_model_free(dump->model);
  qe_dataset_free(dump->data);
}

/* Heading of the next matrix; returns its cells, which fscanf reads next. */
static size_t heading(struct dump *dump, const char *label, char name[64]) {
  char found[16];
  size_t rows, cols;
  assert_int_equal(fscanf(dump->file, "%15s %63s %zu %zu", found, name, &rows, &cols), 4);
  assert_string_equal(found, label);
  return rows * cols;
}

static void compare(struct dump *dump, const char *label, const char *expected_name, const qe_real *values) {
  char name[64];
  size_t cells = heading(dump, label, name);
  assert_string_equal(name, expected_name);
  for (size_t i = 0; i < cells; i++) {
    double expected;
    assert_int_equal(fscanf(dump->file, "%lf", &expected), 1);
    if (!(fabs(expected - (double)values[i]) <= tolerance))
      fail_msg("%s %s[%zu]: %.9g, PyTorch has %.9g", label, name, i, (double)values[i], expected);
  }
}

static void compare_params(struct dump *dump, const char *label, qe_block *block) {
  qe_params *params = qe_model_params(dump->model);
  const qe_real *values = qe_block_values(block);
  size_t rows, cols;
  for (size_t i = 0; i < qe_params_count(params); i++) {
    const char *name = qe_params_name(params, i, &rows, &cols);
    compare(dump, label, name, values + (qe_params_matrix(params, i) - qe_block_values(qe_params_values(params))));
  }
}

static void read_weights(struct dump *dump) {
  qe_params *params = qe_model_params(dump->model);
  for (size_t i = 0; i < qe_params_count(params); i++) {
    char name[64];
    size_t rows, cols, cells = heading(dump, "weight", name);
    int number = qe_params_find(params, name);
    assert_true(number >= 0);
    qe_params_name(params, (size_t)number, &rows, &cols);
    assert_int_equal(rows * cols, cells);
    for (size_t j = 0; j < cells; j++) {
      double value;
      assert_int_equal(fscanf(dump->file, "%lf", &value), 1);
      qe_params_matrix(params, (size_t)number)[j] = (qe_real)value;
    }
  }
}

static qe_tensor loss_of(struct dump *dump, qe_batch *batch, qe_tensor *score) {
  qe_pass pass = qe_model_forward(dump->tape, dump->model, batch, NULL);
  *score = qe_pass_tap(pass, "score");
  return qe_mean(qe_squared_error(*score, qe_batch_column(dump->tape, batch, "gold")), QE_ALL);
}

static void compare_steps(struct dump *dump, qe_batch *batch, qe_rule rule, const char *label,
                          const qe_block *start) {
  qe_params *params = qe_model_params(dump->model);
  qe_optimiser_options options = qe_optimiser_defaults(rule);
  qe_tensor score;
  options.dense = 1;      /* PyTorch moves all rows of an embedding table */
  options.epsilon = 1e-3; /* as in birnn.py */
  if (rule == QE_SGD)
    options.momentum = .9;
  qe_optimiser *optimiser = qe_optimiser_new(params, &options, NULL);
  assert_int_equal(qe_block_copy(qe_params_values(params), start), QE_OK);
  for (int i = 0; i < dump->steps; i++) {
    qe_tape_reset(dump->tape);
    assert_int_equal(qe_backward(loss_of(dump, batch, &score)), QE_OK);
    assert_int_equal(qe_optimiser_step(optimiser, dump->rate), QE_OK);
  }
  compare_params(dump, label, qe_params_values(params));
  qe_optimiser_free(optimiser);
}

static void test_everything(void **state) {
  struct dump dump;
  uint32_t rows[16];
  qe_tensor score;
  (void)state;
  open_dump(&dump);
  make_model(&dump);
  read_weights(&dump);
  for (uint32_t i = 0; i < (uint32_t)dump.pairs; i++)
    rows[i] = i;
  qe_batch *batch = qe_batch_new(dump.data, rows, (size_t)dump.pairs);
  qe_block *start = qe_block_clone(qe_params_values(qe_model_params(dump.model)));
  qe_tensor loss = loss_of(&dump, batch, &score);
  if (qe_backward(loss) != QE_OK)
    fail_msg("%s", qe_tape_error(dump.tape));
  compare(&dump, "output", "score", qe_values(score));
  compare(&dump, "output", "loss", qe_values(loss));
  compare_params(&dump, "gradient", qe_params_gradient(qe_model_params(dump.model)));
  qe_params_zero_gradient(qe_model_params(dump.model));
  compare_steps(&dump, batch, QE_ADAM, "adam", start);
  compare_steps(&dump, batch, QE_ADAGRAD, "adagrad", start);
  compare_steps(&dump, batch, QE_SGD, "sgd", start);
  qe_block_free(start);
  qe_batch_free(batch);
  close_dump(&dump);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_everything) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
