--- codistillation - peers that learn from their own shard of the data and from each other, as they were a while ago.
-- Anil et al. 2018, Large scale distributed neural network training through online distillation (methods.md M8):
--   L_i = D(student_i, gold) + weight D(student_i, mean over j of the stale peers' scores)
-- after a burn-in without the second term. Every `refresh` steps each peer's parameters are copied for the others to
-- see; a copy is never trained. Peer 1 is the student that is saved. No outside teacher.
-- Pitfalls guarded against: peers start from different values and have disjoint shards (shards_of_data=false gives all
-- of them all rows, a control that measures only ensembling); nothing is distilled before the burn-in is over.
local qe = require "qestrel"
local distance = require "qestrel.distance"
local rows = require "qestrel.rows"

local codistillation = {
  name = "codistillation",
  options = {
    { "peers", 2, "how many" },
    { "weight", 1.0, "of the peers' scores; 0: every peer on its own" },
    { "burn_in", 100, "steps before peers look at each other" },
    { "refresh", 50, "steps between copies of the peers" },
    { "shards_of_data", true, "every peer has rows of its own" },
  },
}

function codistillation.setup(run)
  local o = run.options
  run:scale_column("gold", "target")
  run.shards = rows.deal(rows.all(run), o.shards_of_data and o.peers or 1, run:rng "shards")
  run.rows, run.peers, run.state.peers, run.state.stale = run.shards[1], { run.student }, {}, {}
  for i = 2, o.peers do run.peers[i] = run:new_model("peer" .. i) end
  for i = 1, o.peers do run.state.stale[i] = run.peers[i]:params():values():clone() end
  for i = 2, o.peers do
    local params = run.peers[i]:params()
    run.state.peers[i - 1] = {
      params = params, optimiser = qe.optimiser(params, { rule = o.optimiser, weight_decay = o.decay }, run.pool),
      batcher = qe.batcher(run.train, run.shards[i] or run.shards[1], o.batch, run:rng("data" .. i)),
    }
  end
  run.mirror = run:new_model "mirror" -- where a stale copy is put to be asked
end

-- The mean of what the others' copies say of a batch.
local function others(run, batch, self)
  local sum
  for j, stale in ipairs(run.state.stale) do
    if j ~= self then
      run.mirror:params():values():copy(stale)
      local score = run.mirror:forward(run.tape, batch, { no_gradient = true }):tap "score"
      local values = run.tape:constant(#batch, 1, score:values())
      sum = sum and sum + values or values
    end
  end
  return sum * (1 / (#run.state.stale - 1))
end

local function loss_of(run, batch, i)
  local o, pass = run.options, run:forward(batch, run.peers[i], i > 1 and "peer" .. i or nil)
  local gold = distance.between(run, pass, batch, "target")
  if o.weight == 0 or run.state.loop.step < o.burn_in then return gold:mean() end
  return (gold + pass:tap("score"):squared_error(others(run, batch, i)) * o.weight):mean()
end

function codistillation.loss(run, batch) return loss_of(run, batch, 1) end

function codistillation.after(run, _, rate)
  for i, peer in ipairs(run.state.peers) do
    local batch <close> = peer.batcher:next() or peer.batcher:next()
    run.tape:reset()
    loss_of(run, batch, i + 1):backward()
    assert(peer.optimiser:step(rate))
  end
  if (run.state.loop.step + 1) % run.options.refresh ~= 0 then return end
  for i, stale in ipairs(run.state.stale) do stale:copy(run.peers[i]:params():values()) end
end

return codistillation
