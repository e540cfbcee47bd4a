--- The demo's main job, run by demo.sh: distils a student from a trained teacher on generated data and prints a table.
-- A labelled set is small and noisy; many more pairs are unlabelled. The teacher is a model trained on labels of its
-- own, never the truth that the generator knows.
local qe = require "qestrel"
local train = require "qestrel.train"
local evaluate = require "qestrel.evaluate"
local here = arg[0]:match "^(.*)/" or "."
local generate = dofile(here .. "/generate.lua")
local folder = arg[1]
local threads = qe.threads()

local NOISE = 0.25 -- of a judge, about as large as the spread of the truth

local function make(name, count, seed)
  local rows = generate.rows(qe, count, seed)
  local truth = {}
  for i, row in ipairs(rows) do truth[i] = row[3] end
  generate.write(("%s/%s.tsv"):format(folder, name), rows,
    { score = generate.judged(qe, rows, NOISE, seed), truth = truth })
end

local function run(title, recipe, request)
  io.stderr:write("training: ", title, "\n")
  request.seed, request.threads, request.quiet = 1, threads, true
  request.dev = folder .. "/dev.tsv"
  request.options = request.options or {}
  request.options.gold = "score"
  local started = qe.clock()
  assert(train.run(recipe, request))
  local model = assert(qe.open(request.output))
  local data = assert(evaluate.read(folder .. "/test.tsv", nil, "truth"))
  local result = evaluate.columns(evaluate.scores(model, data), data:column "gold", true)
  return { title = title, pearson = result.pearson, seconds = qe.clock() - started, output = request.output }
end

local function bytes_of(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:seek "end"
end

make("labelled", 800, 1)
make("dev", 500, 2)
make("test", 1000, 3)
make("unlabelled", 8000, 4)
make("teacher", 8000, 5)

local small = { buckets = 8192, embedding = 32, hidden = 32, attention = 64 }
local function with(extra)
  local options = {}
  for _, source in ipairs { small, extra } do
    for name, value in pairs(source) do options[name] = value end
  end
  return options
end

local alone = run("student alone", "gold", {
  train = folder .. "/labelled.tsv", output = folder .. "/alone.qe", options = with {},
})
local teacher = run("teacher", "gold", {
  train = folder .. "/teacher.tsv", output = folder .. "/teacher.qe",
  options = { buckets = 32768, hidden = 64, attention = 128, storage = "f32" },
})
local distilled = run("student distilled", "kd", {
  train = folder .. "/labelled.tsv", output = folder .. "/distilled.qe", teachers = { folder .. "/teacher.qe" },
  options = with { augment = folder .. "/unlabelled.tsv" },
})

print()
print("Pearson correlation with the true quality of 1000 unseen pairs")
print(("%-20s %-8s %-18s %10s %9s"):format("", "Pearson", "95% interval", "bytes", "training"))
for _, row in ipairs { alone, distilled, teacher } do
  local p = row.pearson
  print(("%-20s %-8.3f %.3f to %.3f     %10d %7.1f s"):format(
    row.title, p.value, p.low, p.high, bytes_of(row.output), row.seconds))
end
