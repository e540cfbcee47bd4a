-- students.lua - the models of models/, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/students.lua DATA WORK MODELS [PAIR,PAIR...]
--
-- DATA holds the pairs' folders of MLQE-PE, WORK the encoder that teachers.lua has made (WORK/encoder.qe), MODELS gets
-- PAIR.qe with its card and licence. Per pair: word vectors from the encoder (WORK/vectors.PAIR.qe, two minutes on two
-- cores), then an aligned student, distilled half from the human scores and half from what teachers that have not seen
-- a row say of it (outputs/, made by teachers.lua; elsewhere: OUTPUTS=DIR in the environment). The decoder's
-- log-probabilities are hidden from it in half of the rows, so that one archive judges with and without them. Its
-- lexicon is counted on the pair's post-edits, too, where DATA has them.
-- WORK/students.tsv: Pearson on dev and test20 without and with them, and Spearman. EPOCHS=N: fewer, to try it out.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local pool = require "qestrel.pool"
local train = require "qestrel.train"

local data, work, models = arg[1], arg[2], arg[3]
if not models then
  io.stderr:write "usage: qestrel lua students.lua DATA WORK MODELS [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[4] or "ro-en,et-en,ne-en,si-en,ru-en,en-de,en-zh")
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local OUTPUTS = os.getenv "OUTPUTS" or here .. "/outputs"
local THREADS = 2

local function width_of_encoder()
  local encoder <close> = assert(qe.open(work .. "/encoder.qe", 1 << 32))
  return encoder:manifest().architecture.width
end

local WIDTH = math.min(64, width_of_encoder())
local VECTORS = { embedding = WIDTH, window = 2 }
local STUDENT = { student = "aligned", embedding = WIDTH, window = 2, states = 128, comparison = 64, epochs = 20,
                  patience = 20, dropout = 0.4, rate = 0.0012, word_rate = 0.0, alpha = 0.5, decoder = true,
                  license = "CC0-1.0 AND MIT", storage = "int8-all" }
local EPOCHS = math.tointeger(tonumber(os.getenv "EPOCHS" or ""))
VECTORS.epochs, STUDENT.epochs = EPOCHS, EPOCHS or STUDENT.epochs

local CARD = [[
# %s: quality of machine translation from %s

An aligned student of %d kB: cross attention over a lexicon, n-gram counts and word vectors, no recurrence. It gives a
z-score (higher is better) for a source and its translation. The decoder's log-probabilities of the translation's tokens
make it better where there are any.

**Data.** MLQE-PE (%s, CC0-1.0): direct assessments, 7000 rows to train on, 1000 to stop by; post-edits, for the lexicon
alone. **Teachers.** multilingual-e5-small (MIT licence, see LICENSE), fine-tuned on all seven pairs; each training row
was judged by one that had not seen its source. Word vectors come from the states of the same encoder.

**Measured** on dev, which training was stopped by, and on test20, with 95 %% intervals of %d resampled sets:

| | Pearson, text only | Pearson, with log-probabilities | Spearman, text only |
|---|---|---|---|
%s
**Limits.** Sentences of Wikipedia%s translated by one system of 2019; other domains and systems were not
measured. Texts are read up to 100 words a side. The score says how a translation would be judged beside those of other
sentences; to choose among candidates for one sentence, use `qestrel rerank`, which adds consensus.
]]
local LANGUAGES = { ro = "Romanian", et = "Estonian", ne = "Nepali", si = "Sinhala", ru = "Russian", de = "German",
                    zh = "Chinese", en = "English" }
local RESAMPLED = 1000

local function step(output, what, make)
  if lines.exists(output) then return end
  local begin = qe.clock()
  io.stderr:write(what, "\n")
  make(output)
  io.stderr:write(("%s: %.0f seconds\n"):format(what, qe.clock() - begin))
end

local function run(recipe, pair, output, options, teachers)
  local model, problem = train.run(recipe, {
    data = data .. "/" .. pair, output = output, options = options, teachers = teachers, threads = THREADS,
    resume = true, quiet = true,
  })
  if not model then error(problem, 0) end
  return model
end

local function with(options, more)
  local both = {}
  for name, value in pairs(options) do both[name] = value end
  for name, value in pairs(more) do both[name] = value end
  return both
end

-- The pair's post-edits beside the sources as they were published; nil where there are none.
local function post_edits(pair)
  local edits = data .. "/" .. pair .. "/post-editing/train.pe"
  if not lines.exists(edits) then return nil end
  local path, number = ("%s/post-edits.%s.tsv"):format(work, pair), 0
  local rows <close> = assert(evaluate.read(data .. "/" .. pair, "train"))
  local file = assert(io.open(path, "w"))
  file:write "source\ttranslation\n"
  for edit in io.lines(edits) do
    number = number + 1
    file:write((rows:pair(number)), "\t", (edit:gsub("\t", " ")), "\n")
  end
  assert(file:close())
  return path
end

local function make_vectors(pair)
  return function(output)
    run("vectors", pair, output, with(VECTORS, { encoder = work .. "/encoder.qe" })):close()
  end
end

-- ---- how good it is ----

local function bare(rows)
  local texts = qe.dataset()
  for i = 1, rows:rows() do
    local source, translation = rows:pair(i)
    texts:append(source, translation)
  end
  return texts
end

local function interval(scores, gold)
  local rng, found = qe.rng(1, "resample"), {}
  for k = 1, RESAMPLED do
    local a, b = {}, {}
    for i = 1, #scores do
      local j = rng:below(#scores) + 1
      a[i], b[i] = scores[j], gold[j]
    end
    found[k] = qe.pearson(a, b)
  end
  table.sort(found)
  return found[math.ceil(.025 * RESAMPLED)], found[math.ceil(.975 * RESAMPLED)]
end

local function measured(model, pair, threads)
  local table_rows, report = {}, {}
  for _, set in ipairs { "dev", "test20" } do
    local rows <close> = assert(evaluate.read(data .. "/" .. pair, set))
    local texts <close> = bare(rows)
    local gold = rows:column "gold"
    local text, decoder = evaluate.scores(model, texts, threads), evaluate.scores(model, rows, threads)
    local low, high = interval(text, gold)
    local low_decoder, high_decoder = interval(decoder, gold)
    local pearson, pearson_decoder = qe.pearson(text, gold), qe.pearson(decoder, gold)
    local spearman = qe.spearman(text, gold)
    table_rows[#table_rows + 1] = ("| %s | %.3f (%.3f to %.3f) | %.3f (%.3f to %.3f) | %.3f |\n"):format(
      set, pearson, low, high, pearson_decoder, low_decoder, high_decoder, spearman)
    report[#report + 1] = ("%s\t%s\t%.4f\t%.4f\t%.4f\n"):format(pair, set, pearson, pearson_decoder, spearman)
  end
  return table.concat(table_rows), table.concat(report)
end

local function append(path, text)
  local file = assert(io.open(path, "a"))
  assert(file:write(text))
  assert(file:close())
end

local function make_student(pair)
  return function(output)
    local threads <close> = qe.pool(THREADS)
    local draft = work .. "/" .. pair .. ".qe"
    local own = { init = ("%s/vectors.%s.qe"):format(work, pair), parallel = post_edits(pair) }
    local model = run("kd", pair, draft, with(STUDENT, own), { ("%s/%s.train.tsv.gz"):format(OUTPUTS, pair) })
    local rows, report = measured(model, pair, threads)
    local from, to = pair:match "^(%a+)%-(%a+)$"
    from, to = LANGUAGES[from] or from, LANGUAGES[to] or to
    model:set_card(CARD:format(pair, from .. " to " .. to, #lines.text(draft) // 1000, pair, RESAMPLED, rows,
                               from == "Russian" and " and Reddit," or ","))
    model:set_licence(lines.text(here .. "/LICENSE"))
    assert(model:save(output))
    os.remove(draft)
    append(work .. "/students.tsv", report)
    model:close()
  end
end

for _, pair in ipairs(PAIRS) do
  step(("%s/vectors.%s.qe"):format(work, pair), "word vectors of " .. pair, make_vectors(pair))
  step(("%s/%s.qe"):format(models, pair), "student of " .. pair, make_student(pair))
end
