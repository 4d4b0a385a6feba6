local test = require "test"

test.it("reports who has fallen silent, and who is back", function()
  local broker = test.broker { script = "deadman.lua", option = { limit = "60" } }
  local pump = broker:client { id = "pump" }

  pump:publish { topic = "heartbeat/pump", payload = "" }
  broker:pass(50)
  test.equal(#broker:published(), 0)
  broker:pass(15)
  local out = broker:published()
  test.equal(#out, 1)
  test.equal(out[1].topic, "missing/pump")
  test.equal(out[1].payload, "missing")
  broker:pass(100)
  test.equal(#broker:published(), 0)

  pump:publish { topic = "heartbeat/pump", payload = "" }
  test.equal(broker:published()[1].payload, "back")
end)
