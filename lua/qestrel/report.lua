--- What reranking changed: how many first choices moved, which feature decided and which guard refused, and, where
-- references or scores are given, what that was worth. Collected list by list; written once, as text and as JSON.
-- @module qestrel.report
local qe = require "qestrel"
local lines = require "qestrel.lines"

local report = {}
local Report = {}
Report.__index = Report

-- ---- what a candidate is worth ----

local Worth = {}
Worth.__index = Worth

-- Sentence metric and sums for the corpus, of the first choice and of the pick.
local function of_references(arguments)
  local references, problem = lines.parallel(arguments.reference)
  if not references then return nil, problem end
  local metric = qe.metric(arguments.metric)
  local function zeros()
    local sums = {}
    for i = 1, #metric do sums[i] = 0 end
    return sums
  end
  return setmetatable({
    name = arguments.metric, references = references, metric = metric, path = arguments.reference[1],
    down = arguments.metric == "ter" and -1 or 1, sums = { first = zeros(), pick = zeros() },
  }, Worth)
end

local function of_scores(arguments)
  local scores, problem = lines.numbers(arguments.scores)
  if not scores then return nil, problem end
  return setmetatable({
    name = "mean score", scores = scores, path = arguments.scores, used = 0, down = 1,
    sums = { first = { 0, 0 }, pick = { 0, 0 } },
  }, Worth)
end

local function add(sums, statistics)
  for i, value in ipairs(statistics) do sums[i] = sums[i] + value end
end

function Worth:measure(list, place, candidates)
  local values = {}
  if not self.references[place] then
    return nil, ("%s has %d lines, list %s needs line %d"):format(self.path, #self.references, list:id(), place)
  end
  self.metric:reference(self.references[place])
  for name, i in pairs(candidates) do
    local statistics = self.metric:statistics(list:get(i).text)
    add(self.sums[name], statistics)
    values[name] = self.down * self.metric:sentence(statistics)
  end
  return values
end

function Worth:look_up(list, candidates)
  local values, before = {}, self.used
  self.used = before + #list
  if self.used > #self.scores then
    return nil, ("%s has %d scores, fewer than the lists have lines"):format(self.path, #self.scores)
  end
  for name, i in pairs(candidates) do
    values[name] = self.scores[before + i]
    add(self.sums[name], { values[name], 1 })
  end
  return values
end

function Worth:of(list, place, candidates)
  if self.scores then return self:look_up(list, candidates) end
  return self:measure(list, place, candidates)
end

-- Over all lists.
function Worth:corpus(name)
  local sums = self.sums[name]
  if self.scores then return sums[2] > 0 and sums[1] / sums[2] or 0 / 0 end
  return self.metric:corpus(sums)
end

-- ---- collecting ----

--- @param arguments of rerank: report, reference, scores, metric
-- @param reranker whose decisions these are
-- @param sha256 of the model, or nil
-- @return report, or nil and a message; one that collects nothing where no report is asked for
function report.new(arguments, reranker, sha256)
  local self = setmetatable({
    path = arguments.report, reranker = reranker, shadow = arguments.shadow, began = qe.clock(),
    counts = { lists = 0, hypotheses = 0, moved = 0, empty = 0, wins = 0, ties = 0, losses = 0 },
    decided = {}, guards = {}, weights = {}, model = sha256, sampled = 0, standard_error = 0,
  }, Report)
  if not self.path then return self end
  local problem
  if #arguments.reference > 0 and arguments.scores then
    return nil, "either --reference or --scores, not both"
  elseif #arguments.reference > 0 then
    self.worth, problem = of_references(arguments)
  elseif arguments.scores then
    self.worth, problem = of_scores(arguments)
  end
  return not problem and self or nil, problem
end

local function count(counts, name)
  counts[name] = (counts[name] or 0) + 1
end

-- The feature that speaks most for the pick against the first choice; names in order where they say the same.
function Report:count_decider(list, pick)
  local ours, theirs = self.reranker:contributions(list, pick), self.reranker:contributions(list, 1)
  local best
  for name, value in pairs(ours) do
    local gain = value - theirs[name]
    if not best or gain > best.gain or gain == best.gain and name < best.name then
      best = { name = name, gain = gain }
    end
  end
  if best then count(self.decided, best.name) end
end

-- The guards that refused what would have won.
function Report:count_guards(decision)
  local fired = {}
  for place = 2, self.reranker:refused() + 1 do
    for name in decision.vetoes[decision.order[place]]:gmatch "[^,]+" do fired[name] = true end
  end
  for name in pairs(fired) do count(self.guards, name) end
end

--- Takes the decision about one list.
-- @return true, or nil and a message
function Report:add(list, place, decision)
  if not self.path then return true end
  local counts = self.counts
  counts.lists = counts.lists + 1
  counts.hypotheses = counts.hypotheses + #list
  if #list == 0 then
    counts.empty = counts.empty + 1
    return true
  end
  local pick = decision.order[1]
  local moved = list:get(pick).text ~= list:get(1).text
  count(self.weights, self.reranker:origin())
  self:count_guards(decision)
  local deviation = self.reranker:standard_error()
  if deviation > 0 then
    self.sampled = self.sampled + 1
    self.standard_error = math.max(self.standard_error, deviation)
  end
  if moved then
    counts.moved = counts.moved + 1
    self:count_decider(list, pick)
  end
  if not self.worth then return true end
  local values, problem = self.worth:of(list, place, { first = 1, pick = pick })
  if not values then return nil, problem end
  local what = values.pick > values.first and "wins" or values.pick < values.first and "losses" or "ties"
  counts[what] = counts[what] + 1
  return true
end

-- ---- writing ----

local function listed(counts)
  local names, cells = {}, {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  for i, name in ipairs(names) do cells[i] = name .. " " .. counts[name] end
  return #cells > 0 and table.concat(cells, ", ") or "none"
end

function Report:text()
  local c, rows = self.counts, {}
  local function row(name, format, ...) rows[#rows + 1] = ("%-13s " .. format .. "\n"):format(name, ...) end
  row("lists", "%d (%d hypotheses, %d without any)", c.lists, c.hypotheses, c.empty)
  row("moved", "%d (%.1f %% of the first choices)%s", c.moved, 100 * c.moved / math.max(1, c.lists - c.empty),
    self.shadow and ", had this not been a shadow" or "")
  row("decided by", "%s", listed(self.decided))
  row("refused by", "%s", listed(self.guards))
  row("weights", "%s", listed(self.weights))
  row("model", "%s", self.model or "none")
  if self.sampled > 0 then
    row("consensus", "of %d long lists from a sample, standard error at most %.4f", self.sampled, self.standard_error)
  end
  if self.worth then
    local first, pick = self.worth:corpus "first", self.worth:corpus "pick"
    row(self.worth.name, "first choices %.4f, picks %.4f, difference %+.4f", first, pick, pick - first)
    row("picks", "%d wins, %d ties, %d losses", c.wins, c.ties, c.losses)
  end
  return table.concat(rows)
end

function Report:json()
  local c = self.counts
  local object = {
    lists = c.lists, hypotheses = c.hypotheses, empty = c.empty, moved = c.moved, decided = self.decided,
    guards = self.guards, weights = self.weights, model = self.model, shadow = self.shadow or false,
    seconds = qe.clock() - self.began, sampled = self.sampled, standard_error = self.standard_error,
  }
  if self.worth then
    object.metric = self.worth.name
    object.first, object.pick = self.worth:corpus "first", self.worth:corpus "pick"
    object.wins, object.ties, object.losses = c.wins, c.ties, c.losses
  end
  return qe.json.encode(object, "pretty") .. "\n"
end

--- Writes FILE and FILE.json.
-- @return true, or nil and a message
function Report:write()
  if not self.path then return true end
  local ok, problem = qe.write_file(self.path, self:text())
  if not ok then return nil, problem end
  return qe.write_file(self.path .. ".json", self:json())
end

return report
