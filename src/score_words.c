/*
** score_words.c - how likely each token of a translation is BAD: tokens are what stands between white space, the model's
** words are finer, and a token is as bad as the worst word in it. A thread that has judged a pair hands its words over and
** they become tokens at once, in the pair's own part of the caller's array. Texts that are longer than the model reads are
** cut into windows (windows.c); a token that lies in two of them is as bad as its worse part.
*/
#include "scoring.h"

#include <math.h>

/* The tokens of one pair so far. */
struct found {
  float *bad;
  size_t room, count;
  bool open; /* the last window ended inside a token, the last of these */
};

/* What a call asks for: a place for the tokens of each pair, or, while the windows of one are read, of that one. */
struct tagging {
  float *bad;
  const size_t *offset;
  struct found *windows;
};

static struct found found_of(const struct tagging *tagging, size_t number) {
  const size_t first = tagging->offset[number];
  return (struct found){ .bad = tagging->bad + first, .room = tagging->offset[number + 1] - first };
}

static void add(struct found *found, float bad) {
  const size_t place = found->open ? found->count - 1 : found->count++;
  if (place < found->room)
    found->bad[place] = found->open && found->bad[place] > bad ? found->bad[place] : bad;
  found->open = false;
}

/* The worst of the next `count` words. */
static float worst(const float *bad, size_t words, size_t *next, size_t count) {
  float worst = 0;
  for (; count > 0 && *next < words; count--, ++*next)
    worst = bad[*next] > worst ? bad[*next] : worst;
  return worst;
}

static int take(struct found *found, struct words *token, qe_text text, const float *bad, size_t words) {
  size_t next = 0;
  qe_text rest = text;
  if (text.size == 0)
    return QE_OK;
  found->open &= !text_is_white(text.data[0]);
  for (qe_text one; text_next_token(&rest, &one);) {
    if (words_split(token, one, SIZE_MAX) != QE_OK)
      return QE_MEMORY;
    add(found, worst(bad, words, &next, token->count));
  }
  found->open = !text_is_white(text.data[text.size - 1]);
  return QE_OK;
}

int words_take(const qe_scorer *scorer, const struct work *work, size_t number, const float *bad, size_t words) {
  const struct tagging *tagging = scorer->tagging;
  const qe_text text = scorer->pairs[number].translation;
  if (tagging->windows)
    return take(tagging->windows, work->token, text, bad, words);
  struct found found = found_of(tagging, number);
  return take(&found, work->token, text, bad, words);
}

int words_of_windows(qe_scorer *scorer, struct tagging *tagging, size_t number) {
  struct found found = found_of(tagging, number);
  struct tagging own = { .windows = &found };
  float score;
  scorer->tagging = &own;
  for (size_t i = 0; i < scorer->windows.count && scorer->error.status == QE_OK; i++) {
    const qe_pair window = scorer->windows.pairs[i];
    scorer_run(scorer, &window, 1, &score);
  }
  scorer->tagging = NULL;
  return scorer->error.status;
}

size_t qe_count_tokens(const qe_pair *pairs, size_t count, size_t *offset) {
  offset[0] = 0;
  for (size_t i = 0; i < count; i++) {
    qe_text rest = pairs[i].translation;
    offset[i + 1] = offset[i];
    for (qe_text token; text_next_token(&rest, &token);)
      offset[i + 1]++;
  }
  return offset[count];
}

int qe_score_words(qe_scorer *scorer, const qe_pair *pairs, size_t count, const size_t *offset, float *scores,
                   float *bad) {
  struct tagging tagging = { .bad = bad, .offset = offset };
  error_clear(&scorer->error);
  if (!isfinite(qe_model_word_threshold(scorer->model)))
    return error_set(&scorer->error, QE_USE, "score words: the model has no head for words");
  if (count > 0 && (!offset || (offset[count] > 0 && !bad)))
    return error_set(&scorer->error, QE_USE, "score words: %s is NULL", offset ? "bad" : "offset");
  scorer->tagging = &tagging;
  const int status = qe_score(scorer, pairs, count, scores);
  scorer->tagging = NULL;
  return status;
}
