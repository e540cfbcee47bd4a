/*
** room.c - many float arrays in one block, each beginning at a multiple of 64 bytes: the same function lays them out
** twice, first to count, then to point.
*/
#include "scoring.h"

float *room_take(struct room *room, size_t rows, size_t cols) {
  size_t cells, used;
  if (__builtin_mul_overflow(rows, cols, &cells) || cells > SIZE_MAX / 2 ||
      __builtin_add_overflow(room->used, padded(cells), &used)) {
    room->overflow = true;
    return NULL;
  }
  float *place = room->start ? room->start + room->used : NULL;
  room->used = used;
  return place;
}

void room_copy(float *to, size_t stride, const qe_real *from, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      to[i * stride + j] = (float)from[i * cols + j];
}

/* Zeroed memory for what was counted; the room then starts over, with pointers. */
static void *room_open(struct room *room) {
  if (room->overflow || room->used > SIZE_MAX / sizeof(float) - ALIGNED)
    return NULL;
  char *block = memory_new(room->used * sizeof(float) + ALIGNED, 1);
  if (block)
    *room = (struct room){ .start = (float *)(void *)(block + (ALIGNED - (uintptr_t)block % ALIGNED) % ALIGNED) };
  return block;
}

void *room_lay(void *owner, room_layout *layout) {
  struct room room = { 0 };
  layout(owner, &room);
  void *block = room_open(&room);
  if (block)
    layout(owner, &room);
  return block;
}
