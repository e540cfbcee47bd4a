/*
** members.h - the insides of an archive, private to archive.c and pack.c.
*/
#ifndef QE_MEMBERS_H
#define QE_MEMBERS_H
#include "core.h"

enum { ARCHIVE_MEMBERS = 64, ARCHIVE_NAME = 100, ARCHIVE_LIMIT = 1 << 30 };

struct member {
  char name[ARCHIVE_NAME + 1];
  char *bytes; /* never NULL */
  size_t size;
};
struct qe_archive {
  struct error error;
  struct member members[ARCHIVE_MEMBERS];
  size_t count;
};
void archive_clear(qe_archive *archive); /* back to empty; the error stays */
/* What qe_archive_save writes, in memory: the caller's to memory_free. */
int archive_bytes(qe_archive *archive, char **bytes, size_t *size);
/* Empties the archive, puts `path` in front of its message and returns its status. */
int archive_failed(qe_archive *archive, const char *path);

#endif
