/*
** archive.c - named members in memory, and the one ustar file that stands for them. libarchive reads and writes; the
** invariant is canonical form: after reading, the bytes that writing the same members would give are derived and
** compared with what was read, so every byte of an accepted file is either payload or the only one possible there.
** Nothing is created on disk but by qe_archive_save, sizes that a header declares are never allocated, and names are
** single words of a small alphabet. What the members mean, their order and hashes are the business of package.c.
*/
#include "members.h"
#include "file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

enum { BLOCK = 512, FILE_BLOCK = 1 << 16, PRINTED = 64 };

qe_archive *qe_archive_new(void) {
  return memory_new(1, sizeof(qe_archive));
}

void archive_clear(qe_archive *archive) {
  for (size_t i = 0; i < archive->count; i++)
    memory_free(archive->members[i].bytes);
  archive->count = 0;
}

void qe_archive_free(qe_archive *archive) {
  if (!archive)
    return;
  archive_clear(archive);
  memory_free(archive);
}

const char *qe_archive_error(const qe_archive *archive) {
  return archive->error.text;
}

size_t qe_archive_count(const qe_archive *archive) {
  return archive->count;
}

const char *qe_archive_name(const qe_archive *archive, size_t number) {
  return number < archive->count ? archive->members[number].name : NULL;
}

int qe_archive_find(const qe_archive *archive, const char *name) {
  for (size_t i = 0; i < archive->count; i++)
    if (strcmp(archive->members[i].name, name) == 0)
      return (int)i;
  return QE_FORMAT;
}

qe_text qe_archive_member(const qe_archive *archive, size_t number) {
  if (number >= archive->count)
    return (qe_text){ "", 0 };
  return (qe_text){ archive->members[number].bytes, archive->members[number].size };
}

/* ---- members ---- */

/* Up to the first NUL, what is not printable ASCII as '?'. */
static const char *printable(char out[PRINTED + 1], const char *bytes, size_t size) {
  size_t count = 0;
  while (count < size && count < PRINTED && bytes[count]) {
    out[count] = bytes[count] >= ' ' && bytes[count] <= '~' ? bytes[count] : '?';
    count++;
  }
  out[count] = '\0';
  return out;
}

static bool name_is_valid(const char *name) {
  size_t size = 0;
  for (; name[size]; size++) {
    char c = name[size];
    bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (size == ARCHIVE_NAME || (!word && c != '.' && c != '_' && c != '-'))
      return false;
  }
  return size > 0 && name[0] != '.';
}

/* An empty member of this name at the end; NULL with the error recorded as `status`. */
static struct member *member_new(qe_archive *archive, const char *name, int status) {
  char shown[PRINTED + 1];
  if (archive->count == ARCHIVE_MEMBERS) {
    error_set(&archive->error, status, "more than %d members", ARCHIVE_MEMBERS);
    return NULL;
  }
  if (!name || !name_is_valid(name)) {
    error_set(&archive->error, status,
              "member %zu: the name \"%s\" is not 1 to %d of A-Z a-z 0-9 . _ - without a dot in front",
              archive->count + 1, name ? printable(shown, name, strlen(name)) : "", ARCHIVE_NAME);
    return NULL;
  }
  if (qe_archive_find(archive, name) >= 0) {
    error_set(&archive->error, status, "member %zu: there is already a member %s", archive->count + 1, name);
    return NULL;
  }
  struct member *member = &archive->members[archive->count];
  *member = (struct member){ .bytes = memory_new(1, 1) };
  if (!member->bytes) {
    error_memory(&archive->error);
    return NULL;
  }
  memcpy(member->name, name, strlen(name));
  archive->count++;
  return member;
}

static int member_append(qe_archive *archive, struct member *member, const void *bytes, size_t size) {
  size_t total;
  if (size == 0)
    return QE_OK;
  char *grown = __builtin_add_overflow(member->size, size, &total) ? NULL : memory_grow(member->bytes, total, 1);
  if (!grown)
    return error_memory(&archive->error);
  memcpy(grown + member->size, bytes, size);
  member->bytes = grown;
  member->size = total;
  return QE_OK;
}

int qe_archive_add(qe_archive *archive, const char *name, const void *bytes, size_t size) {
  error_clear(&archive->error);
  struct member *member = member_new(archive, name, QE_USE);
  if (!member)
    return archive->error.status;
  if (member_append(archive, member, bytes, size) != QE_OK) {
    memory_free(member->bytes);
    archive->count--;
  }
  return archive->error.status;
}

/* ---- writing ---- */

/* Where the bytes go. */
struct sink {
  qe_archive *archive;
  void (*take)(struct sink *sink, const char *bytes, size_t size); /* records its failure in the archive */
  struct file_writer file;
  char *bytes;
  size_t size, room;
  const char *expected; /* of a comparison, `size` of them taken so far */
  size_t expected_size;
};

/* After a failure the rest is dropped and libarchive is told that all is well: were it told of an error, it would not
** free its buffer. The error that counts is the archive's. */
static la_ssize_t sink_write(struct archive *out, void *context, const void *bytes, size_t size) {
  (void)out;
  struct sink *sink = context;
  if (sink->archive->error.status == QE_OK)
    sink->take(sink, bytes, size);
  return (la_ssize_t)size;
}

static int write_failed(struct archive *out, struct error *error, const char *what) {
  const char *reason = archive_error_string(out);
  if (archive_errno(out) == ENOMEM)
    return error_memory(error);
  return error_set(error, QE_WORLD, "%s: cannot be written: %s", what, reason ? reason : "no reason given");
}

static int write_member(struct archive *out, struct archive_entry *entry, const struct member *member,
                        struct error *error) {
  archive_entry_clear(entry);
  archive_entry_set_pathname(entry, member->name);
  archive_entry_set_mode(entry, AE_IFREG | 0644);
  archive_entry_set_mtime(entry, 0, 0);
  archive_entry_set_size(entry, (la_int64_t)member->size);
  if (archive_write_header(out, entry) != ARCHIVE_OK ||
      (member->size > 0 && archive_write_data(out, member->bytes, member->size) != (la_ssize_t)member->size) ||
      archive_write_finish_entry(out) != ARCHIVE_OK)
    return write_failed(out, error, member->name);
  return error->status;
}

/* The canonical bytes, in pieces of `block` (the last may be smaller). */
static int write_members(struct sink *sink, int block) {
  struct error *error = &sink->archive->error;
  struct archive *out = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  if (!out || !entry)
    error_memory(error);
  else if (archive_write_set_format_ustar(out) != ARCHIVE_OK ||
           archive_write_set_bytes_per_block(out, block) != ARCHIVE_OK ||
           archive_write_set_bytes_in_last_block(out, 1) != ARCHIVE_OK ||
           archive_write_open(out, sink, NULL, sink_write, NULL) != ARCHIVE_OK)
    write_failed(out, error, "archive");
  for (size_t i = 0; i < sink->archive->count && error->status == QE_OK; i++)
    write_member(out, entry, &sink->archive->members[i], error);
  if (error->status == QE_OK && archive_write_close(out) != ARCHIVE_OK)
    write_failed(out, error, "end of the archive");
  archive_entry_free(entry);
  if (out)
    archive_write_free(out);
  return error->status;
}

static void take_to_file(struct sink *sink, const char *bytes, size_t size) {
  file_append(&sink->file, bytes, size);
}

int qe_archive_save(qe_archive *archive, const char *path) {
  struct sink sink = { .archive = archive, .take = take_to_file };
  error_clear(&archive->error);
  if (file_begin(&sink.file, path, &archive->error) != QE_OK)
    return archive->error.status;
  if (write_members(&sink, FILE_BLOCK) == QE_OK)
    return file_finish(&sink.file);
  file_abandon(&sink.file);
  return archive->error.status;
}

static void take_to_memory(struct sink *sink, const char *bytes, size_t size) {
  if (!memory_reserve((void **)&sink->bytes, &sink->room, sink->size + size, 1)) {
    error_memory(&sink->archive->error);
    return;
  }
  memcpy(sink->bytes + sink->size, bytes, size);
  sink->size += size;
}

int archive_bytes(qe_archive *archive, char **bytes, size_t *size) {
  struct sink sink = { .archive = archive, .take = take_to_memory };
  error_clear(&archive->error);
  if (write_members(&sink, FILE_BLOCK) != QE_OK) {
    memory_free(sink.bytes);
    return archive->error.status;
  }
  *bytes = sink.bytes;
  *size = sink.size;
  return QE_OK;
}

/* ---- canonical form ---- */

static const struct field {
  const char *name;
  size_t start, end;
} fields[] = { { "name", 0, 100 },     { "mode", 100, 108 },    { "uid", 108, 116 },     { "gid", 116, 124 },
               { "size", 124, 136 },   { "mtime", 136, 148 },   { "type", 156, 157 },    { "link name", 157, 257 },
               { "magic", 257, 265 },  { "owner", 265, 297 },   { "group", 297, 329 },   { "device", 329, 345 },
               { "prefix", 345, 500 }, { "padding", 500, 512 }, { "checksum", 148, 156 } };
enum { FIELDS = sizeof fields / sizeof *fields };

/* The checksum differs whenever anything does, so it is looked at last. */
static int refuse_header(struct error *error, const char *name, const char *found, const char *expected) {
  char shown[2][PRINTED + 1];
  size_t i = 0;
  while (i < FIELDS - 1 &&
         memcmp(found + fields[i].start, expected + fields[i].start, fields[i].end - fields[i].start) == 0)
    i++;
  const size_t start = fields[i].start, size = fields[i].end - start;
  return error_set(error, QE_FORMAT, "member %s: not in canonical form: %s is \"%s\", expected \"%s\"", name,
                   fields[i].name, printable(shown[0], found + start, size),
                   printable(shown[1], expected + start, size));
}

/* What lies at `position` of the canonical archive; *begins: where the header of that member is. NULL: the end. */
static const struct member *member_at(const qe_archive *archive, size_t position, size_t *begins) {
  *begins = 0;
  for (size_t i = 0; i < archive->count; i++) {
    const struct member *member = &archive->members[i];
    size_t next = *begins + BLOCK + (member->size + BLOCK - 1) / BLOCK * BLOCK;
    if (position < next)
      return member;
    *begins = next;
  }
  return NULL;
}

/* One block of the canonical archive is not what was found at the same place. */
static int refuse_block(struct sink *sink, const char *expected, size_t size) {
  struct error *error = &sink->archive->error;
  size_t begins, at = sink->size;
  const struct member *member = member_at(sink->archive, at, &begins);
  const char *found = sink->expected + at;
  if (size > sink->expected_size - at)
    return error_set(error, QE_FORMAT, "%s%s: cut off at byte %zu", member ? "member " : "",
                     member ? member->name : "the end of the archive", sink->expected_size);
  while (at < sink->size + size && sink->expected[at] == expected[at - sink->size])
    at++;
  if (!member)
    return error_set(error, QE_FORMAT, "byte %zu: the archive does not end in zeros", at);
  if (sink->size == begins && size >= BLOCK)
    return refuse_header(error, member->name, found, expected);
  return error_set(error, QE_FORMAT, "member %s: not in canonical form: its %s differ at byte %zu of the archive",
                   member->name, at - begins - BLOCK < member->size ? "contents" : "filling zeros", at);
}

/* `bytes` are canonical; the sink's expected ones are those that were read. */
static void take_and_compare(struct sink *sink, const char *bytes, size_t size) {
  if (size > sink->expected_size - sink->size || memcmp(sink->expected + sink->size, bytes, size) != 0)
    refuse_block(sink, bytes, size);
  else
    sink->size += size;
}

static int check_canonical(qe_archive *archive, const char *bytes, size_t size) {
  struct sink sink = { .archive = archive, .take = take_and_compare, .expected = bytes, .expected_size = size };
  if (write_members(&sink, BLOCK) != QE_OK)
    return archive->error.status;
  if (sink.size != size)
    return error_set(&archive->error, QE_FORMAT, "%zu bytes after the end of the archive, at byte %zu",
                     size - sink.size, sink.size);
  return QE_OK;
}

/* ---- reading ---- */

static int read_failed(struct archive *in, struct error *error, size_t number) {
  const char *reason = archive_error_string(in);
  if (archive_errno(in) == ENOMEM)
    return error_memory(error);
  return error_set(error, QE_FORMAT, "member %zu: %s; expected an uncompressed ustar archive", number,
                   reason ? reason : "unreadable");
}

static int check_entry(struct archive *in, struct archive_entry *entry, struct error *error, size_t number) {
  const char *name = archive_entry_pathname(entry);
  char shown[PRINTED + 1];
  printable(shown, name ? name : "", name ? strlen(name) : 0);
  if (archive_format(in) != ARCHIVE_FORMAT_TAR_USTAR)
    return error_set(error, QE_FORMAT, "member %zu (%s): in %s, expected POSIX ustar format", number, shown,
                     archive_format_name(in));
  if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
    return error_set(error, QE_FORMAT, "member %zu (%s): not a regular file", number, shown);
  return QE_OK;
}

/* *left: how many bytes may still be produced. */
static int read_contents(qe_archive *archive, struct archive *in, struct member *member, size_t *left) {
  struct error *error = &archive->error;
  const void *bytes;
  size_t size;
  la_int64_t offset;
  for (;;) {
    int result = archive_read_data_block(in, &bytes, &size, &offset);
    if (result == ARCHIVE_EOF)
      return QE_OK;
    if (result != ARCHIVE_OK)
      return read_failed(in, error, archive->count);
    if (offset < 0 || (size_t)offset != member->size)
      return error_set(error, QE_FORMAT, "member %s: has holes", member->name);
    if (size > *left)
      return error_set(error, QE_FORMAT, "member %s: the archive holds more than the limit allows", member->name);
    *left -= size;
    if (member_append(archive, member, bytes, size) != QE_OK)
      return error->status;
  }
}

static int read_members(qe_archive *archive, struct archive *in, size_t limit) {
  struct error *error = &archive->error;
  struct archive_entry *entry;
  for (;;) {
    int result = archive_read_next_header(in, &entry);
    if (result == ARCHIVE_EOF)
      return QE_OK;
    if (result != ARCHIVE_OK)
      return read_failed(in, error, archive->count + 1);
    if (check_entry(in, entry, error, archive->count + 1) != QE_OK)
      return error->status;
    struct member *member = member_new(archive, archive_entry_pathname(entry), QE_FORMAT);
    if (!member || read_contents(archive, in, member, &limit) != QE_OK)
      return error->status;
  }
}

static int read_archive(qe_archive *archive, const void *bytes, size_t size, size_t limit) {
  limit = limit ? limit : ARCHIVE_LIMIT;
  if (size > limit)
    return error_set(&archive->error, QE_FORMAT, "%zu bytes, more than the limit of %zu", size, limit);
  struct archive *in = archive_read_new();
  if (!in)
    return error_memory(&archive->error);
  if (archive_read_support_format_tar(in) != ARCHIVE_OK || archive_read_open_memory(in, bytes, size) != ARCHIVE_OK)
    read_failed(in, &archive->error, 1);
  else if (read_members(archive, in, limit) == QE_OK)
    check_canonical(archive, bytes, size);
  archive_read_free(in);
  return archive->error.status;
}

int qe_archive_open_memory(qe_archive *archive, const void *bytes, size_t size, size_t limit) {
  error_clear(&archive->error);
  archive_clear(archive);
  if (read_archive(archive, bytes ? bytes : "", size, limit) != QE_OK)
    archive_clear(archive);
  return archive->error.status;
}

int archive_failed(qe_archive *archive, const char *path) {
  struct error inner = archive->error;
  archive_clear(archive);
  error_clear(&archive->error);
  return error_set(&archive->error, inner.status, "%.200s: %.300s", path, inner.text);
}

int qe_archive_open(qe_archive *archive, const char *path, size_t limit) {
  char *bytes;
  size_t size;
  error_clear(&archive->error);
  archive_clear(archive);
  int status = file_read(path, limit ? limit : ARCHIVE_LIMIT, &bytes, &size, &archive->error);
  if (status == QE_OK) {
    status = qe_archive_open_memory(archive, bytes, size, limit);
    memory_free(bytes);
  }
  return status == QE_OK ? QE_OK : archive_failed(archive, path);
}
