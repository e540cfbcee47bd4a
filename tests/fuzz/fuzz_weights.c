/*
** fuzz_weights.c - any bytes as weights.bin of four small matrices, some of whose rows are coarse. What is accepted holds finite values only, is written
** again as the same bytes, and is not changed by rounding.
*/
#include "model.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static qe_params *small_params(void) {
  qe_params *params = qe_params_new();
  if (!params || qe_params_add(params, "a.table", 5, 3, 1) < 0 || qe_params_add(params, "a.dense", 2, 9, 0) < 0 ||
      qe_params_add(params, "b.table", 7, 2, 1) < 0 || qe_params_add(params, "bias", 1, 1, 0) < 0)
    abort();
  params_coarsen(params, 2, 3);
  return params;
}

static void check_same_bytes(const qe_params *params, const char *storage, const uint8_t *data, size_t size) {
  struct error error = { 0 };
  char *bytes;
  size_t again;
  if (weights_write(params, storage, &bytes, &again, &error) != QE_OK || again != size ||
      memcmp(bytes, data, size) != 0)
    abort();
  memory_free(bytes);
}

static void check_values(qe_params *params) {
  qe_block *values = qe_params_values(params);
  for (size_t i = 0; i < qe_block_size(values); i++)
    if (!isfinite(qe_block_values(values)[i]))
      abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct error error = { 0 };
  const char *storage = NULL;
  qe_params *params = small_params();
  const int status = weights_read(params, (qe_text){ (const char *)data, size }, &storage, &error);
  if ((status == QE_OK) != (error.text[0] == '\0') || status != error.status)
    abort();
  if (status == QE_OK) {
    check_values(params);
    check_same_bytes(params, storage, data, size);
    weights_round(params, storage);
    check_same_bytes(params, storage, data, size);
  }
  qe_params_free(params);
  return 0;
}
