-- Tapes and tensors: every op by its Lua name, order of arguments, indices from 1, numbers as operands, and errors that
-- appear where they are made.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

local tape = qe.tape()

local function near(tensor, rows, cols, expected, what)
  equal(tensor:rows() .. " x " .. tensor:cols(), rows .. " x " .. cols, what)
  local found = tensor:values()
  equal(#found, #expected, what)
  for i = 1, #expected do
    local close = math.abs(found[i] - expected[i]) <= 1e-5 * math.max(1, math.abs(expected[i]))
    if not close then
      error(("%s: value %d is %s, expected %s"):format(what, i, found[i], expected[i]), 2)
    end
  end
end

local function m(rows, cols, ...)
  return tape:variable(rows, cols, { ... })
end

test("leaves", function()
  near(tape:constant(2, 3, { 1, 2, 3, 4, 5, 6 }), 2, 3, { 1, 2, 3, 4, 5, 6 }, "array")
  near(tape:constant(2, 2, 0.5), 2, 2, { 0.5, 0.5, 0.5, 0.5 }, "number")
  near(tape:variable(1, 2), 1, 2, { 0, 0 }, "zeros")
  near(tape:constant(0, 3), 0, 3, {}, "no rows")
  raises("5 values, expected 6", tape.constant, tape, 2, 3, { 1, 2, 3, 4, 5 })
  raises("string at index 2, expected a number", tape.constant, tape, 1, 2, { 1, "2" })
  raises("number expected", tape.constant, tape, 1, 2, "x")
  raises("-1, expected at least 0", tape.constant, tape, -1, 2)
  raises("no integer representation", tape.constant, tape, 1.5, 2)
  raises("out of memory", tape.constant, tape, math.maxinteger, 4)
  equal(tape:constant(1, 1, 7):item(), 7)
  raises("item: the tensor is 2 x 1", tape:constant(2, 1).item, tape:constant(2, 1))
end)

test("operators", function()
  local a, b = m(2, 2, 1, 2, 3, 4), m(1, 2, 10, 20)
  near(a + b, 2, 2, { 11, 22, 13, 24 }, "+")
  near(a - b, 2, 2, { -9, -18, -7, -16 }, "-")
  near(b * a, 2, 2, { 10, 40, 30, 80 }, "*")
  near(b / a, 2, 2, { 10, 10, 10 / 3, 5 }, "/")
  near(-a, 2, 2, { -1, -2, -3, -4 }, "unary -")
  near(a + 1, 2, 2, { 2, 3, 4, 5 }, "a + 1")
  near(1 + a, 2, 2, { 2, 3, 4, 5 }, "1 + a")
  near(a - 1, 2, 2, { 0, 1, 2, 3 }, "a - 1")
  near(1 - a, 2, 2, { 0, -1, -2, -3 }, "1 - a")
  near(a * 3, 2, 2, { 3, 6, 9, 12 }, "a * 3")
  near(3 * a, 2, 2, { 3, 6, 9, 12 }, "3 * a")
  near(a / 2, 2, 2, { 0.5, 1, 1.5, 2 }, "a / 2")
  near(12 / a, 2, 2, { 12, 6, 4, 3 }, "12 / a")
  equal((m(1, 1, 1) / 3):item(), (m(1, 1, 1) / m(1, 1, 3)):item(), "a number divides as a tensor does")
  raises("qestrel.tensor expected, got string", function() return a + "1" end)
  raises("qestrel.tensor expected, got nil", function() return a * nil end)
end)

test("matrices", function()
  local a, b = m(2, 3, 1, 2, 3, 4, 5, 6), m(3, 2, 1, 0, 0, 1, 1, 1)
  near(a:matmul(b), 2, 2, { 4, 5, 10, 11 }, "nn by default")
  near(a:matmul(b, "nn"), 2, 2, { 4, 5, 10, 11 }, "nn")
  near(a:matmul(a, "nt"), 2, 2, { 14, 32, 32, 77 }, "nt")
  near(a:matmul(a, "tn"), 3, 3, { 17, 22, 27, 22, 29, 36, 27, 36, 45 }, "tn")
  near(a:matmul(b, "tt"), 3, 3, { 1, 4, 5, 2, 5, 7, 3, 6, 9 }, "tt")
  raises("invalid option 'xx'", a.matmul, a, b, "xx")
  near(a:transposed(), 3, 2, { 1, 4, 2, 5, 3, 6 }, "transposed")
  near(a:affine(2, -1), 2, 3, { 1, 3, 5, 7, 9, 11 }, "affine")
  near(a:columns(2, 2), 2, 2, { 2, 3, 5, 6 }, "columns")
  near(a:slice(2, 1), 1, 3, { 4, 5, 6 }, "slice")
  near(a:slice(3, 0), 0, 3, {}, "empty slice")
  raises("0, expected an index from 1 to 3", a.columns, a, 0, 1)
  raises("4, expected an index from 1 to 3", a.columns, a, 4, 1)
  raises("3 from 2 on, expected at most 2", a.columns, a, 2, 3)
  raises("2 from 2 on, expected at most 1", a.slice, a, 2, 2)
  near(a:gather { 2, 1, 2 }, 3, 3, { 4, 5, 6, 1, 2, 3, 4, 5, 6 }, "gather")
  raises("3 at index 2, expected a whole number from 1 to 2", a.gather, a, { 1, 3 })
  raises("0 at index 1", a.gather, a, { 0 })
  raises("1.5 at index 1", a.gather, a, { 1.5 })
  near(a:pick { 3, 1 }, 2, 1, { 3, 4 }, "pick")
  raises("1 values, expected 2", a.pick, a, { 3 })
  raises("4 at index 1", a.pick, a, { 4, 1 })
  near(b:bag({ 1, 3, 2 }, { 0, 2, 2, 3 }), 3, 2, { 1, 0.5, 0, 0, 0, 1 }, "bag")
  raises("2 values, expected 3", b.bag, b, { 1, 2 }, { 0, 3 })
  near(qe.beside { a, m(2, 1, 8, 9) }, 2, 4, { 1, 2, 3, 8, 4, 5, 6, 9 }, "beside")
  near(qe.below { m(1, 2, 7, 8), b }, 4, 2, { 7, 8, 1, 0, 0, 1, 1, 1 }, "below")
  raises("no tensors", qe.beside, {})
  raises("not a tensor at index 2", qe.below, { a, 3 })
end)

test("elementwise", function()
  local x = { -1.5, -0.25, 0.5, 2 }
  local a = m(2, 2, table.unpack(x))
  local positive = m(2, 2, 1.5, 0.25, 0.5, 2)
  local function each(list, f)
    local result = {}
    for i, value in ipairs(list) do result[i] = f(value) end
    return result
  end
  near(a:sigmoid(), 2, 2, each(x, function(v) return 1 / (1 + math.exp(-v)) end), "sigmoid")
  near(a:tanh(), 2, 2, each(x, function(v) return 1 - 2 / (math.exp(2 * v) + 1) end), "tanh")
  near(a:relu(), 2, 2, { 0, 0, 0.5, 2 }, "relu")
  near(a:gelu(), 2, 2, { -0.1002108, -0.1003234, 0.3457312, 1.9544997 }, "gelu")
  near(a:exp(), 2, 2, each(x, math.exp), "exp")
  near(positive:log(), 2, 2, each({ 1.5, 0.25, 0.5, 2 }, math.log), "log")
  near(positive:sqrt(), 2, 2, each({ 1.5, 0.25, 0.5, 2 }, math.sqrt), "sqrt")
  near(a:abs(), 2, 2, { 1.5, 0.25, 0.5, 2 }, "abs")
  near(a:square(), 2, 2, { 2.25, 0.0625, 0.25, 4 }, "square")
  near(a:clamp(-1, 1), 2, 2, { -1, -0.25, 0.5, 1 }, "clamp")
  near(a:dropout(0.5), 2, 2, x, "dropout without a stream")
  local rng = qe.rng(3, "dropout")
  local copy = rng:clone()
  local dropped = tape:constant(1, 100, 1):dropout(0.25, rng):values()
  local kept = 0
  for _, v in ipairs(dropped) do
    equal(v == 0 or math.abs(v - 4 / 3) < 1e-6, true, v)
    if v > 0 then kept = kept + 1 end
  end
  equal(kept > 55 and kept < 92, true, kept)
  near(tape:constant(1, 100, 1):dropout(0.25, copy), 1, 100, dropped, "replayed")
  raises("qestrel.rng expected", a.dropout, a, 0.5, a)
end)

test("reductions and rows", function()
  local a = m(2, 3, 1, 5, 3, 4, 2, 6)
  near(a:sum(), 1, 1, { 21 }, "sum of all by default")
  near(a:sum "all", 1, 1, { 21 }, "sum")
  near(a:sum "rows", 1, 3, { 5, 7, 9 }, "sum over rows")
  near(a:sum "columns", 2, 1, { 9, 12 }, "sum over columns")
  near(a:mean "rows", 1, 3, { 2.5, 3.5, 4.5 }, "mean")
  near(a:max "rows", 1, 3, { 4, 5, 6 }, "max over rows")
  near(a:max "columns", 2, 1, { 5, 6 }, "max over columns")
  raises("invalid option 'columnz'", a.sum, a, "columnz")
  local e1, e2 = math.exp(1), math.exp(2)
  local row = m(1, 2, 1, 2)
  near(row:softmax(), 1, 2, { e1 / (e1 + e2), e2 / (e1 + e2) }, "softmax")
  near(m(1, 2, 2, 4):softmax(2), 1, 2, { e1 / (e1 + e2), e2 / (e1 + e2) }, "temperature")
  near(row:log_softmax(), 1, 2, { 1 - math.log(e1 + e2), 2 - math.log(e1 + e2) }, "log_softmax")
  near(m(2, 2, 3, 4, 0, 0):unit(), 2, 2, { 0.6, 0.8, 0, 0 }, "unit")
  near(m(1, 2, 1, 3):layer_norm(m(1, 2, 2, 2), m(1, 2, 5, 5), 1e-9), 1, 2, { 3, 7 }, "layer_norm")
end)

test("losses", function()
  local a, b = m(1, 2, 1, 2), m(1, 2, 3, 2.5)
  near(a:squared_error(b), 1, 1, { (4 + 0.25) / 2 }, "squared_error")
  near(a:huber(b, 1), 1, 1, { (1.5 + 0.125) / 2 }, "huber")
  near(a:huber(b), 1, 1, { (1.5 + 0.125) / 2 }, "huber 1")
  local z = math.log(math.exp(1) + math.exp(2))
  near(a:cross_entropy(m(1, 2, 0.25, 0.75)), 1, 1, { -(0.25 * (1 - z) + 0.75 * (2 - z)) }, "cross_entropy")
  local p, q = a:softmax():values(), m(1, 2, 3, 2.5):softmax():values()
  local kl = p[1] * math.log(p[1] / q[1]) + p[2] * math.log(p[2] / q[2])
  near(a:kl(b), 1, 1, { kl }, "kl of self to argument")
  near((a * 2):kl(b * 2, 2), 1, 1, { kl }, "kl at temperature")
  near(m(1, 1, 0):binary_cross_entropy(m(1, 1, 1)), 1, 1, { math.log(2) }, "binary_cross_entropy")
end)

test("sequences", function()
  local a, segments = m(3, 2, 1, 2, 3, 4, 5, 6), { 0, 2, 2, 3 }
  near(a:pool_segments(segments, "sum"), 3, 2, { 4, 6, 0, 0, 5, 6 }, "sum")
  near(a:pool_segments(segments, "mean"), 3, 2, { 2, 3, 0, 0, 5, 6 }, "mean")
  near(a:pool_segments(segments, "max"), 3, 2, { 3, 4, 0, 0, 5, 6 }, "max")
  local s = 1 / (1 + math.exp(2))
  near(a:segment_softmax(segments), 3, 2, { s, s, 1 - s, 1 - s, 1, 1 }, "segment_softmax")
  near(a:spread { 0, 1, 1, 3 }, 3, 2, { 1, 2, 5, 6, 5, 6 }, "spread")
  near(a:window({ 0, 2, 3 }, 1, 0), 3, 4, { 0, 0, 1, 2, 1, 2, 3, 4, 0, 0, 5, 6 }, "window")
  near(a:top_singular(a, { 0, 2, 3 }, 20), 2, 1, { (15 + math.sqrt(221)) / 2, 61 }, "top_singular")
  near(a:attention_pool(m(3, 1, 0, 0, 7), segments), 3, 2, { 2, 3, 0, 0, 5, 6 }, "attention_pool")
  near(a:attention(a, m(3, 2, 1, 1, 1, 1, 2, 2), 2, { 0, 2, 3 }, { 0, 2, 3 }), 3, 2, { 1, 1, 1, 1, 2, 2 }, "attention")
  near(a:best_match(m(2, 2, 1, 0, 0, 1), segments, { 0, 1, 1, 2 }), 3, 1, { 1, 3, 6 }, "best_match")
  local cells = a:pairwise(m(2, 2, 1, 0, 0, 1), segments, { 0, 1, 1, 2 })
  near(cells, 3, 1, { 1, 3, 6 }, "pairwise")
  near(cells:look(m(2, 1, 5, 7), segments, { 0, 1, 1, 2 }), 3, 1, { 5, 5, 7 }, "look")
  near(m(2, 1, 0, 0):look(m(2, 1, 2, 4), { 0, 2 }, { 0, 1 }, true), 1, 1, { 3 }, "look turned")
  raises("no offsets", a.spread, a, {})
  raises("qestrel.segments expected", a.segment_softmax, a)
  raises("segments end at row 2", a.segment_softmax, a, { 0, 2 })
  tape:reset()
end)

-- The GRU's equations, one row at a time.
test("gru", function()
  local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
  local function tanh(x) return 1 - 2 / (math.exp(2 * x) + 1) end
  local x, w, u, b, c = { 0.5, -1, 2 }, { 0.1, 0.2, 0.3 }, { -0.4, 0.5, 0.6 }, { 0.7, -0.8, 0.9 }, { 0.01, 0.02, 0.03 }
  local function run(order)
    local h, out = 0, {}
    for _, t in ipairs(order) do
      local r = sigmoid(x[t] * w[1] + b[1] + h * u[1] + c[1])
      local z = sigmoid(x[t] * w[2] + b[2] + h * u[2] + c[2])
      h = (1 - z) * tanh(x[t] * w[3] + b[3] + r * (h * u[3] + c[3])) + z * h
      out[t] = h
    end
    return out
  end
  local function gru(reversed)
    return m(3, 1, table.unpack(x)):gru(m(1, 3, table.unpack(w)), m(1, 3, table.unpack(u)), m(1, 3, table.unpack(b)),
      m(1, 3, table.unpack(c)), { 0, 3 }, reversed)
  end
  near(gru(false), 3, 1, run { 1, 2, 3 }, "forward")
  near(gru(true), 3, 1, run { 3, 2, 1 }, "reversed")
  near(gru(), 3, 1, run { 1, 2, 3 }, "default")
end)

test("gradients", function()
  tape:reset()
  local a, b = tape:variable(1, 2, { 3, 4 }), tape:constant(1, 2, { 5, 6 })
  local loss = (a * b + a:detach() * a):sum()
  equal(a:gradient(), nil)
  loss:backward()
  equal(table.concat(a:gradient(), " "), "8.0 10.0")
  equal(b:gradient(), nil)
  raises("walked", loss.backward, loss)
  tape:reset()
  local x = tape:variable(2, 1, { 1, 2 })
  local y = x * 2
  y:inject { 10, 100 }
  x:inject { 1, 1 }
  raises("1 values, expected 2", y.inject, y, { 1 })
  tape:backward()
  equal(table.concat(x:gradient(), " "), "21.0 201.0")
  tape:reset()
  equal(tape:recording(false), true)
  local silent = tape:variable(1, 1, 2)
  equal(tape:recording(true), false)
  silent:square():backward()
  equal(silent:gradient(), nil)
  raises("boolean expected", tape.recording, tape)
end)

test("errors appear where they are made, and a reset clears them", function()
  tape:reset()
  local a, b = tape:constant(2, 3), tape:constant(2, 2)
  raises("matmul", a.matmul, a, b)
  raises("matmul", a.sigmoid, a) -- the first error stays
  equal(a:rows(), 2)
  tape:reset()
  raises("stale", a.rows, a)
  tape:reset()
  raises("stale", a.values, a)
  tape:reset()
  raises("stale", function() return a + 1 end)
  tape:reset()
  local other = qe.tape()
  local x, y = tape:constant(1, 1, 1), other:constant(1, 1, 2)
  raises("two tapes", function() return x + y end)
  tape:reset()
  other:reset()
  raises("stale", function() return tape:constant(1, 1) + y end)
  tape:reset()
  equal((tape:constant(1, 1, 2) + 1):item(), 3)
  local where = select(2, pcall(function() return tape:constant(1, 2):matmul(tape:constant(1, 2)) end))
  equal(where:match "^(.-):%d+: matmul" ~= nil, true, where)
end)

test("tapes", function()
  raises("qestrel.pool expected", qe.tape, 2)
  raises("more than 256", qe.tape, nil, 257)
  raises("0, expected at least 1", qe.tape, nil, 0)
  local pool = qe.pool(2)
  local t <close> = qe.tape(pool, 3)
  equal(t:constant(1, 1, 1):item(), 1)
  equal(pool:threads(), 2)
  raises("0, expected at least 1", qe.pool, 0)
  raises("more than 256", qe.pool, 257)
end)

support.finish()
