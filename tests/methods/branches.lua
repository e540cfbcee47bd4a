-- M3: heads behind a gate. First the gate alone, where each head can read the pairs of one regime only; then the head
-- that is saved, against the same student trained alone.
local harness = require "harness"
local qe = require "qestrel"
local branches = require "qestrel.branches"
local branched = require "qestrel.recipes.branches"
local SEEDS, REGIMES = 10, 3

-- Trains heads 2 .. 4 of which head k + 1 sees only pairs of regime k, the others as zeros, on gold through the gate
-- and each on its own; judged on test.
local function gate(seed)
  local folder = harness.folder()
  local sets = harness.world.make(qe, folder,
    { seed = seed, train = 1500, noise = 0.05, regions = REGIMES, test = 600 })
  local function heads_of(run, batch, list)
    local tape, params = run.tape, run.state.branches.params
    local states = branches.states(run:forward(batch), batch, run.student, true)
    local gates, heads = branches.gates(params, tape, states), {}
    for k = 1, REGIMES do
      local masked = {}
      for side, own in pairs(states) do
        local offsets, keep = own.segments:offsets(), {}
        for i, row in ipairs(batch:rows()) do
          for _ = offsets[i] + 1, offsets[i + 1] do keep[#keep + 1] = list[row][4] == k and 1 or 0 end
        end
        masked[side] = { x = own.x * tape:constant(#keep, 1, keep), segments = own.segments }
      end
      heads[k] = branches.head(params, tape, masked, k + 1, run.options, run:rng("dropout." .. k))
    end
    local chosen = gates:columns(2, REGIMES)
    local weight = chosen / chosen:sum "columns"
    local e
    for k = 1, REGIMES do
      local part = weight:columns(k, 1) * heads[k]
      e = e and e + part or part
    end
    return heads, e, weight
  end
  local kept
  local recipe = harness.changed(branched, {
    stages = function() return { { name = "gate", last = true } } end, -- the saved head is not what is looked at
    loss = function(run, batch)
      kept = run
      local target = batch:column(run.tape, "target")
      local heads, e = heads_of(run, batch, sets.train)
      local loss = e:squared_error(target):mean()
      for k = 1, REGIMES do loss = loss + heads[k]:squared_error(target):mean() * 0.3 end
      return loss
    end,
  })
  harness.train(recipe, folder, seed, { branches = REGIMES + 1, epochs = 12, dropout = 0.0 })
  -- the same forward on test, whose truth is put on the scale of the targets
  local truth = harness.world.truth(sets.train)
  local low, high = math.min(table.unpack(truth)), math.max(table.unpack(truth))
  local data = assert(require "qestrel.evaluate".read(folder .. "/test.tsv", nil, "score"))
  local right, errors, n = 0, { e = 0, mean = 0, single = 0 }, 0
  for first = 1, #sets.test, 50 do
    local rows = {}
    for row = first, first + 49 do rows[#rows + 1] = row end
    local batch <close> = qe.batch(data, rows)
    kept.tape:reset()
    local heads, e, weight = heads_of(kept, batch, sets.test)
    local w, mixed, values = weight:values(), e:values(), {}
    for k = 1, REGIMES do values[k] = heads[k]:values() end
    for i, row in ipairs(rows) do
      local best, plain, y = 1, 0, (sets.test[row][3] - low) / (high - low)
      for k = 1, REGIMES do
        if w[(i - 1) * REGIMES + k] > w[(i - 1) * REGIMES + best] then best = k end
        plain = plain + values[k][i] / REGIMES
        errors.single = errors.single + (values[k][i] - y) ^ 2 / REGIMES
      end
      right, n = right + (best == sets.test[row][4] and 1 or 0), n + 1
      errors.e, errors.mean = errors.e + (mixed[i] - y) ^ 2, errors.mean + (plain - y) ^ 2
    end
  end
  return { right = right / n, e = errors.e / n, mean = errors.mean / n, single = errors.single / n }
end

local gates = harness.seeds(3, gate)
local function of(name) return harness.mean(gates[name]) end
harness.check("gate: the head that can read the pair has the most weight", of "right", ">=", 0.8)
harness.check("gate: squared error, plain mean of the heads - gated", of "mean" - of "e", ">", 0)
harness.check("gate: squared error, mean head - plain mean", of "single" - of "mean", ">", 0)

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.25 })
  local function run(name, recipe, extra)
    result[name] = harness.pearson(harness.train(recipe, folder, seed, extra), folder)
  end
  run("alone", "gold", {})
  run("together", "branches", { kd = 5 })
  run("no gate", "branches", { kd = 5, gate = false })
  run("no ramp", "branches", { kd = 5, ramp = 0 })
  run("small alone", "gold", { attention = 4 })
  run("small together", "branches", { kd = 5, attention = 4, growth = 2 })
  return result
end)
local gain, low = harness.difference(figures.together, figures.alone)
harness.check("saved head - the same student alone", gain, ">=", 0.01)
harness.check("saved head - the same student alone, lower end", low, ">", 0)
local function over(a, b) return (harness.difference(figures[a], figures[b])) end
harness.check("with the gate - plain mean", over("together", "no gate"), ">", 0)
harness.check("with the ramp - without", over("together", "no ramp"), ">", 0)
harness.check("smallest of unequal heads - alone", over("small together", "small alone"), ">", 0)
harness.finish()
