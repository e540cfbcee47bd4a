/*
** vocabulary.c - word -> ids of embedding rows, by a table of known words or by hashes of character n-grams, of all or of
** known ones (pieces are found by unigram.c; here they are only kept). What
** is looked up is never the word but its key: the first VOCABULARY_MAX_WORD code points, lower-cased if so
** configured, on the stack. Invariant of the table: every row's word is in exactly one slot, found by linear
** probing from its hash, and at least half of the slots are free. Looking up allocates nothing; the file does not
** cut texts into words.
*/
#include "grams.h"
#include "text.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <utf8proc.h>

enum { SHORTEST_NGRAM = 3, LONGEST_NGRAM = 5, FIRST_SLOTS = 64 };
/* A run of full slots in a half-empty table of 2^24 words is some 90 long; more comes from words made to collide.
** */
enum { MOST_PROBES = 1024 };
enum { MOST_WORD_BYTES = 4 * VOCABULARY_MAX_WORD, WORD_START = '<', WORD_END = '>', STX = 2, ETX = 3 };

/* "<word>" and where its code points begin: point i is bytes[offset[i]] .. bytes[offset[i + 1]]. */
struct key {
  uint32_t points; /* the two boundaries included */
  uint16_t offset[VOCABULARY_MAX_WORD + 3];
  unsigned char bytes[MOST_WORD_BYTES + 2];
};

static size_t encode_point(int32_t point, unsigned char *bytes, bool lowercase) {
  return (size_t)utf8proc_encode_char(lowercase ? utf8proc_tolower(point) : point, bytes);
}

static void key_make(struct key *key, qe_text word, bool lowercase) {
  uint32_t points = 1;
  size_t used = 1;
  key->bytes[0] = WORD_START;
  key->offset[0] = 0;
  for (size_t at = 0; at < word.size && points <= VOCABULARY_MAX_WORD; points++) {
    const unsigned char byte = (unsigned char)word.data[at];
    key->offset[points] = (uint16_t)used;
    if (byte < 0x80) {
      key->bytes[used++] = lowercase && byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
      at++;
    } else {
      int32_t point;
      at += utf8_decode(word.data + at, word.size - at, &point);
      used += encode_point(point == UTF8_BAD ? 0xfffd : point, key->bytes + used, lowercase);
    }
  }
  key->offset[points++] = (uint16_t)used;
  key->bytes[used++] = WORD_END;
  key->offset[points] = (uint16_t)used;
  key->points = points;
}

/* The word without its boundaries. */
static qe_text key_word(const struct key *key) {
  return (qe_text){ (const char *)key->bytes + 1, (size_t)key->offset[key->points] - 2 };
}

/* ---- n-grams ---- */

static uint32_t bucket(uint64_t hash, uint64_t rows) {
  return (uint32_t)((rows & (rows - 1)) == 0 ? hash & (rows - 1) : hash % rows);
}

static uint64_t hash_points(uint64_t hash, const struct key *key, uint32_t first, uint32_t end) {
  for (uint32_t at = key->offset[first]; at < key->offset[end]; at++)
    hash = fnv1a(hash, key->bytes + at, 1);
  return hash;
}

static uint64_t hash_whole(const struct key *key) {
  static const unsigned char start = STX, end = ETX;
  return fnv1a(hash_points(fnv1a(FNV1A_START, &start, 1), key, 1, key->points - 1), &end, 1);
}

/* Hashes of the word and of its n-grams, 1 to VOCABULARY_MAX_IDS of them. */
static size_t ngram_hashes(const struct key *key, uint64_t hashes[VOCABULARY_MAX_IDS]) {
  size_t count = 1;
  hashes[0] = hash_whole(key);
  for (uint32_t first = 0; first + SHORTEST_NGRAM <= key->points; first++) {
    uint32_t end = first + SHORTEST_NGRAM;
    uint64_t hash = hash_points(FNV1A_START, key, first, end);
    for (;; hash = hash_points(hash, key, end, end + 1), end++) {
      if (count == VOCABULARY_MAX_IDS)
        return count;
      hashes[count++] = hash;
      if (end == first + LONGEST_NGRAM || end == key->points)
        break;
    }
  }
  return count;
}

static size_t hashed_ids(const struct key *key, uint32_t rows, uint32_t ids[VOCABULARY_MAX_IDS]) {
  uint64_t hashes[VOCABULARY_MAX_IDS];
  const size_t count = ngram_hashes(key, hashes);
  for (size_t i = 0; i < count; i++)
    ids[i] = bucket(hashes[i], rows);
  return count;
}

/* Of FNV-1a the last byte hardly moves the upper bits, by which grams are told apart. */
static size_t mixed_hashes(const struct key *key, uint64_t hashes[VOCABULARY_MAX_IDS]) {
  const size_t count = ngram_hashes(key, hashes);
  for (size_t i = 0; i < count; i++)
    hashes[i] = hash_mix(hashes[i]);
  return count;
}

static size_t counted_ids(const struct key *key, const struct grams *grams, uint32_t ids[VOCABULARY_MAX_IDS]) {
  uint64_t hashes[VOCABULARY_MAX_IDS];
  const size_t count = grams_find(grams, hashes, mixed_hashes(key, hashes), ids);
  if (count == 0)
    ids[0] = 0;
  return count > 0 ? count : 1;
}

/* ---- table of words ---- */

static qe_text row_word(const struct vocabulary *vocabulary, uint32_t row) {
  const uint32_t *offset = vocabulary->offset + row;
  return (qe_text){ vocabulary->bytes + offset[-1], offset[0] - offset[-1] };
}

qe_text vocabulary_word(const struct vocabulary *vocabulary, uint32_t row) {
  return row > 0 ? row_word(vocabulary, row) : (qe_text){ "", 0 };
}

/* The slot of that word, or the free one where it belongs; `probes` counts how many were looked at. */
static size_t find_slot(const struct vocabulary *vocabulary, qe_text word, size_t *probes) {
  const uint64_t hash = fnv1a(FNV1A_START, word.data, word.size);
  size_t slot = (size_t)(hash ^ hash >> 32) & (vocabulary->slot_count - 1);
  for (*probes = 1; vocabulary->slots[slot] != 0; ++*probes) {
    if (text_same(row_word(vocabulary, vocabulary->slots[slot]), word))
      break;
    slot = (slot + 1) & (vocabulary->slot_count - 1);
  }
  return slot;
}

size_t vocabulary_ids(const struct vocabulary *vocabulary, qe_text word, uint32_t ids[VOCABULARY_MAX_IDS]) {
  struct key key;
  size_t probes;
  key_make(&key, word, vocabulary->lowercase);
  if (vocabulary->kind == VOCABULARY_NGRAMS)
    return hashed_ids(&key, vocabulary->rows, ids);
  if (vocabulary->kind == VOCABULARY_COUNTED)
    return counted_ids(&key, vocabulary->grams, ids);
  ids[0] = vocabulary->slots[find_slot(vocabulary, key_word(&key), &probes)];
  return 1;
}

int vocabulary_hashed(struct vocabulary *vocabulary, uint32_t buckets, bool lowercase) {
  *vocabulary = (struct vocabulary){ .kind = VOCABULARY_NGRAMS, .rows = buckets, .lowercase = lowercase };
  return buckets > 0 ? QE_OK : QE_USE;
}

/* ---- pieces ---- */

struct pieces {
  atomic_size_t owners;
  struct unigram unigram;
  uint64_t fingerprint;
};

int vocabulary_pieces(struct vocabulary *vocabulary, struct unigram *unigram) {
  struct pieces *pieces = memory_new(1, sizeof *pieces);
  *vocabulary =
      (struct vocabulary){ .kind = VOCABULARY_PIECES, .pieces = pieces, .rows = (uint32_t)unigram->count };
  if (!pieces) {
    unigram_free(unigram);
    return QE_MEMORY;
  }
  atomic_init(&pieces->owners, 1);
  pieces->unigram = *unigram;
  pieces->fingerprint = unigram_fingerprint(unigram);
  *unigram = (struct unigram){ 0 };
  return QE_OK;
}

const struct unigram *vocabulary_unigram(const struct vocabulary *vocabulary) {
  return &vocabulary->pieces->unigram;
}

static void pieces_leave(struct pieces *pieces) {
  if (!pieces || atomic_fetch_sub(&pieces->owners, 1) > 1)
    return;
  unigram_free(&pieces->unigram);
  memory_free(pieces);
}

void vocabulary_free(struct vocabulary *vocabulary) {
  pieces_leave(vocabulary->pieces);
  grams_release(vocabulary->grams);
  memory_free(vocabulary->bytes);
  memory_free(vocabulary->offset);
  memory_free(vocabulary->slots);
  *vocabulary = (struct vocabulary){ 0 };
}

/* ---- growing a table ---- */

struct builder {
  struct vocabulary table;
  size_t bytes_room, offset_room;
};

/* Room for so many slots, with the rows there are. */
static int builder_rehash(struct builder *builder, size_t slots) {
  struct vocabulary *table = &builder->table;
  uint32_t *fresh = memory_new(slots, sizeof *fresh);
  size_t probes;
  if (!fresh)
    return QE_MEMORY;
  memory_free(table->slots);
  table->slots = fresh;
  table->slot_count = slots;
  for (uint32_t row = 1; row < table->rows; row++)
    table->slots[find_slot(table, row_word(table, row), &probes)] = row;
  return QE_OK;
}

/* A table of the unknown word alone. */
static int builder_start(struct builder *builder, bool lowercase) {
  *builder = (struct builder){ .table = { .kind = VOCABULARY_WORDS, .lowercase = lowercase } };
  struct vocabulary *table = &builder->table;
  if (!memory_reserve((void **)&table->offset, &builder->offset_room, 1, sizeof *table->offset))
    return QE_MEMORY;
  table->offset[0] = 0;
  table->rows = 1;
  return builder_rehash(builder, FIRST_SLOTS);
}

/* Puts a word that is not there yet into the free slot where it belongs. */
static int builder_insert(struct builder *builder, size_t slot, qe_text word) {
  struct vocabulary *table = &builder->table;
  const uint32_t row = table->rows, used = table->offset[row - 1];
  if (word.size > UINT32_MAX - used || row == UINT32_MAX)
    return QE_MEMORY;
  if (!memory_reserve((void **)&table->bytes, &builder->bytes_room, used + word.size + 1, 1) ||
      !memory_reserve((void **)&table->offset, &builder->offset_room, (size_t)row + 1, sizeof *table->offset))
    return QE_MEMORY;
  memcpy(table->bytes + used, word.data, word.size);
  table->offset[row] = used + (uint32_t)word.size;
  table->slots[slot] = row;
  table->rows++;
  return (size_t)table->rows * 2 > table->slot_count ? builder_rehash(builder, 2 * table->slot_count) : QE_OK;
}

/* ---- counting ---- */

struct counted {
  qe_text word;
  uint64_t count;
};

struct counter {
  struct builder builder;
  uint64_t *count; /* of the word of each row */
  size_t count_room;
};

static int count_word(void *owner, qe_text word) {
  struct counter *counter = owner;
  struct vocabulary *table = &counter->builder.table;
  struct key key;
  size_t probes;
  key_make(&key, word, table->lowercase);
  const size_t slot = find_slot(table, key_word(&key), &probes);
  if (table->slots[slot] != 0) {
    counter->count[table->slots[slot]]++;
    return QE_OK;
  }
  if (!memory_reserve((void **)&counter->count, &counter->count_room, (size_t)table->rows + 1,
                      sizeof *counter->count))
    return QE_MEMORY;
  counter->count[table->rows] = 1;
  return builder_insert(&counter->builder, slot, key_word(&key));
}

/* Every word of some texts. */
static int each_word(const qe_text *texts, size_t count, size_t max_words, int (*see)(void *owner, qe_text word),
                     void *owner) {
  struct words words = { 0 };
  int status = QE_OK;
  for (size_t i = 0; i < count && status == QE_OK; i++) {
    status = words_split(&words, texts[i], max_words);
    for (size_t j = 0; status == QE_OK && j < words.count; j++)
      status = see(owner, (qe_text){ words.bytes + words.offset[j], words.offset[j + 1] - words.offset[j] });
  }
  words_free(&words);
  return status;
}

static int most_frequent_first(const void *a, const void *b) {
  const struct counted *one = a, *other = b;
  if (one->count != other->count)
    return one->count > other->count ? -1 : 1;
  return text_order(one->word, other->word);
}

/* The first rows - 1 of the words in their order. */
static int build_frequent(struct builder *builder, struct counted *counted, size_t count, uint32_t rows,
                          bool lowercase) {
  int status = builder_start(builder, lowercase);
  qsort(counted, count, sizeof *counted, most_frequent_first);
  for (size_t i = 0; i < count && i + 1 < rows && status == QE_OK; i++) {
    size_t probes, slot = find_slot(&builder->table, counted[i].word, &probes);
    status = builder_insert(builder, slot, counted[i].word);
  }
  return status;
}

static int choose_words(struct builder *builder, const struct counter *counter, uint32_t rows, uint32_t minimum) {
  const struct vocabulary *table = &counter->builder.table;
  struct counted *counted = memory_new(table->rows, sizeof *counted);
  size_t count = 0;
  if (!counted)
    return QE_MEMORY;
  for (uint32_t row = 1; row < table->rows; row++)
    if (counter->count[row] >= minimum)
      counted[count++] = (struct counted){ row_word(table, row), counter->count[row] };
  int status = build_frequent(builder, counted, count, rows, table->lowercase);
  memory_free(counted);
  return status;
}

/* Hands the table over, or frees it. */
static int builder_finish(struct builder *builder, int status, struct vocabulary *vocabulary) {
  if (status != QE_OK)
    vocabulary_free(&builder->table);
  *vocabulary = builder->table;
  return status;
}

int vocabulary_count(struct vocabulary *vocabulary, const qe_text *texts, size_t count, uint32_t rows,
                     uint32_t minimum, bool lowercase, size_t max_words, struct error *error) {
  struct counter counter = { 0 };
  struct builder builder = { 0 };
  if (rows == 0)
    return error_set(error, QE_USE, "a vocabulary has at least one row, that of the unknown word");
  int status = builder_start(&counter.builder, lowercase);
  if (status == QE_OK)
    status = each_word(texts, count, max_words, count_word, &counter);
  if (status == QE_OK)
    status = choose_words(&builder, &counter, rows, minimum);
  vocabulary_free(&counter.builder.table);
  memory_free(counter.count);
  return builder_finish(&builder, status, vocabulary) == QE_OK ? QE_OK : error_memory(error);
}

struct gathered {
  uint64_t *hashes;
  size_t count, room;
  bool lowercase;
};

static int gather_word(void *owner, qe_text word) {
  struct gathered *gathered = owner;
  struct key key;
  if (!memory_reserve((void **)&gathered->hashes, &gathered->room, gathered->count + VOCABULARY_MAX_IDS,
                      sizeof *gathered->hashes))
    return QE_MEMORY;
  key_make(&key, word, gathered->lowercase);
  gathered->count += mixed_hashes(&key, gathered->hashes + gathered->count);
  return QE_OK;
}

/* Takes the n-grams over; NULL: the error says why. */
static int vocabulary_of_grams(struct vocabulary *vocabulary, struct grams *grams, bool lowercase) {
  *vocabulary = (struct vocabulary){ .kind = VOCABULARY_COUNTED, .lowercase = lowercase, .grams = grams };
  if (!grams)
    return QE_MEMORY;
  vocabulary->rows = grams_rows(grams);
  return QE_OK;
}

int vocabulary_count_grams(struct vocabulary *vocabulary, const qe_text *texts, size_t count, uint32_t rows,
                           uint32_t minimum, bool lowercase, size_t max_words, struct error *error) {
  struct gathered gathered = { .lowercase = lowercase };
  *vocabulary = (struct vocabulary){ 0 };
  if (rows == 0)
    return error_set(error, QE_USE, "a vocabulary has at least one row, that of words without known n-grams");
  struct grams *grams = each_word(texts, count, max_words, gather_word, &gathered) == QE_OK
                            ? grams_choose(gathered.hashes, gathered.count, rows, minimum)
                            : NULL;
  memory_free(gathered.hashes);
  return vocabulary_of_grams(vocabulary, grams, lowercase) == QE_OK ? QE_OK : error_memory(error);
}

/* ---- the archive member ---- */

static int check_word(qe_text word, uint32_t number, struct error *error) {
  size_t points = 0;
  if (word.size == 0)
    return error_set(error, QE_FORMAT, "vocabulary: word %u is empty", number);
  for (size_t at = 0; at < word.size; points++) {
    int32_t point;
    const size_t taken = utf8_decode(word.data + at, word.size - at, &point);
    if (point == UTF8_BAD)
      return error_set(error, QE_FORMAT, "vocabulary: word %u is not UTF-8 from its byte %zu on", number, at + 1);
    at += taken;
  }
  if (points > VOCABULARY_MAX_WORD)
    return error_set(error, QE_FORMAT, "vocabulary: word %u has %zu characters, more than %d", number, points,
                     VOCABULARY_MAX_WORD);
  return QE_OK;
}

static int parse_word(struct builder *builder, qe_text word, struct error *error) {
  const struct vocabulary *table = &builder->table;
  size_t probes;
  if (check_word(word, table->rows, error) != QE_OK)
    return error->status;
  const size_t slot = find_slot(table, word, &probes);
  if (table->slots[slot] != 0)
    return error_set(error, QE_FORMAT, "vocabulary: word %u is word %u again", table->rows, table->slots[slot]);
  if (probes > MOST_PROBES)
    return error_set(error, QE_FORMAT, "vocabulary: word %u has the hash of too many others", table->rows);
  return builder_insert(builder, slot, word) == QE_OK ? QE_OK : error_memory(error);
}

static int parse_words(struct builder *builder, qe_text member, uint32_t rows, struct error *error) {
  const unsigned char *bytes = (const unsigned char *)member.data;
  size_t at = 0;
  while (at < member.size) {
    const uint32_t number = builder->table.rows;
    if (number == rows)
      return error_set(error, QE_FORMAT, "vocabulary: more than the %u words expected", rows - 1);
    const size_t left = member.size - at, size = left < 2 ? 0 : bytes[at] | (size_t)bytes[at + 1] << 8;
    if (left < 2 || size > left - 2)
      return error_set(error, QE_FORMAT, "vocabulary: word %u is cut off", number);
    int status = parse_word(builder, (qe_text){ member.data + at + 2, size }, error);
    if (status != QE_OK)
      return status;
    at += 2 + size;
  }
  if (builder->table.rows != rows)
    return error_set(error, QE_FORMAT, "vocabulary: %u words, %u expected", builder->table.rows - 1, rows - 1);
  return QE_OK;
}

int vocabulary_parse(struct vocabulary *vocabulary, qe_text member, uint32_t rows, bool lowercase,
                     struct error *error) {
  struct builder builder;
  *vocabulary = (struct vocabulary){ 0 };
  if (rows == 0)
    return error_set(error, QE_USE, "a vocabulary has at least one row, that of the unknown word");
  int status = builder_start(&builder, lowercase) == QE_OK ? parse_words(&builder, member, rows, error)
                                                           : error_memory(error);
  return builder_finish(&builder, status, vocabulary);
}

int vocabulary_parse_grams(struct vocabulary *vocabulary, qe_text member, uint32_t rows, bool lowercase,
                           struct error *error) {
  return vocabulary_of_grams(vocabulary, grams_parse(member, rows, error), lowercase) == QE_OK ? QE_OK
                                                                                               : error->status;
}

int vocabulary_write(const struct vocabulary *vocabulary, char **bytes, size_t *size) {
  if (vocabulary->kind == VOCABULARY_COUNTED)
    return grams_write(vocabulary->grams, bytes, size);
  const uint32_t words = vocabulary->kind == VOCABULARY_WORDS ? vocabulary->rows - 1 : 0;
  *size = words > 0 ? vocabulary->offset[words] + 2 * (size_t)words : 0;
  *bytes = memory_new(*size, 1);
  if (!*bytes)
    return QE_MEMORY;
  char *to = *bytes;
  for (uint32_t row = 1; row <= words; row++) {
    qe_text word = row_word(vocabulary, row);
    *to++ = (char)(word.size & 0xff);
    *to++ = (char)(word.size >> 8);
    memcpy(to, word.data, word.size);
    to += word.size;
  }
  return QE_OK;
}

/* ---- copies ---- */

/* NULL stays NULL; false: no memory. */
static bool duplicate(void **to, const void *from, size_t count, size_t size) {
  *to = from ? memory_new(count, size) : NULL;
  if (*to)
    memcpy(*to, from, count * size);
  return *to || !from;
}

int vocabulary_copy(struct vocabulary *to, const struct vocabulary *from) {
  const size_t rows = from->offset ? from->rows : 0;
  *to = *from;
  to->bytes = NULL;
  to->offset = to->slots = NULL;
  if (to->pieces)
    atomic_fetch_add(&to->pieces->owners, 1);
  grams_hold(to->grams);
  if (duplicate((void **)&to->bytes, from->bytes, rows ? from->offset[rows - 1] : 0, 1) &&
      duplicate((void **)&to->offset, from->offset, rows, sizeof *from->offset) &&
      duplicate((void **)&to->slots, from->slots, from->slot_count, sizeof *from->slots))
    return QE_OK;
  vocabulary_free(to);
  return QE_MEMORY;
}

static uint64_t hash_number(uint64_t hash, uint64_t number) {
  for (int i = 0; i < 8; i++) {
    const unsigned char byte = (unsigned char)(number >> 8 * i);
    hash = fnv1a(hash, &byte, 1);
  }
  return hash;
}

uint64_t vocabulary_fingerprint(const struct vocabulary *vocabulary, size_t max_words) {
  uint64_t hash = hash_number(FNV1A_START, (uint64_t)vocabulary->kind);
  hash = hash_number(hash, vocabulary->rows);
  hash = hash_number(hash, vocabulary->lowercase);
  hash = hash_number(hash, max_words);
  if (vocabulary->kind == VOCABULARY_PIECES)
    return hash_number(hash, vocabulary->pieces->fingerprint);
  if (vocabulary->kind == VOCABULARY_COUNTED)
    return hash_number(hash, grams_hash(vocabulary->grams));
  for (uint32_t row = 1; vocabulary->kind == VOCABULARY_WORDS && row < vocabulary->rows; row++) {
    qe_text word = row_word(vocabulary, row);
    hash = fnv1a(hash_number(hash, word.size), word.data, word.size);
  }
  return hash;
}
