#!/usr/bin/env bash
# The full acceptance of the distillation methods on worlds with a known truth (methods.md M1..M12):
#
#   tests/methods.sh [NAME...]
#
# One line per check, tab-separated: method, check, figure, threshold, pass or FAIL; figures without a threshold are told
# beside them. Exit status 0 only if all checks pass. Two methods run at a time. METHODS_SEEDS=N tries other seeds, N of
# them, than those that the acceptance is judged on. Needs the release build.
set -uo pipefail
cd "$(dirname "$0")/.."
export SOURCE_DIR=$PWD OPENBLAS_NUM_THREADS=1 LUA_PATH="tests/methods/?.lua;;"
[ -e .build/release/qestrel ] || { echo "no release build: cmake --preset release && cmake --build --preset release" && exit 2; }
all=(kd annealing branches lifelong reinforced states sampling codistillation levels route lipschitz metadistil)
[ $# -gt 0 ] && all=("$@")
for name in "${all[@]}"; do
  [ -e "tests/methods/$name.lua" ] || { echo "no method $name; there are: $(cd tests/methods && ls | grep -v harness | sed 's/\.lua$//' | xargs)" && exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export folder
one() {
  .build/release/qestrel lua "tests/methods/$1.lua" > "$folder/$1.out" 2> "$folder/$1.err"
  local status=$?
  # nothing is checked where nothing ran: a script that broke off has said why
  if [ -s "$folder/$1.err" ]; then
    cat "$folder/$1.err" >&2
    printf "%s\tthe script broke off\t\t\tFAIL\n" "$1" >> "$folder/$1.out"
  fi
  echo $status > "$folder/$1.status"
  cat "$folder/$1.out"
}
export -f one
printf '%s\n' "${all[@]}" | xargs -P 2 -I{} bash -c 'one {}'
for name in "${all[@]}"; do [ "$(cat "$folder/$name.status")" = 0 ] || exit 1; done
