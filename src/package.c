/*
** package.c - a model as an archive and back. Its members, in their order, are those of members.h that its configuration
** asks for. Opening believes nothing: every member must be listed with its sha256, every byte accounted for, and the
** golden pairs must score, bit for bit, what the manifest promises. A model is whole or empty, never half read.
*/
#include "architecture.h"
#include "family.h"
#include "file.h"
#include "forest.h"
#include "members.h"

#include <math.h>
#include <stdlib.h>

enum { DEFAULT_LIMIT = 1 << 30 };

/* ---- which members ---- */

static size_t members_of(const struct configuration *c) {
  return c->architecture == &family_of_students ? c->family.members : 0;
}

static bool holds_context(const qe_model *model) {
  const struct configuration *c = &model->configuration;
  const bool reads = c->architecture == &aligned_student && c->aligned.context_layer > 0;
  return !model->inner && (reads || members_of(c) > 0);
}

/* Hashed n-grams have no member; pieces are those of both sides. */
static bool has_member(const qe_model *model, size_t place) {
  const struct configuration *c = &model->configuration;
  const enum vocabulary_kind kind = c->vocabulary[place == MEMBER_TARGET ? QE_TARGET : QE_SOURCE].kind;
  switch (place) {
  case MEMBER_SOURCE:
  case MEMBER_TARGET:
    return kind != VOCABULARY_PIECES && kind != VOCABULARY_NGRAMS;
  case MEMBER_PIECES:
    return kind == VOCABULARY_PIECES;
  case MEMBER_EVIDENCE:
    return c->architecture->counts;
  case MEMBER_FOREST:
    return configuration_forests(c) > 0;
  case MEMBER_CONTEXT:
    return holds_context(model);
  default:
    return place < MEMBER_FAMILY || place >= MEMBER_MODEL_CARD || place - MEMBER_FAMILY < members_of(c);
  }
}

/* ---- save ---- */

static int member_failed(qe_model *model, const qe_archive *archive) {
  return error_set(&model->error, QE_MEMORY, "%s", qe_archive_error(archive));
}

/* What was written for a member, which is freed; `status` says whether it could be. */
static int add_written(qe_model *model, qe_archive *archive, size_t place, int status, char *bytes, size_t size) {
  char room[MEMBER_NAME];
  if (status != QE_OK)
    return model->error.status != QE_OK ? model->error.status : error_memory(&model->error);
  status = qe_archive_add(archive, member_name(place, room), bytes, size);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : member_failed(model, archive);
}

static int write_vocabulary(qe_model *model, size_t place, char **bytes, size_t *size) {
  const struct vocabulary *vocabulary = &model->vocabulary[place == MEMBER_TARGET ? QE_TARGET : QE_SOURCE];
  return place == MEMBER_PIECES ? unigram_write(vocabulary_unigram(vocabulary), bytes, size)
                                : vocabulary_write(vocabulary, bytes, size);
}

static int write_text(const char *text, char **bytes, size_t *size) {
  *size = strlen(text);
  *bytes = memory_new(*size + 1, 1);
  if (!*bytes)
    return QE_MEMORY;
  memcpy(*bytes, text, *size);
  return QE_OK;
}

static int write_inner(qe_model *model, size_t place, qe_model *inner, char **bytes, size_t *size);

/* What is to stand at a place after the manifest. */
static int write_member(qe_model *model, size_t place, char **bytes, size_t *size) {
  switch (place) {
  case MEMBER_WEIGHTS:
    return weights_write(model->params, model->storage, bytes, size, &model->error);
  case MEMBER_SOURCE:
  case MEMBER_TARGET:
  case MEMBER_PIECES:
    return write_vocabulary(model, place, bytes, size);
  case MEMBER_EVIDENCE:
    return evidence_write(model->evidence, bytes, size);
  case MEMBER_FOREST:
    return forests_write(model->forests, bytes, size);
  case MEMBER_CONTEXT:
    return write_inner(model, place, context_encoder(model->context), bytes, size);
  case MEMBER_MODEL_CARD:
    return write_text(model->card, bytes, size);
  case MEMBER_LICENCE:
    return write_text(model->licence, bytes, size);
  default:
    return write_inner(model, place, family_member(model->family, place - MEMBER_FAMILY), bytes, size);
  }
}

static int pack(qe_model *model, qe_archive *archive);

/* Another model's whole archive. */
static int write_inner(qe_model *model, size_t place, qe_model *inner, char **bytes, size_t *size) {
  char room[MEMBER_NAME];
  qe_archive *own = qe_archive_new();
  if (!own)
    return QE_MEMORY;
  int status = pack(inner, own);
  if (status != QE_OK)
    error_set(&model->error, status, "%s: %.300s", member_name(place, room), inner->error.text);
  else if ((status = archive_bytes(own, bytes, size)) != QE_OK)
    member_failed(model, own);
  qe_archive_free(own);
  return status;
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
    if (qe_archive_add(archive, "FORMAT", format, strlen(format)) != QE_OK ||
        qe_archive_add(archive, MANIFEST_MEMBER, text, size) != QE_OK)
      member_failed(model, archive);
  }
  memory_free(text);
  return model->error.status;
}

static int add_members(qe_model *model, qe_archive *archive) {
  for (size_t place = MEMBER_WEIGHTS; place < MEMBER_PLACES; place++) {
    char *bytes = NULL;
    size_t size = 0;
    if (!has_member(model, place))
      continue;
    const int status = write_member(model, place, &bytes, &size);
    if (add_written(model, archive, place, status, bytes, size) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

/* The manifest lists the members after it, so those are gathered in `others` first. */
static int fill(qe_model *model, qe_archive *archive, qe_archive *others, const float *golden_scores) {
  if (add_members(model, others) != QE_OK || add_manifest(model, archive, others, golden_scores) != QE_OK)
    return model->error.status;
  for (size_t i = 0; i < qe_archive_count(others); i++) {
    qe_text member = qe_archive_member(others, i);
    if (qe_archive_add(archive, qe_archive_name(others, i), member.data, member.size) != QE_OK)
      return member_failed(model, archive);
  }
  return QE_OK;
}

static int fill_both(qe_model *model, qe_archive *archive, qe_archive *others, float *golden_scores) {
  if (!others || !golden_scores)
    return error_memory(&model->error);
  return score_golden(model, golden_scores) == QE_OK ? fill(model, archive, others, golden_scores)
                                                     : model->error.status;
}

/* All members of the model's archive. */
static int pack(qe_model *model, qe_archive *archive) {
  error_clear(&model->error);
  if (!model->params)
    return error_set(&model->error, QE_USE, "save: the model is empty");
  if (!model->card || !model->licence || model->golden_count == 0)
    return error_set(&model->error, QE_USE, "save: the model has no %s",
                     !model->card      ? "card"
                     : !model->licence ? "licence"
                                       : "golden pairs");
  qe_archive *others = qe_archive_new();
  float *golden_scores = memory_new(model->golden_count, sizeof *golden_scores);
  weights_round(model->params, model->storage); /* training may have gone on after qe_model_round */
  model->storage = weights_read_as(model->params, model->storage);
  fill_both(model, archive, others, golden_scores);
  qe_archive_free(others);
  memory_free(golden_scores);
  return model->error.status;
}

int qe_model_save(qe_model *model, const char *path) {
  error_clear(&model->error);
  qe_archive *archive = qe_archive_new();
  if (!archive)
    return error_memory(&model->error);
  int status = pack(model, archive);
  if (status == QE_OK && (status = qe_archive_save(archive, path)) != QE_OK)
    error_set(&model->error, status, "%s", qe_archive_error(archive));
  qe_archive_free(archive);
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
  const size_t count = qe_archive_count(archive);
  size_t next = 0;
  char room[MEMBER_NAME];
  for (size_t place = 0; place < MEMBER_PLACES; place++) {
    if (!has_member(model, place))
      continue;
    const char *found = next < count ? qe_archive_name(archive, next) : "the end", *name = member_name(place, room);
    next++;
    if (strcmp(found, name) != 0)
      return error_set(error, QE_FORMAT, "member %zu is %s, expected %s", next, found, name);
  }
  return next == count ? QE_OK
                       : error_set(error, QE_FORMAT, "member %zu, %s, is one too many", next + 1,
                                   qe_archive_name(archive, next));
}

/* One that check_order has found. */
static qe_text member_at(const qe_archive *archive, size_t place) {
  char room[MEMBER_NAME];
  return qe_archive_member(archive, (size_t)qe_archive_find(archive, member_name(place, room)));
}

static char *member_text(const qe_archive *archive, size_t place, struct error *error) {
  const qe_text member = member_at(archive, place);
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

static int read_pieces(qe_model *model, const qe_archive *archive, int side) {
  const uint32_t rows = model->configuration.vocabulary[side].rows;
  struct unigram unigram = { 0 };
  if (side == QE_TARGET)
    return vocabulary_copy(&model->vocabulary[QE_TARGET], &model->vocabulary[QE_SOURCE]);
  if (unigram_parse(&unigram, member_at(archive, MEMBER_PIECES), &model->error) != QE_OK)
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
  struct vocabulary *vocabulary = &model->vocabulary[side];
  if (choice->kind == VOCABULARY_NGRAMS)
    return vocabulary_hashed(vocabulary, choice->rows, choice->lowercase) == QE_OK ? QE_OK
                                                                                   : error_memory(&model->error);
  if (choice->kind == VOCABULARY_PIECES)
    return read_pieces(model, archive, side);
  const qe_text member = member_at(archive, side == QE_SOURCE ? MEMBER_SOURCE : MEMBER_TARGET);
  return (choice->kind == VOCABULARY_COUNTED ? vocabulary_parse_grams : vocabulary_parse)(
      vocabulary, member, choice->rows, choice->lowercase, &model->error);
}

static int read_evidence(qe_model *model, const qe_archive *archive) {
  if (has_member(model, MEMBER_EVIDENCE))
    model->evidence = evidence_parse(member_at(archive, MEMBER_EVIDENCE), &model->error);
  return model->error.status;
}

static int read_forests(qe_model *model, const qe_archive *archive) {
  if (has_member(model, MEMBER_FOREST))
    model->forests = forests_parse(member_at(archive, MEMBER_FOREST), configuration_forests(&model->configuration),
                                   &model->error);
  return model->error.status;
}

static qe_model *open_inner(qe_model *model, const qe_archive *archive, size_t place, size_t read_layers) {
  char room[MEMBER_NAME];
  qe_model *inner = qe_model_new();
  if (!inner) {
    error_memory(&model->error);
    return NULL;
  }
  if (model_open_inner(inner, member_at(archive, place), model->context, read_layers) == QE_OK)
    return inner;
  error_set(&model->error, inner->error.status, "%s: %.300s", member_name(place, room), inner->error.text);
  qe_model_free(inner);
  return NULL;
}

static int read_encoder(qe_model *model, const qe_archive *archive, size_t layer, size_t width) {
  qe_model *inner = open_inner(model, archive, MEMBER_CONTEXT, layer);
  if (!inner)
    return model->error.status;
  if (inner->configuration.architecture == &encoder && inner->configuration.encoder.width != width)
    error_set(&model->error, QE_FORMAT, "context.qe: an encoder of width %zu, the architecture says %zu",
              inner->configuration.encoder.width, width);
  model->context = context_new(inner, layer, &model->error);
  return model->error.status;
}

static int read_members_of_family(qe_model *model, const qe_archive *archive) {
  const size_t count = model->configuration.family.members;
  model->family = family_new(count);
  if (!model->family)
    return error_memory(&model->error);
  for (size_t i = 0; i < count; i++) {
    qe_model *inner = open_inner(model, archive, MEMBER_FAMILY + i, 0);
    if (!inner || family_add(model->family, inner, &model->configuration, &model->error) != QE_OK)
      return model->error.status;
  }
  return QE_OK;
}

/* An inner model reads words by the encoder that it was lent; archives do not nest any deeper. */
static int read_inner_models(qe_model *model, const qe_archive *archive) {
  const struct configuration *c = &model->configuration;
  if (model->inner && c->architecture == &family_of_students)
    return error_set(&model->error, QE_FORMAT, "a family inside another model");
  if (model->inner && c->architecture == &aligned_student && c->aligned.context_layer > 0)
    model->context = context_hold(model->lent);
  if (!has_member(model, MEMBER_CONTEXT))
    return QE_OK;
  if (c->architecture == &aligned_student)
    return read_encoder(model, archive, c->aligned.context_layer, c->aligned.context_width);
  return read_encoder(model, archive, c->family.context_layer, c->family.context_width) == QE_OK
             ? read_members_of_family(model, archive)
             : model->error.status;
}

/* A matrix is only made when the member is big enough to fill it (int4: half a byte a value; rare pieces, a quarter, count
** half), so that a small archive cannot ask for much memory. */
static int check_size(const qe_model *model, qe_text weights, struct error *error) {
  if (weights.size < model->configuration.architecture->least_cells(&model->configuration) / 2)
    return error_set(error, QE_FORMAT, "weights.bin: %zu bytes cannot hold the matrices of this architecture",
                     weights.size);
  return QE_OK;
}

static int read_parameters(qe_model *model, const qe_archive *archive) {
  const qe_text weights = member_at(archive, MEMBER_WEIGHTS);
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
      read_evidence(model, archive) != QE_OK || read_forests(model, archive) != QE_OK ||
      read_inner_models(model, archive) != QE_OK || read_parameters(model, archive) != QE_OK ||
      manifest_read_model(model, manifest) != QE_OK)
    return model->error.status;
  if (!storage || strcmp(storage, model->storage) != 0)
    return error_set(&model->error, QE_FORMAT, "manifest.json: \"storage\" is not \"%s\", which weights.bin holds",
                     model->storage);
  model->card = member_text(archive, MEMBER_MODEL_CARD, &model->error);
  model->licence = member_text(archive, MEMBER_LICENCE, &model->error);
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
      strcmp(qe_archive_name(archive, 1), MANIFEST_MEMBER) != 0) {
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

int model_open_inner(qe_model *model, qe_text archive, struct context *lent, size_t read_layers) {
  model->inner = true;
  model->lent = lent;
  model->read_layers = read_layers;
  return qe_model_open_memory(model, archive.data, archive.size, 0);
}
