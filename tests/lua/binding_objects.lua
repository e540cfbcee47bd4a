-- The life of objects in Lua: closing, what a closed object says, children that outlive the names of their parents,
-- finalisers in any order, and the embedded modules.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

local CONFIGURATION = {
  name = "birnn", embedding = 3, hidden = 2, attention = 4, dropout = 0.5, head = "sigmoid",
  source = { kind = "ngrams", buckets = 31 }, target = { kind = "ngrams", buckets = 37 },
}

local function dataset()
  local data = qe.dataset()
  for i = 1, 6 do assert(data:append(("word "):rep(i), "translation " .. i)) end
  data:set_column("gold", { 1, 2, 3, 4, 5, 6 })
  return data
end

local function model()
  local m = assert(qe.model(CONFIGURATION, nil, qe.rng(1, "model")))
  m:prepare()
  return m
end

local function collect()
  for _ = 1, 4 do collectgarbage() end
end

-- One object of each kind, a call on it, and whether it takes part in boxes (close and <close>).
local function every_kind()
  local data, params, tape, m = dataset(), qe.params(), qe.tape(), model()
  params:add("w", 2, 2)
  local batch = qe.batch(data)
  return {
    rng = { qe.rng(1, "x"), "next" }, pool = { qe.pool(1), "threads" }, dataset = { data, "rows" },
    batch = { batch, "rows" }, batcher = { qe.batcher(data, nil, 2, qe.rng(1, "b")), "batches" },
    segments = { batch:segments(m, "source"), "offsets" }, tape = { tape, "reset" }, params = { params, "names" },
    block = { params:values(), "norm" }, optimiser = { qe.optimiser(params, "adam"), "steps" },
    model = { m, "taps" }, scorer = { qe.scorer(m), "truncated" }, list = { qe.list(), "clear" },
    weights = { qe.weights(), "parse", "{}", "here" }, archive = { qe.archive(), "names" },
  }
end

test("closing is idempotent and makes an object unusable", function()
  for name, entry in pairs(every_kind()) do
    local object, method = entry[1], entry[2]
    equal(getmetatable(object).__name, "qestrel." .. name, "name")
    object[method](object, entry[3], entry[4])
    object:close()
    object:close()
    getmetatable(object).__gc(object)
    raises("closed qestrel." .. name, object[method], object, entry[3], entry[4])
  end
end)

test("closing by scope, after an error too", function()
  for _, entry in pairs(every_kind()) do
    local object = entry[1]
    do
      local held <close> = object
      equal(held, object)
    end
    raises("closed", object[entry[2]], object, entry[3], entry[4])
  end
  local kept
  raises("stop", function()
    local data <close> = dataset()
    kept = data
    error "stop"
  end)
  raises("closed", kept.rows, kept)
end)

test("an object is not taken for one of another kind", function()
  local kinds = every_kind()
  for name, entry in pairs(kinds) do
    for other, second in pairs(kinds) do
      if name ~= other then
        raises("qestrel." .. name .. " expected", entry[1][entry[2]], second[1], entry[3], entry[4])
        raises("qestrel." .. name .. " expected", entry[1].close, second[1])
      end
    end
    raises("expected", entry[1].close, io.stdout)
    raises("expected", entry[1].close, nil)
    raises("expected", entry[1].close, {})
  end
end)

test("children outlive their parents' names", function()
  local batch = qe.batch(dataset())
  local batcher = qe.batcher(dataset(), nil, 4, qe.rng(1, "b"))
  local scorer = qe.scorer(model(), qe.pool(2))
  local gradient = model():params():gradient()
  local optimiser = qe.optimiser(model():params(), "sgd", qe.pool(2))
  local offsets = qe.batch(dataset()):segments(model(), "target")
  local values = qe.tape(qe.pool(2)):constant(2, 1, { 1, 2 })
  collect()
  equal(#batch:rows(), 6)
  equal(#batcher:next(), 4)
  equal(type(scorer:score("a", "b")), "number")
  equal(gradient:fill(2):get(#gradient), 2)
  equal(#optimiser:blocks(), 0)
  equal(#offsets, 6)
  equal((values + 1):values()[2], 3)
end)

test("closed parents stay until their children go", function()
  local data, m, pool = dataset(), model(), qe.pool(2)
  local batch, batcher = qe.batch(data), qe.batcher(data, nil, 2, qe.rng(1, "b"))
  local scorer, params, tape = qe.scorer(m, pool), m:params(), qe.tape(pool)
  local before = scorer:score("a b", "c")
  data:close()
  m:close()
  pool:close()
  raises("closed qestrel.dataset", data.rows, data)
  raises("closed qestrel.model", tape.backward and m.forward, m, tape, batch)
  equal(#batcher:next(), 2)
  equal(batch:column(tape, "gold"):values()[6], 6)
  equal(scorer:score("a b", "c"), before)
  equal(#params:names() > 0, true)
  scorer:close()
  params:close()
  batch:close()
  batcher:close()
end)

test("a recording keeps what it points to", function()
  local m, tape = model(), qe.tape(nil, 2)
  local gradient
  local function loss()
    local params <close> = qe.params()
    params:add("w", 1, 1)
    params:set_matrix("w", { 3 })
    local batch <close> = qe.batch(dataset())
    gradient = params:gradient()
    local score = m:forward(tape, batch, { dropout = qe.rng(1, "d") }):tap "score"
    return (score * params:tensor(tape, "w") - batch:column(tape, "gold")):square():mean()
  end
  local value = loss()
  local norm = m:params():gradient():norm()
  m:close()
  m = nil
  collect()
  value:backward()
  equal(norm, 0)
  equal(gradient:get(1) ~= 0, true)
  tape:reset()
  collect()
  raises("stale", value.backward, value)
end)

test("tensors and passes of a closed tape are refused", function()
  local tape = qe.tape()
  local x = tape:constant(1, 1, 1)
  local pass = model():forward(tape, qe.batch(dataset()))
  tape:close()
  raises("closed tape", x.rows, x)
  raises("closed tape", function() return x + 1 end)
  raises("closed tape", function() return x + x end)
  raises("closed tape", qe.beside, { x })
  raises("closed tape", pass.tap, pass, "score")
end)

test("garbage of all kinds in any order", function()
  local function one()
    local m, data, pool = model(), dataset(), qe.pool(2)
    local tape = qe.tape(pool, 2)
    local batcher = qe.batcher(data, nil, 3, qe.rng(2, "b"))
    local optimiser = qe.optimiser(m:params(), "adam", pool)
    for batch in batcher.next, batcher do
      tape:reset()
      m:forward(tape, batch):tap("score"):mean():backward()
      optimiser:step(0.1)
    end
    return batcher, tape, optimiser
  end
  do
    local kept = {}
    for i = 1, 30 do
      kept[i % 3] = { select(i % 3 + 1, one()) }
      if i % 5 == 0 then collectgarbage "step" end
    end
    equal(#kept, 2)
  end
  collect()
end)

test("embedded modules", function()
  for name in pairs(package.preload) do
    if name:match "^qestrel%." and not name:match "%.c[ol][im]" then
      equal(type(require(name)), "table", name)
    end
  end
  local chunk = debug.getinfo(require("qestrel.train").run, "S").source
  equal(chunk, "=qestrel.train")
  equal(package.loaded.qestrel, qe)
  equal(qe.version():match "^%d+%.%d+%.%d+$" ~= nil, true)
  equal(type(qe.build()), "string")
  equal(qe.threads() >= 1 and qe.clock() <= qe.clock(), true)
  equal(type(qe.stderr_is_terminal()), "boolean")
  equal(qe.blas_check(), true)
end)

support.finish()
