--- qestrel rerank
local qe = require "qestrel"
local lines = require "qestrel.lines"
local lists = require "qestrel.lists"
local report = require "qestrel.report"

local command = { summary = "Pick the best translation of n-best lists, or re-sort them." }

local OUTPUTS = { "moses", "marian", "cdec", "joshua", "travatar", "fairseq", "ct2", "sockeye", "flat", "jsonl" }

function command.configure(parser)
  parser:option("-m --model", "Model archive; its score is added to the lists."):argname "MODEL.qe"
  parser:option("--source", "Source sentences, a line each; default: the lists' own, where the format has them.")
    :argname "FILE"
  parser:option("--source-by", "id: a list's id is the number of its source line, from 0; order: lists come in the "
    .. "order of the source lines. Default: id with --source, else order."):argname("HOW"):choices { "id", "order" }
  parser:option("--weights", "Weights of features: JSON or a Moses [weight] file; \"decoder\" keeps the decoder's "
    .. "order. Default: those in the model, else shipped ones that are named on stderr."):argname "FILE"
  parser:option("--guards", "Guards that refuse a switch: all, none, or names joined by commas; =-NAME is all but "
    .. "that one. Names: " .. qe.guard_names():gsub(" ", ", ") .. ".")
    :argname("NAMES"):default "all"
  parser:option("--languages", "Source and target language, \"et-en\"; default: the model's."):argname "PAIR"
  lists.configure(parser)
  parser:flag("--n-best", "Print the re-sorted lists instead of the best translations.")
  parser:option("--output-format", "The same in another format."):argname("NAME"):choices(OUTPUTS)
  parser:option("--n-best-feature", "Name of the feature that holds the model's score."):argname("NAME"):default "QE0"
  parser:flag("--retotal", "Write the weighted sum in place of the decoder's total.")
  parser:option("--report", "What changed, and why, as text; the same as JSON in FILE.json."):argname "FILE"
  parser:option("--reference", "For the report: references, a line for each source."):argname("FILE"):count "*"
  parser:option("--scores", "For the report: a score for every line of the lists, higher is better.")
    :argname "FILE"
  parser:option("--metric", "For the report: chrf, chrf++, bleu or ter."):argname("NAME"):default "chrf"
    :choices { "chrf", "chrf++", "bleu", "ter" }
  parser:flag("--shadow", "Change nothing: print the decoder's own choice, and log what would have been picked.")
  parser:option("--log", "File for the log of --shadow, a JSON object per list; default: stderr."):argname "FILE"
  parser:option("--threads", "Threads."):argname("N"):convert(math.tointeger):default "1"
end

local Reranker = {}
Reranker.__index = Reranker

-- ---- output ----

-- Prints what can be printed: 1-best by id waits until all lines before it are known.
function Reranker:emit(place, best)
  if self.by == "order" then
    lines.write(best, "\n")
  else
    self.best[place] = best
    while self.best[self.printed + 1] do
      lines.write(self.best[self.printed + 1], "\n")
      self.printed = self.printed + 1
      self.best[self.printed] = nil
    end
  end
end

function Reranker:print(list, place, decision)
  local shadow = self.arguments.shadow
  if not self.n_best then
    local best = #list > 0 and list:get(shadow and 1 or decision.order[1]).text or ""
    self:emit(place, (best:gsub("\n", " ")))
    return true
  end
  -- Evidence that only shipped weights asked for leaves no trace.
  if self.shipped then
    for _, name in ipairs(lists.CONSENSUS) do list:remove(name) end
  end
  local totals = self.arguments.retotal and not shadow and decision.totals or nil
  local text, problem = list:write(self.arguments.output_format, not shadow and decision.order or nil, totals)
  if not text then return nil, ("list %s: %s"):format(list:id(), problem) end
  lines.write(text)
  return true
end

-- ---- one list ----

function Reranker:find_source(list)
  if self.sources then
    local line, place = self.sources:of(list)
    if not line then return nil, ("%s: %s"):format(lists.where("stdin", list), place) end
    list:set_source(line)
    return place
  end
  if self.by == "order" then return self.lists + 1 end
  local id = list:id() or tostring(self.lists)
  local place = id:match "^%d+$" and math.tointeger(tonumber(id))
  if not place then return nil, ("%s: id \"%s\" is not a number"):format(lists.where("stdin", list), id) end
  return place + 1
end

-- Says once what is in use where nobody chose it.
function Reranker:name_weights()
  local origin = self.reranker:origin()
  self.shipped = origin:match "^default%-" ~= nil
  if self.named[origin] or self.arguments.quiet or not self.shipped then return end
  self.named[origin] = true
  io.stderr:write(("weights: shipped %s; qestrel tune fits your own\n"):format(origin))
end

function Reranker:visit(list)
  local place, problem = self:find_source(list)
  if not place then return nil, problem end
  local plain = self.arguments.shadow and self.n_best and list:write(nil)
  local order, totals, vetoes = self.reranker:rerank(list)
  if not order then return nil, ("%s: %s"):format(lists.where("stdin", list), totals) end
  self.lists = self.lists + 1
  if #list > 0 then self:name_weights() end
  local decision = { order = order, totals = totals, vetoes = vetoes }
  local ok
  ok, problem = self.report:add(list, place, decision)
  if not ok then return nil, problem end
  if self.arguments.shadow then self:log(list, decision) end
  if plain then
    lines.write(plain)
  else
    ok, problem = self:print(list, place, decision)
    if not ok then return nil, problem end
  end
  io.stdout:flush()
  return true
end

function Reranker:log(list, decision)
  if #list == 0 then return end
  local pick = decision.order[1]
  self.log_file:write(qe.json.encode {
    id = list:id(), first = list:get(1).text, pick = list:get(pick).text, place = pick,
    margin = decision.totals[pick] - decision.totals[1], weights = self.reranker:origin(), model = self.sha256,
  }, "\n")
end

function Reranker:finish()
  if self.sources and self.by == "order" then
    local count = self.sources:size()
    if self.lists < count then
      return nil, ("%d lists for %d lines of %s"):format(self.lists, count, self.arguments.source)
    end
  elseif self.by == "id" and not self.n_best then
    local last = self.sources and self.sources:size() or self.printed
    for place in pairs(self.best) do last = math.max(last, place) end
    for place = self.printed + 1, last do lines.write(self.best[place] or "", "\n") end
  end
  local ok, problem = self.report:write()
  if not ok then return nil, problem end
  if self.reranker:truncated() > 0 then
    local long = self.reranker:truncated()
    io.stderr:write(("%d sides longer than the model's limit were cut into windows\n"):format(long))
  end
  return true
end

-- ---- set up ----

local function open_model(self)
  if not self.arguments.model then
    self.reranker = qe.reranker()
    return true
  end
  local model, problem = qe.open(self.arguments.model)
  if not model then return nil, problem end
  self.sha256 = model:sha256()
  self.reranker = qe.reranker(model, qe.pool(self.arguments.threads or 1))
  self.reranker:quality(self.arguments.n_best_feature)
  return true
end

local function choose_weights(self)
  local path = self.arguments.weights
  if not path then return true end
  local text, problem = "{}", nil
  if path ~= "decoder" then text, problem = lines.text(path) end
  if not text then return nil, problem end
  return self.reranker:weights(text, path)
end

local function choose_languages(self)
  local pair = self.arguments.languages
  if not pair then return true end
  local source, target = pair:match "^(%a%a%a?)%-(%a%a%a?)$"
  if not source then return nil, ("--languages %s: expected two codes, as in et-en"):format(pair) end
  return self.reranker:languages(source, target)
end

local function open_log(self)
  self.log_file = io.stderr
  if not self.arguments.log then return true end
  local problem
  self.log_file, problem = io.open(self.arguments.log, "wb")
  return self.log_file, problem
end

local function open_sources(self)
  self.by = self.arguments.source_by
    or (self.arguments.source or self.arguments.format == "fairseq") and "id" or "order"
  if not self.arguments.source then return true end
  local problem
  self.sources, problem = lists.sources(self.arguments.source, self.by)
  return self.sources, problem
end

local function make(arguments)
  local self = setmetatable({
    arguments = arguments, lists = 0, printed = 0, best = {}, named = {},
    n_best = arguments.n_best or arguments.output_format ~= nil,
  }, Reranker)
  for _, step in ipairs { open_model, choose_weights, choose_languages, open_log, open_sources } do
    local ok, problem = step(self)
    if not ok then return nil, problem end
  end
  local ok, problem = self.reranker:guards(arguments.guards)
  if not ok then return nil, problem end
  self.report, problem = report.new(arguments, self.reranker, self.sha256)
  return self.report and self, problem
end

function command.run(arguments)
  if arguments.weights == "decoder" and arguments.retotal then
    return 2, "--weights decoder has no sums to write for --retotal"
  end
  local self, problem = make(arguments)
  if not self then return 1, problem end
  local ok
  ok, problem = lists.each(io.stdin, "stdin", arguments, function(list) return self:visit(list) end)
  if not ok then return 1, problem end
  ok, problem = self:finish()
  if not ok then return 1, problem end
  return 0
end

return command
