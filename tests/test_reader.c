/*
** test_reader.c - streams: pieces of any size, lists that come as soon as they can, gzip, misuse, memory that fails and
** memory that does not grow with the stream.
*/
#include "reader_fixture.h"

#include <time.h>
#include <zlib.h>

/* One gzip member; returns its size. */
static size_t pack(const char *bytes, size_t size, unsigned char *out, size_t room) {
  z_stream stream = { .next_in = NULL };
  unsigned char *copy = malloc(size + 1);
  memcpy(copy, bytes, size);
  assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = copy;
  stream.avail_in = (unsigned)size;
  stream.next_out = out;
  stream.avail_out = (unsigned)room;
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  deflateEnd(&stream);
  free(copy);
  return room - stream.avail_out;
}

static const char plain[] = "0 ||| ka lo ||| F= -1 ||| -1\n0 ||| mi ||| F= -2 ||| -2\n1 ||| su ||| F= -1 ||| -1\n";
static const char plain_fields[] = "0<>{ka lo;-1}{mi;-2}1<>{su;-1}";

static void edge_10_gzip(void **state) {
  unsigned char packed[1000];
  (void)state;
  size_t size = pack(plain, 40, packed, 500); /* two members, the line is cut between them */
  size += pack(plain + 40, sizeof plain - 41, packed + size, 500);
  for (size_t piece = 0; piece < 40; piece++) {
    struct reading reading = { .piece = piece };
    if (reading_run(&reading, (const char *)packed, size) != QE_OK)
      fail_msg("%s", reading.error);
    assert_string_equal(reading.fields.bytes, plain_fields);
    assert_string_equal(reading.written.bytes, plain);
    reading_free(&reading);
  }
}

static void test_damaged_gzip(void **state) {
  unsigned char packed[500];
  struct reading reading = { .format = "moses" };
  (void)state;
  const size_t size = pack(plain, sizeof plain - 1, packed, sizeof packed);
  assert_int_equal(reading_run(&reading, (const char *)packed, size - 9), QE_FORMAT);
  assert_non_null(strstr(reading.error, "ends too early"));
  packed[size] = 'x';
  assert_int_equal(reading_run(&reading, (const char *)packed, size + 1), QE_FORMAT);
  packed[size / 2] ^= 0x55;
  assert_int_equal(reading_run(&reading, (const char *)packed, size), QE_FORMAT);
  assert_non_null(strstr(reading.error, "damaged gzip"));
  reading_free(&reading);
}

/* Much text out of few bytes: the reader unpacks no more than it must. */
static void test_gzip_that_grows(void **state) {
  enum { LINES = 20000 };
  struct text text = { NULL, 0 };
  (void)state;
  for (int i = 0; i < LINES; i++)
    text_printf(&text, "%d ||| ka ka ka ka ka ka ka ka ka ka ||| F= 1 ||| 1\n", i);
  unsigned char *packed = malloc(text.size);
  const size_t size = pack(text.bytes, text.size, packed, text.size);
  struct reading reading = { .format = "moses" };
  assert_int_equal(reading_run(&reading, (const char *)packed, size), QE_OK);
  assert_int_equal(reading.lists, LINES);
  assert_string_equal(reading.written.bytes, text.bytes);
  reading_free(&reading);
  free(packed);
  free(text.bytes);
}

static int feed(qe_reader *reader, const char *bytes) {
  return qe_reader_feed(reader, bytes, strlen(bytes));
}

static void test_lists_come_at_once(void **state) {
  (void)state;
  qe_reader *reader = qe_reader_new();
  qe_list *list = qe_list_new(), *other = qe_list_new();
  assert_int_equal(qe_reader_format(reader, "auto", 2), QE_OK);
  assert_string_equal(qe_reader_guess(reader), "");
  assert_int_equal(qe_reader_next(reader, list), 0);
  feed(reader, "0 ||| a ||| F= 1 ||| 1\n0 ||| b");
  assert_int_equal(qe_reader_next(reader, list), 0);
  assert_int_equal(qe_reader_next(reader, other), QE_USE);
  assert_string_equal(qe_reader_guess(reader), "moses");
  feed(reader, " ||| F= 1 ||| 1\n");
  assert_int_equal(qe_reader_next(reader, list), 1);
  assert_int_equal(qe_list_size(list), 2);
  assert_int_equal(qe_reader_next(reader, list), 0);
  feed(reader, "1 ||| c ||| F= 1 ||| 1\n2 ||| d ||| F= 1 ||| 1");
  assert_int_equal(qe_reader_next(reader, list), 0);
  assert_int_equal(qe_reader_end(reader), QE_OK);
  assert_int_equal(qe_reader_next(reader, list), 1);
  assert_int_equal(qe_list_size(list), 1);
  assert_int_equal(qe_reader_next(reader, list), 1);
  assert_int_equal(qe_list_size(list), 1);
  assert_int_equal(qe_reader_next(reader, list), 0);
  assert_int_equal(qe_reader_next(reader, list), 0);
  assert_int_equal(feed(reader, "x"), QE_USE);
  assert_int_equal(qe_reader_format(reader, "moses", 0), QE_USE);
  assert_int_equal(qe_reader_escapes(reader, 1), QE_USE);
  qe_list_free(list);
  qe_list_free(other);
  qe_reader_free(reader);
}

static void test_nothing_at_all(void **state) {
  (void)state;
  for (size_t piece = 0; piece < 2; piece++) {
    struct reading reading = { .piece = piece };
    assert_reading(&reading, "", "");
    assert_string_equal(reading.guess, "");
    reading_free(&reading);
  }
}

static void test_errors_stay(void **state) {
  (void)state;
  qe_reader *reader = qe_reader_new();
  qe_list *list = qe_list_new();
  qe_reader_format(reader, "moses", 0);
  feed(reader, "0 ||| a\nnothing\n1 ||| b\n");
  assert_int_equal(qe_reader_next(reader, list), QE_FORMAT);
  assert_non_null(strstr(qe_reader_error(reader), "line 2: 1 field"));
  assert_int_equal(feed(reader, "x"), QE_FORMAT);
  assert_int_equal(qe_reader_next(reader, list), QE_FORMAT);
  assert_non_null(strstr(qe_reader_error(reader), "line 2: 1 field"));
  qe_list_free(list);
  qe_reader_free(reader);
}

static void test_fairseq_log_is_skipped(void **state) {
  struct reading reading = { .piece = 7 };
  (void)state;
  assert_reading(&reading, "2020 | INFO | starts\n\nS-0\ts\n| log\nH-0\t-1\ta\nW-0\t0.1\tseconds\nH-x\nend\n",
                 "0<s>{a;-1}");
  assert_string_equal(reading.guess, "fairseq");
  assert_string_equal(reading.written.bytes, "S-0\ts\nH-0\t-1\ta\nW-0\t0.1\tseconds\n");
  assert_int_equal(reading.skipped, 5);
  assert_int_equal(reading.lines, 8);
  reading_free(&reading);
}

static void test_hopeless_starts_are_refused(void **state) {
  struct text text = { NULL, 0 };
  struct reading reading = { .piece = 10 };
  (void)state;
  for (int i = 0; i < 100; i++)
    text_printf(&text, "nothing\n");
  assert_refused(&reading, text.bytes, "no known format");
  reading.per_source = 50;
  assert_int_equal(reading_run(&reading, text.bytes, text.size), QE_OK);
  assert_string_equal(reading.guess, "flat");
  assert_int_equal(reading.lists, 2);
  reading_free(&reading);
  free(text.bytes);
}

static void test_any_bytes(void **state) {
  static const char bytes[] = "0 ||| a\0b \xff\xfe ||| F= 1 ||| 1\n";
  struct reading reading = { .format = "moses" };
  (void)state;
  assert_int_equal(reading_run(&reading, bytes, sizeof bytes - 1), QE_OK);
  assert_int_equal(reading.written.size, sizeof bytes - 1);
  assert_memory_equal(reading.written.bytes, bytes, sizeof bytes - 1);
  struct reading json = { .format = "moses", .target = "jsonl" }, back = { .format = "jsonl", .target = "moses" };
  assert_int_equal(reading_run(&json, bytes, sizeof bytes - 1), QE_OK);
  assert_int_equal(reading_run(&back, json.written.bytes, json.written.size), QE_OK);
  assert_int_equal(back.written.size, sizeof bytes - 1);
  assert_memory_equal(back.written.bytes, bytes, sizeof bytes - 1);
  reading_free(&reading);
  reading_free(&json);
  reading_free(&back);
}

/* Random lists in random pieces, cut into lines the naive way. */
static void test_pieces(void **state) {
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 5, "pieces");
  for (int round = 0; round < 100; round++) {
    struct text text = { NULL, 0 }, fields = { NULL, 0 };
    long last = -1;
    text_add(&fields, "", 0);
    for (size_t lines = qe_rng_below(&rng, 20) + 1; lines > 0; lines--) {
      const long id = last + (long)qe_rng_below(&rng, 2) + (last < 0);
      const int total = (int)qe_rng_below(&rng, 9);
      text_printf(&text, "%ld ||| w%d ||| F= 1 ||| %d%s\n", id, total, total, qe_rng_below(&rng, 2) ? "\r" : "");
      if (id != last)
        text_printf(&fields, "%ld<>", id);
      text_printf(&fields, "{w%d;%d}", total, total);
      last = id;
    }
    struct reading reading = { .piece = qe_rng_below(&rng, 30) + 1 };
    assert_reading(&reading, text.bytes, fields.bytes);
    reading_free(&reading);
    free(text.bytes);
    free(fields.bytes);
  }
}

/* A million candidates of one source: the time is linear, or this would not end. */
static void test_a_long_list(void **state) {
  enum { COUNT = 1000000 };
  static const char line[] = "0 ||| ka ||| F= 1 ||| 1\n";
  (void)state;
  qe_reader *reader = qe_reader_new();
  qe_list *list = qe_list_new();
  qe_text out;
  struct text piece = { NULL, 0 };
  for (int i = 0; i < 1000; i++)
    text_add(&piece, line, sizeof line - 1);
  const clock_t start = clock();
  for (int i = 0; i < COUNT / 1000; i++) {
    qe_reader_feed(reader, piece.bytes, piece.size);
    assert_int_equal(qe_reader_next(reader, list), 0);
  }
  qe_reader_end(reader);
  assert_int_equal(qe_reader_next(reader, list), 1);
  assert_int_equal(qe_list_size(list), COUNT);
  assert_int_equal(qe_list_write(list, NULL, NULL, 0, NULL, &out), QE_OK);
  assert_int_equal(out.size, (sizeof line - 1) * COUNT);
  assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 30);
  free(piece.bytes);
  qe_list_free(list);
  qe_reader_free(reader);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(edge_10_gzip),
    cmocka_unit_test(test_damaged_gzip),
    cmocka_unit_test(test_gzip_that_grows),
    cmocka_unit_test(test_lists_come_at_once),
    cmocka_unit_test(test_nothing_at_all),
    cmocka_unit_test(test_errors_stay),
    cmocka_unit_test(test_fairseq_log_is_skipped),
    cmocka_unit_test(test_hopeless_starts_are_refused),
    cmocka_unit_test(test_any_bytes),
    cmocka_unit_test(test_pieces),
    cmocka_unit_test(test_a_long_list),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
