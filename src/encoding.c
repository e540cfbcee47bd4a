/*
** encoding.c - many texts as packed ids, each text's words after the last one's, each word's ids after the last
** one's. Invariant: word[texts] = words and id[words] = id_count; a text that cannot be added leaves no trace.
*/
#include "text.h"

static bool reserve(struct encoding *encoding, size_t more_words) {
  const size_t words = encoding->words + more_words, most = UINT32_MAX;
  if (encoding->texts >= most || words >= most)
    return false;
  if (!memory_reserve((void **)&encoding->word, &encoding->word_room, encoding->texts + 2,
                      sizeof *encoding->word) ||
      !memory_reserve((void **)&encoding->id, &encoding->id_room, words + 1, sizeof *encoding->id))
    return false;
  encoding->word[encoding->texts] = (uint32_t)encoding->words;
  encoding->id[encoding->words] = (uint32_t)encoding->id_count;
  return true;
}

/* The ids of one word, at `*used` of the encoding's. */
static bool add_word(struct encoding *encoding, const struct vocabulary *vocabulary, qe_text word, size_t *used) {
  uint32_t ids[VOCABULARY_MAX_IDS];
  const size_t count = vocabulary_ids(vocabulary, word, ids), end = *used + count;
  if (end > UINT32_MAX || !memory_reserve((void **)&encoding->ids, &encoding->ids_room, end, sizeof *encoding->ids))
    return false;
  memcpy(encoding->ids + *used, ids, count * sizeof *ids);
  *used = end;
  return true;
}

static int add_words(struct encoding *encoding, struct words *words, const struct vocabulary *vocabulary,
                     qe_text text, size_t max_words, size_t *count) {
  int status = words_split(words, text, max_words);
  if (status != QE_OK || !reserve(encoding, words->count))
    return QE_MEMORY;
  size_t used = encoding->id_count;
  for (size_t i = 0; i < words->count; i++) {
    qe_text word = { words->bytes + words->offset[i], words->offset[i + 1] - words->offset[i] };
    if (!add_word(encoding, vocabulary, word, &used))
      return QE_MEMORY;
    encoding->id[encoding->words + i + 1] = (uint32_t)used;
  }
  *count = words->count;
  encoding->truncated += words->truncated;
  return QE_OK;
}

static int add_pieces(struct encoding *encoding, struct unigram_work *work, const struct unigram *unigram,
                      qe_text text, size_t most, size_t *count) {
  const size_t used = encoding->id_count;
  int status = unigram_encode(unigram, work, text, most);
  if (status != QE_OK || !reserve(encoding, work->count) || used + work->count > UINT32_MAX ||
      !memory_reserve((void **)&encoding->ids, &encoding->ids_room, used + work->count, sizeof *encoding->ids))
    return QE_MEMORY;
  for (size_t i = 0; i < work->count; i++) {
    encoding->ids[used + i] = work->ids[i];
    encoding->id[encoding->words + i + 1] = (uint32_t)(used + i + 1);
  }
  *count = work->count;
  encoding->truncated += work->truncated;
  return QE_OK;
}

int encoding_add(struct encoding *encoding, struct encoding_work *work, const struct vocabulary *vocabulary,
                 qe_text text, size_t max_words) {
  size_t count;
  int status = vocabulary->kind == VOCABULARY_PIECES
                   ? add_pieces(encoding, &work->pieces, vocabulary_unigram(vocabulary), text, max_words, &count)
                   : add_words(encoding, &work->words, vocabulary, text, max_words, &count);
  if (status != QE_OK)
    return status;
  encoding->words += count;
  encoding->id_count = encoding->id[encoding->words];
  encoding->word[++encoding->texts] = (uint32_t)encoding->words;
  return QE_OK;
}

void encoding_work_free(struct encoding_work *work) {
  words_free(&work->words);
  unigram_work_free(&work->pieces);
}

void encoding_clear(struct encoding *encoding) {
  encoding->texts = encoding->words = encoding->id_count = encoding->truncated = 0;
  if (encoding->word)
    encoding->word[0] = 0;
  if (encoding->id)
    encoding->id[0] = 0;
}

void encoding_free(struct encoding *encoding) {
  memory_free(encoding->word);
  memory_free(encoding->id);
  memory_free(encoding->ids);
  *encoding = (struct encoding){ 0 };
}
