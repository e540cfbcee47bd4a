/*
** evidence.h - what counted text says about the words of a pair, private: an aligned student's second source of knowledge
** beside its embeddings. Counted are a lexicon (lexicon.c) and, per side, words, their pairs and triples, and the mean gold
** score of the texts that a word occurs in. Training reads a pair that was itself counted without its own share, so that
** it looks as new ones will. An archive keeps a coarse form of the counts, from which all other pairs are read during
** training, too.
*/
#ifndef QE_EVIDENCE_H
#define QE_EVIDENCE_H
#include "sketch.h"
#include "text.h"

#include <stdatomic.h>

/* Per word: how well the other side explains it (best t, best geometric mean of both directions); log-probability,
** frequency and longest known n-gram in its language; whether the other side has it; rate; length. */
enum evidence_channel { BEST_GIVEN, BEST_BOTH, LOG_PROBABILITY, FREQUENCY, ORDER, COPIED, RATE, LENGTH, CHANNELS };
/* Per pair: mean and minimum of every channel of both sides, then lengths and their log ratio. */
enum { EVIDENCE_FEATURES = 4 * CHANNELS + 3 };

struct evidence; /* read by all the models that have it, freed by the last */

/* What is counted, and what of it is kept: words, pairs and triples that occur at least so often (triples: twice), links of
** at least this level. */
struct evidence_choice {
  size_t max_tokens, least_count, least_link;
};
/* Columns: `gold`, where there is one. `parallel` (may be NULL): further pairs for the lexicon alone; a counted pair is read
** without those of the same source, too, such as its post-edit. NULL: recorded. */
struct evidence *evidence_count(const qe_dataset *data, const qe_dataset *parallel, struct evidence_choice choice,
                                struct error *error);
struct evidence *evidence_hold(struct evidence *evidence);
void evidence_release(struct evidence *evidence);
struct evidence *evidence_parse(qe_text member, struct error *error); /* NULL: recorded */
int evidence_write(const struct evidence *evidence, char **bytes, size_t *size);

/* Of one pair; begins as zeros. */
struct evidence_pair {
  float *channel[2]; /* count[side] x CHANNELS, standardised */
  float *prior;      /* count[1] x count[0]: sqrt(t(target | source) t(source | target)) */
  float features[EVIDENCE_FEATURES];
  size_t count[2], channel_room[2], prior_room;
  struct evidence_work *work;
};
int evidence_split(struct words words[2], const qe_pair *pair,
                   size_t max_tokens); /* both sides; QE_OK or QE_MEMORY */
/* `words`: of both sides, as words_split cut them. leave_out: as training reads it, a counted pair without its own share;
** otherwise as the archive will read it. QE_OK or QE_MEMORY. */
int evidence_read(const struct evidence *evidence, const qe_pair *pair, const struct words words[2], bool leave_out,
                  struct evidence_pair *result);
void evidence_pair_free(struct evidence_pair *pair);

/* A pair's words and what is known of them; begins as zeros. */
struct evidence_reading {
  struct words words[2];
  struct evidence_pair pair;
};
/* As training reads it. QE_OK or QE_MEMORY. */
int evidence_read_training(const struct evidence *evidence, const qe_pair *pair, size_t max_tokens,
                           struct evidence_reading *reading);
void evidence_reading_free(struct evidence_reading *reading);

/* ---- between evidence.c and evidence_count.c ---- */

/* Steps of probabilities, counts and rates that four bits hold; 0: nothing. */
enum { LEVELS = 15 };

struct counted; /* exact counts, and what every counted pair contributed */

struct evidence {
  atomic_size_t holders;
  struct sketch lexicon;  /* of a word each: level of t(target | source), of t(source | target) * 16 */
  struct sketch grams[2]; /* per side: level of the count; of single words: level of the rate * 16 */
  float tokens[2], types[2];
  float mean[2][CHANNELS], sd[2][CHANNELS];
  struct counted *counted; /* NULL: from an archive */
  const struct kernel *kernel;
};

struct evidence *evidence_new(struct error *error); /* of nothing, held once; NULL: recorded */

/* A text as hashes: word `i` at [i + 1] of `words`, the beginning of the text at [0]. */
struct hashed {
  uint64_t *word, *stem;
  unsigned char *length; /* in code points, at most 15 */
  size_t count, room;
};

/* Levels of everything that channels are made of. */
struct levels {
  unsigned char *given[2];                             /* by the side that is given: count[1] x count[0] */
  unsigned char *one[2], *two[2], *three[2], *rate[2]; /* per side, at [0] of its beginning, count + 1 of them */
};

uint64_t evidence_gram(const struct hashed *text, size_t last, size_t length); /* key of 1, 2 or 3 words */
uint64_t evidence_link(uint64_t source_stem, uint64_t target_stem);
uint64_t evidence_text(qe_text text); /* of a source, or a stem as a lexicon has it */
unsigned char level_of_count(double count);
unsigned char level_of_probability(float t);
unsigned char level_of_rate(double rate); /* of standardised gold scores */
uint64_t evidence_pair_key(const qe_pair *pair);
/* The words of one side, hashed, in the work area of `pair`; NULL: no memory. */
const struct hashed *evidence_hash(struct evidence_pair *pair, int side, const struct words *words);
/* As evidence_read, but channels are as they were before they are standardised, and there are no features. */
int evidence_read_raw(const struct evidence *evidence, const qe_pair *pair, const struct words words[2],
                      bool leave_out, struct evidence_pair *result);

/* Exact levels of a counted pair without its own share. *found: it is one. QE_OK or QE_MEMORY. */
int counted_levels(const struct counted *counted, const qe_pair *pair, const struct hashed texts[2],
                   struct levels *levels, bool *found);
void counted_free(struct counted *counted);

#endif
