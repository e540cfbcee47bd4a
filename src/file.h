/*
** file.h - whole files, private to the files that read or write one: read with a limit, replaced in one step.
*/
#ifndef QE_FILE_H
#define QE_FILE_H
#include "core.h"

/* The whole file, at most `limit` bytes, whatever its size claims to be; *bytes is the caller's to memory_free.
** Messages do not name the path: that is the caller's. */
int file_read(const char *path, size_t limit, char **bytes, size_t *size, struct error *error);

/* All bytes to a descriptor; false with errno on failure. */
bool file_write(int descriptor, const void *bytes, size_t size);

/* A file that replaces `path` when it is finished and not before. After a failure of any of the three, and after
** file_abandon, the temporary file is gone and `path` is as it was; only if the very last step fails, the sync of
** the folder, the new file is there but may not outlive a loss of power (the message says so). */
struct file_writer {
  const char *path; /* the caller's */
  char *temporary;
  int descriptor;
  struct error *error;
};
int file_begin(struct file_writer *file, const char *path, struct error *error);
int file_append(struct file_writer *file, const void *bytes, size_t size);
int file_finish(struct file_writer *file);
void file_abandon(struct file_writer *file); /* harmless after a failure or after file_finish */

#endif
