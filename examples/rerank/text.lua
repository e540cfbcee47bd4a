--- Parallel text in two invented languages, for a decoder to learn from, and judged translations for a student.
--
--    qestrel lua examples/rerank/text.lua FOLDER
--
-- train.source, train.target: translations with mistakes, as the web has them; dev and test: with correct references,
-- of sentences that no training line has. judged.tsv, judged-dev.tsv: translations with scores from noisy judges. Words
-- are separated by blanks.
local qe = require "qestrel"
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local generate = dofile(here .. "/../generate.lua")

local folder = arg[1]

local function separated(text) return (text:gsub("%-", " - "):gsub("%.$", " .")) end

local function write(name, rows, column)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  for _, row in ipairs(rows) do assert(file:write(separated(row[column]), "\n")) end
  assert(file:close())
end

local function write_pair(name, rows)
  write(name .. ".source", rows, 1)
  write(name .. ".target", rows, 2)
end

-- Rows whose source is new.
local function unseen(rows, seen)
  local new = {}
  for _, row in ipairs(rows) do
    if not seen[row[1]] then new[#new + 1] = row end
  end
  return new
end

local function judged(name, count, seed)
  local rows = generate.rows(qe, count, seed)
  for _, row in ipairs(rows) do row[1], row[2] = separated(row[1]), separated(row[2]) end
  generate.write(folder .. "/" .. name, rows, { score = generate.judged(qe, rows, .1, seed) })
end

local train, seen = generate.rows(qe, 8000, 1), {}
for _, row in ipairs(train) do seen[row[1]] = true end
write_pair("train", train)
write_pair("dev", unseen(generate.parallel(qe, 1500, 3), seen))
write_pair("test", unseen(generate.parallel(qe, 1000, 4), seen))
judged("judged.tsv", 6000, 5)
judged("judged-dev.tsv", 500, 6)
