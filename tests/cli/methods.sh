#!/usr/bin/env bash
# tests/methods.sh says what it promises: a line per check with figure, threshold and verdict, and an exit status.
set -euo pipefail
case $("$QESTREL" --version) in *Release*) ;; *) echo "skipped: only for the release build" && exit 0 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "$*" && exit 1; }
METHODS_SEEDS=2 "$SOURCE_DIR/tests/methods.sh" levels > "$folder/lines" || fail "levels: $(cat "$folder/lines")"
[ "$(grep -c $'^levels\t[^\t]*\t[-0-9.e]*\t[<>=]* [-0-9.e]*\tpass$' "$folder/lines")" -ge 8 ] || fail "$(cat "$folder/lines")"
"$SOURCE_DIR/tests/methods.sh" nonsense > "$folder/lines" && fail "a method that is not there passed"
grep -q 'no method nonsense; there are: annealing branches' "$folder/lines" || fail "$(cat "$folder/lines")"
