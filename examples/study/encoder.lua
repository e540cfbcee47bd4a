-- What a pretrained encoder gives the methods that need more of a teacher than one score: its hidden states, frozen and
-- fine-tuned, what its layers pass on, the checkpoints of its way, and its word beside that of others: XLM-R's (et-en)
-- and the decoder's own log-probability. --data is a folder that holds mlqe-pe/ and et-en-xlmr-teacher/. WORK in the
-- environment: where examples/mlqe/base.lua and teachers.lua have put their encoders; what is seen of them is kept
-- there. Scores of `encoder` are by models that have not seen a row, those of `tuned` by one that has, like XLM-R's.
-- Start it where examples/ is.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"

local WORK = os.getenv "WORK" or "./work"
local CHECKPOINTS = 3

local data = {}
for i, pair in ipairs { "et-en", "ne-en" } do
  data[i] = { name = pair, folder = "mlqe-pe/" .. pair,
              teachers = { encoder = ("./examples/mlqe/outputs/%s.train.tsv.gz"):format(pair) } }
end

local function known(value) return value == value end -- NaN is not

-- Scores in the unit of gold, on the straight line that fits it best; its mean where there is none.
local function in_its_unit(rows, scores)
  local gold, n, sx, sy, sxx, sxy, line = rows:column "gold", 0, 0, 0, 0, 0, {}
  for i, x in ipairs(scores) do
    if known(x) then n, sx, sy, sxx, sxy = n + 1, sx + x, sy + gold[i], sxx + x * x, sxy + x * gold[i] end
  end
  local slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
  for i, x in ipairs(scores) do line[i] = sy / n + (known(x) and slope * (x - sx / n) or 0) end
  return line
end

local function decoder(rows) return in_its_unit(rows, rows:column "model_scores") end

local function xlmr(rows, set, placed)
  if set.name ~= "et-en" then return rows:column "gold" end -- no method asks for it there
  assert(rows:read_scores(placed "et-en-xlmr-teacher/train.tsv", "xlmr"))
  return in_its_unit(rows, rows:column "xlmr")
end

local function checkpoint(number)
  return function(rows)
    local model <close> = assert(qe.open(("%s/base.f32.%d.qe"):format(WORK, number), 1 << 32))
    return evaluate.scores(model, evaluate.texts(rows))
  end
end

local teachers, way = { { name = "decoder", scores = decoder }, { name = "xlmr", scores = xlmr } }, {}
for number = 1, CHECKPOINTS do
  way[number] = "tuned@" .. number
  teachers[#teachers + 1] = { name = way[number], scores = checkpoint(number) }
end

-- Options of a method that looks into an archive of WORK.
local function looking(archive, options)
  return function(set)
    local own = { insides = ("%s/%s.qe"):format(WORK, archive), alpha = 0.5 }
    for name, value in pairs(options) do own[name] = value end
    own.store = ("%s/study.%s.%s.%s"):format(WORK, archive, own.state_epochs and "states" or "layers", set.name)
    return own
  end
end

local HALF, STATES, ESTONIAN = { alpha = 0.5 }, { state_epochs = 2 }, { "et-en" }
local ENCODER, TWO, THREE = { "encoder" }, { "encoder", "decoder" }, { "encoder", "xlmr", "decoder" }
return {
  seeds = 5,
  options = { epochs = 8, evaluations = 2, patience = 4 },
  data = data,
  teachers = teachers,
  methods = {
    { name = "gold", recipe = "gold" },
    { name = "kd", recipe = "kd", teachers = ENCODER, options = HALF },
    { name = "states, frozen", recipe = "states", teachers = ENCODER, options = looking("encoder", STATES) },
    { name = "states, tuned", recipe = "states", teachers = ENCODER, options = looking("base.f32", STATES) },
    { name = "lipschitz", recipe = "lipschitz", teachers = ENCODER, options = looking("base.f32", {}) },
    { name = "kd, tuned", recipe = "kd", teachers = { way[CHECKPOINTS] }, options = HALF },
    { name = "route", recipe = "route", teachers = way, options = { alpha = 0.5, epochs = 9 } },
    { name = "kd, two", recipe = "kd", teachers = TWO, options = HALF },
    { name = "reinforced, two", recipe = "reinforced", teachers = TWO },
    { name = "kd, three", recipe = "kd", teachers = THREE, options = HALF, data = ESTONIAN },
    { name = "reinforced, three", recipe = "reinforced", teachers = THREE, data = ESTONIAN },
  },
  compare = "kd",
}
