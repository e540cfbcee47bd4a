-- Five language pairs that come one after another, in three orders: what a student keeps of the first ones (Chuang et
-- al. 2020), with a teacher of its own for every pair, with kept rows alone, and with neither. Kept rows are labelled
-- by the student as it was. --data is a folder that holds mlqe-pe/.
local ORDERS = {
  { "ro-en", "et-en", "ne-en", "si-en", "ru-en" },
  { "ru-en", "si-en", "ne-en", "et-en", "ro-en" },
  { "ne-en", "ro-en", "ru-en", "et-en", "si-en" },
}

local data, orders = {}, {}
for i, order in ipairs(ORDERS) do
  data[i] = { name = "from " .. order[1], folder = "mlqe-pe/" .. order[1] }
  orders[data[i].name] = order
end

local function stream(taught, replay)
  return function(set, placed)
    local rest = {}
    for i = 2, #orders[set.name] do rest[i - 1] = placed("mlqe-pe/" .. orders[set.name][i]) end
    return { tasks = table.concat(rest, ","), taught = taught, replay = replay }
  end
end

local names = { "lifelong", "replay", "neither" }
return {
  seeds = 3,
  options = { epochs = 4, evaluations = 2, patience = 4 },
  data = data,
  methods = {
    { name = names[1], recipe = "lifelong", options = stream(true, 0.2) },
    { name = names[2], recipe = "lifelong", options = stream(false, 0.2) },
    { name = names[3], recipe = "lifelong", options = stream(false, 0.0) },
  },
  compare = "replay",
  figures = {
    { name = "retention", kind = "retention", methods = names, title = "ro-en, while other pairs are learned" },
  },
}
