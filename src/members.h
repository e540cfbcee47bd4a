/*
** members.h - the insides of an archive, and the members that a model's has, private to archive.c, members.c, pack.c and
** package.c.
*/
#ifndef QE_MEMBERS_H
#define QE_MEMBERS_H
#include "model.h"

#define MANIFEST_MEMBER "manifest.json"
enum { MOST_MANIFEST = 1 << 20 }; /* bytes */
enum { ARCHIVE_MEMBERS = 64, ARCHIVE_NAME = 100, ARCHIVE_LIMIT = 1 << 30 };

/* Places in the order of a model's archive. */
enum {
  MEMBER_FORMAT,
  MEMBER_MANIFEST,
  MEMBER_WEIGHTS,
  MEMBER_SOURCE, /* words, or n-grams, of each side */
  MEMBER_TARGET,
  MEMBER_PIECES,
  MEMBER_EVIDENCE, /* what was counted */
  MEMBER_FOREST,
  MEMBER_CONTEXT, /* an encoder's whole archive */
  MEMBER_FAMILY,  /* those of a family: member1.qe, member2.qe, ... */
  MEMBER_MODEL_CARD = MEMBER_FAMILY + FAMILY_MOST_MEMBERS,
  MEMBER_LICENCE,
  MEMBER_PLACES,
  MEMBER_NAME = 32
};
/* The name at a place; `room` is for those of a family. */
const char *member_name(size_t place, char room[MEMBER_NAME]);
size_t member_place(const char *name); /* MEMBER_PLACES: no model has such a member */

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
