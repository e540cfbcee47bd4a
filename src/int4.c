/*
** int4.c - matrices at four and a half bits a number, see int4.h; their coarse rows are for int2.c. The number of a block that is furthest from zero
** becomes -8 steps, so the scale has the sign that makes it so and the numbers on its side are the finer ones. What was
** read is written again as the same bytes: -8 steps are further from zero than any other number that a block can hold.
*/
#include "int4.h"
#include "bytes.h"
#include "transcendental.h"

#include <float.h>
#include <math.h>

enum { FURTHEST = -8, ZERO = 8, MOST = 15, SCALE = 2, MOST_BYTES = SCALE + INT4_BLOCK / 2 };

struct lines {
  size_t fine, coarse, length; /* how many; of each */
  size_t between, inside;      /* from one line to the next, from a number to the next in it */
};

static struct lines lines_of(const struct layout_entry *entry) {
  return entry->sparse ? (struct lines){ entry->rows - entry->coarse, entry->coarse, entry->cols, entry->cols, 1 }
                       : (struct lines){ entry->cols, 0, entry->rows, 1, entry->cols };
}

static size_t block_bytes(size_t count) {
  return SCALE + (count + 1) / 2;
}

static size_t block_at(const struct lines *lines, size_t first) {
  return lines->length - first < INT4_BLOCK ? lines->length - first : INT4_BLOCK;
}

bool int4_size(const struct layout_entry *entry, size_t *size) {
  const struct lines lines = lines_of(entry);
  const size_t blocks = lines.length / INT4_BLOCK, rest = lines.length % INT4_BLOCK;
  size_t coarse;
  return !__builtin_mul_overflow(blocks, (size_t)MOST_BYTES, size) &&
         !__builtin_add_overflow(*size, rest > 0 ? block_bytes(rest) : 0, size) &&
         !__builtin_mul_overflow(*size, lines.fine, size) &&
         !__builtin_mul_overflow(int2_size(lines.length), lines.coarse, &coarse) &&
         !__builtin_add_overflow(*size, coarse, size);
}

/* ---- one block ---- */

/* A scale that would lose bits because it is subnormal becomes zero, and so do its numbers; one that would make too much
** of the largest floats is the next smaller one. */
static uint16_t scale_of(const qe_real *values, size_t inside, size_t count) {
  float furthest = 0;
  for (size_t i = 0; i < count; i++)
    if (fabsf((float)values[i * inside]) > fabsf(furthest))
      furthest = (float)values[i * inside];
  uint16_t scale = bf16_of(furthest / FURTHEST);
  scale -= !isfinite(FURTHEST * float_of_bf16(scale));
  return fabsf(float_of_bf16(scale)) < FLT_MIN ? 0 : scale;
}

static unsigned step_of(qe_real value, float scale) {
  if (scale == 0)
    return ZERO;
  const double steps = (double)(float)value / (double)scale + ZERO + .5;
  return steps < 0 ? 0 : steps > MOST ? MOST : (unsigned)steps;
}

static void write_block(unsigned char *out, const qe_real *values, size_t inside, size_t count) {
  const uint16_t scale = scale_of(values, inside, count);
  bytes_store(out, scale, SCALE);
  memset(out + SCALE, 0, block_bytes(count) - SCALE);
  for (size_t i = 0; i < count; i++)
    out[SCALE + i / 2] |= (unsigned char)(step_of(values[i * inside], float_of_bf16(scale)) << 4 * (i % 2));
}

static unsigned step_at(const unsigned char *bytes, size_t i) {
  return bytes[SCALE + i / 2] >> 4 * (i % 2) & MOST;
}

/* Scale 0 and zeros, or a normal scale and a number that is furthest; nothing after the last number. */
static bool block_is_valid(const unsigned char *bytes, size_t count) {
  const float scale = float_of_bf16(bytes_load(bytes, SCALE));
  bool furthest = false, zeros = true;
  for (size_t i = 0; i < count; i++) {
    furthest |= step_at(bytes, i) == 0;
    zeros &= step_at(bytes, i) == ZERO;
  }
  if (count % 2 == 1 && step_at(bytes, count) != 0)
    return false;
  return scale == 0 ? zeros && bytes_load(bytes, SCALE) == 0
                    : furthest && fabsf(scale) >= FLT_MIN && isfinite(FURTHEST * scale);
}

static void read_block(const unsigned char *bytes, qe_real *values, size_t inside, size_t count) {
  const float scale = float_of_bf16(bytes_load(bytes, SCALE));
  for (size_t i = 0; i < count; i++)
    values[i * inside] = (qe_real)(scale * (float)((int)step_at(bytes, i) - ZERO));
}

/* ---- a matrix ---- */

static void write_line(unsigned char **out, const struct lines *lines, const qe_real *line) {
  for (size_t i = 0; i < lines->length; i += INT4_BLOCK) {
    const size_t count = block_at(lines, i);
    write_block(*out, line + i * lines->inside, lines->inside, count);
    *out += block_bytes(count);
  }
}

static bool read_line(const unsigned char **bytes, const struct lines *lines, qe_real *line) {
  for (size_t i = 0; i < lines->length; i += INT4_BLOCK) {
    const size_t count = block_at(lines, i);
    if (!block_is_valid(*bytes, count))
      return false;
    read_block(*bytes, line + i * lines->inside, lines->inside, count);
    *bytes += block_bytes(count);
  }
  return true;
}

void int4_write(unsigned char *out, const struct layout_entry *entry, const qe_real *values) {
  const struct lines lines = lines_of(entry);
  for (size_t i = 0; i < lines.fine; i++)
    write_line(&out, &lines, values + i * lines.between);
  for (size_t i = lines.fine; i < lines.fine + lines.coarse; i++, out += int2_size(lines.length))
    int2_write(out, values + i * lines.between, lines.length);
}

size_t int4_read(const unsigned char *bytes, const struct layout_entry *entry, qe_real *values) {
  const struct lines lines = lines_of(entry);
  for (size_t i = 0; i < lines.fine; i++)
    if (!read_line(&bytes, &lines, values + i * lines.between))
      return i + 1;
  for (size_t i = lines.fine; i < lines.fine + lines.coarse; i++, bytes += int2_size(lines.length))
    if (!int2_read(bytes, values + i * lines.between, lines.length))
      return i + 1;
  return 0;
}

void int4_round(const struct layout_entry *entry, qe_real *values) {
  const struct lines lines = lines_of(entry);
  unsigned char block[MOST_BYTES];
  for (size_t line = 0; line < lines.fine; line++)
    for (size_t i = 0; i < lines.length; i += INT4_BLOCK) {
      qe_real *first = values + line * lines.between + i * lines.inside;
      write_block(block, first, lines.inside, block_at(&lines, i));
      read_block(block, first, lines.inside, block_at(&lines, i));
    }
  for (size_t i = lines.fine; i < lines.fine + lines.coarse; i++)
    int2_round(values + i * lines.between, lines.length);
}
