-- M12: a teacher that is wrong about one region in a known way, and quiz rows that are not.
local harness = require "harness"
local qe = require "qestrel"
local SEEDS, WIDE = 5, { hidden = 24, embedding = 24, attention = 24, epochs = 12 }
local META = { alpha = 0.9, quiz = 3, teacher_rate = 0.0005, pilot_rate = 1, batch = 64, epochs = 40 }

-- The teacher: a wide model of labels that are bent and shifted in region 1.
local function biased(pair)
  return pair[4] == 1 and 0.35 + 0.3 * pair[3] ^ 2 or pair[3]
end

-- Mean squared error of a model over region 1 of the test set. Scores are put on the scale of the truth by the line
-- through the other region.
local function bias(model, folder, list)
  local scores = harness.scores(model, folder)
  local sx, sy, sxx, sxy, n = 0, 0, 0, 0, 0
  for i, pair in ipairs(list) do
    if pair[4] ~= 1 then
      n, sx, sy = n + 1, sx + scores[i], sy + pair[3]
      sxx, sxy = sxx + scores[i] ^ 2, sxy + scores[i] * pair[3]
    end
  end
  local slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
  local shift, sum, count = (sy - slope * sx) / n, 0, 0
  for i, pair in ipairs(list) do
    if pair[4] == 1 then sum, count = sum + (shift + slope * scores[i] - pair[3]) ^ 2, count + 1 end
  end
  return sum / count
end

local function with(extra)
  local o = {}
  for _, source in ipairs { META, extra or {} } do
    for key, value in pairs(source) do o[key] = value end
  end
  return o
end

-- A quiz on the student after its step, which moves the teacher one step late: no pilot.
local function without_pilot()
  local recipe, meta = require "qestrel.recipes.metadistil", require "qestrel.meta"
  local gradient = meta.gradient
  return recipe, function()
    meta.gradient = function(run, batch, quiz, distil)
      local rate = run.options.pilot_rate
      run.options.pilot_rate = 1e-12
      local list = gradient(run, batch, quiz, distil)
      run.options.pilot_rate = rate
      for i, value in ipairs(list) do list[i] = value * rate / 1e-12 end
      return list
    end
  end, function() meta.gradient = gradient end
end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, wide, result = harness.folder(), harness.folder(), {}
  local sets = harness.world.make(qe, folder, { seed = seed, train = 1500, noise = 0.05, regions = 2 })
  local bent, list = {}, harness.world.pairs(qe, { seed = seed + 500, rows = 4000, regions = 2 })
  for i, pair in ipairs(list) do bent[i] = biased(pair) end
  harness.world.write(wide, "train", list, bent)
  os.execute(("cp '%s/dev.tsv' '%s/dev.tsv'"):format(folder, wide))
  harness.train("gold", wide, seed, WIDE, {}, folder .. "/teacher.qe")
  local function judge(name, recipe, o, quiz_seed)
    local tuned
    local watched = harness.changed(require("qestrel.recipes." .. recipe), {
      finish = function(run) tuned = run.teacher end,
    })
    local model = harness.train(watched, folder, quiz_seed or seed, o, { "teacher.qe" })
    result[name] = harness.pearson(model, folder)
    if tuned then
      tuned:prepare()
      result[name .. " bias"] = bias(tuned, folder, sets.test)
    end
  end
  result["kd bias"] = bias(assert(qe.open(folder .. "/teacher.qe")), folder, sets.test)
  judge("kd", "metadistil", with { teacher_rate = 0 })
  judge("meta", "metadistil", with())
  local _, off, on = without_pilot()
  off()
  judge("late", "metadistil", with())
  on()
  -- quiz labels of other rows
  local Run = require "qestrel.run"
  local scale = Run.scale_column
  Run.scale_column = function(run, from, to, ...)
    local low, width = scale(run, from, to, ...)
    local values, quiz = run.train:column(to), {}
    for i = META.quiz, #values, META.quiz do quiz[#quiz + 1] = values[i] end
    qe.rng(seed, "quiz"):shuffle(quiz)
    for k, value in ipairs(quiz) do values[k * META.quiz] = value end
    run.train:set_column(to, values)
    return low, width
  end
  judge("shuffled", "metadistil", with())
  Run.scale_column = scale
  return result
end)

local function mean(name) return harness.mean(figures[name]) end
local function gain(a, b) return (harness.difference(figures[a], figures[b])) end
harness.check("share of the teacher's squared error in its region removed", 1 - mean "meta bias" / mean "kd bias",
  ">=", 0.5)
harness.check("Pearson, metadistil - kd", gain("meta", "kd"), ">=", 0.03)
harness.check("Pearson, shuffled quiz labels - kd", gain("shuffled", "kd"), "<=", 0.005)
harness.check("Pearson, with a pilot - one step late", gain("meta", "late"), ">", 0)
harness.finish()
