-- Lexicons from Lua: training, entries, probabilities, misuse.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local support = require "support"
local qe = require "qestrel"
local test, equal, raises = support.test, support.equal, support.raises

test("a lexicon counts words of a dataset", function()
  local data <close> = qe.dataset()
  local lexicon <close> = qe.lexicon()
  for _, pair in ipairs { { "maja", "house" }, { "suur maja", "big house" }, { "suur puu", "big tree" } } do
    data:append(pair[1], pair[2])
  end
  equal(lexicon:entries "source", 0, "empty")
  assert(lexicon:train(data, { iterations = 8, letters = 4 }))
  equal(lexicon:words "source", 3, "words")
  equal(lexicon:probability("source", "maja", "house") > lexicon:probability("source", "maja", "big"), true, "maja")
  local word, other, t = lexicon:entry("target", lexicon:entries "target")
  equal(t, lexicon:probability("target", word, other), "entry")
  equal(lexicon:entry("target", lexicon:entries "target" + 1), nil, "behind the last")
  local before = lexicon:entries "source"
  lexicon:prune(0.2)
  equal(lexicon:entries "source" < before, true, "pruned")
  raises("expected 0 to 1", lexicon.prune, lexicon, 2)
  raises("unknown", lexicon.train, lexicon, data, { letter = 3 })
  raises("invalid option", lexicon.words, lexicon, "middle")
  local nothing <close> = qe.dataset()
  raises("no pairs to count words of", lexicon.train, lexicon, nothing)
end)

support.finish()
