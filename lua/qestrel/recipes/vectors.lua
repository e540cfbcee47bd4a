--- vectors - embeddings of words from a pretrained encoder: what an aligned student starts from (--init).
-- The states of words in one layer of --encoder=FILE.qe (pieces averaged over each word, centred, along their main
-- axes) are the target of the student's embeddings, moved by their neighbours: what they cannot know of the context
-- they learn as the mean over all that a word occurs in; words that were never seen are known by their n-grams. Both
-- languages share one space, in which cosines align. No score is looked at; the model that results judges nothing yet.
local hidden = require "qestrel.hidden"
local qe = require "qestrel"
local taps = require "qestrel.taps"
local vectors = require "qestrel.vectors"

local recipe = {
  name = "vectors",
  options = {
    { "encoder", "", "archive of an imported encoder, of the form alignment or both" },
    { "layer", 0, "whose states are learned; 0: a little above the middle" },
    { "student", "aligned", "the kind of student" },
    { "epochs", 12, "passes over the training rows" }, { "rate", 0.01, "learning rate" },
    { "schedule", "linear", "constant, linear or cosine" }, { "batch", 64, "pairs per step" },
    { "clip", 0.0, "norm that gradients are clipped to; 0: not" }, { "decay", 0.0, "weight decay" },
  },
}

function recipe.setup(run)
  local o = run.options
  if o.encoder == "" then error("give --encoder=FILE.qe, made by qestrel import", 0) end
  local encoder <close> = assert(qe.open(o.encoder, 1 << 32))
  local share
  local layers = taps.layers(encoder) or error(o.encoder .. ": no encoder", 0)
  if o.layer == 0 then o.layer = taps.middle(layers) end
  run.stores, share = vectors.collect(run, encoder, o.layer, o.embedding)
  run:say("%d axes hold %.0f %% of the variance of words' states", o.embedding, 100 * share)
end

function recipe.loss(run, batch)
  local pass, sum = run.student:forward(run.tape, batch, { no_head = true }), nil
  for side, store in pairs(run.stores) do
    local states = pass:tap(side .. ".context")
    local term = hidden.distance(run.tape, states, store, batch:rows(), batch:segments(run.student, side))
    sum = sum and sum + term or term
  end
  return sum * run.options.embedding
end

function recipe.stages()
  return { { name = "vectors", last = true } }
end

return recipe
