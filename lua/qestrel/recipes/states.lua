--- states - the teacher's hidden states first, a small part of them, from a store; then its scores.
-- Liu et al. 2021, Marginal Utility Diminishes (methods.md M6). Stage 1: the mean over layers of the squared error
-- between the student's states, through a linear projection that is dropped afterwards, and what was kept of the
-- teacher's, a --teacher=FILE.qe or --insides=FILE.qe that reads the same tokens (or an encoder: means over texts).
-- Stage 2: kd. States are compressed along depth (--layers from the top), length (--tokens, by the teacher's attention)
-- and width (--cells, the largest values of each text), and kept in --store=FILE or in memory; where the file is there,
-- the teacher is not needed and scores may come from a TSV.
-- Published code pulls what was not kept to 0 (zero=true) and, for regression, fits gold in stage 2 (alpha=0); here
-- unknown cells are left out and the teacher is fitted.
-- Pitfalls guarded against: the projection is linear and decays; the end of stage 1 is kept, not its best on dev, whose
-- head has not learned yet.
local qe = require "qestrel"
local hidden = require "qestrel.hidden"
local kd = require "qestrel.recipes.kd"
local teacher = require "qestrel.teacher"

local recipe = {
  name = "states",
  teacher = true,
  options = teacher.looking {
    { "cells", 0.1, "share of the cells of kept tokens that is kept" },
    { "tokens", 0, "kept of each text; 0: all" },
    { "layers", 2, "from the top: projected states, GRU states, embeddings" },
    { "random", false, "keep cells at random (a control)" },
    { "zero", false, "pull cells that were not kept to 0" },
    { "state_epochs", 3, "epochs of stage 1; 0: none" },
    table.unpack(kd.options), -- of stage 2
  },
}

function recipe.setup(run)
  run.places = hidden.places(run.options.layers)
  if run.options.state_epochs > 0 then run.stores, run.unit = hidden.of(run, run.places) end
  kd.setup(run)
end

local function match(run, batch)
  local pass, sum = run:forward(batch), nil
  for k, place in ipairs(run.places) do
    local states, segments = pass:tap(place.tap), batch:segments(run.student, place.side)
    if run.unit == "text" then states, segments = hidden.of_texts(states, segments) end
    local projected = states:matmul(run.state.projections.params:tensor(run.tape, place.tap))
    local term = hidden.distance(run.tape, projected, run.stores[k], batch:rows(), segments, run.options.zero)
    sum = sum and sum + term or term
  end
  return sum * (1 / #run.places)
end

local function project(run)
  local params, rng, o = qe.params(), run:rng "projections", run.options
  local widths = { embedding = o.embedding, states = 2 * o.hidden, projected = o.attention }
  for k, place in ipairs(run.places) do
    local from = widths[place.tap:match "%a+$"]
    params:add(place.tap, from, run.stores[k]:width())
    params:uniform(place.tap, 1 / math.sqrt(from), rng)
  end
  run.state.projections = { params = params, optimiser = qe.optimiser(params, { rule = "adam", weight_decay = 0.01 }) }
end

function recipe.stages(run)
  local states = { name = "states", epochs = run.options.state_epochs, loss = match, setup = project, last = true }
  local scores = { name = "scores", loss = kd.loss }
  return run.options.state_epochs > 0 and { states, scores } or { scores }
end

function recipe.after(run, _, rate)
  if run.state.projections and run.state.stage == 1 then assert(run.state.projections.optimiser:step(rate)) end
end

return recipe
