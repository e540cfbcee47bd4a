-- Made-up data for small.lua:  qestrel lua examples/study/generate.lua FOLDER
local qe = require "qestrel"
local folder = assert(..., "generate.lua FOLDER")
local generate = dofile((arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../generate.lua")
for seed, set in ipairs { "train", "dev", "test" } do
  local rows = generate.rows(qe, set == "train" and 600 or 300, seed)
  local noise = set == "train" and 0.15 or 0
  generate.write(("%s/%s.tsv"):format(folder, set), rows, { score = generate.judged(qe, rows, noise, seed) })
end
