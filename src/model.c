/*
** model.c - the life of a model: empty, created or opened, described, copied, freed. A model is its configuration, two
** vocabularies, named parameters and what its manifest says. The tape reads the parameters; qe_score reads `scoring`,
** a form of them that qe_model_prepare makes and that later changes of the parameters do not reach.
*/
#include "architecture.h"
#include "family.h"
#include "forest.h"
#include "transcendental.h"

#include <math.h>
#include <stdio.h>

qe_model *qe_model_new(void) {
  qe_model *model = memory_new(1, sizeof *model);
  if (model)
    model_clear(model);
  return model;
}

static void golden_free(qe_model *model) {
  for (size_t i = 0; i < model->golden_count; i++)
    memory_free((void *)(uintptr_t)model->golden[i].source.data); /* the one block of a pair, see copy_pair */
  memory_free(model->golden);
  memory_free(model->golden_scores);
  model->golden = NULL;
  model->golden_scores = NULL;
  model->golden_count = 0;
}

void model_clear(qe_model *model) {
  struct error error = model->error;
  const bool inner = model->inner;
  struct context *lent = model->lent;
  const size_t read_layers = model->read_layers;
  golden_free(model);
  for (int side = 0; side < 2; side++)
    vocabulary_free(&model->vocabulary[side]);
  evidence_release(model->evidence);
  forests_release(model->forests);
  context_release(model->context);
  family_release(model->family);
  scoring_free(model->scoring);
  qe_params_free(model->params);
  json_decref(model->manifest);
  memory_free(model->manifest_text);
  memory_free(model->taps);
  memory_free(model->card);
  memory_free(model->licence);
  *model = (qe_model){ .error = error,
                       .inner = inner,
                       .lent = lent,
                       .read_layers = read_layers,
                       .storage = "f32",
                       .scale = 1,
                       .calibration = { 1, 0 },
                       .spread = { NAN, NAN },
                       .word_threshold = .5F,
                       .line = { { 1, 0, 0, 0 }, { 1, 0, 0, 0 } },
                       .decoder_sd = { 1, 1, 1, 1 } };
}

void qe_model_free(qe_model *model) {
  if (!model)
    return;
  model_clear(model);
  memory_free(model);
}

const char *qe_model_error(const qe_model *model) {
  return model->error.text;
}

const char *qe_model_sha256(const qe_model *model) {
  return model->sha256;
}

int qe_model_decoder_inputs(const qe_model *model) {
  return (int)model->configuration.decoder_inputs;
}

int qe_model_decoder_needed(const qe_model *model) {
  const struct architecture *architecture = model->configuration.architecture;
  return model->configuration.decoder_inputs > 0 &&
         !(architecture->decoder_optional && architecture->decoder_optional(&model->configuration));
}

float qe_model_calibrated(const qe_model *model, float z) {
  return sigmoid_float(__builtin_fmaf(model->calibration[0], z, model->calibration[1]));
}

float qe_model_spread(const qe_model *model, float z) {
  return isnan(model->spread[0]) ? NAN : exp_float(__builtin_fmaf(model->spread[1], z, model->spread[0]));
}

float qe_model_word_threshold(const qe_model *model) {
  const struct architecture *architecture = model->configuration.architecture;
  return model->params && architecture->tags_words && architecture->tags_words(&model->configuration)
             ? model->word_threshold
             : NAN;
}

int qe_model_word_vectors(const qe_model *model) {
  return model->scoring && model->scoring->architecture->vector_width != NULL;
}

qe_params *qe_model_params(qe_model *model) {
  return model->params;
}

int qe_model_prepare(qe_model *model) {
  error_clear(&model->error);
  if (!model->params)
    return error_set(&model->error, QE_USE, "prepare: the model is empty");
  return scoring_prepare(model);
}

/* ---- creation ---- */

static int make_vocabulary(qe_model *model, qe_side side, const qe_dataset *data) {
  struct vocabulary_choice *choice = &model->configuration.vocabulary[side];
  struct vocabulary *vocabulary = &model->vocabulary[side];
  if (choice->kind == VOCABULARY_PIECES)
    return error_set(&model->error, QE_USE,
                     "pieces and weights of an encoder come from an import, not from nothing");
  if (choice->kind == VOCABULARY_NGRAMS)
    return vocabulary_hashed(vocabulary, choice->rows, choice->lowercase) == QE_OK ? QE_OK
                                                                                   : error_memory(&model->error);
  const size_t rows = data ? qe_dataset_rows(data) : 0;
  if (rows == 0)
    return error_set(&model->error, QE_USE, "a vocabulary of words or counted n-grams needs data to count them on");
  qe_text *texts = memory_new(rows, sizeof *texts);
  if (!texts)
    return error_memory(&model->error);
  for (size_t i = 0; i < rows; i++) {
    qe_pair pair = qe_dataset_pair(data, i);
    texts[i] = side == QE_SOURCE ? pair.source : pair.translation;
  }
  int status = (choice->kind == VOCABULARY_COUNTED ? vocabulary_count_grams : vocabulary_count)(
      vocabulary, texts, rows, choice->rows, choice->minimum, choice->lowercase, model->configuration.max_tokens,
      &model->error);
  memory_free(texts);
  choice->rows = vocabulary->rows; /* as many as there are */
  return status;
}

static int count_evidence(qe_model *model, const qe_dataset *data, const qe_dataset *parallel) {
  if (!model->configuration.architecture->counts)
    return QE_OK;
  if (!data || qe_dataset_rows(data) == 0)
    return error_set(&model->error, QE_USE, "a model of this kind needs data to count words on");
  const struct configuration *c = &model->configuration;
  const struct evidence_choice choice = { c->max_tokens, c->aligned.least_count, c->aligned.least_link };
  model->evidence = evidence_count(data, parallel, choice, &model->error);
  return model->error.status;
}

/* Manifest of a model that nobody has described yet. */
int model_start_manifest(qe_model *model) {
  model->manifest = json_pack("{s:{s:s, s:s, s:f, s:f}, s:{s:f, s:f}}", "score", "type", "z-score", "direction",
                              "higher is better", "scale", 1.0, "shift", 0.0, "calibration", "a", 1.0, "b", 0.0);
  return model->manifest ? QE_OK : error_memory(&model->error);
}

static int name_taps(qe_model *model) {
  const struct configuration *configuration = &model->configuration;
  char name[MOST_TAP_NAME];
  size_t count = 0, used = 0;
  while (configuration->architecture->tap_name(configuration, count, name))
    count++;
  model->taps = memory_new(count + 1, sizeof name);
  if (!model->taps)
    return error_memory(&model->error);
  for (size_t i = 0; i < count; i++) {
    configuration->architecture->tap_name(configuration, i, name);
    used += (size_t)sprintf(model->taps + used, "%s%s", i > 0 ? " " : "", name);
  }
  return QE_OK;
}

const char *qe_model_taps(const qe_model *model) {
  return model->taps ? model->taps : "";
}

int model_parameters(qe_model *model) {
  model->params = qe_params_new();
  if (!model->params)
    return error_memory(&model->error);
  return name_taps(model) == QE_OK ? model->configuration.architecture->parameters(model) : model->error.status;
}

/* Against those of the model that it comes from. */
static int check_forests(qe_model *model, const struct forests *forests) {
  return configuration_forests(&model->configuration) == forests_count(forests)
             ? QE_OK
             : error_set(&model->error, QE_USE,
                         "architecture: \"forests\" are grown, by qe_model_grow, not asked for");
}

static int create(qe_model *model, const char *configuration, const qe_dataset *data, const qe_dataset *parallel,
                  qe_rng *rng) {
  json_error_t reason;
  json_t *object = json_loads(configuration, JSON_REJECT_DUPLICATES, &reason);
  if (!object)
    return error_set(&model->error, QE_FORMAT, "architecture:%d: %s", reason.line, reason.text);
  int status = configuration_parse(&model->configuration, object, &model->error);
  json_decref(object);
  if (status != QE_OK || check_forests(model, NULL) != QE_OK || make_vocabulary(model, QE_SOURCE, data) != QE_OK ||
      make_vocabulary(model, QE_TARGET, data) != QE_OK || count_evidence(model, data, parallel) != QE_OK ||
      model_start_manifest(model) != QE_OK || model_parameters(model) != QE_OK)
    return model->error.status;
  model->configuration.architecture->start(model, rng);
  if (data && model->configuration.decoder_inputs)
    decoder_fit(model, data);
  return QE_OK;
}

int qe_model_create(qe_model *model, const char *configuration, const qe_dataset *data, qe_rng *rng) {
  return qe_model_create_with(model, configuration, data, NULL, rng);
}

int qe_model_create_with(qe_model *model, const char *configuration, const qe_dataset *data,
                         const qe_dataset *parallel, qe_rng *rng) {
  error_clear(&model->error);
  model_clear(model);
  if (create(model, configuration, data, parallel, rng) != QE_OK)
    model_clear(model);
  return model->error.status;
}

static char *copy_text(const char *text) {
  const size_t size = text ? strlen(text) + 1 : 0;
  char *copy = text ? memory_grow(NULL, size, 1) : NULL;
  if (copy)
    memcpy(copy, text, size);
  return copy;
}

/* All but the configuration and the values of parameters. */
static int copy_parts(qe_model *model, const qe_model *from) {
  model->storage = from->storage;
  model->scale = from->scale;
  model->shift = from->shift;
  memcpy(model->calibration, from->calibration, sizeof model->calibration);
  memcpy(model->spread, from->spread, sizeof model->spread);
  model->word_threshold = from->word_threshold;
  memcpy(model->decoder_mean, from->decoder_mean, sizeof model->decoder_mean);
  memcpy(model->decoder_sd, from->decoder_sd, sizeof model->decoder_sd);
  for (int side = 0; side < 2; side++)
    if (vocabulary_copy(&model->vocabulary[side], &from->vocabulary[side]) != QE_OK)
      return error_memory(&model->error);
  model->evidence = evidence_hold(from->evidence);
  model->forests = forests_hold(from->forests);
  model->context = context_hold(from->context);
  memcpy(model->line, from->line, sizeof model->line);
  model->family = family_hold(from->family);
  model->read_layers = from->read_layers;
  model->manifest = json_deep_copy(from->manifest);
  model->card = copy_text(from->card);
  model->licence = copy_text(from->licence);
  if (!model->manifest || (from->card && !model->card) || (from->licence && !model->licence))
    return error_memory(&model->error);
  if (qe_model_set_golden(model, from->golden, from->golden_count) != QE_OK || model_parameters(model) != QE_OK)
    return model->error.status;
  return QE_OK;
}

static int copy_model(qe_model *model, qe_model *from) {
  model->configuration = from->configuration;
  if (copy_parts(model, from) != QE_OK)
    return model->error.status;
  int status = qe_block_copy(qe_params_values(model->params), qe_params_values(from->params));
  return status == QE_OK ? QE_OK : error_set(&model->error, status, "copy: parameters differ");
}

int qe_model_copy(qe_model *model, qe_model *from) {
  error_clear(&model->error);
  if (model == from || !from->params)
    return error_set(&model->error, QE_USE, "copy: %s", model == from ? "onto itself" : "of an empty model");
  model_clear(model);
  if (copy_model(model, from) != QE_OK)
    model_clear(model);
  return model->error.status;
}

/* ---- derived models ---- */

static int change_configuration(qe_model *model, const qe_model *from, const char *changes) {
  json_error_t reason;
  json_t *object = configuration_dump(&from->configuration);
  json_t *change = json_loads(changes, JSON_REJECT_DUPLICATES, &reason);
  if (!object)
    error_memory(&model->error);
  else if (!json_is_object(change))
    error_set(&model->error, QE_FORMAT, "architecture: %s", change ? "not a JSON object" : reason.text);
  else if (json_object_get(change, "bins") && !json_object_get(change, "head"))
    json_object_del(object, "head"); /* which follows from the bins */
  if (model->error.status == QE_OK && json_object_update(object, change) == 0)
    configuration_parse(&model->configuration, object, &model->error);
  json_decref(object);
  json_decref(change);
  return model->error.status;
}

/* Rows of embeddings mean the same only where the vocabularies are the same. */
static bool same_rows(const qe_model *model, const qe_model *from, const char *name) {
  for (int side = 0; side < 2; side++) {
    const char *const rows[2] = { "source.embedding", "target.embedding" };
    if (strcmp(name, rows[side]) == 0)
      return vocabulary_fingerprint(&model->vocabulary[side], 0) ==
             vocabulary_fingerprint(&from->vocabulary[side], 0);
  }
  return true;
}

static size_t copy_same(qe_model *model, const qe_model *model_from) {
  qe_params *to = model->params, *from = model_from->params;
  size_t taken = 0;
  for (size_t i = 0; i < qe_params_count(from); i++) {
    size_t rows, cols, own_rows, own_cols;
    const char *name = qe_params_name(from, i, &rows, &cols);
    const int own = qe_params_find(to, name);
    if (own < 0)
      continue;
    qe_params_name(to, (size_t)own, &own_rows, &own_cols);
    if (rows != own_rows || cols != own_cols || !same_rows(model, model_from, name))
      continue;
    memcpy(qe_params_matrix(to, (size_t)own), qe_params_matrix(from, i), rows * cols * sizeof(qe_real));
    taken++;
  }
  return taken;
}

size_t qe_model_take(qe_model *model, qe_model *from) {
  return model->params && from->params && model != from ? copy_same(model, from) : 0;
}

static bool same_vocabularies(const struct configuration *a, const struct configuration *b) {
  for (size_t side = 0; side < 2; side++) {
    const struct vocabulary_choice *one = &a->vocabulary[side], *other = &b->vocabulary[side];
    if (one->kind != other->kind || one->rows != other->rows || one->lowercase != other->lowercase)
      return false;
  }
  return a->architecture == b->architecture;
}

int qe_model_derive(qe_model *model, qe_model *from, const char *configuration, const qe_dataset *data,
                    qe_rng *rng) {
  error_clear(&model->error);
  if (model == from || !from->params)
    return error_set(&model->error, QE_USE, "derive: %s", model == from ? "onto itself" : "from an empty model");
  model_clear(model);
  if (change_configuration(model, from, configuration) == QE_OK &&
      !same_vocabularies(&model->configuration, &from->configuration))
    error_set(&model->error, QE_USE, "derive: the kind of model and its vocabularies stay as they are");
  if (model->error.status == QE_OK && check_forests(model, from->forests) == QE_OK &&
      copy_parts(model, from) == QE_OK) {
    model->configuration.architecture->start(model, rng);
    copy_same(model, from);
    if (data && model->configuration.decoder_inputs)
      decoder_fit(model, data);
  }
  if (model->error.status != QE_OK)
    model_clear(model);
  return model->error.status;
}

/* ---- words in context, and those who share them ---- */

int qe_model_set_context(qe_model *model, qe_model *from) {
  error_clear(&model->error);
  const struct configuration *configuration = &model->configuration;
  if (!model->params || configuration->architecture != &aligned_student || !configuration->aligned.context_layer)
    return error_set(&model->error, QE_USE, "context: only aligned students with a \"context_layer\" have one");
  if (from->params && from->configuration.architecture == &encoder &&
      from->configuration.encoder.width != configuration->aligned.context_width)
    return error_set(&model->error, QE_USE, "context: an encoder of width %zu, expected \"context_width\", %zu",
                     from->configuration.encoder.width, configuration->aligned.context_width);
  qe_model *copy = qe_model_new();
  if (!copy)
    return error_memory(&model->error);
  if (qe_model_copy(copy, from) != QE_OK) {
    error_set(&model->error, copy->error.status, "context: %.300s", copy->error.text);
    qe_model_free(copy);
    return model->error.status;
  }
  struct context *context = context_new(copy, configuration->aligned.context_layer, &model->error);
  if (!context)
    return model->error.status;
  context_release(model->context);
  model->context = context;
  return QE_OK;
}

static json_t *family_configuration(const struct configuration *c, size_t count) {
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "name", "family", "members", (json_int_t)count,
                   "context_layer", (json_int_t)c->aligned.context_layer, "context_width",
                   (json_int_t)c->aligned.context_width, "max_tokens", (json_int_t)c->max_tokens, "decoder_inputs",
                   (json_int_t)c->decoder_inputs, "words", (int)c->aligned.words);
}

/* One golden pair is enough of a member: each costs a pass through the encoder when the archive is opened, which the
** family's own pairs test. */
static int add_copy(qe_model *model, qe_model *from) {
  qe_model *copy = qe_model_new();
  if (!copy)
    return error_memory(&model->error);
  copy->inner = true;
  if (qe_model_copy(copy, from) != QE_OK ||
      qe_model_set_golden(copy, copy->golden, copy->golden_count > 0) != QE_OK) {
    error_set(&model->error, copy->error.status, "family: %.300s", copy->error.text);
    qe_model_free(copy);
    return model->error.status;
  }
  context_release(copy->context);
  copy->context = context_hold(model->context);
  return family_add(model->family, copy, &model->configuration, &model->error);
}

static int make_family(qe_model *model, qe_model *const *members, size_t count) {
  json_t *object = family_configuration(&members[0]->configuration, count);
  if (!object)
    return error_memory(&model->error);
  configuration_parse(&model->configuration, object, &model->error);
  json_decref(object);
  if (model->error.status != QE_OK || model_start_manifest(model) != QE_OK || model_parameters(model) != QE_OK)
    return model->error.status;
  for (int side = 0; side < 2; side++)
    if (vocabulary_hashed(&model->vocabulary[side], 1, true) != QE_OK)
      return error_memory(&model->error);
  model->context = context_hold(members[0]->context);
  model->family = family_new(count);
  if (!model->family)
    return error_memory(&model->error);
  for (size_t i = 0; model->error.status == QE_OK && i < count; i++)
    add_copy(model, members[i]);
  return model->error.status;
}

int qe_model_create_family(qe_model *model, qe_model *const *members, size_t count) {
  error_clear(&model->error);
  model_clear(model);
  if (count < 1 || count > FAMILY_MOST_MEMBERS)
    return error_set(&model->error, QE_USE, "family: %zu members, expected 1 to %d", count, FAMILY_MOST_MEMBERS);
  for (size_t i = 0; i < count; i++)
    if (!members[i]->params || members[i]->configuration.architecture != &aligned_student || !members[i]->context)
      return error_set(&model->error, QE_USE, "family: member %zu is no aligned student with an encoder", i + 1);
  if (make_family(model, members, count) != QE_OK)
    model_clear(model);
  return model->error.status;
}

/* ---- description ---- */

const char *qe_model_manifest(qe_model *model) {
  size_t size;
  error_clear(&model->error);
  json_t *manifest = model->params ? json_deep_copy(model->manifest) : json_object();
  if (!manifest || (model->params && json_object_set_new(manifest, "architecture",
                                                         configuration_dump(&model->configuration)) != 0)) {
    json_decref(manifest);
    error_memory(&model->error);
    return "";
  }
  memory_free(model->manifest_text);
  model->manifest_text = manifest_dump(manifest, &size, &model->error);
  json_decref(manifest);
  return model->manifest_text ? model->manifest_text : "";
}

int qe_model_describe(qe_model *model, const char *text) {
  json_error_t reason;
  error_clear(&model->error);
  if (!model->params)
    return error_set(&model->error, QE_USE, "describe: the model is empty");
  json_t *changes = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
  if (!json_is_object(changes)) {
    error_set(&model->error, QE_FORMAT, "describe: not a JSON object%s%s", changes ? "" : ": ",
              changes ? "" : reason.text);
    json_decref(changes);
    return model->error.status;
  }
  manifest_describe(model, changes);
  json_decref(changes);
  return model->error.status;
}

static int set_text(qe_model *model, char **place, const char *text) {
  error_clear(&model->error);
  char *copy = copy_text(text);
  if (!copy)
    return error_memory(&model->error);
  memory_free(*place);
  *place = copy;
  return QE_OK;
}

int qe_model_set_card(qe_model *model, const char *markdown) {
  return set_text(model, &model->card, markdown);
}

int qe_model_set_licence(qe_model *model, const char *text) {
  return set_text(model, &model->licence, text);
}

const char *qe_model_card(const qe_model *model) {
  return model->card ? model->card : "";
}

/* One block: source, translation, then the log-probabilities at an aligned place. */
static bool copy_pair(qe_pair *copy, const qe_pair *pair) {
  size_t texts = pair->source.size + pair->translation.size;
  texts += sizeof(float) - texts % sizeof(float);
  char *block = memory_grow(NULL, texts + pair->logprob_count * sizeof(float), 1);
  if (!block)
    return false;
  if (pair->source.size > 0)
    memcpy(block, pair->source.data, pair->source.size);
  if (pair->translation.size > 0)
    memcpy(block + pair->source.size, pair->translation.data, pair->translation.size);
  float *logprobs = (float *)(void *)(block + texts);
  if (pair->logprob_count > 0)
    memcpy(logprobs, pair->logprobs, pair->logprob_count * sizeof *logprobs);
  *copy = (qe_pair){ .source = { block, pair->source.size },
                     .translation = { block + pair->source.size, pair->translation.size },
                     .logprobs = pair->logprob_count > 0 ? logprobs : NULL,
                     .logprob_count = pair->logprob_count };
  return true;
}

int qe_model_set_golden(qe_model *model, const qe_pair *pairs, size_t count) {
  error_clear(&model->error);
  qe_pair *copies = memory_new(count, sizeof *copies);
  size_t made = 0;
  while (copies && made < count && copy_pair(&copies[made], &pairs[made]))
    made++;
  if (!copies || made < count) {
    while (made-- > 0)
      memory_free((void *)(uintptr_t)copies[made].source.data);
    memory_free(copies);
    return error_memory(&model->error);
  }
  golden_free(model);
  model->golden = copies;
  model->golden_count = count;
  return QE_OK;
}

int qe_model_round(qe_model *model, const char *type) {
  const char *storage = weights_storage(type);
  error_clear(&model->error);
  if (!model->params)
    return error_set(&model->error, QE_USE, "round: the model is empty");
  if (!storage)
    return error_set(&model->error, QE_USE, "round: \"%.20s\" is none of %s", type, weights_storages());
  weights_round(model->params, storage);
  model->storage = storage;
  return QE_OK;
}
