-- Receive maximum in both directions.

story("5: no more unacknowledged messages than the client's receive maximum",
  "MQTT-3.3.4-9/5 MQTT-4.9.0-1/5 MQTT-4.9.0-2/5", function(t)
  local b = t:broker()
  for _, maximum in ipairs { 1, 2, 7 } do
    local c = b:join { properties = { receive_maximum = maximum } }
    c:subscribe(t.topic, 2)
    local p = b:join()
    for i = 1, 20 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 + i % 2 } end
    local open = {}
    for i = 1, maximum do open[i] = c:expect { "PUBLISH", payload = tostring(i) } end
    c:expect_nothing() -- the quota is used up
    for i = maximum + 1, 20 do
      c:finish(table.remove(open, 1))
      open[maximum] = c:expect { "PUBLISH", payload = tostring(i) }
      c:expect_nothing()
    end
    for _, m in ipairs(open) do c:finish(m) end
    c:disconnect()
  end
end)

story("5: QoS 0 is not held back by a used-up quota", "MQTT-3.3.4-10/5 MQTT-4.9.0-2/5", function(t)
  local b = t:broker()
  local c = b:join { properties = { receive_maximum = 1 } }
  c:subscribe(t.topic .. "/#", 1)
  local p = b:join()
  p:publish { topic = t.topic .. "/1", payload = "one", qos = 1 }
  p:publish { topic = t.topic .. "/1", payload = "two", qos = 1 }
  p:publish { topic = t.topic .. "/0", payload = "zero", qos = 0 }
  local one = c:expect { "PUBLISH", payload = "one" }
  c:expect { "PUBLISH", payload = "zero", qos = 0 }
  c:finish(one)
  c:receive { payload = "two" }
end)

story("5: with a used-up quota every other packet is read and answered",
  "MQTT-3.3.4-10/5 MQTT-4.9.0-3/5", function(t)
  local b = t:broker()
  local c = b:join { properties = { receive_maximum = 1 } }
  c:subscribe(t.topic, 2)
  local p = b:join()
  p:publish { topic = t.topic, payload = "one", qos = 2 }
  p:publish { topic = t.topic, payload = "two", qos = 1 }
  local one = c:expect { "PUBLISH", payload = "one" }
  c:subscribe(t.topic .. "/x", 1)
  t:equal(c:publish { topic = t.topic .. "/y", payload = "x", qos = 1 }.reason, 0x10, "PUBACK")
  c:publish { topic = t.topic .. "/y", payload = "x", qos = 2 }
  c:unsubscribe(t.topic .. "/x")
  c:ping()
  c:finish(one)
  c:receive { payload = "two" }
end)

story("5: PUBREC below 0x80 does not free the quota, PUBCOMP does",
  "MQTT-4.9.0-2/5 MQTT-3.3.4-9/5", function(t)
  local b = t:broker()
  local c = b:join { properties = { receive_maximum = 1 } }
  c:subscribe(t.topic, 2)
  local p = b:join()
  p:publish { topic = t.topic, payload = "one", qos = 2 }
  p:publish { topic = t.topic, payload = "two", qos = 2 }
  p:publish { topic = t.topic, payload = "three", qos = 2 }
  local one = c:expect { "PUBLISH", payload = "one" }
  c:send { "PUBREC", id = one.id }
  c:expect { "PUBREL", id = one.id }
  c:expect_nothing()
  c:send { "PUBCOMP", id = one.id }
  local two = c:expect { "PUBLISH", payload = "two" }
  c:send { "PUBREC", id = two.id, reason = 0x80 } -- an error frees it at once
  c:receive { payload = "three" }
end)

story("5: the quota starts anew with each connection", "MQTT-4.9.0-1/5", function(t)
  local b = t:broker()
  local function keep(maximum)
    return { id = t.topic, clean_start = false,
      properties = { session_expiry = 60, receive_maximum = maximum } }
  end
  local c = b:join(keep(5))
  c:subscribe(t.topic, 1)
  local p = b:join()
  for i = 1, 8 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local ids = {}
  for i = 1, 5 do ids[i] = c:expect { "PUBLISH", payload = tostring(i), dup = false }.id end
  c:abort()
  c = b:join(keep(2)) -- less than what is in flight
  for i = 1, 5 do c:receive { payload = tostring(i), dup = true, id = ids[i] } end
  for i = 6, 8 do c:receive { payload = tostring(i), dup = false } end
  c:expect_nothing()
end)

story("5: a client that exceeds the announced receive maximum is dropped with 0x93",
  "MQTT-3.3.4-7/5", function(t)
  local b = t:broker "limits { receive_maximum 4; }"
  local c = b:join()
  t:equal(c.connack.properties.receive_maximum, 4, "receive maximum")
  for id = 1, 4 do
    c:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = id }
    c:expect { "PUBREC", id = id }
  end
  c:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 5 }
  c:expect_dropped(0x93)
end)

story("5: up to the receive maximum everything goes, again and again", "MQTT-3.3.4-7/5", function(t)
  local b = t:broker "limits { receive_maximum 4; }"
  local c = b:join()
  for round = 1, 10 do
    for id = 1, 4 do c:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2,
      id = round * 10 + id } end
    for id = 1, 4 do c:expect { "PUBREC", id = round * 10 + id } end
    c:publish { topic = t.topic, payload = "QoS 0 does not count" }
    for id = 1, 4 do c:send { "PUBREL", id = round * 10 + id } end
    for id = 1, 4 do c:expect { "PUBCOMP", id = round * 10 + id } end
  end
end)

story("5: a receive maximum of 1 works both ways", "MQTT-4.9.0-1/5 MQTT-3.3.4-7/5", function(t)
  local b = t:broker "limits { receive_maximum 1; max_inflight 1; }"
  local c = b:join { properties = { receive_maximum = 1 } }
  t:equal(c.connack.properties.receive_maximum, 1, "receive maximum")
  c:subscribe(t.topic, 2)
  for i = 1, 10 do
    c:publish { topic = t.topic, payload = tostring(i), qos = 1 + i % 2 }
    c:receive { payload = tostring(i), qos = 1 + i % 2 }
  end
end)

story.both("what exceeds a client's window waits and is not dropped",
  "MQTT-4.9.0-2/5 MQTT-4.5.0-1", function(t)
  local b = t:broker()
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 1)
  local first = {}
  for i = 1, 500 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for i = 1, 500 do
    local m = c:expect { "PUBLISH", payload = tostring(i) }
    c:finish(m)
    first[i] = m
  end
  c:expect_nothing()
end)
