-- Retained messages: kept, replaced, removed, and handed to new subscriptions.

local function clear(b, topic) b:join():publish { topic = topic, payload = "", retain = true,
  qos = 1 } end

story.both("a retained message waits for later subscribers, with its QoS",
  "MQTT-3.3.1-5 MQTT-3.3.1-6/3.1.1 MQTT-3.3.1-8/3.1.1 MQTT-3.3.1-9/5", function(t)
  local b = t:broker()
  local p = b:join()
  for qos = 0, 2 do
    local topic = t.topic .. "/" .. qos
    p:publish { topic = topic, payload = "kept", qos = qos, retain = true }
    p:ping()
    local c = b:join()
    c:subscribe(topic, 2)
    c:receive { topic = topic, payload = "kept", qos = qos, retain = true, dup = false }
    c:expect_nothing()
    clear(b, topic)
  end
end)

story.both("delivered QoS of a retained message is the lower one",
  "MQTT-3.8.4-6/3.1.1 MQTT-3.8.4-8/5", function(t)
  local b = t:broker()
  b:join():publish { topic = t.topic, payload = "kept", qos = 2, retain = true }
  for qos = 0, 2 do
    local c = b:join()
    c:subscribe(t.topic, qos)
    c:receive { payload = "kept", qos = qos, retain = true }
  end
  clear(b, t.topic)
end)

story.both("SUBACK comes before the retained messages it causes", "MQTT-3.8.4-1", function(t)
  local b = t:broker()
  b:join():publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  local c = b:join()
  c:send { "SUBSCRIBE", id = 5, filters = { { t.topic, 1 } } }
  c:expect { "SUBACK", id = 5 }
  c:receive { payload = "kept" }
  clear(b, t.topic)
end)

story.both("a newer retained message replaces the older, QoS 0 included",
  "MQTT-3.3.1-5 MQTT-3.3.1-7/3.1.1", function(t)
  local b = t:broker()
  local p = b:join()
  for i, qos in ipairs { 1, 0, 2, 0 } do
    p:publish { topic = t.topic, payload = "v" .. i, qos = qos, retain = true }
    p:ping()
    local c = b:join()
    c:subscribe(t.topic, 2)
    c:receive { payload = "v" .. i, qos = qos, retain = true }
    c:expect_nothing()
  end
  clear(b, t.topic)
end)

story.both("established subscriptions see retain 0", "MQTT-3.3.1-9/3.1.1 MQTT-3.3.1-12/5",
  function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 1)
  b:join():publish { topic = t.topic, payload = "live", qos = 1, retain = true }
  c:receive { payload = "live", retain = false }
  c:expect_nothing()
  clear(b, t.topic)
end)

story.both("an empty retained PUBLISH is delivered and deletes what is kept",
  "MQTT-3.3.1-10/3.1.1 MQTT-3.3.1-11/3.1.1 MQTT-3.3.1-6/5 MQTT-3.3.1-7/5", function(t)
  local b = t:broker()
  local live = b:join()
  live:subscribe(t.topic, 1)
  local p = b:join()
  p:publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  live:receive { payload = "kept" }
  p:publish { topic = t.topic, payload = "", qos = 1, retain = true }
  live:receive { payload = "", retain = false }
  local late = b:join()
  late:subscribe(t.topic, 1)
  late:expect_nothing()
  -- and where nothing was kept, nothing is stored
  p:publish { topic = t.topic .. "/other", payload = "", qos = 1, retain = true }
  late:subscribe(t.topic .. "/other", 1)
  late:expect_nothing()
end)

story.both("without the retain flag nothing kept is touched", "MQTT-3.3.1-12/3.1.1 MQTT-3.3.1-8/5",
  function(t)
  local b = t:broker()
  local p = b:join()
  p:publish { topic = t.topic, payload = "not kept", qos = 1 }
  local c = b:join()
  c:subscribe(t.topic)
  c:expect_nothing()
  p:publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  c:receive { payload = "kept" }
  p:publish { topic = t.topic, payload = "passing", qos = 1 }
  p:publish { topic = t.topic, payload = "", qos = 1 }
  c:receive { payload = "passing" }
  c:receive { payload = "" }
  local late = b:join()
  late:subscribe(t.topic)
  late:receive { payload = "kept", retain = true }
  clear(b, t.topic)
end)

story.both("a wildcard subscription gets every matching retained message once",
  "MQTT-3.3.1-6/3.1.1 MQTT-3.3.1-9/5 MQTT-4.7.1-2/3.1.1 MQTT-4.7.1-3/3.1.1", function(t)
  local b = t:broker()
  local p = b:join()
  local topics = {}
  for i = 1, 60 do
    topics[i] = ("%s/%d/%d"):format(t.topic, i % 7, i)
    p:publish { topic = topics[i], payload = "r" .. i, qos = 1, retain = true }
  end
  local function collected(filter, want)
    local c = b:join()
    c:subscribe(filter, 0)
    local seen = {}
    for _ = 1, want do
      local m = c:receive { retain = true }
      t:check(not seen[m.topic], "%s twice", m.topic)
      seen[m.topic] = true
    end
    c:expect_nothing()
  end
  collected(t.topic .. "/#", 60)
  collected(t.topic .. "/+/+", 60)
  collected(t.topic .. "/3/+", 9)
  collected(t.topic .. "/+/17", 1)
  collected(t.topic .. "/3/#", 9)
  collected(t.topic .. "/+", 0)
  collected(t.topic .. "/none/#", 0)
  for _, topic in ipairs(topics) do p:publish { topic = topic, payload = "", qos = 0,
    retain = true } end
  p:ping()
  collected(t.topic .. "/#", 0)
end)

story("3.1.1: subscribing again sends the retained messages again",
  "MQTT-3.8.4-3/3.1.1 MQTT-3.3.1-6/3.1.1", function(t)
  local b = t:broker()
  b:join():publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  local c = b:join { version = 4 }
  for _ = 1, 3 do
    c:subscribe(t.topic, 1)
    c:receive { payload = "kept", retain = true }
  end
  clear(b, t.topic)
end)

story("5: retain handling 0, 1 and 2",
  "MQTT-3.3.1-9/5 MQTT-3.3.1-10/5 MQTT-3.3.1-11/5 MQTT-3.8.4-4/5", function(t)
  local b = t:broker()
  b:join():publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  local c = b:join()
  local function subscribe(handling)
    c:subscribe { { t.topic, qos = 1, retain_handling = handling } }
  end
  subscribe(2)
  c:expect_nothing()
  subscribe(1) -- exists already
  c:expect_nothing()
  subscribe(0)
  c:receive { payload = "kept", retain = true }
  subscribe(0)
  c:receive { payload = "kept", retain = true }
  c:unsubscribe(t.topic)
  subscribe(1) -- new again
  c:receive { payload = "kept", retain = true }
  subscribe(1)
  c:expect_nothing()
  clear(b, t.topic)
end)

story("5: retain handling 1 knows the subscriptions of a resumed session", "MQTT-3.3.1-10/5",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe { { t.topic, qos = 1, retain_handling = 1 } }
  c:disconnect()
  b:join():publish { topic = t.topic .. "/x", payload = "kept", qos = 1, retain = true }
  c = b:join(keep)
  c:subscribe { { t.topic, qos = 1, retain_handling = 1 } }
  c:subscribe { { t.topic .. "/x", qos = 1, retain_handling = 1 } }
  c:receive { payload = "kept", retain = true }
  c:expect_nothing()
  clear(b, t.topic .. "/x")
end)

story("5: retain as published passes the publisher's flag on", "MQTT-3.3.1-12/5 MQTT-3.3.1-13/5",
  function(t)
  local b = t:broker()
  local as_published, plain = b:join(), b:join()
  as_published:subscribe { { t.topic, qos = 1, retain_as_published = true } }
  plain:subscribe { { t.topic, qos = 1 } }
  local p = b:join()
  p:publish { topic = t.topic, payload = "retained", qos = 1, retain = true }
  as_published:receive { payload = "retained", retain = true }
  plain:receive { payload = "retained", retain = false }
  p:publish { topic = t.topic, payload = "plain", qos = 1 }
  as_published:receive { payload = "plain", retain = false }
  plain:receive { payload = "plain", retain = false }
  clear(b, t.topic)
end)

story("5: properties of a retained message are kept with it", "MQTT-3.3.1-5/5 MQTT-3.3.2-17/5",
  function(t)
  local b = t:broker()
  local properties = { content_type = "text", user = { { "a", "1" }, { "a", "2" } },
    response_topic = "r",
    correlation_data = "\1", payload_format = 1 }
  b:join():publish { topic = t.topic, payload = "kept", qos = 1, retain = true,
    properties = properties }
  local c = b:join()
  c:subscribe { { t.topic, qos = 1 }, properties = { subscription_id = 9 } }
  properties.subscription_id = { 9 }
  c:receive { payload = "kept", retain = true, properties = properties }
  local old = b:join { version = 4 }
  old:subscribe(t.topic, 1)
  old:receive { payload = "kept", retain = true }
  clear(b, t.topic)
end)

story("5: a retained message that has expired is gone", "MQTT-3.3.2-5/5 MQTT-3.3.2-6/5", function(t)
  local b = t:broker()
  local p = b:join()
  p:publish { topic = t.topic, payload = "short", qos = 1, retain = true,
    properties = { message_expiry = 1 } }
  p:publish { topic = t.topic .. "/long", payload = "long", qos = 1, retain = true,
    properties = { message_expiry = 100 } }
  t:pass(2.1)
  local c = b:join()
  c:subscribe(t.topic .. "/#", 1)
  c:receive { payload = "long", properties = { message_expiry = any { 97, 98 } } }
  c:expect_nothing()
  clear(b, t.topic .. "/long")
end)

story("a shared subscription gets no retained messages", "MQTT-3.3.1-9/5", function(t)
  local b = t:broker()
  b:join():publish { topic = t.topic, payload = "kept", qos = 1, retain = true }
  local c = b:join()
  c:subscribe("$share/g/" .. t.topic, 1)
  c:expect_nothing()
  clear(b, t.topic)
end)

story.both("retained messages are kept for topics that begin with $ too, hidden from wildcards",
  "MQTT-4.7.2-1", function(t)
  local b = t:broker()
  local topic = "$" .. t.topic .. "/" .. t.topic
  b:join():publish { topic = topic, payload = "kept", qos = 1, retain = true }
  local c = b:join()
  c:subscribe("+/" .. t.topic, 1)
  c:expect_nothing()
  c:subscribe("$" .. t.topic .. "/+", 1)
  c:receive { topic = topic, payload = "kept", retain = true }
  clear(b, topic)
end)
