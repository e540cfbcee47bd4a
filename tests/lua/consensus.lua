-- Consensus of lists from Lua.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

local texts = { "the cat sat", "the cat sits", "the cat sat", "quite another text" }

test("values", function()
  local values, deviation = qe.consensus():values(texts)
  equal(#values, 4)
  equal(values[1], values[3])
  equal(values[1] > values[4], true)
  equal(deviation, 0)
  equal(qe.consensus():values({ "x" })[1], 1)
end)

test("weights", function()
  local consensus = qe.consensus()
  local last = consensus:values(texts, { 0, 0, 0, 1 })
  equal(last[4], 1)
  equal(last[1] < last[4], true)
end)

test("sample", function()
  local many = {}
  for i = 1, 100 do many[i] = ("word%d of %d and %d"):format(i, i * 7 % 10, i * 3 % 7) end
  local values, deviation = qe.consensus(20):values(many)
  equal(#values, 100)
  equal(deviation > 0, true)
end)

test("posterior", function()
  local weights = qe.posterior({ 0, 0, -1e9 })
  equal(weights[1], 0.5)
  equal(weights[3], 0)
  equal(qe.posterior({ 1, 0 }, 1e9)[1] - 0.5 < 1e-6, true)
end)

test("wrong use", function()
  local consensus = qe.consensus()
  raises("no strings", consensus.values, consensus, {})
  raises("number at index 1, expected a string", consensus.values, consensus, { 1 })
  raises("4", consensus.values, consensus, texts, { 1 })
  raises("2 to 65535", qe.consensus, 1)
  raises("positive and finite", qe.posterior, { 1 }, 0)
end)

support.finish()
