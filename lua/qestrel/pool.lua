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

--- Numbers of the rows of a dataset by the fold of their source: fold -> array.
function pool.by_fold(data, folds)
  local chosen = {}
  for row = 1, data:rows() do
    local fold = pool.fold((data:pair(row)), folds)
    chosen[fold] = chosen[fold] or {}
    table.insert(chosen[fold], row)
  end
  return chosen
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

local function needed(value, problem)
  return value or error(problem, 0)
end

--- Appends the rows of one set of these folders.
function pool.append(data, folders, set, gold)
  for _, folder in ipairs(folders) do
    local more <close> = needed(evaluate.read(folder, set, gold))
    needed(data:append_all(more))
  end
end

--- Column `mixed` of a run's training rows, those of `folders` one after another: gold, and, where its folder of labels
-- has some for the pair, what teachers say, with weight alpha. Both are in the unit of gold. With squared errors that
-- is the same as a loss for each.
function pool.mix(run, folders, labels, alpha)
  local mixed = run.train:column "gold"
  local first = 0
  if labels ~= "" and #folders == 0 then error("--labels go by the names of folders: give --data", 0) end
  for _, folder in ipairs(labels ~= "" and folders or {}) do
    local path = ("%s/%s.train.tsv.gz"):format(labels, folder:match "([^/]+)/*$")
    local rows <close> = needed(evaluate.read(folder, "train", run.options.gold))
    local found = needed(rows:read_scores(path, "label"))
    for i, label in ipairs(rows:column "label") do
      if label == label then mixed[first + i] = (1 - alpha) * mixed[first + i] + alpha * label end
    end
    run:say("%s: labels of %d rows", path, found)
    first = first + rows:rows()
  end
  run.train:set_column("mixed", mixed)
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
