--- sampling - a softmax over many classes learned from a few of them at each step.
-- Li et al. 2018, Dynamic Importance Sampling for large-scale knowledge distillation (methods.md M7). The gradient
-- q - p is estimated by `samples` classes drawn from Q: both softmaxes are over exp(logit) / Q of what was drawn. Q is
-- fitted every `refit` steps to |p - q| by the teacher's rank on a few examples, so that it follows the training: first
-- the teacher's head and what the student over-rates, later the head alone. Two kinds of classes: the bins of a score
-- (more than 256), of which only the drawn rows of the head are read, written and moved, and which the pairs of a
-- step share, each weighed by what all of them draw; and, with lists, the candidates of one source, of which only
-- those drawn are encoded.
-- Pitfalls guarded against: no step costs O(bins); a part of Q is uniform, so that no weight explodes; a proposal by
-- the teacher alone (proposal=teacher) misses what the student over-rates, and is there to compare.
local distance = require "qestrel.distance"
local rows = require "qestrel.rows"
local sampling = require "qestrel.sampling"

local recipe = {
  name = "sampling",
  teacher = true,
  options = {
    { "samples", 1600, "bins drawn per step, which all its pairs share, or candidates per list; 0: all" },
    { "catch_up", 100.0, "steps that a bin's row catches up with, at most, when it is drawn after a while; 1: none" },
    { "lists", false, "classes are the candidates of one source; else the bins of a score" },
    { "sharpness", 10.0, "with lists: factor of the teacher's scores, in 0..1, as logits" },
    { "proposal", "dynamic", "dynamic, teacher or uniform" },
    { "uniform", 0.2, "part of the draws that is spread over all classes" },
    { "refit", 200, "steps between fits of the proposal" },
    { "probes", 8, "examples of a fit" },
  },
}

function recipe.setup(run)
  local o = run.options
  if not o.lists and o.bins <= 256 then error("sampling needs more than 256 bins, or --lists", 0) end
  run:scale_column("teacher", "teacher_target", "teacher_sigma", "teacher_spread")
  sampling.start(run)
  run.rows = rows.all(run)
  run.rows = rows.weigh(run, { teacher_target = 1 })
  run.told, run.list_of = run.train:column "teacher_target", {}
  local lists = o.lists and sampling.lists(run.train, run.told) or {}
  for i, list in ipairs(lists) do run.list_of[list[1]], lists[i] = list, list[1] end
  run.rows = o.lists and lists or run.rows
end

-- Rows of the head are drawn now and then; those that rarely are must not lag behind.
local function catch_up(run)
  local o = run.options
  if o.lists or o.optimiser ~= "adam" or not sampling.is_part(run, o.bins) then return end
  for _, name in ipairs { "head.weight", "head.bias" } do assert(run.optimiser:catch_up(name, o.catch_up)) end
end

function recipe.stages() return { { name = recipe.name, setup = catch_up } } end

local function sampled_bins(run, batch)
  local o, params, tape = run.options, run.student:params(), run.tape
  sampling.fit_bins(run, batch)
  local bins, told, log_q = sampling.bins(run, batch)
  local dropout = run:rng "student.dropout"
  local hidden = run.student:forward(tape, batch, { dropout = dropout, no_head = true }):tap "inputs"
  local weight, bias = params:tensor(tape, "head.weight"):gather(bins), params:tensor(tape, "head.bias"):gather(bins)
  local z = hidden:matmul(weight, "nt") + bias:transposed()
  local inverse = 1 / o.temperature
  return (told * inverse - log_q):kl(z * inverse - log_q):mean() * o.temperature ^ 2
end

local function sampled_lists(run, batch)
  sampling.fit_lists(run, batch)
  local drawn <close>, told, log_q, offsets = sampling.candidates(run, batch)
  local said = run:forward(drawn):tap "logits"
  local p, q = (told - log_q):segment_softmax(offsets), (said - log_q):segment_softmax(offsets)
  return (p * (p:clamp(1e-30, 1):log() - q:clamp(1e-30, 1):log())):sum() * (1 / #batch)
end

function recipe.loss(run, batch)
  if run.options.lists then return sampled_lists(run, batch) end
  if sampling.is_part(run, run.options.bins) then return sampled_bins(run, batch) end
  return distance.mixed(run, batch, { { "teacher_target", "teacher_spread" } })
end

return recipe
