--- Synthetic worlds with a known scorer (methods.md D4). A pair is a row of words on either side; every word has a
-- weight, and the truth of a pair is a smooth function of its mean weight,
--
--    truth = 1/2 + 1/2 tanh(2 (mean weight of the translation + 1/2 mean weight of the source))
--
-- which a small student can learn from enough pairs, and cannot from few or noisy ones. Knobs:
--
--    rows, seed         size, and which pairs
--    words              vocabulary of either side
--    low, high          words of a side
--    task, shared       `shared` parts of the words are common to all tasks, the rest the task's own (drift)
--    regions            the first source word tells to which of so many regions a pair belongs
--    sharp, waves       adds sharp sin(2 pi waves truth): what a small student cannot represent (a capacity gap)
--
-- @module world
local world = {}

-- Weights of the common words of a side, and of those that only a task has.
local function weights_of(qe, side, options)
  local common, own = qe.rng(1, side .. " weights"), qe.rng(options.task or 0, side .. " task weights")
  local list = { common = {}, own = {} }
  for i = 1, options.words or 120 do list.common[i], list.own[i] = common:normal(), own:normal() end
  return list
end

-- Words of a side, and their mean weight.
local function side_of(rng, weights, options, letter, first)
  local low, high = options.low or 4, options.high or 16
  local words, sum = { first }, 0
  local count, shared = low + rng:below(high - low + 1), options.shared or 1
  for _ = 1, count do
    local kind = (shared == 1 or rng:uniform() < shared) and "common" or "own"
    local word = rng:below(#weights[kind]) + 1
    sum = sum + weights[kind][word] / count
    words[#words + 1] = letter .. (kind == "own" and "own" .. options.task .. "x" or "") .. word
  end
  return table.concat(words, " "), sum
end

--- Pairs of a world: { { source, translation, truth, region }, ... }.
function world.pairs(qe, options)
  local rng, list = qe.rng(options.seed, "world"), {}
  local source_weights, target_weights = weights_of(qe, "source", options), weights_of(qe, "target", options)
  for i = 1, options.rows do
    local region = options.regions and rng:below(options.regions) + 1
    local source, s = side_of(rng, source_weights, options, "s", region and "region" .. region)
    local target, t = side_of(rng, target_weights, options, "t")
    local truth = 1 - 1 / (math.exp(4 * (t + 0.5 * s)) + 1)
    if options.sharp then truth = truth + options.sharp * math.sin(2 * math.pi * (options.waves or 4) * truth) end
    list[i] = { source, target, truth, region }
  end
  return list
end

--- The truth of all pairs.
function world.truth(list)
  local values = {}
  for i, pair in ipairs(list) do values[i] = pair[3] end
  return values
end

--- Values with normal noise; `sd` is a number, or gives it for a row.
function world.noisy(qe, values, sd, seed)
  local rng, list = qe.rng(seed, "noise"), {}
  for i, value in ipairs(values) do
    list[i] = value + (type(sd) == "function" and sd(i) or sd) * rng:normal()
  end
  return list
end

--- Writes a set FOLDER/NAME.tsv with human scores.
function world.write(folder, name, list, scores)
  local file <close> = assert(io.open(("%s/%s.tsv"):format(folder, name), "wb"))
  file:write "index\tsource\ttranslation\tscore\n"
  for i, pair in ipairs(list) do file:write(("%d\t%s\t%s\t%.6f\n"):format(i - 1, pair[1], pair[2], scores[i])) end
end

--- Writes a teacher's scores by index, FOLDER/NAME.tsv, with sigma where it is given.
function world.write_teacher(folder, name, scores, sigma)
  local file <close> = assert(io.open(("%s/%s.tsv"):format(folder, name), "wb"))
  file:write("index\tteacher_score", sigma and "\tsigma" or "", "\n")
  for i, score in ipairs(scores) do
    file:write(("%d\t%.6f"):format(i - 1, score), sigma and ("\t%.6f"):format(sigma[i]) or "", "\n")
  end
end

--- A whole world in a folder: train with noisy human scores, dev and test with the truth.
-- @param options as above; train, dev, test (rows), noise
-- @return the pairs of train, dev and test
function world.make(qe, folder, options)
  local sets, sizes = {}, { train = options.train or 1000, dev = options.dev or 300, test = options.test or 1000 }
  for offset, set in ipairs { "train", "dev", "test" } do
    local own = setmetatable({ rows = sizes[set], seed = 10 * options.seed + offset }, { __index = options })
    local list = world.pairs(qe, own)
    local truth = world.truth(list)
    local noise = set == "train" and options.noise or 0
    world.write(folder, set, list, world.noisy(qe, truth, noise, options.seed))
    sets[set] = list
  end
  return sets
end

return world
