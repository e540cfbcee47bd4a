/*
** test_random.c - the generator against the published numbers of xoshiro256++ and splitmix64 and against a twin
** that does its arithmetic bit by bit; draws below a bound, shuffles and normals against their definitions.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>

/* ---- twin: numbers as arrays of bits, lowest first ---- */

struct bits {
  unsigned char bit[64];
};

static struct bits bits_of(uint64_t x) {
  struct bits bits;
  for (int i = 0; i < 64; i++)
    bits.bit[i] = (unsigned char)(x / (UINT64_C(1) << i) % 2);
  return bits;
}

static uint64_t number_of(struct bits bits) {
  uint64_t x = 0;
  for (int i = 63; i >= 0; i--)
    x = 2 * x + bits.bit[i];
  return x;
}

static struct bits add(struct bits a, struct bits b) {
  unsigned carry = 0;
  for (int i = 0; i < 64; i++) {
    unsigned sum = a.bit[i] + b.bit[i] + carry;
    a.bit[i] = sum % 2;
    carry = sum / 2;
  }
  return a;
}

static struct bits different(struct bits a, struct bits b) {
  for (int i = 0; i < 64; i++)
    a.bit[i] = a.bit[i] != b.bit[i];
  return a;
}

/* Positive: towards the high end; what leaves is lost. */
static struct bits shift(struct bits a, int by) {
  struct bits result = { { 0 } };
  for (int i = 0; i < 64; i++)
    if (i - by >= 0 && i - by < 64)
      result.bit[i] = a.bit[i - by];
  return result;
}

static struct bits rotate(struct bits a, int by) {
  struct bits result;
  for (int i = 0; i < 64; i++)
    result.bit[(i + by) % 64] = a.bit[i];
  return result;
}

static struct bits multiply(struct bits a, struct bits b) {
  struct bits sum = { { 0 } };
  for (int i = 0; i < 64; i++)
    if (b.bit[i])
      sum = add(sum, shift(a, i));
  return sum;
}

static uint64_t twin_splitmix64(struct bits *state) {
  *state = add(*state, bits_of(0x9e3779b97f4a7c15));
  struct bits z = multiply(different(*state, shift(*state, -30)), bits_of(0xbf58476d1ce4e5b9));
  z = multiply(different(z, shift(z, -27)), bits_of(0x94d049bb133111eb));
  return number_of(different(z, shift(z, -31)));
}

static uint64_t twin_next(struct bits s[4]) {
  uint64_t result = number_of(add(rotate(add(s[0], s[3]), 23), s[0]));
  struct bits s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3];
  s[0] = different(different(s0, s3), s1);
  s[1] = different(different(s1, s2), s0);
  s[2] = different(different(s2, s0), shift(s1, 17));
  s[3] = rotate(different(s3, s1), 45);
  return result;
}

static uint64_t twin_fnv1a(const char *text) {
  struct bits hash = bits_of(UINT64_C(14695981039346656037));
  for (; *text; text++)
    hash = multiply(different(hash, bits_of((unsigned char)*text)), bits_of(UINT64_C(1099511628211)));
  return number_of(hash);
}

/* ---- the generator ---- */

static void test_published(void **state) {
  (void)state;
  static const uint64_t splitmix[] = { UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                       UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
                                       UINT64_C(16408922859458223821) };
  static const uint64_t xoshiro[] = { UINT64_C(41943041),
                                      UINT64_C(58720359),
                                      UINT64_C(3588806011781223),
                                      UINT64_C(3591011842654386),
                                      UINT64_C(9228616714210784205),
                                      UINT64_C(9973669472204895162),
                                      UINT64_C(14011001112246962877),
                                      UINT64_C(12406186145184390807),
                                      UINT64_C(15849039046786891736),
                                      UINT64_C(10450023813501588000) };
  struct bits seed = bits_of(1234567);
  for (size_t i = 0; i < sizeof splitmix / sizeof *splitmix; i++)
    assert_true(twin_splitmix64(&seed) == splitmix[i]);
  qe_rng rng = { { 1, 2, 3, 4 } };
  for (size_t i = 0; i < sizeof xoshiro / sizeof *xoshiro; i++)
    assert_true(qe_rng_next(&rng) == xoshiro[i]);
}

static void test_fnv1a(void **state) {
  (void)state;
  assert_true(fnv1a(FNV1A_START, "", 0) == UINT64_C(0xcbf29ce484222325));
  assert_true(fnv1a(FNV1A_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
  assert_true(fnv1a(FNV1A_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
  assert_true(fnv1a(fnv1a(FNV1A_START, "foo", 3), "bar", 3) == twin_fnv1a("foobar"));
}

static void test_twin(void **state) {
  (void)state;
  static const char *const names[] = { "", "a", "dropout", "\xc3\xb5", "bootstrap" };
  static const uint64_t seeds[] = { 0, 1, 42, UINT64_MAX, UINT64_C(0x8000000000000000) };
  for (size_t i = 0; i < 25; i++) {
    qe_rng rng;
    struct bits s[4], seed = bits_of(seeds[i / 5]), mixed;
    mixed = different(bits_of(twin_splitmix64(&seed)), bits_of(twin_fnv1a(names[i % 5])));
    for (int j = 0; j < 4; j++)
      s[j] = bits_of(twin_splitmix64(&mixed));
    qe_rng_seed(&rng, seeds[i / 5], names[i % 5]);
    for (int j = 0; j < 20; j++)
      assert_true(qe_rng_next(&rng) == twin_next(s));
  }
}

/* Other seeds and other names: other streams. A copy: the same. */
static void test_streams(void **state) {
  (void)state;
  uint64_t first[40];
  for (int i = 0; i < 40; i++) {
    qe_rng rng, copy;
    char name[8];
    snprintf(name, sizeof name, "%d", i % 8);
    qe_rng_seed(&rng, (uint64_t)i / 8, name);
    copy = rng;
    first[i] = qe_rng_next(&rng);
    assert_true(qe_rng_next(&copy) == first[i]);
    for (int j = 0; j < i; j++)
      assert_true(first[i] != first[j]);
  }
  qe_rng none, empty;
  qe_rng_seed(&none, 5, NULL);
  qe_rng_seed(&empty, 5, "");
  assert_memory_equal(&none, &empty, sizeof none);
}

/* ---- distributions ---- */

static void test_uniform(void **state) {
  (void)state;
  qe_rng rng, twin;
  double sum = 0, least = 1, most = 0;
  qe_rng_seed(&rng, 1, "uniform");
  twin = rng;
  for (int i = 0; i < 20000; i++) {
    double x = qe_rng_uniform(&rng);
    assert_true(x >= 0 && x < 1);
    assert_true(x == ldexp(floor((double)(qe_rng_next(&twin) / 2048)), -53));
    sum += x;
    least = x < least ? x : least;
    most = x > most ? x : most;
  }
  assert_true(fabs(sum / 20000 - .5) < .01 && least < .001 && most > .999);
  qe_rng top = { { 0, 0, 0, 0 } }; /* the greatest draw of all: s0 = 0 and s3 = -1 give rotated ones */
  top.s[3] = UINT64_MAX;
  assert_true(qe_rng_uniform(&top) == 1 - 0x1p-53);
}

static void test_normal(void **state) {
  (void)state;
  enum { COUNT = 40000 };
  qe_rng rng, twin;
  double moment[5] = { 0 }, beyond = 0;
  qe_rng_seed(&rng, 1, "normal");
  twin = rng;
  for (int i = 0; i < COUNT; i++) {
    double x = qe_rng_normal(&rng), u = 1 - qe_rng_uniform(&twin), angle = 2 * acos(-1) * qe_rng_uniform(&twin);
    assert_true(fabs(x - sqrt(2 * log(1 / u)) * cos(angle)) < 1e-9);
    assert_memory_equal(&rng, &twin, sizeof rng); /* two draws */
    for (int power = 1; power < 5; power++)
      moment[power] += pow(x, power) / COUNT;
    beyond += fabs(x) > 1.959964;
  }
  assert_true(fabs(moment[1]) < .02 && fabs(moment[2] - 1) < .03 && fabs(moment[3]) < .06);
  assert_true(fabs(moment[4] - 3) < .2 && fabs(beyond / COUNT - .05) < .004);
  qe_rng top = { { 0, 0, 0, UINT64_MAX } };
  assert_true(isfinite(qe_rng_normal(&top)));
}

/* The high and low half of a times b, from four products of halves. */
static void multiply_long(uint64_t a, uint64_t b, uint64_t *high, uint64_t *low) {
  const uint64_t mask = UINT32_MAX, a0 = a & mask, a1 = a >> 32, b0 = b & mask, b1 = b >> 32;
  const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & mask);
  *high = a1 * b1 + (middle >> 32) + (other >> 32);
  *low = a * b;
}

/* Of the 2^64 draws, 2^64 mod n are surplus; the others belong to their shares of n equal parts. */
static void test_below(void **state) {
  (void)state;
  static const uint64_t bounds[] = {
    1, 2, 3, 10, 1000, UINT64_C(1) << 32, UINT64_C(6148914691236517206), UINT64_C(0x8000000000000001), UINT64_MAX
  };
  qe_rng rng, twin;
  size_t repeated = 0;
  qe_rng_seed(&rng, 1, "below");
  twin = rng;
  for (int i = 0; i < 9000; i++) {
    const uint64_t n = bounds[i % 9], surplus = (UINT64_MAX % n + 1) % n;
    uint64_t high, low;
    multiply_long(qe_rng_next(&twin), n, &high, &low);
    while (low < surplus) {
      multiply_long(qe_rng_next(&twin), n, &high, &low);
      repeated++;
    }
    assert_true(qe_rng_below(&rng, n) == high && high < n);
    assert_memory_equal(&rng, &twin, sizeof rng);
  }
  assert_true(repeated > 500);
  twin = rng;
  assert_true(qe_rng_below(&rng, 0) == 0);
}

static void test_below_even(void **state) {
  (void)state;
  qe_rng rng;
  double square = 0;
  int count[7] = { 0 };
  qe_rng_seed(&rng, 2, "below");
  for (int i = 0; i < 70000; i++)
    count[qe_rng_below(&rng, 7)]++;
  for (int i = 0; i < 7; i++)
    square += (count[i] - 1e4) * (count[i] - 1e4) / 1e4;
  assert_true(square < 22.5); /* chi square, 6 degrees: one in a thousand is beyond */
}

/* All 24 orders of four, about equally often. */
static void test_shuffle(void **state) {
  (void)state;
  qe_rng rng;
  double square = 0;
  int count[256] = { 0 }, orders = 0;
  qe_rng_seed(&rng, 1, "shuffle");
  for (int i = 0; i < 24000; i++) {
    uint32_t items[4] = { 0, 1, 2, 3 };
    qe_rng_shuffle(&rng, items, 4);
    assert_int_equal((1 << items[0]) + (1 << items[1]) + (1 << items[2]) + (1 << items[3]), 15);
    count[items[0] + 4 * items[1] + 16 * items[2] + 64 * items[3]]++;
  }
  for (int i = 0; i < 256; i++) {
    orders += count[i] > 0;
    square += count[i] > 0 ? (count[i] - 1e3) * (count[i] - 1e3) / 1e3 : 0;
  }
  assert_int_equal(orders, 24);
  assert_true(square < 49.8); /* 23 degrees */
  const qe_rng before = rng;
  uint32_t one = 9;
  qe_rng_shuffle(&rng, NULL, 0);
  qe_rng_shuffle(&rng, &one, 1);
  assert_int_equal(one, 9);
  assert_memory_equal(&rng, &before, sizeof rng);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_published), cmocka_unit_test(test_fnv1a),      cmocka_unit_test(test_twin),
    cmocka_unit_test(test_streams),   cmocka_unit_test(test_uniform),    cmocka_unit_test(test_normal),
    cmocka_unit_test(test_below),     cmocka_unit_test(test_below_even), cmocka_unit_test(test_shuffle),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
