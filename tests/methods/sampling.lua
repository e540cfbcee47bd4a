-- M7: the sampled gradient against the exact one early and late, what the loss layer costs, and whether students come
-- out the same: 10,000 bins, of which all pairs of a step share those drawn, and lists of 256 candidates.
local harness = require "harness"
local qe = require "qestrel"
local SEEDS, CLASSES, WIDTH, K, SHARED = 10, 10000, 100, 100, 1600

-- ---- gradient with respect to the hidden state ----

-- A spiky teacher over classes in random places, and a student between flat and near it.
local function problem(rng, late)
  local told, said = {}, {}
  for j = 1, CLASSES do told[j], said[j] = 0.3 * rng:normal(), 0.3 * rng:normal() end
  for spike = 1, 20 do
    local j = rng:below(CLASSES) + 1
    told[j] = told[j] + 9 - 0.2 * spike
    if late then said[j] = told[j] - 1 + 0.5 * rng:normal() end
  end
  return told, said
end

local function softmax(list)
  local most, sum, p = math.max(table.unpack(list, 1, 100)), 0, {}
  for _, value in ipairs(list) do most = math.max(most, value) end
  for j, value in ipairs(list) do
    p[j] = math.exp(value - most)
    sum = sum + p[j]
  end
  for j = 1, #p do p[j] = p[j] / sum end
  return p
end

-- Cosine of two gradients sum_j (q_j - p_j) w_j; `w` is CLASSES x WIDTH.
local function cosine(exact, sampled)
  local dot, a, b = 0, 0, 0
  for i = 1, WIDTH do
    dot, a, b = dot + exact[i] * sampled[i], a + exact[i] ^ 2, b + sampled[i] ^ 2
  end
  return dot / math.sqrt(a * b)
end

local function mean_cosine(kind, late)
  local rng, sum, ROUNDS = qe.rng(7, "gradient"), 0, 40
  local w = {}
  for j = 1, CLASSES * WIDTH do w[j] = rng:normal() end
  for _ = 1, ROUNDS do
    local told, said = problem(rng, late)
    local p, q, order, exact, sampled = softmax(told), softmax(said), {}, {}, {}
    for j = 1, CLASSES do order[j] = j end
    table.sort(order, function(a, b) return told[a] > told[b] end)
    local tape <close> = qe.tape()
    local masses = kind ~= "uniform" and qe.proposal_masses(tape:constant(1, CLASSES, p),
      kind == "dynamic" and tape:constant(1, CLASSES, q) or nil) or nil
    local ranks, log_q = qe.proposal(CLASSES, masses, kind == "dynamic" and 0.2 or kind == "half" and 0.5 or 0.001)
      :draw(rng, K)
    local sums = { 0, 0 }
    for i = 1, K do
      local j = order[ranks[i]]
      sums[1], sums[2] = sums[1] + p[j] / math.exp(log_q[i]), sums[2] + q[j] / math.exp(log_q[i])
    end
    for d = 1, WIDTH do exact[d], sampled[d] = 0, 0 end
    for j = 1, CLASSES do
      for d = 1, WIDTH do exact[d] = exact[d] + (q[j] - p[j]) * w[(j - 1) * WIDTH + d] end
    end
    for i = 1, K do
      local j = order[ranks[i]]
      local g = (q[j] / sums[2] - p[j] / sums[1]) / math.exp(log_q[i])
      for d = 1, WIDTH do sampled[d] = sampled[d] + g * w[(j - 1) * WIDTH + d] end
    end
    sum = sum + cosine(exact, sampled) / ROUNDS
  end
  return sum
end

for _, late in ipairs { false, true } do
  local phase = late and "late" or "early"
  local dynamic, best = mean_cosine("dynamic", late), -1
  harness.report(phase .. ": cosine to the exact gradient, dynamic", dynamic)
  for _, kind in ipairs { "uniform", "teacher", "half" } do
    local value = mean_cosine(kind, late)
    harness.report(("%s: the same, %s"):format(phase, kind), value)
    best = math.max(best, value)
  end
  harness.check(phase .. ": dynamic - best static proposal", dynamic - best, ">=", 0)
end

-- ---- cost ----

-- Forward, backward and update of a head and its loss, N pairs at a time, with `samples` of the classes, or all for 0.
local function seconds_per_example(samples, classes)
  local rng, params, N = qe.rng(1, "cost"), qe.params(), 32
  params:add("weight", classes, WIDTH, true)
  params:add("bias", classes, 1, true)
  params:normal("weight", 0.1, rng)
  local optimiser, tape <close> = qe.optimiser(params, { rule = "adam" }), qe.tape()
  for _, name in ipairs(samples > 0 and params:names() or {}) do assert(optimiser:catch_up(name, 100)) end
  local hidden, values, every, best = {}, {}, {}, math.huge
  for i = 1, N * WIDTH do hidden[i] = rng:normal() end
  for i = 1, N do values[i] = rng:uniform() end
  for i = 1, classes do every[i] = (i - 0.5) / classes end
  local proposal = qe.proposal(classes, nil, 0.2)

  local function step()
    tape:reset()
    local h, w, b = tape:variable(N, WIDTH, hidden), params:tensor(tape, "weight"), params:tensor(tape, "bias")
    local centres, correction = every, nil
    if samples > 0 then
      local bins, log_q = proposal:draw_bins(rng, values, samples)
      centres, correction, w, b = {}, tape:constant(1, samples, log_q), w:gather(bins), b:gather(bins)
      for i, bin in ipairs(bins) do centres[i] = every[bin] end
    end
    local ones = tape:constant(N, 1):affine(1, 1)
    local told = (ones:matmul(tape:constant(1, #centres, centres)) - tape:constant(N, 1, values)):square() * -200
    local z = h:matmul(w, "nt") + b:transposed()
    if correction then told, z = told - correction, z - correction end
    told:kl(z):mean():backward()
    assert(optimiser:step(0.001))
  end

  for _ = 1, 5 do
    local steps, start = samples > 0 and 60 or 6, qe.clock()
    for _ = 1, steps do step() end
    best = math.min(best, (qe.clock() - start) / steps / N)
  end
  return best
end

local whole, hundred = seconds_per_example(0, CLASSES), seconds_per_example(K, CLASSES)
harness.report("loss layer, 10,000 classes", 1e6 * whole, "us per example")
harness.report("loss layer, 100 of 10,000 classes", 1e6 * hundred, "us per example")
harness.check("loss layer, 100 of 10,000 classes, times as cheap", whole / hundred, ">=", 20)
harness.check("100 of 10,000 over 100 of 1,000", hundred / seconds_per_example(K, 1000), "<=", 2)
local many = seconds_per_example(10 * K, CLASSES)
harness.check("1,000 of 10,000 over 100 of 10,000", many / hundred, "<=", 12)
local shared = seconds_per_example(SHARED, CLASSES)
harness.report("loss layer, " .. SHARED .. " of 10,000 classes, times as cheap", whole / shared)

-- ---- quality: as many classes are drawn for a step of 16 pairs as 100 for each ----

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  local sets = harness.world.make(qe, folder, { seed = seed, train = 1000, noise = 0.1, test = 500, dev = 100 })
  harness.world.write_teacher(folder, "teacher", harness.world.truth(sets.train))
  local function run(name, extra)
    local o = { bins = CLASSES, epochs = 20, spread = 0.05, batch = 16, samples = SHARED }
    for key, value in pairs(extra) do o[key] = value end
    result[name] = harness.pearson(harness.train("sampling", folder, seed, o, { "teacher.tsv" }), folder)
  end
  run("whole", { samples = 0 })
  run("drawn", {})
  run("lazy", { catch_up = 1.0 })
  run("fewer", { samples = SHARED // 4 })
  run("teacher", { proposal = "teacher", uniform = 0.0 })
  return result
end)
local lost = harness.difference(figures.whole, figures.drawn)
harness.check("Pearson lost by drawing " .. SHARED .. " of 10,000 bins for a step of 16 pairs", lost, "<=", 0.005)
harness.report("the same, of " .. SHARED // 4 .. " bins", (harness.difference(figures.whole, figures.fewer)))
harness.report("the same, of rows that do not catch up", (harness.difference(figures.whole, figures.lazy)))
local over = harness.difference(figures.drawn, figures.teacher)
harness.check("Pearson, dynamic - proposal by the teacher alone", over, ">", 0)

-- ---- lists ----

local function lists(folder, seed)
  local world, out, told = harness.world, {}, {}
  for list = 1, 24 do
    local pairs_ = world.pairs(qe, { seed = 1000 * seed + list, rows = 256 })
    for _, pair in ipairs(pairs_) do out[#out + 1] = { "s" .. list, pair[2], pair[3] } end
  end
  for i, pair in ipairs(out) do told[i] = pair[3] end
  world.write(folder, "train", out, told)
  world.write_teacher(folder, "teacher", told)
  for _, set in ipairs { "dev", "test" } do
    local other = {}
    for i, pair in ipairs(world.pairs(qe, { seed = seed + #set * 77, rows = 400 })) do
      other[i] = { "s1", pair[2], pair[3] }
    end
    world.write(folder, set, other, world.truth(other))
  end
end

local taus = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  lists(folder, seed)
  for name, samples in pairs { whole = 0, drawn = 16 } do
    local o = { lists = true, samples = samples, batch = 4, epochs = 32, sharpness = 8 }
    local model = harness.train("sampling", folder, seed, o, { "teacher.tsv" })
    result[name] = qe.kendall(harness.scores(model, folder))
  end
  return result
end)
harness.report("lists: Kendall tau, all 256 candidates", harness.mean(taus.whole))
local tau_lost = harness.difference(taus.whole, taus.drawn)
harness.check("lists: Kendall tau lost by 16 of 256, a 16th of the encoder passes", tau_lost, "<=", 0.01)
harness.finish()
