/*
** likeness.c - how alike two translations are by what their words mean: every word looks for the word of the other text
** whose vector points most nearly where its own does, and the cosines are averaged over both texts. The vectors are those
** of an aligned student's target side, of words alone, without their neighbours, or in context where an encoder reads them
** for it. Texts are read as far as the model reads them. No references are prepared but their vectors; one product per pair of texts is all that a comparison costs.
*/
#include "architecture.h"
#include "context.h"
#include "utility.h"

struct likeness {
  const qe_model *model;
  const struct kernel *kernel;
  struct words words;
  struct context_work *context; /* NULL: vectors are those of words alone */
  size_t wide;                  /* numbers of a vector, padded */
  float *vectors;               /* of all references' words */
  size_t *offset;               /* per reference and one more: its first word */
  float *read;                  /* vectors of a hypothesis that is no reference */
  float *panels;                /* of the hypothesis: its vectors as columns */
  float *cosines;               /* of a reference's words x the hypothesis' words, padded */
  float *best;                  /* of the hypothesis' words */
  float *zeros;                 /* as many as the hypothesis has columns */
  size_t count;                 /* words of the hypothesis */
  size_t references;
  size_t longest; /* words of a reference, at most */
  size_t vector_room, offset_room, read_room, panel_room, cosine_room, best_room, zero_room;
};

static void *likeness_create(const void *context) {
  struct likeness *likeness = memory_new(1, sizeof *likeness);
  if (!likeness)
    return NULL;
  likeness->model = context;
  likeness->kernel = kernel_choose(NULL);
  likeness->wide = likeness->model->scoring->architecture->vector_width(likeness->model->scoring);
  if (!likeness->model->context)
    return likeness;
  likeness->context = context_work_new(likeness->model->context);
  if (likeness->context)
    return likeness;
  memory_free(likeness);
  return NULL;
}

static void likeness_destroy(void *state) {
  struct likeness *likeness = state;
  words_free(&likeness->words);
  context_work_free(likeness->context);
  memory_free(likeness->vectors);
  memory_free(likeness->offset);
  memory_free(likeness->read);
  memory_free(likeness->panels);
  memory_free(likeness->cosines);
  memory_free(likeness->best);
  memory_free(likeness->zeros);
  memory_free(likeness);
}

/* Where vectors of texts are put, one after another. */
struct growing {
  struct likeness *likeness;
  float **vectors;
  size_t *room, used;
  size_t *offset; /* per text and one more; the first is 0 */
};

static float *grow(struct growing *g, size_t words) {
  const size_t wide = g->likeness->wide;
  size_t need;
  if (__builtin_add_overflow(g->used, words, &need) ||
      !memory_reserve((void **)g->vectors, g->room, need + 1, wide * sizeof **g->vectors))
    return NULL;
  float *place = *g->vectors + g->used * wide;
  g->used = need;
  return place;
}

static int add_alone(struct growing *g, qe_text text) {
  struct likeness *likeness = g->likeness;
  const struct scoring *scoring = likeness->model->scoring;
  if (words_split(&likeness->words, text, likeness->model->configuration.max_tokens) != QE_OK)
    return QE_MEMORY;
  float *place = grow(g, likeness->words.count);
  if (!place)
    return QE_MEMORY;
  scoring->architecture->vectors(scoring, likeness->kernel, &likeness->words, place);
  return QE_OK;
}

static int add_read(void *owner, size_t number, const struct context_words *words) {
  struct growing *g = owner;
  const struct scoring *scoring = g->likeness->model->scoring;
  float *place = grow(g, words->count[QE_TARGET]);
  if (!place)
    return QE_MEMORY;
  scoring->architecture->vectors_read(scoring, g->likeness->kernel, words, place);
  g->offset[number + 1] = g->used;
  return QE_OK;
}

static int add_in_context(struct growing *g, const qe_text *texts, size_t count) {
  struct likeness *likeness = g->likeness;
  qe_pair *pairs = memory_new(count, sizeof *pairs);
  if (!pairs)
    return QE_MEMORY;
  for (size_t i = 0; i < count; i++)
    pairs[i].translation = texts[i];
  const int status = context_read(likeness->context, likeness->kernel, pairs, 0, count,
                                  likeness->model->configuration.max_tokens, add_read, g);
  memory_free(pairs);
  return status;
}

/* Vectors of the words of some texts. QE_OK or QE_MEMORY. */
static int add_texts(struct growing *g, const qe_text *texts, size_t count) {
  int status = QE_OK;
  g->offset[0] = 0;
  if (g->likeness->context)
    return add_in_context(g, texts, count);
  for (size_t i = 0; status == QE_OK && i < count; i++) {
    status = add_alone(g, texts[i]);
    g->offset[i + 1] = g->used;
  }
  return status;
}

static int likeness_prepare(void *state, const qe_text *references, size_t count) {
  struct likeness *likeness = state;
  likeness->longest = likeness->references = 0;
  if (!memory_reserve((void **)&likeness->offset, &likeness->offset_room, count + 1, sizeof *likeness->offset))
    return QE_MEMORY;
  struct growing growing = { likeness, &likeness->vectors, &likeness->vector_room, 0, likeness->offset };
  if (add_texts(&growing, references, count) != QE_OK)
    return QE_MEMORY;
  for (size_t i = 0; i < count; i++) {
    const size_t words = likeness->offset[i + 1] - likeness->offset[i];
    likeness->longest = words > likeness->longest ? words : likeness->longest;
  }
  likeness->references = count;
  const size_t most = likeness->model->configuration.max_tokens; /* so that taking one needs no memory */
  const size_t columns = padded(most);
  return memory_reserve((void **)&likeness->panels, &likeness->panel_room, columns,
                        likeness->wide * sizeof *likeness->panels) &&
                 memory_reserve((void **)&likeness->best, &likeness->best_room, columns, sizeof(float)) &&
                 memory_reserve((void **)&likeness->zeros, &likeness->zero_room, columns, sizeof(float)) &&
                 memory_reserve((void **)&likeness->cosines, &likeness->cosine_room, likeness->longest + 1,
                                columns * sizeof *likeness->cosines)
             ? QE_OK
             : QE_MEMORY;
}

static void set_hypothesis(struct likeness *likeness, const float *vectors, size_t count) {
  likeness->count = count;
  memset(likeness->zeros, 0, padded(count) * sizeof *likeness->zeros);
  panels_turned(likeness->panels, vectors, likeness->wide, count, likeness->wide);
}

static int likeness_read(void *state, qe_text hypothesis) {
  struct likeness *likeness = state;
  size_t offset[2];
  struct growing growing = { likeness, &likeness->read, &likeness->read_room, 0, offset };
  if (add_texts(&growing, &hypothesis, 1) != QE_OK)
    return QE_MEMORY;
  set_hypothesis(likeness, likeness->read, growing.used);
  return QE_OK;
}

static void likeness_take(void *state, size_t reference) {
  struct likeness *likeness = state;
  set_hypothesis(likeness, likeness->vectors + likeness->offset[reference] * likeness->wide,
                 likeness->offset[reference + 1] - likeness->offset[reference]);
}

/* Texts without words are alike, and like nothing else. */
static double compare(struct likeness *likeness, size_t reference) {
  const size_t rows = likeness->offset[reference + 1] - likeness->offset[reference],
               columns = padded(likeness->count);
  double own = 0, other = 0;
  if (rows == 0 || likeness->count == 0)
    return rows == likeness->count;
  likeness->kernel->product(rows, likeness->wide, columns,
                            likeness->vectors + likeness->offset[reference] * likeness->wide, likeness->wide,
                            likeness->panels, likeness->zeros, likeness->cosines, columns);
  for (size_t j = 0; j < likeness->count; j++)
    likeness->best[j] = 0;
  for (size_t i = 0; i < rows; i++) {
    const float *cosine = likeness->cosines + i * columns;
    float best = 0;
    for (size_t j = 0; j < likeness->count; j++) {
      best = cosine[j] > best ? cosine[j] : best;
      likeness->best[j] = cosine[j] > likeness->best[j] ? cosine[j] : likeness->best[j];
    }
    other += (double)best;
  }
  for (size_t j = 0; j < likeness->count; j++)
    own += (double)likeness->best[j];
  const double mean = (own / (double)likeness->count + other / (double)rows) / 2;
  return mean < 1 ? mean : 1;
}

static void likeness_row(void *state, size_t first, double *utilities, double *reverse) {
  struct likeness *likeness = state;
  for (size_t i = first; i < likeness->references; i++) {
    utilities[i] = compare(likeness, i);
    if (reverse)
      reverse[i] = utilities[i];
  }
}

static double likeness_alone(const void *state) {
  (void)state;
  return 1;
}

const struct utility utility_likeness = {
  likeness_create, likeness_destroy, likeness_prepare, likeness_read, likeness_take, likeness_row, likeness_alone,
};
