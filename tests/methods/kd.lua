-- M1: labels with noise as large as the signal, a teacher that is the truth with a little noise, unlabelled pairs that
-- it has scored, and a filter by its sigma.
local harness = require "harness"
local qe = require "qestrel"
local world = harness.world
local SEEDS, UNLABELLED = 5, 20000

-- Pairs that the teacher alone has seen; 30 % of them with five times the noise, of which sigma knows.
local function augmentation(folder, seed, name, sizes, sigma)
  local list = world.pairs(qe, { rows = UNLABELLED, seed = 7000 + seed })
  local told = world.noisy(qe, world.truth(list), function(i) return sizes[i] end, seed)
  local file <close> = assert(io.open(("%s/%s.tsv"):format(folder, name), "w"))
  file:write "source\ttranslation\tteacher_score\tsigma\n"
  for i, pair in ipairs(list) do file:write(("%s\t%s\t%.6f\t%.6f\n"):format(pair[1], pair[2], told[i], sigma[i])) end
end

local function deviation(values)
  local mean, squares = harness.mean(values), 0
  for _, value in ipairs(values) do squares = squares + (value - mean) ^ 2 / #values end
  return math.sqrt(squares)
end

local figures = harness.seeds(SEEDS, function(seed)
  local folder, result = harness.folder(), {}
  local signal = deviation(world.truth(world.pairs(qe, { rows = 2000, seed = seed })))
  local sets = world.make(qe, folder, { seed = seed, train = 1000, noise = signal })
  world.write_teacher(folder, "teacher", world.noisy(qe, world.truth(sets.train), 0.2 * signal, seed + 1))
  local rng, even, uneven = qe.rng(seed, "sizes"), {}, {}
  for i = 1, UNLABELLED do even[i], uneven[i] = 0.2 * signal, (rng:uniform() < 0.3 and 1 or 0.2) * signal end
  local permuted = table.move(uneven, 1, UNLABELLED, 1, {})
  rng:shuffle(permuted)
  augmentation(folder, seed, "clean", even, even)
  augmentation(folder, seed, "noisy", uneven, uneven)
  augmentation(folder, seed, "permuted", uneven, permuted)
  local function run(name, recipe, extra)
    result[name] = harness.pearson(harness.train(recipe, folder, seed, extra, { "teacher.tsv" }), folder)
  end
  run("gold", "gold")
  run("kd", "kd")
  run("clean", "kd", { augment = folder .. "/clean.tsv", epochs = 4 })
  run("noisy", "kd", { augment = folder .. "/noisy.tsv", epochs = 4 })
  run("filtered", "kd", { augment = folder .. "/noisy.tsv", keep = 0.6, epochs = 4 })
  run("permuted", "kd", { augment = folder .. "/permuted.tsv", keep = 0.6, epochs = 4 })
  return result
end)

local function gain(a, b) return (harness.difference(figures[a], figures[b])) end
harness.check("kd with unlabelled pairs - gold", gain("clean", "gold"), ">=", 0.10)
harness.check("kd at equal data - gold", gain("kd", "gold"), ">=", 0.02)
local filtered, low = harness.difference(figures.filtered, figures.noisy)
harness.report("noise filter - none", filtered)
harness.check("noise filter - none, lower end", low, ">", 0)
local _, permuted_low = harness.difference(figures.permuted, figures.noisy)
harness.report("noise filter by permuted sigma - none", gain("permuted", "noisy"))
harness.check("noise filter by permuted sigma - none, lower end", permuted_low, "<=", 0)
harness.finish()
