local test = require "test"

test.it("keeps a state of births and deaths", function()
  local broker = test.broker { script = "sparkplug.lua" }
  local node = broker:client()

  node:publish { topic = "spBv1.0/plant/DBIRTH/node1/motor", payload = "\8\1" }
  local out = broker:published()
  test.equal(out[1].topic, "state/plant/node1/motor")
  test.equal(out[1].payload, "online")
  test.equal(out[1].retain, true)
  node:publish { topic = "spBv1.0/plant/NDEATH/node1", payload = "" }
  out = broker:published()
  test.equal(out[1].topic, "state/plant/node1")
  test.equal(out[1].payload, "offline")
end)

test.it("leaves commands to hosts and refuses other types", function()
  local node = test.broker { script = "sparkplug.lua" }:client()
  test.equal(node:publish { topic = "spBv1.0/plant/NDATA/node1", payload = "" }.verdict, "allow")
  test.equal(node:publish { topic = "spBv1.0/plant/NCMD/node1", payload = "" }.verdict, "deny")
  test.equal(node:publish { topic = "spBv1.0/plant/HELLO/node1", payload = "" }.reason, 0x90)
end)
