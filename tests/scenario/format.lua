-- The wire format: strings, variable byte integers, header flags, packet ids, lengths.
local mqtt = require "mqtt"
local wire = require "wire"

-- Ill-formed strings, by what is wrong with them.
local bad_strings = {
  ["a lone continuation byte"] = "\x80",
  ["a byte that never occurs"] = "\xff",
  ["an over-long slash"] = "\xc0\xaf",
  ["an over-long three byte form"] = "\xe0\x80\xaf",
  ["a high surrogate"] = "\xed\xa0\x80",
  ["a low surrogate"] = "\xed\xbf\xbf",
  ["a surrogate pair"] = "\xed\xa0\xbd\xed\xb8\x80",
  ["beyond U+10FFFF"] = "\xf4\x90\x80\x80",
  ["a five byte form"] = "\xf8\x88\x80\x80\x80",
  ["cut off in the middle"] = "\xe2\x82",
}

local malformed = { 0x81, 0x82, 0x90, 0x8F }

story.both("ill-formed UTF-8 in a topic name ends the connection",
  "MQTT-1.5.3-1/3.1.1 MQTT-1.5.4-1/5 MQTT-3.3.2-1", function(t)
  local b = t:broker()
  for _, bad in pairs(bad_strings) do
    local c = b:join()
    c:send { "PUBLISH", topic = t.topic .. "/" .. bad, payload = "x" }
    c:expect_dropped(malformed)
  end
end)

story.both("ill-formed UTF-8 in a subscription ends the connection",
  "MQTT-1.5.3-1/3.1.1 MQTT-1.5.4-1/5 MQTT-3.8.3-1", function(t)
  local b = t:broker()
  for _, bad in pairs(bad_strings) do
    local c = b:join()
    c:send { "SUBSCRIBE", id = 1, filters = { { t.topic .. "/" .. bad, 0 } } }
    c:expect_dropped(malformed)
  end
end)

story.both("ill-formed UTF-8 in UNSUBSCRIBE ends the connection",
  "MQTT-1.5.3-1/3.1.1 MQTT-1.5.4-1/5 MQTT-3.10.3-1", function(t)
  local b = t:broker()
  for _, bad in pairs(bad_strings) do
    local c = b:join()
    c:send { "UNSUBSCRIBE", id = 1, filters = { t.topic .. "/" .. bad } }
    c:expect_dropped(malformed)
  end
end)

story.both("ill-formed UTF-8 in a user name refuses the CONNECT",
  "MQTT-3.1.3-11/3.1.1 MQTT-3.1.3-12/5 MQTT-1.5.3-1/3.1.1 MQTT-1.5.4-1/5", function(t)
  local b = t:broker()
  for _, bad in pairs(bad_strings) do
    b:client { username = "u" .. bad, password = "p" }:expect_refused { 0x81, 0x86 }
  end
  b:client { username = "u\0", password = "p" }:expect_refused { 0x81, 0x86 }
end)

story.both("a password is bytes: anything goes", "MQTT-3.1.2-21/3.1.1 MQTT-3.1.2-19/5", function(t)
  t:broker():join { username = "u", password = "\xff\0\xfe" }
end)

story.both("U+0000 in a topic name or filter ends the connection",
  "MQTT-1.5.3-2/3.1.1 MQTT-1.5.4-2/5 MQTT-4.7.3-2", function(t)
  local b = t:broker()
  local c = b:join()
  c:send { "PUBLISH", topic = t.topic .. "/a\0b", payload = "x" }
  c:expect_dropped(malformed)
  c = b:join()
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic .. "/\0", 0 } } }
  c:expect_dropped(malformed)
  c = b:join()
  c:send { "UNSUBSCRIBE", id = 1, filters = { t.topic .. "/\0" } }
  c:expect_dropped(malformed)
end)

story.both("a byte order mark is a character like others",
  "MQTT-1.5.3-3/3.1.1 MQTT-1.5.4-3/5 MQTT-4.7.3-4", function(t)
  local b = t:broker()
  local c = b:join()
  local with = "\xef\xbb\xbf" .. t.topic
  c:subscribe(with)
  c:subscribe(t.topic .. "/plain")
  c:publish { topic = t.topic, payload = "without" }
  c:publish { topic = with, payload = "with" }
  c:receive { topic = with, payload = "with" }
  c:expect_nothing()
  -- two client ids that differ in the mark alone are two clients
  local one = b:join { id = t.topic }
  b:join { id = with }
  one:ping()
end)

story("5: a byte order mark in properties is passed on", "MQTT-1.5.4-3/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic)
  local mark = "\xef\xbb\xbf"
  c:publish { topic = t.topic, properties = { content_type = mark .. "x", user = { { mark,
    mark } } } }
  c:receive { properties = { content_type = mark .. "x", user = { { mark, mark } } } }
end)

story.both("every code point that MQTT allows travels unchanged", "MQTT-3.3.2-1 MQTT-4.7.3-4",
  function(t)
  local c = t:broker():join()
  local samples = { "~", "\u{a0}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{fffd}",
    "\u{10000}", "\u{10fffd}", "e\u{301}", "\u{e9}" }
  c:subscribe(t.topic .. "/#")
  for _, s in ipairs(samples) do
    c:publish { topic = t.topic .. "/" .. s, payload = s }
    c:receive { topic = t.topic .. "/" .. s, payload = s }
  end
end)

story("5: user property with a bad half is malformed", "MQTT-1.5.7-1/5 MQTT-1.5.4-2/5", function(t)
  local b = t:broker()
  for _, pair in ipairs { { "\xff", "v" }, { "k", "\xff" }, { "a\0", "v" }, { "k", "\0" },
    { "\xed\xa0\x80", "v" }, { "k", "\xc0\x80" } } do
    local c = b:join()
    c:send { "PUBLISH", topic = t.topic, properties = { user = { pair } } }
    c:expect_dropped { 0x81, 0x82 }
    b:client { properties = { user = { pair } } }:expect_refused(0x81)
  end
end)

story("5: an over-long variable byte integer is malformed", "MQTT-1.5.5-1/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:send { "PINGREQ", length = "\x80\x00" }
  c:expect_dropped(0x81)
  c = b:join() -- the length of the properties
  c:send { "PUBLISH", body = wire.str(t.topic) .. "\x80\x00" .. "x" }
  c:expect_dropped(0x81)
  c = b:join() -- a subscription identifier
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic, 0 } },
    properties = { raw = "\x0b\x81\x00" } }
  c:expect_dropped { 0x81, 0x82 }
end)

story.both("a remaining length of five bytes is malformed", "MQTT-1.5.5-1/5 MQTT-4.8.0-1/3.1.1",
  function(t)
  local b = t:broker()
  local c = b:join()
  c:send { "PUBLISH", length = "\xff\xff\xff\xff\x01", body = "" }
  c:expect_dropped(0x81)
  c = b:socket()
  c:send { "CONNECT", length = "\xff\xff\xff\xff\x7f", body = "" }
  c:expect_refused(0x81)
end)

story("5: the broker writes lengths in the fewest bytes", "MQTT-1.5.5-1/5", function(t)
  -- the decoder of the stories raises on any other form; these sizes lie on the borders
  local c = t:broker():join { properties = { maximum_packet_size = 300000 } }
  c:subscribe(t.topic)
  for _, size in ipairs { 0, 100, 110, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370,
    16384 } do
    c:publish { topic = t.topic, payload = ("x"):rep(size) }
    c:receive { payload = ("x"):rep(size) }
  end
  for _, size in ipairs { 118, 119, 120, 121, 122, 123, 124, 125 } do
    c:publish { topic = t.topic, properties = { content_type = ("x"):rep(size) } }
    c:receive { properties = { content_type = ("x"):rep(size) } }
  end
end)

-- The packets whose flags are fixed, in a form that is otherwise right.
local fixed = {
  PUBACK = { id = 1 }, PUBREC = { id = 1 }, PUBREL = { id = 1 }, PUBCOMP = { id = 1 },
  SUBSCRIBE = { id = 1, filters = { { "a", 0 } } }, UNSUBSCRIBE = { id = 1, filters = { "a" } },
  PINGREQ = {}, DISCONNECT = {},
}

story.both("reserved header flags end the connection",
  "MQTT-2.2.2-2/3.1.1 MQTT-2.1.3-1/5 MQTT-3.6.1-1 MQTT-3.8.1-1 MQTT-3.10.1-1 MQTT-3.14.1-1",
    function(t)
  local b = t:broker()
  for name, fields in pairs(fixed) do
    local right = (name == "PUBREL" or name == "SUBSCRIBE" or name == "UNSUBSCRIBE") and 2 or 0
    for flags = 0, 15 do
      if flags ~= right then
        local c = b:join()
        local packet = { name, flags = flags }
        for k, v in pairs(fields) do packet[k] = v end
        c:send(packet)
        c:expect_dropped(0x81)
      end
    end
  end
end)

story("5: AUTH with header flags is malformed", "MQTT-3.15.1-1/5", function(t)
  local b = t:broker()
  for flags = 1, 15 do
    local c = b:join()
    c:send { "AUTH", flags = flags, reason = 0x19, properties = { auth_method = "x" } }
    c:expect_dropped { 0x81, 0x82 }
  end
end)

story.both("packet types a client never sends end the connection",
  "MQTT-2.1.3-1/5 MQTT-4.8.0-1/3.1.1",
  function(t, version)
  local b = t:broker()
  local list = { "\x00\x00", "\x20\x02\x00\x00", "\x90\x03\x00\x01\x00", "\xb0\x02\x00\x01",
    "\xd0\x00" }
  if version == 4 then list[#list + 1] = "\xf0\x00" end
  for _, bytes in ipairs(list) do
    local c = b:join()
    c:send_bytes(bytes)
    c:expect_dropped { 0x81, 0x82 }
  end
end)

story.both("the broker's own header flags are those of the table",
  "MQTT-2.2.2-1/3.1.1 MQTT-2.1.3-1/5 MQTT-3.2.2-1/5", function(t)
  -- one of each packet a broker sends; the decoder raises on other flags
  local c = t:broker():join()
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    c:publish { topic = t.topic, payload = "q" .. qos, qos = qos }
    c:receive { qos = qos, payload = "q" .. qos }
  end
  c:unsubscribe(t.topic)
  c:ping()
end)

story("5: packets without properties carry a zero length or none at all", "MQTT-2.2.2-1/5",
  function(t)
  local c = t:broker():join()
  local ack = c:subscribe(t.topic, 1)
  t:equal(ack.bytes:byte(5), 0, "property length of SUBACK")
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  local p = c:receive { payload = "x" }
  t:equal(p.bytes:byte(2 + 2 + #t.topic + 2 + 1), 0, "property length of PUBLISH")
end)

story.both("QoS 0 travels without a packet id", "MQTT-2.3.1-5/3.1.1 MQTT-2.2.1-2/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 2)
  c:publish { topic = t.topic, payload = "\0\1payload" }
  c:receive { qos = 0, payload = "\0\1payload" }
end)

story.both("packet id 0 ends the connection", "MQTT-2.3.1-1/3.1.1 MQTT-2.2.1-4/5", function(t)
  local b = t:broker()
  for _, packet in ipairs {
    { "PUBLISH", topic = t.topic, qos = 1, id = 0 }, { "PUBLISH", topic = t.topic, qos = 2,
      id = 0 },
    { "SUBSCRIBE", id = 0, filters = { { t.topic, 0 } } }, { "UNSUBSCRIBE", id = 0,
      filters = { t.topic } },
  } do
    local c = b:join()
    c:send(packet)
    c:expect_dropped { 0x81, 0x82 }
  end
end)

story.both("packets too short or too long for their type are malformed",
  "MQTT-4.8.0-1/3.1.1 MQTT-4.13.1-1/5", function(t, version)
  local b = t:broker()
  local list = {
    { "PUBLISH", body = "" }, { "PUBLISH", body = "\0" }, { "PUBLISH", body = "\0\5abc" },
    { "PUBLISH", flags = 2, body = "\0\1a\0" }, { "PUBACK", body = "" }, { "PUBACK", body = "\0" },
    { "PUBREC", body = "\1" }, { "PUBREL", body = "\1" }, { "PUBCOMP", body = "" },
    { "SUBSCRIBE", body = "\0" }, { "SUBSCRIBE", body = wire.u16(1) .. (version == 5 and "\0"
      or "") .. "\0\1a" },
    { "UNSUBSCRIBE", body = wire.u16(1) .. (version == 5 and "\0" or "") .. "\0\9a" },
    { "PINGREQ", body = "x" }, { "PINGREQ", body = "\0\0" },
  }
  if version == 4 then
    list[#list + 1] = { "PUBACK", id = 1, tail = "x" }
    list[#list + 1] = { "DISCONNECT", body = "x" }
  else
    list[#list + 1] = { "PUBACK", body = "\0\1\0\9" }
    list[#list + 1] = { "PUBACK", body = "\0\1\0\0x" }
    list[#list + 1] = { "DISCONNECT", body = "\0\0x" }
    list[#list + 1] = { "PUBLISH", body = "\0\1a\9" }
  end
  for _, packet in ipairs(list) do
    local c = b:join()
    c:send(packet)
    c:expect_dropped { 0x81, 0x82 }
  end
end)

story.both("packets may arrive a byte at a time, or many in one write",
  "MQTT-4.2.0-1/3.1.1 MQTT-4.2-1/5 MQTT-7.1.1-1/3.1.1", function(t, version)
  local b = t:broker()
  local c = b:socket { id = t.topic }
  local bytes = mqtt.encode({ "CONNECT", id = t.topic }, version)
    .. mqtt.encode({ "SUBSCRIBE", id = 1, filters = { { t.topic, 1 } } }, version)
  for i = 1, #bytes do c:send_bytes(bytes:sub(i, i)) end
  c:expect { "CONNACK", reason = 0 }
  c:expect { "SUBACK" }
  local many = {}
  for i = 1, 50 do
    many[i] = mqtt.encode({ "PUBLISH", topic = t.topic, payload = tostring(i) }, version)
  end
  c:send_bytes(table.concat(many))
  for i = 1, 50 do c:receive { payload = tostring(i) } end
end)

story.both("a payload of a megabyte arrives whole", "MQTT-4.2.0-1/3.1.1 MQTT-4.2-1/5", function(t)
  local c = t:broker("limits { max_packet 2m; }"):join()
  c:subscribe(t.topic, 1)
  local payload = ("0123456789abcdef"):rep(65536)
  c:publish { topic = t.topic, payload = payload, qos = 1 }
  local p = c:receive { qos = 1 }
  t:check(p.payload == payload, "the payload changed")
end)

story("5: a property that has no place in its packet is an error", "MQTT-4.13.1-1/5", function(t)
  local props = require "props"
  local b = t:broker()
  local topic = t.topic
  local function sub(raw) return { "SUBSCRIBE", id = 1, filters = { { topic, 0 } },
    properties = raw } end
  for _, packet in ipairs {
    { "PUBLISH", topic = topic, properties = props.one("session_expiry", 1) },
    { "PUBLISH", topic = topic, properties = props.one("reason_string", "x") },
    { "PUBLISH", topic = topic, properties = "\x7e\x01" },
    { "PUBLISH", topic = topic, properties = "\x23\x00" },
    { "PUBLISH", topic = topic, properties = props.one("content_type", "x"):rep(2) },
    { "PUBLISH", topic = topic, properties = props.one("message_expiry", 1):rep(2) },
    { "PUBLISH", topic = topic, properties = props.one("payload_format", 2) },
    sub(props.one("message_expiry", 1)),
    sub(props.one("subscription_id", 1):rep(2)),
    sub(props.one("subscription_id", 0)),
    { "UNSUBSCRIBE", id = 1, filters = { topic }, properties = props.one("subscription_id", 1) },
    { "DISCONNECT", reason = 0, properties = props.one("topic_alias", 1) },
    { "PUBACK", id = 1, reason = 0, properties = props.one("will_delay", 1) },
  } do
    local c = b:join()
    c:send(packet)
    c:expect_dropped { 0x81, 0x82 }
  end
end)
