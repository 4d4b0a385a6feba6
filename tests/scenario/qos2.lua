-- QoS 2 in both directions: exactly once, whatever is repeated.

story.both("a QoS 2 message goes through the whole handshake, twice",
  "MQTT-2.3.1-6/3.1.1 MQTT-2.2.1-5/5 MQTT-4.3.3-1 MQTT-4.3.3-2 MQTT-4.3.3-3/5 MQTT-4.3.3-4/5 MQTT-4.3.3-8/5 "
  .. "MQTT-4.3.3-11/5 MQTT-3.6.2-1/5 MQTT-3.7.2-1/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 2)
  local p = b:join()
  p:send { "PUBLISH", topic = t.topic, payload = "two", qos = 2, id = 4711 }
  p:expect { "PUBREC", id = 4711, reason = 0 }
  p:send { "PUBREL", id = 4711 }
  p:expect { "PUBCOMP", id = 4711, reason = 0 }
  local m = c:expect { "PUBLISH", payload = "two", qos = 2, dup = false }
  c:send { "PUBREC", id = m.id }
  c:expect { "PUBREL", id = m.id, reason = 0 }
  c:send { "PUBCOMP", id = m.id }
  c:expect_nothing()
  p:expect_nothing()
end)

story.both("a repeat before PUBREL is answered and not delivered again",
  "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-10/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 0)
  local p = b:join()
  for i = 1, 4 do
    p:send { "PUBLISH", topic = t.topic, payload = "once", qos = 2, id = 3, dup = i > 1 }
    p:expect { "PUBREC", id = 3, reason = 0 }
  end
  p:send { "PUBREL", id = 3 }
  p:expect { "PUBCOMP", id = 3, reason = 0 }
  c:receive { payload = "once" }
  c:expect_nothing()
end)

story.both("after PUBCOMP the id is free", "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-12/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 2)
  local p = b:join()
  for i = 1, 5 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 2, id = 8, dup = i > 3 }
    c:receive { payload = tostring(i), qos = 2 }
  end
end)

story.both("PUBREL may be repeated", "MQTT-4.3.3-11/5 MQTT-4.3.3-2/3.1.1", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 0)
  local p = b:join()
  p:publish { topic = t.topic, payload = "once", qos = 2, id = 3 }
  p:send { "PUBREL", id = 3 }
  p:expect { "PUBCOMP", id = 3, reason = any { 0, 0x92 } }
  c:receive { payload = "once" }
  c:expect_nothing()
end)

story("5: PUBREL for an unknown id is answered with 0x92", "MQTT-3.7.2-1/5 MQTT-2.2.1-5/5",
  function(t)
  local c = t:broker():join()
  c:send { "PUBREL", id = 1234 }
  c:expect { "PUBCOMP", id = 1234, reason = 0x92 }
end)

story("5: PUBREC for an unknown id is answered with 0x92", "MQTT-3.6.2-1/5 MQTT-2.2.1-5/5",
  function(t)
  local c = t:broker():join()
  c:send { "PUBREC", id = 1234 }
  c:expect { "PUBREL", id = 1234, reason = 0x92 }
end)

story.both("PUBCOMP for an unknown id harms nobody", "MQTT-4.3.3-5/5 MQTT-4.3.3-1/3.1.1",
  function(t)
  local c = t:broker():join()
  c:send { "PUBCOMP", id = 99 }
  c:expect_nothing()
end)

story.both("PUBREC repeated is answered with PUBREL again, and no PUBLISH follows",
  "MQTT-4.3.3-1/3.1.1 MQTT-4.3.3-4/5 MQTT-4.3.3-6/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 2)
  c:publish { topic = t.topic, payload = "two", qos = 2 }
  local m = c:expect { "PUBLISH", qos = 2 }
  for _ = 1, 3 do
    c:send { "PUBREC", id = m.id }
    c:expect { "PUBREL", id = m.id, reason = 0 }
  end
  c:send { "PUBCOMP", id = m.id }
  c:expect_nothing()
end)

story.both("an unanswered PUBLISH is sent again with its id",
  "MQTT-4.3.3-3/5 MQTT-4.3.3-1/3.1.1 MQTT-3.3.1-1",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 2)
  b:join():publish { topic = t.topic, payload = "two", qos = 2 }
  local m = c:expect { "PUBLISH", qos = 2, dup = false }
  c:abort()
  c = b:join(keep)
  c:receive { qos = 2, dup = true, id = m.id, payload = "two" }
  c:expect_nothing()
end)

story.both("each stage of the handshake survives a reconnect",
  "MQTT-4.3.3-1/3.1.1 MQTT-4.3.3-5/5 MQTT-4.4.0-1",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 2)
  local p = b:join()
  local ids = {}
  for i = 1, 6 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 2 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i) }.id
  end
  -- 1, 2: untouched; 3, 4: waiting for PUBCOMP; 5, 6: done
  for i = 3, 6 do
    c:send { "PUBREC", id = ids[i] }
    c:expect { "PUBREL", id = ids[i] }
  end
  for i = 5, 6 do c:send { "PUBCOMP", id = ids[i] } end
  c:ping()
  c:abort()
  c = b:join(keep)
  c:expect { "PUBLISH", id = ids[1], dup = true }
  c:expect { "PUBLISH", id = ids[2], dup = true }
  c:expect { "PUBREL", id = ids[3] }
  c:expect { "PUBREL", id = ids[4] }
  c:expect_nothing()
end)

story.both("many QoS 2 handshakes interleave", "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-8/5 MQTT-4.3.3-11/5",
  function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 0)
  local p = b:join()
  for id = 1, 20 do p:send { "PUBLISH", topic = t.topic, payload = tostring(id), qos = 2,
    id = id } end
  for id = 1, 20 do p:expect { "PUBREC", id = id } end
  for id = 20, 1, -1 do p:send { "PUBREL", id = id } end
  for id = 20, 1, -1 do p:expect { "PUBCOMP", id = id } end
  local wants = {}
  for id = 1, 20 do wants[id] = { "PUBLISH", payload = tostring(id) } end
  c:expect_all(wants)
  c:expect_nothing()
end)

story("5: a message sent once does not expire any more", "MQTT-4.3.3-7/5", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 2)
  b:join():publish { topic = t.topic, payload = "short-lived", qos = 2,
    properties = { message_expiry = 1 } }
  local m = c:expect { "PUBLISH", qos = 2 }
  c:abort()
  t:pass(2.1)
  c = b:join(keep)
  c:receive { id = m.id, dup = true, payload = "short-lived" }
end)

story("5: the handshake is finished also when the message has expired", "MQTT-4.3.3-13/5",
  function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 6,
    properties = { message_expiry = 1 } }
  c:expect { "PUBREC", id = 6, reason = any { 0, 0x10 } }
  t:pass(2.1)
  c:send { "PUBREL", id = 6 }
  c:expect { "PUBCOMP", id = 6, reason = 0 }
end)

story("5: after a refusing PUBREC the id is free", "MQTT-4.3.3-9/5", function(t)
  local b = t:broker "limits { max_topic_levels 5; }"
  local c = b:join()
  c:subscribe(t.topic, 2)
  local p = b:join()
  p:send { "PUBLISH", topic = "$SYS/forged", payload = "x", qos = 2, id = 3 }
  local rec = p:try_next()
  t:check(rec and rec[1] == "PUBREC" and rec.reason >= 0x80, "got %s", require("wire").show(rec))
  p:send { "PUBLISH", topic = t.topic, payload = "new", qos = 2, id = 3 }
  p:expect { "PUBREC", id = 3, reason = 0 }
  p:send { "PUBREL", id = 3 }
  p:expect { "PUBCOMP", id = 3, reason = 0 }
  c:receive { payload = "new" }
end)
