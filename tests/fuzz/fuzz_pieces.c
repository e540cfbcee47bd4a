/*
** fuzz_pieces.c - a model file of SentencePiece and the archive member of pieces: whatever the bytes are, they are
** refused with a message, or become a vocabulary that is written and read back as itself and cuts any text.
*/
#include "demand.h"
#include "sentencepiece.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static void use(const struct unigram *unigram, qe_text text) {
  struct unigram again;
  struct unigram_work work = { 0 };
  struct error error = { 0 };
  char *member;
  size_t size;
  demand(unigram_write(unigram, &member, &size) == QE_OK);
  demand(unigram_parse(&again, (qe_text){ member, size }, &error) == QE_OK);
  demand(unigram_fingerprint(unigram) == unigram_fingerprint(&again));
  unigram_free(&again);
  demand(unigram_encode(unigram, &work, text, SIZE_MAX) == QE_OK);
  for (size_t i = 0; i < work.count; i++)
    demand(work.ids[i] < unigram->count);
  unigram_work_free(&work);
  memory_free(member);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  const qe_text text = { (const char *)bytes, size };
  for (int kind = 0; kind < 2; kind++) {
    struct unigram unigram;
    struct error error = { 0 };
    int status = kind ? unigram_parse(&unigram, text, &error) : sentencepiece_read(&unigram, text, &error);
    demand((status == QE_OK) == (error.status == QE_OK));
    if (status == QE_OK) {
      use(&unigram, text);
      unigram_free(&unigram);
    } else
      demand(error.text[0] != '\0');
  }
  return 0;
}
