-- Recipes beside gold and kd: for each its off-switch (bit for bit what it is without its mechanism), what its
-- mechanism promises, a shuffle control, and a stop in the middle that resumes to the same model (methods.md D).
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local train = require "qestrel.train"
local test, equal = support.test, support.equal
local annealing, route = require "qestrel.recipes.annealing", require "qestrel.recipes.route"

local SMALL = {
  buckets = 257, embedding = 8, hidden = 6, attention = 8, epochs = 4, evaluations = 1, storage = "f32", patience = 99,
}

local function options(extra)
  local list = {}
  for _, source in ipairs { SMALL, extra or {} } do
    for name, value in pairs(source) do list[name] = value end
  end
  return list
end

local function write_scores(path, scores)
  local lines = { "index\tteacher_score" }
  for i, score in ipairs(scores) do lines[i + 1] = ("%d\t%.6f"):format(i - 1, score) end
  support.write(path, table.concat(lines, "\n") .. "\n")
end

-- Data with noisy gold, and a teacher's scores at three points of its way: flat and wavering first, the truth last.
local function make_data(folder)
  local rows, dev = support.generate.rows(qe, 200, 1), support.generate.rows(qe, 80, 2)
  local rng, truth = qe.rng(1, "anchors"), {}
  for i, row in ipairs(rows) do truth[i] = row[3] end
  support.generate.write(folder .. "/train.tsv", rows, { score = support.generate.judged(qe, rows, 0.2, 1) })
  local exact = {}
  for i, row in ipairs(dev) do exact[i] = row[3] end
  support.generate.write(folder .. "/dev.tsv", dev, { score = exact })
  for anchor = 1, 3 do
    local scores = {}
    for i, value in ipairs(truth) do
      scores[i] = 0.6 + (value - 0.6) * anchor / 3 + 0.1 * (1 - anchor / 3) * rng:normal()
    end
    write_scores(("%s/anchor%d.tsv"):format(folder, anchor), scores)
  end
  rng:shuffle(truth)
  write_scores(folder .. "/shuffled.tsv", truth)
end

local function request(folder, extra, ...)
  local teachers = {}
  for i, name in ipairs { ... } do teachers[i] = folder .. "/" .. name .. ".tsv" end
  return {
    train = folder .. "/train.tsv", dev = folder .. "/dev.tsv", seed = 3, quiet = true, options = options(extra),
    teachers = teachers,
  }
end

local function weights(recipe, wanted)
  local model = assert(train.run(recipe, wanted))
  return model:params():values():bytes()
end

local function changed(recipe, with)
  local copy = {}
  for key, value in pairs(recipe) do copy[key] = value end
  for key, value in pairs(with) do copy[key] = value end
  return copy
end

-- Runs whole, then stopped after `stop` steps and resumed.
local function check_resume(recipe, make, stop)
  support.with_folder(function(folder)
    make_data(folder)
    local whole = make(folder)
    whole.output = folder .. "/whole.qe"
    assert(train.run(recipe, whole))
    local steps, own = 0, recipe.after
    local cut = make(folder)
    cut.output = folder .. "/cut.qe"
    local counting = changed(recipe, { after = function(...)
      if own then own(...) end
      steps = steps + 1
      if steps == stop then error("stopped here", 0) end
    end })
    support.raises("stopped here", train.run, counting, cut)
    cut.resume = true
    assert(train.run(recipe, cut))
    equal(support.read(cut.output) == support.read(whole.output), true, "archive of " .. recipe.name)
  end)
end

-- ---- annealing ----

test("annealing: Phi rises in equal steps", function()
  for epochs = 7, 30 do
    local seen, last = {}, 0
    for epoch = 1, epochs do
      local phi = annealing.phi(epoch, epochs, 7)
      equal(phi >= last, true, "rises")
      last = phi
      seen[("%.6f"):format(phi)] = true
    end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    equal(count, 7, "as many steps as tau_max")
    equal(annealing.phi(1, epochs, 7), 1 - 6 / 7)
    equal(last, 1.0)
  end
  equal(annealing.phi(1, 9, 1), 1.0)
end)

-- The same two stages written out, without a schedule.
local function two_stages()
  local distance, rows = require "qestrel.distance", require "qestrel.rows"
  local recipe = { name = "two-stages", teacher = true, options = annealing.options }
  function recipe.setup(run)
    run:scale_column("gold", "target")
    run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
    run.rows = rows.all(run)
  end
  function recipe.stages(run)
    local function imitate(_, batch)
      local teacher = distance.logits(run, batch, "teacher_target", "teacher_spread")
      return run:forward(batch):tap("logits"):squared_error(teacher):mean()
    end
    local function fine(_, batch)
      return distance.between(run, run:forward(batch), batch, "target"):mean()
    end
    local o = run.options
    return { { name = "imitate", loss = imitate },
             { name = "fine", loss = fine, epochs = o.fine_epochs, rate = o.fine_rate } }
  end
  return recipe
end

for _, bins in ipairs { 0, 7 } do
  test("annealing: tau_max 1 is imitation and fine-tuning, with bins " .. bins, function()
    support.with_folder(function(folder)
      make_data(folder)
      local function run(recipe, extra)
        local o = { bins = bins, fine_epochs = 2, tau_max = 4 }
        for name, value in pairs(extra) do o[name] = value end
        return weights(recipe, request(folder, o, "anchor3"))
      end
      local plain = run(two_stages(), {})
      equal(run("annealing", { tau_max = 1 }) == plain, true, "off")
      local annealed = run("annealing", {})
      equal(annealed == plain, false, "annealed")
      equal(run("annealing", { phi = 0.5 }) == annealed, false, "a fixed Phi")
    end)
  end)
end

test("annealing: fine-tuning does not read the teacher, imitation not gold", function()
  support.with_folder(function(folder)
    make_data(folder)
    local seen = {}
    local recipe = changed(annealing, { stages = function(run)
      local list = annealing.stages(run)
      for _, stage in ipairs(list) do
        local loss = stage.loss
        stage.loss = function(inner, batch)
          local watched = setmetatable({}, { __index = batch })
          watched.column = function(_, tape, name)
            seen[stage.name .. " " .. name] = true
            return batch:column(tape, name)
          end
          watched.rows = function() return batch:rows() end
          inner.forward = function(_, _) return getmetatable(inner).__index.forward(inner, batch) end
          return loss(inner, watched)
        end
      end
      return list
    end })
    assert(train.run(recipe, request(folder, { fine_epochs = 1, tau_max = 2 }, "anchor3")))
    equal(seen["annealing teacher_target"], true)
    equal(seen["annealing target"], nil)
    equal(seen["fine-tuning target"], true)
    equal(seen["fine-tuning teacher_target"], nil)
  end)
end)

test("annealing: another teacher, another student; wrong temperatures", function()
  support.with_folder(function(folder)
    make_data(folder)
    local o = { tau_max = 2, fine_epochs = 1 }
    local honest = weights("annealing", request(folder, o, "anchor3"))
    equal(weights("annealing", request(folder, o, "shuffled")) == honest, false)
    support.raises("expected 1 to the number of epochs, 4", train.run, "annealing",
      request(folder, { tau_max = 5 }, "anchor3"))
    support.raises("needs a --teacher", train.run, "annealing", request(folder, { tau_max = 2 }))
  end)
end)

test("annealing: resumes in both stages", function()
  local function make(folder)
    return request(folder, { epochs = 10, fine_epochs = 10, tau_max = 5, batch = 16 }, "anchor3")
  end
  check_resume(annealing, make, 105)
  check_resume(annealing, make, 233)
end)

-- ---- route ----

test("route: one anchor is plain kd", function()
  support.with_folder(function(folder)
    make_data(folder)
    for _, alpha in ipairs { 1, 0.5 } do
      local kd = weights("kd", request(folder, { alpha = alpha }, "anchor3"))
      equal(weights("route", request(folder, { alpha = alpha }, "anchor3")) == kd, true, "one anchor")
      equal(weights("route", request(folder, { alpha = alpha }, "anchor1", "anchor2", "anchor3")) == kd, false, "three")
      equal(weights("route", request(folder, { alpha = alpha, anchors = 1 }, "anchor1", "anchor3")) == kd, true,
        "of two the last one, where their common scale is its own")
    end
  end)
end)

test("route: order matters, and stages share the epochs", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function anchors_of(extra, ...)
      local seen = {}
      local recipe = changed(route, { after = function(run) seen[#seen + 1] = run.state.anchor end })
      local model = assert(train.run(recipe, request(folder, extra, ...)))
      return table.concat(seen, ""), model:params():values():bytes()
    end
    local forward, one = anchors_of({ epochs = 3 }, "anchor1", "anchor2", "anchor3")
    equal(forward, ("1"):rep(7) .. ("2"):rep(7) .. ("3"):rep(7))
    local _, other = anchors_of({ epochs = 3 }, "anchor3", "anchor2", "anchor1")
    equal(one == other, false, "in reverse")
    equal((anchors_of({ epochs = 4, anchors = 2 }, "anchor1", "anchor2", "anchor3")),
      ("2"):rep(14) .. ("3"):rep(14))
    local greedy = anchors_of({ epochs = 3, delta = 0.8 }, "anchor1", "anchor2", "anchor3")
    equal(greedy:sub(1, 1), "1")
    equal(greedy:sub(-1), "3")
    equal((anchors_of({ epochs = 3, delta = 1e-9 }, "anchor1", "anchor2", "anchor3")):find "12", nil,
      "a threshold that everything passes goes to the end at once")
    equal((anchors_of({ epochs = 3, delta = 1e9 }, "anchor1", "anchor2", "anchor3")):match "12+3+$" ~= nil, true,
      "one that nothing passes goes one by one")
    support.raises("route needs --teacher", train.run, "route", request(folder, {}))
  end)
end)

test("route: resumes in any stage", function()
  for _, delta in ipairs { 0, 0.8 } do
    local function make(folder)
      return request(folder, { epochs = 30, batch = 16, delta = delta }, "anchor1", "anchor2", "anchor3")
    end
    check_resume(route, make, 104)
    check_resume(route, make, 347)
  end
end)

-- ---- codistillation ----

local codistillation = require "qestrel.recipes.codistillation"

test("codistillation: without the peers' weight it is gold on a shard", function()
  support.with_folder(function(folder)
    make_data(folder)
    local rows = require "qestrel.rows"
    local gold = require "qestrel.recipes.gold"
    local on_shard = changed(gold, { setup = function(run)
      gold.setup(run)
      run.rows = rows.deal(rows.all(run), 2, run:rng "shards")[1]
      equal(#run.rows, 100, "half of the rows")
    end })
    local alone = weights(on_shard, request(folder, {}))
    local function run(extra) return weights("codistillation", request(folder, extra)) end
    equal(run { weight = 0 } == alone, true, "weight 0")
    equal(run { burn_in = 1000 } == alone, true, "always burning in")
    local together = run { burn_in = 2, refresh = 3 }
    equal(together == alone, false, "together")
    equal(run { burn_in = 2, refresh = 4 } == together, false, "other copies")
    equal(run { burn_in = 2, refresh = 3, peers = 3 } == together, false, "three")
    equal(run { burn_in = 2, refresh = 3, shards_of_data = false } == together, false, "all rows for everyone")
  end)
end)

test("codistillation: copies change when they are due, and only then", function()
  support.with_folder(function(folder)
    make_data(folder)
    local changes, before, peers = {}, nil, nil
    local recipe = changed(codistillation, { after = function(run, ...)
      codistillation.after(run, ...)
      local now = qe.sha256(run.state.stale[1]:bytes()) .. qe.sha256(run.state.stale[2]:bytes())
      if before and now ~= before then changes[#changes + 1] = run.state.loop.step + 1 end
      before = now
      peers = run.peers
      equal(qe.sha256(peers[1]:params():values():bytes()) ~= qe.sha256(peers[2]:params():values():bytes()), true)
    end })
    assert(train.run(recipe, request(folder, { burn_in = 1, refresh = 5, batch = 16, epochs = 3 })))
    equal(table.concat(changes, " "), "5 10 15 20")
  end)
end)

test("codistillation: shards are disjoint and complete", function()
  local rows = require "qestrel.rows"
  local list, seen, count = {}, {}, 0
  for i = 1, 103 do list[i] = i end
  for _, shard in ipairs(rows.deal(list, 4, qe.rng(1, "deal"))) do
    equal(#shard == 25 or #shard == 26, true)
    for _, row in ipairs(shard) do
      equal(seen[row], nil)
      seen[row], count = true, count + 1
    end
  end
  equal(count, 103)
end)

test("codistillation: resumes", function()
  check_resume(codistillation, function(folder)
    return request(folder, { epochs = 30, batch = 16, burn_in = 20, refresh = 30 })
  end, 131)
end)

-- ---- metadistil ----

local meta, metadistil = require "qestrel.meta", require "qestrel.recipes.metadistil"

local function with_teacher(folder, extra)
  local path = folder .. "/teacher.qe"
  local file = io.open(path)
  if file then
    file:close()
  else
    local wanted = request(folder, { hidden = 8 })
    wanted.output = path
    assert(train.run("gold", wanted))
  end
  local wanted = request(folder, extra)
  wanted.teachers = { path }
  return wanted
end

-- Plain distillation from a living teacher that stays as it is.
local function living_kd()
  local rows = require "qestrel.rows"
  local recipe = { name = "living-kd", options = metadistil.options }
  function recipe.setup(run)
    run.teacher = assert(qe.open(run.teachers[1]))
    run:scale_column("gold", "target")
    run.quiz, run.rows = rows.set_apart(rows.all(run), run.options.quiz)
  end
  function recipe.loss(run, batch)
    local told = run.teacher:forward(run.tape, batch, { no_gradient = true }):tap "score"
    local alpha, score = run.options.alpha, run:forward(batch):tap "score"
    return (score:squared_error(told) * alpha
      + score:squared_error(batch:column(run.tape, "target")) * (1 - alpha)):mean()
  end
  return recipe
end

test("metadistil: with a teacher that does not learn it is plain distillation", function()
  support.with_folder(function(folder)
    make_data(folder)
    local plain = weights(living_kd(), with_teacher(folder, {}))
    equal(weights("metadistil", with_teacher(folder, { teacher_rate = 0 })) == plain, true, "off")
    local taught = weights("metadistil", with_teacher(folder, { teacher_rate = 0.01 }))
    equal(taught == plain, false, "on")
    equal(weights("metadistil", with_teacher(folder, { teacher_rate = 0.01, quiz = 4 })) == taught, false, "other quiz")
    support.raises("needs --teacher", train.run, "metadistil", request(folder, {}))
  end)
end)

-- The whole inner step with one of the teacher's scores moved to either side.
local function brute_force(run, batch, quiz, told, i)
  local params, stream = run.student:params(), run:rng "student.dropout"
  local theta, here, sides = params:values():clone(), stream:save(), {}
  for k, sign in ipairs { 1, -1 } do
    local moved = table.move(told, 1, #told, 1, {})
    moved[i] = moved[i] + sign * 0.5
    stream:restore(here)
    run.tape:reset()
    metadistil.distil(run, batch, moved):backward()
    params:values():axpy(-run.options.pilot_rate, params:gradient())
    params:zero_gradient()
    run.tape:reset()
    local answer = run.student:forward(run.tape, quiz):tap "score"
    sides[k] = answer:squared_error(quiz:column(run.tape, "target")):mean():item()
    params:values():copy(theta)
  end
  stream:restore(here)
  run.tape:reset()
  return sides[1] - sides[2]
end

test("metadistil: the gradient is that of the whole inner step, and leaves no trace", function()
  support.with_folder(function(folder)
    make_data(folder)
    local checked = 0
    local recipe = changed(metadistil, { step = function(run, batch, rate)
      if run.state.loop.step == 3 then
        local params, stream = run.student:params(), run:rng "student.dropout"
        local before, drawn = qe.sha256(params:values():bytes()), stream:save()
        local told = run.teacher:forward(run.tape, batch, { no_gradient = true }):tap("score"):values()
        local quiz <close> = run.state.quiz:next() or run.state.quiz:next()
        local gradient = meta.gradient(run, batch, quiz, function() return metadistil.distil(run, batch, told) end)
        equal(qe.sha256(params:values():bytes()), before, "the student is as before")
        equal(stream:save() == drawn, true, "and its dropout")
        local difference, size = 0, 0
        for i = 1, #told do
          local expected = brute_force(run, batch, quiz, told, i)
          difference, size = difference + (gradient[i] - expected) ^ 2, size + expected ^ 2
        end
        equal(math.sqrt(difference / size) < 0.02, true, ("relative error %g"):format(math.sqrt(difference / size)))
        checked = checked + 1
      end
      run.tape:reset()
      return metadistil.step(run, batch, rate)
    end })
    assert(train.run(recipe, with_teacher(folder, { epochs = 1, pilot_rate = 1, batch = 16 })))
    equal(checked, 1)
  end)
end)

test("metadistil: resumes", function()
  check_resume(metadistil, function(folder)
    return with_teacher(folder, { epochs = 30, batch = 16, teacher_rate = 0.01 })
  end, 117)
end)

-- ---- policies ----

local policy = require "qestrel.policy"

test("policy: learns a bandit of two contexts", function()
  local own, rng, right = policy.new(3, 0.5), qe.rng(5, "bandit"), 0
  for round = 1, 600 do
    local steps = {}
    for i = 1, 8 do
      local context = rng:below(2)
      local state = { context + 0.0, 1.0 - context, 1.0 }
      local yes = policy.act(own, state, rng)
      local reward = (yes == (context == 1)) and 1.0 or 0.0
      if round > 500 then right = right + reward end
      steps[i] = { state = state, yes = yes, reward = reward + 0.3 * rng:normal() }
    end
    policy.learn(own, steps, 0.5)
  end
  equal(right / 800 >= 0.95, true, ("best action in %.3f of the rounds"):format(right / 800))
  equal(math.abs(policy.probability(policy.new(4, 0.7), { 3, 2, 1, 1 }) - 0.7) < 1e-12, true)
end)

-- ---- reinforced ----

local reinforced = require "qestrel.recipes.reinforced"

test("reinforced: the mean of all teachers is plain kd", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(recipe, extra)
      return weights(recipe, request(folder, extra, "anchor1", "anchor3", "shuffled"))
    end
    for _, alpha in ipairs { 0.5, 1 } do
      local kd = run("kd", { alpha = alpha })
      equal(run("reinforced", { alpha = alpha, warm_up = 1000 }) == kd, true, "always warming up")
      equal(run("reinforced", { alpha = alpha, warm_up = 5 }) == kd, false, "choosing")
    end
    local learning = run("reinforced", { warm_up = 2, policy_rate = 5 })
    equal(run("reinforced", { warm_up = 2, policy_rate = 0 }) == learning, false, "policies that stay")
    equal(run("reinforced", { warm_up = 2, policy_rate = 5, reward = "step" }) == learning, false, "other rewards")
    equal(run("reinforced", { warm_up = 2, policy_rate = 5, same_unit = true }) == learning, false, "other unit")
    support.raises("needs a --teacher", train.run, "reinforced", request(folder, {}))
  end)
end)

-- How often a teacher that knows the truth and one that has it shuffled are used, once the policies have learned.
local function rates(folder, after)
  local used, seen = { 0, 0 }, 0
  local recipe = changed(reinforced, { after = function(run, ...)
    if run.state.loop.step > 300 then
      for _, pair in ipairs(run.drawn) do
        seen = seen + 1
        for k = 1, 2 do used[k] = used[k] + (pair[k].yes and 1 or 0) end
      end
    end
    after(run, ...)
  end })
  assert(train.run(recipe, request(folder,
    { epochs = 50, batch = 16, warm_up = 50, start = 0.7, same_unit = true, alpha = 1, dropout = 0.3,
      policy_rate = 0.1 },
    "anchor3", "shuffled")))
  return used[1] / seen, used[2] / seen
end

test("reinforced: a bad teacher is used less than a good one, and by shuffled rewards it is not", function()
  support.with_folder(function(folder)
    make_data(folder)
    local good, bad = rates(folder, reinforced.after)
    equal(good > bad + 0.2, true, ("good %.2f, bad %.2f"):format(good, bad))
    local rewards, rng, kept = policy.rewards, qe.rng(1, "rewards"), {}
    policy.rewards = function(...) -- those of another batch: the mean of a batch tells something, too
      kept[#kept + 1] = rewards(...)
      local list = table.move(kept[rng:below(#kept) + 1], 1, #kept[#kept], 1, {})
      for i = 1, #kept[#kept] do list[i] = list[i] or list[1] end
      rng:shuffle(list)
      return list
    end
    local good_control, bad_control = rates(folder, reinforced.after)
    policy.rewards = rewards
    equal(good_control - bad_control < (good - bad) / 2, true,
      ("shuffled: good %.2f, bad %.2f"):format(good_control, bad_control))
  end)
end)

test("reinforced: resumes", function()
  check_resume(reinforced, function(folder)
    return request(folder, { epochs = 30, batch = 16, warm_up = 20 }, "anchor2", "anchor3")
  end, 141)
end)

-- ---- levels ----

local levels = require "qestrel.levels"

local function sums_to_one(list)
  local sum = 0
  for _, share in ipairs(list) do sum = sum + share end
  return math.abs(sum - 1) < 1e-9
end

test("levels: a distribution taken apart and put together", function()
  local p, q = levels.gaussian(0.33, 0.1, 5), levels.gaussian(0.5, 0.3, 5)
  local means = levels.measure({ p, q }, { 2, 3 }, { 1, 2 }, 5)
  equal(math.abs(means.sure - (p[2] + q[3]) / 2) < 1e-12, true)
  for y = 1, 5 do equal(sums_to_one(means.kernel[y]) and means.kernel[y][y] == 0, true) end
  local all = { universe = true, domain = true, instance = true }
  equal(levels.assemble(p, 2, means, all), p)
  for _, parts in ipairs { { universe = true }, { domain = true }, { universe = true, instance = true }, {} } do
    equal(sums_to_one(levels.assemble(p, 2, means, parts)), true)
  end
  equal(table.concat(levels.assemble(p, 2, means, {}), " "), "0.0 1 0.0 0.0 0.0")
  local pt = levels.assemble(p, 2, means, { universe = true, instance = true })
  equal(pt[2] == p[2] and pt[1] == pt[3] and pt[3] == pt[5], true)
  local smooth = levels.assemble(p, 2, means, { universe = true })
  equal(smooth[2], means.sure)
  equal(sums_to_one(levels.top(p, 2)), true)
  local top = levels.top({ 0.5, 0.1, 0.3, 0.1 }, 2)
  equal(top[1] == 0.5 and top[3] == 0.3 and math.abs(top[2] - 0.1) < 1e-12, true)
  equal(levels.bin(0, 10) == 1 and levels.bin(1, 10) == 10 and levels.bin(0.55, 10) == 6, true)
end)

-- On the gold bin the gradient of (1 - l) CE(y, q) + l CE(p, q) is w(x) times gold's.
test("levels: the weight of a pair is the ratio of gradients", function()
  local rng = qe.rng(8, "levels")
  for _ = 1, 50 do
    local tape <close> = qe.tape()
    local logits, l, y, p = {}, rng:uniform(), rng:below(6) + 1, levels.gaussian(rng:uniform(), 0.2, 6)
    for b = 1, 6 do logits[b] = rng:normal() end
    local mixed = {}
    for b = 1, 6 do mixed[b] = l * p[b] + (b == y and 1 - l or 0) end
    local function gradient_of(target)
      tape:reset()
      local z = tape:variable(1, 6, logits)
      local loss, q = z:cross_entropy(tape:constant(1, 6, target)):mean(), z:softmax(1):values()[y]
      loss:backward()
      return z:gradient()[y], q
    end
    local one_hot = { 0, 0, 0, 0, 0, 0 }
    one_hot[y] = 1
    local gold, q = gradient_of(one_hot)
    local both = gradient_of(mixed)
    equal(math.abs(both / gold - levels.weight(l, p[y], q)) < 1e-4, true)
  end
end)

test("levels: all parts are kd, none is gold, each changes something", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(name, extra)
      local o = { bins = 7, alpha = name ~= "gold" and 0.5 or nil }
      for key, value in pairs(extra or {}) do o[key] = value end
      return weights(name, request(folder, o, "anchor3"))
    end
    equal(run "levels" == run "kd", true, "all")
    local none = { universe = false, domain = false, instance = false }
    equal(run("levels", none) == run "gold", true, "none")
    local seen = {}
    for number = 0, 7 do
      local parts = { universe = number & 1 > 0, domain = number & 2 > 0, instance = number & 4 > 0 }
      local bytes = run("levels", parts)
      -- without the pair's own sureness smoothing adds nothing to relations
      if number ~= 3 and number ~= 7 and number ~= 6 then
        equal(seen[bytes], nil, "parts " .. number)
        seen[bytes] = true
      end
    end
    equal(seen[run("levels", { topk = 2 })], nil, "top bins")
    support.raises("levels needs bins", train.run, "levels", request(folder, { bins = 0 }, "anchor3"))
  end)
end)

test("levels: resumes", function()
  check_resume(require "qestrel.recipes.levels", function(folder)
    return request(folder, { epochs = 30, batch = 16, domain = false }, "anchor3")
  end, 117)
end)

-- ---- lipschitz ----

local transmission, lipschitz = require "qestrel.transmission", require "qestrel.recipes.lipschitz"

-- Mean distance of a student's logarithms of sigma to the teacher's, over all rows and places.
local function apart(model, teacher, data)
  local own, there, sum, count = transmission.measure(model, data), transmission.measure(teacher, data), 0, 0
  for k in ipairs(transmission.places) do
    for i, value in ipairs(own[k]) do sum, count = sum + math.abs(value - there[k][i]), count + 1 end
  end
  return sum / count
end

test("lipschitz: without its term it is kd, with it layers pass on what the teacher's do", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(recipe, extra)
      return assert(train.run(recipe, with_teacher(folder, extra)))
    end
    local function bytes(model) return model:params():values():bytes() end
    local kd = run("kd", { epochs = 12, rate = 0.01 })
    equal(bytes(run("lipschitz", { epochs = 12, rate = 0.01, weight = 0, late_weight = 0 })) == bytes(kd), true, "off")
    local like = run("lipschitz", { epochs = 12, rate = 0.01, weight = 0.1, late_weight = 0.1 })
    local teacher <close> = assert(qe.open(folder .. "/teacher.qe"))
    local data <close> = assert(require "qestrel.evaluate".read(folder .. "/train.tsv"))
    local far, near = apart(kd, teacher, data), apart(like, teacher, data)
    equal(near * 5 < far, true, ("kd %.3f apart, lipschitz %.3f"):format(far, near))
    local measure = transmission.measure
    transmission.measure = function(...) -- those of other pairs
      local columns = measure(...)
      for _, column in ipairs(columns) do qe.rng(1, "shuffle"):shuffle(column) end
      return columns
    end
    local shuffled = run("lipschitz", { epochs = 12, rate = 0.01, weight = 0.1, late_weight = 0.1 })
    transmission.measure = measure
    equal(apart(shuffled, teacher, data) > 1.5 * near, true, "shuffled")
    local generic = run("lipschitz", { epochs = 12, rate = 0.01, weight = 0.1, late_weight = 0.1, generic = true })
    equal(apart(generic, teacher, data) > 2 * near, true, "a generic penalty aims at nothing")
    support.raises("lipschitz looks into a model", train.run, "lipschitz", request(folder, {}, "anchor3"))
  end)
end)

test("lipschitz: what was measured serves without the teacher, and only for what it is", function()
  support.with_folder(function(folder)
    make_data(folder)
    with_teacher(folder, {})
    local path, measure = folder .. "/kept", transmission.measure
    local function taught(extra) return weights("lipschitz", request(folder, extra, "anchor3")) end
    local first = taught { insides = folder .. "/teacher.qe", store = path }
    transmission.measure = function() error "the teacher is not asked" end
    equal(taught { store = path } == first, true, "from the store")
    transmission.measure = measure
    equal(taught { insides = folder .. "/teacher.qe" } == first, true, "without one")
    local rows, other = support.generate.rows(qe, 200, 9), request(folder, { store = path }, "anchor3")
    other.train = folder .. "/other.tsv"
    support.generate.write(other.train, rows, { score = support.generate.judged(qe, rows, 0.2, 1) })
    support.raises("kept: holds data", train.run, "lipschitz", other)
    support.write(path, support.read(path):sub(1, -600))
    support.raises(path, train.run, "lipschitz", request(folder, { store = path }, "anchor3"))
  end)
end)

test("lipschitz: resumes", function()
  check_resume(lipschitz, function(folder)
    return with_teacher(folder, { epochs = 30, batch = 16 })
  end, 131)
end)

-- ---- lifelong ----

local lifelong, tasks = require "qestrel.recipes.lifelong", require "qestrel.tasks"

-- Two more tasks beside the folder's own.
local function make_tasks(folder)
  make_data(folder)
  for k = 2, 3 do
    os.execute("mkdir " .. folder .. "/task" .. k)
    for set, count in pairs { train = 120, dev = 60 } do
      local rows, scores = support.generate.rows(qe, count, 10 * k + #set), {}
      for i, row in ipairs(rows) do scores[i] = (k == 2 and 100 or 1) * row[3] end
      support.generate.write(("%s/task%d/%s.tsv"):format(folder, k, set), rows, { score = scores })
      if set == "train" then write_scores(("%s/task%d/told.tsv"):format(folder, k), scores) end
    end
  end
end

local function stream(folder, extra, ...)
  local o = { tasks = folder .. "/task2," .. folder .. "/task3" }
  for name, value in pairs(extra) do o[name] = value end
  return request(folder, o, ...)
end

test("lifelong: a single task is kd of its teacher, or gold", function()
  support.with_folder(function(folder)
    make_data(folder)
    equal(weights("lifelong", request(folder, {}, "anchor3")) == weights("kd", request(folder, {}, "anchor3")), true)
    equal(weights("lifelong", request(folder, { taught = false })) == weights("gold", request(folder, {})), true)
  end)
end)

test("lifelong: what each task's rows are taught", function()
  support.with_folder(function(folder)
    make_tasks(folder)
    local seen, run_of = {}, nil
    local recipe = changed(lifelong, { after = function(run, batch)
      local stage = run.state.stage
      seen[stage] = seen[stage] or { own = {}, kept = {} }
      for _, row in ipairs(batch:rows()) do
        local task = row <= 200 and 1 or row <= 320 and 2 or 3
        seen[stage][task == stage and "own" or "kept"][row] = run.train:column("target")[row]
      end
      run_of = run
    end })
    assert(train.run(recipe, stream(folder, { epochs = 2 })))
    local function count(list)
      local n = 0
      for _, value in pairs(list) do
        n = n + 1
        equal(value >= 0 and value <= 1, true, "within 0..1")
      end
      return n
    end
    for stage, expected in ipairs { { 200, 0 }, { 120, 40 }, { 120, 64 } } do
      equal(count(seen[stage].own), expected[1], "rows of task " .. stage)
      equal(count(seen[stage].kept), expected[2], "rows kept")
    end
    for row, value in pairs(seen[2].kept) do
      equal(run_of.kept[1][1] <= row and row <= 200, true)
      equal(value == tasks.gold(run_of.tasks[1])[row], false, "labelled by the student, not by gold")
    end
    for stage = 1, 3 do equal(#run_of.state.history[stage], stage) end
  end)
end)

test("lifelong: gold of the task is not read, and what is kept matters", function()
  support.with_folder(function(folder)
    make_tasks(folder)
    local function run(extra, ...) return weights("lifelong", stream(folder, extra, ...)) end
    local teachers = { "anchor3", "task2/told", "task3/told" }
    local gold, honest = tasks.gold, run({ epochs = 2 }, table.unpack(teachers))
    tasks.gold = function(task)
      local list = gold(task)
      qe.rng(1, "permuted"):shuffle(list)
      return list
    end
    equal(run({ epochs = 2 }, table.unpack(teachers)) == honest, true, "permuted gold")
    tasks.gold = gold
    equal(run({ epochs = 2, labels = "gold" }, table.unpack(teachers)) == honest, false, "labels")
    equal(run({ epochs = 2, replay = 0 }, table.unpack(teachers)) == honest, false, "replay")
    local by_gold = run { epochs = 2, taught = false }
    equal(by_gold == honest, false, "taught")
    equal(run { epochs = 2, taught = false, labels = "gold" } == by_gold, false, "replay of gold")
  end)
end)

test("lifelong: resumes in a later task", function()
  support.with_folder(function(other)
    make_tasks(other)
    check_resume(lifelong, function() return stream(other, { epochs = 12, batch = 8 }) end, 420)
  end)
end)

-- ---- branches ----

local branched = require "qestrel.recipes.branches"

-- The values of one head's matrices, after training.
local function head_values(folder, extra, number)
  local found
  local recipe = changed(branched, { after = function(run, ...)
    branched.after(run, ...)
    local parts, params = {}, run.state.branches.params
    for _, name in ipairs(params:names()) do
      if name:match("^" .. number .. "%.") then parts[#parts + 1] = table.concat((params:matrix(name)), " ") end
    end
    found = table.concat(parts, ";")
  end })
  assert(train.run(recipe, request(folder, extra)))
  return found
end

for _, bins in ipairs { 0, 7 } do
  test("branches: apart from each other heads are what they are alone, with bins " .. bins, function()
    support.with_folder(function(folder)
      make_data(folder)
      local off = { bins = bins, kd = 0, ensemble = 0, share = false }
      local function run(extra)
        local o = { bins = bins }
        for key, value in pairs(extra) do o[key] = value end
        return weights("branches", request(folder, o))
      end
      equal(run(off) == weights("gold", request(folder, { bins = bins })), true, "off")
      equal(run { kd = 0, ensemble = 0 } == run(off), false, "states are shared")
      local two = head_values(folder, { bins = bins, kd = 0, ensemble = 0, share = false, branches = 2 }, 2)
      equal(#two > 100, true)
      equal(head_values(folder, { bins = bins, kd = 0, ensemble = 0, share = false, branches = 3 }, 2) == two, true)
      local on = run {}
      equal(run { detach = false } == on, false, "detach")
      equal(run { gate = false } == on, false, "gate")
      equal(run { ramp = 0 } == on, false, "ramp")
      equal(run { growth = 1.5 } == on, false, "growth")
    end)
  end)
end

test("branches: gates sum to 1 and differ by pair, the ensemble is their sum", function()
  support.with_folder(function(folder)
    make_data(folder)
    local checked = 0
    for _, bins in ipairs { 0, 7 } do
      local recipe = changed(branched, { loss = function(run, batch)
        local heads, e, gates = branched.outputs(run, batch)
        local values, first = gates:values(), {}
        for i = 1, #batch do
          local sum, expected = 0, 0
          for b = 1, 3 do
            sum = sum + values[3 * i - 3 + b]
            local head = bins > 0 and heads[b]:softmax():values()[7 * i - 6] or heads[b]:values()[i]
            expected = expected + values[3 * i - 3 + b] * head
          end
          first[values[3 * i - 2]] = true
          equal(math.abs(sum - 1) < 1e-6, true)
          local found = bins > 0 and math.exp(e:values()[7 * i - 6]) or e:values()[i]
          equal(math.abs(found - expected) < 1e-5, true)
        end
        equal(next(first, (next(first))) ~= nil, true, "gates differ")
        checked = checked + 1
        return branched.loss(run, batch)
      end })
      assert(train.run(recipe, request(folder, { bins = bins, epochs = 1 })))
    end
    equal(checked, 14)
  end)
  local last = 0
  for epoch = 0, 12 do
    local r = branched.ramp(epoch, 10)
    equal(r >= last and r <= 1 and (epoch < 10 or r == 1), true, "ramp")
    last = r
  end
  equal(branched.ramp(0, 0), 1)
end)

test("branches: resumes", function()
  check_resume(branched, function(folder)
    return request(folder, { epochs = 30, batch = 16, bins = 5 })
  end, 131)
end)

-- ---- states ----

local hidden, by_states = require "qestrel.hidden", require "qestrel.recipes.states"

test("states: without stage 1 it is kd; parts, masks and layers matter", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(recipe, extra) return weights(recipe, with_teacher(folder, extra)) end
    equal(run("states", { state_epochs = 0 }) == run("kd", {}), true, "off")
    local seen = {}
    local variants = { {}, { cells = 1 }, { layers = 3 }, { tokens = 3 }, { random = true }, { zero = true } }
    for number, extra in ipairs(variants) do
      local bytes = run("states", extra)
      equal(seen[bytes], nil, "variant " .. number)
      seen[bytes] = true
    end
    equal(run("states", { cells = 1, zero = true }) == run("states", { cells = 1 }), true, "all cells are known")
    support.raises("states looks into a model", train.run, "states", request(folder, {}, "anchor3"))
    support.raises("expected 1 to 3", train.run, "states", with_teacher(folder, { layers = 4 }))
  end)
end)

test("states: a store on disk serves without the teacher, and only for what it is", function()
  support.with_folder(function(folder)
    make_data(folder)
    local first = weights("states", with_teacher(folder, { store = folder .. "/kept" }))
    local collect = hidden.collect
    hidden.collect = function() error "the teacher is not asked" end
    equal(weights("states", with_teacher(folder, { store = folder .. "/kept" })) == first, true, "from the store")
    support.raises("kept: holds cells 0.1, expected 0.2", train.run, "states",
      with_teacher(folder, { store = folder .. "/kept", cells = 0.2 }))
    assert(train.run("states", request(folder, { store = folder .. "/kept" }, "anchor3")))
    hidden.collect = collect
    local inside = weights("states", request(folder, { insides = folder .. "/teacher.qe" }, "anchor3"))
    local stored = weights("states", request(folder, { store = folder .. "/kept" }, "anchor3"))
    equal(inside == stored, true, "states of one teacher, scores of another")
    support.raises("no.qe", train.run, "states", request(folder, { insides = folder .. "/no.qe" }, "anchor3"))
    local bytes = support.read(folder .. "/kept")
    support.write(folder .. "/kept", bytes:sub(1, -600))
    support.raises(folder .. "/kept", train.run, "states", with_teacher(folder, { store = folder .. "/kept" }))
  end)
end)

-- The rows of each length, and every row's length.
local function by_length(model, data, side)
  local groups, lengths = {}, {}
  for row = 1, data:rows() do
    local batch <close> = qe.batch(data, { row })
    local length = batch:segments(model, side):offsets()[2]
    lengths[row], groups[length] = length, groups[length] or {}
    table.insert(groups[length], row)
  end
  return groups, lengths
end

-- Stores in which every text has the states of another text of the same length.
local function others_states(stores, model, data, places)
  local tape <close>, result = qe.tape(), {}
  for k, place in ipairs(places) do
    local groups, lengths = by_length(model, data, place.side)
    local taken = {}
    result[k] = qe.states(stores[k]:width())
    for row = 1, data:rows() do
      local length = lengths[row]
      taken[length] = (taken[length] or 0) + 1
      tape:reset()
      local values = stores[k]:target(tape, { groups[length][taken[length] % #groups[length] + 1] }, { 0, length })
      assert(result[k]:add(values, nil, { 0, length }, { share = 0.3 }))
    end
  end
  return result
end

test("states: the student comes to have the teacher's states", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function distances(extra)
      local list = {}
      local recipe = changed(by_states, { stages = function(run)
        local stages = by_states.stages(run)
        local loss = stages[1].loss
        stages[1].loss = function(...)
          local value = loss(...)
          list[#list + 1] = value:item()
          return value
        end
        return { stages[1] }
      end })
      extra.state_epochs, extra.rate, extra.dropout = 30, 0.01, 0.0
      assert(train.run(recipe, with_teacher(folder, extra)))
      local function mean(first)
        local sum = 0
        for i = first, first + 6 do sum = sum + list[i] / 7 end
        return sum
      end
      return mean(#list - 6) / mean(1)
    end
    local honest = distances { cells = 0.3 }
    equal(honest < 0.5, true, ("%.3f of the distance is left"):format(honest))
    local collect = hidden.collect
    hidden.collect = function(model, data, pool, places, choose)
      return others_states(collect(model, data, pool, places, choose), model, data, places)
    end
    local control = distances { cells = 0.3 }
    hidden.collect = collect
    equal(control > honest * 1.2, true, ("honest %.3f, shuffled %.3f"):format(honest, control))
  end)
end)

test("states: resumes in both stages", function()
  for _, stop in ipairs { 103, 241 } do
    check_resume(by_states, function(folder)
      return with_teacher(folder, { epochs = 10, batch = 16, state_epochs = 12 })
    end, stop)
  end
end)

-- ---- sampling ----

local sampling = require "qestrel.recipes.sampling"

test("sampling: all classes are kd; each proposal is another one", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(recipe, extra)
      local o = { bins = 300, epochs = 2 }
      for key, value in pairs(extra or {}) do o[key] = value end
      return weights(recipe, request(folder, o, "anchor3"))
    end
    local kd = run "kd"
    equal(run("sampling", { samples = 0 }) == kd, true, "all of them")
    equal(run("sampling", { samples = 300 }) == kd, true, "as many as there are")
    local seen = {}
    for _, proposal in ipairs { "dynamic", "teacher", "uniform" } do
      local bytes = run("sampling", { samples = 40, proposal = proposal })
      equal(seen[bytes], nil, proposal)
      seen[bytes] = true
    end
    equal(seen[run("sampling", { samples = 40, refit = 5 })], nil, "refit")
    equal(seen[run("sampling", { samples = 40, catch_up = 1.0 })], nil, "rows that catch up")
    support.raises("more than 256 bins, or --lists", train.run, "sampling", request(folder, { bins = 9 }, "anchor3"))
  end)
end)

test("sampling: only rows of the head that were drawn are moved", function()
  support.with_folder(function(folder)
    make_data(folder)
    local before, moved, steps
    local recipe = changed(sampling, { after = function(run)
      steps = (steps or 0) + 1
      local now = run.student:params():matrix "head.weight"
      if before then
        moved = 0
        local cols = #now // 300
        for i = 0, 299 do
          for j = 1, cols do
            if now[i * cols + j] ~= before[i * cols + j] then
              moved = moved + 1
              break
            end
          end
        end
        equal(moved > 0 and moved <= 20, true, ("%d rows moved"):format(moved))
      end
      before = now
    end })
    assert(train.run(recipe, request(folder, { bins = 300, samples = 20, batch = 16, epochs = 1 }, "anchor3")))
    equal(steps, 13)
  end)
end)

-- Lists: each source with several translations, scored.
local function make_lists(folder)
  local rows, scores, rng = support.generate.rows(qe, 40, 5), {}, qe.rng(1, "lists")
  local all = {}
  for i, row in ipairs(rows) do
    for j = 1, i % 7 + 2 do
      local other = rows[rng:below(#rows) + 1]
      all[#all + 1] = { row[1], j == 1 and row[2] or other[2], 0 }
      scores[#scores + 1] = j == 1 and row[3] or 0.3 * rng:uniform()
    end
  end
  support.generate.write(folder .. "/train.tsv", all, { score = scores })
  write_scores(folder .. "/told.tsv", scores)
  support.generate.write(folder .. "/dev.tsv", all, { score = scores })
end

test("sampling: lists, whole and drawn", function()
  support.with_folder(function(folder)
    make_lists(folder)
    local function run(extra)
      local loss
      local recipe = changed(sampling, { after = function(inner)
        loss = inner.state.loop.loss_sum
        for i, row in ipairs(inner.list_of[inner.rows[1]]) do
          local list = inner.list_of[inner.rows[1]]
          equal(i == 1 or inner.told[list[i - 1]] >= inner.told[row], true, "the teacher's best first")
        end
      end })
      local o = { lists = true, batch = 4, epochs = 3 }
      for key, value in pairs(extra) do o[key] = value end
      local model = assert(train.run(recipe, request(folder, o, "told")))
      equal(loss == loss and loss > 0, true)
      return model:params():values():bytes()
    end
    local whole, drawn = run { samples = 0 }, run { samples = 3 }
    equal(whole == drawn, false)
    equal(run { samples = 9 } == whole, true, "no list is longer")
    equal(run { samples = 3, proposal = "uniform" } == drawn, false)
    equal(run { samples = 0, sharpness = 1 } == whole, false)
  end)
end)

test("sampling: resumes", function()
  check_resume(sampling, function(folder)
    return request(folder, { epochs = 30, batch = 16, bins = 300, samples = 20, refit = 30 }, "anchor3")
  end, 131)
end)

support.finish()
