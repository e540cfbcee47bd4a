#!/usr/bin/env bash
# Builds and passes all tests: release build, sanitized builds, command line, documentation, style. Installs what is
# missing. `tests/run.sh quick` does the release build alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/packages.sh
need "${build_packages[@]}" "${test_packages[@]}"

say() { printf '\n== %s\n' "$*"; }
build_and_test() {
  local preset=$1
  shift
  say "$preset: build"
  cmake --preset "$preset" > /dev/null
  cmake --build --preset "$preset" -j "$(nproc)" 2>&1 | grep -vE '^\[|Consolidate|Built target' || true
  cmake --build --preset "$preset" > /dev/null # the line above hides the status
  say "$preset: test"
  ctest --preset "$preset" -j "$(nproc)" --no-tests=error "$@"
}

# A locale with decimal commas, for the tests that must not notice it.
if [ ! -d .build/locales/de_DE.UTF-8 ]; then
  mkdir -p .build/locales
  localedef -i de_DE -f UTF-8 .build/locales/de_DE.UTF-8
fi
export LOCPATH=$PWD/.build/locales

build_and_test release
if [ "${1:-}" = quick ]; then exit 0; fi
build_and_test debug
build_and_test tsan -R "test_kernel|test_model|test_plugin|lua_train"
say "demo"
bash examples/demo.sh
say "install"
bash tests/install.sh
say "style"
bash tests/style.sh
say "all tests passed"
