#!/usr/bin/env bash
# qestrel lexicon: parallel text and tables, the same bytes for any number of threads, refusals.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() {
  echo "$*" && failures=$((failures + 1))
}
printf 'maja\nsuur maja\nväike maja\nsuur puu\n' > src
printf 'house\nbig house\nsmall house\nbig tree\n' > tgt
"$QESTREL" lexicon -s src -t tgt -o out.tsv 2> err || fail "parallel text: $(cat err)"
grep -q '^4 pairs, 4 and 4 words' err || fail "report: $(cat err)"
[ "$(head -1 out.tsv)" = $'source\ttarget\ttarget_given_source\tsource_given_target' ] || fail "header: $(head -1 out.tsv)"
best() { # SOURCE WORD: its likeliest translation
  awk -F '\t' -v word="$1" '$1 == word && $3 > p { p = $3; best = $2 } END { print best }' out.tsv
}
for pair in maja:house suur:big väike:small puu:tree; do
  [ "$(best "${pair%:*}")" = "${pair#*:}" ] || fail "$pair: $(best "${pair%:*}")"
done
{ printf 'source\ttranslation\n' && paste src tgt; } > pairs.tsv
"$QESTREL" lexicon --train=pairs.tsv --threads=3 -o again.tsv 2> /dev/null && cmp out.tsv again.tsv || fail "a table of pairs"
"$QESTREL" lexicon --train=pairs.tsv --least=0.5 -o few.tsv 2> /dev/null
[ "$(wc -l < few.tsv)" -lt "$(wc -l < out.tsv)" ] || fail "nothing is left out"
head -3 src > short
"$QESTREL" lexicon -s short -t tgt -o x.tsv 2> err
[ $? = 1 ] && grep -q 'short has 3 lines, tgt has 4' err || fail "unlike lengths: $(cat err)"
"$QESTREL" lexicon -o x.tsv 2> err
[ $? = 2 ] && grep -q 'nothing to count' err || fail "nothing given: $(cat err)"
[ ! -e x.tsv ] || fail "a file was written"
exit "$((failures > 0))"
