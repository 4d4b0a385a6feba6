-- Topic aliases, both directions.  MQTT 5 only.

story("5: an alias stands for the topic it was given with", "MQTT-3.3.2-12/5", function(t)
  local b = t:broker()
  local c = b:join()
  local maximum = c.connack.properties.topic_alias_maximum
  t:check(maximum and maximum > 0, "no topic alias maximum announced")
  c:subscribe(t.topic .. "/#")
  for alias = 1, maximum do
    local topic = t.topic .. "/" .. alias
    c:publish { topic = topic, payload = "set", properties = { topic_alias = alias } }
    c:receive { topic = topic, payload = "set", properties = { topic_alias = false } }
  end
  for alias = maximum, 1, -1 do
    c:publish { topic = "", payload = "used", qos = alias % 3,
      properties = { topic_alias = alias } }
    c:receive { topic = t.topic .. "/" .. alias, payload = "used" }
  end
  c:publish { topic = t.topic .. "/new", payload = "moved", properties = { topic_alias = 1 } }
  c:receive { topic = t.topic .. "/new" }
  c:publish { topic = "", payload = "moved", properties = { topic_alias = 1 } }
  c:receive { topic = t.topic .. "/new", payload = "moved" }
end)

story("5: alias 0 ends the connection with 0x94", "MQTT-3.3.2-8/5", function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = t.topic, properties = { topic_alias = 0 } }
  c:expect_dropped(0x94)
end)

story("5: an alias above the announced maximum ends the connection with 0x94",
  "MQTT-3.2.2-17/5 MQTT-3.3.2-9/5", function(t)
  local b = t:broker()
  for _, beyond in ipairs { 1, 65535 } do
    local c = b:join()
    local maximum = c.connack.properties.topic_alias_maximum
    c:send { "PUBLISH", topic = t.topic, properties = { topic_alias = math.min(65535,
      maximum + beyond) } }
    c:expect_dropped(0x94)
  end
end)

story("5: with aliases switched off none is announced and any ends the connection",
  "MQTT-3.2.2-18/5", function(t)
  local b = t:broker "limits { topic_alias_maximum 0; }"
  local c = b:join()
  t:check((c.connack.properties.topic_alias_maximum or 0) == 0, "a maximum was announced")
  c:send { "PUBLISH", topic = t.topic, properties = { topic_alias = 1 } }
  c:expect_dropped(0x94)
end)

story("5: the maximum is what the configuration says", "MQTT-3.3.2-12/5 MQTT-3.2.2-17/5",
  function(t)
  local b = t:broker "limits { topic_alias_maximum 1; }"
  local c = b:join()
  t:equal(c.connack.properties.topic_alias_maximum, 1, "the maximum")
  c:subscribe(t.topic)
  c:publish { topic = t.topic, properties = { topic_alias = 1 } }
  c:receive()
  c:send { "PUBLISH", topic = t.topic, properties = { topic_alias = 2 } }
  c:expect_dropped(0x94)
end)

story("5: an alias that stands for nothing is an error", "MQTT-3.3.2-7/5", function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = "", properties = { topic_alias = 1 } }
  c:expect_dropped { 0x82, 0x94 }
end)

story("5: aliases die with the connection", "MQTT-3.3.2-7/5", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:publish { topic = t.topic, payload = "x", qos = 1, properties = { topic_alias = 1 } }
  c:disconnect()
  c = b:join(keep)
  c:send { "PUBLISH", topic = "", properties = { topic_alias = 1 } }
  c:expect_dropped { 0x82, 0x94 }
end)

story("5: an empty topic without an alias is an error", "MQTT-4.7.3-1", function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = "" }
  c:expect_dropped { 0x81, 0x82, 0x90 }
end)

story("5: no alias goes out to a client that gave no maximum, or 0",
  "MQTT-3.1.2-27/5 MQTT-3.3.2-11/5", function(t)
  local b = t:broker()
  for _, maximum in ipairs { false, 0 } do
    local c = b:join { properties = { topic_alias_maximum = maximum or nil } }
    c:subscribe(t.topic .. "/#", 1)
    for i = 1, 30 do
      c:publish { topic = t.topic .. "/" .. i % 3, payload = "x", qos = i % 2 }
      c:receive { properties = { topic_alias = false }, topic = t.topic .. "/" .. i % 3 }
    end
  end
end)

story("5: aliases that go out stay within the client's maximum and mean the right topic",
  "MQTT-3.1.2-26/5 MQTT-3.3.2-11/5 MQTT-3.3.2-8/5", function(t)
  -- the stories' rules raise on an alias above the maximum, and resolve aliases
  local b = t:broker()
  for _, maximum in ipairs { 1, 3, 65535 } do
    local c = b:join { properties = { topic_alias_maximum = maximum } }
    c:subscribe(t.topic .. "/#", 2)
    local short = 0
    for i = 1, 60 do
      local topic = t.topic .. "/" .. i * i % 7
      c:publish { topic = topic, payload = topic, qos = i % 3 }
      local m = c:receive { topic = topic, payload = topic }
      if m.wire_topic == "" then short = short + 1 end
    end
    t:check(short > 0, "no message used an alias, with a maximum of %d", maximum)
    c:disconnect()
  end
end)

story("5: a message sent again after a reconnect does not lean on an old alias", "MQTT-3.3.2-7/5",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false,
    properties = { session_expiry = 60, topic_alias_maximum = 5 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  local p = b:join()
  for i = 1, 4 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for i = 1, 4 do c:expect { "PUBLISH", topic = t.topic, payload = tostring(i) } end
  c:abort()
  c = b:join(keep)
  for i = 1, 4 do c:receive { topic = t.topic, payload = tostring(i), dup = true } end
end)

story("5: two values of the alias property are a protocol error", "MQTT-4.13.1-1/5", function(t)
  local props = require "props"
  local c = t:broker():join()
  c:send { "PUBLISH", topic = t.topic, properties = props.one("topic_alias", 1):rep(2) }
  c:expect_dropped { 0x81, 0x82 }
end)
