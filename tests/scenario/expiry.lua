-- Message expiry.  MQTT 5.

local function keep(t)
  return { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
end

story("5: what has expired before delivery began is dropped", "MQTT-3.3.2-5/5", function(t)
  local b = t:broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "short", qos = 1, properties = { message_expiry = 1 } }
  p:publish { topic = t.topic, payload = "short too", qos = 2, properties = { message_expiry = 1 } }
  p:publish { topic = t.topic, payload = "long", qos = 1, properties = { message_expiry = 100 } }
  p:publish { topic = t.topic, payload = "for ever", qos = 1 }
  t:pass(2.1)
  c = b:join(keep(t))
  c:receive { payload = "long", properties = { message_expiry = any { 97, 98 } } }
  c:receive { payload = "for ever", properties = { message_expiry = false } }
  c:expect_nothing()
end)

story("5: the interval is passed on less the time spent waiting", "MQTT-3.3.2-6/5", function(t)
  local b = t:broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local live = b:join()
  live:subscribe(t.topic, 0)
  b:join():publish { topic = t.topic, payload = "x", qos = 1,
    properties = { message_expiry = 1000 } }
  live:receive { properties = { message_expiry = any { 999, 1000 } } }
  t:pass(2)
  c = b:join(keep(t))
  c:receive { payload = "x", properties = { message_expiry = any { 997, 998 } } }
end)

story("5: messages waiting for quota expire too", "MQTT-3.3.2-5/5", function(t)
  local b = t:broker()
  local c = b:join { properties = { receive_maximum = 1 } }
  c:subscribe(t.topic, 1)
  local p = b:join()
  p:publish { topic = t.topic, payload = "held", qos = 1 }
  p:publish { topic = t.topic, payload = "expires", qos = 1, properties = { message_expiry = 1 } }
  p:publish { topic = t.topic, payload = "stays", qos = 1 }
  local held = c:expect { "PUBLISH", payload = "held" }
  t:pass(2.1)
  c:finish(held)
  c:receive { payload = "stays" }
  c:expect_nothing()
end)

story("5: an interval of 0xFFFFFFFF is passed on", "MQTT-3.3.2-6/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "x", qos = 1,
    properties = { message_expiry = 0xFFFFFFFF } }
  c:receive { properties = { message_expiry = any { 0xFFFFFFFF, 0xFFFFFFFE } } }
end)

story("5: a 3.1.1 subscriber does not get an expired message either", "MQTT-3.3.2-5/5", function(t)
  local b = t:broker()
  local o = keep(t)
  o.version = 4
  local c = b:join(o)
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "short", qos = 1, properties = { message_expiry = 1 } }
  p:publish { topic = t.topic, payload = "stays", qos = 1 }
  t:pass(2.1)
  c = b:join(o)
  c:receive { payload = "stays" }
  c:expect_nothing()
end)
