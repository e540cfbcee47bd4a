--- Pretrained encoders in recipes: a model with another head, and the rates of its parts.
-- @module qestrel.encoder
local qe = require "qestrel"
local evaluate = require "qestrel.evaluate"
local rows = require "qestrel.rows"

local encoder = {}

--- The ways to read a pair.
encoder.FORMS = {
  joint = { joint = true, alignment = false },
  alignment = { joint = false, alignment = true },
  both = { joint = true, alignment = true },
}

--- Layers of a list like "7,11".
-- @return array, or nil and a message
function encoder.layers_of(list)
  local layers = {}
  for number in list:gmatch "[^,]+" do
    layers[#layers + 1] = math.tointeger(tonumber(number))
    if not layers[#layers] then return nil, "expected layers like 7,11" end
  end
  return layers
end

-- The most pieces of a side that its positions have room for.
local function most_tokens(architecture, joint)
  local alone = architecture.max_tokens
  return joint and not architecture.joint and (alone - 3) // 2 or alone
end

--- The student of a run as its options ask for: the encoder of --encoder, its form and head; decoder inputs are
-- standardised on the training rows.
function encoder.derive(run)
  local o = run.options
  if o.encoder == "" then error("give --encoder=FILE.qe, made by qestrel import", 0) end
  local form = encoder.FORMS[o.form] or error(("--form=%s: none of joint, alignment, both"):format(o.form), 0)
  local layers = encoder.layers_of(o.layers) or error(("--layers=%s: not like 7,11"):format(o.layers), 0)
  local model, problem = qe.open(o.encoder)
  if not model then error(problem, 0) end
  local architecture = model:manifest().architecture
  if architecture.name ~= "encoder" then error(o.encoder .. ": no encoder", 0) end
  local student
  student, problem = model:derive({
    joint = form.joint, alignment = form.alignment and layers or qe.json.array {}, dropout = o.dropout,
    bins = o.bins, decoder_inputs = o.decoder and 4 or 0, decoder_dropout = o.decoder and o.decoder_dropout or nil,
    max_tokens = o.max_tokens > 0 and o.max_tokens or most_tokens(architecture, form.joint),
  }, run.train, run:rng "student")
  return student or error(problem, 0)
end

local CENTER_ROWS, CENTER_BATCH = 1024, 16

-- Sums over the tokens of a batch, added up in `sums`.
local function add_tokens(sums, states)
  local values = states:sum("rows"):values()
  for j, value in ipairs(values) do sums[j] = (sums[j] or 0) + value end
  sums.count = (sums.count or 0) + states:rows()
end

--- Puts the centres of the alignment where the student's states are, on average over tokens of some training rows: what
-- is common to all states of a side says nothing of which belong together.
function encoder.center(run)
  local student, layers = run.student, run.student:manifest().architecture.alignment
  local chosen, centers = rows.sample(run.rows, CENTER_ROWS, run:rng "center"), {}
  for first = 1, #chosen, CENTER_BATCH do
    local last = math.min(first + CENTER_BATCH - 1, #chosen)
    local batch <close> = qe.batch(run.train, table.move(chosen, first, last, 1, {}))
    run.tape:reset()
    local pass = student:forward(run.tape, batch, { no_gradient = true })
    for i, layer in ipairs(layers) do
      for side, name in ipairs { "source", "target" } do
        local number = 2 * (i - 1) + side
        centers[number] = centers[number] or {}
        add_tokens(centers[number], pass:tap(("%s.layer%d"):format(name, layer)))
      end
    end
  end
  local values = {}
  for _, sums in ipairs(centers) do
    for _, sum in ipairs(sums) do values[#values + 1] = sum / math.max(sums.count, 1) end
  end
  if #layers > 0 then student:params():set_matrix("alignment.center", values) end
end

--- Sets the rates of the run's optimiser: frozen layers do not move (the embeddings are the first), the head moves
-- faster.
function encoder.rates(run)
  local frozen = run.options.frozen
  for _, name in ipairs(run.student:params():names()) do
    local layer = tonumber(name:match "^layer(%d+)%.")
    local table_ = name:match "^embeddings%."
    if table_ or layer then
      run.optimiser:scale(name, (layer or 0) < frozen and 0 or 1)
    else
      run.optimiser:scale(name, run.options.head_rate)
    end
  end
end

-- Where the joint sequences of a batch begin: both texts and as many special pieces for each pair.
local function joint_offsets(batch, model, special)
  local source, target = batch:segments(model, "source"):offsets(), batch:segments(model, "target"):offsets()
  local offsets = {}
  for i = 1, #source do offsets[i] = source[i] + target[i] + (i - 1) * special end
  return offsets
end

--- States of the joint sequences of all training rows after `layer` layers, which do not learn: half precision, in
-- memory. Layers below need not be run again.
-- @return a function: batch -> options for a pass of the student that starts there
function encoder.cached(run, layer)
  local student, store, special = run.student, nil, nil
  local tap = ("joint.layer%d"):format(layer)
  evaluate.passes(student, run.train, run.pool, function(pass, batch)
    local states = pass:tap(tap)
    store = store or qe.states(states:cols())
    if not special then
      local offsets = joint_offsets(batch, student, 0)
      special = (states:rows() - offsets[#offsets]) // (#offsets - 1)
    end
    assert(store:add(states, nil, joint_offsets(batch, student, special), { share = 1.0 }))
  end, { no_gradient = true, last_layer = layer })
  return function(batch)
    local offsets = joint_offsets(batch, student, special)
    return { source_embedding = store:target(run.tape, batch:rows(), offsets), first_layer = layer,
             frozen_layers = layer + 1 }
  end
end

return encoder
