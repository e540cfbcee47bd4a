#!/usr/bin/env bash
# Trains on one language pair of MLQE-PE as it is published and measures the student on test20.
#   examples/mlqe/run.sh [FOLDER] [OUT.qe] [train option ...]
# FOLDER holds the pair's files (train.*.df.short.tsv and so on). Without it the Et-En data are fetched from the
# repository of the data set, where the network allows it. With TEACHER=FILE.tsv the student is distilled (recipe kd).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
qestrel=${QESTREL:-$here/../../.build/release/qestrel}
folder=${1:-}
output=${2:-mlqe.qe}
shift $(($# < 2 ? $# : 2))

fetch() {
  local base=https://github.com/sheffieldnlp/mlqe-pe/raw/master/data/direct-assessments set
  folder=$(mktemp -d)/et-en
  mkdir "$folder"
  for set in train dev test; do
    curl -fsSL "$base/$set/et-en-$set.tar.gz" | tar -xz -C "$folder" --strip-components=1 || {
      echo "cannot fetch $base/$set/et-en-$set.tar.gz: give a folder that holds the data" >&2
      exit 1
    }
  done
  find "$folder" -mindepth 2 -type f -exec mv -n {} "$folder" \; # decoder log-probabilities come in a folder
}
[ -n "$folder" ] || fetch
if [ -n "${TEACHER:-}" ]; then
  "$qestrel" train kd --data="$folder" --teacher="$TEACHER" -o "$output" "$@"
else
  "$qestrel" train gold --data="$folder" -o "$output" "$@"
fi
"$qestrel" eval -m "$output" --data="$folder" --split=test20
