-- Request and response [MQTT 5]: services/time answers with the time, services/echo with what it was asked; older
-- clients name the place for the answer in the payload.
local broker = require "broker"

local services = {
  time = function() return ("%d"):format(broker.time()) end,
  echo = function(request) return request end,
}

broker.on_publish("services/{name}", function(msg, at)
  local service = services[at.name]
  local reply_to = msg.response_topic or (msg.payload:match("^reply%-to: ([^\n+#]+)\n"))

  if not service or not reply_to then return msg:drop("no such service, or nowhere to answer") end
  broker.publish {
    topic = reply_to,
    payload = service((msg.payload:gsub("^reply%-to: [^\n]*\n", ""))),
    correlation_data = msg.correlation_data,
    qos = msg.qos,
  }
  msg:drop("answered")
end)
