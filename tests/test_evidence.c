/*
** test_evidence.c - counts in their coarse form: a table of keys against a list; what a pair reads against counts made by
** hand, with and without its own share; leaving one out gives what counting without it gives; the member, whole, cut and
** altered; words that disagree with pieces.
*/
#include "evidence.h"
#include "lexicon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- sketches ---- */

static void test_sketch(void **state) {
  enum { KEYS = 20000 };
  struct sketch_entry *entries = calloc(KEYS, sizeof *entries), *sorted = calloc(KEYS, sizeof *entries);
  struct sketch sketch, again;
  qe_rng rng;
  size_t strangers = 0;
  struct error error = { 0 };
  (void)state;
  qe_rng_seed(&rng, 1, "sketch");
  for (size_t i = 0; i < KEYS; i++)
    entries[i] = sorted[i] =
        (struct sketch_entry){ qe_rng_next(&rng), (unsigned char)(1 + qe_rng_below(&rng, 255)) };
  assert_int_equal(sketch_build(&sketch, sorted, KEYS), QE_OK);
  for (size_t i = 0; i < KEYS; i++) /* keys that look the same have the larger value */
    assert_true(sketch_find(&sketch, entries[i].key) >= entries[i].value);
  for (size_t i = 0; i < KEYS; i++)
    strangers += sketch_find(&sketch, qe_rng_next(&rng)) != 0;
  assert_true(strangers < KEYS / 2000);
  unsigned char *bytes = calloc(sketch_size(&sketch), 1), *other = calloc(sketch_size(&sketch), 1);
  sketch_write(&sketch, bytes);
  qe_text text = { (const char *)bytes, sketch_size(&sketch) };
  assert_int_equal(sketch_parse(&again, &text, &error), QE_OK);
  assert_int_equal(text.size, 0);
  sketch_write(&again, other);
  assert_memory_equal(bytes, other, sketch_size(&sketch));
  for (size_t size = 0; size < 600; size += 7) {
    struct sketch cut;
    struct error refused = { 0 };
    text = (qe_text){ (const char *)bytes, size };
    assert_int_equal(sketch_parse(&cut, &text, &refused), QE_FORMAT);
    assert_non_null(strstr(refused.text, "counts"));
    sketch_free(&cut);
  }
  sketch_free(&sketch);
  sketch_free(&again);
  assert_int_equal(sketch_build(&sketch, NULL, 0), QE_OK);
  assert_int_equal(sketch_find(&sketch, 77), 0);
  sketch_free(&sketch);
  free(entries);
  free(sorted);
  free(bytes);
  free(other);
}

static void test_levels(void **state) {
  (void)state;
  for (unsigned count = 0; count <= 7; count++)
    assert_int_equal(level_of_count(count), count);
  assert_int_equal(level_of_count(8), 8);
  assert_int_equal(level_of_count(15), 8);
  assert_int_equal(level_of_count(16), 9);
  assert_int_equal(level_of_count(1e9), 15);
  assert_int_equal(level_of_count(-1), 0);
  assert_int_equal(level_of_probability(1.0f), 15);
  assert_int_equal(level_of_probability(.9f), 15);
  assert_int_equal(level_of_probability((float)pow(2, -.375 * 4)), 11);
  assert_int_equal(level_of_probability(.01f), 0);
  assert_int_equal(level_of_probability(0.0f), 0);
  assert_int_equal(level_of_rate(0), 8);
  assert_int_equal(level_of_rate(-9), 1);
  assert_int_equal(level_of_rate(9), 15);
  assert_int_equal(level_of_rate(.4), 10);
}

/* ---- counts ---- */

enum { PAIRS = 60, WORDS = 8 };

static void make_texts(char texts[PAIRS][2][128], double gold[PAIRS]) {
  static const char *const names[2][WORDS] = { { "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho" },
                                               { "ein", "Zwei", "drei", "vierzig", "fuenf", "sechzehn", "sieben",
                                                 "acht" } };
  qe_rng rng;
  qe_rng_seed(&rng, 5, "texts");
  for (size_t i = 0; i < PAIRS; i++) {
    const size_t count = i == 9 ? 0 : 1 + qe_rng_below(&rng, 6);
    texts[i][0][0] = texts[i][1][0] = '\0';
    for (size_t j = 0; j < count; j++) {
      const size_t word = qe_rng_below(&rng, WORDS);
      sprintf(texts[i][0] + strlen(texts[i][0]), "%s ", names[0][word]);
      sprintf(texts[i][1] + strlen(texts[i][1]), "%s ", names[1][qe_rng_below(&rng, 5) ? word : 0]);
    }
    gold[i] = qe_rng_normal(&rng);
  }
}

/* All pairs but one. */
static qe_dataset *data_without(char texts[PAIRS][2][128], const double gold[PAIRS], size_t left_out) {
  qe_dataset *data = qe_dataset_new();
  double column[PAIRS];
  size_t rows = 0;
  for (size_t i = 0; i < PAIRS; i++) {
    const qe_pair pair = { .source = qe_string(texts[i][0]), .translation = qe_string(texts[i][1]) };
    if (i == left_out)
      continue;
    column[rows++] = gold[i];
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  assert_int_equal(qe_dataset_set_column(data, "gold", column), QE_OK);
  return data;
}

static void split(struct words words[2], const qe_pair *pair) {
  assert_int_equal(words_split(&words[0], pair->source, 50), QE_OK);
  assert_int_equal(words_split(&words[1], pair->translation, 50), QE_OK);
}

static const struct evidence_choice everything = { 50, 1, 1 }, little = { 50, 2, 5 };

static struct evidence *count_some(const qe_dataset *data, struct evidence_choice choice) {
  struct error error = { 0 };
  struct evidence *evidence = evidence_count(data, NULL, choice, &error);
  if (!evidence)
    fail_msg("%s", error.text);
  return evidence;
}

static struct evidence *count(const qe_dataset *data) {
  return count_some(data, everything);
}

static size_t occurrences(char texts[PAIRS][2][128], size_t left_out, const char *word) {
  size_t found = 0;
  char wanted[32];
  sprintf(wanted, "%s ", word);
  for (size_t i = 0; i < PAIRS; i++)
    for (const char *at = texts[i][0]; i != left_out && (at = strstr(at, wanted)); at++)
      found += at == texts[i][0] || at[-1] == ' ';
  return found;
}

static void test_frequency_and_flags(void **state) {
  static char texts[PAIRS][2][128];
  double gold[PAIRS];
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair read = { 0 };
  (void)state;
  make_texts(texts, gold);
  qe_dataset *data = data_without(texts, gold, PAIRS);
  struct evidence *evidence = count(data);
  const qe_pair pair = { .source = qe_string("tres 7 nie"), .translation = qe_string("7 vierzig ein") };
  split(words, &pair);
  assert_int_equal(evidence_read_raw(evidence, &pair, words, true, &read), QE_OK);
  const size_t seen = occurrences(texts, PAIRS, "tres");
  const float coarse = seen <= 7 ? (float)seen : exp2f(floorf(log2f((float)seen / 8))) * 8 * 1.4f;
  assert_true(fabsf(read.channel[0][FREQUENCY] - logf(1 + coarse)) < 1e-5f);
  assert_true(read.channel[0][COPIED] == 0 && read.channel[0][CHANNELS + COPIED] == 1);
  assert_true(read.channel[1][COPIED] == 1 && read.channel[1][CHANNELS + COPIED] == 0);
  assert_true(read.channel[0][2 * CHANNELS + ORDER] == 0 && read.channel[0][ORDER] >= 1);
  assert_true(read.channel[1][CHANNELS + LENGTH] == 7);
  assert_true(read.channel[0][CHANNELS + BEST_GIVEN] == 0 && read.channel[1][2 * CHANNELS + FREQUENCY] > 0);
  evidence_pair_free(&read);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_release(evidence);
  qe_dataset_free(data);
}

/* Counts of words do not depend on the pair; the lexicon's expectations do a little, so best t may differ by a step. */
static void leave_one_out(struct evidence_choice choice) {
  static char texts[PAIRS][2][128];
  double gold[PAIRS];
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair one = { 0 }, other = { 0 }, with = { 0 };
  size_t steps = 0, cells = 0, moved = 0;
  make_texts(texts, gold);
  qe_dataset *data = data_without(texts, gold, PAIRS);
  struct evidence *evidence = count_some(data, choice);
  for (size_t row = 0; row < PAIRS; row += 3) {
    const qe_pair pair = qe_dataset_pair(data, row);
    qe_dataset *rest = data_without(texts, gold, row);
    struct evidence *less = count_some(rest, choice);
    split(words, &pair);
    assert_int_equal(evidence_read_raw(evidence, &pair, words, true, &one), QE_OK);
    assert_int_equal(evidence_read_raw(less, &pair, words, false, &other), QE_OK);
    assert_int_equal(evidence_read_raw(evidence, &pair, words, false, &with), QE_OK);
    for (size_t side = 0; side < 2; side++)
      for (size_t i = 0; i < one.count[side]; i++) {
        const float *a = one.channel[side] + i * CHANNELS, *b = other.channel[side] + i * CHANNELS;
        assert_true(a[FREQUENCY] == b[FREQUENCY] && a[ORDER] == b[ORDER]);
        assert_true(fabsf(a[LOG_PROBABILITY] - b[LOG_PROBABILITY]) < .1f);
        assert_true(fabsf(a[RATE] - b[RATE]) <= 1);
        steps += fabsf(a[BEST_GIVEN] - b[BEST_GIVEN]) > 1;
        moved += with.channel[side][i * CHANNELS + LOG_PROBABILITY] > a[LOG_PROBABILITY];
        cells++;
      }
    evidence_release(less);
    qe_dataset_free(rest);
  }
  assert_true(steps * 20 < cells);
  assert_true(moved * (choice.least_count > 1 ? 20 : 3) > cells);
  evidence_pair_free(&one);
  evidence_pair_free(&other);
  evidence_pair_free(&with);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_release(evidence);
  qe_dataset_free(data);
}

static void test_leaving_one_out(void **state) {
  (void)state;
  leave_one_out(everything);
  leave_one_out(little);
}

/* What is rare is not kept, and what is kept is as it was. */
static void test_choice(void **state) {
  static char texts[PAIRS][2][128];
  double gold[PAIRS];
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair all = { 0 }, some = { 0 };
  size_t dropped[2] = { 0, 0 };
  (void)state;
  make_texts(texts, gold);
  qe_dataset *data = data_without(texts, gold, PAIRS);
  struct evidence *whole = count(data), *part = count_some(data, little);
  for (size_t row = 0; row < PAIRS; row++) {
    const qe_pair pair = qe_dataset_pair(data, row);
    split(words, &pair);
    assert_int_equal(evidence_read_raw(whole, &pair, words, false, &all), QE_OK);
    assert_int_equal(evidence_read_raw(part, &pair, words, false, &some), QE_OK);
    for (size_t i = 0; i < all.count[1]; i++) {
      const float *a = all.channel[1] + i * CHANNELS, *b = some.channel[1] + i * CHANNELS;
      assert_true(b[FREQUENCY] == (a[FREQUENCY] > log(2.5) ? a[FREQUENCY] : 0));
      assert_true(b[BEST_GIVEN] == (a[BEST_GIVEN] >= 5 ? a[BEST_GIVEN] : 0));
      dropped[0] += b[ORDER] < a[ORDER];
      dropped[1] += b[BEST_GIVEN] < a[BEST_GIVEN];
    }
  }
  assert_true(dropped[0] > 0 && dropped[1] > 0);
  evidence_pair_free(&all);
  evidence_pair_free(&some);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_release(whole);
  evidence_release(part);
  qe_dataset_free(data);
}

/* A pair's post-edit is left out with it: as if neither had been counted. */
static void test_parallel_text(void **state) {
  static char texts[PAIRS][2][128];
  double gold[PAIRS];
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair one = { 0 }, other = { 0 }, plain = { 0 };
  struct error error = { 0 };
  size_t cells = 0, steps = 0, moved = 0;
  (void)state;
  make_texts(texts, gold);
  for (size_t i = 0; i < PAIRS; i++)
    sprintf(texts[i][0] + strlen(texts[i][0]), "n%zu", i); /* every source once */
  static char edited[PAIRS][2][128];
  memcpy(edited, texts, sizeof edited);
  for (size_t i = 0; i < PAIRS; i++)
    sprintf(edited[i][1] + strlen(edited[i][1]), "neu m%zu", i % 7);
  qe_dataset *data = data_without(texts, gold, PAIRS), *parallel = data_without(edited, gold, PAIRS);
  struct evidence *evidence = evidence_count(data, parallel, everything, &error), *alone = count(data);
  for (size_t row = 0; row < PAIRS; row += 4) {
    const qe_pair pair = qe_dataset_pair(data, row);
    qe_dataset *rest = data_without(texts, gold, row), *rest_parallel = data_without(edited, gold, row);
    struct evidence *less = evidence_count(rest, rest_parallel, everything, &error);
    split(words, &pair);
    assert_int_equal(evidence_read_raw(evidence, &pair, words, true, &one), QE_OK);
    assert_int_equal(evidence_read_raw(less, &pair, words, false, &other), QE_OK);
    assert_int_equal(evidence_read_raw(alone, &pair, words, true, &plain), QE_OK);
    for (size_t i = 0; i < one.count[1]; i++) {
      const float *a = one.channel[1] + i * CHANNELS, *b = other.channel[1] + i * CHANNELS;
      assert_true(a[FREQUENCY] == b[FREQUENCY]);
      steps += fabsf(a[BEST_GIVEN] - b[BEST_GIVEN]) > 1;
      moved += plain.channel[1][i * CHANNELS + BEST_GIVEN] < a[BEST_GIVEN] ||
               plain.channel[1][i * CHANNELS + BEST_GIVEN] > a[BEST_GIVEN];
      cells++;
    }
    evidence_release(less);
    qe_dataset_free(rest);
    qe_dataset_free(rest_parallel);
  }
  assert_true(steps * 10 < cells);
  assert_true(moved * 10 > cells);
  evidence_pair_free(&one);
  evidence_pair_free(&other);
  evidence_pair_free(&plain);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_release(evidence);
  evidence_release(alone);
  qe_dataset_free(data);
  qe_dataset_free(parallel);
}

/* ---- the member ---- */

static void test_member(void **state) {
  static char texts[PAIRS][2][128];
  double gold[PAIRS];
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair one = { 0 }, other = { 0 };
  struct error error = { 0 };
  char *bytes, *again;
  size_t size, again_size;
  (void)state;
  make_texts(texts, gold);
  qe_dataset *data = data_without(texts, gold, PAIRS);
  struct evidence *evidence = count(data);
  assert_int_equal(evidence_write(evidence, &bytes, &size), QE_OK);
  struct evidence *parsed = evidence_parse((qe_text){ bytes, size }, &error);
  assert_non_null(parsed);
  assert_int_equal(evidence_write(parsed, &again, &again_size), QE_OK);
  assert_int_equal(size, again_size);
  assert_memory_equal(bytes, again, size);
  for (size_t row = 0; row < PAIRS; row++) {
    const qe_pair pair = qe_dataset_pair(data, row);
    split(words, &pair);
    assert_int_equal(evidence_read(evidence, &pair, words, false, &one), QE_OK);
    assert_int_equal(evidence_read(parsed, &pair, words, true, &other), QE_OK);
    assert_memory_equal(one.features, other.features, sizeof one.features);
    assert_memory_equal(one.channel[1], other.channel[1], one.count[1] * CHANNELS * sizeof(float));
  }
  for (size_t cut = 0; cut < size; cut++) {
    struct error refused = { 0 };
    assert_null(evidence_parse((qe_text){ bytes, cut }, &refused));
    assert_int_equal(refused.status, QE_FORMAT);
  }
  for (size_t i = 0; i < size; i++) { /* altered: refused, or it writes itself again */
    struct error refused = { 0 };
    bytes[i] ^= 0x41;
    struct evidence *odd = evidence_parse((qe_text){ bytes, size }, &refused);
    if (odd) {
      memory_free(again);
      assert_int_equal(evidence_write(odd, &again, &again_size), QE_OK);
      assert_int_equal(again_size, size);
      assert_memory_equal(bytes, again, size);
      evidence_release(odd);
    }
    bytes[i] ^= 0x41;
  }
  memory_free(bytes);
  memory_free(again);
  evidence_pair_free(&one);
  evidence_pair_free(&other);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_release(parsed);
  evidence_release(evidence);
  qe_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_sketch),
                                      cmocka_unit_test(test_levels),
                                      cmocka_unit_test(test_frequency_and_flags),
                                      cmocka_unit_test(test_leaving_one_out),
                                      cmocka_unit_test(test_choice),
                                      cmocka_unit_test(test_parallel_text),
                                      cmocka_unit_test(test_member) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
