/*
** test_coretype.c - which CPUs get other kernels than OpenBLAS chose. The values are those that the CPUs' CPUID leaves
** 1 and 7 give, with XCR0 as Linux sets it.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coretype.h"

#define FMA     (UINT32_C(1) << 12)
#define OSXSAVE (UINT32_C(1) << 27)
#define AVX2    (UINT32_C(1) << 5)
#define F       (UINT32_C(1) << 16)
#define DQ      (UINT32_C(1) << 17)
#define BW      (UINT32_C(1) << 30)
#define VL      (UINT32_C(1) << 31)
#define AVX512  (AVX2 | F | DQ | BW | VL)

static const char *wanted(const char *core, uint32_t extended, uint64_t xcr0) {
  const struct cpuid values = { FMA | OSXSAVE, extended, xcr0 };
  return coretype_wanted(&values, core);
}

static void test_well_chosen(void **state) {
  (void)state;
  assert_null(wanted("SkylakeX", AVX512, 0xe7));
  assert_null(wanted("Cooperlake", AVX512, 0xe7));
  assert_null(wanted("SapphireRapids", AVX512, 0x602e7));
  assert_null(wanted("Haswell", AVX2, 0x7));
  assert_null(wanted("Zen", AVX2, 0x7));
  assert_null(wanted("Prescott", 0, 0x7));
}

static void test_younger_than_openblas(void **state) {
  (void)state;
  assert_string_equal(wanted("Prescott", AVX512, 0x602e7), "SKYLAKEX"); /* Emerald Rapids */
  assert_string_equal(wanted("Haswell", AVX512, 0xe7), "SKYLAKEX");     /* Zen 5, Turin */
  assert_string_equal(wanted("Haswell", AVX512, 0x2e7), "SKYLAKEX");    /* Granite Ridge, with PKRU */
  assert_string_equal(wanted("Prescott", AVX2, 0x7), "HASWELL");        /* Arrow Lake */
  assert_string_equal(wanted("Sandybridge", AVX2, 0x7), "HASWELL");
}

/* Instructions without registers to keep, or one of them alone, are no reason. */
static void test_parts(void **state) {
  (void)state;
  static const uint32_t needed[] = { F, DQ, BW, VL };
  for (uint64_t bit = 8; bit <= 0x80; bit <<= 1)
    if (0xe6 & bit)
      assert_string_equal(wanted("Prescott", AVX512, 0xe7 & ~bit), "HASWELL");
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    assert_null(wanted("Haswell", AVX512 & ~needed[i], 0xe7));
  for (uint64_t bit = 2; bit <= 4; bit <<= 1)
    assert_null(wanted("Prescott", AVX512, 0xe7 & ~bit));
  assert_null(wanted("Prescott", AVX512 & ~AVX2 & ~F, 0xe7));
  struct cpuid values = { OSXSAVE, AVX512, 0xe7 };
  assert_null(coretype_wanted(&values, "Prescott"));
  values.features = FMA; /* no OSXSAVE: XCR0 means nothing */
  assert_null(coretype_wanted(&values, "Prescott"));
}

static void test_no_x86(void **state) {
  (void)state;
  const struct cpuid none = { .xcr0 = 0 };
  assert_null(coretype_wanted(&none, "neoversen1"));
}

static void test_this_cpu(void **state) {
  (void)state;
  struct cpuid values;
  memset(&values, 0xff, sizeof values);
  cpuid_read(&values);
#if defined(__x86_64__)
  assert_int_not_equal(values.features, 0);
  __builtin_cpu_init();
  assert_int_equal((values.features & FMA) != 0 && (values.xcr0 & 6) == 6, __builtin_cpu_supports("fma") != 0);
  assert_int_equal((values.extended & AVX2) != 0 && (values.xcr0 & 6) == 6, __builtin_cpu_supports("avx2") != 0);
  assert_int_equal((values.extended & VL) != 0 && (values.xcr0 & 0xe6) == 0xe6,
                   __builtin_cpu_supports("avx512vl") != 0);
#else
  assert_int_equal(values.features, 0);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_well_chosen), cmocka_unit_test(test_younger_than_openblas),
    cmocka_unit_test(test_parts),       cmocka_unit_test(test_no_x86),
    cmocka_unit_test(test_this_cpu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
