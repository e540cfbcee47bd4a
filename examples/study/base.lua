-- What a teacher's scores are worth to the aligned students of the base student, whose words are read in context and
-- to whose score its judge adds its own: texts alone, two pairs. The judge is the same for all (it learned from half
-- of them). --data is a folder that holds mlqe-pe/. WORK in the environment: where examples/mlqe/base.lua has put its
-- judge and post-edits. Start it where examples/ is.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local student = dofile(here .. "/../mlqe/student.lua")
local WORK = os.getenv "WORK" or "./work"

local data = {}
for i, pair in ipairs { "et-en", "ne-en" } do
  data[i] = { name = pair, folder = "mlqe-pe/" .. pair,
              teachers = { encoder = ("./examples/mlqe/outputs/%s.train.tsv.gz"):format(pair) } }
end

local function options(taught)
  return function(set)
    local own = { context = WORK .. "/base.judge.qe",
                  parallel = ("%s/post-edits.%s.tsv"):format(WORK, set.name) }
    for name, value in pairs(student.in_context()) do own[name] = value end
    if not taught then own.alpha = 0.0 end
    return own
  end
end

return {
  seeds = 2,
  data = data,
  methods = {
    { name = "gold", recipe = "kd", teachers = { "encoder" }, options = options(false) },
    { name = "kd", recipe = "kd", teachers = { "encoder" }, options = options(true) },
  },
  compare = "gold",
}
