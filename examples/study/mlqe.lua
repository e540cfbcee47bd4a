-- All methods on five language pairs of MLQE-PE. --data is a folder that holds mlqe-pe/ and et-en-xlmr-teacher/.
-- Teachers: a student twice as wide, trained on gold in four folds, so that no row's score comes from a model that saw
-- it; its states and checkpoints come from the model of all rows. On et-en kd has XLM-R's scores as well (in-sample),
-- and ten seeds, the others three.
local pairs_ = { "et-en", "ro-en", "ne-en", "si-en", "ru-en" }
local data = {}
for i, name in ipairs(pairs_) do
  local outside = name == "et-en"
  data[i] = { name = name, folder = "mlqe-pe/" .. name, seeds = not outside and 3 or nil,
              teachers = outside and { xlmr = "et-en-xlmr-teacher/train.tsv" } or nil }
end

return {
  seeds = 10,
  options = { epochs = 8, evaluations = 2, patience = 4 },
  data = data,
  teachers = { { name = "wide", recipe = "gold", options = { hidden = 100, attention = 150 }, folds = 4,
                 anchors = { 1, 2 } } },
  methods = {
    { name = "gold", recipe = "gold" },
    { name = "kd", recipe = "kd", teachers = { "wide" }, options = { alpha = 0.5 } },
    { name = "kd, XLM-R", recipe = "kd", teachers = { "xlmr" }, data = { "et-en" } },
    { name = "annealing", recipe = "annealing", teachers = { "wide" },
      options = { tau_max = 4, epochs = 5, fine_epochs = 3, bins = 20 } },
    { name = "branches", recipe = "branches", options = { bins = 20 } },
    { name = "reinforced", recipe = "reinforced", teachers = { "wide", "wide@1" } },
    { name = "states", recipe = "states", teachers = { "wide.qe" }, options = { state_epochs = 2, alpha = 0.5 } },
    { name = "codistillation", recipe = "codistillation", options = { shards_of_data = false, burn_in = 200 } },
    { name = "levels, instance", recipe = "levels", teachers = { "wide" },
      options = { universe = false, domain = false, bins = 20 } },
    { name = "levels, no domain", recipe = "levels", teachers = { "wide" }, options = { domain = false, bins = 20 } },
    { name = "levels, no instance", recipe = "levels", teachers = { "wide" },
      options = { instance = false, bins = 20 } },
    { name = "route", recipe = "route", teachers = { "wide@1", "wide@2", "wide" },
      options = { alpha = 0.5, epochs = 9 } },
    { name = "lipschitz", recipe = "lipschitz", teachers = { "wide.qe" }, options = { alpha = 0.5 } },
    { name = "metadistil", recipe = "metadistil", teachers = { "wide.qe" } },
  },
  compare = "kd",
  figures = {
    { name = "learning", kind = "curve", methods = { "gold", "kd", "states", "annealing", "codistillation" },
      title = "et-en: dev Pearson while learning" },
    { name = "differences", kind = "bars", data = "ro-en", title = "ro-en: Pearson on test20, difference to kd",
      methods = { "gold", "annealing", "branches", "reinforced", "states", "codistillation", "levels, instance",
                  "route", "lipschitz", "metadistil" } },
    { name = "factorial", kind = "bars", data = "et-en", title = "et-en: levels of distillation, difference to kd",
      methods = { "gold", "levels, instance", "levels, no domain", "levels, no instance" } },
  },
}
