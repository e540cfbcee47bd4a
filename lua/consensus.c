/*
** consensus.c - how well the candidates of a list agree with each other.
*/
#include "binding.h"

static void consensus_release(void *object) {
  qe_consensus_free(object);
}

static const struct kind consensus_kind = { "qestrel.consensus", consensus_release };

/* consensus(sample, model): by chrF, or by the model's word vectors */
static int consensus_new(lua_State *L) {
  lua_settop(L, 2);
  const size_t most = lua_isnil(L, 1) ? 0 : check_size(L, 1, 1);
  struct box *box = box_push(L, &consensus_kind, 0);
  const qe_model *model = box_optional(L, 2, &model_kind);
  luaL_argcheck(L, !model || qe_model_word_vectors(model), 2, "the model has no word vectors");
  qe_consensus *consensus = box->object = model ? qe_consensus_by_words(model) : qe_consensus_new();
  box_filled(L, box);
  box_parent(L, 3, 1, 2);
  if (most > 0 && qe_consensus_sample(consensus, most) != QE_OK)
    return raise_status(L, QE_USE, qe_consensus_error(consensus));
  return 1;
}

/* consensus:values(texts, weights) -> values, standard error */
static int consensus_values(lua_State *L) {
  size_t count, weight_count;
  const double *weights = NULL;
  lua_settop(L, 3);
  const qe_text *texts = check_texts(L, 2, &count);
  if (!lua_isnil(L, 3)) {
    weights = check_doubles(L, 3, &weight_count);
    check_count(L, 3, weight_count, count);
  }
  double *values = scratch(L, count, sizeof *values);
  lua_createtable(L, (int)count, 0);
  qe_consensus *consensus = box_check(L, 1, &consensus_kind);
  const int status = qe_consensus_values(consensus, texts, count, weights, values);
  if (status != QE_OK)
    return raise_status(L, status, qe_consensus_error(consensus));
  fill_doubles(L, values, count);
  lua_pushnumber(L, qe_consensus_standard_error(consensus));
  return 2;
}

/* posterior(totals, temperature) -> weights */
static int consensus_posterior(lua_State *L) {
  size_t count;
  const double temperature = luaL_optnumber(L, 2, 1);
  const double *totals = check_doubles(L, 1, &count);
  double *weights = scratch(L, count, sizeof *weights);
  lua_createtable(L, (int)count, 0);
  luaL_argcheck(L, qe_consensus_posterior(totals, count, temperature, weights) == QE_OK, 2,
                "a temperature is positive and finite");
  fill_doubles(L, weights, count);
  return 1;
}

void open_consensus(lua_State *L) {
  static const luaL_Reg methods[] = { { "values", consensus_values }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "consensus", consensus_new },
                                        { "posterior", consensus_posterior },
                                        { NULL, NULL } };
  box_register(L, &consensus_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
