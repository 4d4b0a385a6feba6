local test = require "test"

local function moved(topic)
  return test.broker { script = "rename.lua" }:client():publish { topic = topic, payload = "x" }.messages[1].topic
end

test.it("moves a tree", function()
  test.equal(moved("plant/hall1/robot/3"), "site/north/assembly/robot/3")
  test.equal(moved("plant/hall2/oven"), "site/north/paint/oven")
end)

test.it("has a place for the rest", function()
  test.equal(moved("plant/gate"), "site/other/gate")
end)

test.it("leaves others alone", function()
  test.equal(moved("house/door"), "house/door")
end)
