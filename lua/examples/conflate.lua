-- A fast sensor for slow readers: fast/NAME goes on as it is; slow/NAME gets the latest value once in a while,
-- and nothing when nothing changed.
local broker = require "broker"
local EVERY = tonumber(broker.option("every", 10))

broker.on_publish("fast/{name}", function(msg, at)
  broker.kv.set("conflate:" .. at.name, msg.payload)
  -- The names, as one value all loops share.
  local names = broker.kv.get("conflate-names") or ""
  if not ("\n" .. names):find("\n" .. at.name .. "\n", 1, true) then
    broker.kv.set("conflate-names", names .. at.name .. "\n")
  end
end)

broker.every(EVERY, function()
  for name in (broker.kv.get("conflate-names") or ""):gmatch("[^\n]+") do
    local value = broker.kv.get("conflate:" .. name)
    if value then
      broker.publish { topic = "slow/" .. name, payload = value, retain = true }
      broker.kv.swap("conflate:" .. name, value, nil)
    end
  end
end)
