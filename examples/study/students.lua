-- What a teacher's scores are worth to a student beside human ones: both kinds of student, texts alone, all pairs.
-- --data is a folder that holds mlqe-pe/. WORK in the environment: where examples/mlqe/students.lua has put vectors and
-- post-edits. Teachers have not seen the rows that they judge (examples/mlqe/teachers.md). Start it where examples/ is.
local WORK = os.getenv "WORK" or "./work"
if not WORK:match "^%.?/" then WORK = "./" .. WORK end

local data = {}
for i, pair in ipairs { "ro-en", "et-en", "ne-en", "si-en", "ru-en", "en-de", "en-zh" } do
  data[i] = { name = pair, folder = "mlqe-pe/" .. pair,
              teachers = { encoder = ("./examples/mlqe/outputs/%s.train.tsv.gz"):format(pair) } }
end

-- As in models/ (examples/mlqe/students.lua), but without log-probabilities and tags of words.
local function aligned(taught)
  return function(set)
    local hashed = set.name:match "^en%-" or set.name == "ro-en"
    return { student = "aligned", init = ("%s/vectors.%s.qe"):format(WORK, set.name),
             parallel = ("%s/post-edits.%s.tsv"):format(WORK, set.name), embedding = 64, window = 2, epochs = 20,
             patience = 20, rate = 0.0012, word_rate = 0.0, vocabulary = hashed and "ngrams" or "counted",
             words = 65536, minimum = 5, states = hashed and 128 or 96, comparison = hashed and 64 or 48,
             dropout = hashed and 0.4 or 0.3, alpha = taught and (hashed and 0.5 or 0.3) or 0.0 }
  end
end

local function birnn(taught) return { epochs = 8, evaluations = 2, patience = 4, alpha = taught and 0.5 or 0.0 } end

local methods = {}
for _, kind in ipairs { { "aligned", aligned }, { "BiRNN", birnn } } do
  local name, options = table.unpack(kind)
  methods[#methods + 1] = { name = name .. ", gold", recipe = "kd", teachers = { "encoder" }, options = options(false) }
  methods[#methods + 1] = { name = name .. ", kd", recipe = "kd", teachers = { "encoder" }, options = options(true) }
end

return { seeds = 5, data = data, methods = methods, compare = "aligned, gold" }
