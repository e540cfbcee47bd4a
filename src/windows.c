/*
** windows.c - scores of pairs that are longer than their model reads at once. Both sides are cut into the same number of
** windows: 2, 4, 8, ... until the model reads all of each. Window i of n begins at byte i/n of its side, or before, at
** the nearest white space since the window before began; without any, at the beginning of the character. The score is the
** mean over windows, weighted by their bytes. That a translation keeps the order of its source, on the whole, is all that
** is assumed.
*/
#include "scoring.h"

enum { MOST_WINDOWS = 1 << 14 };

void windows_free(struct windows *windows) {
  memory_free(windows->numbers);
  memory_free(windows->pairs);
  memory_free(windows->scores);
}

static bool continues_character(char byte) {
  return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Where the window begins that shall begin at `place` and follows one that begins at `before`. */
static size_t window_begin(qe_text text, size_t before, size_t place) {
  for (size_t at = place; at > before; at--)
    if (text_is_white(text.data[at - 1]))
      return at;
  while (place > before && place < text.size && continues_character(text.data[place]))
    place--;
  return place;
}

static size_t part_of(size_t size, size_t number, size_t count) {
  return size / count * number + size % count * number / count;
}

static void cut_text(qe_text text, size_t count, qe_pair *windows, size_t side) {
  size_t begin = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t end = i + 1 == count ? text.size : window_begin(text, begin, part_of(text.size, i + 1, count));
    const qe_text window = { text.data + begin, end - begin };
    *(side == QE_SOURCE ? &windows[i].source : &windows[i].translation) = window;
    begin = end;
  }
}

/* Every window has at least one, where there are any. */
static void share_logprobs(const qe_pair *pair, size_t count, qe_pair *windows) {
  const size_t numbers = pair->logprob_count;
  for (size_t i = 0; i < count; i++) {
    size_t begin = part_of(numbers, i, count), end = part_of(numbers, i + 1, count);
    if (begin == end && numbers > 0) {
      begin = begin < numbers ? begin : numbers - 1;
      end = begin + 1;
    }
    windows[i].logprobs = end > begin ? pair->logprobs + begin : NULL;
    windows[i].logprob_count = end - begin;
  }
}

static bool all_read(const qe_scorer *scorer, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (scorer->cut[i])
      return false;
  return true;
}

static float weighted_mean(const struct windows *windows, size_t count) {
  double sum = 0, bytes = 0;
  for (size_t i = 0; i < count; i++) {
    const double size = (double)(windows->pairs[i].source.size + windows->pairs[i].translation.size);
    sum += size * (double)windows->scores[i];
    bytes += size;
  }
  return (float)(sum / bytes);
}

static int score_cut(qe_scorer *scorer, const qe_pair *pair, size_t count) {
  struct windows *windows = &scorer->windows;
  if (!memory_reserve((void **)&windows->pairs, &windows->pair_room, count, sizeof *windows->pairs) ||
      !memory_reserve((void **)&windows->scores, &windows->score_room, count, sizeof *windows->scores))
    return error_memory(&scorer->error);
  cut_text(pair->source, count, windows->pairs, QE_SOURCE);
  cut_text(pair->translation, count, windows->pairs, QE_TARGET);
  share_logprobs(pair, count, windows->pairs);
  return scorer_run(scorer, windows->pairs, count, windows->scores);
}

static int score_long(qe_scorer *scorer, const qe_pair *pair, float *score) {
  size_t count = 1;
  do
    count *= 2;
  while (score_cut(scorer, pair, count) == QE_OK && !all_read(scorer, count) && count < MOST_WINDOWS);
  scorer->windows.count = count;
  if (scorer->error.status == QE_OK)
    *score = weighted_mean(&scorer->windows, count);
  return scorer->error.status;
}

/* The list of them is made first: scoring a window overwrites what the scorer remembers of the call. */
int windows_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores) {
  struct windows *windows = &scorer->windows;
  struct tagging *tagging = scorer->tagging;
  size_t found = 0;
  if (!memory_reserve((void **)&windows->numbers, &windows->number_room, count, sizeof *windows->numbers))
    return error_memory(&scorer->error);
  for (size_t i = 0; i < count; i++)
    if (scorer->cut[i])
      windows->numbers[found++] = i;
  scorer->tagging = NULL; /* windows are no pairs of the call */
  for (size_t i = 0; i < found && scorer->error.status == QE_OK; i++) {
    const size_t number = windows->numbers[i];
    if (score_long(scorer, &pairs[number], &scores[number]) == QE_OK && tagging)
      words_of_windows(scorer, tagging, number);
  }
  return scorer->error.status;
}
