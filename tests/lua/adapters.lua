-- Thin products of differences: exact where the rank suffices, nearly the best where it does not; a fine-tuned encoder
-- on top of its start scores as before when the rank is full.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local support = require "support"
local qe = require "qestrel"
local adapters = require "qestrel.adapters"
local test, equal = support.test, support.equal

local function product(down, up, rows, rank, cols)
  local list = {}
  for i = 0, rows - 1 do
    for j = 1, cols do
      local sum = 0.0
      for k = 1, rank do sum = sum + down[i * rank + k] * up[(k - 1) * cols + j] end
      list[i * cols + j] = sum
    end
  end
  return list
end

local function distance(a, b)
  local sum = 0.0
  for i = 1, #a do sum = sum + (a[i] - b[i]) ^ 2 end
  return sum
end

local function random(count, rng)
  local list = {}
  for i = 1, count do list[i] = rng:normal() end
  return list
end

local function numbers_are_close(found, expected, share)
  if math.abs(found - expected) > share * expected then
    error(("found %g, expected %g"):format(found, expected), 2)
  end
end

test("a matrix of low rank is its product", function()
  local rng, tape <close> = qe.rng(1, "adapters"), qe.tape()
  local rows, cols, rank = 23, 17, 4
  local matrix = product(random(rows * rank, rng), random(rank * cols, rng), rows, rank, cols)
  local down, up = adapters.product(tape, matrix, rows, cols, rank, rng)
  equal(distance(matrix, product(down, up, rows, rank, cols)) < 1e-6, true)
end)

test("of a full one the largest directions are kept", function()
  -- rows scaled apart: singular values are near the scales, and the lowest rank that holds most is known
  local rng, tape <close> = qe.rng(2, "adapters"), qe.tape()
  local rows, cols, rank = 20, 400, 3
  local matrix, all, best = {}, 0.0, 0.0
  for i = 0, rows - 1 do
    local scale = i < rank and 5 or 1
    for j = 1, cols do
      local value = scale * rng:normal()
      matrix[i * cols + j] = value
      all = all + value ^ 2
      if i < rank then best = best + value ^ 2 end
    end
  end
  local down, up = adapters.product(tape, matrix, rows, cols, rank, rng)
  numbers_are_close(distance(matrix, product(down, up, rows, rank, cols)), all - best, 0.03)
  for k = 1, rank do -- columns of `down` are unit vectors
    local size = 0.0
    for i = 0, rows - 1 do size = size + down[i * rank + k] ^ 2 end
    numbers_are_close(size, 1, 1e-4)
  end
end)

test("an encoder and what it has learned are its start and its adapters", function()
  local bert = (os.getenv "SOURCE_DIR" or ".") .. "/tests/parity/bert"
  local start = assert(qe.import(bert, { joint = true }, nil, qe.rng(1, "import")))
  local trained, rng = start:copy(), qe.rng(3, "trained")
  for _, name in ipairs(trained:params():names()) do
    if name:match "^layer2" then
      local values = trained:params():matrix(name)
      for i, value in ipairs(values) do values[i] = value + 0.1 * rng:normal() end
      trained:params():set_matrix(name, values)
    end
  end
  local model = assert(start:derive({ rank = 12 }, nil, qe.rng(1, "derive")))
  model:take(trained)
  for _, name in ipairs(start:params():names()) do
    if name:match "^layer%d+%.%w+%.weight$" then model:params():set_matrix(name, (start:params():matrix(name))) end
  end
  local kept = adapters.factor(model, trained, qe.rng(1, "factor"))
  numbers_are_close(kept, 1, 1e-3)
  for _, each in ipairs { model, trained, start } do each:prepare() end
  local pair = { "ka lo mi", "su te ro" }
  local function score(each) return (qe.scorer(each):score(table.unpack(pair))) end
  equal(math.abs(score(model) - score(trained)) < 1e-4, true, "as trained")
  equal(math.abs(score(start) - score(trained)) > 1e-3, true, "training changed something")
end)

support.finish()
