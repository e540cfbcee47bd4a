--- D(student, target), the distance that recipes are built from, one value per pair (methods.md B2, B3): the squared
-- error of a sigmoid score, or T^2 KL between a target distribution over bins and the student's at temperature T. A
-- target of bins is a Gaussian around the value; at temperature T it is a Gaussian sqrt(T) as wide.
-- @module qestrel.distance
local distance = {}

local function gaussian_logits(values, spreads, bins)
  local logits = {}
  for i = 1, #values do
    local precision = 0.5 / spreads[i] ^ 2
    for b = 1, bins do
      logits[#logits + 1] = -(((b - 0.5) / bins - values[i]) ^ 2) * precision
    end
  end
  return logits
end

local function spreads_of(run, batch, column, count)
  local known = column and run.train:column(column)
  local rows, list = batch:rows(), {}
  for i = 1, count do
    local spread = known and known[rows[i]] or run.options.spread
    list[i] = spread > 1 / run.options.bins and spread or 1 / run.options.bins
  end
  return list
end

--- @param pass of the student over `batch`
-- @param target column of the training data, in 0..1
-- @param sigma (optional) column of its standard deviations
-- @return tensor, rows x 1
function distance.between(run, pass, batch, target, sigma)
  local bins, temperature = run.options.bins, run.options.temperature
  local values = batch:column(run.tape, target)
  if bins == 0 then return pass:tap("score"):squared_error(values) end
  local list = values:values()
  local teacher = run.tape:constant(#list, bins, gaussian_logits(list, spreads_of(run, batch, sigma, #list), bins))
  return teacher:kl(pass:tap "logits", temperature) * temperature ^ 2
end

return distance
