--- What a teacher was asked once and is needed at every training, kept in a file that serves without the teacher: an
-- archive of members, and in about.json what they were made of, so that a file made of something else is refused.
-- @module qestrel.kept
local qe = require "qestrel"

local kept = {}

local LIMIT = 1 << 40

--- Writes members to a file. `about` is a table of plain values that says what they are made of.
-- @param names of the members, in order
-- @param members array of their bytes
-- @return true, or nil and a message
function kept.save(path, about, names, members)
  local archive <close> = qe.archive()
  archive:add("about.json", qe.json.encode(about))
  for k, name in ipairs(names) do archive:add(name, members[k]) end
  return archive:save(path)
end

local function same(path, about, found)
  for key, value in pairs(about) do
    if found[key] ~= value then
      return nil, ("%s: holds %s %s, expected %s"):format(path, key, tostring(found[key]), tostring(value))
    end
  end
  return true
end

--- Reads them again, if they are made of what `about` says.
-- @return array of bytes ("" for a member that is missing) and all that about.json says, or nil and a message
function kept.load(path, about, names)
  local archive <close>, members = qe.archive(), {}
  local ok, problem = archive:open(path, LIMIT)
  if not ok then return nil, problem end
  local found
  found, problem = qe.json.decode(archive:member "about.json" or "")
  if not found then return nil, ("%s: about.json: %s"):format(path, problem) end
  ok, problem = same(path, about, found)
  if not ok then return nil, problem end
  for k, name in ipairs(names) do members[k] = archive:member(name) or "" end
  return members, found
end

return kept
