--- qestrel eval
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local lines = require "qestrel.lines"

local command = { summary = "Measure a model against human scores." }

function command.configure(parser)
  parser:option("-m --model", "Model archive."):argname("MODEL.qe"):count "1"
  parser:option("--data", "Folder of one MLQE-PE language pair, or a TSV file."):argname("DIR"):count "1"
  parser:option("--split", "Set of the folder."):argname("NAME"):default "test20"
  parser:option("--gold", "Column of human scores; default: z_mean, z, score or mean."):argname "COLUMN"
  parser:option("--threads", "Threads."):argname("N"):convert(math.tointeger):default "1"
  parser:flag("--json", "Print JSON.")
end

local TITLES = { pearson = "Pearson", spearman = "Spearman", kendall = "Kendall", mae = "MAE", rmse = "RMSE",
                 worst_decile_recall = "worst 10%" }

local function print_table(rows)
  local width = 22
  lines.write(("%-14s"):format "")
  for _, name in ipairs(evaluate.measures) do lines.write(("%-" .. width .. "s"):format(TITLES[name])) end
  lines.write "\n"
  for _, row in ipairs(rows) do
    local cells = {}
    for i, name in ipairs(evaluate.measures) do
      local m = row.result[name]
      cells[i] = ("%-" .. width .. "s"):format(m and ("%.4f (%.3f to %.3f)"):format(m.value, m.low, m.high) or "-")
    end
    lines.write(("%-14s"):format(row.name), (table.concat(cells):gsub(" +$", "")), "\n")
  end
end

local function json_row(result)
  local object = {}
  for name, m in pairs(result) do
    local finite = m.value == m.value
    object[name] = { value = finite and m.value or qe.json.null, low = m.low == m.low and m.low or qe.json.null,
                     high = m.high == m.high and m.high or qe.json.null }
  end
  return object
end

local function is_folder(path)
  local file = io.open(path .. "/.", "rb")
  if file then file:close() end
  return file ~= nil
end

function command.run(arguments)
  local model, problem = qe.open(arguments.model)
  if not model then return 1, problem end
  local data
  data, problem = evaluate.read(arguments.data, is_folder(arguments.data) and arguments.split or nil, arguments.gold)
  if not data then return 1, problem end
  local rows = { { name = "model", result = evaluate.model(model, data, qe.pool(arguments.threads or 1)) } }
  local decoder = data:column "model_scores"
  if decoder then
    rows[2] = { name = "decoder", result = evaluate.columns(decoder, data:column "gold", true) }
  end
  if arguments.json then
    local object = { rows = data:rows(), model = json_row(rows[1].result) }
    if decoder then object.decoder = json_row(rows[2].result) end
    lines.write(qe.json.encode(object), "\n")
  else
    lines.write(("%d rows; 95%% bootstrap intervals\n"):format(data:rows()))
    print_table(rows)
  end
  return 0
end

return command
