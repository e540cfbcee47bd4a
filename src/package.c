/*
** package.c - a model as an archive and back. The members, in this order: FORMAT, manifest.json, weights.bin,
** vocab.source and vocab.target (of words only) or vocab.pieces, evidence.bin (of what was counted), MODEL_CARD.md,
** LICENSE. Opening believes nothing: every member must be listed with its sha256, every byte accounted for, and the
** golden pairs must score, bit for bit, what the manifest promises. A model is whole or empty, never half read.
*/
#include "architecture.h"
#include "file.h"

#include <math.h>
#include <stdlib.h>

/* NULL: none of its own, as n-grams are hashed and both sides have the same pieces. */
static const char *vocabulary_member(enum vocabulary_kind kind, int side) {
  if (kind == VOCABULARY_PIECES)
    return side == QE_SOURCE ? "vocab.pieces" : NULL;
  return kind == VOCABULARY_NGRAMS ? NULL : side == QE_SOURCE ? "vocab.source" : "vocab.target";
}
#define EVIDENCE_MEMBER "evidence.bin"
enum { MOST_MANIFEST = 1 << 20, DEFAULT_LIMIT = 1 << 30 };

/* ---- save ---- */

static int archive_failed(qe_model *model, const qe_archive *archive) {
  return error_set(&model->error, QE_MEMORY, "%s", qe_archive_error(archive));
}

static int add_weights(qe_model *model, qe_archive *archive) {
  char *bytes;
  size_t size;
  if (weights_write(model->params, model->storage, &bytes, &size, &model->error) != QE_OK)
    return model->error.status;
  int status = qe_archive_add(archive, "weights.bin", bytes, size);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : archive_failed(model, archive);
}

static int add_vocabulary(qe_model *model, qe_archive *archive, int side) {
  char *bytes;
  size_t size;
  const struct vocabulary *vocabulary = &model->vocabulary[side];
  const char *name = vocabulary_member(vocabulary->kind, side);
  if (!name)
    return QE_OK;
  int status = vocabulary->kind == VOCABULARY_PIECES ? unigram_write(vocabulary_unigram(vocabulary), &bytes, &size)
                                                     : vocabulary_write(vocabulary, &bytes, &size);
  if (status != QE_OK)
    return error_memory(&model->error);
  status = qe_archive_add(archive, name, bytes, size);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : archive_failed(model, archive);
}

static int add_evidence(qe_model *model, qe_archive *archive) {
  char *bytes;
  size_t size;
  if (!model->evidence)
    return QE_OK;
  if (evidence_write(model->evidence, &bytes, &size) != QE_OK)
    return error_memory(&model->error);
  int status = qe_archive_add(archive, EVIDENCE_MEMBER, bytes, size);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : archive_failed(model, archive);
}

static int add_text(qe_model *model, qe_archive *archive, const char *name, const char *text) {
  return qe_archive_add(archive, name, text, strlen(text)) == QE_OK ? QE_OK : archive_failed(model, archive);
}

/* What the golden pairs score now; refused where it is not a number. */
static int score_golden(qe_model *model, float *scores) {
  if (qe_model_prepare(model) != QE_OK)
    return model->error.status;
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  if (!scorer)
    return error_memory(&model->error);
  int status = qe_score(scorer, model->golden, model->golden_count, scores);
  if (status != QE_OK)
    error_set(&model->error, status, "golden pairs: %s", qe_scorer_error(scorer));
  qe_scorer_free(scorer);
  for (size_t i = 0; model->error.status == QE_OK && i < model->golden_count; i++)
    if (!isfinite(scores[i]))
      error_set(&model->error, QE_FORMAT, "golden pair %zu scores %g", i + 1, (double)scores[i]);
  return model->error.status;
}

/* FORMAT and the manifest. */
static int add_manifest(qe_model *model, qe_archive *archive, const qe_archive *others,
                        const float *golden_scores) {
  char format[FORMAT_ROOM];
  size_t size;
  json_t *manifest = manifest_of_model(model, golden_scores);
  if (!manifest)
    return model->error.status;
  char *text = NULL;
  if (manifest_list_members(manifest, others, &model->error) == QE_OK)
    text = manifest_dump(manifest, &size, &model->error);
  json_decref(manifest);
  if (text) {
    manifest_format((qe_text){ text, size }, format);
    if (add_text(model, archive, "FORMAT", format) == QE_OK &&
        qe_archive_add(archive, "manifest.json", text, size) != QE_OK)
      archive_failed(model, archive);
  }
  memory_free(text);
  return model->error.status;
}

/* The manifest lists the members after it, so those are gathered in `others` first. */
static int fill(qe_model *model, qe_archive *archive, qe_archive *others, const float *golden_scores) {
  if (add_weights(model, others) != QE_OK || add_vocabulary(model, others, 0) != QE_OK ||
      add_vocabulary(model, others, 1) != QE_OK || add_evidence(model, others) != QE_OK ||
      add_text(model, others, "MODEL_CARD.md", model->card) != QE_OK ||
      add_text(model, others, "LICENSE", model->licence) != QE_OK ||
      add_manifest(model, archive, others, golden_scores) != QE_OK)
    return model->error.status;
  for (size_t i = 0; i < qe_archive_count(others); i++) {
    qe_text member = qe_archive_member(others, i);
    if (qe_archive_add(archive, qe_archive_name(others, i), member.data, member.size) != QE_OK)
      return archive_failed(model, archive);
  }
  return QE_OK;
}

static int save(qe_model *model, qe_archive *archive, qe_archive *others, float *golden_scores, const char *path) {
  if (!archive || !others || !golden_scores)
    return error_memory(&model->error);
  if (score_golden(model, golden_scores) != QE_OK || fill(model, archive, others, golden_scores) != QE_OK)
    return model->error.status;
  int status = qe_archive_save(archive, path);
  return status == QE_OK ? QE_OK : error_set(&model->error, status, "%s", qe_archive_error(archive));
}

int qe_model_save(qe_model *model, const char *path) {
  error_clear(&model->error);
  if (!model->params)
    return error_set(&model->error, QE_USE, "save: the model is empty");
  if (!model->card || !model->licence || model->golden_count == 0)
    return error_set(&model->error, QE_USE, "save: the model has no %s",
                     !model->card      ? "card"
                     : !model->licence ? "licence"
                                       : "golden pairs");
  qe_archive *archive = qe_archive_new(), *others = qe_archive_new();
  float *golden_scores = memory_new(model->golden_count, sizeof *golden_scores);
  weights_round(model->params, model->storage); /* training may have gone on after qe_model_round */
  save(model, archive, others, golden_scores, path);
  qe_archive_free(archive);
  qe_archive_free(others);
  memory_free(golden_scores);
  return model->error.status;
}

/* ---- open ---- */

static int check_format(qe_text format, qe_text manifest, struct error *error) {
  char expected[FORMAT_ROOM];
  const size_t magic = strlen(FORMAT_PREFIX);
  if (format.size < magic + 4 || memcmp(format.data, FORMAT_PREFIX, magic) != 0 ||
      format.data[format.size - 1] != '\n')
    return error_set(error, QE_FORMAT,
                     "FORMAT: not \"" FORMAT_PREFIX "MAJOR.MINOR ...\": this is not a Qestrel model");
  manifest_format(manifest, expected);
  if (format.size == strlen(expected) && memcmp(format.data, expected, format.size) == 0)
    return QE_OK;
  if (memcmp(format.data + magic, "1.0 ", 4) == 0)
    return error_set(error, QE_FORMAT, "manifest.json: its sha256 is not the one that FORMAT names");
  return error_set(error, QE_FORMAT, "FORMAT: version %.*s; this build reads 1.0",
                   (int)(format.size - magic - 1 > 20 ? 20 : format.size - magic - 1), format.data + magic);
}

static int check_order(const qe_model *model, const qe_archive *archive, struct error *error) {
  const char *expected[8] = { "FORMAT", "manifest.json", "weights.bin" };
  size_t count = 3;
  for (int side = 0; side < 2; side++)
    if (vocabulary_member(model->configuration.vocabulary[side].kind, side))
      expected[count++] = vocabulary_member(model->configuration.vocabulary[side].kind, side);
  if (model->configuration.architecture->counts)
    expected[count++] = EVIDENCE_MEMBER;
  expected[count++] = "MODEL_CARD.md";
  expected[count++] = "LICENSE";
  for (size_t i = 0; i < count; i++) {
    const char *found = i < qe_archive_count(archive) ? qe_archive_name(archive, i) : "the end";
    if (strcmp(found, expected[i]) != 0)
      return error_set(error, QE_FORMAT, "member %zu is %s, expected %s", i + 1, found, expected[i]);
  }
  if (qe_archive_count(archive) > count)
    return error_set(error, QE_FORMAT, "member %zu, %s, is one too many", count + 1,
                     qe_archive_name(archive, count));
  return QE_OK;
}

static char *member_text(const qe_archive *archive, const char *name, struct error *error) {
  const qe_text member = qe_archive_member(archive, (size_t)qe_archive_find(archive, name));
  char *text = memory_grow(NULL, member.size + 1, 1);
  if (!text) {
    error_memory(error);
    return NULL;
  }
  if (member.size > 0)
    memcpy(text, member.data, member.size);
  text[member.size] = '\0';
  return text;
}

static int read_pieces(qe_model *model, qe_text member, int side) {
  const uint32_t rows = model->configuration.vocabulary[side].rows;
  struct unigram unigram = { 0 };
  if (side == QE_TARGET)
    return vocabulary_copy(&model->vocabulary[QE_TARGET], &model->vocabulary[QE_SOURCE]);
  if (unigram_parse(&unigram, member, &model->error) != QE_OK)
    return model->error.status;
  const size_t count = unigram.count;
  if (vocabulary_pieces(&model->vocabulary[side], &unigram) != QE_OK)
    return error_memory(&model->error);
  return count == rows ? QE_OK
                       : error_set(&model->error, QE_FORMAT, "vocab.pieces: %zu pieces, the architecture says %u",
                                   count, rows);
}

static int read_vocabulary(qe_model *model, const qe_archive *archive, int side) {
  const struct vocabulary_choice *choice = &model->configuration.vocabulary[side];
  if (choice->kind == VOCABULARY_NGRAMS)
    return vocabulary_hashed(&model->vocabulary[side], choice->rows, choice->lowercase) == QE_OK
               ? QE_OK
               : error_memory(&model->error);
  const char *name = vocabulary_member(choice->kind, side);
  qe_text member = name ? qe_archive_member(archive, (size_t)qe_archive_find(archive, name)) : (qe_text){ NULL, 0 };
  return choice->kind == VOCABULARY_PIECES
             ? read_pieces(model, member, side)
             : vocabulary_parse(&model->vocabulary[side], member, choice->rows, choice->lowercase, &model->error);
}

static int read_evidence(qe_model *model, const qe_archive *archive) {
  const int member = qe_archive_find(archive, EVIDENCE_MEMBER);
  if (model->configuration.architecture->counts)
    model->evidence = evidence_parse(qe_archive_member(archive, (size_t)member), &model->error);
  return model->error.status;
}

/* A matrix is only made when the member is big enough to fill it (int4: half a byte a value), so that a small
** archive cannot ask for much memory. */
static int check_size(const qe_model *model, qe_text weights, struct error *error) {
  if (weights.size < model->configuration.architecture->least_cells(&model->configuration) / 2)
    return error_set(error, QE_FORMAT, "weights.bin: %zu bytes cannot hold the matrices of this architecture",
                     weights.size);
  return QE_OK;
}

static int read_parameters(qe_model *model, const qe_archive *archive) {
  const qe_text weights = qe_archive_member(archive, (size_t)qe_archive_find(archive, "weights.bin"));
  if (check_size(model, weights, &model->error) != QE_OK)
    return model->error.status;
  if (model_parameters(model) != QE_OK)
    return model->error.status;
  return weights_read(model->params, weights, &model->storage, &model->error);
}

static int read_members(qe_model *model, const qe_archive *archive, const json_t *manifest) {
  const char *storage = json_string_value(json_object_get(manifest, "storage"));
  if (configuration_parse(&model->configuration, json_object_get(manifest, "architecture"), &model->error) !=
          QE_OK ||
      check_order(model, archive, &model->error) != QE_OK ||
      manifest_check_members(manifest, archive, &model->error) != QE_OK ||
      read_vocabulary(model, archive, 0) != QE_OK || read_vocabulary(model, archive, 1) != QE_OK ||
      read_evidence(model, archive) != QE_OK || read_parameters(model, archive) != QE_OK ||
      manifest_read_model(model, manifest) != QE_OK)
    return model->error.status;
  if (!storage || strcmp(storage, model->storage) != 0)
    return error_set(&model->error, QE_FORMAT, "manifest.json: \"storage\" is not \"%s\", which weights.bin holds",
                     model->storage);
  model->card = member_text(archive, "MODEL_CARD.md", &model->error);
  model->licence = member_text(archive, "LICENSE", &model->error);
  return model->error.status;
}

/* What this model would save as its manifest is what it was opened with: nothing in it went unread. */
static int check_manifest(qe_model *model, const json_t *manifest) {
  json_t *again = manifest_of_model(model, model->golden_scores);
  if (!again)
    return model->error.status;
  if (json_object_set(again, "members", json_object_get(manifest, "members")) != 0)
    error_memory(&model->error);
  size_t sizes[2];
  char *texts[2] = { manifest_dump(manifest, &sizes[0], &model->error),
                     manifest_dump(again, &sizes[1], &model->error) };
  if (texts[0] && texts[1] && (sizes[0] != sizes[1] || memcmp(texts[0], texts[1], sizes[0]) != 0))
    error_set(&model->error, QE_FORMAT,
              "manifest.json: \"architecture\", \"parameters\" or \"golden\" is not as written by "
              "this format");
  memory_free(texts[0]);
  memory_free(texts[1]);
  json_decref(again);
  return model->error.status;
}

static int check_golden(qe_model *model) {
  float *scores = memory_new(model->golden_count, sizeof *scores);
  if (!scores)
    return error_memory(&model->error);
  score_golden(model, scores);
  for (size_t i = 0; model->error.status == QE_OK && i < model->golden_count; i++)
    if (memcmp(&scores[i], &model->golden_scores[i], sizeof *scores) != 0)
      error_set(&model->error, QE_FORMAT, "golden pair %zu scores %.9g, the manifest promises %.9g", i + 1,
                (double)scores[i], (double)model->golden_scores[i]);
  memory_free(scores);
  return model->error.status;
}

static json_t *read_manifest(const qe_archive *archive, struct error *error) {
  if (qe_archive_count(archive) < 2 || strcmp(qe_archive_name(archive, 0), "FORMAT") != 0 ||
      strcmp(qe_archive_name(archive, 1), "manifest.json") != 0) {
    error_set(error, QE_FORMAT,
              "the archive does not begin with FORMAT and manifest.json: this is not a Qestrel model");
    return NULL;
  }
  if (qe_archive_member(archive, 1).size > MOST_MANIFEST) {
    error_set(error, QE_FORMAT, "manifest.json: %zu bytes, more than %d", qe_archive_member(archive, 1).size,
              MOST_MANIFEST);
    return NULL;
  }
  if (check_format(qe_archive_member(archive, 0), qe_archive_member(archive, 1), error) != QE_OK)
    return NULL;
  return manifest_parse(qe_archive_member(archive, 1), error);
}

static int open_archive(qe_model *model, const qe_archive *archive) {
  json_t *manifest = read_manifest(archive, &model->error);
  if (!manifest)
    return model->error.status;
  if (read_members(model, archive, manifest) == QE_OK && check_manifest(model, manifest) == QE_OK)
    check_golden(model);
  json_decref(manifest);
  return model->error.status;
}

/* The message gets the path in front unless it is there already. */
static int open_failed(qe_model *model, const char *path) {
  struct error inner = model->error;
  if (path && !strstr(inner.text, path)) {
    error_clear(&model->error);
    error_set(&model->error, inner.status, "%.200s: %.300s", path, inner.text);
  }
  model_clear(model);
  return model->error.status;
}

static int open_bytes(qe_model *model, const void *bytes, size_t size, size_t limit) {
  qe_archive *archive = qe_archive_new();
  if (!archive)
    return error_memory(&model->error);
  int status = qe_archive_open_memory(archive, bytes, size, limit);
  if (status != QE_OK)
    error_set(&model->error, status, "%s", qe_archive_error(archive));
  else if (open_archive(model, archive) == QE_OK)
    qe_sha256(bytes, size, model->sha256);
  qe_archive_free(archive);
  return model->error.status;
}

int qe_model_open(qe_model *model, const char *path, size_t limit) {
  char *bytes;
  size_t size;
  error_clear(&model->error);
  model_clear(model);
  if (file_read(path, limit ? limit : DEFAULT_LIMIT, &bytes, &size, &model->error) != QE_OK)
    return open_failed(model, path);
  int status = open_bytes(model, bytes, size, limit);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : open_failed(model, path);
}

int qe_model_open_memory(qe_model *model, const void *bytes, size_t size, size_t limit) {
  error_clear(&model->error);
  model_clear(model);
  return open_bytes(model, bytes, size, limit) == QE_OK ? QE_OK : open_failed(model, NULL);
}
