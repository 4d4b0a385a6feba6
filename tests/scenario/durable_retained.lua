-- Retained messages when the broker ends.
local again = require "again"

-- What a new subscriber to the filter gets, by topic.
local function retained(b, filter, count)
  local c, got = b:join(), {}
  c:subscribe(filter, 2)
  for _ = 1, count do
    local p = c:receive { retain = true }
    got[p.topic] = p
  end
  c:expect_nothing()
  return got
end

again.both("retained messages stay, the newest of each topic",
  "MQTT-3.3.1-5 MQTT-3.3.1-6/3.1.1 MQTT-3.3.1-7/3.1.1 MQTT-3.3.1-12/3.1.1",
  function(t, restart)
  local b = t:own_broker()
  local p = b:join()
  for qos = 0, 2 do
    local topic = t.topic .. "/" .. qos
    p:publish { topic = topic, payload = "old", qos = 2, retain = true }
    p:publish { topic = topic, payload = "new" .. qos, qos = qos, retain = true }
    p:publish { topic = topic, payload = "not retained", qos = 1 }
  end
  again.fence(p)
  restart(b)
  local got = retained(b, t.topic .. "/#", 3)
  for qos = 0, 2 do
    t:equal(got[t.topic .. "/" .. qos].payload, "new" .. qos, "the payload")
    t:equal(got[t.topic .. "/" .. qos].qos, qos, "QoS")
  end
end)

again.both("cleared ones stay cleared",
  "MQTT-3.3.1-6/5 MQTT-3.3.1-7/5 MQTT-3.3.1-10/3.1.1 MQTT-3.3.1-11/3.1.1", function(t, restart)
  local b = t:own_broker()
  local p = b:join()
  for i = 0, 2 do
    p:publish { topic = t.topic .. "/a" .. i, payload = "x", qos = 1, retain = true }
    p:publish { topic = t.topic .. "/b" .. i, payload = "x", qos = 1, retain = true }
  end
  restart(b) -- of these the store has checkpoint or log
  p = b:join()
  for i = 0, 2 do
    p:publish { topic = t.topic .. "/a" .. i, payload = "", qos = i, retain = true }
    p:publish { topic = t.topic .. "/c" .. i, payload = "x", qos = 1, retain = true }
    p:publish { topic = t.topic .. "/c" .. i, payload = "", qos = i, retain = true }
  end
  again.fence(p)
  for _ = 1, 2 do
    restart(b)
    local got = retained(b, t.topic .. "/#", 3)
    for i = 0, 2 do t:check(got[t.topic .. "/b" .. i], "b%d is gone", i) end
  end
end)

again.story("5: with all their properties",
  "MQTT-3.3.1-5/5 MQTT-3.3.2-4/5 MQTT-3.3.2-15/5 MQTT-3.3.2-16/5 MQTT-3.3.2-17/5 "
    .. "MQTT-3.3.2-18/5 MQTT-3.3.2-20/5",
  function(t, restart)
  local b = t:own_broker()
  local user = { { "z", "1" }, { "a", "2" }, { "z", "3" }, { "", "" } }
  local properties = { payload_format = 1, content_type = "text", response_topic = "answer",
    correlation_data = ("\0\255"):rep(300) }
  properties.user = user
  b:join():publish { topic = t.topic, payload = "text", qos = 1, retain = true,
    properties = properties }
  restart(b)
  local got = retained(b, t.topic, 1)[t.topic]
  for i, pair in ipairs(user) do
    t:equal(got.properties.user[i][1] .. "=" .. got.properties.user[i][2],
      pair[1] .. "=" .. pair[2], "user property")
  end
  properties.user = nil
  for name, value in pairs(properties) do t:equal(got.properties[name], value, name) end
end)

again.story("5: their expiry runs on", "MQTT-3.3.2-5/5 MQTT-3.3.2-6/5", function(t, restart)
  local b = t:own_broker()
  local p = b:join()
  p:publish { topic = t.topic .. "/short", payload = "x", qos = 1, retain = true,
    properties = { message_expiry = 1 } }
  local began = t:now()
  p:publish { topic = t.topic .. "/long", payload = "x", qos = 1, retain = true,
    properties = { message_expiry = 1000 } }
  p:publish { topic = t.topic .. "/ever", payload = "x", qos = 1, retain = true }
  t:pass(2.1)
  restart(b)
  local got = retained(b, t.topic .. "/#", 2)
  local left, passed = got[t.topic .. "/long"].properties.message_expiry, t:now() - began
  t:check(left <= 998 and left >= 998 - passed, "%d s are left after %.2f s", left, passed)
  t:equal(got[t.topic .. "/ever"].properties.message_expiry, nil, "expiry of what has none")
end)

again.both("any bytes, and topics of any length", "MQTT-3.3.1-5", function(t, restart)
  local b = t:own_broker "limits { max_topic_length 65535; max_topic_levels 32768; max_packet 2m; }"
  local every = {}
  for i = 0, 255 do every[i + 1] = string.char(i) end
  local levels = t.topic .. ("/x"):rep(32000)
  local wanted = {
    [t.topic .. "/" .. ("é"):rep((65535 - #t.topic - 1) // 2)] = table.concat(every):rep(4),
    [levels] = "deep",
    [t.topic .. "//"] = "\0",
    [t.topic .. "/large"] = table.concat(every):rep(4000),
  }
  local p, count = b:join(), 0
  for topic, payload in pairs(wanted) do
    p:publish { topic = topic, payload = payload, qos = 1, retain = true }
    count = count + 1
  end
  restart(b)
  local got = retained(b, t.topic .. "/#", count)
  for topic, payload in pairs(wanted) do
    t:check(got[topic], "the topic of %d bytes is gone", #topic)
    t:check(got[topic].payload == payload, "another payload in the topic of %d bytes", #topic)
  end
end)

again.story("many", "MQTT-3.3.1-5", function(t, restart)
  local mqtt = require "mqtt"
  local b = t:own_broker "limits { receive_maximum 65535; }"
  local p = b:join()
  local count, bytes = 20000, {}
  for i = 1, count do
    bytes[i] = mqtt.encode({ "PUBLISH", topic = ("%s/%d/%d"):format(t.topic, i % 97, i),
      payload = tostring(i), qos = 1, retain = true, id = i }, p.version)
  end
  p:send_bytes(table.concat(bytes))
  for i = 1, count do p:expect { "PUBACK", id = i } end
  restart(b)
  local numbers = b:control "status"
  local c, sum = b:join(), 0
  c:subscribe(t.topic .. "/#", 0)
  for _ = 1, count do sum = sum + tonumber(c:expect({ "PUBLISH", retain = true }).payload) end
  t:equal(sum, count * (count + 1) // 2, "the sum of all payloads")
  c:expect_nothing()
  t:check(numbers.retained >= count, "%d retained messages in the status", numbers.retained)
end, { alone = true })

again.story("the limit may be lower after the restart: nothing is invented, and it starts",
  "MQTT-3.3.1-5", function(t, restart)
  local b = t:own_broker()
  local p = b:join()
  for i = 1, 20 do
    p:publish { topic = t.topic .. "/" .. i, payload = "x", qos = 1, retain = true }
  end
  if restart == again.crash then b:kill() end
  b:restart "limits { max_retained_messages 5; }"
  local c = b:join()
  c:subscribe(t.topic .. "/#", 0)
  c:ping()
  t:equal(#c.inbox, 5, "retained messages")
end)

again.story("5: a retained message behind a mount point stays there", "MQTT-3.3.1-5/5",
  function(t, restart)
  local b = t:own_broker([[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener tenant { bind 127.0.0.1:${tenant_port}; mount_point tenant/; }
  ]])
  b:join { port = b.ports.tenant_port }:publish { topic = t.topic, payload = "in", qos = 1,
    retain = true }
  restart(b)
  retained(b, "tenant/" .. t.topic, 1)
  local c = b:join { port = b.ports.tenant_port }
  c:subscribe(t.topic)
  c:receive { topic = t.topic, payload = "in", retain = true }
end)
