-- Brokers for one measurement after the other: fresh ones, but for RabbitMQ, which takes seconds to
-- start and is used again, emptied by the generator.
local brokers = require "brokers"
local run = require "run"
local M = {}

local kept = {}

function M.broker(name)
  if kept[name] then return kept[name] end
  local broker = brokers.start(name, true)
  if broker.slow then
    kept[name] = broker
    run.bench("start", broker, "ready")
  end
  return broker
end

function M.done(broker)
  if kept[broker.name] then return end
  -- It may be busy saving for minutes, for nobody.
  if broker.name:find "^mosquitto" then brokers.kill(broker) else brokers.stop(broker) end
  brokers.discard(broker)
end

function M.finish()
  for name, broker in pairs(kept) do
    brokers.stop(broker, 30)
    brokers.discard(broker)
    kept[name] = nil
  end
end

return M
