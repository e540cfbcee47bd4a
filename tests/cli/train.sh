#!/usr/bin/env bash
# Training from the command line: twenty kills at random moments and the same model in the end; eval of the result.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > data.lua << 'END'
local qe = require "qestrel"
local generate = dofile(arg[1] .. "/examples/generate.lua")
for name, count in pairs { train = 700, dev = 100, test = 100 } do
  local rows = generate.rows(qe, count, #name)
  generate.write(name .. ".tsv", rows, { score = generate.judged(qe, rows, 0.1, #name) })
end
END
"$QESTREL" lua data.lua "$SOURCE_DIR"
command=("$QESTREL" train gold --train=train.tsv --dev=dev.tsv --seed=7 --epochs="${EPOCHS:-40}" --patience=99
  --buckets=4099 --embedding=16 --hidden=16 --attention=16)
start=$(date +%s%N)
"${command[@]}" -o whole.qe 2> log || { cat log && exit 1; }
took=$((($(date +%s%N) - start) / 1000000))
kills=0
RANDOM=11
while [ "$kills" -lt 20 ]; do
  "${command[@]}" --threads=2 --resume -o killed.qe 2>> log &
  process=$!
  pause=$((RANDOM % (took / 3 + 1) + 20))
  sleep "$(printf '%d.%03d' $((pause / 1000)) $((pause % 1000)))"
  kill -9 "$process" 2> /dev/null || true
  wait "$process" 2> /dev/null || true
  kills=$((kills + 1))
  if [ -e killed.qe ]; then # finished before it was killed: whole, and another one starts
    cmp killed.qe whole.qe
    rm killed.qe
  fi
done
"${command[@]}" --threads=2 --resume -o killed.qe 2>> log
cmp killed.qe whole.qe
[ "$(ls killed.qe* | wc -l)" = 1 ] || { ls && exit 1; }
echo "killed $kills times, $(grep -c 'resumed at step' log) resumed, the same model"
"$QESTREL" eval -m killed.qe --data=test.tsv > out
grep -q 'Pearson' out
"$QESTREL" eval -m killed.qe --data=test.tsv --json > out
grep -q '"pearson"' out
