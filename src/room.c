/*
** room.c - many float arrays in one block, each beginning at a multiple of 64 bytes: the same function lays them out
** twice, first to count, then to point.
*/
#include "architecture.h"

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

/* ---- panels ---- */

void room_panels(float *to, const qe_real *from, size_t rows, size_t cols) {
  for (size_t first = 0; first < cols; first += KERNEL_LANES)
    for (size_t i = 0; i < rows; i++, to += KERNEL_LANES)
      for (size_t j = first; j < first + KERNEL_LANES && j < cols; j++)
        to[j - first] = (float)from[i * cols + j];
}

void panels_of(float *to, const float *from, size_t stride, size_t rows, size_t cols) {
  for (size_t first = 0; first < cols; first += KERNEL_LANES)
    for (size_t i = 0; i < rows; i++)
      for (size_t j = first; j < first + KERNEL_LANES; j++)
        *to++ = j < cols ? from[i * stride + j] : 0.0f;
}

void panels_turned(float *to, const float *from, size_t stride, size_t count, size_t depth) {
  for (size_t first = 0; first < count; first += KERNEL_LANES)
    for (size_t k = 0; k < depth; k++, to += KERNEL_LANES)
      for (size_t j = 0; j < KERNEL_LANES; j++)
        to[j] = first + j < count ? from[(first + j) * stride + k] : 0.0f;
}

int room_head(qe_model *model, size_t inputs, size_t outputs, float *to, float *to_bias) {
  const struct configuration *c = &model->configuration;
  const size_t own = c->bins ? c->bins : 1;
  const qe_real *weight = architecture_matrix(model, "head", "weight");
  const qe_real *bias = architecture_matrix(model, "head", "bias");
  if (!weight || !bias)
    return model->error.status;
  for (size_t i = 0; i < inputs; i++)
    for (size_t j = 0; j < own; j++)
      to[i * outputs + j] = (float)weight[many_bins(c) ? j * inputs + i : i * own + j];
  room_copy(to_bias, 0, bias, 1, own);
  return QE_OK;
}
