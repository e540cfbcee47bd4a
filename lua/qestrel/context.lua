--- Words in context: the encoder (--context=FILE.qe) under an aligned student. States of its words are turned onto the
-- axes in which they differ most, which stay as they are, and are computed once for all rows; training reads them from
-- a store. Where the encoder is itself a judge, it keeps a say in the score (qestrel.voices).
-- @module qestrel.context
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local rows = require "qestrel.rows"
local taps = require "qestrel.taps"
local vectors = require "qestrel.vectors"

local context = {}

local SIDES, SAMPLE = { "source", "target" }, 1500

--- Opens the encoder that --context names, for a run; nothing without the option.
-- @return true, or nil and a message
function context.open(run)
  local path, layer = run.options.context, run.options.context_layer
  if path == "" then return true end
  if run.options.student ~= "aligned" then return nil, "--context is for --student=aligned" end
  local encoder, problem = qe.open(path, 1 << 32)
  if not encoder then return nil, problem end
  local layers = taps.layers(encoder)
  if not layers then return nil, path .. ": no encoder" end
  run.encoder = { model = encoder, layer = layer > 0 and layer or taps.middle(layers),
                  width = encoder:manifest().architecture.width }
  return true
end

-- What is computed of some rows when they are passed through the student.
local function visit(run, model, data, see)
  evaluate.passes(model, data, run.pool, see, { no_gradient = true, no_head = true })
end

-- Axes and, per side, where zero is on them.
local function axes_of(run, model)
  local sample <close> = qe.dataset()
  for _, row in ipairs(rows.sample(rows.all(run), SAMPLE, run:rng "context")) do
    local source, translation = run.train:pair(row)
    sample:append(source, translation)
  end
  local found = vectors.moments(function(see)
    visit(run, model, sample, function(pass)
      for _, side in ipairs(SIDES) do see(side, pass:tap(side .. ".read")) end
    end)
  end)
  local axes, share = vectors.unit_axes(found, run.options.embedding, run:rng "context")
  run:say("%d axes hold %.0f %% of the variance of words' states", run.options.embedding, 100 * share)
  local centers = {}
  local tape <close> = qe.tape()
  for _, side in ipairs(SIDES) do
    local mean = tape:constant(1, found.width, found.means[side])
    centers[side] = (-mean:matmul(tape:constant(found.width, run.options.embedding, axes))):values()
  end
  return { axes = axes, centers = centers }
end

--- Gives a model of the run its encoder, and the axes that all of them share.
function context.attach(run, model)
  assert(model:set_context(run.encoder.model))
  run.encoder.axes = run.encoder.axes or axes_of(run, model)
  model:params():set_matrix("source.embedding", run.encoder.axes.axes)
  for _, side in ipairs(SIDES) do
    model:params():set_matrix(side .. ".center", run.encoder.axes.centers[side])
  end
end

local function collect(run, data)
  local stores = { source = qe.states(run.options.embedding), target = qe.states(run.options.embedding) }
  visit(run, run.student, data, function(pass, batch)
    for _, side in ipairs(SIDES) do
      assert(stores[side]:add(pass:tap(side .. ".embedding"), nil, batch:segments(run.student, side), { share = 1 }))
    end
  end)
  return stores
end

--- Reads all rows of a run, when its data are complete.
function context.read(run)
  if not run.encoder then return end
  local begin = qe.clock()
  run.encoder.train, run.encoder.dev = collect(run, run.train), collect(run, run.dev)
  local count, minutes = run.train:rows() + run.dev:rows(), (qe.clock() - begin) / 60
  run:say("words of %d rows read in context: %.1f minutes", count, minutes)
end

--- Options of a pass that begins with what was read of these rows.
function context.given(tape, stores, batch, model)
  local options = {}
  for _, side in ipairs(SIDES) do
    options[side .. "_embedding"] = stores[side]:target(tape, batch:rows(), batch:segments(model, side))
  end
  return options
end

local function append(list, values)
  table.move(values, 1, #values, #list + 1, list)
end

--- The student's own scores of dev rows, from what was read of them.
-- @param data run.dev, or the same rows without log-probabilities
function context.own_scores(run, data)
  local scores = {}
  evaluate.passes(run.student, data, run.pool, function(pass)
    append(scores, pass:tap("score"):values())
  end, function(tape, batch)
    local options = context.given(tape, run.encoder.dev, batch, run.student)
    options.no_gradient = true
    return options
  end)
  return scores
end

--- Whether its own score may count: it reads both texts.
function context.judges(run)
  return run.encoder.model:manifest().architecture.joint
end

--- The encoder's own scores of dev rows.
-- @param data run.dev, or `texts`, the same rows without log-probabilities
function context.said(run, data, texts)
  local heard = run.encoder.model:decoder_inputs() > 0 and data or texts
  return evaluate.scores(run.encoder.model, heard, run.pool)
end

return context
