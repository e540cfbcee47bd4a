/*
** archive.c - named members in memory, files of them, and whole-file writes.
*/
#include "binding.h"

static void archive_release(void *object) {
  qe_archive_free(object);
}

static const struct kind archive_kind = { "qestrel.archive", archive_release };

static qe_archive *check_archive(lua_State *L, int index) {
  return box_check(L, index, &archive_kind);
}

static struct box *push_archive(lua_State *L) {
  struct box *box = box_push(L, &archive_kind, 0);
  box->object = qe_archive_new();
  box_filled(L, box);
  return box;
}

static int archive_new(lua_State *L) {
  push_archive(L);
  return 1;
}

static int archive_status(lua_State *L, const qe_archive *archive, int status) {
  return push_status(L, status, qe_archive_error(archive));
}

static int archive_add(lua_State *L) {
  size_t size;
  const char *name = check_text(L, 2), *bytes = luaL_checklstring(L, 3, &size);
  qe_archive *archive = check_archive(L, 1);
  return archive_status(L, archive, qe_archive_add(archive, name, bytes, size));
}

static size_t optional_limit(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? 0 : check_size(L, index, 1);
}

static int archive_open(lua_State *L) {
  const char *path = check_text(L, 2);
  const size_t limit = optional_limit(L, 3);
  qe_archive *archive = check_archive(L, 1);
  return archive_status(L, archive, qe_archive_open(archive, path, limit));
}

static int archive_open_memory(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  const size_t limit = optional_limit(L, 3);
  qe_archive *archive = check_archive(L, 1);
  return archive_status(L, archive, qe_archive_open_memory(archive, bytes, size, limit));
}

static int archive_names(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < qe_archive_count(check_archive(L, 1)); i++) {
    lua_pushstring(L, qe_archive_name(check_archive(L, 1), i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int archive_member(lua_State *L) {
  const char *name = check_text(L, 2);
  const qe_archive *archive = check_archive(L, 1);
  const int number = qe_archive_find(archive, name);
  if (number < 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "no member %s", name);
    return 2;
  }
  const qe_text member = qe_archive_member(archive, (size_t)number);
  lua_pushlstring(L, member.size > 0 ? member.data : "", member.size);
  return 1;
}

static int archive_save(lua_State *L) {
  const char *path = check_text(L, 2);
  qe_archive *archive = check_archive(L, 1);
  return archive_status(L, archive, qe_archive_save(archive, path));
}

/* ---- folders and files ---- */

static int with_archive(lua_State *L, int call(qe_archive *, const char *, const char *)) {
  const char *from = check_text(L, 1), *to = check_text(L, 2);
  qe_archive *archive = push_archive(L)->object;
  return archive_status(L, archive, call(archive, from, to));
}

static int pack(lua_State *L) {
  return with_archive(L, qe_pack);
}

static int unpack(lua_State *L) {
  return with_archive(L, qe_unpack);
}

static int sha256(lua_State *L) {
  size_t size;
  char hex[65];
  const char *bytes = luaL_checklstring(L, 1, &size);
  qe_sha256(bytes, size, hex);
  lua_pushstring(L, hex);
  return 1;
}

static int write_file(lua_State *L) {
  char error[512] = "";
  qe_text part;
  const char *path = check_text(L, 1);
  part.data = luaL_checklstring(L, 2, &part.size);
  return push_status(L, qe_write_file(path, &part, 1, error, sizeof error), error);
}

void open_archive(lua_State *L) {
  static const luaL_Reg methods[] = { { "add", archive_add },
                                      { "open", archive_open },
                                      { "open_memory", archive_open_memory },
                                      { "names", archive_names },
                                      { "member", archive_member },
                                      { "save", archive_save },
                                      { NULL, NULL } };
  static const luaL_Reg functions[] = { { "archive", archive_new },   { "pack", pack },
                                        { "unpack", unpack },         { "sha256", sha256 },
                                        { "write_file", write_file }, { NULL, NULL } };
  box_register(L, &archive_kind, box_close, methods, NULL);
  luaL_setfuncs(L, functions, 0);
}
