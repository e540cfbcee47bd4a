/*
** score_words.c - how likely each token of a translation is BAD: tokens are what stands between white space, the model's
** words are finer, and a token is as bad as the worst word in it. Texts that are longer than the model reads are cut into
** windows (windows.c); a token that lies in two of them is as bad as its worse part.
*/
#include "scoring.h"

#include <math.h>

/* Probabilities of the tokens so far; those beyond `room` are only counted. */
struct found {
  float *bad;
  size_t room, count;
  bool open; /* the last window ended inside a token */
};

static void add(struct found *found, float bad) {
  if (found->open && found->count > 0) {
    const size_t last = found->count - 1;
    if (last < found->room && found->bad[last] < bad)
      found->bad[last] = bad;
  } else {
    if (found->count < found->room)
      found->bad[found->count] = bad;
    found->count++;
  }
  found->open = false;
}

/* The worst of the next `count` words. */
static float worst(const struct work *work, size_t *next, size_t count) {
  float bad = 0;
  for (; count > 0 && *next < work->words; count--, ++*next)
    bad = work->bad[*next] > bad ? work->bad[*next] : bad;
  return bad;
}

/* Of the pair, or window of one, that was scored last. */
static int tag_scored(qe_scorer *scorer, const qe_pair *pair, struct found *found) {
  size_t next = 0;
  qe_text rest = pair->translation;
  found->open &= rest.size > 0 && !text_is_white(rest.data[0]);
  for (qe_text token; text_next_token(&rest, &token);) {
    if (words_split(&scorer->token, token, SIZE_MAX) != QE_OK)
      return error_memory(&scorer->error);
    add(found, worst(scorer->works[0], &next, scorer->token.count));
  }
  found->open =
      pair->translation.size > 0 ? !text_is_white(pair->translation.data[pair->translation.size - 1]) : found->open;
  return QE_OK;
}

int qe_score_words(qe_scorer *scorer, const qe_pair *pair, float *bad, size_t room, size_t *count) {
  struct found found = { .bad = bad, .room = room };
  float score;
  *count = 0;
  if (!isfinite(qe_model_word_threshold(scorer->model)))
    return error_set(&scorer->error, QE_USE, "score words: the model has no head for words");
  scorer->wants_words = true;
  if (qe_score(scorer, pair, 1, &score) == QE_OK && scorer->windows.count == 0)
    tag_scored(scorer, pair, &found);
  for (size_t i = 0; i < scorer->windows.count && scorer->error.status == QE_OK; i++) {
    const qe_pair window = scorer->windows.pairs[i];
    if (scorer_run(scorer, &window, 1, &score) == QE_OK)
      tag_scored(scorer, &window, &found);
  }
  scorer->wants_words = false;
  *count = found.count;
  return scorer->error.status;
}
