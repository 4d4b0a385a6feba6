local test = require "test"

test.it("answers to where it was told", function()
  local broker = test.broker { script = "responder.lua" }
  local out = broker:client():publish { topic = "services/echo", payload = "reply-to: me/answers\nhello" }
  test.equal(out.verdict, "drop")
  local answer = broker:published()[1]
  test.equal(answer.topic, "me/answers")
  test.equal(answer.payload, "hello")
end)

test.it("does not answer where nobody asked for it", function()
  local broker = test.broker { script = "responder.lua" }
  broker:client():publish { topic = "services/echo", payload = "hello" }
  test.equal(#broker:published(), 0)
end)
