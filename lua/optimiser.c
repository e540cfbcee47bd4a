/*
** optimiser.c - steps along a gradient. The box's parents are the parameters and the pool.
*/
#include "binding.h"

#include <string.h>

static void optimiser_release(void *object) {
  qe_optimiser_free(object);
}

static const struct kind optimiser_kind = { "qestrel.optimiser", optimiser_release };

static qe_optimiser *check_optimiser(lua_State *L, int index) {
  return box_check(L, index, &optimiser_kind);
}

static const char *const rules[] = { "sgd", "adagrad", "adam", NULL };

/* A field of the table at `index`, left on the stack. */
static int raw_field(lua_State *L, int index, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, index);
}

static void number_field(lua_State *L, int index, const char *name, double *value) {
  const int type = raw_field(L, index, name);
  if (type == LUA_TNUMBER)
    *value = lua_tonumber(L, -1);
  else if (type != LUA_TNIL)
    luaL_argerror(L, index, lua_pushfstring(L, "%s is not a number", name));
  lua_pop(L, 1);
}

static qe_rule rule_field(lua_State *L, int index) {
  if (raw_field(L, index, "rule") != LUA_TSTRING)
    luaL_argerror(L, index, "rule is none of sgd, adagrad, adam");
  for (int i = 0; rules[i]; i++)
    if (strcmp(rules[i], lua_tostring(L, -1)) == 0) {
      lua_pop(L, 1);
      return (qe_rule)i;
    }
  return (qe_rule)luaL_argerror(L, index, "rule is none of sgd, adagrad, adam");
}

static qe_optimiser_options check_options(lua_State *L, int index) {
  static const char *const known[] = { "rule",    "momentum",     "beta1", "beta2",
                                       "epsilon", "weight_decay", "dense", NULL };
  if (!lua_istable(L, index))
    return qe_optimiser_defaults((qe_rule)luaL_checkoption(L, index, NULL, rules));
  check_keys(L, index, known);
  qe_optimiser_options options = qe_optimiser_defaults(rule_field(L, index));
  number_field(L, index, "momentum", &options.momentum);
  number_field(L, index, "beta1", &options.beta1);
  number_field(L, index, "beta2", &options.beta2);
  number_field(L, index, "epsilon", &options.epsilon);
  number_field(L, index, "weight_decay", &options.weight_decay);
  raw_field(L, index, "dense");
  options.dense = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return options;
}

static int optimiser_new(lua_State *L) {
  lua_settop(L, 3);
  const qe_optimiser_options options = check_options(L, 2);
  struct box *box = box_push(L, &optimiser_kind, 0);
  qe_pool *pool = optional_pool(L, 3);
  qe_params *params = check_params(L, 1);
  box_parent(L, 4, 1, 1);
  box_parent(L, 4, 2, 3);
  box->object = qe_optimiser_new(params, &options, pool);
  return box_filled(L, box);
}

static int optimiser_step(lua_State *L) {
  const double rate = luaL_checknumber(L, 2);
  qe_optimiser *optimiser = check_optimiser(L, 1);
  return push_status(L, qe_optimiser_step(optimiser, rate), qe_optimiser_error(optimiser));
}

/* optimiser:scale(name, number) and the like: what is told of the matrix of this name */
static int tell_matrix(lua_State *L, int (*tell)(qe_optimiser *optimiser, size_t number, double value)) {
  const char *name = check_text(L, 2);
  const double value = luaL_checknumber(L, 3);
  qe_optimiser *optimiser = check_optimiser(L, 1);
  const qe_params *params = ((const struct box *)lua_touserdata(L, 1))->parent[0]->object;
  const int number = qe_params_find(params, name);
  luaL_argcheck(L, number >= 0, 2, "no matrix of that name");
  return push_status(L, tell(optimiser, (size_t)number, value), qe_optimiser_error(optimiser));
}

static int optimiser_scale(lua_State *L) {
  return tell_matrix(L, qe_optimiser_scale);
}

static int optimiser_catch_up(lua_State *L) {
  return tell_matrix(L, qe_optimiser_catch_up);
}

static int optimiser_steps(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_optimiser_steps(check_optimiser(L, 1)));
  return 1;
}

static int optimiser_set_steps(lua_State *L) {
  const size_t steps = check_size(L, 2, 0);
  qe_optimiser_set_steps(check_optimiser(L, 1), steps);
  return 0;
}

static int optimiser_blocks(lua_State *L) {
  lua_settop(L, 1);
  lua_newtable(L);
  for (size_t i = 0; i < qe_optimiser_blocks(check_optimiser(L, 1)); i++) {
    struct box *box = push_block(L, 1);
    box->object = qe_optimiser_block(check_optimiser(L, 1), i);
    lua_rawseti(L, 2, (lua_Integer)i + 1);
  }
  return 1;
}

void open_optimiser(lua_State *L) {
  static const luaL_Reg methods[] = { { "step", optimiser_step },
                                      { "scale", optimiser_scale },
                                      { "catch_up", optimiser_catch_up },
                                      { "steps", optimiser_steps },
                                      { "set_steps", optimiser_set_steps },
                                      { "blocks", optimiser_blocks },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "optimiser", optimiser_new }, { NULL, NULL } };
  box_register(L, &optimiser_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
