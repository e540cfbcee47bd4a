--- What a model's layers pass on (Shang et al. 2021; methods.md M11): for neighbouring layers f, g with the same T
-- tokens the largest singular value of f^T g / T, which stands for how far the layer can carry a change of its input.
-- Divided by sqrt(width f . width g), so that models of different widths can be compared, and as a logarithm.
-- @module qestrel.transmission
local evaluate = require "qestrel.evaluate"
local kept = require "qestrel.kept"
local lines = require "qestrel.lines"
local taps = require "qestrel.taps"
local teacher = require "qestrel.teacher"

local transmission = {}

local ITERATIONS, LEAST, EXACT = 10, 1e-8, "%.17g\n"

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

local function written(columns)
  local members = {}
  for k, column in ipairs(columns) do
    local texts = {}
    for i, value in ipairs(column) do texts[i] = EXACT:format(value) end
    members[k] = table.concat(texts)
  end
  return members
end

local function read(path, name, member, rows)
  local column = {}
  for line in member:gmatch "[^\n]+" do column[#column + 1] = tonumber(line) end
  if #column == rows then return column end
  error(("%s: %s: %d numbers, expected %d"):format(path, name, #column, rows), 0)
end

--- The teacher's of a run's training rows: those of the file --store, if it is there, or measured in the archive that
-- is looked into, and then written to the file.
function transmission.of(run)
  local path, about, names, columns = run.options.store, { data = run.data_sha256.train }, {}, {}
  for k, place in ipairs(transmission.places) do names[k] = ("%s.%s"):format(place.side, place.to) end
  if path ~= "" and lines.exists(path) then
    local members, problem = kept.load(path, about, names)
    if not members then error(problem, 0) end
    for k, member in ipairs(members) do columns[k] = read(path, names[k], member, run.train:rows()) end
    return columns
  end
  local model <close> = teacher.insides(run)
  columns = transmission.measure(model, run.train, run.pool)
  if path ~= "" then assert(kept.save(path, about, names, written(columns))) end
  return columns
end

return transmission
