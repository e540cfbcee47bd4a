--- Which member of a family a pair goes to: the one whose point is nearest to the mean states of its words (family.c).
-- The points are learned from texts of each member's language pair: softmax regression on half the squared distances,
-- which is a linear one, from where the means are. The means alone tell Nepali from Sinhala in four of five texts.
-- @module qestrel.routes
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"

local routes = {}

local SIDES, STEPS, RATE = { "source", "target" }, 300, 0.03

-- Appends the mean states of the words of each text, both sides in one row, to `rows`.
local function append_means(member, texts, rows)
  evaluate.passes(member, texts, nil, function(pass, batch)
    local sides = {}
    for i, side in ipairs(SIDES) do
      sides[i] = pass:tap(side .. ".read"):pool_segments(batch:segments(member, side), "mean")
    end
    local both = qe.beside(sides)
    table.move(both:values(), 1, both:rows() * both:cols(), #rows + 1, rows)
    rows.width = both:cols()
  end)
end

-- Takes the mean of all rows from each; `first` gets the mean of the rows of each member then.
-- @return the mean, a list
local function center(rows, owners, first)
  local width, mean, counts = rows.width, {}, {}
  for j = 1, width do
    local sum = 0.0
    for i = 1, #owners do sum = sum + rows[(i - 1) * width + j] end
    mean[j] = sum / #owners
  end
  for i, owner in ipairs(owners) do
    counts[owner] = (counts[owner] or 0) + 1
    for j = 1, width do
      local at, cell = (i - 1) * width + j, (owner - 1) * width + j
      rows[at] = rows[at] - mean[j]
      first[cell] = (first[cell] or 0.0) + rows[at]
    end
  end
  for cell, sum in ipairs(first) do first[cell] = sum / counts[(cell - 1) // width + 1] end
  return mean
end

-- The share of rows whose own member has the largest logit.
local function share_right(logits, owners, members)
  local right = 0
  for i, owner in ipairs(owners) do
    local best = 1
    for member = 2, members do
      if logits[(i - 1) * members + member] > logits[(i - 1) * members + best] then best = member end
    end
    if best == owner then right = right + 1 end
  end
  return right / #owners
end

-- The points, a list by members, of centered rows, and the share of rows that are nearest to their own.
local function descend(rows, owners, first, members)
  local params = qe.params()
  params:add("points", members, rows.width)
  params:set_matrix("points", first)
  local optimiser, targets, ones = qe.optimiser(params, { rule = "adam" }), {}, {}
  for i, owner in ipairs(owners) do
    for member = 1, members do targets[(i - 1) * members + member] = owner == member and 1.0 or 0.0 end
  end
  for j = 1, rows.width do ones[j] = 0.5 end
  local function logits_of(tape)
    local points = params:tensor(tape, "points")
    local x, half = tape:constant(#owners, rows.width, rows), tape:constant(1, rows.width, ones)
    return x:matmul(points, "nt") - half:matmul(points * points, "nt")
  end
  for _ = 1, STEPS do
    local tape <close> = qe.tape()
    logits_of(tape):cross_entropy(tape:constant(#owners, members, targets)):mean():backward()
    assert(optimiser:step(RATE))
  end
  local tape <close> = qe.tape()
  return (params:matrix "points"), share_right(logits_of(tape):values(), owners, members)
end

--- Learns the points and gives them to the family.
-- @param texts array of datasets: of each member, in their order, texts of its language pair
-- @return share of the texts that go to their own member
function routes.learn(family, members, texts)
  local rows, owners, first = {}, {}, {}
  for i, member in ipairs(members) do
    if texts[i]:rows() == 0 then error(("routes: no texts of member %d"):format(i), 0) end
    append_means(member, texts[i], rows)
    for _ = 1, texts[i]:rows() do owners[#owners + 1] = i end
  end
  local mean, half = center(rows, owners, first), rows.width // 2
  local points, share = descend(rows, owners, first, #members)
  for s, side in ipairs(SIDES) do
    local values = {}
    for i = 1, #members do
      for j = 1, half do
        local at = (s - 1) * half + j
        values[#values + 1] = points[(i - 1) * rows.width + at] + mean[at]
      end
    end
    family:params():set_matrix("routes." .. side, values)
  end
  return share
end

return routes
