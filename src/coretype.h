/*
** coretype.h - which kernels OpenBLAS should be told to use on this CPU.
*/
#ifndef QE_CORETYPE_H
#define QE_CORETYPE_H

#include <stdint.h>

/* What the CPUID instruction and XGETBV answer; zeros on other kinds of CPU. */
struct cpuid {
  uint32_t features; /* leaf 1: ecx */
  uint32_t extended; /* leaf 7, subleaf 0: ebx */
  uint64_t xcr0;     /* register states that the system keeps; 0 without OSXSAVE */
};

void cpuid_read(struct cpuid *values);
/* The value for OPENBLAS_CORETYPE, or NULL where `core`, the name of the kernels that OpenBLAS chose by itself, is of
** those that this CPU can have. */
const char *coretype_wanted(const struct cpuid *values, const char *core);

#endif
