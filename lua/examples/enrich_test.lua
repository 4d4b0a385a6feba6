local test = require "test"

test.it("adds what the service knows, and asks once", function()
  local broker = test.broker { script = "enrich.lua", option = { url = "http://inventory.test/" } }
  broker:http("http://inventory.test/7", 200, '{"room":"hall"}')
  local sensor = broker:client()

  for _ = 1, 2 do
    local out = sensor:publish { topic = "readings/7", payload = '{"temp":20}' }
    local reading = test.json(out.messages[1].payload)
    test.equal(reading.temp, 20)
    test.equal(reading.device.room, "hall")
  end
  test.equal(broker:http_count(), 1)
end)

test.it("lets the reading pass when the service is down", function()
  local broker = test.broker { script = "enrich.lua", option = { url = "http://inventory.test/" } }
  broker:http("http://inventory.test/7", 0, "connection refused")
  local out = broker:client():publish { topic = "readings/7", payload = '{"temp":20}' }
  test.equal(out.messages[1].payload, '{"temp":20}')
end)
