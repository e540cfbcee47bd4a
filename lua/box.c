/*
** box.c - the life of library objects in Lua, see binding.h. Invariant: an object is released once, when its box is
** closed and nobody uses it; a box counts as a user of its parents from box_parent until its own object is released.
*/
#include "binding.h"

struct box *box_push(lua_State *L, const struct kind *kind, size_t extra) {
  struct box *box = lua_newuserdatauv(L, sizeof *box + extra, BOX_PARENTS);
  *box = (struct box){ .kind = kind, .object = extra > 0 ? box + 1 : NULL, .borrowed = extra > 0 };
  luaL_setmetatable(L, kind->name);
  return box;
}

int box_filled(lua_State *L, struct box *box) {
  if (!box->object)
    return luaL_error(L, "out of memory");
  return 1;
}

void box_parent(lua_State *L, int child, int number, int parent) {
  struct box *box = lua_touserdata(L, child);
  child = lua_absindex(L, child);
  if (lua_isnoneornil(L, parent))
    return;
  lua_pushvalue(L, parent);
  lua_setiuservalue(L, child, number);
  box->parent[number - 1] = lua_touserdata(L, parent);
  box_use(box->parent[number - 1]);
}

static void release(struct box *box) {
  if (box->object && !box->borrowed)
    box->kind->release(box->object);
  box->object = NULL;
  for (int i = 0; i < BOX_PARENTS; i++) {
    struct box *parent = box->parent[i];
    box->parent[i] = NULL;
    if (parent)
      box_drop(parent);
  }
}

void box_use(struct box *box) {
  box->users++;
}

void box_drop(struct box *box) {
  if (--box->users == 0 && box->closed)
    release(box);
}

/* Upvalue: name of the metatable. */
int box_close(lua_State *L) {
  struct box *box = luaL_checkudata(L, 1, lua_tostring(L, lua_upvalueindex(1)));
  if (!box->closed) {
    box->closed = true;
    if (box->users == 0)
      release(box);
  }
  return 0;
}

void *box_check(lua_State *L, int index, const struct kind *kind) {
  struct box *box = luaL_checkudata(L, index, kind->name);
  if (box->closed || !box->object)
    luaL_argerror(L, index, lua_pushfstring(L, "closed %s", kind->name));
  return box->object;
}

void *box_optional(lua_State *L, int index, const struct kind *kind) {
  return lua_isnoneornil(L, index) ? NULL : box_check(L, index, kind);
}

void kind_register(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta) {
  luaL_newmetatable(L, name);
  if (meta)
    luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void box_register(lua_State *L, const struct kind *kind, lua_CFunction close, const luaL_Reg *methods,
                  const luaL_Reg *meta) {
  kind_register(L, kind->name, methods, meta);
  luaL_getmetatable(L, kind->name);
  lua_pushstring(L, kind->name);
  lua_pushcclosure(L, close, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__close");
  lua_getfield(L, -2, "__index");
  lua_insert(L, -2);
  lua_setfield(L, -2, "close");
  lua_pop(L, 2);
}

/* The text is copied before anything else is allocated, see "Objects last". */
int raise_status(lua_State *L, int status, const char *error) {
  lua_pushstring(L, status == QE_MEMORY || !*error ? "out of memory" : error);
  luaL_where(L, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

int push_status(lua_State *L, int status, const char *error) {
  if (status == QE_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (status == QE_USE || status == QE_MEMORY)
    return raise_status(L, status, error);
  lua_pushnil(L);
  lua_pushstring(L, error);
  return 2;
}
