-- Vehicles send where they are; entering and leaving a circle is an event of its own.
local broker = require "broker"
local json = require "broker.json"

local fences = {
  depot = { lat = 52.5200, lon = 13.4050, meters = 500 },
}

local function distance(a, b) -- meters on a sphere, good enough for fences
  local rad = math.rad
  local dlat, dlon = rad(b.lat - a.lat), rad(b.lon - a.lon)
  local h = math.sin(dlat / 2) ^ 2 + math.cos(rad(a.lat)) * math.cos(rad(b.lat)) * math.sin(dlon / 2) ^ 2
  return 2 * 6371000 * math.asin(math.min(1, math.sqrt(h)))
end

broker.on_publish("vehicles/{id}/position", function(msg, at)
  local place = msg:json()
  if type(place) ~= "table" or type(place.lat) ~= "number" or type(place.lon) ~= "number" then
    return msg:drop("a position is {\"lat\": , \"lon\": }")
  end
  for name, fence in pairs(fences) do
    local inside = distance(place, fence) <= fence.meters
    local key = ("fence:%s:%s"):format(name, at.id)
    if inside ~= (broker.kv.get(key) == true) then
      broker.kv.set(key, inside or nil)
      broker.publish {
        topic = ("fences/%s/%s"):format(name, at.id),
        payload = json.encode { event = inside and "entered" or "left", lat = place.lat, lon = place.lon },
        qos = 1,
      }
    end
  end
end)
