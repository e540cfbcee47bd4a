/*
** test_pack.c - a model archive to a folder and back to the same bytes; what a folder may not hold; and that a failure
** leaves the old archive, respectively no files.
*/
#include "file.h"
#include "model_fixture.h"
#include "scratch.h"

#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <cmocka.h>

struct setting {
  struct scratch scratch;
  char model[64], folder[64], result[64]; /* paths */
  qe_archive *archive;
};

static void save_model(const char *configuration, const char *path) {
  qe_dataset *data = fixture_data(30, 7, 10);
  qe_model *model = fixture_model(configuration, data);
  qe_pair golden[2] = { { .source = qe_string("ka su"), .translation = qe_string("Teri pa!") },
                        { .source = qe_string("42"), .translation = qe_string("") } };
  assert_int_equal(qe_model_set_golden(model, golden, 2), QE_OK);
  assert_int_equal(qe_model_set_card(model, "# Card\n"), QE_OK);
  assert_int_equal(qe_model_set_licence(model, "MIT\n"), QE_OK);
  assert_int_equal(qe_model_describe(model, "{\"languages\":\"xx-yy\",\"score\":{\"scale\":1.5,\"shift\":0.25}}"),
                   QE_OK);
  if (qe_model_save(model, path) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  qe_model_free(model);
  qe_dataset_free(data);
}

static int set_up(void **state) {
  struct setting *setting = calloc(1, sizeof *setting);
  scratch_make(&setting->scratch);
  snprintf(setting->model, sizeof setting->model, "%s/model.qe", setting->scratch.folder);
  snprintf(setting->folder, sizeof setting->folder, "%s/folder", setting->scratch.folder);
  snprintf(setting->result, sizeof setting->result, "%s/result.qe", setting->scratch.folder);
  setting->archive = qe_archive_new();
  *state = setting;
  return 0;
}

static int tear_down(void **state) {
  struct setting *setting = *state;
  scratch_remove(setting->scratch.folder);
  qe_archive_free(setting->archive);
  free(setting);
  return 0;
}

static void unpacked(struct setting *setting, const char *configuration) {
  save_model(configuration, setting->model);
  if (qe_unpack(setting->archive, setting->model, setting->folder) != QE_OK)
    fail_msg("%s", qe_archive_error(setting->archive));
}

static const char *in_folder(struct setting *setting, const char *name) {
  snprintf(setting->scratch.path, sizeof setting->scratch.path, "%s/%s", setting->folder, name);
  return setting->scratch.path;
}

static void put(struct setting *setting, const char *name, const char *text) {
  scratch_put(in_folder(setting, name), text, strlen(text));
}

static void assert_same_files(const char *a, const char *b) {
  size_t sizes[2];
  char *bytes[2] = { scratch_get(a, &sizes[0]), scratch_get(b, &sizes[1]) };
  assert_non_null(bytes[0]);
  assert_non_null(bytes[1]);
  assert_int_equal(sizes[0], sizes[1]);
  assert_memory_equal(bytes[0], bytes[1], sizes[0]);
  free(bytes[0]);
  free(bytes[1]);
}

/* Packing fails with this text, the file that was there stays, and nothing lies beside it. */
static void assert_not_packed(struct setting *setting, const char *message) {
  size_t size;
  const int files = scratch_count(setting->scratch.folder);
  scratch_put(setting->result, "old", 3);
  assert_true(qe_pack(setting->archive, setting->folder, setting->result) < 0);
  if (!strstr(qe_archive_error(setting->archive), message))
    fail_msg("\"%s\" lacks \"%s\"", qe_archive_error(setting->archive), message);
  assert_int_equal(qe_archive_count(setting->archive), 0);
  char *content = scratch_get(setting->result, &size);
  assert_string_equal(content, "old");
  free(content);
  unlink(setting->result);
  assert_int_equal(scratch_count(setting->scratch.folder), files);
}

/* ---- there and back ---- */

static void there_and_back(struct setting *setting, const char *configuration, int members) {
  size_t size;
  unpacked(setting, configuration);
  assert_int_equal(scratch_count(setting->folder), members);
  for (size_t i = 0; i < qe_archive_count(setting->archive); i++) {
    const qe_text member = qe_archive_member(setting->archive, i);
    char *content = scratch_get(in_folder(setting, qe_archive_name(setting->archive, i)), &size);
    assert_int_equal(size, member.size);
    assert_memory_equal(content, member.data, size);
    free(content);
  }
  if (qe_pack(setting->archive, setting->folder, setting->result) != QE_OK)
    fail_msg("%s", qe_archive_error(setting->archive));
  assert_int_equal(qe_archive_count(setting->archive), members);
  assert_same_files(setting->model, setting->result);
}

static void test_there_and_back_ngrams(void **state) {
  there_and_back(*state, FIXTURE_NGRAMS, 5);
}

static void test_there_and_back_words(void **state) {
  there_and_back(*state, FIXTURE_WORDS, 7);
}

/* A manifest that an editor has laid out anew gives the same archive. */
static void test_manifest_layout_does_not_matter(void **state) {
  struct setting *setting = *state;
  unpacked(setting, FIXTURE_NGRAMS);
  json_t *manifest = json_load_file(in_folder(setting, "manifest.json"), 0, NULL);
  assert_non_null(manifest);
  json_object_set_new(manifest, "members", json_pack("{s:{s:i}}", "weights.bin", "size", 1));
  assert_int_equal(json_dump_file(manifest, in_folder(setting, "manifest.json"), JSON_COMPACT), 0);
  json_decref(manifest);
  assert_int_equal(qe_pack(setting->archive, setting->folder, setting->result), QE_OK);
  assert_same_files(setting->model, setting->result);
}

static void test_changed_texts_are_packed(void **state) {
  struct setting *setting = *state;
  unpacked(setting, FIXTURE_NGRAMS);
  put(setting, "MODEL_CARD.md", "# Another card\n");
  if (qe_pack(setting->archive, setting->folder, setting->result) != QE_OK)
    fail_msg("%s", qe_archive_error(setting->archive));
  qe_model *model = qe_model_new();
  assert_int_equal(qe_model_open(model, setting->result, 0), QE_OK);
  assert_string_equal(qe_model_card(model), "# Another card\n");
  qe_model_free(model);
}

/* ---- what packing refuses ---- */

static void test_unknown_files(void **state) {
  struct setting *setting = *state;
  static const char *const unknown[] = { "notes.txt", ".hidden", "vocab.source", "weights.bin.old" };
  char message[100];
  unpacked(setting, FIXTURE_NGRAMS);
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    put(setting, unknown[i], "x");
    snprintf(message, sizeof message, "folder: %s: not a member of this model", unknown[i]);
    assert_not_packed(setting, message);
    unlink(in_folder(setting, unknown[i]));
  }
  mkdir(in_folder(setting, "more"), 0777);
  assert_not_packed(setting, "folder: more: not a member of this model");
}

static void test_missing_files(void **state) {
  struct setting *setting = *state;
  static const char *const members[] = { "FORMAT",       "manifest.json", "weights.bin", "vocab.source",
                                         "vocab.target", "MODEL_CARD.md", "LICENSE" };
  char message[100];
  unpacked(setting, FIXTURE_WORDS);
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    size_t size;
    char *content = scratch_get(in_folder(setting, members[i]), &size);
    unlink(setting->scratch.path);
    snprintf(message, sizeof message, "folder: %s: cannot open: No such file or directory", members[i]);
    assert_not_packed(setting, message);
    scratch_put(in_folder(setting, members[i]), content, size);
    free(content);
  }
  assert_int_equal(qe_pack(setting->archive, "no-such-folder", setting->result), QE_WORLD);
  assert_string_equal(qe_archive_error(setting->archive),
                      "no-such-folder: manifest.json: cannot open: No such file or directory");
}

static void test_bad_manifests(void **state) {
  struct setting *setting = *state;
  unpacked(setting, FIXTURE_NGRAMS);
  put(setting, "manifest.json", "{\n  \"a\": 1,\n  \"a\": 2\n}\n");
  assert_not_packed(setting, "folder: manifest.json:3: duplicate object key");
  put(setting, "manifest.json", "[]\n");
  assert_not_packed(setting, "folder: manifest.json: not a JSON object");
  put(setting, "manifest.json", "{\"members\": {\"../evil\": {}}}");
  assert_not_packed(setting, "folder: manifest.json: lists the member ../evil, which no model has");
  put(setting, "manifest.json", "{}");
  assert_not_packed(setting, "architecture");
  if (truncate(in_folder(setting, "manifest.json"), (1 << 20) + 1) == 0)
    assert_not_packed(setting, "folder: manifest.json: 1048577 bytes, more than the limit of 1048576");
}

static void test_what_opening_refuses(void **state) {
  struct setting *setting = *state;
  size_t size;
  unpacked(setting, FIXTURE_NGRAMS);
  char *weights = scratch_get(in_folder(setting, "weights.bin"), &size);
  weights[size - 2] ^= 0x40; /* of the head's bias */
  scratch_put(setting->scratch.path, weights, size);
  assert_not_packed(setting, "folder: golden pair 1 scores");
  scratch_put(in_folder(setting, "weights.bin"), weights, size - 1);
  assert_not_packed(setting, "folder: weights.bin: ");
  free(weights);
  put(setting, "FORMAT", "qestrel-model 2.0\n");
  assert_not_packed(setting, "folder: FORMAT: version 2.0");
}

/* A pipe would make a reader wait for ever. */
static void test_only_regular_files_are_read(void **state) {
  struct setting *setting = *state;
  unpacked(setting, FIXTURE_NGRAMS);
  unlink(in_folder(setting, "LICENSE"));
  if (mkfifo(setting->scratch.path, 0666) != 0)
    skip();
  assert_not_packed(setting, "folder: LICENSE: not a regular file");
}

static void test_result_that_cannot_be_written(void **state) {
  struct setting *setting = *state;
  unpacked(setting, FIXTURE_NGRAMS);
  assert_int_equal(qe_pack(setting->archive, setting->folder, "/dev/full"), QE_WORLD);
  assert_string_equal(qe_archive_error(setting->archive),
                      "cannot write /dev/full: it exists and is not a regular file");
  assert_int_equal(qe_archive_count(setting->archive), 0);
}

/* ---- unpacking ---- */

/* Three members, one of them large, that are no model. */
static void save_plain(struct setting *setting) {
  char *large = calloc(1, 100000);
  qe_archive *archive = qe_archive_new();
  assert_int_equal(qe_archive_add(archive, "first", "1", 1), QE_OK);
  assert_int_equal(qe_archive_add(archive, "large", large, 100000), QE_OK);
  assert_int_equal(qe_archive_add(archive, "none", "", 0), QE_OK);
  assert_int_equal(qe_archive_save(archive, setting->model), QE_OK);
  qe_archive_free(archive);
  free(large);
}

static void test_plain_archive_into_an_empty_folder(void **state) {
  struct setting *setting = *state;
  save_plain(setting);
  mkdir(setting->folder, 0777);
  assert_int_equal(qe_unpack(setting->archive, setting->model, setting->folder), QE_OK);
  assert_int_equal(scratch_count(setting->folder), 3);
}

static void assert_not_unpacked(struct setting *setting, const char *folder, const char *message) {
  assert_true(qe_unpack(setting->archive, setting->model, folder) < 0);
  if (!strstr(qe_archive_error(setting->archive), message))
    fail_msg("\"%s\" lacks \"%s\"", qe_archive_error(setting->archive), message);
  assert_int_equal(qe_archive_count(setting->archive), 0);
}

static void test_folder_that_is_not_empty(void **state) {
  struct setting *setting = *state;
  size_t size;
  save_plain(setting);
  mkdir(setting->folder, 0777);
  put(setting, "first", "mine");
  assert_not_unpacked(setting, setting->folder, "folder: the folder is not empty: it holds first");
  assert_int_equal(scratch_count(setting->folder), 1);
  char *content = scratch_get(in_folder(setting, "first"), &size);
  assert_string_equal(content, "mine");
  free(content);
  unlink(setting->scratch.path);
  if (symlink("../escape", setting->scratch.path) != 0) /* a dangling link is a name like any other */
    skip();
  assert_not_unpacked(setting, setting->folder, "the folder is not empty");
  assert_int_equal(scratch_count(setting->scratch.folder), 2);
}

static void test_what_is_no_folder(void **state) {
  struct setting *setting = *state;
  save_plain(setting);
  assert_not_unpacked(setting, setting->model, "model.qe: cannot open the folder: Not a directory");
  assert_not_unpacked(setting, "none/folder", "none/folder: cannot make the folder: No such file or directory");
}

/* A disk that is full in the middle: what was created goes, a folder that was there stays. */
static void test_failure_removes_what_it_created(void **state) {
  struct setting *setting = *state;
  struct rlimit before, small;
  save_plain(setting);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 50000;
  for (int there = 0; there < 2; there++) {
    if (there)
      mkdir(setting->folder, 0777);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_not_unpacked(setting, setting->folder, "folder: cannot write large: File too large");
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(scratch_count(setting->folder), there ? 0 : -1);
  }
}

static void save_with_manifest(struct setting *setting, const char *manifest) {
  qe_archive *archive = qe_archive_new();
  assert_int_equal(qe_archive_add(archive, "manifest.json", manifest, strlen(manifest)), QE_OK);
  assert_int_equal(qe_archive_add(archive, "data", "abc", 3), QE_OK);
  assert_int_equal(qe_archive_save(archive, setting->model), QE_OK);
  qe_archive_free(archive);
}

#define MEMBERS_OF_DATA(hash)                                                                                      \
  "{\n  \"members\": {\n    \"data\": {\n      \"sha256\": \"" hash "\",\n      \"size\": 3\n    }\n  }\n}\n"

static void test_hashes_are_checked_before_anything_is_created(void **state) {
  struct setting *setting = *state;
  save_with_manifest(setting, MEMBERS_OF_DATA("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae"));
  assert_not_unpacked(setting, setting->folder, "model.qe: data: sha256 is ba7816bf");
  save_with_manifest(setting, "{}\n");
  assert_not_unpacked(setting, setting->folder, "model.qe: data: a member that the manifest does not list");
  save_with_manifest(setting, "{ }\n");
  assert_not_unpacked(setting, setting->folder, "model.qe: manifest.json: not in canonical form");
  assert_int_equal(scratch_count(setting->folder), -1);
  save_with_manifest(setting, MEMBERS_OF_DATA("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  assert_int_equal(qe_unpack(setting->archive, setting->model, setting->folder), QE_OK);
  assert_int_equal(scratch_count(setting->folder), 2);
}

static void test_damaged_archive(void **state) {
  struct setting *setting = *state;
  scratch_put(setting->model, "no archive", 10);
  assert_not_unpacked(setting, setting->folder, "model.qe: member 1: Unrecognized archive format");
  assert_int_equal(scratch_count(setting->folder), -1);
}

/* Numbers keep their point where the locale writes a comma. */
static void test_comma_locale(void **state) {
  static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "et_EE.UTF-8", "ru_RU.UTF-8" };
  bool found = false;
  for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++)
    found = setlocale(LC_ALL, names[i]) != NULL && localeconv()->decimal_point[0] == ',';
  if (!found) {
    print_message("no locale with a decimal comma is installed\n");
    setlocale(LC_ALL, "C");
    skip();
  }
  there_and_back(*state, FIXTURE_NGRAMS, 5);
  setlocale(LC_ALL, "C");
  struct setting *setting = *state;
  save_model(FIXTURE_NGRAMS, setting->result);
  assert_same_files(setting->model, setting->result);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST(test_there_and_back_ngrams),
    TEST(test_there_and_back_words),
    TEST(test_manifest_layout_does_not_matter),
    TEST(test_changed_texts_are_packed),
    TEST(test_unknown_files),
    TEST(test_missing_files),
    TEST(test_bad_manifests),
    TEST(test_what_opening_refuses),
    TEST(test_only_regular_files_are_read),
    TEST(test_result_that_cannot_be_written),
    TEST(test_plain_archive_into_an_empty_folder),
    TEST(test_folder_that_is_not_empty),
    TEST(test_what_is_no_folder),
    TEST(test_failure_removes_what_it_created),
    TEST(test_hashes_are_checked_before_anything_is_created),
    TEST(test_damaged_archive),
    TEST(test_comma_locale),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
