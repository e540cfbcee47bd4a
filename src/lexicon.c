/*
** lexicon.c - lexical translation probabilities in both directions: IBM model 1 (Brown et al. 1993) by expectation
** maximisation over parallel text. Words are lower-cased and, where they begin with a letter, cut to their first few code
** points, so that forms of one word count together. Each direction is a table: for every given word (row 0 is the empty
** word, which gives what nothing else explains) the words of the other side that it was seen beside, in rising order.
** Invariant: a sum over a row goes over sentences in their order and by one thread, so the bits do not depend on how many
** threads there are. Kept beside the counts are the probabilities that they were made with, so that what one pair
** contributed can be taken away again.
*/
#include "lexicon.h"
#include "block.h"

#include <math.h>

enum { ITERATIONS = 6, MOST_LETTERS = 200, MOST_WORDS = 200, PARTS = 64, EMPTY = 0 };

struct table {
  uint32_t rows;
  size_t *offset; /* rows + 1 */
  uint32_t *word; /* per entry */
  float *before;  /* probabilities that the counts were made with */
  float *count;   /* expected */
  double *total;  /* of the counts, per row */
};

struct qe_lexicon {
  struct error error;
  int letters;
  struct vocabulary words[2];
  struct table table[2]; /* by the side that is given */
};

/* One side of all pairs. */
struct texts {
  uint32_t *offset, *ids; /* pairs + 1; of words */
  size_t used, room;
};

static void table_free(struct table *table) {
  memory_free(table->offset);
  memory_free(table->word);
  memory_free(table->before);
  memory_free(table->count);
  memory_free(table->total);
  *table = (struct table){ 0 };
}

qe_lexicon *qe_lexicon_new(void) {
  return memory_new(1, sizeof(qe_lexicon));
}

static void clear(qe_lexicon *lexicon) {
  for (size_t side = 0; side < 2; side++) {
    vocabulary_free(&lexicon->words[side]);
    table_free(&lexicon->table[side]);
  }
}

void qe_lexicon_free(qe_lexicon *lexicon) {
  if (!lexicon)
    return;
  clear(lexicon);
  memory_free(lexicon);
}

const char *qe_lexicon_error(const qe_lexicon *lexicon) {
  return lexicon->error.text;
}

/* ---- words ---- */

/* The first code points of a word that begins with a letter; others stay whole. */
static qe_text stem(qe_text word, int letters) {
  int32_t point;
  size_t size = word.size > 0 ? utf8_decode(word.data, word.size, &point) : 0;
  if (size == 0 || !utf8_is_letter(point))
    return word;
  for (int count = 1; count < letters && size < word.size; count++)
    size += utf8_decode(word.data + size, word.size - size, &point);
  return (qe_text){ word.data, size };
}

static qe_text word_at(const struct words *words, size_t i) {
  return (qe_text){ words->bytes + words->offset[i], words->offset[i + 1] - words->offset[i] };
}

static uint32_t id_of(const qe_lexicon *lexicon, qe_side side, qe_text word) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  vocabulary_ids(&lexicon->words[side], stem(word, lexicon->letters), ids);
  return ids[0];
}

/* Appends the ids of a text; words that are not known get EMPTY, which nothing is known of as another's word. */
static int add_ids(const qe_lexicon *lexicon, qe_side side, qe_text text, struct words *words,
                   struct texts *texts) {
  int status = words_split(words, text, MOST_WORDS);
  if (status != QE_OK ||
      !memory_reserve((void **)&texts->ids, &texts->room, texts->used + words->count, sizeof *texts->ids))
    return QE_MEMORY;
  for (size_t i = 0; i < words->count; i++)
    texts->ids[texts->used++] = id_of(lexicon, side, word_at(words, i));
  return QE_OK;
}

static qe_text side_of(const qe_pair *pair, qe_side side) {
  return side == QE_SOURCE ? pair->source : pair->translation;
}

/* All stems of a text with spaces between them, in the buffer. */
static int add_stems(const qe_lexicon *lexicon, qe_text text, struct words *words, char **bytes, size_t *used,
                     size_t *room) {
  int status = words_split(words, text, MOST_WORDS);
  for (size_t i = 0; status == QE_OK && i < words->count; i++) {
    const qe_text word = stem(word_at(words, i), lexicon->letters);
    if (!memory_reserve((void **)bytes, room, *used + word.size + 1, 1))
      return QE_MEMORY;
    memcpy(*bytes + *used, word.data, word.size);
    (*bytes)[*used + word.size] = ' ';
    *used += word.size + 1;
  }
  return status;
}

static int find_words(qe_lexicon *lexicon, qe_side side, const qe_dataset *data) {
  struct words words = { 0 };
  char *bytes = NULL;
  size_t used = 0, room = 0, rows = qe_dataset_rows(data), *end = memory_new(rows, sizeof *end);
  qe_text *texts = memory_new(rows, sizeof *texts);
  int status = end && texts ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < rows; i++) {
    const qe_pair pair = qe_dataset_pair(data, i);
    status = add_stems(lexicon, side_of(&pair, side), &words, &bytes, &used, &room);
    end[i] = used;
  }
  for (size_t i = 0; status == QE_OK && i < rows; i++) {
    const size_t first = i > 0 ? end[i - 1] : 0;
    texts[i] = (qe_text){ bytes ? bytes + first : "", end[i] - first };
  }
  if (status == QE_OK)
    status = vocabulary_count(&lexicon->words[side], texts, rows, UINT32_MAX, 1, true, SIZE_MAX, &lexicon->error);
  else
    error_memory(&lexicon->error);
  words_free(&words);
  memory_free(bytes);
  memory_free(end);
  memory_free(texts);
  return status;
}

static int encode(qe_lexicon *lexicon, qe_side side, const qe_dataset *data, struct texts *texts) {
  const size_t rows = qe_dataset_rows(data);
  struct words words = { 0 };
  texts->offset = memory_new(rows + 1, sizeof *texts->offset);
  int status = texts->offset ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < rows; i++) {
    const qe_pair pair = qe_dataset_pair(data, i);
    status = add_ids(lexicon, side, side_of(&pair, side), &words, texts);
    if (status == QE_OK && texts->used > UINT32_MAX)
      status = QE_MEMORY;
    texts->offset[i + 1] = (uint32_t)texts->used;
  }
  words_free(&words);
  return status == QE_OK ? QE_OK : error_memory(&lexicon->error);
}

/* ---- training one direction ---- */

struct training {
  const struct texts *given, *other;
  size_t pairs;
  struct table *table;
  size_t *place;  /* rows + 1: of each given word's pairs */
  uint32_t *pair; /* one for each time that it occurs; the empty word is in all */
  uint32_t other_rows;
  float *normaliser; /* per word of the other side */
  bool first, failed[PARTS];
};

/* Pairs by given word, in rising order. */
static bool invert(struct training *t) {
  size_t *at = memory_new(t->table->rows, sizeof *at);
  t->place = memory_new((size_t)t->table->rows + 1, sizeof *t->place);
  t->pair = memory_new(t->given->used + t->pairs, sizeof *t->pair);
  if (!at || !t->place || !t->pair) {
    memory_free(at);
    return false;
  }
  t->place[EMPTY + 1] = t->pairs;
  for (size_t i = 0; i < t->given->used; i++)
    t->place[t->given->ids[i] + 1]++;
  for (uint32_t row = 0; row < t->table->rows; row++) {
    t->place[row + 1] += t->place[row];
    at[row] = t->place[row];
  }
  for (size_t i = 0; i < t->pairs; i++) {
    t->pair[at[EMPTY]++] = (uint32_t)i;
    for (uint32_t n = t->given->offset[i]; n < t->given->offset[i + 1]; n++)
      t->pair[at[t->given->ids[n]]++] = (uint32_t)i;
  }
  memory_free(at);
  return true;
}

/* Marks the words that a given one stands beside; returns how many, and writes them in rising order to `words`. */
static size_t neighbours(const struct training *t, uint32_t row, unsigned char *seen, uint32_t *words) {
  size_t count = 0;
  for (size_t p = t->place[row]; p < t->place[row + 1]; p++)
    for (uint32_t m = t->other->offset[t->pair[p]]; m < t->other->offset[t->pair[p] + 1]; m++)
      if (!seen[t->other->ids[m]]) {
        seen[t->other->ids[m]] = 1;
        count++;
      }
  size_t used = 0;
  for (uint32_t word = 0; used < count; word++)
    if (seen[word]) {
      seen[word] = 0;
      if (words)
        words[used] = word;
      used++;
    }
  return count;
}

static void lay_part(void *context, int part) {
  struct training *t = context;
  unsigned char *seen = memory_new(t->other_rows, 1);
  struct table *table = t->table;
  t->failed[part] = !seen;
  const size_t end = part_begin(table->rows, (size_t)part + 1, PARTS);
  for (size_t row = part_begin(table->rows, (size_t)part, PARTS); seen && row < end; row++) {
    const size_t count = neighbours(t, (uint32_t)row, seen, table->word ? table->word + table->offset[row] : NULL);
    if (!table->word)
      table->offset[row + 1] = count;
  }
  memory_free(seen);
}

static bool parts_failed(const struct training *t) {
  bool failed = false;
  for (int part = 0; part < PARTS; part++)
    failed = failed || t->failed[part];
  return failed;
}

/* Which words stand beside which: counted first, then written. */
static bool lay_table(struct training *t, qe_pool *pool) {
  struct table *table = t->table;
  table->offset = memory_new((size_t)table->rows + 1, sizeof *table->offset);
  table->total = memory_new(table->rows, sizeof *table->total);
  if (!table->offset || !table->total)
    return false;
  pool_run(pool, PARTS, lay_part, t);
  if (parts_failed(t))
    return false;
  for (uint32_t row = 0; row < table->rows; row++)
    table->offset[row + 1] += table->offset[row];
  const size_t entries = table->offset[table->rows];
  table->word = memory_new(entries, sizeof *table->word);
  table->before = memory_new(entries, sizeof *table->before);
  table->count = memory_new(entries, sizeof *table->count);
  if (!table->word || !table->before || !table->count)
    return false;
  pool_run(pool, PARTS, lay_part, t);
  return !parts_failed(t);
}

/* The entry of a word in a row, or SIZE_MAX. */
static size_t find(const struct table *table, uint32_t row, uint32_t word) {
  size_t low = table->offset[row], high = table->offset[row + 1];
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (table->word[middle] == word)
      return middle;
    if (table->word[middle] < word)
      low = middle + 1;
    else
      high = middle;
  }
  return SIZE_MAX;
}

/* `before` becomes what the counts say; at first nothing is likelier than anything else. */
static void maximise_part(void *context, int part) {
  struct training *t = context;
  struct table *table = t->table;
  const size_t end = part_begin(table->rows, (size_t)part + 1, PARTS);
  for (size_t row = part_begin(table->rows, (size_t)part, PARTS); row < end; row++)
    for (size_t i = table->offset[row]; i < table->offset[row + 1]; i++)
      table->before[i] = t->first ? 1.0f : (float)((double)table->count[i] / table->total[row]);
}

static void normalise_part(void *context, int part) {
  struct training *t = context;
  const size_t end = part_begin(t->pairs, (size_t)part + 1, PARTS);
  for (size_t i = part_begin(t->pairs, (size_t)part, PARTS); i < end; i++)
    for (uint32_t m = t->other->offset[i]; m < t->other->offset[i + 1]; m++) {
      const uint32_t word = t->other->ids[m];
      double sum = t->table->before[find(t->table, EMPTY, word)];
      for (uint32_t n = t->given->offset[i]; n < t->given->offset[i + 1]; n++)
        sum += t->table->before[find(t->table, t->given->ids[n], word)];
      t->normaliser[m] = (float)sum;
    }
}

static void count_row(const struct training *t, uint32_t row, double *sums) {
  struct table *table = t->table;
  const size_t first = table->offset[row], count = table->offset[row + 1] - first;
  memset(sums, 0, count * sizeof *sums);
  for (size_t p = t->place[row]; p < t->place[row + 1]; p++)
    for (uint32_t m = t->other->offset[t->pair[p]]; m < t->other->offset[t->pair[p] + 1]; m++) {
      const size_t entry = find(table, row, t->other->ids[m]);
      sums[entry - first] += (double)table->before[entry] / (double)t->normaliser[m];
    }
  table->total[row] = 0;
  for (size_t i = 0; i < count; i++) {
    table->count[first + i] = (float)sums[i];
    table->total[row] += (double)table->count[first + i];
  }
}

static void count_part(void *context, int part) {
  struct training *t = context;
  const size_t begin = part_begin(t->table->rows, (size_t)part, PARTS);
  const size_t end = part_begin(t->table->rows, (size_t)part + 1, PARTS);
  size_t most = 0;
  for (size_t row = begin; row < end; row++) {
    const size_t count = t->table->offset[row + 1] - t->table->offset[row];
    most = count > most ? count : most;
  }
  double *sums = memory_new(most, sizeof *sums);
  t->failed[part] = !sums;
  for (size_t row = begin; sums && row < end; row++)
    count_row(t, (uint32_t)row, sums);
  memory_free(sums);
}

static bool train_table(struct training *t, int iterations, qe_pool *pool) {
  t->normaliser = memory_new(t->other->used, sizeof *t->normaliser);
  if (!t->normaliser || !invert(t) || !lay_table(t, pool))
    return false;
  for (int i = 0; i < iterations; i++) {
    t->first = i == 0;
    pool_run(pool, PARTS, maximise_part, t);
    pool_run(pool, PARTS, normalise_part, t);
    pool_run(pool, PARTS, count_part, t);
    if (parts_failed(t))
      return false;
  }
  return true;
}

static int train_direction(qe_lexicon *lexicon, qe_side given, const struct texts texts[2], size_t pairs,
                           int iterations, qe_pool *pool) {
  struct training t = { .given = &texts[given],
                        .other = &texts[1 - given],
                        .pairs = pairs,
                        .table = &lexicon->table[given],
                        .other_rows = lexicon->words[1 - given].rows };
  lexicon->table[given].rows = lexicon->words[given].rows;
  const bool trained = train_table(&t, iterations, pool);
  memory_free(t.place);
  memory_free(t.pair);
  memory_free(t.normaliser);
  return trained ? QE_OK : error_memory(&lexicon->error);
}

static int train(qe_lexicon *lexicon, const qe_dataset *data, int iterations, qe_pool *pool) {
  struct texts texts[2] = { { 0 }, { 0 } };
  for (int side = 0; side < 2 && lexicon->error.status == QE_OK; side++)
    if (find_words(lexicon, (qe_side)side, data) == QE_OK)
      encode(lexicon, (qe_side)side, data, &texts[side]);
  for (int side = 0; side < 2 && lexicon->error.status == QE_OK; side++)
    train_direction(lexicon, (qe_side)side, texts, qe_dataset_rows(data), iterations, pool);
  for (int side = 0; side < 2; side++) {
    memory_free(texts[side].offset);
    memory_free(texts[side].ids);
  }
  return lexicon->error.status;
}

int qe_lexicon_train(qe_lexicon *lexicon, const qe_dataset *data, const qe_lexicon_options *options,
                     qe_pool *pool) {
  static const qe_lexicon_options usual = { 0 };
  if (!options)
    options = &usual;
  error_clear(&lexicon->error);
  clear(lexicon);
  if (options->iterations < 0 || options->iterations > 1000 || options->letters < 0 ||
      options->letters > MOST_LETTERS)
    return error_set(&lexicon->error, QE_USE, "lexicon: %d iterations and %d letters, expected up to 1000 and %d",
                     options->iterations, options->letters, MOST_LETTERS);
  if (qe_dataset_rows(data) == 0)
    return error_set(&lexicon->error, QE_USE, "lexicon: no pairs to count words of");
  lexicon->letters = options->letters ? options->letters : LEXICON_LETTERS;
  if (train(lexicon, data, options->iterations ? options->iterations : ITERATIONS, pool) != QE_OK)
    clear(lexicon);
  return lexicon->error.status;
}

/* ---- looking up ---- */

size_t qe_lexicon_words(const qe_lexicon *lexicon, qe_side side) {
  return lexicon->words[side].rows ? lexicon->words[side].rows - 1 : 0;
}

size_t qe_lexicon_entries(const qe_lexicon *lexicon, qe_side given) {
  const struct table *table = &lexicon->table[given];
  return table->offset ? table->offset[table->rows] : 0;
}

/* Of counts from which `own` and `own_total` are taken away. */
static float probability(const struct table *table, uint32_t row, size_t entry, double own, double own_total) {
  const double left = (double)table->count[entry] - own;
  return left > 0 ? (float)(left / (table->total[row] - own_total + 1)) : 0;
}

double qe_lexicon_probability(const qe_lexicon *lexicon, qe_side given, qe_text word, qe_text other) {
  if (!lexicon->table[given].offset)
    return 0;
  const uint32_t row = word.size > 0 ? id_of(lexicon, given, word) : EMPTY;
  const uint32_t id = id_of(lexicon, (qe_side)(1 - given), other);
  const size_t entry =
      (word.size > 0 && row == EMPTY) || id == EMPTY ? SIZE_MAX : find(&lexicon->table[given], row, id);
  return entry == SIZE_MAX ? 0 : (double)probability(&lexicon->table[given], row, entry, 0, 0);
}

int qe_lexicon_entry(const qe_lexicon *lexicon, qe_side given, size_t number, qe_text *word, qe_text *other,
                     double *t) {
  const struct table *table = &lexicon->table[given];
  uint32_t low = 0, high = table->rows;
  if (number >= qe_lexicon_entries(lexicon, given))
    return QE_USE;
  while (high - low > 1) { /* the last row that begins at or before the number and is not empty */
    const uint32_t middle = low + (high - low) / 2;
    if (table->offset[middle] <= number)
      low = middle;
    else
      high = middle;
  }
  *word = low == EMPTY ? (qe_text){ "", 0 } : vocabulary_word(&lexicon->words[given], low);
  *other = vocabulary_word(&lexicon->words[1 - given], table->word[number]);
  *t = (double)probability(table, low, number, 0, 0);
  return QE_OK;
}

/* ---- pairs ---- */

void lexicon_matrix_free(struct lexicon_matrix *matrix) {
  memory_free(matrix->t);
  *matrix = (struct lexicon_matrix){ 0 };
}

/* Ids of both sides of a pair, the given one first. */
static int pair_ids(const qe_lexicon *lexicon, qe_side given, const qe_pair *pair, struct words *words,
                    struct texts sides[2]) {
  int status = QE_OK;
  for (int i = 0; status == QE_OK && i < 2; i++) {
    const qe_side side = i == 0 ? given : (qe_side)(1 - given);
    sides[i].used = 0;
    status = add_ids(lexicon, side, side_of(pair, side), words, &sides[i]);
  }
  return status;
}

static void texts_free(struct texts sides[2]) {
  memory_free(sides[0].ids);
  memory_free(sides[1].ids);
}

static uint32_t given_id(const struct texts *given, size_t n) { /* the empty word is the last */
  return n < given->used ? given->ids[n] : EMPTY;
}

/* The first place of the same word; as many as there are where there is none. */
static size_t first_place(const struct texts *side, uint32_t id) {
  size_t first = 0;
  while (first < side->used && side->ids[first] != id)
    first++;
  return first;
}

/* What is taken away: per cell of the matrix, where its words occur first; per column, of all words. */
struct share {
  double *cell, *total;
  size_t cols;
};

/* Posterior of one word of a counted pair over the given ones. */
static void share_word(const struct table *table, const struct texts counted[2], size_t m,
                       const struct texts sides[2], const struct share *share) {
  const uint32_t word = counted[1].ids[m];
  const size_t row = first_place(&sides[1], word);
  double sum = 0;
  for (size_t n = 0; n <= counted[0].used; n++) {
    const size_t entry = find(table, given_id(&counted[0], n), word);
    sum += entry == SIZE_MAX ? 0 : (double)table->before[entry];
  }
  for (size_t n = 0; sum > 0 && n <= counted[0].used; n++) {
    const size_t entry = find(table, given_id(&counted[0], n), word);
    const size_t column = n < counted[0].used ? first_place(&sides[0], counted[0].ids[n]) : sides[0].used;
    if (entry == SIZE_MAX || (n < counted[0].used && column == sides[0].used))
      continue;
    const double own = (double)table->before[entry] / sum;
    share->total[column] += own;
    if (row < sides[1].used)
      share->cell[row * share->cols + column] += own;
  }
}

static void fill_matrix(const struct table *table, const struct texts sides[2], const struct share *share,
                        struct lexicon_matrix *matrix) {
  for (size_t n = 0; n < matrix->cols; n++) {
    const uint32_t given = given_id(&sides[0], n);
    const bool unknown = n < sides[0].used && given == EMPTY;
    const size_t column = n < sides[0].used ? first_place(&sides[0], given) : n;
    for (size_t m = 0; m < matrix->rows; m++) {
      const uint32_t word = sides[1].ids[m];
      const size_t entry = unknown || word == EMPTY ? SIZE_MAX : find(table, given, word);
      const double taken = share->cell[first_place(&sides[1], word) * share->cols + column];
      matrix->t[m * matrix->cols + n] =
          entry == SIZE_MAX ? 0 : probability(table, given, entry, taken, share->total[column]);
    }
  }
}

static int fill_without(const qe_lexicon *lexicon, qe_side given, const struct texts sides[2],
                        const qe_pair *left_out, size_t count, struct words *words, struct lexicon_matrix *matrix) {
  struct share share = { memory_new(matrix->rows * matrix->cols, sizeof(double)),
                         memory_new(matrix->cols, sizeof(double)), matrix->cols };
  struct texts counted[2] = { { 0 }, { 0 } };
  int status = share.cell && share.total ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < count; i++) {
    status = pair_ids(lexicon, given, &left_out[i], words, counted);
    for (size_t m = 0; status == QE_OK && m < counted[1].used; m++)
      share_word(&lexicon->table[given], counted, m, sides, &share);
  }
  if (status == QE_OK)
    fill_matrix(&lexicon->table[given], sides, &share, matrix);
  memory_free(share.cell);
  memory_free(share.total);
  texts_free(counted);
  return status;
}

int lexicon_pair(const qe_lexicon *lexicon, qe_side given, const qe_pair *pair, const qe_pair *left_out,
                 size_t count, struct lexicon_matrix *matrix) {
  struct texts sides[2] = { { 0 }, { 0 } };
  struct words words = { 0 };
  int status = pair_ids(lexicon, given, pair, &words, sides);
  matrix->rows = sides[1].used;
  matrix->cols = sides[0].used + 1;
  if (status == QE_OK &&
      !memory_reserve((void **)&matrix->t, &matrix->room, matrix->rows * matrix->cols + 1, sizeof *matrix->t))
    status = QE_MEMORY;
  if (status == QE_OK)
    status = fill_without(lexicon, given, sides, left_out, count, &words, matrix);
  texts_free(sides);
  words_free(&words);
  return status;
}

/* ---- pruning ---- */

/* Totals stay, so that what is left keeps its probability. */
int qe_lexicon_prune(qe_lexicon *lexicon, double least) {
  error_clear(&lexicon->error);
  if (!(least >= 0 && least <= 1))
    return error_set(&lexicon->error, QE_USE, "lexicon: a least probability of %g, expected 0 to 1", least);
  for (size_t side = 0; side < 2; side++) {
    struct table *table = &lexicon->table[side];
    size_t used = 0, first = 0;
    for (uint32_t row = 0; table->offset && row < table->rows; row++) {
      const size_t end = table->offset[row + 1];
      for (size_t i = first; i < end; i++)
        if ((double)probability(table, row, i, 0, 0) >= least) {
          table->word[used] = table->word[i];
          table->before[used] = table->before[i];
          table->count[used++] = table->count[i];
        }
      first = end;
      table->offset[row + 1] = used;
    }
  }
  return QE_OK;
}
