-- One stream of events becomes several, by content: each event goes to its type's topic; urgent ones also to the
-- people on duty.
local broker = require "broker"

broker.on_publish("events", function(msg)
  local event = msg:json()
  if type(event) ~= "table" or type(event.type) ~= "string" or event.type:find("[+#/]") then
    return msg:route("events/unknown")
  end
  local topic = "events/by-type/" .. event.type
  if event.severity == "critical" then
    return msg:route(topic, "duty/pager", "duty/log")
  end
  msg:route(topic)
end)
