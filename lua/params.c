/*
** params.c - named matrices, and flat blocks of them. Blocks of parameters and optimisers belong to their box, clones
** to nobody.
*/
#include "binding.h"

#include <string.h>

/* ---- blocks ---- */

static void block_release(void *object) {
  qe_block_free(object);
}

static const struct kind block_kind = { "qestrel.block", block_release };

static qe_block *check_block(lua_State *L, int index) {
  return box_check(L, index, &block_kind);
}

struct box *push_block(lua_State *L, int owner) {
  struct box *box = box_push(L, &block_kind, 0);
  box->borrowed = true;
  box_parent(L, -1, 1, owner);
  return box;
}

static int block_clone(lua_State *L) {
  struct box *box = box_push(L, &block_kind, 0);
  box->object = qe_block_clone(check_block(L, 1));
  return box_filled(L, box);
}

static int block_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_block_size(check_block(L, 1)));
  return 1;
}

/* Self, so that calls can be strung together. */
static int block_done(lua_State *L, int status) {
  if (status != QE_OK)
    return raise_status(L, status, "blocks of different layouts");
  lua_settop(L, 1);
  return 1;
}

static int block_fill(lua_State *L) {
  const double value = luaL_checknumber(L, 2);
  return block_done(L, qe_block_fill(check_block(L, 1), value));
}

static int block_copy(lua_State *L) {
  qe_block *y = check_block(L, 1);
  return block_done(L, qe_block_copy(y, check_block(L, 2)));
}

static int block_axpy(lua_State *L) {
  const double a = luaL_checknumber(L, 2);
  const qe_block *x = check_block(L, 3);
  return block_done(L, qe_block_axpy(check_block(L, 1), a, x));
}

static int block_lerp(lua_State *L) {
  const double t = luaL_checknumber(L, 3);
  const qe_block *x = check_block(L, 2);
  return block_done(L, qe_block_lerp(check_block(L, 1), x, t));
}

static int block_scale(lua_State *L) {
  const double a = luaL_checknumber(L, 2);
  return block_done(L, qe_block_scale(check_block(L, 1), a));
}

static int block_dot(lua_State *L) {
  double dot = 0;
  const qe_block *x = check_block(L, 1);
  const int status = qe_block_dot(x, check_block(L, 2), &dot);
  if (status != QE_OK)
    return block_done(L, status);
  lua_pushnumber(L, dot);
  return 1;
}

static int block_norm(lua_State *L) {
  lua_pushnumber(L, qe_block_norm(check_block(L, 1)));
  return 1;
}

static int block_clip(lua_State *L) {
  const double norm = luaL_checknumber(L, 2);
  luaL_argcheck(L, norm >= 0, 2, "a norm is not negative");
  lua_pushnumber(L, qe_block_clip(check_block(L, 1), norm));
  return 1;
}

/* Floats, little-endian, whatever the machine. */
enum { FLOAT_BYTES = 4 };

static void float_write(char *bytes, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  for (int i = 0; i < FLOAT_BYTES; i++)
    bytes[i] = (char)(bits >> 8 * i & 0xff);
}

static float float_read(const char *bytes) {
  uint32_t bits = 0;
  float value;
  for (int i = 0; i < FLOAT_BYTES; i++)
    bits |= (uint32_t)(unsigned char)bytes[i] << 8 * i;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static int block_bytes(lua_State *L) {
  luaL_Buffer buffer;
  const size_t size = qe_block_size(check_block(L, 1));
  char *bytes = luaL_buffinitsize(L, &buffer, size * FLOAT_BYTES);
  const qe_real *values = qe_block_values(check_block(L, 1));
  for (size_t i = 0; i < size; i++)
    float_write(bytes + i * FLOAT_BYTES, (float)values[i]);
  luaL_pushresultsize(&buffer, size * FLOAT_BYTES);
  return 1;
}

static int block_set_bytes(lua_State *L) {
  size_t found;
  const char *bytes = luaL_checklstring(L, 2, &found);
  qe_block *block = check_block(L, 1);
  const size_t size = qe_block_size(block);
  if (found != size * FLOAT_BYTES)
    return luaL_error(L, "set_bytes: %I bytes, expected %I", (lua_Integer)found, (lua_Integer)(size * FLOAT_BYTES));
  qe_real *values = qe_block_values(block);
  for (size_t i = 0; i < size; i++)
    values[i] = float_read(bytes + i * FLOAT_BYTES);
  return block_done(L, QE_OK);
}

static int block_get(lua_State *L) {
  qe_block *block = check_block(L, 1);
  const size_t i = check_index(L, 2, qe_block_size(block));
  lua_pushnumber(L, (lua_Number)qe_block_values(block)[i]);
  return 1;
}

static int block_set(lua_State *L) {
  const double value = luaL_checknumber(L, 3);
  qe_block *block = check_block(L, 1);
  const size_t i = check_index(L, 2, qe_block_size(block));
  qe_block_values(block)[i] = (qe_real)value;
  return block_done(L, QE_OK);
}

/* ---- parameters ---- */

static void params_release(void *object) {
  qe_params_free(object);
}

const struct kind params_kind = { "qestrel.params", params_release };

static int params_new(lua_State *L) {
  struct box *box = box_push(L, &params_kind, 0);
  box->object = qe_params_new();
  return box_filled(L, box);
}

/* The number of the matrix that argument `index` names. */
static size_t check_name(lua_State *L, int index, const qe_params *params) {
  const int number = qe_params_find(params, check_text(L, index));
  if (number < 0)
    luaL_argerror(L, index, lua_pushfstring(L, "no matrix \"%s\"", lua_tostring(L, index)));
  return (size_t)number;
}

static int params_add(lua_State *L) {
  const char *name = check_text(L, 2);
  const size_t rows = check_size(L, 3, 1), cols = check_size(L, 4, 1);
  qe_params *params = check_params(L, 1);
  const int number = qe_params_add(params, name, rows, cols, lua_toboolean(L, 5));
  return number < 0 ? raise_status(L, number, qe_params_error(params)) : 0;
}

static int params_names(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < qe_params_count(check_params(L, 1)); i++) {
    lua_pushstring(L, qe_params_name(check_params(L, 1), i, NULL, NULL));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int params_matrix(lua_State *L) {
  size_t rows, cols;
  const size_t number = check_name(L, 2, check_params(L, 1));
  qe_params_name(check_params(L, 1), number, &rows, &cols);
  luaL_argcheck(L, rows * cols <= INT32_MAX, 2, "too many cells for a table");
  lua_createtable(L, (int)(rows * cols), 0);
  fill_reals(L, qe_params_matrix(check_params(L, 1), number), rows * cols);
  lua_pushinteger(L, (lua_Integer)rows);
  lua_pushinteger(L, (lua_Integer)cols);
  return 3;
}

static int params_set_matrix(lua_State *L) {
  size_t count, rows, cols;
  const qe_real *values = check_reals(L, 3, &count);
  qe_params *params = check_params(L, 1);
  const size_t number = check_name(L, 2, params);
  qe_params_name(params, number, &rows, &cols);
  check_count(L, 3, count, rows * cols);
  memcpy(qe_params_matrix(params, number), values, count * sizeof *values);
  return 0;
}

static int fill_randomly(lua_State *L, void fill(qe_params *, size_t, double, qe_rng *)) {
  const double width = luaL_checknumber(L, 3);
  qe_rng *rng = check_rng(L, 4);
  qe_params *params = check_params(L, 1);
  fill(params, check_name(L, 2, params), width, rng);
  return 0;
}

static int params_uniform(lua_State *L) {
  return fill_randomly(L, qe_params_uniform);
}

static int params_normal(lua_State *L) {
  return fill_randomly(L, qe_params_normal);
}

static int params_values(lua_State *L) {
  check_params(L, 1);
  struct box *box = push_block(L, 1);
  box->object = qe_params_values(check_params(L, 1));
  return box_filled(L, box);
}

static int params_gradient(lua_State *L) {
  check_params(L, 1);
  struct box *box = push_block(L, 1);
  box->object = qe_params_gradient(check_params(L, 1));
  return box_filled(L, box);
}

static int params_zero_gradient(lua_State *L) {
  qe_params_zero_gradient(check_params(L, 1));
  return 0;
}

static int params_tensor(lua_State *L) {
  check_params(L, 1);
  check_tape(L, 2);
  tape_use(L, 2, 1);
  qe_params *params = check_params(L, 1);
  const size_t number = check_name(L, 3, params);
  return push_tensor(L, qe_param(check_tape(L, 2), params, number), 2);
}

void open_params(lua_State *L) {
  static const luaL_Reg block_methods[] = { { "clone", block_clone }, { "fill", block_fill },
                                            { "copy", block_copy },   { "axpy", block_axpy },
                                            { "lerp", block_lerp },   { "scale", block_scale },
                                            { "dot", block_dot },     { "norm", block_norm },
                                            { "clip", block_clip },   { "bytes", block_bytes },
                                            { "get", block_get },     { "set_bytes", block_set_bytes },
                                            { "set", block_set },     { NULL, NULL } };
  static const luaL_Reg block_meta[] = { { "__len", block_size }, { NULL, NULL } };
  static const luaL_Reg methods[] = { { "add", params_add },
                                      { "names", params_names },
                                      { "matrix", params_matrix },
                                      { "set_matrix", params_set_matrix },
                                      { "uniform", params_uniform },
                                      { "normal", params_normal },
                                      { "values", params_values },
                                      { "gradient", params_gradient },
                                      { "zero_gradient", params_zero_gradient },
                                      { "tensor", params_tensor },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "params", params_new }, { NULL, NULL } };
  box_register(L, &block_kind, box_close, block_methods, block_meta);
  box_register(L, &params_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
