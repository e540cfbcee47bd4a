--- What the queues of this folder share: steps that are not done again, the encoder's folder, training, and what is
-- measured of a finished model for its card and report. Not a program.
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"
local train = require "qestrel.train"

local queue = { THREADS = 2, PAIRS = "ro-en,et-en,ne-en,si-en,ru-en,en-de,en-zh" }

local RESAMPLED, LEVEL, SEED = 1000, 0.95, 1
local LANGUAGES = { ro = "Romanian", et = "Estonian", ne = "Nepali", si = "Sinhala", ru = "Russian", de = "German",
                    zh = "Chinese", en = "English" }

--- EPOCHS=N in the environment: other than usual, to try a queue out.
queue.epochs = math.tointeger(tonumber(os.getenv "EPOCHS" or ""))

--- Makes a file, unless it is there.
function queue.step(output, what, make)
  if lines.exists(output) then return end
  local begin = qe.clock()
  io.stderr:write(what, "\n")
  make(output)
  io.stderr:write(("%s: %.1f minutes\n"):format(what, (qe.clock() - begin) / 60))
end

--- Runs a command of the shell with words that it does not look into.
function queue.shell(command, ...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = "'" .. word:gsub("'", "'\\''") .. "'" end
  if not os.execute(command .. " " .. table.concat(words, " ")) then error(command .. " failed", 0) end
end

function queue.append(path, text)
  local file = assert(io.open(path, "a"))
  assert(file:write(text))
  assert(file:close())
end

--- Tables of options as one; later ones count.
function queue.with(...)
  local all = {}
  for _, options in ipairs { ... } do
    for name, value in pairs(options) do all[name] = value end
  end
  return all
end

--- Trains, or goes on with it; raises what goes wrong.
function queue.train(recipe, request)
  request.threads, request.resume = queue.THREADS, true
  local model, problem = train.run(recipe, request)
  return model or error(problem, 0)
end

--- The encoder in the package's file E5, with the pieces that the rows of these sets use.
-- @param uses (optional) minimum =, fine =: how often, to be kept and to be stored as well as others
function queue.import(here, e5, folder, folders, sets, uses)
  local corpus <close> = qe.dataset()
  queue.shell("mkdir -p", folder)
  queue.shell(("%s lua"):format(os.getenv "QESTREL" or "qestrel"), here .. "/e5_folder.lua", e5, folder)
  for _, pair in ipairs(folders) do
    for _, set in ipairs(sets) do assert(corpus:read_mlqe(pair, set)) end
  end
  local choices = queue.with({ prefix = "query: " }, uses or {})
  local model = assert(qe.import(folder, choices, corpus, qe.rng(1, "import")))
  model:set_card "# multilingual-e5-small, pieces of MLQE-PE\n"
  model:set_licence(lines.text(folder .. "/LICENSE"))
  model:set_golden(require "qestrel.golden")
  queue.shell("rm -r", folder)
  return model
end

--- Numbers of a word: so many, or as many as the encoder in an archive has.
function queue.width(encoder, wanted)
  local model <close> = assert(qe.open(encoder, 1 << 32))
  return math.min(wanted, model:manifest().architecture.width)
end

--- The pair's post-edits beside the sources as they were published, as a file in `work`; nil where there are none.
function queue.post_edits(data, work, pair)
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

--- The folder of tags of the pair's words; nil where there are none.
function queue.tags(data, pair)
  local folder = data .. "/" .. pair .. "/post-editing"
  return lines.exists(folder .. "/train.tags") and folder or nil
end

--- "ro-en" -> "Romanian to English".
function queue.spoken(pair)
  local from, to = pair:match "^(%a+)%-(%a+)$"
  return ("%s to %s"):format(LANGUAGES[from] or from, LANGUAGES[to] or to)
end

--- What a teacher says of some rows, by index.
function queue.write_scores(path, rows, score, sigma)
  local index, out = rows:column "index", assert(io.popen("gzip -9n > '" .. path .. "'", "w"))
  out:write "index\tscore\tsigma\n"
  for i = 1, rows:rows() do out:write(("%d\t%.4f\t%.4f\n"):format(index and index[i] or i - 1, score[i], sigma[i])) end
  assert(out:close())
end

local function figures(scores, gold)
  local low, high = qe.bootstrap("pearson", scores, gold, RESAMPLED, LEVEL, SEED)
  return { pearson = qe.pearson(scores, gold), low = low, high = high, spearman = qe.spearman(scores, gold),
           worst_decile_recall = qe.worst_decile_recall(scores, gold) }
end

--- Scores of one set of a pair, { gold =, text =, decoder = }: by the text alone, and with log-probabilities.
function queue.score(model, folder, set, threads)
  local rows <close> = assert(evaluate.read(folder, set))
  local texts <close> = evaluate.texts(rows)
  return { gold = rows:column "gold", text = evaluate.scores(model, texts, threads),
           decoder = evaluate.scores(model, rows, threads) }
end

--- Figures of such scores: text alone, and with log-probabilities.
function queue.measure(scored)
  return figures(scored.text, scored.gold), figures(scored.decoder, scored.gold)
end

--- The head of a card's table of figures, and one row of it.
queue.CARD_HEAD = [[
| | Pearson, text only | Pearson, with log-probabilities | Spearman, text only | worst decile found, text only |
|---|---|---|---|---|
]]
function queue.card_row(name, text, decoder)
  return ("| %s | %.3f (%.3f to %.3f) | %.3f (%.3f to %.3f) | %.3f | %.2f |\n"):format(
    name, text.pearson, text.low, text.high, decoder.pearson, decoder.low, decoder.high, text.spearman,
    text.worst_decile_recall)
end

--- A line of a report: pair, set, Pearson without and with log-probabilities, Spearman, share of the worst tenth found.
function queue.report_line(pair, set, text, decoder)
  return ("%s\t%s\t%.4f\t%.4f\t%.4f\t%.3f\n"):format(pair, set, text.pearson, decoder.pearson, text.spearman,
                                                      text.worst_decile_recall)
end

return queue
