#!/usr/bin/env bash
# The whole way with a real decoder: examples/rerank/run.sh with a Marian model that is trained here. Reranked behind the
# live decoder, translations keep their order and number, leave before the decoder ends, and are not worse than its first
# choices on text that nothing was tuned on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$SOURCE_DIR/tests/plugin/venv.sh"
venv "$folder/venv" pymarian
PYMARIAN=$folder/venv/bin/pymarian "$SOURCE_DIR/examples/rerank/run.sh" "$folder/run" > "$folder/log" 2>&1 || { cat "$folder/log" && exit 1; }
cd "$folder/run"
fail() { echo "$*" && cat "$folder/log" && exit 1; }

[ "$(wc -l < picks)" = "$(wc -l < test.source)" ] || fail "$(wc -l < picks) picks for $(wc -l < test.source) lines"
# Each pick is a candidate of its own line.
awk -F ' \\|\\|\\| ' 'NR == FNR { known[$1 SUBSEP $2] = 1; next } !((FNR - 1) SUBSEP $0 in known) { print "line " FNR ": " $0; bad = 1 } END { exit bad }' \
  test.nbest picks || fail "not a candidate of its line"
moved=$(awk '/^moved/ { print $2 }' report)
[ "$moved" -gt 20 ] || fail "only $moved first choices moved"
# Never below the first choice, each metric by the weights that were tuned for it; and above it in chrF.
for metric in chrf bleu; do
  [ $metric = chrf ] && picks=picks || picks=bleu-picks
  "$QESTREL" compare first $picks --reference test.target --json --metric $metric > compared
  python3 - << 'P' || fail "not better than the first choices: $(cat compared)"
import json
[metric] = json.load(open("compared"))["metrics"]
picks = metric["outputs"][1]
print(f"{metric['metric']}: {picks['difference']:+.2f} ({picks['low']:+.2f} to {picks['high']:+.2f})")
assert picks["high"] >= 0 and (metric["metric"] != "chrf" or picks["low"] > 0), picks
P
done
"$QESTREL" compare first shipped --reference test.target --json --metric chrf > compared
python3 -c 'import json; r = json.load(open("compared"))["metrics"][0]["outputs"][1]; assert r["high"] >= 0, r' ||
  fail "shipped weights are worse than the first choices: $(cat compared)"

# A decoder that is alive: the first line is there before the last list is decoded.
head -24 test.nbest > begin
mkfifo pipe
"$QESTREL" rerank --source test.source --weights weights.json -m student.qe --quiet < pipe > live &
exec 3> pipe
cat begin >&3
for _ in $(seq 100); do [ -s live ] && break; sleep .1; done
[ "$(head -1 live)" = "$(head -1 picks)" ] || fail "nothing comes while the decoder is alive: $(cat live)"
exec 3>&-
wait
