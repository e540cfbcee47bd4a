-- students.lua - our side of students.sh: each shipped aligned student on pairs of its own languages, one core, texts
-- alone. Prints a line of JSON per model: pairs and words a second, and operations of its products.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"

local ROUNDS, FEWEST = 5, 4000

-- Multiplications and additions of all products of the pairs, by the words of their sides.
local function operations(model, data)
  local a, sum, rows = model:manifest().architecture, 0, {}
  for i = 1, data:rows() do rows[i] = i end
  local batch <close> = qe.batch(data, rows)
  local source, target = batch:segments(model, "source"):offsets(), batch:segments(model, "target"):offsets()
  local e, s, c, channels = a.embedding, a.states, a.comparison, 9
  local word = e * ((2 * a.window + 1) * e + e) + (e + channels) * s + (4 * s + channels) * c
  for i = 2, #source do
    local n, m = source[i] - source[i - 1], target[i] - target[i - 1]
    sum = sum + (n + m) * word + m * s * s + n * m * (e + 3 * s)
  end
  return 2 * sum
end

local function texts(folder)
  local data = qe.dataset()
  repeat
    for _, set in ipairs { "dev", "test20" } do
      local rows <close> = assert(evaluate.read(folder, set))
      local some <close> = evaluate.texts(rows)
      assert(data:append_all(some))
    end
  until data:rows() >= FEWEST
  return data
end

local function words(model, data)
  local rows, count = {}, 0
  for i = 1, data:rows() do rows[i] = i end
  local batch <close> = qe.batch(data, rows)
  for _, side in ipairs { "source", "target" } do
    local offsets = batch:segments(model, side):offsets()
    count = count + offsets[#offsets] - offsets[1]
  end
  return count
end

local models, root = arg[1], arg[2]
for i = 3, #arg do
  local pair, best = arg[i], math.huge
  local model <close> = assert(qe.open(("%s/%s.qe"):format(models, pair)))
  local data <close> = texts(root .. "/" .. pair)
  local scorer <close> = qe.scorer(model)
  for _ = 1, ROUNDS do
    local begin = qe.clock()
    scorer:score_dataset(data)
    best = math.min(best, qe.clock() - begin)
  end
  print(qe.json.encode {
    what = pair, pairs_per_second = data:rows() / best, microseconds = 1e6 * best / data:rows(),
    words_per_pair = words(model, data) / data:rows(), flops_per_second = operations(model, data) / best,
  })
end
