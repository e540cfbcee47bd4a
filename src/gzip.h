/*
** gzip.h - whole files that may be packed, private.
*/
#ifndef QE_GZIP_H
#define QE_GZIP_H
#include "core.h"

/* For a z_stream. */
void *gzip_allocate(void *context, unsigned count, unsigned size);
void gzip_release(void *context, void *memory);

/* Bytes that begin as gzip members do are replaced by what they unpack to, at most `limit`; all others stay. *bytes is
** the caller's in any case. */
int gzip_unpack(char **bytes, size_t *size, size_t limit, struct error *error);

#endif
