-- A reading gets what an inventory service knows about its device. Only that device's stream waits for the answer; it
-- is remembered for a while, and a service that is down costs the enrichment, not the reading.
local broker = require "broker"
local json = require "broker.json"
local URL = broker.option("url", "http://127.0.0.1:8080/devices/")
local REMEMBER = tonumber(broker.option("remember", 300))

local function look_up(id)
  local known = broker.kv.get("device:" .. id)
  if known then return json.decode(known) end

  local reply = broker.http.request { url = URL .. broker.http.url_encode(id), timeout = 2 }
  if not reply or reply.status ~= 200 then return nil end
  local device = json.decode(reply.body)
  if device then broker.kv.set("device:" .. id, reply.body, REMEMBER) end
  return device
end

broker.on_publish("readings/{id}", function(msg, at)
  local reading = msg:json()
  if type(reading) ~= "table" then return msg:drop("the reading is not a JSON object") end

  reading.device = look_up(at.id)
  msg.payload = json.encode(reading)
end)
