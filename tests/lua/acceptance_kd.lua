-- Recipe kd against a scorer that is known (methods.md M1, acceptance): labels with noise as large as the signal, a
-- teacher that is the truth with a little noise, 1000 labelled and 20000 unlabelled pairs. Distilling at equal data and
-- with the unlabelled pairs must gain; dropping noisy pairs by an honest sigma must gain over keeping them, by a
-- permuted sigma it must not. Too slow for sanitized builds.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
if not qe.build():find "Release" then
  print "skipped: only for the release build"
  os.exit(true)
end
local support = require "support"
local train = require "qestrel.train"
local evaluate = require "qestrel.evaluate"
local generate = support.generate

local OPTIONS = {
  buckets = 4096, embedding = 24, hidden = 24, attention = 32, epochs = 8, patience = 4, evaluations = 1,
  storage = "f32", gold = "score",
}

local function truth_of(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[3] end
  return list
end

local function deviation(values)
  local sum, squares = 0, 0
  for _, value in ipairs(values) do sum, squares = sum + value, squares + value * value end
  return math.sqrt(squares / #values - (sum / #values) ^ 2)
end

-- Truth with noise of its own size at each row.
local function observed(truth, sizes, seed)
  local rng, list = qe.rng(seed, "teacher"), {}
  for i, value in ipairs(truth) do list[i] = value + sizes[i] * rng:normal() end
  return list
end

local function constant(value, count)
  local list = {}
  for i = 1, count do list[i] = value end
  return list
end

local function write_scores(path, scores)
  local lines = { "index\tteacher_score" }
  for i, score in ipairs(scores) do lines[i + 1] = ("%d\t%.6f"):format(i - 1, score) end
  support.write(path, table.concat(lines, "\n") .. "\n")
end

-- 30 % of the pairs have five times the noise and say so.
local function noisy_sizes(count, small, large)
  local rng, list = qe.rng(1, "which are noisy"), {}
  for i = 1, count do list[i] = rng:uniform() < 0.3 and large or small end
  return list
end

local function permuted(values)
  local copy = table.move(values, 1, #values, 1, {})
  qe.rng(2, "permutation"):shuffle(copy)
  return copy
end

local function make(folder)
  local labelled, dev = generate.rows(qe, 1000, 1), generate.rows(qe, 500, 2)
  local test, unlabelled = generate.rows(qe, 2000, 3), generate.rows(qe, 20000, 4)
  local signal = deviation(truth_of(test))
  local small, large = 0.2 * signal, 1.0 * signal
  generate.write(folder .. "/train.tsv", labelled, { score = generate.judged(qe, labelled, signal, 1) })
  generate.write(folder .. "/dev.tsv", dev, { score = truth_of(dev) })
  generate.write(folder .. "/test.tsv", test, { score = truth_of(test) })
  write_scores(folder .. "/teacher.tsv", observed(truth_of(labelled), constant(small, 1000), 5))
  local truth, sizes = truth_of(unlabelled), noisy_sizes(20000, small, large)
  generate.write(folder .. "/clean.tsv", unlabelled, { teacher_score = observed(truth, constant(small, 20000), 6) })
  local noisy = observed(truth, sizes, 6)
  generate.write(folder .. "/noisy.tsv", unlabelled, { teacher_score = noisy, sigma = sizes })
  generate.write(folder .. "/permuted.tsv", unlabelled, { teacher_score = noisy, sigma = permuted(sizes) })
end

local function pearson(folder, recipe, extra)
  local options = setmetatable(extra or {}, nil)
  for name, value in pairs(OPTIONS) do options[name] = value end
  local model = assert(train.run(recipe, {
    train = folder .. "/train.tsv", dev = folder .. "/dev.tsv", teachers = { folder .. "/teacher.tsv" },
    seed = 1, threads = qe.threads(), quiet = true, options = options,
  }))
  local data = assert(evaluate.read(folder .. "/test.tsv", nil, "score"))
  return qe.pearson(evaluate.scores(model, data), data:column "score")
end

support.test("kd gains where it should", function()
  support.with_folder(function(folder)
    make(folder)
    local gold = pearson(folder, "gold")
    local equal_data = pearson(folder, "kd")
    local clean = pearson(folder, "kd", { augment = folder .. "/clean.tsv" })
    local noisy = pearson(folder, "kd", { augment = folder .. "/noisy.tsv" })
    local filtered = pearson(folder, "kd", { augment = folder .. "/noisy.tsv", keep = 0.7 })
    local permuted_filter = pearson(folder, "kd", { augment = folder .. "/permuted.tsv", keep = 0.7 })
    print(("gold %.4f, kd %.4f, with 20k pairs %.4f; noisy %.4f, filtered %.4f, by permuted sigma %.4f"):format(
      gold, equal_data, clean, noisy, filtered, permuted_filter))
    assert(equal_data >= gold + 0.02, "kd at equal data")
    assert(clean >= gold + 0.10, "kd with unlabelled pairs")
    assert(filtered > noisy, "the noise filter")
    assert(permuted_filter < filtered, "the noise filter by permuted sigma")
  end)
end)

support.finish()
