--- The progress line on stderr: epoch, step, loss, dev Pearson, pairs per second, time left. On a terminal one line
-- that is rewritten; elsewhere one line per evaluation on dev.
-- @module qestrel.progress
local qe = require "qestrel"

local progress = {}

local INTERVAL = 0.5 -- seconds between two updates on a terminal

function progress.start(run, stage)
  run.progress = { stage = stage.name, start = qe.clock(), first_step = run.state.loop.step, shown = 0,
                   terminal = qe.stderr_is_terminal() }
end

local function line(run)
  local loop, here = run.state.loop, run.progress
  local seconds = math.max(qe.clock() - here.start, 1e-9)
  local steps = loop.step - here.first_step
  local left = steps > 0 and seconds / steps * (run.total_steps - loop.step) or 0
  local pearson = loop.pearson and ("%.4f"):format(loop.pearson) or "-"
  return ("%s  epoch %d/%d  step %d  loss %.5f  dev Pearson %s  %.0f pairs/s  at most %d:%02d left"):format(
    here.stage, math.max(loop.epoch, 1), run.total_steps // run.batcher:batches(), loop.step,
    loop.loss_count > 0 and loop.loss_sum / loop.loss_count or 0 / 0, pearson,
    steps * run.options.batch / seconds, left // 60, left // 1 % 60)
end

function progress.step(run)
  local here = run.progress
  if run.quiet or not here.terminal or qe.clock() - here.shown < INTERVAL then return end
  here.shown = qe.clock()
  io.stderr:write("\r", line(run), "\27[K")
end

function progress.evaluated(run)
  if run.quiet then return end
  io.stderr:write(run.progress.terminal and "\r" or "", line(run), run.progress.terminal and "\27[K\n" or "\n")
end

local Counter = {}
Counter.__index = Counter

--- A line that counts things as they are done, on a terminal only.
function progress.counter(what)
  return setmetatable({ what = what, start = qe.clock(), shown = qe.clock(), terminal = qe.stderr_is_terminal() },
    Counter)
end

function Counter:show(count)
  local now = qe.clock()
  if not self.terminal or now - self.shown < INTERVAL then return end
  self.shown, self.drawn = now, true
  io.stderr:write(("\r%d %s  %.0f a second\27[K"):format(count, self.what, count / (now - self.start)))
end

--- Takes the line away.
function Counter:close()
  if self.drawn then io.stderr:write "\r\27[K" end
end

return progress
