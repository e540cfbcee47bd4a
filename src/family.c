/*
** family.c - several aligned students, each for one language pair, that share the encoder which reads words in context for
** them. Each member has a point, a row of routes.source and routes.target, and a pair goes to the one whose point is nearest
** to the mean states of the words of both sides; the member's score is the family's. Nothing is learned here: members are
** trained alone, points by lua/qestrel/routes.lua.
*/
#include "family.h"
#include "aligned.h"

#include <stdatomic.h>

struct family {
  atomic_size_t holders;
  size_t count, room;
  qe_model *member[];
};

/* ---- the members ---- */

struct family *family_new(size_t count) {
  struct family *family = memory_new(1, sizeof *family + count * sizeof *family->member);
  if (!family)
    return NULL;
  atomic_init(&family->holders, 1);
  family->room = count;
  return family;
}

struct family *family_hold(struct family *family) {
  if (family)
    atomic_fetch_add(&family->holders, 1);
  return family;
}

void family_release(struct family *family) {
  if (!family || atomic_fetch_sub(&family->holders, 1) > 1)
    return;
  for (size_t i = 0; i < family->count; i++)
    qe_model_free(family->member[i]);
  memory_free(family);
}

size_t family_count(const struct family *family) {
  return family->count;
}

qe_model *family_member(const struct family *family, size_t number) {
  return family->member[number];
}

static const char *misfit(const struct configuration *member, const struct configuration *family) {
  if (member->architecture != &aligned_student || !aligned_in_context(member))
    return "reads no words in context";
  if (member->aligned.context_layer != family->family.context_layer ||
      member->aligned.context_width != family->family.context_width)
    return "reads another layer or width";
  if (member->max_tokens != family->max_tokens)
    return "has another max_tokens";
  if (member->decoder_inputs != family->decoder_inputs ||
      (member->decoder_inputs > 0 && member->aligned.decoder_dropout <= 0))
    return "has other decoder inputs, or cannot do without";
  return member->aligned.words != family->family.words ? "differs in its head for words" : NULL;
}

int family_add(struct family *family, qe_model *member, const struct configuration *configuration,
               struct error *error) {
  const char *why =
      family->count < family->room ? misfit(&member->configuration, configuration) : "is one too many";
  if (why)
    error_set(error, QE_USE, "family: member %zu %s", family->count + 1, why);
  else if (!member->scoring && qe_model_prepare(member) != QE_OK)
    error_set(error, member->error.status, "family: member %zu: %.300s", family->count + 1, member->error.text);
  if (error->status != QE_OK) {
    qe_model_free(member);
    return error->status;
  }
  family->member[family->count++] = member;
  return QE_OK;
}

/* ---- configuration ---- */

static const char *const keys[] = { "members", "context_layer", "context_width", "words", NULL };

static int parse(struct configuration *c, const json_t *object, struct error *error) {
  const json_t *words = json_object_get(object, "words");
  if (configuration_size(object, "members", 1, FAMILY_MOST_MEMBERS, &c->family.members, error) != QE_OK ||
      configuration_size(object, "context_layer", 1, ENCODER_MOST_LAYERS, &c->family.context_layer, error) !=
          QE_OK ||
      configuration_size(object, "context_width", 1, CONTEXT_WIDEST, &c->family.context_width, error) != QE_OK)
    return error->status;
  if (!json_object_get(object, "members") || !json_object_get(object, "context_layer") ||
      !json_object_get(object, "context_width") || c->bins > 0)
    return error_set(
        error, QE_FORMAT,
        "architecture: a family has \"members\", \"context_layer\" and \"context_width\", and no bins");
  if (words && !json_is_boolean(words))
    return error_set(error, QE_FORMAT, "architecture: \"words\" is neither true nor false");
  c->family.words = json_is_true(words);
  for (size_t side = 0; side < SIDES; side++)
    c->vocabulary[side] = (struct vocabulary_choice){ VOCABULARY_NGRAMS, 1, 1, true }; /* members have their own */
  return QE_OK;
}

static int dump(const struct configuration *c, json_t *object) {
  const struct {
    const char *key;
    size_t value;
  } sizes[] = { { "members", c->family.members },
                { "context_layer", c->family.context_layer },
                { "context_width", c->family.context_width } };
  int failed = json_object_set_new(object, "words", json_boolean(c->family.words));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    failed |= json_object_set_new(object, sizes[i].key, json_integer((json_int_t)sizes[i].value));
  return failed;
}

static bool decoder_optional(const struct configuration *configuration) {
  (void)configuration;
  return true;
}

static bool tags_words(const struct configuration *configuration) {
  return configuration->family.words;
}

/* ---- parameters, and none on a tape ---- */

static int parameters(qe_model *model) {
  const size_t members = model->configuration.family.members, width = model->configuration.family.context_width;
  for (size_t side = 0; side < SIDES; side++)
    if (architecture_add(model, "routes", side_names[side], members, width, 0) != QE_OK)
      return model->error.status;
  return QE_OK;
}

static void start(qe_model *model, qe_rng *rng) {
  (void)model;
  (void)rng;
}

static size_t least_cells(const struct configuration *c) {
  return 2 * c->family.members * c->family.context_width;
}

static bool tap_name(const struct configuration *configuration, size_t number, char name[MOST_TAP_NAME]) {
  static const char *const names[] = { "score", "logits", "pooled", "inputs" };
  (void)configuration;
  return architecture_tap(names, TAP_OWN, number, name);
}

static size_t width(const struct configuration *configuration) {
  return configuration->family.context_width;
}

static void forward(struct shard *shard) {
  tape_fail(shard->tape, QE_USE, "forward: a family is not trained, its members are");
}

/* ---- scoring ---- */

struct family_scoring {
  struct scoring base;
  struct family *family;
  struct context *context;
  void *block;
  size_t width, wide;
  float *route[SIDES]; /* members x wide */
};

struct family_work {
  struct work base;
  const struct family_scoring *scoring;
  struct family *family; /* held */
  struct context_work *context;
  qe_scorer scorer; /* of the member that is asked */
  const qe_scorer *outer;
  struct work *member[];
};

static void layout(void *owner, struct room *room) {
  struct family_scoring *scoring = owner;
  for (size_t side = 0; side < SIDES; side++)
    scoring->route[side] = room_take(room, family_count(scoring->family), scoring->wide);
}

static void scoring_free_family(struct scoring *base) {
  struct family_scoring *scoring = (struct family_scoring *)base;
  family_release(scoring->family);
  context_release(scoring->context);
  memory_free(scoring->block);
  memory_free(scoring);
}

static struct scoring *fold(qe_model *model) {
  const struct configuration *c = &model->configuration;
  if (!model->family || !model->context || family_count(model->family) != c->family.members) {
    error_set(&model->error, QE_USE, "the family has no members (qe_model_create_family)");
    return NULL;
  }
  struct family_scoring *scoring = memory_new(1, sizeof *scoring);
  if (!scoring) {
    error_memory(&model->error);
    return NULL;
  }
  scoring->family = family_hold(model->family);
  scoring->context = context_hold(model->context);
  scoring->width = c->family.context_width;
  scoring->wide = padded(scoring->width);
  scoring->block = room_lay(scoring, layout);
  if (!scoring->block) {
    error_memory(&model->error);
    scoring_free_family(&scoring->base);
    return NULL;
  }
  for (size_t side = 0; side < SIDES; side++)
    room_copy(scoring->route[side], scoring->wide, architecture_matrix(model, "routes", side_names[side]),
              c->family.members, scoring->width);
  return &scoring->base;
}

static void work_free(struct work *base) {
  struct family_work *work = (struct family_work *)base;
  if (!work)
    return;
  for (size_t i = 0; i < family_count(work->family); i++)
    aligned_work_free(work->member[i]);
  context_work_free(work->context);
  family_release(work->family);
  memory_free(work);
}

static struct work *work_new(const struct scoring *base) {
  const struct family_scoring *scoring = (const struct family_scoring *)base;
  const size_t count = family_count(scoring->family);
  struct family_work *work = memory_new(1, sizeof *work + count * sizeof *work->member);
  if (!work)
    return NULL;
  work->family = family_hold(scoring->family);
  work->scoring = scoring;
  work->context = context_work_new(scoring->context);
  bool whole = work->context != NULL;
  for (size_t i = 0; i < count; i++) {
    work->member[i] = aligned_work_new(family_member(scoring->family, i)->scoring);
    whole = whole && work->member[i];
  }
  if (whole)
    return &work->base;
  work_free(&work->base);
  return NULL;
}

static bool work_fits(const struct work *base, const struct scoring *scoring) {
  const struct family_work *work = (const struct family_work *)base;
  return work->family == ((const struct family_scoring *)scoring)->family &&
         work->scoring == (const struct family_scoring *)scoring;
}

/* How far the mean state of one side's words is from each point, added to `distance`; nothing where there are none. */
static void add_distances(const struct family_scoring *scoring, size_t side, const struct context_words *words,
                          float *distance) {
  const size_t count = words->count[side], members = family_count(scoring->family);
  for (size_t j = 0; count > 0 && j < scoring->width; j++) {
    float sum = 0.0f;
    for (size_t i = 0; i < count; i++)
      sum += words->states[side][i * words->stride + j];
    const float mean = sum / (float)count;
    for (size_t member = 0; member < members; member++) {
      const float apart = mean - scoring->route[side][member * scoring->wide + j];
      distance[member] += apart * apart;
    }
  }
}

static size_t nearest(const struct family_scoring *scoring, const struct context_words *words) {
  float distance[FAMILY_MOST_MEMBERS] = { 0 };
  size_t best = 0;
  for (size_t side = 0; side < SIDES; side++)
    add_distances(scoring, side, words, distance);
  for (size_t i = 1; i < family_count(scoring->family); i++)
    best = distance[i] < distance[best] ? i : best;
  return best;
}

/* The member finds what the encoder says in the scores and puts its own there. */
static int ask(void *owner, size_t number, const struct context_words *words) {
  struct family_work *work = owner;
  const size_t member = nearest(work->scoring, words);
  work->scorer.model = family_member(work->family, member);
  work->member[member]->token = work->base.token;
  const int status = aligned_score_read(work->member[member], &work->scorer, number, words);
  if (status == QE_OK)
    work->outer->scores[number] =
        work->outer->model->shift + work->outer->model->scale * work->outer->scores[number];
  return status;
}

static bool asks_encoder(const struct family *family) {
  bool asks = false;
  for (size_t i = 0; i < family_count(family); i++)
    asks = asks || context_asked(family_member(family, i));
  return asks;
}

static void score_family(qe_scorer *scorer, struct work *base, size_t first, size_t end) {
  struct family_work *work = (struct family_work *)base;
  work->outer = scorer;
  work->scorer = (qe_scorer){ .kernel = scorer->kernel,
                              .pairs = scorer->pairs,
                              .scores = scorer->scores,
                              .cut = scorer->cut,
                              .tagging = scorer->tagging };
  base->status = context_score(work->context, asks_encoder(work->family), scorer->kernel, scorer->pairs, first, end,
                               scorer->scores);
  if (base->status == QE_OK)
    base->status = context_read(work->context, scorer->kernel, scorer->pairs, first, end,
                                scorer->model->configuration.max_tokens, ask, work);
}

/* ---- word vectors ---- */

/* The first member's: only vectors along the same axes can be compared, and a text alone does not say whose it is. */
static const struct scoring *first_of(const struct scoring *base) {
  return family_member(((const struct family_scoring *)base)->family, 0)->scoring;
}

static size_t vector_width(const struct scoring *base) {
  return aligned_vector_width(first_of(base));
}

static void vectors_read(const struct scoring *base, const struct kernel *kernel, const struct context_words *words,
                         float *out) {
  aligned_vectors_read(first_of(base), kernel, words, out);
}

const struct architecture family_of_students = {
  .name = "family",
  .defaults = { .max_tokens = 100, .decoder_inputs = 0 },
  .keys = keys,
  .parse = parse,
  .dump = dump,
  .decoder_optional = decoder_optional,
  .tags_words = tags_words,
  .parameters = parameters,
  .start = start,
  .least_cells = least_cells,
  .tap_name = tap_name,
  .width = width,
  .offset = words_offset,
  .forward = forward,
  .fold = fold,
  .scoring_free = scoring_free_family,
  .work_new = work_new,
  .work_fits = work_fits,
  .work_free = work_free,
  .vector_width = vector_width,
  .vectors_read = vectors_read,
  .score = score_family,
  .score_list = score_family,
};
