/*
** unigram.c - text -> pieces: rules rewrite it, then the likeliest path through the pieces is found (Viterbi), in time
** linear in the text. Invariants: offsets rise; piece and rule texts are not empty; the tries name every piece that is
** not special and every rule. What the order of equals and the rounding of sums are follows SentencePiece, as a tie
** decided otherwise is another input to the model.
*/
#include "unigram.h"
#include "bytes.h"
#include "text.h"
#include "transcendental.h"

#include <math.h>

#define MAGIC "QEUG"
enum { VERSION = 1, HEADER = 4 + 6 * 4, MOST_PIECE = UINT16_MAX, MOST_KEY = UINT8_MAX, UNKNOWN_COSTS = 10 };
static const char space_symbol[] = "\xe2\x96\x81"; /* U+2581 */
enum { SPACE_SYMBOL = sizeof space_symbol - 1 };

/* ---- rewriting ---- */

static qe_text rule_key(const struct unigram *unigram, size_t number) {
  const uint32_t *rule = unigram->rule + 2 * number;
  return (qe_text){ unigram->rule_bytes + rule[0], rule[1] - rule[0] };
}

static qe_text rule_value(const struct unigram *unigram, size_t number) {
  const uint32_t *rule = unigram->rule + 2 * number;
  return (qe_text){ unigram->rule_bytes + rule[1], rule[2] - rule[1] };
}

/* What the text begins with after rewriting; *taken bytes of it are used up. */
static qe_text rewrite(const struct unigram *unigram, qe_text text, size_t *taken) {
  uint32_t node = 0, found = 0;
  for (size_t i = 0; i < text.size; i++) {
    node = byte_trie_step(&unigram->keys, node, (unsigned char)text.data[i]);
    if (node == 0)
      break;
    if (unigram->keys.node[node].value) {
      found = unigram->keys.node[node].value;
      *taken = i + 1;
    }
  }
  if (found)
    return rule_value(unigram, found - 1);
  int32_t point;
  *taken = utf8_decode(text.data, text.size, &point);
  if (point != UTF8_BAD)
    return (qe_text){ text.data, *taken };
  *taken = 1;
  return qe_string("\xef\xbf\xbd");
}

/* With spaces as they are written in pieces; there is room. */
static void append(struct unigram_work *work, qe_text part) {
  for (size_t i = 0; i < part.size; i++)
    if (part.data[i] == ' ') {
      memcpy(work->text + work->size, space_symbol, SPACE_SYMBOL);
      work->size += SPACE_SYMBOL;
    } else
      work->text[work->size++] = part.data[i];
}

/* Leaves the rewritten text in work->text. */
static bool normalise(const struct unigram *unigram, struct unigram_work *work, qe_text text) {
  bool after_space = true;
  work->size = 0;
  while (text.size > 0) {
    size_t taken;
    qe_text part = rewrite(unigram, text, &taken), dropped;
    while (after_space && part.size > 0 && *part.data == ' ')
      text_take(&part, 1, &dropped);
    if (part.size > 0) {
      if (!memory_reserve((void **)&work->text, &work->room, work->size + (1 + part.size) * SPACE_SYMBOL, 1))
        return false;
      if (work->size == 0)
        append(work, qe_string(" "));
      append(work, part);
      after_space = part.data[part.size - 1] == ' ';
    }
    text_take(&text, taken, &dropped);
  }
  while (work->size >= SPACE_SYMBOL &&
         memcmp(work->text + work->size - SPACE_SYMBOL, space_symbol, SPACE_SYMBOL) == 0)
    work->size -= SPACE_SYMBOL;
  return true;
}

/* ---- the likeliest path ---- */

/* The best path to a place in the text. */
struct unigram_step {
  float score;
  uint32_t start, piece; /* of its last piece; start is NOWHERE where no path arrives */
};
enum { NOWHERE = UINT32_MAX };

static void offer(struct unigram_step *step, float score, uint32_t start, uint32_t piece) {
  if (step->start == NOWHERE || score > step->score)
    *step = (struct unigram_step){ score, start, piece };
}

/* Every piece that begins at `start`; a character that is none is unknown. */
static size_t extend(const struct unigram *unigram, struct unigram_work *work, uint32_t start) {
  const float here = work->steps[start].score;
  int32_t point;
  const size_t character = utf8_decode(work->text + start, work->size - start, &point);
  bool found = false;
  uint32_t node = 0;
  for (size_t at = start; at < work->size;) {
    node = byte_trie_step(&unigram->pieces, node, (unsigned char)work->text[at++]);
    if (node == 0)
      break;
    if (unigram->pieces.node[node].value == 0)
      continue;
    const uint32_t piece = unigram->pieces.node[node].value - 1;
    offer(&work->steps[at], unigram->score[piece] + here, start, piece);
    found = found || at - start == character;
  }
  if (!found)
    offer(&work->steps[start + character], unigram->unknown_score + here, start, unigram->unknown);
  return character;
}

/* Pieces from the last to the first, then turned around; runs of unknown ones become one. */
static bool trace(const struct unigram *unigram, struct unigram_work *work) {
  size_t count = 0;
  for (uint32_t at = (uint32_t)work->size; at > 0; at = work->steps[at].start) {
    const uint32_t piece = work->steps[at].piece;
    if (piece == unigram->unknown && count > 0 && work->ids[count - 1] == unigram->unknown)
      continue;
    if (!memory_reserve((void **)&work->ids, &work->id_room, count + 1, sizeof *work->ids))
      return false;
    work->ids[count++] = piece;
  }
  for (size_t i = 0; i < count / 2; i++) {
    const uint32_t kept = work->ids[i];
    work->ids[i] = work->ids[count - 1 - i];
    work->ids[count - 1 - i] = kept;
  }
  work->count = count;
  return true;
}

int unigram_encode(const struct unigram *unigram, struct unigram_work *work, qe_text text, size_t most) {
  work->count = 0;
  work->truncated = false;
  if (!normalise(unigram, work, text) || work->size >= NOWHERE ||
      !memory_reserve((void **)&work->steps, &work->step_room, work->size + 1, sizeof *work->steps))
    return QE_MEMORY;
  work->steps[0] = (struct unigram_step){ 0 };
  for (size_t i = 1; i <= work->size; i++)
    work->steps[i].start = NOWHERE;
  for (size_t start = 0; start < work->size;)
    start += extend(unigram, work, (uint32_t)start);
  if (!trace(unigram, work))
    return QE_MEMORY;
  work->truncated = work->count > most;
  work->count = work->truncated ? most : work->count;
  return QE_OK;
}

void unigram_work_free(struct unigram_work *work) {
  memory_free(work->text);
  memory_free(work->steps);
  memory_free(work->ids);
  *work = (struct unigram_work){ 0 };
}

/* ---- making one ---- */

int unigram_add_piece(struct unigram_parts *parts, qe_text piece, float score, bool special) {
  struct unigram *u = &parts->unigram;
  const size_t used = u->count > 0 ? u->offset[u->count] : 0;
  if (used + piece.size > UINT32_MAX - 1 ||
      !memory_reserve((void **)&u->bytes, &parts->bytes_room, used + piece.size + 1, 1) ||
      !memory_reserve((void **)&u->offset, &parts->offset_room, u->count + 2, sizeof *u->offset) ||
      !memory_reserve((void **)&u->score, &parts->score_room, u->count + 1, sizeof *u->score) ||
      !memory_reserve((void **)&u->special, &parts->special_room, u->count + 1, 1))
    return QE_MEMORY;
  if (piece.size > 0)
    memcpy(u->bytes + used, piece.data, piece.size);
  u->offset[u->count] = (uint32_t)used;
  u->offset[u->count + 1] = (uint32_t)(used + piece.size);
  u->score[u->count] = score;
  u->special[u->count++] = special;
  return QE_OK;
}

int unigram_add_rule(struct unigram_parts *parts, qe_text key, qe_text value) {
  struct unigram *u = &parts->unigram;
  const size_t used = u->rules > 0 ? u->rule[2 * u->rules] : 0, more = key.size + value.size;
  if (used + more > UINT32_MAX - 1 ||
      !memory_reserve((void **)&u->rule_bytes, &parts->rule_bytes_room, used + more + 1, 1) ||
      !memory_reserve((void **)&u->rule, &parts->rule_room, 2 * u->rules + 3, sizeof *u->rule))
    return QE_MEMORY;
  memcpy(u->rule_bytes + used, key.data, key.size);
  if (value.size > 0)
    memcpy(u->rule_bytes + used + key.size, value.data, value.size);
  uint32_t *rule = u->rule + 2 * u->rules++;
  rule[0] = (uint32_t)used;
  rule[1] = (uint32_t)(used + key.size);
  rule[2] = (uint32_t)(used + more);
  return QE_OK;
}

static int check_pieces(struct unigram *u, struct error *error) {
  float least = INFINITY;
  if (u->unknown >= u->count || u->begin >= u->count || u->end >= u->count)
    return error_set(error, QE_FORMAT, "pieces: %zu of them, but <unk>, <s>, </s> are %u, %u, %u", u->count,
                     u->unknown, u->begin, u->end);
  for (size_t i = 0; i < u->count; i++) {
    const qe_text piece = unigram_piece(u, i);
    if (!isfinite(u->score[i]) || piece.size > MOST_PIECE || (piece.size == 0 && !u->special[i]))
      return error_set(error, QE_FORMAT, "pieces: piece %zu has %zu bytes and the score %g", i, piece.size,
                       (double)u->score[i]);
    if (!u->special[i] && u->score[i] < least)
      least = u->score[i];
  }
  if (!u->special[u->unknown])
    return error_set(error, QE_FORMAT, "pieces: the unknown piece, %u, is one that texts contain", u->unknown);
  u->unknown_score = isfinite(least) ? least - UNKNOWN_COSTS : -UNKNOWN_COSTS;
  return QE_OK;
}

/* The pieces that texts contain, by their numbers. */
static int build_pieces(struct unigram *u, struct error *error) {
  qe_text *keys = memory_new(u->count, sizeof *keys);
  uint32_t *ids = memory_new(u->count, sizeof *ids);
  size_t count = 0, same[2];
  int status = keys && ids ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < u->count; i++)
    if (!u->special[i]) {
      keys[count] = unigram_piece(u, i);
      ids[count++] = (uint32_t)i;
    }
  if (status == QE_OK)
    status = byte_trie_build(&u->pieces, keys, count, same);
  if (status == QE_FORMAT)
    error_set(error, status, "pieces: %u is %u again", ids[same[1]], ids[same[0]]);
  for (size_t i = 0; status == QE_OK && i < u->pieces.count; i++)
    if (u->pieces.node[i].value)
      u->pieces.node[i].value = ids[u->pieces.node[i].value - 1] + 1;
  memory_free(keys);
  memory_free(ids);
  return status == QE_MEMORY ? error_memory(error) : status;
}

static int build_rules(struct unigram *u, struct error *error) {
  qe_text *keys = memory_new(u->rules, sizeof *keys);
  size_t same[2];
  int status = keys ? QE_OK : QE_MEMORY;
  for (size_t i = 0; status == QE_OK && i < u->rules; i++) {
    const size_t size = rule_value(u, i).size;
    keys[i] = rule_key(u, i);
    if (keys[i].size == 0 || keys[i].size > MOST_KEY || size > MOST_PIECE)
      status = error_set(error, QE_FORMAT, "pieces: rule %zu rewrites %zu bytes to %zu", i, keys[i].size, size);
  }
  if (status == QE_OK)
    status = byte_trie_build(&u->keys, keys, u->rules, same);
  if (status == QE_FORMAT && error->status == QE_OK)
    error_set(error, status, "pieces: rule %zu is for what rule %zu rewrites", same[1], same[0]);
  memory_free(keys);
  return status == QE_MEMORY ? error_memory(error) : status;
}

int unigram_finish(struct unigram_parts *parts, struct unigram *unigram, struct error *error) {
  struct unigram *u = &parts->unigram;
  if (check_pieces(u, error) != QE_OK || build_pieces(u, error) != QE_OK || build_rules(u, error) != QE_OK)
    unigram_free(u);
  *unigram = *u;
  *parts = (struct unigram_parts){ 0 };
  return error->status;
}

void unigram_free(struct unigram *unigram) {
  memory_free(unigram->bytes);
  memory_free(unigram->offset);
  memory_free(unigram->score);
  memory_free(unigram->special);
  memory_free(unigram->rule_bytes);
  memory_free(unigram->rule);
  byte_trie_free(&unigram->pieces);
  byte_trie_free(&unigram->keys);
  *unigram = (struct unigram){ 0 };
}

int unigram_prune(struct unigram *to, const struct unigram *from, const uint32_t *kept, size_t count,
                  struct error *error) {
  struct unigram_parts parts = { 0 };
  int status = QE_OK;
  for (uint32_t i = 0; i < count && status == QE_OK; i++) {
    parts.unigram.unknown = kept[i] == from->unknown ? i : parts.unigram.unknown;
    parts.unigram.begin = kept[i] == from->begin ? i : parts.unigram.begin;
    parts.unigram.end = kept[i] == from->end ? i : parts.unigram.end;
    status = unigram_add_piece(&parts, unigram_piece(from, kept[i]), from->score[kept[i]], from->special[kept[i]]);
  }
  for (size_t i = 0; i < from->rules && status == QE_OK; i++)
    status = unigram_add_rule(&parts, rule_key(from, i), rule_value(from, i));
  if (status == QE_OK)
    return unigram_finish(&parts, to, error);
  unigram_free(&parts.unigram);
  return error_memory(error);
}

/* ---- the archive member ---- */

static bool take_number(qe_text *member, size_t size, uint32_t *value) {
  qe_text bytes;
  if (!text_take(member, size, &bytes))
    return false;
  *value = (uint32_t)bytes_load((const unsigned char *)bytes.data, size);
  return true;
}

static int take_piece(qe_text *member, struct unigram_parts *parts) {
  uint32_t bits, special, size;
  qe_text piece;
  if (!take_number(member, 4, &bits) || !take_number(member, 1, &special) || special > 1 ||
      !take_number(member, 2, &size) || !text_take(member, size, &piece))
    return QE_FORMAT;
  return unigram_add_piece(parts, piece, float_of(bits), special);
}

static int take_rule(qe_text *member, struct unigram_parts *parts, qe_text *last) {
  uint32_t key_size, size;
  qe_text key, value;
  if (!take_number(member, 1, &key_size) || !take_number(member, 2, &size) || !text_take(member, key_size, &key) ||
      !text_take(member, size, &value) || text_order(*last, key) >= 0) /* refuses an empty key, too */
    return QE_FORMAT;
  *last = key;
  return unigram_add_rule(parts, key, value);
}

static int parse_parts(qe_text *member, struct unigram_parts *parts, struct error *error) {
  uint32_t version, pieces, rules;
  qe_text magic, last = { "", 0 };
  if (member->size < HEADER || !text_take(member, 4, &magic) || !text_is(magic, MAGIC) ||
      !take_number(member, 4, &version) || version != VERSION)
    return error_set(error, QE_FORMAT, "pieces: does not begin with " MAGIC " and the version %d", VERSION);
  take_number(member, 4, &pieces);
  take_number(member, 4, &rules);
  take_number(member, 4, &parts->unigram.unknown);
  take_number(member, 4, &parts->unigram.begin);
  take_number(member, 4, &parts->unigram.end);
  for (uint32_t i = 0; i < pieces; i++) {
    int status = take_piece(member, parts);
    if (status != QE_OK)
      return status == QE_FORMAT
                 ? error_set(error, status, "pieces: piece %u of %u is cut off or damaged", i, pieces)
                 : error_memory(error);
  }
  for (uint32_t i = 0; i < rules; i++) {
    int status = take_rule(member, parts, &last);
    if (status != QE_OK)
      return status == QE_FORMAT
                 ? error_set(error, status, "pieces: rule %u of %u is cut off or out of order", i, rules)
                 : error_memory(error);
  }
  return member->size == 0 ? QE_OK
                           : error_set(error, QE_FORMAT, "pieces: %zu bytes behind the last rule", member->size);
}

int unigram_parse(struct unigram *unigram, qe_text member, struct error *error) {
  struct unigram_parts parts = { 0 };
  *unigram = (struct unigram){ 0 };
  if (parse_parts(&member, &parts, error) == QE_OK)
    return unigram_finish(&parts, unigram, error);
  unigram_free(&parts.unigram);
  return error->status;
}

static void put(unsigned char **to, uint64_t value, size_t size) {
  bytes_store(*to, value, size);
  *to += size;
}

static void put_text(unsigned char **to, qe_text text) {
  if (text.size > 0)
    memcpy(*to, text.data, text.size);
  *to += text.size;
}

int unigram_write(const struct unigram *u, char **bytes, size_t *size) {
  const size_t piece_bytes = u->count ? u->offset[u->count] : 0, rule_bytes = u->rules ? u->rule[2 * u->rules] : 0;
  *size = HEADER + 7 * u->count + piece_bytes + 3 * u->rules + rule_bytes;
  *bytes = memory_new(*size, 1);
  if (!*bytes)
    return QE_MEMORY;
  unsigned char *to = (unsigned char *)*bytes;
  put_text(&to, qe_string(MAGIC));
  const uint64_t header[] = { VERSION, u->count, u->rules, u->unknown, u->begin, u->end };
  for (size_t i = 0; i < sizeof header / sizeof *header; i++)
    put(&to, header[i], 4);
  for (size_t i = 0; i < u->count; i++) {
    const qe_text piece = unigram_piece(u, i);
    put(&to, float_bits(u->score[i]), 4);
    put(&to, u->special[i], 1);
    put(&to, piece.size, 2);
    put_text(&to, piece);
  }
  for (size_t i = 0; i < u->rules; i++) {
    const qe_text key = rule_key(u, i), value = rule_value(u, i);
    put(&to, key.size, 1);
    put(&to, value.size, 2);
    put_text(&to, key);
    put_text(&to, value);
  }
  return QE_OK;
}

uint64_t unigram_fingerprint(const struct unigram *u) {
  const uint32_t ids[] = { u->unknown, u->begin, u->end, (uint32_t)u->count };
  uint64_t hash = fnv1a(FNV1A_START, ids, sizeof ids);
  hash = fnv1a(hash, u->bytes, u->offset[u->count]);
  hash = fnv1a(hash, u->offset, u->count * sizeof *u->offset);
  hash = fnv1a(hash, u->score, u->count * sizeof *u->score);
  hash = fnv1a(hash, u->special, u->count);
  if (u->rules == 0)
    return hash;
  hash = fnv1a(hash, u->rule, (2 * u->rules + 1) * sizeof *u->rule);
  return fnv1a(hash, u->rule_bytes, u->rule[2 * u->rules]);
}
