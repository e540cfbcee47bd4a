#!/usr/bin/env bash
# rerank over every format of lists: what is guessed is stated, what comes in goes out, gzip or not, in another format or
# the same, live or from a file; then report, shadow and guards, with answers worked out by hand.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() { echo "$*" && failures=$((failures + 1)); }
same() { cmp -s "$1" "$2" || fail "$3: $(diff "$1" "$2" | head -5)"; }

printf 'see on maja\nteine rida\n' > source
echo '{"total": 1}' > total

# The same two lists in ten formats; the second candidate is the better one in the first list.
printf '0 ||| the hose ||| F0= -2 ||| -2\n0 ||| the house ||| F0= -1 ||| -1\n1 ||| second line ||| F0= -3 ||| -3\n1 ||| another line ||| F0= -4 ||| -4\n' > moses
printf '0 ||| the hose ||| WordScores= -1 -1 ||| F0= -2 ||| -2\n0 ||| the house ||| WordScores= -.5 -.5 ||| F0= -1 ||| -1\n1 ||| second line ||| WordScores= -1 -2 ||| F0= -3 ||| -3\n1 ||| another line ||| WordScores= -2 -2 ||| F0= -4 ||| -4\n' > marian
printf '0 ||| the hose ||| A=1 F0=-2 ||| -2\n0 ||| the house ||| A=1 F0=-1 ||| -1\n1 ||| second line ||| A=1 F0=-3 ||| -3\n1 ||| another line ||| A=1 F0=-4 ||| -4\n' > cdec
cp moses joshua
printf '0 ||| the hose ||| -2 ||| lm=-2 tm=1\n0 ||| the house ||| -1 ||| lm=-1 tm=1\n1 ||| second line ||| -3 ||| lm=-3 tm=1\n1 ||| another line ||| -4 ||| lm=-4 tm=1\n' > travatar
printf 'S-0\tsee on maja\nH-0\t-2\tthe hose\nP-0\t-1 -1\nH-0\t-1\tthe house\nP-0\t-.5 -.5\nS-1\tteine rida\nH-1\t-3\tsecond line\nP-1\t-1 -2\nH-1\t-4\tanother line\nP-1\t-2 -2\n' > fairseq
printf -- '-2 ||| the hose\n-1 ||| the house\n-3 ||| second line\n-4 ||| another line\n' > ct2
printf 'the hose\t-2\nthe house\t-1\nsecond line\t-3\nanother line\t-4\n' > flat
printf '{"sentence_id": 0, "translations": ["the hose", "the house"], "scores": [-2, -1], "text": "see on maja"}\n{"sentence_id": 1, "translations": ["second line", "another line"], "scores": [-3, -4], "text": "teine rida"}\n' > sockeye
printf '{"id": 0, "text": "the hose", "total": -2}\n{"id": 0, "text": "the house", "total": -1}\n{"id": 1, "text": "second line", "total": -3}\n{"id": 1, "text": "another line", "total": -4}\n' > jsonl
printf 'the house\nsecond line\n' > best

for format in moses marian cdec joshua travatar fairseq ct2 flat sockeye jsonl; do
  "$QESTREL" rerank --format "$format" --source source --weights total < $format > out 2> err || fail "$format: exit $?, $(cat err)"
  same out best "$format, 1-best"
  [ -s err ] && fail "$format: a format that was named is stated: $(cat err)"
  "$QESTREL" rerank --source source --weights total < $format > out 2> err || fail "$format guessed: exit $?, $(cat err)"
  same out best "$format, guessed"
  grep -qE '^stdin: read as (moses|marian|cdec|joshua|travatar|fairseq|ct2|flat|sockeye|jsonl)$' err || fail "$format: $(cat err)"
  gzip -c $format | "$QESTREL" rerank --source source --weights total --quiet > out || fail "$format, gzip: exit $?"
  same out best "$format, gzip"
  "$QESTREL" rerank --format $format --source source --weights decoder --n-best --quiet < $format > out || fail "$format, list: exit $?"
  same out $format "$format, written as it was read"
  # and by way of another format the pick stays the same
  "$QESTREL" rerank --format $format --source source --weights total --output-format jsonl --quiet < $format > through || fail "$format to jsonl: exit $?"
  "$QESTREL" rerank --format jsonl --weights decoder --quiet < through > out || fail "$format from jsonl: exit $?"
  same out best "$format, by way of jsonl"
done

# Lists without ids: the number per source is said, or found by dividing, or refused.
"$QESTREL" rerank --per-source 2 --weights total --quiet < ct2 > out && same out best "ct2, --per-source"
head -3 ct2 > three
"$QESTREL" rerank --source source --format ct2 < three > out 2> err && fail "three lines for two sources"
grep -q 'stdin has 3 lines, not the same number for each of the 2 of source' err || fail "$(cat err)"
"$QESTREL" rerank --format ct2 < ct2 > out 2> err && fail "no number per source"
grep -q -- '--per-source' err || fail "$(cat err)"

# Sources that the format carries reach the model; where there are none, that is said.
"$QESTREL" rerank -m "$MODEL" --quiet < fairseq > out || fail "fairseq carries sources: exit $?"
[ "$(wc -l < out)" = 2 ] || fail "fairseq: $(cat out)"
"$QESTREL" rerank -m "$MODEL" --quiet < moses > out 2> err && fail "a model without sources"
grep -q 'stdin:1: the model needs the source of list 0' err || fail "$(cat err)"

# fairseq prints ids in any order; 1-best comes in the order of ids.
{ sed -n '6,$p' fairseq && sed -n '1,5p' fairseq; } > turned
"$QESTREL" rerank --format fairseq --weights total --quiet < turned > out && same out best "fairseq out of order"

# Lists leave as soon as they are complete.
mkfifo pipe
"$QESTREL" rerank --source source --weights total --quiet < pipe > out &
exec 3> pipe
head -3 moses >&3
for _ in $(seq 100); do [ -s out ] && break; sleep .1; done
[ "$(cat out)" = "the house" ] || fail "nothing comes while the decoder is alive: $(cat out)"
tail -1 moses >&3
exec 3>&-
wait
same out best "live"

# What cannot be read is named.
printf '0 ||| a ||| F0= 1 ||| -1\nno list\n' > broken
"$QESTREL" rerank --format moses < broken > out 2> err && fail "a line that is no list"
grep -q 'stdin: line 2' err || fail "$(cat err)"

# Guards: the pick would lose a number.
printf '0 ||| it has 3 rooms ||| F0= 1 ||| -1\n0 ||| it has 4 rooms ||| F0= 2 ||| -1\n0 ||| it has 3 big rooms ||| F0= 1.5 ||| -1\n' > rooms
echo '{"F0": 1}' > f0
[ "$("$QESTREL" rerank --weights f0 --quiet < rooms)" = "it has 3 big rooms" ] || fail "a guard"
[ "$("$QESTREL" rerank --weights f0 --quiet --guards none < rooms)" = "it has 4 rooms" ] || fail "no guards"
[ "$("$QESTREL" rerank --weights f0 --quiet --guards=-number < rooms)" = "it has 4 rooms" ] || fail "all but one"

# The report.
printf 'the house\nsecond line\n' > reference
"$QESTREL" rerank --weights total --source source --quiet --reference reference --report report < moses > out || fail "report: exit $?"
grep -qE '^lists +2 \(4 hypotheses, 0 without any\)$' report || fail "lists: $(cat report)"
grep -qE '^moved +1 \(50.0 % of the first choices\)$' report || fail "moved: $(cat report)"
grep -qE '^decided by +total 1$' report || fail "decided: $(cat report)"
grep -qE '^picks +1 wins, 1 ties, 0 losses$' report || fail "wins: $(cat report)"
grep -qE '^chrf +first choices [0-9.]+, picks 100.0000, difference \+' report || fail "chrf: $(cat report)"
python3 -c 'import json; r = json.load(open("report.json")); assert r["moved"] == 1 and r["wins"] == 1 and r["decided"] == {"total": 1} and r["pick"] == 100, r' || fail "report.json"
printf '1\n5\n2\n2\n' > scores
"$QESTREL" rerank --weights total --source source --quiet --scores scores --report report < moses > out || fail "scores: exit $?"
grep -qE '^mean score +first choices 1.5000, picks 3.5000, difference \+2.0000$' report || fail "scores: $(cat report)"
"$QESTREL" rerank --weights f0 --quiet --report report < rooms > out
grep -qE '^refused by +number 1$' report || fail "refused: $(cat report)"
printf '1\n5\n2\n' > few
"$QESTREL" rerank --weights total --quiet --scores few --report report < moses > out 2> err && fail "too few scores"
grep -q 'few has 3 scores' err || fail "$(cat err)"

# Consensus of a very long list comes from a sample, and its error is told.
awk 'BEGIN { for (i = 0; i < 700; i++) printf "0 ||| word %d and %d ||| F0= 1 ||| -1\n", i, i * 7 % 701 }' > long
"$QESTREL" rerank --quiet --report report < long > out || fail "a long list: exit $?"
grep -qE '^consensus +of 1 long lists from a sample, standard error at most 0\.[0-9]*[1-9][0-9]*$' report || fail "sample: $(cat report)"

# The shadow.
"$QESTREL" rerank -m "$MODEL" --weights total --source source --quiet --shadow --log log --report report < moses > out || fail "shadow: exit $?"
printf 'the hose\nsecond line\n' | cmp -s - out || fail "a shadow changed something: $(cat out)"
python3 - << 'P' || fail "log: $(cat log)"
import json
lines = [json.loads(line) for line in open("log")]
assert [(r["id"], r["first"], r["pick"], r["place"], r["margin"]) for r in lines] == [
    ("0", "the hose", "the house", 2, 1), ("1", "second line", "second line", 1, 0)], lines
assert all(len(r["model"]) == 64 and r["weights"] == "total" for r in lines)
P
grep -q 'had this not been a shadow' report || fail "report of a shadow: $(cat report)"
"$QESTREL" rerank --weights total --source source --quiet --shadow --n-best --log log < moses > out && same out moses "shadow, list"
exit $((failures > 0))
