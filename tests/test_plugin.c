/*
** test_plugin.c - the plugin as a decoder meets it: loaded with RTLD_LOCAL, every function looked up by name, answers
** compared with those of the library, and whatever fails leaving the decoder's order.
*/
#include "qestrel.h"
#include "qestrel_plugin.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL QE_SOURCE_DIR "/models/et-en.qe"

static struct {
  void *library;
  uint32_t (*abi_version)(void);
  qestrel_plugin *(*create)(const char *options, char *error, size_t size);
  qestrel_plugin *(*create_from_file)(const char *path, char *error, size_t size);
  void (*destroy)(qestrel_plugin *plugin);
  int (*describe)(const qestrel_plugin *plugin, qestrel_plugin_description *description);
  size_t (*rerank)(qestrel_plugin *plugin, qestrel_plugin_list *lists, size_t count, double deadline_ms);
  qestrel_plugin_source *(*begin_source)(qestrel_plugin *plugin, qestrel_plugin_text source);
  double (*score_target)(qestrel_plugin_source *source, qestrel_plugin_text target);
  void (*end_source)(qestrel_plugin_source *source);
  size_t (*tokens_to_text)(const qestrel_plugin *plugin, const qestrel_plugin_text *tokens, size_t count, char *out,
                           size_t room);
  qestrel_plugin_stream *(*stream_new)(qestrel_plugin *plugin, qestrel_plugin_output *output, void *context);
  int (*nbest_feed)(qestrel_plugin_stream *stream, const void *bytes, size_t size);
  int (*nbest_flush)(qestrel_plugin_stream *stream);
  void (*stream_free)(qestrel_plugin_stream *stream);
  void (*set_log)(qestrel_plugin *plugin, qestrel_plugin_log *log, void *context);
  const char *(*error)(const qestrel_plugin *plugin);
  int (*get_stats)(const qestrel_plugin *plugin, qestrel_plugin_stats *stats);
} api;

/* A pointer to a function out of one to an object, which C has no cast for. */
static void look_up(const char *name, void *function) {
  void *symbol = dlsym(api.library, name);
  if (!symbol)
    fail_msg("%s is not exported", name);
  memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
  api.library = dlopen(QE_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  if (!api.library)
    fail_msg("%s", dlerror());
  look_up("qestrel_plugin_abi_version", &api.abi_version);
  look_up("qestrel_plugin_create", &api.create);
  look_up("qestrel_plugin_create_from_file", &api.create_from_file);
  look_up("qestrel_plugin_destroy", &api.destroy);
  look_up("qestrel_plugin_describe", &api.describe);
  look_up("qestrel_plugin_rerank", &api.rerank);
  look_up("qestrel_plugin_begin_source", &api.begin_source);
  look_up("qestrel_plugin_score_target", &api.score_target);
  look_up("qestrel_plugin_end_source", &api.end_source);
  look_up("qestrel_plugin_tokens_to_text", &api.tokens_to_text);
  look_up("qestrel_plugin_stream_new", &api.stream_new);
  look_up("qestrel_plugin_nbest_feed", &api.nbest_feed);
  look_up("qestrel_plugin_nbest_flush", &api.nbest_flush);
  look_up("qestrel_plugin_stream_free", &api.stream_free);
  look_up("qestrel_plugin_set_log", &api.set_log);
  look_up("qestrel_plugin_error", &api.error);
  look_up("qestrel_plugin_get_stats", &api.get_stats);
}

static int set_up(void **state) {
  (void)state;
  load();
  return 0;
}

static qestrel_plugin *create(const char *options) {
  char error[200];
  qestrel_plugin *plugin = api.create(options, error, sizeof error);
  if (!plugin)
    fail_msg("%s", error);
  return plugin;
}

static qestrel_plugin_text text_of(const char *text) {
  return (qestrel_plugin_text){ text, strlen(text) };
}

static void write_file(const char *path, const char *text) {
  char error[200];
  const qe_text part = qe_string(text);
  if (qe_write_file(path, &part, 1, error, sizeof error) != QE_OK)
    fail_msg("%s", error);
}

/* ---- lists of texts with totals -1, -2 ... and features F0 ---- */

enum { MOST = 12 };
struct fixture {
  qestrel_plugin_hypothesis hypotheses[MOST];
  qestrel_plugin_feature features[MOST];
  size_t order[MOST];
  double quality[MOST], score[MOST];
  qestrel_plugin_list list;
};

static void make(struct fixture *fixture, const char *source, const char *const *texts, size_t count) {
  memset(fixture, 0, sizeof *fixture);
  for (size_t i = 0; i < count; i++) {
    fixture->features[i] = (qestrel_plugin_feature){ { "F0", 2 }, (double)i };
    fixture->hypotheses[i] = (qestrel_plugin_hypothesis){ .struct_size = sizeof(qestrel_plugin_hypothesis),
                                                          .text = text_of(texts[i]),
                                                          .total = -(double)i,
                                                          .features = &fixture->features[i],
                                                          .feature_count = 1 };
  }
  fixture->list = (qestrel_plugin_list){ .struct_size = sizeof fixture->list,
                                         .id = { "7", 1 },
                                         .hypotheses = fixture->hypotheses,
                                         .count = count,
                                         .order = fixture->order,
                                         .quality = fixture->quality,
                                         .score = fixture->score };
  if (source)
    fixture->list.source = text_of(source);
}

static const char *const houses[] = { "a little house", "the small house is old", "the little house is old" };

static void expect_order(const struct fixture *fixture, size_t first, size_t second, size_t third) {
  assert_int_equal(fixture->order[0], first);
  assert_int_equal(fixture->order[1], second);
  assert_int_equal(fixture->order[2], third);
}

static void expect_untouched(const struct fixture *fixture, int status) {
  assert_int_equal(fixture->list.status, status);
  for (size_t i = 0; i < fixture->list.count; i++) {
    assert_int_equal(fixture->order[i], i);
    assert_true(isnan(fixture->score[i]));
  }
}

/* ---- tests ---- */

static void test_nothing_else_is_visible(void **state) {
  (void)state;
  assert_int_equal(api.abi_version() >> 16, QESTREL_PLUGIN_MAJOR);
  FILE *symbols =
      popen("nm -D --defined-only " QE_PLUGIN " | awk '$3 !~ /^(qestrel_plugin_|__|_init$|_fini$)/'", "r");
  char line[200];
  while (symbols && fgets(line, sizeof line, symbols))
    if (!strstr(line, "asan") && !strstr(line, "ubsan") && !strstr(line, "tsan") && !strstr(line, "gcov"))
      fail_msg("exported: %s", line);
  assert_int_equal(pclose(symbols), 0);
}

static void expect_refusal(const char *options, const char *text) {
  char error[300] = "";
  qestrel_plugin *plugin = api.create(options, error, sizeof error);
  assert_null(plugin);
  if (!strstr(error, text))
    fail_msg("\"%s\" does not say \"%s\"", error, text);
}

static void test_options(void **state) {
  char error[8];
  (void)state;
  write_file("plugin.weights", "{\"F0\": \"x\"}");
  expect_refusal("modle=x", "options:1: \"modle\"");
  expect_refusal("# a comment\n\nmodel", "options:3: \"model\", expected key=value");
  expect_refusal("model=nothing.qe", "nothing.qe");
  expect_refusal("weights=nothing.json", "nothing.json: cannot be read");
  expect_refusal("weights=plugin.weights", "plugin.weights: F0");
  expect_refusal("guards=none-such", "none-such");
  expect_refusal("languages=eten", "languages=eten");
  expect_refusal("deadline_ms=-1", "milliseconds");
  expect_refusal("max_hypotheses=0", "a count");
  expect_refusal("max_hypotheses=1.5", "a count");
  expect_refusal("tokens=words", "sentencepiece");
  expect_refusal("output=all", "best or nbest");
  assert_null(api.create("modle=x", error, sizeof error));
  assert_int_equal(strlen(error), 7);
  assert_null(api.create("modle=x", NULL, 0));
  assert_null(api.create_from_file("nothing.options", error, sizeof error));
  write_file("plugin.options", "guards=all,-name\r\nlanguages=et-en\nmax_hypotheses=50\n");
  qestrel_plugin *plugin = api.create_from_file("plugin.options", error, sizeof error);
  assert_non_null(plugin);
  api.destroy(plugin);
  api.destroy(NULL);
}

static void test_description(void **state) {
  qestrel_plugin_description description = { .struct_size = sizeof description };
  (void)state;
  qestrel_plugin *plugin = create("");
  assert_int_equal(api.describe(plugin, &description), 0);
  assert_string_equal(description.feature, "QE0");
  assert_string_equal(description.model, "");
  assert_int_equal(description.has_model, 0);
  description.struct_size = 8;
  assert_int_equal(api.describe(plugin, &description), -1);
  api.destroy(plugin);
  plugin = create("model=" MODEL);
  description.struct_size = sizeof description;
  assert_int_equal(api.describe(plugin, &description), 0);
  assert_int_equal(description.has_model, 1);
  assert_int_equal(strlen(description.model), 64);
  api.destroy(plugin);
}

static void test_features_decide(void **state) {
  struct fixture fixture;
  qestrel_plugin_stats stats = { .struct_size = sizeof stats };
  (void)state;
  write_file("plugin.weights", "{\"F0\": 1}");
  qestrel_plugin *plugin = create("weights=plugin.weights\nguards=none");
  make(&fixture, NULL, houses, 3);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  assert_int_equal(fixture.list.status, QESTREL_PLUGIN_OK);
  expect_order(&fixture, 2, 1, 0);
  for (size_t i = 0; i < 3; i++) {
    assert_true(fixture.score[i] == (double)i);
    assert_true(isnan(fixture.quality[i]));
  }
  assert_int_equal(api.get_stats(plugin, &stats), 0);
  assert_int_equal(stats.lists, 1);
  assert_int_equal(stats.hypotheses, 3);
  assert_int_equal(stats.reranked, 1);
  assert_int_equal(stats.moved, 1);
  assert_int_equal(stats.failed, 0);
  assert_true(stats.seconds > 0);
  stats.struct_size = 8;
  assert_int_equal(api.get_stats(plugin, &stats), -1);
  api.destroy(plugin);
}

/* A host compiled against a later header hands over longer structs. */
static void test_longer_structs(void **state) {
  struct longer {
    qestrel_plugin_hypothesis hypothesis;
    char more[24];
  } hypotheses[3];
  struct longer_list {
    qestrel_plugin_list list;
    char more[16];
  } lists[2];
  struct fixture fixture;
  size_t orders[2][3];
  (void)state;
  qestrel_plugin *plugin = create("weights=plugin.weights\nguards=none");
  make(&fixture, NULL, houses, 3);
  for (size_t i = 0; i < 3; i++) {
    hypotheses[i].hypothesis = fixture.hypotheses[i];
    hypotheses[i].hypothesis.struct_size = sizeof *hypotheses;
  }
  for (size_t i = 0; i < 2; i++) {
    lists[i].list = fixture.list;
    lists[i].list.struct_size = sizeof *lists;
    lists[i].list.hypotheses = &hypotheses[0].hypothesis;
    lists[i].list.order = orders[i];
    lists[i].list.quality = lists[i].list.score = NULL;
  }
  lists[1].list.count = 2;
  assert_int_equal(api.rerank(plugin, &lists[0].list, 2, 0), 2);
  assert_int_equal(orders[0][0], 2);
  assert_int_equal(orders[1][0], 1);
  hypotheses[0].hypothesis.struct_size = 16;
  assert_int_equal(api.rerank(plugin, &lists[0].list, 1, 0), 0);
  assert_non_null(strstr(api.error(plugin), "struct_size of a hypothesis is 16"));
  api.destroy(plugin);
}

static void test_consensus_and_guards(void **state) {
  static const char *const dogs[] = { "he has 3 dogs", "he has 4 dogs here", "he has 4 dogs", "she has 4 dogs" };
  struct fixture fixture;
  (void)state;
  write_file("plugin.weights", "{\"MBR0\": 1}");
  qestrel_plugin *plugin = create("weights=plugin.weights\nguards=none");
  make(&fixture, "tal on 3 koera", dogs, 4);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  assert_int_not_equal(fixture.order[0], 0);
  api.destroy(plugin);
  plugin = create("weights=plugin.weights\nlanguages=et-en");
  make(&fixture, "tal on 3 koera", dogs, 4);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  assert_int_equal(fixture.order[0], 0);
  api.destroy(plugin);
}

static double score_by_library(const char *source, const char *target) {
  float score;
  const qe_pair pair = { .source = qe_string(source), .translation = qe_string(target) };
  qe_model *model = qe_model_new();
  assert_int_equal(qe_model_open(model, MODEL, 0), QE_OK);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  assert_int_equal(qe_score(scorer, &pair, 1, &score), QE_OK);
  qe_scorer_free(scorer);
  qe_model_free(model);
  return (double)score;
}

static void test_the_model_scores(void **state) {
  static const char *const texts[] = { "The boat is gone.", "The small boat disappeared into the fog." };
  static const char source[] = "V\xc3\xa4ike paat kadus udusse.";
  struct fixture fixture;
  qestrel_plugin_stats stats = { .struct_size = sizeof stats };
  (void)state;
  qestrel_plugin *plugin = create("model=" MODEL);
  make(&fixture, source, texts, 2);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  qestrel_plugin_source *single = api.begin_source(plugin, text_of(source));
  for (size_t i = 0; i < 2; i++) {
    const double expected = score_by_library(source, texts[i]);
    assert_true(fixture.quality[i] == expected);
    assert_true(api.score_target(single, text_of(texts[i])) == expected);
    assert_true(api.score_target(single, text_of(texts[i])) == expected);
  }
  for (int i = 0; i < 200; i++) {
    char text[20];
    const int size = snprintf(text, sizeof text, "word %d", i % 100);
    assert_true(isfinite(api.score_target(single, (qestrel_plugin_text){ text, (size_t)size })));
  }
  api.end_source(single);
  api.end_source(NULL);
  assert_int_equal(api.get_stats(plugin, &stats), 0);
  assert_int_equal(stats.scored, 102);
  assert_int_equal(stats.remembered, 102);
  api.destroy(plugin);
}

static void count_lines(void *context, const char *line) {
  assert_null(strchr(line, '\n'));
  ++*(int *)context;
}

static void test_failures_leave_the_order(void **state) {
  struct fixture fixture;
  int told = 0;
  (void)state;
  write_file("plugin.weights", "{\"F0\": 1}");
  qestrel_plugin *plugin = create("weights=plugin.weights");
  api.set_log(plugin, count_lines, &told);
  for (int round = 0; round < 3; round++) {
    make(&fixture, NULL, houses, 3);
    fixture.hypotheses[1].feature_count = 0;
    assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 0);
    expect_untouched(&fixture, QESTREL_PLUGIN_FAILED);
  }
  assert_int_equal(told, 1);
  assert_non_null(strstr(api.error(plugin), "hypothesis 1 has no feature F0"));
  make(&fixture, NULL, houses, 3);
  fixture.features[0].name = (qestrel_plugin_text){ "F 0", 3 };
  fixture.hypotheses[1].features = fixture.hypotheses[2].features = fixture.features;
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 0);
  expect_untouched(&fixture, QESTREL_PLUGIN_FAILED);
  make(&fixture, NULL, houses, 0);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 0);
  assert_int_equal(fixture.list.status, QESTREL_PLUGIN_EMPTY);
  make(&fixture, NULL, houses, 3); /* and the handle still works */
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  expect_order(&fixture, 2, 1, 0);
  assert_int_equal(told, 1);
  api.destroy(plugin);
}

static void test_deadline(void **state) {
  struct fixture fixture;
  qestrel_plugin_stats stats = { .struct_size = sizeof stats };
  (void)state;
  qestrel_plugin *plugin = create("weights=plugin.weights\ndeadline_ms=1e-6");
  make(&fixture, NULL, houses, 3);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 0);
  expect_untouched(&fixture, QESTREL_PLUGIN_DEADLINE);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 1e6), 1);
  expect_order(&fixture, 2, 1, 0);
  assert_int_equal(api.get_stats(plugin, &stats), 0);
  assert_int_equal(stats.late, 1);
  assert_string_equal(api.error(plugin), "");
  api.destroy(plugin);
}

static void test_cap(void **state) {
  struct fixture fixture;
  (void)state;
  qestrel_plugin *plugin = create("weights=plugin.weights\nguards=none\nmax_hypotheses=2");
  make(&fixture, NULL, houses, 3);
  assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
  expect_order(&fixture, 1, 0, 2);
  assert_true(isnan(fixture.score[2]));
  api.destroy(plugin);
}

static void expect_text(const char *options, const char *tokens, const char *expected) {
  qestrel_plugin_text list[20];
  size_t count = 0;
  char out[100], cut[4];
  qestrel_plugin *plugin = create(options);
  for (const char *at = tokens; *at; at += strspn(at, " ")) {
    list[count].data = at;
    list[count++].size = strcspn(at, " ");
    at += strcspn(at, " ");
  }
  assert_int_equal(api.tokens_to_text(plugin, list, count, out, sizeof out), strlen(expected));
  assert_string_equal(out, expected);
  assert_int_equal(api.tokens_to_text(plugin, list, count, NULL, 0), strlen(expected));
  assert_int_equal(api.tokens_to_text(plugin, list, count, cut, sizeof cut), strlen(expected));
  assert_true(strncmp(cut, expected, 3) == 0 && strlen(cut) == (strlen(expected) < 3 ? strlen(expected) : 3));
  api.destroy(plugin);
}

#define MARK "\xe2\x96\x81"
static void test_tokens(void **state) {
  (void)state;
  expect_text("", "", "");
  expect_text("", "the house", "the house");
  expect_text("", "the ho@@ us@@ e </s>", "the house");
  expect_text("", MARK "the " MARK "ho use . </s>", "the house.");
  expect_text("", "eng_Latn " MARK "the" MARK "house", "the house");
  expect_text("", "__en__ >>et<< <2en> <s> a b <pad>", "a b");
  expect_text("strip=<lang> <x>", "<lang> a <x> b", "a b");
  expect_text("tokens=plain", "a@@ b", "a@@ b");
  expect_text("tokens=bpe", "a@@ " MARK "b", "a" MARK "b");
  expect_text("tokens=sentencepiece", "a b", "ab");
  expect_text("", "@@ a", "@@ a");
}

/* ---- many at once ---- */

static void *rerank_many(void *plugin) {
  struct fixture fixture;
  for (int i = 0; i < 60; i++) {
    make(&fixture, "see on v\xc3\xa4ike maja", houses, 3);
    const size_t reranked = api.rerank(plugin, &fixture.list, 1, 0);
    if (reranked != 1 || fixture.order[0] != 2 || fixture.order[2] != 0)
      return plugin;
  }
  return NULL;
}

static void test_threads(void **state) {
  pthread_t threads[4];
  void *wrong;
  qestrel_plugin_stats stats = { .struct_size = sizeof stats };
  (void)state;
  qestrel_plugin *plugin = create("model=" MODEL "\nweights=plugin.weights\nguards=none");
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, rerank_many, plugin), 0);
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    assert_null(wrong);
  }
  assert_int_equal(api.get_stats(plugin, &stats), 0);
  assert_int_equal(stats.reranked, 240);
  api.destroy(plugin);
}

/* The child has the handle too, even while a session is out. */
static void test_fork(void **state) {
  int status;
  (void)state;
  qestrel_plugin *plugin = create("model=" MODEL "\nweights=plugin.weights\nguards=none");
  qestrel_plugin_source *source = api.begin_source(plugin, text_of("maja"));
  const pid_t child = fork();
  if (child == 0)
    _exit(rerank_many(plugin) ? 1 : 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  api.end_source(source);
  assert_null(rerank_many(plugin));
  api.destroy(plugin);
}

static void test_unload_and_load_again(void **state) {
  struct fixture fixture;
  (void)state;
  for (int i = 0; i < 3; i++) {
    qestrel_plugin *plugin = create("weights=plugin.weights\nguards=none");
    make(&fixture, NULL, houses, 3);
    assert_int_equal(api.rerank(plugin, &fixture.list, 1, 0), 1);
    api.destroy(plugin);
    assert_int_equal(dlclose(api.library), 0);
    load();
  }
}

/* ---- streams ---- */

struct output {
  char bytes[4096];
  size_t size;
  int calls, most; /* calls that are taken */
};

static int collect(void *context, const char *bytes, size_t size) {
  struct output *output = context;
  assert_true(output->size + size < sizeof output->bytes);
  memcpy(output->bytes + output->size, bytes, size);
  output->size += size;
  output->bytes[output->size] = '\0';
  return ++output->calls >= output->most;
}

static const char listed[] = "0 ||| a b c ||| F0= 1 ||| -1\n0 ||| a b d ||| F0= 2 ||| -2\n"
                             "1 ||| e f ||| F0= 5 ||| -1\n1 ||| e g ||| F0= 4 ||| -2\n";

/* Feeds in pieces of `piece` bytes. */
static void run_stream(const char *options, const char *input, size_t piece, const char *expected, bool fails) {
  struct output output = { .size = 0, .most = 1000 };
  int status = 0;
  qestrel_plugin *plugin = create(options);
  qestrel_plugin_stream *stream = api.stream_new(plugin, collect, &output);
  if (!stream)
    fail_msg("%s", api.error(plugin));
  for (size_t at = 0, size = strlen(input); at < size; at += piece)
    status = api.nbest_feed(stream, input + at, size - at < piece ? size - at : piece);
  api.nbest_flush(stream);
  (void)status;
  assert_string_equal(output.bytes, expected);
  assert_int_equal(*api.error(plugin) != '\0', fails);
  api.stream_free(stream);
  api.destroy(plugin);
}

static void test_streams(void **state) {
  static const char sorted[] = "0 ||| a b d ||| F0= 2 ||| -2\n0 ||| a b c ||| F0= 1 ||| -1\n"
                               "1 ||| e f ||| F0= 5 ||| -1\n1 ||| e g ||| F0= 4 ||| -2\n";
  (void)state;
  write_file("plugin.sources", "x\r\ny");
  for (size_t piece = 1; piece < sizeof listed; piece += 7) {
    run_stream("weights=plugin.weights", listed, piece, "a b d\ne f\n", false);
    run_stream("weights=plugin.weights\noutput=nbest\nsource=plugin.sources", listed, piece, sorted, false);
    run_stream("weights=decoder\noutput=nbest\nformat=marian", listed, piece, listed, false);
  }
}

/* What cannot be reranked goes out as it came. */
static void test_streams_fail_open(void **state) {
  static const char broken[] = "0 ||| a b c ||| F0= 1 ||| -1\n0 ||| a b d ||| F0= 2 ||| -2\n"
                               "1 ||| e f ||| F0= 5 ||| -1\nno list at all\nand no more\n";
  static const char passed[] = "0 ||| a b d ||| F0= 2 ||| -2\n0 ||| a b c ||| F0= 1 ||| -1\n"
                               "1 ||| e f ||| F0= 5 ||| -1\nno list at all\nand no more\n";
  static const char missing[] = "0 ||| a b c ||| F9= 1 ||| -1\n0 ||| a b d ||| F9= 2 ||| -2\n";
  (void)state;
  for (size_t piece = 1; piece < sizeof broken; piece += 5)
    run_stream("weights=plugin.weights\noutput=nbest", broken, piece, passed, true);
  run_stream("weights=plugin.weights\noutput=nbest", missing, 1000, missing, true);
  run_stream("weights=plugin.weights", missing, 1000, "a b c\n", true);
  write_file("plugin.sources", "only one\n");
  run_stream("weights=plugin.weights\nsource=plugin.sources", listed, 1000, "a b d\ne f\n", true);
}

static void test_a_host_that_has_enough(void **state) {
  struct output output = { .size = 0, .most = 1 };
  (void)state;
  qestrel_plugin *plugin = create("weights=plugin.weights\noutput=nbest");
  qestrel_plugin_stream *stream = api.stream_new(plugin, collect, &output);
  assert_int_equal(api.nbest_feed(stream, listed, sizeof listed - 1), -1);
  assert_int_equal(api.nbest_flush(stream), -1);
  assert_int_equal(output.calls, 1);
  api.stream_free(stream);
  api.stream_free(NULL);
  api.destroy(plugin);
  plugin = create("format=ct2");
  assert_null(api.stream_new(plugin, collect, &output));
  assert_non_null(strstr(api.error(plugin), "per source"));
  api.destroy(plugin);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_nothing_else_is_visible),
    cmocka_unit_test(test_options),
    cmocka_unit_test(test_description),
    cmocka_unit_test(test_features_decide),
    cmocka_unit_test(test_longer_structs),
    cmocka_unit_test(test_consensus_and_guards),
    cmocka_unit_test(test_the_model_scores),
    cmocka_unit_test(test_failures_leave_the_order),
    cmocka_unit_test(test_deadline),
    cmocka_unit_test(test_cap),
    cmocka_unit_test(test_tokens),
    cmocka_unit_test(test_threads),
    cmocka_unit_test(test_fork),
    cmocka_unit_test(test_unload_and_load_again),
    cmocka_unit_test(test_streams),
    cmocka_unit_test(test_streams_fail_open),
    cmocka_unit_test(test_a_host_that_has_enough),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
