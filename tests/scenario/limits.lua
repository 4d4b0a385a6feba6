-- Limits and switches, the broker's and the client's: announced, kept, and answered in words.
local show = require("wire").show

story("5: a packet larger than the client takes is never sent", "MQTT-3.1.2-24/5 MQTT-3.1.2-25/5",
  function(t)
  -- the stories' rules raise on a packet above the client's maximum
  local b = t:broker()
  local c = b:join { properties = { maximum_packet_size = 100 } }
  c:subscribe(t.topic, 2)
  local p = b:join()
  for i = 1, 30 do
    local qos = i % 3
    p:publish { topic = t.topic, payload = ("x"):rep(200), qos = qos }
    p:publish { topic = t.topic, payload = tostring(i), qos = qos,
      properties = { content_type = ("y"):rep(200) } }
    p:publish { topic = t.topic, payload = "small " .. i, qos = qos }
    c:receive { payload = "small " .. i, qos = qos }
  end
  c:expect_nothing()
end)

story("5: the largest packet a client takes is sent, one byte more is not", "MQTT-3.1.2-24/5",
  function(t)
  local b = t:broker()
  local c = b:join { properties = { maximum_packet_size = 200 } }
  c:subscribe(t.topic, 0)
  local p = b:join()
  local room = 200 - 3 - 2 - #t.topic - 1 -- header with a length of two bytes, topic, no properties
  p:publish { topic = t.topic, payload = ("x"):rep(room + 1) }
  p:publish { topic = t.topic, payload = ("x"):rep(room) }
  local m = c:receive()
  t:equal(#m.bytes, 200, "the size of the packet")
  c:expect_nothing()
end)

story("5: a message too large takes no quota and no packet id", "MQTT-3.1.2-25/5", function(t)
  local b = t:broker()
  local c = b:join { properties = { maximum_packet_size = 100, receive_maximum = 1 } }
  c:subscribe(t.topic, 2)
  local p = b:join()
  for i = 1, 10 do p:publish { topic = t.topic, payload = ("x"):rep(200), qos = 1 + i % 2 } end
  p:publish { topic = t.topic, payload = "fits", qos = 1 }
  c:receive { payload = "fits" }
  c:expect_nothing()
end)

story("5: a stored message too large for the client that comes back is dropped", "MQTT-3.1.2-25/5",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = ("x"):rep(500), qos = 1 }
  p:publish { topic = t.topic, payload = "fits", qos = 1 }
  keep.properties.maximum_packet_size = 100
  c = b:join(keep)
  c:receive { payload = "fits" }
  c:expect_nothing()
end)

story("5: a retained message too large is left out", "MQTT-3.1.2-24/5 MQTT-3.1.2-25/5", function(t)
  local b = t:broker()
  local p = b:join()
  p:publish { topic = t.topic .. "/a", payload = ("x"):rep(500), qos = 1, retain = true }
  p:publish { topic = t.topic .. "/b", payload = "fits", qos = 1, retain = true }
  local c = b:join { properties = { maximum_packet_size = 100 } }
  c:subscribe(t.topic .. "/#", 1)
  c:receive { payload = "fits", retain = true }
  c:expect_nothing()
  p:publish { topic = t.topic .. "/a", retain = true, qos = 1 }
  p:publish { topic = t.topic .. "/b", retain = true, qos = 1 }
end)

-- Every kind of answer, first as large as it likes, then to a client that takes very little: the
-- rules
-- of the stories raise when one is larger than the client takes.
story("5: explanations are left out of answers where they would not fit",
  "MQTT-3.2.2-19/5 MQTT-3.2.2-20/5 MQTT-3.4.2-2/5 MQTT-3.4.2-3/5 MQTT-3.5.2-2/5 MQTT-3.5.2-3/5 MQTT-3.6.2-2/5 "
  .. "MQTT-3.6.2-3/5 MQTT-3.7.2-2/5 MQTT-3.7.2-3/5 MQTT-3.9.2-1/5 MQTT-3.9.2-2/5 MQTT-3.11.2-1/5 MQTT-3.11.2-2/5 "
  .. "MQTT-3.14.2-3/5 MQTT-3.14.2-4/5", function(t)
  local b = t:broker()
  local size = #b:join().connack.bytes
  for _, room in ipairs { size, size + 10 } do
    local c = b:join { properties = { maximum_packet_size = room } }
    c:subscribe { { t.topic, 1 }, { "$share/x/#b", 0 }, refused = true }
    c:unsubscribe("never/subscribed")
    c:publish { topic = t.topic .. "/nobody", payload = "x", qos = 1 }
    c:publish { topic = t.topic .. "/nobody", payload = "x", qos = 2 }
    c:publish { topic = "$SYS/forged", payload = "x", qos = 1 }
    c:send { "PUBLISH", topic = "$SYS/forged", payload = "x", qos = 2, id = 50 }
    c:await { "PUBREC", id = 50 }
    c:send { "PUBREL", id = 60 }
    c:await { "PUBCOMP", id = 60, reason = 0x92 }
    c:send { "PUBREC", id = 61 }
    c:await { "PUBREL", id = 61, reason = 0x92 }
    c:send { "PUBLISH", topic = "a/#", payload = "x" }
    c:expect_dropped { 0x81, 0x82, 0x90 }
  end
  for _, room in ipairs { 5, 8, 12, 20 } do
    local c = b:client { properties = { maximum_packet_size = room, auth_method = "none such" } }
    local got = c:try_next() -- a refusal fits in five bytes
    t:check(not got or got[1] == "CONNACK" and got.reason == 0x8C, "got %s", show(got))
  end
end)

story("5: a maximum QoS is announced, granted and enforced",
  "MQTT-3.2.2-9/5 MQTT-3.2.2-10/5 MQTT-3.2.2-11/5 MQTT-3.2.2-12/5", function(t)
  for maximum = 0, 1 do
    local b = t:broker(("limits { maximum_qos %d; }"):format(maximum))
    local c = b:join()
    t:equal(c.connack.properties.maximum_qos, maximum, "maximum QoS")
    local ack = c:subscribe { { t.topic .. "/0", 0 }, { t.topic .. "/1", 1 }, { t.topic .. "/2",
      2 } }
    t:equal(table.concat(ack.codes, " "), maximum == 0 and "0 0 0" or "0 1 1", "the granted QoS")
    c:publish { topic = t.topic .. "/2", payload = "x", qos = maximum }
    c:receive { payload = "x", qos = maximum }
    for qos = maximum + 1, 2 do
      local bad = b:join()
      bad:send { "PUBLISH", topic = t.topic, payload = "x", qos = qos, id = 1 }
      bad:expect_dropped(0x9B)
      bad = b:client { will = { topic = t.topic, payload = "x", qos = qos } }
      bad:expect { "CONNACK", reason = 0x9B }
      bad:expect_closed()
    end
    b:join { will = { topic = t.topic, payload = "x", qos = maximum } }:disconnect()
  end
end)

story("5: with QoS 2 allowed no maximum is announced", "MQTT-3.2.2-9/5", function(t)
  t:equal(t:broker():join().connack.properties.maximum_qos, nil, "maximum QoS")
end)

story("5: retain switched off is announced and enforced", "MQTT-3.2.2-13/5 MQTT-3.2.2-14/5",
  function(t)
  local b = t:broker "limits { retain off; }"
  local c = b:join()
  t:equal(c.connack.properties.retain_available, 0, "retain available")
  c:send { "PUBLISH", topic = t.topic, payload = "x", retain = true }
  c:expect_dropped(0x9A)
  c = b:client { will = { topic = t.topic, payload = "x", retain = true } }
  c:expect { "CONNACK", reason = 0x9A }
  c:expect_closed()
  c = b:join()
  c:subscribe { { t.topic, qos = 1, retain_as_published = true } }
  c:publish { topic = t.topic, payload = "plain", qos = 1 }
  c:receive { payload = "plain", retain = false }
end)

story("5: a packet above the announced maximum is answered with 0x95", "MQTT-3.2.2-15/5",
  function(t)
  local b = t:broker "limits { max_packet 4k; }"
  local c = b:join()
  t:equal(c.connack.properties.maximum_packet_size, 4096, "maximum packet size")
  c:subscribe(t.topic, 0)
  local room = 4096 - 3 - 2 - #t.topic - 1
  c:publish { topic = t.topic, payload = ("x"):rep(room) }
  t:equal(#c:receive().bytes, 4096, "the size of the packet")
  c:send { "PUBLISH", topic = t.topic, payload = ("x"):rep(room + 1) }
  c:expect_dropped(0x95)
  c = b:join() -- announced by its header alone, it is refused before its bytes come
  c:send { "PUBLISH", length = 200000000, body = "" }
  c:expect_dropped(0x95)
end)

story("3.1.1: a packet above the maximum ends the connection", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker "limits { max_packet 4k; }"
  local c = b:join { version = 4 }
  c:send { "PUBLISH", length = 5000, body = "" }
  c:expect_closed()
end)

-- The limits of a session's queue: what does not fit is refused where the protocol can say so.
story("5: a full queue refuses with 0x97 and keeps what it took",
  "MQTT-3.4.2-1/5 MQTT-3.5.2-1/5 MQTT-4.3.3-9/5",
  function(t)
  local b = t:broker "limits { max_queue_messages 3; }"
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p = b:join()
  for i = 1, 6 do
    local id = 100 + i
    p:send { "PUBLISH", topic = t.topic, payload = tostring(i), qos = 1 + i % 2, id = id }
    local ack = p:expect { i % 2 == 0 and "PUBACK" or "PUBREC", id = id, reason = i <= 3 and 0
      or 0x97 }
    if ack[1] == "PUBREC" and ack.reason == 0 then
      p:send { "PUBREL", id = id }
      p:expect { "PUBCOMP", id = id, reason = 0 }
    end
  end
  c = b:join(keep)
  for i = 1, 3 do c:receive { payload = tostring(i), qos = 1 + i % 2 } end
  c:expect_nothing()
  t:equal(p:publish { topic = t.topic, payload = "room again", qos = 1 }.reason, 0, "PUBACK")
  c:receive { payload = "room again" }
end)

story("5: a queue of one message works", "MQTT-3.4.2-1/5", function(t)
  local b = t:broker "limits { max_queue_messages 1; max_inflight 1; receive_maximum 1; }"
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 1)
  for i = 1, 10 do
    t:equal(p:publish { topic = t.topic, payload = tostring(i), qos = 1 }.reason, 0, "PUBACK")
    c:receive { payload = tostring(i) }
  end
end)

story("5: a queue bounded in bytes refuses with 0x97", "MQTT-3.4.2-1/5", function(t)
  local b = t:broker "limits { max_queue_bytes 64k; }"
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p, taken = b:join(), 0
  for _ = 1, 20 do
    local ack = p:publish { topic = t.topic, payload = ("x"):rep(10000), qos = 1 }
    if ack.reason == 0 then taken = taken + 1 else t:equal(ack.reason, 0x97, "PUBACK") end
  end
  t:check(taken >= 4 and taken <= 6, "%d messages of 10000 bytes were taken into 64k", taken)
  c = b:join(keep)
  for _ = 1, taken do c:receive() end
  c:expect_nothing()
end)

story("5: too many subscriptions are refused with 0x97", "MQTT-3.9.3-2/5", function(t)
  local b = t:broker "limits { max_subscriptions 5; }"
  local c = b:join()
  for i = 1, 5 do c:subscribe(t.topic .. "/" .. i, 1) end
  local ack = c:subscribe { { t.topic .. "/6", 1 }, { t.topic .. "/1", 2 }, refused = true }
  t:equal(ack.codes[1], 0x97, "the sixth subscription")
  t:equal(ack.codes[2], 2, "a subscription that exists")
  c:unsubscribe(t.topic .. "/2")
  t:equal(c:subscribe(t.topic .. "/6", 1).codes[1], 1, "a place that became free")
end)

story("5: a session expiry above the maximum is lowered and told", "MQTT-3.1.2-23/5", function(t)
  local b = t:broker "limits { session_expiry_max 30s; }"
  local c = b:join { properties = { session_expiry = 1000 } }
  t:equal(c.connack.properties.session_expiry, 30, "session expiry interval")
  c = b:join { properties = { session_expiry = 20 } }
  t:check((c.connack.properties.session_expiry or 20) == 20, "it was changed")
end)

story.both("empty client ids may be switched off", "MQTT-3.1.3-8/5 MQTT-3.1.3-9/3.1.1", function(t,
  version)
  local b = t:broker "limits { empty_client_id off; }"
  local c = b:client { id = "" }
  c:expect { "CONNACK", reason = version == 5 and 0x85 or 2, session_present = false }
  c:expect_closed()
end)

story("5: the prefix of assigned client ids can be chosen", "MQTT-3.1.3-7/5", function(t)
  local b = t:broker 'limits { client_id_prefix "made-up-"; }'
  local c = b:join { id = "" }
  local id = c.connack.properties.assigned_client_id
  t:check(id and id:find("^made%-up%-."), "assigned %s", tostring(id))
end)

story.both("topic levels are limited as configured", "MQTT-4.8.0-2/3.1.1 MQTT-4.13.1-1/5",
  function(t, version)
  local b = t:broker "limits { max_topic_levels 3; }"
  local c = b:join()
  c:subscribe(t.topic .. "/b/c", 1)
  c:publish { topic = t.topic .. "/b/c", payload = "x", qos = 1 }
  c:receive { payload = "x" }
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic .. "/b/c/d", 1 } } }
  local got = c:try_next()
  t:check(not got and version == 4 or got and (got[1] == "SUBACK" and got.codes[1] >= 0x80
    or got[1] == "DISCONNECT"), "got %s", show(got))
end)
