-- M6: how much of a teacher's hidden states is needed, when they are redundant: a wide teacher of a task of low rank.
local harness = require "harness"
local qe = require "qestrel"
local hidden = require "qestrel.hidden"
local evaluate = require "qestrel.evaluate"
local SEEDS, SHARES = 6, { 0, 0.01, 0.03, 0.1, 0.3, 1 }

local function run(folder, seed, extra)
  local o = { epochs = 6, state_epochs = 10, layers = 2 }
  for key, value in pairs(extra) do o[key] = value end
  return harness.pearson(harness.train("states", folder, seed, o, { "teacher.qe" }), folder)
end

local function name_of(share, random) return (random and "random " or "largest ") .. share end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, wide, result = harness.folder(), harness.folder(), {}
  harness.world.make(qe, folder, { seed = seed, train = 200, noise = 0.2 })
  harness.world.make(qe, wide, { seed = seed + 50, train = 6000, noise = 0.05 })
  harness.train("gold", wide, seed, { hidden = 50, embedding = 32, attention = 100 }, {}, folder .. "/teacher.qe")
  for _, share in ipairs(SHARES) do
    result[name_of(share)] = run(folder, seed, share == 0 and { state_epochs = 0, epochs = 16 } or { cells = share })
    if share > 0 and share < 1 then
      result[name_of(share, true)] = run(folder, seed, { cells = share, random = true })
    end
  end
  return result
end)

local function gain(name) return harness.mean(figures[name]) - harness.mean(figures[name_of(0)]) end
for _, share in ipairs(SHARES) do
  harness.report(("Pearson with %g of the cells"):format(share), harness.mean(figures[name_of(share)]))
end
local all = gain(name_of(1))
harness.check("gain by all states", all, ">", 0)
harness.check("share of it with a tenth of the cells", gain(name_of(0.1)) / all, ">=", 0.8)
-- random cells need more: what a third gives is less than what a sixth or less of the largest gives
harness.check("gain by .03 of the largest - by .1 at random", gain(name_of(0.03)) - gain(name_of(0.1, true)), ">", 0)
harness.check("gain by .1 of the largest - by .3 at random", gain(name_of(0.1)) - gain(name_of(0.3, true)), ">", 0)

-- The store: bytes as promised, and what it saves.
local folder = harness.folder()
harness.world.make(qe, folder, { seed = 1, train = 1000 })
local data <close> = assert(evaluate.read(folder .. "/train.tsv", nil, "score"))
local teacher = harness.train("gold", folder, 1, { hidden = 200, embedding = 100, attention = 200, epochs = 1 }, {},
  folder .. "/wide.qe")
local places, tokens = hidden.places(2), 0
for row = 1, data:rows() do
  local batch <close> = qe.batch(data, { row })
  for _, side in ipairs { "source", "target" } do tokens = tokens + batch:segments(teacher, side):offsets()[2] end
end
local whole = hidden.collect(teacher, data, nil, places, { share = 1 })
local tenth = hidden.collect(teacher, data, nil, places, { share = 0.1 })
local expected = tokens * (400 + 200) * 0.1 * 4 -- projected and GRU states, index and value
harness.check("bytes of the store over what its cells take", math.abs(hidden.size(tenth) / expected - 1), "<=", 0.05)
harness.check("store, share of all states in the same half precision with their places",
  hidden.size(tenth) / (2 * hidden.size(whole)), "<=", 0.105)

-- Epochs of stage 1 from the store, against asking the teacher at every step.
local function seconds(online)
  local states = require "qestrel.recipes.states"
  local start, finish
  local recipe = harness.changed(states, {
    stages = function(current)
      local list = states.stages(current)
      local loss = list[1].loss
      list[1].loss = function(own, batch)
        start = start or qe.clock()
        if online then own.teacher:forward(own.tape, batch, { no_gradient = true }):tap "source.states" end
        return loss(own, batch)
      end
      return { list[1] }
    end,
    setup = function(current)
      states.setup(current)
      current.teacher = assert(qe.open(folder .. "/wide.qe"))
    end,
    finish = function() finish = qe.clock() end,
  })
  harness.train(recipe, folder, 1, { state_epochs = 4, cells = 0.1, evaluations = 1 }, { "wide.qe" })
  return finish - start
end
local best = { math.huge, math.huge }
for _ = 1, 3 do best = { math.min(best[1], seconds(true)), math.min(best[2], seconds(false)) } end
harness.check("epochs from the store, times as fast as with the teacher", best[1] / best[2], ">=", 2)
harness.finish()
