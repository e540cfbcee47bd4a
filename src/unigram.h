/*
** unigram.h - text -> pieces as SentencePiece's unigram model has them (Kudo 2018), private. A vocabulary of pieces with
** log-probabilities; rules that rewrite the text first (for XLM-R: NFKC and white space). Made from a file of
** SentencePiece (sentencepiece.c) or from the archive member.
**
** Encoding. At every place of the text the longest rule is applied; bytes that are no UTF-8 become U+FFFD, one for each.
** Runs of spaces become one, those at the ends go, one is put in front; spaces are written U+2581. Of all ways to cut
** what results into pieces the likeliest is taken; a character that is no piece costs 10 more than the rarest piece, and
** a run of such characters is one unknown piece. Equal to SentencePiece 0.2, ties and rounding included.
*/
#ifndef QE_UNIGRAM_H
#define QE_UNIGRAM_H
#include "byte_trie.h"

struct unigram {
  size_t count;                 /* pieces, by id; those that are never found in text (<s>) included */
  uint32_t unknown, begin, end; /* ids */
  char *bytes;
  uint32_t *offset;       /* of piece i: offset[i] .. offset[i + 1] */
  float *score;           /* log-probabilities */
  unsigned char *special; /* not found in text */
  size_t rules;
  char *rule_bytes;
  uint32_t *rule; /* of rule i: key rule[2 i] .. rule[2 i + 1], value .. rule[2 i + 2] */
  struct byte_trie pieces, keys;
  float unknown_score;
};

/* Room of one encoder. */
struct unigram_work {
  char *text;
  size_t size, room;
  struct unigram_step *steps;
  size_t step_room;
  uint32_t *ids; /* of the last text: count of them */
  size_t count, id_room;
  bool truncated; /* there were more than `most` */
};
int unigram_encode(const struct unigram *unigram, struct unigram_work *work, qe_text text, size_t most);
void unigram_work_free(struct unigram_work *work);

static inline qe_text unigram_piece(const struct unigram *unigram, size_t id) {
  return (qe_text){ unigram->bytes + unigram->offset[id], unigram->offset[id + 1] - unigram->offset[id] };
}

/* One piece or rule after another; unigram_finish makes what is found by. Errors free nothing. */
struct unigram_parts {
  struct unigram unigram;
  size_t bytes_room, offset_room, score_room, special_room, rule_bytes_room, rule_room;
};
int unigram_add_piece(struct unigram_parts *parts, qe_text piece, float score, bool special);
/* After all pieces, keys in the order of their bytes. */
int unigram_add_rule(struct unigram_parts *parts, qe_text key, qe_text value);
int unigram_finish(struct unigram_parts *parts, struct unigram *unigram, struct error *error);

/* The archive member: "QEUG" u32 version=1, pieces, rules, unknown, begin, end | per piece: f32 score, u8 special, u16
** size, bytes | per rule: u8 and u16 sizes, key, value; little-endian; refused: whatever would be written differently. */
int unigram_parse(struct unigram *unigram, qe_text member, struct error *error);
int unigram_write(const struct unigram *unigram, char **bytes, size_t *size);
/* Only the pieces that are kept, in this order; the special ones are among them. */
int unigram_prune(struct unigram *to, const struct unigram *from, const uint32_t *kept, size_t count,
                  struct error *error);
void unigram_free(struct unigram *unigram);
uint64_t unigram_fingerprint(const struct unigram *unigram);

#endif
