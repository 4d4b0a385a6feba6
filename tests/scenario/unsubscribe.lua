-- UNSUBSCRIBE and UNSUBACK.

story.both("UNSUBSCRIBE gets an UNSUBACK with its id, also where nothing was deleted",
  "MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-2.3.1-7/3.1.1 MQTT-2.2.1-6/5", function(t, version)
  local c = t:broker():join()
  c:subscribe(t.topic)
  for _, id in ipairs { 1, 256, 65535 } do
    c:send { "UNSUBSCRIBE", id = id, filters = { t.topic } }
    local ack = c:expect { "UNSUBACK", id = id }
    if version == 5 then t:equal(ack.codes[1], id == 1 and 0 or 0x11, "the code") end
  end
end)

story.both("an equal filter is deleted, a similar one is not", "MQTT-3.10.4-1", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe { { t.topic .. "/a", 0 }, { t.topic .. "/+", 1 } }
  for _, filter in ipairs { t.topic .. "/A", t.topic .. "/a/", t.topic .. "/#", "/" .. t.topic
    .. "/a",
    t.topic .. "/a/#", "+/a" } do
    c:unsubscribe(filter)
  end
  local p = b:join()
  p:publish { topic = t.topic .. "/a", payload = "both", qos = 2 }
  c:receive { payload = "both", qos = 1 }
  c:unsubscribe(t.topic .. "/+")
  p:publish { topic = t.topic .. "/a", payload = "exact", qos = 2 }
  c:receive { payload = "exact", qos = 0 }
  c:unsubscribe(t.topic .. "/a")
  p:publish { topic = t.topic .. "/a", payload = "none", qos = 2 }
  c:expect_nothing()
end)

story.both("nothing new comes for a deleted filter", "MQTT-3.10.4-2", function(t)
  local b = t:broker()
  local c, p = b:join(), b:join()
  for _ = 1, 20 do
    c:subscribe(t.topic, 1)
    p:publish { topic = t.topic, payload = "in", qos = 1 }
    c:receive { payload = "in" }
    c:unsubscribe(t.topic)
    p:publish { topic = t.topic, payload = "out", qos = 1 }
    c:expect_nothing()
  end
end)

story.both("deliveries already begun are finished", "MQTT-3.10.4-3", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 2)
  local p = b:join()
  p:publish { topic = t.topic, payload = "one", qos = 1 }
  p:publish { topic = t.topic, payload = "two", qos = 2 }
  local one = c:expect { "PUBLISH", payload = "one" }
  local two = c:expect { "PUBLISH", payload = "two" }
  c:unsubscribe(t.topic)
  c:send { "PUBREC", id = two.id }
  c:expect { "PUBREL", id = two.id, reason = 0 }
  c:abort() -- both are still open, and the session remembers
  c = b:join(keep)
  c:expect_all { { "PUBLISH", id = one.id, dup = true }, { "PUBREL", id = two.id } }
  c:send { "PUBACK", id = one.id }
  c:send { "PUBCOMP", id = two.id }
  c:expect_nothing()
end)

story.both("several filters act like several UNSUBSCRIBEs with one answer",
  "MQTT-3.10.4-6 MQTT-3.11.3-1/5 MQTT-3.11.3-2/5",
  function(t, version)
  local b = t:broker()
  local c = b:join()
  for _, s in ipairs { "/a", "/b", "/c" } do c:subscribe(t.topic .. s, 1) end
  local ack = c:unsubscribe(t.topic .. "/c", t.topic .. "/none", t.topic .. "/a", t.topic .. "/a")
  if version == 5 then t:equal(table.concat(ack.codes, " "), "0 17 0 17", "the codes") end
  local p = b:join()
  for _, s in ipairs { "/a", "/b", "/c" } do p:publish { topic = t.topic .. s, payload = s,
    qos = 1 } end
  c:receive { payload = "/b" }
  c:expect_nothing()
end)

story.both("an UNSUBSCRIBE without a filter is an error", "MQTT-3.10.3-2", function(t)
  local c = t:broker():join()
  c:send { "UNSUBSCRIBE", id = 1, filters = {} }
  c:expect_dropped { 0x81, 0x82 }
end)

story("5: an invalid filter is refused in UNSUBACK or ends the connection", "MQTT-3.11.3-2/5",
  function(t)
  local b = t:broker()
  for _, filter in ipairs { "a/#/b", "a+", "$share/g", "$share//a" } do
    local c = b:join()
    c:send { "UNSUBSCRIBE", id = 1, filters = { filter } }
    local got = c:try_next()
    t:check(got and (got[1] == "UNSUBACK" and (got.codes[1] == 0x8F or got.codes[1] == 0x11)
      or got[1] == "DISCONNECT" and got.reason >= 0x80), "got %s", require("wire").show(got))
  end
end)

story.both("an UNSUBSCRIBE of an absent session's filter holds after it is resumed",
  "MQTT-3.10.4-1 MQTT-3.10.4-2",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe { { t.topic .. "/a", 1 }, { t.topic .. "/b", 1 } }
  c:unsubscribe(t.topic .. "/a")
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic .. "/a", payload = "a", qos = 1 }
  p:publish { topic = t.topic .. "/b", payload = "b", qos = 1 }
  c = b:join(keep)
  c:receive { payload = "b" }
  c:expect_nothing()
end)
