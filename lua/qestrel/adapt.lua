--- A model adapted to ratings of one's own: other people, another domain, another unit. Sources are split into three:
-- those that are trained on, those that training stops by and that calibration is fitted on, and those that are held
-- out, which the report is about. Embeddings stay as they are; a student that training does not make better on dev rows
-- is only calibrated anew, and so is a family, whose members were trained alone.
-- @module qestrel.adapt
local qe = require "qestrel"
local calibrate = require "qestrel.calibrate"
local distance = require "qestrel.distance"
local evaluate = require "qestrel.evaluate"
local pool = require "qestrel.pool"
local teacher = require "qestrel.teacher"
local train = require "qestrel.train"

local adapt = {}

local HELD_OUT, DEV, FEWEST_SOURCES = 0.2, 0.2, 20
local MEASURES = { "pearson", "spearman", "rmse" }
local POST_EDITS = { post_edit = true, ["post-edit"] = true, postedit = true, pe = true }

-- ---- the user's file ----

-- The texts of the column of post-edits; nil if there is none. The file was read as a table before.
local function post_edits(path)
  local place, texts = nil, {}
  for line in io.lines(path) do
    local fields = {}
    for field in (line:gsub("\r$", "") .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
    if place then
      texts[#texts + 1] = fields[place]
    else
      for i, name in ipairs(fields) do place = POST_EDITS[name] and i or place end
      if not place then return nil end
    end
  end
  return texts
end

--- Rows with a column gold: ratings, or what a post-edit changed (minus the edit rate, 0 is untouched).
-- @return dataset, or nil and a message
function adapt.read(path, gold)
  local rows, problem = evaluate.read(path, nil, gold)
  if rows then return rows end
  rows = qe.dataset()
  local ok, unreadable = rows:read(path)
  if not ok then return nil, unreadable end
  local edited = post_edits(path)
  if not edited then return nil, problem .. ", and none of post-edits (post_edit)" end
  local scores
  scores, problem = teacher.metric("ter", edited)(rows)
  if not scores then return nil, problem end
  rows:set_column("gold", scores)
  return rows
end

-- Numbers of rows by part. All rows of a source are in one part; sources are in the order of their hashes.
local function parts_of(rows)
  local by_key, keys = {}, {}
  for i = 1, rows:rows() do
    local key = pool.key((rows:pair(i)))
    if not by_key[key] then
      by_key[key] = {}
      keys[#keys + 1] = key
    end
    table.insert(by_key[key], i)
  end
  if #keys < FEWEST_SOURCES then
    return nil, ("%d different sources, expected at least %d: so few say nothing"):format(#keys, FEWEST_SOURCES)
  end
  table.sort(keys)
  local parts = { held_out = {}, dev = {}, train = {} }
  for place, key in ipairs(keys) do
    local share = (place - 0.5) / #keys
    local part = share < HELD_OUT and "held_out" or share < HELD_OUT + DEV and "dev" or "train"
    table.move(by_key[key], 1, #by_key[key], #parts[part] + 1, parts[part])
  end
  return parts
end

local function part_of(rows, numbers, sign)
  local part, gold, means = qe.dataset(), rows:column "gold", rows:column "mean"
  local own, points = {}, {}
  for k, i in ipairs(numbers) do
    part:append(rows:pair(i))
    own[k], points[k] = sign * gold[i], means and means[i] or 0.0
  end
  part:set_column("gold", own)
  if means then part:set_column("mean", points) end
  return part
end

-- ---- training ----

-- From ratings to what the model's sigmoid should say: the line on which the model, as it is, is right on average.
local function targets(model, part, threads)
  local z, gold = evaluate.scores(model, part, threads), part:column "gold"
  local slope, shift = calibrate.line(z, gold)
  if not slope then
    local z_mean, z_spread = calibrate.moments(z)
    local mean, spread = calibrate.moments(gold)
    slope = spread / z_spread
    shift = mean - slope * z_mean
  end
  local unit, list = model:manifest().score, {}
  local trees = (model:manifest().architecture.forests or 0) > 0 and model:trees(part)
  for i, value in ipairs(gold) do
    local line = select(3, part:pair(i)) and unit.with_logprobs or unit
    local raw = ((value - shift) / slope - line.shift) / line.scale
    if trees then raw = raw - line.forest * trees[i] end
    list[i] = math.min(math.max(raw, 0.02), 0.98)
  end
  return list
end

local function recipe_of(model, request)
  local function frozen(run)
    for _, name in ipairs(run.student:params():names()) do
      if name:match "embedding" or name:match "center" then run.optimiser:scale(name, 0) end
    end
  end
  return {
    name = "adapt",
    student = function() return model:copy() end,
    setup = function(run) run.train:set_column("target", targets(model, run.train, run.pool)) end,
    stages = function() return { { name = "adapt", setup = frozen } } end,
    loss = function(run, batch) return distance.between(run, run:forward(batch), batch, "target"):mean() end,
    options = { { "epochs", request.epochs, "" }, { "rate", request.rate, "" }, { "batch", 32, "" },
                { "schedule", "linear", "" }, { "evaluations", 1, "" }, { "patience", 3, "" } },
  }
end

local function measured(model, part, threads)
  model:prepare()
  local z, gold, figures = evaluate.scores(model, part, threads), part:column "gold", {}
  for _, name in ipairs(MEASURES) do figures[name] = qe[name](z, gold) end
  return figures
end

local function trained(model, parts, request)
  local manifest = model:manifest()
  local kind = manifest.architecture.name
  local rate = request.rate or (kind == "encoder" and 1e-5 or 2e-4)
  local recipe = recipe_of(model, { epochs = request.epochs, rate = rate })
  return train.run(recipe, {
    train = parts.train, dev = parts.dev, seed = request.seed, threads = request.threads, quiet = request.quiet,
    options = { student = kind == "aligned" and kind or "birnn", bins = manifest.architecture.bins,
                storage = manifest.storage or "f32", languages = manifest.languages or "unknown",
                license = manifest.license or "LicenseRef-of-the-training-data", good = request.good },
  })
end

local NOTE = [[

## Adapted

To %d ratings of others (%d trained on, %d to stop and calibrate by). On %d held-out ones: Pearson %.4f, before %.4f.
]]

local function described(model, original, parts, report)
  local manifest = original:manifest()
  assert(model:describe {
    recipe = manifest.recipe, teachers = manifest.teachers, data = manifest.data,
    adapted = { from = original:sha256(), trained = report.trained, rows = parts.train:rows(),
                sha256 = parts.train:sha256() },
    metrics = { held_out = { pearson = report.after.pearson, spearman = report.after.spearman, rmse = report.after.rmse,
                             rows = parts.held_out:rows() }, dev = report.dev },
  })
  local counts = { parts.train:rows(), parts.dev:rows(), parts.held_out:rows() }
  model:set_card(original:card() .. NOTE:format(counts[1] + counts[2] + counts[3], counts[1], counts[2], counts[3],
                                                report.after.pearson, report.before.pearson))
end

--- Adapts the model of an archive.
-- @param request model and train (paths), output; gold, good, lower_is_better, epochs, rate, seed, threads, quiet
-- @return report { before, calibrated, after: figures of the held-out rows; rows; dev; trained }, or nil and a message
function adapt.run(request)
  local threads <close> = qe.pool(request.threads)
  local original <close>, problem = qe.open(request.model, 1 << 32)
  if not original then return nil, problem end
  local rows <close>, unreadable = adapt.read(request.train, request.gold)
  if not rows then return nil, unreadable end
  local numbers, few = parts_of(rows)
  if not numbers then return nil, request.train .. ": " .. few end
  local parts = {}
  for name, list in pairs(numbers) do parts[name] = part_of(rows, list, request.lower_is_better and -1 or 1) end
  local report = { before = measured(original, parts.held_out, threads), rows = {} }
  for name, part in pairs(parts) do report.rows[name] = part:rows() end
  local calibrated = original:copy()
  report.dev = calibrate.model(calibrated, parts.dev, threads, tonumber(request.good))
  report.calibrated = measured(calibrated, parts.held_out, threads)
  local model, metrics = calibrated, nil
  report.trained, report.after = false, report.calibrated
  if original:manifest().architecture.name ~= "family" then
    local tuned
    tuned, metrics = trained(original, parts, request) -- which calibrates on dev, too
    if not tuned then return nil, metrics end
    report.trained = measured(tuned, parts.dev, threads).pearson > measured(calibrated, parts.dev, threads).pearson
    model = report.trained and tuned or calibrated
  end
  if report.trained then
    report.after = measured(model, parts.held_out, threads)
    report.dev = { calibration_error = metrics.calibration_error, coverage = metrics.coverage }
  end
  described(model, original, parts, report)
  local ok
  ok, problem = model:save(request.output)
  if not ok then return nil, problem end
  return report
end

return adapt
