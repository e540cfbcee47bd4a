#!/usr/bin/env bash
# The main job in one command: build, distil a student from a teacher on generated data, pack it, load it again; then
# score real sentences and rerank an n-best list with the model that is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/packages.sh
need "${build_packages[@]}"
cmake --preset release -DBUILD_TESTING=OFF -B .build/demo > /dev/null
cmake --build .build/demo -j "$(nproc)" > /dev/null
qestrel=.build/demo/qestrel
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$qestrel" lua examples/demo.lua "$folder"

printf '\nThe distilled student is one archive:\n'
"$qestrel" verify "$folder/distilled.qe" | sed "s|$folder/||; s|sha256 \(.\{12\}\).*|sha256 \1...|"

printf '\nScores from the shipped models/et-en.qe (z-score, higher is better):\n'
while IFS= read -r pair; do
  printf '%9s   %s\n' "$(printf '%s\n' "$pair" | "$qestrel" score -m models/et-en.qe)" "${pair//$'\t'/  ->  }"
done < examples/pairs.tsv

printf '\nAn n-best list as a decoder wrote it, best first:\n'
cat examples/list.nbest
printf '\nThe same list, re-sorted by predicted quality and decoder score:\n'
"$qestrel" rerank -m models/et-en.qe --source examples/list.et --weights examples/weights.json --n-best < examples/list.nbest
