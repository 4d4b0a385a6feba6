-- QoS 1 in both directions, and answers by QoS.

story.both("each QoS has its answer", "MQTT-3.3.4-1 MQTT-4.3.2-2/3.1.1 MQTT-4.3.2-4/5", function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = t.topic, payload = "0", qos = 0 }
  c:expect_nothing()
  c:send { "PUBLISH", topic = t.topic, payload = "1", qos = 1, id = 0xfffe }
  c:expect { "PUBACK", id = 0xfffe, reason = any { 0, 0x10 } }
  c:send { "PUBLISH", topic = t.topic, payload = "2", qos = 2, id = 0xffff }
  c:expect { "PUBREC", id = 0xffff, reason = any { 0, 0x10 } }
  c:send { "PUBREL", id = 0xffff }
  c:expect { "PUBCOMP", id = 0xffff, reason = 0 }
end)

story("5: 0x10 says that nobody subscribes", "MQTT-3.4.2-1/5 MQTT-3.5.2-1/5", function(t)
  local b = t:broker()
  local c = b:join()
  t:equal(c:publish { topic = t.topic, payload = "x", qos = 1 }.reason, 0x10, "PUBACK")
  c:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 9 }
  c:expect { "PUBREC", id = 9, reason = 0x10 }
  c:send { "PUBREL", id = 9 }
  c:expect { "PUBCOMP", id = 9, reason = 0 }
  local s = b:join()
  s:subscribe(t.topic)
  t:equal(c:publish { topic = t.topic, payload = "x", qos = 1 }.reason, 0, "PUBACK")
end)

story.both("a delivery has a fresh id, QoS 1 and no DUP",
  "MQTT-2.2.1-4/5 MQTT-2.3.1-4/3.1.1 MQTT-4.3.2-1 MQTT-4.3.2-2/5 MQTT-4.3.2-3/5", function(t)
  -- the stories' rules watch every id that comes
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 1)
  local p = b:join()
  local held = {}
  for i = 1, 20 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1, dup = i % 2 == 0 }
    held[i] = c:expect { "PUBLISH", payload = tostring(i), qos = 1, dup = false }
  end
  local used = {}
  for _, m in ipairs(held) do
    t:check(not used[m.id], "packet id %d twice", m.id)
    used[m.id] = true
    c:send { "PUBACK", id = m.id }
  end
end)

story.both("packet ids count up from 1", "MQTT-2.2.1-4/5 MQTT-2.3.1-4/3.1.1", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 2)
  local p = b:join()
  for i = 1, 10 do
    p:publish { topic = t.topic, payload = "x", qos = 1 + i % 2 }
    c:receive { id = i }
  end
end)

story.both("the publisher's DUP is not passed on", "MQTT-3.3.1-3", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 2)
  local p = b:join()
  for qos = 1, 2 do
    p:publish { topic = t.topic, payload = "x", qos = qos, dup = true }
    c:receive { qos = qos, dup = false }
  end
end)

story.both("after PUBACK the same id is a new message, whatever DUP says",
  "MQTT-4.3.2-2/3.1.1 MQTT-4.3.2-5/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 1)
  local p = b:join()
  for i = 1, 4 do
    p:send { "PUBLISH", topic = t.topic, payload = tostring(i), qos = 1, id = 5, dup = i > 2 }
    p:expect { "PUBACK", id = 5, reason = 0 }
    c:receive { payload = tostring(i) }
  end
end)

story("3.1.1: DUP is 0 on QoS 0", "MQTT-3.3.1-2/3.1.1 MQTT-4.3.1-1/3.1.1", function(t)
  local c = t:broker():join { version = 4 }
  c:subscribe(t.topic, 0)
  c:publish { topic = t.topic, payload = "x", qos = 1, dup = true }
  c:receive { qos = 0, dup = false }
end)

story("5: DUP on QoS 0 is malformed", "MQTT-3.3.1-2/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:send { "PUBLISH", topic = t.topic, payload = "x", dup = true }
  c:expect_dropped { 0x81, 0x82 }
  c = b:join()
  c:subscribe(t.topic, 0)
  c:publish { topic = t.topic, payload = "x", qos = 1, dup = true }
  c:receive { qos = 0, dup = false }
end)

story("5: outgoing QoS 0 has QoS bits 0 and DUP 0", "MQTT-4.3.1-1/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 0)
  for qos = 0, 2 do
    c:publish { topic = t.topic, payload = "x", qos = qos }
    local p = c:receive { qos = 0 }
    t:equal(p.flags, 0, "the header flags")
  end
end)

story.both("QoS bits 11 end the connection", "MQTT-3.3.1-4", function(t)
  local b = t:broker()
  for _, flags in ipairs { 6, 7, 14, 15 } do
    local c = b:join()
    c:send { "PUBLISH", topic = t.topic, id = 1, qos = 3, flags = flags }
    c:expect_dropped(0x81)
  end
end)

story.both("PUBACK for nothing harms nobody", "MQTT-4.3.2-3/5 MQTT-4.3.2-1/3.1.1", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 1)
  for id = 1, 20 do c:send { "PUBACK", id = id * 3000 } end
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { payload = "x" }
end)

story.both("acknowledged out of order, nothing is lost or repeated",
  "MQTT-4.3.2-3/5 MQTT-4.3.2-1/3.1.1 MQTT-4.4.0-1",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  local p = b:join()
  local ids = {}
  for i = 1, 10 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i) }.id
  end
  for _, i in ipairs { 10, 3, 7, 1 } do c:send { "PUBACK", id = ids[i] } end
  c:ping()
  c:abort()
  c = b:join(keep)
  for _, i in ipairs { 2, 4, 5, 6, 8, 9 } do
    c:receive { payload = tostring(i), id = ids[i], dup = true }
  end
  c:expect_nothing()
end)

-- Every tenth message is acknowledged a batch later than its neighbours; the stories' rules raise
-- when
-- an id is taken again before that.
story.both("more messages than there are packet ids go through one window",
  "MQTT-2.2.1-4/5 MQTT-2.3.1-4/3.1.1", function(t, version)
  local mqtt = require "mqtt"
  local b = t:broker()
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 1)
  local packet = { "PUBLISH", topic = t.topic, payload = "x", qos = 1 }
  local batch, late, highest = 15, {}, 0
  for round = 1, 66000 // batch do
    local bytes = {}
    for i = 1, batch do
      packet.id = i
      bytes[i] = mqtt.encode(packet, version)
    end
    p.stream:send(table.concat(bytes))
    local acks = late
    late = {}
    for i = 1, batch do
      local m = c:expect { "PUBLISH" }
      highest = math.max(highest, m.id)
      table.insert(i % 10 == 0 and late or acks, m.id)
      p:expect { "PUBACK", id = i }
    end
    for i, id in ipairs(acks) do
      c.rules:sent { "PUBACK", id = id }
      acks[i] = mqtt.encode({ "PUBACK", id = id }, version)
    end
    c.stream:send(table.concat(acks))
  end
  t:check(highest > 60000, "only ids up to %d were used", highest)
end, { alone = true })

story("5: PUBACK takes any form the specification knows", "MQTT-4.3.2-3/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 1)
  for _, form in ipairs { {}, { reason = 0 }, { reason = 0x10 }, { reason = 0, properties = {} },
    { reason = 0, properties = { reason_string = "fine", user = { { "a", "b" } } } } } do
    c:publish { topic = t.topic, payload = "x", qos = 1 }
    local p = c:expect { "PUBLISH" }
    form[1], form.id = "PUBACK", p.id
    c:send(form)
  end
  c:expect_nothing()
end)

story("5: an answer with a reason code that does not exist is an error", "MQTT-4.13.1-1/5",
  function(t)
  local b = t:broker()
  for _, name in ipairs { "PUBACK", "PUBREC" } do
    local c = b:join()
    c:subscribe(t.topic .. name, 2)
    c:publish { topic = t.topic .. name, payload = "x", qos = name == "PUBACK" and 1 or 2 }
    local p = c:expect { "PUBLISH" }
    c:send { name, id = p.id, reason = 0x7f }
    c:expect_dropped { 0x81, 0x82 }
  end
end)
