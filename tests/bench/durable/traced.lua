-- One run of the generator against a broker whose system calls are watched.
--
-- Our own start under strace, which then stops them at the calls asked for and at no other; to one
-- that runs already (RabbitMQ) strace attaches, and stops it at every call.
local brokers = require "brokers"
local peers = require "peers"
local run = require "run"
local shared = require "shared"
local M = { file = peers.dir .. "/strace" }

local function attach(broker, options)
  local tracer = { pid = peers.launch(("strace -f %s -p %d"):format(options, broker.pid), "0,1",
    peers.dir .. "/strace.log") }
  os.execute(("for i in $(seq 500); do grep -q attached %s/strace.log && exit; sleep 0.01; done"):format(peers.dir))
  return tracer
end

local function tracer_of(broker)
  return tonumber(peers.capture(("sed -n 's/^TracerPid:\\t//p' /proc/%d/status"):format(broker.pid))) or 0
end

-- options: strace's, without -o.  What it wrote is whole in M.file when this returns.
function M.run(row, name, options, arguments)
  os.remove(M.file)
  options = options .. " -o " .. M.file
  if brokers.list[name].slow then
    local broker = shared.broker(name)
    local tracer = attach(broker, options)
    local result, why = run.bench(row, broker, arguments)
    os.execute(("kill -INT %d 2>/dev/null"):format(tracer.pid))
    peers.gone(tracer.pid, 30)
    peers.forget(tracer)
    return result, why
  end
  local broker = brokers.start(name, true, options)
  local result, why = run.bench(row, broker, arguments)
  local tracer = tracer_of(broker)
  shared.done(broker)
  if tracer > 0 then peers.gone(tracer, 30) end
  return result, why
end

return M
