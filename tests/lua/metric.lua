-- Metrics against references from Lua, and the teacher that they make.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local teacher = require "qestrel.teacher"
local test, equal, raises, refused = support.test, support.equal, support.raises, support.refused

local function list(values)
  local words = {}
  for i, value in ipairs(values) do words[i] = ("%g"):format(value) end
  return table.concat(words, " ")
end

test("statistics and scores", function()
  local metric <close> = qe.metric "ter"
  equal(#metric, 2)
  equal(metric:direction(), -1)
  equal(metric:reference { "a b c d" }, true)
  local first = metric:statistics "d a b x"
  equal(list(first), "2 4")
  equal(metric:sentence(first), 50)
  equal(metric:reference { "a b c d", "a b" }, true)
  local second = metric:statistics "a b c"
  equal(list(second), "1 3")
  equal(("%.4f"):format(metric:corpus { first[1] + second[1], first[2] + second[2] }), "42.8571")
  local bleu = qe.metric "bleu:char"
  equal(#bleu, 10)
  equal(bleu:direction(), 1)
  bleu:reference { "a\0b\255" }
  equal(list(bleu:statistics "a\0b\u{fffd}"), "4 4 4 3 2 1 4 3 2 1")
  equal(#qe.metric "chrf", 18)
  equal(#qe.metric "chrf++", 24)
end)

test("wrong use", function()
  raises('no metric "comet"; there are chrf, chrf++, bleu, ter', qe.metric, "comet")
  raises('no tokenizer "ja"', qe.metric, "bleu:ja")
  raises("NUL", qe.metric, "chrf\0")
  raises("string expected", qe.metric)
  local metric = qe.metric "chrf"
  raises("no references were set", metric.statistics, metric, "a")
  raises("no strings", metric.reference, metric, {})
  raises("number at index 2, expected a string", metric.reference, metric, { "a", 1 })
  raises("table expected", metric.reference, metric, "a")
  metric:reference { "a" }
  raises("string expected", metric.statistics, metric, 1)
  raises("2 values, expected 18", metric.corpus, metric, { 1, 2 })
  raises("0 values, expected 18", metric.sentence, metric, {})
  raises("expected a number", metric.corpus, metric, { "a" })
  metric:close()
  raises("closed", metric.statistics, metric, "a")
  raises("closed", metric.direction, metric)
end)

test("references make a teacher", function()
  local data <close> = qe.dataset()
  data:append("x", "a b c d")
  data:append("y", "a b")
  local scores = assert(teacher.metric("ter", { "a b c d", { "a b c d", "a b x x" } })(data))
  equal(list(scores), "0 -0.5")
  scores = assert(teacher.metric("chrf", { "a b c d", "z" })(data))
  equal(list(scores), "1 0")
  data:set_column("teacher", scores)
  refused("chrf: 1 references for 2 rows", teacher.metric("chrf", { "a" })(data))
  raises('no metric "none"', teacher.metric, "none", {})
end)

support.finish()
