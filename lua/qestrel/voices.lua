--- Who has a say in a student's score beside itself: the encoder that it reads words in context by (--context), where
-- that is a judge, and trees over what can be counted of a pair (--trees). How much each one's word counts is fitted on
-- dev: one line for texts alone, one for those with log-probabilities.
-- @module qestrel.voices
local context = require "qestrel.context"
local evaluate = require "qestrel.evaluate"

local voices = {}

local NAMES, FEWEST = { "context", "forest" }, 50 -- rows that a line is fitted on

-- The deviations of a list of columns from their means over some rows: means and sums of products.
local function moments(columns, numbers)
  local means, products = {}, {}
  for a, column in ipairs(columns) do
    local sum = 0.0
    for _, i in ipairs(numbers) do sum = sum + column[i] end
    means[a] = sum / #numbers
  end
  for a, one in ipairs(columns) do
    products[a] = {}
    for b, other in ipairs(columns) do
      local sum = 0.0
      for _, i in ipairs(numbers) do sum = sum + (one[i] - means[a]) * (other[i] - means[b]) end
      products[a][b] = sum
    end
  end
  return means, products
end

-- Solves for weights of the chosen columns, by elimination; nil if they cannot be told apart. The last of `products` is
-- what they explain.
local function solve(products, chosen)
  local rows, last = {}, #products
  for i, a in ipairs(chosen) do
    rows[i] = {}
    for j, b in ipairs(chosen) do rows[i][j] = products[a][b] end
    rows[i].right = products[a][last]
  end
  for i, row in ipairs(rows) do
    if row[i] <= 1e-9 * products[chosen[i]][chosen[i]] or row[i] ~= row[i] then return nil end
    for k = i + 1, #rows do
      local factor = rows[k][i] / row[i]
      for j = i, #rows do rows[k][j] = rows[k][j] - factor * row[j] end
      rows[k].right = rows[k].right - factor * row.right
    end
  end
  for i = #rows, 1, -1 do
    for j = i + 1, #rows do rows[i].right = rows[i].right - rows[i][j] * rows[j].weight end
    rows[i].weight = rows[i].right / rows[i][i]
  end
  return rows
end

-- The line gold = shift + scale (own + sum of weight * voice), by least squares. A voice that would count less than
-- nothing is not heard.
-- @param columns own, then the voices, nil in place of one that has nothing to say
-- @param numbers of the rows that count
local function line_of(own, columns, gold, numbers)
  local all, chosen, names = { own }, { 1 }, {}
  for _, name in ipairs(NAMES) do
    if columns[name] then
      all[#all + 1] = columns[name]
      chosen[#chosen + 1], names[#all] = #all, name
    end
  end
  all[#all + 1] = gold
  local means, products = moments(all, numbers)
  while true do
    local rows, least = solve(products, chosen), nil
    for i = 1, rows and #rows or 0 do
      if rows[i].weight <= 0 and (not least or rows[i].weight < rows[least].weight) then least = i end
    end
    if rows and not least then
      local line = { scale = rows[1].weight, shift = means[#all], context = 0.0, forest = 0.0 }
      for i, a in ipairs(chosen) do
        if i > 1 then line[names[a]] = rows[i].weight / line.scale end
        line.shift = line.shift - rows[i].weight * means[a]
      end
      return line
    end
    if #chosen == 1 then return { scale = 1.0, shift = 0.0, context = 0.0, forest = 0.0 } end
    table.remove(chosen, least and least > 1 and least or #chosen)
  end
end

local function append(list, values)
  table.move(values, 1, #values, #list + 1, list)
end

-- What each gives for the dev rows, and for the same without log-probabilities behind them, if the student can do
-- without.
local function asked(run)
  local student, encoder, grown = run.student, run.encoder, run.options.trees > 0
  local found = { own = {}, voices = { context = encoder and {}, forest = grown and {} }, gold = {}, known = {},
                  unknown = {} }
  local texts <close> = evaluate.texts(run.dev)
  local sets = student:decoder_inputs() == 0 and { texts } or student:decoder_needed() and { run.dev }
    or { run.dev, texts }
  student:prepare()
  for _, data in ipairs(sets) do
    for row = 1, data:rows() do
      local numbers = select(3, data:pair(row)) and found.known or found.unknown
      numbers[#numbers + 1] = #found.own + row
    end
    if encoder then
      append(found.own, context.own_scores(run, data))
      append(found.voices.context, context.said(run, data, texts))
    else
      append(found.own, evaluate.scores(student, data, run.pool))
    end
    if grown then append(found.voices.forest, student:trees(data)) end
    append(found.gold, run.dev:column "gold")
  end
  if encoder and not context.judges(run) then found.voices.context = nil end
  return found
end

local function on(line, found, i)
  local sum = found.own[i]
  for _, name in ipairs(NAMES) do
    if found.voices[name] then sum = sum + line[name] * found.voices[name][i] end
  end
  return line.shift + line.scale * sum
end

local function tell(run, found, line, other)
  for _, name in ipairs(NAMES) do
    if found.voices[name] then
      local who = name == "context" and "the encoder's own score" or "trees"
      run:say("%s: weight %.3f, with log-probabilities %.3f", who, line[name], other[name])
    end
  end
end

--- Grows the trees that the options ask for, and describes in the manifest on which line the student's scores lie and
-- how much the others' word counts.
-- @return scores of dev rows on their lines, and of the same rows without log-probabilities behind them; nothing if the
-- student is alone
function voices.scores(run)
  local trees = run.options.trees
  if trees > 0 then assert(run.student:grow(run.train, "gold", trees, run:rng "forest")) end
  if not run.encoder and trees == 0 then return nil end
  local found = asked(run)
  local few = #found.unknown < FEWEST
  local line = line_of(found.own, found.voices, found.gold, few and found.known or found.unknown)
  local other = line
  if #found.known >= FEWEST then other = line_of(found.own, found.voices, found.gold, found.known) end
  tell(run, found, line, other)
  local score = { type = "z-score", direction = "higher is better", with_logprobs = #found.known > 0 and other or nil }
  for key, value in pairs(line) do score[key] = value end
  assert(run.student:describe { score = score })
  local scores = {}
  for numbers, its in pairs { [found.unknown] = line, [found.known] = other } do
    for _, i in ipairs(numbers) do scores[i] = on(its, found, i) end
  end
  return scores
end

return voices
