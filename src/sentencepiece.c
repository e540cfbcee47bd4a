/*
** sentencepiece.c - a model file of SentencePiece is a protocol buffer: pieces with scores and kinds, how it was trained,
** and how text is rewritten, the latter as a double-array trie (Aoe 1989, as darts-clone packs it) whose keys and values
** are written out as rules here. Nothing in the file is believed: lengths, kinds and every place in the trie are checked,
** and what would be understood differently is refused.
*/
#include "sentencepiece.h"
#include "bytes.h"
#include "transcendental.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };
enum { NORMAL = 1, CONTROL = 3, UNUSED = 5 }; /* kinds of pieces */
enum { FIRST_OWN = 3 };                       /* pieces before it are special */

/* ---- protocol buffers ---- */

struct field {
  uint32_t number, kind;
  uint64_t value; /* of VARINT and fixed ones */
  qe_text bytes;  /* of LENGTH */
};

static bool take_varint(qe_text *message, uint64_t *value) {
  *value = 0;
  qe_text taken;
  for (int shift = 0; shift < 64 && text_take(message, 1, &taken); shift += 7) {
    const unsigned char byte = (unsigned char)*taken.data;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80)
      return true;
  }
  return false;
}

/* 1: a field, 0: the end, -1: malformed. */
static int take_field(qe_text *message, struct field *field) {
  uint64_t key, size;
  *field = (struct field){ 0 };
  if (message->size == 0)
    return 0;
  if (!take_varint(message, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
    return -1;
  field->number = (uint32_t)(key >> 3);
  field->kind = key & 7;
  if (field->kind == VARINT)
    return take_varint(message, &field->value) ? 1 : -1;
  if (field->kind == LENGTH)
    return take_varint(message, &size) && text_take(message, size, &field->bytes) ? 1 : -1;
  if (field->kind != FIXED32 && field->kind != FIXED64)
    return -1;
  size = field->kind == FIXED32 ? 4 : 8;
  if (!text_take(message, size, &field->bytes))
    return -1;
  field->value = bytes_load((const unsigned char *)field->bytes.data, (size_t)size);
  return 1;
}

/* ---- pieces ---- */

struct reading {
  struct unigram_parts parts;
  size_t pieces; /* of the file */
  qe_text trainer, normaliser;
  struct error *error;
};

static int damaged(struct reading *reading, const char *what) {
  return error_set(reading->error, QE_FORMAT, "SentencePiece: %s is cut off or damaged", what);
}

/* <s> <pad> </s> <unk> in place of the file's <unk> <s> </s>. */
static int add_first(struct reading *reading) {
  static const char *const names[] = { "<s>", "<pad>", "</s>", "<unk>" };
  for (size_t i = 0; i < 4; i++)
    if (unigram_add_piece(&reading->parts, qe_string(names[i]), 0, true) != QE_OK)
      return error_memory(reading->error);
  reading->parts.unigram.begin = 0;
  reading->parts.unigram.end = 2;
  reading->parts.unigram.unknown = 3;
  return QE_OK;
}

static int add_piece(struct reading *reading, qe_text text, float score, uint64_t kind) {
  static const char *const first[FIRST_OWN] = { "<unk>", "<s>", "</s>" };
  const size_t number = reading->pieces++;
  if (number < FIRST_OWN) {
    if (!text_is(text, first[number]) || kind == NORMAL)
      return error_set(reading->error, QE_FORMAT,
                       "SentencePiece: piece %zu is \"%.*s\", expected %s, a special one", number, text_width(text),
                       text.data, first[number]);
    return number == 0 ? add_first(reading) : QE_OK;
  }
  if (kind != NORMAL && kind != UNUSED && kind != CONTROL)
    return error_set(reading->error, QE_FORMAT,
                     "SentencePiece: piece %zu, \"%.*s\", has the kind %u, which is not supported", number,
                     text_width(text), text.data, (unsigned)kind);
  return unigram_add_piece(&reading->parts, text, score, kind != NORMAL) == QE_OK ? QE_OK
                                                                                  : error_memory(reading->error);
}

static int read_piece(struct reading *reading, qe_text message) {
  struct field field;
  qe_text text = { "", 0 };
  float score = 0;
  uint64_t kind = NORMAL;
  int more;
  while ((more = take_field(&message, &field)) > 0) {
    if (field.number == 1 && field.kind == LENGTH)
      text = field.bytes;
    else if (field.number == 2 && field.kind == FIXED32)
      score = float_of((uint32_t)field.value);
    else if (field.number == 3 && field.kind == VARINT)
      kind = field.value;
  }
  return more < 0 ? damaged(reading, "a piece") : add_piece(reading, text, score, kind);
}

/* ---- settings ---- */

struct setting {
  uint32_t number;
  uint64_t expected; /* which is also what absence means */
  const char *name;
};

static int check_settings(struct reading *reading, qe_text message, const struct setting *settings, size_t count) {
  struct field field;
  int more;
  while ((more = take_field(&message, &field)) > 0)
    for (size_t i = 0; i < count; i++)
      if (field.number == settings[i].number && field.kind == VARINT && field.value != settings[i].expected)
        return error_set(reading->error, QE_FORMAT, "SentencePiece: %s is %u; only %u is supported",
                         settings[i].name, (unsigned)field.value, (unsigned)settings[i].expected);
  return more < 0 ? damaged(reading, "a specification") : QE_OK;
}

static int check_trainer(struct reading *reading) {
  static const struct setting settings[] = { { 3, 1, "model_type" },
                                             { 24, 0, "treat_whitespace_as_suffix" },
                                             { 35, 0, "byte_fallback" } };
  return check_settings(reading, reading->trainer, settings, sizeof settings / sizeof *settings);
}

static int check_normaliser(struct reading *reading) {
  static const struct setting settings[] = { { 3, 1, "add_dummy_prefix" },
                                             { 4, 1, "remove_extra_whitespaces" },
                                             { 5, 1, "escape_whitespaces" } };
  return check_settings(reading, reading->normaliser, settings, sizeof settings / sizeof *settings);
}

/* ---- rules ---- */

/* Units of 32 bits: a label (byte, or none of bit 31), whether a value follows, and how far the children are. */
struct double_array {
  const unsigned char *units;
  size_t count;
  qe_text values; /* texts, each ended by NUL */
};
enum { DEEPEST = 64, MOST_RULES = 1 << 20, MOST_STEPS = 1 << 22 };

static uint32_t unit_at(const struct double_array *array, size_t at) {
  return (uint32_t)bytes_load(array->units + 4 * at, 4);
}

static size_t unit_children(uint32_t unit, size_t at) {
  return at ^ ((size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6));
}

static int add_rule(struct reading *reading, const struct double_array *array, qe_text key, size_t at) {
  const uint32_t value = at < array->count ? unit_at(array, at) & 0x7fffffff : UINT32_MAX;
  if (value >= array->values.size)
    return damaged(reading, "a rule");
  const char *text = array->values.data + value, *end = memchr(text, '\0', array->values.size - value);
  if (!end || reading->parts.unigram.rules == MOST_RULES)
    return damaged(reading, "the list of rules");
  return unigram_add_rule(&reading->parts, key, (qe_text){ text, (size_t)(end - text) }) == QE_OK
             ? QE_OK
             : error_memory(reading->error);
}

/* Depth first, bytes in ascending order: so the rules come sorted. Branches may share what follows, so a walk can be longer
** than the file, but not without end. */
static int walk(struct reading *reading, const struct double_array *array, size_t children, char key[DEEPEST],
                size_t depth, size_t *steps) {
  for (unsigned byte = 1; byte < 256; byte++) {
    const size_t at = children ^ byte;
    if (at >= array->count || (unit_at(array, at) & 0x800000ff) != byte)
      continue;
    if (depth == DEEPEST || ++*steps > MOST_STEPS)
      return damaged(reading, "the trie of rules");
    const uint32_t unit = unit_at(array, at);
    const size_t below = unit_children(unit, at);
    key[depth] = (char)byte;
    if ((unit >> 8 & 1) && add_rule(reading, array, (qe_text){ key, depth + 1 }, below) != QE_OK)
      return reading->error->status;
    if (walk(reading, array, below, key, depth + 1, steps) != QE_OK)
      return reading->error->status;
  }
  return QE_OK;
}

static int read_rules(struct reading *reading, qe_text map) {
  char key[DEEPEST];
  size_t steps = 0;
  if (map.size == 0)
    return QE_OK;
  const size_t size = map.size < 4 ? SIZE_MAX : (size_t)bytes_load((const unsigned char *)map.data, 4);
  if (size % 4 != 0 || size == 0 || size > map.size - 4)
    return damaged(reading, "the map of characters");
  const struct double_array array = { (const unsigned char *)map.data + 4,
                                      size / 4,
                                      { map.data + 4 + size, map.size - 4 - size } };
  return walk(reading, &array, unit_children(unit_at(&array, 0), 0), key, 0, &steps);
}

static int read_normaliser(struct reading *reading) {
  qe_text message = reading->normaliser, map = { "", 0 };
  struct field field;
  if (check_normaliser(reading) != QE_OK)
    return reading->error->status;
  while (take_field(&message, &field) > 0)
    if (field.number == 2 && field.kind == LENGTH)
      map = field.bytes;
  return read_rules(reading, map);
}

/* ---- the file ---- */

static int read_model(struct reading *reading, qe_text file) {
  struct field field;
  int more;
  while ((more = take_field(&file, &field)) > 0) {
    if (field.kind != LENGTH)
      continue;
    if (field.number == 1 && read_piece(reading, field.bytes) != QE_OK)
      return reading->error->status;
    if (field.number == 2)
      reading->trainer = field.bytes;
    if (field.number == 3)
      reading->normaliser = field.bytes;
  }
  if (more < 0)
    return damaged(reading, "the file");
  if (reading->pieces <= FIRST_OWN)
    return error_set(reading->error, QE_FORMAT, "SentencePiece: %zu pieces; this is not a model", reading->pieces);
  if (check_trainer(reading) != QE_OK)
    return reading->error->status;
  return read_normaliser(reading);
}

int sentencepiece_read(struct unigram *unigram, qe_text file, struct error *error) {
  struct reading reading = { .error = error };
  *unigram = (struct unigram){ 0 };
  if (read_model(&reading, file) == QE_OK)
    return unigram_finish(&reading.parts, unigram, error);
  unigram_free(&reading.parts.unigram);
  return error->status;
}
