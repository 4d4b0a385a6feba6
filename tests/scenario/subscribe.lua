-- SUBSCRIBE and SUBACK, overlapping subscriptions, subscription identifiers, No Local.

story.both("every SUBSCRIBE gets a SUBACK with its id and a code for each filter in order",
  "MQTT-3.8.4-1 MQTT-3.8.4-2 MQTT-2.3.1-7/3.1.1 MQTT-2.2.1-6/5 MQTT-3.8.4-4/3.1.1 MQTT-3.8.4-5 MQTT-3.8.4-6/5 "
  .. "MQTT-3.8.4-7/5 MQTT-3.9.3-1 MQTT-3.9.3-2", function(t)
  local c = t:broker():join()
  for i, id in ipairs { 1, 0x00ff, 0xff00, 65535 } do
    local topic = t.topic .. "/" .. i
    c:send { "SUBSCRIBE", id = id,
      filters = { { topic .. "/a", 2 }, { topic .. "/b", 0 }, { topic .. "/c", 1 }, { topic
        .. "/+/d", 2 } } }
    c:expect { "SUBACK", id = id, codes = { 2, 0, 1, 2 } }
  end
  c:expect_nothing()
end)

story.both("one SUBSCRIBE with several filters acts like several",
  "MQTT-3.8.4-4/3.1.1 MQTT-3.8.4-5/5", function(t)
  local c = t:broker():join()
  c:subscribe { { t.topic .. "/a", 0 }, { t.topic .. "/b", 1 }, { t.topic .. "/a", 2 } }
  c:publish { topic = t.topic .. "/a", payload = "a", qos = 2 }
  c:receive { payload = "a", qos = 2 } -- the last word on the same filter counts
  c:publish { topic = t.topic .. "/b", payload = "b", qos = 2 }
  c:receive { payload = "b", qos = 1 }
  c:expect_nothing()
end)

story.both("a SUBSCRIBE with hundreds of filters", "MQTT-3.8.4-5 MQTT-3.9.3-1", function(t)
  local c = t:broker():join()
  local filters, codes = {}, {}
  for i = 1, 700 do filters[i], codes[i] = { t.topic .. "/" .. i, i % 3 }, i % 3 end
  c:send { "SUBSCRIBE", id = 7, filters = filters }
  c:expect { "SUBACK", id = 7, codes = codes }
  c:publish { topic = t.topic .. "/700", payload = "last", qos = 2 }
  c:receive { payload = "last", qos = 1 }
end)

story.both("a SUBSCRIBE without a filter is an error", "MQTT-3.8.3-3/3.1.1 MQTT-3.8.3-2/5",
  function(t)
  local c = t:broker():join()
  c:send { "SUBSCRIBE", id = 1, filters = {} }
  c:expect_dropped { 0x81, 0x82 }
end)

story("3.1.1: reserved bits or QoS 3 in a SUBSCRIBE end the connection", "MQTT-3.8.3-4/3.1.1",
  function(t)
  local b = t:broker()
  for _, options in ipairs { 3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff } do
    local c = b:join { version = 4 }
    c:send { "SUBSCRIBE", id = 1, filters = { { t.topic, options = options } } }
    c:expect_closed()
  end
end)

story("5: reserved option bits, QoS 3 and retain handling 3 are malformed", "MQTT-3.8.3-5/5",
  function(t)
  local b = t:broker()
  for _, options in ipairs { 3, 7, 0x30, 0x31, 0x40, 0x80, 0xc0, 0xff } do
    local c = b:join()
    c:send { "SUBSCRIBE", id = 1, filters = { { t.topic, options = options } } }
    c:expect_dropped { 0x81, 0x82 }
  end
end)

story.both("the delivered QoS is the lower of published and granted",
  "MQTT-3.8.4-6/3.1.1 MQTT-3.8.4-8/5", function(t)
  local b = t:broker()
  local p = b:join()
  for granted = 0, 2 do
    local c = b:join()
    c:subscribe(t.topic, granted)
    for published = 0, 2 do
      p:publish { topic = t.topic, payload = "x", qos = published }
      c:receive { qos = math.min(granted, published) }
    end
    c:expect_nothing()
    c:disconnect()
  end
end)

story.both("the same filter again replaces the subscription", "MQTT-3.8.4-3", function(t)
  local b = t:broker()
  local c = b:join()
  local p = b:join()
  for _, qos in ipairs { 2, 0, 1 } do
    c:subscribe(t.topic, qos)
    p:publish { topic = t.topic, payload = "once", qos = 2 }
    c:receive { payload = "once", qos = qos }
    c:expect_nothing()
  end
  c:unsubscribe(t.topic)
  p:publish { topic = t.topic, payload = "gone", qos = 1 }
  c:expect_nothing()
end)

story.both("replacing a subscription under traffic loses nothing",
  "MQTT-3.8.4-3/3.1.1 MQTT-3.8.4-4/5", function(t)
  local b = t:broker()
  local c = b:join()
  local p = b:join()
  c:subscribe(t.topic, 1)
  for i = 1, 60 do
    p:send { "PUBLISH", topic = t.topic, payload = tostring(i), qos = 1, id = i }
    c:send { "SUBSCRIBE", id = i, filters = { { t.topic, 1 } } }
  end
  for i = 1, 60 do
    local m = c:await { "PUBLISH" }
    t:equal(m.payload, tostring(i), "the next message")
    c:finish(m)
    c:await { "SUBACK", id = i }
  end
end)

story("5: new options of the same filter take effect", "MQTT-3.8.4-3/5", function(t)
  local c = t:broker():join()
  c:subscribe { { t.topic, qos = 1 }, properties = { subscription_id = 1 } }
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { qos = 1, properties = { subscription_id = { 1 } } }
  c:subscribe { { t.topic, qos = 0 }, properties = { subscription_id = 268435455 } }
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { qos = 0, properties = { subscription_id = { 268435455 } } }
  c:subscribe { { t.topic, qos = 0 } }
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { qos = 0, properties = { subscription_id = false } }
  c:subscribe { { t.topic, qos = 0, no_local = true } }
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:expect_nothing()
end)

story.both("overlapping subscriptions deliver one copy at the highest granted QoS",
  "MQTT-3.3.5-1/3.1.1 MQTT-3.3.4-2/5", function(t)
  local b = t:broker()
  local c = b:join()
  local topic = t.topic .. "/" .. t.topic
  c:subscribe { { t.topic .. "/#", 0 }, { t.topic .. "/+", 2 }, { topic, 1 }, { "+/" .. t.topic,
    0 } }
  local p = b:join()
  for qos = 0, 2 do
    p:publish { topic = topic, payload = "x", qos = qos }
    c:receive { payload = "x", qos = qos }
    c:expect_nothing()
  end
end)

story("5: one copy carries the identifiers of all matching subscriptions",
  "MQTT-3.3.4-3/5 MQTT-3.3.4-4/5 MQTT-3.3.4-5/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe { { t.topic .. "/#", 0 }, properties = { subscription_id = 1 } }
  c:subscribe { { t.topic .. "/+", 1 }, properties = { subscription_id = 16384 } }
  c:subscribe { { t.topic .. "/a", 2 } }
  c:subscribe { { t.topic .. "/b", 0 }, properties = { subscription_id = 3 } }
  b:join():publish { topic = t.topic .. "/a", payload = "x", qos = 2 }
  local p = c:receive { qos = 2 }
  local ids = p.properties.subscription_id
  table.sort(ids)
  t:equal(table.concat(ids, " "), "1 16384", "the identifiers")
  c:expect_nothing()
end)

story("5: identifiers of both subscriptions that share one", "MQTT-3.3.4-3/5", function(t)
  local c = t:broker():join()
  c:subscribe { { t.topic .. "/+", 0 }, { t.topic .. "/a", 0 },
    properties = { subscription_id = 7 } }
  c:publish { topic = t.topic .. "/a", payload = "x" }
  local ids = c:receive().properties.subscription_id
  for _, id in ipairs(ids) do t:equal(id, 7, "the identifier") end
end)

story("5: an identifier travels with messages of a stored session too", "MQTT-3.3.4-3/5",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe { { t.topic, 1 }, properties = { subscription_id = 42 } }
  c:disconnect()
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  c = b:join(keep)
  c:receive { payload = "x", properties = { subscription_id = { 42 } } }
end)

story("5: No Local keeps a client's messages from it", "MQTT-3.8.3-3/5", function(t)
  local b = t:broker()
  local c, other = b:join(), b:join()
  c:subscribe { { t.topic, qos = 1, no_local = true } }
  other:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "mine", qos = 1 }
  other:receive { payload = "mine" }
  c:expect_nothing()
  other:publish { topic = t.topic, payload = "theirs", qos = 1 }
  c:receive { payload = "theirs" }
end)

story("5: No Local is a matter of each subscription", "MQTT-3.8.3-3/5", function(t)
  local c = t:broker():join()
  c:subscribe { { t.topic, qos = 2, no_local = true }, { t.topic .. "/#", qos = 1 },
    properties = { subscription_id = 5 } }
  c:publish { topic = t.topic, payload = "x", qos = 2 }
  c:receive { payload = "x", qos = 1 }
  c:expect_nothing()
end)

story("5: No Local holds for the client id, across reconnects", "MQTT-3.8.3-3/5", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe { { t.topic, qos = 1, no_local = true } }
  c:disconnect()
  c = b:join(keep)
  c:publish { topic = t.topic, payload = "mine", qos = 1 }
  c:expect_nothing()
end)

story("3.1.1: SUBACK codes are 0, 1, 2 or 0x80", "MQTT-3.9.3-2/3.1.1 MQTT-3.8.3-2/3.1.1",
  function(t)
  local b = t:broker "limits { wildcard_subscriptions off; }"
  local c = b:join { version = 4 }
  local ack = c:subscribe { { t.topic .. "/+", 0 }, { t.topic, 1 }, { "#", 2 }, refused = true }
  t:equal(table.concat(ack.codes, " "), "128 1 128", "the codes")
  c:publish { topic = t.topic .. "/x", payload = "x", qos = 1 }
  c:publish { topic = t.topic, payload = "exact", qos = 1 }
  c:receive { payload = "exact" }
end)

story("5: wildcards off: announced, and refused with 0xA2", "MQTT-3.9.3-2/5 MQTT-3.8.4-7/5",
  function(t)
  local b = t:broker "limits { wildcard_subscriptions off; }"
  local c = b:join()
  t:equal(c.connack.properties.wildcard_available, 0, "wildcard subscription available")
  local ack = c:subscribe { { t.topic .. "/+", 0 }, { t.topic, 1 }, refused = true }
  t:equal(table.concat(ack.codes, " "), (0xA2) .. " 1", "the codes")
end)

story("5: subscription identifiers off: announced, and an error", "MQTT-3.9.3-2/5", function(t)
  local b = t:broker "limits { subscription_identifiers off; }"
  local c = b:join()
  t:equal(c.connack.properties.subscription_id_available, 0, "subscription identifiers available")
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic, 1 } }, properties = { subscription_id = 1 } }
  local got = c:try_next()
  t:check(got and (got[1] == "SUBACK" and got.codes[1] == 0xA1
    or got[1] == "DISCONNECT" and got.reason == 0xA1), "got %s", require("wire").show(got))
end)

story.both("an invalid filter is refused, its neighbours are not, or the connection ends",
  "MQTT-3.9.3-1 MQTT-3.8.4-7/5 MQTT-4.7.1-1/5 MQTT-4.7.1-2", function(t, version)
  local b = t:broker()
  local c = b:join()
  c:send { "SUBSCRIBE", id = 1, filters = { { t.topic .. "/a#", 0 }, { t.topic, 1 } } }
  local got = c:try_next()
  if version == 4 then
    t:check(not got or got[1] == "SUBACK" and got.codes[1] == 0x80, "got %s",
      require("wire").show(got))
  else
    t:check(got and (got[1] == "SUBACK" and got.codes[1] == 0x8F
      or got[1] == "DISCONNECT" and (got.reason == 0x8F or got.reason == 0x81)), "got %s",
      require("wire").show(got))
  end
end)

story.both("hundreds of subscribers of one topic each get one copy", "MQTT-4.5.0-1", function(t)
  local b = t:broker()
  local all = {}
  for i = 1, 300 do
    all[i] = b:client()
    all[i]:send { "SUBSCRIBE", id = 1, filters = { { t.topic, 1 } } }
  end
  for _, c in ipairs(all) do
    c:expect { "CONNACK", reason = 0 }
    c:expect { "SUBACK", codes = { 1 } }
  end
  local p = b:join()
  p:publish { topic = t.topic, payload = "one", qos = 1 }
  p:publish { topic = t.topic, payload = "two", qos = 0 }
  for _, c in ipairs(all) do
    c:receive { payload = "one", qos = 1 }
    c:receive { payload = "two", qos = 0 }
  end
end)
