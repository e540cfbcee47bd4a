/*
** memory.c - the only file that asks the system for memory, so that a test can put an allocator in its place that
** fails on demand. Sizes are counts times element sizes and are checked for overflow here, nowhere else.
*/
#include "core.h"

#include <stdlib.h>

void *memory_new(size_t count, size_t size) {
  return calloc(count ? count : 1, size);
}

void *memory_grow(void *block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    return NULL;
  return realloc(block, bytes ? bytes : 1);
}

void memory_free(void *block) {
  free(block);
}

bool memory_reserve(void **items, size_t *room, size_t need, size_t size) {
  if (need <= *room)
    return true;
  size_t grown = *room < 8 ? 8 : *room;
  while (grown < need)
    if (__builtin_mul_overflow(grown, (size_t)2, &grown))
      return false;
  void *moved = memory_grow(*items, grown, size);
  if (!moved)
    return false;
  *items = moved;
  *room = grown;
  return true;
}
