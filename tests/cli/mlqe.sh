#!/usr/bin/env bash
# Trains on MLQE-PE as published, with few epochs, where the data are; the plain forward against the tape on its
# development rows is part of what training measures (dev Pearson is computed from archived scores).
set -euo pipefail
data=$SOURCE_DIR/../shared/data
if [ ! -d "$data/mlqe-pe/et-en" ]; then
  echo "skipped: MLQE-PE is not in $data" && exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
small=(--epochs=1 --evaluations=1 --embedding=16 --hidden=16 --attention=32 --buckets=8192)
TEACHER=$data/et-en-xlmr-teacher/train.tsv "$SOURCE_DIR/examples/mlqe/run.sh" "$data/mlqe-pe/et-en" \
  "$folder/kd.qe" "${small[@]}" > "$folder/out" 2> "$folder/err" || { cat "$folder/err" && exit 1; }
grep -q '^4 rows without a target' "$folder/err"
grep -qE '^model +0\.[1-9]' "$folder/out" || { cat "$folder/out" && exit 1; }
"$QESTREL" train gold --data="$data/mlqe-pe/et-en" --decoder=true -o "$folder/decoder.qe" "${small[@]}" 2> "$folder/err" ||
  { cat "$folder/err" && exit 1; }
cut -f2,3 "$data/mlqe-pe/et-en/dev.eten.df.short.tsv" | tail -n +2 > "$folder/pairs"
"$QESTREL" score -m "$folder/decoder.qe" --logprobs "$data/mlqe-pe/et-en/word_probas.dev.eten" \
  --logprob-tokens "$data/mlqe-pe/et-en/mt.dev.eten" < "$folder/pairs" > "$folder/scores"
[ "$(grep -cE '^-?[0-9]+\.[0-9]{6}$' "$folder/scores")" = 1000 ]
"$QESTREL" score -m "$folder/decoder.qe" < "$folder/pairs" | cmp -s - "$folder/scores" &&
  { echo "log-probabilities change nothing" && exit 1; }
for pair in "$data"/mlqe-pe/*/; do
  "$QESTREL" eval -m "$folder/kd.qe" --data="$pair" --split=dev --json > "$folder/out"
  grep -q '"rows": *1000' "$folder/out"
done
for list in marian.plain marian.wordscores marian.ensemble; do
  "$QESTREL" rerank -m "$MODEL" --source "$data/nbest/toy.de" --n-best --quiet < "$data/nbest/$list.nbest" > "$folder/list"
  [ "$(wc -l < "$folder/list")" = "$(wc -l < "$data/nbest/$list.nbest")" ]
  sed 's/ QE0= [^ ]*//' "$folder/list" | sort | cmp - <(sort "$data/nbest/$list.nbest")
done
# Log-probabilities are read as datasets read them: too many lines are told after the scores, a wrong number by its line.
printf 'a b\tc d\n' > "$folder/one"
printf -- '-0.5 0.1 -1e-3\n-0.5\n' > "$folder/logprobs"
status=0
"$QESTREL" score -m "$folder/decoder.qe" --logprobs "$folder/logprobs" < "$folder/one" > "$folder/scores" \
  2> "$folder/err" || status=$?
[ "$status" = 1 ] && [ "$(wc -l < "$folder/scores")" = 1 ]
grep -q 'has 2 lines, but there were 1 pair' "$folder/err"
printf -- '-0.5 -inf\n' > "$folder/logprobs"
status=0
"$QESTREL" score -m "$folder/decoder.qe" --logprobs "$folder/logprobs" < "$folder/one" 2> "$folder/err" || status=$?
[ "$status" = 1 ]
grep -q 'logprobs:1: "-inf", expected a finite number' "$folder/err"
echo "trained on MLQE-PE, scored with log-probabilities, read all pairs, reranked real lists"
