/*
** module.c - `require "qestrel"`: the functions of all files in one table, and Lua's part of the library, which is
** embedded as text and offered through package.preload. A name that package.preload has already is left alone.
*/
#include "binding.h"
#include "sources.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

static int version(lua_State *L) {
  lua_pushstring(L, qe_version());
  return 1;
}

static int build(lua_State *L) {
  lua_pushstring(L, qe_build());
  return 1;
}

static int blas_check(lua_State *L) {
  char error[512] = "";
  return push_status(L, qe_blas_check(error, sizeof error), error);
}

/* Seconds of a clock that never steps back. */
static int seconds(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
  return 1;
}

/* CPUs that this process may run on. */
static int threads(lua_State *L) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  lua_pushinteger(L, count > 0 ? count : 1);
  return 1;
}

static int stderr_is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty(STDERR_FILENO));
  return 1;
}

/* ---- embedded sources ---- */

/* Upvalue: place in the table of sources. Called by require with the name and where it came from. */
static int load_source(lua_State *L) {
  const struct source *source = &qestrel_sources[lua_tointeger(L, lua_upvalueindex(1))];
  lua_settop(L, 2);
  const char *chunk = lua_pushfstring(L, "=%s", source->name);
  if (luaL_loadbufferx(L, (const char *)source->bytes, source->size, chunk, "t") != LUA_OK)
    return lua_error(L);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 1);
  return 1;
}

static void preload_sources(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (int i = 0; qestrel_sources[i].name; i++) {
    if (lua_getfield(L, -1, qestrel_sources[i].name) == LUA_TNIL) {
      lua_pushinteger(L, i);
      lua_pushcclosure(L, load_source, 1);
      lua_setfield(L, -3, qestrel_sources[i].name);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

int luaopen_qestrel(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "version", version }, { "build", build },     { "blas_check", blas_check },
    { "clock", seconds },   { "threads", threads }, { "stderr_is_terminal", stderr_is_terminal },
    { NULL, NULL }
  };
  static void (*const parts[])(lua_State *) = {
    open_rng,       open_dataset, open_batch,     open_tape,     open_tensor,   open_params,
    open_optimiser, open_model,   open_scorer,    open_list,     open_measure,  open_reference,
    open_tune,      open_reader,  open_states,    open_lexicon,  open_proposal, open_archive,
    open_json,      open_guard,   open_consensus, open_reranker,
  };
  luaL_checkversion(L);
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    parts[i](L);
  preload_sources(L);
  return 1;
}
