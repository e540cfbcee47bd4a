--- What fine-tuning has changed in an encoder's layers, as thin products (LoRA: Hu et al. 2021, found after the fact):
-- the weights go back to where they started, which four bits hold where they came from four bits, and the adapters keep
-- most of the difference. Rounding the fine-tuned weights themselves to so few bits would undo it: each has moved by
-- less than a step.
-- @module qestrel.adapters
local qe = require "qestrel"
local vectors = require "qestrel.vectors"

local adapters = {}

local ITERATIONS = 3

--- The nearest matrix of a rank, almost: by subspace iteration from a random start.
-- @param difference list, rows x cols
-- @return down (rows x rank, orthonormal columns) and up (rank x cols), lists
function adapters.product(tape, difference, rows, cols, rank, rng)
  local side = {}
  for i = 1, cols * rank do side[i] = rng:normal() end
  local down
  for _ = 1, ITERATIONS do
    tape:reset()
    local matrix = tape:constant(rows, cols, difference)
    down = vectors.orthonormal((matrix:matmul(tape:constant(cols, rank, side))):values(), rows, rank)
    side = (matrix:matmul(tape:constant(rows, rank, down), "tn")):values()
    vectors.orthonormal(side, cols, rank)
  end
  tape:reset()
  local matrix = tape:constant(rows, cols, difference)
  return down, (tape:constant(rows, rank, down):matmul(matrix, "tn")):values()
end

--- Gives `model`, which has adapters and weights of its own, what `trained` differs by in its layers.
-- @return share of the squared differences that the adapters keep
function adapters.factor(model, trained, rng)
  local tape <close> = qe.tape()
  local own, other, rank = model:params(), trained:params(), model:manifest().architecture.rank
  local kept, all = 0.0, 0.0
  for _, name in ipairs(other:names()) do
    local layer, part = name:match "^layer(%d+)%.(%w+)%.weight$"
    if layer then
      local difference, rows, cols = other:matrix(name)
      local start = own:matrix(name)
      local size = 0.0
      for i, value in ipairs(start) do
        difference[i] = difference[i] - value
        size = size + difference[i] ^ 2
      end
      local group = ("adapter%s.%s."):format(layer, part)
      if size > 0 then
        local down, up = adapters.product(tape, difference, rows, cols, rank, rng)
        own:set_matrix(group .. "down", down)
        own:set_matrix(group .. "up", up)
        for _, value in ipairs(up) do kept = kept + value ^ 2 end
      end
      all = all + size
    end
  end
  return all > 0 and kept / all or 1.0
end

return adapters
