-- MQTT 3.1 (MQIsdp), where it differs from 3.1.1, and that the rest works for it too.

local function v3(options)
  options = options or {}
  options.version = 3
  return options
end

story("3.1: MQIsdp with level 3 is let in beside MQTT 4 and 5", "MQTT-V31-1 MQTT-V31-7", function(t)
  local b = t:broker()
  local three, four, five = b:join(v3()), b:join { version = 4 }, b:join { version = 5 }
  t:equal(three.connack.bytes, "\x20\x02\x00\x00", "CONNACK")
  three:subscribe(t.topic, 2)
  four:subscribe(t.topic, 2)
  five:subscribe(t.topic, 2)
  for _, from in ipairs { three, four, five } do
    from:publish { topic = t.topic, payload = "hello from " .. from.version, qos = 2 }
    for _, to in ipairs { three, four, five } do to:receive { payload = "hello from "
      .. from.version } end
  end
end)

story("3.1: name and level must fit", "MQTT-V31-2 MQTT-V31-3", function(t)
  local b = t:broker()
  for _, wrong in ipairs { { "MQIsdp", 4 }, { "MQIsdp", 5 }, { "MQTT", 3 }, { "MQIsdp", 0 },
    { "MQIsdp", 2 },
    { "MQIsdp", 255 } } do
    local c = b:client(v3 { protocol = wrong[1], level = wrong[2] })
    local got = c:try_next()
    t:check(not got or got[1] == "CONNACK" and got.reason == 1, "%s %d: got %s", wrong[1], wrong[2],
      require("wire").show(got))
    if got then c:expect_closed() end
  end
end)

story("3.1: MQIsdp with an unknown level gets CONNACK 0x01", "MQTT-V31-3 MQTT-V31-8", function(t)
  local b = t:broker()
  for _, level in ipairs { 2, 6, 127 } do
    local c = b:client(v3 { level = level })
    c:expect { "CONNACK", reason = 1 }
    c:expect_closed()
  end
end)

story("3.1: client ids of 1 to 23 characters", "MQTT-V31-4", function(t)
  local b = t:broker()
  for length = 1, 23 do b:join(v3 { id = ("x" .. t.topic .. ("y"):rep(23)):sub(1, length) }) end
end)

story("3.1: an empty client id is refused with 0x02 whatever clean session says",
  "MQTT-V31-5 MQTT-V31-8", function(t)
  local b = t:broker()
  for _, clean in ipairs { true, false } do
    local c = b:client(v3 { id = "", clean_start = clean })
    c:expect { "CONNACK", reason = 2 }
    c:expect_closed()
  end
end)

story("3.1: longer client ids are accepted, or refused where so configured", "MQTT-V31-6",
  function(t)
  local long = t.topic .. ("x"):rep(30)
  t:broker():join(v3 { id = long })
  local c = t:broker("limits { v31_long_client_id off; }"):client(v3 { id = long })
  c:expect { "CONNACK", reason = 2 }
  c:expect_closed()
end)

story("3.1: CONNACK tells of no stored session", "MQTT-V31-7 MQTT-V31-15", function(t)
  local b = t:broker()
  local keep = v3 { id = t.topic, clean_start = false }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:disconnect()
  b:join():publish { topic = t.topic, payload = "kept", qos = 1 }
  c = b:join(keep)
  t:equal(c.connack.bytes, "\x20\x02\x00\x00", "CONNACK")
  c:receive { payload = "kept" }
  b:join(v3 { id = t.topic, clean_start = true }):disconnect()
  b:join(keep):expect_nothing()
end)

story("3.1: SUBACK grants QoS 0 to 2 and knows no failure", "MQTT-V31-9", function(t)
  -- the decoder raises on 0x80
  local b = t:broker()
  local c = b:join(v3())
  local ack = c:subscribe { { t.topic, 2 }, { t.topic .. "/b", 0 }, { t.topic .. "/c", 1 } }
  t:equal(table.concat(ack.codes, " "), "2 0 1", "the codes")
  c = b:join(v3())
  c:send { "SUBSCRIBE", id = 1, filters = { { "a/#/b", 0 } } }
  local got = c:try_next()
  t:check(not got or got[1] == "SUBACK", "got %s", require("wire").show(got))
  c = t:broker("limits { wildcard_subscriptions off; }"):join(v3())
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic .. "/#", 0 } } }
  got = c:try_next()
  t:check(not got or got[1] == "SUBACK", "got %s", require("wire").show(got))
end)

story("3.1: a PUBLISH the client may not make is acknowledged and dropped",
  "MQTT-V31-10 MQTT-3.3.5-2/3.1.1",
  function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe("$SYS/" .. t.topic, 2)
  for version = 3, 4 do
    local c = b:join { version = version }
    c:publish { topic = "$SYS/" .. t.topic, payload = "forged", qos = 1 }
    c:publish { topic = "$SYS/" .. t.topic, payload = "forged", qos = 2 }
    c:publish { topic = "$SYS/" .. t.topic, payload = "forged" }
    c:ping()
  end
  watcher:expect_nothing()
end)

story("3.1: topic names of 32767 characters", "MQTT-V31-11", function(t)
  local c = t:broker():join(v3())
  local long = t.topic .. ("x"):rep(32767 - #t.topic)
  c:subscribe(long, 0)
  c:publish { topic = long, payload = "x" }
  c:receive { topic = long }
end)

story("3.1: PUBLISH to a wildcard ends the connection", "MQTT-V31-12", function(t)
  local b = t:broker()
  for _, topic in ipairs { "a/#", "+", "a/+/b" } do
    local c = b:join(v3())
    c:send { "PUBLISH", topic = topic, payload = "x" }
    c:expect_closed()
  end
end)

story("3.1: DUP is legal on PUBREL, SUBSCRIBE and UNSUBSCRIBE", "MQTT-V31-13", function(t)
  local c = t:broker():join(v3())
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic, 1 } }, flags = 10 }
  c:expect { "SUBACK", id = 1, codes = { 1 } }
  c:send { "PUBLISH", topic = t.topic .. "/x", payload = "x", qos = 2, id = 2 }
  c:expect { "PUBREC", id = 2 }
  c:send { "PUBREL", id = 2, flags = 10 }
  c:expect { "PUBCOMP", id = 2 }
  c:send { "UNSUBSCRIBE", id = 3, filters = { t.topic }, flags = 10 }
  c:expect { "UNSUBACK", id = 3 }
end)

story("3.1: the will is published on breaking off, silence and errors, not on DISCONNECT",
  "MQTT-V31-16 MQTT-V31-14",
  function(t)
  local b = t:broker()
  local w = b:join()
  w:subscribe(t.topic, 2)
  local function with(options)
    options.will = { topic = t.topic, payload = "gone", qos = 1 }
    return b:join(v3(options))
  end
  with {}:abort()
  w:receive { payload = "gone", qos = 1 }
  with { keep_alive = 1 }
  w:receive { payload = "gone" }
  with {}:send { "PUBLISH", topic = "a/#" }
  w:receive { payload = "gone" }
  with {}:disconnect()
  w:expect_nothing()
end)

story("3.1: retained messages", "MQTT-V31-17", function(t)
  local b = t:broker()
  local c = b:join(v3())
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  c:receive { payload = "kept", retain = false }
  local late = b:join(v3())
  late:subscribe(t.topic, 1)
  late:receive { payload = "kept", retain = true }
  c:publish { topic = t.topic, payload = "", qos = 1, retain = true }
  late:receive { payload = "" }
  local later = b:join(v3())
  later:subscribe(t.topic, 1)
  later:expect_nothing()
end)

story("3.1: a password without a user name is invalid", "MQTT-V31-18 MQTT-3.1.2-22/3.1.1",
  function(t)
  local b = t:broker()
  b:client(v3 { password = "p" }):expect_closed()
  b:client { version = 4, password = "p" }:expect_closed()
end)

story("5: a password without a user name is allowed", "MQTT-3.1.2-19/5 MQTT-3.1.2-16/5", function(t)
  t:broker():join { version = 5, password = "p" }
end)

story.both("a user name may be empty", "MQTT-3.1.2-17/5 MQTT-3.1.2-19/3.1.1", function(t)
  t:broker():join { username = "", password = "" }
end)

story.both("without user name and password none is read",
  "MQTT-3.1.2-18 MQTT-3.1.2-20/3.1.1 MQTT-3.1.2-16/5", function(t)
  local b = t:broker()
  b:join { id = t.topic }:disconnect()
  b:join { id = t.topic, username = "only a name" }:disconnect()
end)

story("3.1: announced but missing credentials are refused", "MQTT-V31-19", function(t)
  local b = t:broker()
  b:client(v3 { connect_flags = 0x82 }):expect_closed()
  b:client(v3 { connect_flags = 0xc2, username = nil }):expect_closed()
end)

story("3.1: a QoS 2 message is delivered once", "MQTT-V31-20", function(t)
  local b = t:broker()
  local c = b:join(v3())
  c:subscribe(t.topic, 2)
  local p = b:join(v3())
  p:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 1 }
  p:expect { "PUBREC", id = 1 }
  p:send { "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 1, dup = true }
  p:expect { "PUBREC", id = 1 }
  p:send { "PUBREL", id = 1 }
  p:expect { "PUBCOMP", id = 1 }
  c:receive { payload = "x", qos = 2 }
  c:expect_nothing()
end)

story("3.1: unacknowledged messages are sent again on reconnect only", "MQTT-V31-21", function(t)
  local b = t:broker()
  local keep = v3 { id = t.topic, clean_start = false }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  local m = c:expect { "PUBLISH", dup = false }
  t:pass(2)
  c:expect_nothing()
  c:abort()
  c = b:join(keep)
  c:receive { payload = "x", dup = true, id = m.id }
end)

story("3.1: the same id takes over", "MQTT-V31-22", function(t)
  local b = t:broker()
  local first = b:join(v3 { id = t.topic })
  local second = b:join(v3 { id = t.topic })
  first:expect_closed()
  second:ping()
end)
