--- How a teacher's scores should have been for the student to do better after its next step (Zhou et al. 2021;
-- methods.md M12), without second derivatives: outputs at two points beside the parameters, on a line.
-- @module qestrel.meta
local meta = {}

--- The derivative of every output along a direction; the parameters are afterwards what they were. The step is 1e-3 of
-- the parameters' norm, which is where rounding and curvature are both small in single precision.
-- @param values block of parameters
-- @param direction block of the same layout
-- @param outputs computes an array of numbers from the parameters as they are; the same ones must give the same numbers
-- @return array
function meta.difference(values, direction, outputs)
  local theta, sides = values:clone(), {}
  local step = 1e-3 * theta:norm() / math.max(direction:norm(), 1e-30)
  for k, sign in ipairs { 1, -1 } do
    values:copy(theta)
    values:axpy(sign * step, direction)
    sides[k] = outputs()
  end
  values:copy(theta)
  for i, value in ipairs(sides[1]) do sides[1][i] = (value - sides[2][i]) / (2 * step) end
  return sides[1]
end

--- The gradient of a quiz loss by the teacher's scores of a batch, through a pilot step of plain gradient descent on a
-- loss that holds alpha mean (s - t)^2:  dL/dt_i = (2 alpha eta / N) (grad s_i . v), v the gradient of the quiz loss at
-- the pilot. The student, its gradient and its dropout are afterwards as they were; all passes over the batch see the
-- same dropout, the quiz sees none.
-- @param distil the student's loss on the batch, a tensor on run.tape
-- @return array, one number per pair
function meta.gradient(run, batch, quiz, distil)
  local o, params, stream = run.options, run.student:params(), run:rng "student.dropout"
  local theta, here = params:values():clone(), stream:save()
  local function again()
    stream:restore(here)
    run.tape:reset()
  end
  again()
  distil():backward()
  params:values():axpy(-o.pilot_rate, params:gradient())
  params:zero_gradient()
  again()
  local score = run.student:forward(run.tape, quiz):tap "score"
  score:squared_error(quiz:column(run.tape, "target")):mean():backward()
  local v = params:gradient():clone()
  params:zero_gradient()
  params:values():copy(theta)
  local slopes = meta.difference(params:values(), v, function()
    again()
    return run:forward(batch):tap("score"):values()
  end)
  again()
  for i, slope in ipairs(slopes) do slopes[i] = 2 * o.alpha * o.pilot_rate / #batch * slope end
  return slopes
end

return meta
