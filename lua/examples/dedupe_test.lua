local test = require "test"

test.it("lets a message pass once in a window", function()
  local broker = test.broker { script = "dedupe.lua", option = { window = "5" } }
  local a, b = broker:client { id = "gateway-a" }, broker:client { id = "gateway-b" }
  local packet = { topic = "radio/7", payload = "\1\2\3" }

  test.equal(a:publish(packet).verdict, "allow")
  test.equal(b:publish(packet).verdict, "drop")
  test.equal(b:publish { topic = "radio/8", payload = "\1\2\3" }.verdict, "allow")
  broker:pass(6)
  test.equal(b:publish(packet).verdict, "allow")
end)
