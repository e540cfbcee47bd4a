/*
** fuzz_safetensors.c - a file of tensors: whatever the bytes are, they are refused with a message, or every tensor has a
** shape and numbers that the file has room for.
*/
#include "demand.h"
#include "safetensors.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static void use(const struct safetensors *tensors, const char *name) {
  struct error error = { 0 };
  size_t rows = 0, cols = 0;
  if (safetensors_shape(tensors, name, &rows, &cols, &error) != QE_OK) {
    demand(error.text[0] != '\0');
    return;
  }
  demand(cols == 0 || rows <= tensors->data.size / cols);
  qe_real *values = memory_new(rows * cols + 1, sizeof *values);
  if (safetensors_read(tensors, name, rows, cols, values, &error) == QE_OK)
    for (size_t i = 0; i < rows * cols; i++)
      demand(isfinite(values[i]));
  else
    demand(error.text[0] != '\0');
  struct error other = { 0 };
  demand(safetensors_read(tensors, name, rows + 1, cols, values, &other) != QE_OK);
  memory_free(values);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  struct safetensors tensors;
  struct error error = { 0 };
  const char *name;
  json_t *entry;
  if (safetensors_open(&tensors, (qe_text){ (const char *)bytes, size }, &error) != QE_OK) {
    demand(error.text[0] != '\0');
    return 0;
  }
  demand(!safetensors_has(&tensors, "no such tensor") || json_object_get(tensors.header, "no such tensor"));
  json_object_foreach(tensors.header, name, entry) {
    if (strcmp(name, "__metadata__") != 0)
      use(&tensors, name);
  }
  safetensors_close(&tensors);
  return 0;
}
