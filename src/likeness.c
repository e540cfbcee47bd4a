/*
** likeness.c - how alike two translations are by what their words mean: every word looks for the word of the other text
** whose vector points most nearly where its own does, and the cosines are averaged over both texts. The vectors are those
** of an aligned student's target side, of words alone, without their neighbours. Texts are read as far as the model reads
** them. No references are prepared but their vectors; one product per pair of texts is all that a comparison costs.
*/
#include "architecture.h"
#include "utility.h"

struct likeness {
  const qe_model *model;
  const struct kernel *kernel;
  struct words words;
  size_t wide;    /* numbers of a vector, padded */
  float *vectors; /* of all references' words */
  size_t *offset; /* per reference and one more: its first word */
  float *read;    /* vectors of a hypothesis that is no reference */
  float *panels;  /* of the hypothesis: its vectors as columns */
  float *cosines; /* of a reference's words x the hypothesis' words, padded */
  float *best;    /* of the hypothesis' words */
  float *zeros;   /* as many as the hypothesis has columns */
  size_t count;   /* words of the hypothesis */
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
  return likeness;
}

static void likeness_destroy(void *state) {
  struct likeness *likeness = state;
  words_free(&likeness->words);
  memory_free(likeness->vectors);
  memory_free(likeness->offset);
  memory_free(likeness->read);
  memory_free(likeness->panels);
  memory_free(likeness->cosines);
  memory_free(likeness->best);
  memory_free(likeness->zeros);
  memory_free(likeness);
}

/* Vectors of a text's words behind the first `used` of the array; likeness->words.count of them. */
static int add_vectors(struct likeness *likeness, qe_text text, float **vectors, size_t *room, size_t used) {
  const struct scoring *scoring = likeness->model->scoring;
  size_t need;
  if (words_split(&likeness->words, text, likeness->model->configuration.max_tokens) != QE_OK ||
      __builtin_add_overflow(used, likeness->words.count, &need) ||
      !memory_reserve((void **)vectors, room, need, likeness->wide * sizeof **vectors))
    return QE_MEMORY;
  scoring->architecture->vectors(scoring, likeness->kernel, &likeness->words, *vectors + used * likeness->wide);
  return QE_OK;
}

static int likeness_prepare(void *state, const qe_text *references, size_t count) {
  struct likeness *likeness = state;
  likeness->longest = likeness->references = 0;
  if (!memory_reserve((void **)&likeness->offset, &likeness->offset_room, count + 1, sizeof *likeness->offset))
    return QE_MEMORY;
  likeness->offset[0] = 0;
  for (size_t i = 0; i < count; i++) {
    if (add_vectors(likeness, references[i], &likeness->vectors, &likeness->vector_room, likeness->offset[i]) !=
        QE_OK)
      return QE_MEMORY;
    likeness->offset[i + 1] = likeness->offset[i] + likeness->words.count;
    if (likeness->words.count > likeness->longest)
      likeness->longest = likeness->words.count;
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
  if (add_vectors(likeness, hypothesis, &likeness->read, &likeness->read_room, 0) != QE_OK)
    return QE_MEMORY;
  set_hypothesis(likeness, likeness->read, likeness->words.count);
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
