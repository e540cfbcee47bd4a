--- qestrel train
local evaluate = require "qestrel.evaluate"
local options = require "qestrel.options"
local train = require "qestrel.train"

local command = { summary = "Train a student with a distillation recipe." }

local SHIPPED = { "gold", "kd", "annealing", "route", "codistillation", "metadistil", "reinforced", "levels",
                  "lipschitz", "lifelong", "branches", "states", "sampling", "teacher", "vectors" }

local KNOWN = { data = true, train = true, dev = true, test = true, teacher = true, seed = true, threads = true,
                output = true, help = true, resume = true }

local function load_recipe(name)
  if not name:match "%.lua$" then
    local ok, recipe = pcall(require, "qestrel.recipes." .. name)
    if ok then return recipe end
    if recipe:find("module 'qestrel.recipes." .. name .. "' not found", 1, true) then
      return nil, ("no recipe %s; shipped are %s, or give the path of a .lua file"):format(
        name, table.concat(SHIPPED, ", "))
    end
    error(recipe, 0)
  end
  local chunk, problem = loadfile(name)
  if not chunk then return nil, problem end
  local recipe = chunk()
  if type(recipe) ~= "table" then return nil, name .. ": a recipe file returns a table" end
  recipe.name = recipe.name or name:match "([^/]+)%.lua$"
  return recipe
end

-- What --help says of options: those of every recipe, and of the one that was named, or of all that are shipped.
local function help_of(recipes)
  local parts = { "Options of every recipe, as --name=value:\n" .. options.help(options.common),
                  options.students_help() }
  for _, recipe in ipairs(recipes) do
    if recipe.options then
      parts[#parts + 1] = ("Options of %s:\n%s"):format(recipe.name, options.help(recipe.options))
    end
  end
  return table.concat(parts, "\n\n")
end

--- Takes the options of recipes, `--name=value`, out of the arguments: they are not known before the recipe is.
function command.prepare(arguments)
  local rest, given, help = {}, {}, false
  command.named = nil
  for i, argument in ipairs(arguments) do
    local name, value = argument:match "^%-%-([%w_-]+)=(.*)$"
    name = name or argument:match "^%-%-([%w_-]+)$"
    if not name or KNOWN[name] then
      help = help or name == "help" or argument == "-h"
      rest[#rest + 1] = argument
    elseif given[name] then
      return nil, nil, ("train: --%s is given twice"):format(name)
    elseif not value and arguments[i + 1] and not arguments[i + 1]:match "^%-" then
      return nil, nil, ("train: write --%s=%s, with ="):format(name, arguments[i + 1])
    else
      given[name] = value or ""
    end
  end
  if help and rest[2] and not rest[2]:match "^%-" then
    local problem
    command.named, problem = load_recipe(rest[2])
    if not command.named then return nil, nil, "train: " .. problem end
  end
  return rest, given
end

function command.configure(parser)
  parser:argument("recipe", ("A shipped recipe (%s) or a .lua file; with --help, its options are listed."):format(
    table.concat(SHIPPED, ", ")))
  parser:option("--data", "Folder of one MLQE-PE language pair."):argname "DIR"
  parser:option("--train", "TSV file to train on, instead of --data."):argname "FILE"
  parser:option("--dev", "TSV file to choose the student on."):argname "FILE"
  parser:option("--test", "TSV file to report on."):argname "FILE"
  parser:option("--teacher", "FILE.tsv (scores by index), FILE.qe or cmd:COMMAND; several are an ensemble, or the "
    .. "anchors of route, or one for each task of lifelong.")
    :argname("T"):count "*"
  parser:option("-o --output", "The archive to write."):argname("OUT.qe"):count "1"
  parser:option("--seed", "Of all random numbers."):argname("N"):convert(math.tointeger):default "1"
  parser:option("--threads", "Threads; they do not change the result."):argname("N"):convert(math.tointeger):default "1"
  parser:flag("--resume", "Go on from the checkpoint OUT.qe.checkpoint.")
  local recipes = { command.named }
  if not command.named then
    for i, name in ipairs(SHIPPED) do recipes[i] = require("qestrel.recipes." .. name) end
  end
  parser:epilog(help_of(recipes))
end

local function test_line(model, path, gold)
  local data, problem = evaluate.read(path, nil, gold)
  if not data then return nil, problem end
  local result = evaluate.model(model, data)
  io.stderr:write(("test: Pearson %.4f (%.4f to %.4f), %d rows\n"):format(
    result.pearson.value, result.pearson.low, result.pearson.high, data:rows()))
  return true
end

function command.run(arguments, given)
  local recipe, problem = load_recipe(arguments.recipe)
  if not recipe then return 1, problem end
  if arguments.data and (arguments.train or arguments.dev or arguments.test) then
    return 2, "give either --data or --train, --dev and --test"
  end
  if not arguments.seed or not arguments.threads or arguments.threads < 1 then
    return 2, "--seed and --threads are whole numbers, --threads at least 1"
  end
  local model
  model, problem = train.run(recipe, {
    data = arguments.data, train = arguments.train, dev = arguments.dev, teachers = arguments.teacher,
    output = arguments.output, seed = arguments.seed, threads = arguments.threads, resume = arguments.resume,
    options = given,
  })
  if not model then return 1, problem end
  io.stderr:write(("%s: dev Pearson %.4f\n"):format(arguments.output, problem.pearson))
  if arguments.test then
    local ok
    ok, problem = test_line(model, arguments.test, given.gold)
    if not ok then return 1, problem end
  end
  return 0
end

return command
