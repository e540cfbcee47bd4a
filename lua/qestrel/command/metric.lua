--- qestrel metric
local qe = require "qestrel"
local lines = require "qestrel.lines"

local command = { summary = "Compare translations with references: chrF, BLEU, TER, as sacreBLEU scores them." }

local DEFAULT = { "chrf", "bleu", "ter" }

function command.configure(parser)
  parser:option("--reference", "Reference translations, a line each; several files are several references.")
    :argname("FILE"):count "1+"
  parser:option("--metric", "chrf, chrf++, bleu, bleu:TOKENIZER (13a, zh, intl, char, none) or ter; default: chrf, "
    .. "bleu and ter."):argname("NAME"):args("+"):count "*"
  parser:flag("--sentence", "Print the scores of each line, a column for each metric, instead of the corpus's.")
end

-- "--metric a b" and "--metric a --metric b" are the same.
local function chosen(groups)
  local names = {}
  for _, group in ipairs(groups) do table.move(group, 1, #group, #names + 1, names) end
  return #names > 0 and names or DEFAULT
end

local function make_metrics(names)
  local metrics = {}
  for i, name in ipairs(names) do
    local ok, metric = pcall(qe.metric, name)
    if not ok then return nil, metric end
    local sums = {}
    for j = 1, #metric do sums[j] = 0 end
    metrics[i] = { name = name, metric = metric, sums = sums }
  end
  return metrics
end

-- Adds the statistics of one line; returns its scores as text.
local function take(metrics, hypothesis, references)
  local cells = {}
  for i, entry in ipairs(metrics) do
    entry.metric:reference(references)
    local statistics = entry.metric:statistics(hypothesis)
    for j, value in ipairs(statistics) do entry.sums[j] = entry.sums[j] + value end
    cells[i] = ("%.6f"):format(entry.metric:sentence(statistics))
  end
  return table.concat(cells, "\t")
end

function command.run(arguments)
  local metrics, problem = make_metrics(chosen(arguments.metric))
  if not metrics then return 2, problem end
  local hypotheses = lines.read()
  if #hypotheses == 0 then return 1, "stdin has no lines" end
  local references
  references, problem = lines.parallel(arguments.reference, #hypotheses, "stdin")
  if not references then return 1, problem end
  for i, hypothesis in ipairs(hypotheses) do
    local scores = take(metrics, hypothesis, references[i])
    if arguments.sentence then lines.write(scores, "\n") end
  end
  if arguments.sentence then return 0 end
  for _, entry in ipairs(metrics) do
    lines.write(("%s\t%.6f\n"):format(entry.name, entry.metric:corpus(entry.sums)))
  end
  return 0
end

return command
