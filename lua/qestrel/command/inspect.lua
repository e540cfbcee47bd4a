--- qestrel inspect
local qe = require "qestrel"
local lines = require "qestrel.lines"

local command = { summary = "Print the manifest of a model archive (JSON)." }

function command.configure(parser)
  parser:argument("model", "Model archive.")
end

function command.run(arguments)
  local archive = qe.archive()
  local ok, problem = archive:open(arguments.model)
  if not ok then return 1, problem end
  local text
  text, problem = archive:member "manifest.json"
  if not text then return 1, ("%s: %s"):format(arguments.model, problem) end
  lines.write(text)
  return 0
end

return command
