/*
** reference.c - metrics that compare translations with references.
*/
#include "binding.h"

static void metric_release(void *object) {
  qe_metric_free(object);
}

static const struct kind metric_kind = { "qestrel.metric", metric_release };

static qe_metric *check_metric(lua_State *L, int index) {
  return box_check(L, index, &metric_kind);
}

static int metric_new(lua_State *L) {
  const char *name = check_text(L, 1);
  struct box *box = box_push(L, &metric_kind, 0);
  qe_metric *metric = box->object = qe_metric_new();
  box_filled(L, box);
  const int status = qe_metric_choose(metric, name);
  return status == QE_OK ? 1 : raise_status(L, status, qe_metric_error(metric));
}

/* The strings stay where they are: nothing that allocates comes between reading them and their last use. */
static int metric_reference(lua_State *L) {
  lua_settop(L, 2);
  luaL_checktype(L, 2, LUA_TTABLE);
  const size_t count = lua_rawlen(L, 2);
  qe_text *references = scratch(L, count, sizeof *references);
  for (size_t i = 0; i < count; i++) {
    if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(
          L, 2, lua_pushfstring(L, "%s at index %I, expected a string", luaL_typename(L, -1), (lua_Integer)i + 1));
    references[i].data = lua_tolstring(L, -1, &references[i].size);
    lua_pop(L, 1);
  }
  qe_metric *metric = check_metric(L, 1);
  return push_status(L, qe_metric_reference(metric, references, count), qe_metric_error(metric));
}

static int metric_statistics(lua_State *L) {
  qe_text text;
  lua_settop(L, 2);
  luaL_checktype(L, 2, LUA_TSTRING);
  text.data = lua_tolstring(L, 2, &text.size);
  const size_t size = qe_metric_size(check_metric(L, 1));
  double *statistics = scratch(L, size, sizeof *statistics);
  lua_createtable(L, (int)size, 0);
  qe_metric *metric = check_metric(L, 1);
  const int status = qe_metric_statistics(metric, text, statistics);
  if (status != QE_OK)
    return raise_status(L, status, qe_metric_error(metric));
  fill_doubles(L, statistics, size);
  return 1;
}

static int metric_score(lua_State *L, double (*score)(const qe_metric *metric, const double *statistics)) {
  size_t count;
  lua_settop(L, 2);
  const double *statistics = check_doubles(L, 2, &count);
  const qe_metric *metric = check_metric(L, 1);
  check_count(L, 2, count, qe_metric_size(metric));
  lua_pushnumber(L, score(metric, statistics));
  return 1;
}

static int metric_corpus(lua_State *L) {
  return metric_score(L, qe_metric_corpus);
}

static int metric_sentence(lua_State *L) {
  return metric_score(L, qe_metric_sentence);
}

static int metric_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_metric_size(check_metric(L, 1)));
  return 1;
}

static int metric_direction(lua_State *L) {
  lua_pushinteger(L, qe_metric_direction(check_metric(L, 1)));
  return 1;
}

void open_reference(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "reference", metric_reference }, { "statistics", metric_statistics }, { "corpus", metric_corpus },
    { "sentence", metric_sentence },   { "direction", metric_direction },   { NULL, NULL },
  };
  static const luaL_Reg meta[] = { { "__len", metric_size }, { NULL, NULL } };
  box_register(L, &metric_kind, box_close, methods, meta);
  lua_pushcfunction(L, metric_new);
  lua_setfield(L, -2, "metric");
}
