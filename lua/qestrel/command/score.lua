--- qestrel score
local qe = require "qestrel"
local lines = require "qestrel.lines"
local progress = require "qestrel.progress"

local command = { summary = "Predict the quality of translations." }

local FIRST_BATCH, LAST_BATCH, BATCH_SECONDS = 64, 1024, 0.5
local MOST_LOGPROB = 3.4e38 -- of a float

function command.configure(parser)
  parser:option("-m --model", "Model archive."):argname("MODEL.qe"):count "1"
  parser:option("-s --source", "Sources, a line each (with -t)."):argname "SRC"
  parser:option("-t --target", "Translations, a line each (with -s); otherwise source<TAB>translation on stdin.")
    :argname "TGT"
  parser:option("--logprobs", "Log-probabilities of the decoder's tokens and end token, a line per pair.")
    :argname "FILE"
  parser:option("--logprob-tokens", "The decoder's tokens, a line per pair, to check the counts."):argname "FILE"
  parser:flag("--calibrated", "Print 0 to 1 instead of z-scores.")
  parser:flag("--words", "Also print OK or BAD for each token of the translation, after a TAB.")
  parser:flag("--json", "Print a JSON object per line: score, calibrated, spread, words, reasons.")
  parser:option("--threshold", "Print only the pairs whose score (calibrated, with --calibrated) is at least this.")
    :argname("X"):convert(tonumber)
  parser:option("--threads", "Threads."):argname("N"):convert(math.tointeger):default "1"
end

-- Two files, read whole: their counts are compared before anything is printed.
local function pairs_of_files(source_path, target_path)
  local sources, targets = lines.aligned(source_path, target_path)
  if not sources then return nil, targets end
  local i = 0
  return function()
    i = i + 1
    if sources[i] then return { sources[i], targets[i] } end
  end
end

local function pairs_of_stdin()
  local read = lines.of(io.stdin)
  return function()
    local line = read()
    if not line then return nil end
    local source, translation = line:match "^([^\t]*)\t([^\t]*)$"
    return source and { source, translation } or { problem = select(2, line:gsub("\t", "")) }
  end
end

local function tokens_in(line)
  return select(2, line:gsub("[^%s]+", ""))
end

-- The rules of qe_dataset_read_logprobs, here for files that may be pipes and belong to pairs that are not read yet.
local function parse_logprobs(line, where, tokens)
  local values = {}
  for word in line:gmatch "%S+" do
    local value = tonumber(word)
    if not value or value ~= value or math.abs(value) > MOST_LOGPROB then
      return nil, ("%s: \"%s\", expected a finite number"):format(where, word)
    end
    values[#values + 1] = value
  end
  if #values == 0 then
    return nil, where .. ": no number, expected one for each token and one for the end"
  end
  if tokens and #values ~= tokens_in(tokens) + 1 then
    return nil, ("%s: %d numbers for %d tokens and the end"):format(where, #values, tokens_in(tokens))
  end
  return values
end

local function logprobs_reader(path, tokens_path)
  local list, problem = lines.read(path)
  if not list then return nil, problem end
  local tokens
  if tokens_path then
    tokens, problem = lines.read(tokens_path)
    if not tokens then return nil, problem end
    if #tokens ~= #list then return nil, ("%s has %d lines, %s has %d"):format(path, #list, tokens_path, #tokens) end
  end
  return function(i)
    if not list[i] then return nil, ("%s: ends before line %d"):format(path, i) end
    return parse_logprobs(list[i], ("%s:%d"):format(path, i), tokens and tokens[i])
  end, #list
end

-- ---- what is printed of a pair ----

local function number(value)
  return value and value == value and ("%.6f"):format(value) or "null"
end

-- Tokens of the translation, how likely each is BAD, and whether that is enough to call it so.
local function tagged(item, bad, threshold)
  local list, count = {}, 0
  for token in item[2]:gmatch "[^ \t\r\n\v\f]+" do
    count = count + 1
    list[count] = { word = token, bad = bad[count], tag = bad[count] >= threshold and "BAD" or "OK" }
  end
  return list
end

local function json_words(list)
  local parts = {}
  for i, word in ipairs(list) do
    parts[i] = ('{"word": %s, "bad": %.4f, "tag": "%s"}'):format(lines.quoted(word.word), word.bad, word.tag)
  end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function json_of(shown, item, z)
  local model, reasons = shown.model, {}
  local malformed = item.problem
  for i, reason in ipairs(malformed and { "malformed" } or assert(shown.scorer:reasons(item[1], item[2]))) do
    reasons[i] = '"' .. reason .. '"'
  end
  local words = item.bad and json_words(tagged(item, item.bad, shown.word_threshold))
  return ('{"score": %s, "calibrated": %s, "spread": %s, "words": %s, "reasons": [%s], "line": %d}\n'):format(
    number(z), number(not malformed and model:calibrated(z)), number(not malformed and model:spread(z)),
    words or "null", table.concat(reasons, ", "), item.line)
end

local function text_of(shown, item, value)
  if item.problem then return "nan\n" end
  if shown.arguments.threshold then return item[1] .. "\t" .. item[2] .. "\n" end
  local tags = {}
  for i, word in ipairs(item.bad and tagged(item, item.bad, shown.word_threshold) or {}) do
    tags[i] = word.tag
  end
  local line = ("%.6f"):format(value)
  return shown.arguments.words and line .. "\t" .. table.concat(tags, " ") .. "\n" or line .. "\n"
end

-- An archive of a language pair says once when its input is in other scripts.
local function warn_of_script(shown, item)
  for place, side in ipairs { "source", "target" } do
    if not shown.warned and not item.problem and not shown.model:script_fits(side, item[place]) then
      shown.warned = true
      io.stderr:write(("%s is for %s: the %s of line %d is written in another script\n"):format(
        shown.arguments.model, shown.model:manifest().languages, place == 1 and "source" or "translation", item.line))
    end
  end
end

local function show(shown, item, z)
  local arguments = shown.arguments
  local value = arguments.calibrated and z == z and shown.model:calibrated(z) or z
  if not shown.warned then warn_of_script(shown, item) end
  if arguments.threshold and (value ~= value or value < arguments.threshold) then return end
  shown.kept = shown.kept + 1
  lines.write(arguments.json and json_of(shown, item, z) or text_of(shown, item, value))
end

-- Scores a batch of items and prints one line for each, in order.
local function flush(batch, shown)
  local good = {}
  for _, item in ipairs(batch) do
    if not item.problem then good[#good + 1] = item end
  end
  local scorer, next_good = shown.scorer, 0
  local scores, bad = (shown.wants_words and scorer.words_all or scorer.score_all)(scorer, good)
  assert(scores, bad)
  for _, item in ipairs(batch) do
    if not item.problem then
      next_good = next_good + 1
      item.bad = shown.wants_words and bad[next_good]
    end
    show(shown, item, item.problem and 0 / 0 or scores[next_good])
  end
end

-- Batches grow while they take little time, so that a slow model shows that it is at work.
local function next_size(size, seconds)
  return seconds < BATCH_SECONDS / 2 and math.min(2 * size, LAST_BATCH) or size
end

local function score_all(next_pair, model, arguments, logprobs, logprob_lines)
  local scorer <close> = qe.scorer(model, qe.pool(arguments.threads or 1))
  local threshold = model:word_threshold()
  local shown = { scorer = scorer, model = model, arguments = arguments, word_threshold = threshold, kept = 0,
                  wants_words = threshold and (arguments.words or arguments.json) }
  local batch, line, bad = {}, 0, 0
  local size, counter = FIRST_BATCH, progress.counter "pairs"
  for item in next_pair do
    line = line + 1
    item.line = line
    if item.problem then
      bad = bad + 1
      io.stderr:write(("stdin:%d: %d TABs, expected 1 (source<TAB>translation)\n"):format(line, item.problem))
    elseif logprobs then
      local problem
      item[3], problem = logprobs(line)
      if not item[3] then
        flush(batch, shown)
        return 1, problem
      end
    end
    batch[#batch + 1] = item
    if #batch == size then
      local begin = qe.clock()
      flush(batch, shown)
      size, batch = next_size(size, qe.clock() - begin), {}
      counter:show(line)
    end
  end
  flush(batch, shown)
  counter:close()
  if scorer:truncated() > 0 then
    io.stderr:write(("%d sides longer than the model's limit were cut into windows\n"):format(scorer:truncated()))
  end
  if arguments.threshold then io.stderr:write(("%d of %d pairs kept\n"):format(shown.kept, line)) end
  if logprobs and line < logprob_lines then
    return 1, ("%s has %d lines, but there were %d pair%s"):format(
      arguments.logprobs, logprob_lines, line, line == 1 and "" or "s")
  end
  return bad > 0 and 1 or 0
end

function command.run(arguments)
  if (arguments.source == nil) ~= (arguments.target == nil) then return 2, "-s and -t go together" end
  if arguments.logprob_tokens and not arguments.logprobs then return 2, "--logprob-tokens needs --logprobs" end
  local model, problem = qe.open(arguments.model)
  if not model then return 1, problem end
  if arguments.words and not model:word_threshold() then
    return 2, arguments.model .. " has no head for words: it cannot give --words"
  end
  if arguments.logprobs and model:decoder_inputs() == 0 then
    return 2, arguments.model .. " has no decoder inputs: it cannot use --logprobs"
  end
  local logprobs, logprob_lines, next_pair
  if arguments.logprobs then
    logprobs, logprob_lines = logprobs_reader(arguments.logprobs, arguments.logprob_tokens)
    if not logprobs then return 1, logprob_lines end
  end
  if arguments.source then
    next_pair, problem = pairs_of_files(arguments.source, arguments.target)
    if not next_pair then return 2, problem end
  end
  return score_all(next_pair or pairs_of_stdin(), model, arguments, logprobs, logprob_lines)
end

return command
