/*
** test_parity.c - models against PyTorch: tests/parity/birnn.txt and encoder.txt hold weights, inputs, outputs, all
** gradients and the weights after ten steps of several optimisers, as PyTorch computed them (birnn.py, encoder.py).
** Everything must agree to 1e-5.
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
  int steps, pairs;
  double rate;
  qe_dataset *data;
  qe_model *model;
  qe_tape *tape;
};

static void read_pairs(struct dump *dump) {
  double *gold = calloc((size_t)dump->pairs, sizeof *gold);
  char line[1024];
  dump->data = qe_dataset_new();
  for (int i = 0; i < dump->pairs; i++) {
    assert_non_null(fgets(line, sizeof line, dump->file));
    char *source = strchr(line, '\t') + 1, *target = strchr(source, '\t') + 1, *score = strchr(target, '\t') + 1;
    qe_pair pair = { .source = { source, (size_t)(target - source) - 1 },
                     .translation = { target, (size_t)(score - target) - 1 } };
    gold[i] = strtod(score, NULL);
    assert_int_equal(qe_dataset_append(dump->data, &pair), QE_OK);
  }
  assert_int_equal(qe_dataset_set_column(dump->data, "gold", gold), QE_OK);
  free(gold);
  dump->tape = qe_tape_new(NULL, 2);
  dump->model = qe_model_new();
}

static void open_birnn(struct dump *dump) {
  char configuration[512];
  int embedding, hidden, attention;
  qe_rng rng;
  dump->file = fopen(QE_SOURCE_DIR "/tests/parity/birnn.txt", "r");
  assert_non_null(dump->file);
  assert_int_equal(fscanf(dump->file, "sizes %d %d %d %d %lf %d ", &embedding, &hidden, &attention, &dump->steps,
                          &dump->rate, &dump->pairs),
                   6);
  read_pairs(dump);
  qe_rng_seed(&rng, 1, "parity");
  snprintf(configuration, sizeof configuration,
           "{\"embedding\":%d,\"hidden\":%d,\"attention\":%d,\"source\":{\"kind\":\"words\",\"size\":100},"
           "\"target\":{\"kind\":\"words\",\"size\":100}}",
           embedding, hidden, attention);
  if (qe_model_create(dump->model, configuration, dump->data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(dump->model));
}

static void import(qe_model *model, const char *folder, const char *configuration) {
  qe_rng rng;
  qe_rng_seed(&rng, 1, "parity");
  if (qe_model_import(model, folder, configuration, NULL, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
}

static void open_encoder(struct dump *dump) {
  dump->file = fopen(QE_SOURCE_DIR "/tests/parity/encoder.txt", "r");
  assert_non_null(dump->file);
  assert_int_equal(fscanf(dump->file, "sizes %d %lf %d ", &dump->steps, &dump->rate, &dump->pairs), 3);
  read_pairs(dump);
  import(dump->model, QE_SOURCE_DIR "/tests/parity/bert",
         "{\"joint\":true,\"alignment\":[1,2],\"prefix\":\"go: \"}");
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

static void check_model(struct dump *dump) {
  uint32_t rows[16];
  qe_tensor score;
  for (uint32_t i = 0; i < (uint32_t)dump->pairs; i++)
    rows[i] = i;
  qe_batch *batch = qe_batch_new(dump->data, rows, (size_t)dump->pairs);
  qe_block *start = qe_block_clone(qe_params_values(qe_model_params(dump->model)));
  qe_tensor loss = loss_of(dump, batch, &score);
  if (qe_backward(loss) != QE_OK)
    fail_msg("%s", qe_tape_error(dump->tape));
  compare(dump, "output", "score", qe_values(score));
  compare(dump, "output", "loss", qe_values(loss));
  compare_params(dump, "gradient", qe_params_gradient(qe_model_params(dump->model)));
  qe_params_zero_gradient(qe_model_params(dump->model));
  compare_steps(dump, batch, QE_ADAM, "adam", start);
  if (strcmp(qe_params_name(qe_model_params(dump->model), 0, NULL, NULL), "source.embedding") == 0)
    compare_steps(dump, batch, QE_ADAGRAD, "adagrad", start);
  compare_steps(dump, batch, QE_SGD, "sgd", start);
  qe_block_free(start);
  qe_batch_free(batch);
}

static void test_birnn(void **state) {
  struct dump dump;
  (void)state;
  open_birnn(&dump);
  read_weights(&dump);
  check_model(&dump);
  close_dump(&dump);
}

/* What is read of the dump must have been imported already, but for pooler, alignment and head. */
static void test_encoder(void **state) {
  struct dump dump;
  (void)state;
  open_encoder(&dump);
  qe_params *params = qe_model_params(dump.model);
  qe_block *imported = qe_block_clone(qe_params_values(params));
  read_weights(&dump);
  const size_t layers = (size_t)(qe_params_matrix(params, (size_t)qe_params_find(params, "pooler.weight")) -
                                 qe_params_matrix(params, 0));
  for (size_t i = 0; i < layers; i++)
    assert_true(fabs((double)qe_block_values(imported)[i] - (double)qe_params_matrix(params, 0)[i]) < 1e-6);
  qe_block_free(imported);
  check_model(&dump);
  /* names with a prefix, half precision, positions that begin elsewhere */
  qe_model *roberta = qe_model_new();
  const uint32_t first = 0;
  import(roberta, QE_SOURCE_DIR "/tests/parity/xlmr", "{\"alignment\":[2]}");
  qe_batch *batch = qe_batch_new(dump.data, &first, 1);
  qe_tape_reset(dump.tape);
  compare(&dump, "xlmr", "last",
          qe_values(qe_pass_tap(qe_model_forward(dump.tape, roberta, batch, NULL), "source.layer2")));
  qe_batch_free(batch);
  qe_model_free(roberta);
  close_dump(&dump);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_birnn), cmocka_unit_test(test_encoder) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
