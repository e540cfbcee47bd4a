-- M10: a teacher's checkpoints as a route, against plain kd from the converged teacher with as many steps.
local harness = require "harness"
local qe = require "qestrel"
local SEEDS, ANCHORS, WIDE = 8, 4, 64

local TEACHER_EPOCHS = { 1, 3, 8, 20 }

-- Checkpoints of a wide teacher on its way, as scores of the training rows; the last one converged.
local function anchors(folder, seed)
  local steps, paths = {}, {}
  local gold = require "qestrel.recipes.gold"
  local evaluate = require "qestrel.evaluate"
  local data = assert(evaluate.read(folder .. "/train.tsv", nil, "score"))
  for k, epochs in ipairs(TEACHER_EPOCHS) do steps[epochs * 32] = k end
  local recipe = harness.changed(gold, { after = function(run)
    local k = steps[run.state.loop.step]
    if k and k < ANCHORS then
      run.student:prepare()
      harness.world.write_teacher(folder, "anchor" .. k, evaluate.scores(run.student, data))
    end
  end })
  local teacher = harness.train(recipe, folder, seed, { hidden = WIDE, embedding = 32, attention = WIDE, epochs = 20 })
  harness.world.write_teacher(folder, "anchor" .. ANCHORS, evaluate.scores(teacher, data))
  teacher:save(folder .. "/teacher.qe")
  for k = 1, ANCHORS do paths[k] = "anchor" .. k .. ".tsv" end
  return paths, teacher
end

local function congruence(student, teacher, folder)
  local a, b = harness.scores(student, folder), harness.scores(teacher, folder)
  -- both are on the scale of z by their own line: compare what is left after the best line
  return 1 - qe.pearson(a, b) ^ 2
end

local function reversed(list)
  local copy = {}
  for i = 1, #list do copy[i] = list[#list + 1 - i] end
  return copy
end

local function run_width(width)
  return harness.seeds(SEEDS, function(seed)
    local folder = harness.folder()
    harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.15, sharp = 0.08, waves = 3 })
    local paths, teacher = anchors(folder, seed)
    local o = { hidden = width, embedding = 8, epochs = 40 }
    local function one(recipe, teachers)
      local model = harness.train(recipe, folder, seed, o, teachers)
      return congruence(model, teacher, folder), harness.pearson(model, folder)
    end
    local result = {}
    result.kd, result.kd_pearson = one("kd", { paths[#paths] })
    result.route, result.route_pearson = one("route", paths)
    result.reversed = one("route", reversed(paths))
    return result
  end)
end

local small = run_width(4)
local mean, low = harness.difference(small.kd, small.route)
harness.check("congruence loss, share below kd", mean / harness.mean(small.kd), ">=", 0.10)
harness.check("congruence loss, kd - route, lower end", low, ">", 0)
local gain, gain_low = harness.difference(small.route_pearson, small.kd_pearson)
harness.report("Pearson, route - kd", gain)
harness.check("Pearson, route - kd, lower end", gain_low, ">", 0)
local reversed_mean = harness.difference(small.kd, small.reversed)
harness.check("reversed anchors keep of the gain", mean > 0 and reversed_mean / mean or 1, "<=", 0.5)
local large = run_width(WIDE)
local large_mean = harness.difference(large.kd, large.route)
harness.check("share below kd when as wide as the teacher", large_mean / harness.mean(large.kd), "<=",
  mean / harness.mean(small.kd))
harness.finish()
