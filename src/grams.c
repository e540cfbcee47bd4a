/*
** grams.c - see grams.h. Invariant: every entry of the sketch has the value 1, so that the same n-grams give the same bytes.
*/
#include "grams.h"

#include <stdatomic.h>
#include <stdlib.h>

struct grams {
  atomic_size_t owners;
  struct sketch sketch;
};

struct gram_count {
  uint64_t hash, count;
};

static int by_hash(const void *a, const void *b) {
  const uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

static int most_frequent_first(const void *a, const void *b) {
  const struct gram_count *one = a, *other = b;
  if (one->count != other->count)
    return one->count > other->count ? -1 : 1;
  return by_hash(&one->hash, &other->hash);
}

/* Runs of the same hash, of those that are long enough; returns how many. */
static size_t tally(const uint64_t *hashes, size_t count, uint32_t minimum, struct gram_count *counts) {
  size_t used = 0;
  for (size_t i = 0, end; i < count; i = end) {
    for (end = i + 1; end < count && hashes[end] == hashes[i]; end++) {
    }
    if (end - i >= minimum)
      counts[used++] = (struct gram_count){ hashes[i], end - i };
  }
  return used;
}

static struct grams *grams_new(void) {
  struct grams *grams = memory_new(1, sizeof *grams);
  if (grams)
    atomic_init(&grams->owners, 1);
  return grams;
}

static struct grams *build(const struct gram_count *counts, size_t count) {
  struct grams *grams = grams_new();
  struct sketch_entry *entries = memory_new(count, sizeof *entries);
  for (size_t i = 0; entries && i < count; i++)
    entries[i] = (struct sketch_entry){ counts[i].hash, 1 };
  const bool built = grams && entries && sketch_build(&grams->sketch, entries, count) == QE_OK;
  memory_free(entries);
  if (built)
    return grams;
  grams_release(grams);
  return NULL;
}

struct grams *grams_choose(uint64_t *hashes, size_t count, uint32_t rows, uint32_t minimum) {
  struct gram_count *counts = memory_new(count, sizeof *counts);
  if (!counts)
    return NULL;
  if (count > 0)
    qsort(hashes, count, sizeof *hashes, by_hash);
  size_t used = tally(hashes, count, minimum, counts);
  if (used > 0)
    qsort(counts, used, sizeof *counts, most_frequent_first);
  struct grams *grams = build(counts, used < rows - 1 ? used : rows - 1);
  memory_free(counts);
  return grams;
}

uint32_t grams_rows(const struct grams *grams) {
  return (uint32_t)grams->sketch.count + 1;
}

size_t grams_find(const struct grams *grams, const uint64_t *hashes, size_t count, uint32_t *rows) {
  size_t used = 0;
  for (size_t i = 0; i < count; i++)
    sketch_expect(&grams->sketch, hashes[i]);
  for (size_t i = 0; i < count; i++) {
    const size_t place = sketch_place(&grams->sketch, hashes[i]);
    rows[used] = (uint32_t)place;
    used += place > 0;
  }
  return used;
}

static int parse(struct grams *grams, qe_text member, uint32_t rows, struct error *error) {
  if (sketch_parse(&grams->sketch, &member, error) != QE_OK)
    return error->status;
  if (member.size > 0)
    return error_set(error, QE_FORMAT, "vocabulary: %zu bytes too many", member.size);
  if (grams_rows(grams) != rows)
    return error_set(error, QE_FORMAT, "vocabulary: %zu n-grams, %u expected", grams->sketch.count, rows - 1);
  for (size_t i = 0; i < grams->sketch.count; i++)
    if ((grams->sketch.entry[i] & 0xff) != 1)
      return error_set(error, QE_FORMAT, "vocabulary: n-gram %zu is marked %u, expected 1", i,
                       grams->sketch.entry[i] & 0xff);
  return QE_OK;
}

struct grams *grams_parse(qe_text member, uint32_t rows, struct error *error) {
  struct grams *grams = grams_new();
  if (!grams)
    error_memory(error);
  else if (parse(grams, member, rows, error) == QE_OK)
    return grams;
  grams_release(grams);
  return NULL;
}

int grams_write(const struct grams *grams, char **bytes, size_t *size) {
  *size = sketch_size(&grams->sketch);
  *bytes = memory_new(*size, 1);
  if (!*bytes)
    return QE_MEMORY;
  sketch_write(&grams->sketch, (unsigned char *)*bytes);
  return QE_OK;
}

uint64_t grams_hash(const struct grams *grams) {
  const struct sketch *sketch = &grams->sketch;
  uint64_t hash = hash_mix(sketch->bits + 1);
  for (size_t bucket = 0; bucket < (size_t)1 << sketch->bits; bucket++)
    for (uint32_t i = sketch->bucket[bucket].first; i < sketch->bucket[bucket + 1].first; i++)
      hash = hash_mix(hash ^ bucket << 32 ^ sketch->entry[i]);
  return hash;
}

struct grams *grams_hold(struct grams *grams) {
  if (grams)
    atomic_fetch_add(&grams->owners, 1);
  return grams;
}

void grams_release(struct grams *grams) {
  if (!grams || atomic_fetch_sub(&grams->owners, 1) > 1)
    return;
  sketch_free(&grams->sketch);
  memory_free(grams);
}
