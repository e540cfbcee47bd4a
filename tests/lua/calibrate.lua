-- What scores mean: fits on data whose truth is known, in any unit; judged on rows that were not fitted. Tags of words:
-- lines with and without gaps, the correlation against its definition, the threshold that has most of it.
package.path = (os.getenv "SOURCE_DIR" or ".") .. "/tests/lua/?.lua;" .. package.path
local support = require "support"
local qe = require "qestrel"
local calibrate = require "qestrel.calibrate"
local lines = require "qestrel.lines"
local words = require "qestrel.words"
local test, equal = support.test, support.equal

local function near(found, expected, room, what)
  if found ~= found or math.abs(found - expected) > room then
    error(("%s: found %g, expected %g within %g"):format(what, found, expected, room), 2)
  end
end

-- Scores z and what people say: z plus noise exp(a + b z) times a normal number, in a unit of one's own.
local function world(rows, unit, shift)
  local rng, z, gold = qe.rng(7, "world"), {}, {}
  for i = 1, rows do
    local x = rng:normal()
    z[i] = unit * x + shift
    gold[i] = unit * (x + math.exp(-0.5 - 0.4 * x) * rng:normal()) + shift
  end
  return z, gold
end

test("a line through points is their line, and none where they fall", function()
  local slope, shift = calibrate.line({ 0, 1, 2 }, { 1, 3, 5 })
  near(slope, 2, 1e-12, "slope")
  near(shift, 1, 1e-12, "shift")
  equal(calibrate.line({ 0, 1, 2 }, { 5, 3, 1 }), nil)
  slope = calibrate.line({ 0, 1, 2, 9 }, { 1, 3, 5, 0 / 0 })
  near(slope, 2, 1e-12, "slope without the unknown")
end)

test("a logistic curve is found in any unit", function()
  for _, unit in ipairs { 0.001, 1, 50 } do
    local rng, z, good = qe.rng(3, "logistic"), {}, {}
    for i = 1, 20000 do
      local x = rng:normal()
      z[i] = unit * x + 3 * unit
      good[i] = rng:uniform() < 1 / (1 + math.exp(-(2 * x + 0.5))) and 1 or 0
    end
    local a, b = calibrate.logistic(z, good)
    near(a * unit, 2, 0.08, "steepness")
    near(b + 3 * a * unit, 0.5, 0.08, "place")
  end
end)

test("without any rise the curve still rises", function()
  local a = calibrate.logistic({ 1, 2, 3, 4 }, { 1, 1, 0, 0 })
  equal(a > 0, true)
end)

test("the spread holds four of five, wider where people differ more", function()
  for _, unit in ipairs { 0.01, 1, 30 } do
    local z, gold = world(20000, unit, 2 * unit)
    local a, b = calibrate.spread(z, gold)
    near(b * unit, -0.4, 0.06, "slope of the width")
    local inside = 0
    for i = 1, #z do
      if math.abs(gold[i] - z[i]) <= math.exp(a + b * z[i]) then inside = inside + 1 end
    end
    near(inside / #z, 0.8, 0.01, "share inside")
    -- 1.28 deviations hold four of five of a normal distribution
    near(math.exp(a + b * 2 * unit) / unit, 1.2816 * math.exp(-0.5), 0.03, "width in the middle")
  end
end)

test("the calibration error is the distance of what was said from what was so", function()
  near(calibrate.error({ 0.75, 0.75, 0.75, 0.75 }, { 1, 1, 1, 0 }), 0, 1e-12, "right")
  near(calibrate.error({ 0.95, 0.95, 0.05, 0.05 }, { 1, 0, 0, 0 }), 0.25, 1e-12, "wrong")
  near(calibrate.error({ 1.0, 1.0 }, { 1, 1 }), 0, 1e-12, "sure")
end)

test("a line of tags is one for each token, gaps aside", function()
  local function read(line, tokens)
    local parts = {}
    for i, bad in ipairs(words.parse(line, tokens)) do parts[i] = bad and "1" or "0" end
    return table.concat(parts)
  end
  equal(read("OK BAD OK", 3), "010")
  equal(read("BAD OK BAD BAD OK", 2), "01")
  equal(read("OK", 0), "")
end)

test("the correlation is Pearson's of two binary columns, and the threshold its best", function()
  local rng, found, said, so = qe.rng(5, "tags"), {}, {}, {}
  for i = 1, 500 do
    local bad = rng:uniform() < 0.3
    found[i] = { probability = math.min(math.max((bad and 0.6 or 0.3) + 0.2 * rng:normal(), 0), 1), bad = bad }
  end
  for i, item in ipairs(found) do
    said[i], so[i] = item.probability >= 0.4 and 1 or 0, item.bad and 1 or 0
  end
  near(words.correlation(found, 0.4), qe.pearson(said, so), 1e-9, "correlation")
  local best = words.threshold(found)
  for step = 1, 99 do
    equal(words.correlation(found, step / 100) <= words.correlation(found, best), true, "no better one")
  end
  equal(words.correlation({ { probability = 0.2, bad = true } }, 0.5), 0.0)
end)

test("any bytes become a JSON string", function()
  equal(lines.quoted 'a"b\\c\n', '"a\\u0022b\\u005cc\\u000a"')
  equal(lines.quoted "\xff\xe4\xb8\xad\xc3", '"\u{FFFD}\u{4E2D}\u{FFFD}"')
  equal(qe.json.decode(lines.quoted "\x01é" ), "\x01é")
end)

support.finish()
