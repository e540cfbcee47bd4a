--- Several language pairs as one set of rows, without leaks: a source that some pair is tested on is no training row of
-- another, and folds are cut by source.
-- @module qestrel.pool
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"

local pool = {}

local function trimmed(text)
  return (text:match "^%s*(.-)%s*$")
end

--- The sha256 that names a source, white space around it aside.
function pool.key(source)
  return qe.sha256(trimmed(source))
end

--- The fold of a source, 1 to `folds`.
function pool.fold(source, folds)
  return tonumber(pool.key(source):sub(1, 8), 16) % folds + 1
end

local function add_sources(set, data)
  for row = 1, data:rows() do set[pool.key((data:pair(row)))] = true end
end

--- Keys of all sources of a dataset, of dev and test20 of these folders, and of a file of keys ("" is none).
-- @return set, or nil and a message
function pool.held_out(data, folders, file)
  local set = {}
  add_sources(set, data)
  for _, folder in ipairs(folders) do
    for _, name in ipairs { "dev", "test20" } do
      local more = evaluate.read(folder, name)
      if more then add_sources(set, more) end
    end
  end
  if file == "" then return set end
  local keys, problem = lines.read(file)
  if not keys then return nil, problem end
  for _, key in ipairs(keys) do set[key] = true end
  return set
end

--- Folders of a list "A,B,C"; "" is none.
function pool.folders(list)
  local folders = {}
  for folder in list:gmatch "[^,]+" do folders[#folders + 1] = folder end
  return folders
end

--- Appends the rows of one set of these folders.
-- @return true, or nil and a message
function pool.append(data, folders, set, gold)
  for _, folder in ipairs(folders) do
    local more, problem = evaluate.read(folder, set, gold)
    if not more then return nil, problem end
    local ok
    ok, problem = data:append_all(more)
    if not ok then return nil, problem end
  end
  return true
end

--- Rows whose source is not in `held_out` and, with folds, not in fold `fold` (0: of all folds).
function pool.rows(data, held_out, folds, fold)
  local list = {}
  for row = 1, data:rows() do
    local source = data:pair(row)
    local apart = fold > 0 and pool.fold(source, folds) == fold
    if not apart and not held_out[pool.key(source)] then list[#list + 1] = row end
  end
  return list
end

return pool
