--- branches - one student with several heads that learn from gold and, through a gate, from each other.
-- Li et al. 2021, Online Knowledge Distillation for Pose Estimation (methods.md M3). The ensemble is the gated
-- sum of what the heads say (scores; with bins, probabilities where the paper sums heat-maps):
--   L = sum_b D(head_b, gold) + ensemble D(e, gold) + kd r(epoch) sum_b D(head_b, e),  r = exp(-5 (1 - epoch / ramp)^2)
-- Head 1 is the student that is saved; the others and the gate are dropped. No outside teacher. Published code lets
-- the last term also move e; here e is detached unless detach=no.
-- Pitfalls guarded against: heads start differently, drop differently and see differently far; the shared states get
-- the gradient of all heads, so --share=no keeps them the student's own.
local qe = require "qestrel"
local branches = require "qestrel.branches"
local distance = require "qestrel.distance"

local recipe = {
  name = "branches",
  options = {
    { "branches", 3, "heads" },
    { "ensemble", 1.0, "weight of the ensemble's distance to gold" },
    { "kd", 1.0, "weight of the heads' distance to the ensemble" },
    { "ramp", 5, "epochs in which kd rises to its weight; 0: at once" },
    { "growth", 1.0, "width of a head as a multiple of the one before" },
    { "gate", true, "weigh heads by the pair; no: the plain mean" },
    { "detach", true, "the ensemble does not move towards the heads" },
    { "share", true, "all heads move the states; no: only the student's own" },
  },
}

function recipe.setup(run)
  local o = run.options
  run:scale_column("gold", "target")
  local params = branches.params(o, o.branches, o.growth, run:rng "branches")
  local optimiser = qe.optimiser(params, { rule = o.optimiser, weight_decay = o.decay }, run.pool)
  run.state.branches = { params = params, optimiser = optimiser }
end

--- Heads, gates and ensemble of a batch. With bins heads are logits, the ensemble their logarithms of probabilities.
function recipe.outputs(run, batch)
  local o, params, tape, pass = run.options, run.state.branches.params, run.tape, run:forward(batch)
  local states = branches.states(pass, batch, run.student, o.share)
  local heads, sum = { pass:tap(o.bins > 0 and "logits" or "score") }, nil
  for b = 2, o.branches do heads[b] = branches.head(params, tape, states, b, o, run:rng("dropout." .. b)) end
  local gates = o.gate and branches.gates(params, tape, states)
    or tape:constant(#batch, o.branches):affine(0, 1 / o.branches)
  for b, head in ipairs(heads) do
    local part = gates:columns(b, 1) * (o.bins > 0 and head:softmax() or head)
    sum = sum and sum + part or part
  end
  return heads, o.bins > 0 and sum:log() or sum, gates
end

--- How far kd has risen in an epoch.
function recipe.ramp(epoch, length)
  return length > 0 and math.exp(-5 * (1 - math.min(epoch, length) / length) ^ 2) or 1
end

function recipe.loss(run, batch)
  local o, heads, e = run.options, recipe.outputs(run, batch)
  local told, kd, loss = o.detach and e:detach() or e, o.kd * recipe.ramp(run:epoch(), o.ramp), nil
  for _, head in ipairs(heads) do
    local part = distance.of(run, batch, head, "target")
    if kd > 0 then part = part + (o.bins > 0 and told:kl(head) or head:squared_error(told)) * kd end
    loss = loss and loss + part:mean() or part:mean()
  end
  return o.ensemble > 0 and loss + distance.of(run, batch, e, "target"):mean() * o.ensemble or loss
end

function recipe.after(run, _, rate) assert(run.state.branches.optimiser:step(rate)) end

return recipe
