--- Teachers: whatever gives a score for a pair. A teacher is named by a string:
--
--    FILE.tsv       scores by index: the first numeric column besides `index` is the score, a second one its sigma
--    FILE.qe        another model archive
--    cmd:COMMAND    a command that reads source<TAB>translation lines and writes one score a line
--
-- Several make an ensemble. The columns `teacher` (mean) and `teacher_sigma` (standard deviation of the members, or
-- a single file's own second column) are what recipes read; rows that a score file does not name stay NaN.
-- @module qestrel.teacher
local qe = require "qestrel"
local command_scores = require "qestrel.command_scores"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"

local teacher = {}

local LARGEST = 1 << 32 -- bytes of a model that is looked into

local function from_file(path, data, name)
  local matched, problem = data:read_scores(path, name)
  if not matched then return nil, problem end
  return data:column(name), data:column(name .. "_2")
end

local function from_model(path, data, pool)
  local model, problem = qe.open(path)
  if not model then return nil, problem end
  return evaluate.scores(model, data, pool)
end

local function from_command(command, data)
  return command_scores.run(command, function(file)
    for i = 1, data:rows() do
      local source, translation = data:pair(i)
      local ok, problem = file:write(source, "\t", translation, "\n")
      if not ok then return nil, problem end
    end
    return data:rows()
  end)
end

local function one(name, data, pool, number)
  if name:match "^cmd:" then return from_command(name:sub(5), data) end
  if name:match "%.qe$" then return from_model(name, data, pool) end
  return from_file(name, data, ("teacher.%d"):format(number))
end

local function deviation(members, i, mean)
  local sum = 0
  for _, scores in ipairs(members) do sum = sum + (scores[i] - mean) ^ 2 end
  return math.sqrt(sum / #members)
end

local function combine(members, rows)
  local mean, sigma = {}, {}
  for i = 1, rows do
    local sum = 0
    for _, scores in ipairs(members) do sum = sum + scores[i] end
    mean[i] = sum / #members
    sigma[i] = deviation(members, i, mean[i])
  end
  return mean, sigma
end

--- Gives `data` the columns `teacher` and, where known, `teacher_sigma`.
-- @return true, or nil and a message
function teacher.apply(names, data, pool)
  local members, own_sigma = {}, nil
  for number, name in ipairs(names) do
    local scores, second = one(name, data, pool, number)
    if not scores then return nil, second end
    members[number] = scores
    if type(second) == "table" then own_sigma = second end
  end
  local mean, sigma = combine(members, data:rows())
  data:set_column("teacher", mean)
  if #members > 1 then
    data:set_column("teacher_sigma", sigma)
  elseif own_sigma then
    data:set_column("teacher_sigma", own_sigma)
  end
  return true
end

--- Names for a column of each: PREFIX.1, PREFIX.2, ...
function teacher.columns(names, prefix)
  local list = {}
  for number in ipairs(names) do list[number] = ("%s.%d"):format(prefix, number) end
  return list
end

--- Gives `data` a column for each teacher, by the names in `to`, instead of their mean.
-- @return true, or nil and a message
function teacher.apply_each(names, data, pool, to)
  for number, name in ipairs(names) do
    local scores, problem = one(name, data, pool, number)
    if not scores then return nil, problem end
    data:set_column(to[number], scores)
  end
  return true
end

local function measured(metric, own, translation)
  metric:reference(type(own) == "table" and own or { own })
  return metric:direction() * metric:sentence(metric:statistics(translation)) / 100 + 0.0 -- not -0
end

--- A teacher that knows references: sentence scores of a metric, where 1 is perfect (TER, which counts edits: 0, and
-- less the more there are).
-- @param name of the metric, as for qe.metric
-- @param references of the rows of the data, each a text or an array of texts
-- @return a function of a dataset, which gives the scores of its rows, or nil and a message
function teacher.metric(name, references)
  local metric = qe.metric(name)
  return function(data)
    if #references ~= data:rows() then
      return nil, ("%s: %d references for %d rows"):format(name, #references, data:rows())
    end
    local scores = {}
    for i, own in ipairs(references) do
      local _, translation = data:pair(i)
      scores[i] = measured(metric, own, translation)
    end
    return scores
  end
end

--- Those that can score any pair: archives and commands, not files of scores by index.
function teacher.live(names)
  local live = {}
  for _, name in ipairs(names) do
    if name:match "^cmd:" or name:match "%.qe$" then live[#live + 1] = name end
  end
  return live
end

--- The options of a recipe that looks into a teacher, beside its own: see teacher.insides.
function teacher.looking(options)
  options[#options + 1] = { "insides", "", "archive that is looked into; else the first --teacher that is one" }
  options[#options + 1] = { "store", "", "file of what was seen there, which then serves; made if it is not there" }
  return options
end

--- Opens the model that a run looks into: --insides, which need not be able to judge, or the first teacher that is an
-- archive. Raises where there is none.
function teacher.insides(run)
  local path = run.options.insides
  for _, name in ipairs(run.teachers) do
    if path == "" and name:match "%.qe$" then path = name end
  end
  if path == "" then
    error(("%s looks into a model: give --teacher=FILE.qe, --insides, or a --store that is there")
      :format(run.recipe.name), 0)
  end
  local model, problem = qe.open(path, LARGEST)
  return model or error(problem, 0)
end

--- What a manifest says of teachers: kind and sha256, never a path.
function teacher.describe(names)
  local list = {}
  for i, name in ipairs(names) do
    if name:match "^cmd:" then
      list[i] = { kind = "command", sha256 = qe.sha256(name:sub(5)) }
    else
      list[i] = { kind = name:match "%.qe$" and "archive" or "scores", sha256 = qe.sha256(assert(lines.text(name))) }
    end
  end
  return qe.json.array(list)
end

return teacher
