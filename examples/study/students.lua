-- What a teacher's scores are worth to a student beside human ones: both kinds of student, texts alone, all pairs.
-- --data is a folder that holds mlqe-pe/. WORK in the environment: where examples/mlqe/students.lua has put vectors and
-- post-edits. Teachers have not seen the rows that they judge (examples/mlqe/teachers.md). Start it where examples/ is.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local student = dofile(here .. "/../mlqe/student.lua")
local WORK = os.getenv "WORK" or "./work"
if not WORK:match "^%.?/" then WORK = "./" .. WORK end

local data = {}
for i, pair in ipairs { "ro-en", "et-en", "ne-en", "si-en", "ru-en", "en-de", "en-zh" } do
  data[i] = { name = pair, folder = "mlqe-pe/" .. pair,
              teachers = { encoder = ("./examples/mlqe/outputs/%s.train.tsv.gz"):format(pair) } }
end

-- As in models/, but without log-probabilities, trees and tags of words.
local function aligned(taught)
  return function(set)
    local options = student.options(set.name)
    for name, value in pairs(student.words(set.name, 64)) do options[name] = value end
    options.init = ("%s/vectors.%s.qe"):format(WORK, set.name)
    options.parallel = ("%s/post-edits.%s.tsv"):format(WORK, set.name)
    if not taught then options.alpha = 0.0 end
    return options
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
