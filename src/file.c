/*
** file.c - whole files. Reading counts the bytes that really arrive, never the size that the system reports. Writing
** goes to a temporary file in the folder of the final one, which is synced and then renamed over it, so that under
** the final name there is always either all of the old bytes or all of the new. Only regular files are replaced:
** a rename over a device would remove it.
*/
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_ATTEMPTS = 100, FIRST_ROOM = 1 << 16 };

static int failed(struct error *error, const char *what) {
  return error_set(error, QE_WORLD, "%s: %s", what, strerror(errno));
}

/* Fills `bytes` up to `size`; *count is less only at the end of the file. */
static int read_up_to(int descriptor, char *bytes, size_t size, size_t *count, struct error *error) {
  *count = 0;
  while (*count < size) {
    ssize_t got = read(descriptor, bytes + *count, size - *count);
    if (got == 0)
      break;
    if (got < 0 && errno != EINTR)
      return failed(error, "cannot read");
    if (got > 0)
      *count += (size_t)got;
  }
  return QE_OK;
}

/* Reads to the end of the file; one byte of room beyond `limit` tells whether there is more. `expected` is what the
** system reports: right for most files, and then the room is never enlarged. */
static int read_all(int descriptor, size_t expected, size_t limit, char **bytes, size_t *size,
                    struct error *error) {
  size_t room = expected < limit ? expected + 1 : limit + 1;
  *size = 0;
  for (;;) {
    char *grown = memory_grow(*bytes, room, 1);
    if (!grown)
      return error_memory(error);
    *bytes = grown;
    size_t count;
    int status = read_up_to(descriptor, *bytes + *size, room - *size, &count, error);
    if (status != QE_OK)
      return status;
    *size += count;
    if (*size > limit)
      return error_set(error, QE_FORMAT, "larger than the limit of %zu bytes", limit);
    if (*size < room)
      return QE_OK;
    room = room < FIRST_ROOM ? FIRST_ROOM : room <= limit / 2 ? 2 * room : limit + 1;
    if (room > limit)
      room = limit + 1;
  }
}

int file_read(const char *path, size_t limit, char **bytes, size_t *size, struct error *error) {
  *bytes = NULL;
  *size = 0;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return failed(error, "cannot open");
  struct stat found;
  int status = fstat(descriptor, &found) == 0 ? QE_OK : failed(error, "cannot read");
  if (status == QE_OK && found.st_size > 0 && (uintmax_t)found.st_size > limit)
    status = error_set(error, QE_FORMAT, "%jd bytes, more than the limit of %zu", (intmax_t)found.st_size, limit);
  if (status == QE_OK)
    status = read_all(descriptor, (size_t)found.st_size, limit, bytes, size, error);
  close(descriptor);
  if (status != QE_OK) {
    memory_free(*bytes);
    *bytes = NULL;
  }
  return status;
}

/* ---- writing ---- */

static int refuse_special(const char *path, struct error *error) {
  struct stat found;
  if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
    return error_set(error, QE_WORLD, "cannot write %s: it exists and is not a regular file", path);
  return QE_OK;
}

/* ---- temporaries: PATH.new-PROCESS-NUMBER, locked by their writer as long as it lives ---- */

static bool lock(int descriptor) {
  struct stat found;
  return flock(descriptor, LOCK_EX | LOCK_NB) == 0 && fstat(descriptor, &found) == 0 && found.st_nlink > 0;
}

/* Removes a temporary whose writer was killed: nobody holds its lock. */
static void remove_orphan(int folder, const char *name) {
  int descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0)
    return;
  if (lock(descriptor))
    unlinkat(folder, name, 0);
  close(descriptor);
}

/* Best effort: a folder that cannot be listed keeps what is in it. False: no memory. */
static bool remove_orphans(const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  const size_t size = strlen(base);
  char *folder_path = memory_new((size_t)(base - path) + 2, 1);
  if (!folder_path)
    return false;
  memcpy(folder_path, slash ? path : ".", slash ? (size_t)(base - path) : 1);
  DIR *folder = opendir(folder_path);
  memory_free(folder_path);
  if (!folder)
    return true;
  for (struct dirent *entry; (entry = readdir(folder));)
    if (strncmp(entry->d_name, base, size) == 0 && strncmp(entry->d_name + size, ".new-", 5) == 0)
      remove_orphan(dirfd(folder), entry->d_name);
  closedir(folder);
  return true;
}

static int open_temporary(const char *name) {
  int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor >= 0 && !lock(descriptor)) { /* taken for an orphan in the moment before it was locked */
    close(descriptor);
    errno = EEXIST;
    return -1;
  }
  return descriptor;
}

/* Creates a file of a name nobody has; the process number keeps two writers of one path apart. */
static int create_temporary(struct file_writer *file) {
  size_t room = strlen(file->path) + sizeof ".new-18446744073709551615-100";
  file->temporary = memory_new(room, 1);
  if (!file->temporary || !remove_orphans(file->path)) {
    memory_free(file->temporary);
    file->temporary = NULL;
    return error_memory(file->error);
  }
  for (int attempt = 0; attempt < TEMPORARY_ATTEMPTS && file->descriptor < 0; attempt++) {
    snprintf(file->temporary, room, "%s.new-%lu-%d", file->path, (unsigned long)getpid(), attempt);
    file->descriptor = open_temporary(file->temporary);
    if (file->descriptor < 0 && errno != EEXIST)
      break;
  }
  if (file->descriptor >= 0)
    return QE_OK;
  int reason = errno;
  memory_free(file->temporary);
  file->temporary = NULL;
  return error_set(file->error, QE_WORLD, "cannot write %s: %s", file->path, strerror(reason));
}

static int fail_writing(struct file_writer *file) {
  int status = error_set(file->error, QE_WORLD, "cannot write %s: %s", file->path, strerror(errno));
  file_abandon(file);
  return status;
}

int file_begin(struct file_writer *file, const char *path, struct error *error) {
  *file = (struct file_writer){ .path = path, .descriptor = -1, .error = error };
  int status = refuse_special(path, error);
  return status == QE_OK ? create_temporary(file) : status;
}

bool file_write(int descriptor, const void *bytes, size_t size) {
  const char *next = bytes;
  while (size > 0) {
    ssize_t written = write(descriptor, next, size);
    if (written < 0 && errno != EINTR)
      return false;
    if (written > 0) {
      next += written;
      size -= (size_t)written;
    }
  }
  return true;
}

int file_append(struct file_writer *file, const void *bytes, size_t size) {
  return file_write(file->descriptor, bytes, size) ? QE_OK : fail_writing(file);
}

/* The folder of `path`, so that a rename in it can be made to last; -1 with errno where it cannot be opened. */
static int open_folder(const char *path, struct error *error) {
  const char *slash = strrchr(path, '/');
  size_t size = slash ? (size_t)(slash - path) + 1 : 1;
  char *folder = memory_new(size + 1, 1);
  if (!folder) {
    error_memory(error);
    errno = ENOMEM;
    return -1;
  }
  memcpy(folder, slash ? path : ".", size);
  int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  memory_free(folder);
  return descriptor;
}

/* Some file systems cannot sync a folder; they say EINVAL. */
static int sync_folder(int folder, const char *path, struct error *error) {
  int status = QE_OK;
  if (fsync(folder) != 0 && errno != EINVAL)
    status =
        error_set(error, QE_WORLD, "%s is written, but its folder cannot be synced: %s", path, strerror(errno));
  close(folder);
  return status;
}

/* Everything on disk and under the final name; false with errno otherwise. */
static bool settle(struct file_writer *file) {
  if (fsync(file->descriptor) != 0)
    return false;
  int closed = close(file->descriptor);
  file->descriptor = -1;
  return closed == 0 && rename(file->temporary, file->path) == 0;
}

/* The folder is opened before the rename, so that failing to leaves the old file. One that may be written but not
** read (EACCES) cannot be synced by anybody; that is no reason to refuse. */
int file_finish(struct file_writer *file) {
  int folder = open_folder(file->path, file->error);
  if ((folder < 0 && errno != EACCES) || !settle(file)) {
    fail_writing(file);
    if (folder >= 0)
      close(folder);
    return file->error->status;
  }
  memory_free(file->temporary);
  file->temporary = NULL;
  return folder < 0 ? QE_OK : sync_folder(folder, file->path, file->error);
}

void file_abandon(struct file_writer *file) {
  if (file->descriptor >= 0)
    close(file->descriptor);
  if (file->temporary)
    unlink(file->temporary);
  memory_free(file->temporary);
  file->temporary = NULL;
  file->descriptor = -1;
}

int qe_write_file(const char *path, const qe_text *parts, size_t count, char *message, size_t message_size) {
  struct error error = { 0 };
  struct file_writer file;
  int status = file_begin(&file, path, &error);
  for (size_t i = 0; i < count && status == QE_OK; i++)
    status = file_append(&file, parts[i].data, parts[i].size);
  if (status == QE_OK)
    status = file_finish(&file);
  if (message && message_size > 0)
    snprintf(message, message_size, "%s", error.text);
  return status;
}
