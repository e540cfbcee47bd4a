--- qestrel compare
local qe = require "qestrel"
local compare = require "qestrel.compare"
local lines = require "qestrel.lines"
local lists = require "qestrel.lists"

local command = { summary = "Put two outputs side by side, with paired intervals and what lists would have allowed." }

function command.configure(parser)
  parser:argument("a", "Translations, a line each; what the others are compared with."):args "?"
  parser:argument("b", "The same lines, translated otherwise."):args "?"
  parser:option("--reference", "References, a line each; may be given several times."):argname("FILE"):count "*"
  parser:option("--metric", "chrf, chrf++, bleu, bleu:TOKENIZER or ter; may be given several times. Default: chrf, "
    .. "bleu and ter."):argname("NAME"):args("+"):count "*"
  parser:option("--scores-a", "In place of references: a score for every line of A, higher is better."):argname "FILE"
  parser:option("--scores-b", "The same for B."):argname "FILE"
  parser:option("--nbest", "Lists that A and B were picked from; an id is the number of a line, from 0.")
    :argname "FILE"
  parser:option("--scores", "In place of references: a score for every line of the lists."):argname "FILE"
  parser:option("--systems", "In place of lists: a table with a header source, reference, <system>...; its references "
    .. "serve where none are given."):argname "FILE.tsv"
  lists.configure(parser)
  parser:option("--source", "Source sentences, for the sheet."):argname "FILE"
  parser:option("--ab", "Write a blinded sheet for human judges (choice: 1, 2 or =)."):argname "SHEET.tsv"
  parser:option("--key", "Which side of the sheet is A; written with --ab, read with --judge."):argname "KEY.tsv"
  parser:option("--sample", "Lines of the sheet at most."):argname("N"):convert(math.tointeger):default "100"
  parser:option("--judge", "Count the choices in a sheet that was filled in."):argname "SHEET.tsv"
  parser:option("--resamples", "Resamples of the bootstrap."):argname("N"):convert(math.tointeger):default "1000"
  parser:option("--seed", "Seed."):argname("N"):convert(math.tointeger):default "0"
  parser:flag("--json", "Print JSON.")
end

-- ---- reading ----

local function cells_of(line)
  local cells = {}
  for cell in (line .. "\t"):gmatch "(.-)\t" do cells[#cells + 1] = cell end
  return cells
end

-- Rows of a TSV with a header, as arrays; the header first.
local function read_table(path)
  local texts, problem = lines.read(path)
  if not texts then return nil, problem end
  local rows = {}
  for i, text in ipairs(texts) do
    rows[i] = cells_of(text)
    if #rows[i] ~= #rows[1] then
      return nil, ("%s:%d: %d cells, the header has %d"):format(path, i, #rows[i], #rows[1])
    end
  end
  if #rows == 0 then return nil, path .. ": empty, expected a header" end
  return rows
end

local function read_systems(self, path)
  local rows, problem = read_table(path)
  if not rows then return nil, problem end
  if rows[1][1] ~= "source" or rows[1][2] ~= "reference" or #rows[1] < 3 then
    return nil, path .. ":1: expected a header source, reference, <system>..."
  end
  self.candidates, self.systems = {}, true
  for i = 2, #rows do
    local list = {}
    for column = 3, #rows[i] do list[column - 2] = { text = rows[i][column], system = rows[1][column] } end
    self.candidates[i - 1] = list
    self.sources[i - 1] = rows[i][1]
    if #self.arguments.reference == 0 then self.references[i - 1] = { rows[i][2] } end
  end
  return true
end

local function read_lists(self, path)
  local scores, used = nil, 0
  if self.arguments.scores then
    local refused
    scores, refused = lines.numbers(self.arguments.scores)
    if not scores then return nil, refused end
  end
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  self.candidates = {}
  local ok
  ok, problem = lists.each(file, path, self.arguments, function(list)
    local place, reason = lists.line_of(list:id(), #self.a, self.arguments.a)
    if not place then return nil, ("%s: %s"):format(lists.where(path, list), reason) end
    local candidates = {}
    for i = 1, #list do
      local candidate = list:get(i)
      candidates[i] = { text = candidate.text, system = candidate.system, score = scores and scores[used + i] }
      if scores and not candidates[i].score then
        return nil, ("%s has %d scores, fewer than the lists have lines"):format(self.arguments.scores, #scores)
      end
    end
    used = used + #list
    self.candidates[place] = candidates
    return true
  end)
  file:close()
  if not ok then return nil, problem end
  for place = 1, #self.a do
    local list = self.candidates[place]
    if not list or #list == 0 then return nil, ("%s has no list for line %d"):format(path, place) end
  end
  return true
end

local function read_outputs(self)
  local arguments, problem = self.arguments
  self.a, problem = lines.read(arguments.a)
  if not self.a then return nil, problem end
  self.b, problem = lines.read(arguments.b)
  if not self.b then return nil, problem end
  if #self.a ~= #self.b then
    return nil, ("%s has %d lines, %s has %d"):format(arguments.a, #self.a, arguments.b, #self.b)
  elseif #self.a == 0 then
    return nil, arguments.a .. " has no lines"
  end
  return true
end

local function read_candidates(self)
  local arguments = self.arguments
  if arguments.systems then return read_systems(self, arguments.systems) end
  if arguments.nbest then return read_lists(self, arguments.nbest) end
  return true
end

local function read_references(self)
  if #self.arguments.reference == 0 then return true end
  local problem
  self.references, problem = lines.parallel(self.arguments.reference, #self.a, self.arguments.a)
  return self.references, problem
end

local function read_sources(self)
  if not self.arguments.source then return true end
  local problem
  self.sources, problem = lines.read(self.arguments.source)
  return self.sources, problem
end

-- ---- judging ----

local function judges_of(self)
  if self.arguments.scores then return { compare.by_candidates(self.candidates) } end
  local judges = {}
  if #self.references == 0 then return judges end
  local names = {}
  for _, group in ipairs(self.arguments.metric) do table.move(group, 1, #group, #names + 1, names) end
  if #names == 0 then names = { "chrf", "bleu", "ter" } end
  for i, name in ipairs(names) do
    local ok, judge = pcall(compare.by_metric, name, self.references)
    if not ok then return nil, judge end
    judges[i] = judge
  end
  return judges
end

local function first_choices(self, judge)
  local texts = {}
  for line, list in ipairs(self.candidates) do texts[line] = list[1].text end
  return compare.output("first choice", texts, judge)
end

-- A, B, and what the candidates would have allowed; a refusal is raised.
local function outputs_of(self, judge)
  local function checked(output, problem) return output or error(problem, 0) end
  local outputs = {
    checked(compare.output("A", self.a, judge)), checked(compare.output("B", self.b, judge)),
  }
  if not self.candidates then return outputs end
  if not self.systems then outputs[#outputs + 1] = checked(first_choices(self, judge)) end
  local best, problem = compare.best_system(self.candidates, judge)
  outputs[#outputs + 1] = best or problem and error(problem, 0) or nil
  local yardsticks = checked(compare.yardsticks(self.candidates, judge))
  return table.move(yardsticks, 1, #yardsticks, #outputs + 1, outputs)
end

local function scored_lines(self)
  local scores = {}
  for _, side in ipairs { "scores_a", "scores_b" } do
    local problem
    scores[side], problem = lines.numbers(self.arguments[side])
    if not scores[side] then return nil, problem end
    if #scores[side] ~= #self.a then
      return nil, ("%s has %d scores, %s has %d lines"):format(
        self.arguments[side], #scores[side], self.arguments.a, #self.a)
    end
  end
  local judge = { name = "score", direction = 1, size = 2 }
  function judge.corpus(sums) return sums[1] / sums[2] end
  local outputs = {}
  for i, side in ipairs { "scores_a", "scores_b" } do
    local output = { name = i == 1 and "A" or "B", rows = {}, lines = scores[side] }
    for _, value in ipairs(scores[side]) do table.move({ value, 1 }, 1, 2, #output.rows + 1, output.rows) end
    outputs[i] = output
  end
  return compare.rows(outputs, judge, self.arguments.resamples, self.arguments.seed)
end

-- ---- printing ----

local function print_rows(name, count, rows)
  lines.write(("%s, %d lines\n"):format(name, count))
  for _, row in ipairs(rows) do
    lines.write(("  %-32s %9.4f"):format(row.name, row.value))
    if row.gap then lines.write(("  %6.1f %% of the gap"):format(100 * row.gap)) end
    if row.difference then
      lines.write(("  %+.4f (%+.4f to %+.4f, p %.3f)"):format(row.difference, row.low, row.high, row.p))
    end
    if row.wins then lines.write(("  %d wins, %d ties, %d losses"):format(row.wins, row.ties, row.losses)) end
    lines.write "\n"
  end
end

local function print_all(self, tables)
  if self.arguments.json then
    local object = { lines = #self.a, seed = self.arguments.seed, resamples = self.arguments.resamples, metrics = {} }
    for i, entry in ipairs(tables) do object.metrics[i] = { metric = entry.name, outputs = entry.rows } end
    lines.write(qe.json.encode(object, "pretty"), "\n")
    return
  end
  for _, entry in ipairs(tables) do print_rows(entry.name, #self.a, entry.rows) end
end

local function write_sheet(self)
  local arguments = self.arguments
  local sheet, key = compare.sheet(self.sources, self.a, self.b, arguments.sample, arguments.seed)
  local ok, problem = qe.write_file(arguments.ab, sheet)
  if not ok then return nil, problem end
  return qe.write_file(arguments.key, key)
end

-- ---- a sheet that came back ----

-- Wins of B over A from the choices.
local function count_choices(sheet, key, path)
  local sides, counts = {}, { A = 0, B = 0, ties = 0, open = 0 }
  for i = 2, #key do sides[key[i][1]] = key[i][2] end
  for i = 2, #sheet do
    local id, choice = sheet[i][1], (sheet[i][5] or ""):match "^%s*(.-)%s*$"
    local first = sides[id]
    if not first then return nil, ("%s:%d: id %s is not in the key"):format(path, i, id) end
    if choice == "" then
      counts.open = counts.open + 1
    elseif choice == "=" then
      counts.ties = counts.ties + 1
    elseif choice == "1" or choice == "2" then
      local won = (choice == "1") == (first == "A") and "A" or "B"
      counts[won] = counts[won] + 1
    else
      return nil, ("%s:%d: choice \"%s\", expected 1, 2, = or nothing"):format(path, i, choice)
    end
  end
  return counts
end

local function judge(arguments)
  if not arguments.key then return 2, "--judge needs --key" end
  local sheet, key, counts, problem
  sheet, problem = read_table(arguments.judge)
  if not sheet then return 1, problem end
  key, problem = read_table(arguments.key)
  if not key then return 1, problem end
  counts, problem = count_choices(sheet, key, arguments.judge)
  if not counts then return 1, problem end
  counts.p = compare.sign_test(counts.B, counts.A)
  if arguments.json then
    lines.write(qe.json.encode(counts, "pretty"), "\n")
  else
    lines.write(("B over A: %d wins, %d ties, %d losses, %d open (sign test: p %.3f)\n"):format(
      counts.B, counts.ties, counts.A, counts.open, counts.p))
  end
  return 0
end

-- ---- run ----

local function misuse(arguments)
  if not arguments.a or not arguments.b then return "two outputs are needed" end
  if (arguments.ab == nil) ~= (arguments.key == nil) then return "--ab and --key go together" end
  if (arguments.scores_a == nil) ~= (arguments.scores_b == nil) then return "--scores-a and --scores-b go together" end
  if arguments.nbest and arguments.systems then return "either --nbest or --systems" end
  if arguments.scores and not arguments.nbest then return "--scores needs --nbest" end
  local worth = #arguments.reference > 0 or arguments.systems or arguments.scores or arguments.scores_a
  if not worth and not arguments.ab then return "references, scores or --ab are needed" end
end

local function tables_of(self)
  if self.arguments.scores_a then
    local rows, problem = scored_lines(self)
    return rows and { { name = "score", rows = rows } }, problem
  end
  local judges, problem = judges_of(self)
  if not judges then return nil, problem end
  local tables = {}
  for i, each in ipairs(judges) do
    local ok, outputs = pcall(outputs_of, self, each)
    if not ok then return nil, outputs end
    tables[i] = { name = each.name,
                  rows = compare.rows(outputs, each, self.arguments.resamples, self.arguments.seed) }
  end
  return tables
end

function command.run(arguments)
  if arguments.judge then return judge(arguments) end
  local wrong = misuse(arguments)
  if wrong then return 2, wrong end
  local self = { arguments = arguments, references = {}, sources = {} }
  for _, step in ipairs { read_outputs, read_sources, read_candidates, read_references } do
    local ok, problem = step(self)
    if not ok then return 1, problem end
  end
  if self.candidates and #self.candidates ~= #self.a then
    return 1, ("%s has %d lines, the candidates have %d"):format(arguments.a, #self.a, #self.candidates)
  end
  local tables, problem = tables_of(self)
  if not tables then return 1, problem end
  print_all(self, tables)
  if arguments.ab then
    local ok
    ok, problem = write_sheet(self)
    if not ok then return 1, problem end
  end
  return 0
end

return command
