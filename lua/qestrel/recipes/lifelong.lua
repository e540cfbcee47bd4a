--- lifelong - tasks (language pairs, domains) one after another, without forgetting those before.
-- Chuang et al. 2020, Lifelong Language Knowledge Distillation (methods.md M4). For each task a fresh teacher of the
-- student's size learns the task alone and is thrown away; the student learns the task from this teacher, without its
-- gold, and beside it rows of earlier tasks by their labels: a share `replay` of each, kept at random, and
-- labelled by the student as it was before the new task (LAMOL's own examples, which a student that writes no text
-- cannot make), or by gold. The first task is --data, the others follow in --tasks; --teacher, once for each task,
-- replaces the teachers trained here.
-- Pitfalls guarded against: every task's scores are scaled by their own range; tables are hashed, so that new languages
-- find their rows; labels by gold are the caller's choice, because they keep human scores of old tasks.
local evaluate = require "qestrel.evaluate"
local rows = require "qestrel.rows"
local tasks = require "qestrel.tasks"

local lifelong = {
  name = "lifelong",
  options = {
    { "tasks", "", "folders of further tasks, in order, separated by commas" },
    { "replay", 0.2, "share of each earlier task's rows that is kept; 0: none" },
    { "labels", "student", "of kept rows: student (as it was) or gold" },
    { "taught", true, "by a teacher; no: by gold, which is plain replay" },
  },
}

function lifelong.setup(run)
  run.tasks, run.kept = tasks.read(run, run.options.tasks), {}
  run.state.before, run.state.history = run.student:params():values():clone(), {}
  run.mirror = run:new_model "mirror"
  for k, task in ipairs(run.tasks) do
    run.kept[k] = rows.sample(task.rows, math.floor(run.options.replay * #task.rows + 0.5), run:rng "replay")
  end
end

-- Column `target` for a task: its teacher's scores for its own rows, labels for those kept of earlier ones.
local function label(run, k)
  local o, task, target = run.options, run.tasks[k], {}
  for i = 1, run.train:rows() do target[i] = 0.0 end
  local own = o.taught and tasks.taught(run, task, run.teachers[k]) or tasks.gold(task)
  table.move(own, 1, #own, task.rows[1], target)
  run.mirror:params():values():copy(run.state.before)
  run.mirror:prepare()
  for j = 1, k - 1 do
    local old, gold = run.tasks[j], o.labels == "gold" and tasks.gold(run.tasks[j])
    local said = not gold and evaluate.scores(run.mirror, run.train, run.pool, run.kept[j])
    for i, row in ipairs(run.kept[j]) do target[row] = said and said[i] or gold[row - old.rows[1] + 1] end
  end
  run.train:set_column("target", target)
  run.labelled = k
end

local function learn(run, batch)
  if run.labelled ~= run.state.stage then label(run, run.state.stage) end
  return run:forward(batch):tap("score"):squared_error(batch:column(run.tape, "target")):mean()
end

function lifelong.stages(run)
  local list = {}
  for k, task in ipairs(run.tasks) do
    list[k] = { name = "task " .. k, loss = learn, rows = rows.joined(run.kept, k - 1, task.rows) }
    list[k].setup = function(current)
      if k > 1 then current.state.history[k - 1] = tasks.pearson(current, current.tasks, k - 1) end
      current.dev, current.labelled = task.dev, nil
      current.state.before:copy(current.student:params():values())
    end
  end
  return list
end

function lifelong.finish(run)
  run.state.history[#run.tasks] = tasks.pearson(run, run.tasks, #run.tasks)
  for k, line in ipairs(run.state.history) do
    local shown = {}
    for j, value in ipairs(line) do shown[j] = ("%.4f"):format(value) end
    run:say("after task %d: dev Pearson %s", k, table.concat(shown, " "))
  end
end

return lifelong
