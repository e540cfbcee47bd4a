#!/usr/bin/env bash
# The process around the command line: Lua files, exit status, lost output, tracebacks, and the environment that
# OpenBLAS gets and started programs do not.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() {
  echo "$*" && failures=$((failures + 1))
}
# expect STATUS WHAT: of the command that was run last, whose stderr is the file err.
expect() {
  [ "$found" = "$1" ] || fail "$2: exit $found, expected $1: $(head -3 err)"
}

cat > file.lua << 'END'
local qe = require "qestrel"
assert(qe == require "qestrel" and require "qestrel.cli" and require "argparse")
assert(select("#", ...) == 2 and arg[0] == "file.lua" and arg[1] == ... and #arg == 2 and arg[-1] == "lua")
print(...)
END
"$QESTREL" lua file.lua one 'two words' > out 2> err; found=$?
expect 0 "a file"
[ "$(cat out)" = $'one\ttwo words' ] || fail "arguments: $(cat out)"
echo 'os.exit(7, true)' > exit.lua
"$QESTREL" lua exit.lua 2> err; found=$?
expect 7 "os.exit"

echo 'local function here() error "boom" end here()' > error.lua
"$QESTREL" lua error.lua 2> err; found=$?
expect 1 "an error"
[ "$(cat err)" = 'qestrel: error.lua:1: boom' ] || fail "message: $(cat err)"
QESTREL_TRACEBACK=1 "$QESTREL" lua error.lua 2> err; found=$?
expect 1 "an error with traceback"
grep -q 'stack traceback' err && grep -q "here" err || fail "no traceback: $(cat err)"
echo 'error { code = 1 }' > table.lua
"$QESTREL" lua table.lua 2> err; found=$?
expect 1 "an error that is a table"
echo 'x = = 1' > syntax.lua
"$QESTREL" lua syntax.lua 2> err; found=$?
expect 1 "a wrong file"
grep -q 'syntax.lua:1:' err || fail "syntax: $(cat err)"
"$QESTREL" lua nothing.lua 2> err; found=$?
expect 1 "no file"
grep -q 'nothing.lua' err || fail "no file: $(cat err)"
printf '\033Lua' > binary.lua
"$QESTREL" lua binary.lua 2> err; found=$?
expect 1 "a binary chunk"
grep -q 'binary chunk' err || fail "binary: $(cat err)"

# ---- output that is lost
"$QESTREL" --version > /dev/full 2> err; found=$?
expect 1 "a full disk"
grep -q '^qestrel: stdout: ' err || fail "full disk: $(cat err)"
echo 'io.write "x" os.exit(0)' > quick.lua
"$QESTREL" lua quick.lua > /dev/full 2> err; found=$?
expect 1 "a full disk and os.exit"
echo 'io.stdout:setvbuf "no" io.write "x"' > ignored.lua
"$QESTREL" lua ignored.lua > /dev/full 2> err; found=$?
expect 1 "a failed write that the file ignores"
"$QESTREL" --version >&- 2> err; found=$?
expect 1 "a closed stdout"
echo 'local x = 1' > silent.lua
"$QESTREL" lua silent.lua >&- 2> err; found=$?
expect 0 "a closed stdout that is not needed"
cat > pipe.lua << 'END'
for i = 1, 1e6 do
  local ok, problem = io.write(i, "\n")
  if not ok then error("stdout: " .. problem, 0) end
end
END
"$QESTREL" lua pipe.lua 2> err | head -1 > out; found=${PIPESTATUS[0]}
expect 1 "a pipe that closes"
[ "$(cat err)" = 'qestrel: stdout: Broken pipe' ] || fail "pipe: $(cat err)"

# ---- environment
cat > environment.lua << 'END'
for _, name in ipairs { "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "QESTREL_OPENBLAS" } do
  io.write(name, "=", os.getenv(name) or "", " ")
end
io.flush()
os.execute "env | grep -c OPENBLAS"
os.execute "sh -c 'kill -PIPE $$; echo survived'"
END
env -u OPENBLAS_NUM_THREADS -u OPENBLAS_CORETYPE "$QESTREL" lua environment.lua > out 2> err; found=$?
expect 0 "environment"
[ "$(cat out)" = 'OPENBLAS_NUM_THREADS= OPENBLAS_CORETYPE= QESTREL_OPENBLAS= 0' ] || fail "environment: $(cat out)"
OPENBLAS_NUM_THREADS=3 OPENBLAS_CORETYPE=Haswell "$QESTREL" lua environment.lua > out 2> err; found=$?
expect 0 "environment of the user"
[ "$(cat out)" = 'OPENBLAS_NUM_THREADS=3 OPENBLAS_CORETYPE=Haswell QESTREL_OPENBLAS= 2' ] || fail "user's: $(cat out)"
if [ -r /proc/self/maps ] && command -v strace > /dev/null; then
  env -u OPENBLAS_NUM_THREADS ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=execve -o trace "$QESTREL" lua silent.lua 2> err; found=$?
  expect 0 "strace"
  [ "$(grep -c 'execve(' trace)" = 2 ] || fail "started over: $(cat trace)"
fi

[ "$failures" = 0 ] || { echo "$failures failures" && exit 1; }
echo "the program keeps its contract"
