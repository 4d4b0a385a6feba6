-- The programs under test: how each is configured, started and stopped.
--
-- A peer is started anew for each measurement, alone, on ports of its own, pinned to its cores.
local M = {}

local dir = os.getenv "SKEP_BENCH_DIR"
local bin = os.getenv "SKEP_BENCH_BIN"
math.randomseed(os.time(), tonumber(tostring(dir):match("%w+$"), 36) or 0)

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function capture(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  p:close()
  return text
end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local function mosquitto_path()
  for _, path in ipairs { "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto" } do
    if exists(path) then return path end
  end
end

local function mosquitto(nodelay)
  return function(port)
    write(dir .. "/mosquitto.conf", ([[
user root
log_type error
persistence false
allow_anonymous true
max_queued_messages 0
set_tcp_nodelay %s
listener %d 127.0.0.1
listener %d 127.0.0.1
certfile %s/cert.pem
keyfile %s/key.pem
listener %d 127.0.0.1
protocol websockets
]]):format(nodelay, port, port + 1, dir, dir, port + 2))
    return ("%s -c %s/mosquitto.conf"):format(mosquitto_path(), dir)
  end
end

-- Only the listener that the run needs.
local listeners = {
  "listener mqtt { bind 127.0.0.1:%d; }",
  "listener mqtts { bind 127.0.0.1:%d; tls { certificate DIR/cert.pem; key DIR/key.pem; } }",
  "listener ws { bind 127.0.0.1:%d; path /mqtt; }",
}

-- The defaults, but for what a row is about: ten clients with all filters between them.
local extra = "limits { max_subscriptions none; }"

-- modules: load lines, made before each run.
local function skep(threads, modules)
  return function(port, kind)
    local listener = listeners[kind + 1]:format(port + kind):gsub("DIR", dir)
    write(dir .. "/skep.conf", ("threads %d;\nstore off;\ndata_dir %s/data;\n%s\n%s\n%s\n"):format(threads, dir,
      listener, extra .. (M.skep_extra or ""), modules and modules() or ""))
    os.execute(("rm -rf %s/data; mkdir %s/data"):format(dir, dir))
    return ("%s/skep -c %s/skep.conf"):format(bin, dir)
  end
end

local allow_so, acl_so = bin .. "/../bench/allow.so", bin .. "/../modules/acl_file.so"

local function allow() return ("load %s;\nacl_default allow;"):format(allow_so) end

-- So many rules that are for others, and one for everybody behind them.
local function access_list(count)
  return function()
    local lines = {}
    for i = 1, count do lines[i] = ("allow user u%d publish site/%d/#;"):format(i, i) end
    lines[count + 1] = "allow * all #;\n"
    write(dir .. "/access", table.concat(lines, "\n"))
    return ("load %s { file %s/access; }\nanonymous allow;"):format(acl_so, dir)
  end
end

local lua_so = bin .. "/../modules/lua.so"

-- All example scripts, none of which handles the topics of the benchmark.
local function examples()
  local files = {}
  for path in io.popen(("ls %s/../../../lua/examples/*.lua"):format(bin)):lines() do
    if not path:find("_test", 1, true) then files[#files + 1] = path end
  end
  return ("load %s { script %s; }\nanonymous allow;"):format(lua_so, table.concat(files, " "))
end

-- One script that handles every message.
local function script(body)
  return function()
    write(dir .. "/bench.lua", ('local broker = require "broker"\nbroker.on_publish("#", function(msg) %s end)\n')
      :format(body))
    return ("load %s { script %s/bench.lua; }\nanonymous allow;"):format(lua_so, dir)
  end
end

local reads = "local topic = msg.topic"

local function relay(port)
  return ("%s/skep-relay %d"):format(bin, port)
end

M.list = {
  relay = { command = relay, present = true, arguments = "--relay" },
  mosquitto = { command = mosquitto "true", present = mosquitto_path() ~= nil },
  ["mosquitto-default"] = { command = mosquitto "false", present = mosquitto_path() ~= nil },
  skep = { command = skep(1), present = exists(bin .. "/skep") },
  ["skep-allow"] = { command = skep(1, allow), present = exists(bin .. "/skep") and exists(allow_so) },
  ["skep-acl"] = { command = skep(1, access_list(100000)), present = exists(bin .. "/skep") and exists(acl_so) },
  ["skep-examples"] = { command = skep(1, examples), present = exists(bin .. "/skep") and exists(lua_so) },
  ["skep-reads"] = { command = skep(1, script(reads)), present = exists(bin .. "/skep") and exists(lua_so) },
  ["skep-reads-2"] = { command = skep(2, script(reads)), present = exists(bin .. "/skep") and exists(lua_so) },
  ["skep-2"] = { command = skep(2), present = exists(bin .. "/skep") },
}

function M.port() return 10000 + math.random(0, 2400) * 4 end -- below the ports clients get

-- Whoever ends the benchmark ends these, too.
function M.note(pid)
  local f = assert(io.open(dir .. "/pids", "a"))
  f:write(pid, "\n")
  f:close()
end

-- Start a program on these cores ("1" or "0,1"); its output goes to `log`.  Returns its process.
function M.launch(command, cores, log)
  local pid = capture(("nice -n %d taskset -c %s %s >%s 2>&1 & echo $!"):format(M.nice, cores, command, log))
  pid = assert(math.tointeger(tonumber(pid)), "cannot start " .. command)
  M.note(pid)
  return pid
end

-- Start a peer for 0 plain, 1 TLS or 2 WebSocket connections.  Returns { pid =, port = }.
function M.start(name, cores, kind)
  local port = M.port()
  local pid = M.launch(M.list[name].command(port, kind), cores, dir .. "/peer.log")
  return { pid = pid, port = port + kind, name = name }
end

function M.alive(peer)
  return not M.gone(peer.pid, 0.02)
end

-- The last words of a peer that died or misbehaved.
function M.log(path)
  local f = io.open(path or dir .. "/peer.log")
  local text = f and f:read "a" or ""
  if f then f:close() end
  return text:match "([^\n]+)%s*$" or "no word in its log"
end

-- Wait up to so many seconds for the end of a process.  One that only waits to be buried has ended,
-- but not before its last thread has: until then it holds its files and their locks.
function M.gone(pid, seconds)
  return os.execute(([[for i in $(seq %d); do
    case $(sed -n 's/^State:.\(.\).*/\1/p' /proc/%d/status 2>/dev/null) in
    '') exit 0 ;;
    Z) set -- /proc/%d/task/*; [ $# -gt 1 ] || exit 0 ;;
    esac
    sleep 0.02
  done; exit 1]]):format(math.ceil(seconds * 50), pid, pid)) == true
end

-- Ask, wait up to 10 seconds (or so many), insist.  True when asking did.
function M.stop(peer, seconds)
  os.execute(("kill %d 2>/dev/null"):format(peer.pid))
  local ended = M.gone(peer.pid, seconds or 10)
  if not ended then os.execute(("kill -9 %d 2>/dev/null"):format(peer.pid)) end
  M.forget(peer)
  return ended
end

-- It is not to be ended with the benchmark any more.
function M.forget(peer)
  os.execute(("sed -i /^%d$/d %s/pids"):format(peer.pid, dir))
end

M.mosquitto_path = mosquitto_path
M.capture, M.write, M.exists, M.dir, M.bin = capture, write, exists, dir, bin
return M
