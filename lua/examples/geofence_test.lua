local test = require "test"

test.it("tells who enters and who leaves", function()
  local broker = test.broker { script = "geofence.lua" }
  local van = broker:client()
  local events = {}

  for _, lat in ipairs { 52.6, 52.5201, 52.5202, 52.6, 52.61 } do
    van:publish { topic = "vehicles/van/position", payload = ('{"lat":%.4f,"lon":13.4050}'):format(lat) }
    for _, m in ipairs(broker:published()) do events[#events + 1] = test.json(m.payload).event end
  end
  test.same(events, { "entered", "left" })
end)

test.it("drops what is no position", function()
  local van = test.broker { script = "geofence.lua" }:client()
  test.equal(van:publish { topic = "vehicles/van/position", payload = '{"lat":"x"}' }.verdict, "drop")
end)
