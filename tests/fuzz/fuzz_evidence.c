/*
** fuzz_evidence.c - counts as an archive holds them: whatever the bytes are, they are refused with a message, or they write
** themselves again and every pair reads numbers that are finite.
*/
#include "demand.h"
#include "evidence.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static void read_pair(const struct evidence *evidence, const char *source, const char *translation) {
  const qe_pair pair = { .source = qe_string(source), .translation = qe_string(translation) };
  struct words words[2] = { { 0 }, { 0 } };
  struct evidence_pair read = { 0 };
  demand(words_split(&words[0], pair.source, 20) == QE_OK && words_split(&words[1], pair.translation, 20) == QE_OK);
  demand(evidence_read(evidence, &pair, words, true, &read) == QE_OK);
  for (size_t i = 0; i < EVIDENCE_FEATURES; i++)
    demand(isfinite(read.features[i]));
  for (size_t i = 0; i < read.count[0] * read.count[1]; i++)
    demand(read.prior[i] >= 0 && read.prior[i] <= 1);
  words_free(&words[0]);
  words_free(&words[1]);
  evidence_pair_free(&read);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  struct error error = { 0 };
  char *again;
  size_t again_size;
  struct evidence *evidence = evidence_parse((qe_text){ (const char *)bytes, size }, &error);
  if (!evidence) {
    demand(error.text[0] != '\0');
    return 0;
  }
  demand(evidence_write(evidence, &again, &again_size) == QE_OK);
  demand(again_size == size && memcmp(again, bytes, size) == 0);
  memory_free(again);
  read_pair(evidence, "uno dos tres", "ein zwei 42");
  read_pair(evidence, "", "x");
  read_pair(evidence, "", "");
  evidence_release(evidence);
  return 0;
}
