/*
** model_fixture.h - small models and random sentences for tests; each test file that includes it uses all of it.
*/
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

/* One sentence of at most `most` words from a made-up vocabulary with accents, CJK and punctuation; may be empty. */
static inline size_t fixture_sentence(qe_rng *rng, char *text, size_t room, size_t most) {
  static const char *const words[] = {
    "ka",          "lomi",       "su",        "Teri", "pa!", "ro",   "vi,",
    "n\xc3\xa4lg", "\xc3\xb5un", "kolmteist", "42",   "7.5", "(ja)", "\xe6\xb5\xb7\xe8\xbe\xb9",
    "xyzzy",       "-"
  };
  size_t size = 0;
  text[0] = '\0';
  for (size_t left = qe_rng_below(rng, most + 1); left > 0; left--) {
    int written = snprintf(text + size, room - size, "%s%s", size ? " " : "", words[qe_rng_below(rng, 16)]);
    if (written < 0 || (size_t)written >= room - size)
      break;
    size += (size_t)written;
  }
  return size;
}

/* Rows with gold in 0..1, log-probabilities for two rows of three. */
static inline qe_dataset *fixture_data(size_t rows, uint64_t seed, size_t most) {
  qe_rng rng;
  char source[2048], target[2048];
  float logprobs[8];
  qe_dataset *data = qe_dataset_new();
  double *gold = calloc(rows, sizeof *gold);
  qe_rng_seed(&rng, seed, "fixture");
  for (size_t i = 0; i < rows; i++) {
    qe_pair pair = { .logprobs = logprobs, .logprob_count = i % 3 == 2 ? 0 : 1 + i % 8 };
    pair.source = (qe_text){ source, fixture_sentence(&rng, source, sizeof source, most) };
    pair.translation = (qe_text){ target, fixture_sentence(&rng, target, sizeof target, most) };
    for (size_t j = 0; j < 8; j++)
      logprobs[j] = (float)(-3 * qe_rng_uniform(&rng));
    if (pair.logprob_count == 0)
      pair.logprobs = NULL;
    if (qe_dataset_append(data, &pair) != QE_OK)
      abort();
    gold[i] = qe_rng_uniform(&rng);
  }
  if (qe_dataset_set_column(data, "gold", gold) != QE_OK)
    abort();
  free(gold);
  return data;
}

/* Whole matrices away from zero, so that every part of the forward pass matters. */
static inline qe_model *fixture_model(const char *configuration, const qe_dataset *data) {
  qe_rng rng;
  qe_model *model = qe_model_new();
  qe_rng_seed(&rng, 5, "fixture model");
  if (qe_model_create(model, configuration, data, &rng) != QE_OK) {
    fprintf(stderr, "%s\n", qe_model_error(model));
    abort();
  }
  for (size_t i = 0; i < qe_params_count(qe_model_params(model)); i++)
    qe_params_normal(qe_model_params(model), i, .4, &rng);
  if (qe_model_prepare(model) != QE_OK)
    abort();
  return model;
}

#define FIXTURE_NGRAMS                                                                                             \
  "{\"embedding\":7,\"hidden\":5,\"attention\":6,\"source\":{\"kind\":\"ngrams\",\"buckets\":101},"                \
  "\"target\":{\"kind\":\"ngrams\",\"buckets\":53,\"lowercase\":false}}"
#define FIXTURE_WORDS                                                                                              \
  "{\"embedding\":6,\"hidden\":9,\"attention\":4,\"bins\":5,\"decoder_inputs\":4,\"max_tokens\":12,"               \
  "\"source\":{\"kind\":\"words\",\"size\":9},\"target\":{\"kind\":\"words\",\"size\":50,\"lowercase\":true}}"

#endif
