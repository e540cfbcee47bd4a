/*
** gzip.c - unpacks a file that was read as a whole: one or several gzip members, nothing behind them. What grows is
** bounded by a limit, whatever the members claim. reader.c unpacks streams.
*/
#include "gzip.h"

#include <zlib.h>

enum { PIECE = 1 << 20 };

void *gzip_allocate(void *context, unsigned count, unsigned size) {
  (void)context;
  return memory_new(count, size);
}

void gzip_release(void *context, void *memory) {
  (void)context;
  memory_free(memory);
}

struct unpacked {
  char *bytes;
  size_t size, room;
};

/* One call of inflate; *in is moved on. */
static int step(z_stream *stream, qe_text *in, struct unpacked *out) {
  union { /* zlib reads without const */
    const char *read;
    unsigned char *bytes;
  } input = { .read = in->data };
  if (!memory_reserve((void **)&out->bytes, &out->room, out->size + PIECE, 1))
    return Z_MEM_ERROR;
  const unsigned available = (unsigned)(in->size > PIECE ? PIECE : in->size);
  stream->next_in = input.bytes;
  stream->avail_in = available;
  stream->next_out = (unsigned char *)out->bytes + out->size;
  stream->avail_out = PIECE;
  const int status = inflate(stream, Z_NO_FLUSH);
  in->data += available - stream->avail_in;
  in->size -= available - stream->avail_in;
  out->size += PIECE - stream->avail_out;
  return status;
}

static int inflate_all(z_stream *stream, qe_text in, struct unpacked *out, size_t limit, struct error *error) {
  for (int status = Z_OK;;) {
    status = step(stream, &in, out);
    if (status == Z_MEM_ERROR)
      return error_memory(error);
    if (status != Z_OK && status != Z_STREAM_END)
      return error_set(error, QE_FORMAT, in.size > 0 ? "damaged gzip data (%s)" : "the gzip data ends too early",
                       stream->msg ? stream->msg : "not a gzip member");
    if (out->size > limit)
      return error_set(error, QE_FORMAT, "unpacks to more than the limit of %zu bytes", limit);
    if (status == Z_STREAM_END && in.size == 0)
      return QE_OK;
    if (status == Z_STREAM_END && inflateReset(stream) != Z_OK)
      return error_memory(error);
  }
}

int gzip_unpack(char **bytes, size_t *size, size_t limit, struct error *error) {
  z_stream stream = { .zalloc = gzip_allocate, .zfree = gzip_release };
  struct unpacked out = { 0 };
  if (*size < 2 || (*bytes)[0] != '\x1f' || (*bytes)[1] != '\x8b')
    return QE_OK;
  if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK)
    return error_memory(error);
  const int status = inflate_all(&stream, (qe_text){ *bytes, *size }, &out, limit, error);
  inflateEnd(&stream);
  if (status != QE_OK) {
    memory_free(out.bytes);
    return status;
  }
  memory_free(*bytes);
  *bytes = out.bytes;
  *size = out.size;
  return QE_OK;
}
