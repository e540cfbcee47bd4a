-- Students that read words in context: axes that stay as they are, dev scores from what was read once, the
-- say that the encoder itself has, and families of such students.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local support = require "support"
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local routes = require "qestrel.routes"
local train = require "qestrel.train"
local test, equal = support.test, support.equal

local BERT = (os.getenv "SOURCE_DIR" or ".") .. "/tests/parity/bert"
local WORDS = { "ka", "lo", "mi", "su", "te", "ro", "pa", "vi" }

local function sentence(rng, count)
  local words = {}
  for i = 1, count do words[i] = WORDS[1 + rng:below(#WORDS)] end
  return table.concat(words, " ")
end

-- An encoder that judges: its scores are far apart.
local function judge()
  local model = assert(qe.import(BERT, { joint = true, rank = 2, max_tokens = 15 }, nil, qe.rng(1, "import")))
  local rng, params = qe.rng(2, "judge"), model:params()
  for _, name in ipairs(params:names()) do
    if name:match "^adapter" or name:match "^head" or name:match "^pooler" then
      local values = params:matrix(name)
      for i in ipairs(values) do values[i] = 0.7 * rng:normal() end
      params:set_matrix(name, values)
    end
  end
  model:set_card "card"
  model:set_licence "licence"
  model:set_golden { { "ka lo", "mi" } }
  model:prepare()
  return model
end

-- Pairs whose human scores are what the judge says, and a little noise.
local function rows_of(model, count, seed)
  local rng, data = qe.rng(seed, "rows"), qe.dataset()
  for _ = 1, count do data:append(sentence(rng, 3 + rng:below(5)), sentence(rng, 3 + rng:below(5))) end
  local gold = evaluate.scores(model, data)
  for i, value in ipairs(gold) do gold[i] = value + 0.01 * rng:normal() end
  data:set_column("gold", gold)
  return data
end

local OPTIONS = { student = "aligned", embedding = 5, states = 12, comparison = 6, hidden = 6, epochs = 8, rate = 0.01,
                  dropout = 0.0, max_tokens = 15, storage = "f32", decay = 0.05, least_count = 2, least_link = 3 }

local function options(more)
  local all = {}
  for name, value in pairs(OPTIONS) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

support.with_folder(function(folder)
  local encoder = judge()
  assert(encoder:save(folder .. "/judge.qe"))
  local dev = rows_of(encoder, 60, 4)

  local function trained(more, output)
    local model, metrics = train.run("gold", { train = rows_of(encoder, 120, 3), dev = rows_of(encoder, 60, 4),
                                               quiet = true, output = output, options = options(more) })
    if not model then error(metrics) end
    return model, metrics
  end

  test("a student in context keeps its axes, its dev scores and the encoder's say", function()
    local model, metrics = trained({ context = folder .. "/judge.qe", context_layer = 1 }, folder .. "/student.qe")
    local architecture, score = model:manifest().architecture, model:manifest().score
    equal(architecture.context_layer, 1)
    equal(architecture.context_width, 8)
    equal(architecture.source, nil)
    local axes, rows, cols = model:params():matrix "source.embedding"
    equal(rows, 8)
    for j = 1, cols do -- orthogonal, of one length, whatever the decay of weights
      for k = 1, j do
        local product, first = 0.0, 0.0
        for i = 0, rows - 1 do
          product = product + axes[i * cols + j] * axes[i * cols + k]
          first = first + axes[i * cols + 1] ^ 2
        end
        equal(math.abs(product - (j == k and first or 0)) < 1e-3 * first, true, ("axes %d and %d"):format(j, k))
      end
    end
    equal(score.context > 0, true, "the judge, who knows the scores, has a say")
    local opened = assert(qe.open(folder .. "/student.qe"))
    local found = qe.pearson(evaluate.scores(opened, dev), dev:column "gold")
    equal(score.with_logprobs, nil)
    equal(math.abs(found - metrics.pearson) < 2e-3, true, ("%.4f and %.4f"):format(found, metrics.pearson))
    equal(found > 0.95, true, ("a Pearson of %.3f"):format(found))
  end)

  test("without a judge the student is alone", function()
    local plain = assert(qe.import(BERT, { alignment = { 2 }, max_tokens = 15 }, nil, qe.rng(1, "import")))
    plain:set_card "card"
    plain:set_licence "licence"
    plain:set_golden { { "ka lo", "mi" } }
    plain:prepare()
    assert(plain:save(folder .. "/plain.qe"))
    local model = trained { context = folder .. "/plain.qe", context_layer = 2 }
    equal(model:manifest().score.context, 0.0)
  end)

  test("a run with the same seed ends with the same bytes", function()
    local first = support.read(folder .. "/student.qe")
    trained({ context = folder .. "/judge.qe", context_layer = 1 }, folder .. "/again.qe")
    equal(support.read(folder .. "/again.qe") == first, true)
  end)

  test("what was saved can be opened, also where there are no tables and only small matrices", function()
    for _, storage in ipairs { "bf16", "int8", "int8-all", "int4" } do
      local model = trained({ context = folder .. "/judge.qe", context_layer = 1, storage = storage },
                            folder .. "/stored.qe")
      local opened = assert(qe.open(folder .. "/stored.qe"))
      equal(evaluate.scores(opened, dev)[1], evaluate.scores(model, dev)[1])
    end
  end)

  test("what cannot be read in context is told", function()
    local function refused(more, message)
      local model, problem = train.run("gold", { train = rows_of(encoder, 60, 3), dev = dev, quiet = true,
                                                 options = options(more) })
      equal(model, nil)
      equal(problem:find(message, 1, true) ~= nil, true, problem)
    end
    refused({ context = folder .. "/judge.qe", student = "birnn" }, "--student=aligned")
    refused({ context = folder .. "/none.qe" }, "none.qe")
    refused({ context = folder .. "/student.qe" }, "no encoder")
  end)

  test("a family of one is that one", function()
    local member = assert(qe.open(folder .. "/student.qe"))
    local family = assert(qe.family { member })
    family:set_card "card"
    family:set_licence "licence"
    family:set_golden { { "ka lo", "mi" } }
    family:prepare()
    assert(family:save(folder .. "/family.qe"))
    support.packs_again(qe, folder .. "/family.qe")
    local opened = assert(qe.open(folder .. "/family.qe"))
    local one, other = evaluate.scores(member, dev), evaluate.scores(opened, dev)
    for i in ipairs(one) do equal(other[i], one[i]) end
    equal(opened:word_vectors(), true)
    local values = qe.consensus(nil, opened):values { "ka lo", "ka lo", "su te vi" }
    equal(values[1], values[2])
    equal(values[1] >= values[3] and values[3] == values[3], true)
    equal(select(2, pcall(qe.family, {})):find("1 to 64", 1, true) ~= nil, true)
  end)

  test("a family learns whose texts are whose, where their means tell little", function()
    -- Much of one word or of the other, whoever the text belongs to; one word that says it.
    local function texts(own, count, seed)
      local rng, data = qe.rng(seed, "texts"), qe.dataset()
      for _ = 1, count do
        local noise = rng:below(2) == 0 and "ka " or "vi "
        data:append(noise:rep(4) .. (own .. " "):rep(3), sentence(rng, 2))
      end
      return data
    end
    local members = {}
    for i = 1, 2 do
      trained({ context = folder .. "/judge.qe", context_layer = 1, rate = 0.01 * i }, folder .. "/member.qe")
      members[i] = assert(qe.open(folder .. "/member.qe"))
    end
    local alone = { assert(qe.open(folder .. "/student.qe")), members[2]:copy() }
    alone[2]:prepare()
    local family = assert(qe.family(members))
    local _, problem = pcall(routes.learn, family, members, { texts("lo", 1, 1), qe.dataset() })
    equal(problem, "routes: no texts of member 2")
    local share = routes.learn(family, members, { texts("lo", 100, 1), texts("mi", 100, 2) })
    equal(share > 0.95, true, ("a share of %.3f"):format(share))
    family:prepare()
    for i, own in ipairs { "lo", "mi" } do
      local unseen = texts(own, 40, 2 + i)
      local by_family, by_member, same = evaluate.scores(family, unseen), evaluate.scores(alone[i], unseen), 0
      for k, score in ipairs(by_family) do same = same + (score == by_member[k] and 1 or 0) end
      equal(same >= 36, true, ("%d of 40 went to member %d"):format(same, i))
    end
    local candidates = { "mi mi ka", "lo lo vi", "su te vi" } -- compared along the axes of one member
    local values = qe.consensus(nil, family):values(candidates)
    for i, value in ipairs(qe.consensus(nil, alone[1]):values(candidates)) do equal(values[i], value) end
  end)
end)

support.finish()
