--- route - a teacher's checkpoints, one after another, as a route that the student can follow.
-- Jin et al. 2019, Knowledge Distillation via Route Constrained Optimization (methods.md M10). Each --teacher is the
-- teacher at one point of its training, the last one converged. The student learns the first anchor, goes on from there
-- to the next, and so on; the rate starts anew at each. Anchors: all, N at equal intervals, or by greedy search: the
-- furthest one that the student, as it is, matches not much worse than the one it learned, on training rows set apart:
-- D(teacher_j, student) <= D(teacher_i, student) / delta.
-- Pitfalls guarded against: epochs are of all stages together, as plain kd has them; the last anchor is always the
-- converged teacher; anchors keep one common scale, so that early ones stay as flat as they are.
local distance = require "qestrel.distance"
local evaluate = require "qestrel.evaluate"
local rows = require "qestrel.rows"
local teacher = require "qestrel.teacher"

local route = {
  name = "route",
  teacher = true,
  options = {
    { "alpha", 1.0, "weight of the teacher; the rest is gold's" },
    { "anchors", 0, "at equal intervals; 0: all" },
    { "delta", 0.0, "greedy search with this threshold (0.8); 0: none" },
  },
}

local function target(number) return ("anchor_target.%d"):format(number) end

function route.setup(run)
  local names, targets, alpha = {}, {}, run.options.alpha
  if #run.teachers == 0 then error("route needs --teacher once for each anchor", 0) end
  for i = 1, #run.teachers do names[i], targets[i] = ("anchor.%d"):format(i), target(i) end
  local ok, problem = teacher.apply_each(run.teachers, run.train, run.pool, names)
  if not ok then error(problem, 0) end
  run:scale_together(names, targets)
  run:scale_column("gold", "gold_target")
  run.rows = rows.all(run)
  for _, name in ipairs(targets) do run.rows = rows.weigh(run, { [name] = alpha, gold_target = 1 - alpha }) end
  run.apart, run.rows = rows.set_apart(run.rows, run.options.delta > 0 and 10 or 0)
  run.state.anchor = 0
end

-- Mean squared error of the student to an anchor on the rows set apart.
local function mismatch(run, scores, number)
  local values, sum = run.train:column(target(number)), 0
  for i, row in ipairs(run.apart) do sum = sum + (scores[i] - values[row]) ^ 2 end
  return sum / #run.apart
end

--- The next anchor: furthest by the greedy rule, at least one on.
function route.furthest(run, current)
  local count, delta = #run.teachers, run.options.delta
  if current == 0 then return 1 end
  run.student:prepare()
  local scores = evaluate.scores(run.student, run.train, run.pool, run.apart)
  local limit = mismatch(run, scores, current) / delta
  for j = count, current + 2, -1 do
    if mismatch(run, scores, j) <= limit then return j end
  end
  return math.min(current + 1, count)
end

local function learn(run, batch)
  return distance.mixed(run, batch, { { target(run.state.anchor) }, { "gold_target" } })
end

function route.stages(run)
  local o, count, list = run.options, #run.teachers, {}
  local stages = o.delta <= 0 and o.anchors > 0 and math.min(o.anchors, count) or count
  for k = 1, stages do
    list[k] = { name = "anchor " .. k, epochs = math.max(1, o.epochs // stages), loss = learn }
    list[k].setup = function(current)
      local equal = (k * count + stages - 1) // stages
      current.state.anchor = o.delta > 0 and route.furthest(current, current.state.anchor) or equal
      current:say("anchor %d of %d", current.state.anchor, count)
    end
  end
  return list
end

return route
