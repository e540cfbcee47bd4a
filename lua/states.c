/*
** states.c - stores of hidden states.
*/
#include "binding.h"

static void states_release(void *object) {
  qe_states_free(object);
}

static const struct kind states_kind = { "qestrel.states", states_release };

static qe_states *check_states(lua_State *L, int index) {
  return box_check(L, index, &states_kind);
}

static int states_new(lua_State *L) {
  const size_t width = check_size(L, 1, 1);
  luaL_argcheck(L, width <= UINT16_MAX, 1, "wider than 65535");
  struct box *box = box_push(L, &states_kind, 0);
  box->object = qe_states_new(width);
  return box_filled(L, box);
}

/* states:add(x, importance or nil, segments, { tokens =, share =, rng = }) */
static int states_add(lua_State *L) {
  static const char *const known[] = { "tokens", "share", "rng", NULL };
  qe_states_options options = { .share = 1 };
  lua_settop(L, 5);
  check_keys(L, 5, known);
  lua_getfield(L, 5, "tokens");
  options.tokens = lua_isnil(L, -1) ? 0 : check_size(L, lua_gettop(L), 0);
  lua_getfield(L, 5, "share");
  options.share = luaL_optnumber(L, lua_gettop(L), 1);
  lua_getfield(L, 5, "rng");
  options.rng = box_optional(L, lua_gettop(L), &rng_kind);
  const qe_segments segments = check_segments(L, 4);
  const qe_tensor importance = lua_isnil(L, 3) ? QE_NONE : check_tensor(L, 3);
  const qe_tensor x = check_tensor(L, 2);
  qe_states *states = check_states(L, 1);
  return push_status(L, qe_states_add(states, x, importance, segments, &options), qe_states_error(states));
}

static int states_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_states_count(check_states(L, 1)));
  return 1;
}

static int states_width(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_states_width(check_states(L, 1)));
  return 1;
}

static int states_bytes(lua_State *L) {
  const qe_text bytes = qe_states_bytes(check_states(L, 1));
  lua_pushlstring(L, bytes.data, bytes.size);
  return 1;
}

static int states_read(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  qe_states *states = check_states(L, 1);
  return push_status(L, qe_states_read(states, (qe_text){ bytes, size }), qe_states_error(states));
}

/* states:target(tape, rows, segments) -> values, mask */
static int states_target(lua_State *L) {
  size_t count;
  qe_tensor mask;
  lua_settop(L, 4);
  const qe_segments table = check_segments(L, 4);
  const uint32_t *rows = check_indices(L, 3, qe_states_count(check_states(L, 1)), &count);
  const qe_segments segments = lua_istable(L, 4) ? table : check_segments(L, 4); /* the indices have allocated */
  check_count(L, 3, count, segments.count);
  const qe_tensor values = qe_states_target(check_tape(L, 2), check_states(L, 1), rows, segments, &mask);
  push_tensor(L, values, 2);
  push_tensor(L, mask, 2);
  return 2;
}

void open_states(lua_State *L) {
  static const luaL_Reg methods[] = { { "add", states_add },       { "width", states_width },
                                      { "bytes", states_bytes },   { "read", states_read },
                                      { "target", states_target }, { NULL, NULL } };
  static const luaL_Reg meta[] = { { "__len", states_count }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "states", states_new }, { NULL, NULL } };
  box_register(L, &states_kind, box_close, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
