--- What the acceptance of methods shares: small students on worlds with a known truth, figures over seeds with paired
-- bootstrap intervals, and one line per check. A check that fails is told with its figure; the exit status says so.
-- @module harness
local root = os.getenv "SOURCE_DIR" or "."
package.path = ("%s/tests/worlds/?.lua;%s/tests/methods/?.lua;"):format(root, root) .. package.path
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local train = require "qestrel.train"

local harness = { world = require "world" }

local failures, method = 0, arg and arg[0]:match "([^/]+)%.lua$" or "?"

--- Options of all students here: enough for the worlds, and frozen.
harness.options = {
  buckets = 1024, embedding = 16, hidden = 12, attention = 16, epochs = 10, patience = 99, evaluations = 1,
  dropout = 0.1, rate = 0.003, storage = "f32", gold = "score",
}

--- Prints a check. `relation` is ">=", "<=" or ">" .
function harness.check(what, figure, relation, threshold)
  local passes = relation == ">=" and figure >= threshold or relation == "<=" and figure <= threshold
    or relation == ">" and figure > threshold
  if not passes then failures = failures + 1 end
  print(("%s\t%s\t%.4g\t%s %.4g\t%s"):format(method, what, figure, relation, threshold, passes and "pass" or "FAIL"))
  io.stdout:flush()
end

--- A figure that is told and not judged.
function harness.report(what, figure, unit)
  print(("%s\t%s\t%.4g %s\t\t"):format(method, what, figure, unit or ""))
  io.stdout:flush()
end

--- Ends the file.
function harness.finish() os.exit(failures == 0, true) end

local folders = {}

--- A fresh folder, gone at the end.
function harness.folder()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir '" .. folder .. "'"))
  folders[#folders + 1] = setmetatable({}, { __gc = function() os.execute("rm -rf '" .. folder .. "'") end })
  return folder
end

--- Trains on a folder's world. `extra` are options; `teachers` file names in the folder, or paths.
function harness.train(recipe, folder, seed, extra, teachers, output)
  local options, paths = {}, {}
  for _, source in ipairs { harness.options, extra or {} } do
    for name, value in pairs(source) do options[name] = value end
  end
  for i, name in ipairs(teachers or {}) do paths[i] = name:find "/" and name or folder .. "/" .. name end
  return assert(train.run(recipe, {
    train = folder .. "/train.tsv", dev = folder .. "/dev.tsv", teachers = paths, seed = seed, quiet = true,
    options = options, output = output,
  }))
end

--- Scores of a set, raw 0..1 before the line to z, and its truth.
function harness.scores(model, folder, set)
  local data <close> = assert(evaluate.read(("%s/%s.tsv"):format(folder, set or "test"), nil, "score"))
  return evaluate.scores(model, data), data:column "score"
end

--- Pearson with the truth on test.
function harness.pearson(model, folder, set) return qe.pearson(harness.scores(model, folder, set)) end

--- Mean of a list.
function harness.mean(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list
end

--- Mean of the differences of two lists, paired by place, with the ends of its 95 % bootstrap interval.
function harness.difference(a, b)
  local rng, means, list = qe.rng(1, "bootstrap"), {}, {}
  for i = 1, #a do list[i] = a[i] - b[i] end
  for draw = 1, 4000 do
    local sum = 0
    for _ = 1, #list do sum = sum + list[rng:below(#list) + 1] end
    means[draw] = sum / #list
  end
  table.sort(means)
  return harness.mean(list), means[100], means[3901]
end

--- Calls `body` with every seed; collects what it returns, by name: { name = { value of seed 1, ... }, ... }.
-- METHODS_SEEDS=N in the environment takes other seeds, N of them from 101 on, for trying things out: the worlds and
-- options here were chosen on those, and the final seeds were run once.
function harness.seeds(count, body)
  local all, trial = {}, tonumber(os.getenv "METHODS_SEEDS")
  for seed = 1, trial or count do
    for name, value in pairs(body(trial and 100 + seed or seed)) do
      all[name] = all[name] or {}
      all[name][seed] = value
    end
  end
  return all
end

--- A recipe with some parts replaced.
function harness.changed(recipe, with)
  local copy = {}
  for _, source in ipairs { recipe, with } do
    for key, value in pairs(source) do copy[key] = value end
  end
  return copy
end

return harness
