-- At most so many messages a minute from one device; the surplus is refused, and MQTT 5 devices are told why.
local broker = require "broker"
local PER_MINUTE = tonumber(broker.option("per_minute", 60))

broker.on_publish("telemetry/#", function(msg)
  local minute = math.floor(broker.now() / 60)
  local sent = broker.kv.add(("rate:%s:%d"):format(msg.client.id, minute), 1, 120)
  if sent and sent > PER_MINUTE then
    msg:deny("more than " .. PER_MINUTE .. " messages a minute", 0x96)
  end
end)
