/*
** fuzz_forest.c - forests as an archive holds them: whatever the bytes are, they are refused with a message, or they write
** themselves again and say a finite number of any features.
*/
#include "demand.h"
#include "forest.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static void ask(const struct forests *forests, float value) {
  float features[FOREST_FEATURES];
  for (size_t i = 0; i < FOREST_FEATURES; i++)
    features[i] = i % 2 ? value : -value;
  for (int logprobs = 0; logprobs < 2; logprobs++)
    demand(isfinite(forests_score(forests, logprobs, features)));
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  for (size_t count = 1; count <= FORESTS; count++) {
    struct error error = { 0 };
    char *again;
    size_t again_size;
    struct forests *forests = forests_parse((qe_text){ (const char *)bytes, size }, count, &error);
    if (!forests) {
      demand(error.text[0] != '\0');
      continue;
    }
    demand(forests_write(forests, &again, &again_size) == QE_OK);
    demand(again_size == size && memcmp(again, bytes, size) == 0);
    memory_free(again);
    ask(forests, 0);
    ask(forests, 3);
    ask(forests, INFINITY);
    ask(forests, NAN);
    forests_release(forests);
  }
  return 0;
}
