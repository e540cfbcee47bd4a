/*
** encoder_import.c - an encoder from a folder as Hugging Face keeps them: config.json says its shape,
** sentencepiece.bpe.model its pieces, model.safetensors its weights, [outputs][inputs]. Every name, shape and number is
** checked; what the three files do not agree on is refused. Nothing is written.
*/
#include "encoder.h"
#include "file.h"
#include "safetensors.h"
#include "sentencepiece.h"

#include <stdio.h>

enum { MOST_CONFIG = 1 << 20, MOST_PIECES = 1 << 26, SPARE_ROWS = 64 };
static const size_t most_weights = (size_t)8 << 30;

struct importing {
  qe_model *model;
  const char *folder;
  char *config, *pieces, *weights; /* the files' bytes */
  size_t weights_size;
  struct safetensors tensors;
  struct unigram unigram;
  uint32_t *uses;     /* of each piece by the corpus; NULL: there is none, and all are kept */
  uint32_t *order;    /* the pieces that are kept, the rare ones last */
  size_t kept, rare;  /* how many, and of them rare */
  size_t minimum;     /* times that a piece of more than one character was seen, to be kept */
  size_t fine;        /* times that a piece was seen, not to be rare */
  const char *prefix; /* of the tensors' names */
  size_t rows;        /* of the file's word table */
};

static int read_file(struct importing *import, const char *name, size_t limit, char **bytes, qe_text *text) {
  char path[4096];
  struct error reason = { 0 };
  if (snprintf(path, sizeof path, "%s/%s", import->folder, name) >= (int)sizeof path)
    return error_set(&import->model->error, QE_WORLD, "%.80s...: a path too long", import->folder);
  if (file_read(path, limit, bytes, &text->size, &reason) != QE_OK)
    return error_set(&import->model->error, reason.status, "%s: %s", path, reason.text);
  text->data = *bytes;
  return QE_OK;
}

/* What went wrong inside a file gets its name in front. */
static int in_file(struct importing *import, const char *name) {
  struct error *error = &import->model->error, inner = *error;
  if (inner.status == QE_OK)
    return QE_OK;
  error_clear(error);
  return error_set(error, inner.status, "%s/%s: %s", import->folder, name, inner.text);
}

/* ---- config.json ---- */

static int config_number(const json_t *config, const char *key, json_t *architecture, const char *own,
                         struct error *error) {
  const json_t *value = json_object_get(config, key);
  if (!json_is_integer(value))
    return error_set(error, QE_FORMAT, "\"%s\" is %s", key, value ? "no whole number" : "missing");
  return json_object_set_new(architecture, own, json_integer(json_integer_value(value))) == 0 ? QE_OK
                                                                                              : error_memory(error);
}

static int expect_text(const json_t *config, const char *key, const char *const *allowed, bool needed,
                       struct error *error) {
  const json_t *value = json_object_get(config, key);
  const char *text = json_string_value(value);
  for (size_t i = 0; text && allowed[i]; i++)
    if (strcmp(text, allowed[i]) == 0)
      return QE_OK;
  if (!value && !needed)
    return QE_OK;
  return error_set(error, QE_FORMAT, "\"%s\" is %s%.40s%s, expected \"%s\"%s", key, text ? "\"" : "",
                   text    ? text
                   : value ? "no text"
                           : "missing",
                   text ? "\"" : "", allowed[0], allowed[1] ? " or a kin of it" : "");
}

/* RoBERTa numbers positions from the padding piece's on. */
static int first_position(const json_t *config, json_t *architecture, struct error *error) {
  const char *type = json_string_value(json_object_get(config, "model_type"));
  const json_t *pad = json_object_get(config, "pad_token_id");
  const json_int_t first = strcmp(type, "bert") == 0 ? 0 : 1 + (json_is_integer(pad) ? json_integer_value(pad) : 1);
  return json_object_set_new(architecture, "first_position", json_integer(first)) == 0 ? QE_OK
                                                                                       : error_memory(error);
}

static int read_config(const json_t *config, json_t *architecture, struct error *error) {
  static const char *const types[] = { "bert", "xlm-roberta", "roberta", NULL };
  static const char *const activations[] = { "gelu", NULL };
  static const char *const positions[] = { "absolute", NULL };
  static const char *const numbers[][2] = {
    { "hidden_size", "width" },
    { "num_hidden_layers", "layers" },
    { "num_attention_heads", "heads" },
    { "intermediate_size", "inner" },
    { "max_position_embeddings", "positions" },
    { "type_vocab_size", "types" },
  };
  const json_t *epsilon = json_object_get(config, "layer_norm_eps");
  if (!json_is_object(config))
    return error_set(error, QE_FORMAT, "not a JSON object");
  if (expect_text(config, "model_type", types, true, error) != QE_OK ||
      expect_text(config, "hidden_act", activations, true, error) != QE_OK ||
      expect_text(config, "position_embedding_type", positions, false, error) != QE_OK)
    return error->status;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (config_number(config, numbers[i][0], architecture, numbers[i][1], error) != QE_OK)
      return error->status;
  if (!json_is_number(epsilon))
    return error_set(error, QE_FORMAT, "\"layer_norm_eps\" is no number");
  if (json_object_set_new(architecture, "epsilon", json_real(json_number_value(epsilon))) != 0)
    return error_memory(error);
  return first_position(config, architecture, error);
}

/* ---- pieces ---- */

/* How often each piece occurs in the texts; NULL: out of memory. */
static uint32_t *count_pieces(const struct unigram *unigram, const qe_dataset *corpus) {
  struct unigram_work work = { 0 };
  uint32_t *count = memory_new(unigram->count, sizeof *count);
  int status = count ? QE_OK : QE_MEMORY;
  for (size_t row = 0; row < qe_dataset_rows(corpus) && status == QE_OK; row++) {
    const qe_pair pair = qe_dataset_pair(corpus, row);
    const qe_text texts[2] = { pair.source, pair.translation };
    for (size_t side = 0; side < 2 && status == QE_OK; side++) {
      status = unigram_encode(unigram, &work, texts[side], SIZE_MAX);
      for (size_t i = 0; status == QE_OK && i < work.count; i++)
        count[work.ids[i]]++;
    }
  }
  unigram_work_free(&work);
  if (status == QE_OK)
    return count;
  memory_free(count);
  return NULL;
}

static bool one_character(qe_text piece) {
  size_t starts = 0;
  for (size_t i = 0; i < piece.size; i++)
    starts += ((unsigned char)piece.data[i] & 0xc0) != 0x80;
  return starts == 1;
}

static bool is_special(const struct importing *import, size_t piece) {
  return import->unigram.special[piece] != 0;
}

/* Pieces that are used so often, characters and special ones; others are used no more. */
static void list_frequent(struct importing *import) {
  for (size_t i = 0; i < import->unigram.count; i++)
    if (is_special(import, i) || import->uses[i] >= import->minimum ||
        one_character(unigram_piece(&import->unigram, i)))
      import->order[import->kept++] = (uint32_t)i;
    else
      import->uses[i] = 0;
}

/* What takes the place of the rare pieces shows when the texts are cut again without them: any character may. */
static int count_again(struct importing *import, const qe_dataset *corpus) {
  struct unigram pruned = { 0 };
  if (unigram_prune(&pruned, &import->unigram, import->order, import->kept, &import->model->error) != QE_OK)
    return import->model->error.status;
  uint32_t *count = count_pieces(&pruned, corpus);
  for (size_t i = 0; count && i < import->kept; i++)
    import->uses[import->order[i]] = count[i];
  memory_free(count);
  unigram_free(&pruned);
  return count ? QE_OK : error_memory(&import->model->error);
}

static int count_uses(struct importing *import, const qe_dataset *corpus) {
  import->uses = count_pieces(&import->unigram, corpus);
  import->order = memory_new(import->unigram.count, sizeof *import->order);
  if (!import->uses || !import->order)
    return error_memory(&import->model->error);
  if (import->minimum == 1)
    return QE_OK;
  list_frequent(import);
  return count_again(import, corpus);
}

/* Those of the prefix are used by every text. */
static int count_prefix(struct importing *import, const char *prefix, size_t *pieces) {
  struct unigram_work work = { 0 };
  int status = unigram_encode(&import->unigram, &work, qe_string(prefix), SIZE_MAX);
  for (size_t i = 0; status == QE_OK && import->uses && i < work.count; i++)
    import->uses[work.ids[i]] = UINT32_MAX;
  *pieces = work.count;
  unigram_work_free(&work);
  return status == QE_OK ? QE_OK : error_memory(&import->model->error);
}

static bool is_rare(const struct importing *import, size_t piece) {
  return !is_special(import, piece) && import->uses[piece] < import->fine;
}

/* Those that are used, and special ones: the rare ones last, else as they were. */
static void order_pieces(struct importing *import) {
  import->kept = 0;
  for (int last = 0; last < 2; last++)
    for (size_t i = 0; i < import->unigram.count; i++)
      if ((is_special(import, i) || import->uses[i] > 0) && is_rare(import, i) == last) {
        import->order[import->kept++] = (uint32_t)i;
        import->rare += (size_t)last;
      }
}

static int keep_pieces(struct importing *import, struct unigram *unigram) {
  if (import->order)
    return unigram_prune(unigram, &import->unigram, import->order, import->kept, &import->model->error);
  *unigram = import->unigram;
  import->unigram = (struct unigram){ 0 };
  return QE_OK;
}

/* ---- weights ---- */

static const char *const word_table = "embeddings.word_embeddings.weight";

static int find_names(struct importing *import) {
  static const char *const prefixes[] = { "", "bert.", "roberta.", "model.", "encoder." };
  struct error *error = &import->model->error;
  char name[96];
  size_t cols;
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    snprintf(name, sizeof name, "%s%s", prefixes[i], word_table);
    if (!safetensors_has(&import->tensors, name))
      continue;
    import->prefix = prefixes[i];
    return safetensors_shape(&import->tensors, name, &import->rows, &cols, error);
  }
  return error_set(error, QE_FORMAT,
                   "there is no tensor \"%s\", with \"bert.\" or \"roberta.\" before it or without", word_table);
}

static int read_tensor(struct importing *import, const char *name, size_t rows, size_t cols, qe_real *values) {
  char full[128];
  snprintf(full, sizeof full, "%s%s", import->prefix, name);
  return safetensors_read(&import->tensors, full, rows, cols, values, &import->model->error);
}

static int read_plain(struct importing *import, size_t number, const char *name) {
  size_t rows, cols;
  qe_params_name(import->model->params, number, &rows, &cols);
  return read_tensor(import, name, rows, cols, qe_params_matrix(import->model->params, number));
}

static int read_turned(struct importing *import, size_t number, const char *name) {
  size_t rows, cols;
  qe_params_name(import->model->params, number, &rows, &cols);
  qe_real *to = qe_params_matrix(import->model->params, number), *from = memory_new(rows * cols, sizeof *from);
  if (!from)
    return error_memory(&import->model->error);
  const int status = read_tensor(import, name, cols, rows, from);
  for (size_t i = 0; status == QE_OK && i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      to[i * cols + j] = from[j * rows + i];
  memory_free(from);
  return status;
}

/* Rows of the pieces that are kept. */
static int read_words(struct importing *import) {
  const size_t width = import->model->configuration.encoder.width;
  qe_real *to = qe_params_matrix(import->model->params, WORD), *from;
  from = memory_new(import->rows, width * sizeof *from);
  if (!from)
    return error_memory(&import->model->error);
  const int status = read_tensor(import, word_table, import->rows, width, from);
  for (size_t i = 0; status == QE_OK && i < import->kept; i++)
    memcpy(to + i * width, from + (import->order ? import->order[i] : i) * width, width * sizeof *to);
  memory_free(from);
  return status;
}

static int read_layer(struct importing *import, size_t layer) {
  static const char *const names[LAYER_MATRICES / 2] = {
    "attention.self.query",       "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense",         "output.LayerNorm",
  };
  for (size_t i = 0; i < LAYER_MATRICES; i++) {
    char name[96];
    const bool norm = i == ATTENTION_GAIN || i == LAYER_GAIN;
    snprintf(name, sizeof name, "encoder.layer.%zu.%s.%s", layer, names[i / 2], i % 2 ? "bias" : "weight");
    const size_t number = encoder_layer(layer) + i;
    if ((i % 2 || norm ? read_plain : read_turned)(import, number, name) != QE_OK)
      return import->model->error.status;
  }
  return QE_OK;
}

static int read_weights(struct importing *import) {
  if (read_words(import) != QE_OK ||
      read_plain(import, POSITION, "embeddings.position_embeddings.weight") != QE_OK ||
      read_plain(import, TYPE, "embeddings.token_type_embeddings.weight") != QE_OK ||
      read_plain(import, EMBEDDING_GAIN, "embeddings.LayerNorm.weight") != QE_OK ||
      read_plain(import, EMBEDDING_BIAS, "embeddings.LayerNorm.bias") != QE_OK)
    return import->model->error.status;
  for (size_t i = 0; i < import->model->configuration.encoder.layers; i++)
    if (read_layer(import, i) != QE_OK)
      return import->model->error.status;
  return QE_OK;
}

/* ---- the model ---- */

static json_int_t number_of(const json_t *architecture, const char *key) {
  return json_integer_value(json_object_get(architecture, key));
}

/* The most that there are positions for. */
static json_int_t most_tokens(const json_t *architecture, size_t prefix) {
  const json_int_t left =
      number_of(architecture, "positions") - number_of(architecture, "first_position") - (json_int_t)prefix;
  const bool joint = json_is_true(json_object_get(architecture, "joint"));
  return joint ? (left - JOINT_SPECIAL) / 2 : left - SEPARATE_SPECIAL;
}

/* Layers 7 and 11 of 12, where alignment without training was best. */
static json_t *usual_alignment(const json_t *architecture) {
  const json_int_t layers = number_of(architecture, "layers"), late = layers > 1 ? layers - 1 : layers;
  const json_int_t middle = (7 * layers + 6) / 12;
  json_t *list = json_array();
  if (middle < late)
    json_array_append_new(list, json_integer(middle));
  json_array_append_new(list, json_integer(late));
  return list;
}

/* What the model itself does not keep. */
static int take_uses(struct importing *import, json_t *choices) {
  struct error *error = &import->model->error;
  import->minimum = import->fine = 1;
  if (configuration_size(choices, "minimum", 1, UINT32_MAX, &import->minimum, error) != QE_OK ||
      configuration_size(choices, "fine", 1, UINT32_MAX, &import->fine, error) != QE_OK)
    return error->status;
  json_object_del(choices, "minimum");
  json_object_del(choices, "fine");
  return QE_OK;
}

static int add_choices(struct importing *import, json_t *architecture, const char *configuration) {
  json_error_t reason;
  struct error *error = &import->model->error;
  json_t *choices = json_loads(configuration ? configuration : "{}", JSON_REJECT_DUPLICATES, &reason);
  if (!json_is_object(choices))
    error_set(error, QE_FORMAT, "architecture: %s", choices ? "not a JSON object" : reason.text);
  else if (take_uses(import, choices) == QE_OK && json_object_update(architecture, choices) != 0)
    error_memory(error);
  json_decref(choices);
  if (error->status != QE_OK)
    return error->status;
  const json_t *alignment = json_object_get(architecture, "alignment");
  const bool joint = json_is_true(json_object_get(architecture, "joint"));
  if (!alignment || json_is_true(alignment))
    json_object_set_new(architecture, "alignment",
                        !alignment && joint ? json_array() : usual_alignment(architecture));
  return QE_OK;
}

static int finish_choices(struct importing *import, json_t *architecture) {
  const char *prefix = json_string_value(json_object_get(architecture, "prefix"));
  size_t prefix_pieces = 0;
  if (count_prefix(import, prefix ? prefix : "", &prefix_pieces) != QE_OK)
    return import->model->error.status;
  if (!json_object_get(architecture, "max_tokens"))
    json_object_set_new(architecture, "max_tokens", json_integer(most_tokens(architecture, prefix_pieces)));
  import->kept = import->unigram.count;
  if (import->order)
    order_pieces(import);
  json_object_set_new(architecture, "pieces", json_integer((json_int_t)import->kept));
  json_object_set_new(architecture, "rare", json_integer((json_int_t)import->rare));
  json_object_set_new(architecture, "name", json_string("encoder"));
  return configuration_parse(&import->model->configuration, architecture, &import->model->error);
}

static int open_files(struct importing *import, json_t *architecture) {
  struct error *error = &import->model->error;
  json_error_t reason;
  qe_text text;
  if (read_file(import, "config.json", MOST_CONFIG, &import->config, &text) != QE_OK)
    return error->status;
  json_t *config = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &reason);
  if (!config)
    error_set(error, QE_FORMAT, "line %d: %s", reason.line, reason.text);
  else
    read_config(config, architecture, error);
  json_decref(config);
  if (in_file(import, "config.json") != QE_OK ||
      read_file(import, "sentencepiece.bpe.model", MOST_PIECES, &import->pieces, &text) != QE_OK)
    return error->status;
  sentencepiece_read(&import->unigram, text, error);
  if (in_file(import, "sentencepiece.bpe.model") != QE_OK ||
      read_file(import, "model.safetensors", most_weights, &import->weights, &text) != QE_OK)
    return error->status;
  import->weights_size = text.size;
  if (safetensors_open(&import->tensors, text, error) == QE_OK)
    find_names(import);
  return in_file(import, "model.safetensors");
}

static int check_rows(struct importing *import) {
  const size_t pieces = import->unigram.count;
  if (import->rows >= pieces && import->rows - pieces <= SPARE_ROWS)
    return QE_OK;
  return error_set(&import->model->error, QE_FORMAT,
                   "%s: the vocabulary has %zu pieces, the word table of model.safetensors %zu rows",
                   import->folder, pieces, import->rows);
}

/* The manifest says which weights these are. */
static int name_weights(struct importing *import) {
  char hex[65];
  qe_sha256(import->weights, import->weights_size, hex);
  return json_object_set_new(import->model->manifest, "encoder", json_pack("{s:s}", "sha256", hex)) == 0
             ? QE_OK
             : error_memory(&import->model->error);
}

static int fill_model(struct importing *import, qe_rng *rng) {
  qe_model *model = import->model;
  struct unigram unigram = { 0 };
  if (keep_pieces(import, &unigram) != QE_OK)
    return model->error.status;
  if (vocabulary_pieces(&model->vocabulary[0], &unigram) != QE_OK ||
      vocabulary_copy(&model->vocabulary[1], &model->vocabulary[0]) != QE_OK)
    return error_memory(&model->error);
  if (model_start_manifest(model) != QE_OK || name_weights(import) != QE_OK || model_parameters(model) != QE_OK)
    return model->error.status;
  model->configuration.architecture->start(model, rng);
  read_weights(import);
  return in_file(import, "model.safetensors");
}

static int import_model(struct importing *import, const char *configuration, const qe_dataset *corpus,
                        qe_rng *rng) {
  json_t *architecture = json_object();
  if (!architecture)
    return error_memory(&import->model->error);
  if (open_files(import, architecture) == QE_OK && check_rows(import) == QE_OK &&
      add_choices(import, architecture, configuration) == QE_OK &&
      (!corpus || count_uses(import, corpus) == QE_OK) && finish_choices(import, architecture) == QE_OK)
    fill_model(import, rng);
  json_decref(architecture);
  return import->model->error.status;
}

int qe_model_import(qe_model *model, const char *folder, const char *configuration, const qe_dataset *corpus,
                    qe_rng *rng) {
  struct importing import = { .model = model, .folder = folder };
  error_clear(&model->error);
  model_clear(model);
  import_model(&import, configuration, corpus, rng);
  safetensors_close(&import.tensors);
  unigram_free(&import.unigram);
  memory_free(import.config);
  memory_free(import.pieces);
  memory_free(import.weights);
  memory_free(import.uses);
  memory_free(import.order);
  if (model->error.status != QE_OK)
    model_clear(model);
  return model->error.status;
}
