--- What Lua tests share: named tests that report and count failures, a folder that goes away, generated data.
local support = {}

local failures, count = 0, 0

--- Runs one test; an error is a failure and the next test goes on.
function support.test(name, body)
  count = count + 1
  local ok, problem = xpcall(body, debug.traceback)
  if not ok then
    failures = failures + 1
    io.stderr:write("FAILED ", name, ": ", tostring(problem), "\n")
  end
end

--- Ends the file.
function support.finish()
  print(("%d tests, %d failures"):format(count, failures))
  os.exit(failures == 0 and count > 0, true)
end

function support.equal(found, expected, what)
  if found ~= expected then
    error(("%s: found %s, expected %s"):format(what or "value", tostring(found), tostring(expected)), 2)
  end
end

--- Expects `body` to raise an error that contains `text`.
function support.raises(text, body, ...)
  local ok, problem = pcall(body, ...)
  if ok then error(("no error, expected one with \"%s\""):format(text), 2) end
  if not tostring(problem):find(text, 1, true) then
    error(("error \"%s\" lacks \"%s\""):format(tostring(problem), text), 2)
  end
end

--- Expects nil and a message that contains `text`.
function support.refused(text, value, problem)
  if value ~= nil then error(("not refused, expected \"%s\""):format(text), 2) end
  if not tostring(problem):find(text, 1, true) then
    error(("message \"%s\" lacks \"%s\""):format(tostring(problem), text), 2)
  end
end

--- Expects that an archive's members, unpacked beside it and packed again, are the same bytes.
function support.packs_again(qe, path)
  local folder, again = path .. ".unpacked", path .. ".again"
  assert(qe.unpack(path, folder))
  assert(qe.pack(folder, again))
  support.equal(support.read(again) == support.read(path), true, path .. " packed again")
end

--- Calls `body` with a fresh folder and removes it afterwards.
function support.with_folder(body)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir '" .. folder .. "'"))
  local ok, problem = xpcall(body, debug.traceback, folder)
  os.execute("rm -rf '" .. folder .. "'")
  if not ok then error(problem, 0) end
end

function support.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

function support.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

support.source = os.getenv "SOURCE_DIR" or "."
support.generate = dofile(support.source .. "/examples/generate.lua")

return support
