/*
** reference.h - what the reference metrics share, private to reference.c, ngrams.c, tokenize.c, chrf.c, bleu.c and
** ter.c. Texts are arrays of code points, words are numbers (nodes of the trie of their spelling).
*/
#ifndef QE_REFERENCE_H
#define QE_REFERENCE_H
#include "core.h"

/* Code points, word numbers or lengths. */
struct symbols {
  uint32_t *items;
  size_t count, room;
};                                                          /* begins as zeros */
bool symbols_reserve(struct symbols *symbols, size_t need); /* false when memory is out */
void symbols_free(struct symbols *symbols);

/* ---- ngrams.c ----
** A trie whose edges stand in one hash table under (parent, symbol); nodes count from 1, 0 is the root and "none".
** Nodes go in the reverse order of their coming.
*/
struct trie_slot {
  uint64_t key;
  uint32_t node; /* 0: free */
};
struct trie {
  uint64_t *keys; /* of nodes 1 .. nodes */
  struct trie_slot *slots;
  size_t key_room, slot_count; /* a power of two, or 0 */
  uint32_t nodes;
};
uint32_t trie_find(const struct trie *trie, uint32_t parent, uint32_t symbol); /* 0: none */
uint32_t trie_add(struct trie *trie, uint32_t parent, uint32_t symbol);        /* 0: no memory */
void trie_cut(struct trie *trie, uint32_t nodes);                              /* keeps the first ones */
void trie_free(struct trie *trie);

/* How often each n-gram up to `order` occurs in each reference. */
struct ngrams {
  struct trie trie;
  size_t order, references;
  uint32_t *counts;  /* node times references + reference */
  uint32_t *seen;    /* per node, zeros between calls */
  uint32_t *touched; /* nodes that were seen */
  size_t count_room, seen_room, touched_room;
};
void ngrams_clear(struct ngrams *ngrams, size_t order, size_t references);
int ngrams_add(struct ngrams *ngrams, const struct symbols *symbols, size_t reference);
void ngrams_merge(struct ngrams *ngrams); /* one reference, with the largest count of each n-gram */
/* matches[reference * order + n - 1] = sum over n-grams of the smaller of both counts. Allocates nothing. */
void ngrams_match(struct ngrams *ngrams, const struct symbols *symbols, uint32_t *matches);
void ngrams_free(struct ngrams *ngrams);

/* ---- tokenize.c ---- */
bool point_is_space(uint32_t point);                     /* as Python's str.split sees it */
int points_decode(struct symbols *points, qe_text text); /* malformed UTF-8 becomes U+FFFD */
/* The next run without white space from *at on: [*begin, *at). False at the end. */
bool points_word(const struct symbols *points, size_t *begin, size_t *at);
/* The number of a word: its node in `spelling`, where it is added if `learn`; else 0 if it is not there. False when
** memory is out. */
bool word_number(struct trie *spelling, const uint32_t *points, size_t count, bool learn, uint32_t *number);
/* Numbers of all words of a text. */
int words_number(struct trie *spelling, const struct symbols *points, bool learn, struct symbols *numbers);

struct tokenizer;
const struct tokenizer *tokenizer_find(const char *name); /* NULL: none of that name */
/* *tokens, one of `work`, has white space between tokens. */
int tokenizer_run(const struct tokenizer *tokenizer, qe_text text, struct symbols work[2],
                  const struct symbols **tokens);

/* ---- metrics ---- */
struct metric_kind {
  const char *name;
  int direction;
  size_t size, character_order, word_order;
  int (*prepare)(qe_metric *metric, const qe_text *references); /* QE_OK or QE_MEMORY */
  int (*statistics)(qe_metric *metric, qe_text hypothesis, double *statistics);
  double (*score)(const struct metric_kind *kind, const double *sums, bool sentence);
};
extern const struct metric_kind metric_chrf, metric_chrf_words, metric_bleu, metric_ter;

/* What ter.c works in. */
struct edits {
  struct symbols references; /* their words, one after the other */
  struct symbols shifted, candidate;
  struct symbols first, rows, rolling; /* of the matrix of distances */
  struct symbols places, wrong_words, wrong_references;
};

struct qe_metric {
  struct error error;
  const struct metric_kind *kind;
  const struct tokenizer *tokenizer;
  size_t references;                    /* 0: none were set */
  struct symbols lengths;               /* of the references */
  struct symbols text[2], ids, matches; /* scratch */
  struct trie spelling;
  uint32_t known; /* nodes of the references' spelling */
  struct ngrams characters, words;
  struct edits edits;
};

#endif
