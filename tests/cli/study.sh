#!/usr/bin/env bash
# qestrel study: a queue that is killed and goes on, the same results however many processes work, tables and figures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() { echo "$*" && exit 1; }
# The small study of the examples, made smaller still.
study=$folder/study.lua
cat > "$study" << L
local small = dofile "$SOURCE_DIR/examples/study/small.lua"
small.options.epochs, small.options.evaluations = 2, 1
small.teachers[1].options.epochs, small.teachers[1].anchors, small.teachers[1].folds = 3, { 1, 2 }, 2
small.methods[3].options = function(set) return { tau_max = #set.name - 5, fine_epochs = 1 } end
small.data[1].dev = "./" .. small.data[1].dev
small.methods[4].options = { epochs = 3 }
small.methods[5].options = { state_epochs = 1 }
return small
L
"$QESTREL" lua "$SOURCE_DIR/examples/study/generate.lua" .

"$QESTREL" study "$study" whole --data=. --seeds=1 --jobs=2 > table 2> log
[ "$(wc -l < whole/results.jsonl)" = 6 ] || fail "not a teacher and five runs: $(cat whole/results.jsonl)"
grep -qE '^\| states \| 1 \| -?0\.' table || fail "no row in the table: $(cat table)"
grep -qE 'made-up.route.1  [1-5] of 5 runs, [0-9]+:[0-9]{2}:[0-9]{2} left' log || fail "no progress: $(cat log)"
for figure in learning differences; do
  grep -q '</svg>' "whole/$figure.svg" || fail "no figure $figure"
done

# Killed while it runs, and a line of the store cut off.
"$QESTREL" study "$study" cut --data=. --seeds=1 --jobs=1 > /dev/null 2> log &
pid=$!
for _ in $(seq 600); do grep -q 'made-up.kd' cut/results.jsonl 2> /dev/null && break; sleep .05; done
pkill -KILL -P $pid || true
kill -KILL $pid 2> /dev/null || true
wait $pid 2> /dev/null || true
sleep .2
pkill -KILL -f "study $study cut" || true
printf '{"key": "made-up.rou' >> cut/results.jsonl && echo >> cut/results.jsonl
"$QESTREL" study "$study" cut --data=. --seeds=1 --jobs=2 > again 2> log
scores() { (cd "$1/scores" && sha256sum made-up.*) }
[ "$(scores cut)" = "$(scores whole)" ] || fail "other scores after a kill: $(scores cut) $(scores whole)"

# A second look runs nothing; more seeds run the new ones alone.
"$QESTREL" study "$study" whole --data=. --seeds=1 > second 2> log
cmp table second || fail "another table"
[ ! -s log ] || fail "something ran: $(cat log)"
"$QESTREL" study "$study" whole --data=. --seeds=1 --report | cmp - table || fail "--report says something else"

# Tasks one after another: what is kept of them, as a table and a figure.
cat > stream.lua << 'L'
local function stream(replay)
  return function(_, placed) return { tasks = placed "next", replay = replay, taught = false } end
end
return {
  options = { buckets = 256, embedding = 8, hidden = 8, attention = 8, epochs = 2, evaluations = 1, storage = "f32" },
  data = { { name = "first", train = "train.tsv", dev = "dev.tsv", test = "test.tsv" } },
  methods = { { name = "some kept", recipe = "lifelong", options = stream(0.5) },
              { name = "none kept", recipe = "lifelong", options = stream(0.0) } },
  figures = { { name = "retention", kind = "retention", methods = { "some kept", "none kept" } } },
}
L
mkdir next && cp train.tsv dev.tsv next
"$QESTREL" study stream.lua stream --data=. --jobs=2 > table 2> log
grep -qE '^\| none kept \| 1 \| -?0\.[0-9]{4} \| 0\.0000 \| 0\.[0-9]{4} \| -?0\.[0-9]{4} \|$' table || fail "no row of tasks: $(cat table)"
grep -q 'some kept' stream/retention.svg || fail "no figure of retention"

# A teacher that is a function of the rows.
cat > function.lua << 'L'
return {
  options = { buckets = 256, embedding = 8, hidden = 8, attention = 8, epochs = 1, storage = "f32" },
  data = { { name = "made-up", train = "train.tsv", dev = "dev.tsv", test = "test.tsv" } },
  teachers = { { name = "lengths", scores = function(rows, set, placed)
    assert(set.name == "made-up" and placed "train.tsv" == "./train.tsv" and rows:column "gold")
    local scores = {}
    for row = 1, rows:rows() do scores[row] = #rows:pair(row) end
    return scores
  end } },
  methods = { { name = "kd", recipe = "kd", teachers = { "lengths" } } },
}
L
"$QESTREL" study function.lua function --data=. > table 2> log || fail "a teacher that is a function: $(cat log)"
LC_ALL=C awk -F'\t' 'FNR == NR { bytes[FNR] = length($2); next } FNR > 1 && $2 != bytes[FNR] { exit 1 }' \
  train.tsv function/teachers/made-up.lengths.tsv || fail "not what the function gave"

# The definitions of the examples can be read.
echo 'for _, path in ipairs(arg) do assert(require "qestrel.study".load(path)) end' > load.lua
"$QESTREL" lua load.lua "$SOURCE_DIR"/examples/study/{mlqe,cost,students,lifelong,encoder,base}.lua || fail "a definition cannot be read"

# What is wrong is told.
printf 'return { data = { { name = "x", train = "train.tsv", dev = "dev.tsv", test = "test.tsv" } }, methods = { { name = "a", recipe = "kd", teachers = { "none" } } } }' > wrong.lua
"$QESTREL" study wrong.lua wrong --data=. > /dev/null 2> log && fail "a study without its teacher passed"
grep -q 'method a: no teacher none for x' log || fail "the teacher is not named: $(cat log)"
[ "$(grep -c ' of 1 runs, ' log)" = 1 ] || fail "not one line of progress: $(cat log)"
printf 'return { data = {}, methods = {} }' > empty.lua
"$QESTREL" study empty.lua wrong 2> log && fail "an empty study passed"
grep -q 'empty.lua: a study needs data' log || fail "$(cat log)"
