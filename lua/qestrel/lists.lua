--- N-best lists of a file or stdin, one after another, as the commands read them. A list is complete when another id
-- begins; its lines must follow each other, so an id that comes back is refused.
-- @module qestrel.lists
local qe = require "qestrel"
local lines = require "qestrel.lines"

local lists = {}

--- Calls `visit(list, id, line)` with every list and the number of its first line. The list is cleared afterwards.
-- @param file open file
-- @param name of the file, for messages
-- @param visit returns true, or nil and a message (then reading ends)
-- @return true, or nil and a message
function lists.each(file, name, visit)
  local list, seen, first, number = qe.list(), {}, 0, 0
  local function finish()
    if #list == 0 then return true end
    local id = list:get(1).id
    if seen[id] then
      return nil, ("%s:%d: id %s comes a second time; the lines of a list must follow each other"):format(
        name, first, id)
    end
    seen[id] = true
    return visit(list, id, first)
  end
  for text in lines.of(file) do
    number = number + 1
    local taken, problem = list:add(text, number)
    if taken == false then
      local ok
      ok, problem = finish()
      if not ok then return nil, problem end
      list:clear()
      taken, problem = list:add(text, number)
    end
    if taken == nil then return nil, name .. ": " .. problem end
    if #list == 1 then first = number end
  end
  return finish()
end

--- The number of the line (from 1) that belongs to a list, by its id (from 0).
-- @param id of the list
-- @param count how many lines there are
-- @param path of their file, for messages
-- @param advice what to do where ids are not numbers, for messages (optional)
-- @return number, or nil and a message
function lists.line_of(id, count, path, advice)
  local number = id:match "^%d+$" and math.tointeger(tonumber(id))
  if not number then return nil, ("id \"%s\" is not a number%s"):format(id, advice and "; " .. advice or "") end
  if number >= count then
    return nil, ("id %d is beyond %s, which has %d lines (ids count from 0)"):format(number, path, count)
  end
  return number + 1
end

return lists
