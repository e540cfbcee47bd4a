/*
** tensor.c - tensors: a handle of the library and the box of its tape, which the user value keeps in memory. Tensors
** have no finaliser; the library notices a handle whose tape was reset, check_tensor one whose tape was closed. An op
** that fails raises at once, with the text that the tape kept; the tape works again after a reset.
*/
#include "binding.h"

struct tensor {
  qe_tensor value;
  const struct box *tape;
};

static const struct tensor *to_tensor(lua_State *L, int index) {
  const struct tensor *tensor = luaL_checkudata(L, index, TENSOR);
  if (tensor->tape->closed)
    luaL_argerror(L, index, "tensor of a closed tape");
  return tensor;
}

qe_tensor check_tensor(lua_State *L, int index) {
  return to_tensor(L, index)->value;
}

int push_tensor(lua_State *L, qe_tensor value, int tape) {
  if (!value.tape)
    return raise_tape(L, check_tape(L, tape));
  tape = lua_absindex(L, tape);
  struct tensor *tensor = lua_newuserdatauv(L, sizeof *tensor, 1);
  *tensor = (struct tensor){ value, lua_touserdata(L, tape) };
  lua_pushvalue(L, tape);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, TENSOR);
  return 1;
}

/* Several tapes may be among the arguments: the one that knows of an error tells it. */
static int raise_failure(lua_State *L, int of) {
  for (int i = 1; i <= lua_gettop(L); i++) {
    const struct tensor *tensor = luaL_testudata(L, i, TENSOR);
    if (tensor && !tensor->tape->closed && qe_tape_status(tensor->value.tape) != QE_OK)
      return raise_tape(L, tensor->value.tape);
  }
  return raise_tape(L, check_tensor(L, of).tape);
}

/* The result of an op, on the tape of the tensor at index `of`. */
static int push_result(lua_State *L, qe_tensor value, int of) {
  if (!value.tape)
    return raise_failure(L, of);
  lua_getiuservalue(L, of, 1);
  return push_tensor(L, value, -1);
}

/* ---- reading ---- */

/* A tensor that is not stale. */
static qe_tensor check_fresh(lua_State *L, int index) {
  const qe_tensor t = check_tensor(L, index);
  if (!qe_values(t))
    raise_tape(L, t.tape);
  return t;
}

static int tensor_rows(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_rows(check_fresh(L, 1)));
  return 1;
}

static int tensor_cols(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_cols(check_fresh(L, 1)));
  return 1;
}

static size_t check_cells(lua_State *L) {
  const qe_tensor t = check_fresh(L, 1);
  const size_t cells = qe_rows(t) * qe_cols(t);
  luaL_argcheck(L, cells <= INT32_MAX, 1, "too many cells for a table");
  return cells;
}

static int tensor_item(lua_State *L) {
  const qe_tensor t = check_fresh(L, 1);
  if (qe_rows(t) != 1 || qe_cols(t) != 1)
    return luaL_error(L, "item: the tensor is %I x %I, not 1 x 1", (lua_Integer)qe_rows(t),
                      (lua_Integer)qe_cols(t));
  lua_pushnumber(L, (lua_Number)qe_values(t)[0]);
  return 1;
}

static int tensor_values(lua_State *L) {
  const size_t cells = check_cells(L);
  lua_createtable(L, (int)cells, 0);
  fill_reals(L, qe_values(check_fresh(L, 1)), cells);
  return 1;
}

static int tensor_gradient(lua_State *L) {
  const size_t cells = check_cells(L);
  if (!qe_gradient(check_fresh(L, 1))) {
    lua_pushnil(L);
    return 1;
  }
  lua_createtable(L, (int)cells, 0);
  fill_reals(L, qe_gradient(check_fresh(L, 1)), cells);
  return 1;
}

/* ---- gradients ---- */

static int tensor_backward(lua_State *L) {
  const qe_tensor t = check_tensor(L, 1);
  return qe_backward(t) == QE_OK ? 0 : raise_tape(L, t.tape);
}

static int tensor_inject(lua_State *L) {
  size_t count;
  const qe_real *values = check_reals(L, 2, &count);
  const qe_tensor t = check_fresh(L, 1);
  check_count(L, 2, count, check_cells(L));
  return qe_inject(t, values) == QE_OK ? 0 : raise_tape(L, t.tape);
}

/* ---- operators: a number stands for a 1 x 1 tensor ---- */

static int pair_of(lua_State *L, qe_tensor apply(qe_tensor, qe_tensor)) {
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, apply(check_tensor(L, 1), b), 1);
}

static int affine_of(lua_State *L, int index, double scale, double shift) {
  return push_result(L, qe_affine(check_tensor(L, index), scale, shift), index);
}

static bool is_number(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TNUMBER;
}

static int tensor_add(lua_State *L) {
  if (is_number(L, 1))
    return affine_of(L, 2, 1, lua_tonumber(L, 1));
  return is_number(L, 2) ? affine_of(L, 1, 1, lua_tonumber(L, 2)) : pair_of(L, qe_add);
}

static int tensor_sub(lua_State *L) {
  if (is_number(L, 1))
    return affine_of(L, 2, -1, lua_tonumber(L, 1));
  return is_number(L, 2) ? affine_of(L, 1, 1, -lua_tonumber(L, 2)) : pair_of(L, qe_sub);
}

static int tensor_mul(lua_State *L) {
  if (is_number(L, 1))
    return affine_of(L, 2, lua_tonumber(L, 1), 0);
  return is_number(L, 2) ? affine_of(L, 1, lua_tonumber(L, 2), 0) : pair_of(L, qe_mul);
}

/* Not affine: x / 3 is not always x * (1 / 3). */
static int tensor_div(lua_State *L) {
  const int number = is_number(L, 1) ? 1 : is_number(L, 2) ? 2 : 0;
  if (number == 0)
    return pair_of(L, qe_div);
  const qe_tensor t = check_tensor(L, 3 - number);
  const qe_real value = (qe_real)lua_tonumber(L, number);
  const qe_tensor one = qe_constant(t.tape, 1, 1, &value);
  return push_result(L, number == 1 ? qe_div(one, t) : qe_div(t, one), 3 - number);
}

static int tensor_minus(lua_State *L) {
  return affine_of(L, 1, -1, 0);
}

/* ---- ops of one and of two tensors, by table ---- */

static const struct unary {
  const char *name;
  qe_tensor (*apply)(qe_tensor);
} unary[] = {
  { "detach", qe_detach },   { "transposed", qe_transposed },
  { "sigmoid", qe_sigmoid }, { "tanh", qe_tanh },
  { "relu", qe_relu },       { "gelu", qe_gelu },
  { "exp", qe_exp },         { "log", qe_log },
  { "sqrt", qe_sqrt },       { "abs", qe_abs },
  { "square", qe_square },   { "unit", qe_unit },
};

static const struct binary {
  const char *name;
  qe_tensor (*apply)(qe_tensor, qe_tensor);
} binary[] = {
  { "squared_error", qe_squared_error },
  { "cross_entropy", qe_cross_entropy },
  { "binary_cross_entropy", qe_binary_cross_entropy },
};

static int call_unary(lua_State *L) {
  return push_result(L, unary[lua_tointeger(L, lua_upvalueindex(1))].apply(check_tensor(L, 1)), 1);
}

static int call_binary(lua_State *L) {
  return pair_of(L, binary[lua_tointeger(L, lua_upvalueindex(1))].apply);
}

/* ---- matrices ---- */

static int tensor_matmul(lua_State *L) {
  static const char *const names[] = { "nn", "nt", "tn", "tt", NULL };
  const int transpose = luaL_checkoption(L, 3, "nn", names);
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, qe_matmul(check_tensor(L, 1), b, (qe_transpose)transpose), 1);
}

static int tensor_affine(lua_State *L) {
  const double scale = luaL_checknumber(L, 2), shift = luaL_checknumber(L, 3);
  return affine_of(L, 1, scale, shift);
}

static int part_of(lua_State *L, size_t limit, qe_tensor apply(qe_tensor, size_t, size_t)) {
  const size_t count = check_size(L, 3, 0), first = check_index(L, 2, count == 0 ? limit + 1 : limit);
  if (count > limit - first)
    return luaL_argerror(L, 3,
                         lua_pushfstring(L, "%I from %I on, expected at most %I", (lua_Integer)count,
                                         (lua_Integer)first + 1, (lua_Integer)(limit - first)));
  return push_result(L, apply(check_tensor(L, 1), first, count), 1);
}

static int tensor_columns(lua_State *L) {
  return part_of(L, qe_cols(check_fresh(L, 1)), qe_columns);
}

static int tensor_slice(lua_State *L) {
  return part_of(L, qe_rows(check_fresh(L, 1)), qe_slice);
}

static int tensor_gather(lua_State *L) {
  size_t count;
  const uint32_t *ids = check_indices(L, 2, qe_rows(check_fresh(L, 1)), &count);
  return push_result(L, qe_gather(check_fresh(L, 1), ids, count), 1);
}

static int tensor_pick(lua_State *L) {
  size_t count;
  const uint32_t *columns = check_indices(L, 2, qe_cols(check_fresh(L, 1)), &count);
  const qe_tensor a = check_fresh(L, 1);
  check_count(L, 2, count, qe_rows(a));
  return push_result(L, qe_pick(a, columns), 1);
}

static int tensor_bag(lua_State *L) {
  size_t count;
  const uint32_t *ids = check_indices(L, 2, qe_rows(check_fresh(L, 1)), &count);
  const qe_segments bags = check_segments(L, 3);
  check_count(L, 2, count, bags.offset[bags.count]);
  return push_result(L, qe_bag(check_fresh(L, 1), ids, bags), 1);
}

static int concatenate(lua_State *L, qe_tensor apply(const qe_tensor *, size_t)) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  const size_t count = lua_rawlen(L, 1);
  luaL_argcheck(L, count > 0, 1, "no tensors");
  qe_tensor *parts = scratch(L, count, sizeof *parts);
  lua_rawgeti(L, 1, 1);
  for (size_t i = 0; i < count; i++) {
    if (lua_rawgeti(L, 1, (lua_Integer)i + 1) != LUA_TUSERDATA || !luaL_testudata(L, -1, TENSOR))
      return luaL_argerror(L, 1, lua_pushfstring(L, "not a tensor at index %I", (lua_Integer)i + 1));
    parts[i] = check_tensor(L, -1);
    lua_pop(L, 1);
  }
  return push_result(L, apply(parts, count), 3);
}

static int tensors_beside(lua_State *L) {
  return concatenate(L, qe_beside);
}

static int tensors_below(lua_State *L) {
  return concatenate(L, qe_below);
}

/* ---- elementwise, reductions, rows, losses ---- */

static int tensor_clamp(lua_State *L) {
  const double low = luaL_checknumber(L, 2), high = luaL_checknumber(L, 3);
  return push_result(L, qe_clamp(check_tensor(L, 1), low, high), 1);
}

static int tensor_dropout(lua_State *L) {
  const double rate = luaL_checknumber(L, 2);
  qe_rng *rng = box_optional(L, 3, &rng_kind);
  return push_result(L, qe_dropout(check_tensor(L, 1), rate, rng), 1);
}

static int reduce(lua_State *L, qe_tensor apply(qe_tensor, qe_axis)) {
  static const char *const names[] = { "all", "rows", "columns", NULL };
  const int axis = luaL_checkoption(L, 2, "all", names);
  return push_result(L, apply(check_tensor(L, 1), (qe_axis)axis), 1);
}

static int tensor_sum(lua_State *L) {
  return reduce(L, qe_sum);
}

static int tensor_mean(lua_State *L) {
  return reduce(L, qe_mean);
}

static int tensor_max(lua_State *L) {
  return reduce(L, qe_max);
}

static int tensor_softmax(lua_State *L) {
  const double temperature = luaL_optnumber(L, 2, 1);
  return push_result(L, qe_softmax(check_tensor(L, 1), temperature), 1);
}

static int tensor_log_softmax(lua_State *L) {
  const double temperature = luaL_optnumber(L, 2, 1);
  return push_result(L, qe_log_softmax(check_tensor(L, 1), temperature), 1);
}

static int tensor_layer_norm(lua_State *L) {
  const double epsilon = luaL_optnumber(L, 4, 1e-5);
  const qe_tensor gain = check_tensor(L, 2), bias = check_tensor(L, 3);
  return push_result(L, qe_layer_norm(check_tensor(L, 1), gain, bias, epsilon), 1);
}

static int tensor_huber(lua_State *L) {
  const double delta = luaL_optnumber(L, 3, 1);
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, qe_huber(check_tensor(L, 1), b, delta), 1);
}

static int tensor_kl(lua_State *L) {
  const double temperature = luaL_optnumber(L, 3, 1);
  const qe_tensor q = check_tensor(L, 2);
  return push_result(L, qe_kl(check_tensor(L, 1), q, temperature), 1);
}

/* ---- sequences ---- */

static int tensor_pool_segments(lua_State *L) {
  static const char *const names[] = { "sum", "mean", "max", NULL };
  const int pooling = luaL_checkoption(L, 3, NULL, names);
  const qe_segments segments = check_segments(L, 2);
  return push_result(L, qe_pool_segments(check_tensor(L, 1), segments, (qe_pooling)pooling), 1);
}

static int tensor_segment_softmax(lua_State *L) {
  const qe_segments segments = check_segments(L, 2);
  return push_result(L, qe_segment_softmax(check_tensor(L, 1), segments), 1);
}

static int tensor_spread(lua_State *L) {
  const qe_segments segments = check_segments(L, 2);
  return push_result(L, qe_spread(check_tensor(L, 1), segments), 1);
}

static int tensor_window(lua_State *L) {
  const size_t before = check_size(L, 3, 0), after = check_size(L, 4, 0);
  const qe_segments segments = check_segments(L, 2);
  return push_result(L, qe_window(check_tensor(L, 1), segments, before, after), 1);
}

static int tensor_top_singular(lua_State *L) {
  const size_t iterations = check_size(L, 4, 1);
  const qe_segments segments = check_segments(L, 3);
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, qe_top_singular(check_tensor(L, 1), b, segments, iterations), 1);
}

static int tensor_gru(lua_State *L) {
  const int reversed = lua_toboolean(L, 7);
  const qe_segments segments = check_segments(L, 6);
  const qe_tensor input_weight = check_tensor(L, 2), hidden_weight = check_tensor(L, 3);
  const qe_tensor input_bias = check_tensor(L, 4), hidden_bias = check_tensor(L, 5), x = check_tensor(L, 1);
  return push_result(L, qe_gru(x, input_weight, hidden_weight, input_bias, hidden_bias, segments, reversed), 1);
}

static int tensor_attention_pool(lua_State *L) {
  const qe_segments segments = check_segments(L, 3);
  const qe_tensor logits = check_tensor(L, 2);
  return push_result(L, qe_attention_pool(check_tensor(L, 1), logits, segments), 1);
}

static int tensor_attention(lua_State *L) {
  const size_t heads = check_size(L, 4, 1);
  const qe_segments table = check_segments(L, 5), keys = check_segments(L, 6);
  const qe_segments queries = lua_istable(L, 5) ? table : check_segments(L, 5); /* keys may have allocated */
  const qe_tensor key = check_tensor(L, 2), value = check_tensor(L, 3);
  return push_result(L, qe_attention(check_tensor(L, 1), key, value, heads, queries, keys), 1);
}

static int tensor_best_match(lua_State *L) {
  const qe_segments table = check_segments(L, 3), other = check_segments(L, 4);
  const qe_segments own = lua_istable(L, 3) ? table : check_segments(L, 3); /* the other may have allocated */
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, qe_best_match(check_tensor(L, 1), b, own, other), 1);
}

static int tensor_pairwise(lua_State *L) {
  const qe_segments table = check_segments(L, 3), other = check_segments(L, 4);
  const qe_segments own = lua_istable(L, 3) ? table : check_segments(L, 3);
  const qe_tensor b = check_tensor(L, 2);
  return push_result(L, qe_pairwise(check_tensor(L, 1), b, own, other), 1);
}

static int tensor_look(lua_State *L) {
  const int turned = lua_toboolean(L, 5); /* before anything is pushed */
  lua_settop(L, 4);
  const qe_segments table = check_segments(L, 3), other = check_segments(L, 4);
  const qe_segments own = lua_istable(L, 3) ? table : check_segments(L, 3);
  const qe_tensor values = check_tensor(L, 2);
  return push_result(L, qe_look(check_tensor(L, 1), values, own, other, turned), 1);
}

static int tensor_of_words(lua_State *L) {
  static const char *const sides[] = { "source", "target", NULL };
  const int side = luaL_checkoption(L, 3, NULL, sides);
  qe_batch *batch = check_batch(L, 2);
  const qe_model *from = check_model(L, 4), *to = check_model(L, 5);
  return push_result(L, qe_states_of_words(check_tensor(L, 1), batch, (qe_side)side, from, to), 1);
}

/* ---- the whole surface ---- */

static const luaL_Reg methods[] = { { "rows", tensor_rows },
                                    { "cols", tensor_cols },
                                    { "item", tensor_item },
                                    { "values", tensor_values },
                                    { "gradient", tensor_gradient },
                                    { "backward", tensor_backward },
                                    { "inject", tensor_inject },
                                    { "matmul", tensor_matmul },
                                    { "affine", tensor_affine },
                                    { "columns", tensor_columns },
                                    { "slice", tensor_slice },
                                    { "gather", tensor_gather },
                                    { "pick", tensor_pick },
                                    { "bag", tensor_bag },
                                    { "clamp", tensor_clamp },
                                    { "dropout", tensor_dropout },
                                    { "sum", tensor_sum },
                                    { "mean", tensor_mean },
                                    { "max", tensor_max },
                                    { "softmax", tensor_softmax },
                                    { "log_softmax", tensor_log_softmax },
                                    { "layer_norm", tensor_layer_norm },
                                    { "huber", tensor_huber },
                                    { "kl", tensor_kl },
                                    { "pool_segments", tensor_pool_segments },
                                    { "segment_softmax", tensor_segment_softmax },
                                    { "spread", tensor_spread },
                                    { "window", tensor_window },
                                    { "top_singular", tensor_top_singular },
                                    { "gru", tensor_gru },
                                    { "attention_pool", tensor_attention_pool },
                                    { "attention", tensor_attention },
                                    { "best_match", tensor_best_match },
                                    { "of_words", tensor_of_words },
                                    { "pairwise", tensor_pairwise },
                                    { "look", tensor_look },
                                    { NULL, NULL } };
static const luaL_Reg operators[] = { { "__add", tensor_add }, { "__sub", tensor_sub },   { "__mul", tensor_mul },
                                      { "__div", tensor_div }, { "__unm", tensor_minus }, { NULL, NULL } };

/* Adds closures to the table on top, each knowing its place in its table. */
static void add_method(lua_State *L, const char *name, lua_CFunction call, size_t number) {
  lua_pushinteger(L, (lua_Integer)number);
  lua_pushcclosure(L, call, 1);
  lua_setfield(L, -2, name);
}

void open_tensor(lua_State *L) {
  static const luaL_Reg functions[] = { { "beside", tensors_beside }, { "below", tensors_below }, { NULL, NULL } };
  kind_register(L, TENSOR, methods, operators);
  luaL_getmetatable(L, TENSOR);
  lua_getfield(L, -1, "__index");
  for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
    add_method(L, unary[i].name, call_unary, i);
  for (size_t i = 0; i < sizeof binary / sizeof *binary; i++)
    add_method(L, binary[i].name, call_binary, i);
  lua_pop(L, 2);
  luaL_setfuncs(L, functions, 0);
}
