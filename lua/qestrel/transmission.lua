--- What a model's layers pass on (Shang et al. 2021; methods.md M11): for neighbouring layers f, g with the same T
-- tokens the largest singular value of f^T g / T, which stands for how far the layer can carry a change of its input.
-- Divided by sqrt(width f . width g), so that models of different widths can be compared, and as a logarithm.
-- @module qestrel.transmission
local qe = require "qestrel"

local transmission = {}

local ITERATIONS, LEAST, SHARE = 10, 1e-8, 256

local LAYERS = { { "embedding", "states" }, { "states", "projected" } }

--- From the embedding upwards, first of the source, then of the translation: { side =, from =, to =, depth = }.
transmission.places = {}
for _, side in ipairs { "source", "target" } do
  for depth, layer in ipairs(LAYERS) do
    table.insert(transmission.places, { side = side, from = side .. "." .. layer[1], to = side .. "." .. layer[2],
                                        depth = depth })
  end
end
transmission.depth = #LAYERS

--- The logarithm at one place for every pair of a batch, rows x 1.
function transmission.log(pass, batch, model, place)
  local from, to = pass:tap(place.from), pass:tap(place.to)
  local value = from:top_singular(to, batch:segments(model, place.side), ITERATIONS)
  return value:affine(1 / math.sqrt(from:cols() * to:cols()), LEAST):log()
end

--- Those of all rows of a dataset, without gradients: an array of columns, one for each place.
function transmission.measure(model, data, pool)
  local columns, tape <close> = {}, qe.tape(pool)
  for k in ipairs(transmission.places) do columns[k] = {} end
  for first = 1, data:rows(), SHARE do
    local rows = {}
    for row = first, math.min(first + SHARE - 1, data:rows()) do rows[#rows + 1] = row end
    local batch <close> = qe.batch(data, rows)
    tape:reset()
    local pass = model:forward(tape, batch, { no_gradient = true })
    for k, place in ipairs(transmission.places) do
      local values = transmission.log(pass, batch, model, place):values()
      table.move(values, 1, #values, first, columns[k])
    end
  end
  return columns
end

return transmission
