local test = require "test"

test.it("has two limits", function()
  local broker = test.broker { script = "threshold.lua", option = { hot = "60", cool = "55" } }
  local sensor = broker:client()
  local alerts = {}

  for _, celsius in ipairs { 20, 61, 59, 62, 58, 56, 54, 53, 70 } do
    sensor:publish { topic = "sensors/oven/temp", payload = tostring(celsius) }
    for _, m in ipairs(broker:published()) do alerts[#alerts + 1] = celsius .. " " .. m.payload end
  end
  test.same(alerts, { "61 hot", "54 ok", "70 hot" })
end)
