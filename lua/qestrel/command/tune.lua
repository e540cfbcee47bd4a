--- qestrel tune
local qe = require "qestrel"
local command_scores = require "qestrel.command_scores"
local lines = require "qestrel.lines"
local lists = require "qestrel.lists"

local command = { summary = "Fit the weights of features on n-best lists with references or scores." }

function command.configure(parser)
  parser:option("--nbest", "N-best lists of a development set."):argname("FILE"):count "1"
  parser:option("--source", "Source sentences, a line each; a list's id is the number of its line, from 0. Default: "
    .. "the lists' own, where the format has them."):argname "FILE"
  parser:option("--reference", "References, a line each; may be given several times."):argname("FILE"):count "*"
  parser:option("--scores", "In place of references: a score for every line of the lists, higher is better; or "
    .. "cmd:COMMAND, which reads source, translation (and references, if given) and writes a score a line.")
    :argname "FILE"
  parser:option("--metric", "Corpus metric to raise (ter: to lower)."):argname("NAME"):default "chrf"
    :choices { "chrf", "chrf++", "bleu", "ter" }
  parser:option("-m --model", "Model archive; its score is a feature."):argname "MODEL.qe"
  parser:option("--n-best-feature", "Name of that feature."):argname("NAME"):default "QE0"
  parser:option("--features", "Names of features to weigh, separated by commas; default: all that every line has, the "
    .. "model's score, and consensus (MBR0, with word vectors MBRV0; MBRP0, MBRVP0 where there are totals).")
    :argname "LIST"
  parser:option("--guards", "Guards that rerank will have: what they refuse cannot be picked here either.")
    :argname("NAMES"):default "all"
  lists.configure(parser)
  parser:option("-o --output", "Weights, JSON."):argname("WEIGHTS.json"):count "1"
  parser:option("--moses", "The same weights as a Moses [weight] file."):argname "FILE"
  parser:flag("--allow-negative", "Weights may be negative.")
  parser:flag("--best", "The best weights on these lists, without the one-standard-error rule.")
  parser:option("--restarts", "Random starts."):argname("N"):convert(math.tointeger):default "20"
  parser:option("--folds", "Parts of the cross-validated estimate."):argname("N"):convert(math.tointeger):default "5"
  parser:option("--seed", "Seed."):argname("N"):convert(math.tointeger):default "0"
  parser:option("--threads", "Threads."):argname("N"):convert(math.tointeger):default "1"
end

local Evidence = {}
Evidence.__index = Evidence

-- ---- what a candidate is worth ----

local function open_references(self, paths)
  local problem
  self.references, problem = lines.parallel(paths)
  self.metric_name = self.arguments.metric
  self.metric = qe.metric(self.metric_name)
  return self.references, problem
end

-- The lists as rows for a command: source, translation, references.
local function write_rows(self, file)
  local path, rows = self.arguments.nbest, 0
  local nbest, problem = io.open(path, "rb")
  if not nbest then return nil, problem end
  local sources = self.arguments.source and lists.sources(self.arguments.source, "id")
  local function source_of(list)
    if sources then return sources:of(list) end
    return list:source() or ""
  end
  local ok
  ok, problem = lists.each(nbest, path, self.arguments, function(list)
    local source, reason = source_of(list)
    if not source then return nil, ("%s: %s"):format(lists.where(path, list), reason) end
    local behind = self.references and self.references[tonumber(list:id()) + 1] or {}
    for i = 1, #list do
      file:write(table.concat({ source, list:get(i).text, table.unpack(behind) }, "\t"), "\n")
    end
    rows = rows + #list
    return true
  end)
  nbest:close()
  return ok and rows, problem
end

local function open_scores(self, path)
  local problem
  local program = path:match "^cmd:(.*)$"
  if program then
    if #self.arguments.reference > 0 then
      self.references, problem = lines.parallel(self.arguments.reference)
      if not self.references then return nil, problem end
    end
    self.scores, problem = command_scores.run(program, function(file) return write_rows(self, file) end)
  else
    self.scores, problem = lines.numbers(path)
  end
  self.metric_name = "mean"
  return self.scores, problem
end

function Evidence:statistics_of_list(list)
  local statistics = {}
  if self.scores then
    for _ = 1, #list do
      self.used = self.used + 1
      statistics[#statistics + 1] = self.scores[self.used] or 0
      statistics[#statistics + 1] = 1
    end
    if self.used > #self.scores then
      return nil, ("%s has %d scores, fewer than the lists have lines"):format(self.arguments.scores, #self.scores)
    end
    return statistics, 2
  end
  local place, problem = lists.line_of(list:id(), #self.references, self.arguments.reference[1])
  if not place then return nil, problem end
  self.metric:reference(self.references[place])
  local size
  for i = 1, #list do
    local numbers = self.metric:statistics(list:get(i).text)
    size = #numbers
    table.move(numbers, 1, size, #statistics + 1, statistics)
  end
  return statistics, size
end

-- ---- what is known about it ----

-- Lets the reranker add the evidence that can be computed, and say which candidates its guards refuse.
function Evidence:add_evidence(list)
  if self.sources then
    local line, problem = self.sources:of(list)
    if not line then return nil, problem end
    list:set_source(line)
  end
  local order, problem, vetoes = self.reranker:rerank(list)
  return order and vetoes, problem
end

-- What is known of one candidate: arrays of values by name.
local function evidence_of(list, i, added, differ)
  local values, total = {}, list:get(i).total
  for name in list:get(i).features:gmatch "([^%s=]+)=" do values[name] = list:feature(i, name) end
  for _, name in ipairs(added) do values[name] = list:feature(i, name) end
  if total == total then values.total = { total } end
  values.first = { differ and i == 1 and 1 or 0 }
  return values
end

-- Keeps the names that this candidate has too, with as many values.
function Evidence:intersect(candidate)
  if not self.names then
    self.names = {}
    for name, values in pairs(candidate) do self.names[name] = #values end
    return
  end
  for name, count in pairs(self.names) do
    if not candidate[name] or #candidate[name] ~= count then
      self.names[name] = nil
      self.dropped[name] = true
    end
  end
  for name in pairs(candidate) do
    if not self.names[name] then self.dropped[name] = true end
  end
end

function Evidence:visit(list)
  if #list == 0 then return true end
  local where = lists.where(self.arguments.nbest, list)
  local vetoes, problem = self:add_evidence(list)
  if not vetoes then return nil, ("%s: %s"):format(where, problem) end
  local statistics, size = self:statistics_of_list(list)
  if not statistics then return nil, ("%s: %s"):format(where, size) end
  self.size = size
  local candidates, differ = {}, list:totals_differ()
  local kept = {}
  for i = 1, #list do
    if vetoes[i] == "" then
      candidates[#candidates + 1] = evidence_of(list, i, self.added, differ)
      self:intersect(candidates[#candidates])
      table.move(statistics, (i - 1) * size + 1, i * size, #kept + 1, kept)
    end
  end
  self.lists[#self.lists + 1] = { candidates = candidates, statistics = kept }
  return true
end

-- ---- from names to columns ----

-- The plainest first: what the lists hold, then what is computed of them, as it is added.
local function by_plainness(added)
  local place = {}
  for i, name in ipairs(added) do place[name] = i end
  return function(a, b)
    local x, y = place[a] or 0, place[b] or 0
    if x ~= y then return x < y end
    return a < b
  end
end

-- The names in use, in an order of their own; those asked for must be there.
function Evidence:chosen_names()
  local names = {}
  if not self.names.total then self.names.MBRP0, self.names.MBRVP0 = nil, nil end
  if self.arguments.features then
    for name in self.arguments.features:gmatch "[^,]+" do
      if not self.names[name] then return nil, ("not every line has a feature %s"):format(name) end
      names[#names + 1] = name
    end
  else
    for name in pairs(self.names) do names[#names + 1] = name end
  end
  table.sort(names, by_plainness(self.added))
  return names
end

function Evidence:fill_tuner(names)
  local columns = 0
  for _, name in ipairs(names) do columns = columns + self.names[name] end
  local tuner = qe.tuner(columns, self.size)
  for _, list in ipairs(self.lists) do
    local values = {}
    for _, candidate in ipairs(list.candidates) do
      for _, name in ipairs(names) do
        table.move(candidate[name], 1, self.names[name], #values + 1, values)
      end
    end
    local ok, problem = tuner:add(values, list.statistics)
    if not ok then return nil, problem end
  end
  return tuner
end

-- Weights by name; what got none is left out.
function Evidence:named(names, weights)
  local named, used = {}, 0
  for _, name in ipairs(names) do
    local values = table.move(weights, used + 1, used + self.names[name], 1, {})
    used = used + #values
    local any = false
    for _, value in ipairs(values) do any = any or value ~= 0 end
    if any then named[name] = #values == 1 and values[1] or values end
  end
  return named
end

-- The lines of a Moses [weight] section.
local function weight_lines(named)
  local names, rows = {}, {}
  for name in pairs(named) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local words = {}
    for i, value in ipairs(type(named[name]) == "table" and named[name] or { named[name] }) do
      words[i] = qe.json.encode(value)
    end
    rows[#rows + 1] = name .. "= " .. table.concat(words, " ") .. "\n"
  end
  return table.concat(rows)
end

local function report(self, named, result)
  local down = self.metric_name == "ter" and -1 or 1
  local function interval(pair)
    if down < 0 then return ("%.4f to %.4f"):format(-pair[2], -pair[1]) end
    return ("%.4f to %.4f"):format(pair[1], pair[2])
  end
  lines.write(("%d lists, %s\n"):format(#self.lists, self.metric_name))
  lines.write(("first candidates  %.4f\n"):format(down * result.first))
  lines.write(("these weights     %.4f (difference %s)\n"):format(down * result.tuned, interval(result.gain)))
  if result.validated == result.validated then
    lines.write(("held-out lists    %.4f (difference %s)\n"):format(
      down * result.validated, interval(result.validated_gain)))
  end
  lines.write(("best weights      %.4f\n"):format(down * result.best))
  if not next(named) then lines.write "no gain beyond one standard error: the decoder's order stays\n" end
  lines.write(weight_lines(named))
end

-- Of what can be computed, what is wanted.
local function make_reranker(self)
  local arguments, wanted = self.arguments, {}
  for name in (arguments.features or ""):gmatch "[^,]+" do wanted[name] = true end
  local model, problem
  if arguments.model then
    model, problem = qe.open(arguments.model)
    if not model then return nil, problem end
  end
  self.reranker = qe.reranker(model, model and qe.pool(arguments.threads or 1))
  local named = {}
  for _, name in ipairs(lists.CONSENSUS) do
    local known = not name:match "^MBRV" or model and model:word_vectors()
    if known and (not arguments.features or wanted[name]) then
      named[name] = 0
      self.added[#self.added + 1] = name
    end
  end
  if model then
    self.reranker:quality(arguments.n_best_feature)
    self.added[#self.added + 1] = arguments.n_best_feature
  end
  local ok
  ok, problem = self.reranker:guards(arguments.guards)
  if not ok then return nil, problem end
  return self.reranker:weights(next(named) and qe.json.encode(named) or "{}", "tune")
end

local function make(arguments)
  local self = setmetatable({ arguments = arguments, lists = {}, dropped = {}, added = {}, used = 0 }, Evidence)
  local ok, problem
  local by_command = arguments.scores and arguments.scores:match "^cmd:"
  if not by_command and (#arguments.reference > 0) == (arguments.scores ~= nil) then
    return nil, "either --reference or --scores is needed", 2
  end
  if arguments.scores then
    ok, problem = open_scores(self, arguments.scores)
  else
    ok, problem = open_references(self, arguments.reference)
  end
  if not ok then return nil, problem end
  if arguments.source then
    self.sources, problem = lists.sources(arguments.source, "id")
    if not self.sources then return nil, problem end
  end
  ok, problem = make_reranker(self)
  return ok and self, problem
end

local function read_lists(self)
  local path = self.arguments.nbest
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local ok
  ok, problem = lists.each(file, path, self.arguments, function(list) return self:visit(list) end)
  file:close()
  if not ok then return nil, problem end
  if #self.lists == 0 then return nil, path .. ": no lists" end
  if self.scores and self.used ~= #self.scores then
    return nil, ("%s has %d scores, the lists have %d lines"):format(self.arguments.scores, #self.scores, self.used)
  end
  for name in pairs(self.dropped) do
    io.stderr:write(("feature %s is left out: not every line has it, with as many values\n"):format(name))
  end
  return true
end

local function write(self, named)
  local ok, problem = qe.write_file(self.arguments.output, qe.json.encode(named, "pretty") .. "\n")
  if ok and self.arguments.moses then
    ok, problem = qe.write_file(self.arguments.moses, "[weight]\n" .. weight_lines(named))
  end
  return ok, problem
end

function command.run(arguments)
  local self, problem, status = make(arguments)
  if not self then return status or 1, problem end
  local ok, names, tuner
  ok, problem = read_lists(self)
  if not ok then return 1, problem end
  names, problem = self:chosen_names()
  if not names then return 1, problem end
  tuner, problem = self:fill_tuner(names)
  if not tuner then return 1, problem end
  local weights, result = tuner:run(self.metric_name, {
    restarts = arguments.restarts, folds = arguments.folds, seed = arguments.seed,
    negative = arguments.allow_negative, simplest = not arguments.best,
  })
  if not weights then return 1, result end
  local named = self:named(names, weights)
  ok, problem = write(self, named)
  if not ok then return 1, problem end
  report(self, named, result)
  return 0
end

return command
