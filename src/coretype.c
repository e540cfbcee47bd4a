/*
** coretype.c - OpenBLAS chooses its kernels by the CPU's family. Version 0.3.21 does not know AMD's family 1Ah (Zen 5)
** nor anything after it, takes such a CPU for a Haswell and so leaves its AVX-512 units idle: half the speed. Only
** that case is mended; all others are left to OpenBLAS. Knows CPUs, not OpenBLAS: nothing is set here.
*/
#include "coretype.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

enum {
  FIRST_UNKNOWN_FAMILY = 0x1a,
  FEATURE_OSXSAVE = 1 << 27,
  EXTENDED_F = 1 << 16,
  EXTENDED_DQ = 1 << 17,
  EXTENDED_BW = 1 << 30,
  XCR0_AVX512 = 0xe6, /* xmm, ymm, mask registers, both parts of zmm */
};
#define EXTENDED_VL (UINT32_C(1) << 31)

static bool made_by(const struct cpuid *values, const char *vendor) {
  return memcmp(values->vendor, vendor, sizeof values->vendor) == 0;
}

static uint32_t family(const struct cpuid *values) {
  const uint32_t base = values->version >> 8 & 0xf;
  return base == 0xf ? base + (values->version >> 20 & 0xff) : base;
}

static bool has_avx512(const struct cpuid *values) {
  const uint32_t needed = EXTENDED_F | EXTENDED_DQ | EXTENDED_BW | EXTENDED_VL;
  return values->features & FEATURE_OSXSAVE && (values->xcr0 & XCR0_AVX512) == XCR0_AVX512 &&
         (values->extended & needed) == needed;
}

const char *coretype_wanted(const struct cpuid *values) {
  const bool unknown = made_by(values, "AuthenticAMD") && family(values) >= FIRST_UNKNOWN_FAMILY;
  return unknown && has_avx512(values) ? "SKYLAKEX" : NULL;
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
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
    return;
  values->vendor[0] = ebx;
  values->vendor[1] = edx;
  values->vendor[2] = ecx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
    values->version = eax;
    values->features = ecx;
  }
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
