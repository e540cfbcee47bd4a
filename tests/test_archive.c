/*
** test_archive.c - archives against a naive writer of ustar that is made of sprintf, and everything that is not what
** that writer would write: each byte cut off, changed or added, other formats, other kinds of members.
*/
#include "core.h"
#include "scratch.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

enum { BLOCK = 512, ROOM = 1 << 20 };

struct setting {
  struct scratch scratch;
  qe_archive *archive;
  char *bytes; /* ROOM of them */
  size_t size;
};

static int set_up(void **state) {
  struct setting *setting = calloc(1, sizeof *setting);
  scratch_make(&setting->scratch);
  setting->archive = qe_archive_new();
  setting->bytes = calloc(1, ROOM);
  *state = setting;
  return 0;
}

static int tear_down(void **state) {
  struct setting *setting = *state;
  scratch_remove(setting->scratch.folder);
  qe_archive_free(setting->archive);
  free(setting->bytes);
  free(setting);
  return 0;
}

/* ---- the naive twin ---- */

static void twin_seal(char *header) {
  unsigned sum = 0;
  memset(header + 148, ' ', 8);
  for (int i = 0; i < BLOCK; i++)
    sum += (unsigned char)header[i];
  snprintf(header + 148, 8, "%06o", sum);
}

static char *twin_add(struct setting *setting, const char *name, const char *content, size_t size) {
  char *header = setting->bytes + setting->size;
  memset(header, 0, BLOCK);
  memcpy(header, name, strlen(name));
  memcpy(header + 100,
         "000644 \0"
         "000000 \0"
         "000000 ",
         23);
  sprintf(header + 124, "%011zo", size);
  memcpy(header + 135, " 00000000000 ", 13);
  header[156] = '0';
  memcpy(header + 257,
         "ustar\0"
         "00",
         8);
  memcpy(header + 329,
         "000000 \0"
         "000000 ",
         15);
  twin_seal(header);
  memcpy(header + BLOCK, content, size);
  setting->size += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
  return header;
}

static void twin_end(struct setting *setting) {
  setting->size += 2 * BLOCK; /* zero since calloc */
}

/* The small archive of most tests. */
static void twin_small(struct setting *setting) {
  twin_add(setting, "FORMAT", "one\n", 4);
  twin_add(setting, "empty", "", 0);
  twin_add(setting, "b.2-_", "second", 6);
  twin_end(setting);
}

static int open_bytes(struct setting *setting) {
  return qe_archive_open_memory(setting->archive, setting->bytes, setting->size, 0);
}

static void assert_refused(struct setting *setting, const char *message) {
  assert_int_equal(open_bytes(setting), QE_FORMAT);
  assert_string_equal(qe_archive_error(setting->archive), message);
  assert_int_equal(qe_archive_count(setting->archive), 0);
}

static void assert_member(const qe_archive *archive, const char *name, const void *content, size_t size) {
  int number = qe_archive_find(archive, name);
  assert_true(number >= 0);
  assert_string_equal(qe_archive_name(archive, (size_t)number), name);
  qe_text member = qe_archive_member(archive, (size_t)number);
  assert_int_equal(member.size, size);
  assert_memory_equal(member.data, content, size);
}

static void assert_saves(struct setting *setting) {
  size_t size;
  const char *path = scratch_path(&setting->scratch, "a.tar");
  assert_int_equal(qe_archive_save(setting->archive, path), QE_OK);
  char *saved = scratch_get(path, &size);
  assert_int_equal(size, setting->size);
  assert_memory_equal(saved, setting->bytes, size);
  free(saved);
}

/* ---- what is accepted ---- */

static void test_writes_what_the_twin_writes(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  assert_int_equal(qe_archive_add(setting->archive, "FORMAT", "one\n", 4), QE_OK);
  assert_int_equal(qe_archive_add(setting->archive, "empty", NULL, 0), QE_OK);
  assert_int_equal(qe_archive_add(setting->archive, "b.2-_", "second", 6), QE_OK);
  assert_saves(setting);
}

static void test_reads_what_the_twin_writes(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  assert_int_equal(open_bytes(setting), QE_OK);
  assert_int_equal(qe_archive_count(setting->archive), 3);
  assert_string_equal(qe_archive_name(setting->archive, 1), "empty");
  assert_member(setting->archive, "FORMAT", "one\n", 4);
  assert_member(setting->archive, "empty", "", 0);
  assert_member(setting->archive, "b.2-_", "second", 6);
  assert_int_equal(qe_archive_find(setting->archive, "other"), QE_FORMAT);
  assert_null(qe_archive_name(setting->archive, 3));
  assert_int_equal(qe_archive_member(setting->archive, (size_t)-4).size, 0);
  assert_saves(setting);
}

static void test_random_archives_there_and_back(void **state) {
  struct setting *setting = *state;
  qe_rng rng;
  qe_rng_seed(&rng, 3, "archive");
  for (int round = 0; round < 40; round++) {
    memset(setting->bytes, 0, setting->size);
    setting->size = 0;
    qe_archive *archive = qe_archive_new();
    for (uint64_t count = qe_rng_below(&rng, 9); count > 0; count--) {
      char name[101] = { 0 }, content[1500];
      size_t size = qe_rng_below(&rng, sizeof content), length = 1 + qe_rng_below(&rng, 100);
      for (size_t i = 0; i < length; i++)
        name[i] = "abcABC019-_."[qe_rng_below(&rng, i ? 12 : 11)];
      for (size_t i = 0; i < size; i++)
        content[i] = (char)qe_rng_next(&rng);
      if (qe_archive_find(archive, name) >= 0)
        continue;
      twin_add(setting, name, content, size);
      assert_int_equal(qe_archive_add(archive, name, content, size), QE_OK);
    }
    twin_end(setting);
    qe_archive_free(setting->archive);
    setting->archive = archive;
    assert_saves(setting);
    assert_int_equal(open_bytes(setting), QE_OK);
    assert_saves(setting);
  }
}

static void test_large_member(void **state) {
  struct setting *setting = *state;
  enum { LARGE = 700001 };
  char *content = malloc(LARGE);
  for (size_t i = 0; i < LARGE; i++)
    content[i] = (char)(i * i >> 3);
  twin_add(setting, "large", content, LARGE);
  twin_end(setting);
  assert_int_equal(open_bytes(setting), QE_OK);
  assert_member(setting->archive, "large", content, LARGE);
  assert_saves(setting);
  free(content);
}

static void test_from_file(void **state) {
  struct setting *setting = *state;
  const char *path = scratch_path(&setting->scratch, "a.tar");
  char expected[600];
  twin_small(setting);
  scratch_put(path, setting->bytes, setting->size);
  assert_int_equal(qe_archive_open(setting->archive, path, 0), QE_OK);
  assert_int_equal(qe_archive_open(setting->archive, path, setting->size), QE_OK);
  assert_int_equal(qe_archive_count(setting->archive), 3);
  assert_int_equal(qe_archive_open(setting->archive, path, setting->size - 1), QE_FORMAT);
  snprintf(expected, sizeof expected, "%s: %zu bytes, more than the limit of %zu", path, setting->size,
           setting->size - 1);
  assert_string_equal(qe_archive_error(setting->archive), expected);
  assert_int_equal(qe_archive_count(setting->archive), 0);
  setting->bytes[BLOCK + 4] = 1;
  scratch_put(path, setting->bytes, setting->size);
  assert_int_equal(qe_archive_open(setting->archive, path, 0), QE_FORMAT);
  snprintf(expected, sizeof expected,
           "%s: member FORMAT: not in canonical form: its filling zeros differ at byte 516 of the archive", path);
  assert_string_equal(qe_archive_error(setting->archive), expected);
  assert_int_equal(qe_archive_open(setting->archive, "none.tar", 0), QE_WORLD);
  assert_string_equal(qe_archive_error(setting->archive), "none.tar: cannot open: No such file or directory");
}

/* ---- what add refuses ---- */

static void test_names(void **state) {
  struct setting *setting = *state;
  static const char *const bad[] = {
    "", ".", "..", ".a", "a/b", "/a", "a b", "a\n", "\xc3\xa4", "a\\b", "a:b", "a~"
  };
  char longest[102];
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(qe_archive_add(setting->archive, bad[i], "x", 1), QE_USE);
    assert_non_null(strstr(qe_archive_error(setting->archive), "member 1: the name \""));
  }
  assert_int_equal(qe_archive_add(setting->archive, NULL, "x", 1), QE_USE);
  memset(longest, 'n', sizeof longest);
  longest[101] = '\0';
  assert_int_equal(qe_archive_add(setting->archive, longest, "x", 1), QE_USE);
  longest[100] = '\0';
  assert_int_equal(qe_archive_add(setting->archive, longest, "x", 1), QE_OK);
  assert_int_equal(qe_archive_add(setting->archive, longest, "x", 1), QE_USE);
  assert_non_null(strstr(qe_archive_error(setting->archive), "member 2: there is already a member nnn"));
  assert_int_equal(qe_archive_count(setting->archive), 1);
  twin_add(setting, longest, "x", 1);
  twin_end(setting);
  assert_saves(setting);
  assert_int_equal(open_bytes(setting), QE_OK);
}

static void test_sixty_four_members(void **state) {
  struct setting *setting = *state;
  char name[20];
  for (int i = 0; i < 64; i++) {
    snprintf(name, sizeof name, "m%d", i);
    assert_int_equal(qe_archive_add(setting->archive, name, name, 2), QE_OK);
    twin_add(setting, name, name, 2);
  }
  assert_int_equal(qe_archive_add(setting->archive, "one-more", "x", 1), QE_USE);
  assert_string_equal(qe_archive_error(setting->archive), "more than 64 members");
  size_t full = setting->size;
  twin_end(setting);
  assert_saves(setting);
  assert_int_equal(open_bytes(setting), QE_OK);
  setting->size = full;
  twin_add(setting, "one-more", "x", 1);
  twin_end(setting);
  assert_refused(setting, "more than 64 members");
}

/* ---- what is not canonical ---- */

static void test_every_truncation_is_refused(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  for (size_t size = 0; size < setting->size; size++) {
    char *exact = malloc(size + 1); /* so that reading beyond is noticed */
    memcpy(exact + 1, setting->bytes, size);
    assert_int_equal(qe_archive_open_memory(setting->archive, exact + 1, size, 0), QE_FORMAT);
    assert_int_equal(qe_archive_count(setting->archive), 0);
    free(exact);
  }
  assert_int_equal(qe_archive_open_memory(setting->archive, NULL, 0, 0), QE_FORMAT);
  assert_int_equal(open_bytes(setting), QE_OK);
}

/* Where the small archive has payload: -1, or the member and the place in it. */
static int payload_at(size_t byte, size_t *place) {
  *place = byte % BLOCK;
  if (byte / BLOCK == 1 && *place < 4)
    return 0;
  if (byte / BLOCK == 4 && *place < 6)
    return 2;
  return -1;
}

static void test_every_changed_byte_is_refused_or_payload(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  for (size_t byte = 0; byte < setting->size; byte++)
    for (int bit = 0; bit < 9; bit++) { /* each bit, and all of them */
      const int change = bit < 8 ? 1 << bit : 255;
      size_t place;
      const int number = payload_at(byte, &place);
      setting->bytes[byte] = (char)(setting->bytes[byte] ^ change);
      assert_int_equal(open_bytes(setting), number < 0 ? QE_FORMAT : QE_OK);
      if (number >= 0) {
        char content[6];
        memcpy(content, number == 0 ? "one\n" : "second", number == 0 ? 4 : 6);
        content[place] = (char)(content[place] ^ change);
        assert_member(setting->archive, number == 0 ? "FORMAT" : "b.2-_", content, number == 0 ? 4 : 6);
        assert_saves(setting);
      }
      setting->bytes[byte] = (char)(setting->bytes[byte] ^ change);
    }
}

/* The same with a checksum that fits, so that every other field is tried for itself. */
static void test_every_changed_field_is_refused_or_meant(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  char good[BLOCK];
  memcpy(good, setting->bytes, BLOCK);
  for (size_t byte = 0; byte < BLOCK; byte++)
    for (int value = 0; value < 256; value += byte < 160 ? 1 : 5) {
      memcpy(setting->bytes, good, BLOCK);
      if ((byte >= 148 && byte < 156) || setting->bytes[byte] == (char)value)
        continue;
      setting->bytes[byte] = (char)value;
      twin_seal(setting->bytes);
      if (open_bytes(setting) == QE_OK) { /* another name, or zeros as contents */
        assert_true(byte < 100 || (byte >= 124 && byte < 136));
        assert_string_equal(qe_archive_name(setting->archive, 0), setting->bytes);
        assert_saves(setting);
      }
    }
}

static void test_fields_are_named(void **state) {
  struct setting *setting = *state;
  static const struct {
    size_t at;
    const char *bytes, *message;
  } cases[] = {
    { 100, "000755 ", "mode is \"000755 \", expected \"000644 \"" },
    { 100, "0000644", "mode is \"0000644\", expected \"000644 \"" },
    { 108, "001750 ", "uid is \"001750 \", expected \"000000 \"" },
    { 116, "000001 ", "gid is \"000001 \", expected \"000000 \"" },
    { 136, "14000000000 ", "mtime is \"14000000000 \", expected \"00000000000 \"" },
    { 265, "somebody", "owner is \"somebody\", expected \"\"" },
    { 297, "staff", "group is \"staff\", expected \"\"" },
    { 329, "000001 ", "device is \"000001 \", expected \"000000 \"" },
    { 157, "other", "link name is \"other\", expected \"\"" },
  };
  twin_small(setting);
  char good[BLOCK], message[200];
  memcpy(good, setting->bytes, BLOCK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    memcpy(setting->bytes, good, BLOCK);
    memcpy(setting->bytes + cases[i].at, cases[i].bytes, strlen(cases[i].bytes));
    twin_seal(setting->bytes);
    snprintf(message, sizeof message, "member FORMAT: not in canonical form: %s", cases[i].message);
    assert_refused(setting, message);
  }
}

static void test_appended_bytes_are_refused(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  const size_t end = setting->size;
  char message[100];
  for (size_t more = 1; more < 1100; more += more < 4 ? 1 : 127) {
    setting->size = end + more;
    snprintf(message, sizeof message, "%zu bytes after the end of the archive, at byte %zu", more, end);
    assert_refused(setting, message);
    setting->bytes[end + more - 1] = 'x';
    assert_refused(setting, message);
    setting->bytes[end + more - 1] = 0;
  }
  setting->size = end; /* an archive behind the archive */
  twin_add(setting, "hidden", "x", 1);
  twin_end(setting);
  assert_refused(setting, "2048 bytes after the end of the archive, at byte 3584");
}

static void test_missing_end(void **state) {
  struct setting *setting = *state;
  twin_add(setting, "a", "x", 1);
  setting->size += BLOCK;
  assert_refused(setting, "the end of the archive: cut off at byte 1536");
}

static void test_double_and_bad_names_are_refused(void **state) {
  struct setting *setting = *state;
  twin_add(setting, "a", "x", 1);
  char *second = twin_add(setting, "a", "y", 1);
  twin_end(setting);
  assert_refused(setting, "member 2: there is already a member a");
  static const char *const bad[] = { "../a", "/etc", "b/c", ".a", "x\x01", "a\xff" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    memset(second, 0, 100);
    memcpy(second, bad[i], strlen(bad[i]));
    twin_seal(second);
    assert_int_equal(open_bytes(setting), QE_FORMAT);
    assert_non_null(strstr(qe_archive_error(setting->archive), "member 2: the name \""));
  }
  memset(second, 0, 100);
  memcpy(second, "c", 1);
  memcpy(second + 345, "folder", 6); /* the prefix makes it folder/c */
  twin_seal(second);
  assert_refused(setting,
                 "member 2: the name \"folder/c\" is not 1 to 100 of A-Z a-z 0-9 . _ - without a dot in front");
}

static void test_only_regular_files(void **state) {
  struct setting *setting = *state;
  char *header = twin_add(setting, "link", "", 0);
  twin_end(setting);
  memcpy(header + 157, "target", 6);
  for (const char *type = "123456"; *type; type++) { /* hard link, symlink, devices, folder, pipe */
    header[156] = *type;
    twin_seal(header);
    assert_refused(setting, "member 1 (link): not a regular file");
  }
  memset(header + 157, 0, 6);
  header[156] = '7'; /* contiguous, read as regular */
  twin_seal(header);
  assert_refused(setting, "member link: not in canonical form: type is \"7\", expected \"0\"");
  header[156] = '\0';
  twin_seal(header);
  assert_int_equal(open_bytes(setting), QE_FORMAT);
}

/* Whatever a header declares, what counts is what is there. */
static void test_declared_sizes_are_not_believed(void **state) {
  struct setting *setting = *state;
  char *header = twin_add(setting, "a", "x", 1);
  twin_end(setting);
  memcpy(header + 124, "77777777777 ", 12);
  twin_seal(header);
  assert_int_equal(open_bytes(setting), QE_FORMAT);
  assert_non_null(strstr(qe_archive_error(setting->archive), "member 1: Truncated tar archive"));
  memset(header + 124, 0, 12);
  memcpy(header + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12); /* base 256 */
  twin_seal(header);
  assert_int_equal(open_bytes(setting), QE_FORMAT);
}

static void test_limit_counts_what_is_produced(void **state) {
  struct setting *setting = *state;
  twin_small(setting);
  assert_int_equal(qe_archive_open_memory(setting->archive, setting->bytes, setting->size, setting->size), QE_OK);
  assert_int_equal(qe_archive_open_memory(setting->archive, setting->bytes, setting->size, setting->size - 1),
                   QE_FORMAT);
  assert_non_null(strstr(qe_archive_error(setting->archive), "more than the limit of"));
}

/* ---- archives by another hand ---- */

typedef int choose(struct archive *out);

static void foreign(struct setting *setting, choose *format, choose *filter,
                    void (*change)(struct archive_entry *)) {
  struct archive *out = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  assert_int_equal(format(out), ARCHIVE_OK);
  if (filter)
    assert_int_equal(filter(out), ARCHIVE_OK);
  archive_write_set_bytes_in_last_block(out, 1);
  assert_int_equal(archive_write_open_memory(out, setting->bytes, ROOM, &setting->size), ARCHIVE_OK);
  archive_entry_set_pathname(entry, "FORMAT");
  archive_entry_set_mode(entry, AE_IFREG | 0644);
  archive_entry_set_mtime(entry, 0, 0);
  archive_entry_set_size(entry, 4);
  if (change)
    change(entry);
  assert_int_equal(archive_write_header(out, entry), ARCHIVE_OK);
  archive_write_data(out, "one\n", 4);
  archive_write_close(out);
  archive_write_free(out);
  archive_entry_free(entry);
}

static void fraction_of_a_second(struct archive_entry *entry) {
  archive_entry_set_mtime(entry, 0, 500000000);
}

static void extended_attribute(struct archive_entry *entry) {
  archive_entry_xattr_add_entry(entry, "user.note", "x", 1);
}

static void with_holes(struct archive_entry *entry) {
  archive_entry_set_size(entry, 1 << 20);
  archive_entry_sparse_add_entry(entry, 0, 4);
}

static void test_other_formats_are_refused(void **state) {
  struct setting *setting = *state;
  static choose *const formats[] = { archive_write_set_format_gnutar, archive_write_set_format_v7tar,
                                     archive_write_set_format_cpio,   archive_write_set_format_zip,
                                     archive_write_set_format_pax,    archive_write_set_format_ar_bsd };
  foreign(setting, archive_write_set_format_ustar, NULL, NULL);
  assert_int_equal(open_bytes(setting), QE_OK);
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    foreign(setting, formats[i], NULL, i == 4 ? fraction_of_a_second : NULL);
    assert_int_equal(open_bytes(setting), QE_FORMAT);
    assert_non_null(strstr(qe_archive_error(setting->archive), "ustar"));
  }
}

static void test_pax_headers_are_refused(void **state) {
  struct setting *setting = *state;
  void (*const changes[])(struct archive_entry *) = { fraction_of_a_second, extended_attribute, with_holes };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    foreign(setting, archive_write_set_format_pax, NULL, changes[i]);
    assert_int_equal(open_bytes(setting), QE_FORMAT);
    assert_non_null(
        strstr(qe_archive_error(setting->archive), "in POSIX pax interchange format, expected POSIX ustar format"));
  }
}

static void test_compressed_archives_are_refused(void **state) {
  struct setting *setting = *state;
  static choose *const filters[] = { archive_write_add_filter_gzip, archive_write_add_filter_compress,
                                     archive_write_add_filter_uuencode };
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
    foreign(setting, archive_write_set_format_ustar, filters[i], NULL);
    assert_refused(setting, "member 1: Unrecognized archive format; expected an uncompressed ustar archive");
  }
}

/* ---- saving ---- */

static void test_failed_save_leaves_the_old_file(void **state) {
  struct setting *setting = *state;
  struct rlimit before, small;
  const char *path = scratch_path(&setting->scratch, "a.tar");
  size_t size;
  scratch_put(path, "old", 3);
  qe_archive_add(setting->archive, "large", setting->bytes, ROOM);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  for (rlim_t most = 0; most < ROOM; most += 300001) {
    small = before;
    small.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &small);
    int status = qe_archive_save(setting->archive, path);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, QE_WORLD);
    assert_non_null(strstr(qe_archive_error(setting->archive), "/a.tar: File too large"));
    char *content = scratch_get(path, &size);
    assert_string_equal(content, "old");
    free(content);
    assert_int_equal(scratch_count(setting->scratch.folder), 1);
  }
  assert_int_equal(qe_archive_save(setting->archive, "/dev/full"), QE_WORLD);
  assert_string_equal(qe_archive_error(setting->archive),
                      "cannot write /dev/full: it exists and is not a regular file");
  assert_int_equal(qe_archive_save(setting->archive, path), QE_OK);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST(test_writes_what_the_twin_writes),
    TEST(test_reads_what_the_twin_writes),
    TEST(test_random_archives_there_and_back),
    TEST(test_large_member),
    TEST(test_from_file),
    TEST(test_names),
    TEST(test_sixty_four_members),
    TEST(test_every_truncation_is_refused),
    TEST(test_every_changed_byte_is_refused_or_payload),
    TEST(test_every_changed_field_is_refused_or_meant),
    TEST(test_fields_are_named),
    TEST(test_appended_bytes_are_refused),
    TEST(test_missing_end),
    TEST(test_double_and_bad_names_are_refused),
    TEST(test_only_regular_files),
    TEST(test_declared_sizes_are_not_believed),
    TEST(test_limit_counts_what_is_produced),
    TEST(test_other_formats_are_refused),
    TEST(test_pax_headers_are_refused),
    TEST(test_compressed_archives_are_refused),
    TEST(test_failed_save_leaves_the_old_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
