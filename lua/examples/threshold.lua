-- An alert when a room gets hot, and one when it has cooled down again: two limits, so that a value that trembles
-- around one of them does not send a hundred alerts.
local broker = require "broker"
local HOT = tonumber(broker.option("hot", 60))
local COOL = tonumber(broker.option("cool", 55))

broker.on_publish("sensors/{room}/temp", function(msg, at)
  local celsius = tonumber(msg.payload)
  if not celsius then return end

  local key = "hot:" .. at.room
  if celsius > HOT and broker.kv.swap(key, nil, true) then
    broker.publish { topic = "alerts/" .. at.room, payload = "hot", qos = 1, retain = true }
  elseif celsius < COOL and broker.kv.swap(key, true, nil) then
    broker.publish { topic = "alerts/" .. at.room, payload = "ok", qos = 1, retain = true }
  end
end)

broker.selftest(function()
  assert(COOL < HOT, "option cool has to be below hot")
end)
