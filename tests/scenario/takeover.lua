-- The same client id connecting again: the session moves over whole, and only once.

local function keep(t, more)
  local o = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

story.both("the older connection is told and closed",
  "MQTT-3.1.4-2/3.1.1 MQTT-3.1.4-3/5 MQTT-4.13.2-1/5", function(t)
  local b = t:broker()
  local older = b:join(keep(t))
  for _ = 1, 10 do
    local newer = b:join(keep(t))
    older:expect_dropped(0x8E)
    older = newer
  end
  older:ping()
end)

story.both("messages in flight and waiting move to the new connection in order",
  "MQTT-4.4.0-1 MQTT-4.6.0-6 MQTT-4.6.0-5", function(t)
  local b = t:broker()
  local one = b:join(keep(t, { properties = { session_expiry = 60, receive_maximum = 5 } }))
  one:subscribe(t.topic, 1)
  local p = b:join()
  for i = 1, 40 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local ids = {}
  for i = 1, 5 do ids[i] = one:expect { "PUBLISH", payload = tostring(i) }.id end
  one:send { "PUBACK", id = ids[1] }
  one:await { "PUBLISH", payload = "6" }
  local two = b:join(keep(t))
  one.inbox = {} -- more may have been on the way
  for i = 2, 40 do
    two:receive { payload = tostring(i), dup = i <= 5 and true or nil, id = ids[i] }
  end
  two:expect_nothing()
end)

story.both("many takeovers under traffic lose and repeat nothing that was acknowledged",
  "MQTT-4.6.0-6 MQTT-4.4.0-1", function(t)
  local b = t:broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  local p = b:join()
  local sent, seen = 0, 0
  for round = 1, 30 do
    for _ = 1, 10 do
      sent = sent + 1
      p:publish { topic = t.topic, payload = tostring(sent), qos = 1 }
    end
    -- take some, then let the next connection take over in the middle
    for _ = 1, round % 8 do
      local m = c:receive { qos = 1 }
      seen = seen + 1
      t:equal(m.payload, tostring(seen), "the next message")
    end
    c:ping() -- what was acknowledged has been read
    c = b:join(keep(t))
  end
  while seen < sent do
    local m = c:receive { qos = 1 }
    seen = seen + 1
    t:equal(m.payload, tostring(seen), "the next message")
  end
  c:expect_nothing()
end)

-- While one takeover is under way a third connection may be turned away, never two let in.
story("a herd of connections with one id leaves exactly one", "MQTT-3.1.4-3/5", function(t)
  local b = t:broker()
  local herd, told = {}, 0
  for i = 1, 40 do herd[i] = b:client(keep(t)) end
  for _, c in ipairs(herd) do
    local got = c:expect { "CONNACK", reason = any { 0, 0x88, 0x89, 0x8E } }
    if got.reason == 0 then told = told + 1 end
  end
  t:check(told > 0, "nobody was let in")
  local last = b:join(keep(t)) -- the herd has ended: this one takes over from whoever is left
  for _, c in ipairs(herd) do
    if c.rules.accepted then c:expect_dropped(0x8E) else c:expect_closed() end
  end
  last:ping()
end)

story.both("a takeover with clean start drops what the old session had",
  "MQTT-3.1.2-6/3.1.1 MQTT-3.1.2-4/5",
  function(t)
  local b = t:broker()
  local one = b:join(keep(t))
  one:subscribe(t.topic, 1)
  local two = b:client(keep(t, { clean_start = true }))
  two:expect { "CONNACK", reason = 0, session_present = false }
  one:expect_dropped(0x8E)
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  two:expect_nothing()
end)

story("a 3.1.1 client pushes out a 5 client and the other way round",
  "MQTT-3.1.4-2/3.1.1 MQTT-3.1.4-3/5 MQTT-V31-22", function(t)
  local b = t:broker()
  local five = b:join(keep(t, { version = 5 }))
  local four = b:join(keep(t, { version = 4 }))
  five:expect_dropped(0x8E)
  local three = b:join(keep(t, { version = 3 }))
  four:expect_closed()
  five = b:join(keep(t, { version = 5 }))
  three:expect_closed()
  five:ping()
end)
