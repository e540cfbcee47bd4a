/*
** dataset.c - rows of pairs with named columns.
*/
#include "binding.h"

static void dataset_release(void *object) {
  qe_dataset_free(object);
}

const struct kind dataset_kind = { "qestrel.dataset", dataset_release };

static int dataset_new(lua_State *L) {
  struct box *box = box_push(L, &dataset_kind, 0);
  box->object = qe_dataset_new();
  return box_filled(L, box);
}

static int dataset_status(lua_State *L, const qe_dataset *data, int status) {
  return push_status(L, status, qe_dataset_error(data));
}

static int dataset_read(lua_State *L) {
  const char *path = check_text(L, 2);
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_read(data, path));
}

static int dataset_read_mlqe(lua_State *L) {
  const char *folder = check_text(L, 2), *set = check_text(L, 3);
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_read_mlqe(data, folder, set));
}

static int dataset_read_logprobs(lua_State *L) {
  const char *path = check_text(L, 2), *tokens = lua_isnoneornil(L, 3) ? NULL : check_text(L, 3);
  const size_t first = lua_isnoneornil(L, 4) ? 1 : check_size(L, 4, 1);
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_read_logprobs(data, path, tokens, first - 1));
}

static int dataset_read_tags(lua_State *L) {
  const char *tokens = check_text(L, 2), *tags = check_text(L, 3);
  const size_t first = lua_isnoneornil(L, 4) ? 1 : check_size(L, 4, 1);
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_read_tags(data, tokens, tags, first - 1));
}

static int dataset_read_scores(lua_State *L) {
  size_t matched = 0;
  const char *path = check_text(L, 2), *prefix = lua_isnoneornil(L, 3) ? NULL : check_text(L, 3);
  qe_dataset *data = check_dataset(L, 1);
  const int status = qe_dataset_read_scores(data, path, prefix, &matched);
  if (status != QE_OK)
    return dataset_status(L, data, status);
  lua_pushinteger(L, (lua_Integer)matched);
  return 1;
}

static int dataset_append(lua_State *L) {
  const qe_pair pair = check_pair(L, 2);
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_append(data, &pair));
}

static int dataset_append_all(lua_State *L) {
  qe_dataset *data = check_dataset(L, 1);
  return dataset_status(L, data, qe_dataset_append_all(data, check_dataset(L, 2)));
}

static int dataset_rows(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_dataset_rows(check_dataset(L, 1)));
  return 1;
}

static void push_logprobs(lua_State *L, size_t row) {
  const size_t count = qe_dataset_pair(check_dataset(L, 1), row).logprob_count;
  if (count == 0) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, (int)count, 0);
  const qe_pair pair = qe_dataset_pair(check_dataset(L, 1), row);
  fill_floats(L, pair.logprobs, pair.logprob_count < count ? pair.logprob_count : count);
}

static int dataset_pair(lua_State *L) {
  const size_t row = check_index(L, 2, qe_dataset_rows(check_dataset(L, 1)));
  qe_text text = qe_dataset_pair(check_dataset(L, 1), row).source;
  lua_pushlstring(L, text.data, text.size);
  text = qe_dataset_pair(check_dataset(L, 1), row).translation;
  lua_pushlstring(L, text.data, text.size);
  push_logprobs(L, row);
  return 3;
}

static int dataset_columns(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < qe_dataset_columns(check_dataset(L, 1)); i++) {
    lua_pushstring(L, qe_dataset_column_name(check_dataset(L, 1), i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int dataset_column(lua_State *L) {
  const char *name = check_text(L, 2);
  const size_t rows = qe_dataset_rows(check_dataset(L, 1));
  if (!qe_dataset_column(check_dataset(L, 1), name)) {
    lua_pushnil(L);
    return 1;
  }
  luaL_argcheck(L, rows <= INT32_MAX, 1, "too many rows for a table");
  lua_createtable(L, (int)rows, 0);
  fill_doubles(L, qe_dataset_column(check_dataset(L, 1), name), rows);
  return 1;
}

static int dataset_set_column(lua_State *L) {
  size_t count;
  const char *name = check_text(L, 2);
  const double *values = check_doubles(L, 3, &count);
  qe_dataset *data = check_dataset(L, 1);
  check_count(L, 3, count, qe_dataset_rows(data));
  return dataset_status(L, data, qe_dataset_set_column(data, name, values));
}

static int dataset_sha256(lua_State *L) {
  char hex[65];
  qe_dataset *data = check_dataset(L, 1);
  const int status = qe_dataset_sha256(data, hex);
  if (status != QE_OK)
    return dataset_status(L, data, status);
  lua_pushstring(L, hex);
  return 1;
}

void open_dataset(lua_State *L) {
  static const luaL_Reg methods[] = { { "read", dataset_read },
                                      { "read_mlqe", dataset_read_mlqe },
                                      { "read_logprobs", dataset_read_logprobs },
                                      { "read_tags", dataset_read_tags },
                                      { "read_scores", dataset_read_scores },
                                      { "append", dataset_append },
                                      { "append_all", dataset_append_all },
                                      { "rows", dataset_rows },
                                      { "pair", dataset_pair },
                                      { "columns", dataset_columns },
                                      { "column", dataset_column },
                                      { "set_column", dataset_set_column },
                                      { "sha256", dataset_sha256 },
                                      { NULL, NULL } };
  static const luaL_Reg meta[] = { { "__len", dataset_rows }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "dataset", dataset_new }, { NULL, NULL } };
  box_register(L, &dataset_kind, box_close, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
