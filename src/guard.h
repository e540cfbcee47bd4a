/*
** guard.h - what the guards of reranking see in a text, private. A reading is made of one text in three steps: markup.c
** takes placeholders out and leaves plain text, reading.c cuts that into words and counts characters, numeral.c finds
** the numbers; spoken.c and negation.c look at the words when asked. Readings keep their memory for the next text.
*/
#ifndef QE_GUARD_H
#define QE_GUARD_H
#include "text.h"

enum { MOST_FOUND = 256 }; /* placeholders, and numbers, of one text; what follows is not looked at */

/* A number: significand times a power of ten; the significand ends with a digit other than 0, or is 0. One of more than
** 18 digits is a hash of them with the highest bit set. */
struct numeral {
  uint64_t significand;
  int32_t exponent;
  int32_t shift;  /* of a magnitude that follows: 6 for "million"; 0 for none */
  bool afternoon; /* "pm" follows */
  bool century;   /* a word for that follows */
  bool used;      /* has its partner, while two texts are compared */
};

struct numerals {
  struct numeral items[MOST_FOUND];
  size_t count;
};

enum word_kind { WORD_MARK, WORD_NUMBER, WORD_LETTERS, WORD_IDEOGRAPH };
enum {
  SCRIPTS = 32,
  SCRIPT_NONE = 0,
  SCRIPT_LATIN,
  SCRIPT_GREEK,
  SCRIPT_CYRILLIC,
  SCRIPT_ARMENIAN,
  SCRIPT_FIRST_OTHER
};

/* Words of lists by their first byte, so that few are looked at: those of one byte are item[first[byte]] up to
** item[first[byte + 1]]; ends ("*word") stand under the byte '*'. Built once, then only read. */
enum { MOST_LISTED = 640 };
struct listed {
  uint16_t first[257];
  struct {
    const char *pattern;
    uint16_t size, list;
  } item[MOST_LISTED];
};

struct reading {
  const struct listed *number_words;
  char *plain; /* the text without its placeholders */
  size_t plain_size, plain_room;
  uint64_t placeholders[MOST_FOUND]; /* hashes in rising order */
  size_t placeholder_count;
  size_t escapes; /* of the placeholders, those that are character references, "&amp;" */
  struct words words;
  char *folded;            /* the words in lower case, one after another */
  uint32_t *folded_offset; /* words.count + 1 */
  unsigned char *kinds;    /* enum word_kind per word */
  uint64_t *hashes;        /* of the folded words, in their order */
  uint64_t *sorted;        /* those of words with letters, in rising order */
  uint64_t *grams;         /* those of runs of four words, in rising order */
  size_t folded_room, folded_offset_room, kinds_room, hashes_room, sorted_room, grams_room;
  size_t sorted_count, gram_count;
  size_t length;           /* characters that are seen; an ideograph counts three */
  bool visible;            /* in the text as it came */
  size_t letters[SCRIPTS]; /* by script, weighted alike */
  struct numerals numerals;
  struct numerals spoken; /* number words, once spoken_of has looked for them */
  bool spoken_known;
};

/* ---- markup.c ---- */
int markup_read(struct reading *reading, qe_text text);

/* ---- reading.c ---- */
int reading_of(struct reading *reading, qe_text text);
void reading_free(struct reading *reading);
qe_text reading_word(const struct reading *reading, size_t number);   /* as it was */
qe_text reading_folded(const struct reading *reading, size_t number); /* in lower case */
int reading_script(int32_t point);
size_t reading_script_weight(int script);         /* what a letter counts beside those of other scripts */
int reading_script_of_language(const char *code); /* SCRIPT_NONE for NULL, unknown ones and those with several */
/* The one of most letters, by their counts; SCRIPT_NONE: there are none. */
int reading_main_script(const size_t letters[SCRIPTS]);
bool reading_is_language(const char *code, const char *name); /* "en" and "EN-gb" are "en" */
void reading_sort(uint64_t *items, size_t count);
qe_text reading_rest(const struct reading *reading, size_t number); /* that and all that follow, in lower case */
/* Whether a word is on a list whose items are separated by blanks: "word" is that word (or, if `begins`, a beginning),
** "word*" a beginning, "*word" an end. */
bool reading_listed(qe_text word, bool begins, const char *list);
/* The same for up to 64 lists at once: a bit for each that has the word. False: more items than there is room for. */
bool listed_build(struct listed *listed, const char *const *lists, size_t count);
uint64_t listed_in(const struct listed *listed, qe_text word);

/* ---- numeral.c ---- */
void numerals_read(struct reading *reading);
void numerals_add(struct numerals *numerals, uint64_t significand, int32_t exponent);
int numeral_digit(int32_t point); /* 0..9 for a decimal digit of any script, else -1 */
/* How many numbers one has and the other lacks. Number words of the other excuse a number; those of `witness` (may be
** NULL), too, one that only the text has. */
size_t numerals_differing(struct reading *source, struct reading *text, struct reading *witness);

/* ---- spoken.c ---- */
const struct numerals *spoken_of(struct reading *reading);
bool spoken_index(struct listed *listed); /* what a reading's number_words must be */

/* ---- negation.c ---- */
enum negation { NEGATION_ABSENT, NEGATION_UNCLEAR, NEGATION_PRESENT };
int negation_language(const char *code); /* from 0; -1 for none and those without a list */
enum negation negation_of(const struct reading *reading, int language);

#endif
