-- The say of trees in a student's score: how much their word counts is fitted on dev, texts alone and log-probabilities
-- apart; without them nothing changes; where gold is shuffled they are not worth hearing; adapting goes on with them.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local support = require "support"
local qe = require "qestrel"
local adapt = require "qestrel.adapt"
local evaluate = require "qestrel.evaluate"
local train = require "qestrel.train"
local test, equal = support.test, support.equal

local WORDS = { "ka", "lo", "mi", "su", "te", "ro", "pa", "vi" }
local OPTIONS = { student = "aligned", embedding = 5, states = 6, comparison = 4, hidden = 4, epochs = 2,
                  max_tokens = 15, storage = "f32", buckets = 64 }

local function sentence(rng, count)
  local words = {}
  for i = 1, count do words[i] = WORDS[1 + rng:below(#WORDS)] end
  return table.concat(words, " ")
end

-- Good is what repeats no word and what the decoder was sure of; every third pair has no log-probabilities.
local function rows_of(count, seed)
  local rng, data, gold = qe.rng(seed, "rows"), qe.dataset(), {}
  for i = 1, count do
    local translation, seen, repeats = sentence(rng, 3 + rng:below(5)), {}, 0
    for word in translation:gmatch "%S+" do
      repeats, seen[word] = repeats + (seen[word] and 1 or 0), true
    end
    local sure = -2 * rng:uniform()
    data:append(sentence(rng, 3 + rng:below(5)), translation, i % 3 > 0 and { sure, -0.5 } or nil)
    gold[i] = sure - repeats + 0.1 * rng:normal()
  end
  data:set_column("gold", gold)
  return data
end

local function options(more)
  local all = {}
  for _, source in ipairs { OPTIONS, more } do
    for name, value in pairs(source) do all[name] = value end
  end
  return all
end

local function trained(more, output, shuffled)
  local rows = rows_of(600, 3)
  if shuffled then
    local gold = rows:column "gold"
    qe.rng(5, "shuffle"):shuffle(gold)
    rows:set_column("gold", gold)
  end
  local model, metrics = train.run("gold", { train = rows, dev = rows_of(300, 4), quiet = true, output = output,
                                             options = options(more) })
  if not model then error(metrics) end
  return model, metrics
end

local function pearson(model, data) return qe.pearson(evaluate.scores(model, data), data:column "gold") end

support.with_folder(function(folder)
  test("trees are heard as far as dev asks for it, and change nothing else", function()
    local alone <close> = trained { decoder = true }
    local model <close>, metrics = trained({ decoder = true, trees = 100 }, folder .. "/student.qe")
    equal(model:params():values():bytes() == alone:params():values():bytes(), true, "the student itself")
    equal(alone:manifest().architecture.forests, nil)
    equal(model:manifest().architecture.forests, 2)
    local score = model:manifest().score
    equal(score.forest > 0 and score.with_logprobs.forest > 0, true, "weights")
    equal(score.context, 0.0)
    local dev, fresh = rows_of(300, 4), rows_of(300, 6)
    equal(pearson(model, fresh) > pearson(alone, fresh) + 0.1, true, "they help")
    equal(math.abs(pearson(model, dev) - metrics.pearson) < 1e-4, true, "dev is told as the archive has it")
    support.packs_again(qe, folder .. "/student.qe")
    local opened <close> = assert(qe.open(folder .. "/student.qe"))
    equal(pearson(opened, fresh), pearson(model, fresh))
    local told, there = opened:trees(fresh), model:trees(fresh)
    for i, value in ipairs(told) do equal(value, there[i]) end
    support.raises("no forest", function() assert(alone:trees(dev)) end)
  end)

  test("texts alone have one forest", function()
    local model <close> = trained { trees = 20 }
    equal(model:manifest().architecture.forests, 1)
    equal(model:manifest().score.with_logprobs, nil)
  end)

  test("where gold is shuffled, trees are as good as not heard", function()
    local model <close> = trained({ trees = 100 }, nil, true)
    local said = model:trees(rows_of(300, 4))
    equal(math.abs(qe.pearson(said, rows_of(300, 4):column "gold")) < 0.25, true, "they say nothing")
  end)

  test("a student with trees is adapted beside them", function()
    local rows, lines = rows_of(300, 8), { "source\ttranslation\tscore" }
    for i, value in ipairs(rows:column "gold") do
      local source, translation = rows:pair(i)
      lines[i + 1] = ("%s\t%s\t%.4f"):format(source, translation, 50 + 20 * value)
    end
    support.write(folder .. "/ratings.tsv", table.concat(lines, "\n") .. "\n")
    local report = assert(adapt.run {
      model = folder .. "/student.qe", train = folder .. "/ratings.tsv", output = folder .. "/adapted.qe",
      quiet = true, seed = 1, threads = 1, epochs = 3, rate = 0.01,
    })
    local adapted <close> = assert(qe.open(folder .. "/adapted.qe"))
    equal(adapted:manifest().architecture.forests, 2)
    equal(adapted:manifest().score.forest > 0, true, "they are still heard")
    equal(report.after.pearson > report.before.pearson - 0.02, true, "not worse")
    equal(report.after.rmse < 20, true, "in the ratings' unit")
  end)
end)

support.finish()
