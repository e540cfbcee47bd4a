/*
** reader.c - streams of bytes to n-best lists: bytes in pieces of any size, whole lists out.
*/
#include "binding.h"

static void reader_release(void *object) {
  qe_reader_free(object);
}

static const struct kind reader_kind = { "qestrel.reader", reader_release };

static qe_reader *check_reader(lua_State *L, int index) {
  return box_check(L, index, &reader_kind);
}

/* A choice that cannot be made is the caller's fault and raises. */
static void demand(lua_State *L, const qe_reader *reader, int status) {
  if (status != QE_OK)
    raise_status(L, status, qe_reader_error(reader));
}

/* qe.reader { format = "auto", size = N, escapes = false } */
static int reader_new(lua_State *L) {
  static const char *const known[] = { "format", "size", "escapes", NULL };
  if (lua_isnoneornil(L, 1))
    lua_newtable(L);
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  check_keys(L, 1, known);
  lua_getfield(L, 1, "format");
  lua_getfield(L, 1, "size");
  lua_getfield(L, 1, "escapes");
  const char *format = lua_isnil(L, 2) ? "auto" : check_text(L, 2);
  const size_t size = lua_isnil(L, 3) ? 0 : check_size(L, 3, 1);
  struct box *box = box_push(L, &reader_kind, 0);
  qe_reader *reader = box->object = qe_reader_new();
  box_filled(L, box);
  demand(L, reader, qe_reader_format(reader, format, size));
  demand(L, reader, qe_reader_escapes(reader, lua_toboolean(L, 4)));
  return 1;
}

static int reader_feed(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  qe_reader *reader = check_reader(L, 1);
  return push_status(L, qe_reader_feed(reader, bytes, size), qe_reader_error(reader));
}

static int reader_finish(lua_State *L) {
  qe_reader *reader = check_reader(L, 1);
  return push_status(L, qe_reader_end(reader), qe_reader_error(reader));
}

static int reader_next(lua_State *L) {
  qe_list *list = check_list(L, 2);
  qe_reader *reader = check_reader(L, 1);
  const int status = qe_reader_next(reader, list);
  if (status < 0)
    return push_status(L, status, qe_reader_error(reader));
  lua_pushboolean(L, status);
  return 1;
}

static int reader_guess(lua_State *L) {
  lua_pushstring(L, qe_reader_guess(check_reader(L, 1)));
  return 1;
}

static int reader_lines(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_reader_lines(check_reader(L, 1)));
  return 1;
}

static int reader_skipped(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_reader_skipped(check_reader(L, 1)));
  return 1;
}

void open_reader(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "feed", reader_feed },   { "finish", reader_finish },   { "next", reader_next }, { "guess", reader_guess },
    { "lines", reader_lines }, { "skipped", reader_skipped }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = { { "reader", reader_new }, { NULL, NULL } };
  box_register(L, &reader_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
