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

int encoding_add(struct encoding *encoding, struct words *work, const struct vocabulary *vocabulary, qe_text text,
                 size_t max_words) {
  int status = words_split(work, text, max_words);
  if (status != QE_OK || !reserve(encoding, work->count))
    return QE_MEMORY;
  size_t used = encoding->id_count;
  for (size_t i = 0; i < work->count; i++) {
    qe_text word = { work->bytes + work->offset[i], work->offset[i + 1] - work->offset[i] };
    if (!add_word(encoding, vocabulary, word, &used))
      return QE_MEMORY;
    encoding->id[encoding->words + i + 1] = (uint32_t)used;
  }
  encoding->words += work->count;
  encoding->id_count = used;
  encoding->word[++encoding->texts] = (uint32_t)encoding->words;
  encoding->truncated += work->truncated;
  return QE_OK;
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
