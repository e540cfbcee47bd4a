/*
** evidence.c - from levels of counts to the numbers that a student reads, and the archive member. Levels are four bits:
** probabilities in steps of 2^(3/8), counts exact up to seven and in powers of two above, rates in steps of a fifth of a
** standard deviation. Invariant: a pair's numbers depend on its words and the counts alone and have the same bits
** everywhere: no libm, no order that varies.
*/
#define TRANSCENDENTAL_NO_LIBM
#include "evidence.h"
#include "bytes.h"
#include "kernel.h"
#include "lexicon.h"
#include "transcendental.h"

#include <utf8proc.h>

enum { MOST_POINTS = 256, EXACT = 7, MEMBER_VERSION = 1 };

struct evidence_work {
  struct hashed text[2];
  struct levels levels;
  unsigned char *both, *best_given, *best_both; /* a row of cells; of words of the source */
  unsigned char *block;                         /* that all of these lie in */
  size_t room;
};

/* ---- hashes ---- */

uint64_t evidence_gram(const struct hashed *text, size_t last, size_t length) {
  uint64_t key = length;
  for (size_t back = length; back-- > 0;)
    key = hash_mix(key + (last >= back ? text->word[last - back] : 0));
  return key;
}

static inline uint64_t link_key(uint64_t source_half, uint64_t target_stem) {
  return hash_mix(source_half + target_stem);
}

uint64_t evidence_link(uint64_t source_stem, uint64_t target_stem) {
  return link_key(hash_mix(source_stem), target_stem);
}

uint64_t evidence_text(qe_text text) {
  return fnv1a(FNV1A_START, text.data, text.size);
}

uint64_t evidence_pair_key(const qe_pair *pair) {
  return evidence_link(evidence_text(pair->source), evidence_text(pair->translation));
}

/* Lower-cased; the stem is what lexicon.c makes of it. */
static void hash_word(struct hashed *text, size_t number, qe_text word) {
  uint64_t hash = FNV1A_START, stem = 0;
  size_t points = 0;
  bool cut = false;
  for (size_t at = 0; at < word.size && points < MOST_POINTS; points++) {
    unsigned char bytes[4];
    int32_t point;
    at += utf8_decode(word.data + at, word.size - at, &point);
    point = point == UTF8_BAD ? 0xfffd : point;
    cut = cut || (points == 0 && utf8_is_letter(point));
    hash = fnv1a(hash, bytes, (size_t)utf8proc_encode_char(utf8proc_tolower(point), bytes));
    if (points + 1 == LEXICON_LETTERS)
      stem = hash;
  }
  text->word[number + 1] = hash;
  text->stem[number + 1] = cut && points > LEXICON_LETTERS ? stem : hash;
  text->length[number + 1] = (unsigned char)(points > LEVELS ? LEVELS : points);
}

static bool hash_words(struct hashed *text, const struct words *words) {
  if (words->count + 1 > text->room) {
    const size_t room = 2 * words->count + 64;
    memory_free(text->word);
    memory_free(text->stem);
    memory_free(text->length);
    text->word = memory_new(room, sizeof *text->word);
    text->stem = memory_new(room, sizeof *text->stem);
    text->length = memory_new(room, 1);
    text->room = text->word && text->stem && text->length ? room : 0;
    if (!text->room)
      return false;
  }
  text->count = words->count;
  text->word[0] = text->stem[0] = 0;
  for (size_t i = 0; i < words->count; i++)
    hash_word(text, i, (qe_text){ words->bytes + words->offset[i], words->offset[i + 1] - words->offset[i] });
  return true;
}

static void hashed_free(struct hashed *text) {
  memory_free(text->word);
  memory_free(text->stem);
  memory_free(text->length);
}

/* ---- levels ---- */

unsigned char level_of_count(double count) {
  unsigned char level = EXACT;
  if (count < EXACT + 1)
    return count < 1 ? 0 : (unsigned char)count;
  for (double limit = EXACT + 1; level < LEVELS && count >= limit; limit *= 2)
    level++;
  return level;
}

static float count_of_level(unsigned level) {
  return level <= EXACT ? (float)level : (float)((EXACT + 1) << (level - EXACT - 1)) * 1.4f;
}

/* 2^(-3/16 i): half a step of probabilities. */
static const float half_steps[2 * LEVELS + 1] = {
  0x1p+0f,        0x1.c199bep-1f, 0x1.8ace54p-1f, 0x1.5ab07ep-1f, 0x1.306fe0p-1f, 0x1.0b5586p-1f, 0x1.d5818ep-2f,
  0x1.9c4918p-2f, 0x1.6a09e6p-2f, 0x1.3dea64p-2f, 0x1.172b84p-2f, 0x1.ea4afap-3f, 0x1.ae89fap-3f, 0x1.7a1148p-3f,
  0x1.4bfdaep-3f, 0x1.2387a6p-3f, 0x1p-3f,        0x1.c199bep-4f, 0x1.8ace54p-4f, 0x1.5ab07ep-4f, 0x1.306fe0p-4f,
  0x1.0b5586p-4f, 0x1.d5818ep-5f, 0x1.9c4918p-5f, 0x1.6a09e6p-5f, 0x1.3dea64p-5f, 0x1.172b84p-5f, 0x1.ea4afap-6f,
  0x1.ae89fap-6f, 0x1.7a1148p-6f, 0x1.4bfdaep-6f,
};

/* LEVELS: about 1; each step down 2^(3/8) less. */
unsigned char level_of_probability(float t) {
  unsigned level = LEVELS;
  while (level > 0 && t < half_steps[2 * (LEVELS - level) + 1])
    level--;
  return (unsigned char)level;
}

unsigned char level_of_rate(double rate) {
  const double level = (LEVELS + 1) / 2 + rate * 5;
  return (unsigned char)(level < 1 ? 1 : level > LEVELS ? LEVELS : level + .5);
}

/* Look-ups wait for memory: those of a share of words are announced together. */
enum { SHARE = 16 };
static size_t share_end(size_t first, size_t count) {
  return first + SHARE < count ? first + SHARE : count;
}

static void find_grams(const struct evidence *evidence, int side, const struct hashed *text,
                       struct levels *levels) {
  const struct sketch *grams = &evidence->grams[side];
  uint64_t key[SHARE][3];
  for (size_t first = 0, end; first <= text->count; first = end) {
    end = share_end(first, text->count + 1);
    for (size_t i = first; i < end; i++)
      for (size_t length = 1; length <= 3; length++)
        sketch_expect(grams, key[i - first][length - 1] = evidence_gram(text, i, length));
    for (size_t i = first; i < end; i++) {
      const unsigned char word = sketch_find(grams, key[i - first][0]);
      levels->one[side][i] = word & 15;
      levels->rate[side][i] = word >> 4 ? word >> 4 : (LEVELS + 1) / 2;
      levels->two[side][i] = sketch_find(grams, key[i - first][1]) & 15;
      levels->three[side][i] = sketch_find(grams, key[i - first][2]) & 15;
    }
  }
}

/* Keys of the links of some words of the source, whose halves are given, to one of the translation. */
static void expect_links(const struct sketch *lexicon, const uint64_t *half, size_t count, uint64_t target,
                         uint64_t *key) {
  for (size_t i = 0; i < count; i++)
    sketch_expect(lexicon, key[i] = link_key(half[i], target));
}

/* Of a share of the source's words, those to one word of the translation are announced while those to the one before are
** looked up. */
static void find_links(const struct evidence *evidence, const struct hashed texts[2], struct levels *levels) {
  const struct sketch *lexicon = &evidence->lexicon;
  uint64_t half[SHARE], key[2][SHARE];
  for (size_t first = 0, end; first < texts[0].count && texts[1].count > 0; first = end) {
    end = share_end(first, texts[0].count);
    for (size_t n = first; n < end; n++)
      half[n - first] = hash_mix(texts[0].stem[n + 1]);
    expect_links(lexicon, half, end - first, texts[1].stem[1], key[0]);
    for (size_t m = 0; m < texts[1].count; m++) {
      const size_t cell = m * texts[0].count;
      if (m + 1 < texts[1].count)
        expect_links(lexicon, half, end - first, texts[1].stem[m + 2], key[(m + 1) % 2]);
      for (size_t n = first; n < end; n++) {
        const unsigned char both = sketch_find(lexicon, key[m % 2][n - first]);
        levels->given[0][cell + n] = both & 15;
        levels->given[1][cell + n] = both >> 4;
      }
    }
  }
}

static bool levels_reserve(struct evidence_work *work) {
  const size_t count[2] = { work->text[0].count, work->text[1].count };
  const size_t need = 2 * count[0] * count[1] + 4 * (count[0] + count[1] + 2) + 3 * count[0];
  if (!memory_reserve((void **)&work->block, &work->room, need, 1))
    return false;
  unsigned char *at = work->block;
  for (int side = 0; side < 2; side++, at += count[0] * count[1])
    work->levels.given[side] = at;
  for (int side = 0; side < 2; side++) {
    unsigned char **const parts[] = { &work->levels.one[side], &work->levels.two[side], &work->levels.three[side],
                                      &work->levels.rate[side] };
    for (int i = 0; i < 4; i++, at += count[side] + 1)
      *parts[i] = at;
  }
  work->both = at;
  work->best_given = at + count[0];
  work->best_both = at + 2 * count[0];
  return true;
}

/* ---- channels ---- */

/* Of a trigram model smoothed towards shorter ones (MacKay and Peto 1995), weight 3. */
static float probability(const struct evidence *evidence, int side, const struct levels *levels, size_t i) {
  static const float weight = 3.0f, unseen = 0.5f;
  const float before = count_of_level(levels->one[side][i - 1]), pair = count_of_level(levels->two[side][i - 1]);
  float p = (count_of_level(levels->one[side][i]) + unseen) /
            (evidence->tokens[side] + unseen * evidence->types[side] + 1.0f);
  p = (count_of_level(levels->two[side][i]) + weight * p) / (before + weight);
  p = (count_of_level(levels->three[side][i]) + weight * p) / (pair + weight);
  return p;
}

static bool occurs(const struct hashed *text, uint64_t word) {
  for (size_t i = 1; i <= text->count; i++)
    if (text->word[i] == word)
      return true;
  return false;
}

/* Logarithms of a channel of all words, together. */
static void take_logarithms(const struct kernel *kernel, size_t count, float *channel) {
  float x[KERNEL_LANES];
  for (size_t first = 0; first < count; first += KERNEL_LANES, channel += KERNEL_LANES * CHANNELS) {
    const size_t some = count - first < KERNEL_LANES ? count - first : KERNEL_LANES;
    for (size_t i = 0; i < KERNEL_LANES; i++)
      x[i] = i < some ? channel[i * CHANNELS] : 1.0f;
    kernel->log(KERNEL_LANES, x);
    for (size_t i = 0; i < some; i++)
      channel[i * CHANNELS] = x[i];
  }
}

static void own_channels(const struct evidence *evidence, int side, const struct hashed texts[2],
                         const struct levels *levels, float *first) {
  float *channel = first;
  for (size_t i = 1; i <= texts[side].count; i++, channel += CHANNELS) {
    channel[LOG_PROBABILITY] = probability(evidence, side, levels, i);
    channel[FREQUENCY] = 1.0f + count_of_level(levels->one[side][i]);
    channel[ORDER] = !levels->one[side][i]     ? 0.0f
                     : !levels->two[side][i]   ? 1.0f
                     : !levels->three[side][i] ? 2.0f
                                               : 3.0f;
    channel[COPIED] = occurs(&texts[1 - side], texts[side].word[i]) ? 1.0f : 0.0f;
    channel[RATE] = levels->rate[side][i];
    channel[LENGTH] = texts[side].length[i];
  }
  take_logarithms(evidence->kernel, texts[side].count, first + LOG_PROBABILITY);
  take_logarithms(evidence->kernel, texts[side].count, first + FREQUENCY);
}

/* What is found in both directions: a probability's level is its logarithm. */
static void link_both(const unsigned char *restrict forward, const unsigned char *restrict backward, size_t count,
                      unsigned char *restrict both) {
  for (size_t n = 0; n < count; n++)
    both[n] = (forward[n] > 0) & (backward[n] > 0) ? (unsigned char)(forward[n] + backward[n]) : 0;
}

static void keep_largest(unsigned char *restrict best, const unsigned char *restrict levels, size_t count) {
  for (size_t n = 0; n < count; n++)
    best[n] = best[n] < levels[n] ? levels[n] : best[n];
}

static float largest(const unsigned char *levels, size_t count) {
  unsigned char best = 0;
  for (size_t n = 0; n < count; n++)
    best = best < levels[n] ? levels[n] : best;
  return best;
}

/* What words have of each other, and the prior. */
static void cross_channels(const struct evidence_work *work, struct evidence_pair *pair) {
  const size_t count = pair->count[0];
  memset(work->best_given, 0, count);
  memset(work->best_both, 0, count);
  for (size_t m = 0; m < pair->count[1]; m++) {
    const unsigned char *forward = work->levels.given[0] + m * count, *backward = work->levels.given[1] + m * count;
    link_both(forward, backward, count, work->both);
    keep_largest(work->best_given, backward, count);
    keep_largest(work->best_both, work->both, count);
    pair->channel[1][m * CHANNELS + BEST_GIVEN] = largest(forward, count);
    pair->channel[1][m * CHANNELS + BEST_BOTH] = largest(work->both, count);
    for (size_t n = 0; n < count; n++)
      pair->prior[m * count + n] = work->both[n] > 0 ? half_steps[2 * LEVELS - work->both[n]] : 0.0f;
  }
  for (size_t n = 0; n < count; n++) {
    pair->channel[0][n * CHANNELS + BEST_GIVEN] = work->best_given[n];
    pair->channel[0][n * CHANNELS + BEST_BOTH] = work->best_both[n];
  }
}

static float standardised(float value, float mean, float sd) {
  const float z = (value - mean) / sd;
  return z < -5.0f ? -5.0f : z > 5.0f ? 5.0f : z;
}

static void standardise(const struct evidence *evidence, struct evidence_pair *pair) {
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < pair->count[side]; i++)
      for (size_t c = 0; c < CHANNELS; c++) {
        float *cell = &pair->channel[side][i * CHANNELS + c];
        *cell = standardised(*cell, evidence->mean[side][c], evidence->sd[side][c]);
      }
}

static void summarise(struct evidence_pair *pair) {
  float *feature = pair->features;
  for (int side = 0; side < 2; side++)
    for (size_t c = 0; c < CHANNELS; c++, feature += 2) {
      const float *cell = pair->channel[side] + c;
      float sum = 0.0f, least = pair->count[side] > 0 ? cell[0] : 0.0f;
      for (size_t i = 0; i < pair->count[side]; i++) {
        sum += cell[i * CHANNELS];
        least = cell[i * CHANNELS] < least ? cell[i * CHANNELS] : least;
      }
      feature[0] = pair->count[side] > 0 ? sum / (float)pair->count[side] : 0.0f;
      feature[1] = least;
    }
  const float source = log_float(1.0f + (float)pair->count[0]), target = log_float(1.0f + (float)pair->count[1]);
  feature[0] = source - 3.0f;
  feature[1] = target - 3.0f;
  feature[2] = 4.0f * (target - source);
}

int evidence_split(struct words words[2], const qe_pair *pair, size_t max_tokens) {
  int status = words_split(&words[0], pair->source, max_tokens);
  return status == QE_OK ? words_split(&words[1], pair->translation, max_tokens) : status;
}

const struct hashed *evidence_hash(struct evidence_pair *pair, int side, const struct words *words) {
  if (!pair->work && !(pair->work = memory_new(1, sizeof *pair->work)))
    return NULL;
  return hash_words(&pair->work->text[side], words) ? &pair->work->text[side] : NULL;
}

static bool pair_reserve(struct evidence_pair *pair) {
  for (int side = 0; side < 2; side++) {
    pair->count[side] = pair->work->text[side].count;
    if (!memory_reserve((void **)&pair->channel[side], &pair->channel_room[side], pair->count[side] * CHANNELS + 1,
                        sizeof(float)))
      return false;
  }
  return memory_reserve((void **)&pair->prior, &pair->prior_room, pair->count[0] * pair->count[1] + 1,
                        sizeof(float)) &&
         levels_reserve(pair->work);
}

int evidence_read_raw(const struct evidence *evidence, const qe_pair *pair, const struct words words[2],
                      bool leave_out, struct evidence_pair *result) {
  bool counted = false;
  if (!evidence_hash(result, 0, &words[0]) || !evidence_hash(result, 1, &words[1]) || !pair_reserve(result))
    return QE_MEMORY;
  struct evidence_work *work = result->work;
  if (leave_out && evidence->counted &&
      counted_levels(evidence->counted, pair, work->text, &work->levels, &counted) != QE_OK)
    return QE_MEMORY;
  if (!counted) {
    find_links(evidence, work->text, &work->levels);
    find_grams(evidence, 0, &work->text[0], &work->levels);
    find_grams(evidence, 1, &work->text[1], &work->levels);
  }
  for (int side = 0; side < 2; side++)
    own_channels(evidence, side, work->text, &work->levels, result->channel[side]);
  cross_channels(work, result);
  return QE_OK;
}

int evidence_read(const struct evidence *evidence, const qe_pair *pair, const struct words words[2], bool leave_out,
                  struct evidence_pair *result) {
  int status = evidence_read_raw(evidence, pair, words, leave_out, result);
  if (status != QE_OK)
    return status;
  standardise(evidence, result);
  summarise(result);
  return QE_OK;
}

void evidence_pair_free(struct evidence_pair *pair) {
  for (int side = 0; side < 2; side++)
    memory_free(pair->channel[side]);
  memory_free(pair->prior);
  if (pair->work) {
    hashed_free(&pair->work->text[0]);
    hashed_free(&pair->work->text[1]);
    memory_free(pair->work->block);
    memory_free(pair->work);
  }
  *pair = (struct evidence_pair){ 0 };
}

int evidence_read_training(const struct evidence *evidence, const qe_pair *pair, size_t max_tokens,
                           struct evidence_reading *reading) {
  const int status = evidence_split(reading->words, pair, max_tokens);
  return status == QE_OK ? evidence_read(evidence, pair, reading->words, true, &reading->pair) : status;
}

void evidence_reading_free(struct evidence_reading *reading) {
  words_free(&reading->words[0]);
  words_free(&reading->words[1]);
  evidence_pair_free(&reading->pair);
}

/* ---- life ---- */

struct evidence *evidence_new(struct error *error) {
  struct evidence *evidence = memory_new(1, sizeof *evidence);
  if (!evidence) {
    error_memory(error);
    return NULL;
  }
  atomic_init(&evidence->holders, 1);
  evidence->kernel = kernel_choose(NULL);
  return evidence;
}

struct evidence *evidence_hold(struct evidence *evidence) {
  if (evidence)
    atomic_fetch_add(&evidence->holders, 1);
  return evidence;
}

void evidence_release(struct evidence *evidence) {
  if (!evidence || atomic_fetch_sub(&evidence->holders, 1) > 1)
    return;
  sketch_free(&evidence->lexicon);
  sketch_free(&evidence->grams[0]);
  sketch_free(&evidence->grams[1]);
  counted_free(evidence->counted);
  memory_free(evidence);
}

/* ---- the archive member ----
** "QEEV" u32 version; f32 per side: tokens, types, then mean and deviation of each channel; three sketches: links, words
** and n-grams of the source, of the target. */

enum { SIDE_FLOATS = 2 + 2 * CHANNELS, HEAD_BYTES = 8 + 2 * SIDE_FLOATS * 4 };

static void side_floats(const struct evidence *evidence, int side, float values[SIDE_FLOATS]) {
  values[0] = evidence->tokens[side];
  values[1] = evidence->types[side];
  memcpy(values + 2, evidence->mean[side], sizeof evidence->mean[side]);
  memcpy(values + 2 + CHANNELS, evidence->sd[side], sizeof evidence->sd[side]);
}

int evidence_write(const struct evidence *evidence, char **bytes, size_t *size) {
  const struct sketch *const sketches[] = { &evidence->lexicon, &evidence->grams[0], &evidence->grams[1] };
  *size = HEAD_BYTES;
  for (int i = 0; i < 3; i++)
    *size += sketch_size(sketches[i]);
  unsigned char *out = memory_new(*size, 1);
  *bytes = (char *)out;
  if (!out)
    return QE_MEMORY;
  memcpy(out, "QEEV", 4);
  bytes_store(out + 4, MEMBER_VERSION, 4);
  out += 8;
  for (int side = 0; side < 2; side++) {
    float values[SIDE_FLOATS];
    side_floats(evidence, side, values);
    for (int i = 0; i < SIDE_FLOATS; i++, out += 4)
      bytes_store(out, float_bits(values[i]), 4);
  }
  for (int i = 0; i < 3; i++) {
    sketch_write(sketches[i], out);
    out += sketch_size(sketches[i]);
  }
  return QE_OK;
}

static int parse_side(struct evidence *evidence, int side, const unsigned char *bytes, struct error *error) {
  float values[SIDE_FLOATS];
  for (int i = 0; i < SIDE_FLOATS; i++) {
    values[i] = float_of((uint32_t)bytes_load(bytes + 4 * i, 4));
    const bool sizes = i < 2 || i >= 2 + CHANNELS;
    if (!(values[i] < 1e9f && values[i] > (sizes ? 0.0f : -1e9f)))
      return error_set(error, QE_FORMAT, "evidence: number %d of side %d is out of range", i, side);
  }
  evidence->tokens[side] = values[0];
  evidence->types[side] = values[1];
  memcpy(evidence->mean[side], values + 2, sizeof evidence->mean[side]);
  memcpy(evidence->sd[side], values + 2 + CHANNELS, sizeof evidence->sd[side]);
  return QE_OK;
}

static int parse(struct evidence *evidence, qe_text member, struct error *error) {
  qe_text head;
  if (!text_take(&member, HEAD_BYTES, &head) || memcmp(head.data, "QEEV", 4) != 0 ||
      bytes_load((const unsigned char *)head.data + 4, 4) != MEMBER_VERSION)
    return error_set(error, QE_FORMAT, "evidence: no counts of version %d", MEMBER_VERSION);
  for (int side = 0; side < 2; side++)
    if (parse_side(evidence, side, (const unsigned char *)head.data + 8 + (size_t)side * SIDE_FLOATS * 4, error) !=
        QE_OK)
      return error->status;
  if (sketch_parse(&evidence->lexicon, &member, error) != QE_OK ||
      sketch_parse(&evidence->grams[0], &member, error) != QE_OK ||
      sketch_parse(&evidence->grams[1], &member, error) != QE_OK)
    return error->status;
  return member.size == 0 ? QE_OK : error_set(error, QE_FORMAT, "evidence: %zu bytes too many", member.size);
}

struct evidence *evidence_parse(qe_text member, struct error *error) {
  struct evidence *evidence = evidence_new(error);
  if (!evidence)
    return NULL;
  if (parse(evidence, member, error) == QE_OK)
    return evidence;
  evidence_release(evidence);
  return NULL;
}
