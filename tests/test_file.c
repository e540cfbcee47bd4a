/*
** test_file.c - whole files: the limit on reading, and that a write which fails at any point leaves the old file and
** nothing else.
*/
#include "file.h"
#include "scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <cmocka.h>

static int set_up(void **state) {
  struct scratch *scratch = calloc(1, sizeof *scratch);
  scratch_make(scratch);
  *state = scratch;
  return 0;
}

static int tear_down(void **state) {
  struct scratch *scratch = *state;
  scratch_remove(scratch->folder);
  free(scratch);
  return 0;
}

static void assert_holds(const char *path, const void *bytes, size_t size) {
  size_t found;
  char *content = scratch_get(path, &found);
  assert_non_null(content);
  assert_int_equal(found, size);
  assert_memory_equal(content, bytes, size);
  free(content);
}

/* ---- reading ---- */

static void test_reads_every_size_up_to_its_limit(void **state) {
  static const size_t sizes[] = { 0, 1, 2, 4095, 4096, 65535, 65536, 65537, 200001 };
  const char *path = scratch_path(*state, "a");
  char *bytes, *content = malloc(200001);
  size_t size;
  for (size_t i = 0; i < 200001; i++)
    content[i] = (char)(i * 7 + i / 256);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct error error = { 0 };
    scratch_put(path, content, sizes[i]);
    assert_int_equal(file_read(path, sizes[i], &bytes, &size, &error), QE_OK);
    assert_int_equal(size, sizes[i]);
    assert_memory_equal(bytes, content, size);
    memory_free(bytes);
    if (sizes[i] == 0)
      continue;
    assert_int_equal(file_read(path, sizes[i] - 1, &bytes, &size, &error), QE_FORMAT);
    assert_null(bytes);
    assert_non_null(strstr(error.text, "limit of"));
  }
  free(content);
}

/* A device reports the size 0: only counting stops it. */
static void test_endless_file_ends_at_the_limit(void **state) {
  (void)state;
  struct error error = { 0 };
  char *bytes;
  size_t size;
  assert_int_equal(file_read("/dev/zero", 1000000, &bytes, &size, &error), QE_FORMAT);
  assert_string_equal(error.text, "larger than the limit of 1000000 bytes");
}

/* Files without a size that are shorter than the limit are read whole. */
static void test_file_without_a_size(void **state) {
  (void)state;
  struct error error = { 0 };
  char *bytes;
  size_t size;
  if (access("/proc/self/cmdline", R_OK) != 0)
    skip();
  assert_int_equal(file_read("/proc/self/cmdline", 1 << 20, &bytes, &size, &error), QE_OK);
  assert_true(size > 1);
  memory_free(bytes);
}

static void test_reading_what_is_no_file(void **state) {
  struct error error = { 0 };
  char *bytes;
  size_t size;
  assert_int_equal(file_read(scratch_path(*state, "none"), 10, &bytes, &size, &error), QE_WORLD);
  assert_string_equal(error.text, "cannot open: No such file or directory");
  error_clear(&error);
  assert_int_equal(file_read(".", 1 << 20, &bytes, &size, &error), QE_WORLD);
  assert_string_equal(error.text, "cannot read: Is a directory");
  assert_null(bytes);
}

/* A sparse file of many gigabytes is refused by what it says, before anything is allocated or read. */
static void test_huge_file_is_refused_at_once(void **state) {
  struct error error = { 0 };
  char *bytes;
  size_t size;
  const char *path = scratch_path(*state, "huge");
  scratch_put(path, "", 0);
  if (truncate(path, (off_t)1 << 40) != 0)
    skip();
  assert_int_equal(file_read(path, 1 << 30, &bytes, &size, &error), QE_FORMAT);
  assert_string_equal(error.text, "1099511627776 bytes, more than the limit of 1073741824");
}

/* ---- writing ---- */

static void test_replaces_in_one_step(void **state) {
  struct scratch *scratch = *state;
  struct error error = { 0 };
  struct file_writer file;
  const char *path = scratch_path(scratch, "a");
  scratch_put(path, "old", 3);
  assert_int_equal(file_begin(&file, path, &error), QE_OK);
  assert_int_equal(file_append(&file, "brand ", 6), QE_OK);
  assert_holds(path, "old", 3);
  assert_int_equal(scratch_count(scratch->folder), 2);
  assert_int_equal(file_append(&file, "new", 3), QE_OK);
  assert_int_equal(file_finish(&file), QE_OK);
  assert_holds(path, "brand new", 9);
  file_abandon(&file);
  assert_holds(path, "brand new", 9);
  assert_int_equal(scratch_count(scratch->folder), 1);
}

static void test_abandon_leaves_nothing(void **state) {
  struct scratch *scratch = *state;
  struct error error = { 0 };
  struct file_writer file;
  assert_int_equal(file_begin(&file, scratch_path(scratch, "a"), &error), QE_OK);
  assert_int_equal(file_append(&file, "x", 1), QE_OK);
  file_abandon(&file);
  file_abandon(&file);
  assert_int_equal(scratch_count(scratch->folder), 0);
}

static void test_full_device(void **state) {
  struct scratch *scratch = *state;
  struct error error = { 0 };
  struct file_writer file;
  const char *path = scratch_path(scratch, "a");
  scratch_put(path, "old", 3);
  assert_int_equal(file_begin(&file, path, &error), QE_OK);
  int full = open("/dev/full", O_WRONLY);
  if (full < 0 || dup2(full, file.descriptor) < 0)
    skip();
  close(full);
  assert_int_equal(file_append(&file, "new", 3), QE_WORLD);
  assert_non_null(strstr(error.text, "/a: No space left on device"));
  file_abandon(&file);
  assert_holds(path, "old", 3);
  assert_int_equal(scratch_count(scratch->folder), 1);
}

/* As a full disk, but at a chosen byte. */
static void test_file_that_may_not_grow(void **state) {
  struct scratch *scratch = *state;
  struct rlimit before, small;
  char message[200];
  const char *path = scratch_path(scratch, "a");
  char *content = calloc(1, 100000);
  const qe_text parts[] = { { content, 100 }, { content, 100000 } };
  scratch_put(path, "old", 3);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 50000;
  setrlimit(RLIMIT_FSIZE, &small);
  int status = qe_write_file(path, parts, 2, message, sizeof message);
  setrlimit(RLIMIT_FSIZE, &before);
  free(content);
  assert_int_equal(status, QE_WORLD);
  assert_non_null(strstr(message, "/a: File too large"));
  assert_holds(path, "old", 3);
  assert_int_equal(scratch_count(scratch->folder), 1);
}

static void test_target_becomes_a_folder(void **state) {
  struct scratch *scratch = *state;
  struct error error = { 0 };
  struct file_writer file;
  const char *path = scratch_path(scratch, "a");
  assert_int_equal(file_begin(&file, path, &error), QE_OK);
  mkdir(path, 0777);
  assert_int_equal(file_finish(&file), QE_WORLD);
  assert_non_null(strstr(error.text, "/a: Is a directory"));
  assert_int_equal(scratch_count(scratch->folder), 1);
}

static void test_special_files_are_not_replaced(void **state) {
  struct scratch *scratch = *state;
  const qe_text part = { "x", 1 };
  char message[200];
  assert_int_equal(qe_write_file("/dev/full", &part, 1, message, sizeof message), QE_WORLD);
  assert_string_equal(message, "cannot write /dev/full: it exists and is not a regular file");
  assert_int_equal(qe_write_file(scratch->folder, &part, 1, message, sizeof message), QE_WORLD);
  assert_int_equal(scratch_count(scratch->folder), 0);
  assert_int_equal(qe_write_file(scratch_path(scratch, "none/a"), &part, 1, message, sizeof message), QE_WORLD);
  assert_non_null(strstr(message, "none/a: No such file or directory"));
}

/* The temporary of a writer that was killed goes away; that of one who still writes stays. */
static void test_temporaries_of_others(void **state) {
  struct scratch *scratch = *state;
  const qe_text part = { "new", 3 };
  struct error error = { 0 };
  struct file_writer other;
  char name[64], target[1024];
  snprintf(name, sizeof name, "a.new-%lu-7", (unsigned long)getpid());
  snprintf(target, sizeof target, "%s", scratch_path(scratch, "a"));
  scratch_put(scratch_path(scratch, name), "orphan", 6);
  assert_int_equal(file_begin(&other, target, &error), QE_OK);
  assert_int_equal(access(scratch_path(scratch, name), F_OK), -1);
  assert_int_equal(file_append(&other, "other", 5), QE_OK);
  assert_int_equal(qe_write_file(target, &part, 1, NULL, 0), QE_OK);
  assert_holds(target, "new", 3);
  assert_int_equal(file_finish(&other), QE_OK);
  assert_holds(target, "other", 5);
}

static void test_parts_are_joined(void **state) {
  const qe_text parts[] = { { "ab", 2 }, { NULL, 0 }, { "\0c", 2 } };
  char message[20] = "?";
  const char *path = scratch_path(*state, "a");
  assert_int_equal(qe_write_file(path, parts, 3, message, sizeof message), QE_OK);
  assert_string_equal(message, "");
  assert_holds(path, "ab\0c", 4);
  assert_int_equal(qe_write_file(path, NULL, 0, NULL, 0), QE_OK);
  assert_holds(path, "", 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST(test_reads_every_size_up_to_its_limit),
    TEST(test_endless_file_ends_at_the_limit),
    TEST(test_file_without_a_size),
    TEST(test_reading_what_is_no_file),
    TEST(test_huge_file_is_refused_at_once),
    TEST(test_replaces_in_one_step),
    TEST(test_abandon_leaves_nothing),
    TEST(test_full_device),
    TEST(test_file_that_may_not_grow),
    TEST(test_target_becomes_a_folder),
    TEST(test_special_files_are_not_replaced),
    TEST(test_temporaries_of_others),
    TEST(test_parts_are_joined),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
