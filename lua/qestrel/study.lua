--- Studies: methods x data sets x seeds as a queue of jobs that several processes share, kept in a folder from which an
-- interrupted study goes on. A definition is a Lua file that returns
--
--    seeds      how many
--    options    (optional) of every run, NAME -> value
--    data       array of { name =, folder = (MLQE-PE pair) or train =, dev =, test = (TSV),
--               teachers = { NAME = scores }, seeds = (optional, fewer) }; paths begin at --data, or, with ./ or
--               /, where the study is started
--    teachers   (optional) array of { name =, recipe =, options =, folds =, anchors = { epoch, ... } }: models trained
--               here, one for each data set. NAME is a file of scores of the training rows, by models that have
--               not seen them (folds), NAME.qe the model of all rows, NAME@1, NAME@2 .. its scores at the end of
--               those epochs. Or of { name =, scores = }, a function of the training rows, the data set and a function
--               from its paths to where they are, that gives their scores
--    methods    array of { name =, recipe =, teachers = { NAME, ... }, options = (a table, or a function that gives
--               one, called with the data set and a function from its paths to where they are),
--               data = { NAME, ... } (optional), x = (optional) }
--    compare    name of the method that the others are compared with
--    figures    (optional), see qestrel.study_report
--
-- In the folder: results.jsonl, one line per run; scores/, what each run says of the test rows; teachers/; claims/,
-- which process does what, only while a study runs.
-- @module qestrel.study
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local train = require "qestrel.train"

local study = {}

local FOLDERS = { "scores", "teachers", "claims", "runs" }

--- A text as one word for the shell.
function study.quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local quoted = study.quoted

--- Reads and checks a definition.
-- @return table, or nil and a message
function study.load(path)
  local chunk, problem = loadfile(path, "t")
  if not chunk then return nil, problem end
  local definition = chunk()
  for _, key in ipairs { "data", "methods" } do
    if type(definition) ~= "table" or type(definition[key]) ~= "table" or #definition[key] == 0 then
      return nil, ("%s: a study needs %s"):format(path, key)
    end
  end
  local names = {}
  for _, method in ipairs(definition.methods) do
    if not method.name or not method.recipe then return nil, path .. ": a method needs a name and a recipe" end
    if names[method.name] then return nil, ("%s: two methods are called %s"):format(path, method.name) end
    names[method.name] = true
  end
  if definition.compare and not names[definition.compare] then
    return nil, ("%s: compare=%s is none of the methods"):format(path, definition.compare)
  end
  definition.seeds = definition.seeds or 1
  return definition
end

--- A study in a folder.
-- @param definition from study.load
-- @param settings { data = where paths begin, seeds = (fewer than defined), threads = }
function study.new(definition, folder, settings)
  for _, name in ipairs(FOLDERS) do assert(os.execute(("mkdir -p %s"):format(quoted(folder .. "/" .. name)))) end
  return { definition = definition, folder = folder, root = settings.data or ".", threads = settings.threads or 1,
           seeds = math.min(settings.seeds or math.huge, definition.seeds), store = folder .. "/results.jsonl" }
end

-- ---- jobs ----

local function wanted(method, data)
  for _, name in ipairs(method.data or { data.name }) do
    if name == data.name then return true end
  end
  return false
end

local function teacher_job(self, teacher, data)
  local key = ("%s.%s"):format(data.name, teacher.name)
  return { key = "teacher." .. key, teacher = teacher, data = data, path = self.folder .. "/teachers/" .. key }
end

--- Jobs of a phase: 1, teachers; 2, methods, seed by seed, so that whole comparisons are there early.
function study.jobs(self, phase)
  local definition, list = self.definition, {}
  for _, data in ipairs(definition.data) do
    for _, teacher in ipairs(phase == 1 and definition.teachers or {}) do
      list[#list + 1] = teacher_job(self, teacher, data)
    end
  end
  for seed = 1, phase == 2 and self.seeds or 0 do
    for _, data in ipairs(definition.data) do
      for _, method in ipairs(definition.methods) do
        if wanted(method, data) and seed <= (data.seeds or seed) then
          list[#list + 1] = { key = ("%s.%s.%d"):format(data.name, method.name, seed), method = method, data = data,
                              seed = seed }
        end
      end
    end
  end
  return list
end

--- Results so far: array of what each line holds.
function study.results(self)
  local list = {}
  if not lines.exists(self.store) then return list end
  for line in io.lines(self.store) do
    local result = qe.json.decode(line)
    if result then list[#list + 1] = result end -- a line that a kill cut off is no result; its job runs again
  end
  return list
end

--- Jobs of a phase that have no result yet.
function study.open_jobs(self, phase)
  local done, list = {}, {}
  for _, result in ipairs(study.results(self)) do done[result.key] = true end
  for _, job in ipairs(study.jobs(self, phase)) do
    if not done[job.key] then list[#list + 1] = job end
  end
  return list
end

-- ---- running a job ----

local function append(self, result)
  local file = assert(io.open(self.store, "ab"))
  assert(file:write(qe.json.encode(result) .. "\n")) -- one write, so that lines of several processes do not mix
  assert(file:close())
end

local function placed(self, path) return path and (path:match "^%.?/" and path or self.root .. "/" .. path) end

-- The same as a function that a definition's functions are given.
local function placing(self)
  return function(path) return placed(self, path) end
end

local function request_of(self, job, options)
  local data, all = job.data, {}
  if type(options) == "function" then options = options(data, placing(self)) end
  for _, source in ipairs { self.definition.options or {}, options or {} } do
    for key, value in pairs(source) do all[key] = value end
  end
  return { data = placed(self, data.folder), train = placed(self, data.train), dev = placed(self, data.dev),
           options = all, quiet = true, threads = self.threads, seed = job.seed or 1 }
end

--- One set of a data set, train or test, with its column of gold.
-- @param gold name of the column (optional, else the definition's)
-- @return dataset, or nil and a message
function study.set(self, data, set, gold)
  gold = gold or (self.definition.options or {}).gold
  if data.folder then return evaluate.read(placed(self, data.folder), set == "test" and "test20" or set, gold) end
  return evaluate.read(placed(self, data[set]), nil, gold)
end

local function write_scores(path, scores, first)
  local file = assert(io.open(path .. ".part", "wb"))
  assert(file:write(first and "index\tteacher_score\n" or ""))
  for i, score in ipairs(scores) do
    assert(file:write(first and ("%d\t%.6f\n"):format(i - 1, score) or ("%.6f\n"):format(score)))
  end
  assert(file:close())
  assert(os.rename(path .. ".part", path))
end

-- Scores of rows by a model that has seen the others alone, for every part of the rows.
local function cross_fitted(self, job, folds)
  local whole, scores = assert(study.set(self, job.data, "train")), {}
  local order = {}
  for row = 1, whole:rows() do order[row] = row end
  qe.rng(1, "folds"):shuffle(order)
  for fold = 1, folds do
    local own, others = {}, {}
    for i, row in ipairs(order) do table.insert(i % folds + 1 == fold and own or others, row) end
    local recipe = require("qestrel.recipes." .. job.teacher.recipe)
    local part = setmetatable({ setup = function(run)
      if recipe.setup then recipe.setup(run) end
      run.rows = others
    end }, { __index = recipe })
    local model = assert(train.run(part, request_of(self, job, job.teacher.options)))
    for i, score in ipairs(evaluate.scores(model, whole, nil, own)) do scores[own[i]] = score end
    model:close()
  end
  return scores
end

-- The model of all rows, with its scores on the way.
local function trained(self, job, anchors)
  local data = assert(study.set(self, job.data, "train"))
  local recipe, due = require("qestrel.recipes." .. job.teacher.recipe), {}
  for number, epoch in ipairs(anchors) do due[epoch] = number end
  local watched = setmetatable({ after = function(run, ...)
    if recipe.after then recipe.after(run, ...) end
    local batches = run.batcher:batches()
    local number = (run.state.loop.step + 1) % batches == 0 and due[(run.state.loop.step + 1) // batches]
    if not number then return end
    run.student:prepare()
    write_scores(("%s@%d.tsv"):format(job.path, number), evaluate.scores(run.student, data), true)
  end }, { __index = recipe })
  local request = request_of(self, job, job.teacher.options)
  request.output = job.path .. ".qe"
  local model, metrics = train.run(watched, request)
  assert(model, metrics)
  return evaluate.scores(model, data), metrics
end

local function run_teacher(self, job)
  if job.teacher.scores then
    local rows = assert(study.set(self, job.data, "train"))
    write_scores(job.path .. ".tsv", job.teacher.scores(rows, job.data, placing(self)), true)
    return {}
  end
  local folds = job.teacher.folds or 0
  local scores, metrics = trained(self, job, job.teacher.anchors or {})
  if folds > 1 then scores = cross_fitted(self, job, folds) end
  write_scores(job.path .. ".tsv", scores, true)
  return { dev = metrics.pearson }
end

-- The files that a method's teachers are, for one data set.
local function teachers_of(self, job)
  local list = {}
  for i, name in ipairs(job.method.teachers or {}) do
    local own = (job.data.teachers or {})[name]
    local built = ("%s/teachers/%s.%s"):format(self.folder, job.data.name, name)
    list[i] = own and placed(self, own) or name:match "%.qe$" and built or built .. ".tsv"
    if not lines.exists(list[i]) then
      error(("method %s: no teacher %s for %s"):format(job.method.name, name, job.data.name), 0)
    end
  end
  return list
end

local function run_method(self, job)
  local request = request_of(self, job, job.method.options)
  request.teachers, request.resume = teachers_of(self, job), true
  request.output = ("%s/runs/%s.qe"):format(self.folder, job.key)
  local test = assert(study.set(self, job.data, "test", request.options.gold))
  local model, metrics = train.run(job.method.recipe, request)
  assert(model, metrics)
  local scores, gold = evaluate.scores(model, test), test:column "gold"
  write_scores(("%s/scores/%s"):format(self.folder, job.key), scores)
  os.remove(request.output)
  return { data = job.data.name, method = job.method.name, seed = job.seed, dev = metrics.pearson,
           test = qe.pearson(scores, gold), curve = metrics.curve, history = metrics.history }
end

--- Runs one job and appends its line.
function study.run(self, job)
  local start = qe.clock()
  local ok, result = xpcall(job.teacher and run_teacher or run_method, debug.traceback, self, job)
  if not ok then return nil, result end
  result.key, result.seconds = job.key, qe.clock() - start
  append(self, result)
  return true
end

--- Takes a job for this process; false where another one has it. Making a folder is one step for the file system.
function study.claim(self, job)
  return os.execute(("mkdir %s 2> /dev/null"):format(quoted(("%s/claims/%s"):format(self.folder, job.key)))) == true
end

--- Forgets the claims of processes that are gone.
function study.release(self)
  local claims = quoted(self.folder .. "/claims")
  assert(os.execute(("rm -rf %s && mkdir %s"):format(claims, claims)))
end

return study
