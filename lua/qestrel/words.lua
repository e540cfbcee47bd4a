--- Words that people have tagged: what a head for them learns from, and how good it is. --tags=DIR holds train.mt (the
-- translations of the training rows in tokens) and train.tags (OK or BAD for each), and the same for dev.
-- @module qestrel.words
local qe = require "qestrel"
local lines = require "qestrel.lines"

local words = {}

--- What recipes with such a head add to their options.
words.options = {
  { "tags", "", "folder of train.mt, train.tags, dev.mt, dev.tags: translations in tokens, OK or BAD for each" },
  { "tag_weight", 0.3, "weight of the loss of tagged words beside that of the score" },
}

--- Options with those in addition.
function words.among(options)
  local all = table.move(options, 1, #options, 1, {})
  return table.move(words.options, 1, #words.options, #all + 1, all)
end

--- Reads the tags of the training rows, where there are some; rows that are added later have none.
function words.setup(run)
  local folder = run.options.tags
  if folder == "" then return end
  local ok, problem = run.train:read_tags(folder .. "/train.mt", folder .. "/train.tags")
  if not ok then error(problem, 0) end
end

--- The loss of a pass, and beside it that of its tagged words: squared distance of the probability of BAD.
function words.add(run, batch, pass, loss)
  if run.options.tags == "" then return loss end
  local tags = batch:tags(run.tape, run.student)
  local bad, known = tags:columns(1, 1), tags:columns(2, 1)
  local distance = (pass:tap "words"):sigmoid():squared_error(bad) * known
  local count = math.max(known:sum():item(), 1)
  return loss + distance:sum() * (run.options.tag_weight / count)
end

-- ---- how good it is ----

--- A line of tags as an array of booleans, true for BAD; those of gaps are left out.
function words.parse(line, tokens)
  local list, all = {}, {}
  for tag in line:gmatch "%S+" do all[#all + 1] = tag == "BAD" end
  local gaps = #all > tokens
  for i, bad in ipairs(all) do
    if not gaps or i % 2 == 0 then list[#list + 1] = bad end
  end
  return list
end

local function mcc(tp, fp, fn, tn)
  local product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
  return product > 0 and (tp * tn - fp * fn) / math.sqrt(product) or 0.0
end

--- Matthews correlation of "probability at least threshold" with BAD.
function words.correlation(found, threshold)
  local tp, fp, fn, tn = 0, 0, 0, 0
  for _, item in ipairs(found) do
    if item.probability >= threshold then
      if item.bad then tp = tp + 1 else fp = fp + 1 end
    elseif item.bad then
      fn = fn + 1
    else
      tn = tn + 1
    end
  end
  return mcc(tp, fp, fn, tn)
end

--- The threshold with the highest correlation, of 99.
function words.threshold(found)
  local best, best_mcc = 0.5, -2.0
  for step = 1, 99 do
    local correlation = words.correlation(found, step / 100)
    if correlation > best_mcc then best, best_mcc = step / 100, correlation end
  end
  return best
end

--- Every tagged token of some rows: { probability =, bad = }, by row.
-- @param tokens, tags paths
-- @param most (optional) rows from the first that are looked at
function words.judge(model, rows, tokens, tags, threads, most)
  local scorer <close> = qe.scorer(model, threads)
  local texts, marks = lines.aligned(tokens, tags)
  if not texts then error(marks, 0) end
  local by_row, pairs_ = {}, {}
  for i = 1, math.min(most or math.huge, rows:rows()) do pairs_[i] = { (rows:pair(i)), texts[i] } end
  local scores, probabilities = scorer:words_all(pairs_)
  for i, own in ipairs(scores and probabilities or error(probabilities, 0)) do
    by_row[i] = {}
    for k, bad in ipairs(words.parse(marks[i], #own)) do by_row[i][k] = { probability = own[k], bad = bad } end
  end
  return by_row
end

local function flat(by_row, first, step)
  local all = {}
  for i = first, #by_row, step do table.move(by_row[i], 1, #by_row[i], #all + 1, all) end
  return all
end

--- Finds the threshold on the dev rows and describes it in the manifest.
-- @return the correlation of each half with the threshold of the other, on average; nil without tags of dev
function words.describe(run)
  local folder, student = run.options.tags or "", run.student
  if folder == "" or not lines.exists(folder .. "/dev.tags") then return nil end
  student:prepare()
  local by_row = words.judge(student, run.dev, folder .. "/dev.mt", folder .. "/dev.tags", run.pool)
  local odd, even = flat(by_row, 1, 2), flat(by_row, 2, 2)
  assert(student:describe { words = { threshold = words.threshold(flat(by_row, 1, 1)) } })
  return (words.correlation(odd, words.threshold(even)) + words.correlation(even, words.threshold(odd))) / 2
end

return words
