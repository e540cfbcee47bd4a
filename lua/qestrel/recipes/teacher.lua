--- teacher - a pretrained encoder that learns to judge: what small students are distilled from.
-- MonoTransQuest (Ranasinghe et al. 2020): both texts in one sequence; the first state and the means of both sides ->
-- tanh layer -> head. Or the texts alone, aligned by the cosines of their centred states; or both. --encoder=FILE.qe is
-- what `qestrel import` made. The lowest --frozen layers stay as they were (the embeddings are the first; 99: only the
-- head learns); the head's rate is --head-rate times that of the layers.
-- --pool=DIR,DIR adds further language pairs; no source of any dev, test20 or of --held-out=FILE (keys: sha256 of
-- sources) is trained on. --folds and --fold leave one fold of the sources out, whose rows this teacher may label:
-- the labels of rows that a teacher was fitted on give gold away. --labels=DIR holds such, as PAIR.train.tsv.gz, and
-- --alpha is their weight beside gold: how a smaller encoder is distilled.
local distance = require "qestrel.distance"
local encoder = require "qestrel.encoder"
local package_model = require "qestrel.package"
local pool = require "qestrel.pool"
local taps = require "qestrel.taps"

local teacher = {
  name = "teacher",
  options = {
    { "encoder", "", "archive of an imported encoder" },
    { "form", "joint", "joint, alignment or both" },
    { "layers", "7,11", "layers that are aligned" },
    { "frozen", 1, "lowest layers that do not learn, the embeddings being the first; 99: all" },
    { "cache", true, "keep the states of layers that do not learn, where there are any and the form is joint" },
    { "head_rate", 8.0, "rate of pooler and head, times that of the layers" },
    { "pool", "", "folders of further language pairs, A,B,C" },
    { "held_out", "", "file of sha256 of sources that are not trained on" },
    { "labels", "", "folder of PAIR.train.tsv.gz: what teachers say of the training rows, by index" },
    { "alpha", 0.5, "weight of the labels, where there are any; 1: no gold" },
    { "route", false, "keep the model at every evaluation, too, as OUT.1.qe, OUT.2.qe, ..." },
    { "folds", 2, "folds of the sources" }, { "fold", 0, "the fold that is left out; 0: none" },
    { "epochs", 2, "passes over the training rows" }, { "batch", 16, "pairs per step" },
    { "rate", 6e-5, "learning rate of the layers" }, { "schedule", "linear", "constant, linear or cosine" },
    { "warmup", 0, "steps in which the rate rises; 0: a tenth of all" }, { "dropout", 0.1, "share dropped" },
    { "evaluations", 1, "evaluations on dev per epoch" }, { "max_tokens", 0, "pieces read of a side; 0: all that fit" },
  },
}

function teacher.student(run)
  local folders = pool.folders(run.options.pool)
  pool.append(run.train, folders, "train", run.options.gold)
  pool.append(run.dev, folders, "dev", run.options.gold)
  return encoder.derive(run)
end

function teacher.setup(run)
  local o, folders = run.options, pool.folders(run.options.pool)
  local held_out, problem = pool.held_out(run.dev, { run.folder, table.unpack(folders) }, o.held_out)
  if not held_out then error(problem, 0) end
  run.rows = pool.rows(run.train, held_out, o.folds, o.fold)
  run:say("%d of %d rows, from %d language pairs", #run.rows, run.train:rows(), 1 + #folders)
  pool.mix(run, { run.folder, table.unpack(folders) }, o.labels, o.alpha)
  run:scale_column("mixed", "target")
  if o.form ~= "joint" then encoder.center(run) end
  if o.cache and o.form == "joint" and o.frozen > 1 then
    run.cached = encoder.cached(run, math.min(o.frozen - 1, taps.layers(run.student)))
  end
  if o.warmup == 0 then o.warmup = o.epochs * #run.rows // o.batch // 10 end
end

function teacher.stages(run)
  return { { name = "teacher", setup = function() encoder.rates(run) end } }
end

function teacher.loss(run, batch)
  local options = run.cached and run.cached(batch) or { frozen_layers = run.options.frozen }
  options.dropout = run:rng "student.dropout"
  local pass = run.student:forward(run.tape, batch, options)
  return distance.between(run, pass, batch, "target"):mean()
end

function teacher.evaluated(run)
  local o, number = run.options, run.state.loop.evaluated
  if o.route and run.output then package_model.snapshot(run, package_model.numbered(run.output, number)) end
end

return teacher
