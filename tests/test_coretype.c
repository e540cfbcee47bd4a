/*
** test_coretype.c - which CPUs get another core type than OpenBLAS finds. The values are those that the CPUs' CPUID
** leaves 0, 1 and 7 give, with XCR0 as Linux sets it.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coretype.h"

#define OSXSAVE (UINT32_C(1) << 27)
#define AVX2    (UINT32_C(1) << 5)
#define F       (UINT32_C(1) << 16)
#define DQ      (UINT32_C(1) << 17)
#define BW      (UINT32_C(1) << 30)
#define VL      (UINT32_C(1) << 31)
#define AVX512  (AVX2 | F | DQ | BW | VL)

static struct cpuid make(const char *vendor, uint32_t version, uint32_t extended, uint64_t xcr0) {
  struct cpuid values = { .version = version, .features = OSXSAVE, .extended = extended, .xcr0 = xcr0 };
  memcpy(values.vendor, vendor, sizeof values.vendor);
  return values;
}

static const char *wanted(const char *vendor, uint32_t version, uint32_t extended, uint64_t xcr0) {
  const struct cpuid values = make(vendor, version, extended, xcr0);
  return coretype_wanted(&values);
}

static void test_intel(void **state) {
  (void)state;
  assert_null(wanted("GenuineIntel", 0x00050654, AVX512, 0xe7)); /* Skylake-X */
  assert_null(wanted("GenuineIntel", 0x000606a6, AVX512, 0xe7)); /* Ice Lake */
  assert_null(wanted("GenuineIntel", 0x000306c3, AVX2, 0x7));    /* Haswell */
  assert_null(wanted("GenuineIntel", 0x00b20f10, AVX512, 0xe7)); /* a family of that number is not AMD's */
}

static void test_amd_that_openblas_knows(void **state) {
  (void)state;
  assert_null(wanted("AuthenticAMD", 0x00800f12, AVX2, 0x7));    /* Zen 1, family 17h */
  assert_null(wanted("AuthenticAMD", 0x00830f10, AVX2, 0x7));    /* Zen 2 */
  assert_null(wanted("AuthenticAMD", 0x00a20f12, AVX2, 0x7));    /* Zen 3, family 19h */
  assert_null(wanted("AuthenticAMD", 0x00a60f12, AVX512, 0xe7)); /* Zen 4, family 19h */
  assert_null(wanted("AuthenticAMD", 0x00000662, 0, 0));         /* Athlon, family 6 */
}

static void test_zen_5(void **state) {
  (void)state;
  assert_string_equal(wanted("AuthenticAMD", 0x00b00f21, AVX512, 0xe7), "SKYLAKEX");  /* Turin */
  assert_string_equal(wanted("AuthenticAMD", 0x00b40f40, AVX512, 0x2e7), "SKYLAKEX"); /* Granite Ridge, with PKRU */
  assert_string_equal(wanted("AuthenticAMD", 0x00c00f10, AVX512, 0xe7), "SKYLAKEX");  /* whatever follows */
}

static void test_zen_5_without_avx512(void **state) {
  (void)state;
  static const uint32_t needed[] = { F, DQ, BW, VL };
  assert_null(wanted("AuthenticAMD", 0x00b00f21, AVX512, 0x7)); /* the system does not keep zmm registers */
  for (uint64_t bit = 2; bit <= 0x80; bit <<= 1)
    if (0xe6 & bit)
      assert_null(wanted("AuthenticAMD", 0x00b00f21, AVX512, 0xe7 & ~bit));
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    assert_null(wanted("AuthenticAMD", 0x00b00f21, AVX512 & ~needed[i], 0xe7));
  struct cpuid values = make("AuthenticAMD", 0x00b00f21, AVX512, 0xe7);
  values.features = 0; /* no OSXSAVE: XCR0 means nothing */
  assert_null(coretype_wanted(&values));
}

static void test_others(void **state) {
  (void)state;
  const struct cpuid none = { .xcr0 = 0 };
  assert_null(coretype_wanted(&none)); /* not an x86 */
  assert_null(wanted("HygonGenuine", 0x00900f02, AVX2, 0x7));
  assert_null(wanted("CentaurHauls", 0x000307b0, AVX512, 0xe7));
}

static void test_this_cpu(void **state) {
  (void)state;
  struct cpuid values;
  memset(&values, 0xff, sizeof values);
  cpuid_read(&values);
#if defined(__x86_64__)
  assert_int_not_equal(values.vendor[0], 0);
  assert_int_not_equal(values.version, 0);
  __builtin_cpu_init();
  assert_int_equal((values.extended & AVX2) != 0 && (values.xcr0 & 6) == 6, __builtin_cpu_supports("avx2") != 0);
  assert_int_equal((values.extended & VL) != 0 && (values.xcr0 & 0xe6) == 0xe6,
                   __builtin_cpu_supports("avx512vl") != 0);
#else
  assert_int_equal(values.version, 0);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_intel),  cmocka_unit_test(test_amd_that_openblas_knows),
    cmocka_unit_test(test_zen_5),  cmocka_unit_test(test_zen_5_without_avx512),
    cmocka_unit_test(test_others), cmocka_unit_test(test_this_cpu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
