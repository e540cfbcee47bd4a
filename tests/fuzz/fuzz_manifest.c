/*
** fuzz_manifest.c - any bytes as a model's manifest. Only canonical JSON is accepted; an architecture in it is written
** again as one that is read alike; and what a model takes from it keeps every promise that scoring relies on: scores and
** calibration rise, golden pairs are there, and what describes the model is written as canonical JSON.
*/
#include "demand.h"
#include "model.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const json_t *manifest, qe_text text) {
  struct error error = { 0 };
  size_t size;
  char *again = manifest_dump(manifest, &size, &error);
  demand(again && size == text.size && memcmp(again, text.data, size) == 0);
  memory_free(again);
}

/* What it reads is what it writes, with every default spelt out. */
static bool check_architecture(const json_t *object, struct configuration *configuration) {
  struct error error = { 0 };
  struct configuration again = { 0 };
  if (configuration_parse(configuration, object, &error) != QE_OK) {
    demand(error.text[0] != '\0');
    return false;
  }
  json_t *written = configuration_dump(configuration);
  demand(written && configuration_parse(&again, written, &error) == QE_OK);
  json_t *twice = configuration_dump(&again);
  demand(twice && json_equal(written, twice));
  json_decref(written);
  json_decref(twice);
  return true;
}

static void check_line(float scale, float shift, float weight) {
  demand(scale > 0 && isfinite(scale) && isfinite(shift) && weight >= 0 && isfinite(weight));
}

static void check_model(qe_model *model) {
  check_line(model->scale, model->shift, 0);
  for (int known = 0; known < 2; known++)
    for (int voice = 0; voice < 2; voice++)
      check_line(model->line[known].scale, model->line[known].shift,
                 voice ? model->line[known].forest : model->line[known].context);
  demand(model->calibration[0] >= 0 && isfinite(model->calibration[1]));
  demand(model->golden_count > 0 && model->golden_scores);
  for (size_t i = 0; i < model->golden_count; i++)
    demand(isfinite(model->golden_scores[i]));
  for (size_t i = 0; model->configuration.decoder_inputs > 0 && i < DECODER_INPUTS; i++)
    demand(model->decoder_sd[i] > 0 && isfinite(model->decoder_mean[i]));
}

static void check_description(const qe_model *model) {
  struct error error = { 0 };
  size_t size;
  char *text = manifest_dump(model->manifest, &size, &error);
  demand(text != NULL);
  json_t *again = manifest_parse((qe_text){ text, size }, &error);
  demand(again && json_equal(again, model->manifest) && !json_object_get(again, "golden"));
  json_decref(again);
  memory_free(text);
}

static void read_into_model(const json_t *manifest) {
  qe_model *model = qe_model_new();
  demand(model != NULL);
  if (check_architecture(json_object_get(manifest, "architecture"), &model->configuration)) {
    const int status = manifest_read_model(model, manifest);
    demand((status == QE_OK) == (model->error.text[0] == '\0'));
    if (status == QE_OK) {
      check_model(model);
      check_description(model);
    }
  }
  qe_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const qe_text text = { (const char *)data, size };
  struct error error = { 0 };
  json_t *manifest = manifest_parse(text, &error);
  demand((manifest != NULL) == (error.text[0] == '\0'));
  if (manifest) {
    check_same(manifest, text);
    read_into_model(manifest);
    json_decref(manifest);
  } else {
    demand(strncmp(error.text, "manifest.json:", 14) == 0);
  }
  return 0;
}
