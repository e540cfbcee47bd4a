--- gold - the student alone, on human scores: what every distilled student is compared with.
-- Gajbhiye et al. 2021, Knowledge Distillation for Quality Estimation (methods.md M1): mean squared error between the
-- sigmoid score and the gold score, scaled to 0..1 by its range on the training rows.
local distance = require "qestrel.distance"
local words = require "qestrel.words"

local gold = { name = "gold", options = words.options }

function gold.setup(run)
  words.setup(run)
  run:scale_column("gold", "target")
end

function gold.loss(run, batch)
  local pass = run:forward(batch)
  return words.add(run, batch, pass, distance.between(run, pass, batch, "target"):mean())
end

return gold
