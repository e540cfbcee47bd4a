/*
** lexicon.c - lexical translation probabilities.
*/
#include "binding.h"

static void lexicon_release(void *object) {
  qe_lexicon_free(object);
}

static const struct kind lexicon_kind = { "qestrel.lexicon", lexicon_release };

static qe_lexicon *check_lexicon(lua_State *L, int index) {
  return box_check(L, index, &lexicon_kind);
}

static qe_side check_given(lua_State *L, int index) {
  static const char *const sides[] = { "source", "target", NULL };
  return (qe_side)luaL_checkoption(L, index, NULL, sides);
}

static int lexicon_new(lua_State *L) {
  struct box *box = box_push(L, &lexicon_kind, 0);
  box->object = qe_lexicon_new();
  return box_filled(L, box);
}

/* A field of the options at `index`, 0 where it is not there. */
static int option(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  const lua_Integer value = luaL_optinteger(L, lua_gettop(L), 0);
  luaL_argcheck(L, value >= 0 && value <= 1000000, index, "an option out of range");
  return (int)value;
}

/* lexicon:train(dataset, { iterations =, letters = } or nil, pool or nil) */
static int lexicon_train(lua_State *L) {
  static const char *const known[] = { "iterations", "letters", NULL };
  qe_lexicon_options options = { 0 };
  lua_settop(L, 4);
  if (!lua_isnil(L, 3)) {
    check_keys(L, 3, known);
    options.iterations = option(L, 3, "iterations");
    options.letters = option(L, 3, "letters");
  }
  const qe_dataset *data = box_check(L, 2, &dataset_kind);
  qe_pool *pool = optional_pool(L, 4);
  qe_lexicon *lexicon = check_lexicon(L, 1);
  return push_status(L, qe_lexicon_train(lexicon, data, &options, pool), qe_lexicon_error(lexicon));
}

static int lexicon_prune(lua_State *L) {
  const double least = luaL_checknumber(L, 2);
  qe_lexicon *lexicon = check_lexicon(L, 1);
  const int status = qe_lexicon_prune(lexicon, least);
  return status == QE_OK ? 0 : raise_status(L, status, qe_lexicon_error(lexicon));
}

static int lexicon_words(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_lexicon_words(check_lexicon(L, 1), check_given(L, 2)));
  return 1;
}

static int lexicon_entries(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_lexicon_entries(check_lexicon(L, 1), check_given(L, 2)));
  return 1;
}

static qe_text check_word(lua_State *L, int index) {
  qe_text word;
  word.data = luaL_checklstring(L, index, &word.size);
  return word;
}

/* lexicon:probability(given side, word, other) */
static int lexicon_probability(lua_State *L) {
  const qe_side given = check_given(L, 2);
  const qe_text word = check_word(L, 3), other = check_word(L, 4);
  lua_pushnumber(L, qe_lexicon_probability(check_lexicon(L, 1), given, word, other));
  return 1;
}

/* lexicon:entry(given side, number from 1) -> word, other, probability; nothing behind the last */
static int lexicon_entry(lua_State *L) {
  const qe_side given = check_given(L, 2);
  const size_t number = check_size(L, 3, 1);
  qe_text word, other;
  double t;
  if (qe_lexicon_entry(check_lexicon(L, 1), given, number - 1, &word, &other, &t) != QE_OK)
    return 0;
  lua_pushlstring(L, word.data, word.size);
  lua_pushlstring(L, other.data, other.size);
  lua_pushnumber(L, t);
  return 3;
}

void open_lexicon(lua_State *L) {
  static const luaL_Reg methods[] = { { "train", lexicon_train },
                                      { "prune", lexicon_prune },
                                      { "words", lexicon_words },
                                      { "entries", lexicon_entries },
                                      { "entry", lexicon_entry },
                                      { "probability", lexicon_probability },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "lexicon", lexicon_new }, { NULL, NULL } };
  box_register(L, &lexicon_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
