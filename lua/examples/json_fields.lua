-- A device sends one JSON object; others want its fields as topics of their own, and the other way round.
--
--     devices/7/state        {"temp":21.5,"hum":40}   ->  also devices/7/state/temp  21.5, ...
--     devices/7/set/fan  on                           ->  devices/7/set  {"fan":"on"}
local broker = require "broker"
local json = require "broker.json"

broker.on_publish("devices/{id}/state", function(msg, at)
  local state = msg:json()
  if type(state) ~= "table" then return msg:drop("the state is not a JSON object") end

  for name, value in pairs(state) do
    if type(name) == "string" and not name:find("[+#/]") and type(value) ~= "table" then
      broker.publish {
        topic = ("devices/%s/state/%s"):format(at.id, name),
        payload = tostring(value),
        qos = msg.qos,
        retain = msg.retain,
      }
    end
  end
end)

broker.on_publish("devices/{id}/set/{field}", function(msg, at)
  msg.payload = json.encode { [at.field] = tonumber(msg.payload) or msg.payload }
  msg:route("devices/" .. at.id .. "/set")
end)
