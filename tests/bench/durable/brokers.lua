-- The brokers that keep messages: how each is told to, started, stopped and killed.
--
-- A broker is { name, pid, port, dir }.  Its data is in `dir`, on the disk under test, and stays
-- there between stop and start unless a start is `fresh`.
local peers = require "peers"
local M = { core = "1" }

local disk = os.getenv "SKEP_BENCH_DISK"
local log = peers.dir .. "/broker.log"

local function run(command, ...) return os.execute(command:format(...)) end

-- `at exit`: written when the broker ends, for what would take it hours otherwise.
local function mosquitto(saving)
  return function(dir, port)
    peers.write(dir .. "/mosquitto.conf", ([[
user root
log_type error
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 1000
persistence true
persistence_location %s/
%s
listener %d 127.0.0.1
]]):format(dir, saving, port))
    return ("%s -c %s/mosquitto.conf"):format(peers.mosquitto_path(), dir)
  end
end

local limits = "limits { max_queue_messages 8000000; max_queue_bytes 4g; receive_maximum 65535; "
  .. "max_inflight 1000; }"

local function skep(directives)
  return function(dir, port)
    peers.write(dir .. "/skep.conf", ("threads 1;\ndata_dir %s;\nlistener mqtt { bind 127.0.0.1:%d; }\n%s\n%s\n")
      :format(dir, port, limits, directives .. (M.extra or "")))
    return ("%s/skep -c %s/skep.conf"):format(peers.bin, dir)
  end
end

-- A node of its own with nothing of the machine's: no service, no cookie, no name server.
local rabbit_home = peers.capture("ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin 2>/dev/null"):match "%S+"
local rabbit_ports = peers.port()

local function epmd_start()
  if M.epmd then return end
  M.epmd = { pid = peers.launch(("epmd -address 127.0.0.1 -port %d"):format(rabbit_ports), "0,1",
    peers.dir .. "/epmd.log") }
end

local function rabbitmq(dir, port)
  epmd_start()
  peers.write(dir .. "/plugins", "[rabbitmq_mqtt].\n")
  peers.write(dir .. "/rabbitmq.conf", ([[
listeners.tcp.1 = 127.0.0.1:%d
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.allow_anonymous = true
mqtt.prefetch = 1000
]]):format(rabbit_ports + 1, port))
  peers.write(dir .. "/start", ([[
export HOME=HERE RABBITMQ_CONF_ENV_FILE=HERE/none RABBITMQ_CONFIG_FILE=HERE/rabbitmq.conf
export RABBITMQ_ADVANCED_CONFIG_FILE=HERE/none.config RABBITMQ_ENABLED_PLUGINS_FILE=HERE/plugins
export RABBITMQ_MNESIA_BASE=HERE/mnesia RABBITMQ_LOG_BASE=HERE/log RABBITMQ_PID_FILE=HERE/pid
export RABBITMQ_GENERATED_CONFIG_DIR=HERE/generated RABBITMQ_NODENAME=bench@localhost
export ERL_CRASH_DUMP_SECONDS=0 ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=%d RABBITMQ_DIST_PORT=%d
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
exec %s/rabbitmq-server
]]):format(rabbit_ports, rabbit_ports + 2, rabbit_home):gsub("HERE", dir))
  os.remove(dir .. "/pid")
  return ("sh %s/start"):format(dir)
end

-- The script that starts it is not the broker: that writes its number to a file.
local function rabbitmq_pid(broker)
  run("for i in $(seq 600); do [ -s %s/pid ] && exit; kill -0 %d 2>/dev/null || exit; sleep 0.05; done",
    broker.dir, broker.pid)
  broker.script = { pid = broker.pid }
  broker.pid = tonumber(peers.capture(("cat %s/pid 2>/dev/null"):format(broker.dir))) or broker.pid
  peers.note(broker.pid)
end

local have_mosquitto, have_skep = peers.mosquitto_path() ~= nil, peers.exists(peers.bin .. "/skep")
M.list = {
  mosquitto = { command = mosquitto "autosave_on_changes true\nautosave_interval 1", present = have_mosquitto },
  ["mosquitto-exit"] = { command = mosquitto "autosave_interval 0", present = have_mosquitto },
  rabbitmq = { command = rabbitmq, present = rabbit_home ~= nil, find = rabbitmq_pid, slow = true },
  skep = { command = skep "", present = have_skep },
  ["skep-off"] = { command = skep "", present = have_skep },
}

-- A broker from before the store knows no such directive; it is then measured as it is, in memory.
M.stored = have_skep and run("%s/skep -t -D 'store on;' >%s 2>&1", peers.bin, log) == true
if M.stored then
  M.list.skep.command = skep "store on; sync always;"
  M.list["skep-off"].command = skep "store off;"
end

-- fresh: without anything from before; strace: its options, for a broker that runs under it.
function M.start(name, fresh, strace)
  local entry = M.list[name]
  local dir = disk .. "/" .. name
  run(fresh and "rm -rf %s; mkdir -p %s" or "mkdir -p %s", dir, dir)
  local broker = { name = name, dir = dir, port = peers.port(), slow = entry.slow }
  local command = entry.command(dir, broker.port)
  if strace then command = ("strace -D -f --seccomp-bpf %s %s"):format(strace, command) end
  broker.pid = peers.launch(command, M.core, log)
  if entry.find then entry.find(broker) end
  return broker
end

-- Stop in good order; false when it had to be killed.  mosquitto may be busy saving for minutes.
function M.stop(broker, seconds)
  local ended = peers.stop(broker, seconds)
  if broker.script then peers.stop(broker.script) end
  return ended
end

function M.kill(broker)
  run("kill -9 %d 2>/dev/null", broker.pid)
  peers.gone(broker.pid, 30)
  peers.forget(broker)
  if broker.script then peers.stop(broker.script) end
end

-- The data of one that is not needed any more.
function M.discard(broker) run("rm -rf %s", broker.dir) end

function M.finish()
  if M.epmd then peers.stop(M.epmd) end
end

function M.log() return peers.log(log) end
M.disk = disk
return M
