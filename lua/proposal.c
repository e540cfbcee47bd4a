/*
** proposal.c - proposals for sampled softmaxes.
*/
#include "binding.h"

static void proposal_release(void *object) {
  qe_proposal_free(object);
}

static const struct kind proposal_kind = { "qestrel.proposal", proposal_release };

/* qe.proposal(classes, masses or nil, uniform) */
static int proposal_new(lua_State *L) {
  size_t count = 0;
  const size_t classes = check_size(L, 1, 1);
  const double uniform = luaL_checknumber(L, 3);
  luaL_argcheck(L, classes <= UINT32_MAX, 1, "too many classes");
  luaL_argcheck(L, uniform >= 0 && uniform <= 1, 3, "expected 0 to 1");
  const double *masses = lua_isnil(L, 2) ? NULL : check_doubles(L, 2, &count);
  if (masses)
    check_count(L, 2, count, qe_proposal_groups(classes));
  struct box *box = box_push(L, &proposal_kind, 0);
  box->object = qe_proposal_new(classes, masses, uniform);
  return box_filled(L, box);
}

static size_t check_draws(lua_State *L, int index) {
  const size_t count = check_size(L, index, 0);
  luaL_argcheck(L, count <= INT32_MAX, index, "too many for a table");
  return count;
}

static int push_draws(lua_State *L, const uint32_t *classes, const double *log_q, size_t count) {
  lua_createtable(L, (int)count, 0);
  fill_indices(L, classes, count);
  lua_createtable(L, (int)count, 0);
  fill_doubles(L, log_q, count);
  return 2;
}

/* proposal:draw(rng, count) -> ranks from 1 on, log-probabilities */
static int proposal_draw(lua_State *L) {
  const size_t count = check_draws(L, 3);
  uint32_t *ranks = scratch(L, count, sizeof *ranks);
  double *log_q = scratch(L, count, sizeof *log_q);
  qe_rng *rng = check_rng(L, 2);
  qe_proposal_draw(box_check(L, 1, &proposal_kind), rng, count, ranks, log_q);
  return push_draws(L, ranks, log_q, count);
}

/* proposal:draw_bins(rng, targets, count) -> bins from 1 on, log-probabilities */
static int proposal_draw_bins(lua_State *L) {
  size_t targets;
  const size_t count = check_draws(L, 4);
  const double *target = check_doubles(L, 3, &targets);
  luaL_argcheck(L, targets > 0, 3, "no targets");
  uint32_t *bins = scratch(L, count, sizeof *bins);
  double *log_q = scratch(L, count, sizeof *log_q);
  qe_rng *rng = check_rng(L, 2);
  const int status =
      qe_proposal_draw_bins(box_check(L, 1, &proposal_kind), rng, target, targets, count, bins, log_q);
  return status == QE_OK ? push_draws(L, bins, log_q, count) : raise_status(L, status, "draw_bins: no memory");
}

/* qe.proposal_masses(p, q or nil) */
static int proposal_masses(lua_State *L) {
  const qe_tensor q = lua_isnoneornil(L, 2) ? QE_NONE : check_tensor(L, 2);
  const qe_tensor p = check_tensor(L, 1);
  const size_t groups = qe_proposal_groups(qe_cols(p));
  double *masses = scratch(L, groups, sizeof *masses);
  const int status = qe_proposal_masses(p, q, masses);
  if (status != QE_OK)
    return qe_tape_status(p.tape) != QE_OK ? raise_tape(L, p.tape)
                                           : raise_status(L, status, "proposal: stale tensor");
  lua_createtable(L, (int)groups, 0);
  fill_doubles(L, masses, groups);
  return 1;
}

static int proposal_groups(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_proposal_groups(check_size(L, 1, 1)));
  return 1;
}

void open_proposal(lua_State *L) {
  static const luaL_Reg methods[] = { { "draw", proposal_draw },
                                      { "draw_bins", proposal_draw_bins },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "proposal", proposal_new },
                                        { "proposal_groups", proposal_groups },
                                        { "proposal_masses", proposal_masses },
                                        { NULL, NULL } };
  box_register(L, &proposal_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
