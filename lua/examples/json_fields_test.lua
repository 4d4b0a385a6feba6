local test = require "test"

test.it("takes an object apart", function()
  local broker = test.broker { script = "json_fields.lua" }
  local out = broker:client():publish { topic = "devices/7/state", payload = '{"temp":21.5,"hum":40,"a/b":1}' }
  test.equal(out.messages[1].topic, "devices/7/state")

  local published = {}
  for _, m in ipairs(broker:published()) do published[m.topic] = m.payload end
  test.same(published, { ["devices/7/state/temp"] = "21.5", ["devices/7/state/hum"] = "40" })
end)

test.it("puts a field into an object", function()
  local broker = test.broker { script = "json_fields.lua" }
  local out = broker:client():publish { topic = "devices/7/set/fan", payload = "on" }
  test.equal(out.messages[1].topic, "devices/7/set")
  test.equal(out.messages[1].payload, '{"fan":"on"}')
end)

test.it("drops what is not JSON", function()
  local broker = test.broker { script = "json_fields.lua" }
  local out = broker:client():publish { topic = "devices/7/state", payload = "broken" }
  test.equal(out.verdict, "drop")
end)
