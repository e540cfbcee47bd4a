/*
** recent.c - a table of words met lately with a vector each, of which a slot holds the last word that had its hash.
** Invariant: a slot of this turn holds the word whose bytes it has, and the row that the caller made of them.
*/
#include "recent.h"

bool recent_new(struct recent *recent, size_t width) {
  *recent = (struct recent){ .turn = 1,
                             .width = width,
                             .slots = memory_new(RECENT_SLOTS, sizeof *recent->slots),
                             .values = memory_new((RECENT_SLOTS + 1) * width, sizeof *recent->values) };
  if (recent->slots && recent->values)
    return true;
  recent_free(recent);
  return false;
}

void recent_free(struct recent *recent) {
  memory_free(recent->slots);
  memory_free(recent->values);
  *recent = (struct recent){ 0 };
}

void recent_forget(struct recent *recent) {
  if (++recent->turn != 0)
    return;
  memset(recent->slots, 0, RECENT_SLOTS * sizeof *recent->slots);
  recent->turn = 1;
}

float *recent_row(struct recent *recent, qe_text word, bool *known) {
  *known = false;
  if (word.size > RECENT_LONGEST)
    return recent->values + RECENT_SLOTS * recent->width;
  const size_t number = (size_t)(hash_mix(fnv1a(FNV1A_START, word.data, word.size)) % RECENT_SLOTS);
  struct recent_slot *slot = &recent->slots[number];
  *known =
      slot->turn == recent->turn && slot->length == word.size && memcmp(slot->bytes, word.data, word.size) == 0;
  if (!*known) {
    slot->turn = recent->turn;
    slot->length = (unsigned char)word.size;
    memcpy(slot->bytes, word.data, word.size);
  }
  return recent->values + number * recent->width;
}
