#!/usr/bin/env bash
# Apertium's mode with reranking, live: a known translation changes, lines and formatting stay, a sentence with millions of
# readings is no trouble, and whatever fails leaves what Apertium says by itself.
set -uo pipefail
if ! command -v apertium multitrans > /dev/null || [ ! -f /usr/share/apertium/modes/eng-spa.mode ]; then
  echo "skipped: apertium, apertium-lex-tools and apertium-eng-spa are not installed"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0
fail() { echo "$*" && failures=$((failures + 1)); }
adapter=$SOURCE_DIR/plugins/apertium/qestrel-apertium
stock() { apertium -n eng-spa; }
reranked() { apertium -n -d modes eng-spa_qe; }

"$adapter" install modes eng-spa --report "$folder/report" || fail "install: exit $?"
printf 'The old bank was near the right station.\nHello world.\n\nShe saw the [duck] & left.  Really?\n' > in
stock < in > before
reranked < in > after 2> err || fail "exit $?"
[ -s err ] && fail "says $(cat err)"
grep -q '#' before || fail "the stock translation has no failed word any more: $(cat before)"
grep -q '#' after && fail "a failed word stays: $(cat after)"
cmp -s before after && fail "nothing changed"
[ "$(wc -l < after)" = "$(wc -l < before)" ] || fail "lines: $(cat after)"
[ "$(sed -n '2,$p' after)" = "$(sed -n '2,$p' before)" ] || fail "lines with one reading changed: $(diff before after)"
[ "$(awk '/^moved/ { print $2 }' report)" = 1 ] || fail "moved: $(cat report)"
[ "$(awk '/^lists/ { print substr($3, 2) }' report)" -gt 10 ] || fail "lists: $(cat report)"

# The stock translation is the first candidate: the decoder's order is Apertium's own.
"$adapter" install same eng-spa --weights decoder
apertium -n -d same eng-spa_qe < in | cmp - before || fail "--weights decoder changes something"

# Twelve words of four readings each.
{ printf 'The ' && printf 'station %.0s' $(seq 12) && echo near. && cat in; } > big
timeout 60 apertium -n -d modes eng-spa_qe < big > out || fail "a sentence with many readings: exit $?"
[ "$(wc -l < out)" = "$(apertium -n eng-spa < big | wc -l)" ] || fail "lines: $(cat out)"
[ "$(awk '/^lists/ { print substr($3, 2) }' report)" -le 200 ] || fail "no cap: $(cat report)"

# Failures.
"$adapter" install broken eng-spa --weights "$folder/nothing.json"
apertium -n -d broken eng-spa_qe < in > out 2> err
cmp out before || fail "broken weights change the translation"
[ "$(wc -l < err)" = 1 ] && grep -q 'nothing.json' err || fail "broken weights: $(cat err)"
"$adapter" install missing xxx-yyy 2> err && fail "a pair that there is not"
grep -q 'no mode xxx-yyy' err || fail "$(cat err)"
"$adapter" install missing eng-spa --nonsense 2> /dev/null && fail "an option that there is not"
: | apertium -n -d modes eng-spa_qe > out || fail "empty input: exit $?"
exit $((failures > 0))
