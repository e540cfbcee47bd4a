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

-- As in models/, but without log-probabilities and tags of words.
local function aligned(alpha)
  return function(set)
    return { student = "aligned", init = ("%s/vectors.%s.qe"):format(WORK, set.name),
             parallel = ("%s/post-edits.%s.tsv"):format(WORK, set.name), embedding = 64, window = 2, states = 128,
             comparison = 64, epochs = 20, patience = 20, dropout = 0.4, rate = 0.0012, word_rate = 0.0, alpha = alpha }
  end
end

local function birnn(alpha) return { epochs = 8, evaluations = 2, patience = 4, alpha = alpha } end

local methods = {}
for _, kind in ipairs { { "aligned", aligned }, { "BiRNN", birnn } } do
  local name, options = table.unpack(kind)
  methods[#methods + 1] = { name = name .. ", gold", recipe = "kd", teachers = { "encoder" }, options = options(0.0) }
  methods[#methods + 1] = { name = name .. ", kd", recipe = "kd", teachers = { "encoder" }, options = options(0.5) }
end

return { seeds = 5, data = data, methods = methods, compare = "aligned, gold" }
