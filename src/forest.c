/*
** forest.c - what forests say, and the archive member. Invariant: features, thresholds and leaves are such that a pair's
** score is one fixed sum of floats; a node that was not worth splitting sends every pair to its first child.
*/
#define TRANSCENDENTAL_NO_LIBM
#include "forest.h"
#include "bytes.h"
#include "transcendental.h"

struct forests {
  atomic_size_t holders;
  size_t count;
  struct forest one[FORESTS];
};

struct forests *forests_new(size_t count) {
  struct forests *forests = memory_new(1, sizeof *forests);
  if (!forests)
    return NULL;
  atomic_init(&forests->holders, 1);
  forests->count = count;
  return forests;
}

struct forests *forests_hold(struct forests *forests) {
  if (forests)
    atomic_fetch_add(&forests->holders, 1);
  return forests;
}

void forests_release(struct forests *forests) {
  if (!forests || atomic_fetch_sub(&forests->holders, 1) > 1)
    return;
  for (size_t i = 0; i < forests->count; i++)
    memory_free(forests->one[i].tree);
  memory_free(forests);
}

size_t forests_count(const struct forests *forests) {
  return forests ? forests->count : 0;
}

struct forest *forests_one(struct forests *forests, size_t number) {
  return &forests->one[number];
}

/* ---- what they say ---- */

float forest_leaf(const struct forest_tree *tree, const float *features) {
  size_t node = 0;
  for (int level = 0; level < FOREST_LEVELS; level++)
    node = 2 * node + 1 + !(features[tree->feature[node]] < tree->threshold[node]);
  return tree->leaf[node - FOREST_NODES];
}

float forests_score(const struct forests *forests, bool logprobs, const float *features) {
  const struct forest *forest = &forests->one[logprobs && forests->count > 1];
  float sum = forest->start;
  for (size_t i = 0; i < forest->trees; i++)
    sum += forest_leaf(&forest->tree[i], features);
  return sum;
}

/* ---- the archive member ----
** "QEFO" u32 version; each forest: u32 trees, f32 start; each tree: features (bytes), thresholds and leaves (bf16). */

enum { MEMBER_VERSION = 1, HEAD_BYTES = 8, FOREST_BYTES = 8 };
enum { TREE_BYTES = FOREST_NODES + 2 * (FOREST_NODES + FOREST_LEAVES) };

static unsigned char *write_tree(const struct forest_tree *tree, unsigned char *out) {
  memcpy(out, tree->feature, FOREST_NODES);
  out += FOREST_NODES;
  for (int i = 0; i < FOREST_NODES; i++, out += 2)
    bytes_store(out, float_bits(tree->threshold[i]) >> 16, 2);
  for (int i = 0; i < FOREST_LEAVES; i++, out += 2)
    bytes_store(out, float_bits(tree->leaf[i]) >> 16, 2);
  return out;
}

int forests_write(const struct forests *forests, char **bytes, size_t *size) {
  *size = HEAD_BYTES;
  for (size_t i = 0; i < forests->count; i++)
    *size += FOREST_BYTES + forests->one[i].trees * TREE_BYTES;
  unsigned char *out = memory_new(*size, 1);
  *bytes = (char *)out;
  if (!out)
    return QE_MEMORY;
  memcpy(out, "QEFO", 4);
  bytes_store(out + 4, MEMBER_VERSION, 4);
  out += HEAD_BYTES;
  for (size_t i = 0; i < forests->count; i++) {
    const struct forest *forest = &forests->one[i];
    bytes_store(out, forest->trees, 4);
    bytes_store(out + 4, float_bits(forest->start), 4);
    out += FOREST_BYTES;
    for (size_t t = 0; t < forest->trees; t++)
      out = write_tree(&forest->tree[t], out);
  }
  return QE_OK;
}

/* Whether it reads nothing but these features, and gives a finite number. */
static bool read_tree(struct forest_tree *tree, const unsigned char *bytes, size_t features) {
  bool good = true;
  memcpy(tree->feature, bytes, FOREST_NODES);
  bytes += FOREST_NODES;
  for (int i = 0; i < FOREST_NODES; i++, bytes += 2) {
    tree->threshold[i] = float_of_bf16(bytes_load(bytes, 2));
    good = good && tree->feature[i] < features && tree->threshold[i] == tree->threshold[i];
  }
  for (int i = 0; i < FOREST_LEAVES; i++, bytes += 2) {
    tree->leaf[i] = float_of_bf16(bytes_load(bytes, 2));
    good = good && __builtin_fabsf(tree->leaf[i]) < 1e6f;
  }
  return good;
}

static int parse_forest(struct forest *forest, size_t number, qe_text *member, struct error *error) {
  const size_t features = number > 0 ? FOREST_FEATURES : TEXT_FEATURES;
  qe_text head, bytes;
  if (!text_take(member, FOREST_BYTES, &head))
    return error_set(error, QE_FORMAT, "forest: %zu bytes too few", FOREST_BYTES - member->size);
  const size_t trees = (size_t)bytes_load((const unsigned char *)head.data, 4);
  forest->start = float_of((uint32_t)bytes_load((const unsigned char *)head.data + 4, 4));
  if (trees > FOREST_MOST_TREES || !(__builtin_fabsf(forest->start) < 1e6f))
    return error_set(error, QE_FORMAT, "forest: %zu trees from %g, expected at most %d from a finite number", trees,
                     (double)forest->start, FOREST_MOST_TREES);
  if (!text_take(member, trees * TREE_BYTES, &bytes))
    return error_set(error, QE_FORMAT, "forest: %zu trees in %zu bytes, expected %d each", trees, member->size,
                     TREE_BYTES);
  forest->tree = memory_new(trees + 1, sizeof *forest->tree);
  if (!forest->tree)
    return error_memory(error);
  for (; forest->trees < trees; forest->trees++)
    if (!read_tree(&forest->tree[forest->trees], (const unsigned char *)bytes.data + forest->trees * TREE_BYTES,
                   features))
      return error_set(error, QE_FORMAT, "forest: tree %zu reads or gives what there is not", forest->trees + 1);
  return QE_OK;
}

static int parse(struct forests *forests, qe_text member, struct error *error) {
  qe_text head;
  if (!text_take(&member, HEAD_BYTES, &head) || memcmp(head.data, "QEFO", 4) != 0 ||
      bytes_load((const unsigned char *)head.data + 4, 4) != MEMBER_VERSION)
    return error_set(error, QE_FORMAT, "forest: no trees of version %d", MEMBER_VERSION);
  for (size_t i = 0; i < forests->count; i++)
    if (parse_forest(&forests->one[i], i, &member, error) != QE_OK)
      return error->status;
  return member.size == 0 ? QE_OK : error_set(error, QE_FORMAT, "forest: %zu bytes too many", member.size);
}

struct forests *forests_parse(qe_text member, size_t count, struct error *error) {
  struct forests *forests = forests_new(count);
  if (!forests) {
    error_memory(error);
    return NULL;
  }
  if (parse(forests, member, error) == QE_OK)
    return forests;
  forests_release(forests);
  return NULL;
}
