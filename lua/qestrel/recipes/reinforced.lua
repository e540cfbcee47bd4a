--- reinforced - several teachers, of which a policy chooses some for every pair, rewarded by what the student learns.
-- Yuan et al. 2021, Reinforced Multi-Teacher Selection for Knowledge Distillation (methods.md M5). The student begins
-- with the mean of all teachers. Then each teacher's policy sees its score, its error on gold and its distance to the
-- student, and draws whether it is used; L = alpha (s - mean of those used)^2 + (1 - alpha) (s - gold)^2, gold alone
-- where none is. After the step, the relative fall of the pair's error on gold rewards what was drawn (REINFORCE, log
-- pi, with a running baseline).
-- Pitfalls guarded against: the loss is of the mean over those used, and pairs that used none teach the policies
-- nothing, so that using none is not cheap; rewards are bounded. Teachers that were fitted on these rows are flattered
-- by their errors here: give cross-fitted ones.
local policy = require "qestrel.policy"
local rows = require "qestrel.rows"
local teacher = require "qestrel.teacher"

local reinforced = {
  name = "reinforced",
  teacher = true,
  options = {
    { "alpha", 0.5, "weight of the teachers; the rest is gold's" },
    { "warm_up", 200, "steps on the mean of all teachers" },
    { "start", 0.7, "probability that a teacher is used, at first" },
    { "policy_rate", 1.0, "learning rate of the policies; 0: they stay as they are" },
  },
}

function reinforced.setup(run)
  local names = {}
  for k = 1, #run.teachers do names[k] = ("member.%d"):format(k) end
  run:scale_column("gold", "gold_target")
  run.low, run.width = run:scale_column("teacher", "mean_target")
  assert(teacher.apply_each(run.teachers, run.train, run.pool, names))
  run.rows = rows.all(run)
  run.rows = rows.weigh(run, { mean_target = run.options.alpha, gold_target = 1 - run.options.alpha })
  run.members, run.gold, run.state.policies = {}, run.train:column "gold_target", {}
  for k, name in ipairs(names) do
    run.members[k], run.state.policies[k] = run.train:column(name), policy.new(4, run.options.start)
  end
end

-- Squared errors of the student on gold as it is now, and its scores.
local function errors_now(run, batch)
  local scores, errors = run.student:forward(run.tape, batch, { no_gradient = true }):tap("score"):values(), {}
  for i, row in ipairs(batch:rows()) do errors[i] = (scores[i] - run.gold[row]) ^ 2 end
  return errors, scores
end

-- The mean of the teachers that are used for a row, none or a number in the unit of gold.
local function told_by(run, row, score)
  local told, sum, used = {}, 0, 0
  for k, scores in ipairs(run.members) do told[k] = (scores[row] - run.low) / run.width end
  local rng = run.state.loop.step >= run.options.warm_up and run:rng "policy" or nil
  local drawn = policy.choose(run.state.policies, told, run.gold[row], score, rng)
  for k, scores in ipairs(run.members) do
    if drawn[k].yes then sum, used = sum + scores[row], used + 1 end
  end
  return used > 0 and (sum / used - run.low) / run.width, drawn
end

function reinforced.loss(run, batch)
  local alpha, target, weight, drawn = run.options.alpha, {}, {}, {}
  local errors, scores = errors_now(run, batch)
  for i, row in ipairs(batch:rows()) do
    target[i], drawn[i] = told_by(run, row, scores[i])
    weight[i], target[i] = target[i] and alpha or 0.0, target[i] or 0.0
  end
  run.drawn, run.before = drawn, errors
  local teachers, score = run.tape:constant(#weight, 1, weight), run:forward(batch):tap "score"
  return (teachers * score:squared_error(run.tape:constant(#target, 1, target))
    + teachers:affine(-1, 1) * score:squared_error(batch:column(run.tape, "gold_target"))):mean()
end

function reinforced.after(run, batch)
  if run.state.loop.step < run.options.warm_up or run.options.policy_rate == 0 then return end
  run.tape:reset()
  local rewards = policy.rewards(run.before, (errors_now(run, batch)))
  policy.learn_all(run.state.policies, run.drawn, rewards, run.options.policy_rate)
end

return reinforced
