--- qestrel import
local qe = require "qestrel"
local encoder = require "qestrel.encoder"
local golden = require "qestrel.golden"
local lines = require "qestrel.lines"

local command = { summary = "Make a model of a pretrained encoder (a folder of Hugging Face)." }

local function form_of(text)
  return encoder.FORMS[text] and text, "expected alignment, joint or both"
end

function command.configure(parser)
  parser:argument("folder", "Folder with config.json, model.safetensors and sentencepiece.bpe.model.")
  parser:option("-o --output", "The archive to write."):argname("MODEL.qe"):count "1"
  parser:option("--form", "How it reads a pair: alignment (each text alone), joint (one sequence) or both.")
    :argname("FORM"):convert(form_of):default "alignment"
  parser:option("--layers", "Layers whose states are aligned, e.g. 7,11."):argname("LIST"):convert(encoder.layers_of)
  parser:option("--prefix", "What every sequence begins with, e.g. \"query: \" for E5."):argname("TEXT"):default ""
  parser:option("--max-tokens", "Pieces that are read of a text; as many as there are positions for.")
    :argname("N"):convert(math.tointeger)
  parser:option("--vocabulary-from", "Keep only the pieces that this text (or .tsv of pairs) uses.")
    :argname("FILE"):count "*"
  parser:option("--minimum", "Times that those use a piece that is kept; rarer ones are spelled out.")
    :argname("N"):convert(math.tointeger):default "1"
  parser:option("--fine", "Times that those use a piece whose row int4 stores in four bits a number, not two.")
    :argname("N"):convert(math.tointeger):default "1"
  parser:option("--storage", "How the word table is stored: f32, bf16 or int8; int8-all, int4: and all else.")
    :argname("TYPE"):choices({ "f32", "bf16", "int8", "int8-all", "int4" }):default "f32"
  parser:option("--licence", "File with the licence of the weights; else LICENSE in the folder."):argname "FILE"
  parser:option("--seed", "Seed of what is drawn: the untrained head."):argname("N"):convert(math.tointeger)
    :default "1"
end

-- Whole lines as sources, or pairs of a table.
local function read_corpus(paths)
  if #paths == 0 then return nil end
  local corpus = qe.dataset()
  for _, path in ipairs(paths) do
    if path:match "%.tsv$" then
      local ok, problem = corpus:read(path)
      if not ok then return false, problem end
    else
      local list, problem = lines.read(path)
      if not list then return false, problem end
      for _, line in ipairs(list) do corpus:append(line, "") end
    end
  end
  return corpus
end

local function configuration_of(arguments)
  local form = encoder.FORMS[arguments.form]
  return { joint = form.joint, prefix = arguments.prefix,
           minimum = arguments.minimum, fine = arguments.fine, max_tokens = arguments.max_tokens,
           alignment = form.alignment and (arguments.layers or true) or qe.json.array {} }
end

local CARD = [[# %s

A pretrained multilingual encoder, imported by Qestrel %s: %d layers of width %d, %d pieces, sha256 of
model.safetensors %s.

%s
]]
local UNTRAINED = [[Nobody has trained its head. Its score is the mean cosine of every piece's best match on the other
side, by the states of %s: higher is better, but it is no z-score. `qestrel train teacher` makes an estimator of it.]]

local function licence_of(arguments)
  if arguments.licence then return lines.text(arguments.licence) end
  return lines.text(arguments.folder .. "/LICENSE")
    or "Not stated: the licence of these weights is that of the folder they were imported from.\n"
end

local function describe(model, arguments, licence)
  local manifest = model:manifest()
  local architecture, sha256 = manifest.architecture, manifest.encoder.sha256
  local name = arguments.folder:match "([^/]+)/*$" or arguments.folder
  local untrained = UNTRAINED:format(
    #architecture.alignment > 0 and "layers " .. table.concat(architecture.alignment, ", ") or "a random head")
  assert(model:describe {
    created_by = "qestrel " .. qe.version(), languages = "multilingual", license = licence:match "[^\n]*",
    encoder = { from = name, sha256 = sha256, layers = architecture.layers, width = architecture.width,
                pieces = architecture.pieces },
  })
  model:set_card(CARD:format(name, qe.version(), architecture.layers, architecture.width, architecture.pieces,
                             sha256, untrained))
end

function command.run(arguments)
  local corpus, model, licence, problem
  corpus, problem = read_corpus(arguments.vocabulary_from)
  if corpus == false then return 1, problem end
  model, problem = qe.import(arguments.folder, configuration_of(arguments), corpus, qe.rng(arguments.seed, "import"))
  if not model then return 1, problem end
  licence, problem = licence_of(arguments)
  if not licence then return 1, problem end
  describe(model, arguments, licence)
  model:set_licence(licence)
  model:set_golden(golden)
  model:round(arguments.storage)
  local ok
  ok, problem = model:save(arguments.output)
  return ok and 0 or 1, problem
end

return command
