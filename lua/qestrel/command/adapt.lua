--- qestrel adapt
local adapt = require "qestrel.adapt"

local command = { summary = "Adapt a model to ratings or post-edits of your own." }

function command.configure(parser)
  parser:option("-m --model", "Model archive."):argname("MODEL.qe"):count "1"
  parser:option("--train", "TSV with columns source, translation and a rating (z_mean, z, score, mean or --gold), or "
    .. "a post-edit of the translation (post_edit)."):argname("FILE"):count "1"
  parser:option("-o --output", "The archive to write."):argname("OUT.qe"):count "1"
  parser:option("--gold", "Column of the ratings."):argname("NAME"):default ""
  parser:option("--good", "Rating from which a translation is good; default: 70 of 100 (column mean), or the mean.")
    :argname("X"):convert(tonumber)
  parser:flag("--lower-is-better", "Ratings count what is wrong.")
  parser:option("--epochs", "Passes over the training rows, at most; 0: calibration alone."):argname("N")
    :convert(math.tointeger):default "10"
  parser:option("--rate", "Learning rate; default: 2e-4, of encoders 1e-5."):argname("X"):convert(tonumber)
  parser:option("--seed", "Of all random numbers."):argname("N"):convert(math.tointeger):default "1"
  parser:option("--threads", "Threads; they do not change the result."):argname("N"):convert(math.tointeger):default "1"
end

local function line(name, figures)
  return ("%-14s %8.4f  %8.4f  %8.4f\n"):format(name, figures.pearson, figures.spearman, figures.rmse)
end

function command.run(arguments)
  local report, problem = adapt.run {
    model = arguments.model, train = arguments.train, output = arguments.output, gold = arguments.gold,
    good = arguments.good and tostring(arguments.good), lower_is_better = arguments.lower_is_better,
    epochs = arguments.epochs, rate = arguments.rate, seed = arguments.seed, threads = arguments.threads,
  }
  if not report then return 1, problem end
  local rows = report.rows
  io.write(("held out: %d of %d rows; %d to learn from, %d to stop and calibrate by\n"):format(
    rows.held_out, rows.held_out + rows.train + rows.dev, rows.train, rows.dev))
  io.write("                pearson  spearman      rmse\n", line("as it was", report.before),
    line("calibrated", report.calibrated), line("adapted", report.after))
  if not report.trained then
    io.write "calibrated alone: it is a family, or training did not help on the rows to stop by\n"
  end
  io.write(("calibration error %.3f, %.0f %% of the ratings inside the spread (rows to calibrate by, halves)\n"):format(
    report.dev.calibration_error, 100 * report.dev.coverage))
  return 0
end

return command
