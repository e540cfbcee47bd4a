/*
** measure.c - correlations and errors of two arrays of equal length.
*/
#include "binding.h"

static const char *const names[] = { "pearson", "spearman", "kendall", "mae", "rmse", "worst_decile_recall", NULL };
static qe_statistic *const statistics[] = { qe_pearson, qe_spearman, qe_kendall,
                                            qe_mae,     qe_rmse,     qe_worst_decile_recall };

static size_t check_columns(lua_State *L, int index, const double **x, const double **y) {
  size_t n, m;
  *x = check_doubles(L, index, &n);
  *y = check_doubles(L, index + 1, &m);
  check_count(L, index + 1, m, n);
  return n;
}

/* Upvalue: number of the statistic. */
static int measure(lua_State *L) {
  const double *x, *y;
  lua_settop(L, 2);
  const size_t n = check_columns(L, 1, &x, &y);
  lua_pushnumber(L, statistics[lua_tointeger(L, lua_upvalueindex(1))](x, y, n));
  return 1;
}

static int bootstrap(lua_State *L) {
  const double *x, *y;
  qe_interval interval;
  lua_settop(L, 6);
  qe_statistic *statistic = statistics[luaL_checkoption(L, 1, NULL, names)];
  const size_t draws = check_size(L, 4, 1);
  const double level = luaL_checknumber(L, 5);
  const lua_Integer seed = luaL_checkinteger(L, 6);
  const size_t n = check_columns(L, 2, &x, &y);
  const int status = qe_bootstrap(statistic, x, y, n, draws, level, (uint64_t)seed, &interval);
  if (status != QE_OK)
    return raise_status(L, status, "bootstrap: level is not between 0 and 1");
  lua_pushnumber(L, interval.low);
  lua_pushnumber(L, interval.high);
  return 2;
}

void open_measure(lua_State *L) {
  for (int i = 0; names[i]; i++) {
    lua_pushinteger(L, i);
    lua_pushcclosure(L, measure, 1);
    lua_setfield(L, -2, names[i]);
  }
  lua_pushcfunction(L, bootstrap);
  lua_setfield(L, -2, "bootstrap");
}
