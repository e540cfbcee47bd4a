--- What a study came to: a table for each data set, differences to the method that others are compared with, and
-- figures. Intervals of 95 % come from a bootstrap over seeds and rows at once, the same rows and seeds for both
-- methods; pooled over data sets the means of their differences are taken.
--
-- Figures of a definition, each an SVG by gnuplot:
--    { name =, kind = "curve", methods = { ... } }           dev Pearson by step, mean over seeds, a line per method
--    { name =, kind = "line", methods = { ... }, x = "..." } test Pearson by the methods' x, mean and range of seeds;
--                                                            with y = "seconds" the time of a run instead
--    { name =, kind = "bars", methods = { ... } }            difference to the compared method, with intervals
--    { name =, kind = "retention", methods = { ... } }       dev Pearson of the first task after each one that follows,
--                                                            of methods whose tasks come one after another
-- all with title = and data = (optional, the first data set).
-- @module qestrel.study_report
local qe = require "qestrel"
local lines = require "qestrel.lines"

local report = {}

local DRAWS, MARGIN = 400, -0.005
local TASKS = "## %s, tasks one after another\n\n| method | seeds | all tasks at the end, dev | sd | forgotten "
  .. "| when new |\n|---|---|---|---|---|---|"
local HEAD = "## %s\n\n| method | seeds | Pearson | sd | seconds | difference to %s |\n|---|---|---|---|---|---|"

local function mean(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list
end

-- Pearson over drawn rows.
local function pearson(x, y, rows)
  local n, sx, sy, sxx, syy, sxy = #rows, 0, 0, 0, 0, 0
  for i = 1, n do
    local a, b = x[rows[i]], y[rows[i]]
    sx, sy, sxx, syy, sxy = sx + a, sy + b, sxx + a * a, syy + b * b, sxy + a * b
  end
  local spread = (n * sxx - sx * sx) * (n * syy - sy * sy)
  return spread > 0 and (n * sxy - sx * sy) / math.sqrt(spread) or 0
end

--- The runs of a study by data set and method: runs[data][method] = array by seed of { test =, curve =, scores = }.
function report.collect(results, folder)
  local runs = {}
  for _, result in ipairs(results) do
    if result.method then
      local data = runs[result.data] or {}
      runs[result.data], data[result.method] = data, data[result.method] or {}
      result.scores = lines.numbers(("%s/scores/%s"):format(folder, result.key))
      data[result.method][result.seed] = result
    end
  end
  return runs
end

-- Seeds that both have, in order.
local function common(a, b)
  local list = {}
  for seed in pairs(a) do
    if b[seed] then list[#list + 1] = seed end
  end
  table.sort(list)
  return list
end

-- Draws of the difference of mean Pearson, and its value.
local function draws_of(a, b, gold, rng)
  local seeds, value, draws = common(a, b), 0, {}
  for _, seed in ipairs(seeds) do value = value + (a[seed].test - b[seed].test) / #seeds end
  for draw = 1, #seeds > 0 and DRAWS or 0 do
    local rows, sum = {}, 0
    for i = 1, #gold do rows[i] = rng:below(#gold) + 1 end
    for _ = 1, #seeds do
      local seed = seeds[rng:below(#seeds) + 1]
      sum = sum + pearson(a[seed].scores, gold, rows) - pearson(b[seed].scores, gold, rows)
    end
    draws[draw] = sum / #seeds
  end
  return value, draws, #seeds
end

local function interval(draws)
  local sorted = table.move(draws, 1, #draws, 1, {})
  table.sort(sorted)
  return sorted[math.max(1, math.floor(0.025 * #sorted))], sorted[math.ceil(0.975 * #sorted)]
end

--- Differences of a method to another one, by data set and pooled: { data = { value =, low =, high =, seeds = }, ... }.
-- @param gold test scores by data set
function report.difference(runs, gold, method, other)
  local result, pooled, values, sets = {}, {}, {}, 0
  for data, own in pairs(runs) do
    if own[method] and own[other] then
      local value, draws, seeds = draws_of(own[method], own[other], gold[data], qe.rng(1, "study " .. data))
      if seeds > 0 then
        local low, high = interval(draws)
        result[data] = { value = value, low = low, high = high, seeds = seeds }
        sets, values[#values + 1] = sets + 1, value
        for i, draw in ipairs(draws) do pooled[i] = (pooled[i] or 0) + draw end
      end
    end
  end
  if sets == 0 then return result end
  for i = 1, #pooled do pooled[i] = pooled[i] / sets end
  local low, high = interval(pooled)
  result.pooled = { value = mean(values), low = low, high = high, sets = sets }
  return result
end

-- What an interval allows to say.
local function verdict(difference)
  if difference.low > 0 then return "better" end
  if difference.high < 0 then return "worse" end
  return difference.low >= MARGIN and "not inferior" or "open"
end

local function shown(difference)
  return ("%+.4f (%+.4f to %+.4f) %s"):format(difference.value, difference.low, difference.high, verdict(difference))
end

local function deviation(list)
  local centre, squares = mean(list), 0
  for _, value in ipairs(list) do squares = squares + (value - centre) ^ 2 end
  return #list > 1 and math.sqrt(squares / (#list - 1)) or 0
end

local function row_of(name, own, difference)
  local tests, seconds = {}, {}
  for _, run in pairs(own) do tests[#tests + 1], seconds[#seconds + 1] = run.test, run.seconds end
  return ("| %s | %d | %.4f | %.4f | %.0f | %s |"):format(name, #tests, mean(tests), deviation(tests), mean(seconds),
    difference and shown(difference) or "")
end

--- Of tasks one after another: their mean at the end, the mean of what the old ones lost from their best, and their
-- mean when they were new (methods.md M4).
-- @param history for each task, what all tasks so far had after it
function report.retained(history)
  local last, forgotten, new = history[#history], 0, 0
  for task, value in ipairs(last) do
    local best = value
    for stage = task, #history do best = math.max(best, history[stage][task]) end
    forgotten, new = forgotten + (best - value), new + history[task][task]
  end
  return mean(last), forgotten / math.max(#last - 1, 1), new / #last
end

local function tasks_row(name, own)
  local ends, forgotten, new = {}, {}, {}
  for _, run in pairs(own) do
    if run.history then ends[#ends + 1], forgotten[#forgotten + 1], new[#new + 1] = report.retained(run.history) end
  end
  if #ends == 0 then return nil end
  return ("| %s | %d | %.4f | %.4f | %.4f | %.4f |"):format(name, #ends, mean(ends), deviation(ends), mean(forgotten),
    mean(new))
end

-- A table of methods whose tasks come one after another; nothing where there are none.
local function append_tasks(out, definition, data, own)
  local found = {}
  for _, method in ipairs(definition.methods) do found[#found + 1] = tasks_row(method.name, own[method.name] or {}) end
  if #found > 0 then out[#out + 1] = TASKS:format(data) .. "\n" .. table.concat(found, "\n") .. "\n" end
end

--- The whole report as Markdown.
-- @param gold test scores by data set
function report.text(definition, runs, gold)
  local out, differences = {}, {}
  for _, method in ipairs(definition.methods) do
    if definition.compare and method.name ~= definition.compare then
      differences[method.name] = report.difference(runs, gold, method.name, definition.compare)
    end
  end
  for _, data in ipairs(definition.data) do
    local own = runs[data.name]
    if own then
      out[#out + 1] = HEAD:format(data.name, definition.compare or "-")
      for _, method in ipairs(definition.methods) do
        if own[method.name] then
          out[#out + 1] = row_of(method.name, own[method.name], (differences[method.name] or {})[data.name])
        end
      end
      out[#out + 1] = ""
      append_tasks(out, definition, data.name, own)
    end
  end
  if definition.compare then
    out[#out + 1] = "## pooled\n\n| method | sets | difference to " .. definition.compare .. " |\n|---|---|---|"
    for _, method in ipairs(definition.methods) do
      local pooled = (differences[method.name] or {}).pooled
      if pooled then out[#out + 1] = ("| %s | %d | %s |"):format(method.name, pooled.sets, shown(pooled)) end
    end
    out[#out + 1] = ""
  end
  return table.concat(out, "\n"), differences
end

-- ---- figures ----

local COMMON = [[
set terminal svg size 760,460 font "sans,12" background "white"
set output '%s'
set title '%s' noenhanced
set grid ytics lc rgb '#dddddd'
set key outside right noenhanced
set border 3
set tics nomirror
]]

-- Points of a run with steps counted through all stages.
local function points_of(run)
  local list, before, last = {}, 0, nil
  for i, point in ipairs(run.curve or {}) do
    if last and point.stage ~= last.stage then before = before + last.step end
    list[i], last = { step = before + point.step, pearson = point.pearson }, point
  end
  return list
end

-- Mean dev Pearson at each step that all seeds have.
local function curve_block(own)
  local sums, counts, steps, runs = {}, {}, {}, 0
  for _, run in pairs(own) do
    runs = runs + 1
    for _, point in ipairs(points_of(run)) do
      if not sums[point.step] then steps[#steps + 1] = point.step end
      sums[point.step] = (sums[point.step] or 0) + point.pearson
      counts[point.step] = (counts[point.step] or 0) + 1
    end
  end
  table.sort(steps)
  local block = {}
  for _, step in ipairs(steps) do
    if counts[step] == runs then block[#block + 1] = ("%d %.6f"):format(step, sums[step] / runs) end
  end
  return block
end

local function method_named(definition, name)
  for _, method in ipairs(definition.methods) do
    if method.name == name then return method end
  end
end

local function line_block(definition, figure, own)
  local block = {}
  for _, name in ipairs(figure.methods) do
    local tests = {}
    for _, run in pairs(own[name] or {}) do tests[#tests + 1] = run[figure.y or "test"] end
    table.sort(tests)
    if #tests > 0 then
      local x = method_named(definition, name).x or #block
      block[#block + 1] = ("%g %.6f %.6f %.6f"):format(x, mean(tests), tests[1], tests[#tests])
    end
  end
  return block
end

-- Mean over seeds of the first task's Pearson after each task.
local function retention_block(own)
  local sums, runs = {}, 0
  for _, run in pairs(own) do
    runs = runs + (run.history and 1 or 0)
    for stage, line in ipairs(run.history or {}) do sums[stage] = (sums[stage] or 0) + line[1] end
  end
  local block = {}
  for stage, sum in ipairs(sums) do block[stage] = ("%d %.6f"):format(stage, sum / runs) end
  return block
end

local function bars_block(figure, differences, data)
  local block = {}
  for _, name in ipairs(figure.methods) do
    local difference = (differences[name] or {})[data]
    if difference then
      block[#block + 1] = ("%d %.6f %.6f %.6f \"%s\""):format(#block, difference.value, difference.low, difference.high,
        name)
    end
  end
  return block
end

local function script_of(definition, figure, runs, differences, path)
  local data = figure.data or definition.data[1].name
  local own, parts, plots = runs[data] or {}, {}, {}
  local function block(rows, how)
    if #rows == 0 then return end
    local name = "$b" .. #plots
    parts[#parts + 1] = ("%s << EOD\n%s\nEOD\n"):format(name, table.concat(rows, "\n"))
    plots[#plots + 1] = name .. " " .. how
  end
  if figure.kind == "curve" then
    for _, name in ipairs(figure.methods) do
      if own[name] then block(curve_block(own[name]), ("using 1:2 with lines lw 2 title '%s'"):format(name)) end
    end
    parts[#parts + 1] = "set xlabel 'steps'\nset ylabel 'dev Pearson'\n"
  elseif figure.kind == "retention" then
    for _, name in ipairs(figure.methods) do
      block(retention_block(own[name] or {}), ("using 1:2 with linespoints lw 2 pt 7 title '%s'"):format(name))
    end
    parts[#parts + 1] = "set xlabel 'tasks so far'\nset xtics 1\nset ylabel 'dev Pearson of the first task'\n"
  elseif figure.kind == "line" then
    block(line_block(definition, figure, own), "using 1:2:3:4 with yerrorlines lw 2 pt 7 title 'mean, least, most'")
    parts[#parts + 1] = ("set xlabel '%s' noenhanced\nset ylabel '%s'\n%s"):format(figure.x or "x",
      figure.y or "test Pearson", figure.logarithmic and "set logscale x\n" or "")
  else
    block(bars_block(figure, differences, data), "using 1:2:3:4:xtic(5) with yerrorbars lw 2 pt 7 title '95 %'")
    parts[#parts + 1] = "set xtics rotate by 30 right noenhanced\nset xzeroaxis\nset ylabel 'difference of Pearson'\n"
      .. ("set xrange [-0.5:%g]\n"):format(#figure.methods - 0.5)
  end
  if #plots == 0 then return nil end
  return COMMON:format(path, (figure.title or figure.name):gsub("'", "")) .. table.concat(parts)
    .. "plot " .. table.concat(plots, ", ") .. "\n"
end

--- Draws the figures of a definition into a folder.
-- @return names of the files, or nil and a message
function report.draw(definition, runs, differences, folder)
  local drawn = {}
  for _, figure in ipairs(definition.figures or {}) do
    local path = ("%s/%s.svg"):format(folder, figure.name)
    local script = script_of(definition, figure, runs, differences, path)
    if script then
      local pipe = io.popen("gnuplot 2>&1 > /dev/null", "w")
      pipe:write(script)
      if not pipe:close() then return nil, "gnuplot did not draw " .. path .. "; is it installed?" end
      drawn[#drawn + 1] = path
    end
  end
  return drawn
end

return report
