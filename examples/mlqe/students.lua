-- students.lua - the models of models/, as a queue that goes on where it was stopped:
--
--   qestrel lua examples/mlqe/students.lua DATA WORK MODELS [PAIR,PAIR...]
--
-- DATA holds the pairs' folders of MLQE-PE, WORK the encoder that teachers.lua has made (WORK/encoder.qe), MODELS gets
-- PAIR.qe with its card and licence. Per pair: word vectors from the encoder (WORK/vectors.PAIR.qe, two minutes on two
-- cores), then an aligned student, distilled from the human scores and from what teachers that have not seen a row say
-- of it (outputs/, made by teachers.lua; elsewhere: OUTPUTS=DIR in the environment). The decoder's log-probabilities
-- are hidden from it in a share of the rows, so that one archive judges with and without them. Boosted trees have a say
-- in its score. Where DATA has the pair's post-edits, its lexicon is counted on them, too, and words are learned from
-- their tags.
-- WORK/students.tsv: Pearson on dev and test20 without and with log-probabilities, Spearman, worst decile found.
-- EPOCHS=N: fewer, to try it out.
local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
local qe = require "qestrel"
local lines = require "qestrel.lines"
local pool = require "qestrel.pool"
local queue = require "queue"
local student = require "student"

local data, work, models = arg[1], arg[2], arg[3]
if not models then
  io.stderr:write "usage: qestrel lua students.lua DATA WORK MODELS [PAIR,PAIR...]\n"
  os.exit(2)
end
local PAIRS = pool.folders(arg[4] or queue.PAIRS)
local OUTPUTS = os.getenv "OUTPUTS" or here .. "/outputs"

local WIDTH = queue.width(work .. "/encoder.qe", 64)
local CARD = [[
# %s: quality of machine translation from %s

An aligned student of %d kB: cross attention over a lexicon, n-gram counts and word vectors, no recurrence; boosted
trees over what can be counted of a pair have a say in its score. It gives a z-score (higher is better) for a source and
its translation%s. The decoder's log-probabilities of the translation's tokens make it better where there are any.

**Data.** MLQE-PE (%s, CC0-1.0): direct assessments, 7000 rows to train on, 1000 to stop and calibrate by; post-edits,
for the lexicon and the tags of words. **Teachers.** multilingual-e5-small (MIT licence, see LICENSE), fine-tuned on all
seven pairs; each training row was judged by one that had not seen its source. Word vectors come from the states of the
same encoder.

**Measured** on dev, which training was stopped by, and on test20, with 95 %% intervals of resampled sets:

%s
Calibrated, a score is the %s (calibration error %.3f on rows it was not fitted on). The
spread holds %.0f %% of the human scores of such rows; it is meant to hold 80.

**Limits.** Sentences of Wikipedia%s translated by one system of 2019; other domains and systems were not
measured. Longer texts than 100 words a side are scored in windows. The score says how a translation would be judged
beside those of other sentences; to choose among candidates for one sentence, use `qestrel rerank`, which adds
consensus.
]]

local function make_vectors(pair)
  return function(output)
    local options = queue.with(student.words(pair, WIDTH), { encoder = work .. "/encoder.qe", epochs = queue.epochs })
    queue.train("vectors", { data = data .. "/" .. pair, output = output, options = options, quiet = true }):close()
  end
end

-- ---- what its card says ----

local function measured(model, pair, threads)
  local rows, report = { queue.CARD_HEAD }, {}
  for _, set in ipairs { "dev", "test20" } do
    local text, decoder = queue.measure(queue.score(model, data .. "/" .. pair, set, threads))
    rows[#rows + 1] = queue.card_row(set, text, decoder)
    report[#report + 1] = queue.report_line(pair, set, text, decoder)
  end
  return table.concat(rows), table.concat(report)
end

local function card_of(model, pair, bytes, rows)
  local manifest = model:manifest()
  local dev, tagged = manifest.metrics.dev, ""
  if dev.word_mcc then
    tagged = (", and says which of its words are BAD (Matthews correlation %.3f on dev, tags from post-edits)"):format(
      dev.word_mcc)
  end
  return CARD:format(pair, queue.spoken(pair), bytes // 1000, tagged, pair, rows, manifest.calibration.meaning,
                     dev.calibration_error, 100 * dev.coverage, pair:match "^ru" and " and Reddit," or ",")
end

local function make_student(pair)
  return function(output)
    local threads <close> = qe.pool(queue.THREADS)
    local draft = work .. "/" .. pair .. ".qe"
    local own = { init = ("%s/vectors.%s.qe"):format(work, pair), parallel = queue.post_edits(data, work, pair),
                  tags = queue.tags(data, pair), epochs = queue.epochs }
    local model <close> = queue.train("kd", {
      data = data .. "/" .. pair, output = draft, quiet = true,
      options = queue.with(student.options(pair), student.words(pair, WIDTH), student.shipped(pair), own),
      teachers = { ("%s/%s.train.tsv.gz"):format(OUTPUTS, pair) },
    })
    local rows, report = measured(model, pair, threads)
    model:set_card(card_of(model, pair, #lines.text(draft), rows))
    model:set_licence(lines.text(here .. "/LICENSE"))
    assert(model:save(output))
    os.remove(draft)
    queue.append(work .. "/students.tsv", report)
  end
end

for _, pair in ipairs(PAIRS) do
  queue.step(("%s/vectors.%s.qe"):format(work, pair), "word vectors of " .. pair, make_vectors(pair))
  queue.step(("%s/%s.qe"):format(models, pair), "student of " .. pair, make_student(pair))
end
