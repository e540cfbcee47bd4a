/*
** sketch.h - a small table from 64-bit keys to a byte, private: what counted text keeps in an archive. Of a key only its
** upper bits are kept: some choose a bucket, 16 more, its print, tell the keys of a bucket apart. A key that was never put
** in gets 0, but for one in some ten thousand. Most keys that are asked for were never put in: a bucket knows by the
** upper bits of a print, its part, whether it has any such, and with what is below it how far on they begin.
*/
#ifndef QE_SKETCH_H
#define QE_SKETCH_H
#include "core.h"

enum { SKETCH_PRINT_BITS = 16, SKETCH_PART_BITS = 5 };
struct sketch_bucket {
  uint32_t first;    /* of its entries; the next bucket's is their end */
  uint32_t occupied; /* a bit for each part */
};
struct sketch {
  unsigned bits; /* of a key, that choose its bucket */
  size_t count;
  struct sketch_bucket *bucket; /* 2^bits + 1 */
  uint32_t *entry;              /* print << 8 | value; rising within a bucket */
};
struct sketch_entry {
  uint64_t key;
  unsigned char value; /* not 0 */
};

/* Sorts the entries; of several that look the same the largest value stays. QE_OK or QE_MEMORY. */
int sketch_build(struct sketch *sketch, struct sketch_entry *entries, size_t count);
void sketch_free(struct sketch *sketch);

static inline const struct sketch_bucket *sketch_bucket(const struct sketch *sketch, uint64_t key) {
  return &sketch->bucket[(size_t)(key >> 1 >> (63 - sketch->bits))];
}

/* How many bits are set; compilers make a call of it where they may not count on an instruction. */
static inline uint32_t bits_set(uint32_t x) {
  x -= x >> 1 & UINT32_C(0x55555555);
  x = (x & UINT32_C(0x33333333)) + (x >> 2 & UINT32_C(0x33333333));
  return ((x + (x >> 4)) & UINT32_C(0x0f0f0f0f)) * UINT32_C(0x01010101) >> 24;
}

/* The number of a key's entry, from 1; 0: it has none. */
static inline size_t sketch_place(const struct sketch *sketch, uint64_t key) {
  const struct sketch_bucket *bucket = sketch_bucket(sketch, key);
  const uint32_t print = (uint16_t)(key >> (64 - SKETCH_PRINT_BITS - sketch->bits));
  const unsigned part = print >> (SKETCH_PRINT_BITS - SKETCH_PART_BITS);
  if (!(bucket->occupied >> part & 1))
    return 0;
  uint32_t i = bucket[0].first + bits_set(bucket->occupied & ((UINT32_C(1) << part) - 1));
  while (i < bucket[1].first && sketch->entry[i] >> 8 < print)
    i++;
  return i < bucket[1].first && sketch->entry[i] >> 8 == print ? (size_t)i + 1 : 0;
}

static inline unsigned char sketch_find(const struct sketch *sketch, uint64_t key) {
  const size_t place = sketch_place(sketch, key);
  return place > 0 ? (unsigned char)sketch->entry[place - 1] : 0;
}

/* Says that the key will be asked for, so that memory is under way. */
static inline void sketch_expect(const struct sketch *sketch, uint64_t key) {
  __builtin_prefetch(sketch_bucket(sketch, key));
}

/* u8 bits, u32 count, per bucket u8 how many, all prints u16, all values; little-endian. */
size_t sketch_size(const struct sketch *sketch);
void sketch_write(const struct sketch *sketch, unsigned char *out);
/* Takes it from the beginning of `text`; refuses what sketch_write would write differently. */
int sketch_parse(struct sketch *sketch, qe_text *text, struct error *error);

#endif
