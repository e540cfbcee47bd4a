/*
** reranker.c - reranking: evidence, weights, guards. The box's parents are the model and the pool.
*/
#include "binding.h"

static void reranker_release(void *object) {
  qe_reranker_free(object);
}

static const struct kind reranker_kind = { "qestrel.reranker", reranker_release };

static qe_reranker *check_reranker(lua_State *L, int index) {
  return box_check(L, index, &reranker_kind);
}

/* reranker(model or nil, pool or nil) */
static int reranker_new(lua_State *L) {
  lua_settop(L, 2);
  struct box *box = box_push(L, &reranker_kind, 0);
  qe_pool *pool = optional_pool(L, 2);
  const qe_model *model = box_optional(L, 1, &model_kind);
  box_parent(L, 3, 1, 1);
  box_parent(L, 3, 2, 2);
  box->object = qe_reranker_new(model, pool);
  return box_filled(L, box);
}

/* reranker:weights(text, origin) */
static int reranker_weights(lua_State *L) {
  qe_text text;
  text.data = luaL_checklstring(L, 2, &text.size);
  const char *origin = check_text(L, 3);
  qe_reranker *reranker = check_reranker(L, 1);
  return push_status(L, qe_reranker_weights(reranker, text, origin), qe_reranker_error(reranker));
}

/* reranker:guards "all,-name": a name that is unknown is the world's fault, it comes from a command line */
static int reranker_guards(lua_State *L) {
  const char *names = check_text(L, 2);
  qe_reranker *reranker = check_reranker(L, 1);
  const int status = qe_reranker_guards(reranker, names);
  return push_status(L, status == QE_USE ? QE_WORLD : status, qe_reranker_error(reranker));
}

static int reranker_languages(lua_State *L) {
  const char *source = lua_isnoneornil(L, 2) ? NULL : check_text(L, 2);
  const char *target = lua_isnoneornil(L, 3) ? NULL : check_text(L, 3);
  qe_reranker *reranker = check_reranker(L, 1);
  return push_status(L, qe_reranker_languages(reranker, source, target), qe_reranker_error(reranker));
}

static int reranker_quality(lua_State *L) {
  const char *name = check_text(L, 2);
  qe_reranker *reranker = check_reranker(L, 1);
  return push_status(L, qe_reranker_quality(reranker, name), qe_reranker_error(reranker));
}

static size_t check_hypotheses(lua_State *L, int index) {
  const size_t count = qe_list_size(check_list(L, index));
  luaL_argcheck(L, count <= INT32_MAX, index, "too many hypotheses for a table");
  return count;
}

/* reranker:rerank(list) -> order, totals, vetoes (an array of names joined by commas, "" for none) */
static int reranker_rerank(lua_State *L) {
  const size_t count = check_hypotheses(L, 2);
  size_t *order = scratch(L, count, sizeof *order);
  double *totals = scratch(L, count, sizeof *totals);
  unsigned *vetoes = scratch(L, count, sizeof *vetoes);
  for (int i = 0; i < 3; i++)
    lua_createtable(L, (int)count, 0);
  qe_list *list = check_list(L, 2);
  qe_reranker *reranker = check_reranker(L, 1);
  check_count(L, 2, qe_list_size(list), count);
  const int status = qe_rerank(reranker, list, order, totals, vetoes);
  if (status != QE_OK)
    return push_status(L, status, qe_reranker_error(reranker));
  for (size_t i = 0; i < count; i++) {
    push_guards(L, vetoes[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_insert(L, -3);
  fill_doubles(L, totals, count);
  lua_insert(L, -2);
  fill_order(L, order, count);
  lua_insert(L, -2);
  lua_rotate(L, -3, -1);
  return 3;
}

/* reranker:contributions(list, i) -> { [name] = what it adds to the sum } */
static int reranker_contributions(lua_State *L) {
  const size_t index = check_index(L, 3, check_hypotheses(L, 2));
  const qe_weights *used = qe_reranker_used(check_reranker(L, 1));
  luaL_argcheck(L, used, 1, "nothing was ranked yet");
  const size_t count = qe_weights_count(used);
  double *values = scratch(L, count, sizeof *values);
  lua_createtable(L, 0, (int)count);
  qe_list *list = check_list(L, 2);
  used = qe_reranker_used(check_reranker(L, 1));
  check_count(L, 1, used ? qe_weights_count(used) : 0, count);
  const int status = qe_list_contributions(list, used, index, values);
  if (status != QE_OK)
    return push_status(L, status, qe_list_error(list));
  for (size_t i = 0; i < count; i++) {
    lua_pushnumber(L, values[i]);
    lua_setfield(L, -2, qe_weights_name(used, i));
  }
  return 1;
}

static int reranker_origin(lua_State *L) {
  lua_pushstring(L, qe_reranker_origin(check_reranker(L, 1)));
  return 1;
}

/* How many guards held back in the last list: order[2] and those behind it. */
static int reranker_refused(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_reranker_refused(check_reranker(L, 1)));
  return 1;
}

static int reranker_standard_error(lua_State *L) {
  lua_pushnumber(L, qe_reranker_standard_error(check_reranker(L, 1)));
  return 1;
}

static int reranker_truncated(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_reranker_truncated(check_reranker(L, 1)));
  return 1;
}

void open_reranker(lua_State *L) {
  static const luaL_Reg methods[] = { { "weights", reranker_weights },
                                      { "guards", reranker_guards },
                                      { "languages", reranker_languages },
                                      { "quality", reranker_quality },
                                      { "rerank", reranker_rerank },
                                      { "contributions", reranker_contributions },
                                      { "origin", reranker_origin },
                                      { "refused", reranker_refused },
                                      { "standard_error", reranker_standard_error },
                                      { "truncated", reranker_truncated },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "reranker", reranker_new }, { NULL, NULL } };
  box_register(L, &reranker_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
