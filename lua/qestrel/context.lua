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

-- The line that explains gold best: gold = shift + scale (own + weight * said), by least squares.
-- @param numbers of the rows that count
-- @param judges whether what is said may count
local function line_of(own, said, gold, numbers, judges)
  local n, s = #numbers, { 0, 0, 0, 0, 0, 0, 0, 0 }
  for _, i in ipairs(numbers) do
    local x, y, z = own[i], said[i], gold[i]
    for k, term in ipairs { x, y, z, x * x, x * y, y * y, x * z, y * z } do s[k] = s[k] + term end
  end
  local xx, xy, yy = s[4] - s[1] ^ 2 / n, s[5] - s[1] * s[2] / n, s[6] - s[2] ^ 2 / n
  local xz, yz = s[7] - s[1] * s[3] / n, s[8] - s[2] * s[3] / n
  local determinant = xx * yy - xy * xy
  local a, b = xx > 0 and xz / xx or 0, 0
  if judges and determinant > 1e-9 * xx * yy then
    local both_a, both_b = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    if both_a > 0 and both_b > 0 then a, b = both_a, both_b end
  end
  if a <= 0 then return { scale = 1.0, shift = 0.0, context = 0.0 } end
  return { scale = a, shift = (s[3] - a * s[1] - b * s[2]) / n, context = b / a }
end

-- What student and encoder give for the dev rows, and the same without log-probabilities behind them.
local function asked(run)
  local found = { own = {}, said = {}, gold = {}, known = {}, unknown = {} }
  local texts <close> = evaluate.texts(run.dev)
  for _, data in ipairs(run.student:decoder_inputs() > 0 and { run.dev, texts } or { texts }) do
    for row = 1, data:rows() do
      local numbers = select(3, data:pair(row)) and found.known or found.unknown
      numbers[#numbers + 1] = #found.own + row
    end
    append(found.own, context.own_scores(run, data))
    local heard = run.encoder.model:decoder_inputs() > 0 and data or texts
    append(found.said, evaluate.scores(run.encoder.model, heard, run.pool))
    append(found.gold, run.dev:column "gold")
  end
  return found
end

local FEWEST = 50 -- rows that a line is fitted on

--- Describes in the manifest on which line the student's scores lie, and how much of the encoder's own score is added,
-- as dev rows ask for: one for texts alone, one for those with log-probabilities.
-- @return scores of dev rows on their lines, and of the same rows without log-probabilities behind them; nothing if
-- words are not read in context
function context.scores(run)
  if not run.encoder then return nil end
  local found, judges = asked(run), run.encoder.model:manifest().architecture.joint
  local few = #found.unknown < FEWEST
  local line = line_of(found.own, found.said, found.gold, few and found.known or found.unknown, judges)
  local other = line
  if #found.known >= FEWEST then other = line_of(found.own, found.said, found.gold, found.known, judges) end
  run:say("the encoder's own score is added with weight %.3f, with log-probabilities %.3f", line.context, other.context)
  assert(run.student:describe { score = {
    type = "z-score", direction = "higher is better", scale = line.scale, shift = line.shift, context = line.context,
    with_logprobs = #found.known > 0 and other or nil,
  } })
  local scores = {}
  for numbers, on in pairs { [found.unknown] = line, [found.known] = other } do
    for _, i in ipairs(numbers) do scores[i] = on.shift + on.scale * (found.own[i] + on.context * found.said[i]) end
  end
  run.encoder.scores = scores
  return scores
end

--- Scores of dev rows as the archive will give them, but for rounding: after `context.scores`.
function context.dev_scores(run)
  return table.move(run.encoder.scores, 1, run.dev:rows(), 1, {})
end

return context
