/*
** test_states.c - stores of hidden states: every half-precision number, the choice of tokens and cells against a naive
** one, the size per kept cell, bytes that come back the same and bytes that are refused.
*/
#include "core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { WIDTH = 7, TOKENS = 12 };

static const uint32_t offsets[] = { 0, 5, 5, 6, 12 };
static const qe_segments texts = { offsets, 4 };

static float half_naive(unsigned half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double size = exponent ? (1 + fraction / 1024.0) * pow(2, exponent - 15) : fraction / 1024.0 * pow(2, -14);
  return (float)(half & 0x8000 ? -size : size);
}

/* What a value becomes: the nearest of all halves, even on ties. */
static float rounded(qe_tape *tape, float value) {
  qe_states *states = qe_states_new(1);
  qe_tensor mask;
  const uint32_t one[] = { 0, 1 }, row[] = { 0 };
  const qe_segments segment = { one, 1 };
  assert_int_equal(
      qe_states_add(states, qe_constant(tape, 1, 1, &value), QE_NONE, segment, &(qe_states_options){ .share = 1 }),
      QE_OK);
  const float result = qe_values(qe_states_target(tape, states, row, segment, &mask))[0];
  qe_states_free(states);
  qe_tape_reset(tape);
  return result;
}

static void halves(void **state) {
  (void)state;
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (unsigned half = 0; half < 0x7c00; half++) {
    const float value = half_naive(half), next = half_naive(half + 1);
    assert_true(rounded(tape, value) == value && rounded(tape, -value) == -value);
    if (half == 0x7bff)
      continue;
    const float middle = (value + next) / 2; /* exact in single precision */
    assert_true(rounded(tape, middle) == (half % 2 == 0 ? value : next));
    assert_true(rounded(tape, nextafterf(middle, 0)) == value && rounded(tape, nextafterf(middle, 1e6f)) == next);
  }
  assert_true(rounded(tape, 1e30f) == 65504 && rounded(tape, -65520) == -65504);
  qe_tape_free(tape);
}

/* ---- choice ---- */

/* Whether fewer than `keep` of the others come before i: a larger key, or the same one and earlier. */
static bool among_first(const double *key, size_t count, size_t i, size_t keep) {
  size_t before = 0;
  for (size_t j = 0; j < count; j++)
    before += key[j] > key[i] || (key[j] == key[i] && j < i);
  return before < keep;
}

/* Cells of tokens that are not kept get a negative key. */
static size_t naive_mask(const float *x, const float *importance, size_t tokens, size_t keep_tokens, double share,
                         bool *mask) {
  double token_key[TOKENS], key[TOKENS * WIDTH];
  size_t kept = 0;
  for (size_t t = 0; t < tokens; t++)
    token_key[t] = importance ? importance[t] : -(double)t;
  for (size_t t = 0; t < tokens; t++) {
    const bool keeps = keep_tokens == 0 || among_first(token_key, tokens, t, keep_tokens);
    kept += keeps;
    for (size_t j = 0; j < WIDTH; j++)
      key[t * WIDTH + j] = keeps ? fabs(x[t * WIDTH + j]) : -1;
  }
  const size_t keep = (size_t)ceil(share * (double)(kept * WIDTH) - 1e-9);
  for (size_t i = 0; i < tokens * WIDTH; i++)
    mask[i] = among_first(key, tokens * WIDTH, i, keep);
  return keep;
}

static void fill(qe_rng *rng, float *x, size_t count) {
  for (size_t i = 0; i < count; i++)
    x[i] = (float)(qe_rng_below(rng, 9) - 4.0) / 4; /* many ties, exact as halves */
}

static void choice(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 3, "states");
  qe_tape *tape = qe_tape_new(NULL, 1);
  for (int round = 0; round < 300; round++) {
    float x[TOKENS * WIDTH], importance[TOKENS];
    fill(&rng, x, TOKENS * WIDTH);
    fill(&rng, importance, TOKENS);
    const bool weighed = qe_rng_below(&rng, 2);
    const qe_states_options options = { .tokens = qe_rng_below(&rng, 5), .share = qe_rng_below(&rng, 11) / 10.0 };
    qe_states *states = qe_states_new(WIDTH);
    assert_int_equal(qe_states_add(states, qe_constant(tape, TOKENS, WIDTH, x),
                                   weighed ? qe_constant(tape, TOKENS, 1, importance) : QE_NONE, texts, &options),
                     QE_OK);
    qe_tensor mask;
    const uint32_t rows[] = { 0, 1, 2, 3 };
    qe_tensor values = qe_states_target(tape, states, rows, texts, &mask);
    for (uint32_t i = 0; i < texts.count; i++) {
      bool expected[TOKENS * WIDTH];
      const size_t first = offsets[i], tokens = offsets[i + 1] - first;
      naive_mask(x + first * WIDTH, weighed ? importance + first : NULL, tokens, options.tokens, options.share,
                 expected);
      for (size_t j = 0; j < tokens * WIDTH; j++) {
        assert_true(qe_values(mask)[first * WIDTH + j] == expected[j]);
        assert_true(qe_values(values)[first * WIDTH + j] == (expected[j] ? x[first * WIDTH + j] : 0));
      }
    }
    qe_states_free(states);
    qe_tape_reset(tape);
  }
  qe_tape_free(tape);
}

/* ---- bytes ---- */

static qe_states *store_of(qe_tape *tape, qe_rng *rng, size_t tokens, size_t width, double share, qe_rng *random) {
  const uint32_t ends[] = { 0, (uint32_t)tokens };
  qe_states *states = qe_states_new(width);
  float *values = malloc(tokens * width * sizeof *values);
  assert_non_null(values);
  for (size_t i = 0; i < tokens * width; i++)
    values[i] = (float)qe_rng_normal(rng);
  qe_tensor x = qe_constant(tape, tokens, width, values);
  free(values);
  assert_int_equal(qe_states_add(states, x, QE_NONE, (qe_segments){ ends, 1 },
                                 &(qe_states_options){ .share = share, .rng = random }),
                   QE_OK);
  return states;
}

static void sizes(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 4, "states");
  qe_tape *tape = qe_tape_new(NULL, 1);
  static const double shares[] = { 0.01, 0.03, 0.1, 0.3 };
  for (size_t i = 0; i < 4; i++) {
    qe_states *states = store_of(tape, &rng, 25, 200, shares[i], NULL);
    const double expected = 25 * 200 * shares[i] * 4 + 24;
    assert_true(fabs((double)qe_states_bytes(states).size - expected) <= 0.05 * expected);
    qe_states_free(states);
  }
  qe_states *all = store_of(tape, &rng, 25, 200, 1, NULL);
  assert_int_equal(qe_states_bytes(all).size, 16 + 8 + 25 * 200 * 2);
  qe_states_free(all);
  qe_tape_free(tape);
}

/* Gaps of more than 65535 cells, and back from bytes. */
static void far_apart(void **state) {
  (void)state;
  qe_rng rng, random;
  qe_rng_seed(&rng, 5, "states");
  qe_rng_seed(&random, 6, "states");
  qe_tape *tape = qe_tape_new(NULL, 1);
  const uint32_t ends[] = { 0, 300 }, row[] = { 0 };
  qe_states *states = store_of(tape, &rng, 300, 1000, 0.00002, &random), *copy = qe_states_new(5);
  assert_int_equal(qe_states_read(copy, qe_states_bytes(states)), QE_OK);
  assert_int_equal(qe_states_width(copy), 1000);
  assert_int_equal(qe_states_count(copy), 1);
  qe_tensor mask[2], values[2] = { qe_states_target(tape, states, row, (qe_segments){ ends, 1 }, &mask[0]),
                                   qe_states_target(tape, copy, row, (qe_segments){ ends, 1 }, &mask[1]) };
  size_t known = 0;
  for (size_t i = 0; i < 300000; i++) {
    assert_true(qe_values(values[0])[i] == qe_values(values[1])[i]);
    known += qe_values(mask[1])[i] == 1;
  }
  assert_int_equal(known, 6);
  qe_states_free(states);
  qe_states_free(copy);
  qe_tape_free(tape);
}

static void refused(qe_states *states, const char *bytes, size_t size, const char *message) {
  assert_int_equal(qe_states_read(states, (qe_text){ bytes, size }), QE_FORMAT);
  assert_string_equal(qe_states_error(states), message);
  assert_int_equal(qe_states_count(states), 0);
  assert_int_equal(qe_states_bytes(states).size, 16);
}

static void refusals(void **state) {
  (void)state;
  qe_rng rng;
  qe_rng_seed(&rng, 7, "states");
  qe_tape *tape = qe_tape_new(NULL, 1);
  qe_states *states = store_of(tape, &rng, 3, 4, 0.5, NULL), *other = qe_states_new(4);
  char bytes[64];
  const size_t size = qe_states_bytes(states).size;
  assert_int_equal(size, 16 + 8 + 6 * 4);
  memcpy(bytes, qe_states_bytes(states).data, size);
  refused(other, "QESTATUS", 8, "states: this is no store of states");
  refused(other, bytes, size - 1, "states: text 1 is damaged");
  memset(bytes + size, 0, 4);
  refused(other, bytes, size + 4, "states: 4 bytes after the last text");
  bytes[25] = 120; /* the first gap leads far beyond the text */
  refused(other, bytes, size, "states: text 1 is damaged");
  memcpy(bytes, qe_states_bytes(states).data, size);
  bytes[27] = 0x7c; /* infinity */
  bytes[26] = 0;
  refused(other, bytes, size, "states: text 1 is damaged");
  qe_tensor mask;
  const uint32_t rows[] = { 0 }, four[] = { 0, 4 }, three[] = { 0, 3 };
  assert_null(qe_states_target(tape, states, rows, (qe_segments){ four, 1 }, &mask).tape);
  assert_string_equal(qe_tape_error(tape),
                      "states: text 1 of 1 in the store does not have the 4 tokens of the batch");
  qe_tape_reset(tape);
  assert_null(qe_states_new(0));
  const qe_states_options half = { .share = 0.5 }, twice = { .share = 2 };
  assert_int_equal(qe_states_add(states, qe_constant(tape, 3, 5, NULL), QE_NONE, (qe_segments){ three, 1 }, &half),
                   QE_USE);
  assert_string_equal(qe_states_error(states), "states: 5 columns, expected 4");
  assert_int_equal(qe_states_add(states, qe_constant(tape, 3, 4, NULL), QE_NONE, (qe_segments){ three, 1 }, &twice),
                   QE_USE);
  assert_string_equal(qe_states_error(states), "states: a share of 2, expected 0 to 1");
  qe_states_free(states);
  qe_states_free(other);
  qe_tape_free(tape);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(halves), cmocka_unit_test(choice), cmocka_unit_test(sizes),
                                      cmocka_unit_test(far_apart), cmocka_unit_test(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
