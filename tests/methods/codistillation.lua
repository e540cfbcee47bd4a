-- M8: peers on shards of the data. Churn between retrained pairs, how much of the other half's data a peer recovers,
-- staleness, and that the burn-in and the disjoint shards matter.
local harness = require "harness"
local qe = require "qestrel"
local SEEDS, EPOCHS = 10, 24
local HALF_STEPS = EPOCHS * 500 // 32

local function setup(seed)
  local folder = harness.folder()
  harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.25 })
  return folder
end

local function run(folder, seed, recipe, extra)
  local o = { epochs = EPOCHS }
  for key, value in pairs(extra or {}) do o[key] = value end
  local model = harness.train(recipe, folder, seed, o)
  local scores, truth = harness.scores(model, folder)
  return qe.pearson(scores, truth), scores
end

-- Mean absolute difference of standardised scores.
local function churn(a, b)
  local function standard(list)
    local mean, squares, copy = harness.mean(list), 0, {}
    for _, value in ipairs(list) do squares = squares + (value - mean) ^ 2 / #list end
    for i, value in ipairs(list) do copy[i] = (value - mean) / math.sqrt(squares) end
    return copy
  end
  local x, y, sum = standard(a), standard(b), 0
  for i = 1, #x do sum = sum + math.abs(x[i] - y[i]) / #x end
  return sum
end

local peers = { burn_in = HALF_STEPS // 4, refresh = 25, weight = 1 }

local function with(extra)
  local o = {}
  for _, source in ipairs { peers, extra } do
    for key, value in pairs(source) do o[key] = value end
  end
  return o
end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = setup(seed), {}
  -- two retrains of a pair, on the same shards: other seeds of everything else would deal other shards
  local one_scores, alone_one
  result.together, one_scores = run(folder, seed, "codistillation", peers)
  local two_scores = select(2, run(folder, seed + 1000, "codistillation", peers))
  result.half, alone_one = run(folder, seed, "codistillation", with { weight = 0 })
  local alone_two = select(2, run(folder, seed + 1000, "codistillation", with { weight = 0 }))
  result.churn, result.churn_alone = churn(one_scores, two_scores), churn(alone_one, alone_two)
  result.all = run(folder, seed, "gold", { epochs = EPOCHS // 2 }) -- as many steps
  -- everyone has the same half: a shard of a half, dealt before
  local rows = require "qestrel.rows"
  local deal = rows.deal
  rows.deal = function(list, parts, rng)
    local shards = deal(list, 2, rng)
    return parts == 2 and { shards[1], shards[1] } or { shards[1] }
  end
  result.same = run(folder, seed, "codistillation", peers)
  rows.deal = deal
  result.no_burn_in = run(folder, seed, "codistillation", with { burn_in = 0 })
  for _, refresh in ipairs { 1, 10, 50, 250 } do
    result["stale " .. refresh] = run(folder, seed, "codistillation", with { refresh = refresh })
  end
  return result
end)

local churn_less = 1 - harness.mean(figures.churn) / harness.mean(figures.churn_alone)
harness.check("churn, share below independent training", churn_less, ">=", 0.20)
local gain = harness.difference(figures.together, figures.half)
harness.check("Pearson, together - independent half", gain, ">=", 0)
local gap = harness.difference(figures.all, figures.half)
harness.report("Pearson, all data - half of it", gap)
local recovered = gain / gap
local recovered_same = harness.difference(figures.same, figures.half) / gap
harness.check("share of the gap to all data recovered", recovered, ">=", 0.40)
harness.check("share recovered more than by peers on the same shard", recovered - recovered_same, ">", 0.1)
for _, refresh in ipairs { 10, 50 } do
  local lost = harness.difference(figures["stale 1"], figures["stale " .. refresh])
  harness.check(("Pearson lost by copies %d steps old"):format(refresh), lost, "<=", 0.005)
end
harness.report("Pearson lost by copies 250 steps old", (harness.difference(figures["stale 1"], figures["stale 250"])))
local burn_in = harness.difference(figures.together, figures.no_burn_in)
harness.check("Pearson, with burn-in - without", burn_in, ">", 0)
harness.finish()
