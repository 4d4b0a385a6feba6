-- The broker under test with a store, the shim in front of it when asked for, and small commands.
local broker = require "broker"
local fail = require "fail"
local sched = require "sched"

local server = { memory = false, sync = "always" }

-- Set by main.lua: base (where data directories are made), shim, cut (paths), memory (the store is
-- off: only the harness itself is tried), sync.

local BASE = [[
threads 2;
limits { max_queue_messages 1000000; max_queue_bytes 1g; }
]]

-- The log is folded as often as the configuration lets it be.
local STORE = [[
store on;
sync %s;
checkpoint_every 1m;
]]

function server.config(sync)
  return BASE .. (server.memory and "" or STORE:format(sync or server.sync))
end

-- o: shim (SHIM_ words without the prefix: { KILL = "..." }), prepare, config
function server.start(o)
  o = o or {}
  return broker.start(o.config or server.config(), {
    base = server.base, prepare = o.prepare,
    env = function(b) return server.words(b, o.shim) end,
  })
end

-- The environment of a shimmed broker.  A word may be a function of the broker.
function server.words(b, shim)
  if not shim then return {} end
  local words = { LD_PRELOAD = server.shim, SHIM_DIR = b.dir .. "/data/store" }
  words.ASAN_OPTIONS = (os.getenv("ASAN_OPTIONS") or "detect_leaks=1") .. ":verify_asan_link_order=0"
  for k, v in pairs(shim) do
    words["SHIM_" .. k] = type(v) == "function" and v(b) or v
  end
  return words
end

-- Starts it again on the same directory, with other words for the shim (nil: without it).  False
-- when it ended before it listened: only a kill that was asked for may do that.
function server.again(b, shim)
  b.env = server.words(b, shim)
  local ok, err = pcall(b.restart, b)
  if ok then return true end
  b:wait_end(1)
  if shim and shim.KILL and b.how == "signal" and b.code == 9 then return false end
  if b.how then fail.raise("%s", b:describe_end()) end
  error(err, 0)
end

-- Leaves the store's folder empty.
function server.wipe(b)
  local dir = b.dir .. "/data/store"
  for _, name in ipairs(host.list(dir)) do assert(os.remove(dir .. "/" .. name)) end
end

-- Its directory goes, unless it is to be looked at.
function server.done(b)
  if not server.keep then b:remove() end
end

-- Runs a small command to its end.
function server.run(words)
  local proc = assert(host.spawn(words))
  local how, code
  while not how do
    how, code = proc:reap()
    if not how then sched.wait(proc:pidfd(), "r") end
  end
  if how ~= "exit" or code ~= 0 then
    fail.raise("%s: %s %d: %s", words[1], how, code, proc:read("err") or "")
  end
end

return server
