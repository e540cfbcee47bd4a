--- What a model's layers pass on (Shang et al. 2021; methods.md M11): for neighbouring layers f, g with the same T
-- tokens the largest singular value of f^T g / T, which stands for how far the layer can carry a change of its input.
-- Divided by sqrt(width f . width g), so that models of different widths can be compared, and as a logarithm.
-- @module qestrel.transmission
local evaluate = require "qestrel.evaluate"
local taps = require "qestrel.taps"

local transmission = {}

local ITERATIONS, LEAST = 10, 1e-8

local LAYERS = { { "embedding", "states" }, { "states", "projected" } }

--- From the embedding upwards, first of the source, then of the translation: { side =, from =, to =, depth = }.
transmission.places = {}
for _, side in ipairs { "source", "target" } do
  for depth, layer in ipairs(LAYERS) do
    table.insert(transmission.places, { side = side, from = layer[1], to = layer[2], depth = depth })
  end
end
transmission.depth = #LAYERS

--- The logarithm at one place for every pair of a batch, rows x 1.
function transmission.log(pass, batch, model, place)
  local from = pass:tap(taps.name(model, place.side, place.from))
  local to = pass:tap(taps.name(model, place.side, place.to))
  local value = from:top_singular(to, batch:segments(model, place.side), ITERATIONS)
  return value:affine(1 / math.sqrt(from:cols() * to:cols()), LEAST):log()
end

--- Those of all rows of a dataset, without gradients: an array of columns, one for each place.
function transmission.measure(model, data, pool)
  local columns = {}
  for k in ipairs(transmission.places) do columns[k] = {} end
  evaluate.passes(model, data, pool, function(pass, batch, first)
    for k, place in ipairs(transmission.places) do
      local values = transmission.log(pass, batch, model, place):values()
      table.move(values, 1, #values, first, columns[k])
    end
  end)
  return columns
end

return transmission
