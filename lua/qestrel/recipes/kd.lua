--- kd - plain knowledge distillation for quality estimation.
-- Gajbhiye et al. 2021 (methods.md M1):  L = alpha D(student, teacher) + (1 - alpha) D(student, gold)
-- over the gold rows and, where given, over augmentation rows that only the teacher has scored. alpha 1, the published
-- default, never looks at gold. Rows that one side does not know rely on the other. The noise filter keeps the rows
-- whose teacher sigma is at most the given quantile: of the augmentation rows, or of all where there are none.
-- Pitfalls guarded against: both targets are scaled on the training rows; a student is chosen by gold, not by teacher.
local distance = require "qestrel.distance"
local rows = require "qestrel.rows"
local words = require "qestrel.words"

local kd = {
  name = "kd",
  teacher = true,
  options = words.among {
    { "alpha", 1.0, "weight of the teacher; 1: teacher only, 0: gold only" },
    { "augment", "", "TSV of further pairs: source, translation, teacher_score and, if known, sigma" },
    { "keep", 1.0, "noise filter: quantile of the teacher's sigma up to which rows are kept" },
  },
}

function kd.setup(run)
  local alpha, first_new = run.options.alpha, run.train:rows() + 1
  words.setup(run)
  run:augment(run.options.augment)
  run:scale_column("gold", "gold_target")
  run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
  run.rows = rows.below_quantile(run, "teacher_sigma", run.options.keep, first_new)
  run.rows = rows.weigh(run, { teacher_target = alpha, gold_target = 1 - alpha })
end

function kd.loss(run, batch)
  local pass = run:forward(batch)
  local targets = { { "teacher_target", "teacher_spread" }, { "gold_target" } }
  return words.add(run, batch, pass, distance.mixed(run, batch, targets, pass))
end

return kd
