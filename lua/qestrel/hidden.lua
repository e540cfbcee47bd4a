--- Hidden states of a teacher, compressed along depth, length and width and kept apart from it (Liu et al. 2021;
-- methods.md M6): which layers, how many tokens of each text (those that the teacher's own attention weighs most), and
-- which share of the cells (those furthest from zero, chosen per text). In a file they are an archive of one store per
-- layer and side, with what they were made of.
-- @module qestrel.hidden
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local kept = require "qestrel.kept"
local lines = require "qestrel.lines"
local taps = require "qestrel.taps"
local teacher = require "qestrel.teacher"

local hidden = {}

local LAYERS, SIDES = { "projected", "states", "embedding" }, { "source", "target" }

--- The uppermost `layers` layers of both sides: { { tap =, side = }, ... }.
function hidden.places(layers)
  local list = {}
  if layers < 1 or layers > #LAYERS then error(("layers=%d: expected 1 to %d"):format(layers, #LAYERS), 0) end
  for depth = 1, layers do
    for _, side in ipairs(SIDES) do
      list[#list + 1] = { tap = ("%s.%s"):format(side, LAYERS[depth]), side = side, layer = LAYERS[depth] }
    end
  end
  return list
end

--- Means over the texts of a batch: what is kept of a teacher whose tokens are not the student's.
-- @return tensor, texts x width, and segments of one row each
function hidden.of_texts(states, segments)
  return states:pool_segments(segments, "mean"), taps.ones(#segments)
end

--- Asks a model for its states of all rows of a dataset; of an encoder, whose tokens are pieces, for their means.
-- @param choose { tokens =, share =, rng = }, as for qe.states
-- @return array of stores, one for each place
function hidden.collect(model, data, pool, places, choose)
  local stores = {}
  evaluate.passes(model, data, pool, function(pass, batch)
    for k, place in ipairs(places) do
      local states, segments = pass:tap(taps.name(model, place.side, place.layer)), batch:segments(model, place.side)
      local attention
      if taps.layers(model) then
        states, segments = hidden.of_texts(states, segments)
      else
        attention = pass:tap(place.side .. ".attention")
      end
      stores[k] = stores[k] or qe.states(states:cols())
      assert(stores[k]:add(states, attention, segments, choose))
    end
  end)
  return stores
end

--- Bytes of all stores together.
function hidden.size(stores)
  local sum = 0
  for _, store in ipairs(stores) do sum = sum + #store:bytes() end
  return sum
end

local function names_of(places)
  local names = {}
  for k, place in ipairs(places) do names[k] = place.tap end
  return names
end

-- Those of a file, if they are made of what `about` says; and what a row of them is.
local function load(path, places, about)
  local members, found = kept.load(path, about, names_of(places))
  if not members then error(found, 0) end
  local stores = {}
  for k, place in ipairs(places) do
    stores[k] = qe.states(1)
    local ok, problem = stores[k]:read(members[k])
    if not ok then error(("%s: %s: %s"):format(path, place.tap, problem), 0) end
  end
  return stores, found.unit
end

--- The stores of a run: those of the file --store, if it is there, or made by the archive that is looked into, and
-- then written to the file.
-- @return stores, and what a row of them is: "token" or "text"
function hidden.of(run, places)
  local o = run.options
  local about = { data = run.data_sha256.train, cells = o.cells, tokens = o.tokens, layers = o.layers,
                  random = o.random }
  if o.store ~= "" and lines.exists(o.store) then return load(o.store, places, about) end
  local model <close> = teacher.insides(run)
  local choose = { tokens = o.tokens, share = o.cells, rng = o.random and run:rng "cells" or nil }
  local stores, bytes = hidden.collect(model, run.train, run.pool, places, choose), {}
  for k, store in ipairs(stores) do bytes[k] = store:bytes() end
  run:say("states: %.1f bytes per pair", hidden.size(stores) / run.train:rows())
  about.unit = taps.layers(model) and "text" or "token"
  if o.store ~= "" then assert(kept.save(o.store, about, names_of(places), bytes)) end
  return stores, about.unit
end

--- Mean squared difference over the cells that are known: of states to what a store has of their texts.
-- @param zero pull the others to 0, as published code does, instead of leaving them out
function hidden.distance(tape, states, store, rows, segments, zero)
  local target, mask = store:target(tape, rows, segments)
  local squares = (states - target):square()
  if zero then return squares:mean() end
  return (squares * mask):sum() / mask:sum():clamp(1, math.huge)
end

return hidden
