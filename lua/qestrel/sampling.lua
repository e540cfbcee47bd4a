--- Drawing a few classes of many for a softmax (Li et al. 2018; methods.md M7). Classes are the bins of a score, or the
-- candidates of a list, ranked by the teacher; what is drawn follows how far the student is from the teacher at each
-- rank, measured exactly on a few examples every `refit` steps. The fit lives in run.state.masses.
-- @module qestrel.sampling
local qe = require "qestrel"
local distance = require "qestrel.distance"

local sampling = {}

-- The proposal over so many classes, from the last fit.
local function proposal(run, classes)
  local masses, groups = run.state.masses, qe.proposal_groups(classes)
  if run.fitted ~= masses.step then run.proposals, run.fitted = {}, masses.step end
  if not run.proposals[classes] then
    local own = {}
    for i = 1, groups do own[i] = masses.by_group[i] or 0.0 end
    run.proposals[classes] = qe.proposal(classes, #masses.by_group > 0 and own or nil, run.options.uniform)
  end
  return run.proposals[classes]
end

--- Whether so many classes are more than are drawn.
function sampling.is_part(run, classes) return run.options.samples > 0 and run.options.samples < classes end

-- ---- fits ----

local function due(run)
  local o, step = run.options, run.state.loop.step
  return o.samples > 0 and o.proposal ~= "uniform" and step % o.refit == 0 and run.state.masses.step ~= step
end

-- Masses by rank, of logits examples x classes.
local function masses_of(run, told, said)
  return qe.proposal_masses(told:softmax(), run.options.proposal == "dynamic" and said:softmax() or nil)
end

-- Keeps the mean over several examples.
local function keep(run, list)
  local mean = {}
  for _, own in ipairs(list) do
    for i, mass in ipairs(own) do mean[i] = (mean[i] or 0.0) + mass / #list end
  end
  run.state.masses = { step = run.state.loop.step, by_group = mean }
end

--- Before the first fit: everything alike.
function sampling.start(run) run.state.masses = { step = -1, by_group = {} } end

--- Fits to bins of the first pairs of a batch, when it is time.
function sampling.fit_bins(run, batch)
  if not due(run) then return end
  local few <close> = qe.batch(run.train, table.move(batch:rows(), 1, math.min(run.options.probes, #batch), 1, {}))
  local said = run.student:forward(run.tape, few, { no_gradient = true }):tap "logits"
  keep(run, { masses_of(run, distance.logits(run, few, "teacher_target", "teacher_spread"), said) })
end

-- The teacher's logits of rows, rows x 1.
local function told_of(run, rows)
  local told = {}
  for i, row in ipairs(rows) do told[i] = run.options.sharpness * run.told[row] end
  return run.tape:constant(#rows, 1, told)
end

--- Fits to the first lists of a batch, when it is time.
function sampling.fit_lists(run, batch)
  if not due(run) then return end
  local masses = {}
  for i, first in ipairs(batch:rows()) do
    if i > run.options.probes then break end
    local all <close> = qe.batch(run.train, run.list_of[first])
    local said = run.student:forward(run.tape, all, { no_gradient = true }):tap "logits"
    masses[i] = masses_of(run, told_of(run, run.list_of[first]):transposed(), said:transposed())
  end
  keep(run, masses)
end

-- ---- draws ----

--- Draws bins for the pairs of a batch, which share them all; targets are Gaussians around the teacher's scores.
-- @return bins; the targets' logits, pairs x bins, and the logarithms of what each was drawn with, 1 x bins
function sampling.bins(run, batch)
  local o, values, centres, narrow = run.options, batch:column(run.tape, "teacher_target"), {}, {}
  local list = values:values()
  local bins, log_q = proposal(run, o.bins):draw_bins(run:rng "sampling", list, o.samples)
  for i, bin in ipairs(bins) do centres[i] = (bin - 0.5) / o.bins end
  for i, spread in ipairs(distance.spreads(run, batch, "teacher_spread", #list)) do narrow[i] = 1 / spread end
  local inverse = run.tape:constant(#list, 1, narrow)
  local distances = inverse:matmul(run.tape:constant(1, #bins, centres)) - values * inverse
  return bins, distances:square() * -0.5, run.tape:constant(1, #bins, log_q)
end

--- Rows of the training data with the same source, each list with the teacher's best first. Lists of one are left out.
function sampling.lists(data, scores)
  local by_source, lists, kept = {}, {}, {}
  for row = 1, data:rows() do
    local source = data:pair(row)
    if not by_source[source] then
      by_source[source] = {}
      lists[#lists + 1] = by_source[source]
    end
    table.insert(by_source[source], row)
  end
  for _, list in ipairs(lists) do
    table.sort(list, function(a, b) return scores[a] > scores[b] or (scores[a] == scores[b] and a < b) end)
    if #list > 1 then kept[#kept + 1] = list end
  end
  return kept
end

-- Candidates of one list (all of it, each once, where no more are drawn than it has), and what each was drawn with.
local function draw(run, list)
  local rows, zeros = {}, {}
  if not sampling.is_part(run, #list) then
    for i in ipairs(list) do zeros[i] = 0.0 end
    return list, zeros
  end
  local ranks, log_q = proposal(run, #list):draw(run:rng "sampling", run.options.samples)
  for i, rank in ipairs(ranks) do rows[i] = list[rank] end
  return rows, log_q
end

--- Draws candidates of the lists of a batch.
-- @return a batch of them, the teacher's logits, the logarithms of what each was drawn with, and where lists begin
function sampling.candidates(run, batch)
  local drawn, all_q, offsets = {}, {}, { 0 }
  for _, first in ipairs(batch:rows()) do
    local rows, log_q = draw(run, run.list_of[first])
    table.move(rows, 1, #rows, #drawn + 1, drawn)
    table.move(log_q, 1, #log_q, #all_q + 1, all_q)
    offsets[#offsets + 1] = #drawn
  end
  return qe.batch(run.train, drawn), told_of(run, drawn), run.tape:constant(#drawn, 1, all_q), offsets
end

return sampling
