#!/usr/bin/env bash
# The figures of examples/rerank on real lists: consensus beats the random pick, tuned fusion is never below consensus.
set -uo pipefail
case $BUILD_DIR in
*/release) ;;
*) echo "skipped: not a release build" && exit 0 ;;
esac
data=$SOURCE_DIR/../shared/data
[ -d "$data/mt-lists" ] && [ -d "$data/mqm-lists" ] || { echo "skipped: ../shared/data has no mt-lists and mqm-lists" && exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$SOURCE_DIR/examples/rerank/figures.sh" "$data/mt-lists" "$data/mqm-lists" > "$folder/out" || { cat "$folder/out" && exit 1; }
awk '
  /^== / { title = $0; fusion = /B fusion/ }
  /^  B / { b = $2; difference = $8 }
  /^  random / { random = $2 }
  /^  consensus / {
    tables++
    if ($2 <= random) { print title ": consensus " $2 ", random " random; bad = 1 }
    if (fusion && b < $2 - .05) { print title ": fusion " b ", consensus " $2; bad = 1 }
  }
  END { if (tables != 9) { print tables + 0 " tables, expected 9"; bad = 1 } exit bad }' "$folder/out" || { cat "$folder/out" && exit 1; }
