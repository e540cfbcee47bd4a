-- encoder.lua - our side of encoder.sh: pairs per second of the frozen forward and of fine-tuning. Prints JSON lines.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"

local PAIRS, ROUNDS, BATCH, STEPS = 256, 3, 16, 6

if arg[1] == "pairs" then
  local words = "the quick weather a of and river bridge stands near which old town people know since many years"
  local list, rng = {}, qe.rng(1, "pairs")
  for word in words:gmatch "%a+" do list[#list + 1] = word end
  for _ = 1, PAIRS do
    local sides = {}
    for side = 1, 2 do
      local text = {}
      for i = 1, 12 + rng:below(20) do text[i] = list[1 + rng:below(#list)] end
      sides[side] = table.concat(text, " ")
    end
    print(sides[1] .. "\t" .. sides[2])
  end
  return
end

local folder, path, work = arg[1], arg[2], arg[3]
local data = qe.dataset()
local gold = {}
for line in io.lines(path) do
  if data:rows() == PAIRS then break end
  data:append(line:match "^([^\t]*)\t([^\t]*)$")
  gold[data:rows()] = data:rows() % 7 / 7
end
data:set_column("gold", gold)
local model = assert(qe.import(folder, { prefix = "query: ", alignment = qe.json.array { 7, 11 } }, data,
  qe.rng(1, "import")))

-- Multiplications and additions of the layers that are needed, over all texts, alone.
local function flops()
  local rows, sum, c = {}, 0, model:manifest().architecture
  for i = 1, data:rows() do rows[i] = i end
  local batch <close> = qe.batch(data, rows)
  for _, side in ipairs { "source", "target" } do
    local offsets = batch:segments(model, side):offsets()
    for i = 2, #offsets do
      local n = offsets[i] - offsets[i - 1] + 5
      sum = sum + c.alignment[#c.alignment] * n * (8 * c.width ^ 2 + 4 * c.width * c.inner + 4 * n * c.width)
    end
  end
  return sum
end

local function show(what, pairs_, seconds, work_)
  print(qe.json.encode { what = what, pairs_per_second = pairs_ / seconds,
                         flops_per_second = work_ and work_ / seconds or nil })
end

model:prepare()
for threads = 1, 2 do
  local best, pool = math.huge, qe.pool(threads)
  for _ = 1, ROUNDS do
    local begin = qe.clock()
    evaluate.scores(model, data, pool)
    best = math.min(best, qe.clock() - begin)
  end
  show(("forward, %d thread%s"):format(threads, threads > 1 and "s" or ""), data:rows(), best, flops())
end
local out = assert(io.open(work .. "/scores", "w"))
for _, score in ipairs(evaluate.scores(model, data, qe.pool(2))) do
  out:write(("%.9g\n"):format(math.log(score / (1 - score))))
end
out:close()

local joint = assert(model:derive({ joint = true, alignment = qe.json.array {}, max_tokens = 250, dropout = 0.1 }, nil,
  qe.rng(1, "derive")))
local pool = qe.pool(2)
local tape, rng = qe.tape(pool, 2), qe.rng(1, "dropout")
local optimiser = qe.optimiser(joint:params(), { rule = "adam", weight_decay = 0.01 }, pool)
local best = math.huge
for step = 1, STEPS do
  local rows = {}
  for i = 1, BATCH do rows[i] = (step * BATCH + i) % data:rows() + 1 end
  local batch <close> = qe.batch(data, rows)
  local begin = qe.clock()
  tape:reset()
  local pass = joint:forward(tape, batch, { dropout = rng, frozen_layers = 1 })
  pass:tap("score"):squared_error(batch:column(tape, "gold")):mean():backward()
  assert(optimiser:step(6e-5))
  if step > 2 then best = math.min(best, qe.clock() - begin) end
end
show("fine-tuning, 2 threads", BATCH, best)
