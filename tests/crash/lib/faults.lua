-- A disk that is full or fails, in the real broker: nothing is acknowledged that is not kept, who
-- can be told is told, the rest of the traffic goes on, and when the disk is well again so is the
-- broker, without a restart.
local fail = require "fail"
local sched = require "sched"
local server = require "server"
local world = require "world"

local faults = {}

local REFUSED = "durable work is refused[^\n]*"
local WELL = "the log writes again"
local QUOTA = 0x97

-- fail: what the shim lets fail while the flag is there.  says: the words for it in the log.
-- refuses: durable work is refused meanwhile.
local list = {
  { name = "no space for the log", fail = "ENOSPC:write:log:1", says = REFUSED .. "No space",
    refuses = true },
  { name = "a sync of the log fails", fail = "EIO:sync:log:1", says = REFUSED .. "Input/output error",
    refuses = true },
  { name = "a write of the log fails", fail = "EIO:write:log:3", says = REFUSED .. "Input/output error",
    refuses = true },
  { name = "no space at all", fail = "ENOSPC:write:any:1", says = REFUSED .. "No space",
    refuses = true },
  { name = "no space for checkpoints", fail = "ENOSPC:write:state:1", says = "no checkpoint: [^\n]*" },
  { name = "a sync of checkpoints fails", fail = "EIO:sync:state:1", says = "no checkpoint: [^\n]*" },
}

local function touch(path) assert(io.open(path, "w")):close() end

-- Traffic until the broker has said it.
local function provoke(w, b, says)
  w:publish()
  b:wait_output(says, 30)
  if not b:alive() then fail.raise("%s", b:describe_end()) end
end

-- Clients that begin only now learn from the reason code that nothing is kept.
local function expect_refusals(w, late)
  for _, p in ipairs(late) do
    p.idle = false
    w:next_for(p)
    p:catch_up()
    while not p.refusal do
      if not sched.listen(p, host.now() + 10) then
        fail.raise("%s is not told that the disk refuses", p.id)
      end
    end
    if p.refusal ~= QUOTA then fail.raise("%s is told 0x%02X", p.id, p.refusal) end
  end
end

-- What an operator is told: whether Skep is ready, and if not, why.
local function expect_status(b, ready)
  local text = b:ask "status"
  local as_told = text:find(('"ready":%s'):format(ready), 1, true)
  if not as_told or (text:find('"why":"%w') ~= nil) == ready then
    fail.raise("not said to be %s: %s", ready and "ready" or "refusing", text)
  end
end

local function expect_qos0(b)
  local c = b:join { clean_start = true }
  c:subscribe("zero/q/+", 0)
  for i = 1, 20 do c:publish { topic = "zero/q/" .. i, payload = "0" } end
  for i = 1, 20 do c:receive { topic = "zero/q/" .. i, qos = 0 } end
  c:disconnect()
end

-- What was acknowledged is there after a kill in the middle of it, or after the disk recovered.
local function end_by_kill(w, b)
  b:kill()
  w:scatter()
  server.again(b)
end

local function end_by_healing(w, b, row, flag)
  os.remove(flag)
  if row.refuses then b:wait_output(WELL, 30) end
  w:wake()
  w:publish()
  sched.until_time(host.now() + 0.2)
  w:drain(row.name .. ", healed")
  expect_status(b, true)
  end_by_kill(w, b)
end

local function try(row, finish)
  local flag
  local b = server.start { shim = { FAIL = function(b)
    flag = b.dir .. "/flag"
    return row.fail .. ":" .. flag
  end } }
  local w = world.new { server = b }
  local late = { w.peers.p2, w.peers.p5 }
  w:gather()
  w:publish()
  sched.until_time(host.now() + 0.2)
  w:drain(row.name .. ", before")
  for _, p in ipairs(late) do p.idle = row.refuses end
  touch(flag)
  provoke(w, b, row.says)
  if row.refuses then expect_refusals(w, late) end
  expect_status(b, not row.refuses)
  expect_qos0(b)
  finish(w, b, row, flag)
  os.remove(flag)
  w:wake()
  w:gather(true)
  w:drain(row.name)
  w:look_at_retained(row.name)
  b:stop()
  server.done(b)
end

-- A start that fails says why, and leaves everything as it was.
local function try_start()
  local b = server.start()
  local w = world.new { server = b }
  w:gather()
  w:publish()
  sched.until_time(host.now() + 0.2)
  b:kill()
  w:scatter()
  for _, call in ipairs { "EIO:write:state:1", "EIO:sync:log:1", "ENOSPC:write:log:1" } do
    touch(b.dir .. "/flag")
    b.output = ""
    b.env = server.words(b, { FAIL = call .. ":" .. b.dir .. "/flag" })
    if pcall(b.restart, b) then fail.raise("with %s the broker started", call) end
    b:wait_end()
    if b.how ~= "exit" or b.code == 0 or not b.output:find("cannot", 1, true) then
      fail.raise("with %s: %s", call, b:describe_end())
    end
  end
  server.again(b)
  w:gather()
  w:drain "after starts that failed"
  w:look_at_retained "after starts that failed"
  b:stop()
  server.done(b)
end

-- Writes that take a part only are gone on with.
local function try_short()
  local b = server.start { shim = { SHORT = "700" } }
  local w = world.new { server = b }
  w:gather()
  w:publish()
  sched.until_time(host.now() + 0.5)
  b:kill()
  w:scatter()
  server.again(b)
  w:gather()
  w:drain "after short writes"
  b:stop()
  server.done(b)
end

-- o: only, seed
function faults.run(o)
  math.randomseed(o.seed)
  local count = 0
  local function run(name, fn, ...)
    if o.only and not name:find(o.only, 1, true) then return end
    local began = host.now()
    fn(...)
    count = count + 1
    io.write(("ok    %4.1fs %s\n"):format(host.now() - began, name))
  end
  for _, row in ipairs(list) do
    run(row.name .. ", then a kill", try, row, end_by_kill)
    run(row.name .. ", then it is well again", try, row, end_by_healing)
  end
  run("a start on a disk that fails", try_start)
  run("short writes", try_short)
  if count == 0 then fail.raise("there is none with that name") end
  return count .. " faults"
end

return faults
