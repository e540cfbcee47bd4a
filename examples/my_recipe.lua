-- A recipe of one's own: the teacher's scores, with Huber loss instead of the square.
local recipe = { name = "huber", teacher = true, options = { { "delta", 0.2, "where the loss turns linear" } } }
function recipe.setup(run)
  run:scale_column("teacher", "target")
end
function recipe.loss(run, batch)
  local score = run:forward(batch):tap "score"
  return score:huber(batch:column(run.tape, "target"), run.options.delta):mean()
end
return recipe
