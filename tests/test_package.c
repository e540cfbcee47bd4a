/*
** test_package.c - a model through its archive: the same bytes for the same model, the same scores after opening, for
** every storage type; and whatever is not exactly such an archive refused, with a message and an empty model.
*/
#include "file.h"
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const char path[] = "test_package.qe", second[] = "test_package_2.qe";

static qe_model *packable(const char *configuration, const char *storage) {
  static const float logprobs[2] = { -.5f, -1.25f };
  qe_dataset *data = fixture_data(50, 11, 12);
  qe_model *model = fixture_model(configuration, data);
  size_t inputs = qe_model_decoder_inputs(model) ? 2 : 0;
  qe_pair golden[3] = { { qe_string("ka lomi su"), qe_string("pa ro"), inputs ? logprobs : NULL, inputs },
                        { qe_string(""), qe_string("vi"), NULL, 0 },
                        { qe_string("\"n\xc3\xa4lg\\"), qe_string("(ja)"), NULL, 0 } };
  assert_int_equal(qe_model_set_golden(model, golden, 3), QE_OK);
  assert_int_equal(qe_model_set_card(model, "# A card\n"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "CC0-1.0\n"), QE_OK);
  assert_int_equal(qe_model_describe(model, "{\"score\":{\"scale\":2.5,\"shift\":-0.1},\"languages\":\"et-en\"}"),
                   QE_OK);
  assert_int_equal(qe_model_round(model, storage), QE_OK);
  qe_dataset_free(data);
  return model;
}

static void read_whole(const char *name, char **bytes, size_t *size) {
  struct error error = { 0 };
  assert_int_equal(file_read(name, 1 << 30, bytes, size, &error), QE_OK);
}

static float score_of(const qe_model *model, const char *source, const char *translation) {
  float score = NAN;
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_pair pair = { .source = qe_string(source), .translation = qe_string(translation) };
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_OK);
  qe_scorer_free(scorer);
  return score;
}

static void round_trip(const char *configuration, const char *storage) {
  char *bytes[2];
  size_t sizes[2];
  qe_model *model = packable(configuration, storage), *opened = qe_model_new();
  if (qe_model_save(model, path) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  if (qe_model_open(opened, path, 0) != QE_OK)
    fail_msg("%s", qe_model_error(opened));
  assert_string_equal(qe_model_manifest(model), qe_model_manifest(opened));
  assert_true(score_of(model, "ka su", "teri ro") == score_of(opened, "ka su", "teri ro"));
  assert_int_equal(strlen(qe_model_sha256(opened)), 64);
  assert_int_equal(qe_model_save(opened, second), QE_OK); /* nothing was lost: the same bytes again */
  read_whole(path, &bytes[0], &sizes[0]);
  read_whole(second, &bytes[1], &sizes[1]);
  assert_int_equal(sizes[0], sizes[1]);
  assert_memory_equal(bytes[0], bytes[1], sizes[0]);
  memory_free(bytes[0]);
  memory_free(bytes[1]);
  qe_model_free(model);
  qe_model_free(opened);
  unlink(path);
  unlink(second);
}

static void test_round_trips(void **state) {
  static const char *const storages[] = { "f32", "bf16", "int8", "int8-all", "int4" };
  (void)state;
  for (int i = 0; i < 5; i++) {
    round_trip(FIXTURE_NGRAMS, storages[i]);
    round_trip(FIXTURE_WORDS, storages[i]);
  }
}

/* Numbers just beside the middle of two floats, which nine digits may put on its other side. */
static void test_numbers_between_floats(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 3, "scales");
  size_t moved = 0;
  for (int round = 0; round < 40; round++) {
    const float low = (float)(0.5 + qe_rng_uniform(&rng));
    const double middle = ((double)low + (double)nextafterf(low, 9)) / 2;
    const double scale = middle * (round % 2 ? 1 + 1e-12 : 1 - 1e-12);
    char text[128], nine[32];
    snprintf(text, sizeof text, "{\"score\":{\"scale\":%.17g,\"shift\":%.17g}}", scale, -scale);
    snprintf(nine, sizeof nine, "%.9g", scale);
    moved += (float)strtod(nine, NULL) != (float)scale;
    qe_model *model = packable(FIXTURE_NGRAMS, "f32"), *opened = qe_model_new();
    assert_int_equal(qe_model_describe(model, text), QE_OK);
    assert_int_equal(qe_model_save(model, path), QE_OK);
    if (qe_model_open(opened, path, 0) != QE_OK)
      fail_msg("scale %.17g: %s", scale, qe_model_error(opened));
    qe_model_free(model);
    qe_model_free(opened);
  }
  unlink(path);
  assert_true(moved > 5);
}

static void test_a_copy_is_the_model(void **state) {
  (void)state;
  qe_model *model = packable(FIXTURE_WORDS, "f32"), *copy = qe_model_new();
  assert_int_equal(qe_model_copy(copy, model), QE_OK);
  assert_int_equal(qe_model_prepare(copy), QE_OK);
  assert_true(score_of(model, "ka su", "teri ro") == score_of(copy, "ka su", "teri ro"));
  assert_string_equal(qe_model_manifest(model), qe_model_manifest(copy));
  assert_int_equal(qe_model_copy(copy, copy), QE_USE);
  qe_model_free(model);
  qe_model_free(copy);
}

static void test_what_is_missing_is_named(void **state) {
  (void)state;
  qe_dataset *data = fixture_data(5, 1, 5);
  qe_model *model = fixture_model(FIXTURE_NGRAMS, data);
  assert_int_equal(qe_model_save(model, path), QE_USE);
  assert_non_null(strstr(qe_model_error(model), "card"));
  assert_int_equal(access(path, F_OK), -1);
  assert_int_equal(qe_model_describe(model, "{\"golden\":1}"), QE_USE);
  assert_int_equal(qe_model_describe(model, "{\"score\":{\"scale\":-1}}"), QE_FORMAT);
  assert_int_equal(qe_model_describe(model, "nonsense"), QE_FORMAT);
  assert_int_equal(qe_model_round(model, "int3"), QE_USE);
  qe_model_free(model);
  qe_dataset_free(data);
}

/* Every change of a byte is noticed: the headers are canonical, all else is hashed. A sample, spread over the file,
** with everything before the weights. */
static void test_every_changed_byte_is_refused(void **state) {
  char *bytes;
  size_t size;
  (void)state;
  qe_model *model = packable(FIXTURE_NGRAMS, "int8"), *opened = qe_model_new();
  assert_int_equal(qe_model_save(model, path), QE_OK);
  read_whole(path, &bytes, &size);
  for (size_t i = 0; i < size; i += i < 6000 ? 1 : 7) {
    bytes[i] ^= 1;
    if (qe_model_open_memory(opened, bytes, size, 0) == QE_OK)
      fail_msg("byte %zu may change", i);
    assert_true(strlen(qe_model_error(opened)) > 0);
    assert_null(qe_model_params(opened));
    bytes[i] ^= 1;
  }
  assert_int_equal(qe_model_open_memory(opened, bytes, size, 0), QE_OK);
  assert_int_not_equal(qe_model_open_memory(opened, bytes, size, size - 1), QE_OK);
  for (size_t cut = 0; cut < size; cut += 97)
    assert_int_not_equal(qe_model_open_memory(opened, bytes, cut, 0), QE_OK);
  memory_free(bytes);
  qe_model_free(model);
  qe_model_free(opened);
  unlink(path);
}

/* An archive that is right in every form but promises other scores. */
static void test_golden_pairs_are_believed_by_nobody(void **state) {
  char *bytes, format[FORMAT_ROOM];
  size_t size;
  (void)state;
  struct error error = { 0 };
  qe_model *model = packable(FIXTURE_NGRAMS, "f32"), *opened = qe_model_new();
  qe_archive *archive = qe_archive_new(), *forged = qe_archive_new();
  assert_int_equal(qe_model_save(model, path), QE_OK);
  assert_int_equal(qe_archive_open(archive, path, 0), QE_OK);
  json_t *manifest = manifest_parse(qe_archive_member(archive, 1), &error);
  json_object_set_new(json_array_get(json_object_get(manifest, "golden"), 0), "score", json_real(.125));
  bytes = manifest_dump(manifest, &size, &error);
  manifest_format((qe_text){ bytes, size }, format);
  for (size_t i = 0; i < qe_archive_count(archive); i++) {
    qe_text member = qe_archive_member(archive, i);
    if (i == 0)
      member = qe_string(format);
    if (i == 1)
      member = (qe_text){ bytes, size };
    assert_int_equal(qe_archive_add(forged, qe_archive_name(archive, i), member.data, member.size), QE_OK);
  }
  assert_int_equal(qe_archive_save(forged, path), QE_OK);
  assert_int_equal(qe_model_open(opened, path, 0), QE_FORMAT);
  assert_non_null(strstr(qe_model_error(opened), "golden pair 1"));
  assert_non_null(strstr(qe_model_error(opened), path));
  memory_free(bytes);
  json_decref(manifest);
  qe_archive_free(archive);
  qe_archive_free(forged);
  qe_model_free(model);
  qe_model_free(opened);
  unlink(path);
}

static void test_other_files_are_refused(void **state) {
  (void)state;
  qe_model *model = qe_model_new();
  assert_int_equal(qe_model_open(model, "there is no such file.qe", 0), QE_WORLD);
  assert_non_null(strstr(qe_model_error(model), "there is no such file.qe"));
  assert_int_equal(qe_model_open_memory(model, "hello", 5, 0), QE_FORMAT);
  assert_int_equal(qe_model_open_memory(model, "", 0, 0), QE_FORMAT);
  qe_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trips),
    cmocka_unit_test(test_numbers_between_floats),
    cmocka_unit_test(test_a_copy_is_the_model),
    cmocka_unit_test(test_what_is_missing_is_named),
    cmocka_unit_test(test_every_changed_byte_is_refused),
    cmocka_unit_test(test_golden_pairs_are_believed_by_nobody),
    cmocka_unit_test(test_other_files_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
