/*
** binding.h - what the files of the Lua module share. Each file binds one family of objects of qestrel.h; the library
** does the work, the binding checks, calls and translates.
**
** Boxes. Every library object that Lua sees lives in a box, a full userdata. A box is pushed empty, then filled, so
** that an error in between neither leaks nor frees twice. A box that needs another one (a batch its dataset) names it
** as parent: the user value keeps the parent's memory, the count of users its object. Closing a box (close, __close,
** __gc, all the same and idempotent) makes it unusable at once; its object is released when no user is left.
** Errors. Wrong use and lack of memory raise; what the world or a file's content refused is returned as nil, message.
** Objects last. Any call that makes Lua allocate may run the collector, and with it finalisers that close objects. So
** functions read their other arguments and make their results first and take the objects themselves last.
*/
#ifndef QESTREL_BINDING_H
#define QESTREL_BINDING_H

#include "qestrel.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

/* ---- box.c ---- */
struct kind {
  const char *name; /* of the metatable, "qestrel.dataset" */
  void (*release)(void *object);
};
enum { BOX_PARENTS = 2 }; /* user values 1 .. BOX_PARENTS */
struct box {
  const struct kind *kind;
  void *object; /* NULL: empty or released */
  struct box *parent[BOX_PARENTS];
  size_t users;
  bool closed, borrowed; /* borrowed: the object belongs to the parent */
};
struct box *box_push(lua_State *L, const struct kind *kind, size_t extra); /* extra bytes follow the box */
int box_filled(lua_State *L, struct box *box);                        /* 1, or raises where there is no object */
void box_parent(lua_State *L, int child, int number, int parent);     /* number: 1 .. BOX_PARENTS; none for nil */
void *box_check(lua_State *L, int index, const struct kind *kind);    /* the object; raises if closed */
void *box_optional(lua_State *L, int index, const struct kind *kind); /* NULL for nil or none */
void box_use(struct box *box);
void box_drop(struct box *box);
int box_close(lua_State *L); /* the method and metamethod; only as registered here */
/* Makes the metatable of a kind; `meta` may be NULL. `close` is box_close or ends with it. */
void box_register(lua_State *L, const struct kind *kind, lua_CFunction close, const luaL_Reg *methods,
                  const luaL_Reg *meta);
void kind_register(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta); /* no box */
/* What a call gives back: true, or nil and `error`; wrong use and memory raise. */
int push_status(lua_State *L, int status, const char *error);
int raise_status(lua_State *L, int status, const char *error);

/* ---- array.c: arguments of plain Lua; memory behind the results is pushed on the stack ---- */
void *scratch(lua_State *L, size_t count, size_t size);
size_t check_size(lua_State *L, int index, size_t least);
size_t check_index(lua_State *L, int index, size_t limit); /* 1 .. limit in Lua, from 0 in C */
const char *check_text(lua_State *L, int index);           /* without NUL bytes */
double *check_doubles(lua_State *L, int index, size_t *count);
qe_real *check_reals(lua_State *L, int index, size_t *count);
uint32_t *check_indices(lua_State *L, int index, size_t limit, size_t *count); /* 1 .. limit, from 0 in C */
uint32_t *check_offsets(lua_State *L, int index, size_t *count);               /* from 0 */
/* Strings of an array, one or more, which stay alive as long as it is not changed. */
qe_text *check_texts(lua_State *L, int index, size_t *count);
void check_count(lua_State *L, int index, size_t found, size_t expected);
qe_pair *check_pairs(lua_State *L, int index, size_t *count); /* { { source, translation, logprobs }, ... } */
qe_pair check_pair(lua_State *L, int index);                  /* three arguments from index on */
void check_keys(lua_State *L, int index, const char *const known[]);
/* Saved states: numbers as a string, little-endian; `what` says in an error whose state it is not. */
void push_numbers(lua_State *L, const uint64_t *numbers, size_t count);
void check_numbers(lua_State *L, int index, uint64_t *numbers, size_t count, const char *what);
/* These fill the table on top, made with room for `count`, without allocating. */
void fill_doubles(lua_State *L, const double *values, size_t count);
void fill_floats(lua_State *L, const float *values, size_t count);
void fill_reals(lua_State *L, const qe_real *values, size_t count);
void fill_indices(lua_State *L, const uint32_t *values, size_t count);

/* ---- kinds ---- */
extern const struct kind pool_kind, rng_kind, dataset_kind, batch_kind, tape_kind, params_kind, model_kind,
    list_kind;

static inline qe_pool *optional_pool(lua_State *L, int index) {
  return box_optional(L, index, &pool_kind);
}
static inline qe_rng *check_rng(lua_State *L, int index) {
  return box_check(L, index, &rng_kind);
}
static inline qe_dataset *check_dataset(lua_State *L, int index) {
  return box_check(L, index, &dataset_kind);
}
static inline qe_batch *check_batch(lua_State *L, int index) {
  return box_check(L, index, &batch_kind);
}
static inline qe_tape *check_tape(lua_State *L, int index) {
  return box_check(L, index, &tape_kind);
}
static inline qe_params *check_params(lua_State *L, int index) {
  return box_check(L, index, &params_kind);
}
static inline qe_model *check_model(lua_State *L, int index) {
  return box_check(L, index, &model_kind);
}

static inline qe_list *check_list(lua_State *L, int index) {
  return box_check(L, index, &list_kind);
}

void fill_order(lua_State *L, const size_t *order, size_t count); /* as fill_doubles, from 1 on */
void push_guards(lua_State *L, unsigned bits);                    /* their names, separated by commas */

/* ---- batch.c ---- */
qe_segments check_segments(lua_State *L, int index); /* of a batch, or an array of offsets from 0 on */

/* ---- tensor.c, tape.c ---- */
#define TENSOR "qestrel.tensor"
qe_tensor check_tensor(lua_State *L, int index);
int push_tensor(lua_State *L, qe_tensor value, int tape); /* of the tape at that index; QE_NONE raises */
void tape_use(lua_State *L, int tape, int thing);         /* keeps the object in that box until reset */
int raise_tape(lua_State *L, const qe_tape *tape);

/* ---- params.c ---- */
struct box *push_block(lua_State *L, int owner); /* empty, for a block that the box at that index owns */

/* ---- json.c ---- */
void push_json(lua_State *L, int index, bool pretty); /* the value as text */
int push_decoded(lua_State *L, int index);            /* the text as value: 1, or 2 for nil, message */

/* ---- what each file adds to the module table, which is on top ---- */
void open_rng(lua_State *L);
void open_dataset(lua_State *L);
void open_batch(lua_State *L);
void open_tape(lua_State *L);
void open_tensor(lua_State *L);
void open_params(lua_State *L);
void open_optimiser(lua_State *L);
void open_model(lua_State *L);
void open_scorer(lua_State *L);
void open_list(lua_State *L);
void open_guard(lua_State *L), open_consensus(lua_State *L), open_reranker(lua_State *L);
void open_reader(lua_State *L);
void open_measure(lua_State *L);
void open_reference(lua_State *L);
void open_tune(lua_State *L);
void open_proposal(lua_State *L);
void open_states(lua_State *L);
void open_lexicon(lua_State *L);
void open_archive(lua_State *L);
void open_json(lua_State *L);

QE_API int luaopen_qestrel(lua_State *L);

#endif
