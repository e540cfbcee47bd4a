#!/usr/bin/env bash
# The command line as users call it: what is printed, where, and with which exit status.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0

# expect STATUS STDOUT STDERR-PART COMMAND...: stdin is the file `in`.
expect() {
  local status=$1 output=$2 message=$3
  shift 3
  "$@" < in > out 2> err
  local found=$?
  if [ "$found" != "$status" ]; then echo "$*: exit $found, expected $status; $(head -3 err)" && failures=$((failures + 1)); fi
  if [ "$output" != '*' ] && [ "$(cat out && printf .)" != "$output${output:+$'\n'}." ]; then
    echo "$*: printed $(head -5 out | cat -A), expected $output" && failures=$((failures + 1))
  fi
  if [ "$message" = '' ] && [ "$status" = 0 ] && [ -s err ]; then
    echo "$*: says $(head -3 err)" && failures=$((failures + 1))
  elif [ "$message" != '' ] && ! grep -qF -- "$message" err; then
    echo "$*: message lacks \"$message\": $(head -3 err)" && failures=$((failures + 1))
  fi
}

# ---- program
: > in
expect 0 '*' '' "$QESTREL" --version
grep -qE '^qestrel [0-9]+\.[0-9]+\.[0-9]+ \(' out || { echo "--version: $(cat out)" && failures=$((failures + 1)); }
for command in '' train score rerank tune metric compare eval pack unpack inspect verify; do
  expect 0 '*' '' "$QESTREL" $command --help
  grep -q Usage out || { echo "$command --help: $(cat out)" && failures=$((failures + 1)); }
done
expect 2 '' 'nonsense' "$QESTREL" nonsense
expect 2 '' '' "$QESTREL" score

# ---- score
printf 'Tere!\tHello!\nKass magab.\tThe cat sleeps.\n' > in
expect 0 '*' '' "$QESTREL" score -m "$MODEL"
[ "$(grep -cE '^-?[0-9]+\.[0-9]{6}$' out)" = 2 ] || { echo "score: $(cat out)" && failures=$((failures + 1)); }
scores=$(cat out)
first=$(head -1 out)
printf 'Tere!\r\nKass magab.\n' > src
printf 'Hello!\nThe cat sleeps.' > tgt
expect 0 "$scores" '' "$QESTREL" score -m "$MODEL" -s src -t tgt
expect 0 "$scores" '' "$QESTREL" score --model="$MODEL" --source=src --target=tgt --threads=2
expect 0 "$scores" '' env LC_ALL=de_DE.UTF-8 "$QESTREL" score -m "$MODEL" -s src -t tgt
printf 'one line\n' > short
expect 2 '' 'src has 2 lines, short has 1' "$QESTREL" score -m "$MODEL" -s src -t short
expect 2 '' '-s and -t' "$QESTREL" score -m "$MODEL" -s src
printf 'Tere!\tHello!\nno tab\n\na\tb\tc\nTere!\tHello!' > in
expect 1 "$first"$'\nnan\nnan\nnan\n'"$first" 'stdin:4: 2 TABs' "$QESTREL" score -m "$MODEL"
: > in
expect 0 '' '' "$QESTREL" score -m "$MODEL"
printf '\t\n\xff\xfe\t\xc3\n' > in
expect 0 '*' '' "$QESTREL" score -m "$MODEL"
[ "$(wc -l < out)" = 2 ] || { echo "empty and malformed: $(cat out)" && failures=$((failures + 1)); }
printf 'Tere!\tHello!\n' > in
expect 0 '*' '' "$QESTREL" score -m "$MODEL" --calibrated
awk '!($1 > 0 && $1 < 1) { exit 1 }' out || { echo "--calibrated: $(cat out)" && failures=$((failures + 1)); }
expect 0 '*' '' "$QESTREL" score -m "$MODEL" --json
grep -q "^{\"score\": $first, \"calibrated\": 0\.[0-9]*, .*}$" out || { echo "--json: $(cat out)" && failures=$((failures + 1)); }
printf -- '-0.5 -0.5\n' > logprobs
expect 0 '*' '' "$QESTREL" score -m "$MODEL" --logprobs logprobs
[ "$(cat out)" != "$first" ] || { echo "log-probabilities change nothing" && failures=$((failures + 1)); }
expect 0 '*' '' "$QESTREL" import "$SOURCE_DIR/tests/parity/bert" -o encoder.qe --layers=1
expect 2 '' 'no decoder inputs' "$QESTREL" score -m encoder.qe --logprobs logprobs
expect 0 '*' '' "$QESTREL" unpack encoder.qe encoder
expect 0 '*' '' "$QESTREL" pack encoder -o packed-encoder.qe
cmp encoder.qe packed-encoder.qe || failures=$((failures + 1))
expect 1 '' 'nothing.qe' "$QESTREL" score -m nothing.qe
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "sõna "; print "\tword" }' > in
expect 0 '*' 'cut' "$QESTREL" score -m "$MODEL"
"$QESTREL" score -m "$MODEL" -s src -t tgt > /dev/full 2> err && { echo "a full disk is not noticed" && failures=$((failures + 1)); }
[ -s err ] || { echo "a full disk has no message" && failures=$((failures + 1)); }

# ---- rerank
printf 'Väike paat kadus udusse.\nTeine lause.\nKolmas lause.\n' > source
printf '0 ||| b ||| F0= -2 ||| -2\n0 ||| a ||| F0= -1 ||| -1\n2 ||| c ||| F0= -3 ||| -3\n' > in
echo '{"total": 1}' > total
by_total="$QESTREL rerank --quiet --source source --weights total"
expect 0 $'a\n\nc' '' $by_total
expect 0 $'0 ||| a ||| F0= -1 ||| -1\n0 ||| b ||| F0= -2 ||| -2\n2 ||| c ||| F0= -3 ||| -3' '' $by_total --n-best
expect 0 $'b\n\nc' 'read as marian' "$QESTREL" rerank --source source --weights decoder
expect 0 "$(cat in)" '' "$QESTREL" rerank --source source --weights decoder --n-best --quiet
expect 2 '' 'no sums' "$QESTREL" rerank --source source --weights decoder --n-best --retotal
expect 0 $'b\n\nc' 'shipped default-decoder;' "$QESTREL" rerank --source source
expect 0 $'b\n\nc' 'shipped default-consensus-model;' "$QESTREL" rerank --source source -m "$MODEL"
expect 0 $'b\n\nc' '' "$QESTREL" rerank --source source --quiet
echo '{"F0": -1}' > weights
expect 0 $'b\n\nc' 'read as marian' "$QESTREL" rerank --source source --weights weights
expect 0 $'0 ||| b ||| F0= -2 ||| 2\n0 ||| a ||| F0= -1 ||| 1\n2 ||| c ||| F0= -3 ||| 3' '' \
  "$QESTREL" rerank --quiet --source source --weights weights --n-best --retotal
expect 1 '*' '2 lists for 3 lines' $by_total --source-by order
expect 1 '*' 'beyond' "$QESTREL" rerank --source short
expect 0 '*' '' "$QESTREL" rerank -m "$MODEL" --source source --weights total --n-best --quiet
[ "$(grep -cE '^[02] \|\|\| [abc] \|\|\| F0= -[123] QE0= -?[0-9.]+ \|\|\| -[123]$' out)" = 3 ] || { echo "QE0: $(cat out)" && failures=$((failures + 1)); }
expect 0 '*' '' "$QESTREL" rerank -m "$MODEL" --source source --n-best --n-best-feature Kestrel --quiet
grep -q 'Kestrel= ' out || { echo "--n-best-feature: $(cat out)" && failures=$((failures + 1)); }
echo '{"Missing": 1}' > weights
expect 1 '*' 'Missing' "$QESTREL" rerank --source source --weights weights
expect 1 '*' 'copies' "$QESTREL" rerank --source source --guards copies
printf '0 ||| a ||| F0= -1 ||| -1\n1 ||| b ||| F0= -1 ||| -1\n0 ||| c ||| F0= -1 ||| -1\n' > in
expect 1 '*' 'stdin:3: id 0 comes a second time' "$QESTREL" rerank --source source
expect 0 $'a\nb\nc' '' "$QESTREL" rerank --quiet
printf '0 ||| same ||| F0= -1 ||| -1\n0 ||| tie ||| F0= -1 ||| -1\n' > in
expect 0 $'same\n\n' '' $by_total
printf 'x ||| a ||| F0= -1 ||| -1\n' > in
expect 1 '*' 'stdin:1: id "x"' "$QESTREL" rerank --source source
expect 1 '*' 'needs the source' "$QESTREL" rerank -m "$MODEL"
: > in
expect 0 $'\n\n' '' "$QESTREL" rerank --source source

expect 0 '*' '' "$QESTREL" train annealing --help
grep -q -- '--tau-max=7' out && ! grep -q -- '--augment=' out || { echo "train annealing --help: $(cat out)" && failures=$((failures + 1)); }
expect 2 '' 'no recipe nothing; shipped are gold' "$QESTREL" train nothing --help

# ---- archives
expect 0 '*' '' "$QESTREL" verify "$MODEL"
expect 0 '*' '' "$QESTREL" inspect "$MODEL"
grep -q '"architecture"' out || { echo "inspect: $(head -3 out)" && failures=$((failures + 1)); }
expect 0 '' '' "$QESTREL" unpack "$MODEL" unpacked
expect 1 '' 'unpacked' "$QESTREL" unpack "$MODEL" unpacked
expect 0 '' '' "$QESTREL" pack unpacked -o packed.qe
cmp -s packed.qe "$MODEL" || { echo "pack after unpack gives other bytes" && failures=$((failures + 1)); }
echo '{"F0": 1, "LM": [2, 3]}' > weights
expect 0 '' '' "$QESTREL" pack unpacked --weights weights -o weighted.qe
expect 0 '' '' "$QESTREL" pack weighted.qe --weights weights -o twice.qe
cmp -s weighted.qe twice.qe || { echo "pack of an archive with the same weights gives other bytes" && failures=$((failures + 1)); }
"$QESTREL" inspect weighted.qe | tr -d ' \n' | grep -q '"weights":{"F0":1.0,"LM":\[2.0,3.0\]}' || { echo "no weights inside" && failures=$((failures + 1)); }
printf '0 ||| b ||| F0= 1 LM= 0 0 ||| -2\n0 ||| a ||| F0= 2 LM= 0 0 ||| -1\n' > in
expect 0 $'a' 'read as marian' "$QESTREL" rerank -m weighted.qe --source short
grep -q shipped err && { echo "the model's weights were not used" && failures=$((failures + 1)); }
echo '{"F0": "x"}' > weights
expect 1 '' 'weights: F0' "$QESTREL" pack unpacked --weights weights -o refused.qe
[ ! -e refused.qe ] && [ ! -e weighted.qe.packing ] || { echo "pack left a file" && failures=$((failures + 1)); }
printf 'x' >> packed.qe
expect 1 '' 'packed.qe' "$QESTREL" verify packed.qe
expect 1 '' 'packed.qe' "$QESTREL" score -m packed.qe
rm unpacked/weights.bin
expect 1 '' 'weights.bin' "$QESTREL" pack unpacked -o again.qe
[ ! -e again.qe ] || { echo "a failed pack left a file" && failures=$((failures + 1)); }
tar -tf "$MODEL" > out 2> err || { echo "tar does not read the archive" && failures=$((failures + 1)); }
[ "$(head -2 out | tr '\n' ' ')" = "FORMAT manifest.json " ] || { echo "members: $(cat out)" && failures=$((failures + 1)); }

# ---- train
expect 1 '' 'no training data' "$QESTREL" train gold -o x.qe
expect 1 '' 'no recipe' "$QESTREL" train nothing -o x.qe --train=a --dev=b
expect 2 '' '--epochs=3' "$QESTREL" train gold -o x.qe --epochs 3
expect 1 '' 'colour' "$QESTREL" train gold -o x.qe --train=a --dev=b --colour=red
expect 1 '' 'a: ' "$QESTREL" train gold -o x.qe --train=a --dev=b

[ "$failures" = 0 ] || { echo "$failures failures" && exit 1; }
echo "the command line keeps its contract"
