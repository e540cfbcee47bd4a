-- M9: universe, domain and instance apart, on class problems where one of them can help, with the targets and
-- weights of qestrel.levels and a linear student.
local harness = require "harness"
local qe = require "qestrel"
local levels = require "qestrel.levels"
local SEEDS, BINS, FEATURES, ROWS, TEST = 10, 10, 24, 160, 2000

-- Classes in a ring of pairs: class b is like its partner. Linear scores of features, softmax; labels are drawn.
local function problem(seed, knobs)
  local rng, w = qe.rng(seed, "classes"), {}
  for b = 1, BINS do
    w[b] = {}
    for f = 1, FEATURES do
      w[b][f] = knobs.similar and b % 2 == 0 and 0.9 * w[b - 1][f] + 0.44 * rng:normal() or rng:normal()
    end
  end
  local function draw(count, noisy)
    local rows = {}
    for i = 1, count do
      local x, logits, most, sum = {}, {}, -1e9, 0
      for f = 1, FEATURES do x[f] = rng:normal() end
      for b = 1, BINS do
        local z = 0
        for f = 1, FEATURES do z = z + w[b][f] * x[f] end
        logits[b] = 0.9 * z
        most = math.max(most, logits[b])
      end
      local p = {}
      for b = 1, BINS do
        p[b] = math.exp(logits[b] - most)
        sum = sum + p[b]
      end
      for b = 1, BINS do p[b] = p[b] / sum end
      local u, gold = rng:uniform(), BINS
      for b = 1, BINS do
        u = u - p[b]
        if u < 0 then
          gold = b
          break
        end
      end
      local wrong = noisy and rng:uniform() < 0.4
      if wrong then gold = rng:below(BINS) + 1 end
      rows[i] = { x = x, p = p, gold = gold }
    end
    return rows
  end
  return draw(ROWS, knobs.noisy), draw(TEST, false)
end

-- A linear softmax student with the given parts; returns its mean negative log-likelihood on clean rows.
local function student(train, test, parts, seed, change)
  local params, rng, flat = qe.params(), qe.rng(seed, "student"), {}
  params:add("w", FEATURES, BINS)
  params:normal("w", 0.01, rng)
  local optimiser, tape <close> = qe.optimiser(params, { rule = "adam" }), qe.tape()
  local told, gold, indices = {}, {}, {}
  for i, row in ipairs(train) do told[i], gold[i], indices[i] = row.p, row.gold, i end
  local means = levels.measure(told, gold, indices, BINS)
  if change then told, means = change(told, means) end
  local targets = {}
  for i, row in ipairs(train) do
    targets[i] = levels.assemble(told[i], row.gold, means, parts)
    table.move(row.x, 1, FEATURES, #flat + 1, flat)
  end
  local weighs = parts.instance and not parts.universe and not parts.domain
  local sures = {}
  for i, row in ipairs(train) do sures[i] = told[i][row.gold] end
  local one_hot = {}
  for i, row in ipairs(train) do one_hot[i] = levels.assemble(told[i], row.gold, means, {}) end
  for _ = 1, 300 do
    tape:reset()
    local z = tape:constant(#train, FEATURES, flat):matmul(params:tensor(tape, "w"))
    local hard = tape:constant(#train, BINS, levels.logits(one_hot)):kl(z)
    local loss
    if weighs then
      local q, own = z:softmax():values(), {}
      for i, row in ipairs(train) do own[i] = q[(i - 1) * BINS + row.gold] end
      loss = (tape:constant(#train, 1, levels.weights(0.9, sures, own)) * hard):mean()
    else
      loss = tape:constant(#train, BINS, levels.logits(targets)):kl(z):mean() * 0.9 + hard:mean() * 0.1
    end
    loss:backward()
    assert(optimiser:step(0.02))
  end
  local w, nll = params:matrix "w", 0
  for _, row in ipairs(test) do
    local most, sum, z = -1e9, 0, {}
    for b = 1, BINS do
      z[b] = 0
      for f = 1, FEATURES do z[b] = z[b] + row.x[f] * w[(f - 1) * BINS + b] end
      most = math.max(most, z[b])
    end
    for b = 1, BINS do sum = sum + math.exp(z[b] - most) end
    nll = nll - (z[row.gold] - most - math.log(sum)) / #test
  end
  return nll
end

local PARTS = { universe = { universe = true }, domain = { domain = true }, instance = { instance = true } }

local function run_world(name, knobs)
  return harness.seeds(SEEDS, function(seed)
    local train, test = problem(seed, knobs)
    local result = { none = student(train, test, {}, seed) }
    for part, parts in pairs(PARTS) do result[part] = student(train, test, parts, seed) end
    result.all = student(train, test, { universe = true, domain = true, instance = true }, seed)
    local rng = qe.rng(seed, "permute")
    result.permuted_kernel = student(train, test, PARTS.domain, seed, function(told, means)
      local kernel, order = {}, {}
      for b = 1, BINS do order[b] = b end
      rng:shuffle(order)
      for b = 1, BINS do
        local row = table.move(means.kernel[order[b]], 1, BINS, 1, {})
        row[b], row[order[b]] = 0, row[b]
        kernel[b] = row
      end
      return told, { sure = means.sure, kernel = kernel }
    end)
    result.permuted_weights = student(train, test, PARTS.instance, seed, function(told, means)
      local copy = {}
      for i, p in ipairs(told) do copy[i] = table.move(p, 1, BINS, 1, {}) end
      local sures = {}
      for i, row in ipairs(train) do sures[i] = copy[i][row.gold] end
      rng:shuffle(sures)
      for i, row in ipairs(train) do copy[i][row.gold] = sures[i] end
      return copy, means
    end)
    return result
  end), name
end

-- How much lower the log-likelihood of a variant is than gold's, as a share.
local function saved(figures, part) return 1 - harness.mean(figures[part]) / harness.mean(figures.none) end

local similar = run_world("similar", { similar = true })
harness.check("similar classes: NLL saved by domain", saved(similar, "domain"), ">=", 0.05)
harness.check("similar classes: domain - universe", saved(similar, "domain") - saved(similar, "universe"), ">", 0)
harness.check("similar classes: domain - permuted kernel",
  saved(similar, "domain") - saved(similar, "permuted_kernel"), ">", 0)
local noisy = run_world("noisy", { noisy = true })
harness.check("noisy labels: NLL saved by instance", saved(noisy, "instance"), ">=", 0.05)
harness.check("noisy labels: instance - permuted weights",
  saved(noisy, "instance") - saved(noisy, "permuted_weights"), ">", 0)
local plain = run_world("plain", {})
harness.check("few rows: NLL saved by universe", saved(plain, "universe"), ">=", 0.05)
harness.report("similar classes: NLL saved by all", saved(similar, "all"))
harness.report("noisy labels: NLL saved by all", saved(noisy, "all"))
harness.report("few rows: NLL saved by all", saved(plain, "all"))

-- A teacher that is sure of everything has no sureness to tell; one that is smoothed has no relations.
local function sharpened(p, power)
  local sum, list = 0, {}
  for _, share in ipairs(p) do sum = sum + share ^ power end
  for b, share in ipairs(p) do list[b] = share ^ power / sum end
  return list
end
local failures = harness.seeds(SEEDS, function(seed)
  local result = {}
  local train, test = problem(seed, { noisy = true })
  local none = student(train, test, {}, seed)
  result.instance = 1 - student(train, test, PARTS.instance, seed) / none
  result.over_sure = 1 - student(train, test, PARTS.instance, seed, function(told, means)
    local list = {}
    for i in ipairs(told) do list[i] = sharpened(levels.gaussian((train[i].gold - 0.5) / BINS, 0.01, BINS), 1) end
    return list, means
  end) / none
  train, test = problem(seed, { similar = true })
  none = student(train, test, {}, seed)
  result.domain = 1 - student(train, test, PARTS.domain, seed) / none
  result.smooth = 1 - student(train, test, PARTS.domain, seed, function(told)
    local list, gold, all = {}, {}, {}
    for i, p in ipairs(told) do
      list[i], gold[i], all[i] = {}, train[i].gold, i
      for b, share in ipairs(p) do list[i][b] = 0.1 * share + 0.9 / BINS end
    end
    return list, levels.measure(list, gold, all, BINS)
  end) / none
  return result
end)
harness.check("a teacher sure of everything: gain by instance, share kept",
  harness.mean(failures.over_sure) / harness.mean(failures.instance), "<=", 0.5)
harness.check("a smoothed teacher: domain loses", harness.mean(failures.domain) - harness.mean(failures.smooth), ">", 0)
harness.finish()
