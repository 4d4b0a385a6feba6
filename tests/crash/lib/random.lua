-- Rounds of traffic, each ended by a kill: at a random moment, or at a random call to the disk.
local fail = require "fail"
local sched = require "sched"
local server = require "server"
local world = require "world"

local random = {}

-- Half of the kills come from outside, half from within a call.
local function choose_point()
  if server.memory or math.random(2) == 1 then return nil end
  local when = ({ "before", "after", "torn" })[math.random(3)]
  local op = ({ "write", "write", "write", "sync", "create", "rename", "unlink" })[math.random(7)]
  local file = math.random(3) == 1 and "state" or "log"
  if when == "torn" then op = "write" end
  if file == "state" and op ~= "sync" then op = "write" end
  local most = file == "log" and (op == "write" or op == "sync") and 300 or 4
  return { KILL = ("%s:%s:%s:%d"):format(when, op, file, math.random(most)) }
end

-- Clients come and go until the time is up or the broker has ended.
local function traffic(w, b, seconds)
  local until_time = host.now() + seconds
  w:publish()
  while host.now() < until_time and b:alive() and not w.book.complaint do
    w:stir()
    sched.until_time(math.min(until_time, host.now() + math.random() * 0.03))
  end
end

-- The broker ends: by its own call, or ours.
local function crash(w, b)
  if server.memory then return end
  if b:alive() then b:signal "KILL" end
  if not b:wait_end() then fail.raise "the broker survives SIGKILL" end
  w:scatter()
  if b.how ~= "signal" or b.code ~= 9 then fail.raise("%s", b:describe_end()) end
end

-- On a start that is killed as well, another one follows.
local function come_up(w, b, context)
  local point = choose_point()
  local began = host.now()
  b.output = ""
  w:note("starts%s", point and ", to be killed " .. point.KILL or "")
  while not server.again(b, point) do point = nil end
  if host.now() - began > 10 then
    fail.raise("%s: the broker took %.1f s to start", context, host.now() - began)
  end
  return point
end

local function settle(w, b, context, everybody)
  w:gather(everybody)
  if not b:alive() then return false end
  w:drain(context, everybody)
  w:gather(everybody)
  w:drain(context, everybody)
  w:look_at_retained(context)
  return true
end

-- One kill.
local function round(w, b, point, context)
  local well, err = pcall(function()
    w:gather()
    traffic(w, b, 0.05 + math.random() * 0.4)
    w:check(context)
    if not point and math.random(3) == 1 then settle(w, b, context) end
  end)
  if not well and b:alive() then error(err, 0) end
  crash(w, b)
  w:check(context)
end

-- o: seconds, rounds (either ends it), seed
function random.run(o)
  math.randomseed(o.seed)
  local b = server.start()
  local w = world.new { server = b }
  local ends, n, point = host.now() + (o.seconds or math.huge), 0, nil
  local well, err = pcall(function()
    while n < (o.rounds or math.huge) and host.now() < ends do
      n = n + 1
      local context = ("round %d%s"):format(n, point and ", " .. point.KILL or "")
      round(w, b, point, context)
      if not server.memory then point = come_up(w, b, context) end
    end
    -- whoever was killed at a point of its own has come up without one by now
    if not server.memory then
      crash(w, b)
      server.again(b)
    end
    settle(w, b, "the end", true)
    b:stop()
  end)
  b.expected_end = true
  if not well then error(err, 0) end
  b:remove()
  return ("%d rounds, %d messages"):format(n, w:count())
end

return random
