-- CONNECT and CONNACK: who is let in, how the others are turned away.
local wire = require "wire"

story.both("a valid CONNECT is answered with CONNACK 0, once",
  "MQTT-3.1.4-4/3.1.1 MQTT-3.1.4-5/5 MQTT-3.2.0-1 MQTT-3.2.0-2/5", function(t)
  local c = t:broker():client()
  c:expect { "CONNACK", reason = 0, session_present = false }
  c:expect_nothing()
end)

-- One of each packet a client may send later, as the first thing on a connection.
local early = {
  { "PUBLISH", topic = "a", payload = "x" },
  { "PUBACK", id = 1 }, { "PUBREC", id = 1 }, { "PUBREL", id = 1 }, { "PUBCOMP", id = 1 },
  { "SUBSCRIBE", id = 1, filters = { { "a", 0 } } },
  { "UNSUBSCRIBE", id = 1, filters = { "a" } },
  { "PINGREQ" }, { "DISCONNECT" },
  { "CONNACK", body = "\0\0" }, { "AUTH" },
}

story.both("anything but CONNECT as the first packet ends the connection", "MQTT-3.1.0-1",
  function(t)
  local b = t:broker()
  for _, packet in ipairs(early) do
    local c = b:socket()
    c:send(packet)
    c:expect_closed()
  end
end)

story.both("nothing that came before CONNECT has an effect", "MQTT-3.1.0-1", function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic)
  local c = b:socket()
  c:send { "PUBLISH", topic = t.topic, payload = "too early" }
  c:expect_closed()
  watcher:expect_nothing()
end)

story("a second CONNECT is a violation", "MQTT-3.1.0-2/3.1.1", function(t)
  local c = t:broker():join { version = 4, id = t.topic }
  c:send { "CONNECT", id = t.topic }
  c:expect_closed()
end)

story("a second CONNECT is a protocol error", "MQTT-3.1.0-2/5", function(t)
  local c = t:broker():join { version = 5, id = t.topic }
  c:send { "CONNECT", id = t.topic }
  c:expect_dropped(0x82)
end)

story.both("an unknown protocol name is turned away", "MQTT-3.1.2-1", function(t)
  local b = t:broker()
  for _, name in ipairs { "MQTt", "mqtt", "MQTTX", "", "HTTP", "MQ" } do
    local c = b:client { protocol = name }
    local got = c:try_next()
    t:check(not got or got[1] == "CONNACK" and (got.reason == 0x84 or got.reason == 1), "got %s",
      wire.show(got))
    c:expect_closed()
  end
end)

story("an unknown protocol level up to 4 gets CONNACK 0x01", "MQTT-3.1.2-2/3.1.1", function(t)
  local b = t:broker()
  for _, level in ipairs { 0, 1, 2, 3 } do
    local c = b:client { version = 4, protocol = "MQTT", level = level }
    c:expect { "CONNACK", reason = 1, session_present = false }
    c:expect_closed()
  end
end)

story("an unknown protocol level above 5 gets CONNACK 0x84", "MQTT-3.1.2-2/5", function(t)
  local b = t:broker()
  for _, level in ipairs { 6, 7, 127, 200, 255 } do
    local c = b:client { version = 5, level = level }
    c:expect { "CONNACK", reason = 0x84, session_present = false }
    c:expect_closed()
  end
end)

story.both("CONNECT flag bit 0 set is malformed", "MQTT-3.1.2-3", function(t)
  local c = t:broker():client { connect_flags = 0x03 }
  c:expect_refused(0x81)
end)

story.both("CONNECT with any header flag set is malformed", "MQTT-2.2.2-2/3.1.1 MQTT-2.1.3-1/5",
  function(t)
  local b = t:broker()
  for flags = 1, 15 do
    b:client { flags = flags }:expect_refused(0x81)
  end
end)

story.both("the payload is read as id, will, user name, password",
  "MQTT-3.1.3-1 MQTT-3.1.3-3 MQTT-3.1.2-19/3.1.1 MQTT-3.1.2-21/3.1.1 MQTT-3.1.2-17/5 MQTT-3.1.2-19/5",
  function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic .. "/will")
  local c = b:join {
    id = t.topic, username = "user", password = "pass",
    will = { topic = t.topic .. "/will", payload = "the will of " .. t.topic },
  }
  c:abort()
  watcher:receive { topic = t.topic .. "/will", payload = "the will of " .. t.topic }
  -- the id is the session's name: the same one takes the connection over
  local first = b:join { id = t.topic }
  b:join { id = t.topic }
  first:expect_dropped(0x8E)
end)

story.both("a CONNECT cut short anywhere is malformed",
  "MQTT-3.1.4-1 MQTT-3.1.3-3/5 MQTT-3.1.2-17/5 MQTT-3.1.2-19/5 MQTT-3.1.2-19/3.1.1 MQTT-3.1.2-21/3.1.1",
  function(t, version)
  local b = t:broker()
  local body = require("mqtt").encode({
    "CONNECT", id = t.topic, username = "user", password = "pass",
    will = { topic = "a", payload = "b", properties = { will_delay = 1 } },
    properties = { session_expiry = 10 },
  }, version):sub(3)
  for length = 0, #body - 1 do
    local c = b:socket()
    c:send { "CONNECT", body = body:sub(1, length) }
    if version == 5 then c:expect_refused(0x81) else c:expect_closed() end
  end
end)

story.both("bytes after the last field of CONNECT are malformed",
  "MQTT-3.1.4-1 MQTT-3.1.2-16/5 MQTT-3.1.2-18/5 MQTT-3.1.2-18/3.1.1 MQTT-3.1.2-20/3.1.1",
    function(t)
  local b = t:broker()
  b:client { tail = "x" }:expect_refused(0x81)
  b:client { tail = wire.str("no user name was announced") }:expect_refused(0x81)
  b:client { username = "u", tail = wire.str("no password was announced") }:expect_refused(0x81)
end)

story.both("a refused CONNECT is not followed by anything it brought along",
  "MQTT-3.1.4-5/3.1.1 MQTT-3.1.4-6/5 MQTT-4.13.2-1/5 MQTT-3.2.2-7/5 MQTT-3.2.2-5/3.1.1",
    function(t, version)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic)
  local mqtt = require "mqtt"
  local c = b:socket()
  c:send_bytes(mqtt.encode({ "CONNECT", protocol = "MQTT", level = version == 4 and 3 or 6,
      id = t.topic }, version)
    .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "after" }, version)
    .. mqtt.encode({ "PINGREQ" }, version))
  c:expect_refused(0x84, 1)
  watcher:expect_nothing()
end)

story.both("what follows a good CONNECT in the same write is carried out",
  "MQTT-3.1.4-4/3.1.1 MQTT-3.1.4-5/5 MQTT-3.2.0-1", function(t, version)
  local mqtt = require "mqtt"
  local c = t:broker():socket { id = t.topic }
  c:send_bytes(mqtt.encode({ "CONNECT", id = t.topic }, version)
    .. mqtt.encode({ "SUBSCRIBE", id = 9, filters = { { t.topic, 1 } } }, version)
    .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "x", qos = 1, id = 10 }, version))
  c:expect { "CONNACK", reason = 0 }
  c:expect { "SUBACK", id = 9, codes = { 1 } }
  c:expect_all { { "PUBACK", id = 10 }, { "PUBLISH", payload = "x", qos = 1 } }
end)

story.both("the client id must be valid UTF-8", "MQTT-3.1.3-4 MQTT-1.5.3-1/3.1.1 MQTT-1.5.4-1/5",
  function(t)
  local b = t:broker()
  for _, id in ipairs { "a\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
    "a\0b" } do
    b:client { id = id }:expect_refused { 0x81, 0x85 }
  end
end)

story.both("client ids of 1 to 23 digits and letters are accepted", "MQTT-3.1.3-5", function(t)
  local b = t:broker()
  local alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
  for length = 1, 23 do b:join { id = alphabet:sub(-length) }:disconnect() end
  for from = 1, #alphabet, 20 do
    b:join { id = "k" .. alphabet:sub(from, from + 19) }:disconnect()
  end
end, { alone = true })

story.both("client ids of any other UTF-8 are accepted too, long ones included", "MQTT-3.1.3-2",
  function(t)
  local b = t:broker()
  for _, id in ipairs { "a b/+#$", "$SYS", "grüße-日本-😀", ("x"):rep(1000), "\xef\xbb\xbfbom" } do
    local c = b:join { id = id .. t.topic }
    c:ping()
    local again = b:join { id = id .. t.topic }
    c:expect_dropped(0x8E)
    again:ping()
  end
end)

story("3.1.1: an empty client id with clean session gets a session of its own",
  "MQTT-3.1.3-6/3.1.1",
  function(t)
  local b = t:broker()
  local one = b:join { version = 4, id = "" }
  local two = b:join { version = 4, id = "" }
  one:ping()
  two:ping()
  two:subscribe(t.topic)
  one:publish { topic = t.topic, payload = "both live" }
  two:receive { payload = "both live" }
end)

story("5: an empty client id gets a new one and is told",
  "MQTT-3.1.3-6/5 MQTT-3.1.3-7/5 MQTT-3.2.2-16/5", function(t)
  local b = t:broker()
  local one = b:join { id = "", properties = { session_expiry = 60 } }
  local two = b:join { id = "" }
  local id = one.connack.properties.assigned_client_id
  t:check(id and #id > 0, "no assigned client id")
  t:check(two.connack.properties.assigned_client_id ~= id, "the same id twice")
  -- the id works as if the client had sent it
  local back = b:client { id = id, clean_start = false }
  back:expect { "CONNACK", reason = 0, session_present = true }
  one:expect_dropped(0x8E)
  two:ping()
end)

story("5: an empty client id with clean start 0 is let in under a new id", "MQTT-3.1.3-6/5",
  function(t)
  local c = t:broker():client { id = "", clean_start = false }
  c:expect { "CONNACK", reason = 0, session_present = false,
    properties = { assigned_client_id = function(id) return #id > 0 end } }
end)

story("5: a client that brought its id is assigned none", "MQTT-3.1.3-7/5", function(t)
  local c = t:broker():join { id = t.topic }
  t:equal(c.connack.properties.assigned_client_id, nil, "assigned client id")
end)

story("3.1.1: an empty client id without clean session is refused with 0x02",
  "MQTT-3.1.3-8/3.1.1 MQTT-3.1.3-9/3.1.1 MQTT-3.2.2-4/3.1.1 MQTT-3.2.2-5/3.1.1", function(t)
  local c = t:broker():client { version = 4, id = "", clean_start = false }
  c:expect { "CONNACK", reason = 2, session_present = false }
  c:expect_closed()
end)

story("a malformed 3.1.1 CONNECT is closed without CONNACK",
  "MQTT-3.1.4-1/3.1.1 MQTT-3.2.2-6/3.1.1",
  function(t)
  local b = t:broker()
  for _, bad in ipairs { { connect_flags = 3 }, { flags = 1 }, { tail = "x" }, { id = "\xff" },
    { connect_flags = 0x0a }, { will = { topic = "a", qos = 3 } }, { connect_flags = 0x42 } } do
    bad.version = 4
    b:client(bad):expect_closed()
  end
end)

story("5: every refusal uses a code of the CONNACK table",
  "MQTT-3.2.2-8/5 MQTT-3.2.2-7/5 MQTT-3.2.2-6/5",
  function(t)
  -- the decoder of the stories refuses other codes; here each way of being refused is walked
  -- through
  local b = t:broker()
  for _, bad in ipairs { { level = 6 }, { connect_flags = 3 }, { tail = "x" }, { id = "\xff" },
    { will = { topic = "a", qos = 3 } }, { will = { topic = "a/#" } }, { protocol = "MQTx" },
    { properties = { auth_method = "no such method" } },
    { properties = { receive_maximum = 0 } }, { properties = { maximum_packet_size = 0 } } } do
    local c = b:client(bad)
    local got = c:try_next()
    t:check(not got or (got[1] == "CONNACK" and got.reason >= 0x80 and not got.session_present),
      "answered with %s", require("wire").show(got))
    if got then c:expect_closed() end
  end
end)

story("5: properties of CONNECT with forbidden values are refused",
  "MQTT-3.1.4-1/5 MQTT-4.13.1-1/5",
  function(t)
  local b = t:broker()
  local props = require "props"
  for _, bad in ipairs {
    { receive_maximum = 0 }, { maximum_packet_size = 0 }, { request_problem = 2 },
    { request_response = 2 }, { auth_data = "data without a method" },
    { raw = props.one("session_expiry", 1) .. props.one("session_expiry", 1) },
    { raw = props.one("receive_maximum", 1) .. props.one("receive_maximum", 2) },
    { raw = props.one("topic_alias_maximum", 1) .. props.one("topic_alias_maximum", 2) },
    { raw = props.one("content_type", "not a property of CONNECT") },
    { raw = props.one("assigned_client_id", "x") }, { raw = "\x7f\x01" }, { raw = "\x00" },
  } do
    b:client { properties = bad }:expect_refused { 0x81, 0x82 }
  end
end)

story("5: all properties of CONNECT together are accepted", "MQTT-3.1.4-5/5", function(t)
  t:broker():join { properties = {
    session_expiry = 5, receive_maximum = 10, maximum_packet_size = 100000, topic_alias_maximum = 5,
    request_response = 1, request_problem = 1, user = { { "a", "1" }, { "a", "2" }, { "", "" } },
  } }
end)

story("5: nothing but AUTH goes out before CONNACK", "MQTT-3.2.0-1/5 MQTT-3.14.0-1/5", function(t)
  -- a resumed session has messages waiting; they come after CONNACK
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:disconnect()
  b:join():publish { topic = t.topic, payload = "waiting", qos = 1 }
  c = b:client(keep)
  c:expect { "CONNACK", reason = 0, session_present = true }
  c:receive { payload = "waiting" }
end)
