/*
** byte_trie.h - a set of byte strings in which all members that begin a text are found in one walk, private. Nodes lie in
** the order of breadth-first search, so the children of a node are neighbours, sorted by their byte; no hashing, hence
** no input that makes it slow.
*/
#ifndef QE_BYTE_TRIE_H
#define QE_BYTE_TRIE_H
#include "core.h"

struct byte_trie_node {
  uint32_t first;    /* child */
  uint32_t value;    /* 1 + the number of the key that ends here, or 0 */
  uint16_t children; /* 0..256 */
  uint8_t byte;      /* that leads here */
};
struct byte_trie {
  struct byte_trie_node *node; /* node 0 is the root */
  size_t count;
};
/* Keys, none empty; QE_FORMAT where two are the same, and their numbers. Frees nothing that was there. */
int byte_trie_build(struct byte_trie *trie, const qe_text *keys, size_t count, size_t same[2]);
void byte_trie_free(struct byte_trie *trie);

/* The child of a node, or 0. */
static inline uint32_t byte_trie_step(const struct byte_trie *trie, uint32_t node, unsigned char byte) {
  const struct byte_trie_node *parent = &trie->node[node];
  uint32_t low = parent->first, high = low + parent->children;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (trie->node[middle].byte == byte)
      return middle;
    if (trie->node[middle].byte < byte)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

#endif
