/*
** fuzz_archive.c - any bytes as an archive. What is accepted must be written again as the same bytes, hold valid names
** once each, and account for its size by headers, padded members and two zero blocks alone.
*/
#include "members.h"

#include <stdint.h>
#include <stdlib.h>

enum { BLOCK = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const qe_archive *archive, size_t number) {
  const char *name = qe_archive_name(archive, number);
  const size_t length = strlen(name);
  if (length == 0 || length > 100 || name[0] == '.' ||
      strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != length ||
      qe_archive_find(archive, name) != (int)number)
    abort();
}

/* Counts the way an archive is read by hand: header, contents, filling. */
static void check_members(const qe_archive *archive, const uint8_t *data, size_t size) {
  size_t position = 0;
  for (size_t i = 0; i < qe_archive_count(archive); i++) {
    const qe_text member = qe_archive_member(archive, i);
    check_name(archive, i);
    position += BLOCK;
    if (position > size || member.size > size - position || memcmp(data + position, member.data, member.size) != 0)
      abort();
    for (position += member.size; position % BLOCK != 0; position++)
      if (data[position] != 0)
        abort();
  }
  if (position + 2 * BLOCK != size)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qe_archive *archive = qe_archive_new();
  if (!archive)
    return 0;
  const int status = qe_archive_open_memory(archive, data, size, 1 << 20);
  if ((status == QE_OK) != (qe_archive_error(archive)[0] == '\0') ||
      (status != QE_OK && qe_archive_count(archive) > 0))
    abort();
  if (status == QE_OK) {
    char *bytes;
    size_t again;
    check_members(archive, data, size);
    if (archive_bytes(archive, &bytes, &again) == QE_OK) {
      if (again != size || memcmp(bytes, data, size) != 0)
        abort();
      memory_free(bytes);
    }
  }
  qe_archive_free(archive);
  return 0;
}
