/*
** sketch.h - a small table from 64-bit keys to a byte, private: what counted text keeps in an archive. Of a key only its
** upper bits are kept: some choose a bucket, 16 more tell the keys of a bucket apart. A key that was never put in
** gets 0, but for one in some ten thousand.
*/
#ifndef QE_SKETCH_H
#define QE_SKETCH_H
#include "core.h"

struct sketch {
  unsigned bits; /* of a key, that choose its bucket */
  size_t count;
  uint32_t *offset; /* 2^bits + 1 */
  uint16_t *print;  /* per entry: the 16 bits that follow; rising within a bucket */
  unsigned char *value;
};
struct sketch_entry {
  uint64_t key;
  unsigned char value; /* not 0 */
};

/* Sorts the entries; of several that look the same the largest value stays. QE_OK or QE_MEMORY. */
int sketch_build(struct sketch *sketch, struct sketch_entry *entries, size_t count);
void sketch_free(struct sketch *sketch);

static inline unsigned char sketch_find(const struct sketch *sketch, uint64_t key) {
  const size_t bucket = (size_t)(key >> 1 >> (63 - sketch->bits));
  const uint16_t print = (uint16_t)(key >> (48 - sketch->bits));
  for (uint32_t i = sketch->offset[bucket]; i < sketch->offset[bucket + 1]; i++)
    if (sketch->print[i] == print)
      return sketch->value[i];
  return 0;
}

/* u8 bits, u32 count, per bucket u8 how many, all prints u16, all values; little-endian. */
size_t sketch_size(const struct sketch *sketch);
void sketch_write(const struct sketch *sketch, unsigned char *out);
/* Takes it from the beginning of `text`; refuses what sketch_write would write differently. */
int sketch_parse(struct sketch *sketch, qe_text *text, struct error *error);

#endif
