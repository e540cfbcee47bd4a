/*
** random.c - streams of random numbers: xoshiro256++ by Blackman and Vigna, four words of state that are never all
** zero (splitmix64, which fills them, gives zero at most once in a row of four). A name picks the stream: it is
** mixed into the seed, so that streams of one seed have nothing in common. Not for secrets.
*/
#include "core.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static uint64_t rotate_left(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

/* The seed is scrambled before the name's hash comes in: otherwise seeds and names that differ in the same bits
** would give the same stream. */
void qe_rng_seed(qe_rng *rng, uint64_t seed, const char *name) {
  uint64_t state = splitmix64(&seed) ^ fnv1a(FNV1A_START, name ? name : "", name ? strlen(name) : 0);
  for (int i = 0; i < 4; i++)
    rng->s[i] = splitmix64(&state);
}

uint64_t qe_rng_next(qe_rng *rng) {
  uint64_t *s = rng->s, result = rotate_left(s[0] + s[3], 23) + s[0], shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate_left(s[3], 45);
  return result;
}

double qe_rng_uniform(qe_rng *rng) {
  return (double)(qe_rng_next(rng) >> 11) * 0x1p-53;
}

/* Box and Muller, without the second value: a copy of the struct is then all there is to save. */
double qe_rng_normal(qe_rng *rng) {
  const double two_pi = 6.283185307179586;
  double radius = sqrt(-2 * log(1 - qe_rng_uniform(rng)));
  return radius * cos(two_pi * qe_rng_uniform(rng));
}

/* The upper half of a draw times n, by Lemire; draws whose lower half is among the surplus 2^64 mod n are repeated.
** */
uint64_t qe_rng_below(qe_rng *rng, uint64_t n) {
  if (n == 0)
    return 0;
  unsigned __int128 product = (unsigned __int128)qe_rng_next(rng) * n;
  if ((uint64_t)product < n) {
    const uint64_t surplus = (0 - n) % n;
    while ((uint64_t)product < surplus)
      product = (unsigned __int128)qe_rng_next(rng) * n;
  }
  return (uint64_t)(product >> 64);
}

void qe_rng_shuffle(qe_rng *rng, uint32_t *items, size_t n) {
  for (size_t left = n; left > 1; left--) {
    size_t other = qe_rng_below(rng, left);
    uint32_t moved = items[left - 1];
    items[left - 1] = items[other];
    items[other] = moved;
  }
}
