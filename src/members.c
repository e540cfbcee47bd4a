/*
** members.c - what a model's archive holds and in which order: the one list that saving, opening, packing and unpacking
** go by. Which of these a model has is a matter of its configuration (package.c) or of a manifest (pack.c).
*/
#include "members.h"

#include <stdio.h>

const char *member_name(size_t place, char room[MEMBER_NAME]) {
  static const char *const names[MEMBER_PLACES] = {
    [MEMBER_FORMAT] = "FORMAT",         [MEMBER_MANIFEST] = MANIFEST_MEMBER,
    [MEMBER_WEIGHTS] = "weights.bin",   [MEMBER_SOURCE] = "vocab.source",
    [MEMBER_TARGET] = "vocab.target",   [MEMBER_PIECES] = "vocab.pieces",
    [MEMBER_EVIDENCE] = "evidence.bin", [MEMBER_FOREST] = "forest.bin",
    [MEMBER_CONTEXT] = "context.qe",    [MEMBER_MODEL_CARD] = "MODEL_CARD.md",
    [MEMBER_LICENCE] = "LICENSE",
  };
  if (names[place])
    return names[place];
  snprintf(room, MEMBER_NAME, "member%zu.qe", place - MEMBER_FAMILY + 1);
  return room;
}

size_t member_place(const char *name) {
  char room[MEMBER_NAME];
  size_t place = 0;
  while (place < MEMBER_PLACES && strcmp(member_name(place, room), name) != 0)
    place++;
  return place;
}
