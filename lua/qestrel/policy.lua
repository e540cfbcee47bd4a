--- A stochastic policy of yes and no: pi(yes | state) = sigmoid(weights . state), learned by REINFORCE with a running
-- baseline (Williams 1992). Its numbers are a plain table, which a run's state can hold.
-- @module qestrel.policy
local policy = {}

--- A policy over states of so many features, and of words, of which a state names some (state.words); at first it says
-- yes with this probability everywhere, if the last feature is always 1.
function policy.new(features, probability, words)
  local self = { weights = {}, baseline = 0.0, seen = 0.0 }
  for i = 1, features + (words or 0) do self.weights[i] = 0.0 end
  self.weights[features] = math.log(probability / (1 - probability))
  return self
end

--- pi(yes | state).
function policy.probability(self, state)
  local sum, weights = 0, self.weights
  for i, value in ipairs(state) do sum = sum + weights[i] * value end
  for _, word in ipairs(state.words or {}) do sum = sum + weights[#state + word] end
  return 1 / (1 + math.exp(-sum))
end

--- What words a source has, hashed to 1 .. count, each once: a sentence vector that needs no encoder.
function policy.words(text, count)
  local seen, list = {}, {}
  for word in text:gmatch "%S+" do
    local hash = 5381
    for i = 1, #word do hash = (hash * 33 + word:byte(i)) & 0xffffffff end
    local number = hash % count + 1
    if not seen[number] then list[#list + 1], seen[number] = number, true end
  end
  return list
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
    local slope, state = (step.reward - self.baseline) * surprise, step.state
    for i, value in ipairs(state) do gradient[i] = gradient[i] + slope * value end
    for _, word in ipairs(state.words or {}) do gradient[#state + word] = gradient[#state + word] + slope end
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

--- What each teacher's policy draws for one pair, from its score, its error on gold, its distance to the student and
-- the source's words.
-- @param unit { low =, width = } of the teachers' scores: (score - low) / width is in the unit of gold and score
-- @param rng nil: all say yes
-- @return array of { state =, yes = }, and the mean score of those that say yes in the unit of gold, nil if none does
function policy.choose(policies, scores, unit, gold, score, words, rng)
  local drawn, sum, used = {}, 0, 0
  for k, own in ipairs(policies) do
    local told = (scores[k] - unit.low) / unit.width
    local state = { told, math.abs(told - gold), math.abs(told - score), 1.0, words = words }
    drawn[k] = { state = state, yes = not rng or policy.act(own, state, rng) }
    if drawn[k].yes then sum, used = sum + scores[k], used + 1 end
  end
  return drawn, used > 0 and (sum / used - unit.low) / unit.width or nil
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
