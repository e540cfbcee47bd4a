--- qestrel pack
local qe = require "qestrel"
local lines = require "qestrel.lines"

local command = { summary = "Pack a folder of members into a model archive." }

function command.configure(parser)
  parser:argument("folder", "Folder with FORMAT, manifest.json, weights.bin, ..., or an archive.")
  parser:option("-o --output", "The archive to write."):argname("MODEL.qe"):count "1"
  parser:option("--weights", "Weights of features that rerank uses with this model: JSON or a Moses [weight] file.")
    :argname "FILE"
end

-- The file as the table that a manifest holds.
local function read_weights(path)
  local text, problem = lines.text(path)
  if not text then return nil, problem end
  local weights = qe.weights()
  local ok, reason = weights:parse(text, path)
  return ok and weights:values(), reason
end

-- The model of an archive, or of a folder by way of one.
local function open(path, output)
  local model, problem = qe.open(path)
  if model then return model end
  local packed = output .. ".packing"
  if not qe.pack(path, packed) then return nil, problem end
  model, problem = qe.open(packed)
  os.remove(packed)
  return model, problem
end

function command.run(arguments)
  if not arguments.weights then
    local ok, problem = qe.pack(arguments.folder, arguments.output)
    return ok and 0 or 1, problem
  end
  local weights, model, ok, problem
  weights, problem = read_weights(arguments.weights)
  if not weights then return 1, problem end
  model, problem = open(arguments.folder, arguments.output)
  if not model then return 1, problem end
  ok, problem = model:describe { weights = weights }
  if ok then ok, problem = model:save(arguments.output) end
  return ok and 0 or 1, problem
end

return command
