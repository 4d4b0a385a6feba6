local test = require "test"

test.it("refuses the surplus of one device only", function()
  local broker = test.broker { script = "ratelimit.lua", option = { per_minute = "3" } }
  local loud, quiet = broker:client { id = "loud" }, broker:client { id = "quiet" }
  local message = { topic = "telemetry/x", payload = "1", qos = 1 }

  for _ = 1, 3 do test.equal(loud:publish(message).verdict, "allow") end
  local refused = loud:publish(message)
  test.equal(refused.verdict, "deny")
  test.equal(refused.reason, 0x96)
  test.equal(quiet:publish(message).verdict, "allow")
  broker:pass(61)
  test.equal(loud:publish(message).verdict, "allow")
end)
