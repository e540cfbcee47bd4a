-- Readers, and lists written in other formats, from Lua.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises, refused = support.test, support.equal, support.raises, support.refused

local moses = "3 ||| ka lomi ||| LM= -1 -2 TM= 0.5 ||| -4\n3 ||| ka ||| LM= -3 -2 TM= 0.25 ||| -5\n"

test("a stream in pieces", function()
  local reader, list = qe.reader(), qe.list()
  equal(reader:guess(), "")
  equal(reader:next(list), false)
  for i = 1, #moses do
    equal(reader:feed(moses:sub(i, i)), true)
    equal(reader:next(list), false)
  end
  equal(reader:guess(), "moses")
  equal(reader:finish(), true)
  equal(reader:next(list), true)
  equal(#list .. list:id() .. list:get(2).text, "23ka")
  equal(list:write(), moses)
  equal(reader:next(list), false)
  equal(reader:lines(), 2)
  equal(reader:skipped(), 0)
end)

test("choices", function()
  raises("no format is called nonsense", qe.reader, { format = "nonsense" })
  raises("number of hypotheses per source", qe.reader, { format = "ct2" })
  raises("colour", qe.reader, { colour = 1 })
  raises("expected at least 1", qe.reader, { size = 0 })
  local reader, list = qe.reader { format = "ct2", size = 2 }, qe.list()
  reader:feed "-1 ||| ka\n-2 ||| lo\n-3 ||| mi\n"
  equal(reader:next(list), true)
  equal(list:id() .. list:get(2).text .. list:get(2).total, "0lo-2.0")
  equal(reader:next(list), false)
  reader:finish()
  refused("has 1 hypotheses, expected 2", reader:next(list))
  reader = qe.reader()
  reader:finish()
  raises("after the end", reader.feed, reader, "x")
end)

test("writing", function()
  local reader, list = qe.reader { escapes = true }, qe.list()
  reader:feed(moses)
  reader:finish()
  equal(reader:next(list), true)
  equal(list:append("QE0", { 0.5, 1 }), true)
  equal(list:set_source "su | pa", true)
  equal(list:source(), "su | pa")
  equal(list:write("travatar", { 2 }), "3 ||| ka ||| -5 ||| LM=-3 -2 TM=0.25 QE0=1\n")
  equal(list:write(nil, { 2, 1 }, { 7, 8 }),
    "3 ||| ka ||| LM= -3 -2 TM= 0.25 QE0= 1 ||| 8\n3 ||| ka lomi ||| LM= -1 -2 TM= 0.5 QE0= 0.5 ||| 7\n")
  local object = qe.json.decode((list:write("jsonl", { 1 })))
  equal(object.source .. object.text .. object.features.LM[2] .. object.features.QE0, "su | paka lomi-20.5")
  raises("no format is called", list.write, list, "nonsense")
  raises("from 1 to 2", list.write, list, nil, { 3 })
  raises("1 values, expected 2", list.write, list, nil, nil, { 1 })
end)

test("candidates of the host", function()
  local list = qe.list()
  equal(list:id(), nil)
  equal(list:source(), nil)
  equal(list:push { text = "ka", total = -1, features = "F= 1", between = "WordScores= -0.5 -0.25" }, true)
  equal(list:push { id = "0", text = "a|b", system = "x" }, true)
  equal(#list .. list:id() .. list:get(2).system, "20x")
  equal(list:get(2).total ~= list:get(2).total, true)
  equal(table.concat(list:token_scores(1), " "), "-0.5 -0.25")
  equal(list:token_scores(2), nil)
  equal(list:write "marian", "0 ||| ka ||| WordScores= -0.5 -0.25 ||| F= 1 ||| -1\n0 ||| a|b\n")
  raises("id is \"1\"", list.push, list, { id = "1", text = "" })
  raises("expected Name= value", list.push, list, { text = "", features = "F= x" })
  raises("txt", list.push, list, { txt = "" })
end)

support.finish()
