--- Hidden states of a teacher, compressed along depth, length and width and kept apart from it (Liu et al. 2021;
-- methods.md M6): which layers, how many tokens of each text (those that the teacher's own attention weighs most), and
-- which share of the cells (those furthest from zero, chosen per text). In a file they are an archive of one store per
-- layer and side, with what they were made of.
-- @module qestrel.hidden
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local taps = require "qestrel.taps"
local teacher = require "qestrel.teacher"

local hidden = {}

local LAYERS, SIDES, LIMIT = { "projected", "states", "embedding" }, { "source", "target" }, 1 << 40

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

--- Writes stores to a file. `about` is a table of texts that says what they are made of.
-- @return true, or nil and a message
function hidden.save(path, places, stores, about)
  local archive <close> = qe.archive()
  archive:add("about.json", qe.json.encode(about))
  for k, place in ipairs(places) do archive:add(place.tap, stores[k]:bytes()) end
  return archive:save(path)
end

local function same(path, about, found)
  for key, value in pairs(about) do
    if found[key] ~= value then
      return nil, ("%s: holds states of %s %s, expected %s"):format(path, key, tostring(found[key]), tostring(value))
    end
  end
  return true
end

--- Reads them again, if they are made of what `about` says.
-- @return array of stores, or nil and a message
function hidden.load(path, places, about)
  local archive <close>, stores = qe.archive(), {}
  local ok, problem = archive:open(path, LIMIT)
  if not ok then return nil, problem end
  local found
  found, problem = qe.json.decode(archive:member "about.json" or "")
  if not found then return nil, ("%s: about.json: %s"):format(path, problem) end
  ok, problem = same(path, about, found)
  if not ok then return nil, problem end
  for k, place in ipairs(places) do
    stores[k] = qe.states(1)
    ok, problem = stores[k]:read(archive:member(place.tap) or "")
    if not ok then return nil, ("%s: %s: %s"):format(path, place.tap, problem) end
  end
  return stores, found.unit
end

--- The stores of a run: those of the file --store, if it is there, or made by the teacher that is an archive, and then
-- written to the file.
-- @return stores, and what a row of them is: "token" or "text"
function hidden.of(run, places)
  local o, own = run.options, teacher.archive(run.teachers)
  local about = { data = run.data_sha256.train, cells = o.cells, tokens = o.tokens, layers = o.layers,
                  random = o.random }
  if o.store ~= "" and lines.exists(o.store) then
    local stores, unit = hidden.load(o.store, places, about)
    if not stores then error(unit, 0) end
    return stores, unit
  end
  if not own then error("hidden states come from --teacher=FILE.qe, or a --store that is there", 0) end
  local model <close> = assert(qe.open(own))
  local choose = { tokens = o.tokens, share = o.cells, rng = o.random and run:rng "cells" or nil }
  local stores = hidden.collect(model, run.train, run.pool, places, choose)
  run:say("states: %.1f bytes per pair", hidden.size(stores) / run.train:rows())
  about.unit = taps.layers(model) and "text" or "token"
  if o.store ~= "" then assert(hidden.save(o.store, places, stores, about)) end
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
