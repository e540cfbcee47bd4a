/*
** test_grams.c - vocabularies of counted n-grams against a twin that lists the n-grams of a word as strings and counts them
** in quadratic time; which are kept where there is no room for all; the archive member and what it refuses; copies; that a
** model does not take embeddings whose rows mean other n-grams.
*/
#include "grams.h"
#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>

enum { TEXTS = 60, LONGEST = 60, MOST = 8000, GRAM = 16 };

struct list {
  char gram[MOST][GRAM];
  uint32_t row[MOST]; /* 0: not met yet */
  size_t count;
};

/* Words of letters alone, of at most 12. */
static void list_grams(struct list *list, const char *word) {
  char whole[GRAM] = "<";
  snprintf(list->gram[list->count++], GRAM, "\x02%s\x03", word);
  strcat(strcat(whole, word), ">");
  for (size_t first = 0; whole[first]; first++)
    for (size_t size = 3; size <= 5 && first + size <= strlen(whole); size++)
      snprintf(list->gram[list->count++], GRAM, "%.*s", (int)size, whole + first);
}

static size_t occurrences(const struct list *list, const char *gram) {
  size_t count = 0;
  for (size_t i = 0; i < list->count; i++)
    count += strcmp(list->gram[i], gram) == 0;
  return count;
}

static void draw_word(qe_rng *rng, unsigned letters, char word[GRAM]) {
  size_t size = 1 + qe_rng_below(rng, 6);
  for (size_t i = 0; i < size; i++)
    word[i] = (char)('a' + qe_rng_below(rng, letters));
  word[size] = '\0';
}

struct world {
  char text[TEXTS][LONGEST];
  qe_text texts[TEXTS];
  struct list *all;
};

static void world_make(struct world *world, uint64_t seed) {
  qe_rng rng;
  qe_rng_seed(&rng, seed, "grams");
  world->all = calloc(1, sizeof *world->all);
  for (size_t i = 0; i < TEXTS; i++) {
    world->text[i][0] = '\0';
    for (size_t words = qe_rng_below(&rng, 6); words > 0; words--) {
      char word[GRAM];
      draw_word(&rng, 4, word);
      list_grams(world->all, word);
      strcat(strcat(world->text[i], word), " ");
    }
    world->texts[i] = qe_string(world->text[i]);
  }
}

static struct vocabulary counted(const struct world *world, uint32_t rows, uint32_t minimum) {
  struct vocabulary vocabulary;
  struct error error = { 0 };
  assert_int_equal(vocabulary_count_grams(&vocabulary, world->texts, TEXTS, rows, minimum, true, LONGEST, &error),
                   QE_OK);
  return vocabulary;
}

/* The row of a known n-gram is the same wherever it is met, and no other's. */
static void check_row(struct list *all, const char *gram, uint32_t row) {
  assert_true(row > 0);
  for (size_t i = 0; i < all->count; i++) {
    const bool same = strcmp(all->gram[i], gram) == 0;
    if (same && all->row[i] == 0)
      all->row[i] = row;
    assert_true(all->row[i] == 0 || (all->row[i] == row) == same);
  }
}

static void check_word(const struct vocabulary *vocabulary, struct list *all, const char *word, size_t minimum) {
  static struct list own;
  uint32_t ids[VOCABULARY_MAX_IDS];
  size_t known = 0;
  const size_t count = vocabulary_ids(vocabulary, qe_string(word), ids);
  own.count = 0;
  list_grams(&own, word);
  for (size_t i = 0; i < own.count; i++)
    if (occurrences(all, own.gram[i]) >= minimum) {
      assert_true(known < count);
      check_row(all, own.gram[i], ids[known++]);
    }
  if (known == 0)
    assert_int_equal(ids[0], 0);
  assert_int_equal(count, known > 0 ? known : 1);
}

static void test_known_grams_have_rows(void **state) {
  struct world world;
  qe_rng rng;
  (void)state;
  world_make(&world, 5); /* no two of these look the same to a sketch */
  qe_rng_seed(&rng, 2, "grams");
  for (uint32_t minimum = 1; minimum <= 7; minimum += 3) {
    struct vocabulary vocabulary = counted(&world, 100000, minimum);
    size_t distinct = 0;
    memset(world.all->row, 0, sizeof world.all->row);
    for (size_t i = 0; i < world.all->count; i++) {
      bool before = false;
      for (size_t j = 0; j < i && !before; j++)
        before = strcmp(world.all->gram[j], world.all->gram[i]) == 0;
      distinct += !before && occurrences(world.all, world.all->gram[i]) >= minimum;
    }
    assert_int_equal(vocabulary.rows, distinct + 1);
    for (int round = 0; round < 300; round++) {
      char word[GRAM];
      draw_word(&rng, 5, word);
      check_word(&vocabulary, world.all, word, minimum);
    }
    vocabulary_free(&vocabulary);
  }
  free(world.all);
}

/* Where there is no room for all, what is left out is at most as frequent as what is kept. */
static void test_the_most_frequent_are_kept(void **state) {
  struct world world;
  (void)state;
  world_make(&world, 3);
  struct vocabulary vocabulary = counted(&world, 40, 1);
  size_t least = MOST, most = 0;
  assert_int_equal(vocabulary.rows, 40);
  for (size_t i = 0; i < world.all->count; i++) {
    const char *gram = world.all->gram[i];
    uint32_t row;
    const uint64_t hash = hash_mix(fnv1a(FNV1A_START, gram, strlen(gram)));
    const size_t frequency = occurrences(world.all, gram);
    if (grams_find(vocabulary.grams, &hash, 1, &row) > 0)
      least = frequency < least ? frequency : least;
    else
      most = frequency > most ? frequency : most;
  }
  assert_true(least < MOST && most > 0 && most <= least);
  vocabulary_free(&vocabulary);
  vocabulary = counted(&world, 1, 1);
  assert_int_equal(vocabulary.rows, 1);
  check_word(&vocabulary, world.all, "abc", MOST);
  vocabulary_free(&vocabulary);
  free(world.all);
}

static void check_refused(const char *bytes, size_t size, uint32_t rows, const char *message) {
  struct error error = { 0 };
  struct vocabulary vocabulary;
  assert_int_equal(vocabulary_parse_grams(&vocabulary, (qe_text){ bytes, size }, rows, true, &error), QE_FORMAT);
  assert_string_equal(error.text, message);
  vocabulary_free(&vocabulary);
}

static void test_member(void **state) {
  struct world world;
  struct error error = { 0 };
  char *bytes, *again, message[100];
  size_t size, size_again;
  (void)state;
  world_make(&world, 4);
  struct vocabulary read, copy, vocabulary = counted(&world, 100000, 3);
  const uint64_t fingerprint = vocabulary_fingerprint(&vocabulary, 9);
  assert_int_equal(vocabulary_write(&vocabulary, &bytes, &size), QE_OK);
  assert_int_equal(vocabulary_parse_grams(&read, (qe_text){ bytes, size }, vocabulary.rows, true, &error), QE_OK);
  assert_true(vocabulary_fingerprint(&read, 9) == fingerprint);
  check_word(&read, world.all, "abca", 3);
  assert_int_equal(vocabulary_write(&read, &again, &size_again), QE_OK);
  assert_int_equal(size, size_again);
  assert_memory_equal(bytes, again, size);
  assert_int_equal(vocabulary_copy(&copy, &read), QE_OK);
  vocabulary_free(&read);
  assert_true(vocabulary_fingerprint(&copy, 9) == fingerprint);
  check_word(&copy, world.all, "dabba", 3);
  snprintf(message, sizeof message, "vocabulary: %u n-grams, 1 expected", vocabulary.rows - 1);
  check_refused(bytes, size, 2, message);
  snprintf(message, sizeof message, "vocabulary: n-gram %u is marked 2, expected 1", vocabulary.rows - 2);
  bytes[size - 1] = 2;
  check_refused(bytes, size, vocabulary.rows, message);
  check_refused(bytes, 3, vocabulary.rows, "counts: 3 bytes are left, too few");
  again = realloc(again, size + 1);
  again[size] = 0;
  check_refused(again, size + 1, vocabulary.rows, "vocabulary: 1 bytes too many");
  vocabulary_free(&copy);
  vocabulary_free(&vocabulary);
  free(bytes);
  free(again);
  free(world.all);
}

static qe_model *model_of(const char *word) {
  static const char configuration[] =
      "{\"source\":{\"kind\":\"counted\",\"size\":100},\"target\":{\"kind\":\"ngrams\",\"buckets\":8}}";
  qe_dataset *data = qe_dataset_new();
  qe_model *model = qe_model_new();
  qe_rng rng;
  qe_rng_seed(&rng, (uint64_t)word[0], "take");
  const qe_pair pair = { .source = qe_string(word), .translation = qe_string("x") };
  assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  if (qe_model_create(model, configuration, data, &rng) != QE_OK)
    fail_msg("%s", qe_model_error(model));
  qe_dataset_free(data);
  return model;
}

static bool takes(qe_model *model, qe_model *from, const char *name) {
  const size_t number = (size_t)qe_params_find(qe_model_params(model), name);
  qe_params_matrix(qe_model_params(from), number)[0] = 77;
  qe_model_take(model, from);
  return qe_params_matrix(qe_model_params(model), number)[0] == (qe_real)77;
}

static void test_rows_of_others_are_not_taken(void **state) {
  qe_model *model = model_of("abc"), *same = model_of("abc"), *other = model_of("xyz");
  (void)state;
  assert_false(takes(model, other, "source.embedding"));
  assert_true(takes(model, other, "target.embedding"));
  assert_true(takes(model, same, "source.embedding"));
  qe_model_free(model);
  qe_model_free(same);
  qe_model_free(other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_known_grams_have_rows),
    cmocka_unit_test(test_the_most_frequent_are_kept),
    cmocka_unit_test(test_member),
    cmocka_unit_test(test_rows_of_others_are_not_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
