#!/usr/bin/env bash
# Installs the release build into a folder of its own and uses it the way a stranger would: the module from plain
# lua5.4, the library from a C program through pkg-config and through CMake, the program without LUA_PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install .build/release --prefix "$prefix" > /dev/null
model=$PWD/models/et-en.qe
cp examples/c/score.c "$prefix/use.c"
libdir=$(dirname "$(find "$prefix" -name qestrel.pc)")
export PKG_CONFIG_PATH=$libdir
gcc -std=c11 -Wall -Werror "$prefix/use.c" -o "$prefix/use" $(pkg-config --cflags --libs qestrel)
expected=$(printf 'Tere!\tHello!\n' | "$prefix/bin/qestrel" score -m "$model")
found=$(LD_LIBRARY_PATH=$(dirname "$libdir") "$prefix/use" "$model" "Tere!" "Hello!")
[ "$found" = "$expected" ] || { echo "C program: $found, program: $expected" && exit 1; }
found=$(cd / && MODEL="$model" LUA_CPATH="$prefix/lib/lua/5.4/?.so" lua5.4 -e '
  local qe = require "qestrel"
  require "qestrel.train"
  print(("%.6f"):format(qe.scorer(assert(qe.open(os.getenv "MODEL"))):score("Tere!", "Hello!")))')
[ "$found" = "$expected" ] || { echo "Lua module: $found, program: $expected" && exit 1; }
mkdir "$prefix/cmake"
cat > "$prefix/cmake/CMakeLists.txt" << 'END'
cmake_minimum_required(VERSION 3.25)
project(use C)
find_package(qestrel REQUIRED)
add_executable(use ../use.c)
target_link_libraries(use PRIVATE qestrel::qestrel)
END
cmake -S "$prefix/cmake" -B "$prefix/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" > /dev/null
cmake --build "$prefix/cmake/build" > /dev/null
found=$("$prefix/cmake/build/use" "$model" "Tere!" "Hello!")
[ "$found" = "$expected" ] || { echo "CMake package: $found, program: $expected" && exit 1; }
echo "installed: C through pkg-config and CMake, Lua module and program agree ($expected)"
