--- qestrel study
local qe = require "qestrel"
local lines = require "qestrel.lines"
local report = require "qestrel.study_report"
local study = require "qestrel.study"
local quoted = study.quoted

local command = { summary = "Run methods on data sets with several seeds; compare, draw." }

function command.configure(parser)
  parser:argument("definition", "Lua file that returns the study; examples/study has some.")
  parser:argument("folder", "Where results are kept; a study that is there goes on.")
  parser:option("--data", "Folder that the definition's paths begin at."):argname("DIR"):default "."
  parser:option("--seeds", "At most so many seeds."):argname("N"):convert(math.tointeger)
  parser:option("--jobs", "Processes; default: as many as cores."):argname("N"):convert(math.tointeger)
  parser:flag("--report", "Run nothing, report what is there.")
  parser:option("--worker", "One of the processes of a study, started by it."):argname("PHASE"):convert(math.tointeger)
    :hidden(true)
end

-- A process of the study: takes jobs until there are none; a line for each on stdout.
local function work(self, phase)
  local failed = false
  for _, job in ipairs(study.open_jobs(self, phase)) do
    if study.claim(self, job) then
      local ok, problem = study.run(self, job)
      failed = failed or not ok
      lines.write(ok and "done " or "failed ", job.key, "\n", not ok and problem .. "\n" or "")
      io.stdout:flush()
    end
  end
  return failed and 1 or 0
end

local function remaining(start, done, total)
  local left = done > 0 and (qe.clock() - start) / done * (total - done) or 0
  return ("%d:%02d:%02d"):format(left // 3600, left // 60 % 60, left // 1 % 60)
end

-- Starts the processes of a phase and tells what they finish.
local function run_phase(arguments, self, phase)
  local total, done, failed, start = #study.open_jobs(self, phase), 0, 0, qe.clock()
  if total == 0 then return true end
  study.release(self)
  local jobs = math.min(arguments.jobs or qe.threads(), total)
  local seeds = arguments.seeds and (" --seeds=" .. arguments.seeds) or ""
  local one = ("%s study %s %s --data=%s%s --worker=%d"):format(quoted(arguments.program),
    quoted(arguments.definition), quoted(arguments.folder), quoted(arguments.data), seeds, phase)
  local all = ("export OPENBLAS_NUM_THREADS=1; for i in $(seq %d); do %s & done; wait"):format(jobs, one)
  local pipe, terminal = assert(io.popen(all)), qe.stderr_is_terminal()
  for line in pipe:lines() do
    local result, key = line:match "^(%l+) (.*)"
    if result == "done" or result == "failed" then
      done, failed = done + 1, failed + (result == "failed" and 1 or 0)
      line = ("%s%s  %d of %d %s, %s left"):format(result == "failed" and "failed: " or "", key, done, total,
        phase == 1 and "teachers" or "runs", remaining(start, done, total))
      io.stderr:write(terminal and "\r" or "", line, terminal and "\27[K" or "\n")
    else -- what a run that failed has to say
      io.stderr:write(line, "\n")
    end
  end
  pipe:close()
  if terminal then io.stderr:write "\n" end
  return failed == 0, ("%d of %d runs failed"):format(failed, total)
end

local function gold_of(self, definition)
  local gold = {}
  for _, data in ipairs(definition.data) do
    local set, problem = study.set(self, data, "test")
    if not set then return nil, problem end
    gold[data.name] = set:column "gold"
  end
  return gold
end

local function tell(self, definition)
  local gold, problem = gold_of(self, definition)
  if not gold then return 1, problem end
  local runs = report.collect(study.results(self), self.folder)
  local text, differences = report.text(definition, runs, gold)
  lines.write(text)
  local file = assert(io.open(self.folder .. "/report.md", "wb"))
  file:write(text)
  file:close()
  local drawn
  drawn, problem = report.draw(definition, runs, differences, self.folder)
  if not drawn then return 1, problem end
  return 0
end

function command.run(arguments)
  local definition, problem = study.load(arguments.definition)
  if not definition then return 1, problem end
  local self = study.new(definition, arguments.folder, { data = arguments.data, seeds = arguments.seeds, threads = 1 })
  if arguments.worker then return work(self, arguments.worker) end
  for phase = 1, arguments.report and 0 or 2 do
    local ok
    ok, problem = run_phase(arguments, self, phase)
    if not ok then return 1, problem end
  end
  return tell(self, definition)
end

return command
