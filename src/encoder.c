/*
** encoder.c - a multilingual encoder of BERT's kind (Devlin et al. 2019; XLM-R: Conneau et al. 2020) with a head for
** quality, on a tape. Texts are pieces with an embedding of word, position and type; layers of multi-head attention and
** a feed-forward part follow, each with a residual and a layer norm after it. Two forms, either or both: the texts
** alone, whose centred states are aligned by cosine, and both as one sequence, whose first state and two means are
** pooled (MonoTransQuest: Ranasinghe et al. 2020). Sequences are packed: none sees its neighbours. encoder_score.c
** computes the same without a tape.
*/
#include "encoder_score.h"

#include <math.h>
#include <stdio.h>

/* ---- parameters ---- */

static const char *layer_matrix(size_t number, const struct configuration *c, size_t *rows, size_t *cols) {
  static const char *const names[] = {
    "query.weight",  "query.bias",  "key.weight",     "key.bias",       "value.weight", "value.bias",
    "output.weight", "output.bias", "attention.gain", "attention.bias", "inner.weight", "inner.bias",
    "outer.weight",  "outer.bias",  "norm.gain",      "norm.bias",
  };
  const size_t width = c->encoder.width, inner = c->encoder.inner;
  *rows = number == OUTER ? inner : number % 2 == 0 && number != ATTENTION_GAIN && number != LAYER_GAIN ? width : 1;
  *cols = number == INNER || number == INNER_BIAS ? inner : width;
  return names[number];
}

static int add_layer(qe_model *model, size_t layer) {
  char group[32];
  snprintf(group, sizeof group, "layer%zu", layer + 1);
  for (size_t i = 0; i < LAYER_MATRICES; i++) {
    size_t rows, cols;
    const char *name = layer_matrix(i, &model->configuration, &rows, &cols);
    if (architecture_add(model, group, name, rows, cols, 0) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

static int add_embeddings(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t width = c->encoder.width;
  if (architecture_add(model, "embeddings", "word", c->vocabulary[0].rows, width, 1) != QE_OK ||
      architecture_add(model, "embeddings", "position", c->encoder.positions, width, 1) != QE_OK ||
      architecture_add(model, "embeddings", "type", c->encoder.types, width, 0) != QE_OK ||
      architecture_add(model, "embeddings", "gain", 1, width, 0) != QE_OK ||
      architecture_add(model, "embeddings", "bias", 1, width, 0) != QE_OK)
    return model->error.status;
  params_coarsen(model->params, WORD, c->encoder.rare);
  return QE_OK;
}

static size_t pooled_width(const struct configuration *c) {
  return (c->encoder.joint ? c->encoder.width : 0) + FEATURES * encoder_aligned(c);
}

static int add_pooler(qe_model *model) {
  const size_t width = model->configuration.encoder.width;
  if (architecture_add(model, "pooler", "weight", encoder_pooled_from(&model->configuration), width, 0) != QE_OK)
    return model->error.status;
  return architecture_add(model, "pooler", "bias", 1, width, 0);
}

static int add_alignment(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t aligned = encoder_aligned(c);
  if (architecture_add(model, "alignment", "center", 2 * aligned, c->encoder.width, 0) != QE_OK ||
      architecture_add(model, "alignment", "scale", 1, FEATURES * aligned, 0) != QE_OK)
    return model->error.status;
  return architecture_add(model, "alignment", "shift", 1, FEATURES * aligned, 0);
}

/* "adapter1.query.down" and so on; where the first of them stands is found by that name. */
static int add_adapters(qe_model *model, size_t layer) {
  static const char *const sides[] = { "down", "up" };
  const struct configuration *c = &model->configuration;
  char group[32], name[48];
  snprintf(group, sizeof group, "adapter%zu", layer + 1);
  for (size_t i = 0; i < ADAPTER_MATRICES; i++) {
    size_t rows, cols;
    const char *weight = layer_matrix(adapted[i / ADAPTER_SIDES], c, &rows, &cols);
    const bool up = i % ADAPTER_SIDES == UP;
    snprintf(name, sizeof name, "%.*s.%s", (int)strcspn(weight, "."), weight, sides[up]);
    if (architecture_add(model, group, name, up ? c->encoder.rank : rows, up ? cols : c->encoder.rank, 0) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

/* Longest sequence that the caps of both sides allow, and whether there are positions for it. */
static int check_positions(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t longest = model->prefix_count + c->encoder.first_position +
                         (c->encoder.joint ? JOINT_SPECIAL + 2 * c->max_tokens : SEPARATE_SPECIAL + c->max_tokens);
  return longest <= c->encoder.positions
             ? QE_OK
             : error_set(&model->error, QE_FORMAT,
                         "architecture: max_tokens %zu needs %zu positions, there are %zu", c->max_tokens, longest,
                         c->encoder.positions);
}

static int find_prefix(qe_model *model) {
  struct unigram_work work = { 0 };
  int status = unigram_encode(vocabulary_unigram(&model->vocabulary[0]), &work,
                              qe_string(model->configuration.encoder.prefix), ENCODER_PREFIX + 1);
  if (status == QE_OK && work.count > 0)
    memcpy(model->prefix, work.ids, work.count * sizeof *work.ids);
  model->prefix_count = work.count;
  unigram_work_free(&work);
  return status == QE_OK ? QE_OK : error_memory(&model->error);
}

static int parameters(qe_model *model) {
  const struct configuration *c = &model->configuration;
  if (find_prefix(model) != QE_OK || check_positions(model) != QE_OK || add_embeddings(model) != QE_OK)
    return model->error.status;
  for (size_t i = 0; i < c->encoder.layers; i++)
    if (add_layer(model, i) != QE_OK)
      return model->error.status;
  if ((c->encoder.joint && add_pooler(model) != QE_OK) || (encoder_aligned(c) > 0 && add_alignment(model) != QE_OK))
    return model->error.status;
  if (head_parameters(model, pooled_width(c)) != QE_OK)
    return model->error.status;
  for (size_t i = 0; c->encoder.rank > 0 && i < c->encoder.layers; i++)
    if (add_adapters(model, i) != QE_OK)
      return model->error.status;
  return QE_OK;
}

size_t encoder_adapters(const qe_model *model, size_t layer) {
  return (size_t)qe_params_find(model->params, "adapter1.query.down") + layer * ADAPTER_MATRICES;
}

static void fill(qe_model *model, size_t number, double value) {
  size_t rows, cols;
  qe_params_name(model->params, number, &rows, &cols);
  qe_real *cells = qe_params_matrix(model->params, number);
  for (size_t i = 0; i < rows * cols; i++)
    cells[i] = (qe_real)value;
}

/* Of a head with one output: the two means of every aligned layer count, nothing else that the alignment found; nothing
** random decides where there is no other form. */
static void start_alignment(qe_model *model) {
  const struct configuration *c = &model->configuration;
  const size_t features = FEATURES * encoder_aligned(c);
  qe_real *weight = qe_params_matrix(model->params, (size_t)qe_params_find(model->params, "head.weight"));
  fill(model, encoder_alignment(c) + FEATURE_SCALE, 1);
  if (!c->encoder.joint && c->bins == 0)
    fill(model, (size_t)qe_params_find(model->params, "head.bias"), 0);
  weight += c->encoder.joint ? c->encoder.width : 0;
  for (size_t i = 0; c->bins == 0 && i < features; i++)
    weight[i] = (qe_real)(i % FEATURES < 2 ? 2.0 / (double)encoder_aligned(c) : 0);
}

static void start_head(qe_model *model, qe_rng *rng) {
  const struct configuration *c = &model->configuration;
  const double bound = 1 / sqrt((double)(3 * c->encoder.width));
  head_start(model, rng);
  for (size_t i = 0; c->encoder.joint && i < POOLER_MATRICES; i++)
    qe_params_uniform(model->params, encoder_pooler(c) + i, bound, rng);
  if (encoder_aligned(c) > 0)
    start_alignment(model);
}

/* They add nothing yet. */
static void start_adapters(qe_model *model, qe_rng *rng) {
  const struct configuration *c = &model->configuration;
  for (size_t i = 0; c->encoder.rank > 0 && i < c->encoder.layers * ADAPTED; i++)
    qe_params_normal(model->params, encoder_adapters(model, 0) + i * ADAPTER_SIDES + DOWN, .02, rng);
}

/* As BERT starts: normal with sd .02, biases 0, gains 1. */
static void start(qe_model *model, qe_rng *rng) {
  static const double sd = .02;
  const size_t layers = model->configuration.encoder.layers;
  for (size_t i = WORD; i <= TYPE; i++)
    qe_params_normal(model->params, i, sd, rng);
  fill(model, EMBEDDING_GAIN, 1);
  for (size_t layer = 0; layer < layers; layer++)
    for (size_t i = 0; i < LAYER_MATRICES; i++)
      if (i == ATTENTION_GAIN || i == LAYER_GAIN)
        fill(model, encoder_layer(layer) + i, 1);
      else if (i % 2 == 0)
        qe_params_normal(model->params, encoder_layer(layer) + i, sd, rng);
  start_head(model, rng);
  start_adapters(model, rng);
}

static size_t least_cells(const struct configuration *c) {
  const size_t width = c->encoder.width; /* bounded, as is all else, so that nothing here overflows */
  const size_t words = c->vocabulary[0].rows - c->encoder.rare / 2; /* a coarse row takes half of the room */
  return (words + c->encoder.positions) * width + c->encoder.layers * width * (4 * width + 2 * c->encoder.inner);
}

/* ---- configuration ---- */

static const char *const keys[] = { "width",           "layers",         "heads",  "inner",
                                    "positions",       "first_position", "types",  "epsilon",
                                    "alignment",       "joint",          "prefix", "pieces",
                                    "decoder_dropout", "rank",           "rare",   NULL };

static int parse_alignment(struct configuration *c, const json_t *list, struct error *error) {
  size_t i;
  const json_t *item;
  c->encoder.alignment = list ? 0 : UINT64_C(1) << c->encoder.layers;
  if (!list)
    return QE_OK;
  if (!json_is_array(list))
    return error_set(error, QE_FORMAT, "architecture: \"alignment\" is no list of layers");
  json_array_foreach((json_t *)(uintptr_t)list, i, item) {
    const json_int_t layer = json_integer_value(item);
    if (!json_is_integer(item) || layer < 0 || layer > (json_int_t)c->encoder.layers ||
        c->encoder.alignment >> layer != 0)
      return error_set(error, QE_FORMAT, "architecture: \"alignment\" is no rising list of layers from 0 to %zu",
                       c->encoder.layers);
    c->encoder.alignment |= UINT64_C(1) << layer;
  }
  return QE_OK;
}

static int parse_prefix(struct configuration *c, const json_t *value, struct error *error) {
  const char *text = json_string_value(value);
  if (!value)
    return QE_OK;
  if (!text || strlen(text) >= ENCODER_PREFIX || json_string_length(value) != strlen(text))
    return error_set(error, QE_FORMAT, "architecture: \"prefix\" is no text of at most %d bytes",
                     ENCODER_PREFIX - 1);
  snprintf(c->encoder.prefix, sizeof c->encoder.prefix, "%s", text);
  return QE_OK;
}

static int parse_forms(struct configuration *c, const json_t *object, struct error *error) {
  const json_t *joint = json_object_get(object, "joint"), *epsilon = json_object_get(object, "epsilon");
  if (joint && !json_is_boolean(joint))
    return error_set(error, QE_FORMAT, "architecture: \"joint\" is neither true nor false");
  if (joint)
    c->encoder.joint = json_is_true(joint);
  if (epsilon && !(json_is_number(epsilon) && json_number_value(epsilon) > 0 && json_number_value(epsilon) < 1))
    return error_set(error, QE_FORMAT, "architecture: \"epsilon\" is not a number between 0 and 1");
  if (epsilon)
    c->encoder.epsilon = json_number_value(epsilon);
  if (configuration_share(object, "decoder_dropout", &c->encoder.decoder_dropout, error) != QE_OK ||
      parse_alignment(c, json_object_get(object, "alignment"), error) != QE_OK ||
      parse_prefix(c, json_object_get(object, "prefix"), error) != QE_OK)
    return error->status;
  if (!c->encoder.joint && c->encoder.alignment == 0)
    return error_set(error, QE_FORMAT, "architecture: neither \"joint\" nor \"alignment\": no form to encode in");
  return QE_OK;
}

static int parse(struct configuration *c, const json_t *object, struct error *error) {
  size_t pieces = 0;
  if (configuration_size(object, "width", 1, 4096, &c->encoder.width, error) != QE_OK ||
      configuration_size(object, "layers", 1, ENCODER_MOST_LAYERS, &c->encoder.layers, error) != QE_OK ||
      configuration_size(object, "heads", 1, 256, &c->encoder.heads, error) != QE_OK ||
      configuration_size(object, "inner", 1, 16384, &c->encoder.inner, error) != QE_OK ||
      configuration_size(object, "positions", 3, 8192, &c->encoder.positions, error) != QE_OK ||
      configuration_size(object, "first_position", 0, 16, &c->encoder.first_position, error) != QE_OK ||
      configuration_size(object, "types", 1, 16, &c->encoder.types, error) != QE_OK ||
      configuration_size(object, "rank", 0, ENCODER_MOST_RANK, &c->encoder.rank, error) != QE_OK ||
      configuration_size(object, "rare", 0, 1u << 24, &c->encoder.rare, error) != QE_OK ||
      configuration_size(object, "pieces", 4, 1u << 24, &pieces, error) != QE_OK)
    return error->status;
  if (pieces == 0)
    return error_set(error, QE_FORMAT, "architecture: no \"pieces\": an encoder has a row for each");
  if (c->encoder.rare > pieces)
    return error_set(error, QE_FORMAT, "architecture: %zu rare pieces of %zu", c->encoder.rare, pieces);
  if (c->encoder.width % c->encoder.heads != 0)
    return error_set(error, QE_FORMAT, "architecture: width %zu cannot be split over %zu heads", c->encoder.width,
                     c->encoder.heads);
  for (size_t side = 0; side < 2; side++)
    c->vocabulary[side] = (struct vocabulary_choice){ .kind = VOCABULARY_PIECES, .rows = (uint32_t)pieces };
  return parse_forms(c, object, error);
}

static json_t *dump_alignment(const struct configuration *c) {
  json_t *list = json_array();
  for (int layer = 0; layer <= ENCODER_MOST_LAYERS; layer++)
    if (c->encoder.alignment >> layer & 1)
      json_array_append_new(list, json_integer(layer));
  return list;
}

static int dump(const struct configuration *c, json_t *object) {
  const struct {
    const char *key;
    size_t value;
  } sizes[] = { { "width", c->encoder.width },         { "layers", c->encoder.layers },
                { "heads", c->encoder.heads },         { "inner", c->encoder.inner },
                { "positions", c->encoder.positions }, { "first_position", c->encoder.first_position },
                { "types", c->encoder.types },         { "pieces", c->vocabulary[0].rows } };
  int failed = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    failed |= json_object_set_new(object, sizes[i].key, json_integer((json_int_t)sizes[i].value));
  if (c->encoder.rare > 0)
    failed |= json_object_set_new(object, "rare", json_integer((json_int_t)c->encoder.rare));
  if (c->encoder.rank > 0)
    failed |= json_object_set_new(object, "rank", json_integer((json_int_t)c->encoder.rank));
  return failed | json_object_set_new(object, "epsilon", json_real(c->encoder.epsilon)) |
         json_object_set_new(object, "joint", json_boolean(c->encoder.joint)) |
         json_object_set_new(object, "alignment", dump_alignment(c)) |
         json_object_set_new(object, "prefix", json_string(c->encoder.prefix)) |
         (c->decoder_inputs > 0
              ? json_object_set_new(object, "decoder_dropout", json_real(c->encoder.decoder_dropout))
              : 0);
}

/* ---- sequences ---- */

/* Rows of a packed matrix that belong to one side's texts. */
struct text_rows {
  uint32_t *row;
  qe_segments segments;
};

struct packed {
  uint32_t *ids, *positions, *offset; /* offset: of sequences, segments + 1 */
  size_t rows, segments;
  uint32_t *first;          /* row of every joint sequence */
  struct text_rows text[2]; /* alone, or in the joint sequence where that is the only form */
  struct text_rows beside[2];
  size_t joint_first; /* row at which the joint sequences begin */
};

static void open_sequence(const struct shard *shard, struct packed *packed) {
  const struct unigram *unigram = vocabulary_unigram(&shard->model->vocabulary[0]);
  packed->ids[packed->rows++] = unigram->begin;
  for (size_t i = 0; i < shard->model->prefix_count; i++)
    packed->ids[packed->rows++] = shard->model->prefix[i];
}

static void end_text(const struct shard *shard, struct packed *packed) {
  packed->ids[packed->rows++] = vocabulary_unigram(&shard->model->vocabulary[0])->end;
}

static void put_text(const struct shard *shard, struct packed *packed, size_t side, size_t row,
                     struct text_rows *text) {
  const struct side *input = shard->sides[side];
  const size_t first = input->words.offset[shard->first];
  for (size_t i = input->words.offset[shard->first + row]; i < input->words.offset[shard->first + row + 1]; i++) {
    text->row[i - first] = (uint32_t)packed->rows;
    packed->ids[packed->rows++] = input->ids[i];
  }
  end_text(shard, packed);
}

static void close_sequence(const struct shard *shard, struct packed *packed) {
  const size_t first = packed->offset[packed->segments];
  for (size_t i = first; i < packed->rows; i++)
    packed->positions[i] = (uint32_t)(shard->model->configuration.encoder.first_position + i - first);
  packed->offset[++packed->segments] = (uint32_t)packed->rows;
}

static void pack_alone(const struct shard *shard, struct packed *packed) {
  for (size_t side = 0; side < 2; side++)
    for (size_t row = 0; row < shard->count; row++) {
      open_sequence(shard, packed);
      put_text(shard, packed, side, row, &packed->text[side]);
      close_sequence(shard, packed);
    }
}

static void pack_joint(const struct shard *shard, struct packed *packed) {
  packed->joint_first = packed->rows;
  for (size_t row = 0; row < shard->count; row++) {
    packed->first[row] = (uint32_t)packed->rows;
    open_sequence(shard, packed);
    put_text(shard, packed, 0, row, &packed->beside[0]);
    end_text(shard, packed);
    put_text(shard, packed, 1, row, &packed->beside[1]);
    close_sequence(shard, packed);
  }
}

static size_t side_tokens(const struct shard *shard, size_t side) {
  const uint32_t *offset = shard->sides[side]->words.offset + shard->first;
  return offset[shard->count] - offset[0];
}

static bool text_rows_new(const struct shard *shard, size_t side, struct text_rows *text) {
  const uint32_t *offset = shard->sides[side]->words.offset + shard->first;
  text->row = tape_alloc(shard->tape, side_tokens(shard, side), sizeof *text->row);
  text->segments = (qe_segments){ offsets_keep(shard->tape, offset, shard->count), (uint32_t)shard->count };
  return text->segments.offset && text->row;
}

static bool pack(const struct shard *shard, struct packed *packed) {
  const struct configuration *c = &shard->model->configuration;
  const size_t forms = (c->encoder.alignment != 0) + (size_t)c->encoder.joint;
  const size_t tokens = side_tokens(shard, 0) + side_tokens(shard, 1);
  const size_t rows = forms * tokens + 3 * shard->count * (JOINT_SPECIAL + shard->model->prefix_count);
  *packed = (struct packed){ .ids = tape_alloc(shard->tape, rows, sizeof *packed->ids),
                             .positions = tape_alloc(shard->tape, rows, sizeof *packed->positions),
                             .offset = tape_alloc(shard->tape, 3 * shard->count + 1, sizeof *packed->offset),
                             .first = tape_alloc(shard->tape, shard->count, sizeof *packed->first) };
  if (!packed->ids || !packed->positions || !packed->offset || !packed->first)
    return false;
  packed->offset[0] = 0;
  for (size_t side = 0; side < 2; side++)
    if (!text_rows_new(shard, side, &packed->text[side]) || !text_rows_new(shard, side, &packed->beside[side]))
      return false;
  if (c->encoder.alignment != 0)
    pack_alone(shard, packed);
  if (c->encoder.joint)
    pack_joint(shard, packed);
  if (c->encoder.alignment == 0)
    memcpy(packed->text, packed->beside, sizeof packed->text);
  return true;
}

/* ---- forward ---- */

static qe_tensor parameter(const struct shard *shard, size_t number) {
  return qe_param(shard->tape, shard->model->params, number);
}

static qe_tensor linear(const struct shard *shard, qe_tensor x, size_t weight) {
  return qe_add(qe_matmul(x, parameter(shard, weight), QE_NN), parameter(shard, weight + 1));
}

/* A parameter that does not learn. */
static qe_tensor still(const struct shard *shard, size_t number) {
  const int recording = qe_tape_recording(shard->tape, 0);
  const qe_tensor x = parameter(shard, number);
  qe_tape_recording(shard->tape, recording);
  return x;
}

/* The same by weight `matrix` of a layer. Where there is an adapter it learns what is added, in place of the weight. */
static qe_tensor adapted_linear(const struct shard *shard, qe_tensor x, size_t layer, size_t matrix) {
  const size_t weight = encoder_layer(layer) + matrix;
  if (shard->model->configuration.encoder.rank == 0)
    return linear(shard, x, weight);
  const size_t down = encoder_adapters(shard->model, layer) + ADAPTER_SIDES * encoder_adapted(matrix);
  const qe_tensor own = qe_add(qe_matmul(x, still(shard, weight), QE_NN), parameter(shard, weight + 1));
  return qe_add(own, qe_matmul(qe_matmul(x, parameter(shard, down), QE_NN), parameter(shard, down + UP), QE_NN));
}

static qe_tensor dropped(struct shard *shard, qe_tensor x) {
  return qe_dropout(x, shard->model->configuration.dropout, shard->drops ? &shard->dropout : NULL);
}

static qe_tensor norm(const struct shard *shard, qe_tensor x, size_t gain) {
  return qe_layer_norm(x, parameter(shard, gain), parameter(shard, gain + 1),
                       shard->model->configuration.encoder.epsilon);
}

static qe_tensor embed(struct shard *shard, const struct packed *packed) {
  qe_tensor word = qe_gather(parameter(shard, WORD), packed->ids, packed->rows);
  qe_tensor position = qe_gather(parameter(shard, POSITION), packed->positions, packed->rows);
  qe_tensor type = qe_slice(parameter(shard, TYPE), 0, 1);
  return dropped(shard, norm(shard, qe_add(qe_add(word, type), position), EMBEDDING_GAIN));
}

static qe_tensor attend(struct shard *shard, qe_tensor x, size_t layer, qe_segments segments) {
  qe_tensor query = adapted_linear(shard, x, layer, QUERY), key = adapted_linear(shard, x, layer, KEY);
  qe_tensor value = adapted_linear(shard, x, layer, VALUE);
  qe_tensor mixed = qe_attention(query, key, value, shard->model->configuration.encoder.heads, segments, segments);
  return dropped(shard, adapted_linear(shard, mixed, layer, OUTPUT));
}

static qe_tensor run_layer(struct shard *shard, qe_tensor x, size_t layer, qe_segments segments) {
  const size_t first = encoder_layer(layer);
  x = norm(shard, qe_add(x, attend(shard, x, layer, segments)), first + ATTENTION_GAIN);
  qe_tensor inner = qe_gelu(adapted_linear(shard, x, layer, INNER));
  return norm(shard, qe_add(x, dropped(shard, adapted_linear(shard, inner, layer, OUTER))), first + LAYER_GAIN);
}

static size_t text_count(const struct text_rows *text) {
  return text->segments.offset[text->segments.count];
}

static qe_tensor text_states(qe_tensor states, const struct text_rows *text) {
  return qe_gather(states, text->row, text_count(text));
}

/* Taps of one layer: source.layerN and target.layerN of all layers, then joint.layerN. */
static void tap_layer(struct shard *shard, const struct packed *packed, size_t layer, qe_tensor states) {
  const struct configuration *c = &shard->model->configuration;
  const size_t layers = c->encoder.layers + 1;
  for (size_t side = 0; side < 2; side++)
    shard->taps[TAP_OWN + side * layers + layer] = text_states(states, &packed->text[side]);
  if (c->encoder.joint)
    shard->taps[TAP_OWN + 2 * layers + layer] =
        qe_slice(states, packed->joint_first, packed->rows - packed->joint_first);
}

/* What was given stands for the layers below it. Layers below `frozen_layers` are not recorded and drop nothing, as if
** their states had been given, too. */
static void run_layers(struct shard *shard, const struct packed *packed) {
  const struct configuration *c = &shard->model->configuration;
  const qe_segments segments = { packed->offset, (uint32_t)packed->segments };
  const bool given = shard->given[0].tape != NULL, drops = shard->drops;
  const size_t begin = given ? shard->first_layer : 0, last = shard->last_layer;
  const size_t end = last > 0 && last < c->encoder.layers ? last : c->encoder.layers;
  const int recording = qe_tape_recording(shard->tape, 0);
  qe_tape_recording(shard->tape, recording && (given || shard->frozen_layers == 0));
  shard->drops = drops && shard->frozen_layers == 0;
  qe_tensor x = given ? shard->given[0] : embed(shard, packed);
  tap_layer(shard, packed, begin, x);
  for (size_t layer = begin; layer < end; layer++) {
    const bool learns = shard->frozen_layers <= layer + 1;
    qe_tape_recording(shard->tape, recording && learns);
    shard->drops = drops && learns;
    x = run_layer(shard, x, layer, segments);
    tap_layer(shard, packed, layer + 1, x);
  }
  qe_tape_recording(shard->tape, recording);
  shard->drops = drops;
}

/* Row by row of the alignment's matrix of centres. */
static qe_tensor directions(struct shard *shard, size_t side, size_t layer, size_t number) {
  const struct configuration *c = &shard->model->configuration;
  qe_tensor center = qe_slice(parameter(shard, encoder_alignment(c) + CENTER), 2 * number + side, 1);
  return qe_unit(qe_sub(shard->taps[TAP_OWN + side * (c->encoder.layers + 1) + layer], center));
}

static void align_layer(struct shard *shard, const struct packed *packed, size_t layer, size_t number,
                        qe_tensor *features) {
  qe_tensor side[2];
  for (size_t i = 0; i < 2; i++)
    side[i] = directions(shard, i, layer, number);
  for (size_t i = 0; i < 2; i++) {
    const qe_segments own = packed->text[i].segments, other = packed->text[1 - i].segments;
    qe_tensor best = qe_best_match(side[i], side[1 - i], own, other);
    features[i] = qe_pool_segments(best, own, QE_POOL_MEAN);
    features[2 + i] = qe_pool_segments(qe_square(qe_affine(best, -1, 1)), own, QE_POOL_MEAN);
  }
}

static qe_tensor align(struct shard *shard, const struct packed *packed) {
  const struct configuration *c = &shard->model->configuration;
  qe_tensor features[FEATURES * (ENCODER_MOST_LAYERS + 1)];
  size_t number = 0;
  for (size_t layer = 0; layer <= c->encoder.layers; layer++)
    if (c->encoder.alignment >> layer & 1) {
      align_layer(shard, packed, layer, number, features + FEATURES * number);
      number++;
    }
  qe_tensor all = qe_beside(features, FEATURES * number);
  return qe_add(qe_mul(all, parameter(shard, encoder_alignment(c) + FEATURE_SCALE)),
                parameter(shard, encoder_alignment(c) + FEATURE_SHIFT));
}

/* First state, mean of the source's, mean of the target's and what the decoder says -> linear -> tanh. */
static qe_tensor pool(struct shard *shard, const struct packed *packed) {
  const struct configuration *c = &shard->model->configuration;
  qe_tensor states = shard->taps[TAP_OWN + 3 * (c->encoder.layers + 1) - 1], parts[5];
  size_t count = 3;
  uint32_t *first = tape_alloc(shard->tape, shard->count, sizeof *first);
  struct text_rows rows[2];
  for (size_t side = 0; side < 2; side++) {
    rows[side] = packed->beside[side];
    for (size_t i = 0; i < text_count(&rows[side]); i++)
      rows[side].row[i] -= (uint32_t)packed->joint_first;
    parts[1 + side] = qe_pool_segments(text_states(states, &rows[side]), rows[side].segments, QE_POOL_MEAN);
  }
  for (size_t i = 0; first && i < shard->count; i++)
    first[i] = packed->first[i] - (uint32_t)packed->joint_first;
  parts[0] = first ? qe_gather(states, first, shard->count) : QE_NONE;
  if (c->decoder_inputs) {
    if (!head_statistics(shard, c->encoder.decoder_dropout, &parts[4]))
      return QE_NONE;
    parts[3] = shard->decoder;
    count = 5;
  }
  return qe_tanh(linear(shard, dropped(shard, qe_beside(parts, count)), encoder_pooler(c)));
}

static void forward(struct shard *shard) {
  const struct configuration *c = &shard->model->configuration;
  struct packed packed;
  if (shard->given[0].tape && (c->encoder.alignment != 0 || shard->first_layer > c->encoder.layers)) {
    tape_fail(shard->tape, QE_USE, "forward: states after %zu layers are given, of a model with %zu%s",
              shard->first_layer, c->encoder.layers,
              c->encoder.alignment ? " that also reads the texts alone" : "");
    return;
  }
  if (!pack(shard, &packed))
    return;
  run_layers(shard, &packed);
  if (shard->last_layer > 0)
    return;
  qe_tensor parts[2];
  size_t count = 0;
  if (c->encoder.joint)
    parts[count++] = pool(shard, &packed);
  if (c->encoder.alignment != 0)
    parts[count++] = align(shard, &packed);
  head_forward(shard, dropped(shard, count == 1 ? parts[0] : qe_beside(parts, count)));
}

/* ---- the entry ---- */

static bool decoder_optional(const struct configuration *c) {
  return c->encoder.joint && c->encoder.decoder_dropout > 0;
}

static bool tap_name(const struct configuration *c, size_t number, char name[MOST_TAP_NAME]) {
  static const char *const common[] = { "score", "logits", "pooled", "inputs" };
  static const char *const forms[] = { "source", "target", "joint" };
  const size_t layers = c->encoder.layers + 1;
  if (number < TAP_OWN)
    snprintf(name, MOST_TAP_NAME, "%s", common[number]);
  else if (number < TAP_OWN + (c->encoder.joint ? 3 : 2) * layers)
    snprintf(name, MOST_TAP_NAME, "%s.layer%zu", forms[(number - TAP_OWN) / layers], (number - TAP_OWN) % layers);
  else
    return false;
  return true;
}

static size_t width(const struct configuration *c) {
  return c->encoder.width;
}

/* Only rows of the joint form are ever given, as those of the source. */
static size_t offset(const qe_model *model, const struct side *const sides[2], int side, size_t row) {
  if (side == QE_TARGET || !model->configuration.encoder.joint)
    return 0;
  return sides[0]->words.offset[row] + sides[1]->words.offset[row] + row * (JOINT_SPECIAL + model->prefix_count);
}

const struct architecture encoder = {
  .name = "encoder",
  .defaults = { .max_tokens = 200,
                .dropout = .1,
                .encoder = { .width = 384,
                             .layers = 12,
                             .heads = 12,
                             .inner = 1536,
                             .positions = 512,
                             .types = 2,
                             .epsilon = 1e-12 } },
  .keys = keys,
  .parse = parse,
  .dump = dump,
  .decoder_optional = decoder_optional,
  .parameters = parameters,
  .start = start,
  .least_cells = least_cells,
  .tap_name = tap_name,
  .width = width,
  .offset = offset,
  .forward = forward,
  .fold = encoder_fold,
  .scoring_free = encoder_scoring_free,
  .work_new = encoder_work_new,
  .work_fits = encoder_work_fits,
  .work_free = encoder_work_free,
  .score = encoder_score,
  .score_list = encoder_score,
};
