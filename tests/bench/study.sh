#!/usr/bin/env bash
# Gold against plain distillation on Et-En, eight paired seeds, n-gram and word embeddings: test20 Pearson of every run,
# their means, and the paired difference with its 95 % interval. Resumable: finished runs are kept in FOLDER.
#   tests/bench/study.sh DATA FOLDER     DATA holds mlqe-pe/et-en and et-en-xlmr-teacher
set -euo pipefail
data=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
cd "$(dirname "$0")/../.."
one() {
  local recipe=$1 vocabulary=$2 seed=$3 name=$4/$1.$2.$3
  local teacher=()
  [ -e "$name.json" ] && return
  [ "$recipe" = kd ] && teacher=("--teacher=$5/et-en-xlmr-teacher/train.tsv")
  .build/release/qestrel train "$recipe" --data="$5/mlqe-pe/et-en" "${teacher[@]}" -o "$name.qe" --seed="$seed" \
    --vocabulary="$vocabulary" 2> "$name.log"
  .build/release/qestrel eval -m "$name.qe" --data="$5/mlqe-pe/et-en" --json > "$name.part"
  mv "$name.part" "$name.json"
}
export -f one
for vocabulary in ngrams words; do
  for seed in 1 2 3 4 5 6 7 8; do
    printf '%s\n' "gold $vocabulary $seed" "kd $vocabulary $seed"
  done
done | xargs -P "$(nproc)" -L 1 bash -c 'one "$3" "$4" "$5" "$1" "$2"' study "$folder" "$data"
.build/release/qestrel lua tests/bench/study.lua "$folder"
