/*
** test_hash.c - qe_sha256 against the published test vectors and a second implementation, written from the standard.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_published_vectors(void **state) {
  (void)state;
  char hex[65];
  qe_sha256("", 0, hex);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  qe_sha256("abc", 3, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  qe_sha256(two, strlen(two), hex);
  assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_million_times_a(void **state) {
  (void)state;
  enum { MILLION = 1000000 };
  char hex[65], *bytes = malloc(MILLION);
  memset(bytes, 'a', MILLION);
  qe_sha256(bytes, MILLION, hex);
  free(bytes);
  assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The constants are the first 32 bits of the fractions of cube and square roots of the first primes: found by search
** in whole numbers here. */
static uint32_t root_fraction(unsigned prime, int power) {
  unsigned __int128 low = 0, high = (unsigned __int128)1 << 37;
  while (high - low > 1) { /* largest r with r^power <= prime * 2^(32 power) */
    unsigned __int128 middle = (low + high) / 2;
    unsigned __int128 raised = power == 2 ? middle * middle : middle * middle * middle;
    *(raised <= (unsigned __int128)prime << (32 * power) ? &low : &high) = middle;
  }
  return (uint32_t)low;
}

struct twin {
  uint32_t k[64], start[8];
};

static void twin_constants(struct twin *twin) {
  int count = 0;
  for (unsigned n = 2; count < 64; n++) {
    bool prime = true;
    for (unsigned d = 2; d < n; d++)
      prime = prime && n % d != 0;
    if (!prime)
      continue;
    twin->k[count] = root_fraction(n, 3);
    if (count < 8)
      twin->start[count] = root_fraction(n, 2);
    count++;
  }
}

static uint32_t turn(uint32_t x, int by) {
  return x >> by | x << (32 - by);
}

static void twin_block(const struct twin *twin, uint32_t h[8], const unsigned char *block) {
  uint32_t w[64], v[8];
  memcpy(v, h, sizeof v);
  for (int t = 0; t < 64; t++) {
    if (t < 16)
      w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
             block[4 * t + 3];
    else
      w[t] = w[t - 16] + (turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 7] +
             (turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10);
    uint32_t one = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) +
                   twin->k[t] + w[t];
    uint32_t two =
        (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += one;
    v[0] = one + two;
  }
  for (int i = 0; i < 8; i++)
    h[i] += v[i];
}

static void twin_hash(const struct twin *twin, const unsigned char *bytes, size_t size, char hex[65]) {
  unsigned char padded[512] = { 0 };
  uint32_t h[8];
  size_t total = (size + 8) / 64 * 64 + 64;
  memcpy(h, twin->start, sizeof h);
  memcpy(padded, bytes, size);
  padded[size] = 0x80;
  for (size_t i = 0; i < 8; i++)
    padded[total - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
  for (size_t i = 0; i < total; i += 64)
    twin_block(twin, h, padded + i);
  for (int i = 0; i < 8; i++)
    snprintf(hex + 8 * i, 9, "%08x", h[i]);
}

static void test_against_a_second_implementation(void **state) {
  (void)state;
  struct twin twin;
  unsigned char bytes[300];
  char hex[65], expected[65];
  qe_rng rng;
  twin_constants(&twin);
  assert_int_equal(twin.k[0], 0x428a2f98);
  qe_rng_seed(&rng, 1, "hash");
  for (size_t size = 0; size < sizeof bytes; size++) { /* all remainders of the block of 64 */
    for (size_t i = 0; i < size; i++)
      bytes[i] = (unsigned char)qe_rng_next(&rng);
    qe_sha256(bytes, size, hex);
    twin_hash(&twin, bytes, size, expected);
    assert_string_equal(hex, expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_published_vectors),
    cmocka_unit_test(test_million_times_a),
    cmocka_unit_test(test_against_a_second_implementation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
