/*
** test_dataset.c - files read into datasets, joins, unions and fingerprints. Every refusal is followed by a look at
** the dataset, which must be as it was. The published data is read where it lies, all pairs and sets, if it is
** there.
*/
#include "dataset.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

#define SHARED QE_SOURCE_DIR "/../shared/data/"

static struct scratch *scratch_of(void **state) {
  return *state;
}

static int set_up(void **state) {
  struct scratch *scratch = malloc(sizeof *scratch);
  scratch_make(scratch);
  *state = scratch;
  return 0;
}

static int tear_down(void **state) {
  scratch_remove(scratch_of(state)->folder);
  free(*state);
  return 0;
}

/* A file of that name in the test's folder; the path holds until the next one is asked for. */
static const char *put(void **state, const char *name, const char *text) {
  const char *path = scratch_path(scratch_of(state), name);
  scratch_put(path, text, strlen(text));
  return path;
}

static qe_pair pair_of(const char *source, const char *translation) {
  return (qe_pair){ .source = qe_string(source), .translation = qe_string(translation) };
}

static void assert_pair(const qe_dataset *data, size_t row, const char *source, const char *translation) {
  const qe_pair pair = qe_dataset_pair(data, row);
  assert_int_equal(pair.source.size, strlen(source));
  assert_memory_equal(pair.source.data, source, strlen(source));
  assert_int_equal(pair.translation.size, strlen(translation));
  assert_memory_equal(pair.translation.data, translation, strlen(translation));
}

static bool same(double a, double b) {
  return isnan(a) ? isnan(b) : a == b;
}

static void assert_column(const qe_dataset *data, const char *name, const double *expected, size_t rows) {
  const double *column = qe_dataset_column(data, name);
  assert_non_null(column);
  assert_int_equal(qe_dataset_rows(data), rows);
  for (size_t i = 0; i < rows; i++)
    if (!same(column[i], expected[i]))
      fail_msg("%s[%zu] is %g, expected %g", name, i, column[i], expected[i]);
}

static qe_dataset *read_text(void **state, const char *text) {
  qe_dataset *data = qe_dataset_new();
  if (qe_dataset_read(data, put(state, "rows.tsv", text)) != QE_OK)
    fail_msg("%s", qe_dataset_error(data));
  return data;
}

static void assert_logprobs(const qe_dataset *data, size_t row, const float *expected, size_t count) {
  const qe_pair pair = qe_dataset_pair(data, row);
  assert_int_equal(pair.logprob_count, count);
  for (size_t i = 0; i < count; i++)
    assert_true(pair.logprobs[i] == expected[i]);
}

static int read_logprobs(void **state, qe_dataset *data, const char *logprobs, const char *tokens, size_t first) {
  struct scratch second = *scratch_of(state);
  const char *path = put(state, "probas", logprobs);
  if (tokens)
    scratch_put(scratch_path(&second, "tokens"), tokens, strlen(tokens));
  return qe_dataset_read_logprobs(data, path, tokens ? second.path : NULL, first);
}

/* The call gives `status` and this message behind the name of the folder, and leaves no trace. */
#define assert_fails(data, call, expected_status, message)                                                         \
  do {                                                                                                             \
    char before[65], after[65];                                                                                    \
    qe_dataset_sha256(data, before);                                                                               \
    assert_int_equal(call, expected_status);                                                                       \
    qe_dataset_sha256(data, after);                                                                                \
    assert_string_equal(before, after);                                                                            \
    const char *text_ = qe_dataset_error(data);                                                                    \
    const size_t folder_ = strlen(scratch_of(state)->folder);                                                      \
    if (strncmp(text_, scratch_of(state)->folder, folder_) == 0)                                                   \
      text_ += folder_;                                                                                            \
    assert_string_equal(text_, message);                                                                           \
  } while (0)

/* ---- rows and columns ---- */

static void test_empty(void **state) {
  (void)state;
  qe_dataset *data = qe_dataset_new();
  assert_int_equal(qe_dataset_rows(data), 0);
  assert_int_equal(qe_dataset_columns(data), 0);
  assert_null(qe_dataset_column(data, "x"));
  assert_null(qe_dataset_column_name(data, 0));
  assert_pair(data, 0, "", "");
  assert_string_equal(qe_dataset_error(data), "");
  assert_int_equal(qe_dataset_set_column(data, "x", NULL), QE_OK);
  assert_non_null(qe_dataset_column(data, "x"));
  assert_int_equal(qe_dataset_append_all(data, data), QE_OK);
  qe_dataset_free(data);
  qe_dataset_free(NULL);
}

static void test_append(void **state) {
  (void)state;
  qe_dataset *data = qe_dataset_new();
  char source[] = "uks kaks";
  const qe_pair pair = pair_of(source, "one");
  assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  strcpy(source, "gone"); /* the dataset has its own copy */
  assert_pair(data, 0, "uks kaks", "one");
  qe_dataset_free(data);
}

static void test_append_texts(void **state) {
  (void)state;
  const float logprobs[] = { -1.5f, -.25f };
  qe_dataset *data = qe_dataset_new();
  qe_pair pair = { { NULL, 0 }, { "a\0b", 3 }, logprobs, 2 };
  assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  const qe_pair found = qe_dataset_pair(data, 0);
  assert_int_equal(found.source.size, 0);
  assert_int_equal(found.translation.size, 3);
  assert_memory_equal(found.translation.data, "a\0b", 3);
  assert_int_equal(found.logprob_count, 2);
  assert_memory_equal(found.logprobs, logprobs, sizeof logprobs);
  assert_ptr_not_equal(found.logprobs, logprobs);
  for (int i = 0; i < 9; i++) { /* rows appended to themselves: their texts move meanwhile */
    pair = qe_dataset_pair(data, (size_t)i);
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  }
  assert_memory_equal(qe_dataset_pair(data, 9).translation.data, "a\0b", 3);
  assert_memory_equal(qe_dataset_pair(data, 9).logprobs, logprobs, sizeof logprobs);
  qe_dataset_free(data);
}

static void test_columns(void **state) {
  (void)state;
  const double values[] = { 1, NAN }, other[] = { 5, 6 };
  const qe_pair pair = pair_of("s", "t");
  qe_dataset *data = qe_dataset_new();
  qe_dataset_append(data, &pair);
  qe_dataset_append(data, &pair);
  assert_int_equal(qe_dataset_set_column(data, "x", values), QE_OK);
  assert_int_equal(qe_dataset_set_column(data, "y", other), QE_OK);
  assert_int_equal(qe_dataset_set_column(data, "x", qe_dataset_column(data, "x")), QE_OK); /* itself */
  assert_column(data, "x", values, 2);
  assert_int_equal(qe_dataset_set_column(data, "z", qe_dataset_column(data, "y")), QE_OK);
  assert_column(data, "z", other, 2);
  assert_int_equal(qe_dataset_set_column(data, "x", other), QE_OK);
  assert_column(data, "x", other, 2);
  assert_int_equal(qe_dataset_columns(data), 3);
  assert_string_equal(qe_dataset_column_name(data, 1), "y");
  assert_fails(data, qe_dataset_set_column(data, "", values), QE_USE, "set column: a column needs a name");
  qe_dataset_append(data, &pair);
  assert_column(data, "y", (const double[]){ 5, 6, NAN }, 3);
  qe_dataset_free(data);
}

/* ---- union ---- */

static void test_union(void **state) {
  qe_dataset *data = read_text(state, "source\ttarget\ta\tb\nk1\tl1\t1\t2\nk2\tl2\t3\t4\n");
  qe_dataset *other = read_text(state, "source\ttarget\tb\tc\nm1\tn1\t5\t6\n");
  assert_int_equal(read_logprobs(state, data, "-1 -2\n-3\n", NULL, 0), QE_OK);
  assert_int_equal(read_logprobs(state, other, "-4 -5\n", NULL, 0), QE_OK);
  assert_int_equal(qe_dataset_append_all(data, other), QE_OK);
  const double b[] = { 7 };
  qe_dataset_set_column(other, "b", b);
  qe_dataset_free(other); /* nothing of it is shared */
  assert_pair(data, 1, "k2", "l2");
  assert_pair(data, 2, "m1", "n1");
  assert_logprobs(data, 1, (const float[]){ -3 }, 1);
  assert_logprobs(data, 2, (const float[]){ -4, -5 }, 2);
  assert_int_equal(qe_dataset_columns(data), 3);
  assert_column(data, "a", (const double[]){ 1, 3, NAN }, 3);
  assert_column(data, "b", (const double[]){ 2, 4, 5 }, 3);
  assert_column(data, "c", (const double[]){ NAN, NAN, 6 }, 3);
  qe_dataset_free(data);
}

static void test_union_with_itself(void **state) {
  const float logprob = -2;
  qe_dataset *data = read_text(state, "source\ttarget\ta\nk1\tl1\t1\nk2\tl2\t3\n");
  qe_pair pair = { qe_string("k3"), qe_string("l3"), &logprob, 1 };
  qe_dataset_append(data, &pair);
  for (size_t rows = 3; rows < 100; rows *= 2)
    assert_int_equal(qe_dataset_append_all(data, data), QE_OK);
  assert_int_equal(qe_dataset_rows(data), 192);
  const double a[] = { 1, 3, NAN };
  const char *const sources[] = { "k1", "k2", "k3" }, *const targets[] = { "l1", "l2", "l3" };
  for (size_t row = 0; row < 192; row++) {
    assert_pair(data, row, sources[row % 3], targets[row % 3]);
    assert_true(same(qe_dataset_column(data, "a")[row], a[row % 3]));
    assert_int_equal(qe_dataset_pair(data, row).logprob_count, row % 3 == 2);
    if (row % 3 == 2)
      assert_true(qe_dataset_pair(data, row).logprobs[0] == -2);
  }
  qe_dataset_free(data);
}

/* ---- tables ---- */

static void test_read(void **state) {
  qe_dataset *data = read_text(state, "\xEF\xBB\xBFindex\toriginal\ttranslation\tscores\tz_mean\tnote\tempty\r\n"
                                      "4\tuks \"kaks\tone two\t[1, 2]\t-0.5\tx\t\r\n"
                                      "7\t\tthree\t[]\t\t9\t");
  assert_int_equal(qe_dataset_rows(data), 2);
  assert_pair(data, 0, "uks \"kaks", "one two");
  assert_pair(data, 1, "", "three");
  assert_int_equal(qe_dataset_columns(data), 2);
  assert_string_equal(qe_dataset_column_name(data, 0), "index");
  assert_string_equal(qe_dataset_column_name(data, 1), "z_mean");
  assert_column(data, "index", (const double[]){ 4, 7 }, 2);
  assert_column(data, "z_mean", (const double[]){ -.5, NAN }, 2);
  qe_dataset_free(data);
}

static void test_names_of_texts(void **state) {
  static const char *const sources[] = { "source", "original", "src" };
  static const char *const targets[] = { "translation", "target", "mt", "tgt" };
  for (size_t i = 0; i < 3; i++)
    for (size_t j = 0; j < 4; j++) {
      char text[100];
      snprintf(text, sizeof text, "n\t%s\t%s\t\n1\t2\t3\t4\n", targets[j], sources[i]);
      qe_dataset *data = read_text(state, text);
      assert_pair(data, 0, "3", "2");
      assert_int_equal(qe_dataset_columns(data), 1); /* not the one without a name */
      qe_dataset_free(data);
    }
}

static void test_read_twice(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\ta\tb\ns1\tt1\t1\t2\n");
  assert_int_equal(qe_dataset_read(data, put(state, "more.tsv", "b\tmt\tsrc\ta\n3\tt2\ts2\tword\n")), QE_OK);
  assert_int_equal(qe_dataset_read(data, put(state, "none.tsv", "src\tmt\tc")), QE_OK);
  assert_pair(data, 0, "s1", "t1");
  assert_pair(data, 1, "s2", "t2");
  assert_int_equal(qe_dataset_columns(data), 2);
  assert_column(data, "a", (const double[]){ 1, NAN }, 2);
  assert_column(data, "b", (const double[]){ 2, 3 }, 2);
  qe_dataset_free(data);
}

static void test_refused_tables(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\tx\ns1\tt1\t1\n");
  assert_fails(data, qe_dataset_read(data, put(state, "t", "")), QE_FORMAT,
               "/t: empty, expected a line with the names of the columns");
  assert_fails(data, qe_dataset_read(data, put(state, "t", "src\tmt\ty\na\tb\t1\na\tb\n")), QE_FORMAT,
               "/t:3: 2 fields, expected 3 as in the header");
  assert_fails(data, qe_dataset_read(data, put(state, "t", "text\tmt\ty\na\tb\t1\n")), QE_FORMAT,
               "/t:1: expected one column source, original or src, found none in the header: text, mt, y");
  assert_fails(data, qe_dataset_read(data, put(state, "t", "src\ty\na\tb\n")), QE_FORMAT,
               "/t:1: expected one column translation, target, mt or tgt, found none in the header: src, y");
  assert_fails(data, qe_dataset_read(data, put(state, "t", "src\tsource\tmt\na\tb\tc\n")), QE_FORMAT,
               "/t:1: expected one column source, original or src, found several in the header: src, source, mt");
  assert_int_equal(qe_dataset_rows(data), 1);
  assert_int_equal(qe_dataset_columns(data), 1);
  qe_dataset_free(data);
}

static void test_files_that_cannot_be_read(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\tx\ns1\tt1\t1\n");
  assert_fails(data, qe_dataset_read(data, scratch_path(scratch_of(state), "absent")), QE_WORLD,
               "/absent: cannot open: No such file or directory");
  assert_fails(data, qe_dataset_read(data, scratch_of(state)->folder), QE_WORLD, ": cannot read: Is a directory");
  assert_fails(data, qe_dataset_read_scores(data, scratch_path(scratch_of(state), "absent"), NULL, NULL), QE_WORLD,
               "/absent: cannot open: No such file or directory");
  assert_fails(data, qe_dataset_read_logprobs(data, scratch_path(scratch_of(state), "absent"), NULL, 0), QE_WORLD,
               "/absent: cannot open: No such file or directory");
  assert_fails(data, qe_dataset_read_mlqe(data, scratch_path(scratch_of(state), "absent"), "dev"), QE_WORLD,
               "/absent: cannot open the folder: No such file or directory");
  const char *path = put(state, "locked", "src\tmt\na\tb\n");
  chmod(path, 0);
  if (access(path, R_OK) != 0) /* nothing is locked to root */
    assert_fails(data, qe_dataset_read(data, path), QE_WORLD, "/locked: cannot open: Permission denied");
  assert_int_equal(qe_dataset_read(data, put(state, "good", "src\tmt\na\tb\n")), QE_OK);
  assert_string_equal(qe_dataset_error(data), "");
  qe_dataset_free(data);
}

/* ---- log-probabilities ---- */

static void test_logprobs(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\na\tb c\nd\t\ne\tf\n");
  assert_logprobs(data, 0, NULL, 0);
  assert_int_equal(read_logprobs(state, data, "-1 -2.5 \t-0.125\r\n-4\n -5 -6 ", "b@@ c\n\nf", 0), QE_OK);
  assert_logprobs(data, 0, (const float[]){ -1, -2.5f, -.125f }, 3);
  assert_logprobs(data, 1, (const float[]){ -4 }, 1);
  assert_logprobs(data, 2, (const float[]){ -5, -6 }, 2);
  assert_int_equal(read_logprobs(state, data, "-7\n-8 -9\n", NULL, 1), QE_OK); /* again, other ones */
  assert_logprobs(data, 0, (const float[]){ -1, -2.5f, -.125f }, 3);
  assert_logprobs(data, 1, (const float[]){ -7 }, 1);
  assert_logprobs(data, 2, (const float[]){ -8, -9 }, 2);
  assert_int_equal(read_logprobs(state, data, "", "", 3), QE_OK); /* no rows, no lines */
  qe_dataset_free(data);
}

static void test_refused_logprobs(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\na\tb c\nd\te\n");
  assert_int_equal(read_logprobs(state, data, "-1 -2 -3\n-4 -5\n", "b c\ne\n", 0), QE_OK);
  assert_fails(data, read_logprobs(state, data, "-1\n-2,5\n", NULL, 0), QE_FORMAT,
               "/probas:2: \"-2,5\", expected a finite number");
  assert_fails(data, read_logprobs(state, data, "-1\n-2 nan\n", NULL, 0), QE_FORMAT,
               "/probas:2: \"nan\", expected a finite number");
  assert_fails(data, read_logprobs(state, data, "-1\n-2 -1e60\n", NULL, 0), QE_FORMAT,
               "/probas:2: \"-1e60\", expected a finite number");
  assert_fails(data, read_logprobs(state, data, "-1\n \n", NULL, 0), QE_FORMAT,
               "/probas:2: no number, expected one for each token and one for the end");
  assert_fails(data, read_logprobs(state, data, "-1\n", NULL, 0), QE_FORMAT,
               "/probas: 1 lines, expected 2: one for each row from the first to the last");
  assert_fails(data, read_logprobs(state, data, "-1\n-2\n-3\n", NULL, 0), QE_FORMAT,
               "/probas: 3 lines, expected 2: one for each row from the first to the last");
  assert_fails(data, read_logprobs(state, data, "-1\n-2\n", NULL, 1), QE_FORMAT,
               "/probas: 2 lines, expected 1: one for each row from the first to the last");
  assert_fails(data, read_logprobs(state, data, "-1\n", NULL, 3), QE_USE,
               "/probas: the first row is to be number 3, but there are 2");
  qe_dataset_free(data);
}

static void test_logprobs_and_tokens(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\na\tb c\nd\te\n");
  char message[200];
  const char *folder = scratch_of(state)->folder;
  snprintf(message, sizeof message, "/probas:2: 3 numbers, expected 2: %s/tokens has 1 tokens there, and the end",
           folder);
  assert_fails(data, read_logprobs(state, data, "-1 -2 -3\n-4 -5 -6\n", "b c\ne\n", 0), QE_FORMAT, message);
  snprintf(message, sizeof message, "/tokens: 1 lines, expected 2 as in %s/probas", folder);
  assert_fails(data, read_logprobs(state, data, "-1 -2 -3\n-4 -5\n", "b c\n", 0), QE_FORMAT, message);
  snprintf(message, sizeof message, "/tokens: 4 lines, expected 2 as in %s/probas", folder);
  assert_fails(data, read_logprobs(state, data, "-1 -2 -3\n-4 -5\n", "b c\ne\n\n\n", 0), QE_FORMAT, message);
  assert_logprobs(data, 0, NULL, 0);
  qe_dataset_free(data);
}

/* ---- teachers ---- */

static int read_scores(void **state, qe_dataset *data, const char *text, const char *prefix, size_t *matched) {
  return qe_dataset_read_scores(data, put(state, "scores", text), prefix, matched);
}

static void test_scores(void **state) {
  size_t matched = 99;
  qe_dataset *data = read_text(state, "index\tsrc\tmt\n30\ta\tb\n10\ta\tb\n20\ta\tb\n");
  assert_int_equal(read_scores(state, data, "score\tindex\tnote\n.5\t10\tx\n.25\t30\ty\n", "teacher", &matched),
                   QE_OK);
  assert_int_equal(matched, 2);
  assert_column(data, "teacher", (const double[]){ .25, .5, NAN }, 3);
  assert_int_equal(qe_dataset_columns(data), 2);
  qe_dataset_free(data);
}

static void test_scores_by_number(void **state) {
  size_t matched;
  qe_dataset *data = read_text(state, "src\tmt\na\tb\na\tb\na\tb\n");
  assert_int_equal(
      read_scores(state, data, "index\tx\ty\tz\t\n2\t1\t2\t3\t9\n0.0\t\t\t\t\n1\t4\t\t6\t\n", "t", &matched),
      QE_OK);
  assert_int_equal(matched, 2); /* row 0 is named, but got nothing */
  assert_column(data, "t", (const double[]){ NAN, 4, 1 }, 3);
  assert_column(data, "t_2", (const double[]){ NAN, NAN, 2 }, 3);
  assert_column(data, "t_3", (const double[]){ NAN, 6, 3 }, 3);
  assert_int_equal(qe_dataset_columns(data), 3);
  qe_dataset_free(data);
}

static void test_scores_under_their_names(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\tx\na\tb\t7\na\tb\t8\na\tb\t9\n");
  assert_int_equal(read_scores(state, data, "index\tx\ty\n1\t5\t\n2\t\t6\n", NULL, NULL), QE_OK);
  assert_column(data, "x", (const double[]){ 7, 5, 9 }, 3); /* only where there is a value */
  assert_column(data, "y", (const double[]){ NAN, NAN, 6 }, 3);
  qe_dataset_free(data);
}

static void test_refused_scores(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\tindex\na\tb\t1\na\tb\t2\na\tb\t2\na\tb\t4\nc\td\t\n");
  assert_fails(data, read_scores(state, data, "index\tx\n1\t0\n4\t0\n1\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:4: index 1 again, after line 2");
  assert_fails(data, read_scores(state, data, "index\tx\n1\t0\n3\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:3: index 3, which none of the 5 rows has");
  assert_fails(data, read_scores(state, data, "index\tx\n99\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:2: index 99, which none of the 5 rows has");
  assert_fails(data, read_scores(state, data, "index\tx\n2\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:2: index 2, which more than one row has");
  assert_fails(data, read_scores(state, data, "index\tx\nfour\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:2: index \"four\", expected a number");
  assert_fails(data, read_scores(state, data, "index\tx\n\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:2: index \"\", expected a number");
  assert_fails(data, read_scores(state, data, "index\tx\nnan\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:2: index \"nan\", expected a number");
  assert_fails(data, read_scores(state, data, "id\tx\n1\t0\n", NULL, NULL), QE_FORMAT,
               "/scores:1: no column index in the header: id, x");
  assert_fails(data, read_scores(state, data, "index\tx\n1\tword\n", NULL, NULL), QE_FORMAT,
               "/scores: no column of numbers beside the index");
  assert_fails(data, read_scores(state, data, "index\tx\n1\n", NULL, NULL), QE_FORMAT,
               "/scores:2: 1 fields, expected 2 as in the header");
  assert_fails(data, read_scores(state, data, "index\tx\n1\t1\n", "", NULL), QE_USE,
               "/scores: the prefix is empty, expected a name or none");
  assert_int_equal(qe_dataset_columns(data), 1);
  qe_dataset_free(data);
}

/* Against a search through all rows. */
static void test_random_joins(void **state) {
  enum { ROWS = 60 };
  qe_rng rng;
  qe_rng_seed(&rng, 4, "joins");
  for (int round = 0; round < 100; round++) {
    char text[4096] = "src\tmt\tindex\n", scores[4096] = "index\tx\n";
    double expected[ROWS];
    uint32_t index[ROWS], order[ROWS];
    size_t named = 0, count;
    for (uint32_t i = 0; i < ROWS; i++) {
      order[i] = i;
      index[i] = 3 * i + (uint32_t)qe_rng_below(&rng, 3);
      expected[i] = NAN;
    }
    qe_rng_shuffle(&rng, index, ROWS);
    qe_rng_shuffle(&rng, order, ROWS);
    for (size_t i = 0, size = strlen(text); i < ROWS; i++)
      size += (size_t)snprintf(text + size, sizeof text - size, "s\tt\t%u\n", (unsigned)index[i]);
    for (size_t i = 0, size = strlen(scores); i < ROWS; i++)
      if (qe_rng_below(&rng, 2) || i == 0) {
        expected[order[i]] = (double)i;
        size += (size_t)snprintf(scores + size, sizeof scores - size, "%u\t%zu\n", (unsigned)index[order[i]], i);
        named++;
      }
    qe_dataset *data = read_text(state, text);
    assert_int_equal(read_scores(state, data, scores, "x", &count), QE_OK);
    assert_int_equal(count, named);
    assert_column(data, "x", expected, ROWS);
    qe_dataset_free(data);
  }
}

/* ---- MLQE folders ---- */

static void test_mlqe(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\ts\tt\nsrc0\tmt0\t1\t2\n");
  struct scratch *scratch = scratch_of(state);
  put(state, "test20.xxyy.df.short.tsv", "index\toriginal\ttranslation\n0\tnot\tthis\n");
  put(state, "test.xxyy.df.short.tsv", "index\toriginal\ttranslation\tz_mean\n0\ta\tb\t.5\n1\tc\td\t.75\n");
  put(state, "test..df.short.tsv", "not looked at");
  assert_int_equal(qe_dataset_read_mlqe(data, scratch->folder, "test"), QE_OK);
  assert_pair(data, 2, "c", "d");
  assert_column(data, "z_mean", (const double[]){ NAN, .5, .75 }, 3);
  assert_logprobs(data, 1, NULL, 0);
  put(state, "mt.test.xxyy", "b\nd\n"); /* tokens alone say nothing */
  assert_int_equal(qe_dataset_read_mlqe(data, scratch->folder, "test"), QE_OK);
  put(state, "word_probas.test.xxyy", "-1 -2\n-3 -4\n");
  assert_int_equal(qe_dataset_read_mlqe(data, scratch->folder, "test"), QE_OK);
  assert_int_equal(qe_dataset_rows(data), 7);
  assert_logprobs(data, 4, NULL, 0);
  assert_logprobs(data, 6, (const float[]){ -3, -4 }, 2);
  unlink(scratch_path(scratch, "mt.test.xxyy"));
  put(state, "word_probas.test.xxyy", "-1\n-3\n"); /* without tokens there is nothing to compare with */
  assert_int_equal(qe_dataset_read_mlqe(data, scratch->folder, "test"), QE_OK);
  qe_dataset_free(data);
}

static void test_refused_mlqe(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\na\tb\n");
  struct scratch *scratch = scratch_of(state);
  char message[200];
  assert_fails(data, qe_dataset_read_mlqe(data, scratch->folder, "dev"), QE_WORLD, ": no file dev.*.df.short.tsv");
  put(state, "dev.xxyy.df.short.tsv", "index\toriginal\ttranslation\n0\ta\tb\n1\tc\td e\n");
  put(state, "word_probas.dev.xxyy", "-1 -2\n-3 -4\n");
  put(state, "mt.dev.xxyy", "b\nd e\n");
  snprintf(message, sizeof message,
           "/word_probas.dev.xxyy:2: 2 numbers, expected 3: %s/mt.dev.xxyy has 2 tokens there,"
           " and the end",
           scratch->folder);
  assert_fails(data, qe_dataset_read_mlqe(data, scratch->folder, "dev"), QE_FORMAT, message);
  put(state, "word_probas.dev.xxyy", "-1 -2\n");
  assert_fails(data, qe_dataset_read_mlqe(data, scratch->folder, "dev"), QE_FORMAT,
               "/word_probas.dev.xxyy: 1 lines, expected 2: one for each row from the first to the last");
  unlink(scratch_path(scratch, "word_probas.dev.xxyy"));
  mkdir(scratch_path(scratch, "word_probas.dev.xxyy"), 0777);
  assert_fails(data, qe_dataset_read_mlqe(data, scratch->folder, "dev"), QE_WORLD,
               "/word_probas.dev.xxyy: cannot read: Is a directory");
  put(state, "dev.zz.df.short.tsv", "x");
  assert_int_equal(qe_dataset_read_mlqe(data, scratch->folder, "dev"), QE_FORMAT);
  assert_non_null(strstr(qe_dataset_error(data), ": more than one file dev.*.df.short.tsv ("));
  assert_int_equal(qe_dataset_rows(data), 1);
  qe_dataset_free(data);
}

/* ---- fingerprints ---- */

static size_t put_number(unsigned char *out, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; i++)
    out[i] = (unsigned char)(number >> (8 * i));
  return (size_t)bytes;
}

static size_t put_text(unsigned char *out, const char *text) {
  put_number(out, strlen(text), 8);
  memcpy(out + 8, text, strlen(text));
  return 8 + strlen(text);
}

static void test_sha256_of_documented_bytes(void **state) {
  qe_dataset *data = read_text(state, "src\tmt\tz\ta\nuks\tone\t1\t\n");
  const float logprob = -1;
  const qe_pair pair = { qe_string("kaks"), qe_string(""), &logprob, 1 };
  unsigned char bytes[400];
  char expected[65], found[65];
  size_t size = 18;
  qe_dataset_append(data, &pair);
  memcpy(bytes, "qestrel dataset 1\n", 18);
  size += put_number(bytes + size, 2, 8);
  size += put_text(bytes + size, "uks");
  size += put_text(bytes + size, "one");
  size += put_number(bytes + size, 0, 8);
  size += put_text(bytes + size, "kaks");
  size += put_text(bytes + size, "");
  size += put_number(bytes + size, 1, 8);
  size += put_number(bytes + size, 0xBF800000, 4);
  size += put_number(bytes + size, 1, 8); /* "a" has no number, so it is no column */
  size += put_text(bytes + size, "z");
  size += put_number(bytes + size, 0x3FF0000000000000, 8);
  size += put_number(bytes + size, 0x7FF8000000000000, 8);
  qe_sha256(bytes, size, expected);
  assert_int_equal(qe_dataset_sha256(data, found), QE_OK);
  assert_string_equal(found, expected);
  qe_dataset_free(data);
}

static void assert_other_sha256(void **state, const char *text, const char *hex) {
  qe_dataset *data = read_text(state, text);
  char found[65];
  qe_dataset_sha256(data, found);
  assert_string_not_equal(found, hex);
  qe_dataset_free(data);
}

static void test_sha256_tells_apart(void **state) {
  char hex[65], found[65];
  qe_dataset *data = read_text(state, "src\tmt\tx\ty\na\tbc\t1\t\nd\te\t2\t3\n");
  qe_dataset_sha256(data, hex);
  qe_dataset *swapped = read_text(state, "y\tx\tmt\tsrc\n\t1.0\tbc\ta\n3\t2\te\td\n"); /* order does not count */
  qe_dataset_sha256(swapped, found);
  assert_string_equal(found, hex);
  const double odd[] = { -NAN, 3 };
  qe_dataset_set_column(swapped, "y", odd);
  qe_dataset_sha256(swapped, found);
  assert_string_equal(found, hex);
  qe_dataset_free(swapped);
  assert_other_sha256(state, "src\tmt\tx\ty\nab\tc\t1\t\nd\te\t2\t3\n", hex);
  assert_other_sha256(state, "src\tmt\tx\ty\nd\te\t2\t3\na\tbc\t1\t\n", hex);
  assert_other_sha256(state, "src\tmt\tx\ty\na\tbc\t1\t0\nd\te\t2\t3\n", hex);
  assert_other_sha256(state, "src\tmt\tx\tz\na\tbc\t1\t\nd\te\t2\t3\n", hex);
  assert_other_sha256(state, "src\tmt\tx\na\tbc\t1\nd\te\t2\n", hex);
  assert_int_equal(read_logprobs(state, data, "-1\n-2\n", NULL, 0), QE_OK);
  qe_dataset_sha256(data, found);
  assert_string_not_equal(found, hex);
  qe_dataset_free(data);
}

/* ---- size ---- */

/* A pass that looked at all rows for each would take minutes. */
static void test_many_rows(void **state) {
  enum { ROWS = 200000, LINE = 64, MOST_SECONDS = 20 };
  char *text = malloc((size_t)ROWS * LINE), *scores = malloc((size_t)ROWS * LINE);
  size_t size = (size_t)sprintf(text, "index\tsource\ttarget\tx\n"),
         score_size = (size_t)sprintf(scores, "index\ty\n");
  for (int i = 0; i < ROWS; i++) {
    size += (size_t)sprintf(text + size, "%d\trow %d\tline %d\t%d.5\n", i, i, i, i % 97);
    score_size += (size_t)sprintf(scores + score_size, "%d\t%d\n", ROWS - 1 - i, i % 89);
  }
  const clock_t start = clock();
  size_t matched;
  qe_dataset *data = read_text(state, text);
  assert_int_equal(read_scores(state, data, scores, NULL, &matched), QE_OK);
  assert_int_equal(matched, ROWS);
  assert_int_equal(qe_dataset_rows(data), ROWS);
  assert_pair(data, ROWS - 1, "row 199999", "line 199999");
  assert_true(qe_dataset_column(data, "y")[ROWS - 1] == 0 && qe_dataset_column(data, "x")[98] == 1.5);
  const qe_pair pair = pair_of("s", "t");
  for (int i = 0; i < ROWS / 4; i++)
    assert_int_equal(qe_dataset_append(data, &pair), QE_OK);
  assert_true(clock() - start < MOST_SECONDS * CLOCKS_PER_SEC);
  qe_dataset_free(data);
  free(text);
  free(scores);
}

/* ---- the published data ---- */

static const char *const pairs[] = { "en-de", "en-zh", "et-en", "ne-en", "ro-en", "ru-en", "si-en" };
static const char *const sets[] = { "train", "dev", "test20" };

static bool is_there(const char *path) {
  if (access(path, R_OK) == 0)
    return true;
  print_message("skipped: no %s\n", path);
  return false;
}

/* The MLQE files beside the dataset: as many log-probabilities as blanks and line ends in word_probas. */
static void assert_logprob_total(const char *folder, const char *pair, const char *set, const qe_dataset *data) {
  char path[600];
  size_t size, expected = 0, found = 0;
  snprintf(path, sizeof path, "%s/word_probas.%s.%.2s%s", folder, set, pair, pair + 3);
  char *bytes = scratch_get(path, &size);
  assert_non_null(bytes);
  for (size_t i = 0; i < size; i++)
    expected += bytes[i] == ' ' || bytes[i] == '\n';
  free(bytes);
  for (size_t row = 0; row < qe_dataset_rows(data); row++)
    found += qe_dataset_pair(data, row).logprob_count;
  assert_int_equal(found, expected);
}

static void read_published(const char *pair, const char *set, size_t rows) {
  char folder[400];
  snprintf(folder, sizeof folder, "%smlqe-pe/%s", SHARED, pair);
  qe_dataset *data = qe_dataset_new();
  if (qe_dataset_read_mlqe(data, folder, set) != QE_OK)
    fail_msg("%s", qe_dataset_error(data));
  assert_int_equal(qe_dataset_rows(data), rows);
  assert_int_equal(qe_dataset_columns(data), 4);
  static const char *const names[] = { "mean", "z_mean", "model_scores" };
  for (size_t i = 0; i < 3; i++)
    for (size_t row = 0; row < rows; row++)
      assert_true(isfinite(qe_dataset_column(data, names[i])[row]));
  for (size_t row = 0; row < rows; row++) {
    const qe_pair texts = qe_dataset_pair(data, row);
    assert_true(texts.source.size > 0 && texts.translation.size > 0 && texts.logprob_count > 1);
  }
  assert_logprob_total(folder, pair, set, data);
  qe_dataset_free(data);
}

static void test_published_sets(void **state) {
  (void)state;
  static const size_t rows[] = { 7000, 1000, 1000 };
  if (!is_there(SHARED "mlqe-pe"))
    skip();
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    for (size_t j = 0; j < 3; j++)
      read_published(pairs[i], sets[j], rows[j]);
}

static void test_published_teacher(void **state) {
  (void)state;
  static const size_t matches[] = { 6996, 999, 999 };
  if (!is_there(SHARED "mlqe-pe/et-en") || !is_there(SHARED "et-en-xlmr-teacher"))
    skip();
  for (size_t j = 0; j < 3; j++) {
    char path[400];
    size_t matched, numbers = 0;
    qe_dataset *data = qe_dataset_new();
    assert_int_equal(qe_dataset_read_mlqe(data, SHARED "mlqe-pe/et-en", sets[j]), QE_OK);
    snprintf(path, sizeof path, "%set-en-xlmr-teacher/%s.tsv", SHARED, sets[j]);
    assert_int_equal(qe_dataset_read_scores(data, path, "teacher", &matched), QE_OK);
    for (size_t row = 0; row < qe_dataset_rows(data); row++)
      numbers += !isnan(qe_dataset_column(data, "teacher")[row]);
    assert_int_equal(matched, numbers);
    assert_int_equal(matched, matches[j]);
    qe_dataset_free(data);
  }
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
    with_folder(test_empty),
    with_folder(test_append),
    with_folder(test_append_texts),
    with_folder(test_columns),
    with_folder(test_union),
    with_folder(test_union_with_itself),
    with_folder(test_read),
    with_folder(test_names_of_texts),
    with_folder(test_read_twice),
    with_folder(test_refused_tables),
    with_folder(test_files_that_cannot_be_read),
    with_folder(test_logprobs),
    with_folder(test_refused_logprobs),
    with_folder(test_logprobs_and_tokens),
    with_folder(test_scores),
    with_folder(test_scores_by_number),
    with_folder(test_scores_under_their_names),
    with_folder(test_refused_scores),
    with_folder(test_random_joins),
    with_folder(test_mlqe),
    with_folder(test_refused_mlqe),
    with_folder(test_sha256_of_documented_bytes),
    with_folder(test_sha256_tells_apart),
    with_folder(test_many_rows),
    cmocka_unit_test(test_published_sets),
    cmocka_unit_test(test_published_teacher),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
