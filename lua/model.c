/*
** model.c - models and their passes over batches. A pass is a handle on a tape, as a tensor is.
*/
#include "binding.h"

#include <string.h>

static void model_release(void *object) {
  qe_model_free(object);
}

const struct kind model_kind = { "qestrel.model", model_release };

static struct box *push_model(lua_State *L) {
  struct box *box = box_push(L, &model_kind, 0);
  box->object = qe_model_new();
  box_filled(L, box);
  return box;
}

static int model_status(lua_State *L, const qe_model *model, int status) {
  return push_status(L, status, qe_model_error(model));
}

/* The model that is on top, or nil and why not. */
static int made_model(lua_State *L, const qe_model *model, int status) {
  return status == QE_OK ? 1 : model_status(L, model, status);
}

static const char *json_argument(lua_State *L, int index) {
  if (lua_istable(L, index)) {
    push_json(L, index, false);
    lua_replace(L, index);
  }
  return check_text(L, index);
}

static int model_new(lua_State *L) {
  lua_settop(L, 4);
  const char *configuration = json_argument(L, 1);
  qe_model *model = push_model(L)->object;
  qe_rng *rng = check_rng(L, 3);
  const qe_dataset *data = box_optional(L, 2, &dataset_kind), *parallel = box_optional(L, 4, &dataset_kind);
  return made_model(L, model, qe_model_create_with(model, configuration, data, parallel, rng));
}

static size_t optional_limit(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? 0 : check_size(L, index, 1);
}

static int model_open(lua_State *L) {
  const char *path = check_text(L, 1);
  const size_t limit = optional_limit(L, 2);
  qe_model *model = push_model(L)->object;
  return made_model(L, model, qe_model_open(model, path, limit));
}

static int model_open_memory(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  const size_t limit = optional_limit(L, 2);
  qe_model *model = push_model(L)->object;
  return made_model(L, model, qe_model_open_memory(model, bytes, size, limit));
}

static int model_copy(lua_State *L) {
  qe_model *copy = push_model(L)->object;
  return made_model(L, copy, qe_model_copy(copy, check_model(L, 1)));
}

static int model_import(lua_State *L) {
  lua_settop(L, 4);
  const char *folder = check_text(L, 1), *configuration = json_argument(L, 2);
  qe_model *model = push_model(L)->object;
  qe_rng *rng = check_rng(L, 4);
  const qe_dataset *corpus = box_optional(L, 3, &dataset_kind);
  return made_model(L, model, qe_model_import(model, folder, configuration, corpus, rng));
}

static int model_derive(lua_State *L) {
  lua_settop(L, 4);
  const char *configuration = json_argument(L, 2);
  qe_model *derived = push_model(L)->object;
  qe_rng *rng = check_rng(L, 4);
  const qe_dataset *data = box_optional(L, 3, &dataset_kind);
  return made_model(L, derived, qe_model_derive(derived, check_model(L, 1), configuration, data, rng));
}

static int model_params(lua_State *L) {
  struct box *box = box_push(L, &params_kind, 0);
  box->borrowed = true;
  box->object = qe_model_params(check_model(L, 1));
  box_parent(L, -1, 1, 1);
  return box_filled(L, box);
}

static int model_prepare(lua_State *L) {
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_prepare(model));
}

/* ---- description ---- */

static int model_manifest(lua_State *L) {
  qe_model *model = check_model(L, 1);
  const char *text = qe_model_manifest(model);
  if (!*text)
    return raise_status(L, QE_USE, qe_model_error(model));
  lua_pushstring(L, text);
  return push_decoded(L, lua_gettop(L));
}

static int model_describe(lua_State *L) {
  const char *json = json_argument(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_describe(model, json));
}

static int model_card(lua_State *L) {
  lua_pushstring(L, qe_model_card(check_model(L, 1)));
  return 1;
}

static int model_set_card(lua_State *L) {
  const char *text = check_text(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_set_card(model, text));
}

static int model_set_licence(lua_State *L) {
  const char *text = check_text(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_set_licence(model, text));
}

static int model_set_context(lua_State *L) {
  qe_model *model = check_model(L, 1), *encoder = check_model(L, 2);
  return model_status(L, model, qe_model_set_context(model, encoder));
}

enum { MOST_MEMBERS = 64 };

static int model_family(lua_State *L) {
  qe_model *members[MOST_MEMBERS];
  luaL_checktype(L, 1, LUA_TTABLE);
  const lua_Unsigned count = lua_rawlen(L, 1);
  luaL_argcheck(L, count >= 1 && count <= MOST_MEMBERS, 1, "expected 1 to 64 models");
  for (lua_Unsigned i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    members[i] = check_model(L, -1);
    lua_pop(L, 1);
  }
  qe_model *model = push_model(L)->object;
  return made_model(L, model, qe_model_create_family(model, members, (size_t)count));
}

static int model_set_golden(lua_State *L) {
  size_t count;
  const qe_pair *pairs = check_pairs(L, 2, &count);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_set_golden(model, pairs, count));
}

static int model_round(lua_State *L) {
  const char *type = check_text(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_round(model, type));
}

/* model:grow(data, column, trees, rng) */
static int model_grow(lua_State *L) {
  const char *column = check_text(L, 3);
  const lua_Integer trees = luaL_checkinteger(L, 4);
  luaL_argcheck(L, trees >= 1, 4, "expected at least one tree");
  qe_rng *rng = check_rng(L, 5);
  const qe_dataset *data = check_dataset(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_grow(model, data, column, (size_t)trees, rng));
}

/* model:trees(data) -> what they say of every row */
static int model_trees(lua_State *L) {
  const qe_dataset *data = check_dataset(L, 2);
  const size_t count = qe_dataset_rows(data);
  float *scores = scratch(L, count, sizeof *scores);
  lua_createtable(L, (int)count, 0);
  qe_model *model = check_model(L, 1);
  const int status = qe_model_trees(model, data, scores);
  if (status != QE_OK)
    return model_status(L, model, status);
  fill_floats(L, scores, count);
  return 1;
}

static int model_save(lua_State *L) {
  const char *path = check_text(L, 2);
  qe_model *model = check_model(L, 1);
  return model_status(L, model, qe_model_save(model, path));
}

static int model_sha256(lua_State *L) {
  lua_pushstring(L, qe_model_sha256(check_model(L, 1)));
  return 1;
}

static int model_decoder_inputs(lua_State *L) {
  lua_pushinteger(L, qe_model_decoder_inputs(check_model(L, 1)));
  return 1;
}

static int model_decoder_needed(lua_State *L) {
  lua_pushboolean(L, qe_model_decoder_needed(check_model(L, 1)));
  return 1;
}

static int model_calibrated(lua_State *L) {
  const double z = luaL_checknumber(L, 2);
  lua_pushnumber(L, (lua_Number)qe_model_calibrated(check_model(L, 1), (float)z));
  return 1;
}

/* A number that is not known is nil. */
static int push_known(lua_State *L, float value) {
  if (value == value)
    lua_pushnumber(L, (lua_Number)value);
  else
    lua_pushnil(L);
  return 1;
}

static int model_spread(lua_State *L) {
  const double z = luaL_checknumber(L, 2);
  return push_known(L, qe_model_spread(check_model(L, 1), (float)z));
}

static int model_word_threshold(lua_State *L) {
  return push_known(L, qe_model_word_threshold(check_model(L, 1)));
}

static int model_word_vectors(lua_State *L) {
  lua_pushboolean(L, qe_model_word_vectors(check_model(L, 1)));
  return 1;
}

/* model:script_fits(side, text) */
static int model_script_fits(lua_State *L) {
  static const char *const sides[] = { "source", "target", NULL };
  const int side = luaL_checkoption(L, 2, NULL, sides);
  qe_text text;
  text.data = luaL_checklstring(L, 3, &text.size);
  lua_pushboolean(L, qe_model_script_fits(check_model(L, 1), (qe_side)side, text));
  return 1;
}

static int model_taps(lua_State *L) {
  const char *name = qe_model_taps(check_model(L, 1)); /* the model has them */
  lua_newtable(L);
  for (lua_Integer i = 1; *name; i++) {
    const size_t size = strcspn(name, " ");
    lua_pushlstring(L, name, size);
    lua_rawseti(L, -2, i);
    name += size + strspn(name + size, " ");
  }
  return 1;
}

/* ---- passes ---- */

#define PASS "qestrel.pass"

struct pass {
  qe_pass value;
  const struct box *tape; /* in user value 1 */
};

/* A field of the options, left on the stack; its index, or 0 where it is nil. */
static int option(lua_State *L, int index, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, index) == LUA_TNIL ? 0 : lua_gettop(L);
}

static int layer_option(lua_State *L, int index, const char *name) {
  const int layer = option(L, index, name);
  return layer ? (int)luaL_checkinteger(L, layer) : 0;
}

static qe_pass_options check_options(lua_State *L, int index) {
  static const char *const known[] = { "dropout",          "no_gradient",      "no_head",
                                       "source_embedding", "target_embedding", "first_layer",
                                       "last_layer",       "frozen_layers",    NULL };
  qe_pass_options options = { 0 };
  if (lua_isnoneornil(L, index))
    return options;
  check_keys(L, index, known);
  const int dropout = option(L, index, "dropout"), source = option(L, index, "source_embedding"),
            target = option(L, index, "target_embedding");
  option(L, index, "no_gradient");
  options.no_gradient = lua_toboolean(L, -1);
  option(L, index, "no_head");
  options.no_head = lua_toboolean(L, -1);
  options.first_layer = layer_option(L, index, "first_layer");
  options.last_layer = layer_option(L, index, "last_layer");
  options.frozen_layers = layer_option(L, index, "frozen_layers");
  if (dropout)
    options.dropout = check_rng(L, dropout);
  if (source)
    options.source_embedding = check_tensor(L, source);
  if (target)
    options.target_embedding = check_tensor(L, target);
  return options;
}

static int model_forward(lua_State *L) {
  lua_settop(L, 4);
  check_model(L, 1);
  check_tape(L, 2);
  check_batch(L, 3);
  tape_use(L, 2, 1);
  tape_use(L, 2, 3);
  struct pass *pass = lua_newuserdatauv(L, sizeof *pass, 1);
  *pass = (struct pass){ { NULL, 0, 0 }, lua_touserdata(L, 2) };
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 5, 1);
  luaL_setmetatable(L, PASS);
  const qe_pass_options options = check_options(L, 4);
  qe_model *model = check_model(L, 1);
  qe_tape *tape = check_tape(L, 2);
  pass->value = qe_model_forward(tape, model, check_batch(L, 3), &options);
  lua_settop(L, 5);
  return pass->value.tape ? 1 : raise_tape(L, tape);
}

static int model_take(lua_State *L) {
  qe_model *model = check_model(L, 1);
  lua_pushinteger(L, (lua_Integer)qe_model_take(model, check_model(L, 2)));
  return 1;
}

static int pass_tap(lua_State *L) {
  const char *name = check_text(L, 2);
  const struct pass *pass = luaL_checkudata(L, 1, PASS);
  luaL_argcheck(L, !pass->tape->closed, 1, "pass on a closed tape");
  lua_getiuservalue(L, 1, 1);
  return push_tensor(L, qe_pass_tap(pass->value, name), -1);
}

void open_model(lua_State *L) {
  static const luaL_Reg methods[] = { { "params", model_params },
                                      { "copy", model_copy },
                                      { "derive", model_derive },
                                      { "take", model_take },
                                      { "prepare", model_prepare },
                                      { "forward", model_forward },
                                      { "taps", model_taps },
                                      { "manifest", model_manifest },
                                      { "describe", model_describe },
                                      { "card", model_card },
                                      { "set_card", model_set_card },
                                      { "set_licence", model_set_licence },
                                      { "set_golden", model_set_golden },
                                      { "round", model_round },
                                      { "grow", model_grow },
                                      { "trees", model_trees },
                                      { "save", model_save },
                                      { "sha256", model_sha256 },
                                      { "decoder_inputs", model_decoder_inputs },
                                      { "decoder_needed", model_decoder_needed },
                                      { "calibrated", model_calibrated },
                                      { "spread", model_spread },
                                      { "word_threshold", model_word_threshold },
                                      { "script_fits", model_script_fits },
                                      { "word_vectors", model_word_vectors },
                                      { "set_context", model_set_context },
                                      { NULL, NULL } };
  static const luaL_Reg pass_methods[] = { { "tap", pass_tap }, { NULL, NULL } };
  static const luaL_Reg functions[] = {
    { "model", model_new },     { "open", model_open },     { "open_memory", model_open_memory },
    { "import", model_import }, { "family", model_family }, { NULL, NULL }
  };
  box_register(L, &model_kind, box_close, methods, NULL);
  kind_register(L, PASS, pass_methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
