--- Tasks that come one after another: data sets of their own that are appended to the training rows, each with a dev
-- set, a range of scores and a teacher of its own (methods.md M4).
-- @module qestrel.tasks
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local options = require "qestrel.options"
local teacher = require "qestrel.teacher"

local tasks = {}

-- One set of a folder: train.tsv and dev.tsv, or those of an MLQE-PE pair.
local function read_set(folder, set, gold)
  local plain = ("%s/%s.tsv"):format(folder, set)
  local is_plain = lines.exists(plain)
  local data, problem = evaluate.read(is_plain and plain or folder, not is_plain and set or nil, gold)
  return data or error(problem, 0)
end

-- Numbers of the rows that were appended.
local function append(run, data)
  local first, rows = run.train:rows() + 1, {}
  assert(run.train:append_all(data))
  for row = first, run.train:rows() do rows[#rows + 1] = row end
  return rows
end

--- The run's own data as the first task, then one for every folder of a list separated by commas.
-- @return array of { data =, dev =, rows = (of run.train), folder = (not of the first, unless it is --data) }
function tasks.read(run, folders)
  local list, rows = {}, {}
  for row = 1, run.train:rows() do rows[row] = row end
  local own = qe.dataset()
  assert(own:append_all(run.train))
  list[1] = { data = own, dev = run.dev, rows = rows, request = run.request }
  for folder in folders:gmatch "[^,]+" do
    local data = read_set(folder, "train", run.options.gold)
    local request = lines.exists(folder .. "/train.tsv")
      and { train = folder .. "/train.tsv", dev = folder .. "/dev.tsv" } or { data = folder }
    list[#list + 1] = { data = data, dev = read_set(folder, "dev", run.options.gold), rows = append(run, data),
                        request = request }
  end
  return list
end

local function scaled(values)
  local low, high, list = math.huge, -math.huge, {}
  for _, value in ipairs(values) do
    if value == value then low, high = math.min(low, value), math.max(high, value) end
  end
  if low >= high then error("scores of a task do not vary", 0) end
  for i, value in ipairs(values) do list[i] = (value - low) / (high - low) end
  return list
end

--- Human scores of a task's training rows, in 0..1.
function tasks.gold(task) return scaled(task.data:column "gold") end

-- A fresh model of the student's architecture that learns this task alone, and is thrown away.
local function disposable(run, task)
  local wanted = { seed = run.seed, quiet = true, threads = run.pool:threads(), options = {} }
  for key, value in pairs(task.request) do wanted[key] = value end
  for _, option in ipairs(options.common) do wanted.options[option[1]] = run.options[option[1]] end
  local model, problem = require "qestrel.train".run("gold", wanted)
  if not model then error(problem, 0) end
  local scores = evaluate.scores(model, task.data, run.pool)
  model:close()
  return scores
end

--- What the task's teacher says of its training rows, in 0..1.
-- @param name of a teacher, see qestrel.teacher; nil: one is trained on the task and thrown away
function tasks.taught(run, task, name)
  if not name then return scaled(disposable(run, task)) end
  local ok, problem = teacher.apply_each({ name }, task.data, run.pool, { "teacher" })
  if not ok then error(problem, 0) end
  return scaled(task.data:column "teacher")
end

--- Dev Pearson of the student, as it is now, on each of the first `count` tasks.
function tasks.pearson(run, list, count)
  local result = {}
  run.student:prepare()
  for i = 1, count do
    local dev = list[i].dev
    local value = qe.pearson(evaluate.scores(run.student, dev, run.pool), dev:column "gold")
    result[i] = value == value and value or 0.0
  end
  return result
end

return tasks
