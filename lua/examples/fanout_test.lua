local test = require "test"

local function topics(payload)
  local list = {}
  for i, m in ipairs(test.broker { script = "fanout.lua" }:client():publish { topic = "events", payload = payload }.messages) do
    list[i] = m.topic
  end
  return list
end

test.it("sends an event to its type", function()
  test.same(topics '{"type":"door"}', { "events/by-type/door" })
end)

test.it("tells people of what is critical", function()
  test.same(topics '{"type":"fire","severity":"critical"}', { "events/by-type/fire", "duty/pager", "duty/log" })
end)

test.it("keeps what it does not understand", function()
  test.same(topics "?", { "events/unknown" })
  test.same(topics '{"type":"a/b"}', { "events/unknown" })
end)
