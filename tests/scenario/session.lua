-- Session state: who has one, what it keeps, when it ends.

local function keep(t, more)
  local o = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local function join(b, options, present)
  local c = b:client(options)
  c.connack = c:expect { "CONNACK", reason = 0, session_present = present }
  return c
end

story.both("a stored session is resumed with its subscriptions",
  "MQTT-3.1.2-4/3.1.1 MQTT-3.1.2-5/5 MQTT-3.1.2-6/5 MQTT-3.2.2-2/3.1.1 MQTT-3.2.2-3 MQTT-4.1.0-1/3.1.1 "
  .. "MQTT-3.1.2-23/5 MQTT-3.1.4-3/3.1.1 MQTT-3.1.4-4/5 MQTT-3.1.3-2", function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 1)
  c:disconnect()
  c = join(b, keep(t), true)
  b:join():publish { topic = t.topic, payload = "still subscribed", qos = 1 }
  c:receive { payload = "still subscribed", qos = 1 }
end)

story.both("QoS 1 and 2 messages wait for an absent client, in order",
  "MQTT-3.1.2-5/3.1.1 MQTT-4.5.0-1 MQTT-4.1.0-1/3.1.1", function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic .. "/#", 2)
  c:abort()
  local p = b:join()
  for i = 1, 20 do p:publish { topic = t.topic .. "/a", payload = tostring(i), qos = 1 + i % 2 } end
  c = join(b, keep(t), true)
  for i = 1, 20 do c:receive { payload = tostring(i), qos = 1 + i % 2, dup = false } end
  c:expect_nothing()
end)

story.both("a clean session ends with its connection",
  "MQTT-3.1.2-6/3.1.1 MQTT-3.1.2-4/5 MQTT-3.2.2-1/3.1.1 MQTT-3.2.2-2/5 MQTT-4.1.0-2 MQTT-4.1.0-1/5", function(t)
  local b = t:broker()
  local clean = { id = t.topic, clean_start = true }
  local c = join(b, clean, false)
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "alive", qos = 1 }
  c:receive { payload = "alive" }
  c:disconnect()
  b:join():publish { topic = t.topic, payload = "nobody there", qos = 1 }
  c = join(b, keep(t), false)
  c:expect_nothing()
end)

story.both("clean start throws a stored session away",
  "MQTT-3.1.2-6/3.1.1 MQTT-3.1.2-4/5 MQTT-3.2.2-1/3.1.1 MQTT-3.2.2-2/5 MQTT-3.1.4-4/5", function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "thrown away", qos = 1 }
  c = join(b, keep(t, { clean_start = true }), false)
  c:expect_nothing()
  p:publish { topic = t.topic, payload = "no subscription", qos = 1 }
  c:expect_nothing()
end)

story.both("clean start 0 without a stored session creates one",
  "MQTT-3.1.2-6/5 MQTT-3.1.2-4/3.1.1 MQTT-3.2.2-3",
  function(t)
  local b = t:broker()
  join(b, keep(t), false):disconnect()
  join(b, keep(t), true):disconnect()
end)

story.both("sessions of different ids do not mix", "MQTT-3.1.3-2", function(t)
  local b = t:broker()
  local one = join(b, keep(t, { id = t.topic .. "1" }), false)
  one:subscribe(t.topic, 1)
  one:disconnect()
  local two = join(b, keep(t, { id = t.topic .. "2" }), false)
  local upper = join(b, keep(t, { id = t.topic:upper() .. "1" }), false)
  b:join():publish { topic = t.topic, payload = "for one", qos = 1 }
  two:expect_nothing()
  upper:expect_nothing()
  join(b, keep(t, { id = t.topic .. "1" }), true):receive { payload = "for one" }
end)

story.both("retained messages are no part of a session", "MQTT-3.1.2-7/3.1.1", function(t)
  local b = t:broker()
  local c = b:join { id = t.topic }
  c:publish { topic = t.topic, payload = "stays", retain = true, qos = 1 }
  c:disconnect()
  b:join { id = t.topic }:disconnect()
  local late = b:join()
  late:subscribe(t.topic)
  late:receive { payload = "stays", retain = true }
  late:publish { topic = t.topic, payload = "", retain = true, qos = 1 }
end)

story.both("the same id pushes the older connection out", "MQTT-3.1.4-2/3.1.1 MQTT-3.1.4-3/5",
  function(t)
  local b = t:broker()
  local first = b:join { id = t.topic }
  local second = b:join { id = t.topic }
  first:expect_dropped(0x8E)
  second:ping()
end)

story("5: a refused CONNACK tells of no session", "MQTT-3.2.2-6/5 MQTT-3.2.2-4/3.1.1", function(t)
  local b = t:broker()
  join(b, keep(t), false):disconnect()
  local c = b:client(keep(t, { properties = { session_expiry = 60, auth_method = "none such" } }))
  local got = c:try_next()
  if got then t:equal(got.session_present, false, "session present") end
  join(b, keep(t), true)
end)

story("5: a session ends when its expiry interval is over", "MQTT-4.1.0-2/5 MQTT-3.1.2-23/5",
  function(t)
  local b = t:broker()
  local short = keep(t, { properties = { session_expiry = 1 } })
  local c = join(b, short, false)
  c:subscribe(t.topic, 1)
  c:disconnect()
  t:pass(2.2)
  join(b, short, false)
end)

story("5: expiry counts from the end of the connection", "MQTT-3.1.2-23/5 MQTT-4.1.0-1/5",
  function(t)
  local b = t:broker()
  local short = keep(t, { properties = { session_expiry = 2 } })
  local c = join(b, short, false)
  c:subscribe(t.topic, 1)
  t:pass(2.5)
  b:join():publish { topic = t.topic, payload = "connected", qos = 1 }
  c:receive { payload = "connected" }
  c:disconnect()
  c = join(b, short, true)
end)

story("5: without an expiry interval the session ends with the connection", "MQTT-4.1.0-2/5",
  function(t)
  local b = t:broker()
  join(b, { id = t.topic, clean_start = false }, false):disconnect()
  join(b, { id = t.topic, clean_start = false }, false)
end)

story("5: an expiry interval of 0xFFFFFFFF is kept", "MQTT-3.1.2-23/5", function(t)
  local b = t:broker()
  local forever = keep(t, { properties = { session_expiry = 0xFFFFFFFF } })
  join(b, forever, false):disconnect()
  join(b, forever, true):disconnect { properties = { session_expiry = 0 } }
end)

story("5: DISCONNECT may change the expiry interval", "MQTT-3.1.2-23/5 MQTT-4.1.0-2/5", function(t)
  local b = t:broker()
  join(b, keep(t), false):disconnect { properties = { session_expiry = 0 } }
  join(b, keep(t), false):disconnect { properties = { session_expiry = 30 } }
  join(b, keep(t), true)
end)

story("5: DISCONNECT may not make an expiry interval out of none", "MQTT-4.13.1-1/5", function(t)
  local b = t:broker()
  local c = join(b, { id = t.topic }, false)
  c:send { "DISCONNECT", properties = { session_expiry = 60 } }
  c:expect_dropped(0x82)
  join(b, { id = t.topic, clean_start = false }, false)
end)

story("5: a server's DISCONNECT carries no session expiry", "MQTT-3.14.2-2/5 MQTT-3.14.2-1/5",
  function(t)
  -- the decoder refuses a session expiry; here are several causes of a DISCONNECT
  local b = t:broker()
  for _, cause in ipairs {
    { "PUBLISH", topic = "a/#" }, { "SUBSCRIBE", id = 1, filters = {} }, { "CONNECT",
      id = t.topic },
  } do
    local c = b:join(keep(t))
    c:send(cause)
    c:expect_dropped { 0x81, 0x82, 0x90 }
  end
end)

story.both("a message on its way is sent again with DUP and its id",
  "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.3.2-1/3.1.1 MQTT-4.3.2-3/5 MQTT-2.3.1-4/3.1.1", function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 1)
  b:join():publish { topic = t.topic, payload = "again", qos = 1 }
  local first = c:expect { "PUBLISH", payload = "again", qos = 1, dup = false }
  c:abort()
  c = join(b, keep(t), true)
  c:receive { payload = "again", qos = 1, dup = true, id = first.id }
  c:disconnect()
  join(b, keep(t), true):expect_nothing()
end)

story.both("PUBREL is sent again with its id",
  "MQTT-4.4.0-1 MQTT-4.3.3-1/3.1.1 MQTT-4.3.3-5/5 MQTT-4.3.3-6/5",
  function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 2)
  b:join():publish { topic = t.topic, payload = "two", qos = 2 }
  local p = c:expect { "PUBLISH", payload = "two", qos = 2 }
  c:send { "PUBREC", id = p.id }
  c:expect { "PUBREL", id = p.id }
  c:abort()
  c = join(b, keep(t), true)
  c:expect { "PUBREL", id = p.id }
  c:send { "PUBCOMP", id = p.id }
  c:expect_nothing()
end)

story.both("nothing is sent again within a connection", "MQTT-4.4.0-1", function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 1)
  b:join():publish { topic = t.topic, payload = "once", qos = 1 }
  c:expect { "PUBLISH", payload = "once" }
  t:pass(2)
  c:expect_nothing()
end)

story("5: a refusing PUBACK or PUBREC is an acknowledgement", "MQTT-4.4.0-2/5 MQTT-4.8.2-6/5",
  function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 2)
  local sender = b:join()
  sender:publish { topic = t.topic, payload = "one", qos = 1 }
  sender:publish { topic = t.topic, payload = "two", qos = 2 }
  local one = c:expect { "PUBLISH", payload = "one", qos = 1 }
  c:send { "PUBACK", id = one.id, reason = 0x83 }
  local two = c:expect { "PUBLISH", payload = "two", qos = 2 }
  c:send { "PUBREC", id = two.id, reason = 0x87 }
  c:expect_nothing()
  c:abort()
  join(b, keep(t), true):expect_nothing()
end)

story.both("incoming QoS 2 state survives the connection",
  "MQTT-4.1.0-1/3.1.1 MQTT-4.3.3-2/3.1.1 MQTT-4.3.3-10/5",
  function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic, 2)
  local c = join(b, keep(t), false)
  c:send { "PUBLISH", topic = t.topic, payload = "once", qos = 2, id = 77 }
  c:expect { "PUBREC", id = 77 }
  c:abort()
  c = join(b, keep(t), true)
  c:send { "PUBLISH", topic = t.topic, payload = "once", qos = 2, id = 77, dup = true }
  c:expect { "PUBREC", id = 77, reason = 0 }
  c:send { "PUBREL", id = 77 }
  c:expect { "PUBCOMP", id = 77, reason = 0 }
  watcher:receive { payload = "once" }
  watcher:expect_nothing()
end)

story.both("the versions share their sessions", "MQTT-3.1.3-2 MQTT-7.0.0-2/3.1.1", function(t,
  version)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 1)
  c:disconnect()
  b:join():publish { topic = t.topic, payload = "for any version", qos = 1 }
  local other = join(b, keep(t, { version = version == 4 and 5 or 4 }), true)
  other:receive { payload = "for any version" }
end)

story.both("QoS 0 messages to an absent client may be lost, but nothing else is", "MQTT-4.5.0-1",
  function(t)
  local b = t:broker()
  local c = join(b, keep(t), false)
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p = b:join()
  for i = 1, 30 do p:publish { topic = t.topic, payload = tostring(i), qos = i % 3 } end
  p:ping()
  c = join(b, keep(t), true)
  local got = {}
  for i = 1, 30 do
    if i % 3 > 0 then
      local m = c:receive()
      while m.qos == 0 do m = c:receive() end
      t:equal(m.payload, tostring(i), "the next message")
    end
  end
end)
