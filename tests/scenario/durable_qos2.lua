-- QoS 2 in each half-way state when the broker ends: exactly once all the same.
local again = require "again"
local mqtt = require "mqtt"
local keep = again.keep

-- Six QoS 2 messages have come to a client: 1 and 2 stay unanswered, 3 and 4 wait for PUBCOMP,
-- 5 and 6 are finished.  Returns their packet ids.
local function half_way(t, c, p)
  local ids = {}
  for i = 1, 6 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 2 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i), qos = 2, dup = false }.id
  end
  for i = 3, 6 do
    c:send { "PUBREC", id = ids[i] }
    c:expect { "PUBREL", id = ids[i], reason = 0 }
  end
  for i = 5, 6 do c:send { "PUBCOMP", id = ids[i] } end
  again.fence(c)
  return ids
end

local function expect_half_way(c, ids)
  for i = 1, 2 do
    c:expect { "PUBLISH", id = ids[i], payload = tostring(i), qos = 2, dup = true }
  end
  for i = 3, 4 do c:expect { "PUBREL", id = ids[i], reason = 0 } end
  c:expect_nothing()
end

again.both("to a subscriber each stage goes on where it was, under the same ids",
  "MQTT-4.4.0-1 MQTT-4.3.3-1/3.1.1 MQTT-4.3.3-3/5 MQTT-4.3.3-5/5 MQTT-4.3.3-6/5 MQTT-3.3.1-1 "
    .. "MQTT-4.1.0-1",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local ids = half_way(t, c, b:join())
  restart(b)
  c = b:join(keep(t))
  expect_half_way(c, ids)
  for i = 1, 2 do
    c:send { "PUBREC", id = ids[i] }
    c:expect { "PUBREL", id = ids[i], reason = 0 }
  end
  for i = 1, 4 do c:send { "PUBCOMP", id = ids[i] } end
  again.fence(c)
  restart(b)
  c = b:join(keep(t))
  c:expect_nothing()
  b:join():publish { topic = t.topic, payload = "new", qos = 2 }
  c:receive { payload = "new", id = ids[6] + 1, dup = false }
end)

again.both("a half-way state is not used up by one restart or three", "MQTT-4.4.0-1 MQTT-4.1.0-1",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local ids = half_way(t, c, b:join())
  restart(b)
  restart(b) -- nobody came meanwhile
  c = b:join(keep(t))
  expect_half_way(c, ids)
  restart(b)
  expect_half_way(b:join(keep(t)), ids)
end)

again.story("5: the client's quota holds for what comes again, too",
  "MQTT-3.3.4-9/5 MQTT-4.9.0-2/5 MQTT-4.4.0-1/5", function(t, restart)
  local b = t:own_broker()
  local narrow = keep(t, { properties = { session_expiry = 3600, receive_maximum = 2 } })
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local p, ids = b:join(), {}
  for i = 1, 6 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 2 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i) }.id
  end
  restart(b)
  c = b:join(narrow)
  c:expect { "PUBLISH", payload = "1", id = ids[1], dup = true }
  c:expect { "PUBLISH", payload = "2", id = ids[2], dup = true }
  c:expect_nothing()
  for i = 1, 2 do
    c:send { "PUBREC", id = ids[i] }
    c:expect { "PUBREL", id = ids[i] }
  end
  c:expect_nothing()
  for i = 1, 2 do c:send { "PUBCOMP", id = ids[i] } end
  for i = 3, 6 do c:receive { payload = tostring(i), id = ids[i], dup = true } end
  c:expect_nothing()
end)

again.both("PUBRELs go out in the order of their PUBLISHes, QoS 1 in between",
  "MQTT-4.4.0-1 MQTT-4.3.3-6/5 MQTT-4.3.3-1/3.1.1", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local p, ids = b:join(), {}
  for i = 1, 9 do
    p:publish { topic = t.topic, payload = tostring(i), qos = i % 3 == 0 and 1 or 2 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i) }.id
  end
  for _, i in ipairs { 8, 2, 5 } do -- not in order
    c:send { "PUBREC", id = ids[i] }
    c:expect { "PUBREL", id = ids[i] }
  end
  restart(b)
  c = b:join(keep(t))
  for i = 1, 9 do
    if i % 3 == 2 then
      c:expect { "PUBREL", id = ids[i] }
    else
      c:expect { "PUBLISH", payload = tostring(i), id = ids[i], dup = true }
    end
  end
  c:expect_nothing()
end)

again.both("from a publisher: a repeat after the restart is answered and not routed again",
  "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-8/5 MQTT-4.3.3-10/5 MQTT-4.3.3-11/5 MQTT-4.3.3-12/5 MQTT-4.1.0-1",
  function(t, restart)
  local b = t:own_broker()
  local s = b:join(keep(t, { id = t.topic .. "s" }))
  s:subscribe(t.topic, 1)
  local p = b:join(keep(t))
  p:send { "PUBLISH", topic = t.topic, payload = "once", qos = 2, id = 7 }
  p:expect { "PUBREC", id = 7, reason = 0 }
  p:send { "PUBLISH", topic = t.topic .. "/nobody", payload = "once", qos = 2, id = 65535 }
  p:expect { "PUBREC", id = 65535, reason = any { 0, 0x10 } }
  restart(b)
  s = b:join(keep(t, { id = t.topic .. "s" }))
  s:receive { payload = "once" }
  s:subscribe(t.topic .. "/nobody", 1)
  p = b:join(keep(t))
  for _ = 1, 2 do
    p:send { "PUBLISH", topic = t.topic, payload = "once", qos = 2, id = 7, dup = true }
    p:expect { "PUBREC", id = 7, reason = 0 }
    p:send { "PUBLISH", topic = t.topic .. "/nobody", payload = "once", qos = 2, id = 65535,
      dup = true }
    p:expect { "PUBREC", id = 65535, reason = 0 }
  end
  for _, id in ipairs { 7, 65535 } do
    p:send { "PUBREL", id = id }
    p:expect { "PUBCOMP", id = id, reason = 0 }
  end
  s:expect_nothing()
  p:publish { topic = t.topic, payload = "another", qos = 2, id = 7, dup = true }
  s:receive { payload = "another" }
end)

again.both("from a publisher: PUBCOMP lost with the broker",
  "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-11/5 MQTT-4.3.3-12/5",
  function(t, restart, version)
  local b = t:own_broker()
  local s = b:join(keep(t, { id = t.topic .. "s" }))
  s:subscribe(t.topic, 1)
  local p = b:join(keep(t))
  p:publish { topic = t.topic, payload = "first", qos = 2, id = 9 } -- to PUBCOMP, which we forget
  p:disconnect()
  restart(b)
  p = b:join(keep(t))
  p:send { "PUBREL", id = 9 }
  p:expect { "PUBCOMP", id = 9, reason = version == 5 and 0x92 or 0 }
  p:publish { topic = t.topic, payload = "second", qos = 2, id = 9 } -- and the id is free
  s = b:join(keep(t, { id = t.topic .. "s" }))
  s:receive { payload = "first" }
  s:receive { payload = "second" }
  s:expect_nothing()
end)

again.both("many open ids of a publisher survive, and only those",
  "MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-10/5 MQTT-4.3.3-12/5",
  function(t, restart)
  local b = t:own_broker "limits { receive_maximum 500; }"
  local s = b:join(keep(t, { id = t.topic .. "s" }))
  s:subscribe(t.topic .. "/#", 1)
  local p = b:join(keep(t))
  for id = 1, 400 do
    p:send { "PUBLISH", topic = t.topic .. "/" .. id % 3, payload = tostring(id), qos = 2, id = id }
  end
  for id = 1, 400 do p:await { "PUBREC", id = id } end
  for id = 2, 400, 2 do p:send { "PUBREL", id = id } end
  for id = 2, 400, 2 do p:await { "PUBCOMP", id = id } end
  restart(b)
  p = b:join(keep(t))
  for id = 1, 400 do -- odd ones are repeats, even ones new messages
    p:send { "PUBLISH", topic = t.topic .. "/again", payload = "again" .. id, qos = 2, id = id,
      dup = id % 2 == 1 }
  end
  for id = 1, 400 do p:await { "PUBREC", id = id, reason = 0 } end
  s = b:join(keep(t, { id = t.topic .. "s" }))
  for id = 1, 400 do s:receive { payload = tostring(id) } end
  for id = 2, 400, 2 do s:receive { payload = "again" .. id } end
  s:expect_nothing()
end)

again.story("5: an id whose message was refused is free, also after the restart",
  "MQTT-4.3.3-9/5 MQTT-4.4.0-2/5", function(t, restart)
  local b = t:own_broker "limits { max_queue_messages 1; queue_full drop_new; }"
  local s = b:join(keep(t, { id = t.topic .. "s" }))
  s:subscribe(t.topic, 1)
  s:disconnect()
  local p = b:join(keep(t))
  p:publish { topic = t.topic, payload = "fits", qos = 2, id = 1 }
  p:send { "PUBLISH", topic = t.topic, payload = "does not", qos = 2, id = 2 }
  p:expect { "PUBREC", id = 2, reason = 0x97 }
  restart(b)
  s = b:join(keep(t, { id = t.topic .. "s" }))
  s:receive { payload = "fits" }
  p = b:join(keep(t))
  p:publish { topic = t.topic, payload = "new", qos = 2, id = 2 }
  s:receive { payload = "new" }
  s:expect_nothing()
end)

again.story("5: a message the subscriber refused does not come again", "MQTT-4.4.0-2/5",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local p = b:join()
  for qos = 1, 2 do
    p:publish { topic = t.topic, payload = "unwanted", qos = qos }
    local got = c:expect { "PUBLISH", qos = qos }
    c:send { qos == 1 and "PUBACK" or "PUBREC", id = got.id, reason = 0x83 }
  end
  again.fence(c)
  restart(b)
  c = b:join(keep(t))
  c:expect_nothing()
end)

-- So many QoS 1 messages from p to c, hundreds at a time.
local function pass_on(t, p, c, count)
  for from = 1, count, 500 do
    local n, bytes, acks = math.min(500, count - from + 1), {}, {}
    for i = 1, n do
      bytes[i] = mqtt.encode({ "PUBLISH", topic = t.topic, payload = "x", qos = 1, id = i },
        p.version)
    end
    p:send_bytes(table.concat(bytes))
    for i = 1, n do
      local ack = { "PUBACK", id = c:expect({ "PUBLISH", qos = 1 }).id }
      c.rules:sent(ack)
      acks[i] = mqtt.encode(ack, c.version)
    end
    c:send_bytes(table.concat(acks))
    for i = 1, n do p:expect { "PUBACK", id = i } end
  end
end

story("5: packet ids go on past 65535", "MQTT-2.2.1-4/5 MQTT-4.4.0-1/5", function(t)
  local b = t:own_broker "limits { max_inflight 1000; receive_maximum 1000; }"
  local c, p = b:join(keep(t)), b:join()
  c:subscribe(t.topic, 1)
  pass_on(t, p, c, 65530)
  local function id(i) return (65530 + i - 1) % 65535 + 1 end
  for i = 1, 9 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    c:expect { "PUBLISH", payload = tostring(i), id = id(i), dup = false }
  end
  again.fence(c)
  again.crash(b)
  c = b:join(keep(t))
  for i = 1, 9 do c:receive { payload = tostring(i), id = id(i), dup = true } end
  c:expect_nothing()
end, { alone = true })

again.both("a takeover on another loop just before the end changes nothing",
  "MQTT-4.4.0-1 MQTT-3.1.4-2/3.1.1 MQTT-3.1.4-3/5 MQTT-4.3.3-10/5 MQTT-4.3.3-2/3.1.1",
  function(t, restart)
  local b = t:own_broker "threads 2;"
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  local ids = half_way(t, c, b:join())
  c:send { "PUBLISH", topic = t.topic .. "/in", payload = "in", qos = 2, id = 77 }
  c:expect { "PUBREC", id = 77 }
  for _ = 1, 7 do -- connections go to the loops by turns
    local other = b:join(keep(t))
    c:expect_dropped(0x8E)
    c = other
    expect_half_way(c, ids)
    b:join():ping()
  end
  c:send { "PUBREC", id = ids[1] }
  c:expect { "PUBREL", id = ids[1] }
  restart(b)
  c = b:join(keep(t))
  c:expect { "PUBREL", id = ids[1] }
  c:expect { "PUBLISH", id = ids[2], dup = true }
  for i = 3, 4 do c:expect { "PUBREL", id = ids[i] } end
  c:send { "PUBLISH", topic = t.topic .. "/in", payload = "in", qos = 2, id = 77, dup = true }
  c:expect { "PUBREC", id = 77, reason = 0 }
  c:send { "PUBREL", id = 77 }
  c:expect { "PUBCOMP", id = 77, reason = 0 }
  c:expect_nothing()
end)
