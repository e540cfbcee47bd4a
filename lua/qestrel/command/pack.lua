--- qestrel pack
local qe = require "qestrel"

local command = { summary = "Pack a folder of members into a model archive." }

function command.configure(parser)
  parser:argument("folder", "Folder with FORMAT, manifest.json, weights.bin, ...")
  parser:option("-o --output", "The archive to write."):argname("MODEL.qe"):count "1"
end

function command.run(arguments)
  local ok, problem = qe.pack(arguments.folder, arguments.output)
  return ok and 0 or 1, problem
end

return command
