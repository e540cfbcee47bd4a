--- N-best lists of a file or stdin, one after another, as the commands read them, and the source lines that belong to
-- them. Only the list that is being read is held, and whole lists are handed on as soon as they are complete, so that a
-- command can sit behind a live decoder.
-- @module qestrel.lists
local qe = require "qestrel"

local lists = {}

--- Consensus that the library computes: by chrF, and by word vectors where the model has them; each over all candidates
-- and over the decoder's posterior.
lists.CONSENSUS = { "MBR0", "MBRP0", "MBRV0", "MBRVP0" }

local FORMATS = {
  "auto", "moses", "marian", "cdec", "joshua", "travatar", "fairseq", "ct2", "sockeye", "flat", "jsonl",
}

--- The options that say how lists are written.
function lists.configure(parser)
  parser:option("--format", "Format of the lists; default: decided by the first lines and stated on stderr.")
    :argname("NAME"):choices(FORMATS):default "auto"
  parser:option("--per-source", "Hypotheses of a source; needed where lists have no ids (ct2, flat), elsewhere a list "
    .. "with so many is complete at once."):argname("N"):convert(math.tointeger)
  parser:flag("--escapes", "Texts are escaped as Moses does it (&#124; &amp; ...).")
  parser:flag("--quiet", "Say nothing on stderr but what is wrong.")
end

-- ---- ids ----

-- Which ids were there, as runs of numbers in ascending order (one run for lists in order) and a set of other names.
local Seen = {}
Seen.__index = Seen

local function new_seen()
  return setmetatable({ runs = {}, names = {} }, Seen)
end

-- The run that a number is in, or the place of the last one below it.
function Seen:find(number)
  local low, high = 1, #self.runs
  while low <= high do
    local middle = (low + high) // 2
    local run = self.runs[middle]
    if number < run[1] then
      high = middle - 1
    elseif number > run[2] then
      low = middle + 1
    else
      return run, middle
    end
  end
  return nil, high
end

-- True where the id comes for the first time.
function Seen:add(id)
  local number = id:match "^%d+$" and math.tointeger(tonumber(id))
  if not number then
    local known = self.names[id]
    self.names[id] = true
    return not known
  end
  local run, place = self:find(number)
  if run then return false end
  if place > 0 and self.runs[place][2] == number - 1 then
    self.runs[place][2] = number
  else
    table.insert(self.runs, place + 1, { number, number })
  end
  return true
end

-- ---- lists ----

-- Hands on what the reader has.
local function drain(reader, list, visit)
  local more, problem = reader:next(list)
  while more do
    local ok
    ok, problem = visit(list, reader)
    if not ok then return nil, problem, "visit" end
    more, problem = reader:next(list)
  end
  return more ~= nil or nil, problem
end

-- Feeds the reader with what was read of the file before, if anything, and the rest of it.
local function feed_all(file, before, name, reader, visit)
  local list = qe.list()
  local function step(ok, problem)
    if not ok then return nil, name .. ": " .. problem end
    local origin
    ok, problem, origin = drain(reader, list, visit)
    return ok, origin == "visit" and problem or not ok and name .. ": " .. problem or nil
  end
  if before then
    local ok, problem = step(reader:feed(before))
    if not ok then return nil, problem end
  end
  for bytes in file:lines "L" do
    local ok, problem = step(reader:feed(bytes))
    if not ok then return nil, problem end
  end
  return step(reader:finish())
end

-- How many hypotheses a source has, where lists have no ids and nobody said it: lines divided by source lines.
local function divide(text, name, arguments)
  local sources, problem = require("qestrel.lines").read(arguments.source)
  if not sources then return nil, problem end
  local reader, list, count = qe.reader { format = arguments.format, size = 1 }, qe.list(), 0
  local ok
  ok, problem = reader:feed(text)
  if ok then ok, problem = reader:finish() end
  while ok do
    ok, problem = reader:next(list)
    if ok then count = count + 1 end
  end
  if problem then return nil, name .. ": " .. problem end
  if #sources == 0 or count % #sources ~= 0 then
    return nil, ("%s has %d lines, not the same number for each of the %d of %s; --per-source says how many"):format(
      name, count, #sources, arguments.source)
  end
  return count // #sources
end

local UNNUMBERED = { ct2 = true, flat = true }

-- Whether the first lines show, or somebody said, that lists have no ids; then all of the file is read to count them.
local function count_lists(file, name, arguments)
  if arguments.per_source or not arguments.source then return arguments.per_source end
  local first = {}
  if not UNNUMBERED[arguments.format] then
    if arguments.format ~= "auto" then return nil end
    local probe, list = qe.reader(), qe.list()
    repeat
      local line = file:read "L"
      first[#first + 1] = line
      local ok = (line and probe:feed(line) or not line and probe:finish()) and probe:next(list) ~= nil
    until not ok or not line or probe:guess() ~= ""
    if probe:guess() ~= "" and not UNNUMBERED[probe:guess()] then return nil, nil, table.concat(first) end
  end
  local text = table.concat(first) .. file:read "a"
  if text == "" then return nil, nil, text end
  local size, problem = divide(text, name, arguments)
  return size, problem, text
end

--- Calls `visit(list, reader)` with every list.
-- @param file open file
-- @param name of the file, for messages
-- @param arguments of a command that has the options of lists.configure
-- @param visit returns true, or nil and a message (then reading ends)
-- @return true, or nil and a message
function lists.each(file, name, arguments, visit)
  local size, problem, before = count_lists(file, name, arguments)
  if problem then return nil, problem end
  local ok, reader = pcall(qe.reader, { format = arguments.format, size = size, escapes = arguments.escapes })
  if not ok then return nil, ("%s: %s (--per-source)"):format(name, reader) end
  local stated = arguments.quiet or arguments.format ~= "auto"
  return feed_all(file, before, name, reader, function(...)
    if not stated then io.stderr:write(("%s: read as %s\n"):format(name, reader:guess())) end
    stated = true
    return visit(...)
  end)
end

--- Where in the file a list begins, for messages: "name:line", or "name: list id" where it has no lines.
function lists.where(name, list)
  local line = #list > 0 and list:number(1) or 0
  return line > 0 and ("%s:%d"):format(name, line) or ("%s: list %s"):format(name, list:id() or "?")
end

-- ---- the lines that belong to lists ----

local Sources = {}
Sources.__index = Sources

--- The source lines of lists, read as far as they are needed.
-- @param path of the file
-- @param by "id": the id counts the lines, from 0; "order": lists come in the order of the lines, and none is kept
-- @return sources, or nil and a message
function lists.sources(path, by)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  return setmetatable({
    path = path, by = by, next_line = require("qestrel.lines").of(file), count = 0, kept = {}, seen = new_seen(),
  }, Sources)
end

function Sources:read_on()
  local line = self.next_line and self.next_line()
  if not line then
    self.next_line = nil
    return nil
  end
  self.count = self.count + 1
  if self.by == "id" then self.kept[self.count] = line end
  return line
end

--- How many lines there are; reads the rest.
function Sources:size()
  while self:read_on() do end
  return self.count
end

local function number_of(id)
  local number = id:match "^%d+$" and math.tointeger(tonumber(id))
  if not number then return nil, ("id \"%s\" is not a number; --source-by order does not need numbers"):format(id) end
  return number
end

-- The line of an id that may come only once.
function Sources:by_id(id)
  local number, problem = number_of(id)
  if not number then return nil, problem end
  if not self.seen:add(id) then
    return nil, ("id %s comes a second time; the lines of a list must follow each other"):format(id)
  end
  while self.count <= number and self:read_on() do end
  if number >= self.count then
    return nil, ("id %d is beyond %s, which has %d lines (ids count from 0)"):format(number, self.path, self.count)
  end
  return self.kept[number + 1], number + 1
end

--- The source of the next list.
-- @return text and its place from 1, or nil and a message
function Sources:of(list)
  if self.by == "id" then return self:by_id(list:id()) end
  local line = self:read_on()
  if not line then
    return nil, ("list %d, but %s has only %d lines"):format(self.count + 1, self.path, self.count)
  end
  return line, self.count
end

--- The number of the line (from 1) that belongs to a list, by its id (from 0).
-- @param id of the list
-- @param count how many lines there are
-- @param path of their file, for messages
-- @return number, or nil and a message
function lists.line_of(id, count, path)
  local number, problem = number_of(id)
  if not number then return nil, problem end
  if number >= count then
    return nil, ("id %d is beyond %s, which has %d lines (ids count from 0)"):format(number, path, count)
  end
  return number + 1
end

return lists
