/*
** bytes.h - whole numbers as little-endian bytes, whatever the machine; for what is written to files.
*/
#ifndef QE_BYTES_H
#define QE_BYTES_H
#include <stddef.h>
#include <stdint.h>

/* The lowest `size` bytes of a value. */
static inline void bytes_store(unsigned char *out, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; i++)
    out[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t bytes_load(const unsigned char *bytes, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++)
    value |= (uint64_t)bytes[i] << (8 * i);
  return value;
}

#endif
