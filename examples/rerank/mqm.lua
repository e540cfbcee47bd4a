--- Human judgements of several systems' translations as n-best lists with scores.
--
--    qestrel lua examples/rerank/mqm.lua TABLE.tsv OUT
--
-- TABLE is long: segment system source translation reference mqm, where 0 is perfect and less is worse. OUT.jsonl,
-- OUT.source, OUT.scores (a line for each candidate) and OUT.first (the first candidate of each list) are written, in
-- an order of candidates that is drawn anew for every list, the same in every run.
local qe = require "qestrel"

local path, out = arg[1], arg[2]
local lists, rng = {}, qe.rng(1, "order of systems")
for line in io.lines(path) do
  local segment, system, source, text, score =
    line:match "^(%d+)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t[^\t]*\t([^\t]*)$"
  if segment then
    if not lists[#lists] or lists[#lists].segment ~= segment then
      lists[#lists + 1] = { segment = segment, source = source }
    end
    local list = lists[#lists]
    list[#list + 1] = { system = system, text = text, score = score }
  end
end
local files = {}
for _, name in ipairs { "jsonl", "source", "scores", "first" } do
  files[name] = assert(io.open(out .. "." .. name, "wb"))
end
for i, list in ipairs(lists) do
  for j = #list, 2, -1 do
    local k = rng:below(j) + 1
    list[j], list[k] = list[k], list[j]
  end
  files.source:write(list.source, "\n")
  files.first:write(list[1].text, "\n")
  for _, candidate in ipairs(list) do
    files.jsonl:write(qe.json.encode { id = i - 1, text = candidate.text, system = candidate.system }, "\n")
    files.scores:write(candidate.score, "\n")
  end
end
for _, file in pairs(files) do assert(file:close()) end
