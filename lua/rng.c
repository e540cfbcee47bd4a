/*
** rng.c - streams of random numbers and pools of threads. The stream itself lies in its box.
*/
#include "binding.h"

const struct kind rng_kind = { "qestrel.rng", NULL };

static qe_rng *push_rng(lua_State *L) {
  return box_push(L, &rng_kind, sizeof(qe_rng))->object;
}

static int rng_new(lua_State *L) {
  const lua_Integer seed = luaL_checkinteger(L, 1);
  const char *name = check_text(L, 2);
  qe_rng_seed(push_rng(L), (uint64_t)seed, name);
  return 1;
}

static int rng_next(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_rng_next(check_rng(L, 1)));
  return 1;
}

static int rng_uniform(lua_State *L) {
  lua_pushnumber(L, qe_rng_uniform(check_rng(L, 1)));
  return 1;
}

static int rng_normal(lua_State *L) {
  lua_pushnumber(L, qe_rng_normal(check_rng(L, 1)));
  return 1;
}

/* 0 .. n - 1, as in C: it is a count, not an index. */
static int rng_below(lua_State *L) {
  const size_t n = check_size(L, 2, 1);
  lua_pushinteger(L, (lua_Integer)qe_rng_below(check_rng(L, 1), n));
  return 1;
}

static void permute(lua_State *L, int index, const uint32_t *order, size_t count) {
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, index, (lua_Integer)order[i] + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i);
    lua_rawseti(L, index, (lua_Integer)i);
  }
}

static int rng_shuffle(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  const size_t count = lua_rawlen(L, 2);
  luaL_argcheck(L, count <= INT32_MAX, 2, "too many items");
  uint32_t *order = scratch(L, count, sizeof *order);
  for (size_t i = 0; i < count; i++)
    order[i] = (uint32_t)i;
  qe_rng_shuffle(check_rng(L, 1), order, count);
  permute(L, 2, order, count);
  lua_settop(L, 1);
  return 1;
}

enum { STATE_NUMBERS = 4 };

/* Copied first: pushing may collect the stream. */
static int rng_save(lua_State *L) {
  const qe_rng copy = *check_rng(L, 1);
  push_numbers(L, copy.s, STATE_NUMBERS);
  return 1;
}

static int rng_restore(lua_State *L) {
  qe_rng read;
  check_numbers(L, 2, read.s, STATE_NUMBERS, "not the saved state of a stream");
  luaL_argcheck(L, (read.s[0] | read.s[1] | read.s[2] | read.s[3]) != 0, 2, "a state of zeros, which none can be");
  *check_rng(L, 1) = read;
  lua_settop(L, 1);
  return 1;
}

static int rng_clone(lua_State *L) {
  check_rng(L, 1);
  qe_rng *copy = push_rng(L);
  *copy = *check_rng(L, 1);
  return 1;
}

/* ---- pools ---- */

static void pool_release(void *object) {
  qe_pool_free(object);
}

const struct kind pool_kind = { "qestrel.pool", pool_release };

static int pool_new(lua_State *L) {
  enum { MOST = 256 };
  const size_t threads = check_size(L, 1, 1);
  luaL_argcheck(L, threads <= MOST, 1, "more than 256 threads");
  struct box *box = box_push(L, &pool_kind, 0);
  box->object = qe_pool_new((int)threads);
  if (!box->object)
    return luaL_error(L, "cannot start %d threads", (int)threads);
  return 1;
}

static int pool_threads(lua_State *L) {
  lua_pushinteger(L, qe_pool_threads(box_check(L, 1, &pool_kind)));
  return 1;
}

void open_rng(lua_State *L) {
  static const luaL_Reg rng_methods[] = {
    { "next", rng_next },       { "uniform", rng_uniform }, { "normal", rng_normal },
    { "below", rng_below },     { "shuffle", rng_shuffle }, { "save", rng_save },
    { "restore", rng_restore }, { "clone", rng_clone },     { NULL, NULL }
  };
  static const luaL_Reg pool_methods[] = { { "threads", pool_threads }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "rng", rng_new }, { "pool", pool_new }, { NULL, NULL } };
  box_register(L, &rng_kind, box_close, rng_methods, NULL);
  box_register(L, &pool_kind, box_close, pool_methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
