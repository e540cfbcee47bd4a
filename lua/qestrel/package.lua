--- The end of a training run: the best student gets its scale and calibration from the dev rows, is described in its
-- manifest and model card, and rounded to its storage type.
-- @module qestrel.package
local qe = require "qestrel"
local golden = require "qestrel.golden"
local lines = require "qestrel.lines"
local teacher = require "qestrel.teacher"

local package_model = {}

-- Raised without a place: the user named the file.
local function read_text(path)
  local text, problem = lines.text(path)
  return text or error(problem, 0)
end

-- Least squares of y on x; nil unless it rises.
local function line_through(x, y)
  local n, sx, sy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0
  for i = 1, #x do
    if y[i] == y[i] then
      n, sx, sy, sxx, sxy = n + 1, sx + x[i], sy + y[i], sxx + x[i] * x[i], sxy + x[i] * y[i]
    end
  end
  local spread = n * sxx - sx * sx
  local slope = spread > 0 and (n * sxy - sx * sy) / spread or 0
  if slope > 0 then return slope, (sy - slope * sx) / n end
end

-- Newton's method on the logistic likelihood of targets in 0..1, which is concave; damped, a few steps suffice.
local function logistic_through(z, target)
  local a, b = 1.0, 0.0
  for _ = 1, 50 do
    local ga, gb, haa, hab, hbb = 0.0, 0.0, 1e-6, 0.0, 1e-6
    for i = 1, #z do
      local p = 1 / (1 + math.exp(-(a * z[i] + b)))
      local error_, weight = target[i] - p, p * (1 - p)
      ga, gb = ga + error_ * z[i], gb + error_
      haa, hab, hbb = haa + weight * z[i] ^ 2, hab + weight * z[i], hbb + weight
    end
    local determinant = haa * hbb - hab * hab
    a, b = a + (hbb * ga - hab * gb) / determinant, b + (haa * gb - hab * ga) / determinant
  end
  return a, b
end

-- Scale: raw score -> z by least squares on dev. Calibration: z -> share of the 0..100 scale where dev has those
-- ("mean"), else the share of dev rows below that z.
local function calibrate(run)
  assert(run.student:describe {
    score = { type = "z-score", direction = "higher is better", scale = 1.0, shift = 0.0 },
  })
  local slope, shift = line_through(run:dev_scores(), run.dev:column "gold")
  if slope then
    assert(run.student:describe {
      score = { type = "z-score", direction = "higher is better", scale = slope, shift = shift },
    })
  end
  local z, means = run:dev_scores(), run.dev:column "mean"
  local a, b = 1.7, 0.0 -- the logistic nearest to the normal distribution function
  if means then
    for i = 1, #means do means[i] = math.min(math.max(means[i] / 100, 0), 1) end
    a, b = logistic_through(z, means)
  end
  assert(run.student:describe { calibration = a > 0 and a < 100 and { a = a, b = b } or { a = 1.7, b = 0.0 } })
end

local function metrics_of(run)
  local z, gold = run:dev_scores(), run.dev:column "gold"
  local low, high = qe.bootstrap("pearson", z, gold, 1000, 0.95, 1)
  return { pearson = qe.pearson(z, gold), pearson_low = low, pearson_high = high, spearman = qe.spearman(z, gold),
           rmse = qe.rmse(z, gold), rows = #gold }
end

local function languages_of(run, folder)
  if run.options.languages ~= "" then return run.options.languages end
  return folder and folder:match "(%a%a%a?%-%a%a%a?)/*$" or "unknown"
end

local function finite(metrics)
  local kept = {}
  for key, value in pairs(metrics) do
    if value == value and math.abs(value) ~= math.huge then kept[key] = value end
  end
  return kept
end

local CARD = [[
%s
## Model

A sentence-level quality estimator for machine translation, %s. It reads a source sentence and its translation and
predicts the z-score that human judges would give; higher is better. Made by Qestrel %s.

- recipe: %s, seed %d%s
- training rows: %d (sha256 %s)
- dev: Pearson %.4f with human scores on %d rows
- storage of embeddings: %s

The score ranks translations of one language pair and one kind of text; it is not a probability and not comparable
across models. Inputs of other languages get a score, which means nothing.
]]

local function card(run, metrics, languages)
  local opening = run.options.card ~= "" and read_text(run.options.card) or ("# %s\n"):format(languages)
  local taught = #run.teachers > 0 and run.recipe.teacher and (", %d teacher(s)"):format(#run.teachers) or ""
  return CARD:format(opening, languages, qe.version(), run.recipe.name, run.seed, taught, run.train:rows(),
    run.data_sha256.train, metrics.pearson, metrics.rows, run.options.storage)
end

local function golden_pairs(run)
  local pairs_, with_decoder = golden, run.student:decoder_inputs() > 0
  if run.options.golden ~= "" then
    local data <close> = qe.dataset()
    local ok, problem = data:read(run.options.golden)
    if not ok then error(problem, 0) end
    pairs_ = {}
    for i = 1, data:rows() do pairs_[i] = { data:pair(i) } end
  end
  local list = {}
  for i, pair in ipairs(pairs_) do
    list[i] = { pair[1], pair[2], with_decoder and { -0.25 * i, -1.5, -0.125 } or nil }
  end
  return list
end

-- Options that only say where files are or how to describe the model do not belong to the recipe.
local NOT_RECIPE = { golden = true, card = true, license = true, license_file = true, languages = true, augment = true }

local function recipe_entry(run)
  local options = {}
  for name, value in pairs(run.options) do
    if not NOT_RECIPE[name] then options[name] = value end
  end
  local loop = run.state.loop
  return { name = run.recipe.name, seed = run.seed, options = options, epoch = loop.best_epoch }
end

--- The path of a snapshot: OUT.qe -> OUT.NUMBER.qe.
function package_model.numbered(output, number)
  return ("%s.%d.qe"):format((output:gsub("%.qe$", "")), number)
end

--- Writes the student as it is now, uncalibrated.
function package_model.snapshot(run, path)
  local copy <close> = run.student:copy()
  copy:round(run.options.storage)
  copy:set_card(("# Recipe %s, seed %d, after step %d\n"):format(run.recipe.name, run.seed, run.state.loop.step))
  copy:set_licence(run.options.license .. "\n")
  copy:set_golden(golden_pairs(run))
  local ok, problem = copy:save(path)
  if not ok then error(problem, 0) end
end

--- Finishes the student of a run; all but saving.
-- @return dev metrics
function package_model.finish(run)
  local student, o = run.student, run.options
  student:round(o.storage)
  calibrate(run)
  local metrics = metrics_of(run)
  local languages = languages_of(run, run.folder)
  assert(student:describe {
    languages = languages, license = o.license, created_by = "qestrel " .. qe.version(),
    recipe = recipe_entry(run), metrics = { dev = finite(metrics) },
    data = { train = { rows = run.train:rows(), sha256 = run.data_sha256.train },
             dev = { rows = run.dev:rows(), sha256 = run.data_sha256.dev } },
    teachers = run.recipe.teacher and teacher.describe(run.teachers) or qe.json.array {},
  })
  student:set_card(card(run, metrics, languages))
  student:set_licence(o.license_file ~= "" and read_text(o.license_file) or o.license .. "\n")
  student:set_golden(golden_pairs(run))
  return metrics
end

return package_model
