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

--- Standard deviations of the targets of a batch: those of a column, where it is there and knows, else the option; at
-- least a bin's width.
function distance.spreads(run, batch, column, count)
  local known = column and run.train:column(column)
  local rows, list = batch:rows(), {}
  for i = 1, count do
    local spread = known and known[rows[i]] or run.options.spread
    list[i] = spread > 1 / run.options.bins and spread or 1 / run.options.bins
  end
  return list
end

--- @param output what a head says of `batch`: scores in 0..1, or with bins their logits
-- @param target column of the training data, in 0..1
-- @param sigma (optional) column of its standard deviations
-- @return tensor, rows x 1
function distance.of(run, batch, output, target, sigma)
  local bins, temperature = run.options.bins, run.options.temperature
  local values = batch:column(run.tape, target)
  if bins == 0 then return output:squared_error(values) end
  local list = values:values()
  local told = gaussian_logits(list, distance.spreads(run, batch, sigma, #list), bins)
  local teacher = run.tape:constant(#list, bins, told)
  return teacher:kl(output, temperature) * temperature ^ 2
end

--- The same of a pass of the student.
function distance.between(run, pass, batch, target, sigma)
  return distance.of(run, batch, pass:tap(run.options.bins == 0 and "score" or "logits"), target, sigma)
end

--- The mean over pairs of the distances to several targets, each times its column NAME.weight (see qestrel.rows).
-- @param targets array of { column, column of its standard deviations (optional) }
-- @param pass (optional) of the student over the batch
function distance.mixed(run, batch, targets, pass)
  local sum
  pass = pass or run:forward(batch)
  for _, target in ipairs(targets) do
    local weighted = batch:column(run.tape, target[1] .. ".weight")
      * distance.between(run, pass, batch, target[1], target[2])
    sum = sum and sum + weighted or weighted
  end
  return sum:mean()
end

--- Logits of a target, rows x bins, centred: those of a Gaussian around it; without bins the log odds of its value.
function distance.logits(run, batch, target, sigma)
  local bins, values = run.options.bins, batch:column(run.tape, target)
  if bins == 0 then
    local inside = values:clamp(0.02, 0.98)
    return inside:log() - inside:affine(-1, 1):log()
  end
  local list = values:values()
  local logits = run.tape:constant(#list, bins, gaussian_logits(list, distance.spreads(run, batch, sigma, #list), bins))
  return logits - logits:mean "columns"
end

return distance
