/*
** aligned_score.c - an aligned student's scores of pairs without a tape: both sides to states, states to a matrix of
** logits, its rows and columns to what each word sees, comparisons, pools, head. Products and everything transcendental
** happen in kernel.c; here are only single operations on floats, in a fixed order.
*/
#include "aligned.h"
#include "forest.h"
#include "recent.h"

/* Everything between text and score of one pair. */
struct aligned_work {
  struct work base;
  struct aligned_shape shape; /* that the arrays have room for */
  struct words words[SIDES];
  struct recent recent[SIDES]; /* embeddings of the words of this call; none where words are read in context */
  bool moved;                  /* words, inputs and directions of the source are those of the pair before */
  struct evidence_pair evidence;
  struct context_work *context;     /* NULL: words have embeddings, or none was read yet */
  const struct context_words *read; /* of the pair that is scored */
  void *fixed_block, *tokens_block;
  size_t tokens; /* of a side, that there is room for */
  float *direction[SIDES], *inputs[SIDES], *states[SIDES],
      *channels[SIDES];                                        /* tokens x wide, stride, state_wide, 32 */
  float *query, *cosine, *logits[SIDES];                       /* logits[side]: rows of that side, padded */
  float *panels, *seen, *compare, *compared, *weights, *zeros; /* zeros: as many as a row of anything has */
  float *word_logits, *bad;     /* tokens x KERNEL_LANES, of which the first counts; tokens */
  float *line, *mixed, *turned; /* embeddings of a text without gaps, zeros before and after; tokens x wide */
  float *pooled, *hidden, *out;
};

static void fixed_layout(void *owner, struct room *room) {
  struct aligned_work *work = owner;
  const struct aligned_shape *s = &work->shape;
  work->pooled = room_take(room, 1, s->pooled + 2 * POOLINGS * s->compare_wide);
  work->hidden = room_take(room, 1, s->hidden_wide + DECODER_INPUTS);
  work->out = room_take(room, 1, s->outputs);
}

static void tokens_layout(void *owner, struct room *room) {
  struct aligned_work *work = owner;
  const struct aligned_shape *s = &work->shape;
  const size_t tokens = work->tokens, wide = padded(tokens);
  for (size_t side = 0; side < SIDES; side++) {
    work->direction[side] = room_take(room, tokens, s->wide);
    work->inputs[side] = room_take(room, tokens, s->state_stride);
    work->states[side] = room_take(room, tokens, s->state_wide);
    work->channels[side] = room_take(room, tokens, WORD_CHANNELS);
    work->logits[side] = room_take(room, tokens, wide);
  }
  work->word_logits = room_take(room, tokens, s->words * KERNEL_LANES);
  work->bad = room_take(room, tokens, s->words);
  work->line = room_take(room, tokens + 2 * s->window, s->embedding);
  work->mixed = room_take(room, tokens, s->wide);
  work->turned = room_take(room, tokens, s->wide);
  work->query = room_take(room, tokens, s->state_wide);
  work->cosine = room_take(room, tokens, wide);
  work->panels = room_take(room, wide, s->state_wide > s->wide ? s->state_wide : s->wide);
  work->seen = room_take(room, tokens, s->state_wide);
  work->compare = room_take(room, tokens, s->compare_stride);
  work->compared = room_take(room, tokens, s->compare_wide);
  work->weights = room_take(room, 1, wide);
  work->zeros = room_take(room, 1, wide + s->state_wide + s->wide);
}

void aligned_work_free(struct work *base) {
  struct aligned_work *work = (struct aligned_work *)base;
  if (!work)
    return;
  for (size_t side = 0; side < SIDES; side++) {
    words_free(&work->words[side]);
    recent_free(&work->recent[side]);
  }
  evidence_pair_free(&work->evidence);
  context_work_free(work->context);
  memory_free(work->fixed_block);
  memory_free(work->tokens_block);
  memory_free(work);
}

struct work *aligned_work_new(const struct scoring *scoring) {
  struct aligned_work *work = memory_new(1, sizeof *work);
  if (!work)
    return NULL;
  work->shape = ((const struct aligned_scoring *)scoring)->shape;
  work->fixed_block = room_lay(work, fixed_layout);
  bool made = work->fixed_block != NULL;
  for (size_t side = 0; side < SIDES && work->shape.context == 0; side++)
    made = made && recent_new(&work->recent[side], work->shape.wide);
  if (made)
    return &work->base;
  aligned_work_free(&work->base);
  return NULL;
}

bool aligned_work_fits(const struct work *base, const struct scoring *scoring) {
  const struct aligned_work *work = (const struct aligned_work *)base;
  const struct aligned_scoring *wanted = (const struct aligned_scoring *)scoring;
  return memcmp(&work->shape, &wanted->shape, sizeof work->shape) == 0 &&
         (!work->context || context_work_fits(work->context, wanted->context));
}

static bool reserve(struct aligned_work *work, size_t tokens) {
  enum { FEWEST = 64 };
  if (work->tokens_block && tokens <= work->tokens)
    return true;
  work->tokens = tokens < FEWEST ? FEWEST : tokens + tokens / 2;
  work->moved = false;
  memory_free(work->tokens_block);
  work->tokens_block = room_lay(work, tokens_layout);
  if (work->tokens_block)
    return true;
  work->tokens = 0;
  return false;
}

/* ---- one pair ---- */

/* What the steps share. */
struct step {
  struct aligned_work *work;
  const struct aligned_scoring *scoring;
  const struct kernel *kernel;
  size_t count[SIDES];
};

static qe_text word_of(const struct words *words, size_t number) {
  return (qe_text){ words->bytes + words->offset[number], words->offset[number + 1] - words->offset[number] };
}

/* The mean embedding of a word of one side. */
static void embed_word(const struct aligned_scoring *scoring, const struct kernel *kernel, size_t side,
                       qe_text word, float *mean) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  const size_t count = vocabulary_ids(scoring->side[side].vocabulary, word, ids);
  kernel->mean(scoring->side[side].embedding, scoring->shape.wide, ids, count, mean);
}

/* What words are where they are read in context: their states, turned and moved. */
static void turn_states(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_side *weights = &step->scoring->side[side];
  const size_t wide = step->scoring->shape.wide;
  step->kernel->product(step->count[side], step->scoring->shape.context, wide, work->read->states[side],
                        work->read->stride, weights->embedding, weights->center, work->turned, wide);
}

static const float *embedding_of(const struct step *step, size_t side, size_t number) {
  struct aligned_work *work = step->work;
  const qe_text word = word_of(&work->words[side], number);
  bool known;
  if (step->scoring->shape.context)
    return work->turned + number * step->scoring->shape.wide;
  float *row = recent_row(&work->recent[side], word, &known);
  if (!known)
    embed_word(step->scoring, step->kernel, side, word, row);
  return row;
}

/* Embeddings of a text's words, one after another, zeros where a window reaches over its ends. */
static void embed(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const struct words *words = &work->words[side];
  const size_t edge = s->window * s->embedding;
  memset(work->line, 0, edge * sizeof *work->line);
  if (s->context)
    turn_states(step, side);
  for (size_t i = 0; i < words->count; i++)
    memcpy(work->line + edge + i * s->embedding, embedding_of(step, side, i), s->embedding * sizeof *work->line);
  memset(work->line + edge + words->count * s->embedding, 0, edge * sizeof *work->line);
}

static void rectify(float *x, size_t count) {
  for (size_t i = 0; i < count; i++)
    x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* What neighbours move words by, into `turned`. A window is a row of `line`, which overlaps with the next. */
static void mix(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const struct aligned_side *weights = &step->scoring->side[side];
  const size_t count = step->count[side], edge = s->window * s->embedding;
  step->kernel->product(count, 2 * edge + s->embedding, s->wide, work->line, s->embedding, weights->mix,
                        weights->mix_bias, work->mixed, s->wide);
  rectify(work->mixed, count * s->wide);
  step->kernel->product(count, s->embedding, s->wide, work->mixed, s->wide, weights->turn, work->zeros,
                        work->turned, s->wide);
}

/* Words moved by their neighbours, into the inputs of the states; and their directions. */
static void move(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const size_t count = step->count[side], edge = s->window * s->embedding;
  if (s->window > 0)
    mix(step, side);
  else
    memset(work->turned, 0, count * s->wide * sizeof *work->turned);
  for (size_t i = 0; i < count; i++) {
    float *row = work->inputs[side] + i * s->state_stride, *turned = work->turned + i * s->wide;
    const float *own = work->line + edge + i * s->embedding;
    for (size_t j = 0; j < s->embedding; j++)
      turned[j] += own[j];
    memcpy(row, turned, s->embedding * sizeof *row);
    step->kernel->direction(s->wide, turned, work->zeros, work->direction[side] + i * s->wide);
  }
}

/* out[i] = inner products of row i of the translation with all rows of the source; `stride` numbers each. */
static void products(const struct step *step, const float *target, const float *source, size_t stride, size_t depth,
                     float *out) {
  const size_t columns = padded(step->count[0]);
  panels_turned(step->work->panels, source, stride, step->count[0], depth);
  step->kernel->product(step->count[1], depth, step->count[0], target, stride, step->work->panels,
                        step->work->zeros, out, columns);
}

/* The best cosine of every word, as its last channel. */
static void match(const struct step *step) {
  struct aligned_work *work = step->work;
  const size_t columns = padded(step->count[0]);
  for (size_t side = 0; side < SIDES; side++)
    for (size_t i = 0; i < step->count[side]; i++)
      work->channels[side][i * WORD_CHANNELS + CHANNELS] = step->count[1 - side] > 0 ? -2.0f : 0.0f;
  for (size_t m = 0; m < step->count[1]; m++)
    for (size_t n = 0; n < step->count[0]; n++) {
      const float cosine = work->cosine[m * columns + n];
      float *const best[] = { work->channels[0] + n * WORD_CHANNELS + CHANNELS,
                              work->channels[1] + m * WORD_CHANNELS + CHANNELS };
      for (size_t side = 0; side < SIDES; side++)
        *best[side] = *best[side] < cosine ? cosine : *best[side];
    }
}

static void make_states(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const struct aligned_side *weights = &step->scoring->side[side];
  const size_t count = step->count[side];
  for (size_t i = 0; i < count; i++) {
    float *channels = work->channels[side] + i * WORD_CHANNELS;
    memcpy(channels, work->evidence.channel[side] + i * CHANNELS, CHANNELS * sizeof *channels);
    memcpy(work->inputs[side] + i * s->state_stride + s->embedding, channels, WORD_CHANNELS * sizeof *channels);
  }
  step->kernel->product(count, s->embedding + WORD_CHANNELS, s->state_wide, work->inputs[side], s->state_stride,
                        weights->state, weights->state_bias, work->states[side], s->state_wide);
  rectify(work->states[side], count * s->state_wide);
}

/* Logits by rows of the translation, and turned. */
static void align(const struct step *step) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const float scale = 1.0f / __builtin_sqrtf((float)s->states);
  const float prior = step->scoring->gain[GAIN_PRIOR], cosine = step->scoring->gain[GAIN_COSINE];
  const size_t columns = padded(step->count[0]), turned = padded(step->count[1]);
  step->kernel->product(step->count[1], s->states, s->state_wide, work->states[1], s->state_wide,
                        step->scoring->query, step->work->zeros, work->query, s->state_wide);
  products(step, work->query, work->states[0], s->state_wide, s->states, work->logits[1]);
  for (size_t m = 0; m < step->count[1]; m++)
    for (size_t n = 0; n < step->count[0]; n++) {
      float *cell = &work->logits[1][m * columns + n];
      const float known = prior * work->evidence.prior[m * step->count[0] + n];
      *cell = scale * *cell + (known + cosine * work->cosine[m * columns + n]);
      work->logits[0][n * turned + m] = *cell;
    }
}

/* What the words of a side see of the other. */
static void look(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const size_t count = step->count[side], other = step->count[1 - side], columns = padded(other);
  if (other == 0) {
    memset(work->seen, 0, count * s->state_wide * sizeof *work->seen);
    return;
  }
  for (size_t i = 0; i < count; i++)
    step->kernel->softmax(other, 1.0f, work->logits[side] + i * columns);
  panels_of(work->panels, work->states[1 - side], s->state_wide, other, s->states);
  step->kernel->product(count, other, s->state_wide, work->logits[side], columns, work->panels, step->work->zeros,
                        work->seen, s->state_wide);
}

static void compare_row(const struct step *step, size_t side, size_t i) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const float *restrict own = work->states[side] + i * s->state_wide, *restrict seen =
                                                                          work->seen + i * s->state_wide;
  float *restrict row = work->compare + i * s->compare_stride;
  memcpy(row, own, s->states * sizeof *row);
  memcpy(row + s->states, seen, s->states * sizeof *row);
  for (size_t j = 0; j < s->states; j++)
    row[2 * s->states + j] = own[j] * seen[j];
  for (size_t j = 0; j < s->states; j++)
    row[3 * s->states + j] = __builtin_fabsf(own[j] - seen[j]);
  memcpy(row + 4 * s->states, work->channels[side] + i * WORD_CHANNELS, WORD_CHANNELS * sizeof *row);
}

/* Mean, maximum and attention over rows of comparisons, none of which is negative. */
static void pool(const struct step *step, size_t side, float *pooled) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const size_t count = step->count[side], width = s->comparison;
  memset(pooled, 0, (POOLINGS - 1) * width * sizeof *pooled);
  for (size_t i = 0; i < count; i++) {
    const float *row = work->compared + i * s->compare_wide;
    for (size_t j = 0; j < width; j++) {
      pooled[j] += row[j];
      pooled[width + j] = pooled[width + j] < row[j] ? row[j] : pooled[width + j];
    }
  }
  const float share = count > 0 ? 1.0f / (float)count : 0.0f;
  for (size_t j = 0; j < width; j++)
    pooled[j] *= share;
  if (count == 0)
    memset(pooled + 2 * width, 0, width * sizeof *pooled);
  else
    step->kernel->attend(count, s->compare_wide, work->compared, step->scoring->side[side].pool, work->weights,
                         pooled + 2 * width);
}

static void compare(const struct step *step, size_t side) {
  struct aligned_work *work = step->work;
  const struct aligned_shape *s = &step->scoring->shape;
  const struct aligned_side *weights = &step->scoring->side[side];
  const size_t count = step->count[side];
  for (size_t i = 0; i < count; i++)
    compare_row(step, side, i);
  step->kernel->product(count, 4 * s->states + WORD_CHANNELS, s->comparison, work->compare, s->compare_stride,
                        weights->compare, weights->compare_bias, work->compared, s->compare_wide);
  rectify(work->compared, count * s->compare_wide);
  pool(step, side, work->pooled + side * POOLINGS * s->comparison);
}

/* The comparisons that are there are those of the translation, the last side that was compared. */
static int tag_words(const struct step *step, const qe_scorer *scorer, size_t number) {
  struct aligned_work *work = step->work;
  const struct aligned_scoring *scoring = step->scoring;
  const size_t count = step->count[QE_TARGET];
  step->kernel->product(count, scoring->shape.comparison, KERNEL_LANES, work->compared, scoring->shape.compare_wide,
                        scoring->words, scoring->words_bias, work->word_logits, KERNEL_LANES);
  for (size_t i = 0; i < count; i++)
    work->bad[i] = step->kernel->score(0, work->word_logits + i * KERNEL_LANES);
  return words_take(scorer, &work->base, number, work->bad, count);
}

/* The student's own score, before it is scaled. */
static float finish(const struct step *step, const qe_scorer *scorer, const qe_pair *pair) {
  struct aligned_work *work = step->work;
  const struct aligned_scoring *scoring = step->scoring;
  const struct aligned_shape *s = &scoring->shape;
  const size_t inputs = 2 * POOLINGS * s->comparison;
  memcpy(work->pooled + inputs, work->evidence.features, sizeof work->evidence.features);
  if (s->decoder > 0) {
    float *decoder = work->pooled + inputs + EVIDENCE_FEATURES;
    decoder_inputs(scorer->model, pair->logprobs, pair->logprob_count, decoder);
    decoder[s->decoder] = pair->logprob_count > 0 ? 1.0f : 0.0f;
  }
  step->kernel->product(1, s->pooled, s->hidden_wide, work->pooled, 0, scoring->hidden, scoring->hidden_bias,
                        work->hidden, 0);
  rectify(work->hidden, s->hidden_wide);
  if (s->decoder > 0)
    memcpy(work->hidden + s->hidden, work->pooled + inputs + EVIDENCE_FEATURES, s->decoder * sizeof *work->hidden);
  step->kernel->affine(1, s->hidden + s->decoder, s->outputs, work->hidden, 0, scoring->head, scoring->head_bias,
                       work->out);
  return step->kernel->score(s->bins, work->out);
}

/* What its trees say of a pair whose words and evidence have been read. */
static float ask_trees(const struct aligned_work *work, const struct forests *forests, const qe_pair *pair) {
  float features[FOREST_FEATURES];
  surface_read(work->words, &work->evidence, pair->logprobs, pair->logprob_count, features);
  return forests_score(forests, pair->logprob_count > 0, features);
}

/* The student's score, with what the encoder and the trees say where they count, in the unit of the human ones. */
static float on_line(const struct aligned_work *work, const qe_scorer *scorer, size_t number, float own) {
  const qe_model *model = scorer->model;
  const qe_pair *pair = &scorer->pairs[number];
  const struct score_line *line = &model->line[pair->logprob_count > 0];
  if (work->read)
    own += line->context * scorer->scores[number];
  if (model->forests && line->forest > 0)
    own += line->forest * ask_trees(work, model->forests, pair);
  return line->shift + line->scale * own;
}

static int score_pair(struct aligned_work *work, const qe_scorer *scorer, size_t number) {
  const qe_pair *pair = &scorer->pairs[number];
  struct step step = { work, (const struct aligned_scoring *)scorer->model->scoring, scorer->kernel, { 0 } };
  int status = QE_OK;
  work->moved = work->moved && text_same(pair->source, pair[-1].source);
  for (size_t side = 0; status == QE_OK && side < SIDES; side++) {
    if (side > 0 || !work->moved)
      status = words_split(&work->words[side], pair_side(pair, side), scorer->model->configuration.max_tokens);
    step.count[side] = work->words[side].count;
    scorer->cut[number] += work->read ? work->read->truncated[side] : work->words[side].truncated;
  }
  if (status == QE_OK && !reserve(work, step.count[0] > step.count[1] ? step.count[0] : step.count[1]))
    status = QE_MEMORY;
  if (status == QE_OK)
    status = evidence_read(scorer->model->evidence, pair, work->words, false, &work->evidence);
  if (status != QE_OK)
    return status;
  for (size_t side = work->moved ? 1 : 0; side < SIDES; side++) {
    embed(&step, side);
    move(&step, side);
  }
  work->moved = !work->read;
  products(&step, work->direction[1], work->direction[0], step.scoring->shape.wide, step.scoring->shape.wide,
           work->cosine);
  match(&step);
  for (size_t side = 0; side < SIDES; side++)
    make_states(&step, side);
  align(&step);
  for (size_t side = 0; side < SIDES; side++) {
    look(&step, side);
    compare(&step, side);
  }
  scorer->scores[number] = on_line(work, scorer, number, finish(&step, scorer, pair));
  return scorer->tagging ? tag_words(&step, scorer, number) : QE_OK;
}

/* ---- words in context ---- */

struct reader {
  struct aligned_work *work;
  const qe_scorer *scorer;
};

int aligned_score_read(struct work *base, const qe_scorer *scorer, size_t number,
                       const struct context_words *words) {
  struct aligned_work *work = (struct aligned_work *)base;
  work->read = words;
  const int status = score_pair(work, scorer, number);
  work->read = NULL;
  return status;
}

static int score_read(void *owner, size_t number, const struct context_words *words) {
  const struct reader *reader = owner;
  return aligned_score_read(&reader->work->base, reader->scorer, number, words);
}

/* What the encoder says stands in the scores until the student's are added. */
static int score_in_context(struct aligned_work *work, qe_scorer *scorer, size_t first, size_t end) {
  const qe_model *model = scorer->model;
  struct reader reader = { work, scorer };
  if (!work->context && !(work->context = context_work_new(model->context)))
    return QE_MEMORY;
  const int status =
      context_score(work->context, context_asked(model), scorer->kernel, scorer->pairs, first, end, scorer->scores);
  return status != QE_OK ? status
                         : context_read(work->context, scorer->kernel, scorer->pairs, first, end,
                                        model->configuration.max_tokens, score_read, &reader);
}

void aligned_score(qe_scorer *scorer, struct work *base, size_t first, size_t end) {
  struct aligned_work *work = (struct aligned_work *)base;
  if (work->shape.context > 0) {
    base->status = score_in_context(work, scorer, first, end);
    return;
  }
  for (size_t side = 0; side < SIDES; side++)
    recent_forget(&work->recent[side]);
  work->moved = false;
  for (size_t i = first; i < end && base->status == QE_OK; i++)
    base->status = score_pair(work, scorer, i);
}

/* ---- word vectors ---- */

size_t aligned_vector_width(const struct scoring *base) {
  return ((const struct aligned_scoring *)base)->shape.wide;
}

void aligned_vectors_read(const struct scoring *base, const struct kernel *kernel,
                          const struct context_words *words, float *out) {
  const struct aligned_scoring *scoring = (const struct aligned_scoring *)base;
  const struct aligned_side *side = &scoring->side[QE_TARGET];
  const size_t wide = scoring->shape.wide;
  float word[ALIGNED_WIDEST];
  for (size_t i = 0; i < words->count[QE_TARGET]; i++) {
    kernel->product(1, scoring->shape.context, wide, words->states[QE_TARGET] + i * words->stride, 0,
                    side->embedding, side->center, word, 0);
    kernel->direction(wide, word, scoring->zeros, out + i * wide);
  }
}

void aligned_vectors(const struct scoring *base, const struct kernel *kernel, const struct words *words,
                     float *out) {
  const struct aligned_scoring *scoring = (const struct aligned_scoring *)base;
  const size_t wide = scoring->shape.wide;
  float mean[ALIGNED_WIDEST];
  for (size_t i = 0; i < words->count; i++) {
    embed_word(scoring, kernel, QE_TARGET, word_of(words, i), mean);
    kernel->direction(wide, mean, scoring->zeros, out + i * wide);
  }
}
