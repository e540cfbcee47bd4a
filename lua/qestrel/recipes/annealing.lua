--- annealing - a teacher whose logits grow from almost flat to what they are.
-- Jafari et al. 2021, Annealing Knowledge Distillation (methods.md M2). Stage 1: the temperature T falls from tau_max
-- to 1 in integer steps of equal length and L = || z_student - Phi(T) z_teacher ||^2, Phi(T) = 1 - (T - 1) / tau_max;
-- the student's logits are not tempered. Stage 2: from the best student of stage 1, gold alone at a lower rate.
-- Pitfalls guarded against: stage 1 cannot end early, so T reaches 1; the student is chosen by gold on dev; without
-- bins targets are centred (mu + Phi (z - mu)), or they would drift to one half; Pearson hardly sees Phi then.
local distance = require "qestrel.distance"
local rows = require "qestrel.rows"

local annealing = {
  name = "annealing",
  teacher = true,
  options = {
    { "tau_max", 7, "temperature at the start; 1: no annealing" },
    { "phi", 0.0, "Phi that is kept instead of annealed (a control); 0: annealed" },
    { "fine_epochs", 5, "epochs of stage 2" },
    { "fine_rate", 0.0003, "learning rate of stage 2" },
  },
}

--- Phi in an epoch (from 1) of stage 1.
function annealing.phi(epoch, epochs, tau_max)
  local temperature = tau_max - (epoch - 1) * tau_max // epochs
  return 1 - (temperature - 1) / tau_max
end

function annealing.setup(run)
  local o = run.options
  if o.tau_max < 1 or o.tau_max > o.epochs then
    error(("--tau-max=%d: expected 1 to the number of epochs, %d"):format(o.tau_max, o.epochs), 0)
  end
  run:scale_column("gold", "target")
  run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
  run.rows = rows.all(run)
  annealing.mean(run)
end

-- mu: the log odds of the mean target, for a score without bins.
function annealing.mean(run)
  local sum, count = 0, 0
  for _, value in ipairs(run.train:column "teacher_target") do
    if value == value then sum, count = sum + value, count + 1 end
  end
  run.mu = run.options.bins == 0 and math.log(sum / (count - sum)) or 0
end

local function anneal(run, batch)
  local o = run.options
  local phi = o.phi > 0 and o.phi or annealing.phi(run:epoch(), o.epochs, o.tau_max)
  local teacher = distance.logits(run, batch, "teacher_target", "teacher_spread")
  return run:forward(batch):tap("logits"):squared_error(teacher:affine(phi, (1 - phi) * run.mu)):mean()
end

local function fine_tune(run, batch)
  return distance.between(run, run:forward(batch), batch, "target"):mean()
end

function annealing.stages(run)
  local known = rows.weigh(run, { teacher_target = 1 })
  return {
    { name = "annealing", rows = known, patience = math.huge, loss = anneal },
    { name = "fine-tuning", epochs = run.options.fine_epochs, rate = run.options.fine_rate, loss = fine_tune },
  }
end

return annealing
