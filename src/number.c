/*
** number.c - text <-> number, the same in every locale. Parsing reads a number as a run of decimal digits times a
** power of ten; what goes on to strtod has no decimal point, the one part of a number that depends on the locale.
** Printing puts a point where the locale has put its own. No thousands separators, no hexadecimal, no white space.
*/
#include "core.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* No double, nor the middle between two of them, has more significant digits than this. */
enum { SIGNIFICANT_DIGITS = 768, MOST_EXPONENT = 100000 };

/* The value is digits times ten to the exponent. Digits beyond the most that can matter are not kept; if one of
** them is not zero, a last digit 1 stands for them, which rounds the same way. */
struct decimal {
  char digits[SIGNIFICANT_DIGITS + 1];
  size_t count; /* 0: zero */
  int64_t exponent;
  bool inexact;
};

struct cursor {
  const char *next, *end;
};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool take(struct cursor *cursor, char wanted) {
  bool found = cursor->next < cursor->end && *cursor->next == wanted;
  cursor->next += found;
  return found;
}

static bool take_letter(struct cursor *cursor, char lower) {
  return take(cursor, lower) || take(cursor, (char)(lower - 'a' + 'A'));
}

/* True for minus. */
static bool take_sign(struct cursor *cursor) {
  return take(cursor, '-') || (take(cursor, '+'), false);
}

static void decimal_add(struct decimal *decimal, char digit) {
  if (decimal->count == SIGNIFICANT_DIGITS) {
    decimal->inexact = decimal->inexact || digit != '0';
    decimal->exponent++;
  } else if (decimal->count > 0 || digit != '0') {
    decimal->digits[decimal->count++] = digit;
  }
}

/* Returns how many digits there were. */
static size_t decimal_digits(struct decimal *decimal, struct cursor *cursor) {
  const char *start = cursor->next;
  for (; cursor->next < cursor->end && is_digit(*cursor->next); cursor->next++)
    decimal_add(decimal, *cursor->next);
  return (size_t)(cursor->next - start);
}

/* The digits after 'e'; what is too big for any double stays too big, whatever the digits before. */
static bool decimal_exponent(struct decimal *decimal, struct cursor *cursor) {
  const int64_t most = INT64_MAX / 4;
  int64_t exponent = 0;
  bool negative = take_sign(cursor);
  const char *start = cursor->next;
  for (; cursor->next < cursor->end && is_digit(*cursor->next); cursor->next++)
    exponent = exponent < most / 10 - 1 ? 10 * exponent + (*cursor->next - '0') : most;
  decimal->exponent += negative ? -exponent : exponent;
  return cursor->next > start;
}

/* Takes digits with at most one point among or around them, and an exponent. */
static bool decimal_read(struct decimal *decimal, struct cursor *cursor) {
  size_t whole = decimal_digits(decimal, cursor), part = 0;
  if (take(cursor, '.')) {
    part = decimal_digits(decimal, cursor);
    decimal->exponent -= (int64_t)part;
  }
  if (whole + part == 0)
    return false;
  return !take_letter(cursor, 'e') || decimal_exponent(decimal, cursor);
}

/* Exact where digits and power of ten both are doubles: then there is a single rounding. */
static bool decimal_quick(const struct decimal *decimal, double *value) {
  static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
  enum { MOST_POWER = sizeof powers / sizeof *powers - 1, MOST_DIGITS = DBL_DIG };
  const int64_t exponent = decimal->exponent;
  if (FLT_EVAL_METHOD != 0 || decimal->count > MOST_DIGITS || exponent > MOST_POWER || exponent < -MOST_POWER)
    return false;
  uint64_t digits = 0;
  for (size_t i = 0; i < decimal->count; i++)
    digits = 10 * digits + (uint64_t)(decimal->digits[i] - '0');
  *value = exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
  return true;
}

static double decimal_value(struct decimal *decimal) {
  char text[SIGNIFICANT_DIGITS + 24];
  double value;
  if (decimal->count == 0)
    return 0;
  if (decimal_quick(decimal, &value))
    return value;
  if (decimal->inexact) {
    decimal->digits[decimal->count++] = '1';
    decimal->exponent--;
  }
  int64_t exponent = decimal->exponent < -MOST_EXPONENT  ? -MOST_EXPONENT
                     : decimal->exponent > MOST_EXPONENT ? MOST_EXPONENT
                                                         : decimal->exponent;
  memcpy(text, decimal->digits, decimal->count);
  snprintf(text + decimal->count, sizeof text - decimal->count, "e%d", (int)exponent);
  return strtod(text, NULL);
}

static bool take_name(struct cursor *cursor, const char *name) {
  struct cursor ahead = *cursor;
  for (; *name; name++)
    if (!take_letter(&ahead, *name))
      return false;
  *cursor = ahead;
  return true;
}

bool number_parse(qe_text text, double *value) {
  struct cursor cursor = { text.data, text.data ? text.data + text.size : NULL };
  struct decimal decimal;
  double found;
  decimal.count = 0;
  decimal.exponent = 0;
  decimal.inexact = false;
  bool negative = take_sign(&cursor);
  if (take_name(&cursor, "nan"))
    found = NAN;
  else if (take_name(&cursor, "infinity") || take_name(&cursor, "inf"))
    found = INFINITY;
  else if (decimal_read(&decimal, &cursor))
    found = decimal_value(&decimal);
  else
    return false;
  if (cursor.next != cursor.end)
    return false;
  *value = negative ? -found : found;
  return true;
}

static bool is_of_number(char c) {
  return is_digit(c) || c == '-' || c == '+' || (c >= 'a' && c <= 'z');
}

/* Whatever is no part of a number is the locale's decimal point, which may be of several bytes. */
static void restore_point(char *text) {
  char *to = text;
  for (const char *from = text; *from; from++) {
    if (is_of_number(*from))
      *to++ = *from;
    else if (to == text || to[-1] != '.')
      *to++ = '.';
  }
  *to = '\0';
}

/* Returns the length of the whole number, as snprintf does. The sign of a NaN depends on the machine that made it
** and is not printed. */
int number_print(char *out, size_t room, double value, int digits) {
  char text[SIGNIFICANT_DIGITS + 64];
  if (isnan(value))
    return snprintf(out, room, "nan");
  snprintf(text, sizeof text, "%.*g", digits > SIGNIFICANT_DIGITS ? SIGNIFICANT_DIGITS : digits, value);
  restore_point(text);
  return snprintf(out, room, "%s", text);
}
