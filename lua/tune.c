/*
** tune.c - the tuner: values and statistics of candidates come as flat arrays, a candidate after another; the metric
** that the statistics belong to is named when the search runs.
*/
#include "binding.h"

#include <string.h>

/* The columns stand behind the box, where they need no object. */
struct columns {
  size_t features, size;
};

static void tuner_release(void *object) {
  qe_tuner_free(object);
}

static const struct kind tuner_kind = { "qestrel.tuner", tuner_release };

static struct columns *columns_of(lua_State *L, int index) {
  box_check(L, index, &tuner_kind);
  return (struct columns *)(void *)((struct box *)lua_touserdata(L, index) + 1);
}

/* tuner(features, size) */
static int tuner_new(lua_State *L) {
  const size_t features = check_size(L, 1, 0), size = check_size(L, 2, 1);
  struct box *box = box_push(L, &tuner_kind, sizeof(struct columns));
  *(struct columns *)(void *)(box + 1) = (struct columns){ features, size };
  box->object = qe_tuner_new(features, size);
  box->borrowed = false; /* the columns lie in the box, the tuner does not */
  return box_filled(L, box);
}

/* tuner:add(values, statistics) */
static int tuner_add(lua_State *L) {
  size_t cells, numbers;
  lua_settop(L, 3);
  const struct columns columns = *columns_of(L, 1);
  const double *values = check_doubles(L, 2, &cells), *statistics = check_doubles(L, 3, &numbers);
  const size_t count = numbers / columns.size;
  luaL_argcheck(L, numbers % columns.size == 0, 3, "not a whole number of candidates");
  check_count(L, 2, cells, count * columns.features);
  qe_tuner *tuner = box_check(L, 1, &tuner_kind);
  return push_status(L, qe_tuner_add(tuner, values, statistics, count), qe_tuner_error(tuner));
}

static double number_field(lua_State *L, int index, const char *name, double otherwise) {
  const double value = lua_getfield(L, index, name) == LUA_TNIL ? otherwise : luaL_checknumber(L, -1);
  lua_pop(L, 1);
  return value;
}

static size_t size_field(lua_State *L, int index, const char *name, size_t otherwise) {
  const size_t value = lua_getfield(L, index, name) == LUA_TNIL ? otherwise : check_size(L, lua_gettop(L), 0);
  lua_pop(L, 1);
  return value;
}

static int flag_field(lua_State *L, int index, const char *name, int otherwise) {
  const int value = lua_getfield(L, index, name) == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static qe_tuning_options check_options(lua_State *L, int index) {
  static const char *const known[] = {
    "restarts", "folds", "draws", "level", "seed", "negative", "simplest", NULL
  };
  qe_tuning_options options = qe_tuning_defaults();
  if (lua_isnoneornil(L, index))
    return options;
  check_keys(L, index, known);
  options.restarts = size_field(L, index, "restarts", options.restarts);
  options.folds = size_field(L, index, "folds", options.folds);
  options.draws = size_field(L, index, "draws", options.draws);
  options.level = number_field(L, index, "level", options.level);
  options.seed = size_field(L, index, "seed", options.seed);
  options.negative = flag_field(L, index, "negative", options.negative);
  options.simplest = flag_field(L, index, "simplest", options.simplest);
  return options;
}

/* ---- objectives ---- */

static double of_metric(void *context, const double *sums) {
  const qe_metric *metric = context;
  return qe_metric_direction(metric) * qe_metric_corpus(metric, sums);
}

/* Of statistics (score, 1). */
static double of_mean(void *context, const double *sums) {
  (void)context;
  return sums[0] / sums[1];
}

static int run_named(qe_tuner *tuner, const char *name, size_t size, const qe_tuning_options *options,
                     double *weights, qe_tuning *result, const char **problem) {
  *problem = NULL;
  if (strcmp(name, "mean") == 0 && size == 2)
    return qe_tuner_run(tuner, of_mean, NULL, options, weights, result);
  qe_metric *metric = qe_metric_new();
  int status = metric ? qe_metric_choose(metric, name) : QE_MEMORY;
  if (status != QE_OK || qe_metric_size(metric) != size) {
    *problem = status == QE_MEMORY ? "out of memory" : "no metric with statistics of that size";
    status = status == QE_OK ? QE_USE : status;
  } else {
    status = qe_tuner_run(tuner, of_metric, metric, options, weights, result);
  }
  qe_metric_free(metric);
  return status;
}

static void push_interval(lua_State *L, const char *name, qe_interval interval) {
  lua_createtable(L, 2, 0);
  fill_doubles(L, (double[]){ interval.low, interval.high }, 2);
  lua_setfield(L, -2, name);
}

static void push_result(lua_State *L, const qe_tuning *result) {
  const struct {
    const char *name;
    double value;
  } fields[] = { { "first", result->first },
                 { "best", result->best },
                 { "tuned", result->tuned },
                 { "validated", result->validated } };
  lua_createtable(L, 0, 6);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushnumber(L, fields[i].value);
    lua_setfield(L, -2, fields[i].name);
  }
  push_interval(L, "gain", result->gain);
  push_interval(L, "validated_gain", result->validated_gain);
}

/* tuner:run(metric, options) -> weights, result */
static int tuner_run(lua_State *L) {
  const char *problem, *name = check_text(L, 2);
  lua_settop(L, 3);
  const qe_tuning_options options = check_options(L, 3);
  const struct columns columns = *columns_of(L, 1);
  double *weights = scratch(L, columns.features, sizeof *weights);
  qe_tuning result = { 0 };
  qe_tuner *tuner = box_check(L, 1, &tuner_kind);
  const int status = run_named(tuner, name, columns.size, &options, weights, &result, &problem);
  if (status != QE_OK)
    return push_status(L, status, problem ? problem : qe_tuner_error(tuner));
  lua_createtable(L, (int)columns.features, 0);
  fill_doubles(L, weights, columns.features);
  push_result(L, &result);
  return 2;
}

void open_tune(lua_State *L) {
  static const luaL_Reg methods[] = { { "add", tuner_add }, { "run", tuner_run }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "tuner", tuner_new }, { NULL, NULL } };
  box_register(L, &tuner_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
