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

--- Writes to stdout; a failure ends the program with a message, because output that is lost must not look like success.
function lines.write(...)
  local ok, problem = io.stdout:write(...)
  if not ok then error("stdout: " .. problem, 0) end
end

return lines
