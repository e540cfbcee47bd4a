/*
** fuzz_model.c - an archive whose members were tampered with by someone who can compute hashes: where the bytes are an
** archive, those of FORMAT and the manifest are made right again, also inside of archives in it, and the model is opened.
** What is accepted scores any pair with a number, without log-probabilities and with some.
*/
#include "demand.h"
#include "members.h"
#include "model.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 22, DEEPEST = 2 };

static qe_archive *opened(const void *bytes, size_t size) {
  qe_archive *archive = qe_archive_new();
  demand(archive != NULL);
  if (qe_archive_open_memory(archive, bytes, size, LIMIT) == QE_OK && qe_archive_count(archive) > 1)
    return archive;
  qe_archive_free(archive);
  return NULL;
}

static void add(qe_archive *archive, const char *name, qe_text bytes) {
  demand(qe_archive_add(archive, name, bytes.data, bytes.size) == QE_OK);
}

/* The manifest as someone would write it who knows the other members. */
static char *hashed_manifest(const qe_archive *archive, qe_text manifest, size_t *size) {
  struct error error = { 0 };
  json_t *object = json_loadb(manifest.data, manifest.size, 0, NULL);
  char *text = NULL;
  if (json_is_object(object)) {
    demand(manifest_list_members(object, archive, &error) == QE_OK);
    text = manifest_dump(object, size, &error);
  }
  json_decref(object);
  return text;
}

/* The archive with hashes that are right; NULL: it is none. */
static char *mended(const void *bytes, size_t size, int depth, size_t *again) {
  qe_archive *archive = opened(bytes, size), *inner = qe_archive_new(), *whole = qe_archive_new();
  char *result = NULL, line[FORMAT_ROOM];
  demand(inner && whole);
  for (size_t i = 2; archive && i < qe_archive_count(archive); i++) {
    size_t length;
    const qe_text member = qe_archive_member(archive, i);
    char *nested = depth < DEEPEST ? mended(member.data, member.size, depth + 1, &length) : NULL;
    add(inner, qe_archive_name(archive, i), nested ? (qe_text){ nested, length } : member);
    memory_free(nested);
  }
  size_t length = 0;
  char *manifest = archive ? hashed_manifest(inner, qe_archive_member(archive, 1), &length) : NULL;
  if (manifest) {
    manifest_format((qe_text){ manifest, length }, line);
    add(whole, "FORMAT", qe_string(line));
    add(whole, "manifest.json", (qe_text){ manifest, length });
    for (size_t i = 0; i < qe_archive_count(inner); i++)
      add(whole, qe_archive_name(inner, i), qe_archive_member(inner, i));
    demand(archive_bytes(whole, &result, again) == QE_OK);
  }
  memory_free(manifest);
  qe_archive_free(archive);
  qe_archive_free(inner);
  qe_archive_free(whole);
  return result;
}

static void check_scores(const qe_model *model) {
  static const float logprobs[3] = { -.25F, -7, -1 };
  const qe_pair pairs[3] = {
    { .source = qe_string("ka lo 7, mi"), .translation = qe_string("ro su te ka!") },
    { .source = qe_string(""), .translation = qe_string("ka") },
    { .source = qe_string("te te"), .translation = qe_string("mi"), .logprobs = logprobs, .logprob_count = 3 }
  };
  float scores[3];
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  demand(scorer != NULL);
  const size_t first = qe_model_decoder_needed(model) ? 2 : 0;
  if (qe_score(scorer, pairs + first, 3 - first, scores) == QE_OK)
    for (size_t i = 0; i < 3 - first; i++)
      demand(isfinite(scores[i]));
  qe_scorer_free(scorer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t again;
  char *bytes = mended(data, size, 0, &again);
  if (!bytes)
    return 0;
  qe_model *model = qe_model_new();
  demand(model != NULL);
  const int status = qe_model_open_memory(model, bytes, again, LIMIT);
  demand((status == QE_OK) == (model->error.text[0] == '\0'));
  if (status == QE_OK)
    check_scores(model);
  qe_model_free(model);
  memory_free(bytes);
  return 0;
}
