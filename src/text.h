/*
** text.h - from bytes to ids, private. Nothing here allocates once its buffers are warm.
*/
#ifndef QE_TEXT_H
#define QE_TEXT_H
#include "unigram.h"

/* ---- text.c: bytes -> words ----
** UTF-8 is checked and repaired (each maximal bad part becomes one U+FFFD), normalised to NFKC, split at white
** space; every punctuation or symbol character, and every CJK character (Han, Hiragana, Katakana), is a word of its
** own. Control characters are white space. A run of more than 30 combining marks (the bound of the Stream-Safe Text
** Format, UAX #15), or 64 code points without one that is sure to begin a new composition, is normalised in pieces.
*/
struct words {
  char *bytes;      /* the words one after another, UTF-8 */
  uint32_t *offset; /* count + 1 */
  uint32_t count;
  bool truncated; /* there were more than max_words */
  size_t bytes_room, offset_room;
};
int words_split(struct words *words, qe_text text, size_t max_words); /* QE_OK, or QE_MEMORY and no words */
void words_free(struct words *words);
/* The next run of bytes between ASCII white space; false at the end. */
static inline bool text_is_white(char byte) {
  return byte == ' ' || (byte >= '\t' && byte <= '\r');
}
bool text_next_token(qe_text *rest, qe_text *token);
/* Takes one code point, or the longest beginning of one (at least a byte), which gives UTF8_BAD. Returns how many
** bytes that was; `size` is not 0. */
enum { UTF8_BAD = -1 };
size_t utf8_decode(const char *bytes, size_t size, int32_t *point);
bool utf8_is_letter(int32_t point); /* UTF8_BAD is none */

/* ---- vocabulary.c: word -> ids of embedding rows ----
** words:  one id; row 0 is the unknown word, rows 1.. the vocabulary in its order.
** ngrams: the hash (FNV-1a 64, modulo buckets) of the word itself, between the bytes STX and ETX, which no word
**         contains, then of every run of 3, 4, 5 code points of "<word>", by where they begin, shorter ones first.
**         Repeated n-grams count as often as they occur.
** counted: the same n-grams, of which those that texts had often enough have a row each and the others none (grams.h);
**         row 0 alone for a word that has none at all.
** All look at the first VOCABULARY_MAX_WORD code points of a word and no further, lower-cased if so configured.
** pieces: text is not cut into words; each piece that unigram.c finds is a word with one id, its row.
*/
enum vocabulary_kind { VOCABULARY_WORDS, VOCABULARY_NGRAMS, VOCABULARY_PIECES, VOCABULARY_COUNTED };
struct grams;
struct pieces;                    /* read by all the vocabularies that have it, freed by the last */
enum { VOCABULARY_MAX_IDS = 96 }; /* per word; n-grams of longer words beyond this are left out */
struct vocabulary {
  enum vocabulary_kind kind;
  uint32_t rows; /* of the embedding table */
  bool lowercase;
  char *bytes;           /* words only: the words one after another, in the order of their rows (from row 1) */
  uint32_t *offset;      /* words only: rows entries: word of row i is bytes[offset[i-1] .. offset[i]) */
  uint32_t *slots;       /* words only: open-addressing hash table of rows, 0 = free */
  size_t slot_count;     /* a power of two */
  struct pieces *pieces; /* pieces only */
  struct grams *grams;   /* counted only */
};
enum { VOCABULARY_MAX_WORD = 256 };
/* ids[] of one word; returns how many, 1 to VOCABULARY_MAX_IDS. */
size_t vocabulary_ids(const struct vocabulary *vocabulary, qe_text word, uint32_t ids[VOCABULARY_MAX_IDS]);
/* The word of a row of a table of words; row 0 has none. */
qe_text vocabulary_word(const struct vocabulary *vocabulary, uint32_t row);
/* Most frequent words first, ties by bytes, at most `rows` - 1 of them, each seen at least `minimum` times. */
int vocabulary_count(struct vocabulary *vocabulary, const qe_text *texts, size_t count, uint32_t rows,
                     uint32_t minimum, bool lowercase, size_t max_words, struct error *error);
/* The same of n-grams of words. */
int vocabulary_count_grams(struct vocabulary *vocabulary, const qe_text *texts, size_t count, uint32_t rows,
                           uint32_t minimum, bool lowercase, size_t max_words, struct error *error);
int vocabulary_hashed(struct vocabulary *vocabulary, uint32_t buckets, bool lowercase);
/* Takes over what `unigram` holds, whatever the status. */
int vocabulary_pieces(struct vocabulary *vocabulary, struct unigram *unigram);
const struct unigram *vocabulary_unigram(const struct vocabulary *vocabulary);
/* The archive member: each word's length (u16, little-endian) and bytes; refused: bad UTF-8, empty or too long
** words, duplicates, any other number than rows - 1 of them, more than 1024 hashes that collide. */
int vocabulary_parse(struct vocabulary *vocabulary, qe_text member, uint32_t rows, bool lowercase,
                     struct error *error);
int vocabulary_parse_grams(struct vocabulary *vocabulary, qe_text member, uint32_t rows, bool lowercase,
                           struct error *error);
int vocabulary_write(const struct vocabulary *vocabulary, char **bytes, size_t *size);
/* What `to` held is not freed. Pieces are shared, not copied. */
int vocabulary_copy(struct vocabulary *to, const struct vocabulary *from);
void vocabulary_free(struct vocabulary *vocabulary);
/* Differs, but for chance, between any two that encode some text differently. */
uint64_t vocabulary_fingerprint(const struct vocabulary *vocabulary, size_t max_words);

/* ---- encoding.c: many texts as packed ids ----
**   text i has the words  word[i] .. word[i+1]-1,  word w has the ids  ids[id[w]] .. ids[id[w+1]-1]
*/
struct encoding {
  uint32_t *word; /* texts + 1 */
  uint32_t *id;   /* words + 1 */
  uint32_t *ids;
  size_t texts, words, id_count, truncated;
  size_t word_room, id_room, ids_room;
}; /* begins as zeros; word and id may be NULL until the first text */
struct encoding_work {
  struct words words;
  struct unigram_work pieces;
};
int encoding_add(struct encoding *encoding, struct encoding_work *work, const struct vocabulary *vocabulary,
                 qe_text text, size_t max_words);
void encoding_work_free(struct encoding_work *work);
void encoding_clear(struct encoding *encoding); /* keeps the memory */
void encoding_free(struct encoding *encoding);

#endif
