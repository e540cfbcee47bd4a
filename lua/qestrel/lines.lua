--- Lines of files as the command line reads them: they end with LF alone (one CR before it is dropped), the last one
-- may lack it, and any other byte is text. A name of "-" or none is stdin.
-- @module qestrel.lines
local lines = {}

--- An iterator over the lines of an open file.
function lines.of(file)
  return function()
    local line = file:read "l"
    return line and (line:gsub("\r$", ""))
  end
end

--- Whether a file is there and can be read.
function lines.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The whole of a file.
-- @return string, or nil and a message
function lines.text(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local text = file:read "a"
  file:close()
  return text
end

--- All lines of a file.
-- @return array, or nil and a message
function lines.read(path)
  local file = io.stdin
  if path and path ~= "-" then
    local opened, problem = io.open(path, "rb")
    if not opened then return nil, problem end
    file = opened
  end
  local list = {}
  for line in lines.of(file) do list[#list + 1] = line end
  if file ~= io.stdin then file:close() end
  return list
end

--- A finite number on every line.
-- @return array, or nil and a message
function lines.numbers(path)
  local list, problem = lines.read(path)
  if not list then return nil, problem end
  for i, text in ipairs(list) do
    local value = tonumber(text)
    if not value or value ~= value or math.abs(value) == math.huge then
      return nil, ("%s:%d: \"%s\", expected a finite number"):format(path, i, text:sub(1, 40))
    end
    list[i] = value
  end
  return list
end

--- Files that belong together line by line.
-- @param paths array of names
-- @param count how many lines each must have; default: as many as the first
-- @param name what has that many lines, for messages; default: the first
-- @return array with, for each line, the array of what stands there in each file; or nil and a message
function lines.parallel(paths, count, name)
  local rows = {}
  for i, path in ipairs(paths) do
    local list, problem = lines.read(path)
    if not list then return nil, problem end
    count, name = count or #list, name or path
    if #list ~= count then
      return nil, ("%s has %d line%s, %s has %d"):format(name, count, count == 1 and "" or "s", path, #list)
    end
    for place, text in ipairs(list) do
      rows[place] = rows[place] or {}
      rows[place][i] = text
    end
  end
  return rows
end

--- Writes to stdout; a failure ends the program with a message, because output that is lost must not look like success.
function lines.write(...)
  local ok, problem = io.stdout:write(...)
  if not ok then error("stdout: " .. problem, 0) end
end

--- Two files that belong together line by line, read whole.
-- @return two arrays of the same length, or nil and a message
function lines.aligned(path, other_path)
  local list, problem = lines.read(path)
  if not list then return nil, problem end
  local other
  other, problem = lines.read(other_path)
  if not other then return nil, problem end
  if #list ~= #other then return nil, ("%s has %d lines, %s has %d"):format(path, #list, other_path, #other) end
  return list, other
end

local REPLACEMENT = "\u{FFFD}"

-- Each byte that is no part of UTF-8 becomes U+FFFD.
local function repaired(text)
  local parts, from = {}, 1
  while true do
    local length, bad = utf8.len(text, from)
    if length then return table.concat(parts) .. text:sub(from) end
    parts[#parts + 1] = text:sub(from, bad - 1) .. REPLACEMENT
    from = bad + 1
    if from > #text then return table.concat(parts) end
  end
end

--- A text as a JSON string, whatever its bytes.
function lines.quoted(text)
  return '"' .. repaired(text):gsub('[%c"\\]', function(byte)
    return ("\\u%04x"):format(byte:byte())
  end) .. '"'
end

return lines
