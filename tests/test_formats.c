/*
** test_formats.c - the ten formats of n-best lists: what they hold, what comes back byte for byte, what conversion
** keeps, and every edge case that decoders are known for. Captured lists are read where they are there.
*/
#include "reader_fixture.h"

#include "scratch.h"

static const struct sample {
  const char *format;
  size_t per_source;
  const char *bytes, *fields;
} samples[] = {
  { "moses", 0,
    "0 ||| ka lo  ||| LM0= -1 -2.5 d= 0 ||| -4 ||| 0-0 1-1\n0 ||| mi ||| LM0= -2 -1 d= 1 ||| -5 ||| 0-1\n",
    "0<>{ka lo ;-4}{mi;-5}" },
  { "marian", 0, "0 ||| ka lo ||| 0-0 1-1 ||| WordScores= -0.5 -0.25 -1 ||| F0= -1.75 ||| -0.6\n",
    "0<>{ka lo;-0.6;t -0.5 -0.25 -1}" },
  { "marian", 0, "0 ||| ka ||| F0= -1 WordScores= -0.5 -0.5 ||| -1\n1 |||  ||| F0=-1 ||| 0\n",
    "0<>{ka;-1;t -0.5 -0.5}1<>{;0}" },
  { "cdec", 0, "7 ||| su pa ||| QE=1.5 Glue=4 ||| 2.75\n7 ||| su ||| Glue=3 ||| 2.5\n", "7<>{su pa;2.75}{su;2.5}" },
  { "joshua", 0, "0 ||| su pa ||| tm_pt_0=-3 lm_0=-2.5 ||| -4.5\n", "0<>{su pa;-4.5}" },
  { "travatar", 0, "0 ||| su pa ||| -4.5 ||| lm=-3 w=2\n0 ||| su ||| -5 ||| lm=-2 w=1\n",
    "0<>{su pa;-4.5}{su;-5}" },
  { "fairseq", 0,
    "S-4\tsu pa\nT-4\tka lo\nH-4\t-0.5\tk@@ a lo\nD-4\t-0.5\tka lo\nP-4\t-0.5 -0.25\nA-4\t0-0\nH-4\t-0.75\tmi\n"
    "S-2\t\nH-2\t-1\tx\nP-2\t-1\n",
    "4<su pa>{ka lo;-0.5;t -0.5 -0.25}{mi;-0.75}2<>{x;-1;t -1}" },
  { "ct2", 2, "-0.5 ||| ka lo\n-1 ||| mi\n-2 ||| \n-3 ||| x\n", "0<>{ka lo;-0.5}{mi;-1}1<>{;-2}{x;-3}" },
  { "sockeye", 0,
    "{\"sentence_id\": 3, \"text\": \"su pa\", \"translations\": [\"ka lo\", \"mi\"], \"scores\": [[-0.5], "
    "[-1.5]]}\n"
    "{\"sentence_id\": \"x\", \"translations\": []}\n",
    "3<su pa>{ka lo;-0.5}{mi;-1.5}x<>" },
  { "flat", 2, "ka lo\t-0.5\nmi\t-1\n\nx\n", "0<>{ka lo;-0.5}{mi;-1}1<>{}{x}" },
  { "jsonl", 0,
    "{\"id\":0,\"source\":\"s\\u00fc\",\"text\":\"ka \\\"lo\\\"\",\"features\":{\"F\":[1,2]},\"total\":-1,"
    "\"token_scores\":[-0.5,null],\"other\":{\"x\":[1]}}\n{ \"id\" : 0, \"hypothesis\" : \"mi\", \"score\" : -2 "
    "}\n",
    "0<s\xc3\xbc>{ka \"lo\";-1;t -0.5 nan}{mi;-2}" },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static void test_fields_and_bytes(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLES; i++)
    for (size_t piece = 0; piece < 8; piece++) {
      struct reading reading = { .format = samples[i].format, .per_source = samples[i].per_source, .piece = piece };
      assert_reading(&reading, samples[i].bytes, samples[i].fields);
      assert_string_equal(reading.written.bytes, samples[i].bytes);
      assert_int_equal(reading.skipped, 0);
      reading_free(&reading);
    }
}

static void test_guesses(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLES; i++) {
    struct reading reading = { .per_source = samples[i].per_source };
    assert_reading(&reading, samples[i].bytes, samples[i].fields);
    /* nothing tells Joshua's lines from cdec's */
    assert_string_equal(reading.guess, strcmp(samples[i].format, "joshua") == 0 ? "cdec" : samples[i].format);
    reading_free(&reading);
  }
}

static bool has_source(const char *format) {
  return strcmp(format, "fairseq") == 0 || strcmp(format, "sockeye") == 0 || strcmp(format, "jsonl") == 0;
}

static bool has_token_scores(const char *format) {
  return has_source(format) || strcmp(format, "marian") == 0;
}

/* The fields without what the target cannot hold; found by reading the notation of text_add_list. */
static struct text expected_fields(const char *fields, const char *format) {
  struct text text = { NULL, 0 };
  text_add(&text, "", 0);
  for (bool source = false, tokens = false; *fields; fields++) {
    tokens = tokens && *fields != '}';
    source = source && *fields != '>';
    if (strncmp(fields, ";t ", 3) == 0)
      tokens = true;
    if ((!source || has_source(format)) && (!tokens || has_token_scores(format)))
      text_add(&text, fields, 1);
    source = source || *fields == '<';
  }
  return text;
}

static bool has_empty_list(const struct sample *sample) {
  return strstr(sample->fields, "x<>") != NULL;
}

/* Every sample in every format and back: the same fields, and the same bytes the second time. */
static void test_conversions(void **state) {
  static const char *const targets[] = { "moses",    "marian",  "cdec",    "joshua",
                                         "travatar", "fairseq", "sockeye", "jsonl" };
  (void)state;
  for (size_t i = 0; i < SAMPLES; i++)
    for (size_t j = 0; j < sizeof targets / sizeof *targets; j++) {
      if (has_empty_list(&samples[i]) && strcmp(targets[j], "sockeye") != 0)
        continue;
      struct reading one = { .format = samples[i].format,
                             .per_source = samples[i].per_source,
                             .target = targets[j] };
      struct reading two = { .format = targets[j], .target = targets[j] };
      if (reading_run(&one, samples[i].bytes, strlen(samples[i].bytes)) != QE_OK)
        fail_msg("%s to %s: %s", samples[i].format, targets[j], one.error);
      struct text expected = expected_fields(samples[i].fields, targets[j]);
      assert_reading(&two, one.written.bytes, expected.bytes);
      assert_string_equal(two.written.bytes, one.written.bytes);
      free(expected.bytes);
      reading_free(&one);
      reading_free(&two);
    }
}

static void convert(const char *from, size_t per_source, const char *bytes, const char *to, const char *expected) {
  struct reading reading = { .format = from, .per_source = per_source, .target = to };
  if (reading_run(&reading, bytes, strlen(bytes)) != QE_OK)
    fail_msg("%s", reading.error);
  assert_string_equal(reading.written.bytes, expected);
  reading_free(&reading);
}

static void test_what_conversion_writes(void **state) {
  (void)state;
  convert("moses", 0, "0 ||| a ||| F= 1 2 G= -.5 F= 3 ||| nan\n", "jsonl",
          "{\"id\": 0, \"rank\": 1, \"text\": \"a\", \"features\": {\"F\": [1, 2, 3], \"G\": -0.5}, \"total\": "
          "null}\n");
  convert("moses", 0, "07 ||| a ||| -1 inf ||| -inf\n", "jsonl",
          "{\"id\": \"07\", \"rank\": 1, \"text\": \"a\", \"features\": {\"\": [-1, 1e999]}, \"total\": -1e999}\n");
  convert("jsonl", 0, "{\"id\":0,\"text\":\"a\",\"features\":{\"F\":1,\"\":[-1,2]},\"system\":\"m\"}\n", "moses",
          "0 ||| a ||| -1 2 F= 1\n");
  convert("moses", 0, "0 ||| a ||| F= 1 2 ||| -1\n0 ||| b ||| G= nan ||| -2\n", "sockeye",
          "{\"sentence_id\": 0, \"translations\": [\"a\", \"b\"], \"scores\": [-1, -2], \"F\": [[1, 2], null], "
          "\"G\": [null, [null]]}\n");
  convert("sockeye", 0, "{\"translations\":[\"a\",\"b\"],\"F\":[[1,2],null],\"G\":[null,[null]],\"x\":[1]}\n",
          "moses", "0 ||| a ||| F= 1 2\n0 ||| b ||| G= nan\n");
  convert("moses", 0, "0 ||| a ||| F= 1 ||| -1\n", "fairseq", "H-0\t-1\ta\nQ-0\tF= 1\n");
  convert("jsonl", 0, "{\"id\":5,\"source\":\"s\",\"text\":\"a\",\"token_scores\":[-1,-2]}\n", "fairseq",
          "S-5\ts\nH-5\tnan\ta\nP-5\t-1 -2\n");
  convert("moses", 0, "0 ||| a ||| F= 1 ||| -1\n", "ct2", "-1 ||| a\n");
  convert("moses", 0, "0 ||| a ||| F= 1\n", "flat", "a\n");
  convert("marian", 0, "0 ||| a ||| 0-0 ||| WordScores= -1 ||| F0= 1 ||| -1\n", "moses",
          "0 ||| a ||| F0= 1 ||| -1\n");
}

static void test_what_conversion_refuses(void **state) {
  static const char *const bad[][2] = {
    { "{\"id\":0,\"text\":\"a\\nb\"}", "moses" },
    { "{\"id\":0,\"text\":\"a ||| b ||| c\"}", "moses" },
    { "{\"id\":0,\"text\":\"a ||| 0-0\",\"features\":{\"F\":1}}", "moses" },
    { "{\"id\":0,\"text\":\"5 ||| a\"}", "ct2" },
    { "{\"id\":0,\"text\":\"a\\t5\"}", "flat" },
    { "{\"id\":0,\"text\":\"a\\r\"}", "flat" },
    { "{\"id\":\"x\",\"text\":\"a\"}", "fairseq" },
    { "{\"id\":0,\"text\":\"a\\nb\"}", "fairseq" },
    { "{\"id\":0,\"text\":\"a\",\"features\":{\"scores\":1}}", "sockeye" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct reading reading = { .format = "jsonl", .target = bad[i][1] };
    assert_refused(&reading, bad[i][0], bad[i][1]);
    reading_free(&reading);
  }
}

/* ---- changes in the format as read ---- */

static void change(const char *format, size_t per_source, const char *bytes, const char *expected) {
  const size_t order[] = { 1, 0 };
  const double values[] = { .5, NAN }, totals[] = { NAN, -9 };
  qe_reader *reader = qe_reader_new();
  qe_list *list = qe_list_new();
  qe_text out;
  assert_int_equal(qe_reader_format(reader, format, per_source), QE_OK);
  qe_reader_feed(reader, bytes, strlen(bytes));
  qe_reader_end(reader);
  if (qe_reader_next(reader, list) != 1)
    fail_msg("%s", qe_reader_error(reader));
  assert_int_equal(qe_list_append(list, "QE0", values), QE_OK);
  if (qe_list_write(list, NULL, order, 2, totals, &out) != QE_OK)
    fail_msg("%s", qe_list_error(list));
  if (out.size != strlen(expected) || memcmp(out.data, expected, out.size) != 0)
    fail_msg("%.*s\nexpected\n%s", (int)out.size, out.data, expected);
  qe_list_free(list);
  qe_reader_free(reader);
}

static void test_changes(void **state) {
  (void)state;
  change("moses", 0, "0 ||| a ||| F= 1 ||| -1 ||| 0-0\n0 ||| b\n",
         "0 ||| b ||| QE0= nan ||| -9\n"
         "0 ||| a ||| F= 1 QE0= 0.5 ||| -1 ||| 0-0\n");
  change("travatar", 0, "0 ||| a ||| -1 ||| F=1\n0 ||| b ||| -2\n",
         "0 ||| b ||| -9 ||| QE0= nan\n"
         "0 ||| a ||| -1 ||| F=1 QE0= 0.5\n");
  change("travatar", 0, "0 ||| a\n0 ||| b\n", "0 ||| b ||| -9 ||| QE0=nan\n0 ||| a ||| nan ||| QE0=0.5\n");
  change("fairseq", 0, "S-0\ts\nH-0\t-1\ta\nD-0\t-1\tA\nH-0\t-2\tb\nD-0\t-2\tB\nQ-0\tF= 1\nA-0\t0-0\n",
         "S-0\ts\nH-0\t-9\tb\nD-0\t-9\tB\nQ-0\tF= 1 QE0= nan\nA-0\t0-0\nH-0\t-1\ta\nD-0\t-1\tA\nQ-0\tQE0= 0.5\n");
  change("ct2", 2, "-1 ||| a\n-2 ||| b\n", "-9 ||| b\n-1 ||| a\n");
  change("ct2", 2, "a\nb\n", "-9 ||| b\na\n");
  change("flat", 2, "a\t-1\nb\n", "b\t-9\na\t-1\n");
  change("sockeye", 0,
         "{\"sentence_id\":1, \"translation\":\"a\", \"translations\":[\"a\",\"b\"], \"scores\":[[-1,0],[-2,0]],"
         "\"alignments\":[[[0,0]],[]],\"F\":[1,2],\"other\":{\"x\":1},\"score\":-1}\n",
         "{\"sentence_id\": 1, \"translation\": \"b\", \"translations\": [\"b\", \"a\"], \"scores\": [[-9,0], "
         "[-1,0]], "
         "\"alignments\": [[], [[0,0]]], \"F\": [2, 1], \"other\": {\"x\":1}, \"score\": [-9,0], "
         "\"QE0\": [[null], 0.5]}\n");
  change("jsonl", 0,
         "{\"id\":0,\"rank\":1,\"text\":\"a\",\"total\":-1,\"features\":{\"F\":1},\"x\":1}\n"
         "{\"rank\":2,\"text\":\"b\",\"id\":0}\n",
         "{\"rank\":1,\"text\":\"b\",\"id\":0, \"features\": {\"QE0\": null}, \"total\": -9}\n"
         "{\"id\":0,\"rank\":2,\"text\":\"a\",\"total\":-1,\"features\":{\"F\":1, \"QE0\": 0.5},\"x\":1}\n");
}

static void test_pushed_candidates(void **state) {
  qe_text out;
  (void)state;
  qe_list *list = qe_list_new();
  qe_hypothesis hypothesis = { .id = qe_string("3"), .text = qe_string("ka"), .total = 1. / 3 };
  assert_int_equal(qe_list_push(list, &hypothesis), QE_OK);
  hypothesis = (qe_hypothesis){ .text = qe_string("lo"), .features = qe_string("F= 1"), .total = NAN };
  assert_int_equal(qe_list_push(list, &hypothesis), QE_OK);
  assert_int_equal(qe_list_write(list, NULL, NULL, 0, NULL, &out), QE_OK);
  const char expected[] = "3 ||| ka |||  ||| 0.3333333333333333\n3 ||| lo ||| F= 1\n";
  assert_int_equal(out.size, strlen(expected));
  assert_memory_equal(out.data, expected, out.size);
  hypothesis.id = qe_string("4");
  assert_int_equal(qe_list_push(list, &hypothesis), QE_USE);
  hypothesis = (qe_hypothesis){ .features = qe_string("F= 1 x") };
  assert_int_equal(qe_list_push(list, &hypothesis), QE_USE);
  assert_int_equal(qe_list_size(list), 2);
  assert_int_equal(qe_list_write(list, "none", NULL, 0, NULL, &out), QE_USE);
  qe_list_free(list);
}

/* ---- edge cases ---- */

static void edge_1_empty_hypothesis(void **state) {
  struct reading reading = { .format = "moses" };
  (void)state;
  assert_reading(&reading, "0 |||  ||| F0= -1 ||| 0\n1 |||\n2 ||| \n", "0<>{;0}1<>{}2<>{}");
  assert_string_equal(reading.written.bytes, "0 |||  ||| F0= -1 ||| 0\n1 |||\n2 ||| \n");
  reading_free(&reading);
}

static void edge_2_ids_with_gaps(void **state) {
  struct reading reading = { .target = "jsonl" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| F= 1 ||| 1\n5 ||| b ||| F= 1 ||| 1\n", "0<>{a;1}5<>{b;1}");
  reading_free(&reading);
}

static void edge_3_ids_unsorted_and_again(void **state) {
  struct reading reading = { .format = "moses" };
  (void)state;
  assert_reading(&reading, "9 ||| a\n2 ||| b\n9 ||| c\n9 ||| d\n", "9<>{a}2<>{b}9<>{c}{d}");
  assert_int_equal(reading.lists, 3);
  reading_free(&reading);
}

static void edge_4_fewer_and_none(void **state) {
  struct reading reading = { .format = "fairseq" };
  (void)state;
  assert_reading(&reading, "S-0\ts\nS-1\tt\nH-1\t-1\ta\n", "0<s>1<t>{a;-1}");
  assert_string_equal(reading.written.bytes, "S-0\ts\nS-1\tt\nH-1\t-1\ta\n");
  reading.format = "moses";
  reading.per_source = 3;
  assert_reading(&reading, "0 ||| a\n1 ||| b\n1 ||| c\n1 ||| d\n2 ||| e\n", "0<>{a}1<>{b}{c}{d}2<>{e}");
  reading_free(&reading);
}

static void edge_5_pipes_in_text(void **state) {
  struct reading reading = { .format = "moses", .escapes = true };
  (void)state;
  assert_reading(&reading, "0 ||| a &#124;&#124;&#124; b &amp;lt; ||| F= 1 ||| 1\n", "0<>{a ||| b &lt;;1}");
  assert_string_equal(reading.written.bytes, "0 ||| a &#124;&#124;&#124; b &amp;lt; ||| F= 1 ||| 1\n");
  reading.target = "travatar";
  assert_reading(&reading, "0 ||| a &#124; b &amp;lt; ||| F= 1 ||| 1\n", "0<>{a | b &lt;;1}");
  assert_string_equal(reading.written.bytes, "0 ||| a &#124; b &amp;lt; ||| 1 ||| F=1\n");
  reading.escapes = false;
  assert_reading(&reading, "0 ||| a &#124; b ||| c ||| F= 1 ||| 1\n", "0<>{a &#124; b ||| c;1}");
  reading_free(&reading);
}

static void edge_6_names_with_underscore(void **state) {
  struct reading reading = { .format = "cdec", .target = "jsonl" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| tm_0=1 x_y= 2 ||| 1\n", "0<>{a;1}");
  assert_non_null(strstr(reading.written.bytes, "{\"tm_0\": 1, \"x_y\": 2}"));
  reading_free(&reading);
}

static void edge_7_blank_lines(void **state) {
  struct reading reading = { .format = "cdec" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| F=1 ||| 1\n\n\n1 ||| b ||| F=1 ||| 1\n\n", "0<>{a;1}1<>{b;1}");
  assert_int_equal(reading.skipped, 3);
  assert_int_equal(reading.lines, 5);
  assert_refused(&reading, "3\n0 ||| a ||| F=1 ||| 1\n", "line 1: a number alone");
  reading.format = "moses";
  assert_refused(&reading, "0 ||| a\n\n", "line 2: 1 field");
  reading.format = "flat";
  reading.per_source = 1;
  assert_reading(&reading, "\na\n", "0<>{}1<>{a}");
  reading_free(&reading);
}

static void edge_8_carriage_returns(void **state) {
  struct reading reading = { .format = "moses" };
  (void)state;
  assert_reading(&reading, "0 ||| a\rb\xe2\x80\xa8\x0c||| c ||| F= 1 ||| 1\r\n0 ||| d\r\r\n",
                 "0<>{a\rb\xe2\x80\xa8\x0c||| c;1}{d\r}");
  assert_string_equal(reading.written.bytes, "0 ||| a\rb\xe2\x80\xa8\x0c||| c ||| F= 1 ||| 1\n0 ||| d\r\n");
  reading_free(&reading);
}

static void edge_9_subword_text(void **state) {
  struct reading reading = { .format = "fairseq" };
  (void)state;
  assert_reading(&reading, "H-0\t-1\tk@@ a \xe2\x96\x81lo\nH-0\t-2\tk@@ a\nD-0\t-2\tka\n",
                 "0<>{k@@ a \xe2\x96\x81lo;-1}{ka;-2}");
  reading_free(&reading);
}

static void edge_11_duplicates(void **state) {
  struct reading reading = { .format = "moses" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| F= 1 ||| 1\n0 ||| a ||| F= 2 ||| 2\n0 ||| a ||| F= 2 ||| 2\n",
                 "0<>{a;1}{a;2}{a;2}");
  reading_free(&reading);
}

static void edge_12_totals_keep_their_sign(void **state) {
  struct reading reading = { .format = "joshua", .target = "jsonl" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| cost=3 ||| 7.5\n", "0<>{a;7.5}");
  assert_non_null(strstr(reading.written.bytes, "\"total\": 7.5"));
  reading_free(&reading);
}

static void edge_13_ties_keep_their_order(void **state) {
  const double one = 1;
  size_t order[3];
  (void)state;
  qe_list *list = qe_list_new();
  qe_weights *weights = qe_weights_new();
  qe_weights_set(weights, "total", &one, 1);
  for (size_t i = 0; i < 3; i++)
    qe_list_push(list, &(qe_hypothesis){ .text = qe_string("a"), .total = i == 2 ? 1 : 0 });
  assert_int_equal(qe_list_rank(list, weights, order, NULL), QE_OK);
  assert_true(order[0] == 2 && order[1] == 0 && order[2] == 1);
  qe_weights_free(weights);
  qe_list_free(list);
}

static void edge_14_unusual_numbers(void **state) {
  struct reading reading = { .format = "jsonl", .target = "jsonl" };
  (void)state;
  assert_reading(&reading,
                 "{\"id\":0,\"text\":\"a\",\"total\":-Infinity}\n{\"id\":0,\"text\":\"b\",\"total\":NaN}\n",
                 "0<>{a;-inf}{b}");
  reading.target = "moses";
  assert_reading(&reading, "{\"id\":0,\"text\":\"a\",\"total\":1e999,\"features\":{\"F\":[NaN,null,1E2]}}\n",
                 "0<>{a;inf}");
  assert_string_equal(reading.written.bytes, "0 ||| a ||| F= NaN nan 1E2 ||| 1e999\n");
  reading.format = "moses";
  assert_refused(&reading, "0 ||| a ||| F= 1 ||| -1,5\n", "line 1: the total is \"-1,5\"");
  reading.format = "travatar";
  assert_refused(&reading, "0 ||| a ||| -1,5 ||| F=1\n", "line 1: the total is \"-1,5\"");
  reading_free(&reading);
}

static void edge_15_features_without_blank(void **state) {
  struct reading reading = { .format = "cdec", .target = "moses" };
  (void)state;
  assert_reading(&reading, "0 ||| a ||| F=1 G=-2 ||| 1\n", "0<>{a;1}");
  assert_string_equal(reading.written.bytes, "0 ||| a ||| F= 1 G= -2 ||| 1\n");
  reading_free(&reading);
}

static void edge_16_counts_that_do_not_divide(void **state) {
  static const char *const formats[] = { "ct2", "flat" };
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct reading reading = { .format = formats[i] };
    assert_refused(&reading, "", "number of hypotheses per source is needed");
    reading.per_source = 4;
    assert_refused(&reading, "a\nb\nc\nd\ne\nf\n", "line 6: the last list has 2 hypotheses, expected 4");
    reading_free(&reading);
  }
  struct reading reading = { .format = NULL };
  assert_refused(&reading, "-0.5 ||| a\n", "looks like ct2");
  assert_refused(&reading, "a\nb\n", "no known format");
  reading_free(&reading);
}

/* ---- malformed lines ---- */

static void test_bad_lines_are_named(void **state) {
  static const char *const bad[][3] = {
    { "jsonl", "{\"id\":0,\"text\":\"a\"}\n{\"id\":0", "line 2: not a JSON object" },
    { "jsonl", "[1]", "line 1: not a JSON object" },
    { "jsonl", "{\"id\":0,\"text\":\"\\x\"}", "not a JSON object" },
    { "jsonl", "{\"id\":0,\"text\":\"a\"} x", "not a JSON object" },
    { "jsonl", "{\"text\":\"a\"}", "no \"id\"" },
    { "jsonl", "{\"id\":[],\"text\":\"a\"}", "\"id\" is []" },
    { "jsonl", "{\"id\":0}", "no \"text\"" },
    { "jsonl", "{\"id\":0,\"text\":1}", "text is 1, expected a string" },
    { "jsonl", "{\"id\":0,\"id\":0,\"text\":\"\"}", "\"id\" comes twice" },
    { "jsonl", "{\"id\":0,\"text\":\"\",\"total\":\"x\"}", "total is \"x\", expected a number" },
    { "jsonl", "{\"id\":0,\"text\":\"\",\"features\":{\"a b\":1}}", "a feature is \"a b\"" },
    { "jsonl", "{\"id\":0,\"text\":\"\",\"features\":{\"a\":\"1\"}}", "a feature is \"a\"" },
    { "jsonl", "{\"id\":0,\"text\":\"\",\"features\":[]}", "expected an object" },
    { "jsonl", "{\"id\":0,\"text\":\"\",\"token_scores\":[[]]}", "a token's score is []" },
    { "sockeye", "{\"translations\":3}", "no array \"translations\"" },
    { "sockeye", "{\"translations\":[\"a\"],\"scores\":[1,2]}", "2 scores for 1 translations" },
    { "sockeye", "{\"translations\":[1]}", "a translation is 1" },
    { "sockeye", "{\"translations\":[\"a\"],\"scores\":[\"b\"]}", "a score is \"b\"" },
    { "fairseq", "log\nH-0\tx\ta\n", "line 2: the score is \"x\"" },
    { "fairseq", "H-0\t1\ta\nD-0\t1\ta\nD-0\t1\ta\n", "line 3: a second D- line" },
    { "travatar", "0 ||| a ||| b ||| F=1", "the total is \"b\"" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct reading reading = { .format = bad[i][0] };
    assert_refused(&reading, bad[i][1], bad[i][2]);
    reading_free(&reading);
  }
}

/* ---- captured lists ---- */

static void test_captured_lists(void **state) {
  static const struct {
    const char *name, *guess;
    size_t per_source, lists;
  } files[] = { { "marian.plain.nbest", "marian", 0, 51 },
                { "marian.wordscores.nbest", "marian", 0, 51 },
                { "marian.ensemble.nbest", "marian", 0, 51 },
                { "cdec.nbest", "cdec", 0, 1 },
                { "ct2.nbest", "ct2", 4, 0 } };
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[1024];
    size_t size;
    snprintf(path, sizeof path, QE_SOURCE_DIR "/../shared/data/nbest/%s", files[i].name);
    char *bytes = scratch_get(path, &size);
    if (!bytes) {
      print_message("%s is not there\n", path);
      skip();
    }
    struct reading plain = { .per_source = files[i].per_source, .piece = 100 };
    struct reading json = { .per_source = files[i].per_source, .target = "jsonl" },
                   back = { .target = files[i].guess };
    if (reading_run(&plain, bytes, size) != QE_OK || reading_run(&json, bytes, size) != QE_OK ||
        reading_run(&back, json.written.bytes, json.written.size) != QE_OK)
      fail_msg("%s: %s%s%s", files[i].name, plain.error, json.error, back.error);
    assert_string_equal(plain.guess, files[i].guess);
    assert_true(files[i].lists == 0 || plain.lists == files[i].lists);
    assert_string_equal(plain.written.bytes, bytes);
    assert_string_equal(back.fields.bytes, plain.fields.bytes);
    assert_string_equal(back.written.bytes, bytes);
    reading_free(&plain);
    reading_free(&json);
    reading_free(&back);
    free(bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fields_and_bytes),
    cmocka_unit_test(test_guesses),
    cmocka_unit_test(test_conversions),
    cmocka_unit_test(test_what_conversion_writes),
    cmocka_unit_test(test_what_conversion_refuses),
    cmocka_unit_test(test_changes),
    cmocka_unit_test(test_pushed_candidates),
    cmocka_unit_test(edge_1_empty_hypothesis),
    cmocka_unit_test(edge_2_ids_with_gaps),
    cmocka_unit_test(edge_3_ids_unsorted_and_again),
    cmocka_unit_test(edge_4_fewer_and_none),
    cmocka_unit_test(edge_5_pipes_in_text),
    cmocka_unit_test(edge_6_names_with_underscore),
    cmocka_unit_test(edge_7_blank_lines),
    cmocka_unit_test(edge_8_carriage_returns),
    cmocka_unit_test(edge_9_subword_text),
    cmocka_unit_test(edge_11_duplicates),
    cmocka_unit_test(edge_12_totals_keep_their_sign),
    cmocka_unit_test(edge_13_ties_keep_their_order),
    cmocka_unit_test(edge_14_unusual_numbers),
    cmocka_unit_test(edge_15_features_without_blank),
    cmocka_unit_test(edge_16_counts_that_do_not_divide),
    cmocka_unit_test(test_bad_lines_are_named),
    cmocka_unit_test(test_captured_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
