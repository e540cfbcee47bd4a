/*
** aligned.c - a student that aligns, on a tape. Per side: embeddings of words (means of hashed n-grams, or states of an
** encoder that reads them in context and does not learn), moved by what
** stands beside them (a residual of two linear layers over a window of words), and what counted text says of each word
** (evidence.h) -> linear, ReLU. Each word of one side looks at all words of the other: logits are
** learned products of states, plus a lexicon's prior and the cosine of the embeddings, each with a learned gain. A word
** and what it saw are compared, the comparisons pooled by mean, maximum and attention; both sides, a summary of the
** evidence and, where it is known, what the decoder says -> linear, ReLU -> head.c. No recurrence and no positions: the order of words is known through windows alone.
** (Decomposable attention: Parikh et al. 2016; comparison features: Chen et al. 2017.) aligned_score.c computes the same
** without a tape.
*/
#include "aligned.h"
#include "forest.h"

#include <math.h>
#include <stdio.h>

static const char *const tap_names[] = {
  "score",          "logits",        "pooled",      "inputs",          "source.embedding",
  "source.context", "source.states", "source.seen", "source.compared", "target.embedding",
  "target.context", "target.states", "target.seen", "target.compared", "alignment",
  "words",          "source.read",   "target.read",
};
enum { TAPS = sizeof tap_names / sizeof *tap_names };
enum { TAP_EMBEDDING, TAP_CONTEXT, TAP_STATES, TAP_SEEN, TAP_COMPARED, SIDE_TAPS };
enum { TAP_ALIGNMENT = TAP_OWN + 2 * SIDE_TAPS, TAP_WORDS, TAP_READ };

/* ---- parameters ---- */

static int add_side(qe_model *model, size_t number) {
  const struct configuration *c = &model->configuration;
  const char *side = side_names[number];
  const size_t embedding = c->aligned.embedding, states = c->aligned.states, comparison = c->aligned.comparison;
  if ((aligned_has_embedding(c, number) &&
       architecture_add(model, side, "embedding", aligned_embedding_rows(c, number), embedding,
                        !aligned_in_context(c)) != QE_OK) ||
      (aligned_moves(c) && (architecture_add(model, side, "mix", aligned_window(c), embedding, 0) != QE_OK ||
                            architecture_add(model, side, "mix_bias", 1, embedding, 0) != QE_OK ||
                            architecture_add(model, side, "turn", embedding, embedding, 0) != QE_OK)) ||
      architecture_add(model, side, "state", aligned_state_inputs(c), states, 0) != QE_OK ||
      architecture_add(model, side, "state_bias", 1, states, 0) != QE_OK ||
      architecture_add(model, side, "compare", aligned_compare_inputs(c), comparison, 0) != QE_OK ||
      architecture_add(model, side, "compare_bias", 1, comparison, 0) != QE_OK)
    return model->error.status;
  return architecture_add(model, side, "pool", comparison, 1, 0);
}

static int parameters(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t states = c->aligned.states, hidden = c->aligned.hidden;
  if (add_side(model, QE_SOURCE) != QE_OK || add_side(model, QE_TARGET) != QE_OK ||
      architecture_add(model, "alignment", "query", states, states, 0) != QE_OK ||
      architecture_add(model, "alignment", "gain", 1, GAINS, 0) != QE_OK ||
      architecture_add(model, "hidden", "weight", aligned_pooled(c), hidden, 0) != QE_OK ||
      architecture_add(model, "hidden", "bias", 1, hidden, 0) != QE_OK)
    return model->error.status;
  if (head_parameters(model, hidden) != QE_OK ||
      (c->aligned.words && (architecture_add(model, "words", "weight", c->aligned.comparison, 1, 0) != QE_OK ||
                            architecture_add(model, "words", "bias", 1, 1, 0) != QE_OK)))
    return model->error.status;
  for (size_t side = 0; side < SIDES && aligned_in_context(c); side++)
    if (architecture_add(model, side_names[side], "center", 1, c->aligned.embedding, 0) != QE_OK)
      return model->error.status;
  return QE_OK;
}

static size_t words_weight(const qe_model *model) {
  return (size_t)qe_params_find(model->params, "words.weight");
}

static void start_linear(qe_model *model, size_t weight, size_t inputs, qe_rng *rng) {
  qe_params_uniform(model->params, weight, 1 / sqrt((double)inputs), rng);
}

/* Logits begin with what the lexicon and the embeddings know, and words with what they are alone: TURN is 0. */
static void start(qe_model *model, qe_rng *rng) {
  static const double embedding_sd = 0.1, gain_prior = 6, gain_cosine = 2;
  const struct configuration *c = &model->configuration;
  for (size_t side = 0; side < 2; side++) {
    if (aligned_has_embedding(c, side))
      qe_params_normal(model->params, aligned_matrix(c, side, EMBEDDING), embedding_sd, rng);
    for (size_t i = MIX; i <= MIX_BIAS && aligned_moves(c); i++)
      start_linear(model, aligned_matrix(c, side, i), aligned_window(c), rng);
    for (size_t i = STATE; i <= STATE_BIAS; i++)
      start_linear(model, aligned_matrix(c, side, i), aligned_state_inputs(c), rng);
    for (size_t i = COMPARE; i <= COMPARE_BIAS; i++)
      start_linear(model, aligned_matrix(c, side, i), aligned_compare_inputs(c), rng);
    start_linear(model, aligned_matrix(c, side, POOL), c->aligned.comparison, rng);
  }
  start_linear(model, aligned_pair_matrix(c, QUERY), c->aligned.states, rng);
  qe_real *gain = qe_params_matrix(model->params, aligned_pair_matrix(c, GAIN));
  gain[GAIN_PRIOR] = (qe_real)gain_prior;
  gain[GAIN_COSINE] = (qe_real)gain_cosine;
  start_linear(model, aligned_pair_matrix(c, HIDDEN), aligned_pooled(c), rng);
  start_linear(model, aligned_pair_matrix(c, HIDDEN_BIAS), aligned_pooled(c), rng);
  head_start(model, rng);
  if (c->aligned.words)
    start_linear(model, words_weight(model), c->aligned.comparison, rng);
}

static size_t least_cells(const struct configuration *c) {
  const size_t targets = aligned_has_embedding(c, QE_TARGET) ? aligned_embedding_rows(c, QE_TARGET) : 0;
  return (aligned_embedding_rows(c, QE_SOURCE) + targets) * c->aligned.embedding +
         (aligned_moves(c) ? 2 * (aligned_window(c) + c->aligned.embedding) * c->aligned.embedding : 0) +
         2 * (aligned_state_inputs(c) * c->aligned.states + aligned_compare_inputs(c) * c->aligned.comparison) +
         c->aligned.states * c->aligned.states + aligned_pooled(c) * c->aligned.hidden;
}

/* ---- configuration ---- */

static const char *const keys[] = {
  "embedding",     "window",        "states",      "comparison", "hidden",  "decoder_dropout",       "words",
  "context_layer", "context_width", "least_count", "least_link", "forests", CONFIGURATION_WORD_KEYS, NULL
};

static int read_context(struct configuration *c, const json_t *object, struct error *error) {
  if (configuration_size(object, "context_layer", 0, ENCODER_MOST_LAYERS, &c->aligned.context_layer, error) !=
          QE_OK ||
      configuration_size(object, "context_width", 1, CONTEXT_WIDEST, &c->aligned.context_width, error) != QE_OK)
    return error->status;
  if ((c->aligned.context_layer > 0) != (c->aligned.context_width > 0))
    return error_set(error, QE_FORMAT, "architecture: one of \"context_layer\" and \"context_width\" is missing");
  if (aligned_in_context(c) && (json_object_get(object, "source") || json_object_get(object, "target")))
    return error_set(error, QE_FORMAT,
                     "architecture: words that are read in context have no \"source\" or \"target\"");
  return QE_OK;
}

static int parse(struct configuration *c, const json_t *object, struct error *error) {
  if (configuration_size(object, "embedding", 1, ALIGNED_WIDEST, &c->aligned.embedding, error) != QE_OK ||
      configuration_size(object, "window", 0, 8, &c->aligned.window, error) != QE_OK ||
      configuration_size(object, "states", 1, 1024, &c->aligned.states, error) != QE_OK ||
      configuration_size(object, "comparison", 1, 1024, &c->aligned.comparison, error) != QE_OK ||
      configuration_size(object, "hidden", 1, 1024, &c->aligned.hidden, error) != QE_OK ||
      configuration_size(object, "least_count", 1, 255, &c->aligned.least_count, error) != QE_OK ||
      configuration_size(object, "least_link", 1, LEVELS, &c->aligned.least_link, error) != QE_OK ||
      configuration_size(object, "forests", 0, FORESTS, &c->aligned.forests, error) != QE_OK ||
      configuration_share(object, "decoder_dropout", &c->aligned.decoder_dropout, error) != QE_OK)
    return error->status;
  const json_t *words = json_object_get(object, "words");
  if (words && !json_is_boolean(words))
    return error_set(error, QE_FORMAT, "architecture: \"words\" is neither true nor false");
  c->aligned.words = json_is_true(words);
  if (read_context(c, object, error) != QE_OK)
    return error->status;
  if (c->max_tokens > ALIGNED_MOST_TOKENS)
    return error_set(error, QE_FORMAT, "architecture: max_tokens %zu, of this kind at most %d", c->max_tokens,
                     ALIGNED_MOST_TOKENS);
  return configuration_words(c, object, error);
}

static int dump(const struct configuration *c, json_t *object) {
  const struct {
    const char *key;
    size_t value;
  } sizes[] = { { "embedding", c->aligned.embedding },
                { "window", c->aligned.window },
                { "states", c->aligned.states },
                { "comparison", c->aligned.comparison },
                { "hidden", c->aligned.hidden } };
  int failed = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    failed |= json_object_set_new(object, sizes[i].key, json_integer((json_int_t)sizes[i].value));
  if (c->aligned.words)
    failed |= json_object_set_new(object, "words", json_true());
  if (c->aligned.least_count > 1)
    failed |= json_object_set_new(object, "least_count", json_integer((json_int_t)c->aligned.least_count));
  if (c->aligned.least_link > 1)
    failed |= json_object_set_new(object, "least_link", json_integer((json_int_t)c->aligned.least_link));
  if (c->aligned.forests > 0)
    failed |= json_object_set_new(object, "forests", json_integer((json_int_t)c->aligned.forests));
  failed |= json_object_set_new(object, "decoder_dropout", json_real(c->aligned.decoder_dropout)) |
            configuration_dump_words(c, object);
  if (!aligned_in_context(c))
    return failed;
  json_object_del(object, "source");
  json_object_del(object, "target");
  return failed | json_object_set_new(object, "context_layer", json_integer((json_int_t)c->aligned.context_layer)) |
         json_object_set_new(object, "context_width", json_integer((json_int_t)c->aligned.context_width));
}

/* ---- evidence, as constants ---- */

struct found {
  qe_tensor channels[2], prior, features;
};

struct gathered {
  qe_real *channels[2], *prior, *features;
};

static bool gather_new(const struct shard *shard, struct gathered *g, const qe_segments words[2], size_t *cells) {
  *cells = 0;
  for (size_t i = 0; i < shard->count; i++)
    *cells += (size_t)(words[0].offset[i + 1] - words[0].offset[i]) * (words[1].offset[i + 1] - words[1].offset[i]);
  for (int side = 0; side < 2; side++)
    g->channels[side] =
        tape_alloc(shard->tape, (size_t)words[side].offset[shard->count] * CHANNELS, sizeof(qe_real));
  g->prior = tape_alloc(shard->tape, *cells, sizeof(qe_real));
  g->features = tape_alloc(shard->tape, shard->count * EVIDENCE_FEATURES, sizeof(qe_real));
  return g->channels[0] && g->channels[1] && g->prior && g->features;
}

static qe_real *copy_reals(qe_real *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++)
    to[i] = (qe_real)from[i];
  return to + count;
}

static int read_row(const struct shard *shard, size_t row, struct evidence_reading *reading) {
  const qe_pair pair = qe_dataset_pair(shard->data, shard->rows[row]);
  return evidence_read_training(shard->model->evidence, &pair, shard->model->configuration.max_tokens, reading);
}

static bool read_rows(const struct shard *shard, struct gathered g) {
  struct evidence_reading reading = { 0 };
  int status = QE_OK;
  for (size_t row = 0; status == QE_OK && row < shard->count; row++) {
    status = read_row(shard, row, &reading);
    if (status != QE_OK)
      break;
    for (int side = 0; side < 2; side++)
      g.channels[side] =
          copy_reals(g.channels[side], reading.pair.channel[side], reading.pair.count[side] * CHANNELS);
    g.prior = copy_reals(g.prior, reading.pair.prior, reading.pair.count[0] * reading.pair.count[1]);
    g.features = copy_reals(g.features, reading.pair.features, EVIDENCE_FEATURES);
  }
  evidence_reading_free(&reading);
  if (status != QE_OK)
    error_memory(tape_error(shard->tape));
  return status == QE_OK;
}

static bool find(const struct shard *shard, const qe_segments words[2], struct found *found) {
  struct gathered g;
  size_t cells;
  if (!words[0].offset || !words[1].offset || !gather_new(shard, &g, words, &cells) || !read_rows(shard, g))
    return false;
  for (int side = 0; side < 2; side++)
    found->channels[side] = qe_constant(shard->tape, words[side].offset[shard->count], CHANNELS, g.channels[side]);
  found->prior = qe_constant(shard->tape, cells, 1, g.prior);
  found->features = qe_constant(shard->tape, shard->count, EVIDENCE_FEATURES, g.features);
  return true;
}

/* ---- words in context, as constants ---- */

struct gathering {
  qe_real *next[SIDES], *end[SIDES];
  size_t width;
};

static int gather_words(void *owner, size_t number, const struct context_words *words) {
  struct gathering *g = owner;
  (void)number;
  for (size_t side = 0; side < SIDES; side++)
    for (size_t i = 0; i < words->count[side] && g->next[side] < g->end[side]; i++)
      g->next[side] = copy_reals(g->next[side], words->states[side] + i * words->stride, g->width);
  return QE_OK;
}

static int read_pairs(const struct shard *shard, struct gathering *g) {
  struct context_work *work = context_work_new(shard->model->context);
  qe_pair *pairs = memory_new(shard->count + 1, sizeof *pairs);
  int status = work && pairs ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < shard->count; i++)
    pairs[i] = qe_dataset_pair(shard->data, shard->rows[i]);
  if (status == QE_OK)
    status = context_read(work, kernel_choose(NULL), pairs, 0, shard->count, shard->model->configuration.max_tokens,
                          gather_words, g);
  memory_free(pairs);
  context_work_free(work);
  return status;
}

static bool read_in_context(struct shard *shard, const qe_segments words[SIDES]) {
  struct gathering g = { .width = shard->model->configuration.aligned.context_width };
  qe_real *states[SIDES];
  size_t count[SIDES];
  if (!shard->model->context)
    return tape_fail(shard->tape, QE_USE, "forward: words are read in context, but the model has no encoder").tape;
  for (size_t side = 0; side < SIDES; side++) {
    count[side] = words[side].offset[shard->count];
    states[side] = g.next[side] = tape_alloc(shard->tape, count[side] * g.width, sizeof(qe_real));
    if (!states[side])
      return false;
    g.end[side] = states[side] + count[side] * g.width;
  }
  if (read_pairs(shard, &g) != QE_OK) {
    error_memory(tape_error(shard->tape));
    return false;
  }
  for (size_t side = 0; side < SIDES; side++)
    shard->taps[TAP_READ + side] = qe_constant(shard->tape, count[side], g.width, states[side]);
  return true;
}

/* ---- forward ---- */

static qe_tensor parameter(const struct shard *shard, size_t number) {
  return qe_param(shard->tape, shard->model->params, number);
}

static size_t of_side(const struct shard *shard, size_t side, size_t matrix) {
  return aligned_matrix(&shard->model->configuration, side, matrix);
}

static size_t of_pair(const struct shard *shard, size_t matrix) {
  return aligned_pair_matrix(&shard->model->configuration, matrix);
}

static qe_tensor dropped(struct shard *shard, qe_tensor x) {
  return qe_dropout(x, shard->model->configuration.dropout, shard->drops ? &shard->dropout : NULL);
}

static qe_tensor linear(const struct shard *shard, const qe_tensor *parts, size_t count, size_t weight) {
  return qe_relu(
      qe_add(qe_matmul(qe_beside(parts, count), parameter(shard, weight), QE_NN), parameter(shard, weight + 1)));
}

/* Everything between words and pooled comparisons. */
struct sides {
  qe_segments words[2];
  qe_tensor direction[2], channels[2], states[2];
};

/* Words moved by their neighbours. */
static qe_tensor move(const struct shard *shard, size_t side, qe_tensor x, qe_segments words) {
  const size_t window = shard->model->configuration.aligned.window;
  if (window == 0)
    return x;
  const qe_tensor around = qe_window(x, words, window, window);
  return qe_add(x, qe_matmul(linear(shard, &around, 1, of_side(shard, side, MIX)),
                             parameter(shard, of_side(shard, side, TURN)), QE_NN));
}

/* Of one side, as a leaf: what the encoder made of its words. */
static qe_tensor embedded(const struct shard *shard, size_t side) {
  if (!aligned_in_context(&shard->model->configuration) || shard->given[side].tape)
    return words_embed(shard, side, of_side(shard, side, EMBEDDING));
  char name[MOST_TAP_NAME];
  snprintf(name, sizeof name, "%s.center", side_names[side]);
  return qe_add(qe_matmul(shard->taps[TAP_READ + side], parameter(shard, of_side(shard, side, EMBEDDING)), QE_NN),
                parameter(shard, (size_t)qe_params_find(shard->model->params, name)));
}

static void make_states(struct shard *shard, struct sides *s, const struct found *found) {
  for (size_t side = 0; side < 2; side++) {
    qe_tensor *taps = shard->taps + TAP_OWN + side * SIDE_TAPS;
    taps[TAP_EMBEDDING] = embedded(shard, side);
    taps[TAP_CONTEXT] = move(shard, side, taps[TAP_EMBEDDING], s->words[side]);
    s->direction[side] = qe_unit(taps[TAP_CONTEXT]);
  }
  for (size_t side = 0; side < 2; side++) {
    qe_tensor *taps = shard->taps + TAP_OWN + side * SIDE_TAPS;
    const qe_tensor known[2] = { found->channels[side], qe_best_match(s->direction[side], s->direction[1 - side],
                                                                      s->words[side], s->words[1 - side]) };
    s->channels[side] = qe_beside(known, 2);
    const qe_tensor parts[2] = { dropped(shard, taps[TAP_CONTEXT]), s->channels[side] };
    taps[TAP_STATES] = linear(shard, parts, 2, of_side(shard, side, STATE));
    s->states[side] = dropped(shard, taps[TAP_STATES]);
  }
}

/* Logits of every word of the translation with every one of the source. */
static qe_tensor align(struct shard *shard, const struct sides *s, const struct found *found) {
  const double scale = 1 / sqrt((double)shard->model->configuration.aligned.states);
  const qe_tensor gain = parameter(shard, of_pair(shard, GAIN));
  qe_tensor query = qe_matmul(s->states[1], parameter(shard, of_pair(shard, QUERY)), QE_NN);
  qe_tensor learned = qe_affine(qe_pairwise(query, s->states[0], s->words[1], s->words[0]), scale, 0);
  qe_tensor cosine = qe_pairwise(s->direction[1], s->direction[0], s->words[1], s->words[0]);
  qe_tensor prior = qe_add(qe_mul(found->prior, qe_columns(gain, GAIN_PRIOR, 1)),
                           qe_mul(cosine, qe_columns(gain, GAIN_COSINE, 1)));
  return qe_add(learned, prior);
}

/* One side's words with what they saw of the other, pooled. */
static void compare(struct shard *shard, const struct sides *s, size_t side, qe_tensor seen, qe_tensor *pooled) {
  const qe_tensor own = s->states[side];
  const qe_tensor parts[] = { own, seen, qe_mul(own, seen), qe_abs(qe_sub(own, seen)), s->channels[side] };
  qe_tensor compared = linear(shard, parts, 5, of_side(shard, side, COMPARE));
  qe_tensor logits = qe_matmul(compared, parameter(shard, of_side(shard, side, POOL)), QE_NN);
  qe_tensor *taps = shard->taps + TAP_OWN + side * SIDE_TAPS;
  taps[TAP_SEEN] = seen;
  taps[TAP_COMPARED] = compared;
  pooled[0] = qe_pool_segments(compared, s->words[side], QE_POOL_MEAN);
  pooled[1] = qe_pool_segments(compared, s->words[side], QE_POOL_MAX);
  pooled[2] = qe_attention_pool(compared, logits, s->words[side]);
}

/* How bad each word of the translation looks beside what it saw. */
static qe_tensor word_logits(struct shard *shard) {
  const size_t weight = words_weight(shard->model);
  return qe_add(
      qe_matmul(dropped(shard, shard->taps[TAP_OWN + SIDE_TAPS + TAP_COMPARED]), parameter(shard, weight), QE_NN),
      parameter(shard, weight + 1));
}

static void forward(struct shard *shard) {
  struct sides s = { .words = { words_of(shard, 0), words_of(shard, 1) } };
  struct found found;
  qe_tensor pooled[2 * POOLINGS + 3];
  size_t parts = 2 * POOLINGS + 1;
  const bool reads =
      aligned_in_context(&shard->model->configuration) && !(shard->given[0].tape && shard->given[1].tape);
  if (!find(shard, s.words, &found) || (reads && !read_in_context(shard, s.words)))
    return;
  make_states(shard, &s, &found);
  const qe_tensor logits = shard->taps[TAP_ALIGNMENT] = align(shard, &s, &found);
  compare(shard, &s, 0, qe_look(logits, s.states[1], s.words[1], s.words[0], 1), pooled);
  compare(shard, &s, 1, qe_look(logits, s.states[0], s.words[1], s.words[0], 0), pooled + POOLINGS);
  if (shard->model->configuration.aligned.words)
    shard->taps[TAP_WORDS] = word_logits(shard);
  pooled[2 * POOLINGS] = found.features;
  if (shard->model->configuration.decoder_inputs) {
    if (!head_statistics(shard, shard->model->configuration.aligned.decoder_dropout, &pooled[parts + 1]))
      return;
    pooled[parts] = shard->decoder;
    parts += 2;
  }
  head_forward(shard, dropped(shard, linear(shard, pooled, parts, of_pair(shard, HIDDEN))));
}

/* ---- the entry ---- */

static bool decoder_optional(const struct configuration *configuration) {
  return configuration->aligned.decoder_dropout > 0;
}

static bool tags_words(const struct configuration *configuration) {
  return configuration->aligned.words;
}

static bool tap_name(const struct configuration *configuration, size_t number, char name[MOST_TAP_NAME]) {
  const size_t taps = aligned_in_context(configuration) ? TAPS
                      : configuration->aligned.words    ? TAP_READ
                                                        : TAP_WORDS;
  return architecture_tap(tap_names, taps, number, name);
}

static size_t width(const struct configuration *configuration) {
  return configuration->aligned.embedding;
}

const struct architecture aligned_student = {
  .name = "aligned",
  .defaults = { .max_tokens = 100,
                .dropout = .4,
                .vocabulary = { { VOCABULARY_NGRAMS, 16384, 1, true }, { VOCABULARY_NGRAMS, 16384, 1, true } },
                .aligned = { .embedding = 48,
                             .window = 2,
                             .states = 96,
                             .comparison = 48,
                             .hidden = 48,
                             .decoder_dropout = .5,
                             .least_count = 1,
                             .least_link = 1 } },
  .keys = keys,
  .parse = parse,
  .dump = dump,
  .decoder_optional = decoder_optional,
  .tags_words = tags_words,
  .counts = true,
  .parameters = parameters,
  .start = start,
  .least_cells = least_cells,
  .tap_name = tap_name,
  .width = width,
  .offset = words_offset,
  .forward = forward,
  .fold = aligned_fold,
  .scoring_free = aligned_scoring_free,
  .work_new = aligned_work_new,
  .work_fits = aligned_work_fits,
  .work_free = aligned_work_free,
  .vector_width = aligned_vector_width,
  .vectors_read = aligned_vectors_read,
  .vectors = aligned_vectors,
  .score = aligned_score,
  .score_list = aligned_score,
};
