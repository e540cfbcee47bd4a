/*
** coretype.c - OpenBLAS chooses its kernels by the CPU's family and model. A CPU that is younger than its list gets
** those of an older one: version 0.3.21 takes AMD's Zen 5 for a Haswell and Intel's Emerald Rapids for a Prescott of
** 2004, which costs half to three quarters of the speed of products. So kernels are judged by the instructions that
** they use and the CPU has; where OpenBLAS did as well, nothing is changed. Knows CPUs, not OpenBLAS: nothing is set
** here.
*/
#include "coretype.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

enum {
  FEATURE_FMA = 1 << 12,
  FEATURE_OSXSAVE = 1 << 27,
  EXTENDED_AVX2 = 1 << 5,
  EXTENDED_F = 1 << 16,
  EXTENDED_DQ = 1 << 17,
  EXTENDED_BW = 1 << 30,
  XCR0_AVX = 6,       /* xmm, ymm */
  XCR0_AVX512 = 0xe6, /* the same, mask registers, both parts of zmm */
};
#define EXTENDED_VL (UINT32_C(1) << 31)

static bool has(const struct cpuid *values, uint32_t features, uint32_t extended, uint64_t registers) {
  return values->features & FEATURE_OSXSAVE && (values->features & features) == features &&
         (values->extended & extended) == extended && (values->xcr0 & registers) == registers;
}

static bool is_among(const char *core, const char *const *names) {
  while (*names && strcmp(core, *names) != 0)
    names++;
  return *names != NULL;
}

const char *coretype_wanted(const struct cpuid *values, const char *core) {
  static const char *const avx512[] = { "SkylakeX", "Cooperlake", "SapphireRapids", NULL };
  static const char *const avx2[] = { "Haswell", "Zen", NULL };
  if (is_among(core, avx512))
    return NULL;
  if (has(values, FEATURE_FMA, EXTENDED_F | EXTENDED_DQ | EXTENDED_BW | EXTENDED_VL, XCR0_AVX512))
    return "SKYLAKEX";
  return has(values, FEATURE_FMA, EXTENDED_AVX2, XCR0_AVX) && !is_among(core, avx2) ? "HASWELL" : NULL;
}

#if defined(__x86_64__) || defined(__i386__)
static uint64_t read_xcr0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

void cpuid_read(struct cpuid *values) {
  uint32_t eax, ebx, ecx, edx;
  *values = (struct cpuid){ .xcr0 = 0 };
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
    values->features = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
    values->extended = ebx;
  if (values->features & FEATURE_OSXSAVE)
    values->xcr0 = read_xcr0();
}
#else
void cpuid_read(struct cpuid *values) {
  *values = (struct cpuid){ .xcr0 = 0 };
}
#endif
