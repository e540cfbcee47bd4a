/*
** main.c - the program. The command line itself is Lua (qestrel.cli, embedded); here are the process around it: the
** environment that OpenBLAS reads before main begins, signals, an interpreter, and the exit status, which is not 0
** when output was lost. `qestrel lua FILE [ARGUMENT ...]` runs a Lua file in place of the command line.
*/
#include "coretype.h"

#include <cblas.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int luaopen_qestrel(lua_State *L);

/* ---- OpenBLAS ---- */

/* Says that this process image is the second one, and whose variables are not the user's: c core type, t threads. */
#define MARK "QESTREL_OPENBLAS"

static bool set_unless_given(const char *name, const char *value) {
  return value && !getenv(name) && setenv(name, value, 1) == 0;
}

/* OpenBLAS has read its variables by now. Programs that we start (teachers) shall not inherit them. */
static void restore_environment(const char *mark) {
  if (strchr(mark, 'c'))
    unsetenv("OPENBLAS_CORETYPE");
  if (strchr(mark, 't'))
    unsetenv("OPENBLAS_NUM_THREADS");
  unsetenv(MARK);
}

/* OpenBLAS reads its environment when it is loaded, before main: what is missing there is set, and the program starts
** over. Training has threads of its own, so those of OpenBLAS would only fight with them. */
static void prepare_openblas(char **argv) {
  struct cpuid values;
  char mark[3] = "";
  const char *second = getenv(MARK);
  if (second) {
    restore_environment(second);
    prctl(PR_SET_NAME, "qestrel"); /* it was called exe, after the link */
    return;
  }
  cpuid_read(&values);
  if (set_unless_given("OPENBLAS_CORETYPE", coretype_wanted(&values, openblas_get_corename())))
    strcat(mark, "c");
  if (set_unless_given("OPENBLAS_NUM_THREADS", "1"))
    strcat(mark, "t");
  if (*mark && setenv(MARK, mark, 1) == 0)
    execv("/proc/self/exe", argv);
  restore_environment(mark);
}

/* ---- output ---- */

static void on_pipe(int signal_number) {
  (void)signal_number;
}

/* A write to a closed pipe fails with a message rather than killing us. A handler, not SIG_IGN: programs that we start
** get the default back. */
static void catch_broken_pipes(void) {
  struct sigaction action = { .sa_flags = SA_RESTART }, before;
  action.sa_handler = on_pipe;
  if (sigaction(SIGPIPE, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
    sigaction(SIGPIPE, &action, NULL);
}

/* At every way out, os.exit included: lost output is a failure. A stdout that was closed from the start and never
** written to is none. */
static void close_output(void) {
  const bool failed = ferror(stdout) != 0;
  errno = 0;
  const bool flushed = fflush(stdout) == 0;
  if (!failed && flushed && (fclose(stdout) == 0 || errno == EBADF))
    return;
  fprintf(stderr, "qestrel: stdout: %s\n", errno ? strerror(errno) : "a write failed");
  _exit(EXIT_FAILURE);
}

/* ---- Lua ---- */

/* Message of an error; with QESTREL_TRACEBACK in the environment, where it came from. */
static int describe_error(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  if (getenv("QESTREL_TRACEBACK"))
    luaL_traceback(L, L, message, 1);
  return 1;
}

static void push_arguments(lua_State *L, int count, char **arguments, int script) {
  lua_createtable(L, count, 1);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, arguments[i]);
    lua_rawseti(L, -2, i - script);
  }
}

static int run_file(lua_State *L, int count, char **arguments) {
  if (luaL_loadfilex(L, arguments[2], "t") != LUA_OK)
    return lua_error(L);
  push_arguments(L, count, arguments, 2);
  lua_setglobal(L, "arg");
  for (int i = 3; i < count; i++)
    lua_pushstring(L, arguments[i]);
  lua_call(L, count - 3, 0);
  lua_pushinteger(L, EXIT_SUCCESS);
  return 1;
}

static int run_command(lua_State *L, int count, char **arguments) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "qestrel.cli");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  push_arguments(L, count, arguments, 0);
  lua_call(L, 1, 1);
  return 1;
}

/* Protected: opens everything, runs, leaves the exit status. */
static int run(lua_State *L) {
  const int count = (int)lua_tointeger(L, 1);
  char **arguments = lua_touserdata(L, 2);
  lua_settop(L, 0);
  luaL_openlibs(L);
  luaL_requiref(L, "qestrel", luaopen_qestrel, 0);
  lua_settop(L, 0);
  luaL_checkstack(L, count, "too many arguments");
  if (count > 2 && strcmp(arguments[1], "lua") == 0)
    return run_file(L, count, arguments);
  return run_command(L, count, arguments);
}

int main(int argc, char **argv) {
  prepare_openblas(argv);
  catch_broken_pipes();
  if (atexit(close_output) != 0)
    return EXIT_FAILURE;
  lua_State *L = luaL_newstate();
  if (!L) {
    fprintf(stderr, "qestrel: out of memory\n");
    return EXIT_FAILURE;
  }
  int status = EXIT_FAILURE;
  bool told = false; /* that output was lost */
  lua_pushcfunction(L, describe_error);
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, 1) == LUA_OK)
    status = (int)lua_tointeger(L, -1);
  else
    told = fprintf(stderr, "qestrel: %s\n", lua_tostring(L, -1)) > 0 && ferror(stdout);
  lua_close(L);
  if (told)
    _exit(status);
  return status;
}
