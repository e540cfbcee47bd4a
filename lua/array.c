/*
** array.c - plain Lua values as arguments: numbers, texts, and tables of them, which become C arrays. The memory of an
** array is a userdata pushed on the stack, so nothing leaks when a later argument is wrong. Tables are read raw: no
** metamethod runs while C holds pointers into Lua's strings.
*/
#include "binding.h"

#include <math.h>
#include <string.h>

void *scratch(lua_State *L, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    luaL_error(L, "out of memory");
  return lua_newuserdatauv(L, bytes ? bytes : 1, 0);
}

/* ---- scalars ---- */

size_t check_size(lua_State *L, int index, size_t least) {
  const lua_Integer value = luaL_checkinteger(L, index);
  if (value < 0 || (lua_Unsigned)value < least)
    luaL_argerror(L, index, lua_pushfstring(L, "%I, expected at least %I", value, (lua_Integer)least));
  return (size_t)value;
}

size_t check_index(lua_State *L, int index, size_t limit) {
  const lua_Integer value = luaL_checkinteger(L, index);
  if (value < 1 || (lua_Unsigned)value > limit)
    luaL_argerror(L, index, lua_pushfstring(L, "%I, expected an index from 1 to %I", value, (lua_Integer)limit));
  return (size_t)value - 1;
}

const char *check_text(lua_State *L, int index) {
  size_t size;
  const char *text = luaL_checklstring(L, index, &size);
  luaL_argcheck(L, strlen(text) == size, index, "text with a NUL byte");
  return text;
}

/* ---- numbers in tables ---- */

static size_t check_length(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  return lua_rawlen(L, index);
}

/* Element i of a table, from 1. */
static double element(lua_State *L, int index, size_t i) {
  if (lua_rawgeti(L, index, (lua_Integer)i) != LUA_TNUMBER)
    luaL_argerror(L, index,
                  lua_pushfstring(L, "%s at index %I, expected a number", luaL_typename(L, -1), (lua_Integer)i));
  const double value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

double *check_doubles(lua_State *L, int index, size_t *count) {
  *count = check_length(L, index);
  double *values = scratch(L, *count, sizeof *values);
  for (size_t i = 0; i < *count; i++)
    values[i] = element(L, index, i + 1);
  return values;
}

qe_real *check_reals(lua_State *L, int index, size_t *count) {
  *count = check_length(L, index);
  qe_real *values = scratch(L, *count, sizeof *values);
  for (size_t i = 0; i < *count; i++)
    values[i] = (qe_real)element(L, index, i + 1);
  return values;
}

void check_count(lua_State *L, int index, size_t found, size_t expected) {
  if (found != expected)
    luaL_argerror(L, index,
                  lua_pushfstring(L, "%I values, expected %I", (lua_Integer)found, (lua_Integer)expected));
}

/* A whole number from `low` to `high`. */
static uint32_t whole_element(lua_State *L, int index, size_t i, size_t low, size_t high) {
  int whole;
  lua_rawgeti(L, index, (lua_Integer)i);
  const lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || value < (lua_Integer)low || (lua_Unsigned)value > high)
    luaL_argerror(L, index,
                  lua_pushfstring(L, "%s at index %I, expected a whole number from %I to %I",
                                  luaL_tolstring(L, -1, NULL), (lua_Integer)i, (lua_Integer)low,
                                  (lua_Integer)high));
  lua_pop(L, 1);
  return (uint32_t)value;
}

uint32_t *check_indices(lua_State *L, int index, size_t limit, size_t *count) {
  *count = check_length(L, index);
  uint32_t *values = scratch(L, *count, sizeof *values);
  if (limit > UINT32_MAX)
    limit = UINT32_MAX;
  for (size_t i = 0; i < *count; i++)
    values[i] = whole_element(L, index, i + 1, 1, limit) - 1;
  return values;
}

uint32_t *check_offsets(lua_State *L, int index, size_t *count) {
  *count = check_length(L, index);
  uint32_t *values = scratch(L, *count, sizeof *values);
  for (size_t i = 0; i < *count; i++)
    values[i] = whole_element(L, index, i + 1, 0, UINT32_MAX);
  return values;
}

void check_keys(lua_State *L, int index, const char *const known[]) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
    size_t i = 0;
    while (known[i] && strcmp(known[i], key) != 0)
      i++;
    if (!known[i])
      luaL_argerror(L, index, lua_pushfstring(L, "unknown key \"%s\"", key));
    lua_pop(L, 1);
  }
}

/* ---- saved states ---- */

void push_numbers(lua_State *L, const uint64_t *numbers, size_t count) {
  luaL_Buffer buffer;
  char *bytes = luaL_buffinitsize(L, &buffer, count * 8);
  for (size_t i = 0; i < count * 8; i++)
    bytes[i] = (char)(numbers[i / 8] >> i % 8 * 8 & 0xff);
  luaL_pushresultsize(&buffer, count * 8);
}

void check_numbers(lua_State *L, int index, uint64_t *numbers, size_t count, const char *what) {
  size_t size;
  const char *bytes = luaL_checklstring(L, index, &size);
  luaL_argcheck(L, size == count * 8, index, what);
  memset(numbers, 0, count * sizeof *numbers);
  for (size_t i = 0; i < size; i++)
    numbers[i / 8] |= (uint64_t)(unsigned char)bytes[i] << i % 8 * 8;
}

/* ---- pairs ---- */

static qe_text checked_text(lua_State *L, int index) {
  qe_text text;
  luaL_checktype(L, index, LUA_TSTRING);
  text.data = lua_tolstring(L, index, &text.size);
  return text;
}

static void fill_logprobs(lua_State *L, int index, float *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    values[i] = (float)element(L, index, i + 1);
}

qe_pair check_pair(lua_State *L, int index) {
  qe_pair pair = { .source = checked_text(L, index), .translation = checked_text(L, index + 1) };
  if (lua_isnoneornil(L, index + 2))
    return pair;
  pair.logprob_count = check_length(L, index + 2);
  float *values = scratch(L, pair.logprob_count, sizeof *values);
  fill_logprobs(L, index + 2, values, pair.logprob_count);
  pair.logprobs = values;
  return pair;
}

static void wrong_pair(lua_State *L, int index, size_t number, const char *what) {
  luaL_argerror(L, index, lua_pushfstring(L, "pair %I: %s", (lua_Integer)number, what));
}

/* Leaves the three parts of pair `number` on the stack. */
static void push_pair(lua_State *L, int index, size_t number) {
  if (lua_rawgeti(L, index, (lua_Integer)number) != LUA_TTABLE)
    wrong_pair(L, index, number, "not a table");
  for (int part = 1; part <= 3; part++)
    lua_rawgeti(L, -part, part);
  lua_remove(L, -4);
  if (!(lua_type(L, -3) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING))
    wrong_pair(L, index, number, "source and translation are not strings");
  if (!lua_isnil(L, -1) && !lua_istable(L, -1))
    wrong_pair(L, index, number, "log-probabilities are not a table");
}

static size_t count_logprobs(lua_State *L, int index, size_t pairs) {
  size_t count = 0;
  for (size_t i = 1; i <= pairs; i++) {
    push_pair(L, index, i);
    count += lua_rawlen(L, -1);
    lua_pop(L, 3);
  }
  return count;
}

/* The pair on the stack; its log-probabilities go to `logprobs`, where `room` of them fit. Returns how many came. */
static size_t read_pair(lua_State *L, qe_pair *pair, float *logprobs, size_t room) {
  const int top = lua_gettop(L);
  *pair = (qe_pair){ .source = checked_text(L, top - 2), .translation = checked_text(L, top - 1) };
  if (lua_isnil(L, top))
    return 0;
  pair->logprob_count = lua_rawlen(L, top);
  if (pair->logprob_count > room) /* a finaliser changed the table */
    luaL_error(L, "log-probabilities changed while they were read");
  fill_logprobs(L, top, logprobs, pair->logprob_count);
  pair->logprobs = logprobs;
  return pair->logprob_count;
}

/* Two passes: the second one allocates nothing, so that the strings it points to stay. */
qe_pair *check_pairs(lua_State *L, int index, size_t *count) {
  *count = check_length(L, index);
  qe_pair *pairs = scratch(L, *count, sizeof *pairs);
  const size_t room = count_logprobs(L, index, *count);
  float *logprobs = scratch(L, room, sizeof *logprobs);
  size_t used = 0;
  for (size_t i = 0; i < *count; i++) {
    push_pair(L, index, i + 1);
    used += read_pair(L, &pairs[i], logprobs + used, room - used);
    lua_pop(L, 3);
  }
  return pairs;
}

/* ---- results ---- */

void fill_doubles(lua_State *L, const double *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_pushnumber(L, values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

void fill_floats(lua_State *L, const float *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_pushnumber(L, (lua_Number)values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

void fill_reals(lua_State *L, const qe_real *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_pushnumber(L, (lua_Number)values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

void fill_indices(lua_State *L, const uint32_t *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, (lua_Integer)values[i] + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

qe_text *check_texts(lua_State *L, int index, size_t *count) {
  luaL_checktype(L, index, LUA_TTABLE);
  *count = lua_rawlen(L, index);
  luaL_argcheck(L, *count > 0 && *count <= INT32_MAX, index, "no strings, or too many");
  qe_text *texts = scratch(L, *count, sizeof *texts);
  for (size_t i = 0; i < *count; i++) {
    if (lua_rawgeti(L, index, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(
          L, index,
          lua_pushfstring(L, "%s at index %I, expected a string", luaL_typename(L, -1), (lua_Integer)i + 1));
    texts[i].data = lua_tolstring(L, -1, &texts[i].size);
    lua_pop(L, 1);
  }
  return texts;
}
