/*
** byte_trie.c - builds a trie from keys: they are sorted, and every node stands for a run of them that begin alike, whose
** next bytes are its children. The runs are worked off in the order of the nodes, so each is read once per byte.
*/
#include "byte_trie.h"

#include <stdlib.h>

struct entry {
  qe_text key;
  uint32_t number;
};
struct run {
  uint32_t first, end; /* of the sorted entries */
  uint32_t depth;
};

static int by_bytes(const void *a, const void *b) {
  const struct entry *one = a, *other = b;
  return text_order(one->key, other->key);
}

/* The children of node `at`, appended; their runs beside them. */
static void expand(struct byte_trie *trie, const struct entry *entries, struct run *runs, size_t at) {
  struct run run = runs[at];
  struct byte_trie_node *node = &trie->node[at];
  if (run.first < run.end && entries[run.first].key.size == run.depth)
    node->value = entries[run.first++].number + 1;
  node->first = (uint32_t)trie->count;
  for (uint32_t i = run.first; i < run.end;) {
    const unsigned char byte = (unsigned char)entries[i].key.data[run.depth];
    const uint32_t first = i;
    while (i < run.end && (unsigned char)entries[i].key.data[run.depth] == byte)
      i++;
    runs[trie->count] = (struct run){ first, i, run.depth + 1 };
    trie->node[trie->count++] = (struct byte_trie_node){ .byte = byte };
    node->children++;
  }
}

static int build(struct byte_trie *trie, struct entry *entries, size_t count, size_t bytes, size_t same[2]) {
  qsort(entries, count, sizeof *entries, by_bytes);
  for (size_t i = 1; i < count; i++)
    if (text_same(entries[i - 1].key, entries[i].key)) {
      same[0] = entries[i - 1].number < entries[i].number ? entries[i - 1].number : entries[i].number;
      same[1] = entries[i - 1].number + (size_t)entries[i].number - same[0];
      return QE_FORMAT;
    }
  struct run *runs = memory_new(bytes + 1, sizeof *runs);
  trie->node = memory_new(bytes + 1, sizeof *trie->node);
  if (!runs || !trie->node) {
    memory_free(runs);
    return QE_MEMORY;
  }
  runs[0] = (struct run){ 0, (uint32_t)count, 0 };
  trie->count = 1;
  for (size_t at = 0; at < trie->count; at++)
    expand(trie, entries, runs, at);
  memory_free(runs);
  return QE_OK;
}

int byte_trie_build(struct byte_trie *trie, const qe_text *keys, size_t count, size_t same[2]) {
  size_t bytes = 0;
  struct entry *entries = memory_new(count, sizeof *entries);
  *trie = (struct byte_trie){ 0 };
  for (size_t i = 0; entries && i < count; i++) {
    entries[i] = (struct entry){ keys[i], (uint32_t)i };
    bytes += keys[i].size;
  }
  int status =
      entries && bytes < UINT32_MAX && count < UINT32_MAX ? build(trie, entries, count, bytes, same) : QE_MEMORY;
  memory_free(entries);
  if (status != QE_OK)
    byte_trie_free(trie);
  return status;
}

void byte_trie_free(struct byte_trie *trie) {
  memory_free(trie->node);
  *trie = (struct byte_trie){ 0 };
}
