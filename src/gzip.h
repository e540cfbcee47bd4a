/*
** gzip.h - whole files that may be packed, private.
*/
#ifndef QE_GZIP_H
#define QE_GZIP_H
#include "core.h"

/* Bytes that begin as gzip members do are replaced by what they unpack to, at most `limit`; all others stay. *bytes is
** the caller's in any case. */
int gzip_unpack(char **bytes, size_t *size, size_t limit, struct error *error);

#endif
