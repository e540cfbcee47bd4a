/*
** test_family.c - aligned students that read words in context by an encoder, and families of them: states are those that
** the encoder's own pass has, without adapters; scores are those of the tape, with bits that depend on the pair alone; what
** the encoder says is added as the manifest tells; archives inside archives; a family asks the nearest member.
*/
#include "family.h"
#include "file.h"
#include "likeness_twin.h"
#include "model_fixture.h"
#include "scores.h"
#include "scratch.h"

enum { WIDTH = 8, EMBEDDED = 6 }; /* of the encoder's states; of words */
#define IN_CONTEXT                                                                                                 \
  "{\"name\":\"aligned\",\"embedding\":6,\"states\":19,\"comparison\":7,\"hidden\":5,\"max_tokens\":20,"           \
  "\"decoder_inputs\":4,\"words\":true,\"context_layer\":1,\"context_width\":%zu}"

static qe_model *import(const char *configuration) {
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, 3, "import");
  if (qe_model_import(model, QE_SOURCE_DIR "/tests/parity/bert", configuration, NULL, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  return model;
}

/* With adapters that change what its joint form says. */
static qe_model *judge(void) {
  qe_model *model =
      import("{\"joint\":true,\"rank\":2,\"decoder_inputs\":4,\"decoder_dropout\":0.5,\"max_tokens\":20}");
  qe_rng rng;
  size_t rows, cols;
  qe_rng_seed(&rng, 4, "adapters");
  for (size_t i = 0; i < qe_params_count(model->params); i++)
    if (strncmp(qe_params_name(model->params, i, &rows, &cols), "adapter", 7) == 0)
      qe_params_normal(model->params, i, .2, &rng);
  const qe_pair golden = { .source = qe_string("ka"), .translation = qe_string("lo") };
  assert_int_equal(qe_model_set_golden(model, &golden, 1), QE_OK);
  assert_int_equal(qe_model_prepare(model), QE_OK);
  return model;
}

static qe_model *student(qe_dataset *data, qe_model *encoder_model, uint64_t seed) {
  char configuration[512];
  qe_rng rng;
  qe_model *model = qe_model_new();
  snprintf(configuration, sizeof configuration, IN_CONTEXT, encoder_model->configuration.encoder.width);
  qe_rng_seed(&rng, seed, "student");
  if (qe_model_create(model, configuration, data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  for (size_t i = 0; i < qe_params_count(model->params); i++)
    qe_params_normal(model->params, i, .3, &rng);
  if (qe_model_set_context(model, encoder_model) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  const qe_pair golden = { .source = qe_string("ka lomi"), .translation = qe_string("su") };
  assert_int_equal(qe_model_set_golden(model, &golden, 1), QE_OK);
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  return model;
}

struct fixture {
  qe_dataset *train, *data;
  qe_model *encoder, *student;
};

static void fixture_make(struct fixture *f) {
  f->train = fixture_data(80, 1, 9);
  f->data = fixture_data(PAIRS, 2, 30); /* some longer than max_tokens */
  f->encoder = judge();
  f->student = student(f->train, f->encoder, 1);
}

static void fixture_drop(struct fixture *f) {
  qe_model_free(f->student);
  qe_model_free(f->encoder);
  qe_dataset_free(f->train);
  qe_dataset_free(f->data);
}

static qe_batch *whole_batch(qe_dataset *data) {
  uint32_t rows[PAIRS];
  for (uint32_t i = 0; i < PAIRS; i++)
    rows[i] = i;
  return qe_batch_new(data, rows, PAIRS);
}

static void test_states_are_those_of_the_encoder(void **state) {
  static const char *const names[][2] = { { "source.read", "source.layer1" }, { "target.read", "target.layer1" } };
  struct fixture f;
  (void)state;
  fixture_make(&f);
  qe_model *plain = import("{\"alignment\":[1],\"max_tokens\":20}"); /* has no adapters */
  qe_tape *tape = qe_tape_new(NULL, 2);
  qe_batch *batch = whole_batch(f.data);
  qe_pass own = qe_model_forward(tape, f.student, batch, NULL), other = qe_model_forward(tape, plain, batch, NULL);
  for (int side = 0; side < 2; side++) {
    const qe_tensor read = qe_pass_tap(own, names[side][0]);
    const qe_tensor expected =
        qe_states_of_words(qe_pass_tap(other, names[side][1]), batch, (qe_side)side, plain, f.student);
    if (qe_tape_status(tape) != QE_OK)
      fail_msg("%s", qe_tape_error(tape));
    assert_true(qe_rows(read) > PAIRS);
    assert_int_equal(qe_rows(read), qe_rows(expected));
    assert_int_equal(qe_cols(read), qe_cols(expected));
    for (size_t i = 0; i < qe_rows(read) * qe_cols(read); i++)
      assert_true(fabs((double)(qe_values(read)[i] - qe_values(expected)[i])) < 2e-5);
  }
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(plain);
  fixture_drop(&f);
}

static void test_scores_are_those_of_the_tape(void **state) {
  struct fixture f;
  (void)state;
  fixture_make(&f);
  check_against_tape(f.student, f.data, "in context");
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":0.5}}"), QE_OK);
  check_bits(f.student, f.data);
  fixture_drop(&f);
}

static void test_the_encoder_has_its_say(void **state) {
  struct fixture f;
  qe_pair pairs[PAIRS];
  float own[PAIRS], said[PAIRS], both[PAIRS];
  (void)state;
  fixture_make(&f);
  take_pairs(f.data, f.student, pairs);
  assert_int_equal(qe_model_prepare(f.student), QE_OK);
  score(f.student, NULL, 1, pairs, PAIRS, own);
  score(f.encoder, NULL, 1, pairs, PAIRS, said);
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":0.25,\"scale\":2,\"shift\":1}}"), QE_OK);
  score(f.student, NULL, 2, pairs, PAIRS, both);
  for (size_t i = 0; i < PAIRS; i++)
    assert_true(fabsf(both[i] - (1 + 2 * (own[i] + .25f * said[i]))) < 1e-5f);
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":0.25,\"scale\":2,\"shift\":1,"
                                                "\"with_logprobs\":{\"scale\":3,\"context\":1}}}"),
                   QE_OK);
  score(f.student, NULL, 2, pairs, PAIRS, both);
  for (size_t i = 0; i < PAIRS; i++) {
    const bool known = pairs[i].logprob_count > 0;
    const float expected = 1 + (known ? 3 : 2) * (own[i] + (known ? 1 : .25f) * said[i]);
    assert_true(fabsf(both[i] - expected) < 1e-5f);
  }
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":-1}}"), QE_FORMAT);
  assert_non_null(strstr(qe_model_error(f.student), "must rise"));
  fixture_drop(&f);
}

static void save_and_open(qe_model *model, qe_model *again, const char *path) {
  if (qe_model_save(model, path) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  if (qe_model_open(again, path, 0) != QE_OK)
    fail_msg("%s", qe_model_error(again));
}

/* As a member of another model's archive it must not hold an archive of its own. */
static void refuse_inside(const char *path, const char *message) {
  qe_model *inner = qe_model_new();
  char *bytes;
  size_t size;
  struct error error = { 0 };
  assert_int_equal(file_read(path, 1 << 26, &bytes, &size, &error), QE_OK);
  assert_int_equal(model_open_inner(inner, (qe_text){ bytes, size }, NULL, 0), QE_FORMAT);
  assert_non_null(strstr(qe_model_error(inner), message));
  memory_free(bytes);
  qe_model_free(inner);
}

static void check_same(const qe_model *model, const qe_model *again, const qe_dataset *data) {
  qe_pair pairs[PAIRS];
  float one[PAIRS], other[PAIRS];
  take_pairs(data, model, pairs);
  score(model, NULL, 1, pairs, PAIRS, one);
  score(again, NULL, 2, pairs, PAIRS, other);
  assert_memory_equal(one, other, sizeof one);
}

static void test_archive(void **state) {
  struct fixture f;
  struct scratch scratch;
  qe_model *again = qe_model_new(), *copy = qe_model_new();
  (void)state;
  fixture_make(&f);
  scratch_make(&scratch);
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":0.5}}"), QE_OK);
  save_and_open(f.student, again, scratch_path(&scratch, "context.qe"));
  check_same(f.student, again, f.data);
  assert_int_equal(qe_model_copy(copy, again), QE_OK);
  qe_model_free(again);
  assert_int_equal(qe_model_prepare(copy), QE_OK);
  check_same(f.student, copy, f.data);
  refuse_inside(scratch.path, "context.qe, expected MODEL_CARD.md");
  qe_model_free(copy);
  fixture_drop(&f);
  scratch_remove(scratch.folder);
}

/* ---- families ---- */

/* Mean states of the words of each side of each pair, from the tape; a side without words has none. */
static void add_means(qe_model *model, qe_batch *batch, int side, double means[PAIRS][WIDTH], bool known[PAIRS]) {
  static const char *const names[] = { "source.read", "target.read" };
  qe_tape *tape = qe_tape_new(NULL, 1);
  const qe_tensor read = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), names[side]);
  qe_segments words;
  assert_int_equal(qe_batch_segments(batch, model, (qe_side)side, &words), QE_OK);
  for (size_t i = 0; i < PAIRS; i++) {
    known[i] = words.offset[i + 1] > words.offset[i];
    for (size_t j = 0; j < WIDTH; j++) {
      means[i][j] = 0;
      for (size_t k = words.offset[i]; k < words.offset[i + 1]; k++)
        means[i][j] += (double)qe_values(read)[k * WIDTH + j] / (words.offset[i + 1] - words.offset[i]);
    }
  }
  qe_tape_free(tape);
}

static double apart(const double *mean, const qe_real *route) {
  double sum = 0;
  for (size_t j = 0; j < WIDTH; j++)
    sum += (mean[j] - (double)route[j]) * (mean[j] - (double)route[j]);
  return sum;
}

/* The member that a pair's texts are nearest to. */
static void find_nearest(qe_model *model, qe_model *member, qe_batch *batch, size_t nearest[PAIRS]) {
  static const char *const routes[] = { "routes.source", "routes.target" };
  double distance[PAIRS][2] = { { 0 } };
  double means[PAIRS][WIDTH];
  bool known[PAIRS];
  for (int side = 0; side < 2; side++) {
    const qe_real *route = qe_params_matrix(model->params, (size_t)qe_params_find(model->params, routes[side]));
    add_means(member, batch, side, means, known);
    for (size_t i = 0; i < PAIRS; i++)
      for (size_t m = 0; m < 2 && known[i]; m++)
        distance[i][m] += apart(means[i], route + m * WIDTH);
  }
  for (size_t i = 0; i < PAIRS; i++)
    nearest[i] = distance[i][1] < distance[i][0];
}

static void set_routes(qe_model *model) {
  qe_rng rng;
  qe_rng_seed(&rng, 9, "routes");
  for (size_t i = 0; i < qe_params_count(model->params); i++)
    qe_params_normal(model->params, i, .5, &rng);
  assert_int_equal(qe_model_prepare(model), QE_OK);
}

static void check_words(qe_model *model, qe_model *member, const qe_pair *pair) {
  qe_scorer *one = qe_scorer_new(model, NULL), *other = qe_scorer_new(member, NULL);
  float found[64], expected[64];
  float score;
  size_t offset[2];
  const size_t count = qe_count_tokens(pair, 1, offset);
  assert_true(count <= 64);
  assert_int_equal(qe_score_words(one, pair, 1, offset, &score, found), QE_OK);
  assert_int_equal(qe_score_words(other, pair, 1, offset, &score, expected), QE_OK);
  assert_memory_equal(found, expected, count * sizeof *found);
  qe_scorer_free(one);
  qe_scorer_free(other);
}

static void test_a_family_asks_the_nearest(void **state) {
  struct fixture f;
  qe_model *second, *model = qe_model_new();
  qe_pair pairs[PAIRS];
  float scores[2][PAIRS], found[PAIRS];
  size_t nearest[PAIRS], asked[2] = { 0, 0 };
  (void)state;
  fixture_make(&f);
  second = student(f.train, f.encoder, 2);
  assert_int_equal(qe_model_describe(f.student, "{\"score\":{\"context\":0.5,\"shift\":1}}"), QE_OK);
  qe_model *const members[] = { f.student, second };
  if (qe_model_create_family(model, members, 2) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  set_routes(model);
  take_pairs(f.data, model, pairs);
  qe_batch *batch = whole_batch(f.data);
  find_nearest(model, f.student, batch, nearest);
  for (size_t m = 0; m < 2; m++) {
    assert_int_equal(qe_model_prepare(members[m]), QE_OK);
    score(members[m], NULL, 1, pairs, PAIRS, scores[m]);
  }
  score(model, NULL, 1, pairs, PAIRS, found);
  for (size_t i = 0; i < PAIRS; i++) {
    assert_memory_equal(&found[i], &scores[nearest[i]][i], sizeof *found);
    asked[nearest[i]]++;
  }
  assert_true(asked[0] > 5 && asked[1] > 5);
  for (size_t i = 0; i < 8; i++)
    if (pairs[i].source.size < 60 && pairs[i].translation.size < 60) /* one window */
      check_words(model, members[nearest[i]], &pairs[i]);
  check_bits(model, f.data);
  qe_batch_free(batch);
  qe_model_free(model);
  qe_model_free(second);
  fixture_drop(&f);
}

static void test_archive_of_a_family(void **state) {
  struct fixture f;
  struct scratch scratch;
  qe_model *model = qe_model_new(), *again = qe_model_new();
  (void)state;
  fixture_make(&f);
  scratch_make(&scratch);
  qe_model *second = student(f.train, f.encoder, 2), *const members[] = { f.student, second };
  assert_int_equal(qe_model_create_family(model, members, 2), QE_OK);
  set_routes(model);
  const qe_pair golden = { .source = qe_string("ka lomi"), .translation = qe_string("su") };
  assert_int_equal(qe_model_set_golden(model, &golden, 1), QE_OK);
  assert_int_equal(qe_model_set_card(model, "card"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "licence"), QE_OK);
  save_and_open(model, again, scratch_path(&scratch, "family.qe"));
  check_same(model, again, f.data);
  assert_string_equal(qe_model_manifest(model), qe_model_manifest(again));
  refuse_inside(scratch.path, "context.qe, expected");
  qe_model_free(again);
  qe_model_free(model);
  qe_model_free(second);
  fixture_drop(&f);
  scratch_remove(scratch.folder);
}

/* ---- words in context, in lists ---- */

enum { LIST = 5 };
static const char *const list_texts[LIST] = { "ka lomi su", "ka lomi su Teri", "pa! ro", "", "su ka 42 ro lomi" };

static void directions_of(qe_model *model, struct directions out[LIST]) {
  qe_dataset *data = qe_dataset_new();
  uint32_t rows[LIST];
  qe_segments words;
  for (uint32_t i = 0; i < LIST; i++) {
    const qe_pair pair = { .translation = qe_string(list_texts[i]) };
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
    rows[i] = i;
  }
  qe_batch *batch = qe_batch_new(data, rows, LIST);
  qe_tape *tape = qe_tape_new(NULL, 1);
  const qe_tensor found = qe_pass_tap(qe_model_forward(tape, model, batch, NULL), "target.embedding");
  assert_int_equal(qe_batch_segments(batch, model, QE_TARGET, &words), QE_OK);
  for (size_t i = 0; i < LIST; i++) {
    out[i].count = words.offset[i + 1] - words.offset[i];
    for (size_t k = 0; k < out[i].count; k++) {
      const qe_real *x = qe_values(found) + (words.offset[i] + k) * EMBEDDED;
      double size = 0;
      for (size_t j = 0; j < EMBEDDED; j++)
        size += (double)x[j] * (double)x[j];
      for (size_t j = 0; j < EMBEDDED; j++)
        out[i].x[k][j] = (double)x[j] / sqrt(size);
    }
  }
  qe_tape_free(tape);
  qe_batch_free(batch);
  qe_dataset_free(data);
}

static void consensus_values(const qe_model *model, double values[LIST]) {
  qe_text texts[LIST];
  qe_consensus *consensus = qe_consensus_by_words(model);
  assert_non_null(consensus);
  for (size_t i = 0; i < LIST; i++)
    texts[i] = qe_string(list_texts[i]);
  assert_int_equal(qe_consensus_values(consensus, texts, LIST, NULL, values), QE_OK);
  qe_consensus_free(consensus);
}

/* Against its definition; a family asks its first member, whichever is nearest to the text alone. */
static void test_consensus(void **state) {
  struct fixture f;
  struct directions directions[LIST];
  double values[LIST], others[LIST];
  qe_model *model = qe_model_new();
  (void)state;
  fixture_make(&f);
  qe_model *second = student(f.train, f.encoder, 2), *const members[] = { f.student, second };
  assert_int_equal(qe_model_prepare(f.student), QE_OK);
  directions_of(f.student, directions);
  consensus_values(f.student, values);
  for (size_t i = 0; i < LIST; i++) {
    double sum = 0;
    for (size_t j = 0; j < LIST; j++)
      sum += i == j ? 0 : twin_alike(&directions[i], &directions[j], EMBEDDED);
    assert_true(fabs(values[i] - sum / (LIST - 1)) < 1e-5);
  }
  assert_int_equal(qe_model_create_family(model, members, 2), QE_OK);
  for (size_t i = 0; i < qe_params_count(model->params); i++)
    for (size_t j = 0; j < WIDTH; j++)
      qe_params_matrix(model->params, i)[j] = 100; /* far from all texts */
  assert_int_equal(qe_model_prepare(model), QE_OK);
  consensus_values(model, others);
  assert_memory_equal(values, others, sizeof values);
  qe_model_free(model);
  qe_model_free(second);
  fixture_drop(&f);
}

static void test_refused(void **state) {
  struct fixture f;
  qe_rng rng;
  char configuration[512];
  qe_model *model = qe_model_new(), *embedded = qe_model_new(), *none = qe_model_new();
  (void)state;
  fixture_make(&f);
  qe_rng_seed(&rng, 1, "student");
  snprintf(configuration, sizeof configuration, IN_CONTEXT, (size_t)WIDTH);
  assert_int_equal(qe_model_create(model, configuration, f.train, &rng), QE_OK);
  assert_int_equal(qe_model_prepare(model), QE_USE);
  assert_non_null(strstr(qe_model_error(model), "no encoder"));
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_batch *batch = whole_batch(f.data);
  qe_model_forward(tape, model, batch, NULL);
  assert_non_null(strstr(qe_tape_error(tape), "no encoder"));
  assert_int_equal(qe_model_set_context(model, f.student), QE_USE);
  assert_non_null(strstr(qe_model_error(model), "no encoder"));
  assert_int_equal(qe_model_set_context(model, none), QE_USE);
  assert_int_equal(qe_model_create(embedded, "{\"name\":\"aligned\"}", f.train, &rng), QE_OK);
  assert_int_equal(qe_model_set_context(embedded, f.encoder), QE_USE);
  assert_non_null(strstr(qe_model_error(embedded), "context_layer"));
  qe_model *const members[] = { f.student, embedded };
  assert_int_equal(qe_model_create_family(none, members, 2), QE_USE);
  assert_non_null(strstr(qe_model_error(none), "member 2"));
  assert_int_equal(qe_model_create_family(none, members, 1), QE_OK);
  qe_tape_reset(tape);
  qe_model_forward(tape, none, batch, NULL);
  assert_non_null(strstr(qe_tape_error(tape), "a family is not trained"));
  assert_int_equal(qe_model_create(model,
                                   "{\"name\":\"aligned\",\"context_layer\":1,\"context_width\":8,"
                                   "\"source\":{\"kind\":\"ngrams\"}}",
                                   f.train, &rng),
                   QE_FORMAT);
  assert_int_equal(qe_model_create(model, "{\"name\":\"aligned\",\"context_layer\":1}", f.train, &rng), QE_FORMAT);
  qe_batch_free(batch);
  qe_tape_free(tape);
  qe_model_free(model);
  qe_model_free(embedded);
  qe_model_free(none);
  fixture_drop(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_states_are_those_of_the_encoder),
    cmocka_unit_test(test_scores_are_those_of_the_tape),
    cmocka_unit_test(test_the_encoder_has_its_say),
    cmocka_unit_test(test_archive),
    cmocka_unit_test(test_a_family_asks_the_nearest),
    cmocka_unit_test(test_archive_of_a_family),
    cmocka_unit_test(test_consensus),
    cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
