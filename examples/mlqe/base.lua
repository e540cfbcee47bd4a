-- base.lua - models/base.qe, a student for all language pairs, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/base.lua DATA WORK E5 MODELS [PAIR,PAIR...]
--
-- DATA, WORK and E5 are those of teachers.lua. The encoder keeps its layers; its vocabulary is cut to the pieces that
-- the training rows use several times. It is distilled half from the human scores and half from what teachers that have
-- not seen a row say of it (outputs/; elsewhere: OUTPUTS=DIR in the environment), all pairs together: no source of any
-- dev, test20 or held-out set is trained on. The decoder's log-probabilities are hidden in half of the rows. Then the
-- encoder's four-bit weights stay as they came, and what training has changed is kept as thin products
-- (qestrel.adapters). Steps: WORK/base.encoder.qe; WORK/base.f32.qe, about an hour on two cores; WORK/base.start.qe,
-- with fewer pieces; MODELS/base.qe. WORK/base.tsv: figures on dev and test20. EPOCHS=N, RANK=N: to try it out.
local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
local qe = require "qestrel"
local adapters = require "qestrel.adapters"
local calibrate = require "qestrel.calibrate"
local lines = require "qestrel.lines"
local pool = require "qestrel.pool"
local queue = require "queue"

local data, work, e5, models = arg[1], arg[2], arg[3], arg[4]
if not models then
  io.stderr:write "usage: qestrel lua base.lua DATA WORK E5 MODELS [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[5] or queue.PAIRS)
local OUTPUTS = os.getenv "OUTPUTS" or here .. "/outputs"
local MINIMUM, START_MINIMUM, STORAGE = 3, 6, "int4"
local SETS = { "dev", "test20" }
local RANK = math.tointeger(tonumber(os.getenv "RANK" or 64))
local OPTIONS = { form = "joint", frozen = 3, epochs = queue.epochs or 3, evaluations = 1, patience = 99, alpha = 0.5,
                  decoder = true, decoder_dropout = 0.5, storage = "f32", route = true, license = "MIT AND CC0-1.0" }
local CARD = [[
# base: quality of machine translation, %s

A multilingual encoder of %d layers and %d pieces in %d kB, four bits a number, with adapters of rank %d: for filtering
and evaluation, where quality counts more than speed. It gives a z-score (higher is better) for a source and its
translation. The decoder's log-probabilities of the translation's tokens make it better where there are any.

**Data.** MLQE-PE (CC0-1.0): direct assessments of seven language pairs together, without sources of any dev, test20
or held-out set. **Encoder.** multilingual-e5-small (MIT licence, see LICENSE). **Teachers.** The same encoder,
fine-tuned in full; each training row was judged by one that had not seen its source.

**Measured** on dev, which calibration was fitted on, and on test20, with 95 %% intervals of resampled sets:

%s
Calibrated, a score is the %s (calibration error %.3f on rows it was not fitted on).
The spread holds %.0f %% of the human scores of such rows; it is meant to hold 80.

**Limits.** Sentences of Wikipedia, in Russian also of Reddit, translated by systems of 2019; other languages, domains
and systems were not measured. z-scores are those of each pair's own judges: they do not compare pairs. Longer texts
than %d pieces a side are scored in windows.
]]

local function folders_of(pairs_)
  local folders = {}
  for i, pair in ipairs(pairs_) do folders[i] = data .. "/" .. pair end
  return folders
end

local function import_encoder(minimum)
  return function(output)
    local model <close> = queue.import(here, e5, work .. "/base.encoder", folders_of(PAIRS), { "train" }, minimum)
    assert(model:save(output))
  end
end

local function distil(output)
  local keys = data .. "/held-out-sources.sha256"
  local options = queue.with(OPTIONS, {
    encoder = work .. "/base.encoder.qe", labels = OUTPUTS, held_out = lines.exists(keys) and keys or nil,
    pool = table.concat(folders_of(table.move(PAIRS, 2, #PAIRS, 1, {})), ","),
  })
  queue.train("teacher", { data = data .. "/" .. PAIRS[1], options = options, output = output }):close()
end

-- The rows of all pairs.
local function rows_of(set)
  local rows = qe.dataset()
  pool.append(rows, folders_of(PAIRS), set)
  return rows
end

-- The trained student on top of the encoder as it came: biases, norms, pooler and head are taken over, weights are not.
local function rebuilt()
  local start <close>, problem = qe.open(work .. "/base.start.qe", 1 << 32)
  if not start then error(problem, 0) end
  local trained <close> = assert(qe.open(work .. "/base.f32.qe", 1 << 32))
  local rows <close> = rows_of "train"
  local manifest = trained:manifest()
  local architecture = manifest.architecture
  local changes = { joint = true, alignment = qe.json.array {}, rank = RANK }
  for _, key in ipairs { "bins", "decoder_inputs", "decoder_dropout", "dropout", "max_tokens" } do
    changes[key] = architecture[key]
  end
  local model = assert(start:derive(changes, rows, qe.rng(1, "adapters")))
  assert(model:take(trained) > 0)
  for _, name in ipairs(start:params():names()) do
    if name:match "^layer%d+%.%w+%.weight$" then model:params():set_matrix(name, (start:params():matrix(name))) end
  end
  local kept = adapters.factor(model, trained, qe.rng(1, "factor"))
  io.stderr:write(("adapters of rank %d keep %.0f %% of what training changed\n"):format(RANK, 100 * kept))
  assert(model:describe { recipe = manifest.recipe, data = manifest.data, license = manifest.license,
                          created_by = manifest.created_by, teachers = manifest.teachers })
  return model
end

-- Scores of all sets, by pair and set.
local function scored_by(model, threads)
  local scored = {}
  model:prepare()
  for _, pair in ipairs(PAIRS) do
    scored[pair] = {}
    for _, set in ipairs(SETS) do scored[pair][set] = queue.score(model, data .. "/" .. pair, set, threads) end
    io.stderr:write(pair, " scored\n")
  end
  return scored
end

-- Those of dev of all pairs, one after another: with log-probabilities, then without.
local function dev_scores(scored)
  local all = {}
  for _, kind in ipairs { "decoder", "text" } do
    for _, pair in ipairs(PAIRS) do
      local own = scored[pair].dev[kind]
      table.move(own, 1, #own, #all + 1, all)
    end
  end
  return all
end

local function reported(scored)
  local rows, report, metrics = { queue.CARD_HEAD }, {}, {}
  for _, pair in ipairs(PAIRS) do
    metrics[pair] = {}
    for _, set in ipairs(SETS) do
      local text, decoder = queue.measure(scored[pair][set])
      rows[#rows + 1] = queue.card_row(pair .. " " .. set, text, decoder)
      report[#report + 1] = queue.report_line(pair, set, text, decoder)
      metrics[pair][set] = { text = text.pearson, decoder = decoder.pearson }
    end
  end
  return table.concat(rows), table.concat(report), metrics
end

-- Four bits a number first: what scores mean is fitted on what is shipped.
local function ship(output)
  local threads <close> = qe.pool(queue.THREADS)
  local model <close> = rebuilt()
  local rows <close> = rows_of "dev"
  model:round(STORAGE)
  local scored = scored_by(model, threads)
  local dev = calibrate.model(model, rows, threads, nil, dev_scores(scored))
  local table_, report, metrics = reported(scored)
  dev.rows, metrics.dev = rows:rows(), dev
  assert(model:describe { languages = "multilingual", metrics = metrics })
  model:set_licence(lines.text(here .. "/LICENSE"))
  local architecture, meaning = model:manifest().architecture, model:manifest().calibration.meaning
  local function save(path, bytes)
    model:set_card(CARD:format(table.concat(PAIRS, ", "), architecture.layers, architecture.pieces, bytes // 1000, RANK,
                               table_, meaning, dev.calibration_error, 100 * dev.coverage, architecture.max_tokens))
    assert(model:save(path))
  end
  local draft = work .. "/base.qe"
  save(draft, 0)
  save(output, #lines.text(draft))
  os.remove(draft)
  queue.append(work .. "/base.tsv", report)
end

queue.shell("mkdir -p", work)
queue.step(work .. "/base.encoder.qe", "the encoder with fewer pieces", import_encoder(MINIMUM))
queue.step(work .. "/base.f32.qe", "the base student", distil)
queue.step(work .. "/base.start.qe", "the encoder with still fewer pieces", import_encoder(START_MINIMUM))
queue.step(models .. "/base.qe", "the base student in four bits", ship)
