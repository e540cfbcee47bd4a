/*
** coretype.h - which kernels OpenBLAS should be told to use on this CPU.
*/
#ifndef QE_CORETYPE_H
#define QE_CORETYPE_H

#include <stdint.h>

/* What the CPUID instruction and XGETBV answer; zeros on other kinds of CPU. */
struct cpuid {
  uint32_t vendor[3]; /* leaf 0: ebx, edx, ecx, twelve letters */
  uint32_t version;   /* leaf 1: eax */
  uint32_t features;  /* leaf 1: ecx */
  uint32_t extended;  /* leaf 7, subleaf 0: ebx */
  uint64_t xcr0;      /* register states that the system keeps; 0 without OSXSAVE */
};

void cpuid_read(struct cpuid *values);
/* The value for OPENBLAS_CORETYPE, or NULL where OpenBLAS finds the right kernels by itself. */
const char *coretype_wanted(const struct cpuid *values);

#endif
