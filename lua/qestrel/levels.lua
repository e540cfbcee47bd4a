--- What a teacher's distribution over bins consists of (Tang et al. 2020; methods.md M9): how sure it is of the gold
-- bin (instance), how the other bins relate to it (domain), and that they get something at all (universe). Measured on
-- all training rows, put together again for one row as asked.
-- @module qestrel.levels
local levels = {}

--- A Gaussian around a value as probabilities of bins over 0..1.
function levels.gaussian(value, spread, bins)
  local list, sum = {}, 0
  for b = 1, bins do
    list[b] = math.exp(-0.5 * (((b - 0.5) / bins - value) / spread) ^ 2)
    sum = sum + list[b]
  end
  for b = 1, bins do list[b] = list[b] / sum end
  return list
end

--- The bin of a value in 0..1, from 1.
function levels.bin(value, bins) return math.max(1, math.min(bins, math.floor(value * bins) + 1)) end

-- Everything but one bin, as a distribution.
local function rest_of(p, without)
  local list, left = {}, math.max(1 - p[without], 1e-12)
  for b, share in ipairs(p) do list[b] = b == without and 0 or share / left end
  return list
end

--- Mean sureness and mean distribution of the other bins, by gold bin.
-- @param told probabilities by row
-- @param gold bin by row
-- @param rows array of those that count
function levels.measure(told, gold, rows, bins)
  local kernel, counts, sure = {}, {}, 0
  for b = 1, bins do kernel[b], counts[b] = {}, 0 end
  for _, row in ipairs(rows) do
    local p, y = told[row], gold[row]
    for b, share in ipairs(rest_of(p, y)) do kernel[y][b] = (kernel[y][b] or 0) + share end
    counts[y], sure = counts[y] + 1, sure + p[y] / #rows
  end
  for y = 1, bins do
    for b = 1, bins do
      kernel[y][b] = counts[y] > 0 and kernel[y][b] / counts[y] or (b == y and 0 or 1 / (bins - 1))
    end
  end
  return { sure = sure, kernel = kernel }
end

--- The distribution of one row with only what is asked for; with nothing at all it is the gold bin.
-- @param p the teacher's, of the row
-- @param y gold bin
-- @param means from levels.measure
-- @param parts { universe =, domain =, instance = }
function levels.assemble(p, y, means, parts)
  if parts.universe and parts.domain and parts.instance then return p end
  local bins, list = #p, {}
  local sure = parts.instance and p[y] or means.sure
  if not parts.universe and not parts.domain then sure = 1 end
  for b = 1, bins do
    local share = parts.domain and means.kernel[y][b] or (b == y and 0 or 1 / (bins - 1))
    list[b] = b == y and sure or (1 - sure) * share
  end
  return list
end

--- Distributions as logits, one behind the other.
function levels.logits(list)
  local flat = {}
  for _, p in ipairs(list) do
    for _, share in ipairs(p) do flat[#flat + 1] = math.log(math.max(share, 1e-9)) end
  end
  return flat
end

--- The k largest probabilities as they are, the rest shared out equally.
function levels.top(p, k)
  if k <= 0 or k >= #p then return p end
  local sorted, list, kept, sum = table.move(p, 1, #p, 1, {}), {}, 0, 0
  table.sort(sorted, function(a, b) return a > b end)
  for b, share in ipairs(p) do
    if share >= sorted[k] and kept < k then list[b], kept, sum = share, kept + 1, sum + share end
  end
  for b = 1, #p do list[b] = list[b] or (1 - sum) / (#p - k) end
  return list
end

--- How much a row's gradient on the gold bin is of gold alone's: (1 - l) + l (p_y - q_y) / (1 - q_y).
function levels.weight(l, teacher, student)
  return (1 - l) + l * (teacher - student) / math.max(1 - student, 1e-6)
end

--- Such weights of several rows, none below 0, scaled to a mean of 1.
-- @param teacher, student arrays of probabilities of the gold bins
function levels.weights(l, teacher, student)
  local list, sum = {}, 0
  for i, told in ipairs(teacher) do
    list[i] = math.max(0, levels.weight(l, told, student[i]))
    sum = sum + list[i]
  end
  for i in ipairs(list) do list[i] = sum > 0 and list[i] * #list / sum or 1.0 end
  return list
end

return levels
