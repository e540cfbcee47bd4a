--- qestrel lexicon
local qe = require "qestrel"
local lines = require "qestrel.lines"

local command = { summary = "Count a lexicon of words and their translations on parallel text." }

function command.configure(parser)
  parser:option("--data", "Folder of one MLQE-PE language pair: its training rows."):argname("DIR"):count "*"
  parser:option("--train", "TSV of pairs."):argname("FILE"):count "*"
  parser:option("-s --source", "Parallel text, a sentence a line (with -t)."):argname "SRC"
  parser:option("-t --target", "Its translations, a line each (with -s)."):argname "TGT"
  parser:option("-o --output", "TSV: source word, target word, p(target | source), p(source | target). An empty word "
    .. "stands for what nothing else explains."):argname("FILE"):count "1"
  parser:option("--least", "Entries that are less probable in both directions are left out."):argname("P")
    :convert(tonumber):default "0.01"
  parser:option("--iterations", "Of expectation maximisation."):argname("N"):convert(math.tointeger):default "6"
  parser:option("--letters", "Of a word that count; longer ones are cut."):argname("N"):convert(math.tointeger)
    :default "5"
  parser:option("--threads", "Threads; they do not change the result."):argname("N"):convert(math.tointeger):default "1"
end

local function add_parallel(data, source_path, target_path)
  local sources, targets = lines.aligned(source_path, target_path)
  if not sources then return nil, targets end
  for i, source in ipairs(sources) do data:append(source, targets[i]) end
  return true
end

local function read_all(arguments)
  local data = qe.dataset()
  for _, folder in ipairs(arguments.data) do
    local ok, problem = data:read_mlqe(folder, "train")
    if not ok then return nil, problem end
  end
  for _, path in ipairs(arguments.train) do
    local ok, problem = data:read(path)
    if not ok then return nil, problem end
  end
  if arguments.source then
    local ok, problem = add_parallel(data, arguments.source, arguments.target)
    if not ok then return nil, problem end
  end
  return data
end

local LINE = "%s\t%s\t%.6f\t%.6f\n"

-- By source word, most frequent first; then what only the other direction has.
local function write_table(lexicon, least, path)
  local parts = { "source\ttarget\ttarget_given_source\tsource_given_target\n" }
  for i = 1, lexicon:entries "source" do
    local source, target, forward = lexicon:entry("source", i)
    local backward = source == "" and 0 or lexicon:probability("target", target, source)
    if math.max(forward, backward) >= least then parts[#parts + 1] = LINE:format(source, target, forward, backward) end
  end
  for i = 1, lexicon:entries "target" do
    local target, source, backward = lexicon:entry("target", i)
    if target ~= "" then break end -- the empty word comes first
    if backward >= least then parts[#parts + 1] = LINE:format(source, "", 0, backward) end
  end
  local written, problem = qe.write_file(path, table.concat(parts))
  return written and #parts - 1, problem
end

function command.run(arguments)
  if (arguments.source == nil) ~= (arguments.target == nil) then return 2, "-s and -t go together" end
  if #arguments.data + #arguments.train == 0 and not arguments.source then
    return 2, "nothing to count: give --data, --train, or -s and -t"
  end
  if not arguments.threads or arguments.threads < 1 then return 2, "--threads is a whole number, at least 1" end
  local data, problem = read_all(arguments)
  if not data then return 1, problem end
  local lexicon, options = qe.lexicon(), { iterations = arguments.iterations, letters = arguments.letters }
  local trained, reason = lexicon:train(data, options, qe.pool(arguments.threads))
  if not trained then return 1, reason end
  local count
  count, problem = write_table(lexicon, arguments.least, arguments.output)
  if not count then return 1, problem end
  io.stderr:write(("%d pairs, %d and %d words, %d entries\n"):format(data:rows(), lexicon:words "source",
    lexicon:words "target", count))
  return 0
end

return command
