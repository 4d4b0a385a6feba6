-- Every named point once: the broker is killed right there, comes up again, and nothing is missing.
--
--   traffic   the point is armed while clients are at work
--   start     the start itself is killed there, twice; the third is let through
--   birth     the same on a folder that is empty
--   young     traffic, from an empty folder on: the log is still growing
local fail = require "fail"
local link = require "link"
local sched = require "sched"
local server = require "server"
local world = require "world"

local points = {}

-- The numbers of server/store/record.h.
local records = { COMMIT = 1, PUB = 2, ACK = 3, RELEASE = 4, RECEIVED = 5, SESSION = 6, END = 7,
  AWAY = 8, SUB = 9, UNSUB = 10, WILL = 11 }

local list = {}

local function add(phase, name, kill)
  list[#list + 1] = { phase = phase, name = phase .. ": " .. name, kill = kill }
end

local function add_both(phase, what, call)
  add(phase, "before " .. what, "before:" .. call)
  add(phase, "after " .. what, "after:" .. call)
end

for name, number in pairs(records) do
  add("traffic", "after the write of a " .. name, ("after:record-%d:log:2"):format(number))
  add("traffic", "within the write of a " .. name, ("torn:record-%d:log:2"):format(number))
end
table.sort(list, function(a, b) return a.name < b.name end)
add_both("traffic", "a write", "write:log:40")
add_both("traffic", "a sync of the log", "sync:log:30")
add_both("young", "a new segment is made", "create:log:4")
add_both("young", "a new segment is filled", "write:log:400")
add_both("young", "a new segment has its name", "rename:log:4")
add_both("traffic", "the first page of a checkpoint", "write:state:1")
add("traffic", "within the pages of a checkpoint", "torn:write:state:2")
add_both("traffic", "the sync of a checkpoint", "sync:state:1")
add_both("traffic", "the commit of a checkpoint", "write:meta:1")
add_both("traffic", "the commit of a second checkpoint", "write:meta:2")
add_both("start", "the first page of recovery", "write:state:1")
add_both("start", "the sync of recovery", "sync:state:1")
add_both("start", "the commit of recovery", "write:meta:1")
add_both("start", "the first write to the log", "write:log:1")
add_both("start", "the first sync of the log", "sync:log:1")
add_both("birth", "the first page of the tables", "write:state:1")
add("birth", "within the first pages of the tables", "torn:write:state:1")
add_both("birth", "the first commit of the tables", "write:meta:1")
add_both("birth", "the first segment is made", "create:log:1")
add_both("birth", "the first segment is filled", "write:log:1")
add_both("birth", "the first segment is synced", "sync:log:1")
add_both("birth", "the first segment has its name", "rename:log:1")
add_both("birth", "the second segment has its name", "rename:log:2")

-- -- One point --

local function wait_killed(b, context)
  if not b:wait_end() then fail.raise("%s: the broker did not come to this point", context) end
  if b.how ~= "signal" or b.code ~= 9 then fail.raise("%s: %s", context, b:describe_end()) end
end

local function restart(b, shim)
  b.output = ""
  return server.again(b, shim)
end

local phases = {}

-- Clients at work until the broker ends.
local function work(b, w)
  local deadline = link.deadline(20)
  w:gather()
  w:publish()
  while b:alive() and host.now() < deadline and not w.book.complaint do
    w:stir()
    sched.until_time(host.now() + 0.01)
  end
end

function phases.traffic(b, w, p)
  local arm = b.dir .. "/arm"
  restart(b, { KILL = p.kill, ARM = arm })
  w:gather()
  io.open(arm, "w"):close()
  work(b, w)
  os.remove(arm)
end

function phases.young(b, w, p)
  server.wipe(b)
  restart(b, { KILL = p.kill })
  work(b, w)
end

-- The broker has something to recover: it was killed while clients were at work.
local function leave_work(b, w)
  restart(b)
  w:gather()
  w:publish()
  for _ = 1, 10 do
    w:stir()
    sched.until_time(host.now() + 0.01)
  end
  b:kill()
  w:scatter()
end

-- A second start may find nothing left to do there, and listens.
local function start_twice(b, p)
  if not restart(b, { KILL = p.kill }) and restart(b, { KILL = p.kill }) then b:kill() end
end

function phases.start(b, w, p)
  leave_work(b, w)
  start_twice(b, p)
end

function phases.birth(b, _, p)
  server.wipe(b)
  start_twice(b, p)
end

-- `w` goes on from point to point, except where the folder is emptied.
local function walk(b, w, p)
  if b:alive() then b:stop() end
  phases[p.phase](b, w, p)
  wait_killed(b, p.name)
  w:scatter()
  restart(b)
  w:gather()
  w:drain(p.name)
  w:look_at_retained(p.name)
end

-- o: only, seed
function points.run(o)
  math.randomseed(o.seed)
  local b, count = server.start(), 0
  local w = world.new { server = b }
  w:gather()
  for _, p in ipairs(list) do
    if not o.only or p.name:find(o.only, 1, true) then
      if p.phase == "birth" or p.phase == "young" then w = world.new { server = b } end
      local began = host.now()
      walk(b, w, p)
      w:leave_all()
      count = count + 1
      io.write(("ok    %4.1fs %s\n"):format(host.now() - began, p.name))
    end
  end
  b:stop()
  server.done(b)
  if count == 0 then fail.raise("there is none with that name") end
  return count .. " points"
end

return points
