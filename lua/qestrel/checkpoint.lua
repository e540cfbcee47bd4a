--- Checkpoints: the declared state of a run as one archive that replaces its predecessor in one step. The state is a
-- tree of tables; numbers, strings and booleans go into state.json, library objects (streams, parameters, blocks,
-- optimisers, batchers) into members of their own. Restoring writes into the objects of a run that has been set up
-- again, so a checkpoint holds no recipe and no code.
-- @module qestrel.checkpoint
local qe = require "qestrel"

local checkpoint = {}

local function kind_of(value)
  return (getmetatable(value).__name or "?"):match "(%w+)$"
end

local function optimiser_bytes(optimiser)
  local parts = { string.pack("<I8", optimiser:steps()) }
  for _, block in ipairs(optimiser:blocks()) do parts[#parts + 1] = block:bytes() end
  return table.concat(parts)
end

local function set_optimiser(optimiser, bytes)
  local place = 9
  optimiser:set_steps((string.unpack("<I8", bytes)))
  for _, block in ipairs(optimiser:blocks()) do
    local size = #block:bytes()
    block:set_bytes(bytes:sub(place, place + size - 1))
    place = place + size
  end
end

local writers = {
  rng = function(x) return x:save() end,
  batcher = function(x) return x:save() end,
  block = function(x) return x:bytes() end,
  params = function(x) return x:values():bytes() end,
  optimiser = optimiser_bytes,
}
local readers = {
  rng = function(x, bytes) x:restore(bytes) end,
  batcher = function(x, bytes) x:restore(bytes) end,
  block = function(x, bytes) x:set_bytes(bytes) end,
  params = function(x, bytes) x:values():set_bytes(bytes) end,
  optimiser = set_optimiser,
}

-- Strings, or the places of an array.
local function sorted_keys(tree)
  local keys = {}
  for key in pairs(tree) do
    local kind = math.type(key) or type(key)
    assert(kind == "string" or kind == "integer" and #tree > 0, "keys of a run's state are strings, or it is an array")
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

-- Objects of the tree, each with the path of keys that leads to it.
local function each_object(tree, visit, path)
  for _, key in ipairs(sorted_keys(tree)) do
    local here = path and path .. "." .. key or tostring(key)
    local value = tree[key]
    if type(value) == "userdata" then
      visit(here, value, kind_of(value))
    elseif type(value) == "table" then
      each_object(value, visit, here)
    end
  end
end

local function plain(tree)
  local copy = {}
  for key, value in pairs(tree) do
    if type(value) == "table" then
      copy[key] = plain(value)
    elseif type(value) ~= "userdata" then
      copy[key] = value
    end
  end
  return copy
end

local function merge(tree, values)
  for key, value in pairs(values) do
    if type(value) == "table" and type(tree[key]) == "table" then
      merge(tree[key], value)
    else
      tree[key] = value
    end
  end
end

--- Writes `state` to `path`; `identity` (a table of strings) says which run it belongs to.
-- @return true, or nil and a message
function checkpoint.save(path, identity, state)
  local archive <close> = qe.archive()
  archive:add("state.json", qe.json.encode {
    identity = identity, values = plain(state), streams = qe.json.array(sorted_keys(state.streams)),
  })
  each_object(state, function(name, object, kind) archive:add(name, writers[kind](object)) end)
  return archive:save(path)
end

local function same_run(path, identity, found)
  for _, key in ipairs(sorted_keys(identity)) do
    if identity[key] ~= found[key] then
      return nil, ("%s: belongs to another run: %s was %s, now %s"):format(path, key, found[key], identity[key])
    end
  end
  return true
end

--- Reads `path`.
-- @return a function that restores `state` (after the run has been set up), and the plain values; or nil and a message
function checkpoint.load(path, identity)
  local archive = qe.archive()
  local ok, problem = archive:open(path)
  if not ok then return nil, problem end
  local header
  header, problem = qe.json.decode(archive:member "state.json" or "")
  if not header then return nil, ("%s: state.json: %s"):format(path, problem) end
  ok, problem = same_run(path, identity, header.identity)
  if not ok then return nil, problem end
  return function(state)
    -- streams are made when they are first drawn from, which this run may not have come to yet
    for _, name in ipairs(header.streams) do state.streams[name] = state.streams[name] or qe.rng(0, name) end
    merge(state, header.values)
    each_object(state, function(name, object, kind)
      local bytes = archive:member(name)
      if bytes then readers[kind](object, bytes) end
    end)
    archive:close()
  end, header.values
end

return checkpoint
