#!/usr/bin/env bash
# Pretrained encoders on the command line: import, inspect, score, a teacher trained and resumed, refusals.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$SOURCE_DIR/tests/parity/bert" "$folder/bert"
cd "$folder"
failures=0
fail() {
  echo "$*" && failures=$((failures + 1))
}
# refuses WORDS COMMAND...: exit 1, and these words on stderr.
refuses() {
  words=$1
  shift
  "$@" > out 2> err
  [ $? = 1 ] && grep -q -- "$words" err || fail "$*: expected \"$words\": $(cat err)"
}

"$QESTREL" import bert -o encoder.qe --layers=1,2 || fail "import"
"$QESTREL" inspect encoder.qe > out
for words in '"layers": 2' '"pieces": 31' '"name": "encoder"' '"from": "bert"'; do
  grep -q "$words" out || fail "inspect does not show $words"
done
"$QESTREL" verify encoder.qe > out || fail "verify: $(cat out)"
"$QESTREL" import bert -o both.qe --form=both || fail "import of both forms, layers as usual"
"$QESTREL" inspect both.qe | tr -d ' \n' | grep -q '"alignment":\[1\]' || fail "the usual layers of two"
printf 'ka lo\tsu te\n\tsu\nlo lo lo\t\n' > pairs
"$QESTREL" score -m encoder.qe < pairs > one || fail "score"
[ "$(wc -l < one)" = 3 ] || fail "three pairs, $(wc -l < one) scores"
"$QESTREL" score -m encoder.qe --threads=2 < pairs | cmp - one || fail "two threads score otherwise"
yes 'ka lo mi' | head -40 | tr '\n' ' ' | sed 's/$/\tsu\n/' | "$QESTREL" score -m encoder.qe > out 2> err
grep -q 'were cut' err || fail "a text of 120 words: $(cat err)"

printf 'ka lo\nsu te\nlo\n' > corpus.txt
"$QESTREL" import bert -o small.qe --layers=1,2 --vocabulary-from=corpus.txt || fail "import with few pieces"
"$QESTREL" score -m small.qe < pairs | cmp - one || fail "fewer pieces score otherwise"
[ "$(wc -c < small.qe)" -lt "$(wc -c < encoder.qe)" ] || fail "fewer pieces take no less room"

"$QESTREL" import bert -o rare.qe --layers=1,2 --vocabulary-from=corpus.txt --minimum=2 --storage=int4 ||
  fail "import without rare pieces"
pieces_of() { "$QESTREL" inspect "$1" | awk '/"pieces"/ { print $2 + 0; exit }'; }
[ "$(pieces_of rare.qe)" != "$(pieces_of small.qe)" ] || fail "rare pieces were kept"
"$QESTREL" score -m rare.qe < pairs > out || fail "score with rare pieces spelled out"
[ "$(wc -l < out)" = 3 ] || fail "three pairs, $(wc -l < out) scores"
refuses 'minimum' "$QESTREL" import bert -o x.qe --vocabulary-from=corpus.txt --minimum=0

"$QESTREL" import bert -o last.qe --layers=1,2 --vocabulary-from=corpus.txt --fine=2 || fail "import with rare pieces last"
"$QESTREL" score -m last.qe < pairs | cmp - one || fail "pieces in another order score otherwise"
for fine in 1 2; do
  "$QESTREL" import bert -o "fine$fine.qe" --layers=1,2 --vocabulary-from=corpus.txt --fine="$fine" --storage=int4 ||
    fail "import in four bits, --fine=$fine"
done
inspected() { "$QESTREL" inspect "$1" > inspected; cat inspected; }
inspected fine1.qe | grep '"rare"' && fail "rare pieces though nothing asks for them"
inspected fine2.qe | grep '"rare": [1-9]' || fail "no rare pieces"
cmp fine1.qe fine2.qe && fail "rows of rare pieces are stored as the others"
"$QESTREL" verify fine2.qe || fail "verify an encoder with coarse rows"
refuses 'fine' "$QESTREL" import bert -o x.qe --vocabulary-from=corpus.txt --fine=0

refuses 'nowhere/config.json' "$QESTREL" import nowhere -o x.qe
refuses 'layers from 0 to 2' "$QESTREL" import bert -o x.qe --layers=3
sed -i 's/"intermediate_size": 12/"intermediate_size": 13/' bert/config.json
refuses 'intermediate.dense.weight' "$QESTREL" import bert -o x.qe
[ ! -e x.qe ] || fail "an archive of a refused folder"

# Pairs whose score is the share of "su" in the translation; sources of dev occur in train, and must not be trained on.
words=(ka lo mi su te ro)
make() { # COUNT SEED
  RANDOM=$2
  printf 'index\toriginal\ttranslation\tz_mean\n'
  for ((i = 0; i < $1; i++)); do
    source= target= score=0
    for ((j = 0; j < 4; j++)); do
      source+="${words[RANDOM % 6]} "
      word=${words[RANDOM % 6]}
      target+="$word "
      [ "$word" != su ] || score=$((score + 1))
    done
    printf '%d\t%s\t%s\t%s\n' "$i" "${source% }" "${target% }" "$score"
  done
}
make 240 1 > train.tsv
{ make 60 2; sed -n '2,21p' train.tsv; } > dev.tsv
common=(--encoder=encoder.qe --train=train.tsv --dev=dev.tsv --rate=0.005 --batch=8 --dropout=0 --storage=f32)
"$QESTREL" train teacher "${common[@]}" --epochs=40 -o teacher.qe 2> err || fail "teacher: $(cat err)"
grep -Eq '^2[01][0-9] of 240 rows' err || fail "sources of dev are trained on: $(head -1 err)"
pearson=$(sed -n 's/.*teacher.qe: dev Pearson //p' err)
awk -v p="$pearson" 'BEGIN { exit !(p > 0.6) }' || fail "the teacher learned nothing: $pearson"
"$QESTREL" score -m teacher.qe < pairs > /dev/null || fail "score by the teacher"
"$QESTREL" train teacher "${common[@]}" --epochs=40 -o again.qe --threads=2 2> err || fail "teacher, two threads"
cmp teacher.qe again.qe || fail "two threads train otherwise"
"$QESTREL" train teacher "${common[@]}" --epochs=40 -o killed.qe 2> /dev/null &
while kill -0 $! 2> /dev/null && [ ! -e killed.qe.checkpoint ]; do sleep 0.02; done
kill -9 $! 2> /dev/null
wait $! 2> /dev/null
[ -e killed.qe.checkpoint ] || fail "the run was over before it was killed"
"$QESTREL" train teacher "${common[@]}" --epochs=40 -o killed.qe --resume 2> err || fail "resumed: $(cat err)"
cmp teacher.qe killed.qe || fail "a killed and resumed run ends otherwise"

# Frozen: only the head learns. Folds: complementary rows, none of them of one source in both.
"$QESTREL" train teacher "${common[@]}" --frozen=99 --form=both --layers=1,2 -o frozen.qe 2> err || fail "frozen: $(cat err)"
cat > center.lua << 'END'
-- Layers stay as they were; the centres are means of their states, so that centred states have none.
local qe = require "qestrel"
local model, first = assert(qe.open "frozen.qe"), assert(qe.open "encoder.qe")
for _, name in ipairs { "embeddings.word", "layer1.query.weight", "layer2.norm.gain" } do
  local own, other = model:params():matrix(name), first:params():matrix(name)
  for i, value in ipairs(own) do assert(value == other[i], name) end
end
local size = 0
for _, value in ipairs((model:params():matrix "alignment.center")) do size = size + math.abs(value) end
assert(size > 1, size)
END
"$QESTREL" lua center.lua || fail "the frozen model"
"$QESTREL" train teacher "${common[@]}" --epochs=2 --patience=9 --route -o route.qe 2> err || fail "route: $(cat err)"
for number in 1 2; do
  "$QESTREL" score -m route.$number.qe < pairs > out.$number || fail "snapshot $number"
done
! cmp -s out.1 out.2 || fail "two snapshots score alike"
gzip -k dev.tsv
"$QESTREL" eval -m teacher.qe --data=dev.tsv > plain && "$QESTREL" eval -m teacher.qe --data=dev.tsv.gz > packed || fail "eval"
[ "$(grep -o 'Pearson.*' plain)" = "$(grep -o 'Pearson.*' packed)" ] || fail "a packed table is another"
for cache in true false; do
  "$QESTREL" train teacher "${common[@]}" --frozen=2 --cache=$cache --epochs=2 --patience=9 -o cache.qe 2> $cache.err ||
    fail "cache: $(cat $cache.err)"
  sed -n 's/.*cache.qe: dev Pearson //p' $cache.err >> cached
done
awk 'NR == 1 { a = $1 } END { exit !(NR == 2 && a - $1 < 0.02 && $1 - a < 0.02) }' cached || fail "cached states: $(cat cached)"
for fold in 1 2; do
  "$QESTREL" train teacher "${common[@]}" --epochs=1 --folds=2 --fold=$fold -o fold.qe 2> err || fail "fold: $(cat err)"
  sed -n 's/ of 240 rows.*//p' err >> counts
done
"$QESTREL" train teacher "${common[@]}" --epochs=1 -o whole.qe 2> err
[ "$(awk '{ sum += $1 } END { print sum }' counts)" = "$(sed -n 's/ of 240 rows.*//p' err)" ] || fail "folds: $(cat counts)"
# What the methods take from an encoder: scores, hidden states, transmissions, checkpoints of its way, several at once.
small=(--train=train.tsv --dev=dev.tsv --epochs=2 --buckets=257 --embedding=8 --hidden=6 --attention=8)
"$QESTREL" train kd "${small[@]}" --teacher=teacher.qe -o kd.qe 2> err || fail "kd: $(cat err)"
"$QESTREL" train states "${small[@]}" --teacher=teacher.qe --state-epochs=1 --store=states.store -o states.qe 2> err ||
  fail "states: $(cat err)"
"$QESTREL" train states "${small[@]}" --teacher=teacher.qe --state-epochs=1 --store=states.store -o stored.qe 2> err ||
  fail "stored states: $(cat err)"
cmp states.qe stored.qe || fail "stored states teach otherwise"
! cmp -s states.qe kd.qe || fail "states teach nothing"
"$QESTREL" train lipschitz "${small[@]}" --teacher=teacher.qe -o lipschitz.qe 2> err || fail "lipschitz: $(cat err)"
! cmp -s lipschitz.qe kd.qe || fail "transmissions teach nothing"
"$QESTREL" train route "${small[@]}" --teacher=route.1.qe --teacher=route.2.qe -o routed.qe 2> err || fail "route: $(cat err)"
"$QESTREL" train reinforced "${small[@]}" --teacher=teacher.qe --teacher=frozen.qe -o reinforced.qe 2> err ||
  fail "reinforced: $(cat err)"
refuses 'give --encoder' "$QESTREL" train teacher --train=train.tsv --dev=dev.tsv -o x.qe
refuses 'give --data' "$QESTREL" train teacher "${common[@]}" --labels=. -o x.qe
refuses 'none of joint' "$QESTREL" train teacher "${common[@]}" --form=other -o x.qe
exit "$((failures > 0))"
