/*
** test_reference.c - metrics against references: every score of tests/reference/table.tsv, which sacreBLEU made;
** statistics by hand; matches compared with a naive twin that crosses n-grams off; wrong use and its messages.
*/
#include "core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COLUMNS = 8, MOST_REFERENCES = 4, MOST_STATISTICS = 24 };

static qe_metric *metric_of(const char *name) {
  qe_metric *metric = qe_metric_new();
  if (qe_metric_choose(metric, name) != QE_OK)
    fail_msg("%s: %s", name, qe_metric_error(metric));
  return metric;
}

static void measure(qe_metric *metric, qe_text hypothesis, const qe_text *references, size_t count,
                    double *statistics) {
  if (qe_metric_reference(metric, references, count) != QE_OK ||
      qe_metric_statistics(metric, hypothesis, statistics) != QE_OK)
    fail_msg("%s", qe_metric_error(metric));
}

static bool equal(const double *a, const double *b, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (a[i] < b[i] || a[i] > b[i])
      return false;
  return true;
}

/* ---- sacreBLEU's table ---- */

struct column {
  qe_metric *metric;
  double statistics[MOST_STATISTICS], sums[MOST_STATISTICS];
};

static char *table_bytes(void) {
  FILE *file = fopen(QE_SOURCE_DIR "/tests/reference/table.tsv", "rb");
  if (!file)
    fail_msg("tests/reference/table.tsv cannot be read");
  fseek(file, 0, SEEK_END);
  const size_t size = (size_t)ftell(file);
  char *bytes = calloc(size + 1, 1);
  rewind(file);
  assert_int_equal(fread(bytes, 1, size, file), size);
  fclose(file);
  return bytes;
}

/* Takes the first field off a line. */
static char *next_field(char **line) {
  char *field = *line, *tab = field ? strchr(field, '\t') : NULL;
  *line = tab ? tab + 1 : NULL;
  if (tab)
    *tab = '\0';
  return field;
}

/* \xHH becomes a byte, in place. */
static qe_text unescaped(char *field) {
  size_t size = 0;
  for (const char *c = field; *c; c++) {
    unsigned byte = (unsigned char)*c;
    if (*c == '\\' && sscanf(c, "\\x%2x", &byte) == 1)
      c += 3;
    field[size++] = (char)byte;
  }
  return (qe_text){ field, size };
}

static void check_scores(char *line, struct column *columns, bool corpus, size_t number) {
  for (size_t i = 0; i < COLUMNS; i++) {
    struct column *column = &columns[i];
    double expected;
    char *field = next_field(&line);
    assert_true(field && number_parse(qe_string(field), &expected));
    const double found = corpus ? qe_metric_corpus(column->metric, column->sums)
                                : qe_metric_sentence(column->metric, column->statistics);
    if (!(fabs(found - expected) < 1e-8))
      fail_msg("table.tsv:%zu: column %zu is %.10f, expected %.10f", number, i + 1, found, expected);
    if (corpus)
      memset(column->sums, 0, sizeof column->sums);
  }
}

static void take_segment(char *line, struct column *columns) {
  qe_text references[MOST_REFERENCES];
  size_t count = 0;
  const qe_text hypothesis = unescaped(next_field(&line));
  while (line) {
    assert_true(count < MOST_REFERENCES);
    references[count++] = unescaped(next_field(&line));
  }
  for (size_t i = 0; i < COLUMNS; i++) {
    measure(columns[i].metric, hypothesis, references, count, columns[i].statistics);
    for (size_t j = 0; j < qe_metric_size(columns[i].metric); j++)
      columns[i].sums[j] += columns[i].statistics[j];
  }
}

static void test_scores_are_those_of_sacrebleu(void **state) {
  struct column columns[COLUMNS] = { 0 };
  size_t corpora = 0;
  char *bytes = table_bytes(), *rest = bytes;
  (void)state;
  for (size_t number = 1; *rest; number++) {
    char *line = rest;
    rest += strcspn(rest, "\n");
    *rest++ = '\0';
    const char *kind = next_field(&line);
    if (strcmp(kind, "metrics") == 0) {
      for (size_t i = 0; i < COLUMNS; i++)
        columns[i].metric = metric_of(next_field(&line));
      assert_null(line);
    } else if (strcmp(kind, "segment") == 0) {
      take_segment(line, columns);
    } else {
      check_scores(line, columns, strcmp(kind, "corpus") == 0, number);
      corpora += strcmp(kind, "corpus") == 0;
    }
  }
  assert_true(corpora > 30);
  for (size_t i = 0; i < COLUMNS; i++)
    qe_metric_free(columns[i].metric);
  free(bytes);
}

/* ---- by hand ---- */

static void test_statistics(void **state) {
  static const struct {
    const char *metric, *hypothesis, *references[2];
    double statistics[MOST_STATISTICS];
  } cases[] = {
    { "bleu", "a b, a", { "a b c", "b, a b" }, { 4, 4, 3, 3, 1, 0, 4, 3, 2, 1 } },
    { "bleu:none", "a a a", { "a", "a a x x" }, { 3, 4, 2, 1, 0, 0, 3, 2, 1, 0 } },
    { "bleu:char", "ab", { "a b c", "" }, { 2, 3, 2, 1, 0, 0, 2, 1, 0, 0 } },
    { "ter", "B c A", { "a b c", "a b c d e" }, { 1, 4 } },
    { "ter", "x y", { "", "" }, { 2, 0 } },
    { "chrf", "a b", { "ab", "x" }, { 2, 2, 2, 1, 1, 1 } },
    { "chrf++",
      "(a) b",
      { "(a b", "" },
      { 4, 3, 3, 3, 2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 1, 2, 2, 0 } },
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double found[MOST_STATISTICS];
    qe_metric *metric = metric_of(cases[i].metric);
    const qe_text references[] = { qe_string(cases[i].references[0]), qe_string(cases[i].references[1]) };
    measure(metric, qe_string(cases[i].hypothesis), references, 2, found);
    for (size_t j = 0; j < qe_metric_size(metric); j++)
      if (found[j] < cases[i].statistics[j] || found[j] > cases[i].statistics[j])
        fail_msg("case %zu: statistic %zu is %g, expected %g", i, j, found[j], cases[i].statistics[j]);
    qe_metric_free(metric);
  }
}

static void test_bleu_of_short_sentences(void **state) {
  const qe_text reference = qe_string("two words");
  double statistics[10];
  (void)state;
  qe_metric *metric = metric_of("bleu");
  measure(metric, reference, &reference, 1, statistics);
  assert_true(fabs(qe_metric_sentence(metric, statistics) - 100) < 1e-9);
  assert_true(qe_metric_corpus(metric, statistics) == 0);
  qe_metric_free(metric);
}

/* ---- a naive twin: each n-gram of the hypothesis crosses off one of the reference ---- */

static double twin_matches(const char *hypothesis, const char *reference, size_t n) {
  bool gone[64] = { false };
  double matches = 0;
  for (size_t i = 0; i + n <= strlen(hypothesis); i++)
    for (size_t j = 0; j + n <= strlen(reference); j++)
      if (!gone[j] && memcmp(hypothesis + i, reference + j, n) == 0) {
        gone[j] = true;
        matches++;
        break;
      }
  return matches;
}

static void draw(qe_rng *rng, char *text) {
  const size_t size = qe_rng_below(rng, 40), letters = 1 + qe_rng_below(rng, 4);
  for (size_t i = 0; i < size; i++)
    text[i] = (char)('a' + qe_rng_below(rng, letters));
  text[size] = '\0';
}

/* The letters as words. */
static void spread(const char *letters, char *words) {
  for (; *letters; letters++) {
    *words++ = *letters;
    *words++ = ' ';
  }
  *words = '\0';
}

static void test_matches(void **state) {
  char hypothesis[64], reference[64], words[2][128];
  double statistics[MOST_STATISTICS], of_words[MOST_STATISTICS];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 7, "matches");
  qe_metric *characters = metric_of("chrf"), *bleu = metric_of("bleu:none");
  for (int round = 0; round < 2000; round++) {
    draw(&rng, hypothesis);
    draw(&rng, reference);
    spread(hypothesis, words[0]);
    spread(reference, words[1]);
    const qe_text texts[] = { qe_string(reference), qe_string(words[1]) };
    measure(characters, qe_string(hypothesis), texts, 1, statistics);
    measure(bleu, qe_string(words[0]), texts + 1, 1, of_words);
    for (size_t n = 1; n <= 6; n++)
      assert_true(fabs(statistics[3 * n - 1] - twin_matches(hypothesis, reference, n)) < .5);
    for (size_t n = 1; n <= 4; n++)
      assert_true(fabs(of_words[1 + n] - twin_matches(hypothesis, reference, n)) < .5);
  }
  qe_metric_free(characters);
  qe_metric_free(bleu);
}

/* ---- objects ---- */

/* What went before leaves no trace: neither other hypotheses nor other references nor another metric. */
static void test_reuse(void **state) {
  static const char *const names[] = { "ter", "chrf++", "bleu", "chrf", "bleu:zh" };
  char text[4][64], words[4][128];
  double found[MOST_STATISTICS], expected[MOST_STATISTICS];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 8, "reuse");
  qe_metric *old = qe_metric_new();
  for (int round = 0; round < 300; round++) {
    const char *name = names[qe_rng_below(&rng, 5)];
    qe_text texts[4];
    for (size_t i = 0; i < 4; i++) {
      draw(&rng, text[i]);
      spread(text[i], words[i]);
      texts[i] = qe_string(qe_rng_below(&rng, 5) > 0 ? words[i] : text[i]);
    }
    qe_metric *fresh = metric_of(name);
    assert_int_equal(qe_metric_choose(old, name), QE_OK);
    measure(fresh, texts[0], texts + 2, 2, expected);
    measure(old, texts[1], texts + 2, 2, found);
    assert_int_equal(qe_metric_statistics(old, texts[0], found), QE_OK);
    assert_true(equal(found, expected, qe_metric_size(fresh)));
    qe_metric_free(fresh);
  }
  qe_metric_free(old);
}

static void test_wrong_use(void **state) {
  const qe_text text = qe_string("text");
  double statistics[MOST_STATISTICS] = { 0 };
  (void)state;
  qe_metric *metric = qe_metric_new();
  assert_int_equal(qe_metric_size(metric), 0);
  assert_int_equal(qe_metric_direction(metric), 0);
  assert_true(isnan(qe_metric_corpus(metric, statistics)) && isnan(qe_metric_sentence(metric, statistics)));
  assert_int_equal(qe_metric_reference(metric, &text, 1), QE_USE);
  assert_string_equal(qe_metric_error(metric), "no metric was chosen");
  assert_int_equal(qe_metric_statistics(metric, text, statistics), QE_USE);
  assert_string_equal(qe_metric_error(metric), "no metric was chosen");
  assert_int_equal(qe_metric_choose(metric, "ter"), QE_OK);
  assert_string_equal(qe_metric_error(metric), "");
  assert_int_equal(qe_metric_statistics(metric, text, statistics), QE_USE);
  assert_string_equal(qe_metric_error(metric), "no references were set");
  assert_int_equal(qe_metric_reference(metric, &text, 0), QE_USE);
  assert_string_equal(qe_metric_error(metric), "0 references, expected 1 or more");
  assert_int_equal(qe_metric_reference(metric, &text, 1), QE_OK);
  assert_int_equal(qe_metric_choose(metric, "chrf"), QE_OK);
  assert_int_equal(qe_metric_statistics(metric, text, statistics), QE_USE); /* the references are forgotten */
  qe_metric_free(metric);
  qe_metric_free(NULL);
}

static void test_names(void **state) {
  static const char *const refused[][2] = {
    { "", "no metric \"\"; there are chrf, chrf++, bleu, ter" },
    { "BLEU", "no metric \"BLEU\"" },
    { "chrf+", "no metric \"chrf+\"" },
    { "bleu:", "no tokenizer \"\"; there are 13a, zh, intl, char, none" },
    { "bleu:13", "no tokenizer \"13\"" },
    { "ter:13a", "\"ter:13a\": only bleu has tokenizers" },
    { ":13a", "no metric \":13a\"" },
  };
  (void)state;
  qe_metric *metric = metric_of("bleu:13a");
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    assert_int_equal(qe_metric_choose(metric, refused[i][0]), QE_USE);
    if (!strstr(qe_metric_error(metric), refused[i][1]))
      fail_msg("%s: %s", refused[i][0], qe_metric_error(metric));
    assert_int_equal(qe_metric_size(metric), 10); /* what was chosen before stays */
  }
  assert_int_equal(qe_metric_direction(metric), 1);
  assert_int_equal(qe_metric_choose(metric, "ter"), QE_OK);
  assert_int_equal(qe_metric_direction(metric), -1);
  assert_int_equal(qe_metric_size(metric), 2);
  qe_metric_free(metric);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_scores_are_those_of_sacrebleu),
    cmocka_unit_test(test_statistics),
    cmocka_unit_test(test_bleu_of_short_sentences),
    cmocka_unit_test(test_matches),
    cmocka_unit_test(test_reuse),
    cmocka_unit_test(test_wrong_use),
    cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
