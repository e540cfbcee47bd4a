-- Guards of reranking from Lua.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

local all = "copy,empty,length,repetition,number,negation,name,placeholder,script"

test("names", function()
  equal(qe.guard_names(), (all:gsub(",", " ")))
end)

test("vetoes", function()
  local guards = qe.guards()
  equal(guards:languages("en", "de"), nil)
  local source = "He has 3 dogs and does not see Obama."
  local candidates = {
    "Er hat 3 Hunde und sieht Obama nicht.",
    "Er hat drei Hunde und sieht Obama nicht.",
    "Er hat 4 Hunde und sieht Obama nicht.",
    "Er hat 4 Hunde und sieht Merkel.",
    "",
  }
  local function vetoes(first, enabled)
    return table.concat(guards:check(source, candidates, first, enabled), "|")
  end
  equal(vetoes(1), "||number|number,negation,name|empty,length,number,negation")
  equal(vetoes(1, all), vetoes(1, "all"))
  equal(vetoes(1, "all,-number,-length"), "|||negation,name|empty,negation")
  equal(vetoes(1, "name"), "|||name|")
  equal(vetoes(1, "none"), "||||")
  equal(vetoes(4, "number,negation,name"), "||||")
  equal(vetoes(5), "||||")
  equal(guards:check(nil, { "3", "4" }, 1)[2], "number")
  equal(guards:check("", { "3", "4" }, 1)[2], "number")
end)

test("languages", function()
  local guards = qe.guards()
  local function veto(source, target)
    guards:languages(source, target)
    return guards:check("He did not go", { "Nu a mers", "A mers" }, 1, "negation")[2]
  end
  equal(veto("en", "ro"), "negation")
  equal(veto(), "")
  equal(veto("en-GB", "ro_RO"), "negation")
end)

test("many candidates", function()
  local candidates = {}
  for i = 1, 20000 do
    candidates[i] = "Er hat " .. i .. " Hunde"
  end
  local vetoes = qe.guards():check("He has 7 dogs", candidates, 7)
  local allowed = 0
  for i = 1, #candidates do
    allowed = allowed + (vetoes[i] == "" and 1 or 0)
  end
  equal(#vetoes, 20000)
  equal(vetoes[7], "")
  equal(allowed, 1)
end)

test("misuse", function()
  local guards = qe.guards()
  raises("no guard \"-nmae\", expected all, none or some of: copy", guards.check, guards, "a", { "b" }, 1, "all,-nmae")
  raises("2, expected an index from 1 to 1", guards.check, guards, "a", { "b" }, 2)
  raises("no strings", guards.check, guards, "a", {}, 1)
  raises("number at index 2, expected a string", guards.check, guards, "a", { "b", 1 }, 1)
  raises("table expected", guards.check, guards, "a", "b", 1)
  raises("string expected", guards.check, guards, {}, { "b" }, 1)
  raises("qestrel.guards expected", guards.check, {}, "a", { "b" }, 1)
  raises("string expected", guards.languages, guards, {})
end)

support.finish()
