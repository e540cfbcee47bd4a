#!/usr/bin/env bash
# The feature for cdec's External, compiled against a stand-in of cdec's headers and loaded as cdec loads it: a forest whose
# first derivation is a bad one, complete hypotheses scored with the very bits of `score`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cxx=("${CXX:-c++}" -std=c++17 -Wall -Wextra -Wpedantic -Werror -I "$SOURCE_DIR/plugins" -I "$SOURCE_DIR/tests/plugin/cdec")
"${cxx[@]}" -shared -fPIC "$SOURCE_DIR/plugins/cdec/qestrel_cdec.cc" -o "$folder/qestrel_cdec.so" "$QESTREL_PLUGIN" \
  "-Wl,-rpath,$(dirname "$QESTREL_PLUGIN")"
"${cxx[@]}" -rdynamic "$SOURCE_DIR/tests/plugin/cdec/host.cc" -o "$folder/host" -ldl
cd "$folder"
echo "model=$MODEL" > options
./host ./qestrel_cdec.so options > out
[ "$(wc -l < out)" = 4 ] || { echo "derivations: $(cat out)" && exit 1; }
[ "$(head -1 out | cut -f 2)" = "The small boat disappeared into the fog ." ] || { echo "the known order: $(cat out)" && exit 1; }
while IFS=$'\t' read -r value text; do
  score=$(printf 'Väike paat kadus udusse .\t%s\n' "$text" | "$QESTREL" score -m "$MODEL")
  [ "$score" = "$value" ] || { echo "$text: $value, score says $score" && exit 1; }
done < out
echo "modle=x" > options
if ./host ./qestrel_cdec.so options 2> err; then echo "wrong options are accepted" && exit 1; fi
grep -q 'qestrel_cdec: options:1: "modle"' err || { cat err && exit 1; }
: > options # without a model there is no score: the decoder's own features decide
./host ./qestrel_cdec.so options | grep -qv '^-1000000000' && { echo "a score without a model" && exit 1; }
exit 0
