/*
** scorer.c - scoring. The box's parents are the model and the pool.
*/
#include "binding.h"

static void scorer_release(void *object) {
  qe_scorer_free(object);
}

static const struct kind scorer_kind = { "qestrel.scorer", scorer_release };

static qe_scorer *check_scorer(lua_State *L, int index) {
  return box_check(L, index, &scorer_kind);
}

static int scorer_new(lua_State *L) {
  lua_settop(L, 2);
  struct box *box = box_push(L, &scorer_kind, 0);
  qe_pool *pool = optional_pool(L, 2);
  const qe_model *model = check_model(L, 1);
  box_parent(L, 3, 1, 1);
  box_parent(L, 3, 2, 2);
  box->object = qe_scorer_new(model, pool);
  return box_filled(L, box);
}

static int scorer_score(lua_State *L) {
  float z;
  const qe_pair pair = check_pair(L, 2);
  qe_scorer *scorer = check_scorer(L, 1);
  const int status = qe_score(scorer, &pair, 1, &z);
  if (status != QE_OK)
    return push_status(L, status, qe_scorer_error(scorer));
  lua_pushnumber(L, (lua_Number)z);
  return 1;
}

typedef int score_function(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores);

/* Scores into the table on top; `scores` is room for them. */
static int score_pairs(lua_State *L, score_function *score, const qe_pair *pairs, size_t count, float *scores) {
  qe_scorer *scorer = check_scorer(L, 1);
  const int status = score(scorer, pairs, count, scores);
  if (status != QE_OK)
    return push_status(L, status, qe_scorer_error(scorer));
  fill_floats(L, scores, count);
  return 1;
}

static size_t check_room(lua_State *L, int index, size_t count) {
  luaL_argcheck(L, count <= INT32_MAX, index, "too many pairs for a table");
  return count;
}

/* The table and its scores are made first: the texts of the pairs must not move afterwards. */
static int score_table(lua_State *L, score_function *score) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  size_t count = check_room(L, 2, lua_rawlen(L, 2));
  const size_t room = count;
  lua_createtable(L, (int)count, 0);
  float *scores = scratch(L, count, sizeof *scores);
  const qe_pair *pairs = check_pairs(L, 2, &count);
  check_count(L, 2, count, room);
  lua_pushvalue(L, 3);
  return score_pairs(L, score, pairs, count, scores);
}

static int scorer_score_all(lua_State *L) {
  return score_table(L, qe_score);
}

/* The same scores, faster where the pairs are candidates of one source. */
static int scorer_score_list(lua_State *L) {
  return score_table(L, qe_score_list);
}

/* Rows of a dataset as pairs; log-probabilities only for a model that reads them. */
static void read_rows(lua_State *L, qe_pair *pairs, const uint32_t *rows, size_t count) {
  lua_getiuservalue(L, 1, 1);
  const struct box *model = lua_touserdata(L, -1);
  const bool with_logprobs = qe_model_decoder_inputs(model->object) > 0;
  const qe_dataset *data = check_dataset(L, 2);
  lua_pop(L, 1);
  for (size_t i = 0; i < count; i++) {
    pairs[i] = qe_dataset_pair(data, rows ? rows[i] : i);
    if (!with_logprobs)
      pairs[i].logprob_count = 0;
  }
}

static int scorer_score_dataset(lua_State *L) {
  const uint32_t *rows = NULL;
  size_t count = qe_dataset_rows(check_dataset(L, 2));
  if (!lua_isnoneornil(L, 3))
    rows = check_indices(L, 3, count, &count);
  qe_pair *pairs = scratch(L, check_room(L, 2, count), sizeof *pairs);
  float *scores = scratch(L, count, sizeof *scores);
  lua_createtable(L, (int)count, 0);
  check_scorer(L, 1);
  read_rows(L, pairs, rows, count);
  return score_pairs(L, qe_score, pairs, count, scores);
}

/* scorer:words_all(pairs) -> their scores, and for each the probabilities that its translation's tokens are BAD. The pairs are
** read once to count tokens and again when there is room for those: what is made in between may change the table. */
static int scorer_words_all(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  size_t count = check_room(L, 2, lua_rawlen(L, 2));
  const size_t room = count;
  float *scores = scratch(L, count, sizeof *scores);
  size_t *offset = scratch(L, count + 1, sizeof *offset);
  const qe_pair *pairs = check_pairs(L, 2, &count);
  check_count(L, 2, count, room);
  const size_t tokens = check_room(L, 2, qe_count_tokens(pairs, count, offset));
  float *bad = scratch(L, tokens, sizeof *bad);
  pairs = check_pairs(L, 2, &count);
  check_count(L, 2, count, room);
  luaL_argcheck(L, qe_count_tokens(pairs, count, offset) <= tokens, 2, "changed while it was read");
  qe_scorer *scorer = check_scorer(L, 1);
  const int status = qe_score_words(scorer, pairs, count, offset, scores, bad);
  if (status != QE_OK)
    return push_status(L, status, qe_scorer_error(scorer));
  lua_createtable(L, (int)count, 0);
  fill_floats(L, scores, count);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_createtable(L, (int)(offset[i + 1] - offset[i]), 0);
    fill_floats(L, bad + offset[i], offset[i + 1] - offset[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 2;
}

/* scorer:reasons(source, translation) -> names */
static int scorer_reasons(lua_State *L) {
  unsigned reasons;
  const qe_pair pair = check_pair(L, 2);
  qe_scorer *scorer = check_scorer(L, 1);
  const int status = qe_score_reasons(scorer, &pair, &reasons);
  if (status != QE_OK)
    return push_status(L, status, qe_scorer_error(scorer));
  lua_newtable(L);
  for (unsigned bit = 1; qe_reason_name(bit); bit *= 2)
    if (reasons & bit) {
      lua_pushstring(L, qe_reason_name(bit));
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
  return 1;
}

static int scorer_truncated(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_scorer_truncated(check_scorer(L, 1)));
  return 1;
}

void open_scorer(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "score", scorer_score },           { "score_all", scorer_score_all },
    { "score_list", scorer_score_list }, { "score_dataset", scorer_score_dataset },
    { "words_all", scorer_words_all },   { "reasons", scorer_reasons },
    { "truncated", scorer_truncated },   { NULL, NULL }
  };
  static const luaL_Reg functions[] = { { "scorer", scorer_new }, { NULL, NULL } };
  box_register(L, &scorer_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
