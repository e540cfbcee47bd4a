-- Sums up study.sh: means over the seeds and the paired difference (Student's t, seven degrees of freedom).
local qe = require "qestrel"

local T = 2.365

local function pearson(name)
  local file <close> = assert(io.open(name, "rb"))
  return assert(qe.json.decode(file:read "a")).model.pearson.value
end

local function mean(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values
end

local function half_width(values)
  local centre, squares = mean(values), 0
  for _, value in ipairs(values) do squares = squares + (value - centre) ^ 2 end
  return T * math.sqrt(squares / (#values - 1) / #values)
end

for _, vocabulary in ipairs { "ngrams", "words" } do
  local gold, kd, gain = {}, {}, {}
  for seed = 1, 8 do
    gold[seed] = pearson(("%s/gold.%s.%d.json"):format(arg[1], vocabulary, seed))
    kd[seed] = pearson(("%s/kd.%s.%d.json"):format(arg[1], vocabulary, seed))
    gain[seed] = kd[seed] - gold[seed]
  end
  print(("%s: gold %.4f, kd %.4f, difference %+.4f (%+.4f to %+.4f)"):format(
    vocabulary, mean(gold), mean(kd), mean(gain), mean(gain) - half_width(gain), mean(gain) + half_width(gain)))
end
