--- What corresponds in models of different kinds. A BiRNN has per side an embedding, states and projected states; of an
-- encoder those are the embeddings, the layer a little above the middle (7 of 12, which aligns languages best) and the
-- last. An encoder's rows are pieces, a BiRNN's are words, so only whole texts can be compared.
-- @module qestrel.taps
local taps = {}

--- The number of layers of an encoder, nil for other models.
function taps.layers(model)
  local architecture = model:manifest().architecture
  return architecture.name == "encoder" and architecture.layers or nil
end

--- The layer of an encoder with so many that aligns languages best.
function taps.middle(layers)
  return (7 * layers + 6) // 12
end

--- The tap of `model` that stands for `name` (embedding, states, projected) of a side.
function taps.name(model, side, name)
  local layers = taps.layers(model)
  if not layers then return side .. "." .. name end
  local layer = { embedding = 0, states = taps.middle(layers), projected = layers }
  return ("%s.layer%d"):format(side, layer[name])
end

--- Segments of one row each.
function taps.ones(count)
  local offsets = {}
  for i = 0, count do offsets[i + 1] = i end
  return offsets
end

return taps
