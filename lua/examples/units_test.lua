local test = require "test"

test.it("turns Fahrenheit into Celsius", function()
  local out = test.broker { script = "units.lua" }:client():publish { topic = "sensors/hall/f", payload = "212" }
  test.equal(out.messages[1].topic, "sensors/hall/c")
  test.equal(out.messages[1].payload, "100.0")
end)

test.it("rounds as told", function()
  local broker = test.broker { script = "units.lua", option = { digits = "0" } }
  test.equal(broker:client():publish { topic = "sensors/hall/f", payload = "70" }.messages[1].payload, "21")
end)

test.it("refuses a wrong option before it is taken up", function()
  test.fails(function() test.broker { script = "units.lua", option = { digits = "9" } } end, "digits")
end)
