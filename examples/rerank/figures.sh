#!/usr/bin/env bash
# What consensus, a model alone and tuned fusion pick from lists of several systems' translations, beside the random pick,
# the best single system and the oracle:
#
#   examples/rerank/figures.sh MT-LISTS MQM-LISTS
#
# Weights are tuned on one half of the lists and used on the other, both ways. In each table A is consensus and B tuned
# fusion (with the shipped model on et-en), both without guards; a second table has the model alone as B. Human scores:
# identical strings share the mean of theirs.
set -euo pipefail
mt=$1 mqm=$2
here=$(cd "$(dirname "$0")" && pwd)
qestrel=${QESTREL:-qestrel}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# rerank NAME WEIGHTS [OPTION...]: picks of all lists, by these weights
rerank() {
  local name=$1 weights=$2
  shift 2
  "$qestrel" rerank --quiet --guards none --source "$name.source" --weights "$weights" "$@" < "$name.jsonl"
}
echo '{"MBR0": 1}' > consensus.json
echo '{"QE0": 1}' > model.json

# fusion NAME METRIC [OPTION...]: weights tuned on even lists pick from odd ones, and the other way round
fusion() {
  local name=$1 metric=$2 half
  shift 2
  for half in 0 1; do
    awk -F '[:,]' -v half=$half '{ id = $2 + 0 } id % 2 == half' "$name.jsonl" > half.jsonl
    "$qestrel" tune --quiet --nbest half.jsonl --source "$name.source" --reference "$name.reference" --metric "$metric" \
      -o weights.$half.json "$@" > tuned.$half
    rerank "$name" weights.$half.json "$@" > picks.$half
  done
  paste -d '\n' picks.1 picks.0 | awk 'NR % 4 == 1 || NR % 4 == 0' # line 0 by the weights of half 1, line 1 by those of half 0
}

for pair in ro-en et-en; do
  model=() && [ -f "$here/../../models/$pair.qe" ] && model=(-m "$here/../../models/$pair.qe")
  "$qestrel" lua "$here/lists.lua" "$mt/$pair.flores-dev.tsv" "$pair" random
  rerank "$pair" consensus.json > a
  for metric in chrf bleu; do
    printf '\n== %s: A consensus, B fusion tuned for %s%s\n' "$pair" "$metric" "${model:+ (with the model)}"
    fusion "$pair" "$metric" "${model[@]}" > b
    "$qestrel" compare a b --systems "$mt/$pair.flores-dev.tsv" --metric "$metric"
    cat weights.0.json weights.1.json | tr -d '\n ' && echo
  done
  if [ ${#model[@]} -gt 0 ]; then
    printf '\n== %s: A consensus, B the model alone\n' "$pair"
    rerank "$pair" model.json "${model[@]}" > b
    "$qestrel" compare a b --systems "$mt/$pair.flores-dev.tsv" --metric chrf --metric bleu
  fi
done

printf '\n== en-de, human MQM: A consensus, B a system drawn at random\n'
"$qestrel" lua "$here/mqm.lua" "$mqm/en-de.ted2021.tsv" mqm
rerank mqm consensus.json > a
"$qestrel" compare a mqm.first --nbest mqm.jsonl --scores mqm.scores --quiet
