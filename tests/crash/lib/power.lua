-- A run is traced; then the folder is built as a power cut would have left it, moment by moment, and
-- the real broker is started on it: everything acknowledged by that moment has to be there.
--
-- Clients are taken back to what they knew at that moment (journal.lua), connect, send again what
-- was not acknowledged, and check what they are given, as after any crash.
local fail = require "fail"
local journal = require "journal"
local sched = require "sched"
local server = require "server"
local trace = require "trace"
local world = require "world"

local power = {}

local MODES = { "torn", "torn", "torn", "drop", "keep" }
local LIVES = 2 -- the second begins with a recovery

local function paths_of(seed)
  local paths = { journal = ("%s/power.%d.journal"):format(server.base, seed) }
  for life = 1, LIVES do paths[life] = ("%s/power.%d.%d"):format(server.base, seed, life) end
  return paths
end

local function work(w, seconds)
  w:gather()
  w:publish()
  local ends = host.now() + seconds
  while host.now() < ends do
    w:stir()
    sched.until_time(host.now() + 0.02)
  end
end

-- Some lives of the broker in a world that writes a journal; paths of the traces.
local function record(o)
  local paths, b = paths_of(o.seed), nil
  local w = world.new { journal = journal.new(true) }
  for life = 1, LIVES do
    local shim = { TRACE = paths[life] }
    if b then server.again(b, shim) else b = server.start { shim = shim } end
    w.server = b
    work(w, 0.3 + math.random())
    b:kill()
    w:scatter()
  end
  w:check "while the run was traced"
  server.done(b)
  return w.journal, paths
end

-- Every moment of the run, in random order.
local function moments_of(t)
  local list = {}
  for n, e in ipairs(t.events) do
    if e.kind ~= "ACCEPTED" then list[#list + 1] = n end
  end
  for i = #list, 2, -1 do
    local k = math.random(i)
    list[i], list[k] = list[k], list[i]
  end
  return list
end

-- The broker on what the cut left.
local function start_on(paths, n, mode, dice)
  return server.start { prepare = function(b)
    local words = { server.cut, b.dir .. "/data/store", tostring(n), mode, tostring(dice) }
    server.run(table.move(paths, 1, #paths, #words + 1, words))
  end }
end

local function try(j, paths, n, mode, dice)
  local context = ("cut '%d %s %d'"):format(n, mode, dice)
  local w = world.new {}
  w.live = false
  j:tell(w.peers, n)
  w:check(context .. ", what clients knew")
  local ok, b = pcall(start_on, paths, n, mode, dice)
  if not ok then fail.raise("%s: %s", context, tostring(b)) end
  w.server, w.live = b, true
  for _, p in ipairs(w.list) do p:recall() end
  w:gather(true)
  w:publish()
  w:drain(context)
  w:look_at_retained(context)
  w:leave_all()
  b:stop()
  server.done(b)
end

local function remove(paths)
  os.remove(paths.journal)
  for _, path in ipairs(paths) do os.remove(path) end
end

-- "N MODE DICE" of a run that failed: its traces and journal are still there.
local function again(o)
  local n, mode, dice = o.only:match("^(%d+) (%a+) (%d+)$")
  local paths = paths_of(o.seed)
  if not n then fail.raise("--only takes what the failure said: N MODE DICE") end
  try(journal.load(paths.journal), paths, tonumber(n), mode, tonumber(dice))
  return o.only
end

-- o: rounds, seconds (whichever ends first; default: every moment), seed, only (see again)
function power.run(o)
  math.randomseed(o.seed)
  if o.only then return again(o) end
  local j, paths = record(o)
  local t = trace.read(paths)
  j:date(t)
  j:save(paths.journal)
  local ends, tried = host.now() + (o.seconds or math.huge), 0
  for _, n in ipairs(moments_of(t)) do
    if host.now() > ends or tried >= (o.rounds or math.huge) then break end
    try(j, paths, n, MODES[math.random(#MODES)], math.random(1 << 30))
    tried = tried + 1
  end
  remove(paths)
  return ("%d of %d moments, %d entries in the journal"):format(tried, #t.events, #j.entries)
end

return power
