-- Gateways that hear the same radio packet send it twice. The same payload on the same topic within the window is
-- dropped, whichever gateway sent it and whichever loop it came through.
local broker = require "broker"
local WINDOW = tonumber(broker.option("window", 5))

broker.on_publish("radio/#", function(msg)
  local key = "dedupe:" .. broker.bytes.hash("sha256", msg.topic .. "\0" .. msg.payload)
  if not broker.kv.swap(key, nil, true, WINDOW) then
    msg:drop("seen within " .. WINDOW .. " s")
  end
end)
