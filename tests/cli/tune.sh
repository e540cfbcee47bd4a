#!/usr/bin/env bash
# From lists and references to weights, and from weights to better translations: tune, rerank --weights and metric on
# lists that are made here, where one feature tells how many words are wrong and another is noise.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() { echo "$*" && failures=$((failures + 1)); }

# A generator of its own, so that every awk makes the same lists.
make_lists() {
  awk -v seed="$1" -v ids=200 '
    function draw() { seed = (seed * 16807) % 2147483647; return seed / 2147483647 }
    function word() { return words[1 + int(draw() * count)] }
    BEGIN {
      count = split("small old red house cat dog river bank green runs sleeps near under over quick stone", words, " ")
      for (id = 0; id < ids; id++) {
        n = 5 + int(draw() * 6)
        line = ""
        for (i = 1; i <= n; i++) { reference[i] = word(); line = line (i > 1 ? " " : "") reference[i] }
        print line > "ref"
        print "source " id > "src"
        for (j = 1; j <= 5; j++) {
          text = ""
          wrong = 0
          for (i = 1; i <= n; i++) {
            bad = draw() < .15 * (j % 3)
            wrong += bad
            text = text (i > 1 ? " " : "") (bad ? "wrong" : reference[i])
          }
          printf "%d ||| %s ||| F0= %.4f Good= %.4f Noise= %.4f ||| %.4f\n", id, text, -j, draw() - wrong, draw(), -j > "nb"
          print -wrong > "sc"
        }
      }
    }'
}

metric() { "$QESTREL" metric --metric "$1" --reference ref < "$2" | cut -f 2; }
better() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

make_lists 42
awk -F ' \\|\\|\\| ' '!seen[$1]++ { print $2 }' nb > first
for name in chrf bleu ter; do
  "$QESTREL" tune --nbest nb --source src --reference ref --metric $name -o w.json --moses w.moses > report ||
    fail "tune $name: exit $?"
  "$QESTREL" rerank --source src --weights w.json < nb > json.out
  "$QESTREL" rerank --source src --weights w.moses < nb > moses.out
  cmp json.out moses.out || fail "$name: the two files of weights pick differently"
  before=$(metric $name first) after=$(metric $name json.out)
  [ $name = ter ] && { x=$before before=$after after=$x; }
  better "$after" "$before" || fail "$name: $before before, $after after"
  printed=$(awk '/^these weights/ { print $3 }' report)
  [ "$printed" = "$(printf %.4f "$(metric $name json.out)")" ] || fail "$name: the report says $printed"
  grep -q Good w.json || fail "$name: $(cat w.json)"
done
"$QESTREL" tune --nbest nb --scores sc -o scores.json > report || fail "tune --scores: exit $?"
grep -q '"Good"' scores.json || fail "--scores: $(cat scores.json)"
cat > judge << 'J'
awk -F '\t' 'NF == 3 { n = split($2, words, " "); bad = 0; for (i = 1; i <= n; i++) bad += words[i] == "wrong"; print -bad }'
J
"$QESTREL" tune --nbest nb --source src --reference ref --scores 'cmd:bash judge' -o command.json > report || fail "tune --scores cmd: exit $?"
cmp scores.json command.json || fail "a command that gives the same scores gives other weights"
"$QESTREL" tune --nbest nb --source src --scores cmd:false -o command.json > report 2> err && fail "a command that fails"
grep -q 'cmd:false' err || fail "$(cat err)"
"$QESTREL" tune --nbest nb --scores sc --features Noise -o noise.json > report || fail "tune --features: exit $?"
[ "$(tr -d ' \n' < noise.json)" = '{}' ] || fail "noise got a weight: $(cat noise.json)"
grep -q "decoder's order stays" report || fail "$(cat report)"
"$QESTREL" rerank --source src --weights noise.json < nb | cmp - first || fail "no weights: not the decoder's order"
cp w.json again.json
"$QESTREL" tune --nbest nb --source src --reference ref --metric ter -o again.json > again || fail "again: exit $?"
cmp w.json again.json || fail "not the same weights a second time"

# lists without totals have no margin: reranking reaches what tuning promises
awk 'BEGIN {
  for (id = 0; id < 40; id++) {
    first = id % 2 == 0
    print id " ||| " (first ? "the cat is here" : "red dog") " ||| A= 0" > "margin"
    print id " ||| " (first ? "red dog" : "the cat is here") " ||| A= " (first ? 1 : 3) > "margin"
    print "the cat is here" > "here"
  }
}'
"$QESTREL" tune --nbest margin --reference here --best -o margin.json > report || fail "no totals: exit $?"
"$QESTREL" rerank --weights margin.json < margin > picks || fail "no totals: rerank"
promised=$(awk '/^these weights/ { print $3 }' report)
reached=$("$QESTREL" metric --metric chrf --reference here < picks | awk '{ printf "%.4f", $2 }')
[ "$promised" = "$reached" ] || fail "no totals: $promised promised, $reached reached"

# refused, with nothing written
refused() {
  local status=$1 message=$2
  shift 2
  rm -f no.json
  "$QESTREL" tune -o no.json "$@" > /dev/null 2> err
  [ $? = "$status" ] || fail "$*: exit status"
  grep -qF -- "$message" err || fail "$*: $(cat err)"
  [ ! -e no.json ] || fail "$*: wrote weights"
}
head -3 ref > three
head -7 sc > seven
(cat sc && echo 1) > more
echo x > word
: > empty
refused 2 'either --reference or --scores' --nbest nb
refused 2 'either --reference or --scores' --nbest nb --scores sc --reference ref
refused 1 'id 3 is beyond three, which has 3 lines' --nbest nb --reference three
refused 1 'ref has 200 lines, three has 3' --nbest nb --reference ref --reference three
refused 1 'fewer than the lists have lines' --nbest nb --scores seven
refused 1 'more has 1001 scores, the lists have 1000 lines' --nbest nb --scores more
refused 1 'word:1: "x", expected a finite number' --nbest nb --scores word
refused 1 'empty: no lists' --nbest empty --reference ref
refused 1 'not every line has a feature None' --nbest nb --reference ref --features None
refused 1 'absent' --nbest absent --reference ref
refused 2 "'--metric' must be one of" --nbest nb --reference ref --metric bleurt

# metric: a text against itself, counts, sentences
printf '%s\n' "$("$QESTREL" metric --reference ref < ref)" > out
printf 'chrf\t100.000000\nbleu\t100.000000\nter\t0.000000\n' | cmp - out || fail "against itself: $(cat out)"
[ "$("$QESTREL" metric --sentence --metric chrf --metric chrf++ --reference ref < first | awk -F '\t' 'NF == 2' | wc -l)" = 200 ] ||
  fail "--sentence"
"$QESTREL" metric --reference three < ref 2> err && fail "counts that differ"
grep -q 'stdin has 200 lines, three has 3' err || fail "$(cat err)"
"$QESTREL" metric --metric nonsense --reference ref < ref 2> err && fail "a metric that does not exist"
grep -q chrf err || fail "$(cat err)"

# equal to sacreBLEU where it is installed
if python3 -c 'import sacrebleu' 2> /dev/null; then
  "$QESTREL" metric --reference ref --metric bleu --metric chrf --metric ter < first | cut -f 2 > ours
  python3 -m sacrebleu ref -i first -m bleu chrf ter -b -w 6 2> /dev/null | tr -d '[], "' | grep . > theirs
  paste ours theirs | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 2e-6) exit 1 }' || fail "sacreBLEU: $(paste ours theirs)"
else
  echo "sacreBLEU is not installed: the comparison with it is skipped"
fi
exit $((failures > 0))
