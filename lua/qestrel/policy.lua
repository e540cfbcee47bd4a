--- A stochastic policy of yes and no: pi(yes | state) = sigmoid(weights . state), learned by REINFORCE with a running
-- baseline (Williams 1992). Its numbers are a plain table, which a run's state can hold.
-- @module qestrel.policy
local policy = {}

--- A policy over states of so many features; at first it says yes with this probability everywhere, if the last
-- feature is always 1.
function policy.new(features, probability)
  local self = { weights = {}, baseline = 0.0, seen = 0.0 }
  for i = 1, features do self.weights[i] = 0.0 end
  self.weights[features] = math.log(probability / (1 - probability))
  return self
end

--- pi(yes | state).
function policy.probability(self, state)
  local sum = 0
  for i, weight in ipairs(self.weights) do sum = sum + weight * state[i] end
  return 1 / (1 + math.exp(-sum))
end

--- Draws yes or no.
function policy.act(self, state, rng) return rng:uniform() < policy.probability(self, state) end

--- One step on what was done: weights += rate mean of (reward - baseline) grad log pi(action | state).
-- @param steps array of { state =, yes =, reward = }
function policy.learn(self, steps, rate)
  local gradient, total = {}, 0
  for i = 1, #self.weights do gradient[i] = 0 end
  for _, step in ipairs(steps) do
    local surprise = (step.yes and 1 or 0) - policy.probability(self, step.state)
    for i in ipairs(gradient) do
      gradient[i] = gradient[i] + (step.reward - self.baseline) * surprise * step.state[i]
    end
    total = total + step.reward
  end
  for i, slope in ipairs(gradient) do self.weights[i] = self.weights[i] + rate * slope / #steps end
  self.seen = self.seen + 1
  self.baseline = self.baseline + (total / #steps - self.baseline) / math.min(self.seen, 100)
end

--- What the errors of pairs fell by, as rewards: tanh(4 x), x the fall over the mean error, within -1 and 1.
function policy.rewards(before, after)
  local mean, list = 0, {}
  for _, value in ipairs(before) do mean = mean + value / #before end
  for i, value in ipairs(before) do
    local fall = math.max(-1, math.min(1, (value - after[i]) / math.max(mean, 1e-12)))
    list[i] = 1 - 2 / (math.exp(8 * fall) + 1)
  end
  return list
end

--- What each teacher's policy draws for one pair, from its score, its error on gold and its distance to the student.
-- @param told scores of the teachers, in the unit of gold and score
-- @param rng nil: all say yes
-- @return array of { state =, yes = }
function policy.choose(policies, told, gold, score, rng)
  local drawn = {}
  for k, own in ipairs(policies) do
    local state = { told[k], math.abs(told[k] - gold), math.abs(told[k] - score), 1.0 }
    drawn[k] = { state = state, yes = not rng or policy.act(own, state, rng) }
  end
  return drawn
end

--- Every policy learns from what was drawn for the pairs of a batch for which somebody said yes: the others learned
-- from gold alone, which says nothing about teachers.
-- @param drawn array, for each pair what policy.choose gave
-- @param rewards array, one for each pair
function policy.learn_all(policies, drawn, rewards, rate)
  for k, own in ipairs(policies) do
    local steps = {}
    for i, pair in ipairs(drawn) do
      local any = false
      for _, other in ipairs(pair) do any = any or other.yes end
      if any then steps[#steps + 1] = { state = pair[k].state, yes = pair[k].yes, reward = rewards[i] } end
    end
    if #steps > 0 then policy.learn(own, steps, rate) end
  end
end

return policy
