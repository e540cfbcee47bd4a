/*
** core.h - what the C files of Qestrel share and nobody outside sees.
** Dependencies form a DAG, low to high:
**   memory error number  <-  random pool text byte_trie unigram sentencepiece vocabulary table  <-  dataset batch
**   <-  lexicon sketch evidence  <-  tape params  <-  matrix elementwise sequence gru attention pairwise loss  optimiser
**   <-  archive weights manifest  <-  model architectures (birnn aligned encoder)  <-  kernel score
**   <-  list rerank metrics (which need only the first row)
*/
#ifndef QE_CORE_H
#define QE_CORE_H

#include "qestrel.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

/* ---- error.c: the first failure of an object, as code and text ---- */
struct error {
  int status;
  char text[512];
};
/* Records (the first one stays until error_clear) and returns status. */
int error_set(struct error *error, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void error_clear(struct error *error);
int error_memory(struct error *error); /* QE_MEMORY, "out of memory" */

/* ---- memory.c: three names, so that a test can swap in an allocator that fails ---- */
void *memory_new(size_t count, size_t size);               /* zeroed; NULL on overflow too */
void *memory_grow(void *block, size_t count, size_t size); /* realloc with an overflow check */
void memory_free(void *block);
/* Makes *items hold `need` elements, doubling. Returns false when memory is out (nothing changes). */
bool memory_reserve(void **items, size_t *room, size_t need, size_t size);

/* ---- texts ---- */
static inline bool text_is(qe_text text, const char *expected) {
  return text.size == strlen(expected) && (text.size == 0 || memcmp(text.data, expected, text.size) == 0);
}
static inline bool text_same(qe_text a, qe_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline int text_order(qe_text a, qe_text b) { /* < 0, 0, > 0, by bytes; the beginning of a text before it */
  const size_t shorter = a.size < b.size ? a.size : b.size;
  const int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
  return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}
/* Moves the first `size` bytes of a text to `taken`; false, and nothing moves, where there are fewer. */
static inline bool text_take(qe_text *text, uint64_t size, qe_text *taken) {
  if (size > text->size)
    return false;
  *taken = (qe_text){ text->data, (size_t)size };
  *text = (qe_text){ text->data + size, text->size - (size_t)size };
  return true;
}
static inline int text_width(qe_text text) { /* of "%.*s" in a message */
  return (int)(text.size > 40 ? 40 : text.size);
}

/* ---- number.c: text <-> number, the same in every locale ---- */
bool number_parse(qe_text text, double *value); /* the whole text is one number (nan, inf allowed) */
int number_print(char *out, size_t room, double value, int digits); /* "%.*g" with a point; nan has no sign */

/* ---- FNV-1a, 64 bits: continues `hash`, which begins as FNV1A_START ---- */
#define FNV1A_START UINT64_C(0xcbf29ce484222325)
static inline uint64_t fnv1a(uint64_t hash, const void *bytes, size_t size) {
  const unsigned char *byte = bytes;
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
  return hash;
}

/* Spreads every bit over all others: the finaliser of SplitMix64 (Steele et al. 2014). */
static inline uint64_t hash_mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* ---- pool.c ---- */
typedef void pool_task(void *context, int part);
/* Runs task(context, 0 .. parts-1), each once, on the pool's threads; returns when all are done. */
void pool_run(qe_pool *pool, int parts, pool_task *task, void *context);

/* ---- tape.c ----
** A tape is a list of nodes in the order they were computed. Values and gradients live in an arena (chunks that
** reset rewinds and, under AddressSanitizer, poisons). Backward visits the nodes from the last to the first; each
** adds to the gradients of its inputs. A node without `wants` (no variable or parameter below it) has no gradient.
*/
struct node;
struct operation {
  const char *name;
  /* adds to the inputs' gradients (node_gradient) from node->g; never called when node->g is NULL */
  void (*backward)(struct node *node);
};
enum { NODE_INPUTS = 5 };
struct node {
  const struct operation *operation;
  size_t rows, cols;
  qe_real *x, *g; /* g is NULL until something arrives */
  bool wants;
  struct node *input[NODE_INPUTS];
  int inputs;
  void *extra; /* what this operation keeps for its backward, in the arena */
  void (*touch)(struct node *node, const uint32_t *ids, size_t count); /* sparse parameters only; see params.c */
  qe_tape *tape;
  uint32_t id;
};
/* A fresh node with uninitialised x, or NULL with the error recorded. `inputs` may be NULL handles only if count is
** 0; wants = any input wants and the tape records. All inputs must have been resolved from the same tape. */
struct node *node_new(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols,
                      struct node *const *inputs, int count);
/* The same without inputs and with x given, which must outlive the recording; wants = the tape records. */
struct node *node_leaf(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols, qe_real *x);
struct node *node_of(qe_tensor t); /* NULL if none or stale (recorded in the tape if there is one) */
bool node_pair(qe_tensor a, qe_tensor b, struct node *nodes[2]); /* both, on one tape, else false and recorded */
qe_tensor node_handle(struct node *node);                        /* QE_NONE for NULL */
qe_real *node_gradient(struct node *node);        /* its g, made of zeros on first use; NULL if it wants none */
qe_real *node_gradient_sparse(struct node *node); /* the same for ops that name their rows by params_touch */
qe_tensor tape_fail(qe_tape *tape, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *tape_alloc(qe_tape *tape, size_t count,
                 size_t size); /* arena, 64-byte aligned, uninitialised; NULL: recorded */
qe_pool *tape_pool(qe_tape *tape);
int tape_shards(const qe_tape *tape);
qe_tape *tape_shard(qe_tape *tape); /* an inner tape, reused after reset; NULL: recorded */
uint32_t tape_generation(const qe_tape *tape);
struct error *tape_error(qe_tape *tape);
/* sequence.c: offsets rise from 0 to `rows`; a failure is recorded under the operation's name. */
bool segments_fit(qe_tape *tape, const char *operation, qe_segments segments, size_t rows);
bool segments_rise(qe_tape *tape, const char *operation, qe_segments segments); /* to anywhere */
/* offset[0 .. count], from 0 on, in the arena, where backward still finds it when the caller's is gone. NULL: recorded. */
uint32_t *offsets_keep(qe_tape *tape, const uint32_t *offset, size_t count);

/* ---- attention.c ---- */
void softmax_row(qe_real *x, size_t count); /* at least one */
/* From gradients of softmax results to those of its arguments, in place. */
void softmax_row_backward(qe_real *g, const qe_real *weight, size_t count);

/* ---- params.c ----
** Gradients of parameters arrive in lanes: lane 0 is the gradient block itself, further lanes belong to the shards
** of model passes and are summed into lane 0 in the order of their numbers. A tape writes to its own lane.
** A parameter on a tape is a node whose x is the parameter's matrix and whose g is the lane's memory. Of a sparse
** matrix, the lane keeps a list of touched rows; all other rows of the gradient are zero. node_gradient marks every
** row; an op that writes few rows takes node_gradient_sparse instead and names them by params_touch.
*/
/* Marks rows (repeats are fine); does nothing unless the node is a sparse parameter that wants a gradient. */
void params_touch(struct node *node, const uint32_t *ids, size_t count);
struct layout_entry {
  char *name;
  size_t rows, cols, offset;
  bool sparse;
  size_t coarse; /* of a sparse one, the last rows that int4.h keeps in two bits */
};
struct layout; /* entries and total size; shared and counted by params and blocks */
const struct layout_entry *params_entry(const qe_params *params, size_t number);
void params_coarsen(qe_params *params, size_t number, size_t rows); /* before there are blocks like it */
/* Takes note of rows that somebody wrote into the gradient block without a tape. */
void params_settle(qe_params *params);
/* Rows of a sparse matrix touched in lane 0 since the gradient was cleared, in order of first touch; call
** params_settle first. */
const uint32_t *params_touched(const qe_params *params, size_t number, size_t *count);
int params_lanes(qe_params *params, int lanes);                    /* makes sure that lanes 0..lanes exist */
void params_lane_sum(qe_params *params, int lanes, qe_pool *pool); /* lanes 1..lanes into 0, then clears them */
void tape_set_lane(qe_tape *tape, int lane);
int tape_lane(const qe_tape *tape);

/* ---- blas.c ---- c = alpha op(a) op(b) + beta c, row-major */
void blas_gemm(qe_transpose transpose, size_t m, size_t n, size_t k, qe_real alpha, const qe_real *a, size_t lda,
               const qe_real *b, size_t ldb, qe_real beta, qe_real *c, size_t ldc);

#endif
