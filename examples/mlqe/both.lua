-- both.lua - teachers of both forms, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/both.lua DATA WORK [PAIR,PAIR...]
--
-- What teachers.lua fine-tunes reads a pair's texts as one. An encoder that is left as it came says other things of a
-- pair: which words of both texts mean the same in their contexts. WORK/encoder.qe, in four bits, as they came
-- (WORK/both.encoder.qe), reads the words of a student that aligns them, one for each language pair; it is as large as
-- it likes to be, and is not shipped. Three of each: of all rows (WORK/both.PAIR.0.qe, three minutes on two cores), and
-- two that have each seen one half of the sources, the same as the fine-tuned teachers' (.1, .2), who learn from human
-- scores alone. WORK/both/PAIR.SET.tsv.gz (index, score, sigma): the mean of what a fine-tuned teacher (outputs/,
-- elsewhere: OUTPUTS=DIR in the environment) and an aligning one say, of training rows by those that have not seen
-- their source; sigma is half the distance between the two. WORK/both.tsv: Pearson of either and of both with the
-- human scores. EPOCHS=N: fewer, to try it out.
local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local pool = require "qestrel.pool"
local queue = require "queue"
local student = require "student"

local data, work = arg[1], arg[2]
if not work then
  io.stderr:write "usage: qestrel lua both.lua DATA WORK [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[3] or queue.PAIRS)
local OUTPUTS = os.getenv "OUTPUTS" or here .. "/outputs"
local FOLDS = 2
local ALIGNED = { context = work .. "/both.encoder.qe", least_count = 1, least_link = 1, storage = "f32",
                  epochs = queue.epochs, license = "MIT AND CC0-1.0" }

local function round_encoder(output)
  local model <close> = assert(qe.open(work .. "/encoder.qe", 1 << 32))
  model:round "int4"
  assert(model:save(output))
end

-- ---- aligning teachers ----

-- The lines of a file that belong to some rows; with a header, that too. Nothing where there is no file.
local function copy_lines(from, to, kept, header)
  local all = lines.read(from)
  if not all then return end
  local chosen = { header and all[1] or nil }
  for _, row in ipairs(kept) do chosen[#chosen + 1] = all[row + (header and 1 or 0)] end
  local file = assert(io.open(to, "w"))
  assert(file:write(table.concat(chosen, "\n"), "\n"))
  assert(file:close())
end

local function file_of(folder, pattern)
  local list <close> = assert(io.popen(("ls '%s' | grep '%s'"):format(folder, pattern)))
  return assert(list:read "l", folder .. ": no file like " .. pattern)
end

-- DATA; for a fold a folder in WORK with a copy of the pair's files, but for training rows of that fold of the sources.
local function data_without(fold, pair)
  if fold == 0 then return data end
  local copy = ("%s/both.without.%d"):format(work, fold)
  local from, to = data .. "/" .. pair, copy .. "/" .. pair
  queue.shell("mkdir -p", to .. "/post-editing")
  local rows <close> = assert(evaluate.read(from, "train"))
  local kept = pool.rows(rows, {}, FOLDS, fold)
  local name = file_of(from, "^train.*df.short.tsv")
  copy_lines(from .. "/" .. name, to .. "/" .. name, kept, true)
  for _, part in ipairs { "train.pe", "train.mt", "train.tags" } do
    copy_lines(from .. "/post-editing/" .. part, to .. "/post-editing/" .. part, kept)
  end
  for _, part in ipairs { file_of(from, "^dev.*df.short.tsv"), "post-editing/dev.mt", "post-editing/dev.tags" } do
    if lines.exists(from .. "/" .. part) then queue.shell("cp", from .. "/" .. part, to .. "/" .. part) end
  end
  return copy
end

local function path_of(pair, fold) return ("%s/both.%s.%d.qe"):format(work, pair, fold) end

local function align(pair, fold)
  return function(output)
    local from = data_without(fold, pair)
    local own = { parallel = queue.post_edits(from, fold > 0 and from or work, pair), tags = queue.tags(from, pair) }
    local options = queue.with(student.in_context(), ALIGNED, own)
    local recipe, labels = "kd", { ("%s/%s.train.tsv.gz"):format(OUTPUTS, pair) }
    if fold > 0 then recipe, labels, options.alpha = "gold", nil, nil end
    options.embedding = queue.width(options.context, options.embedding)
    queue.train(recipe, { data = from .. "/" .. pair, output = output, options = options, teachers = labels }):close()
  end
end

-- ---- outputs ----

local threads = qe.pool(queue.THREADS)

local function scores_of(pair, fold, rows, chosen)
  local model <close> = assert(qe.open(path_of(pair, fold), 1 << 32))
  return evaluate.scores(model, rows, threads, chosen)
end

-- Every row by the teacher that has not seen its source.
local function scores_of_strangers(pair, rows)
  local score = {}
  for fold, list in pairs(pool.by_fold(rows, FOLDS)) do
    for k, own in ipairs(scores_of(pair, fold, rows, list)) do score[list[k]] = own end
  end
  return score
end

local function output(pair, set)
  return function(path)
    local rows <close> = assert(evaluate.read(data .. "/" .. pair, set))
    local gold = rows:column "gold"
    assert(rows:read_scores(("%s/%s.%s.tsv.gz"):format(OUTPUTS, pair, set), "joint"))
    local aligned = set == "train" and scores_of_strangers(pair, rows) or scores_of(pair, 0, rows)
    local joint, score, sigma = rows:column "joint", {}, {}
    for i, own in ipairs(aligned) do score[i], sigma[i] = (own + joint[i]) / 2, math.abs(own - joint[i]) / 2 end
    queue.write_scores(path, rows, score, sigma)
    queue.append(work .. "/both.tsv", ("%s\t%s\t%.4f\t%.4f\t%.4f\n"):format(
      pair, set, qe.pearson(joint, gold), qe.pearson(aligned, gold), qe.pearson(score, gold)))
  end
end

queue.shell("mkdir -p", work .. "/both")
queue.step(ALIGNED.context, "the encoder in four bits", round_encoder)
for _, pair in ipairs(PAIRS) do
  for fold = 0, FOLDS do
    local what = fold == 0 and "%s: an aligning teacher of all rows" or "%s: an aligning teacher of all but fold %d"
    queue.step(path_of(pair, fold), what:format(pair, fold), align(pair, fold))
  end
  for _, set in ipairs { "train", "dev", "test20" } do
    local path = ("%s/both/%s.%s.tsv.gz"):format(work, pair, set)
    queue.step(path, ("outputs: %s %s"):format(pair, set), output(pair, set))
  end
end
