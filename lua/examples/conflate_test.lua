local test = require "test"

test.it("sends the latest value, once", function()
  local broker = test.broker { script = "conflate.lua", option = { every = "10" } }
  local sensor = broker:client()

  for i = 1, 50 do
    test.equal(sensor:publish { topic = "fast/speed", payload = tostring(i) }.messages[1].topic, "fast/speed")
  end
  test.equal(#broker:published(), 0)
  broker:pass(11)
  local out = broker:published()
  test.equal(#out, 1)
  test.equal(out[1].topic, "slow/speed")
  test.equal(out[1].payload, "50")
  broker:pass(11)
  test.equal(#broker:published(), 0)
end)
