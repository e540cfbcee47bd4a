--- levels - distillation taken apart: smoothing, relations between bins, and sureness of the single pair.
-- Tang et al. 2020, Understanding and Improving Knowledge Distillation (methods.md M9). The teacher's distribution
-- over bins is replaced by one that keeps only the chosen parts: --universe (the other bins get something, alike),
-- --domain (they get what the teacher gives them on average, by gold bin), --instance (how sure the teacher is of this
-- pair). All three are kd; none is gold. --instance alone gives no mass to other bins and weighs pairs instead, with
-- weights of mean 1. KD-pt is universe and instance, KD-sim is domain; --topk keeps the teacher's largest bins.
-- Pitfalls guarded against: T^2; weights are normalised, or they would be a learning rate.
local distance = require "qestrel.distance"
local levels = require "qestrel.levels"
local rows = require "qestrel.rows"

local recipe = {
  name = "levels",
  teacher = true,
  options = {
    { "bins", 10, "bins of the score" },
    { "alpha", 0.5, "weight of the teacher; the rest is gold's" },
    { "universe", true, "smoothing" },
    { "domain", true, "relations between bins" },
    { "instance", true, "sureness of the single pair" },
    { "topk", 0, "bins of the teacher that are kept; 0: all" },
  },
}

function recipe.setup(run)
  local o = run.options
  if o.bins < 2 then error("levels needs bins: --bins=10", 0) end
  run:scale_column("gold", "gold_target")
  run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
  run.rows = rows.all(run)
  run.rows = rows.weigh(run, { teacher_target = o.alpha, gold_target = 1 - o.alpha })
  local function column(name) return run.train:column(name) end
  local values, spreads, judged = column "teacher_target", column "teacher_spread", column "gold_target"
  run.gold_bin, run.told = {}, {}
  for _, row in ipairs(run.rows) do
    local spread = math.max(spreads and spreads[row] or o.spread, 1 / o.bins)
    run.gold_bin[row] = levels.bin(judged[row], o.bins)
    run.told[row] = levels.top(levels.gaussian(values[row], spread, o.bins), o.topk)
  end
  run.means = levels.measure(run.told, run.gold_bin, run.rows, o.bins)
end

-- Weights of pairs by how sure the teacher is of gold, against the student.
local function sureness(run, batch, pass)
  local bins, teacher, student, q = run.options.bins, {}, {}, pass:tap("logits"):softmax(1):values()
  for i, row in ipairs(batch:rows()) do
    teacher[i], student[i] = run.told[row][run.gold_bin[row]], q[(i - 1) * bins + run.gold_bin[row]]
  end
  return run.tape:constant(#teacher, 1, levels.weights(run.options.alpha, teacher, student))
end

-- The rows' distributions of the chosen parts, as logits.
local function parts_of(run, batch)
  local list = {}
  for i, row in ipairs(batch:rows()) do
    list[i] = levels.assemble(run.told[row], run.gold_bin[row], run.means, run.options)
  end
  return run.tape:constant(#list, run.options.bins, levels.logits(list))
end

function recipe.loss(run, batch)
  local o = run.options
  if o.universe and o.domain and o.instance and o.topk == 0 then
    return distance.mixed(run, batch, { { "teacher_target", "teacher_spread" }, { "gold_target" } })
  end
  local pass = run:forward(batch)
  local gold = distance.between(run, pass, batch, "gold_target")
  if not o.universe and not o.domain then
    return (o.instance and sureness(run, batch, pass) * gold or gold):mean()
  end
  local teacher = parts_of(run, batch):kl(pass:tap "logits", o.temperature) * o.temperature ^ 2
  return (teacher * o.alpha + gold * (1 - o.alpha)):mean()
end

return recipe
