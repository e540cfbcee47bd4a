/*
** test_number.c - numbers in text: accepted exactly where a regular expression matches, with the value that strtod
** gives; printed so that they come back; the same in a locale with a decimal comma.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>

static bool same_bits(double a, double b) {
  return memcmp(&a, &b, sizeof a) == 0;
}

static void check_parse(const char *text, double expected) {
  double value = -123;
  if (!number_parse(qe_string(text), &value))
    fail_msg("\"%.100s\" is refused", text);
  if (!same_bits(value, expected))
    fail_msg("\"%.100s\" is %a, not %a", text, value, expected);
}

static void test_values(void **state) {
  (void)state;
  check_parse("0", 0);
  check_parse("-0", -0.0);
  check_parse("+7", 7);
  check_parse("5.", 5);
  check_parse(".5", .5);
  check_parse("000123.4500", 123.45);
  check_parse("1e3", 1000);
  check_parse("1E+3", 1000);
  check_parse("-2.5e-3", -.0025);
  check_parse("0.1", .1);
  check_parse("1e23", 1e23);
  check_parse("123456789012345678901234567890", 123456789012345678901234567890.0);
  check_parse("9007199254740993", 9007199254740992.0);
  check_parse("9007199254740993.0000000000000000000000000000001", 9007199254740994.0);
  check_parse("1.7976931348623157e308", 0x1.fffffffffffffp1023);
  check_parse("4.9e-324", 0x1p-1074);
  check_parse("2.2250738585072011e-308", 0x1.ffffffffffffep-1023);
}

static void test_names(void **state) {
  (void)state;
  static const char *const infinite[] = {
    "inf", "INF", "+inf", "Infinity", "iNFINITY", "1e999", "1e99999999999999999999"
  };
  for (size_t i = 0; i < sizeof infinite / sizeof *infinite; i++)
    check_parse(infinite[i], INFINITY);
  check_parse("-inf", -INFINITY);
  check_parse("-1e400", -INFINITY);
  static const char *const nans[] = { "nan", "NaN", "-nan", "+NAN" };
  for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
    double value = 0;
    assert_true(number_parse(qe_string(nans[i]), &value));
    assert_true(isnan(value));
  }
}

static void test_tiny(void **state) {
  (void)state;
  check_parse("1e-400", 0);
  check_parse("-1e-99999999999999999999", -0.0);
  check_parse("0e99999999999999999999", 0);
  check_parse("0.0000e-5", 0);
}

static void test_refused(void **state) {
  (void)state;
  static const char *const texts[] = { "",      " ",      "+",  "-",        ".",    "e5",    "1e",    "1e+",
                                       "1.2.3", "--1",    "1 ", " 1",       "0x1",  "0x1p3", "1,5",   "1'000",
                                       "infi",  "nan(1)", "na", "1_0",      "+-1",  ".e1",   "1e5.0", "1e\r5",
                                       "1\n",   "inf1",   "1f", "\xd9\xa1", "1e\v5" };
  double value = 5;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (number_parse(qe_string(texts[i]), &value))
      fail_msg("\"%s\" is accepted", texts[i]);
  assert_false(number_parse((qe_text){ NULL, 0 }, &value));
  assert_false(number_parse((qe_text){ "1\0", 2 }, &value));
  assert_true(value == 5);
  assert_true(number_parse((qe_text){ "123", 2 }, &value)); /* no NUL behind it */
  assert_true(value == 12);
}

/* More digits than are kept, zeros before and behind, exponents that take them back. */
static void test_long(void **state) {
  (void)state;
  static char text[20000];
  assert_int_equal(snprintf(text, sizeof text, "%.1074f", 0x1p-1074), 1076);
  check_parse(text, 0x1p-1074);
  memset(text, '0', 5000);
  strcpy(text + 5000, "1.5");
  check_parse(text, 1.5);
  text[0] = '1';
  strcpy(text + 5000, "e-4999");
  check_parse(text, 1);
  memcpy(text, "0.0", 3);
  strcpy(text + 5000, "25e4999");
  check_parse(text, 2.5);
  memset(text, '7', 5000);
  strcpy(text + 5000, "e-5000");
  check_parse(text, 7 / 9.0);
}

/* The number half-way between a double and the next, all of its decimal digits. */
static void halfway(double low, char *text, size_t room) {
  int exponent;
  const double fraction = frexp(low, &exponent);
  const long double middle = ldexpl((long double)fraction + 0x1p-54L, exponent);
  snprintf(text, room, "%.1200Lf", middle);
}

static void test_halfway(void **state) {
  (void)state;
  static char text[3000];
  qe_rng rng;
  qe_rng_seed(&rng, 1, "halfway");
  if (LDBL_MANT_DIG < 64)
    skip();
  for (int round = 0; round < 300; round++) {
    const double low = ldexp(0.5 + (double)(qe_rng_next(&rng) >> 12) * 0x1p-53, (int)qe_rng_below(&rng, 600) - 300);
    const double high = nextafter(low, INFINITY);
    int even = (int)((uint64_t)ldexp(frexp(low, &(int){ 0 }), 53) % 2);
    halfway(low, text, sizeof text);
    check_parse(text, even == 0 ? low : high);
    strcat(text, "000001");
    check_parse(text, high);
    *strrchr(text, '1') = '0';
    check_parse(text, even == 0 ? low : high);
  }
}

static void test_against_expression(void **state) {
  (void)state;
  static const char alphabet[] = "0123456789001122..eE+--nafityx ";
  regex_t expression;
  qe_rng rng;
  size_t accepted = 0;
  assert_int_equal(regcomp(&expression, "^[-+]?(([0-9]+[.]?[0-9]*|[.][0-9]+)(e[-+]?[0-9]+)?|nan|inf|infinity)$",
                           REG_EXTENDED | REG_ICASE | REG_NOSUB),
                   0);
  qe_rng_seed(&rng, 2, "number");
  for (int round = 0; round < 40000; round++) {
    char text[12];
    size_t size = qe_rng_below(&rng, sizeof text);
    double value;
    for (size_t i = 0; i < size; i++)
      text[i] = alphabet[qe_rng_below(&rng, (i == 0) + sizeof alphabet - 2)];
    text[size] = '\0';
    const bool expected = regexec(&expression, text, 0, NULL, 0) == 0;
    if (number_parse(qe_string(text), &value) != expected)
      fail_msg("\"%s\" is %s", text, expected ? "refused" : "accepted");
    if (expected && !isnan(value))
      check_parse(text, strtod(text, NULL));
    accepted += expected;
  }
  assert_true(accepted > 5000);
  regfree(&expression);
}

static double draw_double(qe_rng *rng) {
  double value;
  uint64_t bits = qe_rng_next(rng);
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void test_random_digits(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 3, "number");
  for (int round = 0; round < 20000; round++) {
    char text[64];
    int size = 0;
    for (size_t left = 1 + qe_rng_below(&rng, 30), point = qe_rng_below(&rng, left + 1); left > 0; left--) {
      text[size++] = (char)('0' + qe_rng_below(&rng, 10));
      if (left == point)
        text[size++] = '.';
    }
    snprintf(text + size, sizeof text - (size_t)size, "e%d", (int)qe_rng_below(&rng, 700) - 350);
    check_parse(text, strtod(text, NULL));
  }
}

/* ---- printing ---- */

static void check_print(double value, int digits, const char *expected) {
  char text[100];
  assert_int_equal(number_print(text, sizeof text, value, digits), strlen(expected));
  assert_string_equal(text, expected);
}

static void test_print(void **state) {
  (void)state;
  check_print(0, 6, "0");
  check_print(-0.0, 6, "-0");
  check_print(1.5, 6, "1.5");
  check_print(-1234567, 6, "-1.23457e+06");
  check_print(.1, 17, "0.10000000000000001");
  check_print(1e-5, 3, "1e-05");
  check_print(2, 0, "2");
  check_print(INFINITY, 6, "inf");
  check_print(-INFINITY, 6, "-inf");
  check_print(NAN, 6, "nan");
  check_print(-NAN, 6, "nan");
  check_print(0.5, 100000, "0.5");
}

/* Little room: what snprintf would leave. */
static void test_print_room(void **state) {
  (void)state;
  char text[8] = "xxxxxxx";
  assert_int_equal(number_print(text, 4, -1.25, 6), 5);
  assert_string_equal(text, "-1.");
  assert_true(text[4] == 'x');
  assert_int_equal(number_print(NULL, 0, 0.125, 6), 5);
  static char large[1200], expected[1200];
  const double least = 0x1.fffffffffffffp-1022;
  assert_int_equal(number_print(large, sizeof large, least, 768),
                   snprintf(expected, sizeof expected, "%.768g", least));
  assert_string_equal(large, expected);
}

static void test_round_trip(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 4, "number");
  for (int round = 0; round < 20000; round++) {
    char text[40], twin[40];
    double value = draw_double(&rng);
    if (isnan(value))
      continue;
    number_print(text, sizeof text, value, 17);
    check_parse(text, value);
    int digits = (int)qe_rng_below(&rng, 20);
    number_print(text, sizeof text, value, digits);
    snprintf(twin, sizeof twin, "%.*g", digits, value);
    assert_string_equal(text, twin);
  }
}

/* ---- locales ---- */

/* The first of these that is installed and has no point in its numbers. */
static const char *comma_locale(void) {
  static const char *const names[] = {
    "et_EE.UTF-8", "de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "ru_RU.UTF-8", "ps_AF"
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ".") != 0)
      return names[i];
  setlocale(LC_ALL, "C");
  return NULL;
}

static void test_locale(void **state) {
  (void)state;
  if (!comma_locale()) {
    print_message("no locale with a decimal comma is installed\n");
    skip();
  }
  double value, refused = 0;
  char text[40];
  const bool point = number_parse(qe_string("1234.5e-400"), &value),
             comma = number_parse(qe_string("1,5"), &refused);
  const bool quick = number_parse(qe_string("-0.25"), &refused);
  number_print(text, sizeof text, -1234.5678, 8);
  setlocale(LC_ALL, "C");
  assert_true(point && quick && !comma && value == 0 && refused == -.25);
  assert_string_equal(text, "-1234.5678");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_values),
    cmocka_unit_test(test_names),
    cmocka_unit_test(test_tiny),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_long),
    cmocka_unit_test(test_halfway),
    cmocka_unit_test(test_against_expression),
    cmocka_unit_test(test_random_digits),
    cmocka_unit_test(test_print),
    cmocka_unit_test(test_print_room),
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_locale),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
