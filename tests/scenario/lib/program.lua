-- Running a program that ends by itself: the broker's own command line, skepctl.
local broker = require "broker"
local link = require "link"
local sched = require "sched"

local program = {}

-- Runs it with these words; returns exit status, standard output, standard error.
function program.run(t, path, ...)
  local proc = assert(host.spawn { path, ... })
  local said, open = { out = "", err = "" }, { out = true, err = true }
  local deadline = link.deadline()
  while next(open) do
    local name = next(open)
    local bytes, why = proc:read(name)
    if bytes then said[name] = said[name] .. bytes
    elseif why == "closed" then open[name] = nil
    elseif not sched.wait(proc:pipe(name), "r", deadline) then
      proc:kill(9)
      t:check(false, "it did not end; its output: %s%s", said.out, said.err)
    end
  end
  sched.wait(proc:pidfd(), "r", deadline)
  local how, code = proc:reap()
  t:equal(how, "exit", "how it ended")
  return code, said.out, said.err
end

-- The skepctl beside the broker under test.
function program.skepctl(t, ...)
  if broker.mosquitto then t:skip("needs Skep") end
  return program.run(t, (broker.command:gsub("[^/]*$", "skepctl")), ...)
end

return program
