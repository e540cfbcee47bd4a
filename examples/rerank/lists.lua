--- Tables of several systems' translations as n-best lists: a system is a candidate.
--
--    qestrel lua examples/rerank/lists.lua TABLE.tsv OUT [best|random]
--
-- TABLE has a header `source reference <system>...`; OUT.jsonl, OUT.source and OUT.reference are written. `best`: the
-- systems stand in the order of their chrF over the table, and totals tell that order, as if the best one were the
-- decoder's first choice. `random`: every list has an order of its own (the same in every run) and no totals.
local qe = require "qestrel"

local path, out, order = arg[1], arg[2], arg[3] or "random"

local function cells_of(line)
  local cells = {}
  for cell in (line .. "\t"):gmatch "(.-)\t" do cells[#cells + 1] = cell end
  return cells
end

local function read_table()
  local rows, header = {}, nil
  for line in io.lines(path) do
    if not header then
      header = cells_of(line)
    else
      rows[#rows + 1] = cells_of(line)
      if #rows[#rows] ~= #header then error(("%s:%d: not %d cells"):format(path, #rows + 1, #header), 0) end
    end
  end
  return header, rows
end

local function corpus_chrf(rows, column)
  local metric, sums = qe.metric "chrf", nil
  for _, row in ipairs(rows) do
    metric:reference { row[2] }
    local statistics = metric:statistics(row[column])
    for i = 1, #statistics do statistics[i] = statistics[i] + (sums and sums[i] or 0) end
    sums = statistics
  end
  return metric:corpus(sums)
end

-- Columns of the systems, the best one first.
local function ranked(header, rows)
  local columns, values = {}, {}
  for column = 3, #header do
    columns[#columns + 1] = column
    values[column] = corpus_chrf(rows, column)
  end
  table.sort(columns, function(a, b) return values[a] > values[b] end)
  return columns
end

local function shuffle(rng, list)
  for i = #list, 2, -1 do
    local j = rng:below(i) + 1
    list[i], list[j] = list[j], list[i]
  end
end

local header, rows = read_table()
local columns, rng = ranked(header, rows), qe.rng(1, "order of systems")
local lists = assert(io.open(out .. ".jsonl", "wb"))
local source, reference = assert(io.open(out .. ".source", "wb")), assert(io.open(out .. ".reference", "wb"))
for i, row in ipairs(rows) do
  if order == "random" then shuffle(rng, columns) end
  source:write(row[1], "\n")
  reference:write(row[2], "\n")
  for place, column in ipairs(columns) do
    lists:write(qe.json.encode {
      id = i - 1, text = row[column], system = header[column], total = order == "best" and -place or nil,
    }, "\n")
  end
end
for _, file in ipairs { lists, source, reference } do assert(file:close()) end
