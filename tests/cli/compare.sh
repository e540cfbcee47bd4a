#!/usr/bin/env bash
# compare: answers that can be worked out by hand, sheets for human judges and back, and every refusal.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() { echo "$*" && failures=$((failures + 1)); }

printf 'the cat sat\na dog ran\nbirds fly high\nno change\n' > ref
printf 'the cat sat\na dog walked\nbirds fly low\nno change\n' > a
printf 'the cat sits\na dog ran\nbirds fly high\nno change\n' > b
printf '0 ||| the cat sat ||| F= 1 ||| -1\n0 ||| the cat sits ||| F= 1 ||| -2\n1 ||| a dog walked ||| F= 1 ||| -1\n1 ||| a dog ran ||| F= 1 ||| -2\n2 ||| birds fly low ||| F= 1 ||| -1\n2 ||| birds fly high ||| F= 1 ||| -2\n3 ||| no change ||| F= 1 ||| -1\n' > nb
printf '5\n1\n2\n4\n0\n3\n7\n' > sc

# The corpus values are those of metric; the same output differs by nothing.
"$QESTREL" compare a b --reference ref --json > json || fail "references: exit $?"
for name in chrf bleu ter; do
  for output in a b; do
    expected=$("$QESTREL" metric --metric $name --reference ref < $output | cut -f 2)
    python3 -c "
import json, sys
rows = [m for m in json.load(open('json'))['metrics'] if m['metric'] == '$name'][0]['outputs']
row = [r for r in rows if r['name'] == '$output'.upper()][0]
assert abs(row['value'] - $expected) < 1e-6, row" || fail "$name of $output is not $expected"
  done
done
"$QESTREL" compare a a --reference ref --metric chrf > out || fail "the same: exit $?"
grep -qE '^  B .* \+0.0000 \(\+0.0000 to \+0.0000, p 1.000\)  0 wins, 4 ties, 0 losses$' out || fail "the same: $(cat out)"

# Scores of candidates: A = 5 2 0 7, B = 1 4 3 7, random 3 3 1.5 7, oracle 5 4 3 7, the decoder's first = A.
"$QESTREL" compare a b --nbest nb --scores sc --quiet > out || fail "scores of lists: exit $?"
grep -qE '^  A +3.5000 +-11.1 % of the gap$' out || fail "A: $(cat out)"
grep -qE '^  B +3.7500 +11.1 % of the gap +\+0.2500 \(.*\)  2 wins, 1 ties, 1 losses$' out || fail "B: $(cat out)"
grep -qE '^  first choice +3.5000 ' out || fail "first: $(cat out)"
grep -qE '^  random +3.6250 +0.0 % of the gap' out || fail "random: $(cat out)"
grep -qE '^  oracle +4.7500 +100.0 % of the gap' out || fail "oracle: $(cat out)"
grep -qE '^  consensus +[0-9.]+ ' out || fail "consensus: $(cat out)"

# Scores of lines.
printf '1\n2\n3\n4\n' > sa
printf '2\n2\n2\n5\n' > sb
"$QESTREL" compare a b --scores-a sa --scores-b sb > out || fail "scores of lines: exit $?"
grep -qE '^  B +2.7500 +\+0.2500 \(-0.[0-9]+ to \+[01].[0-9]+, p 0?1?.[0-9]+\)  2 wins, 1 ties, 1 losses$' out || fail "scores: $(cat out)"

# A table of systems; the best one is chosen by the corpus metric.
{ printf 'source\treference\tone\ttwo\n' && paste ref ref a b | sed 's/^/s\t/' | cut -f 1,3,4,5; } > systems
"$QESTREL" compare a b --systems systems --metric chrf > out || fail "systems: exit $?"
grep -qE '^  best system: two ' out || fail "best system: $(cat out)"
[ "$(awk '/^  B / { print $2 }' out)" = "$(awk '/best system/ { print $4 }' out)" ] || fail "best system: $(cat out)"
"$QESTREL" compare a b --systems systems --metric chrf --seed 0 | cmp -s - out || fail "not the same a second time"

# A sheet for judges is blind, the same for a seed, and holds the lines that differ; a filled one is counted.
"$QESTREL" compare a b --source ref --ab sheet --key key --seed 3 || fail "sheet: exit $?"
[ "$(head -1 sheet)" = "$(printf 'id\tsource\tfirst\tsecond\tchoice\tcomment')" ] || fail "header: $(head -1 sheet)"
[ "$(tail -n +2 sheet | cut -f 1 | sort | tr '\n' ' ')" = '0 1 2 ' ] || fail "lines: $(cat sheet)"
"$QESTREL" compare a b --source ref --ab again --key again.key --seed 3 && cmp -s sheet again && cmp -s key again.key || fail "sheet: not the same"
"$QESTREL" compare a b --source ref --ab one --key one.key --sample 1 && [ "$(wc -l < one)" = 2 ] || fail "--sample"
awk -F '\t' 'NR == FNR { key[$1] = $2; next } FNR > 1 { printf "%s %s\n", key[$1], $3 }' key sheet | while read -r side text; do
  file=$([ "$side" = A ] && echo a || echo b)
  grep -qxF "$text" $file || echo "wrong side: $side $text"
done > sides
[ ! -s sides ] || fail "$(cat sides)"
# B wins everywhere but in line 2, which is left open
awk -F '\t' -v OFS='\t' 'NR == FNR { key[$1] = $2; next } FNR > 1 { $5 = $1 == 2 ? "" : key[$1] == "A" ? 2 : 1 } { print }' key sheet > filled
"$QESTREL" compare --judge filled --key key > out || fail "judge: exit $?"
[ "$(cat out)" = 'B over A: 2 wins, 0 ties, 0 losses, 1 open (sign test: p 0.500)' ] || fail "judge: $(cat out)"

refused() {
  local status=$1 message=$2
  shift 2
  "$QESTREL" compare "$@" > out 2> err
  [ $? = "$status" ] || fail "$*: exit status"
  grep -qF -- "$message" err || fail "$*: $(cat err)"
}
head -3 a > three
head -6 nb > six
sed 's/cat/cow/' a > other
refused 2 'two outputs are needed' a
refused 2 'references, scores or --ab are needed' a b
refused 2 '--ab and --key go together' a b --ab x
refused 2 '--scores needs --nbest' a b --scores sc
refused 1 'a has 4 lines, three has 3' a three --reference ref
refused 1 'absent' a absent --reference ref
refused 1 'three' a b --reference three
refused 1 'is none of the candidates' other b --nbest nb --scores sc --quiet
refused 1 'six has no list for line 4' a b --nbest six --quiet --reference ref
refused 1 'expected a header' a b --systems ref
sed 's/\t2\t/\tyes\t/; s/\t1\t/\tyes\t/' filled > odd
refused 1 'choice "yes", expected 1, 2, = or nothing' --judge odd --key key
refused 2 '--judge needs --key' --judge filled
exit $((failures > 0))
