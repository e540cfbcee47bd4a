/*
** encoder_score.c - an encoder's scores of pairs without a tape. Pairs are taken in packs of some hundred rows, so that
** one pass of a weight serves many of them; every row is computed by the same operations in the same order whatever the
** pack, so a score depends on its pair alone. No arithmetic on floats but single additions and products happens here:
** the rest is in kernel.c.
*/
#include "encoder_score.h"

enum { PACK_ROWS = 384 };

/* Rows of one text, and of the sequence it stands in. */
struct span {
  uint32_t first, count;
};
struct item {
  size_t pair;
  struct span alone[SIDES], text[SIDES], joint,
      beside[SIDES]; /* alone: nothing where the pair before has the text */
  bool truncated[SIDES];
};

struct encoder_work {
  struct work base;
  struct encoder_shape shape; /* that the arrays have room for */
  bool alone, joint;          /* how pairs are put into packs */
  struct unigram_work pieces[SIDES];
  uint32_t *ids, *positions;
  struct item *items;
  size_t rows, row_room, item_count, item_room, ids_room, positions_room;
  float *features; /* FEATURES * aligned per item */
  size_t feature_room;
  void *block;
  float *states, *mixing, *mixed,
      *inner; /* rows x stride, 3 wide, stride, inner_stride; inner also serves attention */
  float *scratch, *logits, *pooled, *inputs;
};

void encoder_work_free(struct work *base) {
  struct encoder_work *work = (struct encoder_work *)base;
  if (!work)
    return;
  for (size_t side = 0; side < SIDES; side++)
    unigram_work_free(&work->pieces[side]);
  memory_free(work->ids);
  memory_free(work->positions);
  memory_free(work->items);
  memory_free(work->features);
  memory_free(work->block);
  memory_free(work);
}

struct work *encoder_work_new(const struct scoring *scoring) {
  struct encoder_work *work = memory_new(1, sizeof *work);
  if (!work)
    return NULL;
  work->shape = ((const struct encoder_scoring *)scoring)->shape;
  return &work->base;
}

bool encoder_work_fits(const struct work *work, const struct scoring *scoring) {
  return memcmp(&((const struct encoder_work *)work)->shape, &((const struct encoder_scoring *)scoring)->shape,
                sizeof(struct encoder_shape)) == 0;
}

/* What one head in one sequence needs: keys as panels, scores, values as panels, what comes out. */
static size_t attention_room(const struct encoder_shape *s, size_t rows) {
  return padded(rows) * (s->head + rows + s->head_wide) + rows * s->head_wide;
}

/* Half of the rows are the longest sequence that there is room for. */
static void work_layout(void *owner, struct room *room) {
  struct encoder_work *work = owner;
  const struct encoder_shape *s = &work->shape;
  const size_t rows = work->row_room, longest = rows / 2;
  const size_t inner = rows * s->inner_stride,
               matching = 2 * longest * s->wide + padded(longest) * (s->wide + longest);
  const size_t attention = attention_room(s, longest);
  work->states = room_take(room, rows, s->stride);
  work->mixing = room_take(room, rows, 3 * s->wide);
  work->mixed = room_take(room, rows, s->stride);
  work->inner = room_take(room, inner > attention ? inner : attention, 1);
  work->scratch = room_take(room, matching, 1);
  work->pooled = room_take(room, s->pooled_from + s->wide, 1);
  work->inputs = room_take(room, s->pooled + s->wide + DECODER_INPUTS, 1);
  work->logits = room_take(room, s->outputs, 1);
}

static size_t longest_sequence(const struct encoder_work *work) {
  size_t longest = 1;
  for (size_t i = 0; i < work->item_count; i++) {
    const struct item *item = &work->items[i];
    const uint32_t counts[] = { item->alone[0].count, item->alone[1].count, item->joint.count };
    for (size_t j = 0; j < 3; j++)
      longest = counts[j] > longest ? counts[j] : longest;
  }
  return longest;
}

/* Room for the pack that was gathered. */
static bool work_reserve(struct encoder_work *work) {
  enum { LONGEST = 128 };
  size_t longest = longest_sequence(work), rows = work->rows > PACK_ROWS ? work->rows : PACK_ROWS;
  longest = longest > LONGEST ? longest : LONGEST;
  const size_t need = rows > longest * 2 ? rows : longest * 2;
  if (!memory_reserve((void **)&work->features, &work->feature_room,
                      work->item_count * FEATURES * work->shape.aligned + 1, sizeof *work->features))
    return false;
  if (need <= work->row_room)
    return true;
  memory_free(work->block);
  work->row_room = need;
  work->block = room_lay(work, work_layout);
  if (!work->block)
    work->row_room = 0;
  return work->block != NULL;
}

/* ---- gathering a pack ---- */

static void put(struct encoder_work *work, uint32_t id) {
  work->ids[work->rows++] = id;
}

static struct span put_text(struct encoder_work *work, size_t side, uint32_t end) {
  const struct unigram_work *pieces = &work->pieces[side];
  const struct span span = { (uint32_t)work->rows, (uint32_t)pieces->count };
  for (size_t i = 0; i < pieces->count; i++)
    put(work, pieces->ids[i]);
  put(work, end);
  return span;
}

static void open_sequence(struct encoder_work *work, const qe_model *model) {
  put(work, vocabulary_unigram(&model->vocabulary[0])->begin);
  for (size_t i = 0; i < model->prefix_count; i++)
    put(work, model->prefix[i]);
}

static struct span close_sequence(struct encoder_work *work, const qe_model *model, size_t first) {
  for (size_t i = first; i < work->rows; i++)
    work->positions[i] = (uint32_t)(model->configuration.encoder.first_position + i - first);
  return (struct span){ (uint32_t)first, (uint32_t)(work->rows - first) };
}

/* Whether the pair before, in the same pack, has the same text on this side, as candidates of one source do. */
static bool repeats(const struct encoder_work *work, const struct item *item, size_t side) {
  const struct unigram_work *pieces = &work->pieces[side];
  const struct span before = item > work->items ? item[-1].text[side] : (struct span){ 0, 0 };
  return pieces->count > 0 && before.count == pieces->count &&
         memcmp(work->ids + before.first, pieces->ids, pieces->count * sizeof *pieces->ids) == 0;
}

/* A text that stands in the pack already is not put there again: its states are those of the first. */
static void put_pair(struct encoder_work *work, const qe_model *model, struct item *item) {
  const uint32_t end = vocabulary_unigram(&model->vocabulary[0])->end;
  size_t first = work->rows;
  for (size_t side = 0; work->alone && side < SIDES; side++, first = work->rows) {
    if (repeats(work, item, side)) {
      item->text[side] = item[-1].text[side];
      continue;
    }
    open_sequence(work, model);
    item->text[side] = put_text(work, side, end);
    item->alone[side] = close_sequence(work, model, first);
  }
  if (!work->joint)
    return;
  open_sequence(work, model);
  item->beside[0] = put_text(work, 0, end);
  put(work, end);
  item->beside[1] = put_text(work, 1, end);
  item->joint = close_sequence(work, model, first);
}

static int add_pair(struct encoder_work *work, const qe_scorer *scorer, size_t number) {
  const qe_model *model = scorer->model;
  const struct unigram *unigram = vocabulary_unigram(&model->vocabulary[0]);
  size_t most = work->rows + 3 * (JOINT_SPECIAL + model->prefix_count);
  for (size_t side = 0; side < SIDES; side++) {
    int status = unigram_encode(unigram, &work->pieces[side], pair_side(&scorer->pairs[number], side),
                                model->configuration.max_tokens);
    if (status != QE_OK)
      return status;
    most += 2 * work->pieces[side].count;
  }
  if (!memory_reserve((void **)&work->ids, &work->ids_room, most, sizeof *work->ids) ||
      !memory_reserve((void **)&work->positions, &work->positions_room, most, sizeof *work->positions) ||
      !memory_reserve((void **)&work->items, &work->item_room, work->item_count + 1, sizeof *work->items))
    return QE_MEMORY;
  struct item *item = &work->items[work->item_count++];
  *item = (struct item){ .pair = number, .truncated = { work->pieces[0].truncated, work->pieces[1].truncated } };
  put_pair(work, model, item);
  return QE_OK;
}

/* ---- layers ---- */

static void embed(struct encoder_work *work, const struct encoder_scoring *scoring, const struct kernel *kernel) {
  const struct encoder_shape *s = &scoring->shape;
  for (size_t i = 0; i < work->rows; i++) {
    const float *word = scoring->word + work->ids[i] * s->wide;
    const float *position = scoring->position + work->positions[i] * s->wide;
    float *state = work->states + i * s->stride;
    for (size_t j = 0; j < s->wide; j++)
      state[j] = word[j] + scoring->type[j] + position[j];
  }
  kernel->norm(work->rows, s->width, work->states, s->stride, NULL, 0, scoring->gain, scoring->bias,
               (float)scoring->configuration.encoder.epsilon);
}

static void attend_head(struct encoder_work *work, const struct encoder_scoring *scoring,
                        const struct kernel *kernel, struct span span, size_t head) {
  const struct encoder_shape *s = &scoring->shape;
  const size_t count = span.count, room = padded(count), stride = 3 * s->wide;
  const float *query = work->mixing + span.first * stride + head * s->head;
  float *keys = work->inner, *scores = keys + room * s->head, *values = scores + count * room;
  float *result = values + count * s->head_wide;
  panels_turned(keys, query + s->wide, stride, count, s->head);
  kernel->product(count, s->head, room, query, stride, keys, scoring->zeros, scores, room);
  const float scale = 1.0f / __builtin_sqrtf((float)s->head);
  for (size_t i = 0; i < count; i++)
    kernel->softmax(count, scale, scores + i * room);
  panels_of(values, query + 2 * s->wide, stride, count, s->head);
  kernel->product(count, count, s->head_wide, scores, room, values, scoring->zeros, result, s->head_wide);
  for (size_t i = 0; i < count; i++)
    memcpy(work->mixed + (span.first + i) * s->stride + head * s->head, result + i * s->head_wide,
           s->head * sizeof *result);
}

static void attend_sequence(struct encoder_work *work, const struct encoder_scoring *scoring,
                            const struct kernel *kernel, struct span span) {
  for (size_t head = 0; span.count > 0 && head < scoring->shape.heads; head++)
    attend_head(work, scoring, kernel, span, head);
}

static void run_layer(struct encoder_work *work, const struct encoder_scoring *scoring, const struct kernel *kernel,
                      const struct encoder_weights *layer) {
  const struct encoder_shape *s = &scoring->shape;
  const size_t rows = work->rows;
  const float epsilon = (float)scoring->configuration.encoder.epsilon;
  kernel->product(rows, s->width, 3 * s->wide, work->states, s->stride, layer->mixing, layer->mixing_bias,
                  work->mixing, 3 * s->wide);
  for (size_t i = 0; i < work->item_count; i++) {
    attend_sequence(work, scoring, kernel, work->items[i].alone[0]);
    attend_sequence(work, scoring, kernel, work->items[i].alone[1]);
    attend_sequence(work, scoring, kernel, work->items[i].joint);
  }
  kernel->product(rows, s->width, s->wide, work->mixed, s->stride, layer->output, layer->output_bias, work->mixing,
                  s->wide);
  kernel->norm(rows, s->width, work->states, s->stride, work->mixing, s->wide, layer->attention_gain,
               layer->attention_bias, epsilon);
  kernel->product_gelu(rows, s->width, s->inner_wide, work->states, s->stride, layer->inner, layer->inner_bias,
                       work->inner, s->inner_stride);
  kernel->product(rows, s->inner, s->wide, work->inner, s->inner_stride, layer->outer, layer->outer_bias,
                  work->mixing, s->wide);
  kernel->norm(rows, s->width, work->states, s->stride, work->mixing, s->wide, layer->gain, layer->bias, epsilon);
}

/* ---- what the states tell ---- */

/* Means over own's rows of their best cosine and of the square of what that lacks to 1. */
static void match(const struct encoder_shape *s, const struct kernel *kernel, const float *zeros, const float *own,
                  size_t own_count, const float *other, size_t other_count, float *scratch, float features[2]) {
  const size_t room = padded(other_count);
  float *panels = scratch, *cosines = panels + room * s->wide, sum = 0.0f, lacking = 0.0f;
  panels_turned(panels, other, s->wide, other_count, s->wide);
  kernel->product(own_count, s->wide, room, own, s->wide, panels, zeros, cosines, room);
  for (size_t i = 0; i < own_count; i++) {
    float best = other_count > 0 ? cosines[i * room] : 0.0f;
    for (size_t j = 1; j < other_count; j++)
      best = cosines[i * room + j] > best ? cosines[i * room + j] : best;
    sum += best;
    lacking += (1.0f - best) * (1.0f - best);
  }
  features[0] = own_count > 0 ? sum / (float)own_count : 0.0f;
  features[1] = own_count > 0 ? lacking / (float)own_count : 0.0f;
}

static void align_item(struct encoder_work *work, const struct encoder_scoring *scoring,
                       const struct kernel *kernel, size_t number, float *features) {
  const struct encoder_shape *s = &scoring->shape;
  const struct item *item = &work->items[number / s->aligned];
  const size_t layer = number % s->aligned;
  float *direction[SIDES] = { work->scratch, work->scratch + item->text[0].count * s->wide };
  float *scratch = direction[1] + item->text[1].count * s->wide, found[SIDES][2];
  for (size_t side = 0; side < SIDES; side++)
    for (size_t i = 0; i < item->text[side].count; i++)
      kernel->direction(s->wide, work->states + (item->text[side].first + i) * s->stride,
                        scoring->center + (2 * layer + side) * s->wide, direction[side] + i * s->wide);
  for (size_t side = 0; side < SIDES; side++)
    match(s, kernel, scoring->zeros, direction[side], item->text[side].count, direction[1 - side],
          item->text[1 - side].count, scratch, found[side]);
  for (size_t side = 0; side < SIDES; side++) {
    features[side] = found[side][0];
    features[2 + side] = found[side][1];
  }
}

/* After `layer` layers: their place in the alignment, if they have one. */
static void align(struct encoder_work *work, const struct encoder_scoring *scoring, const struct kernel *kernel,
                  size_t layer) {
  const uint64_t aligned = scoring->configuration.encoder.alignment;
  const size_t each = scoring->shape.aligned;
  if (!(aligned >> layer & 1))
    return;
  const size_t place = (size_t)__builtin_popcountll(aligned & ((UINT64_C(1) << layer) - 1));
  for (size_t i = 0; i < work->item_count; i++)
    align_item(work, scoring, kernel, i * each + place, work->features + (i * each + place) * FEATURES);
}

static void mean_state(const struct encoder_work *work, const struct encoder_shape *s, struct span span,
                       float *mean) {
  memset(mean, 0, s->width * sizeof *mean);
  for (size_t i = 0; i < span.count; i++)
    for (size_t j = 0; j < s->width; j++)
      mean[j] += work->states[(span.first + i) * s->stride + j];
  const float share = span.count > 0 ? 1.0f / (float)span.count : 0.0f;
  for (size_t j = 0; j < s->width; j++)
    mean[j] *= share;
}

static void pool(struct encoder_work *work, const struct encoder_scoring *scoring, const struct kernel *kernel,
                 const struct item *item, const float *decoder, float *out) {
  const struct encoder_shape *s = &scoring->shape;
  float *pooled = work->pooled;
  memcpy(pooled, work->states + item->joint.first * s->stride, s->width * sizeof *pooled);
  mean_state(work, s, item->beside[0], pooled + s->width);
  mean_state(work, s, item->beside[1], pooled + 2 * s->width);
  if (s->decoder > 0)
    memcpy(pooled + 3 * s->width, decoder, (s->decoder + 1) * sizeof *pooled);
  float *turned = pooled + s->pooled_from;
  kernel->product(1, s->pooled_from, s->wide, pooled, 0, scoring->pooler, scoring->pooler_bias, turned, 0);
  kernel->tanh(s->wide, turned);
  memcpy(out, turned, s->width * sizeof *out);
}

static float score_item(struct encoder_work *work, const qe_scorer *scorer, size_t number) {
  const struct encoder_scoring *scoring = (const struct encoder_scoring *)scorer->model->scoring;
  const struct encoder_shape *s = &scoring->shape;
  const struct item *item = &work->items[number];
  const qe_pair *pair = &scorer->pairs[item->pair];
  const size_t features = FEATURES * s->aligned;
  float *inputs = work->inputs, decoder[DECODER_INPUTS + 1] = { 0 };
  if (s->decoder > 0)
    decoder_inputs(scorer->model, pair->logprobs, pair->logprob_count, decoder);
  decoder[s->decoder] = pair->logprob_count > 0 ? 1.0f : 0.0f;
  if (s->joint)
    pool(work, scoring, scorer->kernel, item, decoder, inputs);
  inputs += s->joint * s->width;
  for (size_t i = 0; i < features; i++)
    inputs[i] = work->features[number * features + i] * scoring->feature_scale[i] + scoring->feature_shift[i];
  memcpy(inputs + features, decoder, s->decoder * sizeof *inputs);
  scorer->kernel->affine(1, s->pooled + s->decoder, s->outputs, work->inputs, 0, scoring->head, scoring->head_bias,
                         work->logits);
  return scorer->model->shift + scorer->model->scale * scorer->kernel->score(s->bins, work->logits);
}

/* ---- packs ---- */

/* As many pairs from *next on as a pack takes. */
static int fill_pack(struct encoder_work *work, const qe_scorer *scorer, size_t *next, size_t end) {
  work->rows = work->item_count = 0;
  while (*next < end && work->rows < PACK_ROWS) {
    const int status = add_pair(work, scorer, (*next)++);
    if (status != QE_OK)
      return status;
  }
  return work_reserve(work) ? QE_OK : QE_MEMORY;
}

static void start_pack(struct encoder_work *work, const struct encoder_scoring *scoring,
                       const struct kernel *kernel) {
  embed(work, scoring, kernel);
  memset(work->mixed, 0, work->rows * work->shape.stride * sizeof *work->mixed);
}

static void score_pack(struct encoder_work *work, const qe_scorer *scorer) {
  const struct encoder_scoring *scoring = (const struct encoder_scoring *)scorer->model->scoring;
  start_pack(work, scoring, scorer->kernel);
  align(work, scoring, scorer->kernel, 0);
  for (size_t layer = 0; layer < scoring->shape.needed; layer++) {
    run_layer(work, scoring, scorer->kernel, &scoring->layer[layer]);
    align(work, scoring, scorer->kernel, layer + 1);
  }
  for (size_t i = 0; i < work->item_count; i++) {
    const struct item *item = &work->items[i];
    scorer->scores[item->pair] = score_item(work, scorer, i);
    if (scorer->cut)
      scorer->cut[item->pair] += item->truncated[0] + item->truncated[1];
  }
}

void encoder_score(qe_scorer *scorer, struct work *base, size_t first, size_t end) {
  struct encoder_work *work = (struct encoder_work *)base;
  const struct configuration *configuration = &scorer->model->configuration;
  work->alone = configuration->encoder.alignment != 0;
  work->joint = configuration->encoder.joint;
  while (first < end && base->status == QE_OK) {
    base->status = fill_pack(work, scorer, &first, end);
    if (base->status == QE_OK)
      score_pack(work, scorer);
  }
}

/* ---- reading ---- */

static int hand_over(const struct encoder_work *work, encoder_take *take, void *owner) {
  int status = QE_OK;
  for (size_t i = 0; status == QE_OK && i < work->item_count; i++) {
    const struct item *item = &work->items[i];
    struct encoder_text texts[SIDES];
    for (size_t side = 0; side < SIDES; side++) {
      const struct span span = item->text[side];
      texts[side] = (struct encoder_text){ work->states + span.first * work->shape.stride, work->ids + span.first,
                                           work->shape.stride, span.count, item->truncated[side] };
    }
    status = take(owner, item->pair, texts);
  }
  return status;
}

int encoder_read(struct work *base, const qe_scorer *scorer, size_t first, size_t end, size_t layer,
                 encoder_take *take, void *owner) {
  struct encoder_work *work = (struct encoder_work *)base;
  const struct encoder_scoring *scoring = (const struct encoder_scoring *)scorer->model->scoring;
  const struct encoder_weights *layers = scoring->plain ? scoring->plain : scoring->layer;
  int status = QE_OK;
  work->alone = true;
  work->joint = false;
  while (first < end && status == QE_OK) {
    status = fill_pack(work, scorer, &first, end);
    if (status != QE_OK)
      break;
    start_pack(work, scoring, scorer->kernel);
    for (size_t i = 0; i < layer; i++)
      run_layer(work, scoring, scorer->kernel, &layers[i]);
    status = hand_over(work, take, owner);
  }
  return status;
}
