-- Random calls while the collector runs all the time and finalisers close the very objects that are in use. Whatever
-- happens must be a result or an error; a sanitized build sees the rest.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"

local ROUNDS, CALLS, SEED = 60, 30, 1
local CONFIGURATION = {
  name = "birnn", embedding = 3, hidden = 2, attention = 4,
  source = { kind = "ngrams", buckets = 31 }, target = { kind = "ngrams", buckets = 37 },
}

local function close_by_finaliser(object)
  setmetatable({}, { __gc = function() object:close() end })
end

local function make(seed)
  local w = { data = qe.dataset(), list = qe.list(), weights = qe.weights(), archive = qe.archive(), pool = qe.pool(2) }
  for i = 1, 5 do w.data:append("a b " .. i, "c d", { -1, -2 }) end
  w.data:set_column("z", { 1, 2, 3, 4, 5 })
  w.model = assert(qe.model(CONFIGURATION, nil, qe.rng(seed, "model")))
  w.model:prepare()
  w.scorer, w.tape, w.params = qe.scorer(w.model, w.pool), qe.tape(w.pool, 2), w.model:params()
  w.optimiser = qe.optimiser(w.params, "adam", w.pool)
  w.batch, w.batcher = qe.batch(w.data), qe.batcher(w.data, nil, 2, qe.rng(1, "batcher"))
  w.segments = w.batch:segments(w.model, "source")
  w.list:add("0 ||| a ||| F= 1 2 ||| 3", 1)
  w.weights:set("F", { 1, 2 })
  w.archive:add("x", "y")
  w.states, w.proposal = qe.states(2), qe.proposal(300, nil, 0.5)
  return w
end

local function filled(count, value)
  local list = {}
  for i = 1, count do list[i] = value end
  return list
end

local calls = {
  function(w) return w.data:column "z" end,
  function(w) return w.data:pair(2) end,
  function(w) return w.data:columns() end,
  function(w) return w.data:set_column("y", { 5, 4, 3, 2, 1 }) end,
  function(w) return w.data:append_all(w.data) end,
  function(w) return w.data:sha256() end,
  function(w) return qe.batch(w.data, filled(300, 3)) end,
  function(w) return w.batch:rows() end,
  function(w) return w.batch:column(w.tape, "z"):values() end,
  function(w) return w.batcher:next() end,
  function(w) return w.batcher:save() end,
  function(w) return w.segments:offsets() end,
  function(w) return w.scorer:score("a", "b") end,
  function(w) return w.scorer:score_all(filled(100, { "a", "b c" })) end,
  function(w) return w.scorer:score_dataset(w.data, filled(200, 2)) end,
  function(w) return w.list:get(1) end,
  function(w) return w.list:rank(w.weights) end,
  function(w) return w.list:feature(1, "F") end,
  function(w) return w.list:append("G", { 1 }) end,
  function(w) return w.archive:names() end,
  function(w)
    local choose = { share = 0.5, rng = qe.rng(1, "s") }
    return w.states:add(w.tape:constant(3, 2), w.tape:constant(3, 1), { 0, 1, 3 }, choose)
  end,
  function(w) return w.states:target(w.tape, { 1 }, { 0, 1 }) end,
  function(w) return w.states:read(w.states:bytes()) end,
  function(w) return w.proposal:draw(qe.rng(1, "draw"), 100) end,
  function(w) return w.proposal:draw_bins(qe.rng(1, "draw"), { 0.1, 0.9 }, 100) end,
  function(w) return qe.proposal_masses(w.tape:constant(2, 9), w.tape:constant(2, 9)) end,
  function(w) return w.tape:constant(2, 3):top_singular(w.tape:constant(2, 4), { 0, 1, 2 }, 3) end,
  function(w) return w.archive:member "x" end,
  function(w) return w.model:manifest() end,
  function(w) return w.model:copy() end,
  function(w) return w.model:describe { x = { 1, 2 } } end,
  function(w) return w.params:names() end,
  function(w) return w.params:matrix "head.weight" end,
  function(w) return w.params:values():bytes() end,
  function(w) return w.params:gradient():clone() end,
  function(w) return w.params:tensor(w.tape, "head.weight"):sum():backward() end,
  function(w) return w.optimiser:step(0.1) end,
  function(w) return w.optimiser:blocks() end,
  function(w) return w.tape:reset() end,
  function(w) return w.tape:constant(2, 2, { 1, 2, 3, 4 }):gather({ 1, 2, 1 }):values() end,
  function(w) return qe.beside { w.tape:constant(1, 1), w.tape:constant(1, 1) } end,
  function(w)
    return w.model:forward(w.tape, w.batch, { dropout = qe.rng(1, "d") }):tap("score"):mean():backward()
  end,
}

support.test("finalisers that close what is in use", function()
  local rng, good, closed = qe.rng(SEED, "hostile"), 0, 0
  collectgarbage("incremental", 1, 10000, 0)
  for round = 1, ROUNDS do
    local world, names = make(round), {}
    for name in pairs(world) do names[#names + 1] = name end
    table.sort(names)
    for _ = 1, CALLS do
      close_by_finaliser(world[names[rng:below(#names) + 1]])
      local ok, problem = pcall(calls[rng:below(#calls) + 1], world)
      if ok then good = good + 1 end
      if not ok and problem:find("closed", 1, true) then closed = closed + 1 end
    end
  end
  collectgarbage("incremental", 200, 100, 13)
  support.equal(good > ROUNDS and closed > ROUNDS, true, ("%d good, %d closed"):format(good, closed))
end)

local TAGGED = {
  name = "aligned", embedding = 3, states = 4, comparison = 3, hidden = 2, words = true,
  source = { kind = "ngrams", buckets = 31 }, target = { kind = "ngrams", buckets = 37 },
}

-- Texts that only a finaliser's victim holds.
local function victim(round)
  local list = {}
  for i = 1, 200 do list[i] = { ("source %d %d "):format(round, i):rep(9), ("a b %d %d "):format(round, i):rep(9) } end
  setmetatable({}, { __gc = function() for i = 1, 200 do list[i] = { "x", "y" } end end })
  return list
end

support.test("finalisers that change what is read", function()
  local data = qe.dataset()
  data:append("a b", "c d")
  local model = assert(qe.model(TAGGED, data, qe.rng(SEED, "model")))
  model:prepare()
  local scorer = qe.scorer(model)
  collectgarbage("incremental", 1, 10000, 0)
  for round = 1, ROUNDS do
    for _, score in ipairs { scorer.words_all, scorer.score_all } do
      local ok, scores = pcall(score, scorer, victim(round))
      support.equal(ok and #scores, 200)
    end
  end
  collectgarbage("incremental", 200, 100, 13)
end)

support.finish()
