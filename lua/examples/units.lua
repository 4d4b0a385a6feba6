-- Old sensors send Fahrenheit to .../f; everybody else works in Celsius at .../c.
local broker = require "broker"
local DIGITS = tonumber(broker.option("digits", 1))

broker.on_publish("sensors/{room}/f", function(msg, at)
  local fahrenheit = tonumber(msg.payload)
  if not fahrenheit then return msg:drop("the temperature is not a number") end

  msg.payload = ("%." .. DIGITS .. "f"):format((fahrenheit - 32) * 5 / 9)
  msg:route("sensors/" .. at.room .. "/c")
end)

broker.selftest(function()
  assert(DIGITS and DIGITS >= 0 and DIGITS <= 6, "option digits has to be 0 to 6")
end)
