--- qestrel unpack
local qe = require "qestrel"

local command = { summary = "Unpack a model archive into a new or empty folder." }

function command.configure(parser)
  parser:argument("model", "Model archive.")
  parser:argument("folder", "Folder; it must not exist or be empty.")
end

function command.run(arguments)
  local ok, problem = qe.unpack(arguments.model, arguments.folder)
  return ok and 0 or 1, problem
end

return command
