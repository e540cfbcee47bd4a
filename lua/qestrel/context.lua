--- Words in context: the encoder (--context=FILE.qe) under an aligned student. States of its words are turned onto the
-- axes in which they differ most, which stay as they are, and are computed once for all rows; training reads them from
-- a store. Where the encoder is itself a judge, it keeps a say in the score, as much as dev rows ask for.
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

--- What is computed of some rows when they are passed through the student.
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
  for _, side in ipairs(SIDES) do
    model:params():set_matrix(side .. ".embedding", run.encoder.axes.axes)
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

local SHARE = 100

--- The student's own scores of dev rows, from what was read of them.
-- @param data run.dev, or the same rows without log-probabilities
function context.own_scores(run, data)
  local tape <close>, scores = qe.tape(run.pool), {}
  for first = 1, data:rows(), SHARE do
    local numbers = {}
    for row = first, math.min(first + SHARE - 1, data:rows()) do numbers[#numbers + 1] = row end
    local batch <close> = qe.batch(data, numbers)
    tape:reset()
    local options = context.given(tape, run.encoder.dev, batch, run.student)
    options.no_gradient = true
    local found = run.student:forward(tape, batch, options):tap("score"):values()
    table.move(found, 1, #found, #scores + 1, scores)
  end
  return scores
end

-- Coefficients of the two that explain gold best, by least squares.
local function weights(own, said, gold)
  local n, s = #gold, { 0, 0, 0, 0, 0, 0, 0, 0 }
  for i = 1, n do
    local x, y, z = own[i], said[i], gold[i]
    for k, term in ipairs { x, y, z, x * x, x * y, y * y, x * z, y * z } do s[k] = s[k] + term end
  end
  local xx, xy, yy = s[4] - s[1] ^ 2 / n, s[5] - s[1] * s[2] / n, s[6] - s[2] ^ 2 / n
  local xz, yz = s[7] - s[1] * s[3] / n, s[8] - s[2] * s[3] / n
  local determinant = xx * yy - xy * xy
  if determinant <= 1e-9 * xx * yy then return 1, 0 end
  return (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
end

local function joined(first, second)
  return table.move(second, 1, #second, #first + 1, table.move(first, 1, #first, 1, {}))
end

--- Describes in the manifest how much of the encoder's own score is added, as dev rows ask for, and gives the raw
-- scores of these rows that calibration is fitted on: with log-probabilities, then, where it can do without, without.
-- @return list, or nothing if words are not read in context
function context.scores(run)
  if not run.encoder then return nil end
  local student = run.student
  local own, said, gold = {}, {}, {}
  local texts <close> = evaluate.texts(run.dev)
  for _, data in ipairs(student:decoder_inputs() > 0 and { run.dev, texts } or { texts }) do
    own = joined(own, context.own_scores(run, data))
    local heard = run.encoder.model:decoder_inputs() > 0 and data or texts
    said = joined(said, evaluate.scores(run.encoder.model, heard, run.pool))
    gold = joined(gold, run.dev:column "gold")
  end
  local a, b = weights(own, said, gold)
  local judges = run.encoder.model:manifest().architecture.joint
  local weight = judges and a > 0 and b > 0 and b / a or 0.0
  run:say("the encoder's own score is added with weight %.3f", weight)
  assert(student:describe { score = { context = weight } })
  run.encoder.weight, run.encoder.said = weight, said
  for i = 1, #own do own[i] = own[i] + weight * said[i] end
  return own
end

--- Scores of dev rows as the archive will give them, but for rounding: after `context.scores` and calibration.
function context.dev_scores(run)
  local score, own = run.student:manifest().score, context.own_scores(run, run.dev)
  for i = 1, #own do own[i] = score.shift + score.scale * (own[i] + run.encoder.weight * run.encoder.said[i]) end
  return own
end

return context
