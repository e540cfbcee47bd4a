--- What a pretrained encoder knows of words: states of one layer, of each text encoded alone, as means over the pieces
-- of every word, less the mean of their side, along the axes in which they differ most.
-- @module qestrel.vectors
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local rows = require "qestrel.rows"

local vectors = {}

local SIDES, SAMPLE, ROUNDS = { "source", "target" }, 600, 40

local function tap(layer, side) return ("%s.layer%d"):format(side, layer) end

-- Visits the states of words of chosen rows, side by side.
local function visit(run, encoder, data, layer, see)
  evaluate.passes(encoder, data, run.pool, function(pass, batch, _, tape)
    for _, side in ipairs(SIDES) do
      see(side, pass:tap(tap(layer, side)):of_words(batch, side, encoder, run.student), batch, tape)
    end
  end, { no_gradient = true, no_head = true, last_layer = layer })
end

local function sample_of(run)
  local sample, chosen = qe.dataset(), rows.sample(rows.all(run), SAMPLE, run:rng "vectors")
  for _, row in ipairs(chosen) do
    local source, translation = run.train:pair(row)
    sample:append(source, translation)
  end
  return sample
end

local function add(list, values)
  for i, value in ipairs(values) do list[i] = (list[i] or 0) + value end
end

--- Mean of each side, and the covariance of what is left, of all words that `show` shows it.
-- @param show called with a function (side, states)
-- @return { means =, squares =, width = }
function vectors.moments(show)
  local sums, squares, count = { source = {}, target = {} }, {}, { source = 0, target = 0 }
  show(function(side, states)
    add(sums[side], states:sum("rows"):values())
    add(squares, states:matmul(states, "tn"):values())
    count[side] = count[side] + states:rows()
  end)
  local width, all = #sums.source, count.source + count.target
  for _, side in ipairs(SIDES) do
    local sum, share = sums[side], 1 / math.max(count[side], 1)
    for i = 1, width do
      for j = 1, width do
        local cell = (i - 1) * width + j
        squares[cell] = squares[cell] - sum[i] * sum[j] * share
      end
    end
    for i = 1, width do sum[i] = sum[i] * share end
  end
  for i, value in ipairs(squares) do squares[i] = value / all end
  return { means = sums, squares = squares, width = width }
end

local NOTHING = 1e-5 -- share of a column that is left when the others span it, in single precision

local function size_of(values, k, height, count)
  local size = 0.0
  for i = 0, height - 1 do size = size + values[i * count + k] ^ 2 end
  return math.sqrt(size)
end

--- Gram and Schmidt on the columns of a height x count matrix, a list by rows, in place. Columns that the others span
-- become zero.
-- @return the list
function vectors.orthonormal(values, height, count)
  for k = 1, count do
    local before = size_of(values, k, height, count)
    for other = 1, k - 1 do
      local product = 0.0
      for i = 0, height - 1 do product = product + values[i * count + k] * values[i * count + other] end
      for i = 0, height - 1 do
        local at = i * count
        values[at + k] = values[at + k] - product * values[at + other]
      end
    end
    local size = size_of(values, k, height, count)
    local scale = size > NOTHING * before and 1 / size or 0.0
    for i = 0, height - 1 do values[i * count + k] = values[i * count + k] * scale end
  end
  return values
end

--- The `count` axes of a symmetric matrix with the largest eigenvalues, as a width x count matrix (orthogonal
-- iteration: Golub and Van Loan, section 8.2).
function vectors.axes(matrix, width, count, rng)
  local tape <close>, cells = qe.tape(), {}
  for i = 1, width * count do cells[i] = rng:normal() end
  for _ = 1, ROUNDS do
    vectors.orthonormal(cells, width, count)
    tape:reset()
    cells = tape:constant(width, width, matrix):matmul(tape:constant(width, count, cells)):values()
  end
  return vectors.orthonormal(cells, width, count)
end

--- The axes of such moments, in a unit such that a word's square is 1 on average.
-- @return width x count matrix, and the share of the variance that the axes hold
function vectors.unit_axes(moments, count, rng)
  local width, squares = moments.width, moments.squares
  if count > width then error(("--embedding=%d: the encoder's states have %d numbers"):format(count, width), 0) end
  local axes, trace, held = vectors.axes(squares, width, count, rng), 0, 0
  local tape <close> = qe.tape()
  local turned = tape:constant(width, count, axes)
  local spread = tape:constant(width, width, squares):matmul(turned) * turned
  for _, value in ipairs(spread:values()) do held = held + value end
  for i = 1, width do trace = trace + squares[(i - 1) * width + i] end
  for i, value in ipairs(axes) do axes[i] = value / math.sqrt(held) end
  return axes, held / trace
end

--- For all training rows, words x count: states of words along the axes, one store per side.
-- @return { source =, target = }, and the share of the variance that the axes hold
function vectors.collect(run, encoder, layer, count)
  local sample <close> = sample_of(run)
  local moments = vectors.moments(function(see) visit(run, encoder, sample, layer, see) end)
  local axes, share = vectors.unit_axes(moments, count, run:rng "vectors")
  local stores, width = { source = qe.states(count), target = qe.states(count) }, moments.width
  visit(run, encoder, run.train, layer, function(side, states, batch, own)
    local centered = states - own:constant(1, width, moments.means[side])
    local projected = centered:matmul(own:constant(width, count, axes))
    assert(stores[side]:add(projected, nil, batch:segments(run.student, side), { share = 1 }))
  end)
  return stores, share
end

return vectors
