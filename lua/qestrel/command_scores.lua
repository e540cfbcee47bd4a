--- Scores from a command of the user's: it reads lines of columns separated by TAB on stdin and writes a number for
-- each.
-- @module qestrel.command_scores
local command_scores = {}

local function read_numbers(pipe, command, rows)
  local scores = {}
  for line in pipe:lines() do
    local value = tonumber((line:gsub("\r$", "")))
    if not value or value ~= value then
      return nil, ("cmd:%s: line %d: \"%s\" is not a number"):format(command, #scores + 1, line)
    end
    scores[#scores + 1] = value
  end
  if #scores ~= rows then
    return nil, ("cmd:%s: %d scores for %d pairs"):format(command, #scores, rows)
  end
  return scores
end

local function write_rows(path, write)
  local file, problem = io.open(path, "wb")
  if not file then return nil, problem end
  local rows
  rows, problem = write(file)
  local closed, reason = file:close()
  if not rows then return nil, problem end
  return closed and rows, reason
end

--- Runs a command. The rows go through a file: a command that answers while it reads would otherwise wait for us as we
-- for it.
-- @param command for the shell
-- @param write writes the rows to a file and returns how many they are, or nil and a message
-- @return array of scores, or nil and a message
function command_scores.run(command, write)
  local path = os.tmpname()
  local rows, problem = write_rows(path, write)
  local scores
  if rows then
    local pipe = assert(io.popen(("{ %s\n} < '%s'"):format(command, path)))
    scores, problem = read_numbers(pipe, command, rows)
    local ended, how, code = pipe:close()
    if not ended then
      scores, problem = nil, ("cmd:%s: ended with %s %d"):format(command, how, code)
    end
  end
  os.remove(path)
  return scores, problem
end

return command_scores
