/*
** list.c - n-best lists and the weights that rank them.
*/
#include "binding.h"

#include <math.h>
#include <stddef.h>

static void list_release(void *object) {
  qe_list_free(object);
}

const struct kind list_kind = { "qestrel.list", list_release };

static void weights_release(void *object) {
  qe_weights_free(object);
}

static const struct kind weights_kind = { "qestrel.weights", weights_release };

static qe_weights *check_weights(lua_State *L, int index) {
  return box_check(L, index, &weights_kind);
}

static int list_new(lua_State *L) {
  struct box *box = box_push(L, &list_kind, 0);
  box->object = qe_list_new();
  return box_filled(L, box);
}

static int list_add(lua_State *L) {
  qe_text text;
  text.data = luaL_checklstring(L, 2, &text.size);
  const size_t line = check_size(L, 3, 0);
  qe_list *list = check_list(L, 1);
  const int status = qe_list_add(list, text, line);
  if (status < 0)
    return push_status(L, status, qe_list_error(list));
  lua_pushboolean(L, status);
  return 1;
}

static int list_clear(lua_State *L) {
  qe_list_clear(check_list(L, 1));
  return 0;
}

static int list_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_list_size(check_list(L, 1)));
  return 1;
}

static size_t check_hypothesis(lua_State *L, int index) {
  return check_index(L, index, qe_list_size(check_list(L, 1)));
}

static int list_get(lua_State *L) {
  static const struct {
    const char *name;
    size_t offset;
  } fields[] = {
    { "id", offsetof(qe_hypothesis, id) },
    { "text", offsetof(qe_hypothesis, text) },
    { "features", offsetof(qe_hypothesis, features) },
    { "between", offsetof(qe_hypothesis, between) },
    { "after", offsetof(qe_hypothesis, after) },
    { "system", offsetof(qe_hypothesis, system) },
  };
  lua_createtable(L, 0, 7);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushstring(L, fields[i].name);
    const char *hypothesis = (const char *)qe_list_get(check_list(L, 1), check_hypothesis(L, 2));
    const qe_text *text = (const qe_text *)(const void *)(hypothesis + fields[i].offset);
    lua_pushlstring(L, text->size > 0 ? text->data : "", text->size);
    lua_rawset(L, -3);
  }
  lua_pushnumber(L, qe_list_get(check_list(L, 1), check_hypothesis(L, 2))->total);
  lua_setfield(L, -2, "total");
  return 1;
}

static int list_feature(lua_State *L) {
  const char *name = check_text(L, 3);
  const size_t count = qe_list_feature(check_list(L, 1), check_hypothesis(L, 2), name, NULL, 0);
  if (count == 0) {
    lua_pushnil(L);
    return 1;
  }
  double *values = scratch(L, count, sizeof *values);
  lua_createtable(L, (int)count, 0);
  const size_t found = qe_list_feature(check_list(L, 1), check_hypothesis(L, 2), name, values, count);
  fill_doubles(L, values, found < count ? found : count);
  return 1;
}

static int list_append(lua_State *L) {
  size_t count;
  const char *name = check_text(L, 2);
  const double *values = check_doubles(L, 3, &count);
  qe_list *list = check_list(L, 1);
  check_count(L, 3, count, qe_list_size(list));
  return push_status(L, qe_list_append(list, name, values), qe_list_error(list));
}

/* list:remove(name) -> whether it was there */
static int list_remove(lua_State *L) {
  const char *name = check_text(L, 2);
  lua_pushboolean(L, qe_list_remove(check_list(L, 1), name));
  return 1;
}

static int list_totals_differ(lua_State *L) {
  lua_pushboolean(L, qe_list_totals_differ(check_list(L, 1)));
  return 1;
}

void fill_order(lua_State *L, const size_t *order, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, (lua_Integer)order[i] + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static int list_rank(lua_State *L) {
  const size_t count = qe_list_size(check_list(L, 1));
  luaL_argcheck(L, count <= INT32_MAX, 1, "too many hypotheses for a table");
  size_t *order = scratch(L, count, sizeof *order);
  double *totals = scratch(L, count, sizeof *totals);
  lua_createtable(L, (int)count, 0);
  lua_createtable(L, (int)count, 0);
  const qe_weights *weights = check_weights(L, 2);
  qe_list *list = check_list(L, 1);
  check_count(L, 1, qe_list_size(list), count);
  const int status = qe_list_rank(list, weights, order, totals);
  if (status != QE_OK)
    return push_status(L, status, qe_list_error(list));
  fill_doubles(L, totals, count);
  lua_insert(L, -2);
  fill_order(L, order, count);
  lua_insert(L, -2);
  return 2;
}

static int list_line(lua_State *L) {
  const double total = luaL_optnumber(L, 3, (lua_Number)NAN);
  const size_t index = check_hypothesis(L, 2);
  qe_list *list = check_list(L, 1);
  const qe_text line = qe_list_line(list, index, total);
  if (line.size == 0 && *qe_list_error(list))
    return raise_status(L, QE_USE, qe_list_error(list));
  lua_pushlstring(L, line.data, line.size);
  return 1;
}

static int push_optional(lua_State *L, qe_text text) {
  if (text.data)
    lua_pushlstring(L, text.data, text.size);
  else
    lua_pushnil(L);
  return 1;
}

/* list:number(i) -> its line in the file, 0 where it was not read */
static int list_number(lua_State *L) {
  const size_t index = check_hypothesis(L, 2);
  lua_pushinteger(L, (lua_Integer)qe_list_number(check_list(L, 1), index));
  return 1;
}

static int list_id(lua_State *L) {
  return push_optional(L, qe_list_id(check_list(L, 1)));
}

static int list_source(lua_State *L) {
  return push_optional(L, qe_list_source(check_list(L, 1)));
}

static int list_set_source(lua_State *L) {
  qe_text source;
  source.data = luaL_checklstring(L, 2, &source.size);
  qe_list *list = check_list(L, 1);
  return push_status(L, qe_list_set_source(list, source), qe_list_error(list));
}

static int list_token_scores(lua_State *L) {
  const size_t index = check_index(L, 2, qe_list_size(check_list(L, 1)));
  const size_t count = qe_list_token_scores(check_list(L, 1), index, NULL, 0);
  if (count == 0) {
    lua_pushnil(L);
    return 1;
  }
  double *values = scratch(L, count, sizeof *values);
  lua_createtable(L, (int)count, 0);
  const size_t found = qe_list_token_scores(check_list(L, 1), index, values, count);
  fill_doubles(L, values, found < count ? found : count);
  return 1;
}

/* A field of the table at 2, whose string stays on the stack. */
static qe_text text_field(lua_State *L, const char *name) {
  qe_text text = { "", 0 };
  lua_getfield(L, 2, name);
  if (!lua_isnil(L, -1))
    text.data = luaL_checklstring(L, -1, &text.size);
  return text;
}

/* list:push { id =, text =, features = "Name= v ...", between =, after =, system =, total = } */
static int list_push(lua_State *L) {
  static const char *const known[] = { "id", "text", "features", "between", "after", "system", "total", NULL };
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  check_keys(L, 2, known);
  const qe_hypothesis hypothesis = {
    .id = text_field(L, "id"),
    .text = text_field(L, "text"),
    .features = text_field(L, "features"),
    .between = text_field(L, "between"),
    .after = text_field(L, "after"),
    .system = text_field(L, "system"),
    .total = lua_getfield(L, 2, "total") == LUA_TNIL ? (double)NAN : luaL_checknumber(L, -1),
  };
  qe_list *list = check_list(L, 1);
  return push_status(L, qe_list_push(list, &hypothesis), qe_list_error(list));
}

/* An array of places from 1 on; NULL for nil. */
static size_t *optional_order(lua_State *L, int index, size_t size, size_t *count) {
  if (lua_isnoneornil(L, index))
    return NULL;
  const uint32_t *places = check_indices(L, index, size, count);
  size_t *order = scratch(L, *count, sizeof *order);
  for (size_t i = 0; i < *count; i++)
    order[i] = places[i];
  return order;
}

/* list:write(format or nil, order or nil, totals or nil) -> text */
static int list_write(lua_State *L) {
  size_t count = 0, total_count = 0;
  qe_text text;
  lua_settop(L, 4);
  const char *format = lua_isnil(L, 2) ? NULL : check_text(L, 2);
  const size_t size = qe_list_size(check_list(L, 1));
  const size_t *order = optional_order(L, 3, size, &count);
  const double *totals = lua_isnil(L, 4) ? NULL : check_doubles(L, 4, &total_count);
  if (totals)
    check_count(L, 4, total_count, size);
  qe_list *list = check_list(L, 1);
  check_count(L, 1, qe_list_size(list), size);
  const int status = qe_list_write(list, format, order, count, totals, &text);
  if (status != QE_OK)
    return push_status(L, status, qe_list_error(list));
  lua_pushlstring(L, text.data, text.size);
  return 1;
}

/* ---- weights ---- */

static int weights_new(lua_State *L) {
  struct box *box = box_push(L, &weights_kind, 0);
  box->object = qe_weights_new();
  return box_filled(L, box);
}

static int weights_parse(lua_State *L) {
  qe_text text;
  text.data = luaL_checklstring(L, 2, &text.size);
  const char *origin = check_text(L, 3);
  qe_weights *weights = check_weights(L, 1);
  return push_status(L, qe_weights_parse(weights, text, origin), qe_weights_error(weights));
}

static int weights_set(lua_State *L) {
  size_t count = 1;
  double one;
  const double *values = &one;
  const char *name = check_text(L, 2);
  if (lua_istable(L, 3))
    values = check_doubles(L, 3, &count);
  else
    one = luaL_checknumber(L, 3);
  qe_weights *weights = check_weights(L, 1);
  return push_status(L, qe_weights_set(weights, name, values, count), qe_weights_error(weights));
}

/* weights:values() -> { [name] = number, or array where there are several } */
static int weights_values(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < qe_weights_count(check_weights(L, 1)); i++) {
    size_t count;
    qe_weights_values(check_weights(L, 1), i, &count);
    lua_pushstring(L, qe_weights_name(check_weights(L, 1), i));
    lua_createtable(L, (int)count, 0);
    const double *values = qe_weights_values(check_weights(L, 1), i, &count);
    if (count == 1)
      lua_pushnumber(L, values[0]);
    else
      fill_doubles(L, values, count);
    if (count == 1)
      lua_remove(L, -2);
    lua_rawset(L, -3);
  }
  return 1;
}

void open_list(lua_State *L) {
  static const luaL_Reg list_methods[] = { { "add", list_add },
                                           { "clear", list_clear },
                                           { "get", list_get },
                                           { "feature", list_feature },
                                           { "append", list_append },
                                           { "remove", list_remove },
                                           { "rank", list_rank },
                                           { "line", list_line },
                                           { "number", list_number },
                                           { "id", list_id },
                                           { "source", list_source },
                                           { "set_source", list_set_source },
                                           { "push", list_push },
                                           { "token_scores", list_token_scores },
                                           { "write", list_write },
                                           { "totals_differ", list_totals_differ },
                                           { NULL, NULL } };
  static const luaL_Reg list_meta[] = { { "__len", list_size }, { NULL, NULL } };
  static const luaL_Reg weights_methods[] = {
    { "parse", weights_parse }, { "set", weights_set }, { "values", weights_values }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = { { "list", list_new }, { "weights", weights_new }, { NULL, NULL } };
  box_register(L, &list_kind, box_close, list_methods, list_meta);
  box_register(L, &weights_kind, box_close, weights_methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
