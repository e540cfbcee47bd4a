-- M2: logits that grow, against kd of the same logits and fine-tuning, with as many epochs, for students of several
-- widths and a target with fast changes that the narrow ones cannot represent.
local harness = require "harness"
local qe = require "qestrel"
local SEEDS, WIDTHS = 10, { 4, 8, 16, 64 }

local function run(folder, seed, width, extra)
  local o = { bins = 21, hidden = width, embedding = width < 16 and 8 or 16, epochs = 14, fine_epochs = 4, tau_max = 7,
              fine_rate = 0.001 }
  for key, value in pairs(extra) do o[key] = value end
  local model = harness.train("annealing", folder, seed, o, { "teacher.tsv" })
  local scores, truth = harness.scores(model, folder)
  return qe.pearson(scores, truth), 1 - qe.pearson(scores, truth) ^ 2
end

local gains = {}
for _, width in ipairs(WIDTHS) do
  local figures = harness.seeds(SEEDS, function(seed)
    local folder, result = harness.folder(), {}
    local sets = harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.15, sharp = 0.15, waves = 4 })
    harness.world.write_teacher(folder, "teacher", harness.world.truth(sets.train))
    result.annealed, result.annealed_error = run(folder, seed, width, {})
    result.plain, result.plain_error = run(folder, seed, width, { tau_max = 1 })
    result.fixed = run(folder, seed, width, { phi = 0.5 })
    return result
  end)
  local gain, low = harness.difference(figures.annealed, figures.plain)
  gains[width] = gain
  harness.report(("width %d: Pearson, annealing - kd"):format(width), gain)
  if width <= 8 then
    harness.check(("width %d: Pearson, annealing - kd, lower end"):format(width), low, ">", 0)
    local error_less = harness.difference(figures.plain_error, figures.annealed_error)
    harness.check(("width %d: error left, kd - annealing"):format(width), error_less, ">", 0)
  end
  local apart = 0
  for i, value in ipairs(figures.fixed) do apart = math.max(apart, math.abs(value - figures.annealed[i])) end
  harness.check(("width %d: a fixed Phi is something else"):format(width), apart, ">", 0)
end
harness.check("gain at width 4 more than at width 64", gains[4] - gains[64], ">", 0)
harness.finish()
