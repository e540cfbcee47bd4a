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

/* How many columns of a panel are there. */
static size_t lanes_of(size_t cols, size_t first) {
  return cols - first < KERNEL_LANES ? cols - first : KERNEL_LANES;
}

void panels_of(float *to, const float *from, size_t stride, size_t rows, size_t cols) {
  for (size_t first = 0; first < cols; first += KERNEL_LANES) {
    const size_t lanes = lanes_of(cols, first);
    for (size_t i = 0; i < rows; i++, to += KERNEL_LANES) {
      memcpy(to, from + i * stride + first, lanes * sizeof *to);
      memset(to + lanes, 0, (KERNEL_LANES - lanes) * sizeof *to);
    }
  }
}

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_order __attribute__((vector_size(16)));

/* Four rows of four become four columns. */
static inline void turn_block(float *to, const float *from, size_t stride) {
  const quad_order low = { 0, 4, 1, 5 }, high = { 2, 6, 3, 7 }, first = { 0, 1, 4, 5 }, second = { 2, 3, 6, 7 };
  quad row[4];
  for (size_t i = 0; i < 4; i++)
    memcpy(&row[i], from + i * stride, sizeof row[i]);
  const quad a = __builtin_shuffle(row[0], row[1], low), b = __builtin_shuffle(row[2], row[3], low);
  const quad c = __builtin_shuffle(row[0], row[1], high), d = __builtin_shuffle(row[2], row[3], high);
  const quad column[4] = { __builtin_shuffle(a, b, first), __builtin_shuffle(a, b, second),
                           __builtin_shuffle(c, d, first), __builtin_shuffle(c, d, second) };
  for (size_t k = 0; k < 4; k++)
    memcpy(to + k * KERNEL_LANES, &column[k], sizeof column[k]);
}

/* Columns j .. j + 3 of a panel, of which not all need be there. */
static void turn_columns(float *to, const float *from, size_t stride, size_t columns, size_t depth) {
  size_t k = 0;
  for (; columns >= 4 && k + 4 <= depth; k += 4)
    turn_block(to + k * KERNEL_LANES, from + k, stride);
  for (; k < depth; k++)
    for (size_t j = 0; j < 4; j++)
      to[k * KERNEL_LANES + j] = j < columns ? from[j * stride + k] : 0.0f;
}

void panels_turned(float *to, const float *from, size_t stride, size_t count, size_t depth) {
  for (size_t first = 0; first < count; first += KERNEL_LANES, to += depth * KERNEL_LANES) {
    const size_t lanes = lanes_of(count, first);
    for (size_t j = 0; j < KERNEL_LANES; j += 4)
      turn_columns(to + j, j < lanes ? from + (first + j) * stride : NULL, stride, j < lanes ? lanes - j : 0,
                   depth);
  }
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
