--- metadistil - a teacher that learns to teach: it is tuned for the very step that the student takes next.
-- Zhou et al. 2021, Meta Learning for Knowledge Distillation (methods.md M12). Each step: (1) a pilot step of a copy of
-- the student on L = alpha (s - t)^2 + (1 - alpha) (s - gold)^2; (2) the pilot's loss on quiz rows tells, through the
-- pilot, how each of the teacher's scores t should have been, and the teacher takes a step; (3) the student, restored,
-- takes its real step with the new scores. The gradient is exact without second derivatives: with v the gradient of the
-- quiz loss, dL/dt_i = (2 alpha eta / N) (s_i(theta + e v) - s_i(theta - e v)) / 2e.
-- Pitfalls guarded against: quiz rows are neither trained on nor dev; all passes of a step see the same dropout.
local qe = require "qestrel"
local meta = require "qestrel.meta"
local rows = require "qestrel.rows"

local metadistil = {
  name = "metadistil",
  options = {
    { "alpha", 0.5, "weight of the teacher; the rest is gold's" },
    { "quiz", 5, "every n-th row is a quiz row" },
    { "pilot_rate", 0.1, "learning rate of the pilot step" },
    { "teacher_rate", 0.0001, "learning rate of the teacher; 0: it stays as it is" },
  },
}

function metadistil.setup(run)
  local problem
  run.teacher, problem = qe.open(run.teachers[1] or "")
  if not run.teacher then error("metadistil needs --teacher=FILE.qe, a model that can learn: " .. problem, 0) end
  run:scale_column("gold", "target")
  run.quiz, run.rows = rows.set_apart(rows.all(run), run.options.quiz)
  run.state.teacher = run.teacher:params()
  run.state.teacher_optimiser = qe.optimiser(run.teacher:params(), { rule = "adam" }, run.pool)
  run.state.quiz = qe.batcher(run.train, run.quiz, run.options.batch, run:rng "quiz")
end

function metadistil.distil(run, batch, told)
  local alpha, score = run.options.alpha, run:forward(batch):tap "score"
  local teacher = score:squared_error(run.tape:constant(#batch, 1, told))
  return (teacher * alpha + score:squared_error(batch:column(run.tape, "target")) * (1 - alpha)):mean()
end

local function say(run, batch)
  run.tape:reset()
  return run.teacher:forward(run.tape, batch, { no_gradient = true }):tap("score"):values()
end

-- The teacher's step, for the step that the student is about to take.
local function teach(run, batch, quiz)
  local told = say(run, batch)
  local gradient = meta.gradient(run, batch, quiz, function() return metadistil.distil(run, batch, told) end)
  run.teacher:forward(run.tape, batch):tap("score"):inject(gradient)
  run.tape:backward()
  run.teacher:params():gradient():clip(1)
  assert(run.state.teacher_optimiser:step(run.options.teacher_rate))
end

function metadistil.step(run, batch, rate)
  if run.options.teacher_rate > 0 then
    local quiz <close> = run.state.quiz:next() or run.state.quiz:next()
    teach(run, batch, quiz)
  end
  local told = say(run, batch)
  run.tape:reset()
  local loss = metadistil.distil(run, batch, told)
  loss:backward()
  assert(run.optimiser:step(rate))
  return loss:item()
end

return metadistil
