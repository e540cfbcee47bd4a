/*
** tape.c - tapes, and what makes tensors out of nothing. What a recording points to (models, parameters, batches) must
** not be released before the tape is reset: user value USED is a table whose keys are those boxes, each counted as
** used by the tape once.
*/
#include "binding.h"

enum { USED = BOX_PARENTS };

static void tape_release(void *object) {
  qe_tape_free(object);
}

const struct kind tape_kind = { "qestrel.tape", tape_release };

static int tape_new(lua_State *L) {
  enum { MOST_SHARDS = 256 };
  lua_settop(L, 2);
  const size_t shards = lua_isnoneornil(L, 2) ? 0 : check_size(L, 2, 1);
  luaL_argcheck(L, shards <= MOST_SHARDS, 2, "more than 256 shards");
  struct box *box = box_push(L, &tape_kind, 0);
  lua_newtable(L);
  lua_setiuservalue(L, -2, USED);
  qe_pool *pool = optional_pool(L, 1);
  box_parent(L, 3, 1, 1);
  box->object = qe_tape_new(pool, (int)shards);
  return box_filled(L, box);
}

void tape_use(lua_State *L, int tape, int thing) {
  lua_getiuservalue(L, tape, USED);
  lua_pushvalue(L, thing);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushvalue(L, thing);
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
    box_use(lua_touserdata(L, thing));
  }
  lua_pop(L, 2);
}

static void tape_forget(lua_State *L, int tape) {
  if (lua_getiuservalue(L, tape, USED) == LUA_TTABLE) {
    lua_pushnil(L);
    while (lua_next(L, -2)) {
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      lua_pushnil(L);
      lua_rawset(L, -4);
      box_drop(lua_touserdata(L, -1));
    }
  }
  lua_pop(L, 1);
}

/* First the tape, then what it used. Nothing counts as a user of a tape: tensors look whether it is closed. */
static int tape_close(lua_State *L) {
  box_close(L);
  tape_forget(L, 1);
  return 0;
}

static int tape_reset(lua_State *L) {
  qe_tape_reset(check_tape(L, 1));
  tape_forget(L, 1);
  return 0;
}

int raise_tape(lua_State *L, const qe_tape *tape) {
  return raise_status(L, qe_tape_status(tape), qe_tape_error(tape));
}

/* A number for every cell, or zeros. */
static qe_real *filled(lua_State *L, int index, size_t count) {
  if (lua_isnoneornil(L, index))
    return NULL;
  const qe_real value = (qe_real)luaL_checknumber(L, index);
  qe_real *values = scratch(L, count, sizeof *values);
  for (size_t i = 0; i < count; i++)
    values[i] = value;
  return values;
}

static int make_leaf(lua_State *L, qe_tensor make(qe_tape *, size_t, size_t, const qe_real *)) {
  size_t cells, count;
  const qe_real *values;
  const size_t rows = check_size(L, 2, 0), cols = check_size(L, 3, 0);
  if (__builtin_mul_overflow(rows, cols, &cells))
    return luaL_error(L, "out of memory");
  if (lua_istable(L, 4)) {
    values = check_reals(L, 4, &count);
    check_count(L, 4, count, cells);
  } else {
    values = filled(L, 4, cells);
  }
  return push_tensor(L, make(check_tape(L, 1), rows, cols, values), 1);
}

static int tape_constant(lua_State *L) {
  return make_leaf(L, qe_constant);
}

static int tape_variable(lua_State *L) {
  return make_leaf(L, qe_variable);
}

static int tape_backward(lua_State *L) {
  qe_tape *tape = check_tape(L, 1);
  return qe_tape_backward(tape) == QE_OK ? 0 : raise_tape(L, tape);
}

static int tape_recording(lua_State *L) {
  luaL_checktype(L, 2, LUA_TBOOLEAN);
  lua_pushboolean(L, qe_tape_recording(check_tape(L, 1), lua_toboolean(L, 2)));
  return 1;
}

void open_tape(lua_State *L) {
  static const luaL_Reg methods[] = { { "reset", tape_reset },         { "constant", tape_constant },
                                      { "variable", tape_variable },   { "backward", tape_backward },
                                      { "recording", tape_recording }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "tape", tape_new }, { NULL, NULL } };
  box_register(L, &tape_kind, tape_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
