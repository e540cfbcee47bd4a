#!/usr/bin/env bash
# What `qestrel score` and `qestrel adapt` say beside a score: words, spread, reasons, filters, warnings; and what adapting
# to other ratings changes. The world: a translation is as bad as it has words "su", which are tagged BAD.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() {
  echo "$*" >&2
  exit 1
}

words=(ka lo mi su te ro)
make() { # NAME ROWS SEED
  RANDOM=$3
  printf 'source\ttranslation\tscore\tmean\n' > "$1.tsv"
  printf 'source\ttranslation\tpost_edit\n' > "$1.edited.tsv"
  : > "tags/$1.mt"
  : > "tags/$1.tags"
  for ((i = 0; i < $2; i++)); do
    source= target= edited= tags= score=0
    for ((j = 0; j < 4 + i % 5; j++)); do
      source+="${words[RANDOM % 6]} "
      word=${words[RANDOM % 6]} tag=OK
      edited+="${word/su/ni} "
      [ "$word" != su ] || { score=$((score - 1)) && tag=BAD; }
      target+="$word " tags+="$tag "
    done
    printf '%s\t%s!\t%s\t%s\n' "${source% }" "${target% }" "$score" $((90 + 25 * score)) >> "$1.tsv"
    printf '%s\t%s!\t%s!\n' "${source% }" "${target% }" "${edited% }" >> "$1.edited.tsv"
    printf '%s !\n' "${target% }" >> "tags/$1.mt"
    printf '%sOK\n' "$tags" >> "tags/$1.tags"
  done
}
mkdir tags
make train 400 1
make dev 120 2
make own 300 3

"$QESTREL" train gold --student=aligned --embedding=8 --states=16 --comparison=16 --train=train.tsv --dev=dev.tsv \
  --gold=score --tags=tags --tag-weight=1 --rate=0.005 --epochs=12 --languages=ro-en -o model.qe 2> log ||
  fail "train: $(cat log)"
"$QESTREL" inspect model.qe > manifest
for key in calibration_error coverage worst_decile_recall word_mcc meaning threshold; do
  grep -q "\"$key\"" manifest || fail "no $key in the manifest"
done

# Words
printf 'ka lo mi\tka su  te\n' | "$QESTREL" score -m model.qe --words > out || fail "--words"
[ "$(cut -f 2 out)" = "OK BAD OK" ] || fail "tags: $(cat out)"
printf 'ka lo mi\tka su  te\n' | "$QESTREL" score -m model.qe > plain
[ "$(cut -f 1 out)" = "$(cat plain)" ] || fail "with words another score"
"$QESTREL" score -m model.qe --words -s <(cut -f 1 dev.tsv | tail -n +2) -t tags/dev.mt | cut -f 2 > found
[ "$(wc -w < found)" = "$(wc -w < tags/dev.mt)" ] || fail "not a tag for every token"
agreed=$(paste -d ' ' <(tr ' ' '\n' < found) <(tr ' ' '\n' < tags/dev.tags) | awk '$1 == $2 { n++ } END { print int(100 * n / NR) }')
[ "$agreed" -ge 95 ] || fail "tags agree in $agreed %"
for _ in {1..40}; do printf 'ka lo mi su '; done > long
printf 'ka\t%s\n' "$(cat long)" | "$QESTREL" score -m model.qe --words 2> err | cut -f 2 > found
[ "$(wc -w < found)" = 160 ] || fail "of 160 tokens $(wc -w < found) have tags"
grep -q '^1 sides longer' err || fail "a long side is counted: $(cat err)"
[ "$(tr ' ' '\n' < found | grep -c BAD)" -ge 30 ] || fail "words of a long text: $(cat found)"
status=0
"$QESTREL" train gold --train=train.tsv --dev=dev.tsv --gold=score --epochs=1 -o plain.qe 2> log || fail "$(cat log)"
"$QESTREL" score -m plain.qe --words < /dev/null > out 2> err || status=$?
[ $status = 2 ] && grep -q 'no head for words' err || fail "--words of a model without: $(cat err)"

# JSON: every line is an object that says all; spread holds what it says
printf 'ka lo\tka "su\\" \xff te\nka su\tka su\n\tka\nно по\tka\nka\n' > odd
"$QESTREL" score -m model.qe --json < odd > json 2> err && fail "a line without TAB is an error"
cat > check.py << 'PY'
import json
rows = [json.loads(line) for line in open("json", encoding="utf-8")]
assert [row["line"] for row in rows] == [1, 2, 3, 4, 5]
for row in rows:
    assert set(row) == {"line", "score", "calibrated", "spread", "words", "reasons"}, row
for row in rows[:4]:
    assert 0 <= row["calibrated"] <= 1 and row["spread"] > 0, row
    assert all(set(word) == {"word", "bad", "tag"} and 0 <= word["bad"] <= 1 for word in row["words"]), row
assert [word["word"] for word in rows[0]["words"]] == ["ka", '"su\\"', "\ufffd", "te"]
assert [row["reasons"] for row in rows] == [[], ["copied"], ["empty"], ["wrong_script"], ["malformed"]], rows
assert rows[4]["score"] is None and rows[4]["words"] is None
PY
python3 check.py || fail "$(cat json)"
[ "$(grep -c 'another script' err)" = 1 ] || fail "warned of the script: $(cat err)"
grep -q 'model.qe is for ro-en: the source of line 4' err || fail "$(cat err)"
printf 'ka\t%s\n' "$(cat long)" | "$QESTREL" score -m model.qe --json 2> err | grep -q '"reasons": \["truncated"\]' ||
  fail "a long text is flagged"
for _ in {1..20}; do printf 'мы\tka\n'; done | "$QESTREL" score -m model.qe 2> err > out
[ "$(grep -c 'another script' err)" = 1 ] || fail "warned $(grep -c 'another script' err) times"

# Filters keep pairs as they came
tail -n +2 dev.tsv | cut -f 1,2 > pairs
"$QESTREL" score -m model.qe --calibrated < pairs > scores
"$QESTREL" score -m model.qe --calibrated --threshold=0.5 < pairs > kept 2> err
paste scores pairs | awk -F '\t' '$1 >= 0.5 { print $2 "\t" $3 }' | cmp - kept || fail "--threshold"
grep -q "^$(wc -l < kept) of 120 pairs kept" err || fail "$(cat err)"
[ -s kept ] && [ "$(wc -l < kept)" -lt 120 ] || fail "the filter keeps all or nothing"
"$QESTREL" score -m model.qe --threshold=0 --json < pairs 2> err | wc -l | grep -qvx 120 || fail "--threshold with --json"

# Adapting: other ratings of the same texts, where fewer is better; what changed is held out
awk -F '\t' 'NR == 1 { print "source\ttranslation\tfaults" } NR > 1 { print $1 "\t" $2 "\t" 10 - 3 * $3 }' own.tsv > faults.tsv
"$QESTREL" adapt -m model.qe --train=faults.tsv --gold=faults --lower-is-better -o faults.qe > out 2> log ||
  fail "adapt: $(cat log)"
grep -q '^held out: [0-9]* of 300 rows' out || fail "$(cat out)"
awk '/^adapted/ { exit !($2 > 0.8 && $4 < 3) }' out || fail "$(cat out)"
"$QESTREL" verify faults.qe > /dev/null || fail "verify"
"$QESTREL" inspect faults.qe > manifest
grep -q '"adapted"' manifest || fail "the manifest does not say so"
score=$(printf 'ka lo mi te\tka lo mi te !\n' | "$QESTREL" score -m faults.qe)
awk -v x="$score" 'BEGIN { exit !(x > -14 && x < -6) }' || fail "in the unit of the ratings: $score"
"$QESTREL" adapt -m model.qe --train=own.edited.tsv -o edited.qe > out 2> log || fail "adapt to post-edits: $(cat log)"
awk '/^adapted/ { exit !($2 > 0.8) }' out || fail "$(cat out)"
head -5 own.tsv > few.tsv
if "$QESTREL" adapt -m model.qe --train=few.tsv --gold=score -o few.qe 2> log; then fail "four rows are enough"; fi
grep -q 'different sources' log || fail "$(cat log)"
if "$QESTREL" adapt -m model.qe --train=faults.tsv -o none.qe 2> log; then fail "no rating, no post-edit"; fi
grep -q 'post_edit' log || fail "$(cat log)"
[ ! -e few.qe ] && [ ! -e none.qe ] || fail "an archive after an error"

# Whatever is shipped opens.
for model in "$root"/models/*.qe; do
  "$QESTREL" verify "$model" > /dev/null || fail "$model"
done
