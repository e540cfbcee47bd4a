--- Further heads on the states of a student, each with its own attention and score, and a gate that weighs the heads by
-- what the states look like (the Feature Aggregation Unit of Li et al. 2021; methods.md M3). Head 1 is the student's
-- own. Head b reads every state beside its b - 1 neighbours on either side, so that heads see differently far; it may
-- be wider than the one before. The gate: convolutions of width 3, 5 and 7 over the states, summed, mean over tokens,
-- a bottleneck, softmax over heads.
-- @module qestrel.branches
local qe = require "qestrel"

local branches = {}

local SIDES, REACHES, CHANNELS, BOTTLENECK = { "source", "target" }, { 1, 2, 3 }, 16, 16

local function linear(params, name, from, to, rng)
  params:add(name, from, to)
  params:add(name .. ".bias", 1, to)
  params:uniform(name, 1 / math.sqrt(from), rng)
end

local function apply(params, tape, name, x)
  return x:matmul(params:tensor(tape, name)) + params:tensor(tape, name .. ".bias")
end

--- Parameters of heads 2 .. count and of the gate.
-- @param growth how many times as wide as the one before each head's attention is
function branches.params(options, count, growth, rng)
  local params, states = qe.params(), 2 * options.hidden
  for b = 2, count do
    local width = math.floor(options.attention * growth ^ (b - 1) + 0.5)
    for _, side in ipairs(SIDES) do
      linear(params, ("%d.%s"):format(b, side), states * (2 * b - 1), width, rng)
      linear(params, ("%d.%s.context"):format(b, side), width, 1, rng)
    end
    linear(params, b .. ".head", 2 * width, math.max(1, options.bins), rng)
  end
  for _, reach in ipairs(REACHES) do
    for _, side in ipairs(SIDES) do
      linear(params, ("gate.%s.%d"):format(side, reach), states * (2 * reach + 1), CHANNELS, rng)
    end
  end
  linear(params, "gate.bottleneck", 2 * CHANNELS, BOTTLENECK, rng)
  linear(params, "gate.heads", BOTTLENECK, count, rng)
  return params
end

--- The states of both sides of a pass: { source = { x =, segments = }, target = ... }.
-- @param attached whether heads beside the student's own move the states
function branches.states(pass, batch, model, attached)
  local states = {}
  for _, side in ipairs(SIDES) do
    local x = pass:tap(side .. ".states")
    states[side] = { x = attached and x or x:detach(), segments = batch:segments(model, side) }
  end
  return states
end

--- What head b says: a score (sigmoid), or with bins their logits.
function branches.head(params, tape, states, b, options, rng)
  local pooled = {}
  for i, side in ipairs(SIDES) do
    local own, name = states[side], ("%d.%s"):format(b, side)
    local x = apply(params, tape, name, own.x:dropout(options.dropout, rng):window(own.segments, b - 1, b - 1))
    pooled[i] = x:attention_pool(apply(params, tape, name .. ".context", x), own.segments)
  end
  local logits = apply(params, tape, b .. ".head", qe.beside(pooled))
  return options.bins > 0 and logits or logits:sigmoid()
end

--- Weights of the heads for every pair, rows x count, each row summing to 1.
function branches.gates(params, tape, states)
  local seen = {}
  for i, side in ipairs(SIDES) do
    local own, sum = states[side], nil
    for _, reach in ipairs(REACHES) do
      local x = apply(params, tape, ("gate.%s.%d"):format(side, reach), own.x:window(own.segments, reach, reach)):relu()
      sum = sum and sum + x or x
    end
    seen[i] = sum:pool_segments(own.segments, "mean")
  end
  local narrow = apply(params, tape, "gate.bottleneck", qe.beside(seen)):relu()
  return apply(params, tape, "gate.heads", narrow):softmax()
end

return branches
