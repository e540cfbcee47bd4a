-- Paired resampling and the sign test.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local qe = require "qestrel"
local compare = require "qestrel.compare"
local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

test("resamples are paired", function()
  local one, other = {}, {}
  for i = 1, 50 do
    one[2 * i - 1], one[2 * i] = i % 7, 1
    other[2 * i - 1], other[2 * i] = i % 7 + 2, 1
  end
  local values = qe.resample(nil, { one, other, one }, 100, 5)
  equal(#values, 3)
  equal(#values[1], 100)
  local mean, distinct = 0, {}
  for draw = 1, 100 do
    equal(math.abs(values[2][draw] - values[1][draw] - 2) < 1e-9, true)
    equal(values[3][draw], values[1][draw])
    mean = mean + values[1][draw] / 100
    distinct[values[1][draw]] = true
  end
  equal(math.abs(mean - 3) < .3, true)
  local count = 0
  for _ in pairs(distinct) do count = count + 1 end
  equal(count > 20, true)
  equal(qe.resample(nil, { one }, 1, 5)[1][1], values[1][1])
end)

test("a metric's corpus value is that of the sums", function()
  local metric, rows = qe.metric "chrf", {}
  for i, text in ipairs { "the cat", "a dog ran" } do
    metric:reference { i == 1 and "the cat" or "a dog walks" }
    local row = metric:statistics(text)
    table.move(row, 1, #row, #rows + 1, rows)
  end
  local possible = {}
  for first = 0, 2 do
    local sums = {}
    for j = 1, #metric do sums[j] = first * rows[j] + (2 - first) * rows[#metric + j] end
    possible[("%.9f"):format(metric:corpus(sums))] = true
  end
  for _, value in ipairs(qe.resample(metric, { rows }, 20, 1)[1]) do equal(possible[("%.9f"):format(value)], true) end
end)

test("refusals", function()
  raises("same number of segments", qe.resample, nil, { { 1, 1 }, { 1, 1, 2, 1 } }, 10, 1)
  raises("no segments", qe.resample, nil, { {} }, 10, 1)
  raises("no segments", qe.resample, nil, {}, 10, 1)
end)

test("sign test", function()
  equal(compare.sign_test(0, 0), 1)
  equal(math.abs(compare.sign_test(5, 0) - 2 / 32) < 1e-12, true)
  equal(math.abs(compare.sign_test(8, 2) - 2 * (1 + 10 + 45) / 1024) < 1e-12, true)
  equal(compare.sign_test(600, 600), 1)
end)

support.finish()
