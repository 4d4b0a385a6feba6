-- The command line of skep-crash.
package.path = package.path .. ";" .. host.root .. "/../scenario/lib/?.lua"

local book = require "book"
local broker = require "broker"
local sched = require "sched"
local server = require "server"
local world = require "world"

local HELP = [[
skep-crash: ends the broker the hard way, and looks whether it kept its word

  skep-crash MODE [options]

  random           rounds of traffic, each ended by SIGKILL
  points           every named point once
  faults           a disk that is full or fails
  power            what a power cut would have left, moment by moment

  --broker PATH    the binary to test (default: the one beside this program)
  --seed N         the same dice again
  --rounds N       so many kills (random), moments (power)
  --seconds N      or for so long
  --sync MODE      always (default), none, "interval 50ms"
  --only TEXT      points, faults: those whose name holds TEXT; power: one cut that failed before
  --without IDS    leave these clients out (see lib/world.lua): "w1 w2"
  --ignore TEXT    pass over complaints that hold this text, to look behind a known one
  --memory         the store is off and nothing is killed: tries the harness
  --keep           leave data directories behind
]]

local function fatal(text)
  io.stderr:write("skep-crash: ", text, "\n")
  os.exit(2)
end

local function parse(words)
  local o = {}
  local i = 1
  local numbers = { seed = true, rounds = true, seconds = true }
  local texts = { broker = true, sync = true, only = true, base = true, without = true, ignore = true }
  while words[i] do
    local name = words[i]:match("^%-%-(%w+)$")
    if words[i] == "--help" or words[i] == "-h" then
      io.write(HELP)
      os.exit(0)
    elseif name == "memory" or name == "keep" then
      o[name] = true
    elseif name and (numbers[name] or texts[name]) then
      i = i + 1
      local value = words[i] or fatal("--" .. name .. " needs a value")
      o[name] = numbers[name] and (tonumber(value) or fatal(value .. " is no number")) or value
    elseif not name and not o.mode then
      o.mode = words[i]
    else
      fatal("what is " .. words[i] .. "?  See --help")
    end
    i = i + 1
  end
  return o
end

local o = parse { select(2, ...) }
local modes = { random = true, points = true, faults = true, power = true }
if not modes[o.mode] then fatal "random, points, faults or power?  See --help" end

local beside = host.real_path("/proc/self/exe"):match("^(.*)/")
broker.command = host.real_path(o.broker or beside .. "/skep") or fatal "there is no broker"
server.shim, server.cut = beside .. "/crash-shim.so", beside .. "/crash-cut"
server.base = assert(host.real_path(o.base or os.getenv "TMPDIR" or beside .. "/.."))
server.memory, server.keep, server.sync = o.memory, o.keep, o.sync or "always"
world.without, book.ignored = o.without or "", o.ignore
o.seed = o.seed or (os.time() * 1000 + math.floor(host.now() * 1000) % 1000) % 1000000007

local began, well, result = host.now(), nil, nil
sched.start(function()
  well, result = xpcall(require(o.mode).run, function(err)
    return getmetatable(err) and tostring(err) or debug.traceback(tostring(err), 2)
  end, o)
end)
sched.run()
io.write(("%s %s (seed %d, %.1f s): %s\n"):format(well and "ok  " or "FAIL", o.mode, o.seed,
  host.now() - began, tostring(result)))
return well and 0 or 1
