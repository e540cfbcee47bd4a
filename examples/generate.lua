--- Made-up quality-estimation data: two invented languages, a translator that makes mistakes, and judges that see them
-- through noise. The truth of a pair falls with the weight of its mistakes: a wrong ending, a repeated, garbled,
-- untranslated or lost word. Sentences with rare words are translated worse, so both sides tell something.
--
--    local generate = dofile "examples/generate.lua"
--    local rows = generate.rows(qe, 1000, 7)            -- { { source, translation, truth }, ... }
--    local pairs = generate.parallel(qe, 1000, 7)       -- { { source, correct translation }, ... }
--    generate.write(path, rows, { score = {...} })      -- TSV with these columns beside source and translation
local generate = {}

local ONSETS = { "p", "t", "k", "s", "m", "n", "l", "r", "v", "h", "st", "kr" }
local NUCLEI = { "a", "e", "i", "o", "u", "ai", "oo" }
local CODAS = { "", "", "n", "s", "l" }

local function pick(rng, list)
  return list[rng:below(#list) + 1]
end

local function new_word(rng, syllables, taken)
  repeat
    local parts = {}
    for i = 1, syllables do parts[i] = pick(rng, ONSETS) .. pick(rng, NUCLEI) end
    local word = table.concat(parts) .. pick(rng, CODAS)
    if not taken[word] then
      taken[word] = true
      return word
    end
  until false
end

-- Lexicons are the same for every seed of sentences: they are the languages.
local function new_lexicon(qe)
  local rng, taken = qe.rng(1, "lexicon"), {}
  local function entries(count, syllables, classes)
    local list = {}
    for i = 1, count do
      list[i] = { source = new_word(rng, syllables, taken), target = new_word(rng, syllables, taken),
                  class = i % classes + 1 }
    end
    return list
  end
  return {
    noun = entries(160, 2, 2), verb = entries(60, 2, 1), adjective = entries(50, 2, 1), adverb = entries(30, 3, 1),
  }
end

-- Earlier words of a list are more frequent.
local function pick_word(rng, list)
  return list[math.floor(#list * rng:uniform() ^ 2) + 1]
end

local ARTICLES = { "el", "um" }
local ENDINGS = { "a", "osi" }

-- Items of a sentence: source word, target word, and whether an ending may go wrong.
local function noun_phrase(rng, lexicon, items)
  local noun = pick_word(rng, lexicon.noun)
  items[#items + 1] = { source = "zu", target = ARTICLES[noun.class], rare = 0 }
  if rng:uniform() < 0.5 then
    local adjective = pick_word(rng, lexicon.adjective)
    items[#items + 1] = { source = adjective.source .. "i", target = adjective.target .. "-" .. ENDINGS[noun.class],
                          wrong = adjective.target .. "-" .. ENDINGS[3 - noun.class], rare = 0.2 }
  end
  items[#items + 1] = { source = noun.source, target = noun.target, rare = noun.rare }
end

local function sentence(rng, lexicon)
  local items = {}
  if rng:uniform() < 0.3 then
    local adverb = pick_word(rng, lexicon.adverb)
    items[1] = { source = adverb.source, target = adverb.target, rare = adverb.rare }
  end
  for clause = 1, 1 + rng:below(3) do
    if clause > 1 then items[#items + 1] = { source = "ne", target = "ja", rare = 0 } end
    noun_phrase(rng, lexicon, items)
    local verb = pick_word(rng, lexicon.verb)
    items[#items + 1] = { source = verb.source, target = verb.target, rare = verb.rare }
    noun_phrase(rng, lexicon, items)
  end
  return items
end

local function garbled(rng, word)
  local i = rng:below(#word) + 1
  return word:sub(1, i - 1) .. pick(rng, { "x", "q", "w", "y", "zz" }) .. word:sub(i + 1)
end

-- One mistake in one item: what is written, and how much it weighs.
local function mistake(rng, item)
  local kind = rng:below(5)
  if kind == 0 and item.wrong then return { item.wrong }, 1 end
  if kind <= 1 then return { garbled(rng, item.target) }, 2 end
  if kind == 2 then return { item.target, item.target }, 1.5 end
  if kind == 3 then return { item.source }, 2.5 end
  return {}, 2
end

local function translate(rng, items)
  local words, weight, source = {}, 0, {}
  local carelessness = rng:uniform() ^ 2 * 0.5
  for _, item in ipairs(items) do
    source[#source + 1] = item.source
    local written, cost = { item.target }, 0
    if rng:uniform() < carelessness * (0.6 + (item.rare or 0)) then written, cost = mistake(rng, item) end
    weight = weight + cost
    for _, word in ipairs(written) do words[#words + 1] = word end
  end
  return table.concat(source, " ") .. ".", table.concat(words, " ") .. ".", math.exp(-1.5 * weight / #items)
end

--- `count` rows { source, translation, truth }, truth in 0..1.
function generate.rows(qe, count, seed)
  local lexicon, rng, rows = new_lexicon(qe), qe.rng(seed, "sentences"), {}
  for _, list in pairs(lexicon) do
    for i, entry in ipairs(list) do entry.rare = i / #list end
  end
  for i = 1, count do rows[i] = { translate(rng, sentence(rng, lexicon)) } end
  return rows
end

--- `count` rows { source, correct translation }, for references.
function generate.parallel(qe, count, seed)
  local lexicon, rng, rows = new_lexicon(qe), qe.rng(seed, "parallel"), {}
  for i = 1, count do
    local source, target = {}, {}
    for j, item in ipairs(sentence(rng, lexicon)) do source[j], target[j] = item.source, item.target end
    rows[i] = { table.concat(source, " ") .. ".", table.concat(target, " ") .. "." }
  end
  return rows
end

--- The truth of every row with normal noise of the given standard deviation.
function generate.judged(qe, rows, sd, seed)
  local rng, list = qe.rng(seed, "judges"), {}
  for i, row in ipairs(rows) do list[i] = row[3] + sd * rng:normal() end
  return list
end

--- Writes rows as TSV; `columns` is a table of name -> array of numbers.
function generate.write(path, rows, columns)
  local names = {}
  for name in pairs(columns) do names[#names + 1] = name end
  table.sort(names)
  local file = assert(io.open(path, "wb"))
  assert(file:write("index\tsource\ttranslation", #names > 0 and "\t" or "", table.concat(names, "\t"), "\n"))
  for i, row in ipairs(rows) do
    local cells = { tostring(i - 1), row[1], row[2] }
    for _, name in ipairs(names) do cells[#cells + 1] = ("%.6f"):format(columns[name][i]) end
    assert(file:write(table.concat(cells, "\t"), "\n"))
  end
  assert(file:close())
end

return generate
