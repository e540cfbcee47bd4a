-- Scores a pair and looks into the model: lua5.4 score.lua MODEL.qe
local qe = require "qestrel"
local model = assert(qe.open(arg[1]))
local scorer = qe.scorer(model)
print(("%.6f"):format(scorer:score("Kass magab ahju peal.", "The cat is sleeping on the stove.")))
print(model:manifest().languages, model:manifest().recipe.name)
