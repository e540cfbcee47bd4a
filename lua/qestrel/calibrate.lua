--- What a score means, fitted on dev rows: the line from what a model gives to the unit of human scores; the share of
-- good translations at a score; how far human scores lie from it. Each is fitted on all rows, and judged by fitting it
-- on every other row and looking at the rest.
-- @module qestrel.calibrate
local evaluate = require "qestrel.evaluate"

local calibrate = {}

local GOOD, COVERED, BINS = 70, 0.8, 10 -- of 100 points; share of the rows inside the spread; of the calibration error

--- Least squares of y on x.
-- @return slope and intercept, or nil unless the line rises
function calibrate.line(x, y)
  local n, sx, sy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0
  for i = 1, #x do
    if y[i] == y[i] then
      n, sx, sy, sxx, sxy = n + 1, sx + x[i], sy + y[i], sxx + x[i] * x[i], sxy + x[i] * y[i]
    end
  end
  local spread = n * sxx - sx * sx
  local slope = spread > 0 and (n * sxy - sx * sy) / spread or 0
  if slope > 0 then return slope, (sy - slope * sx) / n end
end

--- Mean and standard deviation of a list.
function calibrate.moments(list)
  local sum, squares = 0.0, 0.0
  for _, value in ipairs(list) do sum = sum + value end
  local mean = sum / #list
  for _, value in ipairs(list) do squares = squares + (value - mean) ^ 2 end
  return mean, math.sqrt(math.max(squares / #list, 1e-12))
end

-- The list in standard deviations from its mean, and both.
local function standardised(list)
  local mean, deviation = calibrate.moments(list)
  local unit = {}
  for i, value in ipairs(list) do unit[i] = (value - mean) / deviation end
  return unit, mean, deviation
end

-- Newton's method on the logistic likelihood, which is concave; damped, a few steps suffice.
local function newton(z, target)
  local a, b = 1.0, 0.0
  for _ = 1, 50 do
    local ga, gb, haa, hab, hbb = 0.0, 0.0, 1e-6, 0.0, 1e-6
    for i = 1, #z do
      local p = 1 / (1 + math.exp(-(a * z[i] + b)))
      local error_, weight = target[i] - p, p * (1 - p)
      ga, gb = ga + error_ * z[i], gb + error_
      haa, hab, hbb = haa + weight * z[i] ^ 2, hab + weight * z[i], hbb + weight
    end
    local determinant = haa * hbb - hab * hab
    a, b = a + (hbb * ga - hab * gb) / determinant, b + (haa * gb - hab * ga) / determinant
  end
  return a, b
end

--- A logistic curve through targets in 0..1.
-- @return a and b of 1 / (1 + exp(-(a z + b))); where no rise can be seen the curve is the one nearest to the normal
-- distribution function of z
function calibrate.logistic(z, target)
  local unit, mean, deviation = standardised(z)
  local a, b = newton(unit, target)
  if not (a > 0 and a < 50 and math.abs(b) < 50) then a, b = 1.7, 0.0 end
  return a / deviation, b - a * mean / deviation
end

-- The value that a share of the list does not exceed.
local function quantile(list, share)
  table.sort(list)
  return list[math.max(1, math.ceil(share * #list))]
end

-- Mean pinball loss of a half-width for distances: what its quantile has the least of.
local function pinball(distances, widths)
  local sum = 0.0
  for i, distance in ipairs(distances) do
    local beyond = distance - widths[i]
    sum = sum + (beyond > 0 and COVERED * beyond or (COVERED - 1) * beyond)
  end
  return sum / #distances
end

--- Half the width exp(a + b z) of the interval that holds four of five human scores.
-- @return a and b
function calibrate.spread(scores, gold)
  local z, mean, deviation = standardised(scores)
  local best_a, best_b, best = 0.0, 0.0, math.huge
  local distances = {}
  for i = 1, #z do distances[i] = math.abs(gold[i] - scores[i]) end
  for step = -20, 20 do
    local b, relative, widths = step / 20, {}, {}
    for i = 1, #z do relative[i] = distances[i] * math.exp(-b * z[i]) end
    local width = math.max(quantile(relative, COVERED), 1e-9)
    for i = 1, #z do widths[i] = width * math.exp(b * z[i]) end
    local loss = pinball(distances, widths)
    if loss < best then best_a, best_b, best = math.log(width), b, loss end
  end
  return best_a - best_b * mean / deviation, best_b / deviation
end

--- Expected calibration error: over ten bins of probability, the mean distance between what was said and what was so.
function calibrate.error(probability, target)
  local said, so, count = {}, {}, {}
  for i, p in ipairs(probability) do
    local bin = math.min(math.floor(p * BINS), BINS - 1)
    said[bin], so[bin] = (said[bin] or 0) + p, (so[bin] or 0) + target[i]
    count[bin] = (count[bin] or 0) + 1
  end
  local sum = 0.0
  for bin in pairs(count) do sum = sum + math.abs(said[bin] - so[bin]) end
  return sum / #probability
end

local function half(list, odd)
  local part = {}
  for i = odd and 1 or 2, #list, 2 do part[#part + 1] = list[i] end
  return part
end

-- Shares and errors on the rows that a fit has not seen, both ways.
local function judged(z, gold, good)
  local inside, probability, target = 0, {}, {}
  for _, odd in ipairs { true, false } do
    local a, b = calibrate.logistic(half(z, odd), half(good, odd))
    local wa, wb = calibrate.spread(half(z, odd), half(gold, odd))
    local rest_gold, rest_good = half(gold, not odd), half(good, not odd)
    for i, score in ipairs(half(z, not odd)) do
      probability[#probability + 1] = 1 / (1 + math.exp(-(a * score + b)))
      target[#target + 1] = rest_good[i]
      if math.abs(rest_gold[i] - score) <= math.exp(wa + wb * score) then inside = inside + 1 end
    end
  end
  return calibrate.error(probability, target), inside / #z
end

-- 1 where people call the translation good, and what that means.
local function good_ones(data, threshold)
  local values, limit, meaning = data:column "mean", threshold or GOOD
  if values and not threshold then
    meaning = ("share that people give at least %g of 100"):format(GOOD)
  else
    values = data:column "gold"
    if not threshold then
      limit = 0.0
      for _, value in ipairs(values) do limit = limit + value / #values end
    end
    meaning = ("share with a human score of at least %.4g"):format(limit)
  end
  local good = {}
  for i, value in ipairs(values) do good[i] = value >= limit and 1 or 0 end
  return good, meaning
end

-- Scores of the rows as the model will give them: with log-probabilities, and also without where it can do so.
local function all_scores(model, data, threads)
  model:prepare()
  local z = evaluate.scores(model, data, threads)
  if model:decoder_inputs() > 0 and not model:decoder_needed() then
    local texts <close> = evaluate.texts(data)
    for _, score in ipairs(evaluate.scores(model, texts, threads)) do z[#z + 1] = score end
  end
  return z
end

-- On the line; what the model will give differs in the last digits of single precision.
local function moved(scores, slope, shift)
  local z = {}
  for i, score in ipairs(scores) do z[i] = slope * score + shift end
  return z
end

local function repeated(list, copies)
  local all = {}
  for _ = 1, copies do table.move(list, 1, #list, #all + 1, all) end
  return all
end

-- What a manifest says of scores that are moved onto a line once more.
local function composed(score, slope, shift)
  local function on_line(from)
    local to = {}
    for key, value in pairs(from) do to[key] = value end
    to.scale, to.shift = slope * (from.scale or 1.0), slope * (from.shift or 0.0) + shift
    return to
  end
  local all = on_line(score or {})
  all.type, all.direction = "z-score", "higher is better"
  all.with_logprobs = all.with_logprobs and on_line(all.with_logprobs)
  return all
end

--- Describes in the manifest what the model's scores mean, as the rows of `data` (column gold, and perhaps mean: points
-- of 100) show it.
-- @param threshold (optional) from which human score on a translation is good
-- @param scored (optional) the model's scores of the rows, as it is; once more behind them without log-probabilities,
-- if it can do without
-- @return figures: calibration_error and coverage, of rows that were not fitted
function calibrate.model(model, data, threads, threshold, scored)
  local z = scored or all_scores(model, data, threads)
  local copies = #z // data:rows()
  local gold = repeated(data:column "gold", copies)
  local slope, shift = calibrate.line(z, gold)
  if slope then
    assert(model:describe { score = composed(model:manifest().score, slope, shift) })
    z = scored and moved(z, slope, shift) or all_scores(model, data, threads)
  end
  local good, meaning = good_ones(data, threshold)
  good = repeated(good, copies)
  local a, b = calibrate.logistic(z, good)
  local wa, wb = calibrate.spread(z, gold)
  local error_, coverage = judged(z, gold, good)
  assert(model:describe { calibration = { a = a, b = b, meaning = meaning },
                          spread = { a = wa, b = wb, coverage = COVERED } })
  return { calibration_error = error_, coverage = coverage }
end

return calibrate
