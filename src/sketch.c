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
  return key >> (48 - sketch->bits);
}

static bool make_room(struct sketch *sketch) {
  sketch->offset = memory_new(buckets(sketch) + 1, sizeof *sketch->offset);
  sketch->print = memory_new(sketch->count + 1, sizeof *sketch->print);
  sketch->value = memory_new(sketch->count + 1, sizeof *sketch->value);
  return sketch->offset && sketch->print && sketch->value;
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
    for (; i < count && seen(sketch, entries[i].key) >> 16 == bucket; i++)
      if (used - first < MOST_IN_BUCKET) {
        sketch->print[used] = (uint16_t)seen(sketch, entries[i].key);
        sketch->value[used++] = entries[i].value;
      }
    sketch->offset[bucket + 1] = (uint32_t)used;
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
  memory_free(sketch->offset);
  memory_free(sketch->print);
  memory_free(sketch->value);
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
    *out++ = (unsigned char)(sketch->offset[i + 1] - sketch->offset[i]);
  for (size_t i = 0; i < sketch->count; i++, out += 2)
    bytes_store(out, sketch->print[i], 2);
  if (sketch->count > 0)
    memcpy(out, sketch->value, sketch->count);
}

static int parse_buckets(struct sketch *sketch, const unsigned char *bytes, struct error *error) {
  for (size_t i = 0; i < buckets(sketch); i++)
    sketch->offset[i + 1] = sketch->offset[i] + bytes[i];
  if (sketch->offset[buckets(sketch)] != sketch->count)
    return error_set(error, QE_FORMAT, "counts: buckets hold %lu entries, not %zu",
                     (unsigned long)sketch->offset[buckets(sketch)], sketch->count);
  return QE_OK;
}

static int parse_entries(struct sketch *sketch, const unsigned char *bytes, struct error *error) {
  for (size_t i = 0; i < sketch->count; i++) {
    sketch->print[i] = (uint16_t)bytes_load(bytes + 2 * i, 2);
    sketch->value[i] = bytes[2 * sketch->count + i];
    if (sketch->value[i] == 0)
      return error_set(error, QE_FORMAT, "counts: entry %zu is 0", i);
  }
  for (size_t bucket = 0; bucket < buckets(sketch); bucket++)
    for (uint32_t i = sketch->offset[bucket]; i + 1 < sketch->offset[bucket + 1]; i++)
      if (sketch->print[i] >= sketch->print[i + 1])
        return error_set(error, QE_FORMAT, "counts: entries of bucket %zu are not in order", bucket);
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
  if (parse_buckets(sketch, bytes, error) == QE_OK)
    parse_entries(sketch, bytes + buckets(sketch), error);
  return error->status;
}
