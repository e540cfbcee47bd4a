/*
** sources.h - Lua files as bytes inside the library; embed.cmake writes the table.
*/
#ifndef QESTREL_SOURCES_H
#define QESTREL_SOURCES_H

#include <stddef.h>

struct source {
  const char *name; /* as `require` names it, e.g. "qestrel.train" */
  const unsigned char *bytes;
  size_t size;
};
extern const struct source qestrel_sources[]; /* ends with a name of NULL */

#endif
