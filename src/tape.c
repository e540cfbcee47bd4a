/*
** tape.c - matrices recorded as they are computed. A tape is a list of nodes in the order of their computation, so
** that a walk from the last to the first meets every node after all nodes that used it. Nodes, values and gradients
** live in an arena: chunks that reset rewinds, and makes one of, without giving memory back (and poisons under
** AddressSanitizer). Handles carry the tape's generation, which reset advances; a handle of another generation is refused.
** The first error stays until reset, and every op after it returns QE_NONE. The file knows no operation but leaves.
*/
#include "core.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { ALIGNMENT = 64, CHUNK_BYTES = 1 << 20, DEFAULT_SHARDS = 2, MOST_SHARDS = 256 };

struct chunk {
  struct chunk *next;
  unsigned char *start; /* aligned */
  size_t size, used;
};

struct qe_tape {
  struct error error;
  struct chunk *first, *current;
  struct node **nodes;
  size_t count, room;
  uint32_t generation;
  bool silent; /* recording is off */
  bool walked;
  qe_pool *pool;
  int shards, lane;
  qe_tape **inner; /* tapes of shards, kept over resets */
  size_t inner_used, inner_count, inner_room;
};

/* Generations differ between tapes too, so that a handle of a freed and re-made tape is not taken for a fresh one. */
static uint32_t generation_step(uint32_t generation) {
  return generation + 1 ? generation + 1 : 1;
}

qe_tape *qe_tape_new(qe_pool *pool, int shards) {
  qe_tape *tape = memory_new(1, sizeof *tape);
  if (!tape)
    return NULL;
  tape->pool = pool;
  tape->shards = shards <= 0 ? DEFAULT_SHARDS : shards > MOST_SHARDS ? MOST_SHARDS : shards;
  tape->generation = generation_step((uint32_t)((uintptr_t)tape >> 4));
  return tape;
}

static struct chunk *chunk_new(size_t size) {
  size_t bytes;
  if (__builtin_add_overflow(size, sizeof(struct chunk) + ALIGNMENT, &bytes))
    return NULL;
  struct chunk *chunk = memory_grow(NULL, bytes, 1);
  if (!chunk)
    return NULL;
  uintptr_t start = ((uintptr_t)(chunk + 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  *chunk = (struct chunk){ .start = (unsigned char *)chunk + (start - (uintptr_t)chunk), .size = size };
  ASAN_POISON_MEMORY_REGION(chunk->start, chunk->size);
  return chunk;
}

static void chunks_free(qe_tape *tape) {
  for (struct chunk *chunk = tape->first, *next; chunk; chunk = next) {
    next = chunk->next;
    ASAN_UNPOISON_MEMORY_REGION(chunk->start, chunk->size);
    memory_free(chunk);
  }
  tape->first = NULL;
}

/* One chunk in place of several, with room for all that they held: steps of large models ask for so much at a time that
** what is left at the end of chunks would grow without end. */
static void chunks_merge(qe_tape *tape) {
  size_t used = 0;
  for (const struct chunk *chunk = tape->first; chunk; chunk = chunk->next)
    used += chunk->used;
  if (!tape->first || !tape->first->next)
    return;
  chunks_free(tape);
  tape->first = chunk_new(used + used / 8);
}

void qe_tape_free(qe_tape *tape) {
  if (!tape)
    return;
  chunks_free(tape);
  for (size_t i = 0; i < tape->inner_count; i++)
    qe_tape_free(tape->inner[i]);
  memory_free(tape->inner);
  memory_free(tape->nodes);
  memory_free(tape);
}

void qe_tape_reset(qe_tape *tape) {
  chunks_merge(tape);
  for (struct chunk *chunk = tape->first; chunk; chunk = chunk->next) {
    chunk->used = 0;
    ASAN_POISON_MEMORY_REGION(chunk->start, chunk->size);
  }
  for (size_t i = 0; i < tape->inner_used; i++)
    qe_tape_reset(tape->inner[i]);
  tape->current = tape->first;
  tape->count = 0;
  tape->inner_used = 0;
  tape->walked = false;
  tape->generation = generation_step(tape->generation);
  error_clear(&tape->error);
}

int qe_tape_status(const qe_tape *tape) {
  return tape->error.status;
}

const char *qe_tape_error(const qe_tape *tape) {
  return tape->error.text;
}

int qe_tape_recording(qe_tape *tape, int on) {
  int before = !tape->silent;
  tape->silent = !on;
  return before;
}

struct error *tape_error(qe_tape *tape) {
  return &tape->error;
}

qe_pool *tape_pool(qe_tape *tape) {
  return tape->pool;
}

int tape_shards(const qe_tape *tape) {
  return tape->shards;
}

uint32_t tape_generation(const qe_tape *tape) {
  return tape->generation;
}

void tape_set_lane(qe_tape *tape, int lane) {
  tape->lane = lane;
}

int tape_lane(const qe_tape *tape) {
  return tape->lane;
}

qe_tensor tape_fail(qe_tape *tape, int status, const char *format, ...) {
  char text[sizeof tape->error.text];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  error_set(&tape->error, status, "%s", text);
  return QE_NONE;
}

/* ---- arena ---- */

/* The next chunk with enough room, made if there is none: a too small one is passed over until the next reset. */
static struct chunk *chunk_with(qe_tape *tape, size_t bytes) {
  struct chunk **link = &tape->first;
  if (tape->current) {
    if (tape->current->size - tape->current->used >= bytes)
      return tape->current;
    link = &tape->current->next;
  }
  while (*link && (*link)->size - (*link)->used < bytes)
    link = &(*link)->next;
  if (!*link)
    *link = chunk_new(bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES);
  if (*link)
    tape->current = *link;
  return *link;
}

void *tape_alloc(qe_tape *tape, size_t count, size_t size) {
  size_t bytes, padded;
  if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, (size_t)ALIGNMENT, &padded)) {
    error_memory(&tape->error);
    return NULL;
  }
  padded = padded / ALIGNMENT * ALIGNMENT; /* at least one byte more than asked: a red zone under ASan */
  struct chunk *chunk = chunk_with(tape, padded);
  if (!chunk) {
    error_memory(&tape->error);
    return NULL;
  }
  unsigned char *place = chunk->start + chunk->used;
  chunk->used += padded;
  ASAN_UNPOISON_MEMORY_REGION(place, bytes);
  return place;
}

/* ---- nodes ---- */

static bool wants_gradient(const qe_tape *tape, struct node *const *inputs, int count) {
  bool wants = false;
  for (int i = 0; i < count; i++)
    wants = wants || inputs[i]->wants;
  return wants && !tape->silent;
}

/* Without x. */
static struct node *node_append(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols) {
  if (tape->error.status != QE_OK)
    return NULL;
  if (tape->walked) {
    tape_fail(tape, QE_USE, "%s: the tape has been walked backward; reset it first", operation->name);
    return NULL;
  }
  struct node *node = tape_alloc(tape, 1, sizeof *node);
  if (!node || tape->count >= UINT32_MAX ||
      !memory_reserve((void **)&tape->nodes, &tape->room, tape->count + 1, sizeof *tape->nodes)) {
    error_memory(&tape->error);
    return NULL;
  }
  *node = (struct node){ .operation = operation, .rows = rows, .cols = cols, .tape = tape };
  node->id = (uint32_t)tape->count;
  tape->nodes[tape->count++] = node;
  return node;
}

struct node *node_new(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols,
                      struct node *const *inputs, int count) {
  size_t cells;
  struct node *node = node_append(tape, operation, rows, cols);
  if (!node)
    return NULL;
  if (__builtin_mul_overflow(rows, cols, &cells)) {
    error_memory(&tape->error);
    return NULL;
  }
  node->x = tape_alloc(tape, cells, sizeof *node->x);
  if (!node->x)
    return NULL;
  for (int i = 0; i < count; i++)
    node->input[i] = inputs[i];
  node->inputs = count;
  node->wants = wants_gradient(tape, inputs, count);
  return node;
}

struct node *node_leaf(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols, qe_real *x) {
  struct node *node = node_append(tape, operation, rows, cols);
  if (node) {
    node->x = x;
    node->wants = !tape->silent;
  }
  return node;
}

struct node *node_of(qe_tensor t) {
  if (!t.tape)
    return NULL;
  if (t.generation != t.tape->generation || t.id >= t.tape->count) {
    tape_fail(t.tape, QE_USE, "stale tensor: its tape has been reset since it was made");
    return NULL;
  }
  return t.tape->nodes[t.id];
}

bool node_pair(qe_tensor a, qe_tensor b, struct node *nodes[2]) {
  nodes[0] = node_of(a);
  nodes[1] = node_of(b);
  if (!a.tape != !b.tape)
    tape_fail(a.tape ? a.tape : b.tape, QE_USE, "an operand is none");
  if (!nodes[0] || !nodes[1])
    return false;
  if (a.tape == b.tape)
    return true;
  tape_fail(a.tape, QE_USE, "tensors of two tapes meet in one operation");
  tape_fail(b.tape, QE_USE, "tensors of two tapes meet in one operation");
  return false;
}

qe_tensor node_handle(struct node *node) {
  return node ? (qe_tensor){ node->tape, node->id, node->tape->generation } : QE_NONE;
}

qe_real *node_gradient_sparse(struct node *node) {
  if (!node->wants)
    return NULL;
  if (!node->g) {
    node->g = tape_alloc(node->tape, node->rows * node->cols, sizeof *node->g);
    if (node->g)
      memset(node->g, 0, node->rows * node->cols * sizeof *node->g);
  }
  return node->g;
}

qe_real *node_gradient(struct node *node) {
  if (node->wants && node->touch)
    node->touch(node, NULL, 0);
  return node_gradient_sparse(node);
}

size_t qe_rows(qe_tensor t) {
  const struct node *node = node_of(t);
  return node ? node->rows : 0;
}

size_t qe_cols(qe_tensor t) {
  const struct node *node = node_of(t);
  return node ? node->cols : 0;
}

const qe_real *qe_values(qe_tensor t) {
  const struct node *node = node_of(t);
  return node ? node->x : NULL;
}

const qe_real *qe_gradient(qe_tensor t) {
  const struct node *node = node_of(t);
  return node ? node->g : NULL;
}

/* ---- leaves ---- */

static const struct operation constant = { "constant", NULL };
static const struct operation variable = { "variable", NULL };

static struct node *leaf(qe_tape *tape, const struct operation *operation, size_t rows, size_t cols,
                         const qe_real *values) {
  struct node *node = node_new(tape, operation, rows, cols, NULL, 0);
  if (node && values && rows * cols > 0)
    memcpy(node->x, values, rows * cols * sizeof *values);
  else if (node)
    memset(node->x, 0, rows * cols * sizeof *node->x);
  return node;
}

qe_tensor qe_constant(qe_tape *tape, size_t rows, size_t cols, const qe_real *values) {
  return node_handle(leaf(tape, &constant, rows, cols, values));
}

qe_tensor qe_variable(qe_tape *tape, size_t rows, size_t cols, const qe_real *values) {
  struct node *node = leaf(tape, &variable, rows, cols, values);
  if (node)
    node->wants = !tape->silent;
  return node_handle(node);
}

qe_tensor qe_detach(qe_tensor a) {
  const struct node *node = node_of(a);
  return node ? qe_constant(a.tape, node->rows, node->cols, node->x) : QE_NONE;
}

/* ---- backward ---- */

int qe_inject(qe_tensor t, const qe_real *gradient) {
  struct node *node = node_of(t);
  if (!node)
    return QE_USE;
  if (t.tape->error.status != QE_OK)
    return t.tape->error.status;
  if (t.tape->walked) {
    tape_fail(t.tape, QE_USE, "inject: the tape has been walked backward; reset it first");
    return QE_USE;
  }
  qe_real *g = node_gradient(node);
  if (!g) /* nothing below wants it (or no memory, which the tape has noted) */
    return t.tape->error.status;
  for (size_t i = 0; i < node->rows * node->cols; i++)
    g[i] += gradient ? gradient[i] : 1;
  return QE_OK;
}

int qe_tape_backward(qe_tape *tape) {
  if (tape->error.status != QE_OK)
    return tape->error.status;
  if (tape->walked) {
    tape_fail(tape, QE_USE, "backward: the tape has been walked already; reset it first");
    return QE_USE;
  }
  tape->walked = true;
  for (size_t i = tape->count; i-- > 0 && tape->error.status == QE_OK;) {
    struct node *node = tape->nodes[i];
    if (node->g && node->operation->backward)
      node->operation->backward(node);
  }
  return tape->error.status;
}

int qe_backward(qe_tensor loss) {
  int status = qe_inject(loss, NULL);
  return status == QE_OK ? qe_tape_backward(loss.tape) : status;
}

/* ---- shards ---- */

qe_tape *tape_shard(qe_tape *tape) {
  if (tape->inner_used == tape->inner_count) {
    qe_tape *inner = qe_tape_new(NULL, 1);
    if (!inner ||
        !memory_reserve((void **)&tape->inner, &tape->inner_room, tape->inner_count + 1, sizeof *tape->inner)) {
      qe_tape_free(inner);
      error_memory(&tape->error);
      return NULL;
    }
    tape->inner[tape->inner_count++] = inner;
  }
  return tape->inner[tape->inner_used++];
}
