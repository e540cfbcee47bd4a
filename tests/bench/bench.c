/*
** bench.c - how fast training and scoring are, beside what one core can do at most. Prints one line of JSON per figure,
** which bench/run.sh sets against PyTorch measured in the same run. All sentences have the same number of words, so
** that nobody pays for padding. Best of several rounds: the machine may be shared.
*/
#include "core.h"

#include <stdlib.h>
#include <time.h>

enum { TOKENS = 20, WORDS = 20000, ROWS = 4096, BATCH = 32, ROUNDS = 5 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- peak ---- */

#if defined(__x86_64__)
#include <immintrin.h>

/* Twelve chains of fused multiply-adds keep both units busy over their latency. */
#define PEAK(name, isa, vector, lanes, set, fmadd)                                                                 \
  __attribute__((target(isa))) static double name(void) {                                                          \
    vector sum[12], factor = set(.999f), step = set(.001f);                                                        \
    const long turns = 4000000;                                                                                    \
    for (int i = 0; i < 12; i++)                                                                                   \
      sum[i] = set((float)i);                                                                                      \
    double start = now();                                                                                          \
    for (long turn = 0; turn < turns; turn++)                                                                      \
      for (int i = 0; i < 12; i++)                                                                                 \
        sum[i] = fmadd(sum[i], factor, step);                                                                      \
    double seconds = now() - start;                                                                                \
    volatile float sink[lanes];                                                                                    \
    for (int i = 0; i < 12; i++)                                                                                   \
      for (int j = 0; j < lanes; j++)                                                                              \
        sink[j] = ((float *)&sum[i])[j];                                                                           \
    (void)sink;                                                                                                    \
    return (double)turns * 12 * 2 * lanes / seconds;                                                               \
  }
#pragma GCC push_options
#pragma GCC optimize("unroll-loops")
PEAK(peak_256, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
PEAK(peak_512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
#pragma GCC pop_options

static double peak(void) {
  double best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double found = 0;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      found = peak_256();
    if (__builtin_cpu_supports("avx512f")) {
      double wide = peak_512();
      found = wide > found ? wide : found;
    }
    best = found > best ? found : best;
  }
  return best;
}
#else
static double peak(void) {
  return 0;
}
#endif

/* ---- data and model ---- */

static void word(char *text, size_t room, uint64_t number) {
  size_t size = 0;
  do {
    text[size++] = (char)('a' + number % 26);
    number /= 26;
  } while (number > 0 && size + 1 < room);
  text[size] = '\0';
}

static void sentence(qe_rng *rng, char *text) {
  text[0] = '\0';
  for (int i = 0; i < TOKENS; i++) {
    char one[16];
    word(one, sizeof one, qe_rng_below(rng, WORDS));
    strcat(text, one);
    strcat(text, " ");
  }
}

static qe_dataset *make_data(void) {
  qe_rng rng;
  double *gold = calloc(ROWS, sizeof *gold);
  qe_dataset *data = qe_dataset_new();
  qe_rng_seed(&rng, 1, "bench");
  for (size_t i = 0; i < ROWS; i++) {
    char source[TOKENS * 17], target[TOKENS * 17];
    sentence(&rng, source);
    sentence(&rng, target);
    qe_pair pair = { .source = qe_string(source), .translation = qe_string(target) };
    if (qe_dataset_append(data, &pair) != QE_OK)
      abort();
    gold[i] = qe_rng_uniform(&rng);
  }
  if (qe_dataset_set_column(data, "gold", gold) != QE_OK)
    abort();
  free(gold);
  return data;
}

static qe_model *make_model(const char *vocabulary, const qe_dataset *data) {
  char configuration[512];
  qe_rng rng;
  qe_rng_seed(&rng, 1, "model");
  snprintf(configuration, sizeof configuration, "{\"source\":%s,\"target\":%s}", vocabulary, vocabulary);
  qe_model *model = qe_model_new();
  if (qe_model_create(model, configuration, data, &rng) != QE_OK) {
    fprintf(stderr, "%s\n", qe_model_error(model));
    exit(1);
  }
  return model;
}

/* Forward multiply-adds of one pair, as operations: input and hidden products of both directions, projection, context. */
static double operations(void) {
  const double e = 50, h = 50, a = 100;
  return 2.0 * TOKENS * 2 * (e * 6 * h + h * 6 * h + 2 * h * a + 2 * a) + 2 * 2 * a;
}

/* ---- training ---- */

static void report(const char *what, double rate, double flops) {
  printf("{\"what\": \"%s\", \"pairs_per_second\": %.1f, \"flops_per_second\": %.4g}\n", what, rate, rate * flops);
  fflush(stdout);
}

static void train_step(qe_tape *tape, qe_model *model, qe_batcher *batcher, qe_optimiser *optimiser,
                       qe_rng *dropout) {
  qe_batch *batch;
  while (qe_batcher_next(batcher, &batch) == 0) {
  }
  qe_tape_reset(tape);
  qe_pass_options options = { .dropout = dropout };
  qe_pass pass = qe_model_forward(tape, model, batch, &options);
  qe_tensor loss = qe_squared_error(qe_pass_tap(pass, "score"), qe_batch_column(tape, batch, "gold"));
  if (qe_backward(qe_mean(loss, QE_ALL)) != QE_OK || qe_optimiser_step(optimiser, 1e-3) != QE_OK) {
    fprintf(stderr, "%s %s\n", qe_tape_error(tape), qe_optimiser_error(optimiser));
    exit(1);
  }
  qe_batch_free(batch);
}

static void bench_training(const char *what, const char *vocabulary, qe_dataset *data, int threads, int dense) {
  qe_rng rng;
  qe_pool *pool = threads > 1 ? qe_pool_new(threads) : NULL;
  qe_model *model = make_model(vocabulary, data);
  qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  options.dense = dense;
  qe_optimiser *optimiser = qe_optimiser_new(qe_model_params(model), &options, pool);
  qe_tape *tape = qe_tape_new(pool, 2);
  qe_rng_seed(&rng, 1, "data");
  qe_batcher *batcher = qe_batcher_new(data, NULL, 0, BATCH, &rng);
  double best = 0;
  for (int round = 0; round <= ROUNDS; round++) { /* the first warms up */
    const int steps = 60;
    double start = now();
    for (int i = 0; i < steps; i++)
      train_step(tape, model, batcher, optimiser, &rng);
    double rate = steps * BATCH / (now() - start);
    best = round > 0 && rate > best ? rate : best;
  }
  report(what, best, 3 * operations());
  qe_batcher_free(batcher);
  qe_tape_free(tape);
  qe_optimiser_free(optimiser);
  qe_model_free(model);
  qe_pool_free(pool);
}

/* ---- scoring ---- */

static void bench_scoring(const char *what, const char *vocabulary, qe_dataset *data, int threads) {
  qe_pool *pool = threads > 1 ? qe_pool_new(threads) : NULL;
  qe_model *model = make_model(vocabulary, data);
  qe_pair *pairs = calloc(ROWS, sizeof *pairs);
  float *scores = calloc(ROWS, sizeof *scores);
  if (qe_model_prepare(model) != QE_OK)
    exit(1);
  qe_scorer *scorer = qe_scorer_new(model, pool);
  for (size_t i = 0; i < ROWS; i++)
    pairs[i] = qe_dataset_pair(data, i);
  double best = 0;
  for (int round = 0; round <= ROUNDS; round++) {
    double start = now();
    if (qe_score(scorer, pairs, ROWS, scores) != QE_OK)
      exit(1);
    double rate = ROWS / (now() - start);
    best = round > 0 && rate > best ? rate : best;
  }
  report(what, best, operations());
  qe_scorer_free(scorer);
  qe_model_free(model);
  qe_pool_free(pool);
  free(pairs);
  free(scores);
}

/* ---- lists ---- */

/* An n-best list: a sentence of 25 words with up to four of them changed, to one of so many alternatives of the place, as
** beams vary, or (0) to a word that no other candidate has, which is the least that can be shared. */
static void make_list(char (*bytes)[256], qe_text *texts, size_t count, unsigned alternatives, qe_rng *rng) {
  unsigned words[25];
  for (int k = 0; k < 25; k++)
    words[k] = (unsigned)qe_rng_below(rng, 100000);
  for (size_t i = 0; i < count; i++) {
    unsigned own[25];
    memcpy(own, words, sizeof own);
    for (int k = 0; k < 4; k++) {
      const size_t place = qe_rng_below(rng, 25);
      own[place] = alternatives > 0 ? words[place] + 1 + (unsigned)qe_rng_below(rng, alternatives)
                                    : (unsigned)qe_rng_below(rng, 100000);
    }
    bytes[i][0] = 0;
    for (int k = 0; k < 25; k++)
      snprintf(bytes[i] + strlen(bytes[i]), 16, "%s%x", k > 0 ? " " : "", own[k]);
    texts[i] = qe_string(bytes[i]);
  }
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* How many distinct strings there are among `count`, which are sorted. */
static size_t distinct(const char **texts, size_t count) {
  size_t found = count > 0;
  qsort(texts, count, sizeof *texts, by_text);
  for (size_t i = 1; i < count; i++)
    found += strcmp(texts[i - 1], texts[i]) != 0;
  return found;
}

/* Distinct words, beginnings and ends of the texts, which have 25 words each. */
static void count_shared(char (*bytes)[256], size_t count, size_t shared[3]) {
  char(*parts)[256] = calloc(25 * count, sizeof *parts);
  const char **texts = calloc(25 * count, sizeof *texts);
  for (int what = 0; what < 3; what++) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
      for (const char *at = bytes[i]; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL, used++) {
        const size_t word = strcspn(at, " "), before = (size_t)(at - bytes[i]);
        const size_t size = what == 0 ? word : what == 1 ? before + word : strlen(at);
        memcpy(parts[used], what == 1 ? bytes[i] : at, size);
        parts[used][size] = '\0';
        texts[used] = parts[used];
      }
    shared[what] = distinct(texts, used);
  }
  free(parts);
  free(texts);
}

/* Multiply-adds, as operations, of what a list computes: gate inputs of distinct words, a recurrent step for each
** beginning and each end, all of the source; dot product and pooled state of each token of each candidate. */
static double list_operations(char (*bytes)[256], size_t count) {
  const double e = 50, h = 50;
  size_t shared[3];
  count_shared(bytes, count, shared);
  const double words = 25 + (double)shared[0], steps = 2 * 25 + (double)(shared[1] + shared[2]);
  return 2 * (words * e * 6 * h + steps * h * 3 * h + (double)(count + 1) * 25 * 2 * 2 * h);
}

/* Pairs a second of a list: each alone, and all together. */
static void bench_list(const char *what, const char *vocabulary, qe_dataset *data, size_t count,
                       unsigned alternatives) {
  char(*bytes)[256] = calloc(count, sizeof *bytes);
  qe_text *texts = calloc(count, sizeof *texts);
  qe_pair *pairs = calloc(count, sizeof *pairs);
  float *scores = calloc(count, sizeof *scores);
  double best[2] = { 0 };
  qe_rng rng;
  qe_rng_seed(&rng, 1, "consensus");
  make_list(bytes, texts, count, alternatives, &rng);
  qe_model *model = make_model(vocabulary, data);
  if (qe_model_prepare(model) != QE_OK)
    exit(1);
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  for (size_t i = 0; i < count; i++)
    pairs[i] = (qe_pair){ .source = texts[0], .translation = texts[i] };
  for (int round = 0; round <= 2 * ROUNDS; round++)
    for (int together = 0; together < 2; together++) {
      const double start = now();
      if ((together ? qe_score_list : qe_score)(scorer, pairs, count, scores) != QE_OK)
        exit(1);
      const double rate = (double)count / (now() - start);
      best[together] = round > 0 && rate > best[together] ? rate : best[together];
    }
  printf("{\"what\": \"%s, list of %zu, %s\", \"pairs_per_second\": %.0f, \"alone\": %.0f, \"ratio\": %.2f, "
         "\"flops_per_second\": %.4g}\n",
         what, count, alternatives > 0 ? "3 alternatives" : "words of its own", best[1], best[0], best[1] / best[0],
         best[1] / (double)count * list_operations(bytes, count));
  qe_scorer_free(scorer);
  qe_model_free(model);
  free(bytes);
  free(texts);
  free(pairs);
  free(scores);
}

static void bench_consensus(size_t count) {
  char(*bytes)[256] = calloc(count, sizeof *bytes);
  qe_text *texts = calloc(count, sizeof *texts);
  double *values = calloc(count, sizeof *values), best = 1e9;
  qe_consensus *consensus = qe_consensus_new();
  qe_rng rng;
  qe_rng_seed(&rng, 1, "consensus");
  make_list(bytes, texts, count, 0, &rng);
  for (int round = 0; round < 4 * ROUNDS; round++) {
    const double start = now();
    qe_consensus_values(consensus, texts, count, NULL, values);
    const double seconds = now() - start;
    best = seconds < best ? seconds : best;
  }
  printf("{\"what\": \"consensus of %zu\", \"milliseconds\": %.3f, \"standard_error\": %.4f}\n", count, 1e3 * best,
         qe_consensus_standard_error(consensus));
  qe_consensus_free(consensus);
  free(bytes);
  free(texts);
  free(values);
}

/* ---- the loss layer of a head of many classes: forward, backward and update ---- */

enum { HEAD_WIDTH = 100 };

struct head {
  qe_params *params;
  qe_optimiser *optimiser;
  qe_tape *tape;
  qe_proposal *proposal;
  qe_real *hidden, *targets; /* targets: a Gaussian over all classes for every row */
  double values[BATCH];
  size_t classes;
};

static double target_logit(double value, size_t bin, size_t classes) {
  const double distance = (((double)bin + 0.5) / (double)classes - value) / 0.02;
  return -0.5 * distance * distance;
}

static struct head head_make(size_t classes) {
  qe_rng rng;
  const qe_optimiser_options options = qe_optimiser_defaults(QE_ADAM);
  struct head head = { .params = qe_params_new(), .tape = qe_tape_new(NULL, 1), .classes = classes };
  qe_rng_seed(&rng, 1, "head");
  qe_params_add(head.params, "weight", classes, HEAD_WIDTH, 1);
  qe_params_add(head.params, "bias", classes, 1, 1);
  qe_params_normal(head.params, 0, 0.1, &rng);
  head.optimiser = qe_optimiser_new(head.params, &options, NULL);
  head.proposal = qe_proposal_new(classes, NULL, 0.2);
  head.hidden = calloc(BATCH * HEAD_WIDTH, sizeof *head.hidden);
  head.targets = calloc(BATCH * classes, sizeof *head.targets);
  for (size_t i = 0; i < BATCH * HEAD_WIDTH; i++)
    head.hidden[i] = (qe_real)qe_rng_normal(&rng);
  for (size_t i = 0; i < BATCH; i++) {
    head.values[i] = qe_rng_uniform(&rng);
    for (size_t j = 0; j < classes; j++)
      head.targets[i * classes + j] = (qe_real)target_logit(head.values[i], j, classes);
  }
  return head;
}

static void head_free(struct head *head) {
  qe_proposal_free(head->proposal);
  qe_optimiser_free(head->optimiser);
  qe_tape_free(head->tape);
  qe_params_free(head->params);
  free(head->hidden);
  free(head->targets);
}

/* k classes are drawn for all rows, their targets computed; all of them for 0. */
static qe_tensor head_loss(struct head *head, size_t k, qe_rng *rng) {
  static uint32_t bins[1000];
  static double log_q[1000];
  static qe_real told[BATCH * 1000], correction[1000];
  qe_tensor hidden = qe_variable(head->tape, BATCH, HEAD_WIDTH, head->hidden);
  qe_tensor weight = qe_param(head->tape, head->params, 0), bias = qe_param(head->tape, head->params, 1);
  if (k == 0)
    return qe_kl(qe_constant(head->tape, BATCH, head->classes, head->targets),
                 qe_add(qe_matmul(hidden, weight, QE_NT), qe_transposed(bias)), 1);
  qe_proposal_draw_bins(head->proposal, rng, head->values, BATCH, k, bins, log_q);
  for (size_t i = 0; i < BATCH * k; i++)
    told[i] = (qe_real)(target_logit(head->values[i / k], bins[i % k], head->classes) - log_q[i % k]);
  for (size_t i = 0; i < k; i++)
    correction[i] = (qe_real)log_q[i];
  qe_tensor z =
      qe_add(qe_matmul(hidden, qe_gather(weight, bins, k), QE_NT), qe_transposed(qe_gather(bias, bins, k)));
  return qe_kl(qe_constant(head->tape, BATCH, k, told), qe_sub(z, qe_constant(head->tape, 1, k, correction)), 1);
}

static void bench_head(size_t classes, size_t k) {
  qe_rng rng;
  struct head head = head_make(classes);
  double best = 1e9;
  qe_rng_seed(&rng, 2, "head");
  for (int round = 0; round <= ROUNDS; round++) {
    const int steps = k == 0 ? 3 : 200;
    const double start = now();
    for (int i = 0; i < steps; i++) {
      qe_tape_reset(head.tape);
      qe_backward(qe_mean(head_loss(&head, k, &rng), QE_ALL));
      qe_optimiser_step(head.optimiser, 1e-3);
    }
    const double seconds = (now() - start) / steps / BATCH;
    best = round > 0 && seconds < best ? seconds : best;
  }
  printf("{\"what\": \"loss layer, %zu of %zu classes\", \"microseconds_per_example\": %.2f}\n", k ? k : classes,
         classes, 1e6 * best);
  fflush(stdout);
  head_free(&head);
}

int main(int count, char **arguments) {
  static const char words[] = "{\"kind\":\"words\",\"size\":20000}";
  static const char ngrams[] = "{\"kind\":\"ngrams\",\"buckets\":32768}";
  printf("{\"what\": \"peak\", \"flops_per_second\": %.4g}\n", peak());
  if (count > 1 && strcmp(arguments[1], "peak") == 0)
    return 0;
  qe_dataset *data = make_data();
  bench_training("train words sparse", words, data, 1, 0);
  bench_training("train words dense", words, data, 1, 1);
  bench_training("train words sparse, 2 threads", words, data, 2, 0);
  bench_training("train ngrams sparse", ngrams, data, 1, 0);
  bench_training("train ngrams sparse, 2 threads", ngrams, data, 2, 0);
  bench_scoring("score words", words, data, 1);
  bench_scoring("score ngrams", ngrams, data, 1);
  bench_scoring("score ngrams, 2 threads", ngrams, data, 2);
  for (unsigned alternatives = 0; alternatives <= 3; alternatives += 3) {
    bench_list("ngrams", ngrams, data, 10, alternatives);
    bench_list("ngrams", ngrams, data, 100, alternatives);
    bench_list("ngrams", ngrams, data, 1000, alternatives);
    bench_list("words", words, data, 1000, alternatives);
  }
  bench_consensus(100);
  bench_consensus(1000);
  bench_consensus(10000);
  for (size_t classes = 1000; classes <= 10000; classes *= 10) {
    bench_head(classes, 0);
    bench_head(classes, 100);
    bench_head(classes, 300);
    bench_head(classes, 1000);
  }
  qe_dataset_free(data);
  return 0;
}
