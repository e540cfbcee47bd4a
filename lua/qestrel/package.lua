--- The end of a training run: the best student gets its scale and calibration from the dev rows, is described in its
-- manifest and model card, and rounded to its storage type.
-- @module qestrel.package
local qe = require "qestrel"
local calibrate = require "qestrel.calibrate"
local golden = require "qestrel.golden"
local lines = require "qestrel.lines"
local teacher = require "qestrel.teacher"
local voices = require "qestrel.voices"
local words = require "qestrel.words"

local package_model = {}

-- Raised without a place: the user named the file.
local function read_text(path)
  local text, problem = lines.text(path)
  return text or error(problem, 0)
end

-- Beside `found`, what calibration has found already.
-- @param scored the student's scores of dev, if others have a say in them
local function metrics_of(run, found, scored)
  local gold = run.dev:column "gold"
  local z = scored and table.move(scored, 1, #gold, 1, {}) or run:dev_scores()
  found.pearson_low, found.pearson_high = qe.bootstrap("pearson", z, gold, 1000, 0.95, 1)
  found.pearson, found.spearman = qe.pearson(z, gold), qe.spearman(z, gold)
  found.rmse, found.rows, found.worst_decile_recall = qe.rmse(z, gold), #gold, qe.worst_decile_recall(z, gold)
  found.word_mcc = words.describe(run)
  return found
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
- dev: Pearson %.4f with human scores on %d rows; calibration error %.3f; %.0f %% of the human scores inside the spread
- storage of embeddings: %s

The score ranks translations of one language pair and one kind of text and is not comparable across models; calibrated,
it is the %s.
Inputs of other languages get a score, which means nothing.
]]

local function card(run, metrics, languages)
  local opening = run.options.card ~= "" and read_text(run.options.card) or ("# %s\n"):format(languages)
  local taught = #run.teachers > 0 and run.recipe.teacher and (", %d teacher(s)"):format(#run.teachers) or ""
  return CARD:format(opening, languages, qe.version(), run.recipe.name, run.seed, taught, run.train:rows(),
    run.data_sha256.train, metrics.pearson, metrics.rows,
    metrics.calibration_error, 100 * metrics.coverage, run.options.storage,
    run.student:manifest().calibration.meaning)
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
local NOT_RECIPE = { golden = true, card = true, license = true, license_file = true, languages = true, augment = true,
                     encoder = true, context = true, init = true, parallel = true, pool = true, held_out = true,
                     labels = true, tags = true }

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
  local scored = voices.scores(run)
  local metrics = metrics_of(run, calibrate.model(student, run.dev, run.pool, tonumber(o.good), scored), scored)
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
