-- A dead-man's switch: who has said something under heartbeat/NAME and then nothing for a while is reported missing, and
-- reported back when it speaks again.
local broker = require "broker"
local LIMIT = tonumber(broker.option("limit", 60))

local function names()
  return broker.kv.get("deadman-names") or ""
end

broker.on_publish("heartbeat/{name}", function(msg, at)
  broker.kv.set("alive:" .. at.name, true, LIMIT)
  if not ("\n" .. names()):find("\n" .. at.name .. "\n", 1, true) then
    broker.kv.set("deadman-names", names() .. at.name .. "\n")
  end
  if broker.kv.swap("missing:" .. at.name, true, nil) then
    broker.publish { topic = "missing/" .. at.name, payload = "back", qos = 1, retain = true }
  end
end)

broker.every(1, function()
  for name in names():gmatch("[^\n]+") do
    if not broker.kv.get("alive:" .. name) and broker.kv.swap("missing:" .. name, nil, true) then
      broker.publish { topic = "missing/" .. name, payload = "missing", qos = 1, retain = true }
    end
  end
end)
