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
  parser:flag("--json", "Print a JSON object per line.")
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

local function printer(model, arguments)
  return function(z)
    local value = arguments.calibrated and z == z and model:calibrated(z) or z
    if arguments.json then
      local known = value == value
      local name = arguments.calibrated and "calibrated" or "score"
      lines.write(known and ('{"%s": %.6f}\n'):format(name, value) or ('{"%s": null}\n'):format(name))
    else
      lines.write(value == value and ("%.6f\n"):format(value) or "nan\n")
    end
  end
end

-- Scores a batch of items and prints one line for each, in order.
local function flush(batch, scorer, print_score)
  local good = {}
  for _, item in ipairs(batch) do
    if not item.problem then good[#good + 1] = item end
  end
  local scores, next_good = scorer:score_all(good), 0
  for _, item in ipairs(batch) do
    if not item.problem then next_good = next_good + 1 end
    print_score(item.problem and 0 / 0 or scores[next_good])
  end
end

-- Batches grow while they take little time, so that a slow model shows that it is at work.
local function next_size(size, seconds)
  return seconds < BATCH_SECONDS / 2 and math.min(2 * size, LAST_BATCH) or size
end

local function score_all(next_pair, model, arguments, logprobs, logprob_lines)
  local scorer <close> = qe.scorer(model, qe.pool(arguments.threads or 1))
  local print_score, batch, line, bad = printer(model, arguments), {}, 0, 0
  local size, counter = FIRST_BATCH, progress.counter "pairs"
  for item in next_pair do
    line = line + 1
    if item.problem then
      bad = bad + 1
      io.stderr:write(("stdin:%d: %d TABs, expected 1 (source<TAB>translation)\n"):format(line, item.problem))
    elseif logprobs then
      local problem
      item[3], problem = logprobs(line)
      if not item[3] then
        flush(batch, scorer, print_score)
        return 1, problem
      end
    end
    batch[#batch + 1] = item
    if #batch == size then
      local begin = qe.clock()
      flush(batch, scorer, print_score)
      size, batch = next_size(size, qe.clock() - begin), {}
      counter:show(line)
    end
  end
  flush(batch, scorer, print_score)
  counter:close()
  if scorer:truncated() > 0 then
    io.stderr:write(("%d sides longer than the model's limit were cut into windows\n"):format(scorer:truncated()))
  end
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
