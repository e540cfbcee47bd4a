-- The reranker from Lua.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

local function list_of(source, texts)
  local list = qe.list()
  for i, text in ipairs(texts) do list:push { text = text, total = -i } end
  if source then list:set_source(source) end
  return list
end

test("order, totals, vetoes", function()
  local reranker = qe.reranker()
  equal(reranker:weights('{"MBR0": 1}', "here"), true)
  local order, totals, vetoes = reranker:rerank(list_of("3 Hunde", { "3 dogs", "3 big dogs", "4 big dogs" }))
  equal(table.concat(order, " "), "2 3 1")
  equal(#totals, 3)
  equal(table.concat(vetoes, "|"), "||number")
  equal(reranker:origin(), "here")
end)

test("contributions", function()
  local reranker = qe.reranker()
  local list = list_of(nil, { "a b c", "a b d", "a b e" })
  raises("nothing was ranked", function() reranker:contributions(list, 1) end)
  reranker:weights('{"MBR0": 2, "first": 0.5}', "here")
  local _, totals = reranker:rerank(list)
  local terms = reranker:contributions(list, 1)
  equal(terms.first, 0.5)
  equal(terms.MBR0 + terms.first, totals[1])
  equal(reranker:contributions(list, 2).first, 0)
  raises("expected an index from 1 to 3", function() reranker:contributions(list, 4) end)
end)

test("refusals", function()
  local reranker = qe.reranker()
  local ok, problem = reranker:weights("x", "w.json")
  equal(ok, nil)
  equal(problem:find("w.json", 1, true) ~= nil, true)
  ok, problem = reranker:guards "copies"
  equal(ok, nil)
  equal(problem:find("copies", 1, true) ~= nil, true)
  raises("model", function() reranker:quality "QE0" end)
  equal(reranker:weights('{"F9": 1}', "here"), true)
  ok, problem = reranker:rerank(list_of(nil, { "a" }))
  equal(ok, nil)
  equal(problem:find("F9", 1, true) ~= nil, true)
  equal(reranker:truncated(), 0)
end)

support.finish()
