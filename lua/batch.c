/*
** batch.c - batches of rows, the batchers that make them, and where sentences begin in a packed matrix.
*/
#include "binding.h"

static void batch_release(void *object) {
  qe_batch_free(object);
}

const struct kind batch_kind = { "qestrel.batch", batch_release };

/* The rows of a table, or all where it is nil or none. */
static uint32_t *check_rows(lua_State *L, int index, size_t all, size_t *count) {
  if (!lua_isnoneornil(L, index))
    return check_indices(L, index, all, count);
  uint32_t *rows = scratch(L, all, sizeof *rows);
  for (size_t i = 0; i < all; i++)
    rows[i] = (uint32_t)i;
  *count = all;
  return rows;
}

static int batch_new(lua_State *L) {
  size_t count;
  lua_settop(L, 2);
  const uint32_t *rows = check_rows(L, 2, qe_dataset_rows(check_dataset(L, 1)), &count);
  struct box *box = box_push(L, &batch_kind, 0);
  qe_dataset *data = check_dataset(L, 1);
  box_parent(L, -1, 1, 1);
  box->object = qe_batch_new(data, rows, count);
  return box->object ? 1 : raise_status(L, QE_USE, qe_dataset_error(data));
}

static int batch_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_batch_size(check_batch(L, 1)));
  return 1;
}

static int batch_rows(lua_State *L) {
  const size_t count = qe_batch_size(check_batch(L, 1));
  luaL_argcheck(L, count <= INT32_MAX, 1, "too many rows for a table");
  lua_createtable(L, (int)count, 0);
  fill_indices(L, qe_batch_rows(check_batch(L, 1)), count);
  return 1;
}

static int batch_column(lua_State *L) {
  const char *name = check_text(L, 3);
  qe_batch *batch = check_batch(L, 1);
  return push_tensor(L, qe_batch_column(check_tape(L, 2), batch, name), 2);
}

static int batch_tags(lua_State *L) {
  const qe_model *model = check_model(L, 3);
  qe_batch *batch = check_batch(L, 1);
  return push_tensor(L, qe_batch_tags(check_tape(L, 2), batch, model), 2);
}

/* ---- segments: the offsets belong to the batch, the box's first parent ---- */

static const struct kind segments_kind = { "qestrel.segments", NULL };

static int batch_segments(lua_State *L) {
  static const char *const sides[] = { "source", "target", NULL };
  const int side = luaL_checkoption(L, 3, NULL, sides);
  struct box *box = box_push(L, &segments_kind, sizeof(qe_segments));
  qe_model *model = check_model(L, 2);
  qe_batch *batch = check_batch(L, 1);
  const int status = qe_batch_segments(batch, model, (qe_side)side, box->object);
  if (status != QE_OK) {
    box->closed = true;
    return raise_status(L, status, "segments: the model is empty");
  }
  box_parent(L, -1, 1, 1);
  return 1;
}

qe_segments check_segments(lua_State *L, int index) {
  size_t count;
  if (!lua_istable(L, index))
    return *(qe_segments *)box_check(L, index, &segments_kind);
  const uint32_t *offset = check_offsets(L, index, &count);
  luaL_argcheck(L, count > 0, index, "no offsets; the first one is 0, the last one the number of rows");
  return (qe_segments){ offset, (uint32_t)(count - 1) };
}

static int segments_count(lua_State *L) {
  lua_pushinteger(L, check_segments(L, 1).count);
  return 1;
}

static int segments_offsets(lua_State *L) {
  lua_createtable(L, (int)check_segments(L, 1).count + 1, 0);
  const qe_segments segments = check_segments(L, 1);
  for (size_t i = 0; i <= segments.count; i++) {
    lua_pushinteger(L, segments.offset[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* ---- batchers ---- */

static void batcher_release(void *object) {
  qe_batcher_free(object);
}

static const struct kind batcher_kind = { "qestrel.batcher", batcher_release };

static qe_batcher *check_batcher(lua_State *L, int index) {
  return box_check(L, index, &batcher_kind);
}

static int batcher_new(lua_State *L) {
  size_t count;
  lua_settop(L, 4);
  const uint32_t *rows = check_rows(L, 2, qe_dataset_rows(check_dataset(L, 1)), &count);
  const size_t size = check_size(L, 3, 1);
  luaL_argcheck(L, count > 0, 2, "no rows to make batches of");
  struct box *box = box_push(L, &batcher_kind, 0);
  const qe_rng *rng = check_rng(L, 4);
  qe_dataset *data = check_dataset(L, 1);
  box_parent(L, -1, 1, 1);
  box->object = qe_batcher_new(data, rows, count, size, rng);
  return box_filled(L, box);
}

/* The batch's parent is the dataset: it outlives the batcher. */
static int batcher_next(lua_State *L) {
  lua_settop(L, 1);
  check_batcher(L, 1);
  lua_getiuservalue(L, 1, 1);
  struct box *box = box_push(L, &batch_kind, 0);
  qe_batch *batch;
  qe_batcher *batcher = check_batcher(L, 1);
  const int status = qe_batcher_next(batcher, &batch);
  if (status < 0)
    return push_status(L, status, qe_batcher_error(batcher));
  if (status == 0) {
    lua_pushnil(L);
    return 1;
  }
  box->object = batch;
  box_parent(L, 3, 1, 2);
  return 1;
}

static int batcher_batches(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)qe_batcher_batches(check_batcher(L, 1)));
  return 1;
}

static int batcher_epoch(lua_State *L) {
  qe_cursor cursor;
  qe_batcher_save(check_batcher(L, 1), &cursor);
  lua_pushinteger(L, (lua_Integer)cursor.epoch);
  return 1;
}

enum { CURSOR_NUMBERS = 6 };

static int batcher_save(lua_State *L) {
  qe_cursor cursor;
  qe_batcher_save(check_batcher(L, 1), &cursor);
  const uint64_t *s = cursor.rng.s, numbers[] = { s[0], s[1], s[2], s[3], cursor.epoch, cursor.next };
  push_numbers(L, numbers, CURSOR_NUMBERS);
  return 1;
}

static int batcher_restore(lua_State *L) {
  uint64_t numbers[CURSOR_NUMBERS];
  check_numbers(L, 2, numbers, CURSOR_NUMBERS, "not the saved state of a batcher");
  const qe_cursor cursor = { { { numbers[0], numbers[1], numbers[2], numbers[3] } }, numbers[4], numbers[5] };
  qe_batcher *batcher = check_batcher(L, 1);
  const int status = qe_batcher_restore(batcher, &cursor);
  if (status != QE_OK) /* only save makes such strings: another one is wrong use, not content */
    return raise_status(L, status, qe_batcher_error(batcher));
  lua_settop(L, 1);
  return 1;
}

void open_batch(lua_State *L) {
  static const luaL_Reg batch_methods[] = { { "rows", batch_rows },
                                            { "column", batch_column },
                                            { "segments", batch_segments },
                                            { "tags", batch_tags },
                                            { NULL, NULL } };
  static const luaL_Reg batch_meta[] = { { "__len", batch_size }, { NULL, NULL } };
  static const luaL_Reg segments_methods[] = { { "offsets", segments_offsets }, { NULL, NULL } };
  static const luaL_Reg segments_meta[] = { { "__len", segments_count }, { NULL, NULL } };
  static const luaL_Reg batcher_methods[] = { { "next", batcher_next },       { "batches", batcher_batches },
                                              { "epoch", batcher_epoch },     { "save", batcher_save },
                                              { "restore", batcher_restore }, { NULL, NULL } };
  static const luaL_Reg functions[] = { { "batch", batch_new }, { "batcher", batcher_new }, { NULL, NULL } };
  box_register(L, &batch_kind, box_close, batch_methods, batch_meta);
  box_register(L, &segments_kind, box_close, segments_methods, segments_meta);
  box_register(L, &batcher_kind, box_close, batcher_methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
