-- What is saved by keeping or computing less, on et-en: Pearson by the share of a teacher's states that is kept (Liu et
-- al. 2021), and time by the number of 10,000 bins that are drawn at each step (Li et al. 2018). --data is as for
-- mlqe.lua.
local methods, kept, drawn = {}, {}, {}
for _, share in ipairs { 0.01, 0.03, 0.1, 0.3, 1.0 } do
  kept[#kept + 1] = ("states, %g kept"):format(share)
  methods[#methods + 1] = { name = kept[#kept], recipe = "states", teachers = { "wide.qe" }, x = share,
                            options = { state_epochs = 2, alpha = 0.5, cells = share } }
end
for _, samples in ipairs { 30, 100, 300, 1000, 3000, 10000 } do
  drawn[#drawn + 1] = ("sampling, %d drawn"):format(samples)
  methods[#methods + 1] = { name = drawn[#drawn], recipe = "sampling", teachers = { "wide" }, x = samples,
                            options = { bins = 10000, epochs = 2, samples = samples < 10000 and samples or 0 } }
end
table.insert(methods, 1, { name = "kd", recipe = "kd", teachers = { "wide" }, options = { alpha = 0.5 } })

return {
  seeds = 3,
  options = { epochs = 8, evaluations = 2, patience = 4 },
  data = { { name = "et-en", folder = "mlqe-pe/et-en" } },
  teachers = { { name = "wide", recipe = "gold", options = { hidden = 100, attention = 150 }, folds = 4 } },
  methods = methods,
  compare = "kd",
  figures = {
    { name = "utility", kind = "line", methods = kept, x = "share of the cells that is kept", logarithmic = true,
      title = "et-en: hidden states, Pearson by what is kept" },
    { name = "cost", kind = "line", methods = drawn, x = "bins drawn at each step, of 10,000", y = "seconds",
      logarithmic = true, title = "et-en: time of two epochs by the number of bins drawn" },
  },
}
