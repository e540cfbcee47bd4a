--- Measures of predictions against human scores, with bootstrap intervals.
-- @module qestrel.evaluate
local qe = require "qestrel"
local taps = require "qestrel.taps"

local evaluate = {}

--- Names of the measures in the order of printing; errors need predictions in z, so the decoder's row lacks them.
evaluate.measures = { "pearson", "spearman", "kendall", "mae", "rmse", "worst_decile_recall" }
local ERRORS = { mae = true, rmse = true }
local GOLD_COLUMNS = { "z_mean", "z", "score", "mean" }
local DRAWS, LEVEL, SEED = 1000, 0.95, 1

--- A dataset with a column `gold`: a TSV file, or one set of an MLQE-PE folder.
-- @return dataset, or nil and a message
function evaluate.read(path, set, gold)
  local data = qe.dataset()
  local ok, problem
  if set then
    ok, problem = data:read_mlqe(path, set)
  else
    ok, problem = data:read(path)
  end
  if not ok then return nil, problem end
  local candidates = gold and gold ~= "" and { gold } or GOLD_COLUMNS
  for _, name in ipairs(candidates) do
    if data:column(name) then
      data:set_column("gold", data:column(name))
      return data
    end
  end
  return nil, ("%s: no column of human scores (%s)"):format(path, table.concat(candidates, ", "))
end

--- The texts of the rows alone: without columns and log-probabilities.
function evaluate.texts(data)
  local texts = qe.dataset()
  for i = 1, data:rows() do
    local source, translation = data:pair(i)
    texts:append(source, translation)
  end
  return texts
end

--- Measures of `x` against `y`: name -> { value, low, high }.
function evaluate.columns(x, y, without_errors)
  local result = {}
  for _, name in ipairs(evaluate.measures) do
    if not (without_errors and ERRORS[name]) then
      local low, high = qe.bootstrap(name, x, y, DRAWS, LEVEL, SEED)
      result[name] = { value = qe[name](x, y), low = low, high = high }
    end
  end
  return result
end

--- The model's scores of all rows, or of an array of rows.
function evaluate.scores(model, data, pool, rows)
  local scorer <close> = qe.scorer(model, pool)
  return scorer:score_dataset(data, rows)
end

local SHARE, ENCODER_SHARE = 256, 16 -- a pass keeps all that its layers compute

--- Passes of a model over all rows of a dataset, without gradients, some at a time.
-- @param visit called with pass, batch, the number of the batch's first row and the tape; tensors live until it returns
-- @param options (optional) of the passes, see model:forward; or what makes them, of tape and batch
function evaluate.passes(model, data, pool, visit, options)
  local tape <close> = qe.tape(pool)
  local share = taps.layers(model) and ENCODER_SHARE or SHARE
  for first = 1, data:rows(), share do
    local rows = {}
    for row = first, math.min(first + share - 1, data:rows()) do rows[#rows + 1] = row end
    local batch <close> = qe.batch(data, rows)
    tape:reset()
    local own = type(options) == "function" and options(tape, batch) or options or { no_gradient = true }
    visit(model:forward(tape, batch, own), batch, first, tape)
  end
end

--- Measures of a model on a dataset with gold scores.
function evaluate.model(model, data, pool)
  return evaluate.columns(evaluate.scores(model, data, pool), data:column "gold")
end

return evaluate
