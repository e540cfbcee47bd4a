-- M5: three teachers that each know one region (which the source shows), and one that knows nothing.
local harness = require "harness"
local qe = require "qestrel"
local reinforced = require "qestrel.recipes.reinforced"
local policy = require "qestrel.policy"
local SEEDS, TEACHERS = 5, 4

local function teachers_of(folder, seed, list)
  local paths, truth = {}, harness.world.truth(list)
  for k = 1, TEACHERS do
    local told = harness.world.noisy(qe, truth, function(i) return list[i][4] == k and 0.1 or 1.0 end, 100 * seed + k)
    harness.world.write_teacher(folder, "teacher" .. k, told)
    paths[k] = "teacher" .. k .. ".tsv"
  end
  return paths
end

local OPTIONS = { alpha = 0.8, warm_up = 60, epochs = 30, policy_rate = 0.5, same_unit = true }

-- Trains; tells how often the right teacher was the one most likely used, and how often the bad one was used.
local function choose(folder, seed, paths, sets)
  local right, bad, seen, o = 0, 0, 0, {}
  for key, value in pairs(OPTIONS) do o[key] = value end
  local recipe = harness.changed(reinforced, { after = function(run, batch, rate)
    if run:epoch() > 20 then
      for i, row in ipairs(batch:rows()) do
        local best, most = 0, -1
        for k, own in ipairs(run.state.policies) do
          local p = policy.probability(own, run.drawn[i][k].state)
          if p > most then best, most = k, p end
          if k == TEACHERS then bad = bad + (run.drawn[i][k].yes and 1 or 0) end
        end
        right, seen = right + (best == sets.train[row][4] and 1 or 0), seen + 1
      end
    end
    return reinforced.after(run, batch, rate)
  end })
  local model = harness.train(recipe, folder, seed, o, paths)
  return harness.pearson(model, folder), right / seen, bad / seen
end

-- Fixed weights of the teachers, from a grid: the first three alike, w of the last.
local function fixed(folder, seed, sets)
  local best, truth = -1, harness.world.truth(sets.train)
  for w = 0, 2 do
    local told, sum = {}, 3 + w / 2
    for i = 1, #truth do told[i] = 0 end
    for k = 1, TEACHERS do
      local own = harness.world.noisy(qe, truth, function(i) return sets.train[i][4] == k and 0.1 or 1.0 end,
        100 * seed + k)
      for i, value in ipairs(own) do told[i] = told[i] + value * (k == TEACHERS and w / 2 or 1) / sum end
    end
    harness.world.write_teacher(folder, "fixed", told)
    for alpha = 0, 1, 0.5 do
      local model = harness.train("kd", folder, seed, { alpha = alpha, epochs = 30 }, { "fixed.tsv" })
      best = math.max(best, harness.pearson(model, folder))
    end
  end
  return best
end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  local sets = harness.world.make(qe, folder, { seed = seed, train = 1500, noise = 0.25, regions = 3 })
  local paths = teachers_of(folder, seed, sets.train)
  result.chosen, result.right, result.bad = choose(folder, seed, paths, sets)
  result.fixed = fixed(folder, seed, sets)
  local rewards, rng, kept = policy.rewards, qe.rng(seed, "rewards"), {}
  policy.rewards = function(...) -- those of other batches
    kept[#kept + 1] = rewards(...)
    local list = table.move(kept[rng:below(#kept) + 1], 1, #kept[#kept], 1, {})
    for i = 1, #kept[#kept] do list[i] = list[i] or list[1] end
    rng:shuffle(list)
    return list
  end
  result.shuffled, result.shuffled_right = choose(folder, seed, paths, sets)
  policy.rewards = rewards
  return result
end)

local function mean(name) return harness.mean(figures[name]) end
harness.check("the right teacher is the likeliest", mean "right", ">=", 0.8)
harness.check("the bad teacher is used", mean "bad", "<=", 0.15)
harness.check("Pearson over the best fixed weights", mean "chosen" - mean "fixed", ">=", 0.02)
harness.check("by permuted rewards the right one is the likeliest", mean "shuffled_right", "<=", 0.5)
harness.check("Pearson over permuted rewards", mean "chosen" - mean "shuffled", ">", 0)
harness.finish()
