--- What a training run can be told: the options that every recipe has, those that a recipe adds, and the reading of
-- `--name=value`. An option is { name, default, help }; its type is that of its default. Unknown names are refused.
-- @module qestrel.options
local options = {}

--- Options of every recipe.
options.common = {
  { "epochs", 20, "passes over the training rows, at most" },
  { "patience", 5, "evaluations without a better dev Pearson before training stops" },
  { "evaluations", 2, "evaluations on dev per epoch" },
  { "batch", 32, "pairs per step" },
  { "optimiser", "adam", "adam, adagrad or sgd" },
  { "rate", 0.001, "learning rate" },
  { "schedule", "constant", "of the rate after warm-up: constant, linear or cosine (both fall to 0)" },
  { "warmup", 0, "steps in which the rate rises from 0" },
  { "decay", 0.0, "weight decay" },
  { "clip", 0.0, "norm that gradients are clipped to; 0: not" },
  { "gold", "", "column of human scores; default: z_mean, z, score or mean, the first that the data has" },
  { "student", "birnn", "birnn, or aligned: cross attention over what counted text and embeddings know" },
  { "init", "", "archive whose matrices of the same names and shapes the student begins with" },
  { "word_rate", 1.0, "rate of embeddings and of what moves them by their neighbours, times that of all else" },
  { "parallel", "", "TSV of further pairs (source, translation) that an aligned student's lexicon is counted on, too" },
  { "context", "", "archive of an encoder: an aligned student reads words in context by it, and has no embeddings" },
  { "context_layer", 0, "whose states words get; 0: a little above the middle" },
  { "least_count", 1, "times that a word or n-gram was counted, of those that an aligned student keeps" },
  { "trees", 0, "boosted trees over what can be counted of a pair, that have a say in an aligned student's score" },
  { "least_link", 1, "probability, in 15 steps of 2^(3/8), of the lexicon entries that it keeps" },
  { "vocabulary", "ngrams", "ngrams (hashed, characters 3-5 and words), counted (known ones, a row each) or words" },
  { "buckets", 32768, "rows of a hashed table" },
  { "words", 20000, "words, or counted n-grams, of a vocabulary, at most" },
  { "minimum", 2, "times that a word or counted n-gram of the vocabulary was seen" },
  { "lowercase", true, "lower-case before look-up" },
  { "max_tokens", 200, "words of a side that are read; the rest is cut off and counted" },
  { "embedding", 50, "width of embeddings" },
  { "hidden", 50, "width of a GRU direction" },
  { "attention", 100, "width of the attention layer" },
  { "window", 2, "neighbours on either side that move an aligned student's words; 0: nothing does" },
  { "states", 96, "width of the states of an aligned student" },
  { "comparison", 48, "width of its comparisons" },
  { "dropout", 0.5, "share of states dropped in training" },
  { "bins", 0, "bins of the score; 0: a sigmoid" },
  { "spread", 0.1, "with bins: standard deviation of a target, in the unit interval, where no teacher gives one" },
  { "temperature", 1.0, "with bins: of both distributions" },
  { "decoder", false, "read the decoder's log-probabilities as well" },
  { "decoder_dropout", 0.5, "share of rows whose log-probabilities are hidden in training; no BiRNN" },
  { "storage", "int8", "of embeddings in the archive: f32, bf16 or int8; int8-all, int4: of other matrices, too" },
  { "shards", 2, "parts of a batch that threads share out; part of what makes a run reproducible" },
  { "good", "", "human score from which a translation is good; default: 70 of 100 (column mean), or the mean score" },
  { "languages", "", "language pair; default: the name of the data folder, if it looks like one" },
  { "golden", "", "TSV of pairs that the archive is tested with when it is opened; default: built-in ones" },
  { "card", "", "Markdown file that opens the model card" },
  { "license", "LicenseRef-of-the-training-data", "SPDX expression for the model" },
  { "license_file", "", "text of the licence" },
}

--- What these defaults are for another kind of student than a BiRNN.
options.students = {
  birnn = {},
  aligned = { epochs = 8, patience = 6, evaluations = 1, batch = 64, rate = 8e-4, schedule = "linear", warmup = 40,
              decay = 0.05, clip = 1.0, buckets = 16384, max_tokens = 100, embedding = 48, hidden = 48, dropout = 0.4 },
}

local function parse_value(name, default, text)
  local kind = math.type(default) or type(default)
  if kind == "string" then
    return text
  elseif kind == "boolean" then
    local value = ({ ["true"] = true, ["false"] = false, yes = true, no = false, [""] = true })[text]
    return value, value == nil and ("--%s=%s: neither true nor false"):format(name, text) or nil
  end
  local value = tonumber(text)
  if kind == "integer" then
    value = value and math.tointeger(value)
    return value, not value and ("--%s=%s: not a whole number"):format(name, text) or nil
  end
  if not value or value ~= value or value == math.huge or value == -math.huge then
    return nil, ("--%s=%s: not a number"):format(name, text)
  end
  return value + 0.0
end

local common = {}
for _, option in ipairs(options.common) do common[option[1]] = option end

local function declared(recipe)
  local list, by_name = {}, {}
  for _, source in ipairs { options.common, recipe.options or {} } do
    for _, option in ipairs(source) do
      -- a recipe may give a common option another default
      if not by_name[option[1]] then list[#list + 1] = option[1] end
      by_name[option[1]] = option
    end
  end
  return list, by_name
end

--- Values for a recipe: defaults, overruled by `given` (name -> text or value; dashes and underscores are one).
-- @return table of values, or nil and a message
function options.resolve(recipe, given)
  local list, by_name = declared(recipe)
  local values, kind = {}, given.student or by_name.student[2]
  local preset = options.students[kind]
  if not preset then return nil, ("--student=%s: neither birnn nor aligned"):format(kind) end
  for _, name in ipairs(list) do values[name] = by_name[name][2] end
  for name, value in pairs(preset) do
    if by_name[name] == common[name] then values[name] = value end -- a recipe's own default stays
  end
  for key, value in pairs(given) do
    local name = key:gsub("%-", "_")
    if not by_name[name] then
      return nil, ("--%s: no such option of recipe %s; there are: %s"):format(
        key, recipe.name, table.concat(list, ", "))
    end
    local parsed, problem = parse_value(key, by_name[name][2], tostring(value))
    if problem then return nil, problem end
    values[name] = parsed
  end
  return values
end

--- The defaults that differ for another kind of student, as a sentence.
function options.students_help()
  local names, parts = {}, {}
  for name in pairs(options.students.aligned) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    parts[i] = ("%s=%s"):format(name:gsub("_", "-"), tostring(options.students.aligned[name]))
  end
  return "With --student=aligned the defaults are " .. table.concat(parts, " ") .. "."
end

--- One line per option of a list.
function options.help(list)
  local lines = {}
  for _, option in ipairs(list) do
    local name, default, help = table.unpack(option)
    lines[#lines + 1] = ("   --%-24s %s"):format(("%s=%s"):format((name:gsub("_", "-")), tostring(default)), help)
  end
  return table.concat(lines, "\n")
end

return options
