--- A training run: its data, streams of random numbers, student, and the state that checkpoints save. Recipes get one
-- as their first argument.
--
--    run.train, run.dev             datasets; column `gold` holds the human scores
--    run.rows                       array of training rows in use (nil: all)
--    run.options                    values of the options
--    run.student                    the model that will be saved
--    run.tape, run.pool             of the current step
--    run.state                      everything that lasts: library objects, numbers, strings, tables of these
-- @module qestrel.run
local context = require "qestrel.context"
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local teacher = require "qestrel.teacher"

local Run = {}
Run.__index = Run

--- A message on stderr, unless the run is quiet.
function Run:say(format, ...)
  if not self.quiet then io.stderr:write(format:format(...), "\n") end
end

--- The stream of that name; part of the state. Streams do not disturb each other.
function Run:rng(name)
  local streams = self.state.streams
  if not streams[name] then streams[name] = qe.rng(self.seed, name) end
  return streams[name]
end

--- The architecture that the options describe.
function Run:configuration()
  local o = self.options
  local vocabulary = o.vocabulary == "ngrams"
      and { kind = o.vocabulary, buckets = o.buckets, lowercase = o.lowercase }
    or { kind = o.vocabulary, size = o.words, minimum = o.minimum, lowercase = o.lowercase }
  local aligned, reads = o.student == "aligned", self.encoder ~= nil
  return {
    name = o.student, embedding = o.embedding, hidden = o.hidden, dropout = o.dropout,
    attention = not aligned and o.attention or nil, window = aligned and o.window or nil,
    states = aligned and o.states or nil,
    comparison = aligned and o.comparison or nil,
    decoder_dropout = aligned and o.decoder_dropout or nil,
    words = aligned and (o.tags or "") ~= "" or nil,
    head = o.bins > 0 and "bins" or "sigmoid", bins = o.bins, max_tokens = o.max_tokens,
    decoder_inputs = o.decoder and 4 or 0,
    least_count = aligned and o.least_count or nil, least_link = aligned and o.least_link or nil,
    context_layer = reads and self.encoder.layer or nil, context_width = reads and self.encoder.width or nil,
    source = not reads and vocabulary or nil, target = not reads and vocabulary or nil,
  }
end

--- A fresh model; `name` names the stream that its start values come from.
function Run:new_model(name, configuration)
  local model, problem = qe.model(configuration or self:configuration(), self.train, self:rng(name), self.parallel)
  if not model then error(problem, 0) end
  if self.encoder then context.attach(self, model) end
  return model
end

--- One pass of the student (or another model) with dropout from the stream NAME.dropout.
function Run:forward(batch, model, name)
  model = model or self.student
  local options = self.encoder and context.given(self.tape, self.encoder.train, batch, model) or {}
  options.dropout = self:rng((name or "student") .. ".dropout")
  return model:forward(self.tape, batch, options)
end

--- Scores of the dev rows by the student as it is now, as its archive would give them.
function Run:dev_scores()
  if self.encoder then return context.own_scores(self, self.dev) end
  self.student:prepare()
  return evaluate.scores(self.student, self.dev, self.pool)
end

local function range(values)
  local low, high = math.huge, -math.huge
  for _, value in ipairs(values) do
    if value == value then low, high = math.min(low, value), math.max(high, value) end
  end
  return low, high
end

local function scaled(values, low, width, shift)
  local list = {}
  for i, value in ipairs(values) do list[i] = (value - (shift and low or 0)) / width end
  return list
end

--- Column `to` = column `from` of the training data, scaled to 0..1 by its own range (fitted on these rows alone);
-- `sigma_to` = `sigma_from` in the same unit, where that column exists. Returns low and width of the range.
function Run:scale_column(from, to, sigma_from, sigma_to)
  local values = self.train:column(from)
  if not values then
    if from == "teacher" then error("this recipe needs a --teacher", 0) end
    error(("the training data have no column %s"):format(from), 0)
  end
  local low, high = range(values)
  if low >= high then error(("column %s of the training data does not vary"):format(from), 0) end
  self.train:set_column(to, scaled(values, low, high - low, true))
  local sigma = sigma_from and self.train:column(sigma_from)
  if sigma then self.train:set_column(sigma_to, scaled(sigma, low, high - low, false)) end
  return low, high - low
end

--- The same for several columns, in one common unit, so that they can be compared; `to` names each new column.
function Run:scale_together(names, to)
  local low, high = math.huge, -math.huge
  for _, name in ipairs(names) do
    local from, till = range(self.train:column(name))
    low, high = math.min(low, from), math.max(high, till)
  end
  if low >= high then error(table.concat(names, ", ") .. " of the training data do not vary", 0) end
  for i, name in ipairs(names) do
    self.train:set_column(to[i], scaled(self.train:column(name), low, high - low, true))
  end
end

--- The epoch of the stage that the next step belongs to, from 1.
function Run:epoch()
  return self.state.loop.step // self.batcher:batches() + 1
end

local function score_column(data)
  for _, name in ipairs { "teacher_score", "teacher" } do
    local values = data:column(name)
    if values then return values end
  end
end

--- Appends a TSV file of pairs to the training rows. Its scores come from its column teacher_score (with sigma, if
-- there is one), or else from those teachers that can score any pair. "" is no file.
function Run:augment(path)
  if path == "" then return end
  local data <close> = qe.dataset()
  local ok, problem = data:read(path)
  if not ok then error(problem, 0) end
  local scores, live = score_column(data), teacher.live(self.teachers)
  if scores then
    data:set_column("teacher", scores)
    if data:column "sigma" then data:set_column("teacher_sigma", data:column "sigma") end
  elseif #live > 0 then
    ok, problem = teacher.apply(live, data, self.pool)
    if not ok then error(problem, 0) end
  else
    error(path .. ": no column teacher_score, and no teacher that could score its pairs", 0)
  end
  self:say("%s: %d more pairs", path, data:rows())
  assert(self.train:append_all(data))
end

local function read_data(self, request)
  for _, name in ipairs { "train", "dev" } do
    local source = request.data or request[name]
    local problem
    if type(source) == "userdata" then
      self[name] = source
    elseif source then
      self[name], problem = evaluate.read(source, request.data and name, self.options.gold)
      if not self[name] then return nil, problem end
    end
  end
  if not self.train then return nil, "no training data: give --data=DIR or --train=FILE" end
  if not self.dev then return nil, "no development data: give --dev=FILE" end
  return true
end

local function read_parallel(path)
  if path == "" then return nil end
  local data = qe.dataset()
  local ok, problem = data:read(path)
  if not ok then return nil, problem end
  return data
end

-- Matrices of an archive that the student has, too, of the same shape.
local function start_from(self, path)
  if path == "" then return true end
  local model <close>, problem = qe.open(path)
  if not model then return nil, problem end
  local taken = self.student:take(model)
  if taken == 0 then return nil, ("--init=%s: no matrix of it fits the student"):format(path) end
  self:say("%d matrices from %s", taken, path)
  return true
end

--- A run, set up as far as every recipe needs it: data read, teachers applied, student and streams made.
-- @param recipe a table, see README
-- @param request data (folder), or train and dev (paths, or datasets with a column gold); teachers, options, seed,
-- threads, quiet
-- @return run, or nil and a message
function Run.new(recipe, request)
  local self = setmetatable({
    recipe = recipe, options = request.options, seed = request.seed or 1, quiet = request.quiet,
    folder = request.data, request = { data = request.data, train = request.train, dev = request.dev },
    teachers = request.teachers or {}, state = { streams = {} },
  }, Run)
  local ok, problem = read_data(self, request)
  if not ok then return nil, problem end
  self.data_sha256 = { train = self.train:sha256(), dev = self.dev:sha256() }
  self.pool = qe.pool(request.threads or 1)
  self.tape = qe.tape(self.pool, self.options.shards)
  if recipe.teacher and #self.teachers > 0 then
    ok, problem = teacher.apply(self.teachers, self.train, self.pool)
    if not ok then return nil, problem end
  end
  self.parallel, problem = read_parallel(self.options.parallel)
  if problem then return nil, problem end
  ok, problem = context.open(self)
  if not ok then return nil, problem end
  self.student = recipe.student and recipe.student(self) or self:new_model "student"
  ok, problem = start_from(self, self.options.init)
  if not ok then return nil, problem end
  self.state.student = self.student:params()
  return self
end

return Run
