/*
** sketch.c - see sketch.h. Invariant: entries lie in the order of their keys' upper bits, so that the same keys give the
** same bytes whatever order they came in.
*/
#include "sketch.h"
#include "bytes.h"

#include <stdlib.h>

enum { HEAD_BYTES = 5, ENTRY_BYTES = 3, MOST_BITS = 24, MOST_IN_BUCKET = 255, PER_BUCKET = 4 };

static int entry_order(const void *a, const void *b) {
  const struct sketch_entry *one = a, *other = b;
  if (one->key != other->key)
    return one->key < other->key ? -1 : 1;
  return (one->value > other->value) - (one->value < other->value);
}

static size_t buckets(const struct sketch *sketch) {
  return (size_t)1 << sketch->bits;
}

static uint64_t seen(const struct sketch *sketch, uint64_t key) { /* what is kept of a key */
  return key >> (64 - SKETCH_PRINT_BITS - sketch->bits);
}

static bool make_room(struct sketch *sketch) {
  sketch->bucket = memory_new(buckets(sketch) + 1, sizeof *sketch->bucket);
  sketch->entry = memory_new(sketch->count + 1, sizeof *sketch->entry);
  return sketch->bucket && sketch->entry;
}

/* Puts an entry where it belongs; those of a bucket come with rising prints. */
static void put(struct sketch *sketch, size_t bucket, size_t number, uint32_t print, unsigned char value) {
  sketch->entry[number] = print << 8 | value;
  sketch->bucket[bucket].occupied |= UINT32_C(1) << (print >> (SKETCH_PRINT_BITS - SKETCH_PART_BITS));
}

static uint16_t print_of(const struct sketch *sketch, size_t entry) {
  return (uint16_t)(sketch->entry[entry] >> 8);
}

/* Entries that look the same become one with the largest value; returns how many are left. */
static size_t join_same(const struct sketch *sketch, struct sketch_entry *entries, size_t count) {
  size_t used = 0;
  for (size_t i = 0; i < count; i++)
    if (used == 0 || seen(sketch, entries[used - 1].key) != seen(sketch, entries[i].key))
      entries[used++] = entries[i];
    else if (entries[used - 1].value < entries[i].value)
      entries[used - 1].value = entries[i].value;
  return used;
}

/* Where more keys than a bucket can count fall into one, those with the highest bits are left out. */
static void place(struct sketch *sketch, const struct sketch_entry *entries, size_t count) {
  size_t used = 0, i = 0;
  for (size_t bucket = 0; bucket < buckets(sketch); bucket++) {
    const size_t first = used;
    for (; i < count && seen(sketch, entries[i].key) >> SKETCH_PRINT_BITS == bucket; i++)
      if (used - first < MOST_IN_BUCKET)
        put(sketch, bucket, used++, (uint16_t)seen(sketch, entries[i].key), entries[i].value);
    sketch->bucket[bucket + 1].first = (uint32_t)used;
  }
  sketch->count = used;
}

int sketch_build(struct sketch *sketch, struct sketch_entry *entries, size_t count) {
  *sketch = (struct sketch){ 0 };
  while (sketch->bits < MOST_BITS && buckets(sketch) < count / PER_BUCKET)
    sketch->bits++;
  if (count > 0)
    qsort(entries, count, sizeof *entries, entry_order);
  sketch->count = join_same(sketch, entries, count);
  if (!make_room(sketch)) {
    sketch_free(sketch);
    return QE_MEMORY;
  }
  place(sketch, entries, sketch->count);
  return QE_OK;
}

void sketch_free(struct sketch *sketch) {
  memory_free(sketch->bucket);
  memory_free(sketch->entry);
  *sketch = (struct sketch){ 0 };
}

/* ---- bytes ---- */

size_t sketch_size(const struct sketch *sketch) {
  return HEAD_BYTES + buckets(sketch) + ENTRY_BYTES * sketch->count;
}

void sketch_write(const struct sketch *sketch, unsigned char *out) {
  *out = (unsigned char)sketch->bits;
  bytes_store(out + 1, sketch->count, 4);
  out += HEAD_BYTES;
  for (size_t i = 0; i < buckets(sketch); i++)
    *out++ = (unsigned char)(sketch->bucket[i + 1].first - sketch->bucket[i].first);
  for (size_t i = 0; i < sketch->count; i++, out += 2)
    bytes_store(out, print_of(sketch, i), 2);
  for (size_t i = 0; i < sketch->count; i++)
    *out++ = (unsigned char)sketch->entry[i];
}

static int parse_buckets(struct sketch *sketch, const unsigned char *bytes, struct error *error) {
  for (size_t i = 0; i < buckets(sketch); i++)
    sketch->bucket[i + 1].first = sketch->bucket[i].first + bytes[i];
  const size_t held = sketch->bucket[buckets(sketch)].first;
  if (held != sketch->count)
    return error_set(error, QE_FORMAT, "counts: buckets hold %zu entries, not %zu", held, sketch->count);
  return QE_OK;
}

static int parse_bucket(struct sketch *sketch, size_t bucket, const unsigned char *prints,
                        const unsigned char *values, struct error *error) {
  const size_t first = sketch->bucket[bucket].first;
  for (size_t i = first; i < sketch->bucket[bucket + 1].first; i++) {
    if (values[i] == 0)
      return error_set(error, QE_FORMAT, "counts: entry %zu is 0", i);
    put(sketch, bucket, i, (uint32_t)bytes_load(prints + 2 * i, 2), values[i]);
    if (i > first && print_of(sketch, i - 1) >= print_of(sketch, i))
      return error_set(error, QE_FORMAT, "counts: entries of bucket %zu are not in order", bucket);
  }
  return QE_OK;
}

int sketch_parse(struct sketch *sketch, qe_text *text, struct error *error) {
  qe_text head, body;
  *sketch = (struct sketch){ 0 };
  if (!text_take(text, HEAD_BYTES, &head))
    return error_set(error, QE_FORMAT, "counts: %zu bytes are left, too few", text->size);
  const unsigned char *bytes = (const unsigned char *)head.data;
  const uint64_t count = bytes_load(bytes + 1, 4);
  if (bytes[0] > MOST_BITS)
    return error_set(error, QE_FORMAT, "counts: 2^%u buckets, at most 2^%d", bytes[0], MOST_BITS);
  sketch->bits = bytes[0];
  sketch->count = (size_t)count;
  if (!text_take(text, buckets(sketch) + ENTRY_BYTES * count, &body))
    return error_set(error, QE_FORMAT, "counts: %zu bytes are left for %zu entries", text->size, sketch->count);
  if (!make_room(sketch))
    return error_memory(error);
  bytes = (const unsigned char *)body.data;
  const unsigned char *prints = bytes + buckets(sketch), *values = prints + 2 * sketch->count;
  int status = parse_buckets(sketch, bytes, error);
  for (size_t i = 0; status == QE_OK && i < buckets(sketch); i++)
    status = parse_bucket(sketch, i, prints, values, error);
  return status;
}
