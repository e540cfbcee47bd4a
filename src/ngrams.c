/*
** ngrams.c - counted n-grams as a trie. The edges of all nodes stand in one table with open addressing under the pair
** (parent, symbol), which is the whole key: what is equal is equal, not just of equal hash. Invariant: every slot on
** the way to a node's slot was taken by an earlier node, so that nodes can be removed, last one first, without a
** trace. An n-gram is there only if its beginnings are, so matching stops at the first that is missing. The file does
** not know what a symbol is.
*/
#include "reference.h"

bool symbols_reserve(struct symbols *symbols, size_t need) {
  return memory_reserve((void **)&symbols->items, &symbols->room, need, sizeof *symbols->items);
}

void symbols_free(struct symbols *symbols) {
  memory_free(symbols->items);
  *symbols = (struct symbols){ 0 };
}

/* ---- trie ---- */

/* The slot that holds the key, or the free one where it belongs. */
static struct trie_slot *trie_slot(const struct trie *trie, uint64_t key) {
  const uint64_t hash = (key ^ key >> 29) * UINT64_C(0x9e3779b97f4a7c15);
  const size_t mask = trie->slot_count - 1;
  size_t place = (size_t)(hash ^ hash >> 32) & mask;
  while (trie->slots[place].node != 0 && trie->slots[place].key != key)
    place = (place + 1) & mask;
  return &trie->slots[place];
}

static uint64_t trie_key(uint32_t parent, uint32_t symbol) {
  return (uint64_t)parent << 32 | symbol;
}

uint32_t trie_find(const struct trie *trie, uint32_t parent, uint32_t symbol) {
  return trie->slot_count == 0 ? 0 : trie_slot(trie, trie_key(parent, symbol))->node;
}

/* Nodes enter the new table in the order of their coming, as the invariant demands. */
static bool trie_grow(struct trie *trie) {
  struct trie grown = *trie;
  grown.slot_count = trie->slot_count == 0 ? 1024 : trie->slot_count * 2;
  grown.slots = memory_new(grown.slot_count, sizeof *grown.slots);
  if (!grown.slots)
    return false;
  for (uint32_t node = 1; node <= trie->nodes; node++)
    *trie_slot(&grown, trie->keys[node]) = (struct trie_slot){ trie->keys[node], node };
  memory_free(trie->slots);
  *trie = grown;
  return true;
}

uint32_t trie_add(struct trie *trie, uint32_t parent, uint32_t symbol) {
  const uint64_t key = trie_key(parent, symbol);
  const uint32_t found = trie_find(trie, parent, symbol);
  if (found != 0)
    return found;
  if (trie->nodes >= UINT32_MAX - 2 || (trie->nodes >= trie->slot_count / 2 && !trie_grow(trie)) ||
      !memory_reserve((void **)&trie->keys, &trie->key_room, (size_t)trie->nodes + 2, sizeof *trie->keys))
    return 0;
  const uint32_t node = ++trie->nodes;
  trie->keys[node] = key;
  *trie_slot(trie, key) = (struct trie_slot){ key, node };
  return node;
}

void trie_cut(struct trie *trie, uint32_t nodes) {
  for (; trie->nodes > nodes; trie->nodes--)
    trie_slot(trie, trie->keys[trie->nodes])->node = 0;
}

void trie_free(struct trie *trie) {
  memory_free(trie->keys);
  memory_free(trie->slots);
  *trie = (struct trie){ 0 };
}

/* ---- counts ---- */

void ngrams_clear(struct ngrams *ngrams, size_t order, size_t references) {
  trie_cut(&ngrams->trie, 0);
  ngrams->order = order;
  ngrams->references = references;
}

/* Room for one more node than there are; its counts are zeros. */
static bool ngrams_reserve(struct ngrams *ngrams) {
  const size_t node = (size_t)ngrams->trie.nodes + 1, columns = ngrams->references;
  size_t need;
  if (__builtin_mul_overflow(node + 1, columns, &need) ||
      !memory_reserve((void **)&ngrams->counts, &ngrams->count_room, need, sizeof *ngrams->counts) ||
      !memory_reserve((void **)&ngrams->seen, &ngrams->seen_room, node + 1, sizeof *ngrams->seen) ||
      !memory_reserve((void **)&ngrams->touched, &ngrams->touched_room, node, sizeof *ngrams->touched))
    return false;
  memset(ngrams->counts + node * columns, 0, columns * sizeof *ngrams->counts);
  ngrams->seen[node] = 0;
  return true;
}

int ngrams_add(struct ngrams *ngrams, const struct symbols *symbols, size_t reference) {
  for (size_t i = 0; i < symbols->count; i++) {
    uint32_t node = 0;
    for (size_t n = 0; n < ngrams->order && i + n < symbols->count; n++) {
      if (!ngrams_reserve(ngrams))
        return QE_MEMORY;
      node = trie_add(&ngrams->trie, node, symbols->items[i + n]);
      if (node == 0)
        return QE_MEMORY;
      ngrams->counts[node * ngrams->references + reference]++;
    }
  }
  return QE_OK;
}

void ngrams_merge(struct ngrams *ngrams) {
  for (size_t node = 1; node <= ngrams->trie.nodes; node++) {
    const uint32_t *counts = ngrams->counts + node * ngrams->references;
    uint32_t most = 0;
    for (size_t i = 0; i < ngrams->references; i++)
      most = counts[i] > most ? counts[i] : most;
    ngrams->counts[node] = most; /* at or before what was read */
  }
  ngrams->references = 1;
}

void ngrams_match(struct ngrams *ngrams, const struct symbols *symbols, uint32_t *matches) {
  const size_t order = ngrams->order, references = ngrams->references;
  size_t touched = 0;
  memset(matches, 0, order * references * sizeof *matches);
  for (size_t i = 0; i < symbols->count; i++) {
    uint32_t node = 0;
    for (size_t n = 0; n < order && i + n < symbols->count; n++) {
      node = trie_find(&ngrams->trie, node, symbols->items[i + n]);
      if (node == 0)
        break;
      if (ngrams->seen[node]++ == 0)
        ngrams->touched[touched++] = node;
      for (size_t r = 0; r < references; r++)
        matches[r * order + n] += ngrams->seen[node] <= ngrams->counts[node * references + r];
    }
  }
  while (touched > 0)
    ngrams->seen[ngrams->touched[--touched]] = 0;
}

void ngrams_free(struct ngrams *ngrams) {
  trie_free(&ngrams->trie);
  memory_free(ngrams->counts);
  memory_free(ngrams->seen);
  memory_free(ngrams->touched);
  *ngrams = (struct ngrams){ 0 };
}
