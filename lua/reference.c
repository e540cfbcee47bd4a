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

static int metric_reference(lua_State *L) {
  size_t count;
  lua_settop(L, 2);
  const qe_text *references = check_texts(L, 2, &count);
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

/* ---- resampled corpora ---- */

static double corpus_of(void *context, const double *sums) {
  return qe_metric_corpus(context, sums);
}

static double mean_of(void *context, const double *sums) {
  (void)context;
  return sums[0] / sums[1];
}

/* Statistics of all outputs, one behind the other; returns how many segments there are. */
static double *read_outputs(lua_State *L, size_t outputs, size_t size, size_t *segments) {
  double *all = NULL;
  for (size_t i = 0; i < outputs; i++) {
    size_t count;
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    const double *statistics = check_doubles(L, lua_gettop(L), &count);
    luaL_argcheck(L, count % size == 0 && (i == 0 || count == *segments * size), 2,
                  "outputs do not have the same number of segments");
    *segments = count / size;
    all = i == 0 ? scratch(L, outputs * count, sizeof *all) : all;
    for (size_t j = 0; j < count; j++)
      all[i * count + j] = statistics[j];
  }
  return all;
}

/* resample(metric or nil, outputs, draws, seed) -> for each output an array of values. An output is the flat array of its
** segments' statistics; without a metric a segment has { score, 1 } and the value is the mean. */
static int resample(lua_State *L) {
  size_t segments = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  const size_t draws = check_size(L, 3, 1);
  const lua_Integer seed = luaL_checkinteger(L, 4);
  lua_settop(L, 4);
  const size_t outputs = lua_rawlen(L, 2);
  luaL_checkstack(L, (int)(3 * outputs) + 8, "too many outputs");
  const size_t size = lua_isnil(L, 1) ? 2 : qe_metric_size(check_metric(L, 1));
  const double *statistics = read_outputs(L, outputs, size, &segments);
  double *values = scratch(L, outputs * draws, sizeof *values);
  void *metric = lua_isnil(L, 1) ? NULL : check_metric(L, 1);
  if (segments == 0 || qe_resample(metric ? corpus_of : mean_of, metric, statistics, outputs, segments, size, draws,
                                   (uint64_t)seed, values) != QE_OK)
    return segments == 0 ? luaL_argerror(L, 2, "no segments") : luaL_error(L, "out of memory");
  lua_createtable(L, (int)outputs, 0);
  for (size_t i = 0; i < outputs; i++) {
    lua_createtable(L, (int)draws, 0);
    fill_doubles(L, values + i * draws, draws);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
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
  lua_pushcfunction(L, resample);
  lua_setfield(L, -2, "resample");
}
