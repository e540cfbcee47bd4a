/*
** json.c - Lua values <-> JSON text, through jansson's trees. A tree lies in a box from the moment it exists; what
** builds one from Lua values never raises, so that half a tree cannot be lost: it records the problem and returns NULL.
** Sequences are arrays; an empty table is an object unless qe.json.array marked it, as arrays that were decoded are.
*/
#include "binding.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define ARRAY "qestrel.json.array" /* metatable of marked arrays */

enum { DEEPEST = 200 };

static void tree_release(void *object) {
  json_decref(object);
}

static const struct kind tree_kind = { "qestrel.json.tree", tree_release };

/* ---- Lua to JSON ---- */

struct encoder {
  lua_State *L;
  const void *array;   /* metatable of marked arrays */
  const char *problem; /* the first one, a constant */
};

static json_t *refuse(struct encoder *encoder, const char *problem) {
  if (!encoder->problem)
    encoder->problem = problem;
  return NULL;
}

static bool is_array(const struct encoder *encoder) {
  lua_State *L = encoder->L;
  bool marked = false;
  if (lua_getmetatable(L, -1)) {
    marked = lua_topointer(L, -1) == encoder->array;
    lua_pop(L, 1);
  }
  return marked || lua_rawlen(L, -1) > 0;
}

static json_t *encode(struct encoder *encoder, int depth);

/* Whether the keys of the table on top are 1 .. count, each there. */
static bool is_sequence(lua_State *L, size_t count) {
  size_t entries = 0;
  bool indices = true;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    indices = indices && key >= 1 && (lua_Unsigned)key <= count;
    entries++;
  }
  return indices && entries == count;
}

static json_t *encode_array(struct encoder *encoder, int depth) {
  lua_State *L = encoder->L;
  const size_t count = lua_rawlen(L, -1);
  if (!is_sequence(L, count))
    return refuse(encoder, "a table is neither an array nor an object");
  json_t *array = json_array();
  for (size_t i = 1; array && i <= count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i);
    json_t *value = encode(encoder, depth + 1);
    lua_pop(L, 1);
    if (!value || json_array_append_new(array, value) != 0) {
      json_decref(array);
      return NULL;
    }
  }
  return array;
}

/* Adds key and value, which are on top; leaves the key. */
static bool encode_member(struct encoder *encoder, json_t *object, int depth) {
  lua_State *L = encoder->L;
  json_t *value = NULL;
  size_t size;
  if (lua_type(L, -2) != LUA_TSTRING) {
    refuse(encoder, "a key of an object is not a string");
  } else {
    value = encode(encoder, depth + 1);
    const char *key = lua_tolstring(L, -2, &size);
    if (value && json_object_setn_new(object, key, size, value) != 0) {
      value = NULL;
      refuse(encoder, "a key is not UTF-8");
    }
  }
  lua_pop(L, 1);
  return value != NULL;
}

static json_t *encode_object(struct encoder *encoder, int depth) {
  lua_State *L = encoder->L;
  json_t *object = json_object();
  lua_pushnil(L);
  while (object && lua_next(L, -2)) {
    if (!encode_member(encoder, object, depth)) {
      lua_pop(L, 1);
      json_decref(object);
      return NULL;
    }
  }
  return object;
}

static json_t *encode_table(struct encoder *encoder, int depth) {
  if (depth > DEEPEST || !lua_checkstack(encoder->L, 8))
    return refuse(encoder, "tables are nested too deep");
  return is_array(encoder) ? encode_array(encoder, depth) : encode_object(encoder, depth);
}

static json_t *encode_number(struct encoder *encoder) {
  if (lua_isinteger(encoder->L, -1))
    return json_integer(lua_tointeger(encoder->L, -1));
  const double value = lua_tonumber(encoder->L, -1);
  return isfinite(value) ? json_real(value) : refuse(encoder, "a number is not finite");
}

static json_t *encode_string(struct encoder *encoder) {
  size_t size;
  const char *text = lua_tolstring(encoder->L, -1, &size);
  json_t *string = json_stringn(text, size);
  return string ? string : refuse(encoder, "a string is not UTF-8");
}

/* The value on top, which stays. */
static json_t *encode(struct encoder *encoder, int depth) {
  lua_State *L = encoder->L;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN:
    return json_boolean(lua_toboolean(L, -1));
  case LUA_TNUMBER:
    return encode_number(encoder);
  case LUA_TSTRING:
    return encode_string(encoder);
  case LUA_TTABLE:
    return encode_table(encoder, depth);
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(L, -1))
      return json_null();
  }
  return refuse(encoder, "a value is no number, string, boolean, table or null");
}

static int append_text(const char *text, size_t size, void *context) {
  qe_text *out = context;
  if (out->data)
    memcpy((char *)(uintptr_t)out->data + out->size, text, size);
  out->size += size;
  return 0;
}

/* Written twice: once to measure it, once into Lua's memory. */
static void push_dump(lua_State *L, const json_t *tree, size_t flags) {
  luaL_Buffer buffer;
  qe_text out = { NULL, 0 };
  if (json_dump_callback(tree, append_text, &out, flags) != 0)
    raise_status(L, QE_MEMORY, "");
  const size_t size = out.size;
  out = (qe_text){ luaL_buffinitsize(L, &buffer, size), 0 };
  if (json_dump_callback(tree, append_text, &out, flags) != 0)
    raise_status(L, QE_MEMORY, "");
  luaL_pushresultsize(&buffer, size);
}

void push_json(lua_State *L, int index, bool pretty) {
  struct encoder encoder = { .L = L };
  const size_t flags = JSON_SORT_KEYS | JSON_ENCODE_ANY | (pretty ? JSON_INDENT(2) : JSON_COMPACT);
  index = lua_absindex(L, index);
  luaL_getmetatable(L, ARRAY);
  encoder.array = lua_topointer(L, -1);
  lua_pop(L, 1);
  struct box *box = box_push(L, &tree_kind, 0);
  lua_pushvalue(L, index);
  box->object = encode(&encoder, 1);
  if (!box->object)
    luaL_error(L, "JSON: %s", encoder.problem ? encoder.problem : "out of memory");
  push_dump(L, box->object, flags);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* ---- JSON to Lua ---- */

static void push_tree(lua_State *L, json_t *tree);

static void push_array(lua_State *L, const json_t *array) {
  const size_t count = json_array_size(array);
  lua_createtable(L, count <= INT32_MAX ? (int)count : 0, 0);
  luaL_setmetatable(L, ARRAY);
  for (size_t i = 0; i < count; i++) {
    push_tree(L, json_array_get(array, i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void push_object(lua_State *L, json_t *object) {
  lua_createtable(L, 0, json_object_size(object) <= INT32_MAX ? (int)json_object_size(object) : 0);
  for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
    lua_pushlstring(L, json_object_iter_key(i), json_object_iter_key_len(i));
    push_tree(L, json_object_iter_value(i));
    lua_rawset(L, -3);
  }
}

static void push_tree(lua_State *L, json_t *tree) {
  luaL_checkstack(L, 8, "JSON is nested too deep");
  if (json_is_object(tree))
    push_object(L, tree);
  else if (json_is_array(tree))
    push_array(L, tree);
  else if (json_is_string(tree))
    lua_pushlstring(L, json_string_value(tree), json_string_length(tree));
  else if (json_is_integer(tree))
    lua_pushinteger(L, (lua_Integer)json_integer_value(tree));
  else if (json_is_real(tree))
    lua_pushnumber(L, json_real_value(tree));
  else if (json_is_null(tree))
    lua_pushlightuserdata(L, NULL);
  else
    lua_pushboolean(L, json_is_true(tree));
}

int push_decoded(lua_State *L, int index) {
  size_t size;
  json_error_t error;
  const char *text = luaL_checklstring(L, index, &size);
  struct box *box = box_push(L, &tree_kind, 0);
  box->object = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
  if (!box->object) {
    lua_pushnil(L);
    lua_pushfstring(L, "line %d: %s", error.line, error.text);
    return 2;
  }
  push_tree(L, box->object);
  return 1;
}

/* ---- functions ---- */

static int json_encode(lua_State *L) {
  static const char *const styles[] = { "compact", "pretty", NULL };
  luaL_checkany(L, 1);
  push_json(L, 1, luaL_checkoption(L, 2, "compact", styles) == 1);
  return 1;
}

static int json_decode(lua_State *L) {
  return push_decoded(L, 1);
}

static int json_mark_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, ARRAY);
  return 1;
}

void open_json(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "encode", json_encode }, { "decode", json_decode }, { "array", json_mark_array }, { NULL, NULL }
  };
  static const luaL_Reg none[] = { { NULL, NULL } };
  box_register(L, &tree_kind, box_close, none, NULL);
  luaL_newmetatable(L, ARRAY);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_setfield(L, -2, "json");
}
