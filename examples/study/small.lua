-- A small study on made-up text (generate.lua writes it): gold, distillation from a teacher that is built here, and
-- some of the methods. Seconds, not hours.
return {
  seeds = 3,
  options = { buckets = 1024, embedding = 12, hidden = 12, attention = 16, epochs = 8, evaluations = 2, patience = 99,
              rate = 0.003, dropout = 0.1, storage = "f32" },
  data = { { name = "made-up", train = "train.tsv", dev = "dev.tsv", test = "test.tsv" } },
  teachers = { { name = "wide", recipe = "gold", options = { hidden = 32, embedding = 24, epochs = 12 }, folds = 3,
                 anchors = { 2, 6 } } },
  methods = {
    { name = "gold", recipe = "gold" },
    { name = "kd", recipe = "kd", teachers = { "wide" }, options = { alpha = 0.5 } },
    { name = "annealing", recipe = "annealing", teachers = { "wide" }, options = { tau_max = 4, fine_epochs = 3 } },
    { name = "route", recipe = "route", teachers = { "wide@1", "wide@2", "wide" }, options = { epochs = 9 } },
    { name = "states", recipe = "states", teachers = { "wide.qe" }, options = { state_epochs = 3 } },
  },
  compare = "kd",
  figures = {
    { name = "learning", kind = "curve", title = "Dev Pearson while learning",
      methods = { "gold", "kd", "annealing" } },
    { name = "differences", kind = "bars", methods = { "gold", "annealing", "route", "states" },
      title = "Pearson on test, difference to kd" },
  },
}
