/*
** int4.h - matrices at four and a half bits a number, private to weights.c, int4.c and int2.c. A matrix is a number of
** lines: the rows of a table, the columns of any other, which is where one number of its output comes from. A line is cut
** into blocks of 32 numbers, the last may be shorter: scale (bf16, little-endian), then two numbers a byte, the first in
** the lower half, -8 to 7 steps of the scale, written 0 to 15. The last, `coarse`, rows of a table are one block each of
** two bits a number (int2.c): scale (bf16), then four numbers a byte, the first in the lowest bits, 0 to 3 for -1.5, -.5,
** .5 and 1.5 steps of it.
*/
#ifndef QE_INT4_H
#define QE_INT4_H
#include "model.h"

enum { INT4_BLOCK = 32 };

/* False: sizes overflow. */
bool int4_size(const struct layout_entry *entry, size_t *size);
void int4_write(unsigned char *out, const struct layout_entry *entry, const qe_real *values);
/* The number of the first line, from 1, that int4_write would write differently; 0: none, and all values are read. */
size_t int4_read(const unsigned char *bytes, const struct layout_entry *entry, qe_real *values);
/* What writing and reading makes of them. */
void int4_round(const struct layout_entry *entry, qe_real *values);

/* ---- int2.c: a coarse row ---- */
size_t int2_size(size_t cols);
void int2_write(unsigned char *out, const qe_real *row, size_t cols);
void int2_round(qe_real *row, size_t cols);
/* False: int2_write would write it differently. */
bool int2_read(const unsigned char *bytes, qe_real *row, size_t cols);

#endif
