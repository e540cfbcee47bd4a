--- The command line: `qestrel COMMAND ...`. Each command is a module qestrel.command.NAME with `configure(parser)` and
-- `run(arguments)`, which returns the exit status: 0, 1 (something was refused or failed), 2 (used wrongly).
-- @module qestrel.cli
local argparse = require "argparse"
local qe = require "qestrel"

local cli = {}

local COMMANDS = {
  "train", "score", "rerank", "tune", "metric", "compare", "eval", "import", "pack", "unpack", "inspect", "verify",
  "study", "lexicon", "adapt",
}

local function make_parser()
  local parser = argparse("qestrel", "Machine-translation quality estimation, distilled.")
  parser:flag("--version", "Print version and build."):action(function()
    print(("qestrel %s (%s)"):format(qe.version(), qe.build()))
    os.exit(0, true)
  end)
  parser:command_target "command"
  for _, name in ipairs(COMMANDS) do
    local command = require("qestrel.command." .. name)
    command.configure(parser:command(name, command.summary))
  end
  return parser
end

--- Runs one command.
-- @param arguments as in the global `arg`, from 1
-- @return exit status
function cli.main(arguments)
  local list, given, refused = { table.unpack(arguments) }, nil, nil
  if list[1] == "train" then list, given, refused = require("qestrel.command.train").prepare(list) end
  if refused then
    io.stderr:write("qestrel: ", refused, "\n")
    return 2
  end
  local ok, result = make_parser():pparse(list)
  if not ok then
    io.stderr:write("qestrel: ", result, "\n", "qestrel --help tells more\n")
    return 2
  end
  result.program = arguments[0]
  local status, problem = require("qestrel.command." .. result.command).run(result, given)
  if problem then io.stderr:write("qestrel ", result.command, ": ", problem, "\n") end
  return status
end

return cli
