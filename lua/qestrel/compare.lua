--- Two outputs side by side, and beside them what the candidates of a list would have allowed: the random pick, the
-- first choice or the best single system, consensus, and the oracle. An output is a name and one row of statistics per
-- line; what a line is worth is told by a judge, of which there are two: a metric with references, and scores of
-- candidates. Differences are judged by a paired bootstrap over lines.
-- @module qestrel.compare
local qe = require "qestrel"

local compare = {}

-- ---- judges: statistics(line, text) -> row; corpus(sums); line(row) ----

--- Corpus metric with references (an array of references per line).
function compare.by_metric(name, references)
  local metric = qe.metric(name)
  local judge = { name = name, direction = metric:direction(), size = #metric, metric = metric }
  function judge.statistics(line, text)
    if judge.prepared ~= line then metric:reference(references[line]) end
    judge.prepared = line
    return metric:statistics(text)
  end
  function judge.corpus(sums) return metric:corpus(sums) end
  function judge.line(row) return metric:sentence(row) end
  return judge
end

local function mean_judge(name)
  return {
    name = name, direction = 1, size = 2,
    corpus = function(sums) return sums[1] / sums[2] end, line = function(row) return row[1] / row[2] end,
  }
end

--- Scores of candidates: identical texts of a line share the mean of theirs.
-- @param candidates for each line, an array of { text =, score = }
function compare.by_candidates(candidates)
  local judge, known = mean_judge "score", {}
  for line, list in ipairs(candidates) do
    known[line] = {}
    for _, candidate in ipairs(list) do
      local sums = known[line][candidate.text] or { 0, 0 }
      known[line][candidate.text] = { sums[1] + candidate.score, sums[2] + 1 }
    end
  end
  function judge.statistics(line, text)
    local sums = known[line] and known[line][text]
    if not sums then return nil, ("line %d: \"%s\" is none of the candidates"):format(line, text:sub(1, 60)) end
    return { sums[1] / sums[2], 1 }
  end
  return judge
end

-- ---- outputs ----

local function append(rows, row) table.move(row, 1, #row, #rows + 1, rows) end

--- The statistics of a text for every line.
-- @return { name =, rows = flat array, lines = worth of each line }, or nil and a message
function compare.output(name, texts, judge)
  local output = { name = name, rows = {}, lines = {} }
  for line, text in ipairs(texts) do
    local row, problem = judge.statistics(line, text)
    if not row then return nil, problem end
    append(output.rows, row)
    output.lines[line] = judge.direction * judge.line(row)
  end
  return output
end

local function distinct(list)
  local seen, texts = {}, {}
  for _, candidate in ipairs(list) do
    if not seen[candidate.text] then texts[#texts + 1] = candidate.text end
    seen[candidate.text] = true
  end
  return texts
end

local function arg_max(values)
  local best = 1
  for i = 2, #values do
    if values[i] > values[best] then best = i end
  end
  return best
end

-- What one list allows: rows of the random pick and the oracle, and the text that consensus picks.
local function of_list(line, list, judge, consensus)
  local texts, mean, worth, rows = distinct(list), {}, {}, {}
  for i, text in ipairs(texts) do
    local row, problem = judge.statistics(line, text)
    if not row then return nil, problem end
    rows[i], worth[i] = row, judge.direction * judge.line(row)
    for j, value in ipairs(row) do mean[j] = (mean[j] or 0) + value / #texts end
  end
  return { random = mean, oracle = rows[arg_max(worth)], consensus = texts[arg_max((consensus:values(texts)))] }
end

--- The random pick (the mean over distinct candidates), consensus and the oracle (the best by the judge, line by line).
-- @param candidates for each line, an array of { text =, ... }, one or more
-- @return array of outputs, or nil and a message
function compare.yardsticks(candidates, judge)
  local random, oracle = { name = "random", rows = {} }, { name = "oracle", rows = {} }
  local texts, consensus = {}, qe.consensus()
  for line, list in ipairs(candidates) do
    local found, problem = of_list(line, list, judge, consensus)
    if not found then return nil, problem end
    append(random.rows, found.random)
    append(oracle.rows, found.oracle)
    texts[line] = found.consensus
  end
  local picked, problem = compare.output("consensus", texts, judge)
  if not picked then return nil, problem end
  return { random, picked, oracle }
end

--- The corpus value of an output.
function compare.corpus(output, judge)
  local sums = {}
  for j = 1, judge.size do sums[j] = 0 end
  for i, value in ipairs(output.rows) do
    local j = (i - 1) % judge.size + 1
    sums[j] = sums[j] + value
  end
  return judge.corpus(sums)
end

-- The lines of each system; only systems that have all.
local function by_system(candidates)
  local systems = {}
  for line, list in ipairs(candidates) do
    for _, candidate in ipairs(list) do
      local name = candidate.system
      if name and name ~= "" then
        systems[name] = systems[name] or { count = 0 }
        local texts = systems[name]
        if not texts[line] then texts.count = texts.count + 1 end
        texts[line] = texts[line] or candidate.text
      end
    end
  end
  for name, texts in pairs(systems) do
    if texts.count < #candidates then systems[name] = nil end
  end
  return systems
end

--- The system whose output is the best one by the corpus value, of those that have a translation of every line.
-- @param candidates for each line, an array of { text =, system = }
-- @return output; nil where there is no such system; or nil and a message
function compare.best_system(candidates, judge)
  local best
  for name, texts in pairs(by_system(candidates)) do
    local output, problem = compare.output("best system: " .. name, texts, judge)
    if not output then return nil, problem end
    output.value = judge.direction * compare.corpus(output, judge)
    local better = not best or output.value > best.value
    if better or output.value == best.value and output.name < best.name then best = output end
  end
  return best
end

-- ---- differences ----

local function quantile(sorted, share)
  local at = 1 + (#sorted - 1) * share
  local low = math.floor(at)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (at - low) * (sorted[high] - sorted[low])
end

-- Interval of b - a, and the share of resamples on the other side of zero, twice (a two-sided p-value).
local function difference(a, b)
  local values, below, above = {}, 0, 0
  for i = 1, #a do
    values[i] = b[i] - a[i]
    if values[i] <= 0 then below = below + 1 end
    if values[i] >= 0 then above = above + 1 end
  end
  table.sort(values)
  return { quantile(values, .025), quantile(values, .975) }, math.min(1, 2 * math.min(below, above) / #values)
end

local function count_lines(a, b)
  local wins, ties, losses = 0, 0, 0
  for line, worth in ipairs(b.lines) do
    if worth > a.lines[line] then
      wins = wins + 1
    elseif worth < a.lines[line] then
      losses = losses + 1
    else
      ties = ties + 1
    end
  end
  return { wins = wins, ties = ties, losses = losses }
end

local function find(outputs, name)
  for i, output in ipairs(outputs) do
    if output.name == name then return i end
  end
end

-- The share of the way from random to oracle.
local function add_gap(rows, outputs)
  local random, oracle = find(outputs, "random"), find(outputs, "oracle")
  if not random then return end
  local floor, way = rows[random].value, rows[oracle].value - rows[random].value
  for _, row in ipairs(rows) do row.gap = way ~= 0 and (row.value - floor) / way or nil end
end

--- The table: for each output its value, and its difference to the first output with interval and p-value.
-- @param outputs the first is what the others are compared with
-- @param draws, seed of the bootstrap
-- @return array of { name =, value =, difference =, low =, high =, p =, wins =, ties =, losses =, gap = }
function compare.rows(outputs, judge, draws, seed)
  local flat, rows = {}, {}
  for i, output in ipairs(outputs) do flat[i] = output.rows end
  local values = qe.resample(judge.metric, flat, draws, seed)
  for i, output in ipairs(outputs) do
    local row = { name = output.name, value = compare.corpus(output, judge) }
    if i > 1 then
      local interval, p = difference(values[1], values[i])
      row.difference = row.value - rows[1].value
      row.low, row.high, row.p = interval[1], interval[2], p
      if output.lines then
        for name, count in pairs(count_lines(outputs[1], output)) do row[name] = count end
      end
    end
    rows[i] = row
  end
  add_gap(rows, outputs)
  return rows
end

-- ---- human judges ----

local function cell(text) return (text:gsub("[\t\r\n]", " ")) end

--- A blinded sheet: lines where the outputs differ, in an order and with sides that the seed draws.
-- @return text of the sheet, text of the key
function compare.sheet(sources, a, b, most, seed)
  local rng, places = qe.rng(seed, "sheet"), {}
  for line = 1, #a do
    if a[line] ~= b[line] then places[#places + 1] = line end
  end
  for i = #places, 2, -1 do
    local j = rng:below(i) + 1
    places[i], places[j] = places[j], places[i]
  end
  local sheet, key = { "id\tsource\tfirst\tsecond\tchoice\tcomment\n" }, { "id\tfirst\n" }
  for i = 1, math.min(most, #places) do
    local line, turned = places[i], rng:below(2) == 1
    local first, second = a[line], b[line]
    if turned then first, second = second, first end
    sheet[i + 1] = ("%d\t%s\t%s\t%s\t\t\n"):format(line - 1, cell(sources[line] or ""), cell(first), cell(second))
    key[i + 1] = ("%d\t%s\n"):format(line - 1, turned and "B" or "A")
  end
  return table.concat(sheet), table.concat(key)
end

-- log of n over k
local function log_choose(n, k)
  local sum = 0
  for i = 1, k do sum = sum + math.log(n - k + i) - math.log(i) end
  return sum
end

--- Two-sided sign test: how probable wins and losses at least so unequal are where both are alike.
function compare.sign_test(wins, losses)
  local n, tail = wins + losses, 0
  for k = 0, math.min(wins, losses) do tail = tail + math.exp(log_choose(n, k) - n * math.log(2)) end
  return math.min(1, 2 * tail)
end

return compare
