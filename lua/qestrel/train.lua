--- The training loop that every recipe shares: batches, loss, step, dev Pearson, early stopping, progress, checkpoint,
-- resume, archive. A recipe is a table:
--
--    name, options            see qestrel.options
--    student(run)             optional, -> the model to train, instead of a BiRNN as the options say
--    setup(run)               columns, further models, anything that run.state shall hold
--    loss(run, batch)         -> 1 x 1 tensor on run.tape; the loop walks it back and steps the student
--    after(run, batch, rate)  optional, after every step
--    step(run, batch, rate)   optional, instead of loss: does all of a step itself and returns a number to report
--    evaluated(run)           optional, after every evaluation on dev
--    finish(run)              optional, at the end, with the best student
--    stages(run)              optional, -> array of { name, epochs, rate, patience, last, rows, setup, loss, step,
--                             after }, run one after another, each from the best student of the one before (with
--                             last = true from its last one), with a new optimiser
--
-- Whatever must outlast a step lives in run.state, which checkpoints save.
-- @module qestrel.train
local qe = require "qestrel"
local checkpoint = require "qestrel.checkpoint"
local context = require "qestrel.context"
local lines = require "qestrel.lines"
local options = require "qestrel.options"
local package_model = require "qestrel.package"
local progress = require "qestrel.progress"
local Run = require "qestrel.run"

local train = {}

local WORD_MATRICES = { embedding = true, mix = true, mix_bias = true, turn = true }
local CHECKPOINT_STEPS, CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 100, 10, 0.05

-- Calls a part of a recipe; what it raises gets the recipe's name.
local function call(run, part, ...)
  local result = table.pack(pcall(part, run, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  if type(result[2]) ~= "string" then error(result[2], 0) end
  error(("recipe %s: %s"):format(run.recipe.name, result[2]), 0)
end

local function stages_of(run)
  local recipe = run.recipe
  local whole = { name = recipe.name, loss = recipe.loss, step = recipe.step, after = recipe.after }
  local list = recipe.stages and call(run, recipe.stages) or { whole }
  for _, stage in ipairs(list) do
    stage.epochs = stage.epochs or run.options.epochs
    stage.step = stage.step or recipe.step
    stage.loss = stage.loss or recipe.loss
    stage.after = stage.after or recipe.after
  end
  return list
end

-- What one stage keeps: fresh at its start, restored on resume.
local function start_stage(run, stage)
  local o = run.options
  local params = run.student:params()
  run.optimiser = qe.optimiser(params, { rule = o.optimiser, weight_decay = o.decay }, run.pool)
  run.batcher = qe.batcher(run.train, stage.rows or run.rows, o.batch, run:rng "data")
  run.state.stage_objects = { optimiser = run.optimiser, batcher = run.batcher, best = params:values():clone() }
  run.state.loop = {
    epoch = 0, step = 0, loss_sum = 0.0, loss_count = 0, -- since the last evaluation
    best_pearson = -2.0, best_epoch = 0.0, evaluated = 0, waited = 0, finished = false,
  }
  for _, name in ipairs(o.word_rate ~= 1 and params:names() or {}) do
    if WORD_MATRICES[name:match "%.([%w_]+)$"] then run.optimiser:scale(name, o.word_rate) end
  end
  for _, name in ipairs(run.encoder and params:names() or {}) do -- axes see no gradient, and must not decay
    if name:match "%.embedding$" or name:match "%.center$" then run.optimiser:scale(name, 0) end
  end
  if stage.setup then call(run, stage.setup) end
  run.total_steps = stage.epochs * run.batcher:batches()
end

local function rate_at(run, stage, step)
  local o = run.options
  local rate = stage.rate or o.rate
  if step < o.warmup then return rate * (step + 1) / o.warmup end
  local share = (step - o.warmup) / math.max(1, run.total_steps - o.warmup)
  if o.schedule == "linear" then return rate * (1 - share) end
  if o.schedule == "cosine" then return rate * 0.5 * (1 + math.cos(math.pi * share)) end
  if o.schedule ~= "constant" then error(("--schedule=%s: none of constant, linear, cosine"):format(o.schedule), 0) end
  return rate
end

-- The number of a loss that is one, and finite.
local function checked(run, loss)
  local kind = type(loss)
  local shape = kind == "userdata" and ("%d x %d"):format(loss:rows(), loss:cols()) or kind
  if shape ~= "1 x 1" then error(("loss gave %s, expected a 1 x 1 tensor"):format(shape), 0) end
  local value = loss:item()
  if value ~= value or math.abs(value) == math.huge then
    local what = value ~= value and "not a number" or "infinite"
    error(("step %d: the loss is %s"):format(run.state.loop.step + 1, what), 0)
  end
  return value
end

local function default_step(run, batch, rate, stage)
  local loss = stage.loss(run, batch)
  local value = checked(run, loss)
  loss:backward()
  if run.options.clip > 0 then run.student:params():gradient():clip(run.options.clip) end
  local ok, problem = run.optimiser:step(rate)
  if not ok then error(problem, 0) end
  return value
end

local function one_step(run, stage, batch)
  local loop = run.state.loop
  run.tape:reset()
  local rate = rate_at(run, stage, loop.step)
  local value = call(run, stage.step or default_step, batch, rate, stage)
  if stage.after then call(run, stage.after, batch, rate) end
  loop.step = loop.step + 1
  loop.loss_sum, loop.loss_count = loop.loss_sum + value, loop.loss_count + 1
end

-- Keeps the best student; says whether to stop.
local function evaluate(run, stage)
  local loop, best = run.state.loop, run.state.stage_objects.best
  local pearson = qe.pearson(run:dev_scores(), run.dev:column "gold")
  loop.pearson = pearson == pearson and pearson or -2.0
  loop.evaluated = loop.evaluated + 1
  if stage.last or loop.pearson > loop.best_pearson then
    loop.best_pearson, loop.best_epoch, loop.waited = loop.pearson, loop.step / run.batcher:batches(), 0
    best:copy(run.student:params():values())
  else
    loop.waited = loop.waited + 1
  end
  table.insert(run.state.curve, { stage = run.state.stage, step = loop.step, pearson = loop.pearson })
  progress.evaluated(run)
  if run.recipe.evaluated then call(run, run.recipe.evaluated) end
  loop.loss_sum, loop.loss_count = 0.0, 0
  return not stage.last and loop.waited >= (stage.patience or run.options.patience)
end

-- Evaluations fall on the last batch of each of `evaluations` equal parts of an epoch.
local function due(run)
  local step, batches = run.state.loop.step, run.batcher:batches()
  local inside = (step - 1) % batches + 1
  local parts = run.options.evaluations
  return inside * parts // batches > (inside - 1) * parts // batches
end

local function save_checkpoint(run)
  local begin = qe.clock()
  local ok, problem = checkpoint.save(run.checkpoint, run.identity, run.state)
  if not ok then error(problem, 0) end
  run.saved_step, run.saved_time = run.state.loop.step, qe.clock()
  run.save_seconds = run.saved_time - begin
end

-- After so many steps or seconds; checkpoints that take more than a second shall take no more than a small share of the
-- time.
local function save_when_due(run)
  if not run.checkpoint then return end
  local passed, took = qe.clock() - run.saved_time, run.save_seconds or 0
  if took > 1 and passed * CHECKPOINT_SHARE < took then return end
  if run.state.loop.step - run.saved_step >= CHECKPOINT_STEPS or passed >= CHECKPOINT_SECONDS then
    save_checkpoint(run)
  end
end

local function next_batch(run)
  local batch = run.batcher:next()
  if not batch then batch = run.batcher:next() end -- the end of an epoch was reported
  return batch
end

local function run_stage(run, stage)
  local loop = run.state.loop
  run.saved_step, run.saved_time = loop.step, qe.clock()
  progress.start(run, stage)
  while not loop.finished and loop.step < run.total_steps do
    local batch <close> = next_batch(run)
    one_step(run, stage, batch)
    loop.epoch = (loop.step - 1) // run.batcher:batches() + 1
    if due(run) then loop.finished = evaluate(run, stage) end
    progress.step(run)
    save_when_due(run)
  end
  run.student:params():values():copy(run.state.stage_objects.best)
  run.student:params():zero_gradient()
end

local function identity_of(run)
  return {
    recipe = run.recipe.name, seed = tostring(run.seed), version = qe.version(),
    options = qe.sha256(qe.json.encode(run.options)),
    data = run.data_sha256.train .. run.data_sha256.dev,
    training_rows = run.train:sha256(),
  }
end

-- Where to go on: the function that restores, and the number of the stage.
local function find_checkpoint(run, resume)
  if not run.checkpoint or not lines.exists(run.checkpoint) then
    if resume then run:say("no checkpoint: starting from the beginning") end
    return nil, 1
  end
  if not resume then
    run:say("%s is replaced; --resume would go on from it", run.checkpoint)
    return nil, 1
  end
  local restore, values = checkpoint.load(run.checkpoint, run.identity)
  if not restore then error(values, 0) end
  return restore, values.stage
end

local function run_stages(run, resume)
  local list = stages_of(run)
  local restore, first = find_checkpoint(run, resume)
  for number = 1, #list do
    -- stages before the checkpoint's are set up, because later ones may use what they made, but not run
    run.state.stage = number
    if number >= first then
      start_stage(run, list[number])
      if restore then
        restore(run.state)
        restore = nil
        run:say("resumed at step %d", run.state.loop.step)
      end
      run_stage(run, list[number])
    elseif list[number].setup then
      call(run, list[number].setup)
    end
  end
end

--- Trains, and writes the archive where `request.output` names one.
-- @param recipe table, or the name of a shipped recipe
-- @param request see Run.new; also output, resume
-- @return model and a table of dev metrics (curve: array of { stage =, step =, pearson = }; history: of tasks that came
-- one after another, for each the dev Pearson of all so far), or nil and a message
function train.run(recipe, request)
  if type(recipe) == "string" then recipe = require("qestrel.recipes." .. recipe) end
  local ok, problem = qe.blas_check()
  if not ok then return nil, problem end
  local values
  values, problem = options.resolve(recipe, request.options or {})
  if not values then return nil, problem end
  request = setmetatable({ options = values }, { __index = request })
  local run
  run, problem = Run.new(recipe, request)
  if not run then return nil, problem end
  if recipe.setup then call(run, recipe.setup) end
  context.read(run)
  run.identity = identity_of(run)
  run.state.curve = {}
  run.output = request.output
  run.checkpoint = request.output and request.output .. ".checkpoint"
  run_stages(run, request.resume)
  if recipe.finish then call(run, recipe.finish) end
  local metrics = package_model.finish(run)
  metrics.curve, metrics.history = run.state.curve, run.state.history
  if request.output then
    ok, problem = run.student:save(request.output)
    if not ok then return nil, problem end
    os.remove(run.checkpoint)
  end
  return run.student, metrics
end

return train
