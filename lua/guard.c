/*
** guard.c - guards against degenerate winners of reranking.
*/
#include "binding.h"

#include <string.h>

static void guards_release(void *object) {
  qe_guards_free(object);
}

static const struct kind guards_kind = { "qestrel.guards", guards_release };

static qe_guards *check_guards(lua_State *L, int index) {
  return box_check(L, index, &guards_kind);
}

static int guards_new(lua_State *L) {
  struct box *box = box_push(L, &guards_kind, 0);
  box->object = qe_guards_new();
  return box_filled(L, box);
}

static int guard_names(lua_State *L) {
  lua_pushstring(L, qe_guard_names());
  return 1;
}

static const char *optional_code(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? NULL : check_text(L, index);
}

static int guards_languages(lua_State *L) {
  const char *source = optional_code(L, 2), *target = optional_code(L, 3);
  qe_guards *guards = check_guards(L, 1);
  const int status = qe_guards_languages(guards, source, target);
  return status == QE_OK ? 0 : raise_status(L, status, qe_guards_error(guards));
}

static unsigned check_enabled(lua_State *L, int index) {
  unsigned bits = 0;
  const char *text = lua_isnoneornil(L, index) ? "all" : check_text(L, index);
  qe_guards *guards = check_guards(L, 1);
  const int status = qe_guards_parse(guards, text, &bits);
  if (status != QE_OK)
    raise_status(L, status, qe_guards_error(guards));
  return bits;
}

void push_guards(lua_State *L, unsigned bits) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (const char *name = qe_guard_names(); *name && bits; bits >>= 1) {
    const size_t size = strcspn(name, " ");
    if (bits & 1) {
      luaL_addlstring(&buffer, name, size);
      if (bits >> 1)
        luaL_addchar(&buffer, ',');
    }
    name += size + (name[size] == ' ');
  }
  luaL_pushresult(&buffer);
}

static int guards_check(lua_State *L) {
  size_t count;
  qe_text source = { NULL, 0 };
  lua_settop(L, 5);
  if (!lua_isnoneornil(L, 2))
    source.data = luaL_checklstring(L, 2, &source.size);
  const qe_text *candidates = check_texts(L, 3, &count);
  const size_t first = check_index(L, 4, count);
  const unsigned enabled = check_enabled(L, 5);
  unsigned *vetoes = scratch(L, count, sizeof *vetoes);
  lua_createtable(L, (int)count, 0);
  qe_guards *guards = check_guards(L, 1);
  const int status = qe_guards_check(guards, enabled, source, candidates, count, first, vetoes);
  if (status != QE_OK)
    return raise_status(L, status, qe_guards_error(guards));
  for (size_t i = 0; i < count; i++) {
    push_guards(L, vetoes[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

void open_guard(lua_State *L) {
  static const luaL_Reg methods[] = { { "languages", guards_languages },
                                      { "check", guards_check },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "guards", guards_new }, { "guard_names", guard_names }, { NULL, NULL } };
  box_register(L, &guards_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
