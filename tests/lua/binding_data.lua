-- Streams, datasets, batches and batchers from Lua: indices from 1, nil and message for files, saved state.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises, refused = support.test, support.equal, support.raises, support.refused

local function list(...)
  return table.concat({ ... }, " ")
end

test("streams", function()
  local a, b, c = qe.rng(7, "one"), qe.rng(7, "one"), qe.rng(7, "two")
  local first = a:next()
  equal(first, b:next())
  equal(first ~= c:next(), true)
  equal(math.type(first), "integer")
  for _ = 1, 200 do
    local u, n, k = a:uniform(), a:normal(), a:below(3)
    equal(u >= 0 and u < 1 and n == n and k >= 0 and k <= 2 and math.type(k) == "integer", true)
  end
  local state = a:save()
  equal(#state, 32)
  local x, y = a:next(), a:uniform()
  equal(a:restore(state), a)
  equal(a:next(), x)
  equal(a:uniform(), y)
  local copy = a:clone()
  equal(copy:next(), a:next())
  equal(copy:restore(state):next(), x)
  raises("not the saved state", a.restore, a, "short")
  raises("zeros", a.restore, a, ("\0"):rep(32))
  raises("0, expected at least 1", a.below, a, 0)
  raises("NUL", qe.rng, 1, "a\0b")
  raises("number expected", qe.rng, "x", "name")
end)

test("shuffling", function()
  local words = {}
  for i = 1, 50 do words[i] = "w" .. i end
  local again = table.move(words, 1, 50, 1, {})
  local rng = qe.rng(3, "shuffle")
  equal(rng:clone():shuffle(again) ~= nil, true)
  equal(rng:shuffle(words), rng)
  equal(table.concat(words), table.concat(again))
  equal(words[1] == "w1" and words[2] == "w2" and words[3] == "w3", false)
  table.sort(words, function(x, y) return tonumber(x:sub(2)) < tonumber(y:sub(2)) end)
  for i = 1, 50 do equal(words[i], "w" .. i) end
  rng:shuffle {}
  raises("table expected", rng.shuffle, rng, "abc")
end)

local function dataset()
  local data = qe.dataset()
  equal(data:append("üks", "one"), true)
  equal(data:append("kaks sõna", "two words", { -0.5, -1.25, -2 }), true)
  equal(data:append("", "\0bytes\255"), true)
  return data
end

test("rows and columns", function()
  local data = dataset()
  equal(data:rows(), 3)
  equal(#data, 3)
  local source, translation, logprobs = data:pair(2)
  equal(source .. "|" .. translation .. "|" .. list(table.unpack(logprobs)), "kaks sõna|two words|-0.5 -1.25 -2.0")
  equal(select("#", data:pair(1)), 3)
  equal(select(3, data:pair(1)), nil)
  equal(select(2, data:pair(3)), "\0bytes\255")
  raises("0, expected an index from 1 to 3", data.pair, data, 0)
  raises("4, expected an index from 1 to 3", data.pair, data, 4)
  equal(data:set_column("z", { 1, 2.5, 0 / 0 }), true)
  equal(list(table.unpack(data:columns())), "z")
  local z = data:column "z"
  equal(z[1] == 1 and z[2] == 2.5 and z[3] ~= z[3], true)
  equal(data:column "none", nil)
  raises("2 values, expected 3", data.set_column, data, "z", { 1, 2 })
  raises("nil at index 2", data.set_column, data, "z", { 1, nil, 3 })
  raises("needs a name", data.set_column, data, "", { 1, 2, 3 })
  raises("string expected", data.append, data, "a")
  raises("string expected", data.append, data, 1, 2)
  equal(#data:sha256(), 64)
  local other = dataset()
  equal(other:sha256() == data:sha256(), false)
  equal(other:append_all(data), true)
  equal(#other, 6)
  equal(other:column("z")[5], 2.5)
end)

test("files", function()
  support.with_folder(function(folder)
    local path = folder .. "/rows.tsv"
    support.write(path, "index\tsource\ttranslation\tz\n0\ta b\tc\t1.5\n1\td\te f\t-2\n")
    local data = qe.dataset()
    equal(data:read(path), true)
    equal(data:column("z")[2], -2)
    support.write(folder .. "/bad.tsv", "source\ttranslation\na\n")
    refused("bad.tsv:2", data:read(folder .. "/bad.tsv"))
    refused("nothing.tsv", data:read(folder .. "/nothing.tsv"))
    refused(folder, data:read_mlqe(folder, "train"))
    equal(#data, 2)
    support.write(folder .. "/scores.tsv", "index\tteacher\n1\t0.5\n")
    equal(data:read_scores(folder .. "/scores.tsv", "t"), 1)
    equal(data:column("t")[2], 0.5)
    refused("nothing.tsv", data:read_scores(folder .. "/nothing.tsv"))
    support.write(folder .. "/logprobs", "-1 -2\n-3\n")
    equal(data:read_logprobs(folder .. "/logprobs"), true)
    equal(list(table.unpack((select(3, data:pair(1))))), "-1.0 -2.0")
    support.write(folder .. "/last", "-7\n")
    support.write(folder .. "/tokens", "\n")
    equal(data:read_logprobs(folder .. "/last", folder .. "/tokens", 2), true)
    equal(list(table.unpack((select(3, data:pair(2))))), "-7.0")
    raises("0, expected at least 1", data.read_logprobs, data, folder .. "/last", nil, 0)
    refused("last", data:read_logprobs(folder .. "/last"))
  end)
end)

test("batches", function()
  local data = dataset()
  data:set_column("z", { 10, 20, 30 })
  local batch, tape = qe.batch(data, { 3, 1, 3 }), qe.tape()
  equal(#batch, 3)
  equal(list(table.unpack(batch:rows())), "3 1 3")
  equal(list(table.unpack(batch:column(tape, "z"):values())), "30.0 10.0 30.0")
  raises("none named \"y\"", batch.column, batch, tape, "y")
  equal(list(table.unpack(qe.batch(data):rows())), "1 2 3")
  equal(#qe.batch(data, {}), 0)
  raises("4 at index 2, expected a whole number from 1 to 3", qe.batch, data, { 1, 4 })
  raises("0 at index 1", qe.batch, data, { 0 })
  raises("-1 at index 1", qe.batch, data, { -1 })
end)

test("segments", function()
  local data = dataset()
  local model = assert(qe.model({ name = "birnn", embedding = 2, hidden = 2, attention = 2,
    source = { kind = "ngrams", buckets = 31 }, target = { kind = "ngrams", buckets = 31 } }, nil, qe.rng(1, "m")))
  local batch, tape = qe.batch(data, { 2, 3, 1 }), qe.tape()
  local segments = batch:segments(model, "source")
  equal(#segments, 3)
  equal(list(table.unpack(segments:offsets())), "0 2 2 3")
  local ones = tape:constant(3, 1, 1)
  equal(list(table.unpack(ones:pool_segments(segments, "sum"):values())), "2.0 0.0 1.0")
  equal(list(table.unpack(ones:pool_segments(segments:offsets(), "sum"):values())), "2.0 0.0 1.0")
  raises("invalid option 'left'", batch.segments, batch, model, "left")
end)

test("batchers", function()
  local data = qe.dataset()
  for i = 1, 20 do data:append(("w "):rep(i), "t") end
  local batcher = qe.batcher(data, nil, 6, qe.rng(5, "data"))
  equal(batcher:batches(), 4)
  equal(batcher:epoch(), 0)
  local seen, sizes = {}, {}
  for batch in batcher.next, batcher do
    sizes[#sizes + 1] = #batch
    for _, row in ipairs(batch:rows()) do seen[row] = (seen[row] or 0) + 1 end
  end
  table.sort(sizes)
  equal(list(table.unpack(sizes)), "2 6 6 6")
  for i = 1, 20 do equal(seen[i], 1, i) end
  equal(batcher:epoch(), 1)
  batcher:next()
  local state = batcher:save()
  local second = list(table.unpack(batcher:next():rows()))
  local third = list(table.unpack(batcher:next():rows()))
  local fresh = qe.batcher(data, nil, 6, qe.rng(99, "other"))
  equal(fresh:restore(state), fresh)
  equal(fresh:epoch(), 2)
  equal(list(table.unpack(fresh:next():rows())), second)
  equal(list(table.unpack(fresh:next():rows())), third)
  raises("not the saved state", fresh.restore, fresh, "x")
  raises("restore: ", fresh.restore, fresh, ("\255"):rep(48))
end)

test("batchers over chosen rows", function()
  local data = dataset()
  local rng = qe.rng(1, "b")
  local batcher, seen = qe.batcher(data, { 2, 3 }, 1, rng), {}
  for batch in batcher.next, batcher do seen[#seen + 1] = batch:rows()[1] end
  table.sort(seen)
  equal(list(table.unpack(seen)), "2 3")
  raises("no rows", qe.batcher, data, {}, 2, rng)
  raises("no rows", qe.batcher, qe.dataset(), nil, 2, rng)
  raises("0, expected at least 1", qe.batcher, data, nil, 0, rng)
  raises("4 at index 1", qe.batcher, data, { 4 }, 2, rng)
  raises("qestrel.rng expected", qe.batcher, data, nil, 2)
end)

support.finish()
