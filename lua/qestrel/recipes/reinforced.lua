--- reinforced - several teachers, of which a policy chooses some for every pair, rewarded by what the student learns.
-- Yuan et al. 2021, Reinforced Multi-Teacher Selection for Knowledge Distillation (methods.md M5). The student begins
-- with the mean of all teachers. Then each teacher's policy sees the source's words, its score, its error on gold and
-- its distance to the student, and draws whether it is used; L = alpha (s - mean of those used)^2 + (1 - alpha)
-- (s - gold)^2, gold alone where none is. What was drawn is rewarded (REINFORCE, log pi, with a running baseline) by
-- the relative fall of the pair's error on gold after the student's step, as in the paper (reward=step), or after one
-- taken to its end, when the student says what it is told (reward=target). The latter is the default: one step of a
-- student that all pairs share moves a pair's error mostly by the others' targets, and policies learned the wrong
-- teacher from that.
-- Pitfalls guarded against: the loss is of the mean over those used, and pairs that used none teach the policies
-- nothing, so that using none is not cheap; rewards are bounded. Teachers that were fitted on these rows are flattered
-- by their errors here: give cross-fitted ones.
local policy = require "qestrel.policy"
local rows = require "qestrel.rows"
local teacher = require "qestrel.teacher"

local WORDS = 512 -- of the policies' sentence vector, hashed

local reinforced = {
  name = "reinforced",
  teacher = true,
  options = {
    { "alpha", 0.5, "weight of the teachers; the rest is gold's" },
    { "warm_up", 200, "steps on the mean of all teachers" },
    { "start", 0.7, "probability that a teacher is used, at first" },
    { "same_unit", false, "the teachers' scores are in the unit of gold; no: scaled by the range of their mean" },
    { "reward", "target", "target or step, see above" },
    { "policy_rate", 0.1, "learning rate of the policies; 0: they stay as they are" },
  },
}

function reinforced.setup(run)
  local o, names = run.options, teacher.columns(run.teachers, "member")
  local low, width = run:scale_column("gold", "gold_target")
  local own_low, own_width = run:scale_column("teacher", "mean_target")
  run.unit = o.same_unit and { low = low, width = width } or { low = own_low, width = own_width }
  assert(teacher.apply_each(run.teachers, run.train, run.pool, names))
  run.rows = rows.all(run)
  run.rows = rows.weigh(run, { mean_target = o.alpha, gold_target = 1 - o.alpha })
  run.gold, run.members, run.words, run.state.policies = run.train:column "gold_target", {}, {}, {}
  for row = 1, run.train:rows() do run.members[row], run.words[row] = {}, policy.words(run.train:pair(row), WORDS) end
  for k, name in ipairs(names) do
    for row, score in ipairs(run.train:column(name)) do run.members[row][k] = score end
    run.state.policies[k] = policy.new(4, o.start, WORDS)
  end
end

-- Squared errors of the student on gold as it is now, and its scores.
local function errors_now(run, batch)
  local scores, errors = run.student:forward(run.tape, batch, { no_gradient = true }):tap("score"):values(), {}
  for i, row in ipairs(batch:rows()) do errors[i] = (scores[i] - run.gold[row]) ^ 2 end
  return errors, scores
end

function reinforced.loss(run, batch)
  local alpha, target, weight, drawn = run.options.alpha, {}, {}, {}
  local errors, scores = errors_now(run, batch)
  run.drawn, run.before, run.aimed = drawn, errors, {}
  local rng = run.state.loop.step >= run.options.warm_up and run:rng "policy" or nil
  for i, row in ipairs(batch:rows()) do
    drawn[i], target[i] = policy.choose(run.state.policies, run.members[row], run.unit, run.gold[row], scores[i],
      run.words[row], rng)
    run.aimed[i] = target[i] and (target[i] - run.gold[row]) ^ 2 or errors[i]
    weight[i], target[i] = target[i] and alpha or 0.0, target[i] or 0.0
  end
  local teachers, score = run.tape:constant(#weight, 1, weight), run:forward(batch):tap "score"
  return (teachers * score:squared_error(run.tape:constant(#target, 1, target))
    + teachers:affine(-1, 1) * score:squared_error(batch:column(run.tape, "gold_target"))):mean()
end

function reinforced.after(run, batch)
  local o = run.options
  if run.state.loop.step < o.warm_up or o.policy_rate == 0 then return end
  run.tape:reset()
  local rewards = policy.rewards(run.before, o.reward == "target" and run.aimed or (errors_now(run, batch)))
  policy.learn_all(run.state.policies, run.drawn, rewards, o.policy_rate)
end

return reinforced
