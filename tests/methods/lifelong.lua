-- M4: five tasks with a shared scorer and parts of their own, in three orders, against replay without teachers, and all
-- tasks at once.
local harness = require "harness"
local qe = require "qestrel"
local report = require "qestrel.study_report"
local SEEDS, TASKS, ROWS, NOISE = 3, 5, 600, 0.35
local ORDERS = { { 1, 2, 3, 4, 5 }, { 5, 4, 3, 2, 1 }, { 3, 1, 5, 2, 4 } }

local function make(seed)
  local folders = {}
  for task = 1, TASKS do
    folders[task] = harness.folder()
    harness.world.make(qe, folders[task], { seed = seed * 10 + task, train = ROWS, test = 500, noise = NOISE,
                                            task = task, shared = 0.2 })
  end
  return folders
end

-- Pearson on every task's test set after each stage: history[stage][position].
local function stream(folders, order, seed, extra)
  local first, rest = folders[order[1]], {}
  for i = 2, TASKS do rest[i - 1] = folders[order[i]] end
  local lifelong, history = require "qestrel.recipes.lifelong", {}
  local function look(run)
    run.student:prepare()
    local line = {}
    for i, task in ipairs(order) do line[i] = harness.pearson(run.student, folders[task]) end
    history[#history + 1] = line
  end
  local recipe = harness.changed(lifelong, {
    stages = function(run)
      local list = lifelong.stages(run)
      for k, stage in ipairs(list) do
        local setup = stage.setup
        stage.setup = function(current)
          if k > 1 then look(current) end
          setup(current)
        end
      end
      return list
    end,
    finish = look,
  })
  local o = { tasks = table.concat(rest, ",") }
  for key, value in pairs(extra) do o[key] = value end
  harness.train(recipe, first, seed, o)
  return history
end

-- All tasks at once, by gold.
local function multitask(folders, seed)
  local all = harness.folder()
  local function join(set)
    local out <close> = assert(io.open(("%s/%s.tsv"):format(all, set), "w"))
    out:write "source\ttranslation\tscore\n"
    for _, folder in ipairs(folders) do
      local number = 0
      for line in io.lines(("%s/%s.tsv"):format(folder, set)) do
        number = number + 1
        if number > 1 then out:write((line:gsub("^%d+\t", "")), "\n") end
      end
    end
  end
  join "train"
  join "dev"
  local model, sum = harness.train("gold", all, seed), 0
  for _, folder in ipairs(folders) do sum = sum + harness.pearson(model, folder) / TASKS end
  return sum
end

local figures = harness.seeds(SEEDS, function(seed)
  local folders, result = make(seed), {}
  result.multitask = multitask(folders, seed)
  local function run(name, extra)
    local sums = { 0, 0, 0 }
    for _, order in ipairs(ORDERS) do
      local parts = { report.retained(stream(folders, order, seed, extra)) }
      for i, value in ipairs(parts) do sums[i] = sums[i] + value / #ORDERS end
    end
    result[name], result[name .. " forgotten"], result[name .. " fresh"] = table.unpack(sums)
  end
  run("taught", {})
  run("replay", { taught = false })
  run("nothing", { taught = false, replay = 0 })
  return result
end)

local function mean(name) return harness.mean(figures[name]) end
harness.report("all tasks at once", mean "multitask", "Pearson")
harness.report("taught, after the last task", mean "taught", "Pearson")
harness.report("replay alone, after the last task", mean "replay", "Pearson")
harness.report("neither, after the last task", mean "nothing", "Pearson")
harness.check("share of replay's gap to all tasks at once that is cut",
  (mean "taught" - mean "replay") / (mean "multitask" - mean "replay"), ">=", 0.30)
harness.check("forgotten, replay - taught", mean "replay forgotten" - mean "taught forgotten", ">", 0)
harness.check("forgotten without replay", mean "nothing forgotten", ">", 0.05)
harness.check("gain on old tasks more than on new ones",
  (mean "replay forgotten" - mean "taught forgotten") - (mean "taught fresh" - mean "replay fresh"), ">", 0)
harness.finish()
