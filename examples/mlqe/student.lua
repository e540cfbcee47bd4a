--- What the shipped aligned student of a pair is made with, beside its files, and the one that is a part of the base
-- student: for students.lua, base.lua, and the studies of what teachers are worth. Not a program.
local student = {}

-- From English hashed n-grams are better on dev, into it those that have a row each (students.md).
local function hashes(pair) return pair:match "^en%-" end

--- Its words, which its vectors must have, too.
-- @param width numbers of a word
function student.words(pair, width)
  if hashes(pair) then return { embedding = width, window = 2 } end
  return { embedding = width, window = 2, vocabulary = "counted", words = 65536, minimum = 5 }
end

--- Its shape and training, without its words, files, log-probabilities and tags.
function student.options(pair)
  local options = { student = "aligned", epochs = 20, patience = 20, rate = 0.0012, word_rate = 0.0 }
  local own = hashes(pair) and { states = 128, comparison = 64, dropout = 0.4, alpha = 0.5 }
    or { states = 96, comparison = 48, dropout = 0.3, alpha = 0.3 }
  for name, value in pairs(own) do options[name] = value end
  return options
end

--- What only the shipped one has: how log-probabilities are read, trees beside it, and how it is stored.
function student.shipped(pair)
  local own = { decoder = true, trees = 300, storage = hashes(pair) and "int8-all" or "int4",
                license = "CC0-1.0 AND MIT" }
  if not hashes(pair) then own.decoder_dropout = 0.3 end
  return own
end

--- Shape and training of the base student's aligned one, whose words are read in context: what moves words by their
-- neighbours would only learn the training rows by heart.
function student.in_context()
  return { student = "aligned", embedding = 128, window = 0, states = 128, comparison = 64, dropout = 0.3,
           rate = 0.0012, alpha = 0.3, least_count = 2, least_link = 9, epochs = 20, patience = 99 }
end

return student
