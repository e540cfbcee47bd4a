/*
** safetensors.h - named matrices from a file of that format, private.
*/
#ifndef QE_SAFETENSORS_H
#define QE_SAFETENSORS_H
#include "core.h"

#include <jansson.h>

/* u64 size of the header | header, JSON: {name: {"dtype", "shape", "data_offsets": [begin, end]}} | data; little-endian.
** Invariant: every tensor lies in the data, none over another, no byte is nobody's. */
struct safetensors {
  json_t *header;
  qe_text data; /* the caller's */
};
int safetensors_open(struct safetensors *tensors, qe_text file, struct error *error);
void safetensors_close(struct safetensors *tensors);
bool safetensors_has(const struct safetensors *tensors, const char *name);
/* The shape of a tensor of one or two dimensions (rows 1 for one); F32, F16 or BF16. */
int safetensors_shape(const struct safetensors *tensors, const char *name, size_t *rows, size_t *cols,
                      struct error *error);
/* All its values, which must be finite, of a tensor of rows x cols. */
int safetensors_read(const struct safetensors *tensors, const char *name, size_t rows, size_t cols, qe_real *values,
                     struct error *error);

#endif
