/*
** reasons.c - why the score of a pair may mean little: a side has no words, the translation is its source, a side is
** longer than the model reads at once, or is written in another script than its language. Nothing here changes a score.
*/
#include "guard.h"
#include "scoring.h"

const char *qe_reason_name(unsigned reason) {
  switch (reason) {
  case QE_REASON_EMPTY:
    return "empty";
  case QE_REASON_COPIED:
    return "copied";
  case QE_REASON_TRUNCATED:
    return "truncated";
  case QE_REASON_WRONG_SCRIPT:
    return "wrong_script";
  default:
    return NULL;
  }
}

/* ---- script ---- */

static int main_script(qe_text text) {
  size_t letters[SCRIPTS] = { 0 };
  for (size_t at = 0; at < text.size;) {
    int32_t point;
    at += utf8_decode(text.data + at, text.size - at, &point);
    const int script = point == UTF8_BAD ? SCRIPT_NONE : reading_script(point);
    letters[script] += script == SCRIPT_NONE ? 0 : reading_script_weight(script);
  }
  return reading_main_script(letters);
}

int qe_model_script_fits(const qe_model *model, qe_side side, qe_text text) {
  const int expected = model->script[side == QE_SOURCE ? QE_SOURCE : QE_TARGET];
  const int found = expected == SCRIPT_NONE ? SCRIPT_NONE : main_script(text);
  return found == SCRIPT_NONE || found == expected;
}

/* ---- all of them ---- */

static bool has_letter(qe_text text) {
  for (size_t at = 0; at < text.size;) {
    int32_t point;
    at += utf8_decode(text.data + at, text.size - at, &point);
    if (utf8_is_letter(point))
      return true;
  }
  return false;
}

/* As the model cuts it. */
static int read_side(qe_scorer *scorer, size_t side, qe_text text, size_t *words, bool *truncated) {
  const qe_model *model = scorer->model;
  struct encoding encoding = { 0 };
  const int status =
      encoding_add(&encoding, &scorer->encoding, &model->vocabulary[side], text, model->configuration.max_tokens);
  *words = encoding.words;
  *truncated |= encoding.truncated > 0;
  encoding_free(&encoding);
  return status == QE_OK ? QE_OK : error_memory(&scorer->error);
}

int qe_score_reasons(qe_scorer *scorer, const qe_pair *pair, unsigned *reasons) {
  size_t words[SIDES] = { 0 };
  bool truncated = false, fits = true;
  *reasons = 0;
  error_clear(&scorer->error);
  if (!scorer->model->params)
    return error_set(&scorer->error, QE_USE, "reasons: the model is empty");
  for (size_t side = 0; side < SIDES; side++) {
    const qe_text text = pair_side(pair, side);
    if (read_side(scorer, side, text, &words[side], &truncated) != QE_OK)
      return scorer->error.status;
    fits &= qe_model_script_fits(scorer->model, (qe_side)side, text) != 0;
  }
  *reasons |= words[0] == 0 || words[1] == 0 ? QE_REASON_EMPTY : 0;
  *reasons |= text_same(pair->source, pair->translation) && has_letter(pair->source) ? QE_REASON_COPIED : 0;
  *reasons |= truncated ? QE_REASON_TRUNCATED : 0;
  *reasons |= fits ? 0 : QE_REASON_WRONG_SCRIPT;
  return QE_OK;
}
