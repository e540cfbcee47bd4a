-- The training loop and the two recipes: off-switch, mechanism and shuffle controls of methods.md M1, reproducibility,
-- resume, and what goes wrong when a request is wrong.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local train = require "qestrel.train"
local test, equal = support.test, support.equal

local SMALL = { buckets = 257, embedding = 8, hidden = 6, attention = 8, epochs = 2, evaluations = 1, storage = "f32" }

local function options(extra)
  local list = {}
  for _, source in ipairs { SMALL, extra or {} } do
    for name, value in pairs(source) do list[name] = value end
  end
  return list
end

local function truth_of(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[3] end
  return list
end

local function shuffled(list, seed)
  local copy = table.move(list, 1, #list, 1, {})
  qe.rng(seed, "shuffle"):shuffle(copy)
  return copy
end

-- train.tsv, dev.tsv, more.tsv and teacher files in `folder`.
local function make_data(folder, count)
  local rows, dev = support.generate.rows(qe, count or 200, 1), support.generate.rows(qe, 80, 2)
  local more = support.generate.rows(qe, 100, 3)
  local judged = support.generate.judged(qe, rows, 0.2, 1)
  local write = support.generate.write
  write(folder .. "/train.tsv", rows, { score = judged })
  write(folder .. "/shuffled.tsv", rows, { score = shuffled(judged, 9) })
  write(folder .. "/dev.tsv", dev, { score = truth_of(dev) })
  local sigma = {}
  for i = 1, #more do sigma[i] = i / #more end
  write(folder .. "/more.tsv", more, { teacher_score = truth_of(more), sigma = sigma })
  local lines = { "index\tteacher_score" }
  for i = 1, #rows do lines[i + 1] = ("%d\t%.6f"):format(i - 1, rows[i][3]) end
  support.write(folder .. "/teacher.tsv", table.concat(lines, "\n") .. "\n")
end

local function request(folder, extra)
  local list = {
    train = folder .. "/train.tsv", dev = folder .. "/dev.tsv", seed = 3, quiet = true, options = options(),
  }
  for name, value in pairs(extra or {}) do list[name] = value end
  return list
end

local function weights(recipe, wanted)
  local model = assert(train.run(recipe, wanted))
  return model:params():values():bytes()
end

test("alpha 0 is gold, bit for bit", function()
  support.with_folder(function(folder)
    make_data(folder)
    local gold = weights("gold", request(folder))
    local teachers = { folder .. "/teacher.tsv" }
    local function kd(alpha)
      return weights("kd", request(folder, { teachers = teachers, options = options { alpha = alpha } }))
    end
    equal(kd(0) == gold, true, "alpha 0")
    equal(kd(0.5) == gold, false, "alpha .5")
    equal(weights("gold", request(folder, { teachers = teachers })) == gold, true, "gold with a teacher to ignore")
    equal(weights("gold", request(folder, { seed = 4 })) == gold, false, "another seed")
  end)
end)

test("alpha 1 never looks at gold", function()
  support.with_folder(function(folder)
    make_data(folder)
    local teachers = { folder .. "/teacher.tsv" }
    local plain = weights("kd", request(folder, { teachers = teachers }))
    local other = weights("kd", request(folder, { teachers = teachers, train = folder .. "/shuffled.tsv" }))
    equal(other == plain, true, "shuffled gold")
    local mixed = { teachers = teachers, options = options { alpha = 0.5 } }
    local a = weights("kd", request(folder, mixed))
    mixed.train = folder .. "/shuffled.tsv"
    equal(weights("kd", request(folder, mixed)) == a, false, "shuffled gold in the mix")
  end)
end)

test("augmentation and noise filter", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function run(extra)
      return weights("kd", request(folder, { teachers = { folder .. "/teacher.tsv" }, options = options(extra) }))
    end
    local more = folder .. "/more.tsv"
    local plain, augmented = run {}, run { augment = more }
    equal(plain == augmented, false, "augmentation")
    equal(run { augment = more, keep = 1 } == augmented, true, "keep everything")
    equal(run { augment = more, keep = 0.5 } == augmented, false, "keep half")
    support.raises("no sigma", run, { keep = 0.5 })
  end)
end)

test("teachers: an archive, a command, an ensemble", function()
  support.with_folder(function(folder)
    make_data(folder)
    local archive = folder .. "/teacher.qe"
    assert(train.run("gold", request(folder, { output = archive })))
    local function run(...)
      return weights("kd", request(folder, { teachers = { ... } }))
    end
    local by_archive = run(archive)
    local command = "cmd:awk -F '\t' '{ print length($2) / 100 }'"
    local by_command = run(command)
    equal(by_archive == by_command, false, "two teachers")
    equal(run(archive, command) ~= by_archive, true, "an ensemble")
    equal(run(archive, archive) == by_archive, true, "an ensemble of one twice")
    local data <close> = qe.dataset()
    assert(data:read(folder .. "/train.tsv"))
    local teacher = require "qestrel.teacher"
    assert(teacher.apply({ command, "cmd:awk '{ print 0.5 }'" }, data))
    local _, translation = data:pair(1)
    local a = #translation / 100
    equal(math.abs(data:column "teacher"[1] - (a + 0.5) / 2) < 1e-4, true, "mean")
    equal(math.abs(data:column "teacher_sigma"[1] - math.abs(a - 0.5) / 2) < 1e-4, true, "sigma")
    support.refused("199 scores for 200 pairs", teacher.apply({ "cmd:awk 'NR > 1 { print 1 }'" }, data))
    support.refused("not a number", teacher.apply({ "cmd:awk '{ print \"x\" }'" }, data))
    support.refused("ended with exit 3", teacher.apply({ "cmd:cat > /dev/null; exit 3" }, data))
    support.refused("nothing.qe", teacher.apply({ folder .. "/nothing.qe" }, data))
  end)
end)

test("threads change nothing, shards do", function()
  support.with_folder(function(folder)
    make_data(folder)
    local one = weights("gold", request(folder, { threads = 1 }))
    equal(weights("gold", request(folder, { threads = 2 })) == one, true, "two threads")
    equal(weights("gold", request(folder, { threads = 3 })) == one, true, "three threads")
  end)
end)

test("archives of equal runs are equal", function()
  support.with_folder(function(folder)
    make_data(folder)
    assert(train.run("gold", request(folder, { output = folder .. "/a.qe", threads = 1 })))
    assert(train.run("gold", request(folder, { output = folder .. "/b.qe", threads = 2 })))
    equal(support.read(folder .. "/a.qe") == support.read(folder .. "/b.qe"), true, "bytes")
    equal(io.open(folder .. "/a.qe.checkpoint"), nil, "checkpoint")
    local manifest = assert(qe.open(folder .. "/a.qe")):manifest()
    equal(manifest.recipe.name, "gold", "recipe")
    equal(support.read(folder .. "/a.qe"):find(folder, 1, true), nil, "path in the archive")
  end)
end)

test("bins, words, decoder-free storage types", function()
  support.with_folder(function(folder)
    make_data(folder)
    for _, extra in ipairs { { bins = 10 }, { vocabulary = "words" }, { storage = "int8" }, { storage = "bf16" },
                             { optimiser = "adagrad", rate = 0.05 }, { optimiser = "sgd", clip = 1 },
                             { schedule = "cosine", warmup = 3 }, { schedule = "linear" } } do
      local output = folder .. "/model.qe"
      local model, metrics = train.run("gold", request(folder, { options = options(extra), output = output }))
      assert(model, metrics)
      local again = qe.scorer(assert(qe.open(output))):score("ka lo", "mi su")
      equal(again, qe.scorer(model):score("ka lo", "mi su"), "score after opening")
    end
  end)
end)

test("a run that stops is resumed to the same model", function()
  support.with_folder(function(folder)
    make_data(folder, 320)
    local settings = options { epochs = 24, batch = 32, patience = 99 } -- 240 steps
    local whole = request(folder, { output = folder .. "/whole.qe", options = settings })
    assert(train.run("kd", setmetatable({ teachers = { folder .. "/teacher.tsv" } }, { __index = whole })))
    for _, stop in ipairs { 101, 137, 239 } do
      local recipe, steps = {}, 0
      for key, value in pairs(require "qestrel.recipes.kd") do recipe[key] = value end
      recipe.after = function()
        steps = steps + 1
        if steps == stop then error("stopped here", 0) end
      end
      local cut = { teachers = { folder .. "/teacher.tsv" }, output = folder .. "/cut.qe" }
      support.raises("stopped here", train.run, recipe, setmetatable(cut, { __index = whole }))
      cut.resume = true
      recipe.after = function() steps = steps + 1 end
      assert(train.run(recipe, setmetatable(cut, { __index = whole })))
      equal(steps - stop, 240 - stop // 100 * 100, "steps after resuming")
      equal(support.read(folder .. "/cut.qe") == support.read(folder .. "/whole.qe"), true, "archive, cut at " .. stop)
    end
  end)
end)

test("a checkpoint of another run is refused", function()
  support.with_folder(function(folder)
    make_data(folder, 320)
    local recipe, steps = {}, 0
    for key, value in pairs(require "qestrel.recipes.gold") do recipe[key] = value end
    recipe.after = function()
      steps = steps + 1
      if steps == 101 then error("stopped here", 0) end
    end
    local cut = request(folder, { output = folder .. "/cut.qe", options = options { epochs = 24, patience = 99 } })
    support.raises("stopped here", train.run, recipe, cut)
    cut.resume, cut.seed = true, 4
    support.raises("seed was 3, now 4", train.run, recipe, cut)
  end)
end)

test("a recipe of one's own: stages, step, state", function()
  support.with_folder(function(folder)
    make_data(folder)
    local seen = {}
    local recipe = { name = "own", options = { { "weight", 2.0, "of the loss" } } }
    function recipe.setup(run)
      run:scale_column("gold", "target")
      run.state.count = 0
    end
    function recipe.stages(run)
      equal(run.options.weight, 3.0, "option")
      return { { name = "first", epochs = 1 }, { name = "second", epochs = 2 } }
    end
    function recipe.loss(run, batch)
      local score = run:forward(batch):tap "score"
      return (score:squared_error(batch:column(run.tape, "target")) * run.options.weight):mean()
    end
    function recipe.after(run)
      run.state.count = run.state.count + 1
      seen[#seen + 1] = run.state.stage
    end
    assert(train.run(recipe, request(folder, { options = options { weight = 3 } })))
    equal(#seen, 7 * 3, "steps")
    equal(seen[7] == 1 and seen[8] == 2, true, "stages in order")
  end)
end)

test("wrong requests are named", function()
  support.with_folder(function(folder)
    make_data(folder)
    support.refused("no training data", train.run("gold", { dev = folder .. "/dev.tsv", quiet = true }))
    support.refused("no such option", train.run("gold", request(folder, { options = { colour = "red" } })))
    support.refused("not a whole number", train.run("gold", request(folder, { options = { epochs = "many" } })))
    support.refused("no column of human scores", train.run("gold", request(folder, { options = { gold = "nothing" } })))
    support.refused("nothing.tsv", train.run("gold", request(folder, { train = folder .. "/nothing.tsv" })))
    support.raises("needs a --teacher", train.run, "kd", request(folder))
    local zigzag = request(folder, { options = options { schedule = "zigzag" } })
    support.raises("--schedule=zigzag", train.run, "gold", zigzag)
  end)
end)

test("wrong recipes are named, with line and cause", function()
  support.with_folder(function(folder)
    make_data(folder)
    local function refused(text, loss)
      local recipe = { name = "odd", loss = loss, setup = function(run) run:scale_column("gold", "target") end }
      support.raises(text, train.run, recipe, request(folder))
    end
    local function score(run, batch) return run:forward(batch):tap "score" end
    refused("recipe odd: step 1: the loss is not a number", function(...) return (score(...) - 2):log():mean() end)
    refused("recipe odd: step 1: the loss is infinite", function(...) return (score(...) * 0):log():mean() end)
    refused("recipe odd: loss gave 32 x 1, expected a 1 x 1 tensor", score)
    refused("recipe odd: loss gave nil, expected a 1 x 1 tensor", function() end)
    refused("train.lua:", function(...) return score(...):matmul(score(...)):mean() end)
    refused("recipe odd: ", function(...) return score(...):matmul(score(...)):mean() end)
    refused("there is none named \"nothing\"", function(run, batch)
      return score(run, batch):squared_error(batch:column(run.tape, "nothing")):mean()
    end)
    refused("no tap \"scores\"", function(run, batch) return run:forward(batch):tap("scores"):mean() end)
    support.raises("recipe kd: this recipe needs a --teacher", train.run, "kd", request(folder))
  end)
end)

support.finish()
