--- qestrel rerank
local qe = require "qestrel"
local lines = require "qestrel.lines"
local lists = require "qestrel.lists"

local command = { summary = "Add the predicted quality to n-best lists and re-sort them." }

function command.configure(parser)
  parser:option("-m --model", "Model archive; without it lists are only re-sorted."):argname "MODEL.qe"
  parser:option("--source", "Source sentences, a line each."):argname("FILE"):count "1"
  parser:option("--source-by", "id: a list's id is the number of its source line, from 0; order: lists come in the "
    .. "order of the source lines."):argname("HOW"):choices({ "id", "order" }):default "id"
  parser:option("--weights", "Weights of features: JSON or a Moses [weight] file."):argname "FILE"
  parser:flag("--n-best", "Print the re-sorted lists instead of the best translations.")
  parser:option("--n-best-feature", "Name of the feature that is added."):argname("NAME"):default "QE0"
  parser:flag("--retotal", "Write the weighted sum in place of the decoder's total.")
  parser:option("--threads", "Threads."):argname("N"):convert(math.tointeger):default "1"
end

local Reranker = {}
Reranker.__index = Reranker

-- From --weights, else the manifest, else the decoder's total alone.
local function load_weights(path, model)
  local weights = qe.weights()
  local text, problem
  if path then
    text, problem = lines.text(path)
    if not text then return nil, problem end
  elseif model and model:manifest().weights then
    text = qe.json.encode(model:manifest().weights)
  end
  if text then
    local ok
    ok, problem = weights:parse(text, path or "manifest.json")
    if not ok then return nil, problem end
    return weights
  end
  weights:set("total", 1)
  return weights
end

-- The source line of a list, by its id or by its place.
function Reranker:source_line(id, line)
  if self.arguments.source_by == "order" then
    local place = self.lists + 1
    if not self.sources[place] then
      return nil, ("stdin:%d: list %d, but %s has only %d lines"):format(
        line, place, self.arguments.source, #self.sources)
    end
    return place
  end
  local place, problem = lists.line_of(id, #self.sources, self.arguments.source,
    "--source-by order does not need numbers")
  if not place then return nil, ("stdin:%d: %s"):format(line, problem) end
  return place
end

function Reranker:add_quality(list, place)
  if not self.scorer then return true end
  local items = {}
  for i = 1, #list do items[i] = { self.sources[place], list:get(i).text } end
  return list:append(self.arguments.n_best_feature, self.scorer:score_all(items))
end

-- Prints what can be printed: 1-best by id waits until all lines before it are known.
function Reranker:emit(place, best)
  if self.arguments.source_by == "order" then
    lines.write(best, "\n")
    return
  end
  self.best[place] = best
  while self.best[self.printed + 1] do
    lines.write(self.best[self.printed + 1], "\n")
    self.printed = self.printed + 1
  end
end

function Reranker:visit(list, id, line)
  local place, problem = self:source_line(id, line)
  if not place then return nil, problem end
  local ok
  ok, problem = self:add_quality(list, place)
  if not ok then return nil, problem end
  local order, totals = list:rank(self.weights)
  if not order then return nil, ("list %s: %s"):format(id, totals) end
  self.lists = self.lists + 1
  if not self.arguments.n_best then
    self:emit(place, list:get(order[1]).text)
    return true
  end
  for _, i in ipairs(order) do
    lines.write(list:line(i, self.arguments.retotal and totals[i] or nil), "\n")
  end
  return true
end

function Reranker:finish()
  if self.arguments.source_by == "order" and self.lists < #self.sources then
    return nil, ("%d lists for %d lines of %s"):format(self.lists, #self.sources, self.arguments.source)
  end
  if self.arguments.source_by == "id" and not self.arguments.n_best then
    for place = self.printed + 1, #self.sources do lines.write(self.best[place] or "", "\n") end
  end
  return true
end

local function make(arguments)
  local self = setmetatable({
    arguments = arguments, lists = 0, printed = 0, best = {},
  }, Reranker)
  local problem, model
  if arguments.model then
    model, problem = qe.open(arguments.model)
    if not model then return nil, problem end
    self.scorer = qe.scorer(model, qe.pool(arguments.threads or 1))
  end
  self.weights, problem = load_weights(arguments.weights, model)
  if not self.weights then return nil, problem end
  self.sources, problem = lines.read(arguments.source)
  if not self.sources then return nil, problem end
  return self
end

function command.run(arguments)
  local reranker, problem = make(arguments)
  if not reranker then return 1, problem end
  local ok
  ok, problem = lists.each(io.stdin, "stdin", function(...) return reranker:visit(...) end)
  if not ok then return 1, problem end
  ok, problem = reranker:finish()
  if not ok then return 1, problem end
  if reranker.scorer and reranker.scorer:truncated() > 0 then
    io.stderr:write(("%d sides longer than the model's limit were cut\n"):format(reranker.scorer:truncated()))
  end
  return 0
end

return command
