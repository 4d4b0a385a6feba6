-- Wills: what is accepted in CONNECT, when they are published and when not.

local function will_of(t, more)
  local will = { topic = t.topic .. "/will", payload = "gone" }
  for k, v in pairs(more or {}) do will[k] = v end
  return will
end

local function watcher(t, b, qos)
  local w = b:join()
  w:subscribe(t.topic .. "/will", qos or 2)
  return w
end

story.both("a connection that breaks off has its will published",
  "MQTT-3.1.2-8 MQTT-3.1.2-7/5 MQTT-3.1.2-9", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { will = will_of(t) }:abort()
  w:receive { topic = t.topic .. "/will", payload = "gone", qos = 0, retain = false }
  b:join { will = will_of(t, { payload = "closed" }) }:close()
  w:receive { payload = "closed" }
end)

story.both("a protocol error publishes the will", "MQTT-3.1.2-8", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local c = b:join { will = will_of(t) }
  c:send { "PUBLISH", topic = "a/#", payload = "x" }
  c:expect_dropped { 0x81, 0x82, 0x90 }
  w:receive { payload = "gone" }
end)

story.both("a silent client has its will published", "MQTT-3.1.2-8", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local c = b:join { keep_alive = 1, will = will_of(t) }
  c:expect_dropped(0x8D)
  w:receive { payload = "gone" }
end)

story.both("DISCONNECT throws the will away", "MQTT-3.14.4-3 MQTT-3.1.2-10", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { will = will_of(t) }:disconnect()
  w:expect_nothing()
end)

story.both("a will is published once", "MQTT-3.1.2-10", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  keep.will = will_of(t)
  b:join(keep):abort()
  w:receive { payload = "gone" }
  keep.will = nil
  b:join(keep):abort()
  b:join(keep):disconnect()
  w:expect_nothing()
end)

story("5: DISCONNECT with will (0x04) publishes it", "MQTT-3.1.2-8/5", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { will = will_of(t) }:disconnect { reason = 4 }
  w:receive { payload = "gone" }
end)

story("5: DISCONNECT with an error code publishes the will", "MQTT-3.1.2-8/5 MQTT-3.14.4-3/5",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  for _, reason in ipairs { 0x80, 0x81, 0x82, 0x93, 0x95 } do
    b:join { will = will_of(t) }:disconnect { reason = reason }
    w:receive { payload = "gone" }
  end
end)

story.both("will QoS 0, 1 and 2 are kept", "MQTT-3.1.2-12/5 MQTT-3.1.2-8", function(t)
  local b = t:broker()
  local w = watcher(t, b, 2)
  for qos = 0, 2 do
    b:join { will = will_of(t, { qos = qos }) }:abort()
    w:receive { payload = "gone", qos = qos }
  end
end)

story.both("will retain 0 is not retained, will retain 1 is",
  "MQTT-3.1.2-16/3.1.1 MQTT-3.1.2-17/3.1.1 MQTT-3.1.2-14/5 MQTT-3.1.2-15/5", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { will = will_of(t) }:abort()
  w:receive { payload = "gone" }
  local late = watcher(t, b)
  late:expect_nothing()
  b:join { will = will_of(t, { retain = true, payload = "kept", qos = 1 }) }:abort()
  w:receive { payload = "kept", retain = false }
  local later = watcher(t, b)
  later:receive { payload = "kept", retain = true, qos = 1 }
  b:join():publish { topic = t.topic .. "/will", payload = "", retain = true, qos = 1 }
end)

story.both("will flags that contradict each other are malformed",
  "MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-15/3.1.1 MQTT-3.1.2-14/3.1.1 MQTT-3.1.2-12/5", function(t)
  local b = t:broker()
  for _, flags in ipairs { 0x0a, 0x12, 0x1a, 0x22, 0x2a } do -- no will, yet QoS or retain
    b:client { connect_flags = flags }:expect_refused(0x81)
  end
  b:client { will = will_of(t, { qos = 3 }) }:expect_refused(0x81)
  b:client { will = will_of(t, { qos = 3, retain = true }) }:expect_refused(0x81)
end)

story.both("without a will none is published", "MQTT-3.1.2-12/3.1.1 MQTT-3.1.2-11", function(t)
  local b = t:broker()
  local w = b:join()
  w:subscribe("#")
  w:subscribe(t.topic .. "/#")
  local c = b:join { id = t.topic }
  c:abort()
  b:join { id = t.topic }:ping()
  w:unsubscribe "#"
  w:ping()
  for _, p in ipairs(w.inbox) do
    t:check(not (p[1] == "PUBLISH" and p.topic:find(t.topic, 1, true)), "a will came from nowhere")
  end
end)

story.both("will flag set without its fields is malformed", "MQTT-3.1.2-9", function(t, version)
  local wire = require "wire"
  local b = t:broker()
  local none = version == 5 and "\0" or ""
  for _, fields in ipairs { wire.str(t.topic), wire.str(t.topic) .. none .. wire.str("topic"),
    wire.str(t.topic) .. none } do
    b:client { connect_flags = 6, fields = fields }:expect_refused(0x81)
  end
end)

story.both("the will topic must be valid UTF-8 and a topic name",
  "MQTT-3.1.3-10/3.1.1 MQTT-3.1.3-11/5 MQTT-4.7.0-1/5 MQTT-4.7.1-1/3.1.1", function(t)
  local b = t:broker()
  for _, topic in ipairs { "\xff", "a\0", "\xed\xa0\x80", "a/#", "+/a", "" } do
    local c = b:client { will = { topic = topic, payload = "x" } }
    c:expect_refused { 0x81, 0x82, 0x90 }
  end
end)

story.both("a will without payload is a message without payload", "MQTT-3.1.2-9", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { will = will_of(t, { payload = "" }) }:abort()
  w:receive { payload = "" }
end)

story.both("a takeover publishes the will of the one that was pushed out", "MQTT-3.1.2-8",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local first = b:join { id = t.topic, will = will_of(t) }
  b:join { id = t.topic }
  first:expect_dropped(0x8E)
  w:receive { payload = "gone" }
end)

story("5: a delayed will is not early, and not more than a second late", "MQTT-3.1.2-8/5",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local c = b:join { will = will_of(t, { properties = { will_delay = 2 } }),
    properties = { session_expiry = 60 } }
  local began = t:now()
  c:abort()
  w:receive { payload = "gone" }
  local took = t:now() - began
  t:check(took >= 1.99, "published after %.2f s", took)
  t:check(took < 3.3, "published only after %.2f s", took)
end)

story("5: the will is published when the session ends before the delay", "MQTT-3.1.2-8/5",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local began = t:now()
  b:join { will = will_of(t, { properties = { will_delay = 60 } }),
    properties = { session_expiry = 1 } }:abort()
  w:receive { payload = "gone" }
  local took = t:now() - began
  t:check(took >= 0.99 and took < 2.3, "published after %.2f s", took)
  -- no expiry interval: the session ends with the connection, and the will does not wait
  began = t:now()
  b:join { will = will_of(t, { properties = { will_delay = 60 } }) }:abort()
  w:receive { payload = "gone" }
  t:check(t:now() - began < 1.5, "published after %.2f s", t:now() - began)
end)

story("5: a client back before the delay is over has no will published", "MQTT-3.1.3-9/5",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  keep.will = will_of(t, { properties = { will_delay = 1 } })
  b:join(keep):abort()
  keep.will = nil
  local c = b:join(keep)
  t:check(c.connack.session_present, "the session is gone")
  t:pass(2.2)
  w:expect_nothing()
end)

story("5: a clean start ends the old session and publishes its delayed will", "MQTT-3.1.2-8/5",
  function(t)
  local b = t:broker()
  local w = watcher(t, b)
  b:join { id = t.topic, will = will_of(t, { properties = { will_delay = 60 } }),
    properties = { session_expiry = 60 } }:abort()
  b:join { id = t.topic, clean_start = true }
  w:receive { payload = "gone" }
end)

story("5: properties of a will reach the subscribers, user properties in order",
  "MQTT-3.1.3-10/5 MQTT-3.1.2-9/5", function(t)
  local b = t:broker()
  local w = watcher(t, b)
  local user = { { "b", "1" }, { "a", "2" }, { "b", "3" }, { "", "" } }
  b:join { will = will_of(t, { properties = {
    payload_format = 1, message_expiry = 100, content_type = "text", response_topic = "answer",
    correlation_data = "\0\1", user = user, will_delay = 0,
  } }) }:abort()
  w:receive { payload = "gone", properties = {
    payload_format = 1, message_expiry = function(n) return n and n >= 98 and n <= 100 end,
    content_type = "text", response_topic = "answer", correlation_data = "\0\1", user = user,
    will_delay = false,
  } }
end)

story("5: will properties out of place are refused", "MQTT-3.1.4-1/5", function(t)
  local props = require "props"
  local b = t:broker()
  for _, bad in ipairs { props.one("session_expiry", 1), props.one("topic_alias", 1), "\x7f",
    props.one("will_delay", 1):rep(2), props.one("payload_format", 2),
    props.one("response_topic", "a/#") } do
    local c = b:client { will = will_of(t, { properties = bad }) }
    c:expect_refused { 0x81, 0x82, 0x90 }
  end
end)

story("5: the topic of a response must be a topic name in wills too", "MQTT-4.7.0-1/5", function(t)
  local c = t:broker():client { will = will_of(t, { properties = { response_topic = "a/+" } }) }
  c:expect_refused { 0x81, 0x82, 0x90 }
end)

story.both("a will obeys the rules of QoS and reaches absent sessions", "MQTT-4.5.0-1", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local absent = b:join(keep)
  absent:subscribe(t.topic .. "/will", 1)
  absent:disconnect()
  local w = watcher(t, b)
  b:join { will = will_of(t, { qos = 2 }) }:abort()
  w:receive { payload = "gone", qos = 2 }
  absent = b:join(keep)
  absent:receive { payload = "gone", qos = 1 }
end)
