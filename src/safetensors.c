/*
** safetensors.c - reads the format in which models of others keep their matrices. Nothing is believed: sizes must follow
** from shapes and types, and the tensors must cover the data exactly. Other types than the three floats may stand in the
** file, but cannot be read.
*/
#include "safetensors.h"
#include "bytes.h"
#include "transcendental.h"

#include <math.h>
#include <stdlib.h>

enum { LENGTH = 8, MOST_HEADER = 100 << 20, MOST_DIMENSIONS = 8 };

struct type {
  const char *name;
  size_t size;
};
static const struct type types[] = { { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "F64", 8 }, { "I64", 8 },
                                     { "I32", 4 }, { "I16", 2 }, { "I8", 1 },   { "U8", 1 },  { "BOOL", 1 } };

static const struct type *find_type(const json_t *entry) {
  const char *name = json_string_value(json_object_get(entry, "dtype"));
  for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].name, name) == 0)
      return &types[i];
  return NULL;
}

static bool whole(const json_t *value, size_t *number) {
  if (!json_is_integer(value) || json_integer_value(value) < 0)
    return false;
  *number = (size_t)json_integer_value(value);
  return true;
}

struct extent {
  size_t begin, end;
};

static bool read_extent(const json_t *entry, struct extent *extent) {
  const json_t *offsets = json_object_get(entry, "data_offsets");
  return json_array_size(offsets) == 2 && whole(json_array_get(offsets, 0), &extent->begin) &&
         whole(json_array_get(offsets, 1), &extent->end) && extent->begin <= extent->end;
}

/* Bytes that its shape and type ask for. */
static bool size_asked(const json_t *entry, size_t *size) {
  const json_t *shape = json_object_get(entry, "shape");
  const struct type *type = find_type(entry);
  if (!type || !json_is_array(shape) || json_array_size(shape) > MOST_DIMENSIONS)
    return false;
  *size = type->size;
  for (size_t i = 0; i < json_array_size(shape); i++) {
    size_t dimension;
    if (!whole(json_array_get(shape, i), &dimension) || __builtin_mul_overflow(*size, dimension, size))
      return false;
  }
  return true;
}

static int check_entry(const char *name, const json_t *entry, size_t data, struct extent *extent,
                       struct error *error) {
  size_t size;
  if (!read_extent(entry, extent))
    return error_set(error, QE_FORMAT, "tensor \"%.80s\": \"data_offsets\" is no pair of offsets", name);
  if (!size_asked(entry, &size))
    return error_set(error, QE_FORMAT, "tensor \"%.80s\": its \"dtype\" or \"shape\" is none that exists", name);
  if (extent->end > data)
    return error_set(error, QE_FORMAT, "tensor \"%.80s\" ends at byte %zu of %zu: the file is cut off", name,
                     extent->end, data);
  if (extent->end - extent->begin != size)
    return error_set(error, QE_FORMAT, "tensor \"%.80s\" has %zu bytes, its shape asks for %zu", name,
                     extent->end - extent->begin, size);
  return QE_OK;
}

static int by_begin(const void *a, const void *b) {
  const struct extent *one = a, *other = b;
  if (one->begin != other->begin)
    return one->begin < other->begin ? -1 : 1;
  return (one->end > other->end) - (one->end < other->end);
}

/* One after another without gaps, up to the last byte. */
static int check_cover(struct extent *extents, size_t count, size_t data, struct error *error) {
  size_t at = 0;
  qsort(extents, count, sizeof *extents, by_begin);
  for (size_t i = 0; i < count; at = extents[i++].end)
    if (extents[i].begin != at)
      return error_set(error, QE_FORMAT, "tensors: one begins at byte %zu, the one before it ends at %zu",
                       extents[i].begin, at);
  return at == data ? QE_OK
                    : error_set(error, QE_FORMAT, "tensors end at byte %zu, the data has %zu bytes", at, data);
}

static int check_header(const struct safetensors *tensors, struct error *error) {
  const char *name;
  json_t *entry;
  size_t count = 0;
  struct extent *extents = memory_new(json_object_size(tensors->header), sizeof *extents);
  if (!extents)
    return error_memory(error);
  json_object_foreach(tensors->header, name, entry) {
    if (strcmp(name, "__metadata__") == 0)
      continue;
    if (check_entry(name, entry, tensors->data.size, &extents[count++], error) != QE_OK)
      break;
  }
  if (error->status == QE_OK)
    check_cover(extents, count, tensors->data.size, error);
  memory_free(extents);
  return error->status;
}

int safetensors_open(struct safetensors *tensors, qe_text file, struct error *error) {
  json_error_t reason;
  *tensors = (struct safetensors){ 0 };
  error_clear(error);
  if (file.size < LENGTH)
    return error_set(error, QE_FORMAT, "%zu bytes are no file of tensors", file.size);
  const uint64_t size = bytes_load((const unsigned char *)file.data, LENGTH);
  if (size > MOST_HEADER || size > file.size - LENGTH)
    return error_set(error, QE_FORMAT, "a header of %llu bytes does not fit a file of %zu",
                     (unsigned long long)size, file.size);
  tensors->header = json_loadb(file.data + LENGTH, (size_t)size, JSON_REJECT_DUPLICATES, &reason);
  if (!json_is_object(tensors->header)) {
    error_set(error, QE_FORMAT, "header: %s", tensors->header ? "not a JSON object" : reason.text);
  } else {
    tensors->data = (qe_text){ file.data + LENGTH + size, file.size - LENGTH - (size_t)size };
    check_header(tensors, error);
  }
  if (error->status != QE_OK)
    safetensors_close(tensors);
  return error->status;
}

void safetensors_close(struct safetensors *tensors) {
  json_decref(tensors->header);
  *tensors = (struct safetensors){ 0 };
}

bool safetensors_has(const struct safetensors *tensors, const char *name) {
  return json_is_object(json_object_get(tensors->header, name));
}

/* ---- values ---- */

static float from_half(uint32_t bits) {
  const uint32_t sign = bits >> 15 << 31, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 0)
    return float_of(sign | float_bits((float)fraction * 0x1p-24f));
  return float_of(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13);
}

static float value_at(const unsigned char *bytes, const struct type *type, size_t i) {
  const uint32_t bits = (uint32_t)bytes_load(bytes + i * type->size, type->size);
  if (type == &types[0])
    return float_of(bits);
  return type == &types[1] ? from_half(bits) : float_of(bits << 16);
}

int safetensors_shape(const struct safetensors *tensors, const char *name, size_t *rows, size_t *cols,
                      struct error *error) {
  const json_t *entry = json_object_get(tensors->header, name), *shape = json_object_get(entry, "shape");
  const size_t dimensions = json_array_size(shape);
  if (!safetensors_has(tensors, name))
    return error_set(error, QE_FORMAT, "there is no tensor \"%.80s\"", name);
  if (dimensions < 1 || dimensions > 2)
    return error_set(error, QE_FORMAT, "tensor \"%.80s\" has %zu dimensions, expected 1 or 2", name, dimensions);
  *rows = 1;
  whole(json_array_get(shape, dimensions - 1), cols);
  if (dimensions == 2)
    whole(json_array_get(shape, 0), rows);
  if (find_type(entry) > &types[2])
    return error_set(error, QE_FORMAT, "tensor \"%.80s\" is of type %s, expected F32, F16 or BF16", name,
                     find_type(entry)->name);
  return QE_OK;
}

int safetensors_read(const struct safetensors *tensors, const char *name, size_t rows, size_t cols, qe_real *values,
                     struct error *error) {
  size_t own_rows, own_cols;
  struct extent extent;
  if (safetensors_shape(tensors, name, &own_rows, &own_cols, error) != QE_OK)
    return error->status;
  if (own_rows != rows || own_cols != cols)
    return error_set(error, QE_FORMAT, "tensor \"%.80s\" is %zu x %zu, expected %zu x %zu", name, own_rows,
                     own_cols, rows, cols);
  const json_t *entry = json_object_get(tensors->header, name);
  read_extent(entry, &extent);
  const unsigned char *bytes = (const unsigned char *)tensors->data.data + extent.begin;
  for (size_t i = 0; i < rows * cols; i++) {
    values[i] = (qe_real)value_at(bytes, find_type(entry), i);
    if (!isfinite(values[i]))
      return error_set(error, QE_FORMAT, "tensor \"%.80s\": number %zu is not finite", name, i + 1);
  }
  return QE_OK;
}
