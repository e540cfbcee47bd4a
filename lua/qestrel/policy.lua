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

return policy
