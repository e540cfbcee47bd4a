-- base.lua - models/base.qe, a student for all language pairs, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/base.lua DATA WORK E5 MODELS [PAIR,PAIR...]
--
-- DATA, WORK and E5 are those of teachers.lua. Two students in one archive, whose scores are added:
-- A judge, the encoder with both texts in one sequence. It is distilled half from the human scores and half from what
-- teachers that have not seen a row say of it (outputs/; elsewhere: OUTPUTS=DIR in the environment), all pairs
-- together: no source of any dev, test20 or held-out set is trained on. The decoder's log-probabilities are hidden in
-- half of the rows. Its four-bit weights stay as they came: what training has changed becomes thin products
-- (qestrel.adapters). These learn for one more epoch, now from the teachers of both forms (outputs/both) and with all
-- pieces that the training rows use, as they will be stored: rows of rare ones in two bits a number.
-- And for each pair an aligned student, as in students.lua, that has no embeddings but reads words in context by the
-- judge's encoder. A family of these asks the one to whose language pair a pair's words belong (qestrel.routes).
-- Steps: WORK/base.encoder.qe; WORK/base.f32.qe, two hours on two cores; WORK/base.start.qe, with all pieces, and
-- WORK/base.thin.qe, with adapters; WORK/base.judge.qe, 45 minutes; WORK/base.PAIR.qe, four minutes each;
-- MODELS/base.qe. WORK/base.tsv: figures on dev and test20. EPOCHS=N, RANK=N: to try it out.
local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
local qe = require "qestrel"
local adapters = require "qestrel.adapters"
local calibrate = require "qestrel.calibrate"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local pool = require "qestrel.pool"
local queue = require "queue"
local routes = require "qestrel.routes"
local student = require "student"
local words = require "qestrel.words"

local data, work, e5, models = arg[1], arg[2], arg[3], arg[4]
if not models then
  io.stderr:write "usage: qestrel lua base.lua DATA WORK E5 MODELS [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[5] or queue.PAIRS)
local OUTPUTS = os.getenv "OUTPUTS" or here .. "/outputs"
local BOTH = OUTPUTS .. "/both"
local FEWER, ALL = { minimum = 3 }, { fine = 192 } -- uses of pieces
local STORAGE, LICENSE = "int4", "MIT AND CC0-1.0"
local SETS = { "dev", "test20" }
local RANK = math.tointeger(tonumber(os.getenv "RANK" or 24))
local JUDGE = { form = "joint", frozen = 3, evaluations = 1, patience = 99, alpha = 0.5, decoder = true,
                decoder_dropout = 0.5, license = LICENSE }
local TRAINED = { epochs = queue.epochs or 3, storage = "f32", route = true }
local ADAPTED = { epochs = 1, storage = STORAGE, rate = 1e-4, head_rate = 2.0 }
local MEMBER = { storage = STORAGE, license = LICENSE, epochs = queue.epochs }
local TEXTS, TAGGED = 1000, 300 -- of a pair, that routes and the threshold of words are fitted on
local CARD = [[
# base: quality of machine translation, %s

Two students of a multilingual encoder in %d kB, four bits a number, and two for the rows of rare pieces. The encoder
of %d layers and %d pieces reads both texts as one, with adapters of rank %d, and judges them; and it gives words in
context to aligned students, one for each language pair, of which the one of the pair's languages, as its words'
states tell them, adds its own judgement and that of its boosted trees. For filtering and evaluation, where quality
counts more than speed. It gives a z-score (higher is better) for a source and its translation, and says which words
are BAD. The decoder's log-probabilities of the translation's tokens make it better where there are any.

**Data.** MLQE-PE (CC0-1.0): direct assessments of seven language pairs, for the encoder together and without sources
of any dev, test20 or held-out set, for the aligned students each pair's own; post-edits, for their lexicons and the
tags of words. **Encoder.** multilingual-e5-small (MIT licence, see LICENSE). **Teachers.** The same encoder,
fine-tuned in full, and for the judge's last epoch its mean with students that align words in the contexts of the
encoder as it came; each training row was judged by those that had not seen its source.

**Measured** on dev, which calibration and the weights of both judgements were fitted on, and on test20, with 95 %%
intervals of resampled sets:

%s
Calibrated, a score is the %s (calibration error %.3f on rows it was not fitted on).
The spread holds %.0f %% of the human scores of such rows; it is meant to hold 80.

**Limits.** Sentences of Wikipedia, in Russian also of Reddit, translated by systems of 2019; other languages, domains
and systems were not measured. z-scores are those of each pair's own judges: they do not compare pairs. Longer texts
than %d words a side are scored in windows.
]]

local function folders_of(pairs_)
  local folders = {}
  for i, pair in ipairs(pairs_) do folders[i] = data .. "/" .. pair end
  return folders
end

local function open(name)
  local model, problem = qe.open(work .. "/" .. name, 1 << 32)
  return model or error(problem, 0)
end

-- The rows of all pairs.
local function rows_of(set)
  local rows = qe.dataset()
  pool.append(rows, folders_of(PAIRS), set)
  return rows
end

-- ---- the judge ----

local function encoder_with(uses)
  return queue.import(here, e5, work .. "/base.encoder", folders_of(PAIRS), { "train" }, uses)
end

local function import_encoder(output)
  local model <close> = encoder_with(FEWER)
  assert(model:save(output))
end

-- Numbers of the word table are as they will be stored, so that adapters learn with those.
local function import_all(output)
  local model <close> = encoder_with(ALL)
  model:round(STORAGE)
  model:round "f32"
  model:prepare()
  assert(model:save(output))
end

local function train_judge(encoder, labels, own)
  return function(output)
    local keys = data .. "/held-out-sources.sha256"
    local options = queue.with(JUDGE, own, {
      encoder = work .. "/" .. encoder, labels = labels, held_out = lines.exists(keys) and keys or nil,
      pool = table.concat(folders_of(table.move(PAIRS, 2, #PAIRS, 1, {})), ","),
    })
    queue.train("teacher", { data = data .. "/" .. PAIRS[1], options = options, output = output }):close()
  end
end

-- The trained student on top of the encoder as it came: biases, norms, pooler and head are taken over, weights are not.
local function thin(output)
  local start <close> = open "base.start.qe"
  local trained <close> = open "base.f32.qe"
  local architecture = trained:manifest().architecture
  local changes = { joint = true, alignment = qe.json.array {}, rank = RANK }
  for _, key in ipairs { "bins", "decoder_inputs", "decoder_dropout", "dropout", "max_tokens" } do
    changes[key] = architecture[key]
  end
  local rows <close> = rows_of "train"
  local model <close> = assert(start:derive(changes, rows, qe.rng(1, "adapters")))
  assert(model:take(trained) > 0)
  for _, name in ipairs(start:params():names()) do
    if name:match "^layer%d+%.%w+%.weight$" then model:params():set_matrix(name, (start:params():matrix(name))) end
  end
  local kept = adapters.factor(model, trained, qe.rng(1, "factor"))
  io.stderr:write(("adapters of rank %d keep %.0f %% of what training changed\n"):format(RANK, 100 * kept))
  assert(model:save(output))
end

-- ---- the family ----

local function train_member(pair)
  return function(output)
    local own = { context = work .. "/base.judge.qe", parallel = queue.post_edits(data, work, pair),
                  tags = queue.tags(data, pair) }
    local options = queue.with(student.in_context(), student.shipped(pair), MEMBER, own)
    options.embedding = queue.width(own.context, options.embedding)
    queue.train("kd", {
      data = data .. "/" .. pair, output = output, options = options,
      teachers = { ("%s/%s.train.tsv.gz"):format(OUTPUTS, pair) },
    }):close()
  end
end

-- Texts that routes are learned from.
local function texts_of(pair)
  local rows <close> = assert(evaluate.read(data .. "/" .. pair, "train"))
  local texts = qe.dataset()
  for row = 1, math.min(TEXTS, rows:rows()) do texts:append(rows:pair(row)) end
  return texts
end

local function family()
  local members, texts = {}, {}
  for i, pair in ipairs(PAIRS) do members[i], texts[i] = open(("base.%s.qe"):format(pair)), texts_of(pair) end
  local model = assert(qe.family(members))
  local share = routes.learn(model, members, texts)
  io.stderr:write(("%.1f %% of the texts that routes were learned from go to their own student\n"):format(100 * share))
  model:round "f32"
  model:prepare()
  return model, members
end

-- Scores of all sets, by pair and set.
local function scored_by(model, threads)
  local scored = {}
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

-- Of all pairs together, from some rows of each one's dev.
local function fit_words(model, threads)
  local found = {}
  for _, pair in ipairs(PAIRS) do
    local folder = queue.tags(data, pair)
    if folder and lines.exists(folder .. "/dev.tags") then
      local rows <close> = assert(evaluate.read(data .. "/" .. pair, "dev"))
      local judged = words.judge(model, rows, folder .. "/dev.mt", folder .. "/dev.tags", threads, TAGGED)
      for _, row in ipairs(judged) do table.move(row, 1, #row, #found + 1, found) end
    end
  end
  if #found > 0 then assert(model:describe { words = { threshold = words.threshold(found) } }) end
end

local function reported(scored, members)
  local rows, report, metrics = { queue.CARD_HEAD }, {}, {}
  for i, pair in ipairs(PAIRS) do
    metrics[pair] = { word_mcc = members[i]:manifest().metrics.dev.word_mcc }
    for _, set in ipairs(SETS) do
      local text, decoder = queue.measure(scored[pair][set])
      rows[#rows + 1] = queue.card_row(pair .. " " .. set, text, decoder)
      report[#report + 1] = queue.report_line(pair, set, text, decoder)
      metrics[pair][set] = { text = text.pearson, decoder = decoder.pearson }
    end
  end
  return table.concat(rows), table.concat(report), metrics
end

local function ship(output)
  local rows <close> = rows_of "dev"
  local threads <close> = qe.pool(queue.THREADS)
  local model <close>, members = family()
  local judge <close> = open "base.judge.qe"
  fit_words(model, threads)
  local scored = scored_by(model, threads)
  local dev = calibrate.model(model, rows, threads, nil, dev_scores(scored))
  local table_, report, metrics = reported(scored, members)
  local manifest, architecture = judge:manifest(), judge:manifest().architecture
  dev.rows, metrics.dev = rows:rows(), dev
  assert(model:describe { languages = "multilingual", license = LICENSE, metrics = metrics, recipe = manifest.recipe,
                          data = manifest.data, created_by = manifest.created_by, teachers = manifest.teachers,
                          encoder = manifest.encoder })
  model:set_licence(lines.text(here .. "/LICENSE"))
  model:set_golden(require "qestrel.golden")
  local meaning, longest = model:manifest().calibration.meaning, model:manifest().architecture.max_tokens
  local function save(path, bytes)
    model:set_card(CARD:format(table.concat(PAIRS, ", "), bytes // 1000, architecture.layers, architecture.pieces, RANK,
                               table_, meaning, dev.calibration_error, 100 * dev.coverage, longest))
    assert(model:save(path))
  end
  local draft = work .. "/base.draft.qe"
  save(draft, 0)
  save(output, #lines.text(draft))
  os.remove(draft)
  queue.append(work .. "/base.tsv", report)
end

queue.shell("mkdir -p", work)
queue.step(work .. "/base.encoder.qe", "the encoder with fewer pieces", import_encoder)
queue.step(work .. "/base.f32.qe", "the judge", train_judge("base.encoder.qe", OUTPUTS, TRAINED))
queue.step(work .. "/base.start.qe", "the encoder with all pieces", import_all)
queue.step(work .. "/base.thin.qe", "the judge as adapters", thin)
queue.step(work .. "/base.judge.qe", "the judge in four bits", train_judge("base.thin.qe", BOTH, ADAPTED))
for _, pair in ipairs(PAIRS) do
  queue.step(("%s/base.%s.qe"):format(work, pair), "the aligned student of " .. pair, train_member(pair))
end
queue.step(models .. "/base.qe", "the family", ship)
