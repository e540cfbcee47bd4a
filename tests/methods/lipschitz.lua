-- M11: layers that pass on as much as the teacher's, on a smooth scorer with noisy labels: how far from the teacher's
-- values, how sensitive the student is, and what perturbed inputs cost it.
local harness = require "harness"
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local transmission = require "qestrel.transmission"
local SEEDS = 5
local OPTIONS = { epochs = 12, embedding = 16, hidden = 12 }
local TERM = { weight = 0.05, late_weight = 0.05 }

local function with(extra)
  local o = {}
  for _, source in ipairs { OPTIONS, extra } do
    for key, value in pairs(source) do o[key] = value end
  end
  return o
end

-- Mean distance of log sigma to the teacher's.
local function apart(model, teacher, data)
  local own, there, sum, count = transmission.measure(model, data), transmission.measure(teacher, data), 0, 0
  for k in ipairs(transmission.places) do
    for i, value in ipairs(own[k]) do sum, count = sum + math.abs(value - there[k][i]), count + 1 end
  end
  return sum / count
end

-- ||d score|| / ||d embedding|| of every pair of a set: the norm of the gradient of the score by the embeddings.
local function sensitivity(model, data)
  local list, tape <close> = {}, qe.tape(nil, 1)
  for row = 1, data:rows() do
    local batch <close> = qe.batch(data, { row })
    tape:reset()
    local pass = model:forward(tape, batch, { no_gradient = true })
    local function given(side)
      local x = pass:tap(side .. ".embedding")
      return tape:variable(x:rows(), x:cols(), x:values())
    end
    local source, target = given "source", given "target"
    model:forward(tape, batch, { source_embedding = source, target_embedding = target }):tap("score"):backward()
    local sum = 0
    for _, x in ipairs { source, target } do
      for _, g in ipairs(x:gradient() or {}) do sum = sum + g * g end
    end
    list[row] = math.sqrt(sum)
    model:params():zero_gradient()
  end
  return list
end

-- The test set with a word in ten lost, and with letters mistyped.
local function perturb(folder, list, seed)
  local rng, dropped, typed = qe.rng(seed, "perturb"), {}, {}
  local function change(text, how)
    local words = {}
    for word in text:gmatch "%S+" do
      if how == "typo" and rng:uniform() < 0.1 then word = word .. "x" end
      if how == "typo" or rng:uniform() >= 0.1 then words[#words + 1] = word end
    end
    return table.concat(words, " ")
  end
  for i, pair in ipairs(list) do
    dropped[i] = { change(pair[1], "drop"), change(pair[2], "drop") }
    typed[i] = { change(pair[1], "typo"), change(pair[2], "typo") }
  end
  harness.world.write(folder, "dropped", dropped, harness.world.truth(list))
  harness.world.write(folder, "typed", typed, harness.world.truth(list))
end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  local sets = harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.3, test = 500 })
  perturb(folder, sets.test, seed)
  -- a teacher that has seen much more, with less noise
  local wide = harness.folder()
  harness.world.make(qe, wide, { seed = seed + 50, train = 6000, noise = 0.05 })
  local teacher = harness.train("gold", wide, seed, { hidden = 32, embedding = 24, attention = 32 }, {},
    folder .. "/teacher.qe")
  local data <close> = assert(evaluate.read(folder .. "/test.tsv", nil, "score"))
  local told = sensitivity(teacher, data)
  local function judge(name, model)
    local clean = harness.pearson(model, folder)
    result[name] = clean
    result[name .. " lost"] = clean - (harness.pearson(model, folder, "dropped")
      + harness.pearson(model, folder, "typed")) / 2
    result[name .. " apart"] = apart(model, teacher, data)
    result[name .. " rank"] = qe.spearman(sensitivity(model, data), told)
  end
  local mix = { alpha = 0.5 }
  judge("kd", harness.train("kd", folder, seed, with(mix), { "teacher.qe" }))
  local term = with(mix)
  term.weight, term.late_weight = TERM.weight, TERM.late_weight
  judge("own", harness.train("lipschitz", folder, seed, term, { "teacher.qe" }))
  local measure = transmission.measure
  transmission.measure = function(...)
    local columns = measure(...)
    for _, column in ipairs(columns) do qe.rng(seed, "permuted"):shuffle(column) end
    return columns
  end
  local permuted = harness.train("lipschitz", folder, seed, term, { "teacher.qe" })
  transmission.measure = measure
  judge("permuted", permuted)
  term.generic = true
  judge("generic", harness.train("lipschitz", folder, seed, term, { "teacher.qe" }))
  return result
end)

local function mean(name) return harness.mean(figures[name]) end
harness.check("|log sigma - teacher's|, kd over lipschitz", mean "kd apart" / mean "own apart", ">=", 5)
harness.check("rank correlation of sensitivities, lipschitz - kd", mean "own rank" - mean "kd rank", ">=", 0.1)
harness.check("share of the loss by perturbed inputs saved", 1 - mean "own lost" / mean "kd lost", ">=", 0.20)
harness.check("clean Pearson, lipschitz - kd", mean "own" - mean "kd", ">=", -0.005)
harness.check("rank correlation, lipschitz - permuted", mean "own rank" - mean "permuted rank", ">", 0)
harness.report("rank correlation, lipschitz - generic penalty", mean "own rank" - mean "generic rank")
harness.report("loss by perturbed inputs: kd", mean "kd lost")
harness.report("loss by perturbed inputs: lipschitz", mean "own lost")
harness.report("loss by perturbed inputs: permuted", mean "permuted lost")
harness.report("loss by perturbed inputs: generic penalty", mean "generic lost")
harness.finish()
