--- lipschitz - a student whose layers pass on as much as the teacher's do, so that it is as smooth as the teacher.
-- Shang et al. 2021, Lipschitz Continuity Guided Knowledge Distillation (methods.md M11):
--   L = L_kd + weight sum over layers of (log sigma_student - log sigma_teacher)^2 / 2^(L - 1 - l)
-- sigma is the largest singular value of what a layer passes on (qestrel.transmission), per pair. The teacher, a
-- --teacher=FILE.qe or --insides=FILE.qe, is asked once, before training; its four numbers per pair are all that is
-- kept, in --store=FILE or in memory. As published, the weight of a layer grows with depth and that of the whole term
-- falls after 60 % of the steps.
-- Pitfalls guarded against: no connector that could absorb the loss; widths are divided out; logarithms, because sigma
-- grows with the square of the activations; a fixed start of the iteration, so that runs repeat.
local distance = require "qestrel.distance"
local rows = require "qestrel.rows"
local teacher = require "qestrel.teacher"
local transmission = require "qestrel.transmission"

local lipschitz = {
  name = "lipschitz",
  teacher = true,
  options = teacher.looking {
    { "alpha", 1.0, "weight of the teacher's score; the rest is gold's" },
    { "weight", 0.02, "of the layers' term; 0: none" },
    { "late_weight", 0.005, "the same after 60 % of the steps" },
    { "generic", false, "push the student's own values down instead, without a teacher's (a baseline)" },
  },
}

function lipschitz.setup(run)
  local alpha = run.options.alpha
  run:scale_column("gold", "gold_target")
  run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
  run.rows = rows.all(run)
  run.rows = rows.weigh(run, { teacher_target = alpha, gold_target = 1 - alpha })
  for k, column in ipairs(transmission.of(run)) do run.train:set_column("transmission." .. k, column) end
end

-- The layers' term, 1 x 1.
local function layers(run, batch, pass)
  local sum
  for k, place in ipairs(transmission.places) do
    local student = transmission.log(pass, batch, run.student, place)
    local there = batch:column(run.tape, "transmission." .. k)
    local term = (run.options.generic and student or student:squared_error(there)):mean()
    term = term * 0.5 ^ (transmission.depth - place.depth)
    sum = sum and sum + term or term
  end
  return sum
end

function lipschitz.loss(run, batch)
  local o, pass = run.options, run:forward(batch)
  local late = run.state.loop.step >= 0.6 * run.total_steps
  local weight = late and o.late_weight or o.weight
  local kd = distance.mixed(run, batch, { { "teacher_target", "teacher_spread" }, { "gold_target" } }, pass)
  if weight == 0 then return kd end
  return kd + layers(run, batch, pass) * weight
end

return lipschitz
