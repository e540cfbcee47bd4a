/*
** manifest.c - the archive's manifest: canonical JSON (sorted keys, two spaces, nine significant digits, LF at the end),
** so that equal content is equal bytes; whatever would be written differently is refused when read. The library keeps
** the keys in `reserved` itself; all others describe the model to people and tools, of which "score", "calibration",
** "spread", "words" and "languages" are also understood here.
*/
#include "guard.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const reserved[] = { "architecture", "decoder",  "golden", "members",
                                        "parameters",   "requires", "storage" };
enum { RESERVED = sizeof reserved / sizeof *reserved, SHA256_DIGITS = 64 };

/* ---- text ---- */

struct buffer {
  char *bytes;
  size_t size, room;
  bool failed; /* jansson does not look at every result */
};

static int buffer_append(const char *bytes, size_t size, void *context) {
  struct buffer *buffer = context;
  if (buffer->failed || !memory_reserve((void **)&buffer->bytes, &buffer->room, buffer->size + size + 2, 1)) {
    buffer->failed = true;
    return -1;
  }
  memcpy(buffer->bytes + buffer->size, bytes, size);
  buffer->size += size;
  return 0;
}

char *manifest_dump(const json_t *manifest, size_t *size, struct error *error) {
  struct buffer buffer = { 0 };
  if (json_dump_callback(manifest, buffer_append, &buffer,
                         JSON_SORT_KEYS | JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0 ||
      buffer_append("\n", 1, &buffer) != 0) {
    memory_free(buffer.bytes);
    error_memory(error);
    return NULL;
  }
  buffer.bytes[buffer.size] = '\0';
  *size = buffer.size;
  return buffer.bytes;
}

json_t *manifest_parse(qe_text text, struct error *error) {
  json_error_t reason;
  size_t size;
  json_t *manifest = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &reason);
  if (!json_is_object(manifest)) {
    if (manifest)
      error_set(error, QE_FORMAT, "manifest.json: not a JSON object");
    else
      error_set(error, QE_FORMAT, "manifest.json:%d: %s", reason.line, reason.text);
    json_decref(manifest);
    return NULL;
  }
  char *canonical = manifest_dump(manifest, &size, error);
  if (canonical && (size != text.size || memcmp(canonical, text.data, size) != 0))
    error_set(error, QE_FORMAT, "manifest.json: not in canonical form (sorted keys, indented by two, nine digits)");
  memory_free(canonical);
  if (error->status == QE_OK)
    return manifest;
  json_decref(manifest);
  return NULL;
}

void manifest_format(qe_text manifest, char line[FORMAT_ROOM]) {
  char hex[SHA256_DIGITS + 1];
  qe_sha256(manifest.data, manifest.size, hex);
  snprintf(line, FORMAT_ROOM, FORMAT_PREFIX "1.0 %s\n", hex);
}

/* ---- members ---- */

/* FORMAT comes before any manifest and the manifest cannot hold its own hash. */
static bool is_listed(const char *name) {
  return strcmp(name, "FORMAT") != 0 && strcmp(name, "manifest.json") != 0;
}

static json_t *member_entry(qe_text member) {
  char hex[SHA256_DIGITS + 1];
  qe_sha256(member.data, member.size, hex);
  return json_pack("{s:s, s:I}", "sha256", hex, "size", (json_int_t)member.size);
}

int manifest_list_members(json_t *manifest, const qe_archive *archive, struct error *error) {
  json_t *members = json_object();
  bool ok = members != NULL;
  for (size_t i = 0; ok && i < qe_archive_count(archive); i++) {
    const char *name = qe_archive_name(archive, i);
    ok = !is_listed(name) || json_object_set_new(members, name, member_entry(qe_archive_member(archive, i))) == 0;
  }
  if (ok && json_object_set(manifest, "members", members) != 0)
    ok = false;
  json_decref(members);
  return ok ? QE_OK : error_memory(error);
}

static int check_member(const json_t *members, const char *name, qe_text member, struct error *error) {
  char hex[SHA256_DIGITS + 1];
  const json_t *entry = json_object_get(members, name);
  const char *promised = json_string_value(json_object_get(entry, "sha256"));
  if (!promised)
    return error_set(error, QE_FORMAT, "%s: a member that the manifest does not list", name);
  if (json_integer_value(json_object_get(entry, "size")) != (json_int_t)member.size)
    return error_set(error, QE_FORMAT, "%s: %zu bytes, the manifest says %lld", name, member.size,
                     (long long)json_integer_value(json_object_get(entry, "size")));
  qe_sha256(member.data, member.size, hex);
  if (strcmp(hex, promised) != 0)
    return error_set(error, QE_FORMAT, "%s: sha256 is %s, the manifest says %.64s", name, hex, promised);
  return QE_OK;
}

int manifest_check_members(const json_t *manifest, const qe_archive *archive, struct error *error) {
  const json_t *members = json_object_get(manifest, "members");
  size_t listed = 0;
  for (size_t i = 0; i < qe_archive_count(archive); i++) {
    const char *name = qe_archive_name(archive, i);
    if (!is_listed(name))
      continue;
    listed++;
    if (check_member(members, name, qe_archive_member(archive, i), error) != QE_OK)
      return error->status;
  }
  if (listed != json_object_size(members))
    return error_set(error, QE_FORMAT, "manifest.json: lists %zu members, the archive has %zu",
                     json_object_size(members), listed);
  return QE_OK;
}

/* ---- numbers ---- */

/* The float that a reader of the archive will find: of the number's nine digits, which between two floats may be nearer
** to the other one than the number itself. */
static float as_written(double number) {
  char text[40];
  double found = number;
  const int size = number_print(text, sizeof text, number, 9);
  number_parse((qe_text){ text, (size_t)size }, &found);
  return (float)found;
}

/* object[key] as a finite float; absent keeps *value. */
static int read_float(const json_t *object, const char *where, const char *key, float *value, struct error *error) {
  const json_t *item = json_object_get(object, key);
  if (!item)
    return QE_OK;
  const float number = as_written(json_number_value(item));
  if (!json_is_number(item) || !isfinite(number))
    return error_set(error, QE_FORMAT, "manifest.json: \"%s\": \"%s\" is not a finite number", where, key);
  *value = number;
  return QE_OK;
}

static int read_floats(const json_t *array, const char *where, float *values, size_t count, struct error *error) {
  if (json_array_size(array) != count)
    return error_set(error, QE_FORMAT, "manifest.json: \"%s\" is not an array of %zu numbers", where, count);
  for (size_t i = 0; i < count; i++) {
    const json_t *item = json_array_get(array, i);
    values[i] = as_written(json_number_value(item));
    if (!json_is_number(item) || !isfinite(values[i]))
      return error_set(error, QE_FORMAT, "manifest.json: \"%s\": value %zu is not a finite number", where, i + 1);
  }
  return QE_OK;
}

static json_t *floats_json(const float *values, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; array && i < count; i++)
    if (json_array_append_new(array, json_real((double)values[i])) != 0) {
      json_decref(array);
      return NULL;
    }
  return array;
}

/* ---- score and calibration ---- */

/* "ro-en": what either side is written in, if that is known of its language. */
static void read_scripts(qe_model *model, const json_t *manifest) {
  const char *languages = json_string_value(json_object_get(manifest, "languages"));
  const char *target = languages ? strchr(languages, '-') : NULL;
  model->script[QE_SOURCE] = reading_script_of_language(target ? languages : NULL);
  model->script[QE_TARGET] = reading_script_of_language(target ? target + 1 : NULL);
}

/* A score's "context" and "forest", and in "with_logprobs" what differs where there are some. */
static int read_lines(qe_model *model, const json_t *score) {
  struct score_line line = { model->scale, model->shift, 0, 0 };
  const json_t *other = json_object_get(score, "with_logprobs");
  if (other && !json_is_object(other))
    return error_set(&model->error, QE_FORMAT, "manifest.json: \"with_logprobs\" is not an object");
  for (int known = 0; known < 2; known++) {
    const json_t *from = known ? other : score;
    if (read_float(from, "score", "scale", &line.scale, &model->error) != QE_OK ||
        read_float(from, "score", "shift", &line.shift, &model->error) != QE_OK ||
        read_float(from, "score", "context", &line.context, &model->error) != QE_OK ||
        read_float(from, "score", "forest", &line.forest, &model->error) != QE_OK)
      return model->error.status;
    if (!(line.scale > 0) || line.context < 0 || line.forest < 0)
      return error_set(&model->error, QE_FORMAT,
                       "manifest.json: \"score\" must rise: scale %g, context %g, forest %g", (double)line.scale,
                       (double)line.context, (double)line.forest);
    model->line[known] = line;
  }
  return QE_OK;
}

static int read_score(qe_model *model, const json_t *manifest) {
  const json_t *score = json_object_get(manifest, "score"), *calibration = json_object_get(manifest, "calibration");
  const json_t *spread = json_object_get(manifest, "spread"), *words = json_object_get(manifest, "words");
  float scale = 1, shift = 0, curve[2] = { 1, 0 }, width[2] = { NAN, 0 }, threshold = .5F;
  if ((score && !json_is_object(score)) || (calibration && !json_is_object(calibration)) ||
      (spread && !json_is_object(spread)) || (words && !json_is_object(words)))
    return error_set(&model->error, QE_FORMAT,
                     "manifest.json: \"score\", \"calibration\", \"spread\" or \"words\" is not an object");
  if (read_float(score, "score", "scale", &scale, &model->error) != QE_OK ||
      read_float(score, "score", "shift", &shift, &model->error) != QE_OK ||
      read_float(calibration, "calibration", "a", &curve[0], &model->error) != QE_OK ||
      read_float(calibration, "calibration", "b", &curve[1], &model->error) != QE_OK ||
      read_float(spread, "spread", "a", &width[0], &model->error) != QE_OK ||
      read_float(spread, "spread", "b", &width[1], &model->error) != QE_OK ||
      read_float(words, "words", "threshold", &threshold, &model->error) != QE_OK)
    return model->error.status;
  if (!(scale > 0) || curve[0] < 0)
    return error_set(&model->error, QE_FORMAT,
                     "manifest.json: \"score\" and \"calibration\" must rise: scale %g, a %g", (double)scale,
                     (double)curve[0]);
  model->scale = scale;
  model->shift = shift;
  memcpy(model->calibration, curve, sizeof curve);
  memcpy(model->spread, width, sizeof width);
  model->word_threshold = threshold;
  read_scripts(model, manifest);
  return read_lines(model, score);
}

/* ---- golden pairs ---- */

static int read_logprobs(qe_pair *pair, const json_t *array, struct error *error) {
  if (!array)
    return QE_OK;
  const size_t count = json_array_size(array);
  float *values = memory_new(count, sizeof *values);
  if (!values)
    return error_memory(error);
  pair->logprobs = values;
  pair->logprob_count = count;
  return read_floats(array, "golden", values, count, error);
}

static int read_golden_pair(qe_pair *pair, float *score, const json_t *object, struct error *error) {
  const json_t *source = json_object_get(object, "source"), *translation = json_object_get(object, "translation");
  if (!json_is_string(source) || !json_is_string(translation) || !json_is_number(json_object_get(object, "score")))
    return error_set(error, QE_FORMAT,
                     "manifest.json: a golden pair lacks \"source\", \"translation\" or \"score\"");
  *pair = (qe_pair){ .source = { json_string_value(source), json_string_length(source) },
                     .translation = { json_string_value(translation), json_string_length(translation) } };
  if (read_logprobs(pair, json_object_get(object, "logprobs"), error) != QE_OK)
    return error->status;
  return read_float(object, "golden", "score", score, error);
}

/* qe_model_set_golden copies; these are only borrowed from the JSON, but for the log-probabilities. */
static int read_golden(qe_model *model, const json_t *golden) {
  enum { MOST_GOLDEN = 1000 };
  const size_t count = json_array_size(golden);
  if (count == 0 || count > MOST_GOLDEN)
    return error_set(&model->error, QE_FORMAT, "manifest.json: \"golden\" has %zu pairs, not 1 to %d", count,
                     MOST_GOLDEN);
  qe_pair *pairs = memory_new(count, sizeof *pairs);
  float *scores = memory_new(count, sizeof *scores);
  if (!pairs || !scores)
    error_memory(&model->error);
  for (size_t i = 0; i < count && model->error.status == QE_OK; i++)
    read_golden_pair(&pairs[i], &scores[i], json_array_get(golden, i), &model->error);
  if (model->error.status == QE_OK && qe_model_set_golden(model, pairs, count) == QE_OK) {
    model->golden_scores = scores;
    scores = NULL;
  }
  for (size_t i = 0; pairs && i < count; i++)
    memory_free((void *)(uintptr_t)pairs[i].logprobs);
  memory_free(pairs);
  memory_free(scores);
  return model->error.status;
}

static json_t *golden_pair_json(const qe_pair *pair, float score) {
  json_t *object = json_pack("{s:s%, s:s%, s:f}", "source", pair->source.data, pair->source.size, "translation",
                             pair->translation.data, pair->translation.size, "score", (double)score);
  if (object && pair->logprob_count > 0 &&
      json_object_set_new(object, "logprobs", floats_json(pair->logprobs, pair->logprob_count)) != 0) {
    json_decref(object);
    return NULL;
  }
  return object;
}

static json_t *golden_json(const qe_model *model, const float *scores) {
  json_t *golden = json_array();
  for (size_t i = 0; golden && i < model->golden_count; i++)
    if (json_array_append_new(golden, golden_pair_json(&model->golden[i], scores[i])) != 0) {
      json_decref(golden);
      return NULL;
    }
  return golden;
}

/* ---- the whole ---- */

static int read_decoder(qe_model *model, const json_t *decoder) {
  if (model->configuration.decoder_inputs == 0)
    return decoder
               ? error_set(&model->error, QE_FORMAT, "manifest.json: \"decoder\" in a model without decoder inputs")
               : QE_OK;
  if (read_floats(json_object_get(decoder, "mean"), "decoder.mean", model->decoder_mean, DECODER_INPUTS,
                  &model->error) != QE_OK ||
      read_floats(json_object_get(decoder, "sd"), "decoder.sd", model->decoder_sd, DECODER_INPUTS, &model->error) !=
          QE_OK)
    return model->error.status;
  for (int i = 0; i < DECODER_INPUTS; i++)
    if (!(model->decoder_sd[i] > 0))
      return error_set(&model->error, QE_FORMAT, "manifest.json: \"decoder.sd\": value %d is not above 0", i + 1);
  return QE_OK;
}

static int check_requires(const json_t *requires, struct error *error) {
  if (!json_is_array(requires))
    return error_set(error, QE_FORMAT, "manifest.json: \"requires\" is not an array");
  const char *feature = json_string_value(json_array_get(requires, 0));
  if (json_array_size(requires) > 0)
    return error_set(error, QE_FORMAT, "the model requires \"%s\", which this version (%s) does not have",
                     feature ? feature : "?", qe_version());
  return QE_OK;
}

int manifest_read_model(qe_model *model, const json_t *manifest) {
  if (check_requires(json_object_get(manifest, "requires"), &model->error) != QE_OK ||
      read_decoder(model, json_object_get(manifest, "decoder")) != QE_OK ||
      read_golden(model, json_object_get(manifest, "golden")) != QE_OK)
    return model->error.status;
  json_t *rest = json_deep_copy(manifest);
  if (!rest)
    return error_memory(&model->error);
  for (size_t i = 0; i < RESERVED; i++)
    json_object_del(rest, reserved[i]);
  json_decref(model->manifest);
  model->manifest = rest;
  return read_score(model, rest);
}

static json_int_t parameter_count(const qe_model *model) {
  size_t total = 0, rows, cols;
  for (size_t i = 0; i < qe_params_count(model->params); i++) {
    qe_params_name(model->params, i, &rows, &cols);
    total += rows * cols;
  }
  return (json_int_t)total;
}

static int set_decoder(const qe_model *model, json_t *manifest) {
  if (model->configuration.decoder_inputs == 0)
    return 0;
  return json_object_set_new(manifest, "decoder",
                             json_pack("{s:o, s:o}", "mean", floats_json(model->decoder_mean, DECODER_INPUTS), "sd",
                                       floats_json(model->decoder_sd, DECODER_INPUTS)));
}

json_t *manifest_of_model(qe_model *model, const float *golden_scores) {
  json_t *manifest = json_deep_copy(model->manifest);
  if (manifest && json_object_set_new(manifest, "architecture", configuration_dump(&model->configuration)) == 0 &&
      json_object_set_new(manifest, "golden", golden_json(model, golden_scores)) == 0 &&
      json_object_set_new(manifest, "parameters", json_integer(parameter_count(model))) == 0 &&
      json_object_set_new(manifest, "requires", json_array()) == 0 &&
      json_object_set_new(manifest, "storage", json_string(model->storage)) == 0 &&
      set_decoder(model, manifest) == 0)
    return manifest;
  json_decref(manifest);
  error_memory(&model->error);
  return NULL;
}

int manifest_describe(qe_model *model, const json_t *changes) {
  const char *key;
  json_t *value, *before = model->manifest, *after = json_copy(before);
  if (!after)
    return error_memory(&model->error);
  json_object_foreach((json_t *)(uintptr_t)changes, key, value) {
    for (size_t i = 0; i < RESERVED; i++)
      if (strcmp(key, reserved[i]) == 0)
        error_set(&model->error, QE_USE, "describe: \"%s\" is kept by the library", key);
    int failed = json_is_null(value) ? (json_object_del(after, key), 0) : json_object_set(after, key, value);
    if (failed)
      error_memory(&model->error);
  }
  if (model->error.status == QE_OK)
    read_score(model, after);
  const bool ok = model->error.status == QE_OK;
  model->manifest = ok ? after : before;
  json_decref(ok ? before : after);
  return model->error.status;
}
