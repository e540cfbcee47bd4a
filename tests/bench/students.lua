-- students.lua - our side of students.sh: each shipped aligned student on pairs of its own languages, one core, texts
-- alone. Prints a line of JSON per model: pairs and words a second, operations of its products, and the time of a pair
-- that is one of eight candidates for a source, the translation with words in other places.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"

local ROUNDS, FEWEST, CANDIDATES = 5, 4000, 8

local CHANNELS = 9 -- what is known of a word beside its embedding (aligned.h)

-- Multiplications and additions of all the pairs' products, by the words of their sides, and how many words there are.
local function work_of(model, data)
  local a, sum, count, rows = model:manifest().architecture, 0, 0, {}
  for i = 1, data:rows() do rows[i] = i end
  local batch <close> = qe.batch(data, rows)
  local source, target = batch:segments(model, "source"):offsets(), batch:segments(model, "target"):offsets()
  local e, s, c = a.embedding, a.states, a.comparison
  local word = e * ((2 * a.window + 1) * e + e) + (e + CHANNELS) * s + (4 * s + CHANNELS) * c
  for i = 2, #source do
    local n, m = source[i] - source[i - 1], target[i] - target[i - 1]
    sum = sum + (n + m) * word + m * s * s + n * m * (e + 3 * s)
    count = count + n + m
  end
  return 2 * sum, count
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

-- As many pairs, in lists: of each translation and what comes of it when two words change places.
local function lists(data)
  local listed = qe.dataset()
  for row = 1, data:rows() // CANDIDATES do
    local source, translation = data:pair(row)
    local words = {}
    for word in translation:gmatch "%S+" do words[#words + 1] = word end
    for k = 1, CANDIDATES do
      listed:append(source, table.concat(words, " "))
      local i, j = k % #words + 1, k * 3 % #words + 1
      words[i], words[j] = words[j], words[i]
    end
  end
  return listed
end

-- Microseconds of a pair, in the fastest of some rounds.
local function measured(scorer, data)
  local best = math.huge
  for _ = 1, ROUNDS do
    local begin = qe.clock()
    scorer:score_dataset(data)
    best = math.min(best, qe.clock() - begin)
  end
  return 1e6 * best / data:rows()
end

local models, root = arg[1], arg[2]
for i = 3, #arg do
  local pair = arg[i]
  local model <close> = assert(qe.open(("%s/%s.qe"):format(models, pair)))
  local data <close> = texts(root .. "/" .. pair)
  local listed <close> = lists(data)
  local scorer <close> = qe.scorer(model)
  local microseconds = measured(scorer, data)
  local operations, words = work_of(model, data)
  print(qe.json.encode {
    what = pair, microseconds = microseconds, pairs_per_second = 1e6 / microseconds,
    list_microseconds = measured(scorer, listed), words_per_pair = words / data:rows(),
    flops_per_second = 1e6 * operations / data:rows() / microseconds,
  })
end
