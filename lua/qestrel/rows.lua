--- Choosing and weighing training rows by what is known of them.
-- @module qestrel.rows
local rows = {}

local function known(value)
  return value == value -- NaN is not
end

local function quantile(values, share)
  table.sort(values)
  return values[math.max(1, math.ceil(share * #values))]
end

--- All training rows.
function rows.all(run)
  local list = {}
  for i = 1, run.train:rows() do list[i] = i end
  return list
end

--- Keeps the rows whose value is at most the quantile `share` of the column. Where the rows from `first_new` on
-- exist (augmentation), only they are measured and dropped. Rows without a value are kept.
-- @return array of rows
function rows.below_quantile(run, column, share, first_new)
  local count, list, measured = run.train:rows(), {}, {}
  local values = run.train:column(column)
  if share >= 1 then return rows.all(run) end
  if not values then
    error(("keep=%g: the teachers give no sigma; use several, or a score file with a second column"):format(share), 0)
  end
  if first_new > count then first_new = 1 end
  for i = first_new, count do
    if known(values[i]) then measured[#measured + 1] = values[i] end
  end
  local limit = quantile(measured, share) or math.huge
  for i = 1, count do
    if i < first_new or not known(values[i]) or values[i] <= limit then list[#list + 1] = i end
  end
  run:say("noise filter: %d of %d rows kept (sigma at most %.6g)", #list, count, limit)
  return list
end

--- Sets every n-th row of a list apart (0: none).
-- @return array of those set apart, array of the others
function rows.set_apart(list, n)
  local apart, rest = {}, {}
  for i, row in ipairs(list) do
    local into = n > 0 and i % n == 0 and apart or rest
    into[#into + 1] = row
  end
  return apart, rest
end

--- Deals a list out into so many parts, disjoint and of like size, in an order that `rng` draws.
-- @return array of arrays
function rows.deal(list, parts, rng)
  local copy, dealt = table.move(list, 1, #list, 1, {}), {}
  if parts == 1 then return { copy } end
  rng:shuffle(copy)
  for i = 1, parts do dealt[i] = {} end
  for i, row in ipairs(copy) do table.insert(dealt[(i - 1) % parts + 1], row) end
  for i = 1, parts do table.sort(dealt[i]) end
  return dealt
end

--- `count` rows of a list (all, if it is shorter), drawn without replacement, in the order of the list.
function rows.sample(list, count, rng)
  local copy = table.move(list, 1, #list, 1, {})
  rng:shuffle(copy)
  local drawn = table.move(copy, 1, math.min(count, #copy), 1, {})
  table.sort(drawn)
  return drawn
end

--- The first `count` of several lists of rows and one more, joined.
function rows.joined(lists, count, last)
  local all = {}
  for i = 1, count do table.move(lists[i], 1, #lists[i], #all + 1, all) end
  return table.move(last, 1, #last, #all + 1, all)
end

--- Makes a column NAME.weight for every target in `weights` (NAME -> weight): where a row lacks a value its weight
-- goes to the targets that it has, and the value becomes 0. Rows whose weight is 0 altogether are dropped.
-- @return array of rows, from run.rows
function rows.weigh(run, weights)
  local count, columns, shares, list = run.train:rows(), {}, {}, {}
  local total = {}
  for i = 1, count do total[i] = 0.0 end
  for name, weight in pairs(weights) do
    columns[name] = run.train:column(name) or {}
    for i = 1, count do
      if columns[name][i] and known(columns[name][i]) then total[i] = total[i] + weight end
    end
  end
  for name, weight in pairs(weights) do
    shares[name] = {}
    for i = 1, count do
      local here = columns[name][i] and known(columns[name][i]) and total[i] > 0
      shares[name][i] = here and weight / total[i] or 0.0
      columns[name][i] = here and columns[name][i] or 0.0
    end
    run.train:set_column(name, columns[name])
    run.train:set_column(name .. ".weight", shares[name])
  end
  for _, i in ipairs(run.rows) do
    if total[i] > 0 then list[#list + 1] = i end
  end
  if #list < #run.rows then run:say("%d rows without a target are left out", #run.rows - #list) end
  return list
end

return rows
